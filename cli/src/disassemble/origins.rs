//! Where the instructions of a function come from, as the artifact's table of lines says.

use std::ops::Range;

use cwasm::{Error, Result};
use cwasm_format::Artifact;
use cwasm_format::debug::{LINES, section};
use cwasm_format::lines;

use super::decode::Origin;
use crate::code::{Code, FunctionKind};

/// The places of a function that are known: its calls, and the instructions that may trap.
pub(super) struct Origins {
    lines: lines::Lines,
    /// Text offset of the function's start.
    start: u32,
    function: lines::Function,
}

impl Origins {
    /// Those of the function with this number; `None` if the artifact does not say where it comes
    /// from.
    ///
    /// # Errors
    /// If the table is damaged.
    pub(super) fn read(
        artifact: &Artifact<'_>,
        code: &Code<'_>,
        number: u32,
    ) -> Result<Option<Origins>> {
        let is_core = |number: &usize| code.functions[*number].kind == FunctionKind::Core;
        let number = number as usize;
        let Some(section) = section(artifact.bytes(), LINES).filter(|_| is_core(&number)) else {
            return Ok(None);
        };
        let lines = lines::Lines::decode(section)
            .map_err(|error| Error::msg(format!("cannot read the lines: {error}")))?;
        let place = (0..number).filter(is_core).count();
        let function = lines.function(place as u32);
        Ok(function.map(|function| Origins {
            start: code.functions[number].range.start,
            function,
            lines,
        }))
    }

    /// Where the instruction at these text offsets comes from.
    pub(super) fn of(&self, instruction: Range<u32>) -> Option<Origin> {
        let end = instruction.end.saturating_sub(self.start);
        let sites = &self.function.sites;
        let after = sites.partition_point(|site| site.offset < end);
        let site = &sites[after.checked_sub(1)?];
        // That of an instruction before is not this one's.
        let start = instruction.start.saturating_sub(self.start);
        (site.offset >= start).then(|| Origin {
            offset: u64::from(self.function.start) + u64::from(site.wasm_offset),
            source: site.position.map(|position| self.source(position)),
        })
    }

    /// `file:line`, and those of the calls where this was inlined.
    fn source(&self, position: u32) -> String {
        let places = self.lines.chain(position).take(MAX_INLINED);
        let places = places.map(|at| format!("{}:{}", self.lines.text(at.file), at.line));
        places.collect::<Vec<_>>().join(", inlined at ")
    }
}

/// The places that are said of an instruction, at most. Those of a damaged file may be very many.
const MAX_INLINED: usize = 64;
