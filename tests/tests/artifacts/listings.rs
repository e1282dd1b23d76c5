//! Expected machine code: each `tests/listings/NAME.wat` is compiled and disassembled, and compared
//! with `NAME.lst` beside it. A first line `;;! interruptible` or `;;! --bounds check` says how to
//! compile it. `UPDATE=1 cargo test --workspace --test artifacts listings` writes the files anew,
//! to be reviewed as a diff.

use std::fmt::Write as _;
use std::path::Path;

use cwasm_format::Artifact;
use cwasm_format::code::function_kind;
use cwasm_format::header::SectionId;
use cwasm_format::names;
use iced_x86::{Decoder, DecoderOptions, Formatter as _, Instruction, IntelFormatter};

/// Disassembles every function of a linked artifact; jumps and calls name their targets.
fn disassemble(bytes: &[u8]) -> String {
    let artifact = Artifact::inspect(bytes).unwrap();
    let text = artifact.section(SectionId::Text);
    let name = |index: usize| {
        names::lookup(artifact.section(SectionId::Names), index as u32)
            .map_or_else(|| format!("function[{index}]"), str::to_owned)
    };
    let functions = artifact.functions();
    let mut out = String::new();
    for (index, function) in functions.iter().enumerate() {
        if function.kind & 0xff == function_kind::BUILTIN {
            continue;
        }
        let start = function.start as usize;
        let end = functions
            .get(index + 1)
            .map_or(text.len(), |next| next.start as usize);
        writeln!(out, "{}:", name(index)).unwrap();
        let mut decoder =
            Decoder::with_ip(64, &text[start..end], start as u64, DecoderOptions::NONE);
        let mut formatter = IntelFormatter::new();
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            if instruction.mnemonic() == iced_x86::Mnemonic::Int3 {
                break;
            }
            let mut line = String::new();
            formatter.format(&instruction, &mut line);
            if instruction.op0_kind() == iced_x86::OpKind::NearBranch64 {
                let target = instruction.near_branch_target();
                let mnemonic = line.split_whitespace().next().unwrap().to_owned();
                line = match functions
                    .iter()
                    .position(|found| u64::from(found.start) == target)
                {
                    Some(callee) => format!("{mnemonic} {}", name(callee)),
                    None => format!("{mnemonic} .{:x}", target - start as u64),
                };
            }
            writeln!(out, "  {:3x}  {line}", instruction.ip() - start as u64).unwrap();
        }
        out.push('\n');
    }
    out
}

#[test]
fn machine_code_is_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("listings");
    let mut compared = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "wat") {
            continue;
        }
        let source = std::fs::read(&path).unwrap();
        let options = cwasm_compiler::Options {
            debug: cwasm_compiler::Debug::Inside,
            interruptible: source.starts_with(b";;! interruptible\n"),
            bounds: match source.starts_with(b";;! --bounds check\n") {
                true => cwasm_compiler::Bounds::Check,
                false => cwasm_compiler::Bounds::Guard,
            },
            ..Default::default()
        };
        let wasm = wat::parse_bytes(&source).unwrap();
        let found = disassemble(&cwasm_compiler::compile(&wasm, &options).unwrap().bytes);
        let expected_path = path.with_extension("lst");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected_path, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        assert_eq!(found, expected, "{}", path.display());
        compared += 1;
    }
    assert!(compared >= 3);
}
