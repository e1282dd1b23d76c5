//! Strings between Rust's UTF-8 and the encodings of guests ("Loading" and "Storing" of strings in
//! `CanonicalABI.md`).
//!
//! To a guest, memory is taken as the specification says, since a guest sees each call of its
//! `realloc`: the exact size where it is known, else the largest that the string can take, which
//! is given back in part afterwards. Latin-1 is tried first and left at the first char beyond it.

use std::borrow::Cow;
use std::collections::TryReserveError;

use cwasm_format::TrapCode;
use cwasm_format::abi::Extent;

use super::context::check_length;
use super::strings::StrPlace;
use super::{LiftContext, LowerContext, lists};
use crate::error::{Error, Result};
use crate::transcode;
use cwasm_format::encoding::{CodeUnits, StringEncoding};

/// The bytes of a string in memory.
pub(super) fn bytes<'a>(cx: &LiftContext<'a>, place: StrPlace) -> Result<&'a [u8]> {
    let extent = Extent {
        size: place.byte_len,
        align: place.units.align(),
    };
    cx.bytes(place.pointer, extent, TrapCode::StringOutOfBounds)
}

/// The string of these code units.
pub(super) fn decode(bytes: &[u8], units: CodeUnits) -> Result<Cow<'_, str>> {
    match units {
        CodeUnits::Utf8 => match transcode::utf8(bytes) {
            Some(string) => Ok(Cow::Borrowed(string)),
            None => Err(invalid()),
        },
        _ => decode_owned(bytes, units).map(Cow::Owned),
    }
}

/// As [`decode`], copied.
pub(super) fn decode_owned(bytes: &[u8], units: CodeUnits) -> Result<String> {
    match units {
        CodeUnits::Utf8 => {
            let mut string = String::new();
            reserve(string.try_reserve_exact(bytes.len()))?;
            if bytes.len() <= transcode::PIECE {
                string.push_str(transcode::utf8(bytes).ok_or_else(invalid)?);
                return Ok(string);
            }
            for piece in transcode::utf8_pieces(bytes) {
                string.push_str(piece.ok_or_else(invalid)?);
            }
            Ok(string)
        }
        // A code unit is at most 3 bytes of UTF-8.
        CodeUnits::Utf16 => decode_to(bytes.len() / 2 * 3, |out| {
            transcode::utf16_to_utf8(bytes, out)
        }),
        CodeUnits::Latin1 => decode_to(bytes.len() * 2, |out| {
            Some(transcode::latin1_to_utf8(bytes, out))
        }),
    }
}

/// The string that is written to so many bytes, at most; `None` if it is not well-formed.
fn decode_to(size: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<String> {
    let mut bytes = Vec::new();
    reserve(bytes.try_reserve_exact(size))?;
    bytes.resize(size, 0);
    let len = write(&mut bytes).ok_or_else(invalid)?;
    bytes.truncate(len);
    bytes.shrink_to_fit();
    String::from_utf8(bytes).map_err(|_| invalid())
}

fn reserve(reserved: std::result::Result<(), TryReserveError>) -> Result<()> {
    reserved.map_err(lists::out_of_memory)
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
            encode_utf16(cx, string, buffer, 0)
        }
        StringEncoding::Latin1Utf16 => {
            let buffer = Buffer::allocate(cx, string.len() as u64, 2)?;
            let out = buffer.bytes(cx);
            let (read, written) = transcode::utf8_to_latin1(string.as_bytes(), out);
            if read == string.len() {
                let buffer = buffer.resize(cx, written as u64)?;
                return Ok((buffer.offset as u64, written as u64));
            }
            let buffer = buffer.resize(cx, string.len() as u64 * 2)?;
            // The units that the guest moved are widened where they are now, and not written again.
            transcode::inflate_latin1(&mut buffer.bytes(cx)[..2 * written], 0..written);
            let (pointer, units) = encode_utf16(cx, &string[read..], buffer, written)?;
            Ok((pointer, units | cx.width().utf16_tag()))
        }
    }
}

/// Copies a string of these code units to another guest's memory: pointer and length. `may_fit`
/// says that UTF-16 may have no char beyond Latin-1, because its encoding can be either.
///
/// Takes memory as [`encode`]: these are the cases of `store_string_into_range` in the
/// specification, as in the adapters that the compiler makes.
#[cfg(feature = "async")]
pub(super) fn copy(
    bytes: &[u8],
    units: CodeUnits,
    may_fit: bool,
    cx: &mut LowerContext<'_>,
) -> Result<(u64, u64)> {
    use CodeUnits::{Latin1, Utf8, Utf16};

    let len = bytes.len() as u64 / units.size();
    match (units, cx.encoding()) {
        (Utf8, StringEncoding::Utf8) => copy_units(cx, len, 1, 1, |out| {
            transcode::utf8_to_utf8(bytes, out).map(drop)
        }),
        (Utf16, StringEncoding::Utf8) => copy_to_utf8(
            cx,
            (bytes, len, 3),
            transcode::utf16_to_ascii,
            transcode::utf16_to_utf8,
        ),
        (Latin1, StringEncoding::Utf8) => copy_to_utf8(
            cx,
            (bytes, len, 2),
            transcode::latin1_to_ascii,
            |rest, out| Some(transcode::latin1_to_utf8(rest, out)),
        ),
        (Utf8, StringEncoding::Utf16) => {
            let string = transcode::utf8(bytes).ok_or_else(invalid)?;
            let buffer = Buffer::allocate(cx, 2 * len, 2)?;
            encode_utf16(cx, string, buffer, 0)
        }
        (Utf16, StringEncoding::Utf16) => copy_units(cx, len, 2, 2, |out| {
            transcode::utf16_to_utf16(bytes, out).map(drop)
        }),
        (Latin1, StringEncoding::Utf16) => copy_units(cx, len, 2, 2, |out| {
            transcode::latin1_to_utf16(bytes, out);
            Some(())
        }),
        (Latin1, StringEncoding::Latin1Utf16) => copy_units(cx, len, 1, 2, |out| {
            out.copy_from_slice(bytes);
            Some(())
        }),
        (Utf16, StringEncoding::Latin1Utf16) if may_fit => {
            let buffer = Buffer::allocate(cx, 2 * len, 2)?;
            let is_beyond = transcode::utf16_to_utf16(bytes, buffer.bytes(cx));
            if is_beyond.ok_or_else(invalid)? {
                return Ok((buffer.offset as u64, len | cx.width().utf16_tag()));
            }
            transcode::deflate_utf16(buffer.bytes(cx), 0..len as usize);
            let buffer = Buffer { align: 1, ..buffer }.reallocate(cx, len)?;
            Ok((buffer.offset as u64, len))
        }
        (Utf8 | Utf16, StringEncoding::Latin1Utf16) => copy_to_compact(cx, (bytes, units, len)),
    }
}

