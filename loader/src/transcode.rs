//! Strings between the encodings of two guests, or of a guest and the host.
//!
//! Each function reads `src` once, checks it on the way, and writes to `dst`, which has room for
//! the longest result. They are what the builtins of the same names do; for adapters the sequence
//! of `realloc`s around them ("Storing" of strings in `CanonicalABI.md`) is compiled code.
//!
//! Text is mostly runs of ASCII, and of chars beyond: runs are found in blocks of a size for
//! which the compiler uses vectors.

use std::ops::Range;

use cwasm_format::encoding::CodeUnits;

use crate::parts::PART_SIZE;

/// The most bytes of UTF-8 that are checked before they are copied: they are still in the cache.
pub(crate) const PIECE: usize = 16 << 10;
/// Code units that are looked at at once.
const BLOCK: usize = 32;
/// The least code unit beyond ASCII.
const BEYOND_ASCII: u16 = 0x80;
/// The least code unit beyond Latin-1.
const BEYOND_LATIN1: u16 = 0x100;

/// A code unit of UTF-16 in memory.
type CodeUnit = [u8; 2];

/// How far a string was transcoded: bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) read: usize,
    pub(crate) written: usize,
    /// Whether there was something beyond Latin-1, where someone wants to know.
    pub(crate) is_beyond: bool,
}

impl Part {
    /// All of `src` was read.
    pub(crate) fn all(src: &[u8], written: usize) -> Part {
        Part::prefix(src.len(), written)
    }

    pub(crate) fn prefix(read: usize, written: usize) -> Part {
        Part {
            read,
            written,
            is_beyond: false,
        }
    }
}

/// The length of a first part of at most `most` bytes, which ends between two chars if the string
/// is well-formed.
fn part_len(units: CodeUnits, src: &[u8], most: usize) -> usize {
    if src.len() <= most {
        return src.len();
    }
    match units {
        CodeUnits::Utf8 => {
            let is_start = |end: &usize| src[*end] & 0xc0 != 0x80;
            // The last char before the end has at most three bytes there.
            let ends = (most - 3..=most).rev();
            ends.into_iter().find(is_start).unwrap_or(most)
        }
        CodeUnits::Utf16 => match u16::from_le_bytes([src[most - 2], src[most - 1]]) {
            0xd800..0xdc00 => most - 2,
            _ => most,
        },
        CodeUnits::Latin1 => most,
    }
}

/// Transcodes a string part by part, up to where a part is not read to its end, or `stop` says not
/// to continue. `None` if it is not well-formed.
pub(crate) fn in_parts(
    units: CodeUnits,
    src: &[u8],
    dst: &mut [u8],
    stop: impl Fn() -> bool,
    transcode: impl Fn(&[u8], &mut [u8]) -> Option<Part>,
) -> Option<Part> {
    let mut sum = Part::default();
    loop {
        let rest = &src[sum.read..];
        let len = part_len(units, rest, PART_SIZE);
        let part = transcode(&rest[..len], &mut dst[sum.written..])?;
        sum.read += part.read;
        sum.written += part.written;
        sum.is_beyond |= part.is_beyond;
        if part.read < len || sum.read == src.len() || stop() {
            return Some(sum);
        }
    }
}

/// The string; `None` if it is not well-formed.
pub(crate) fn utf8(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// A string in pieces, each checked when it is asked for; `None` for one that is not well-formed.
pub(crate) fn utf8_pieces(src: &[u8]) -> impl Iterator<Item = Option<&str>> {
    let mut rest = src;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(part_len(CodeUnits::Utf8, rest, PIECE));
        rest = after;
        Some(utf8(piece))
    })
}

/// `None` if it is not well-formed.
pub(crate) fn utf8_to_utf8(src: &[u8], dst: &mut [u8]) -> Option<usize> {
    let mut done = 0;
    for piece in utf8_pieces(src) {
        let piece = piece?.as_bytes();
        dst[done..done + piece.len()].copy_from_slice(piece);
        done += piece.len();
    }
    Some(done)
}

