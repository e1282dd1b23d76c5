//! From an address in a module's code to the functions and lines of its source.

use super::budget::{Budget, Refusal};
use super::dwarf::Dwarf;
use super::rows::{Place, Row, Rows};
use super::scopes::{Scope, Scopes};
use super::texts::{TextId, Texts};

/// What the debug information of a module says of its code.
#[derive(Debug, Default)]
pub(crate) struct Source {
    rows: Rows,
    scopes: Scopes,
}

/// A function that an address belongs to, and where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    /// [`TextId::NONE`] if it is unknown.
    pub(crate) function: TextId,
    pub(crate) place: Place,
}

impl Source {
    /// Reads the debug information of a module. `code_size` is that of its code section.
    ///
    /// # Errors
    /// Why it is of no use.
    pub(crate) fn read(
        dwarf: &Dwarf<'_>,
        code_size: u32,
        texts: &mut Texts,
        budget: &mut Budget,
    ) -> Result<Source, Refusal> {
        Ok(Source {
            rows: Rows::read(dwarf, code_size, texts, budget)?,
            scopes: Scopes::read(dwarf, code_size, texts, budget)?,
        })
    }

    /// The row of the line table that an address belongs to.
    pub(super) fn row(&self, address: u32) -> Option<&Row> {
        self.rows.find(address)
    }

    /// Sets `found` to the functions that an address belongs to, innermost first, each with the
    /// place in it: where the code is, or where the function before it was called. Empty if nothing
    /// is known.
    pub(crate) fn find(&self, address: u32, found: &mut Vec<Position>, scopes: &mut Vec<Scope>) {
        found.clear();
        self.scopes.find(address, scopes);
        let mut place = self.rows.find(address).map(|row| row.place);
        for scope in &*scopes {
            found.push(Position {
                function: scope.name,
                place: place.unwrap_or(Place::UNKNOWN),
            });
            place = scope.call;
        }
        if let (true, Some(place)) = (found.is_empty(), place) {
            found.push(Position {
                function: TextId::NONE,
                place,
            });
        }
    }
}
