//! The WebAssembly that a function was compiled from, as text.

use std::io;
use std::ops::Range;

use cwasm::{Error, Result};
use cwasm_compiler::FunctionSource;
use wasmprinter::{Config, Print};

/// A line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    /// Byte offset in the core module, as it was before it was rewritten.
    pub(super) offset: u64,
    pub(super) text: String,
}

/// The lines of a function of the binary `wasm`.
///
/// # Errors
/// If it cannot be printed.
pub(super) fn operators(wasm: &[u8], source: &FunctionSource) -> Result<Vec<Operator>> {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    let module = wasm
        .get(place(source.module.start)..place(source.module.end))
        .ok_or_else(|| Error::msg("the module is not in the file"))?;
    let start = source.body.start.saturating_sub(source.module.start);
    let mut picked = Picked {
        range: start..start + (source.body.end - source.body.start),
        is_inside: false,
        lines: Vec::new(),
    };
    Config::new()
        .print(module, &mut picked)
        .map_err(|error| Error::msg(format!("cannot print the WebAssembly: {error}")))?;
    for line in &mut picked.lines {
        line.offset = source.original(line.offset);
    }
    Ok(without_indent(picked.lines))
}

/// The lines without the spaces that all of them begin with: those of the module around them.
fn without_indent(mut lines: Vec<Operator>) -> Vec<Operator> {
    let indent = |line: &Operator| line.text.len() - line.text.trim_start_matches(' ').len();
    let common = lines.iter().map(indent).min().unwrap_or(0);
    for line in &mut lines {
        line.text.drain(..common);
    }
    lines
}

/// Keeps the lines of a range of the binary.
struct Picked {
    range: Range<u64>,
    is_inside: bool,
    lines: Vec<Operator>,
}

impl Print for Picked {
    fn write_str(&mut self, text: &str) -> io::Result<()> {
        if self.is_inside
            && let Some(line) = self.lines.last_mut()
        {
            line.text.push_str(text);
        }
        Ok(())
    }

    fn newline(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn start_line(&mut self, offset: Option<u64>) {
        self.is_inside = offset.is_some_and(|offset| self.range.contains(&offset));
        if let (true, Some(offset)) = (self.is_inside, offset) {
            self.lines.push(Operator {
                offset,
                text: String::new(),
            });
        }
    }
}
