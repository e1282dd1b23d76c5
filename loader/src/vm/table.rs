//! Tables: elements of 8 bytes, in the context until they grow.
#![allow(unsafe_code, reason = "owns the elements of tables that grew")]

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::{self, NonNull};

use cwasm_format::vmctx::VmTable;

use crate::parts::in_parts;
use crate::sys::PAGE_SIZE;

/// The most elements of a table, whatever it declares.
pub(crate) const MAX_ELEMENTS: u64 = cwasm_format::data::MAX_TABLE_ELEMENTS;

/// Elements in a page of memory.
const PAGE_ELEMENTS: usize = PAGE_SIZE / size_of::<u64>();

/// Elements of a part of a table; `None` if it is not inside.
pub(crate) fn range(table: &VmTable, start: u64, len: u64) -> Option<*mut u64> {
    let base = ptr::with_exposed_provenance_mut::<u64>(table.base as usize);
    let inside = start.checked_add(len)? <= table.len;
    inside.then(|| base.wrapping_add(start as usize))
}

/// Grows a table by `delta` elements `value`: the old length, or `None` if it cannot, or `stop`
/// says that it must not continue.
pub(crate) fn grow(
    table: &mut VmTable,
    delta: u64,
    value: u64,
    stop: impl Fn() -> bool,
) -> Option<u64> {
    let old_len = table.len;
    let len = old_len.checked_add(delta)?;
    if len > table.max.min(MAX_ELEMENTS) {
        return None;
    }
    if delta == 0 {
        return Some(old_len);
    }
    let is_new = len > table.capacity;
    if is_new {
        // Doubling keeps growing one by one linear.
        let wanted = len.max(table.capacity * 2).min(table.max.min(MAX_ELEMENTS));
        let mut elements = zeros(wanted as usize)?;
        let old = range(table, 0, old_len)?;
        // SAFETY: the table has this many elements, which nothing writes to meanwhile.
        let old = unsafe { std::slice::from_raw_parts(old, old_len as usize) };
        let whole = in_parts(old.len(), size_of::<u64>(), &stop, |part| {
            let (from, to) = (&old[part.clone()], &mut elements[part]);
            let pages = from.chunks(PAGE_ELEMENTS).zip(to.chunks_mut(PAGE_ELEMENTS));
            // Pages of null references take no memory, neither there nor here.
            pages
                .filter(|(from, _)| from.iter().any(|element| *element != 0))
                .for_each(|(from, to)| to.copy_from_slice(from));
        });
        if !whole {
            return None;
        }
        let elements = Box::leak(elements);
        // SAFETY: the old elements are not used any more.
        unsafe { free(table) };
        table.base = elements.as_mut_ptr().expose_provenance() as u64;
        table.capacity = wanted;
    }
    table.len = len;
    if is_new && value == 0 {
        return Some(old_len);
    }
    let added = range(table, old_len, delta)?;
    // SAFETY: inside the table, which nothing else refers to now.
    let added = unsafe { std::slice::from_raw_parts_mut(added, delta as usize) };
    let whole = in_parts(added.len(), size_of::<u64>(), &stop, |part| {
        added[part].fill(value);
    });
    if !whole {
        // The rest holds old or no elements: nobody may see it.
        table.len = old_len;
        return None;
    }
    Some(old_len)
}

/// So many null elements; `None` if there is not enough memory.
fn zeros(len: usize) -> Option<Box<[u64]>> {
    let layout = Layout::array::<u64>(len)
        .ok()
        .filter(|layout| layout.size() != 0)?;
    // SAFETY: the layout has a size (checked above).
    let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
    let elements = ptr::slice_from_raw_parts_mut(start.as_ptr().cast::<u64>(), len);
    // SAFETY: just allocated with the layout of these elements, which zeros are values of.
    Some(unsafe { Box::from_raw(elements) })
}

/// Frees the elements of a table that grew.
///
/// # Safety
/// - `base` is not used any more.
/// - `capacity` and `base` are as [`grow`] left them, or `capacity` is 0.
pub(crate) unsafe fn free(table: &VmTable) {
    if table.capacity == 0 {
        return;
    }
    let base = ptr::with_exposed_provenance_mut::<u64>(table.base as usize);
    let elements = ptr::slice_from_raw_parts_mut(base, table.capacity as usize);
    // SAFETY: from `Box::leak` in `grow` (the caller's contract).
    drop(unsafe { Box::from_raw(elements) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_move_out_of_the_context_when_they_grow() {
        let mut initial = [1u64, 2];
        let base = initial.as_mut_ptr().expose_provenance() as u64;
        let mut table = VmTable {
            base,
            len: 2,
            max: 8,
            capacity: 0,
        };
        let elements = |table: &VmTable| {
            let start = range(table, 0, table.len).unwrap();
            // SAFETY: the table has this many elements.
            unsafe { std::slice::from_raw_parts(start, table.len as usize) }.to_vec()
        };
        assert_eq!(grow(&mut table, 0, 9, || false), Some(2));
        assert_eq!((table.base, table.capacity), (base, 0));
        assert_eq!(grow(&mut table, 3, 9, || false), Some(2));
        assert_eq!(elements(&table), [1, 2, 9, 9, 9]);
        assert_eq!(grow(&mut table, 1, 7, || false), Some(5));
        assert_eq!(table.capacity, 8);
        assert_eq!(grow(&mut table, 3, 0, || false), None);
        assert_eq!(grow(&mut table, u64::MAX, 0, || false), None);
        assert_eq!(grow(&mut table, 2, 4, || false), Some(6));
        assert_eq!(elements(&table), [1, 2, 9, 9, 9, 7, 4, 4]);
        assert!(range(&table, 8, 0).is_some() && range(&table, 8, 1).is_none());
        // SAFETY: the elements are not used any more.
        unsafe { free(&table) };
        let mut huge = VmTable {
            base,
            len: 2,
            max: u64::MAX,
            capacity: 0,
        };
        assert_eq!(grow(&mut huge, MAX_ELEMENTS, 0, || false), None);
    }
}
