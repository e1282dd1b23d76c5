//! Damage to sections of debug information.

use std::ops::Range;

pub(super) type Sections = Vec<(String, Vec<u8>)>;

/// A section does not become larger than this.
const MAX_LEN: usize = 1 << 20;

/// Sections that there may be.
const NAMES: [&str; 14] = [
    "name",
    ".debug_abbrev",
    ".debug_addr",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_loc",
    ".debug_loclists",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_types",
    ".debug_macro",
];

/// Where choices come from: bytes, and then zeroes, so that less of them is less damage.
pub(super) struct Dna<'d> {
    bytes: &'d [u8],
}

impl<'d> Dna<'d> {
    pub(super) fn new(bytes: &'d [u8]) -> Dna<'d> {
        Dna { bytes }
    }

    fn byte(&mut self) -> u8 {
        self.bytes.split_off_first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// A number below `end`; 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        (self.word() as usize).checked_rem(end).unwrap_or(0)
    }

    /// A part of so many bytes: often a short one.
    fn range(&mut self, len: usize) -> Range<usize> {
        let start = self.below(len);
        let most = [4, 16, 256, len][self.below(4)].min(len - start);
        start..start + self.below(most + 1)
    }

    /// A number that is at a border, or any.
    fn number(&mut self, len: usize) -> u32 {
        let len = len as u32;
        match self.below(12) {
            0 => 0,
            1 => 1,
            2 => len,
            3 => len.wrapping_sub(1),
            4 => len.wrapping_sub(4),
            5 => u32::MAX,
            6 => 0xffff_fff0,
            7 => 0x7fff_ffff,
            8 => 0x8000_0000,
            9 => self.word(),
            _ => self.below(len as usize) as u32,
        }
    }
}

/// Damages one of the sections.
pub(super) fn damage(sections: &mut Sections, dna: &mut Dna<'_>) {
    let count = sections.len();
    if count == 0 {
        return;
    }
    let (index, other) = (dna.below(count), dna.below(count));
    let copy = sections[other].1.clone();
    let section = &mut sections[index].1;
    let len = section.len();
    match dna.below(16) {
        0..=2 => set(section, dna.below(len), &[dna.byte()]),
        3..=4 => {
            let number = dna.number(len);
            set(section, dna.below(len), &number.to_le_bytes());
        }
        // Numbers of any length.
        5 => {
            let mut number = vec![[0x80, 0xff][dna.below(2)]; dna.below(12)];
            number.push(dna.byte() & 0x7f);
            set(section, dna.below(len), &number);
        }
        6 => section.truncate(dna.below(len + 1)),
        7 => drop(section.drain(dna.range(len))),
        8 => {
            let range = dna.range(len);
            let (end, part) = (range.end, section[range].to_vec());
            repeat(section, end, &part, dna);
        }
        9 => {
            let part = dna.range(copy.len());
            set(section, dna.below(len), &copy[part]);
        }
        10 => {
            let part = copy[dna.range(copy.len())].to_vec();
            repeat(section, dna.below(len), &part, dna);
        }
        11 => sections.swap(index, other),
        12 => sections[index].0 = NAMES[dna.below(NAMES.len())].to_owned(),
        13 => drop(sections.remove(index)),
        _ => unit(section, dna),
    }
}

/// Damages the header of a unit.
fn unit(section: &mut Vec<u8>, dna: &mut Dna<'_>) {
    let mut starts = vec![0];
    let mut at = 0;
    while let Some(len) = section.get(at..at + 4) {
        let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize;
        at = at.saturating_add(len).saturating_add(4);
        if at >= section.len() || starts.len() > 1000 {
            break;
        }
        starts.push(at);
    }
    let start = starts[dna.below(starts.len())];
    match dna.below(5) {
        // The version, or the length.
        0 => set(section, start + 4, &[dna.byte() % 7, 0]),
        1 => {
            let number = dna.number(section.len());
            set(section, start, &number.to_le_bytes());
        }
        // One of 64 bits.
        2 => {
            let len = section.get(start..start + 4).unwrap_or(&[0; 4]);
            let long = [&[0xff; 4], len, &[0; 4]].concat();
            let end = section.len().min(start + 4);
            section.splice(start.min(end)..end, long);
        }
        // What follows the version: kinds, sizes and offsets.
        3 => set(section, start + 6 + dna.below(8), &[dna.byte()]),
        _ => {
            let end = starts.iter().find(|next| **next > start);
            let end = end.map_or(section.len(), |end| (*end).min(section.len()));
            let part = section[start.min(end)..end].to_vec();
            repeat(section, end, &part, dna);
        }
    }
}

/// Writes over what is there.
fn set(section: &mut [u8], at: usize, bytes: &[u8]) {
    let rest = section.get_mut(at..).unwrap_or_default();
    for (place, byte) in rest.iter_mut().zip(bytes) {
        *place = *byte;
    }
}

/// Inserts a part once or very often.
fn repeat(section: &mut Vec<u8>, at: usize, part: &[u8], dna: &mut Dna<'_>) {
    let room = MAX_LEN.saturating_sub(section.len());
    let most = room.checked_div(part.len()).unwrap_or(0);
    let count = [1, 2, 100, 10_000][dna.below(4)].min(most);
    let at = at.min(section.len());
    section.splice(at..at, part.repeat(count));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_stay_small_and_are_damaged() {
        let sections: Sections = NAMES
            .iter()
            .map(|name| ((*name).to_owned(), vec![4, 0, 0, 0, 4, 0, 0, 0, 9, 9]))
            .collect();
        let mut rng = crate::rng::Rng::new(3);
        let mut different = 0;
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..40).map(|_| rng.next() as u8).collect();
            let mut damaged = sections.clone();
            damage(&mut damaged, &mut Dna::new(&bytes));
            assert!(damaged.iter().all(|(_, data)| data.len() <= MAX_LEN + 16));
            different += usize::from(damaged != sections);
        }
        assert!(different > 1500, "{different}");
    }
}
