//! Finds exports by name in about the time that it takes to read the name, by a hash table that the
//! compiler makes.
//!
//! ```text
//! hash of the name -- low bits --> slot, and the next ones until an empty one -- export --> record
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::header::NONE;

/// A slot of the table. Their number is a power of two, and at most half of them are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExportSlot {
    /// The first eight bytes of the export's name, little-endian, padded with zeros. A short name
    /// is compared by this alone.
    pub start: u64,
    /// Bytes of the name.
    pub len: u32,
    /// Index of the export; `NONE` if the slot is empty.
    pub export: u32,
    /// For functions of components, the index of the [`LiftRecord`](crate::exports::LiftRecord);
    /// else `NONE`.
    pub lift: u32,
    /// 0.
    pub reserved: u32,
}

impl ExportSlot {
    const EMPTY: ExportSlot = ExportSlot {
        start: 0,
        len: 0,
        export: NONE,
        lift: NONE,
        reserved: 0,
    };
}

/// Bytes of [`ExportSlot::start`].
const START: usize = size_of::<u64>();

/// The first eight bytes of a name, padded with zeros.
#[inline]
fn start(name: &[u8]) -> u64 {
    if let Some(first) = name.first_chunk() {
        return u64::from_le_bytes(*first);
    }
    // Two pieces that may overlap: no loop over bytes.
    let pieces = |first: u64, last: u64, last_at: usize| first | last << (8 * last_at);
    match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(first), Some(last)) => pieces(
            u32::from_le_bytes(*first).into(),
            u32::from_le_bytes(*last).into(),
            name.len() - 4,
        ),
        _ => match *name {
            [] => 0,
            [a] => a.into(),
            [a, b] => u16::from_le_bytes([a, b]).into(),
            [a, b, c, ..] => u32::from_le_bytes([a, b, c, 0]).into(),
        },
    }
}

/// The hash of a name. It need not resist attacks: the names are the component's own, and equal
/// hashes only slow down lookups in that component.
#[inline]
fn hash(name: &[u8], start: u64) -> usize {
    // The golden ratio: the high bits of a product depend on all bits below.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let mut hash = mix(name.len() as u64, start);
    if name.len() > START {
        for word in name[START..].as_chunks::<START>().0 {
            hash = mix(hash, u64::from_le_bytes(*word));
        }
        if let Some(last) = name.last_chunk() {
            hash = mix(hash, u64::from_le_bytes(*last));
        }
    }
    (hash >> 32) as usize
}

/// The table for exports of these names and with these lifts, in the order of their records.
pub fn table<'n>(exports: impl ExactSizeIterator<Item = (&'n [u8], u32)>) -> Vec<ExportSlot> {
    if exports.len() == 0 {
        return Vec::new();
    }
    let mut slots = vec![ExportSlot::EMPTY; (2 * exports.len()).next_power_of_two()];
    let mask = slots.len() - 1;
    for (export, (name, lift)) in (0..).zip(exports) {
        let start = start(name);
        let mut place = hash(name, start) & mask;
        while slots[place].export != NONE {
            place = (place + 1) & mask;
        }
        slots[place] = ExportSlot {
            start,
            len: name.len() as u32,
            export,
            lift,
            reserved: 0,
        };
    }
    slots
}

/// The slot of the export of this name; `None` if there is none, or if [`table`] did not make the
/// slots. `name_of` gives an export's name, and is only called for long names.
#[inline]
pub fn find<'s, 'n>(
    slots: &'s [ExportSlot],
    name: &[u8],
    name_of: impl Fn(u32) -> Option<&'n [u8]>,
) -> Option<&'s ExportSlot> {
    let mask = slots.len().wrapping_sub(1);
    let start = start(name);
    let mut place = hash(name, start) & mask;
    for _ in slots {
        let slot = slots.get(place)?;
        if slot.export == NONE {
            return None;
        }
        let same = slot.start == start && slot.len as usize == name.len();
        if same && (name.len() <= START || name_of(slot.export) == Some(name)) {
            return Some(slot);
        }
        place = (place + 1) & mask;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_are_found_and_no_others() {
        let names: Vec<String> = (0..1000)
            .map(|index| "a:b/c@1.2.3#d"[..index % 14].to_owned() + &index.to_string())
            .collect();
        let slots = table(names.iter().map(|name| (name.as_bytes(), 7)));
        let name_of = |index: u32| names.get(index as usize).map(|name| name.as_bytes());
        let find = |name: &str| find(&slots, name.as_bytes(), name_of).map(|slot| slot.export);
        for (index, name) in (0..).zip(&names) {
            assert_eq!(find(name), Some(index));
            for other in [format!("{name}x"), format!("x{name}"), format!("{name}\0")] {
                assert_eq!(find(&other), None);
            }
            assert_eq!(
                find(&name[1..]).is_some(),
                names.iter().any(|found| *found == name[1..])
            );
        }
        let hash = |name: &String| super::hash(name.as_bytes(), start(name.as_bytes()));
        let hashes: std::collections::HashSet<_> = names.iter().map(hash).collect();
        assert!(hashes.len() > 995);
    }

    #[test]
    fn starts_are_bytes_and_zeros() {
        for len in 0..=12 {
            let name = &b"abcdefghijkl"[..len];
            let mut expected = [0; START];
            let copied = len.min(START);
            expected[..copied].copy_from_slice(&name[..copied]);
            assert_eq!(start(name), u64::from_le_bytes(expected), "{len}");
        }
    }

    #[test]
    fn slots_of_no_table_find_nothing() {
        let full = [ExportSlot {
            start: 7,
            len: 1,
            export: 0,
            lift: NONE,
            reserved: 0,
        }; 3];
        for slots in [&full[..0], &full[..1], &full[..2], &full] {
            assert_eq!(find(slots, b"x", |_| None), None);
        }
        assert_eq!(table([].into_iter()), []);
    }
}