/// The number of code units.
pub(crate) fn utf8_to_utf16(src: &str, dst: &mut [u8]) -> usize {
    let mut rest = src;
    let dst = dst.as_chunks_mut().0;
    let mut written = 0;
    while !rest.is_empty() {
        let run = rest.as_bytes();
        let run = &run[..ascii_run(run)];
        widen(run, &mut dst[written..]);
        written += run.len();
        rest = &rest[run.len()..];
        let end = rest.bytes().position(|byte| byte.is_ascii());
        let (beyond, after) = rest.split_at(end.unwrap_or(rest.len()));
        for unit in beyond.encode_utf16() {
            dst[written] = unit.to_le_bytes();
            written += 1;
        }
        rest = after;
    }
    written
}

/// Up to the first char beyond Latin-1, or what is not well-formed: how many bytes were read, and
/// how many written.
pub(crate) fn utf8_to_latin1(src: &[u8], dst: &mut [u8]) -> (usize, usize) {
    let (mut read, mut written) = (0, 0);
    loop {
        let rest = &src[read..];
        let run = &rest[..ascii_run(rest)];
        dst[written..written + run.len()].copy_from_slice(run);
        read += run.len();
        written += run.len();
        // Two bytes of UTF-8 are U+0080 to U+07FF.
        let [lead @ 0xc2..=0xc3, trail @ 0x80..=0xbf, ..] = src[read..] else {
            return (read, written);
        };
        dst[written] = lead << 6 | trail & 0x3f;
        read += 2;
        written += 1;
    }
}

/// The number of bytes; `None` if it is not well-formed.
pub(crate) fn utf16_to_utf8(src: &[u8], dst: &mut [u8]) -> Option<usize> {
    let mut rest = units(src);
    let mut written = 0;
    while !rest.is_empty() {
        let run = narrow_run(rest, &mut dst[written..], BEYOND_ASCII);
        written += run;
        rest = &rest[run..];
        let end = rest.iter().position(|unit| value(*unit) < BEYOND_ASCII);
        let (beyond, after) = rest.split_at(end.unwrap_or(rest.len()));
        for char in char::decode_utf16(beyond.iter().map(|unit| value(*unit))) {
            written += char.ok()?.encode_utf8(&mut dst[written..]).len();
        }
        rest = after;
    }
    Some(written)
}

/// Whether any code unit is beyond Latin-1; `None` if it is not well-formed.
pub(crate) fn utf16_to_utf16(src: &[u8], dst: &mut [u8]) -> Option<bool> {
    let src = units(src);
    let mut all = 0;
    let mut done = 0;
    while done < src.len() {
        let end = src.len().min(done + BLOCK);
        let mut has_surrogate = false;
        for unit in &src[done..end] {
            all |= value(*unit);
            has_surrogate |= value(*unit) & 0xf800 == 0xd800;
        }
        // A pair may continue after the block.
        let end = if has_surrogate {
            pairs_end(src, done, end)?
        } else {
            end
        };
        dst[2 * done..2 * end].copy_from_slice(src[done..end].as_flattened());
        done = end;
    }
    Some(all >= BEYOND_LATIN1)
}

/// The end of the last char that starts in a block; `None` if a surrogate has no partner.
fn pairs_end(src: &[CodeUnit], start: usize, end: usize) -> Option<usize> {
    let mut at = start;
    while at < end {
        at += match value(src[at]) {
            0xd800..0xdc00 => match value(*src.get(at + 1)?) {
                0xdc00..0xe000 => 2,
                _ => return None,
            },
            0xdc00..0xe000 => return None,
            _ => 1,
        };
    }
    Some(at)
}

/// Up to the first code unit beyond Latin-1: how many were written.
pub(crate) fn utf16_to_latin1(src: &[u8], dst: &mut [u8]) -> usize {
    narrow_run(units(src), dst, BEYOND_LATIN1)
}

