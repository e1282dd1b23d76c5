//! Where machine code comes from: offsets in core modules, and lines of their source. Written with
//! `--debug`.
//!
//! The section is a stream in zlib's format (RFC 1950), which is read as a whole when somebody
//! asks. All numbers in it are LEB128, differences as `n << 1 ^ n >> 63`:
//!
//! ```text
//! texts:      count, then each: bytes, and so many bytes of UTF-8. The first one is empty.
//! positions:  count, then of all: parent, of all: function, file, line, column
//! modules:    count, then each: its name, a text
//! functions:  count, then each: bytes of what follows; its module; where its body starts; sites
//! sites:      count, then of all: text offset, of all: wasm offset, position
//! ```
//!
//! - A **position** is a place in a function of the source. `parent` is 0, or how many positions
//!   before this one the place is where the function was called that was inlined here. `function`
//!   and `file` are texts; the file, line and column are differences to the position before.
//! - **Functions** are those of `.cwasm.functions` that are core functions, in the same order.
//! - A **site** is a place where a backtrace can be: an instruction that traps, or the last byte of
//!   a call. Its text offset counts from the function's start, its wasm offset from where the body
//!   starts in the module's binary; both are differences to the site before, the first one without
//!   a sign. `position` is 0 if there is none, and otherwise one more than the difference to the
//!   last position of a site, of this function or the ones before.
//!
//! What belongs together is apart so that it is compressed better.

use std::ops::Range;

use crate::error::FormatError;

/// The most bytes of a section when it is decompressed.
const MAX_LEN: usize = 1 << 30;

/// A place in a function of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// The position of the call, if the function was inlined.
    pub parent: Option<u32>,
    /// The function's name, a text.
    pub function: u32,
    /// The file's path, a text.
    pub file: u32,
    /// The line from 1 on; 0 if it is unknown.
    pub line: u32,
    /// The column from 1 on; 0 if it is unknown.
    pub column: u32,
}

/// A place in machine code that is known in the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Bytes from the start of the function.
    pub offset: u32,
    /// Bytes from the start of the function's body in the module.
    pub wasm_offset: u32,
    /// The position in the source, if it is known.
    pub position: Option<u32>,
}

/// The sites of a function, sorted by offset.
#[derive(Clone, Debug)]
pub struct Function {
    /// The index of its module.
    pub module: u32,
    /// Where its body starts: bytes from the start of the module's binary.
    pub start: u32,
    /// Its sites.
    pub sites: Vec<Site>,
}

/// Encodes a table. Positions come after the parents that they refer to; texts and modules are
/// referred to by index, and the first text is empty.
#[cfg(feature = "write")]
pub fn encode<'a>(
    texts: impl ExactSizeIterator<Item = &'a str>,
    positions: &[Position],
    modules: &[u32],
    functions: impl ExactSizeIterator<Item = Function>,
) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, texts.len() as u64);
    for text in texts {
        number(&mut out, text.len() as u64);
        out.extend(text.as_bytes());
    }
    number(&mut out, positions.len() as u64);
    for (index, position) in (0..).zip(positions) {
        let distance = position
            .parent
            .map_or(0, |parent| index - u64::from(parent));
        number(&mut out, distance);
    }
    for position in positions {
        number(&mut out, position.function.into());
    }
    let fields: [fn(&Position) -> u32; 3] = [|at| at.file, |at| at.line, |at| at.column];
    for field in fields {
        let mut last = 0;
        for position in positions {
            difference(&mut out, last, field(position));
            last = field(position);
        }
    }
    number(&mut out, modules.len() as u64);
    modules
        .iter()
        .for_each(|name| number(&mut out, u64::from(*name)));
    number(&mut out, functions.len() as u64);
    let mut last = 0;
    for function in functions {
        let mut body = Vec::new();
        number(&mut body, function.module.into());
        number(&mut body, function.start.into());
        number(&mut body, function.sites.len() as u64);
        let mut offset = 0;
        for site in &function.sites {
            number(&mut body, (site.offset - offset).into());
            offset = site.offset;
        }
        let mut wasm_offset = 0;
        for site in &function.sites {
            difference(&mut body, wasm_offset, site.wasm_offset);
            wasm_offset = site.wasm_offset;
        }
        for site in &function.sites {
            let position = site.position.map(|position| {
                let from_last = i64::from(position) - i64::from(last);
                last = position;
                1 + zigzag(from_last)
            });
            number(&mut body, position.unwrap_or(0));
        }
        number(&mut out, body.len() as u64);
        out.append(&mut body);
    }
    miniz_oxide::deflate::compress_to_vec_zlib(&out, 9)
}

#[cfg(feature = "write")]
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(feature = "write")]
fn difference(out: &mut Vec<u8>, from: u32, to: u32) {
    number(out, zigzag(i64::from(to) - i64::from(from)));
}

