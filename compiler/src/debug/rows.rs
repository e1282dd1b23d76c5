//! The lines of a module's code, from its line number programs.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use gimli::{ColumnType, LineProgramHeader};

use super::budget::{Budget, Refusal};
use super::dwarf::{Dwarf, Slice, Unit};
use super::texts::{TextId, Texts};

/// A place in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) file: TextId,
    /// 0 stands for code that no line of the source is the reason of.
    pub(crate) line: u32,
    /// From 1 on; 0 is the start of the line.
    pub(crate) column: u32,
}

impl Place {
    pub(crate) const UNKNOWN: Place = Place {
        file: TextId::NONE,
        line: 0,
        column: 0,
    };
}

/// A row of a line table: the place of the code from this address on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) address: u32,
    pub(crate) place: Place,
    /// Whether a debugger may stop here for the line.
    pub(crate) is_stmt: bool,
}

/// The rows of code that lies together, sorted by address.
#[derive(Debug)]
struct Sequence {
    start: u32,
    end: u32,
    rows: Vec<Row>,
}

/// The line tables of a module.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    sequences: Vec<Sequence>,
    /// Code, and the number of the sequence that it is in: sorted, without overlap.
    parts: Vec<(Range<u32>, usize)>,
}

impl Rows {
    /// Reads all line number programs. `code_size` is that of the code section.
    ///
    /// # Errors
    /// If one is not well-formed, or they take too many steps.
    pub(crate) fn read(
        dwarf: &Dwarf<'_>,
        code_size: u32,
        texts: &mut Texts,
        budget: &mut Budget,
    ) -> Result<Rows, Refusal> {
        let mut sequences = Vec::new();
        let mut known = HashSet::new();
        for unit in &dwarf.units {
            let Some(offset) = unit.lines.filter(|offset| known.insert(offset.0)) else {
                continue;
            };
            program(
                dwarf,
                unit,
                offset,
                (code_size, texts, budget),
                &mut sequences,
            )?;
        }
        let parts = parts(&sequences);
        Ok(Rows { sequences, parts })
    }

    /// The row of an address.
    pub(crate) fn find(&self, address: u32) -> Option<&Row> {
        let after = self
            .parts
            .partition_point(|(code, _)| code.start <= address);
        let (code, number) = &self.parts[after.checked_sub(1)?];
        if address >= code.end {
            return None;
        }
        let sequence = self.sequences.get(*number)?;
        let after = sequence.rows.partition_point(|row| row.address <= address);
        sequence.rows.get(after.checked_sub(1)?)
    }
}

/// The code of each sequence. Linkers keep one of several equal functions, and let the lines of all
/// refer to it, though a unit may have compiled its own to more code, or less. So where several
/// claim the same, it is that of the one that starts last; of those that start there, of the first
/// one, as for LLVM's tools.
fn parts(sequences: &[Sequence]) -> Vec<(Range<u32>, usize)> {
    let mut bounds: Vec<(u32, usize, bool)> = Vec::with_capacity(2 * sequences.len());
    for (number, sequence) in sequences.iter().enumerate() {
        bounds.push((sequence.start, number, true));
        bounds.push((sequence.end, number, false));
    }
    bounds.sort_unstable();
    let mut claims = BTreeSet::new();
    let mut parts: Vec<(Range<u32>, usize)> = Vec::new();
    let mut from = 0;
    for (at, number, is_start) in bounds {
        if let Some((_, owner)) = claims.first().filter(|_| from < at) {
            match parts.last_mut() {
                Some((code, last)) if last == owner && code.end == from => code.end = at,
                _ => parts.push((from..at, *owner)),
            }
        }
        from = at;
        let claim = (Reverse(sequences[number].start), number);
        match is_start {
            true => claims.insert(claim),
            false => claims.remove(&claim),
        };
    }
    parts
}

fn program(
    dwarf: &Dwarf<'_>,
    Unit { unit, .. }: &Unit<'_>,
    offset: gimli::DebugLineOffset,
    (code_size, texts, budget): (u32, &mut Texts, &mut Budget),
    sequences: &mut Vec<Sequence>,
) -> Result<(), Refusal> {
    let (comp_dir, name) = (unit.comp_dir, unit.name);
    let address_size = unit.header.encoding().address_size;
    let section = &dwarf.sections.debug_line;
    let program = section.program(offset, address_size, comp_dir, name)?;
    // Programs may begin inside of others, each with a list of files of its own.
    let header = program.header();
    budget.take((header.file_names().len() + header.include_directories().len()) as u64)?;
    let mut files: HashMap<u64, TextId> = HashMap::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut program = program.rows();
    while let Some((header, row)) = program.next_row()? {
        budget.take(1)?;
        if row.end_sequence() {
            let end = row.address();
            let rows = std::mem::take(&mut rows);
            sequences.extend(sequence(rows, end, code_size));
            continue;
        }
        // Rows of code that the linker has left out have addresses beyond all code.
        let address = u32::try_from(row.address()).unwrap_or(u32::MAX);
        let number = row.file_index();
        let file = match files.get(&number) {
            Some(file) => *file,
            None => {
                let path = path(dwarf, unit, header, number, budget)?;
                let file = texts.add_bytes(&path);
                files.insert(number, file);
                file
            }
        };
        let line = row.line().map_or(0, |line| line.get());
        let column = match row.column() {
            ColumnType::LeftEdge => 0,
            ColumnType::Column(column) => column.get(),
        };
        rows.push(Row {
            address,
            place: Place {
                file,
                line: u32::try_from(line).unwrap_or(0),
                column: u32::try_from(column).unwrap_or(0),
            },
            is_stmt: row.is_stmt(),
        });
    }
    Ok(())
}

