//! The handle tables of guests ([`VmHandles`]), as the loader works on them. Compiled code does the
//! same.
#![allow(unsafe_code, reason = "owns the entries of handle tables")]

use std::ptr;

use cwasm_format::TrapCode;
use cwasm_format::resources::HandleUse;
use cwasm_format::vmctx::{VmHandle, VmHandles};

/// The most entries that a table may have (`Table.MAX_LENGTH` of the specification), whatever the
/// store's limit is.
const MAX_ENTRIES: u32 = (1 << 28) - 1;

/// Entries that a table gets first.
const FIRST_ENTRIES: u32 = 16;

const FREE: VmHandle = VmHandle {
    rep: 0,
    ty: VmHandle::FREE,
    lends: 0,
    scope: 0,
};

/// Words that a stack gets first.
const FIRST_WORDS: u32 = 16;

/// A table without entries, for a store with this limit.
pub(crate) fn empty(limit: u32) -> VmHandles {
    VmHandles {
        base: 0,
        stack: 0,
        len: 0,
        free: 0,
        // Entry 0 is not used.
        max: limit.saturating_add(1).min(MAX_ENTRIES),
        stack_len: 0,
        stack_capacity: 0,
        reserved: 0,
    }
}

fn entries(table: &mut VmHandles) -> &mut [VmHandle] {
    if table.len == 0 {
        return &mut [];
    }
    let base = ptr::with_exposed_provenance_mut::<VmHandle>(table.base as usize);
    // SAFETY: `grow` has set both, and the table is the only owner.
    unsafe { std::slice::from_raw_parts_mut(base, table.len as usize) }
}

/// The stack, with the room that it has.
fn stack(table: &mut VmHandles) -> &mut [u32] {
    if table.stack_capacity == 0 {
        return &mut [];
    }
    let stack = ptr::with_exposed_provenance_mut::<u32>(table.stack as usize);
    // SAFETY: `deepen` has set both, and the table is the only owner.
    unsafe { std::slice::from_raw_parts_mut(stack, table.stack_capacity as usize) }
}

/// The handles that all tables of a store have room for.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) used: &'a mut u32,
    pub(crate) max: u32,
}

/// Adds free entries to a table that has none.
///
/// # Errors
/// [`TrapCode::TableFull`] if it has as many as it may have, or the tables of the store have, or
/// there is not enough memory.
pub(crate) fn grow(table: &mut VmHandles, room: Room<'_>) -> Result<(), TrapCode> {
    let len = table
        .len
        .saturating_mul(2)
        .max(FIRST_ENTRIES)
        .min(table.max);
    let first = table.len.max(1);
    let len = len.min(first.saturating_add(room.max.saturating_sub(*room.used)));
    if len <= first {
        return Err(TrapCode::TableFull);
    }
    let mut grown: Vec<VmHandle> = Vec::new();
    grown
        .try_reserve_exact(len as usize)
        .map_err(|_| TrapCode::TableFull)?;
    grown.extend_from_slice(entries(table));
    grown.resize(len as usize, FREE);
    // In ascending order; the last is followed by what is free now, which is nothing.
    for index in first..len - 1 {
        grown[index as usize].rep = index + 1;
    }
    let grown = Box::leak(grown.into_boxed_slice());
    free_entries(table);
    table.base = grown.as_mut_ptr().expose_provenance() as u64;
    table.len = len;
    table.free = first;
    *room.used += len - first;
    Ok(())
}

/// Makes room on the stack.
///
/// # Errors
/// [`TrapCode::TableFull`] if there is not enough memory.
pub(crate) fn deepen(table: &mut VmHandles) -> Result<(), TrapCode> {
    let capacity = table.stack_capacity.saturating_mul(2).max(FIRST_WORDS);
    let mut grown: Vec<u32> = Vec::new();
    grown
        .try_reserve_exact(capacity as usize)
        .map_err(|_| TrapCode::TableFull)?;
    grown.extend_from_slice(stack(table));
    if grown.len() == capacity as usize {
        return Err(TrapCode::TableFull);
    }
    grown.resize(capacity as usize, 0);
    let grown = Box::leak(grown.into_boxed_slice());
    free_stack(table);
    table.stack = grown.as_mut_ptr().expose_provenance() as u64;
    table.stack_capacity = capacity;
    Ok(())
}

/// Frees entries and stack: the table is empty then.
pub(crate) fn free(table: &mut VmHandles) {
    free_entries(table);
    free_stack(table);
}

