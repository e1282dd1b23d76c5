//! Where the operators of a core module were before it was rewritten.
//!
//! Programs of WASI preview 1 are rewritten before they are compiled (`preview1`), which moves
//! their code. Their debug information, and the offsets that people know, are those of the module
//! before. So the rewritten one has a custom section that says where its code was. All numbers are
//! LEB128, differences as `n << 1 ^ n >> 63`:
//!
//! ```text
//! where the contents of the code section started, and how many bytes they were
//! count of functions, then each: where its body started, from the start of the one before;
//!     count of shifts, then each: offset in the body, from the one before; change of the shift
//! ```
//!
//! A shift is what is added to offsets in the new body from there on.

#[cfg(any(test, feature = "preview1"))]
use std::ops::Range;

#[cfg(any(test, feature = "preview1"))]
use wasmparser::{FunctionBody, Parser, Payload};

#[cfg(any(test, feature = "preview1"))]
use crate::error::Result;

/// The name of the section.
pub(crate) const SECTION: &str = "cwasm.originals";

/// Where the code of a module was. Offsets are from the start of its binary.
#[derive(Debug, Default)]
pub(crate) struct Originals {
    /// Where the contents of the code section started.
    pub(crate) code_start: u32,
    /// How many bytes they were.
    pub(crate) code_len: u32,
    functions: Vec<Original>,
}

/// Where the body of a function was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Original {
    /// From the start of the module's binary.
    pub(crate) start: u32,
    /// From which offset in the new body on what is added to it.
    shifts: Vec<(u32, i64)>,
}

/// The contents of the section for a module whose functions are those of `old`, and maybe more,
/// with the same operators.
#[cfg(any(test, feature = "preview1"))]
pub(crate) fn section(old: &[u8], new: &[u8]) -> Result<Vec<u8>> {
    let ((code, old), (_, new)) = (bodies(old)?, bodies(new)?);
    let mut out = Vec::new();
    number(&mut out, code.start);
    number(&mut out, code.end - code.start);
    number(&mut out, old.len() as u64);
    let mut last = 0;
    for (old, new) in old.iter().zip(&new) {
        let (start, new_start) = (old.range().start, new.range().start);
        number(&mut out, start - last);
        last = start;
        let (mut old, mut new) = (old.get_operators_reader()?, new.get_operators_reader()?);
        let (mut shifts, mut shift, mut place) = (Vec::new(), 0, 0);
        while !old.eof() && !new.eof() {
            let (_, old_offset) = old.read_with_offset()?;
            let (_, new_offset) = new.read_with_offset()?;
            let (old_offset, new_offset) = (old_offset - start, new_offset - new_start);
            let next = old_offset as i64 - new_offset as i64;
            if next != shift {
                shifts.push((new_offset - place, next - shift));
                (shift, place) = (next, new_offset);
            }
        }
        number(&mut out, shifts.len() as u64);
        for (offset, change) in shifts {
            number(&mut out, offset);
            number(&mut out, (change << 1 ^ change >> 63) as u64);
        }
    }
    Ok(out)
}

/// Where the contents of the code section are, and the functions in it.
#[cfg(any(test, feature = "preview1"))]
fn bodies(module: &[u8]) -> Result<(Range<u64>, Vec<FunctionBody<'_>>)> {
    let (mut range, mut bodies) = (0..0, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::CodeSectionStart {
                unchecked_range, ..
            } => range = unchecked_range,
            Payload::CodeSectionEntry(body) => bodies.push(body),
            _ => {}
        }
    }
    Ok((range, bodies))
}

#[cfg(any(test, feature = "preview1"))]
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Originals {
    /// Decodes the section; `None` if it is not as [`section`] writes it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Originals> {
        let mut input = wasmparser::BinaryReader::new(bytes, 0);
        let mut originals = Originals {
            code_start: input.read_var_u32().ok()?,
            code_len: input.read_var_u32().ok()?,
            functions: Vec::new(),
        };
        let mut start = 0u32;
        for _ in 0..input.read_var_u32().ok()? {
            start = start.checked_add(input.read_var_u32().ok()?)?;
            let mut function = Original {
                start,
                shifts: Vec::new(),
            };
            let (mut offset, mut shift) = (0u32, 0i64);
            for _ in 0..input.read_var_u32().ok()? {
                offset = offset.checked_add(input.read_var_u32().ok()?)?;
                let change = input.read_var_u64().ok()?;
                let change = (change >> 1) as i64 ^ -((change & 1) as i64);
                shift = shift.checked_add(change)?;
                function.shifts.push((offset, shift));
            }
            originals.functions.push(function);
        }
        Some(originals)
    }

    /// Where the body of a function was; `None` for functions that were added.
    pub(crate) fn function(&self, function: usize) -> Option<&Original> {
        self.functions.get(function)
    }
}

impl Original {
    /// How many bytes after its start an operator was that is so many bytes after the start of the
    /// new body.
    pub(crate) fn offset(&self, new: u32) -> u32 {
        let after = self.shifts.partition_point(|(offset, _)| *offset <= new);
        let shift = after.checked_sub(1).map_or(0, |place| self.shifts[place].1);
        u32::try_from(i64::from(new).saturating_add(shift)).unwrap_or(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_found_again() {
        // Indices with five bytes, as linkers write them, and with one.
        let module = |call: &[u8]| {
            let body = |code: &[&[u8]]| {
                let code = code.concat();
                [&[code.len() as u8 + 1, 0], &code[..]].concat()
            };
            let first = body(&[&[0x01], call, &[0x00, 0x0b]]);
            let second = body(&[call, &[0x01], call, &[0x0b]]);
            let code = [&[2][..], &first, &second].concat();
            [
                b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x03\x02\0\0\x0a",
                &[code.len() as u8][..],
                &code,
            ]
            .concat()
        };
        let (old, new) = (
            module(&[0x10, 0x80, 0x80, 0x80, 0x80, 0x00]),
            module(&[0x10, 0x00]),
        );
        let originals = Originals::decode(&section(&old, &new).unwrap()).unwrap();
        let offsets = |module: &[u8]| {
            let (_, bodies) = bodies(module).unwrap();
            let offsets = bodies.iter().map(|body| {
                let operators = body.get_operators_reader().unwrap();
                let operators = operators.into_iter_with_offsets();
                let start = body.range().start;
                let offsets = operators.map(|operator| (operator.unwrap().1 - start) as u32);
                (start as u32, offsets.collect::<Vec<_>>())
            });
            offsets.collect::<Vec<_>>()
        };
        for (function, (old, new)) in offsets(&old).iter().zip(&offsets(&new)).enumerate() {
            let original = originals.function(function).unwrap();
            assert_eq!(original.start, old.0);
            let found = new.1.iter().map(|new| original.offset(*new));
            assert_eq!(found.collect::<Vec<_>>(), old.1);
        }
        assert_eq!(originals.function(2), None);
        let end = originals.code_start + originals.code_len;
        assert_eq!(end as usize, old.len());
    }

    #[test]
    fn garbage_is_no_section() {
        assert!(Originals::decode(&[]).is_none());
        assert!(Originals::decode(&[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_none());
        assert!(Originals::decode(&[1, 1, 1, 1, 1, 0, 0xff]).is_none());
    }
}