/// The sequence of these rows; `None` if it is not of the module's code. No function is at address
/// 0, where the number of functions is.
fn sequence(mut rows: Vec<Row>, end: u64, code_size: u32) -> Option<Sequence> {
    let end = u32::try_from(end).ok().filter(|end| *end <= code_size)?;
    rows.sort_by_key(|row| row.address);
    // Of several rows at one address, the last one has code.
    rows.dedup_by(|next, row| {
        let is_same = next.address == row.address;
        if is_same {
            *row = *next;
        }
        is_same
    });
    rows.shrink_to_fit();
    let start = rows.first()?.address;
    (start != 0 && start < end).then_some(Sequence { start, end, rows })
}

/// The files of a unit, by the number that its entries have for them.
///
/// # Errors
/// If the header of its line number program is not well-formed, or takes too many steps.
pub(super) fn files(
    dwarf: &Dwarf<'_>,
    unit: usize,
    texts: &mut Texts,
    budget: &mut Budget,
) -> Result<Vec<TextId>, Refusal> {
    let Unit { unit, lines } = &dwarf.units[unit];
    let Some(offset) = *lines else {
        return Ok(Vec::new());
    };
    let address_size = unit.header.encoding().address_size;
    let section = &dwarf.sections.debug_line;
    let program = section.program(offset, address_size, unit.comp_dir, unit.name)?;
    let header = program.header();
    let count = header.file_names().len() as u64 + 1;
    budget.take(count + header.include_directories().len() as u64)?;
    let mut files = Vec::new();
    for number in 0..count {
        let path = path(dwarf, unit, header, number, budget)?;
        files.push(texts.add_bytes(&path));
    }
    Ok(files)
}

/// The path of a file of a line number program: absolute, if the debug information says so.
///
/// # Errors
/// If it takes too many steps: many files may share a long text.
fn path(
    dwarf: &Dwarf<'_>,
    unit: &gimli::Unit<Slice<'_>>,
    header: &LineProgramHeader<Slice<'_>>,
    number: u64,
    budget: &mut Budget,
) -> Result<Vec<u8>, Refusal> {
    let Some(file) = header.file(number) else {
        return Ok(Vec::new());
    };
    let text = |value| dwarf.sections.attr_string(unit, value).ok();
    // Folder 0 of version 4 and before is the unit's own.
    let folder = file.directory(header).and_then(text);
    let mut path = Vec::new();
    for part in [unit.comp_dir, folder, text(file.path_name())] {
        let Some(part) = part else {
            continue;
        };
        budget.take_text(part.len())?;
        join(&mut path, part.slice());
    }
    Ok(path)
}

/// Appends a path, which takes the other's place if it is absolute.
fn join(path: &mut Vec<u8>, part: &[u8]) {
    let is_absolute = match part {
        [b'/' | b'\\', ..] => true,
        [drive, b':', b'/' | b'\\', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    };
    if is_absolute {
        path.clear();
    }
    if !path.is_empty() && !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_several_claim_is_that_of_the_last_start() {
        for (sequences, expected) in [
            (&[][..], &[][..]),
            (&[(5, 9), (1, 5)], &[(1, 5, 1), (5, 9, 0)]),
            // Another unit's longer copy of a function, and the function after that.
            (&[(10, 20), (10, 16), (17, 40)], &[(10, 17, 0), (17, 40, 2)]),
            (
                &[(10, 16), (17, 40), (10, 20)],
                &[(10, 16, 0), (16, 17, 2), (17, 40, 1)],
            ),
            // One around others, and one inside of others.
            (
                &[(3, 4), (7, 8), (1, 9)],
                &[(1, 3, 2), (3, 4, 0), (4, 7, 2), (7, 8, 1), (8, 9, 2)],
            ),
            (&[(1, 9), (3, 4)], &[(1, 3, 0), (3, 4, 1), (4, 9, 0)]),
            (&[(2, 3), (2, 3), (2, 3)], &[(2, 3, 0)]),
        ] {
            let sequences: Vec<Sequence> = sequences
                .iter()
                .map(|(start, end)| Sequence {
                    start: *start,
                    end: *end,
                    rows: Vec::new(),
                })
                .collect();
            let expected: Vec<(Range<u32>, usize)> = expected
                .iter()
                .map(|(start, end, number)| (*start..*end, *number))
                .collect();
            assert_eq!(parts(&sequences), expected, "{sequences:?}");
        }
    }

    #[test]
    fn absolute_paths_replace_what_was_before() {
        for (parts, expected) in [
            (&["/a", "b", "c.rs"][..], "/a/b/c.rs"),
            (&["/a/", "c.rs"], "/a/c.rs"),
            (&["/a", "/b", "c.rs"], "/b/c.rs"),
            (&["/a", "C:\\b", "c.rs"], "C:\\b/c.rs"),
            (&["c.rs"], "c.rs"),
            (&[], ""),
        ] {
            let mut path = Vec::new();
            for part in parts {
                join(&mut path, part.as_bytes());
            }
            assert_eq!(path, expected.as_bytes());
        }
    }
}
