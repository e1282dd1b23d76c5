//! Strings between Rust's UTF-8 and the encodings of guests ("Loading" and "Storing" of strings in
//! `CanonicalABI.md`).
//!
//! To a guest, memory is taken as the specification says, since a guest sees each call of its
//! `realloc`: the exact size where it is known, else the largest that the string can take, which
//! is given back in part afterwards. Latin-1 is tried first and left at the first char beyond it.

use std::borrow::Cow;

use cwasm_format::TrapCode;
use cwasm_format::abi::Extent;

use super::context::check_length;
use super::strings::{StrPlace, Units};
use super::{LiftContext, LowerContext, lists};
use crate::error::{Error, Result};
use crate::raw::StringEncoding;

/// The bytes of a string in memory.
pub(super) fn bytes<'a>(cx: &LiftContext<'a>, place: StrPlace) -> Result<&'a [u8]> {
    // Latin-1 strings are aligned as if they were UTF-16.
    let align = if place.units == Units::Utf8 { 1 } else { 2 };
    let extent = Extent {
        size: place.byte_len,
        align,
    };
    cx.bytes(place.pointer, extent, TrapCode::StringOutOfBounds)
}

/// The string of these code units.
pub(super) fn decode(bytes: &[u8], units: Units) -> Result<Cow<'_, str>> {
    match units {
        Units::Utf8 => match std::str::from_utf8(bytes) {
            Ok(string) => Ok(Cow::Borrowed(string)),
            Err(_) => Err(invalid()),
        },
        Units::Utf16 => {
            let units = bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|unit| u16::from_le_bytes(*unit));
            // A code unit is at most 3 bytes of UTF-8.
            let mut string = reserve(units.len() * 3)?;
            for char in char::decode_utf16(units) {
                string.push(char.map_err(|_| invalid())?);
            }
            Ok(Cow::Owned(string))
        }
        Units::Latin1 => {
            let mut string = reserve(bytes.len() * 2)?;
            string.extend(bytes.iter().map(|byte| char::from(*byte)));
            Ok(Cow::Owned(string))
        }
    }
}

/// As [`decode`], copied.
pub(super) fn decode_owned(bytes: &[u8], units: Units) -> Result<String> {
    match decode(bytes, units)? {
        Cow::Owned(mut string) => {
            string.shrink_to_fit();
            Ok(string)
        }
        Cow::Borrowed(borrowed) => {
            let mut string = reserve(borrowed.len())?;
            string.push_str(borrowed);
            Ok(string)
        }
    }
}

fn reserve(capacity: usize) -> Result<String> {
    let mut string = String::new();
    match string.try_reserve_exact(capacity) {
        Ok(()) => Ok(string),
        Err(error) => Err(lists::out_of_memory(error)),
    }
}

#[cold]
fn invalid() -> Error {
    Error::trapped(TrapCode::InvalidStringEncoding)
}

/// Copies the string to the guest's memory: pointer and length.
pub(super) fn encode(cx: &mut LowerContext<'_>, string: &str) -> Result<(u64, u64)> {
    match cx.encoding() {
        StringEncoding::Utf8 => {
            let pointer = Buffer::allocate(cx, string.len() as u64, 1)?;
            pointer.bytes(cx).copy_from_slice(string.as_bytes());
            Ok((pointer.offset as u64, pointer.len as u64))
        }
        StringEncoding::Utf16 => {
            let buffer = Buffer::allocate(cx, string.len() as u64 * 2, 2)?;
            encode_utf16(cx, string, buffer)
        }
        StringEncoding::Latin1Utf16 => {
            let buffer = Buffer::allocate(cx, string.len() as u64, 2)?;
            match write_latin1(buffer.bytes(cx), string) {
                Some(len) => {
                    let buffer = buffer.resize(cx, len as u64)?;
                    Ok((buffer.offset as u64, len as u64))
                }
                None => {
                    let buffer = buffer.resize(cx, string.len() as u64 * 2)?;
                    let (pointer, units) = encode_utf16(cx, string, buffer)?;
                    Ok((pointer, units | cx.width().utf16_tag()))
                }
            }
        }
    }
}

/// Encodes the string to a buffer of two bytes for each of UTF-8, and gives back what is left:
/// pointer and code units.
fn encode_utf16(cx: &mut LowerContext<'_>, string: &str, buffer: Buffer) -> Result<(u64, u64)> {
    let places = buffer.bytes(cx).as_chunks_mut::<2>().0;
    let mut units = 0;
    for (unit, place) in string.encode_utf16().zip(places) {
        *place = unit.to_le_bytes();
        units += 1;
    }
    let buffer = buffer.resize(cx, units * 2)?;
    Ok((buffer.offset as u64, units))
}

/// Writes the string as Latin-1: how many bytes. `None` at the first char that is none.
fn write_latin1(out: &mut [u8], string: &str) -> Option<usize> {
    let mut len = 0;
    for (char, place) in string.chars().zip(out) {
        *place = u8::try_from(char).ok()?;
        len += 1;
    }
    Some(len)
}

/// Memory that the guest gave for a string.
#[derive(Clone, Copy)]
struct Buffer {
    /// Invariant 1: `len` bytes from `offset` are inside the memory.
    offset: usize,
    len: usize,
    align: usize,
}

impl Buffer {
    fn allocate(cx: &mut LowerContext<'_>, len: u64, align: usize) -> Result<Buffer> {
        let len = check_length(len, TrapCode::StringTooLong)? as usize;
        let offset = cx.realloc([0, 0, align, len], TrapCode::StringOutOfBounds)?;
        Ok(Buffer { offset, len, align })
    }

    /// The buffer with another length: itself, if the length is the same.
    fn resize(self, cx: &mut LowerContext<'_>, len: u64) -> Result<Buffer> {
        let len = check_length(len, TrapCode::StringTooLong)? as usize;
        if len == self.len {
            return Ok(self);
        }
        let args = [self.offset, self.len, self.align, len];
        let offset = cx.realloc(args, TrapCode::StringOutOfBounds)?;
        Ok(Buffer {
            offset,
            len,
            ..self
        })
    }

    fn bytes<'a>(self, cx: &'a mut LowerContext<'_>) -> &'a mut [u8] {
        &mut cx.memory()[self.offset..][..self.len]
    }
}
