//! The line table of a unit.

use std::collections::HashMap;

use gimli::LineEncoding;
use gimli::write::{Address, FileId, LineProgram, LineString};

use super::super::budget::{Budget, Refusal};
use super::super::source::Source;
use super::super::texts::{TextId, Texts};
use super::ENCODING;
use super::places::Places;

/// Steps of a row of the table.
const ROW: u64 = 4;

/// The lines of a unit's functions.
pub(super) struct Lines {
    pub(super) program: LineProgram,
    files: HashMap<TextId, FileId>,
}

impl Lines {
    /// A table without lines. `name` and `folder` are the unit's.
    pub(super) fn new(name: &[u8], folder: &[u8]) -> Lines {
        let encoding = LineEncoding::default();
        let (name, folder) = (text(name), text(folder));
        Lines {
            program: LineProgram::new(ENCODING, encoding, folder, None, name, None),
            files: HashMap::new(),
        }
    }

    /// The number of a file.
    ///
    /// # Errors
    /// If that takes too many steps: each unit has its own list.
    pub(super) fn file(
        &mut self,
        file: TextId,
        texts: &Texts,
        budget: &mut Budget,
    ) -> Result<FileId, Refusal> {
        if let Some(known) = self.files.get(&file) {
            return Ok(*known);
        }
        let path = texts.get(file).as_bytes();
        budget.take_text(path.len())?;
        let folder = self.program.default_directory();
        let id = self.program.add_file(text(path), folder, None);
        self.files.insert(file, id);
        Ok(id)
    }

    /// Adds the lines of a function.
    ///
    /// # Errors
    /// If they take too many steps: many units may say that a function is theirs.
    pub(super) fn add(
        &mut self,
        places: &Places<'_>,
        source: &Source,
        texts: &Texts,
        budget: &mut Budget,
    ) -> Result<(), Refusal> {
        budget.take(places.code.len() as u64)?;
        let start = places.native.start;
        self.program.begin_sequence(Some(Address::Constant(start)));
        let mut last = None;
        for (address, from) in &places.code {
            // What comes from no operator belongs to what is before it; at the start, that is where
            // the function begins.
            let from = match (from, last) {
                (Some(from), _) => *from,
                (None, None) => places.start,
                (None, Some(_)) => continue,
            };
            let Some(row) = source.row(from) else {
                continue;
            };
            if last == Some((row.place, row.is_stmt)) {
                continue;
            }
            last = Some((row.place, row.is_stmt));
            budget.take(ROW)?;
            let file = self.file(row.place.file, texts, budget)?;
            let next = self.program.row();
            next.address_offset = address - start;
            next.file = file;
            next.line = row.place.line.into();
            next.column = row.place.column.into();
            next.is_statement = row.is_stmt;
            self.program.generate_row();
        }
        self.program.end_sequence(places.native.end - start);
        Ok(())
    }
}

/// A text of the guest's as one of a line table, which must not be empty.
fn text(bytes: &[u8]) -> LineString {
    let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    LineString::String(match bytes.is_empty() {
        true => b"?".to_vec(),
        false => bytes,
    })
}
