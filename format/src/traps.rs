//! The trap table: maps the text offset of an instruction to the reason why it traps.
//!
//! ```text
//! .cwasm.trap_blocks:  { first text offset: u32, position in the bytes: u32 } per 64 traps
//! .cwasm.traps:        per trap: LEB128 of (delta << 1 | other), then the code if `other`
//! ```
//!
//! Deltas count from the previous trap (for the first, from the block's first offset). Without
//! `other` the code is [`TrapCode::MemoryOutOfBounds`]: most instructions that can trap are loads
//! and stores, which then take one byte each.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::TrapCode;

/// Traps per block.
const BLOCK: usize = 64;

/// The start of a block of traps.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrapBlock {
    /// Text offset of the block's first trap.
    pub first: u32,
    /// Offset of the block in the table's bytes.
    pub position: u32,
}

/// Encodes traps, which must be sorted by offset.
pub fn encode(traps: impl Iterator<Item = (u32, TrapCode)>) -> (Vec<TrapBlock>, Vec<u8>) {
    let (mut blocks, mut bytes) = (Vec::new(), Vec::new());
    let mut last = 0;
    for (index, (offset, code)) in traps.enumerate() {
        if index % BLOCK == 0 {
            blocks.push(TrapBlock {
                first: offset,
                position: bytes.len() as u32,
            });
            last = offset;
        }
        let other = code != TrapCode::MemoryOutOfBounds;
        let mut word = u64::from(offset - last) << 1 | u64::from(other);
        while word >= 0x80 {
            bytes.push(word as u8 | 0x80);
            word >>= 7;
        }
        bytes.push(word as u8);
        if other {
            bytes.push(code.number());
        }
        last = offset;
    }
    (blocks, bytes)
}

/// The reason why the instruction at text offset `offset` traps; `None` if it cannot. Does not
/// allocate, and does not panic for any tables, because it runs in signal handlers.
pub fn lookup(blocks: &[TrapBlock], bytes: &[u8], offset: u32) -> Option<TrapCode> {
    let block = blocks
        .partition_point(|block| block.first <= offset)
        .checked_sub(1)?;
    let TrapBlock { first, position } = *blocks.get(block)?;
    let end = blocks
        .get(block + 1)
        .map_or(bytes.len(), |next| next.position as usize);
    let mut bytes = bytes.get(position as usize..end)?;
    let mut at = u64::from(first);
    while !bytes.is_empty() {
        let trap = next(&mut at, &mut bytes)?;
        if trap.offset >= offset {
            return (trap.offset == offset).then_some(trap.code);
        }
    }
    None
}

/// A trap of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Text offset of the instruction.
    pub offset: u32,
    /// Why it traps.
    pub code: TrapCode,
    /// Bytes that it takes in the table's bytes.
    pub size: u32,
}

/// All traps, in their order. Ends early where the tables are not sound, and does not panic for
/// any.
pub fn iter<'a>(blocks: &'a [TrapBlock], bytes: &'a [u8]) -> impl Iterator<Item = Trap> + 'a {
    let ends = blocks.iter().skip(1).map(|next| next.position as usize);
    let blocks = blocks.iter().zip(ends.chain([bytes.len()]));
    blocks
        .map_while(|(block, end)| {
            let bytes = bytes.get(block.position as usize..end)?;
            Some((u64::from(block.first), bytes))
        })
        .flat_map(|(mut at, mut bytes)| core::iter::from_fn(move || next(&mut at, &mut bytes)))
}

/// Reads the trap after the one at offset `at`.
fn next(at: &mut u64, bytes: &mut &[u8]) -> Option<Trap> {
    let before = bytes.len();
    let word = leb128(bytes)?;
    let code = match word & 1 {
        0 => TrapCode::MemoryOutOfBounds,
        _ => {
            let (number, rest) = bytes.split_first()?;
            *bytes = rest;
            TrapCode::from_number(*number)?
        }
    };
    *at = at.checked_add(word >> 1)?;
    Some(Trap {
        offset: u32::try_from(*at).ok()?,
        code,
        size: u32::try_from(before - bytes.len()).ok()?,
    })
}

fn leb128(bytes: &mut &[u8]) -> Option<u64> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trap_is_found_and_nothing_else() {
        let traps: Vec<_> = (0u32..1000)
            .map(|i| {
                (
                    i * i / 3 + 5 * i + 1,
                    TrapCode::ALL[i as usize % TrapCode::ALL.len()],
                )
            })
            .collect();
        let (blocks, bytes) = encode(traps.iter().copied());
        let listed = iter(&blocks, &bytes).map(|trap| (trap.offset, trap.code));
        assert!(listed.eq(traps.iter().copied()));
        let sizes = iter(&blocks, &bytes).map(|trap| trap.size as usize);
        assert_eq!(sizes.sum::<usize>(), bytes.len());
        let end = traps.last().unwrap().0 + 10;
        let mut expected = traps.iter().peekable();
        for offset in 0..end {
            let found = lookup(&blocks, &bytes, offset);
            match expected.peek() {
                Some((at, code)) if *at == offset => {
                    assert_eq!(found, Some(*code));
                    expected.next();
                }
                _ => assert_eq!(found, None),
            }
        }
        assert!(expected.next().is_none());
    }

    #[test]
    fn garbage_does_not_panic() {
        let blocks = [
            TrapBlock {
                first: 3,
                position: 1,
            },
            TrapBlock {
                first: 9,
                position: 0,
            },
        ];
        for byte in 0..=255 {
            for offset in 0..20 {
                lookup(&blocks, &[byte; 40], offset);
            }
            assert!(iter(&blocks, &[byte; 40]).count() <= 80);
        }
    }
}
