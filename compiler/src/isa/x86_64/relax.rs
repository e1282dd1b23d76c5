//! Makes machine code shorter, and aligns its loops.
//!
//! Cranelift encodes all branches, and most additions of a constant, with 32 bits for the distance
//! or the constant, and gives loops no alignment. Here branches and arithmetic get the shorter
//! forms, and small loops start where few blocks of the processor's cache of decoded instructions
//! hold them.
//!
//! All that depends on places is understood, or the code stays as it is: branches, tables of
//! branches, operands relative to the instruction pointer. Every branch must go to the start of an
//! instruction, and every block, trap and relocation must be where an instruction is.

use super::decode::{Decoded, Kind, decode};
use crate::isa::{MachineCode, Relaxed};

/// Alignment of small loops.
const LOOP_ALIGN: u32 = 32;
/// The longest loop that is aligned, in bytes.
const MAX_LOOP: u32 = 256;
/// The length of most instructions.
const MEAN_LEN: usize = 4;
/// The length of a short branch.
const SHORT_BRANCH: u32 = 2;
/// How often places are computed before all branches become long.
const MAX_ROUNDS: usize = 8;

/// Bytes of the old code that stay together.
#[derive(Clone, Copy)]
struct Item {
    /// Offset in the old code.
    old: u32,
    old_len: u32,
    /// Offset and length in the new code.
    new: u32,
    len: u32,
    /// If not 0, the start is a multiple of this.
    align: u32,
    /// Whether it returns or traps.
    returns: bool,
    kind: ItemKind,
}

#[derive(Clone, Copy)]
enum ItemKind {
    /// Bytes that do not depend on their place; maybe there is a relocation in them.
    Fixed,
    Arithmetic,
    /// A branch to the item with this old offset.
    Branch {
        condition: Option<u8>,
        target: u32,
    },
    /// An operand relative to the end of the instruction, at this old offset.
    Relative {
        target: u32,
        from_end: u32,
    },
    /// Distances, of 32 bits each, from the table's start.
    Table,
    /// The constants after the code.
    Data,
}

/// The same code, shorter and faster; `None` if it is not understood.
pub(super) fn relax(code: &MachineCode<'_>, aligns: bool) -> Option<Relaxed> {
    let mut items = items(code)?;
    let starts = starts(code, &items);
    check(code, &starts, &mut items)?;
    if aligns {
        align_loops(&mut items);
    }
    place(code, &mut items);
    Some(Relaxed {
        bytes: write(code, &starts, &items)?,
        moves: items.iter().map(|item| (item.old, item.new)).collect(),
    })
}

fn items(code: &MachineCode<'_>) -> Option<Vec<Item>> {
    let bytes = code.bytes;
    let mut items = Vec::with_capacity(bytes.len() / MEAN_LEN);
    // What was addressed relative to the instruction pointer last: a table, just before a jump.
    let mut addressed = None;
    // Where branches go; not all starts of blocks are known.
    let mut is_target = vec![false; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let Decoded { len, kind } = decode(&bytes[at..])?;
        let (start, end) = (at as u32, (at + len) as u32);
        let (is_end, is_indirect) = (kind == Kind::End, kind == Kind::Indirect);
        let ends = match kind {
            Kind::End | Kind::Indirect => true,
            Kind::Branch { condition, .. } => condition.is_none(),
            _ => false,
        };
        let kind = match kind {
            _ if code.has_reloc(start, end) => ItemKind::Fixed,
            Kind::Call => return None,
            Kind::Other | Kind::End | Kind::Indirect => ItemKind::Fixed,
            Kind::Arithmetic => ItemKind::Arithmetic,
            Kind::Branch {
                condition,
                distance,
            } => {
                let target = end.checked_add_signed(distance)?;
                *is_target.get_mut(target as usize)? = true;
                ItemKind::Branch { condition, target }
            }
            Kind::Relative { distance, from_end } => {
                let target = end.checked_add_signed(distance)?;
                addressed = Some(target);
                let from_end = from_end.into();
                ItemKind::Relative { target, from_end }
            }
        };
        items.push(Item {
            returns: is_end,
            ..Item::new(start, end, kind)
        });
        at = end as usize;
        if !ends {
            continue;
        }
        if is_indirect && addressed == Some(end) {
            let next = code.blocks.partition_point(|block| *block <= end);
            let table_end = *code.blocks.get(next)?;
            items.push(Item::new(end, table_end, ItemKind::Table));
            for entry in bytes[at..table_end as usize].as_chunks::<4>().0 {
                let target = end.checked_add_signed(i32::from_le_bytes(*entry))?;
                *is_target.get_mut(target as usize)? = true;
            }
            at = table_end as usize;
        }
        if at < bytes.len() && !is_target[at] && !code.is_code(at as u32) {
            items.push(Item::new(at as u32, bytes.len() as u32, ItemKind::Data));
            break;
        }
    }
    Some(items)
}

