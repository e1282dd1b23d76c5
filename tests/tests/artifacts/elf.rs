//! Artifacts as standard tools see them: ELF files with segments, sections and symbols, and
//! nothing to relocate.

use crate::common;
use cwasm_compiler::{Emit, Options, compile, compile_with};
use cwasm_format::Artifact;
use cwasm_format::header::SectionId;
use object::elf;
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _};

fn artifact(input: &[u8], debug: bool) -> Vec<u8> {
    compile(
        &wat::parse_bytes(input).unwrap(),
        &Options {
            debug: match debug {
                true => cwasm_compiler::Debug::Inside,
                false => cwasm_compiler::Debug::None,
            },
            ..Options::default()
        },
    )
    .unwrap()
    .bytes
}

fn parse(bytes: &[u8]) -> ElfFile64<'_, LittleEndian> {
    ElfFile64::parse(bytes).unwrap()
}

/// A core module with imports, tables and data: an open unit.
const MODULE: &[u8] = br#"(module
    (import "env" "f" (func $f (param i32)))
    (import "env" "memory" (memory 1))
    (table 2 funcref)
    (elem (i32.const 0) $f $g)
    (data (i32.const 8) "data")
    (func $g (export "g") (param i32) (call $f (local.get 0))))"#;

#[test]
fn nothing_is_relocated() {
    for (input, debug) in [
        (common::greet(), false),
        (common::greet(), true),
        (MODULE.to_vec(), true),
    ] {
        let bytes = artifact(&input, debug);
        let file = parse(&bytes);
        let endian = LittleEndian;
        let sections = file.elf_header().section_headers(endian, &*bytes).unwrap();
        for section in sections {
            let kind = section.sh_type(endian);
            let relocates = [elf::SHT_REL, elf::SHT_RELA, elf::SHT_RELR, elf::SHT_DYNAMIC];
            assert!(!relocates.contains(&kind), "a section of type {kind}");
        }
        for segment in file.elf_program_headers() {
            assert!(![elf::PT_DYNAMIC, elf::PT_INTERP].contains(&segment.p_type(endian)));
        }
    }
}

#[test]
fn segments_cover_the_sections() {
    let bytes = artifact(&common::greet(), true);
    let file = parse(&bytes);
    let endian = LittleEndian;
    assert_eq!(file.elf_header().e_type(endian), elf::ET_DYN);
    assert_eq!(file.elf_header().e_machine(endian), elf::EM_X86_64);
    let mut loads = Vec::new();
    for segment in file.elf_program_headers() {
        let flags = segment.p_flags(endian);
        if segment.p_type(endian) != elf::PT_LOAD {
            continue;
        }
        // Nothing is writable: the context and memories are copies.
        assert_eq!(flags & elf::PF_W, 0);
        assert_eq!(segment.p_offset(endian), segment.p_vaddr(endian));
        assert_eq!(segment.p_offset(endian) % 4096, 0);
        let start = segment.p_offset(endian);
        loads.push((
            start,
            start + segment.p_filesz(endian),
            flags & elf::PF_X != 0,
        ));
    }
    assert_eq!(
        loads
            .iter()
            .filter(|(_, _, executable)| *executable)
            .count(),
        1
    );
    for section in file.sections() {
        let Some((start, size)) = section.file_range().filter(|_| section.address() != 0) else {
            continue;
        };
        let is_code = section.name() == Ok(".text");
        let inside = loads.iter().any(|(from, to, executable)| {
            *from <= start && start + size <= *to && *executable == is_code
        });
        assert!(inside, "{:?}", section.name());
    }
}

#[test]
fn sections_are_those_of_the_header() {
    let bytes = artifact(&common::greet(), true);
    let component = cwasm_tests::artifact::Workshop::new()
        .map_component(&bytes)
        .unwrap();
    let artifact: Artifact<'_> = component.artifact();
    let file = parse(&bytes);
    for id in SectionId::ALL {
        let range = artifact.range(*id);
        let found = file
            .section_by_name(id.name())
            .and_then(|section| section.file_range());
        let expected = (range.size != 0).then_some((range.offset, range.size));
        assert_eq!(found, expected, "{}", id.name());
    }
}

#[test]
fn symbols_name_the_functions() {
    let bytes = artifact(&common::greet(), true);
    let file = parse(&bytes);
    let (text, size) = file.section_by_name(".text").unwrap().file_range().unwrap();
    let mut symbols: Vec<_> = file
        .symbols()
        .filter(|symbol| !symbol.name().unwrap().is_empty())
        .map(|symbol| {
            (
                symbol.address(),
                symbol.size(),
                symbol.name().unwrap().to_owned(),
            )
        })
        .collect();
    symbols.sort();
    for name in ["splash", "take_one_step_too_many", "walk_the_plank"] {
        assert!(
            symbols.iter().any(|(_, _, symbol)| symbol.contains(name)),
            "no `{name}`"
        );
    }
    assert!(symbols.first().unwrap().0 >= text);
    for pair in symbols.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?} overlap");
    }
    let last = symbols.last().unwrap();
    assert!(last.0 + last.1 <= text + size);
    let without = artifact(&common::greet(), false);
    assert_eq!(parse(&without).symbols().count(), 0);
    assert!(without.len() < bytes.len());
}

#[test]
fn objects_hold_the_same_functions() {
    let options = Options {
        debug: cwasm_compiler::Debug::Inside,
        ..Options::default()
    };
    let object = compile_with(&common::greet(), &options, Emit::Object, &|_| {}).unwrap();
    let file = parse(&object.bytes);
    assert_eq!(file.elf_header().e_type(LittleEndian), elf::ET_REL);
    assert!(
        file.symbols()
            .any(|symbol| symbol.name().is_ok_and(|name| name.contains("splash")))
    );
}
