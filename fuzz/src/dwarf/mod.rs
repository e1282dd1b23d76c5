//! Modules with damaged debug information: they are compiled as if they had none, in time and
//! memory that their size explains; what is written is well-formed, and what damages it is found.

mod damage;
mod memory;

use cwasm_compiler::{Debug, OptLevel, Options, Output};
use cwasm_format::debug;
use cwasm_format::lines::Lines;
use wasm_encoder::{CustomSection, RawSection};
use wasmparser::{Parser, Payload};

use crate::campaign::processor_time;
use crate::rng::Rng;
use crate::targets::Report;
use damage::{Dna, Sections};

/// Modules as compilers write them.
const GUESTS: [&[u8]; 4] = [
    include_bytes!("../../../wasi/guests/debug/reenter.wasm"),
    include_bytes!("../../../wasi/guests/debug/places-c.wasm"),
    include_bytes!("../../../wasi/guests/debug/shapes.wasm"),
    include_bytes!("../../../wasi/guests/debug/places.wasm"),
];

/// Microseconds of processor time that a module may take, and for each of its bytes: much more than
/// well-formed ones do.
const TIME: u64 = 5_000_000;
const TIME_OF_BYTE: u64 = 50;

/// Bytes of memory that a module may take, and for each of its bytes.
const MEMORY: u64 = 192 << 20;
const MEMORY_OF_BYTE: u64 = 1024;

/// The module of a case.
pub(crate) fn module(choices: u64, dna: &[u8]) -> Vec<u8> {
    let mut rng = Rng::new(choices);
    // Small modules compile fast.
    let guest = match rng.one_in(8) {
        true => rng.pick(&GUESTS[1..]),
        false => GUESTS[0],
    };
    let (mut module, mut sections) = parts(guest);
    let mut dna = Dna::new(dna);
    let count = 1 + rng.below(6);
    for _ in 0..count {
        damage::damage(&mut sections, &mut dna);
    }
    for (name, data) in &sections {
        module.section(&CustomSection {
            name: name.into(),
            data: data.into(),
        });
    }
    module.finish()
}

/// A module without its custom sections, and those that are about debugging.
fn parts(wasm: &[u8]) -> (wasm_encoder::Module, Sections) {
    let (mut module, mut sections) = (wasm_encoder::Module::new(), Sections::new());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.unwrap_or_else(|error| panic!("a guest is not valid: {error}"));
        if let Payload::CustomSection(section) = &payload {
            let name = section.name();
            if name == "name" || name.starts_with(".debug_") {
                sections.push((name.to_owned(), section.data().to_vec()));
            }
        } else if let Some((id, range)) = payload.as_section() {
            let data = &wasm[range.start as usize..range.end as usize];
            module.section(&RawSection { id, data });
        }
    }
    (module, sections)
}

/// Compiles a module with some settings, and looks at what is written.
///
/// # Errors
/// What is not as it should be.
pub(crate) fn check(choices: u64, wasm: &[u8]) -> Result<Report, String> {
    let mut rng = Rng::new(choices ^ 0xd3b6);
    let options = Options {
        opt: rng.pick(&[OptLevel::None, OptLevel::None, OptLevel::Speed]),
        debug: rng.pick(&[Debug::Inside, Debug::Split]),
        dwarf: !rng.one_in(3),
        jobs: std::num::NonZeroUsize::new(1),
        ..Options::default()
    };
    let (start, before) = (processor_time(), memory::reset());
    let output = cwasm_compiler::compile(wasm, &options)
        .map_err(|error| format!("debug information makes a module invalid: {error}"))?;
    let (time, peak) = (processor_time() - start, memory::peak());
    let len = wasm.len() as u64;
    if time > TIME + TIME_OF_BYTE * len {
        return Err(format!("{len} bytes take {time} us"));
    }
    if let (Some(before), Some(peak)) = (before, peak)
        && peak.saturating_sub(before) > MEMORY + MEMORY_OF_BYTE * len
    {
        return Err(format!("{len} bytes take {} of memory", peak - before));
    }
    written(&output, &mut rng)?;
    Ok(Report {
        calls: 1,
        returned: u64::from(output.warnings.is_empty()),
    })
}

/// Checks what was written, and that what damages it is no harm.
fn written(output: &Output, rng: &mut Rng) -> Result<(), String> {
    let file = output.debug.as_ref().unwrap_or(&output.bytes);
    let section = debug::section(file, debug::LINES).ok_or("there is no table of lines")?;
    let lines = Lines::decode(section).map_err(|error| error.to_string())?;
    walk(&lines);
    let id = debug::build_id(&output.bytes);
    if id.is_none() || id != debug::build_id(file) {
        return Err("the build id is not that of the artifact".to_owned());
    }
    // Damaged beneath the compression.
    let raw = miniz_oxide::inflate::decompress_to_vec_zlib(section);
    let mut raw = raw.map_err(|error| error.to_string())?;
    for _ in 0..1 + rng.below(8) {
        let place = rng.below(raw.len() as u64) as usize;
        raw[place] = rng.pick(&[0, 1, 0x7f, 0x80, 0xff, rng.clone().next() as u8]);
    }
    if let Ok(lines) = Lines::decode(&miniz_oxide::deflate::compress_to_vec_zlib(&raw, 1)) {
        walk(&lines);
    }
    // And the file.
    let mut file = file.clone();
    for _ in 0..1 + rng.below(8) {
        let len = match rng.one_in(2) {
            true => 0x40,
            false => file.len() as u64,
        };
        let place = rng.below(len) as usize;
        file[place] = rng.next() as u8;
    }
    file.truncate(match rng.one_in(4) {
        true => rng.below(file.len() as u64) as usize,
        false => file.len(),
    });
    let _ = debug::build_id(&file);
    if let Some(lines) = debug::section(&file, debug::LINES)
        && let Ok(lines) = Lines::decode(lines)
    {
        walk(&lines);
    }
    Ok(())
}

/// Looks at all that a table says.
fn walk(lines: &Lines) {
    let functions = (0..).map_while(|index| lines.function(index));
    for function in functions.take(10_000) {
        let _ = lines.module(function.module);
        for site in function.sites.iter().take(100) {
            let chain = site
                .position
                .into_iter()
                .flat_map(|first| lines.chain(first));
            for position in chain.take(1000) {
                let _ = (lines.text(position.function), lines.text(position.file));
            }
        }
    }
}