/// Copies as many code units of `size` bytes as there are.
#[cfg(feature = "async")]
fn copy_units(
    cx: &mut LowerContext<'_>,
    len: u64,
    size: u64,
    align: usize,
    write: impl FnOnce(&mut [u8]) -> Option<()>,
) -> Result<(u64, u64)> {
    let buffer = Buffer::allocate(cx, len * size, align)?;
    write(buffer.bytes(cx)).ok_or_else(invalid)?;
    Ok((buffer.offset as u64, len))
}

/// Copies code units, each of which is at most `most` bytes of UTF-8; ASCII first.
#[cfg(feature = "async")]
fn copy_to_utf8(
    cx: &mut LowerContext<'_>,
    (bytes, len, most): (&[u8], u64, u64),
    ascii: impl FnOnce(&[u8], &mut [u8]) -> usize,
    write: impl FnOnce(&[u8], &mut [u8]) -> Option<usize>,
) -> Result<(u64, u64)> {
    let buffer = Buffer::allocate(cx, len, 1)?;
    let before = ascii(bytes, buffer.bytes(cx));
    if before as u64 == len {
        return Ok((buffer.offset as u64, len));
    }
    let buffer = buffer.reallocate(cx, len * most)?;
    let rest = &bytes[before * (bytes.len() / len as usize)..];
    let written = write(rest, &mut buffer.bytes(cx)[before..]).ok_or_else(invalid)?;
    let len = (before + written) as u64;
    let buffer = buffer.resize(cx, len)?;
    Ok((buffer.offset as u64, len))
}

/// Copies UTF-8 or UTF-16 as Latin-1, up to the first char beyond that, and then all as UTF-16.
#[cfg(feature = "async")]
fn copy_to_compact(
    cx: &mut LowerContext<'_>,
    (bytes, units, len): (&[u8], CodeUnits, u64),
) -> Result<(u64, u64)> {
    let buffer = Buffer::allocate(cx, len, 2)?;
    let out = buffer.bytes(cx);
    let (read, written) = match units {
        CodeUnits::Utf8 => transcode::utf8_to_latin1(bytes, out),
        _ => {
            let written = transcode::utf16_to_latin1(bytes, out);
            (2 * written, written)
        }
    };
    if read == bytes.len() {
        let buffer = buffer.resize(cx, written as u64)?;
        return Ok((buffer.offset as u64, written as u64));
    }
    let buffer = buffer.reallocate(cx, 2 * len)?;
    let out = buffer.bytes(cx);
    transcode::inflate_latin1(&mut out[..2 * written], 0..written);
    let (rest, out) = (&bytes[read..], &mut out[2 * written..]);
    let more = match units {
        CodeUnits::Utf8 => {
            let rest = transcode::utf8(rest).ok_or_else(invalid)?;
            transcode::utf8_to_utf16(rest, out)
        }
        _ => {
            transcode::utf16_to_utf16(rest, out).ok_or_else(invalid)?;
            rest.len() / 2
        }
    };
    let units = (written + more) as u64;
    let buffer = buffer.resize(cx, 2 * units)?;
    Ok((buffer.offset as u64, units | cx.width().utf16_tag()))
}

/// Encodes the string to a buffer of two bytes for each of UTF-8, after code units that are there
/// already, and gives back what is left: pointer and code units.
fn encode_utf16(
    cx: &mut LowerContext<'_>,
    string: &str,
    buffer: Buffer,
    before: usize,
) -> Result<(u64, u64)> {
    let out = &mut buffer.bytes(cx)[2 * before..];
    let units = before + transcode::utf8_to_utf16(string, out);
    let buffer = buffer.resize(cx, units as u64 * 2)?;
    Ok((buffer.offset as u64, units as u64))
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
        self.reallocate(cx, len as u64)
    }

    /// As [`resize`](Buffer::resize), also for the same length.
    fn reallocate(self, cx: &mut LowerContext<'_>, len: u64) -> Result<Buffer> {
        let len = check_length(len, TrapCode::StringTooLong)? as usize;
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
