//! From a program counter to the artifact it is in, for signal handlers.
//!
//! A radix tree over the pages of the 47-bit address space:
//!
//! ```text
//! ROOT: 8192 x 16 GiB -> Middle: 8192 x 2 MiB -> Leaf: 512 x page
//!                                       \-> the unit, if the 2 MiB are all its own
//! ```
//!
//! Looking up is three loads, takes no lock and is safe in a signal handler. Registering writes one
//! word for each page at the edges and for each 2 MiB between. Tables are never freed, so that
//! readers never meet a freed one; they are used again by what is loaded there next.
#![allow(unsafe_code, reason = "hands out references to registered units")]

use std::ops::Range;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::Unit;
use crate::error::{Error, Result};
use crate::fork;
use crate::sys::{ADDRESS_BITS, PAGE_SIZE};

const PAGE_BITS: u32 = PAGE_SIZE.ilog2();
const LEAF_BITS: u32 = 9;
const MIDDLE_BITS: u32 = 13;
const ROOT_BITS: u32 = 13;
/// Log2 of the bytes that one entry of a middle table stands for.
const CHUNK_BITS: u32 = PAGE_BITS + LEAF_BITS;
/// Log2 of the bytes that one entry of the root stands for.
const REGION_BITS: u32 = CHUNK_BITS + MIDDLE_BITS;
/// Log2 of the addresses that the tables are for.
const TABLE_BITS: u32 = REGION_BITS + ROOT_BITS;

/// Set in an entry of a middle table that points to a unit and not to a leaf.
const WHOLE: usize = 1;

struct Leaf([AtomicPtr<Unit>; 1 << LEAF_BITS]);

/// Entries are null, a [`Leaf`], or a [`Unit`] with [`WHOLE`] added.
struct Middle([AtomicPtr<u8>; 1 << MIDDLE_BITS]);

static ROOT: [AtomicPtr<Middle>; 1 << ROOT_BITS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; 1 << ROOT_BITS];

/// Held by writers.
static WRITER: Mutex<()> = Mutex::new(());

/// Calls `f` with the unit whose text holds `pc`. Safe in signal handlers if `f` is.
///
/// A unit is there while code of it runs or will be returned to; for other addresses, the caller
/// makes sure that the unit is not dropped meanwhile.
pub(crate) fn with_unit<R>(pc: usize, f: impl FnOnce(&Unit) -> R) -> Option<R> {
    // SAFETY: registered units are live until they are unregistered, before they are dropped. That
    // does not happen while code of theirs is active: instances own their unit.
    find(pc).map(|unit| f(unsafe { &*unit }))
}

/// Whether `pc` is in the text of a unit. Safe in signal handlers.
#[cfg(feature = "profile")]
pub(crate) fn is_code(pc: usize) -> bool {
    find(pc).is_some()
}

/// The unit whose text holds `pc`.
fn find(pc: usize) -> Option<*const Unit> {
    let middle = ROOT.get(pc >> REGION_BITS)?.load(Ordering::Acquire);
    // SAFETY: null, or a table that is never freed.
    let middle = unsafe { middle.as_ref() }?;
    let entry = middle.0[index(pc, CHUNK_BITS, MIDDLE_BITS)].load(Ordering::Acquire);
    let unit = if entry.addr() & WHOLE != 0 {
        entry.map_addr(|addr| addr & !WHOLE).cast::<Unit>()
    } else {
        // SAFETY: null, or a table that is never freed.
        let leaf = unsafe { entry.cast::<Leaf>().as_ref() }?;
        leaf.0[index(pc, PAGE_BITS, LEAF_BITS)].load(Ordering::Acquire)
    };
    (!unit.is_null()).then_some(unit.cast_const())
}

/// Registers `unit` for all of `range`, which is whole pages that no other unit has.
///
/// # Errors
/// If the range is not in the lower half of a 48-bit address space.
pub(crate) fn register(range: Range<usize>, unit: *const Unit) -> Result<()> {
    if range.end > 1 << ADDRESS_BITS {
        return Err(Error::msg(format!("cannot register code at {range:#x?}")));
    }
    set(range, unit.cast_mut());
    Ok(())
}

/// Takes back [`register`]; does nothing for a range that it refused.
pub(crate) fn unregister(range: Range<usize>) {
    if range.end <= 1 << ADDRESS_BITS {
        set(range, ptr::null_mut());
    }
}

fn set(range: Range<usize>, unit: *mut Unit) {
    let _guard = fork::lock(&WRITER);
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min((at | ((1 << CHUNK_BITS) - 1)) + 1);
        set_in_chunk(at..end, unit);
        at = end;
    }
}