fn free_entries(table: &mut VmHandles) {
    let entries: *mut [VmHandle] = entries(table);
    table.len = 0;
    if !entries.is_empty() {
        // SAFETY: from `Box::leak` in `grow`, and the table does not refer to it any more.
        drop(unsafe { Box::from_raw(entries) });
    }
}

fn free_stack(table: &mut VmHandles) {
    let stack: *mut [u32] = stack(table);
    table.stack_capacity = 0;
    if !stack.is_empty() {
        // SAFETY: from `Box::leak` in `deepen`, and the table does not refer to it any more.
        drop(unsafe { Box::from_raw(stack) });
    }
}

/// Puts a word on the stack: its place.
fn push(table: &mut VmHandles, word: u32) -> Result<u32, TrapCode> {
    if table.stack_len == table.stack_capacity {
        deepen(table)?;
    }
    let place = table.stack_len;
    stack(table)[place as usize] = word;
    table.stack_len += 1;
    Ok(place)
}

/// Opens a scope: a call begins that gives the instance borrowed handles.
///
/// # Errors
/// As [`deepen`].
pub(crate) fn open(table: &mut VmHandles) -> Result<u32, TrapCode> {
    push(table, 0)
}

/// Closes a scope, the last word on the stack: its call has returned.
///
/// # Errors
/// [`TrapCode::BorrowsRemain`] if not all of its handles are dropped.
pub(crate) fn close(table: &mut VmHandles, scope: u32) -> Result<(), TrapCode> {
    match stack(table).get(scope as usize) {
        Some(0) => {
            table.stack_len = scope;
            Ok(())
        }
        _ => Err(TrapCode::BorrowsRemain),
    }
}

/// Adds a borrowed handle to a scope.
///
/// # Errors
/// As [`grow`].
pub(crate) fn add_borrow(
    table: &mut VmHandles,
    rep: u32,
    handle_use: HandleUse,
    scope: u32,
    room: Room<'_>,
) -> Result<u32, TrapCode> {
    let handle = add(table, rep, handle_use, room)?;
    entries(table)[handle as usize].scope = scope;
    if let Some(count) = stack(table).get_mut(scope as usize) {
        *count += 1;
    }
    Ok(handle)
}

/// Adds an entry: its handle.
///
/// # Errors
/// As [`grow`].
pub(crate) fn add(
    table: &mut VmHandles,
    rep: u32,
    handle_use: HandleUse,
    room: Room<'_>,
) -> Result<u32, TrapCode> {
    if table.free == 0 {
        grow(table, room)?;
    }
    let index = table.free;
    let entry = &mut entries(table)[index as usize];
    let next = entry.rep;
    (entry.rep, entry.ty) = (rep, handle_use.0);
    table.free = next;
    Ok(index)
}

/// The entry of a handle of this resource.
fn find(
    table: &mut VmHandles,
    handle: u32,
    handle_use: HandleUse,
) -> Result<&mut VmHandle, TrapCode> {
    match entries(table).get_mut(handle as usize) {
        None
        | Some(&mut VmHandle {
            ty: VmHandle::FREE, ..
        }) => Err(TrapCode::UnknownHandle),
        Some(entry) if entry.ty ^ handle_use.0 > 1 => Err(TrapCode::WrongResourceType),
        Some(entry) => Ok(entry),
    }
}

/// Removes a handle of this resource, owned or borrowed: its representation, and the scope of a
/// borrowed one.
///
/// # Errors
/// The traps of the specification.
#[cfg(feature = "async")]
pub(crate) fn remove(
    table: &mut VmHandles,
    handle: u32,
    handle_use: HandleUse,
) -> Result<(u32, Option<u32>), TrapCode> {
    let next = table.free;
    let entry = find(table, handle, handle_use)?;
    if entry.lends != 0 {
        return Err(TrapCode::ResourceBorrowed);
    }
    let scope = HandleUse(entry.ty).is_borrow().then_some(entry.scope);
    let rep = std::mem::replace(&mut entry.rep, next);
    entry.ty = VmHandle::FREE;
    table.free = handle;
    Ok((rep, scope))
}

/// Lends a resource (`lift_borrow`) until [`unlend`]: its representation.
///
/// # Errors
/// The traps of the specification.
#[cfg(feature = "async")]
pub(crate) fn lend_for_long(
    table: &mut VmHandles,
    handle: u32,
    handle_use: HandleUse,
) -> Result<u32, TrapCode> {
    let entry = find(table, handle, handle_use)?;
    entry.lends += 1;
    Ok(entry.rep)
}

