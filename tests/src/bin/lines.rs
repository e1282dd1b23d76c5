//! Compares the tables of lines in artifacts with what LLVM's tool says of the same addresses.
//!
//! ```text
//! lines FILE...     core modules with DWARF; needs `llvm-symbolizer`
//! ```
//!
//! Each is compiled at each level. Of every place where a backtrace can be, the functions that were
//! inlined there and their files, lines and columns must be equal.
#![allow(
    clippy::print_stdout,
    reason = "a runner that answers on standard output"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use cwasm_compiler::{Debug, OptLevel, Options, preview1};
use cwasm_format::debug;
use cwasm_format::lines::Lines;
use wasmparser::{Parser, Payload};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The name that the main module has in a wrapped program.
const MAIN: &str = "main";

fn main() -> ExitCode {
    let mut failed = 0;
    let mut compared = 0;
    for file in std::env::args().skip(1) {
        match compare(Path::new(&file)) {
            Ok(Compared { places, different }) => {
                println!("{file}: {places} places, {} different", different.len());
                different.iter().take(5).for_each(|text| println!("{text}"));
                failed += different.len();
                compared += places;
            }
            Err(error) => {
                println!("{file}: {error}");
                failed += 1;
            }
        }
    }
    println!(
        "lines: {} passed, {failed} failed",
        compared - failed.min(compared)
    );
    match failed == 0 && compared != 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

struct Compared {
    places: usize,
    different: Vec<String>,
}

fn compare(file: &Path) -> Result<Compared> {
    let module = std::fs::read(file)?;
    let is_program = preview1::is_preview1(&module);
    let wasm = match is_program {
        true => preview1::componentize(&module)?,
        false => module.clone(),
    };
    let code = code_start(&module)?;
    // What is said of each address, whatever the level.
    let mut ours: BTreeMap<u64, String> = BTreeMap::new();
    let (mut places, mut different) = (0, Vec::new());
    for opt in [OptLevel::None, OptLevel::Speed, OptLevel::Size] {
        let options = Options {
            debug: Debug::Inside,
            opt,
            ..Options::default()
        };
        let artifact = cwasm_compiler::compile(&wasm, &options)?;
        if let Some(warning) = artifact.warnings.first() {
            return Err(warning.as_str().into());
        }
        let lines = debug::section(&artifact.bytes, debug::LINES).ok_or("no section of lines")?;
        let lines = Lines::decode(lines)?;
        for function in (0..).map_while(|index| lines.function(index)) {
            let name = lines.module(function.module);
            if function.start == 0 || is_program && name != MAIN {
                continue;
            }
            for site in &function.sites {
                let address = u64::from(function.start + site.wasm_offset) - code;
                let text = chain(&lines, site.position);
                let known = ours.entry(address).or_insert_with(|| text.clone());
                if *known != text {
                    different.push(format!("{address:#x}: {known} and {text}"));
                }
                places += 1;
            }
        }
    }
    let addresses: Vec<u64> = ours.keys().copied().collect();
    for ((address, ours), theirs) in ours.iter().zip(symbolize(file, &addresses)?) {
        if *ours != theirs {
            different.push(format!("{address:#x}: found {ours}, expected {theirs}"));
        }
    }
    Ok(Compared { places, different })
}

/// Where the contents of the code section start.
fn code_start(module: &[u8]) -> Result<u64> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CodeSectionStart {
            unchecked_range, ..
        } = payload?
        {
            return Ok(unchecked_range.start);
        }
    }
    Err("no code".into())
}

/// The places of a position and those that it was inlined into; empty if nothing is known.
fn chain(lines: &Lines, position: Option<u32>) -> String {
    let mut text = String::new();
    for position in position.into_iter().flat_map(|first| lines.chain(first)) {
        let file = match lines.text(position.file) {
            "" => "??",
            file => file,
        };
        let _ = write!(text, "{file}:{}:{} ", position.line, position.column);
    }
    match text.is_empty() {
        true => "??:0:0 ".to_owned(),
        false => text,
    }
}

/// What LLVM's tool says of addresses, in the same form.
fn symbolize(file: &Path, addresses: &[u64]) -> Result<Vec<String>> {
    let mut tool = Command::new("llvm-symbolizer")
        .arg(format!("--obj={}", file.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = String::new();
    for address in addresses {
        let _ = writeln!(input, "{address:#x}");
    }
    let mut stdin = tool.stdin.take().ok_or("no input")?;
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = tool.wait_with_output()?;
    writer.join().map_err(|_| "the writer panicked")??;
    let text = String::from_utf8(output.stdout)?;
    let answers = text.trim_end().split("\n\n").map(|answer| {
        // Each function is a line with its name, and one with the place in it.
        let places = answer
            .lines()
            .filter(|line| !line.is_empty())
            .skip(1)
            .step_by(2);
        places.map(|place| format!("{place} ")).collect()
    });
    Ok(answers.collect())
}
