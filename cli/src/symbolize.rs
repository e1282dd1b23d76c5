//! `cwasm symbolize`: where offsets in machine code come from.

use std::io::{self, BufRead, Read as _};

use cwasm::{Config, Context as _, Engine, Frame, Result};
use cwasm_compiler::{Debug, Options};

use crate::args::SymbolizeArgs;
use crate::load::{self, Loaded};
use crate::output;

/// What backtraces write before an offset.
const MARK: &str = ".text+";

/// Bytes of a line that are read at once; a longer line is copied in parts.
const MAX_LINE: u64 = 64 << 10;

/// Prints what is known of each offset; of those in a log, if there are none.
pub(crate) fn symbolize(args: &SymbolizeArgs) -> Result<()> {
    let engine = Engine::new(&Config::new())?;
    // Machine code does not depend on it.
    let options = Options {
        debug: Debug::Inside,
        ..args.code.options()
    };
    let loaded = load::open_any(&engine, &args.file, &args.limits, &options)?;
    let frame_at = |offset| match &loaded {
        Loaded::Component(component) => component.frame_at(offset),
        Loaded::Module(module) => module.frame_at(offset),
    };
    if args.offsets.is_empty() {
        return log(frame_at);
    }
    for offset in &args.offsets {
        let frame = frame_at(*offset);
        let frame = frame.with_context(|| format!("no core function is at {MARK}{offset:#x}"))?;
        output::print(&format!("{frame}\n"))?;
    }
    Ok(())
}

/// Copies standard input, with what is known in the place of offsets.
fn log(frame_at: impl Fn(u32) -> Option<Frame>) -> Result<()> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    while next_line(&mut input, &mut line)? {
        let text = String::from_utf8_lossy(&line);
        let known = found(&text).and_then(|(before, offset)| {
            let frame = frame_at(offset)?;
            let end = if text.ends_with('\n') { "\n" } else { "" };
            Some(format!("{before}{frame}{end}"))
        });
        output::print(known.as_deref().unwrap_or(&text))?;
    }
    Ok(())
}

/// Reads a line with its end, or the next part of it; false after the last one.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    input.by_ref().take(MAX_LINE).read_until(b'\n', line)?;
    // The character at the end of a part is read whole: it has at most three more bytes.
    for _ in 0..3 {
        let next = match line.ends_with(b"\n") {
            true => None,
            false => input.fill_buf()?.first().copied(),
        };
        let Some(byte @ 0x80..0xc0) = next else {
            break;
        };
        line.push(byte);
        input.consume(1);
    }
    Ok(!line.is_empty())
}

/// The offset in a line of a backtrace, and what stands before it.
fn found(line: &str) -> Option<(&str, u32)> {
    let (before, rest) = line.split_once(MARK)?;
    let (offset, _name) = rest.split_once(" - ")?;
    Some((before, text_offset(offset).ok()?))
}

/// An offset as backtraces have it: `.text+0x1a40`, or `0x1a40`.
pub(crate) fn text_offset(text: &str) -> std::result::Result<u32, String> {
    let digits = text.strip_prefix(MARK).unwrap_or(text).strip_prefix("0x");
    digits
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| "expected an offset, such as 0x1a40".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_found_in_backtraces() {
        for (line, expected) in [
            ("    1: .text+0x1a40 - run", Some(("    1: ", 0x1a40))),
            (".text+0x0 - <core instance 1, function 7>", Some(("", 0))),
            ("run - .text+0x12", None),
            (".text+12 - run", None),
            (".text+0x100000000 - run", None),
            ("    0:     0x2a - run", None),
            ("", None),
        ] {
            assert_eq!(found(line), expected, "{line}");
        }
    }

    #[test]
    fn long_lines_are_read_in_parts() {
        let max = usize::try_from(MAX_LINE).unwrap();
        let bytes = |byte: u8, count: usize| vec![byte; count];
        let parts: [Vec<u8>; 6] = [
            b"one\n".to_vec(),
            bytes(b'a', max),
            b"aa\n".to_vec(),
            // Its last byte would be in the next part.
            [bytes(b'b', max - 2), "\u{20ac}".into()].concat(),
            // No text, and without end.
            [b"x".to_vec(), bytes(0x80, max + 2)].concat(),
            b"end".to_vec(),
        ];
        let mut input = io::Cursor::new(parts.concat());
        let mut line = Vec::new();
        for part in parts {
            assert!(next_line(&mut input, &mut line).unwrap());
            assert!(line == part, "{} and {} bytes", line.len(), part.len());
        }
        assert!(!next_line(&mut input, &mut line).unwrap());
    }

    #[test]
    fn offsets_are_hexadecimal() {
        assert_eq!(text_offset("0x1A4f"), Ok(0x1a4f));
        assert_eq!(text_offset(".text+0x1"), Ok(1));
        for text in ["", "0x", "12", "0x+1", "0x123456789", ".text", "0xg"] {
            assert!(text_offset(text).is_err(), "{text}");
        }
    }
}
