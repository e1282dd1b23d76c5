//! Debug information costs nothing of what runs, and little in the file.

use cwasm_compiler::{Debug, OptLevel};
use cwasm_format::header::SectionId;
use cwasm_format::{Artifact, debug};
use object::{Object as _, ObjectSection as _};

use super::{LEVELS, compile, input};

const GUESTS: [&str; 4] = ["places-c", "shapes", "places", "reenter"];

#[test]
fn machine_code_is_the_same_with_debug_information_and_without() {
    for name in GUESTS {
        let wasm = input(name);
        for opt in LEVELS {
            let text = |debug| {
                let bytes = compile(&wasm, opt, debug).bytes;
                let artifact = Artifact::inspect(&bytes).unwrap();
                artifact.section(SectionId::Text).to_vec()
            };
            let expected = text(Debug::None);
            assert!(text(Debug::Inside) == expected, "{name}, {opt:?}");
            assert!(text(Debug::Split) == expected, "{name}, {opt:?}");
        }
    }
}

/// The bytes of code, without what fills the last page.
fn code_len(bytes: &[u8]) -> usize {
    let text = Artifact::inspect(bytes).unwrap().section(SectionId::Text);
    let is_code = |byte: &u8| ![0, 0xcc].contains(byte);
    text.iter().rposition(is_code).map_or(0, |last| last + 1)
}

#[test]
fn tables_of_lines_are_small() {
    for name in ["places-c", "shapes", "places"] {
        for opt in LEVELS {
            let bytes = compile(&input(name), opt, Debug::Inside).bytes;
            let lines = debug::section(&bytes, debug::LINES).unwrap().len();
            let code = code_len(&bytes);
            let percent = 100 * lines / code;
            assert!(percent < 15, "{name}, {opt:?}: {lines} of {code} bytes");
        }
    }
}

/// The sections of a file that are for tools only.
fn for_tools(bytes: &[u8]) -> Vec<String> {
    let file = object::File::parse(bytes).unwrap();
    let names = file
        .sections()
        .map(|section| section.name().unwrap().to_owned());
    let is_for_tools = |name: &String| {
        let known = [
            debug::LINES,
            debug::BUILD_ID,
            ".symtab",
            ".strtab",
            ".cwasm.names",
        ];
        known.contains(&name.as_str()) || name.starts_with(".debug")
    };
    names.filter(is_for_tools).collect()
}

#[test]
fn sections_are_where_they_were_asked_for() {
    let all = [
        ".cwasm.names",
        debug::LINES,
        debug::BUILD_ID,
        ".symtab",
        ".strtab",
    ];
    for name in GUESTS {
        let wasm = input(name);
        let output = |debug| compile(&wasm, OptLevel::Speed, debug);
        assert_eq!(for_tools(&output(Debug::None).bytes), [""; 0]);
        assert!(output(Debug::None).debug.is_none());
        assert_eq!(for_tools(&output(Debug::Inside).bytes), all);
        assert!(output(Debug::Inside).debug.is_none());
        let split = output(Debug::Split);
        assert_eq!(for_tools(&split.bytes), [debug::BUILD_ID]);
        let mut found = for_tools(&split.debug.unwrap());
        let mut expected = all;
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}

#[test]
fn the_same_input_has_the_same_debug_information() {
    for name in GUESTS {
        let wasm = input(name);
        let output = || compile(&wasm, OptLevel::Speed, Debug::Split);
        let (first, second) = (output(), output());
        assert!(
            first.bytes == second.bytes && first.debug == second.debug,
            "{name}"
        );
    }
}