#[cfg(feature = "write")]
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// A table, decompressed.
#[derive(Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    texts: Vec<Range<usize>>,
    positions: Vec<Position>,
    /// The names of modules.
    modules: Vec<u32>,
    /// Where functions are in `bytes`, and the last position of a site before each.
    functions: Vec<Range<usize>>,
    last_positions: Vec<u32>,
}

/// What is known of a place in machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'l> {
    /// The name of the core module; empty if it is unknown.
    pub module: &'l str,
    /// Where the function's body starts: bytes from the start of the module's binary.
    pub start: u32,
    /// The site at the place, or before it.
    pub site: Site,
}

impl Lines {
    /// Decodes a section.
    ///
    /// # Errors
    /// If it is not as [`encode`] writes it.
    pub fn decode(section: &[u8]) -> Result<Lines, FormatError> {
        let bytes = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(section, MAX_LEN);
        bytes.ok().and_then(Lines::of).ok_or(FormatError::Lines)
    }

    fn of(bytes: Vec<u8>) -> Option<Lines> {
        let mut input = Input {
            bytes: &bytes,
            at: 0,
        };
        let mut texts = Vec::new();
        for _ in 0..input.number()? {
            let text = input.take()?;
            core::str::from_utf8(bytes.get(text.clone())?).ok()?;
            texts.push(text);
        }
        let mut positions: Vec<Position> = Vec::new();
        for index in 0..u32::try_from(input.number()?).ok()? {
            let parent = match input.number()? {
                0 => None,
                distance => Some(index.checked_sub(u32::try_from(distance).ok()?)?),
            };
            positions.push(Position {
                parent,
                ..Position::default()
            });
        }
        for position in &mut positions {
            position.function = input.index(texts.len())?;
        }
        let fields: [fn(&mut Position) -> &mut u32; 3] =
            [|at| &mut at.file, |at| &mut at.line, |at| &mut at.column];
        for field in fields {
            let mut last = 0;
            for position in &mut positions {
                last = input.difference(last)?;
                *field(position) = last;
            }
        }
        let is_text = |position: &Position| texts.get(position.file as usize).is_some();
        positions.iter().all(is_text).then_some(())?;
        let mut modules = Vec::new();
        for _ in 0..input.number()? {
            modules.push(input.index(texts.len())?);
        }
        let (mut functions, mut last_positions) = (Vec::new(), Vec::new());
        let mut last = 0;
        for _ in 0..input.number()? {
            let range = input.take()?;
            last_positions.push(last);
            let function = read_function(bytes.get(range.clone())?, &mut last)?;
            modules.get(function.module as usize)?;
            let mut used = function.sites.iter().filter_map(|site| site.position);
            used.all(|position| (position as usize) < positions.len())
                .then_some(())?;
            functions.push(range);
        }
        (input.at == bytes.len()).then_some(())?;
        Some(Lines {
            texts,
            positions,
            modules,
            functions,
            last_positions,
            bytes,
        })
    }

    /// A text; empty for a number that there is not.
    pub fn text(&self, id: u32) -> &str {
        let bytes = self.texts.get(id as usize);
        let bytes = bytes.and_then(|range| self.bytes.get(range.clone()));
        // They were checked.
        bytes.map_or("", |bytes| core::str::from_utf8(bytes).unwrap_or(""))
    }

    /// The name of a module; empty if it is unknown.
    pub fn module(&self, module: u32) -> &str {
        let name = self.modules.get(module as usize);
        name.map_or("", |name| self.text(*name))
    }

    /// What is known of the place `offset` bytes from the start of core function `function`,
    /// counted in the order of the text. If there is no site, it is that of the last site before.
    pub fn find(&self, function: u32, offset: u32) -> Option<Found<'_>> {
        let function = self.function(function)?;
        let after = function.sites.partition_point(|site| site.offset <= offset);
        Some(Found {
            module: self.module(function.module),
            start: function.start,
            site: function.sites[after.checked_sub(1)?],
        })
    }

    /// What is known of a core function, counted in the order of the text.
    pub fn function(&self, function: u32) -> Option<Function> {
        let range = self.functions.get(function as usize)?;
        let mut last = *self.last_positions.get(function as usize)?;
        read_function(self.bytes.get(range.clone())?, &mut last)
    }

    /// A position, and those of the functions that it was inlined into, innermost first.
    pub fn chain(&self, position: u32) -> impl Iterator<Item = &Position> {
        let first = self.positions.get(position as usize);
        // Parents come before, so that this ends.
        std::iter::successors(first, |position| {
            self.positions.get(position.parent? as usize)
        })
    }
}