/// Sets pages that lie in one chunk.
fn set_in_chunk(range: Range<usize>, unit: *mut Unit) {
    let middle = table(&ROOT[range.start >> REGION_BITS], new_middle);
    let entry = &middle.0[index(range.start, CHUNK_BITS, MIDDLE_BITS)];
    let current = entry.load(Ordering::Relaxed);
    let is_leaf = !current.is_null() && current.addr() & WHOLE == 0;
    if range.len() == 1 << CHUNK_BITS && !is_leaf {
        let whole = if unit.is_null() {
            unit
        } else {
            unit.map_addr(|addr| addr | WHOLE)
        };
        entry.store(whole.cast(), Ordering::Release);
        return;
    }
    // Only a unit that has all of a chunk is in the middle table, so that no other one can be
    // registered there now: the entry is null or a leaf.
    debug_assert!(current.addr() & WHOLE == 0, "the chunk is another unit's");
    let leaf = if is_leaf {
        // SAFETY: a table that is never freed.
        unsafe { &*current.cast::<Leaf>() }
    } else {
        let leaf = zeroed::<Leaf>();
        entry.store(ptr::from_ref(leaf).cast_mut().cast(), Ordering::Release);
        leaf
    };
    for page in range.step_by(1 << PAGE_BITS) {
        leaf.0[index(page, PAGE_BITS, LEAF_BITS)].store(unit, Ordering::Release);
    }
}

/// The table at `entry`, which is made if there is none.
fn table<T>(entry: &AtomicPtr<T>, new: fn() -> &'static T) -> &'static T {
    // SAFETY: null, or a table that is never freed.
    match unsafe { entry.load(Ordering::Acquire).as_ref() } {
        Some(table) => table,
        None => {
            let table = new();
            entry.store(ptr::from_ref(table).cast_mut(), Ordering::Release);
            table
        }
    }
}

/// A table of the middle, for good. The first is static, so that only the pages of it that are used
/// are ever touched: what maps one artifact and ends has no time for all of them.
fn new_middle() -> &'static Middle {
    static FIRST: Middle = Middle([const { AtomicPtr::new(ptr::null_mut()) }; 1 << MIDDLE_BITS]);
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    match IS_TAKEN.swap(true, Ordering::Relaxed) {
        false => &FIRST,
        true => zeroed(),
    }
}

/// A table of null pointers, for good.
fn zeroed<T: Table>() -> &'static T {
    // SAFETY: tables are arrays of pointers: all zeros are null.
    Box::leak(unsafe { Box::<T>::new_zeroed().assume_init() })
}

/// An array of atomic pointers.
trait Table {}
impl Table for Leaf {}
impl Table for Middle {}

/// The `bits` bits of `address` from bit `shift` on.
const fn index(address: usize, shift: u32, bits: u32) -> usize {
    (address >> shift) & ((1 << bits) - 1)
}

const _: () = assert!(align_of::<Unit>() > WHOLE && align_of::<Leaf>() > WHOLE);
const _: () = assert!(TABLE_BITS == ADDRESS_BITS);

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 1 << PAGE_BITS;
    const CHUNK: usize = 1 << CHUNK_BITS;

    /// A pointer that is only compared.
    fn unit(number: usize) -> *const Unit {
        ptr::without_provenance(number * 64)
    }

    #[test]
    fn every_page_of_a_range_is_found_and_none_beside() {
        // Addresses that no mapping of this process has.
        let base = 3 << 40;
        let ranges = [
            base + PAGE..base + 3 * PAGE,
            base + 3 * PAGE..base + 4 * PAGE,
            // Whole chunks, with pages at both edges.
            base + CHUNK - PAGE..base + 3 * CHUNK + PAGE,
            // Across two tables of the root.
            (base | ((1 << REGION_BITS) - CHUNK))..(base | ((1 << REGION_BITS) - 1)) + 1 + 2 * PAGE,
        ];
        for round in 0..3 {
            for (number, range) in ranges.iter().enumerate() {
                register(range.clone(), unit(number + 1 + round)).unwrap();
            }
            for (number, range) in ranges.iter().enumerate() {
                let expected = Some(unit(number + 1 + round));
                for pc in range.clone().step_by(PAGE) {
                    assert_eq!(find(pc), expected);
                    assert_eq!(find(pc + PAGE - 1), expected);
                }
            }
            assert_eq!(find(ranges[0].start - 1), None);
            assert_eq!(find(ranges[1].end), None);
            assert_eq!(find(ranges[2].end), None);
            assert_eq!(find(ranges[3].start - 1), None);
            assert_eq!(find(ranges[3].end), None);
            for range in ranges.clone() {
                unregister(range.clone());
                assert_eq!((find(range.start), find(range.end - 1)), (None, None));
            }
        }
    }

    #[test]
    fn a_chunk_can_be_whole_after_it_was_pages() {
        let base = 5 << 40;
        register(base..base + PAGE, unit(1)).unwrap();
        unregister(base..base + PAGE);
        register(base..base + CHUNK, unit(2)).unwrap();
        assert_eq!(find(base + CHUNK - 1), Some(unit(2)));
        unregister(base..base + CHUNK);
        assert_eq!(find(base), None);
    }

    #[test]
    fn any_address_can_be_looked_up() {
        for address in [
            0,
            1,
            PAGE,
            (1 << ADDRESS_BITS) - 1,
            1 << ADDRESS_BITS,
            usize::MAX,
        ] {
            assert_eq!(find(address), None);
        }
        assert!(register((1 << ADDRESS_BITS)..(1 << ADDRESS_BITS) + PAGE, unit(1)).is_err());
    }
}
