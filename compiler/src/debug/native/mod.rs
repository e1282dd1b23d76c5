//! DWARF of the machine code, for native debuggers and profilers: made from that of the core
//! modules.
//!
//! ```text
//! frames     .debug_frame              of all functions: callers and saved registers
//! info       .debug_info and the like  entries of the modules: where code and values are now
//! expression                           what a module says of where a variable is
//! values                               where that is in the machine code
//! lines      .debug_line               of each unit of the modules
//! ```
//!
//! The frame base of a function is the start of its instance's memory, where its context says it:
//! variables outside of functions are at an offset from it.
//!
//! Addresses are those of the artifact's ELF file, which are its offsets. What the machine code has
//! nothing of is left out.

mod expression;
mod frames;
mod info;
mod lines;
mod places;
mod values;
mod writer;

use cwasm_format::debug::{ADDRESSES, encode_addresses};
use cwasm_format::write::DebugSection;
use gimli::write::{DebugFrame, Dwarf, Sections};
use gimli::{Encoding, Format};

use super::modules::{Code, Modules};
use crate::env::Env;
use crate::isa::Arch;
use crate::work::CompiledFunction;
use places::Places;
use writer::Section;

/// What the DWARF is written as: every debugger of today reads version 4.
const ENCODING: Encoding = Encoding {
    format: Format::Dwarf32,
    version: 4,
    address_size: 8,
};

/// A function of the text.
pub(crate) struct Function<'f, 'a> {
    /// Of its first instruction, in the ELF file.
    pub(crate) address: u64,
    pub(crate) code: &'f CompiledFunction,
    /// Of core functions: the instance that it is in, its number and the function's index.
    pub(crate) core: Option<(&'f Env<'a>, u32, u32)>,
}

/// The sections.
pub(crate) fn sections<'a>(
    functions: &[Function<'_, 'a>],
    arch: &Arch,
    modules: &mut Modules<'a>,
) -> Vec<DebugSection> {
    let mut sections = Sections::new(Section::new());
    frames::write(functions, arch, &mut sections.debug_frame);
    let mut dwarf = Dwarf::new();
    let by_instance = functions.chunk_by(|a, b| instance(a) == instance(b));
    for functions in by_instance {
        let Some((env, ..)) = functions[0].core else {
            continue;
        };
        let number = modules.number(env.module, "");
        let Modules {
            all,
            texts,
            warnings,
            ..
        } = modules;
        let known = &mut all[number as usize];
        let Some(module) = &known.dwarf else {
            continue;
        };
        let code = Code::of(env.module);
        let places = functions.iter().filter_map(|function| {
            let (_, _, index) = function.core?;
            Places::of(function, env.module, index, &code)
        });
        let places: Vec<Places<'_>> = places.collect();
        let instance = info::Instance {
            module,
            source: &known.source,
            memory: env.memories.first(),
            code_len: code.len,
            places: &places,
        };
        if let Err(refusal) = info::add(&instance, &mut dwarf, texts, &mut known.budget) {
            warnings.push(format!("debuggers will not know a core module: {refusal}"));
        }
    }
    if let Err(error) = dwarf.write(&mut sections) {
        // What is written is ours, but for sizes beyond 4 GiB.
        modules
            .warnings
            .push(format!("debuggers will know no lines: {error}"));
        let frames = std::mem::replace(&mut sections.debug_frame, DebugFrame(Section::new()));
        sections = Sections::new(Section::new());
        sections.debug_frame = frames;
    }
    let (mut found, mut addresses) = (Vec::new(), Vec::new());
    let _: Result<(), ()> = sections.for_each_mut(|id, section| {
        let (bytes, at) = section.take();
        addresses.push((id.name(), at));
        if !bytes.is_empty() {
            found.push(DebugSection {
                name: id.name(),
                bytes,
            });
        }
        Ok(())
    });
    found.push(DebugSection {
        name: ADDRESSES,
        bytes: encode_addresses(&addresses),
    });
    found
}

/// The core instance of a function.
fn instance(function: &Function<'_, '_>) -> Option<u32> {
    function.core.map(|(_, instance, _)| instance)
}