impl Item {
    /// The end in the old code.
    fn old_end(&self) -> u32 {
        self.old + self.old_len
    }

    fn new(old: u32, end: u32, kind: ItemKind) -> Item {
        Item {
            old,
            old_len: end - old,
            new: 0,
            len: end - old,
            align: 0,
            returns: false,
            kind,
        }
    }
}

/// The place of the item that starts at an offset of the old code.
fn find(starts: &[u32], old: u32) -> Option<usize> {
    let number = *starts.get(old as usize)?;
    Some(number.checked_sub(1)? as usize)
}

/// For each offset in the old code, the number of the item that starts there, counted from 1.
fn starts(code: &MachineCode<'_>, items: &[Item]) -> Vec<u32> {
    let mut starts = vec![0; code.bytes.len()];
    for (number, item) in (1..).zip(items) {
        starts[item.old as usize] = number;
    }
    starts
}

/// Checks that all places are starts of items, and finds the targets of branches.
fn check(code: &MachineCode<'_>, starts: &[u32], items: &mut [Item]) -> Option<()> {
    let code_at = |items: &[Item], old: u32| {
        let found = find(starts, old)?;
        let is_code = !matches!(items[found].kind, ItemKind::Table | ItemKind::Data);
        is_code.then_some(found as u32)
    };
    // A block of no instructions may be at the end.
    let blocks = code.blocks.iter();
    let blocks = blocks.filter(|block| (**block as usize) < code.bytes.len());
    for place in blocks.chain(code.traps) {
        code_at(items, *place)?;
    }
    let data = items
        .last()
        .filter(|item| matches!(item.kind, ItemKind::Data))
        .map(|item| item.old);
    for place in 0..items.len() {
        let item = items[place];
        match item.kind {
            ItemKind::Branch { condition, target } => {
                let target = code_at(items, target)?;
                items[place].kind = ItemKind::Branch { condition, target };
            }
            ItemKind::Relative { target, .. } if data.is_none_or(|data| target < data) => {
                let table = find(starts, target)?;
                if !matches!(items[table].kind, ItemKind::Table) {
                    return None;
                }
            }
            ItemKind::Table | ItemKind::Data if code.has_reloc(item.old, item.old_end()) => {
                return None;
            }
            _ => {}
        }
    }
    Some(())
}

/// Aligns the heads of loops that are small and have no other loop in them.
fn align_loops(items: &mut [Item]) {
    // Each head, and a branch to it.
    let mut loops: Vec<(usize, usize)> = (0..items.len())
        .filter_map(|branch| match items[branch].kind {
            ItemKind::Branch { target, .. } => Some((target as usize, branch)),
            _ => None,
        })
        .filter(|(head, branch)| head <= branch)
        .collect();
    loops.sort_unstable();
    for (place, (head, branch)) in loops.iter().enumerate() {
        let next = loops.get(place + 1).map(|next| next.0);
        let len = items[*branch].old_end() - items[*head].old;
        if len > MAX_LOOP || next.is_some_and(|next| next <= *branch) {
            continue;
        }
        // A branch back to the function's end is no loop.
        if !items[*head..*branch].iter().any(|item| item.returns) {
            items[*head].align = LOOP_ALIGN;
        }
    }
}

/// Gives the items their new places, and branches their lengths.
fn place(code: &MachineCode<'_>, items: &mut [Item]) {
    // Each short branch with its target.
    let mut short = Vec::new();
    for (place, item) in items.iter_mut().enumerate() {
        match item.kind {
            ItemKind::Arithmetic => item.len = short_len(old_bytes(code, item)),
            ItemKind::Branch { target, .. } => {
                item.len = SHORT_BRANCH;
                short.push((place, target));
            }
            _ => {}
        }
    }
    // Branches only become longer.
    for round in 0.. {
        let mut at = 0;
        for item in &mut *items {
            match item.kind {
                ItemKind::Data => at += item.old.wrapping_sub(at) % code.align,
                _ if item.align != 0 => at = at.next_multiple_of(item.align),
                _ => {}
            }
            item.new = at;
            at += item.len;
        }
        let before = short.len();
        short.retain(|(place, target)| {
            let distance = distance(items, &items[*place], *target);
            let is_short = round < MAX_ROUNDS && i8::try_from(distance).is_ok();
            if !is_short {
                items[*place].len = items[*place].old_len;
            }
            is_short
        });
        if short.len() == before {
            break;
        }
    }
}