/// Ends a loan.
#[cfg(feature = "async")]
pub(crate) fn unlend(table: &mut VmHandles, handle: u32) {
    if let Some(entry) = entries(table).get_mut(handle as usize) {
        entry.lends = entry.lends.saturating_sub(1);
    }
}

/// Adds a borrowed handle to a task.
///
/// # Errors
/// As [`grow`].
#[cfg(feature = "async")]
pub(crate) fn add_to_task(
    table: &mut VmHandles,
    rep: u32,
    handle_use: HandleUse,
    task: u32,
    room: Room<'_>,
) -> Result<u32, TrapCode> {
    let handle = add(table, rep, handle_use, room)?;
    entries(table)[handle as usize].scope = task;
    Ok(handle)
}

/// The number of an entry of this kind, which is not one of a resource.
///
/// # Errors
/// [`TrapCode::UnknownHandle`]; [`TrapCode::WrongHandleKind`].
#[cfg(feature = "async")]
pub(crate) fn number(table: &mut VmHandles, handle: u32, kind: u32) -> Result<u32, TrapCode> {
    match entries(table).get(handle as usize) {
        None
        | Some(&VmHandle {
            ty: VmHandle::FREE, ..
        }) => Err(TrapCode::UnknownHandle),
        Some(entry) if entry.ty != kind => Err(TrapCode::WrongHandleKind),
        Some(entry) => Ok(entry.rep),
    }
}

/// Removes an entry that is not one of a resource.
#[cfg(feature = "async")]
pub(crate) fn remove_number(table: &mut VmHandles, handle: u32) {
    let next = table.free;
    if let Some(entry) = entries(table).get_mut(handle as usize) {
        (entry.rep, entry.ty) = (next, VmHandle::FREE);
        table.free = handle;
    }
}

/// Takes an owned resource out (`lift_own`): its representation.
///
/// # Errors
/// The traps of the specification.
pub(crate) fn take(
    table: &mut VmHandles,
    handle: u32,
    handle_use: HandleUse,
) -> Result<u32, TrapCode> {
    let next = table.free;
    let entry = find(table, handle, handle_use)?;
    if entry.lends != 0 {
        return Err(TrapCode::ResourceBorrowed);
    }
    if entry.ty != handle_use.0 {
        return Err(TrapCode::NotOwned);
    }
    let rep = std::mem::replace(&mut entry.rep, next);
    entry.ty = VmHandle::FREE;
    table.free = handle;
    Ok(rep)
}

/// Lends a resource (`lift_borrow`) until [`release`]: its representation. One that is lent already
/// is lent longer than this call lasts.
///
/// # Errors
/// The traps of the specification; as [`deepen`].
pub(crate) fn lend(
    table: &mut VmHandles,
    handle: u32,
    handle_use: HandleUse,
) -> Result<u32, TrapCode> {
    let entry = find(table, handle, handle_use)?;
    let rep = entry.rep;
    if entry.lends == 0 {
        entry.lends = 1;
        push(table, handle)?;
    }
    Ok(rep)
}