/// Up to the first code unit beyond ASCII: how many were written.
pub(crate) fn utf16_to_ascii(src: &[u8], dst: &mut [u8]) -> usize {
    narrow_run(units(src), dst, BEYOND_ASCII)
}

/// The number of bytes.
pub(crate) fn latin1_to_utf8(src: &[u8], dst: &mut [u8]) -> usize {
    let mut rest = src;
    let mut written = 0;
    while !rest.is_empty() {
        let run = latin1_to_ascii(rest, &mut dst[written..]);
        written += run;
        rest = &rest[run..];
        let end = rest.iter().position(u8::is_ascii);
        let (beyond, after) = rest.split_at(end.unwrap_or(rest.len()));
        for byte in beyond {
            dst[written..written + 2].copy_from_slice(&[0xc0 | byte >> 6, 0x80 | byte & 0x3f]);
            written += 2;
        }
        rest = after;
    }
    written
}

/// The number of code units: as many as bytes.
pub(crate) fn latin1_to_utf16(src: &[u8], dst: &mut [u8]) -> usize {
    widen(src, dst.as_chunks_mut().0);
    src.len()
}

/// Up to the first byte beyond ASCII: how many were written.
pub(crate) fn latin1_to_ascii(src: &[u8], dst: &mut [u8]) -> usize {
    let run = ascii_run(src);
    dst[..run].copy_from_slice(&src[..run]);
    run
}

/// Makes UTF-16 of a part of the first half of the bytes, which is Latin-1, from the bytes after it
/// to its start: parts are in descending order.
pub(crate) fn inflate_latin1(bytes: &mut [u8], part: Range<usize>) {
    for index in part.rev() {
        bytes[2 * index] = bytes[index];
        bytes[2 * index + 1] = 0;
    }
}

/// Makes a part of UTF-16 without code units beyond Latin-1 that, in the first half of the bytes:
/// parts are in ascending order.
pub(crate) fn deflate_utf16(bytes: &mut [u8], part: Range<usize>) {
    for index in part {
        bytes[index] = bytes[2 * index];
    }
}

fn units(bytes: &[u8]) -> &[CodeUnit] {
    bytes.as_chunks().0
}

fn value(unit: CodeUnit) -> u16 {
    u16::from_le_bytes(unit)
}

/// How many bytes of ASCII there are in front.
fn ascii_run(bytes: &[u8]) -> usize {
    let blocks = bytes.as_chunks::<BLOCK>().0;
    let whole = blocks.iter().take_while(|block| block.is_ascii()).count() * BLOCK;
    let rest = &bytes[whole..];
    whole + rest.iter().take_while(|byte| byte.is_ascii()).count()
}

/// Writes bytes as code units of UTF-16.
fn widen(src: &[u8], dst: &mut [CodeUnit]) {
    for (place, byte) in dst.iter_mut().zip(src) {
        *place = [*byte, 0];
    }
}