/// From the end of an item to the start of the item `target`.
fn distance(items: &[Item], item: &Item, target: u32) -> i32 {
    let target = items[target as usize].new;
    target.wrapping_sub(item.new + item.len) as i32
}

fn old_bytes<'c>(code: &MachineCode<'c>, item: &Item) -> &'c [u8] {
    &code.bytes[item.old as usize..][..item.old_len as usize]
}

fn write(code: &MachineCode<'_>, starts: &[u32], items: &[Item]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(code.bytes.len());
    let data = items.last()?;
    // Where the bytes start that stay as they are and are not written yet.
    let mut run = 0;
    for item in items {
        if matches!(item.kind, ItemKind::Fixed) && item.align == 0 {
            continue;
        }
        bytes.extend_from_slice(&code.bytes[run..item.old as usize]);
        run = item.old_end() as usize;
        let padding = item.new as usize - bytes.len();
        match item.kind {
            ItemKind::Data => bytes.resize(item.new as usize, 0),
            _ => pad(&mut bytes, padding),
        }
        let old = old_bytes(code, item);
        match item.kind {
            ItemKind::Fixed | ItemKind::Data => bytes.extend_from_slice(old),
            ItemKind::Arithmetic => write_short(&mut bytes, old),
            ItemKind::Branch { condition, target } => {
                let distance = distance(items, item, target);
                match (condition, item.len) {
                    (Some(condition), SHORT_BRANCH) => {
                        bytes.extend([0x70 | condition, distance as u8])
                    }
                    (None, SHORT_BRANCH) => bytes.extend([0xeb, distance as u8]),
                    (Some(condition), _) => {
                        bytes.extend([0x0f, 0x80 | condition]);
                        bytes.extend(distance.to_le_bytes());
                    }
                    (None, _) => {
                        bytes.push(0xe9);
                        bytes.extend(distance.to_le_bytes());
                    }
                }
            }
            ItemKind::Relative { target, from_end } => {
                let new_target = match target >= data.old {
                    true => target - data.old + data.new,
                    false => items[find(starts, target)?].new,
                };
                let distance = new_target.wrapping_sub(item.new + item.len);
                bytes.extend_from_slice(old);
                let place = bytes.len() - from_end as usize;
                bytes[place..][..4].copy_from_slice(&distance.to_le_bytes());
            }
            ItemKind::Table => {
                let (entries, rest) = old.as_chunks::<4>();
                if !rest.is_empty() {
                    return None;
                }
                for entry in entries {
                    let target = item.old.checked_add_signed(i32::from_le_bytes(*entry))?;
                    let target = &items[find(starts, target)?];
                    if matches!(target.kind, ItemKind::Table | ItemKind::Data) {
                        return None;
                    }
                    bytes.extend(target.new.wrapping_sub(item.new).to_le_bytes());
                }
            }
        }
    }
    bytes.extend_from_slice(&code.bytes[run..]);
    Some(bytes)
}

/// Where the opcode of arithmetic is.
fn opcode(old: &[u8]) -> usize {
    let is_prefix = |byte: &u8| matches!(byte, 0x40..=0x4f | 0xf0);
    old.iter().take_while(|byte| is_prefix(byte)).count()
}

/// The length of arithmetic with a constant of 8 bits instead of 32.
fn short_len(old: &[u8]) -> u32 {
    // The form for the first register has no modrm byte.
    let saved = match old[opcode(old)] {
        0x81 => 3,
        _ => 2,
    };
    old.len() as u32 - saved
}

/// Arithmetic with a constant of 8 bits instead of 32.
fn write_short(bytes: &mut Vec<u8>, old: &[u8]) {
    let (opcode, constant) = (opcode(old), old.len() - 4);
    bytes.extend_from_slice(&old[..opcode]);
    bytes.push(0x83);
    match old[opcode] {
        0x81 => bytes.extend_from_slice(&old[opcode + 1..constant]),
        first => bytes.push(0xc0 | first & 0x38),
    }
    bytes.push(old[constant]);
}