/// Ends the loans of a call that began when the stack had `begin` words.
///
/// If a call within it has trapped, the words of that one are still there, scopes among them.
/// Nothing of the component runs again then, so what is counted does not matter.
pub(crate) fn release(table: &mut VmHandles, begin: u32) {
    while table.stack_len > begin {
        table.stack_len -= 1;
        let last = table.stack_len as usize;
        let handle = stack(table)[last];
        if let Some(entry) = entries(table).get_mut(handle as usize) {
            entry.lends = entry.lends.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use cwasm_format::types::ResourceNumber;

    use super::*;

    const OWN: HandleUse = HandleUse::own(ResourceNumber(3));
    const BORROW: HandleUse = HandleUse::borrow(ResourceNumber(3));
    const OTHER: HandleUse = HandleUse::own(ResourceNumber(4));

    fn add_any(table: &mut VmHandles, rep: u32, handle_use: HandleUse) -> Result<u32, TrapCode> {
        let room = Room {
            used: &mut 0,
            max: u32::MAX,
        };
        add(table, rep, handle_use, room)
    }

    #[test]
    fn tables_of_a_store_share_its_limit() {
        let (mut used, max) = (0, 50);
        let mut tables = [empty(max), empty(max), empty(max)];
        let mut added = 0;
        for table in &mut tables {
            let mut add = || {
                let used = &mut used;
                add(table, 0, OWN, Room { used, max })
            };
            while add().is_ok() {
                added += 1;
            }
        }
        // The first has taken all of it.
        assert_eq!((added, used), (50, 50));
        let mut used = 45;
        let mut add = |table: &mut VmHandles| {
            let used = &mut used;
            add(table, 0, OWN, Room { used, max })
        };
        free(&mut tables[0]);
        tables[0] = empty(max);
        for handle in 1..=5 {
            assert_eq!(add(&mut tables[0]), Ok(handle));
        }
        assert_eq!(add(&mut tables[0]), Err(TrapCode::TableFull));
        tables.iter_mut().for_each(free);
    }

    #[test]
    fn handles_are_given_out_in_order() {
        let mut table = empty(u32::MAX);
        for handle in 1..100 {
            assert_eq!(add_any(&mut table, handle + 1000, OWN), Ok(handle));
        }
        for handle in [7, 3, 50] {
            assert_eq!(take(&mut table, handle, OWN), Ok(handle + 1000));
            assert_eq!(take(&mut table, handle, OWN), Err(TrapCode::UnknownHandle));
        }
        for handle in [50, 3, 7, 100] {
            assert_eq!(add_any(&mut table, 0, OWN), Ok(handle));
        }
        free(&mut table);
    }

    #[test]
    fn only_what_is_owned_and_not_lent_is_taken() {
        let mut table = empty(u32::MAX);
        for unknown in [0, 1, u32::MAX] {
            assert_eq!(take(&mut table, unknown, OWN), Err(TrapCode::UnknownHandle));
        }
        assert_eq!(add_any(&mut table, 7, OWN), Ok(1));
        assert_eq!(open(&mut table), Ok(0));
        let room = Room {
            used: &mut 0,
            max: u32::MAX,
        };
        assert_eq!(add_borrow(&mut table, 8, BORROW, 0, room), Ok(2));
        for unknown in [0, 3, 16, u32::MAX] {
            assert_eq!(lend(&mut table, unknown, OWN), Err(TrapCode::UnknownHandle));
        }
        assert_eq!(take(&mut table, 1, OTHER), Err(TrapCode::WrongResourceType));
        assert_eq!(take(&mut table, 2, OWN), Err(TrapCode::NotOwned));
        for handle in [1, 1, 2] {
            assert_eq!(lend(&mut table, handle, BORROW), Ok(6 + handle));
        }
        assert_eq!(take(&mut table, 1, OWN), Err(TrapCode::ResourceBorrowed));
        release(&mut table, 1);
        assert_eq!(take(&mut table, 1, OWN), Ok(7));
        assert_eq!(close(&mut table, 0), Err(TrapCode::BorrowsRemain));
        free(&mut table);
    }

    #[test]
    fn what_an_outer_call_lends_stays_lent() {
        let mut table = empty(u32::MAX);
        for handle in 1..=100 {
            assert_eq!(add_any(&mut table, 0, OWN), Ok(handle));
        }
        for handle in 1..=50 {
            lend(&mut table, handle, OWN).unwrap();
        }
        let inner = table.stack_len;
        for handle in 1..=100 {
            lend(&mut table, handle, OWN).unwrap();
        }
        release(&mut table, inner);
        let lent = Err(TrapCode::ResourceBorrowed);
        assert_eq!(
            (take(&mut table, 50, OWN), take(&mut table, 51, OWN)),
            (lent, Ok(0))
        );
        release(&mut table, 0);
        assert_eq!(take(&mut table, 50, OWN), Ok(0));
        free(&mut table);
    }

    #[test]
    fn a_call_that_trapped_leaves_its_scope() {
        let mut table = empty(u32::MAX);
        for handle in 1..=3 {
            assert_eq!(add_any(&mut table, 0, OWN), Ok(handle));
        }
        lend(&mut table, 1, OWN).unwrap();
        assert_eq!(open(&mut table), Ok(1));
        for handle in 4..=6 {
            let room = Room {
                used: &mut 0,
                max: u32::MAX,
            };
            assert_eq!(add_borrow(&mut table, 0, BORROW, 1, room), Ok(handle));
        }
        // The scope's count, 3, is not the handle 3.
        release(&mut table, 0);
        assert_eq!(table.stack_len, 0);
        free(&mut table);
    }

    #[test]
    fn tables_have_a_limit() {
        let mut table = empty(20);
        for handle in 1..=20 {
            assert_eq!(add_any(&mut table, 0, OWN), Ok(handle));
        }
        assert_eq!(add_any(&mut table, 0, OWN), Err(TrapCode::TableFull));
        assert_eq!(take(&mut table, 9, OWN), Ok(0));
        assert_eq!(add_any(&mut table, 0, OWN), Ok(9));
        free(&mut table);
        assert_eq!(add_any(&mut empty(0), 0, OWN), Err(TrapCode::TableFull));
    }
}