/// Writes code units as bytes, up to the first that is not less than `beyond`: how many.
fn narrow_run(src: &[CodeUnit], dst: &mut [u8], beyond: u16) -> usize {
    let mut done = 0;
    for block in src.as_chunks::<BLOCK>().0 {
        if block.iter().fold(0, |all, unit| all | value(*unit)) >= beyond {
            break;
        }
        for (place, unit) in dst[done..done + BLOCK].iter_mut().zip(block) {
            *place = unit[0];
        }
        done += BLOCK;
    }
    for unit in &src[done..] {
        if value(*unit) >= beyond {
            break;
        }
        dst[done] = unit[0];
        done += 1;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strings of all kinds of chars with runs of all lengths around the size of a block.
    fn texts() -> Vec<String> {
        let chars = ["a", "é", "ÿ", "Ā", "☃", "🍰"];
        let mut texts = vec![String::new()];
        for char in chars {
            for before in [0, 1, 31, 32, 33, 64, PIECE - 1, PIECE] {
                for after in [0, 1, 32, 40] {
                    let (before, after) = ("x".repeat(before), "y".repeat(after));
                    texts.push(format!("{before}{char}{after}"));
                    texts.push(format!("{before}{char}é{char}{after}🍰{char}"));
                }
            }
            texts.push(char.repeat(100));
        }
        texts
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn latin1(text: &str) -> Option<Vec<u8>> {
        text.chars().map(|char| u8::try_from(char).ok()).collect()
    }

    /// The result of `write`, and the buffer of `size` bytes that it wrote to.
    fn written<R>(size: usize, write: impl FnOnce(&mut [u8]) -> R) -> (R, Vec<u8>) {
        let mut dst = vec![0xee; size];
        (write(&mut dst), dst)
    }

    #[test]
    fn well_formed_text_keeps_its_chars() {
        for text in texts() {
            let (utf8, utf16) = (text.as_bytes(), utf16(&text));
            let (len, dst) = written(utf8.len(), |dst| utf8_to_utf8(utf8, dst));
            assert_eq!((len, &dst[..]), (Some(utf8.len()), utf8));
            let (len, dst) = written(2 * utf8.len(), |dst| utf8_to_utf16(&text, dst));
            assert_eq!((len, &dst[..utf16.len()]), (utf16.len() / 2, &utf16[..]));
            let (len, dst) = written(utf16.len() / 2 * 3, |dst| utf16_to_utf8(&utf16, dst));
            assert_eq!((len, &dst[..utf8.len()]), (Some(utf8.len()), utf8));
            let (beyond, dst) = written(utf16.len(), |dst| utf16_to_utf16(&utf16, dst));
            assert_eq!((beyond, &dst), (Some(latin1(&text).is_none()), &utf16));
            if let Some(bytes) = latin1(&text) {
                let (len, dst) = written(2 * bytes.len(), |dst| latin1_to_utf8(&bytes, dst));
                assert_eq!((len, &dst[..len]), (utf8.len(), utf8));
                let (_, dst) = written(2 * bytes.len(), |dst| latin1_to_utf16(&bytes, dst));
                assert_eq!(dst, utf16);
                let mut dst = bytes.clone();
                dst.resize(2 * bytes.len(), 0xee);
                let len = bytes.len();
                inflate_latin1(&mut dst, len / 2..len);
                inflate_latin1(&mut dst, 0..len / 2);
                assert_eq!(dst, utf16);
                deflate_utf16(&mut dst, 0..len / 2);
                deflate_utf16(&mut dst, len / 2..len);
                assert_eq!(dst[..bytes.len()], bytes);
            }
        }
    }

    #[test]
    fn parts_end_between_chars() {
        let mut ends = Vec::new();
        for char in ["é", "☃", "🍰"] {
            for before in PART_SIZE - 4..=PART_SIZE {
                let text = "x".repeat(before) + &char.repeat(9);
                let utf8 = text.as_bytes();
                let (sum, dst) = written(utf8.len(), |dst| {
                    in_parts(
                        CodeUnits::Utf8,
                        utf8,
                        dst,
                        || false,
                        |src, dst| Some(Part::all(src, utf8_to_utf8(src, dst)?)),
                    )
                });
                assert_eq!((sum, &dst[..]), (Some(Part::all(utf8, utf8.len())), utf8));
                ends.push(part_len(CodeUnits::Utf8, utf8, PART_SIZE));

                let utf16 = utf16(&("x".repeat(before / 2) + &char.repeat(9)));
                let (sum, dst) = written(utf16.len(), |dst| {
                    in_parts(
                        CodeUnits::Utf16,
                        &utf16,
                        dst,
                        || false,
                        |src, dst| {
                            utf16_to_utf16(src, dst)?;
                            Some(Part::all(src, src.len()))
                        },
                    )
                });
                assert_eq!((sum, &dst), (Some(Part::all(&utf16, utf16.len())), &utf16));
                ends.push(part_len(CodeUnits::Utf16, &utf16, PART_SIZE));
            }
        }
        assert!(ends.contains(&(PART_SIZE - 3)) && ends.contains(&PART_SIZE));
        // More than one part, and stopped after the first.
        let latin1 = vec![b'a'; 2 * PART_SIZE + 1];
        for (stop, expected) in [(false, latin1.len()), (true, PART_SIZE)] {
            let (sum, _) = written(latin1.len(), |dst| {
                in_parts(
                    CodeUnits::Latin1,
                    &latin1,
                    dst,
                    || stop,
                    |src, dst| Some(Part::all(src, latin1_to_ascii(src, dst))),
                )
            });
            assert_eq!(sum, Some(Part::prefix(expected, expected)));
        }
        // A part that is not read to its end is the last.
        let bytes = ["a".repeat(PART_SIZE + 5), "é".repeat(PART_SIZE)].concat();
        let (sum, _) = written(bytes.len(), |dst| {
            in_parts(
                CodeUnits::Latin1,
                bytes.as_bytes(),
                dst,
                || false,
                |src, dst| {
                    let done = latin1_to_ascii(src, dst);
                    Some(Part::prefix(done, done))
                },
            )
        });
        assert_eq!(sum, Some(Part::prefix(PART_SIZE + 5, PART_SIZE + 5)));
    }

    #[test]
    fn prefixes_end_where_the_encoding_does() {
        for text in texts() {
            let (utf8, utf16) = (text.as_bytes(), utf16(&text));
            let end = text.chars().take_while(|char| u8::try_from(*char).is_ok());
            let prefix: String = end.collect();
            let expected = latin1(&prefix).unwrap();
            let (result, dst) = written(utf8.len(), |dst| utf8_to_latin1(utf8, dst));
            assert_eq!(result, (prefix.len(), expected.len()));
            assert_eq!(dst[..expected.len()], expected);
            let (len, dst) = written(utf16.len() / 2, |dst| utf16_to_latin1(&utf16, dst));
            assert_eq!(dst[..len], expected);
            let ascii = text.bytes().take_while(u8::is_ascii).count();
            let (len, dst) = written(utf16.len() / 2, |dst| utf16_to_ascii(&utf16, dst));
            assert_eq!((len, &dst[..len]), (ascii, &utf8[..ascii]));
        }
        let (len, dst) = written(4, |dst| latin1_to_ascii(b"ab\xe9c", dst));
        assert_eq!((len, &dst[..2]), (2, &b"ab"[..]));
    }

    #[test]
    fn what_is_not_well_formed_is_found() {
        let bad: [&[u8]; 9] = [
            b"\x80",
            b"\xc0\x80",
            b"\xc3",
            b"\xc3a",
            b"\xe0\x80\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf0\x9f\x8d",
            b"\xff",
        ];
        for bytes in bad {
            for before in [0, 31, PIECE - 1, PIECE, 2 * PIECE - 2] {
                for after in [0, 40] {
                    let src = [&vec![b'x'; before], bytes, &vec![b'y'; after]].concat();
                    let (result, _) = written(src.len(), |dst| utf8_to_utf8(&src, dst));
                    assert_eq!(result, None);
                    assert_eq!(utf8(&src), None);
                    // The bytes after it are not read.
                    let ((read, _), _) = written(src.len(), |dst| utf8_to_latin1(&src, dst));
                    assert_eq!(read, before);
                }
            }
        }
        let bad: [&[u16]; 4] = [&[0xd800], &[0xdc00], &[0xdc00, 0xd800], &[0xd800, 0xd800]];
        for bad in bad {
            for before in [0, 30, 31, 32] {
                for after in [0, 40] {
                    let src = [&vec![0x78; before], bad, &vec![0x79; after]].concat();
                    let src: Vec<u8> = src.into_iter().flat_map(u16::to_le_bytes).collect();
                    let (result, _) = written(src.len(), |dst| utf16_to_utf16(&src, dst));
                    assert_eq!(result, None);
                    let (result, _) = written(src.len() / 2 * 3, |dst| utf16_to_utf8(&src, dst));
                    assert_eq!(result, None);
                }
            }
        }
    }
}