/// Appends instructions that do nothing.
fn pad(bytes: &mut Vec<u8>, mut len: usize) {
    const LONGEST: [u8; 9] = [0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
    while len > 0 {
        let nop: &[u8] = match len {
            1 => &[0x90],
            2 => &[0x66, 0x90],
            3 => &[0x0f, 0x1f, 0x00],
            4 => &[0x0f, 0x1f, 0x40, 0],
            5 => &[0x0f, 0x1f, 0x44, 0, 0],
            6 => &[0x66, 0x0f, 0x1f, 0x44, 0, 0],
            7 => &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
            8 => &LONGEST[1..],
            _ => &LONGEST,
        };
        bytes.extend_from_slice(nop);
        len -= nop.len();
    }
}

#[cfg(test)]
mod tests {
    use super::relax;
    use crate::isa::{MachineCode, Relaxed};

    fn relaxed(bytes: &[u8], blocks: &[u32], aligns: bool) -> Option<Relaxed> {
        let code = MachineCode {
            bytes,
            align: 16,
            blocks,
            traps: &[],
            relocs: &[],
        };
        relax(&code, aligns)
    }

    /// `add ecx, -1`
    const ADD: [u8; 6] = [0x81, 0xc1, 0xff, 0xff, 0xff, 0xff];
    const RET: u8 = 0xc3;

    #[test]
    fn branches_and_arithmetic_become_short() {
        let mut bytes = ADD.to_vec();
        bytes.extend([0x0f, 0x85, 0xf4, 0xff, 0xff, 0xff, RET]);
        let found = relaxed(&bytes, &[0, 12], false).unwrap();
        assert_eq!(found.bytes, [0x83, 0xc1, 0xff, 0x75, 0xfb, RET]);
        assert_eq!([0, 6, 12].map(|at| found.moved(at)), [0, 3, 5]);
    }

    #[test]
    fn branches_over_much_code_stay_long() {
        let mut bytes = vec![0x0f, 0x84, 0x80, 0, 0, 0];
        bytes.extend([0x90; 128]);
        bytes.push(RET);
        let found = relaxed(&bytes, &[0, 6, 134], false).unwrap();
        assert_eq!(found.bytes, bytes);
        bytes[2] -= 1;
        bytes.remove(6);
        let found = relaxed(&bytes, &[0, 6, 133], false).unwrap();
        assert_eq!(found.bytes[..2], [0x74, 0x7f]);
    }

    #[test]
    fn loops_are_aligned_but_not_branches_back_to_the_end() {
        let mut bytes = vec![0x90];
        bytes.extend(ADD);
        bytes.extend([0x0f, 0x85, 0xf4, 0xff, 0xff, 0xff, RET]);
        let found = relaxed(&bytes, &[0, 1, 13], true).unwrap();
        assert_eq!(found.moved(1), 32);
        let mut bytes = vec![0x90, RET];
        bytes.extend([0xe9, 0xfa, 0xff, 0xff, 0xff]);
        let found = relaxed(&bytes, &[0, 1, 2], true).unwrap();
        assert_eq!(found.bytes, [0x90, RET, 0xeb, 0xfd]);
    }

    #[test]
    fn tables_and_constants_move() {
        let mut bytes = ADD.to_vec();
        // `lea rax, [table]`, `movsxd rcx, [rax + rcx * 4]`, `add rax, rcx`, `jmp rax`.
        bytes.extend([0x48, 0x8d, 0x05, 9, 0, 0, 0, 0x48, 0x63, 0x0c, 0x88]);
        bytes.extend([0x48, 0x01, 0xc8, 0xff, 0xe0]);
        bytes.extend([8, 0, 0, 0, 14, 0, 0, 0]);
        bytes.extend(ADD);
        // `movdqu xmm0, [48]`
        bytes.extend([0xf3, 0x0f, 0x6f, 0x05, 4, 0, 0, 0, RET, 0xcc, 0xcc, 0xcc]);
        bytes.extend([7; 16]);
        let found = relaxed(&bytes, &[0, 30, 36], false).unwrap();
        let mut expected = vec![0x83, 0xc1, 0xff];
        expected.extend(&bytes[6..22]);
        expected.extend([8, 0, 0, 0, 11, 0, 0, 0, 0x83, 0xc1, 0xff]);
        expected.extend([0xf3, 0x0f, 0x6f, 0x05]);
        assert_eq!(found.bytes[..expected.len()], expected);
        let at = found.bytes.len() - 16;
        assert_eq!((at % 16, &found.bytes[at..]), (0, &[7; 16][..]));
        let distance = u32::from_le_bytes(*found.bytes[expected.len()..].first_chunk().unwrap());
        assert_eq!(expected.len() + 4 + distance as usize, at);
    }

    #[test]
    fn what_is_not_understood_stays() {
        assert!(relaxed(&[0x06, RET], &[0], false).is_none());
        // A branch into an instruction.
        assert!(relaxed(&[0x0f, 0x84, 0xfb, 0xff, 0xff, 0xff, RET], &[0, 6], false).is_none());
    }
}