/// Reads a function; `last_position` is that of the site before its first one, and becomes that of
/// its last one.
fn read_function(bytes: &[u8], last_position: &mut u32) -> Option<Function> {
    let mut input = Input { bytes, at: 0 };
    let (module, start) = (input.u32()?, input.u32()?);
    let mut sites: Vec<Site> = Vec::new();
    let mut offset = 0u32;
    for _ in 0..input.number()? {
        offset = offset.checked_add(input.u32()?)?;
        sites.push(Site {
            offset,
            wasm_offset: 0,
            position: None,
        });
    }
    let mut wasm_offset = 0;
    for site in &mut sites {
        wasm_offset = input.difference(wasm_offset)?;
        site.wasm_offset = wasm_offset;
    }
    for site in &mut sites {
        site.position = match input.number()? {
            0 => None,
            difference => {
                let from_last = unzigzag(difference - 1);
                let position = i64::from(*last_position).checked_add(from_last)?;
                *last_position = u32::try_from(position).ok()?;
                Some(*last_position)
            }
        };
    }
    (input.at == bytes.len()).then_some(Function {
        module,
        start,
        sites,
    })
}

/// Bytes, and how many of them were read.
struct Input<'i> {
    bytes: &'i [u8],
    at: usize,
}

impl Input<'_> {
    fn number(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
    }

    fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// A number below `count`.
    fn index(&mut self, count: usize) -> Option<u32> {
        self.u32().filter(|index| (*index as usize) < count)
    }

    fn difference(&mut self, from: u32) -> Option<u32> {
        let value = i64::from(from).checked_add(unzigzag(self.number()?))?;
        u32::try_from(value).ok()
    }

    /// The range of so many bytes as the next number says.
    fn take(&mut self) -> Option<Range<usize>> {
        let len = usize::try_from(self.number()?).ok()?;
        let start = self.at;
        self.at = start
            .checked_add(len)
            .filter(|end| *end <= self.bytes.len())?;
        Some(start..self.at)
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(all(test, feature = "write"))]
mod tests {
    use super::*;

    fn table() -> (Vec<u8>, Vec<Position>) {
        let texts = ["", "run", "größe", "src/lib.rs", "app"];
        let position = |parent, function, line, column| Position {
            parent,
            function,
            file: 3,
            line,
            column,
        };
        let positions = vec![
            position(None, 1, 7, 3),
            position(Some(0), 2, 90, 1),
            position(Some(0), 2, 2, 0),
            position(None, 0, 0, 0),
        ];
        let site = |offset, wasm_offset, position| Site {
            offset,
            wasm_offset,
            position,
        };
        let functions = vec![
            Function {
                module: 0,
                start: 100,
                sites: vec![
                    site(4, 10, Some(1)),
                    site(9, 2, None),
                    site(300, 70, Some(2)),
                ],
            },
            Function {
                module: 1,
                start: 0,
                sites: vec![],
            },
            Function {
                module: 0,
                start: 5000,
                sites: vec![
                    site(0, 0, Some(0)),
                    site(1, 1, Some(3)),
                    site(2, 1, Some(0)),
                ],
            },
        ];
        let bytes = encode(
            texts.into_iter(),
            &positions,
            &[4, 0],
            functions.into_iter(),
        );
        (bytes, positions)
    }

    #[test]
    fn sites_come_back() {
        let (bytes, positions) = table();
        let lines = Lines::decode(&bytes).unwrap();
        let find = |function, offset| {
            let found = lines.find(function, offset)?;
            Some((
                found.module,
                found.start,
                found.site.wasm_offset,
                found.site.position,
            ))
        };
        assert_eq!(find(0, 3), None);
        assert_eq!(find(0, 4), Some(("app", 100, 10, Some(1))));
        assert_eq!(find(0, 8), Some(("app", 100, 10, Some(1))));
        assert_eq!(find(0, 9), Some(("app", 100, 2, None)));
        assert_eq!(find(0, u32::MAX), Some(("app", 100, 70, Some(2))));
        assert_eq!(find(1, 0), None);
        assert_eq!(find(2, 1), Some(("app", 5000, 1, Some(3))));
        assert_eq!(find(2, 2), Some(("app", 5000, 1, Some(0))));
        assert_eq!(find(3, 0), None);
        let chain: Vec<_> = lines.chain(1).copied().collect();
        assert_eq!(chain, [positions[1], positions[0]]);
        assert_eq!(lines.chain(4).count(), 0);
        assert_eq!((lines.text(2), lines.text(5)), ("größe", ""));
    }

    #[test]
    fn garbage_is_refused() {
        let (bytes, _) = table();
        let raw = miniz_oxide::inflate::decompress_to_vec_zlib(&bytes).unwrap();
        for len in 0..raw.len() {
            assert!(Lines::of(raw[..len].to_vec()).is_none(), "{len}");
        }
        for place in 0..raw.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut raw = raw.clone();
                raw[place] = byte;
                let Some(lines) = Lines::of(raw) else {
                    continue;
                };
                for function in 0..4 {
                    let found = lines.find(function, 9);
                    let position = found.and_then(|found| found.site.position);
                    assert!(lines.chain(position.unwrap_or(0)).count() < 10);
                }
            }
        }
        assert_eq!(Lines::decode(&bytes[..9]).unwrap_err(), FormatError::Lines);
        assert_eq!(Lines::decode(&[]).unwrap_err(), FormatError::Lines);
    }
}
