//! Debug information in a file of its own, which may be gone, another one or damaged: then names
//! and lines are unknown, and nothing else is different.

use std::path::Path;

use cwasm::Trap;
use cwasm_compiler::{Debug, OptLevel, Output};
use cwasm_format::debug;
use cwasm_tests::artifact::Workshop;
use cwasm_tests::random::Random;

use super::{beside, compile, input, run, write};

const PROGRAM: (&str, &str) = ("places-c", "divide");

fn split() -> Output {
    compile(&input(PROGRAM.0), OptLevel::Speed, Debug::Split)
}

/// Runs an artifact with a file of debug information beside it.
fn trap_with(workshop: &Workshop, artifact: &[u8], debug: Option<&[u8]>) -> Trap {
    let path = write(workshop, artifact, debug);
    let component = workshop.map_component_at(&path).unwrap();
    let trap = run(workshop, &component, PROGRAM.1);
    // Read while the file is there.
    let _ = trap.frames();
    for path in [beside(&path), path] {
        let _ = std::fs::remove_file(path);
    }
    trap
}

fn is_known(trap: &Trap) -> bool {
    trap.to_string().contains("/guest/places.c:23:11")
}

#[test]
fn only_the_file_that_belongs_to_the_artifact_is_used() {
    let workshop = Workshop::new();
    let Output { bytes, debug, .. } = split();
    let debug = debug.unwrap();
    let id = debug::build_id(&bytes);
    assert!(id.is_some() && id == debug::build_id(&debug));
    assert!(is_known(&trap_with(&workshop, &bytes, Some(&debug))));

    let other = compile(&input(PROGRAM.0), OptLevel::Size, Debug::Split);
    let other = other.debug.unwrap();
    assert_ne!(debug::build_id(&other), id);
    let mut files: Vec<(String, Option<Vec<u8>>)> = vec![
        ("no file".into(), None),
        ("another build's".into(), Some(other)),
        ("the artifact".into(), Some(bytes.clone())),
        ("an empty file".into(), Some(Vec::new())),
        ("text".into(), Some(b"nothing for debuggers\n".repeat(999))),
        ("0xff".into(), Some(vec![0xff; 9999])),
    ];
    let halves = (0..12).map(|shift| debug.len() >> shift);
    for len in halves.chain([debug.len() - 64, 0x40, 0x3f]).skip(1) {
        files.push((format!("{len} bytes"), Some(debug[..len].to_vec())));
    }
    files.push((
        "all bytes but one".into(),
        Some(debug[..debug.len() - 1].to_vec()),
    ));
    let unknown = trap_with(&workshop, &bytes, None);
    assert!(!unknown.frames().is_empty());
    for frame in unknown.frames() {
        assert_eq!((&frame.name, frame.wasm_offset), (&None, None));
        assert!(frame.locations.is_empty());
    }
    for (file, debug) in files {
        let trap = trap_with(&workshop, &bytes, debug.as_deref());
        assert_eq!(trap.frames(), unknown.frames(), "with {file}");
    }
}

#[test]
fn damaged_files_are_no_errors() {
    let workshop = Workshop::new();
    let Output { bytes, debug, .. } = split();
    let debug = debug.unwrap();
    let expected = trap_with(&workshop, &bytes, None);
    let mut random = Random::new(7);
    let mut unknown = 0;
    for round in 0..300 {
        let mut damaged = debug.clone();
        // Everywhere, among the headers of sections, and in the header of the file.
        let headers = u64::from_le_bytes(damaged[0x28..0x30].try_into().unwrap()) as usize;
        let (start, len) = match round % 3 {
            0 => (0, damaged.len()),
            1 => (headers, damaged.len() - headers),
            _ => (0, 0x40),
        };
        for _ in 0..1 + random.below(4) {
            let any = random.below(256) as u8;
            damaged[start + random.below(len)] = random.pick(&[0, 1, 0x7f, 0x80, 0xff, any]);
        }
        let trap = trap_with(&workshop, &bytes, Some(&damaged));
        let frames = trap.frames().iter().zip(expected.frames());
        assert_eq!(trap.frames().len(), expected.frames().len());
        for (found, expected) in frames {
            assert_eq!(found.text_offset, expected.text_offset);
        }
        assert!(!trap.to_string().is_empty());
        unknown += usize::from(!is_known(&trap));
    }
    assert!(unknown > 20, "the damage was done to what nobody reads");
}

#[test]
fn damaged_tables_inside_of_an_artifact_are_no_errors() {
    let workshop = Workshop::new();
    let bytes = compile(&input(PROGRAM.0), OptLevel::Speed, Debug::Inside).bytes;
    let mut random = Random::new(8);
    let (mut unknown, mut ran) = (0, 0);
    for round in 0..300 {
        let name = [debug::LINES, ".cwasm.names"][round % 2];
        let section = debug::section(&bytes, name).unwrap();
        let start = section.as_ptr().addr() - bytes.as_ptr().addr();
        let mut damaged = bytes.clone();
        damaged[start + random.below(section.len())] = random.below(256) as u8;
        let path = workshop.write(&damaged);
        // Names are looked at when an artifact is opened.
        if let Ok(component) = workshop.map_component_at(&path) {
            let trap = run(&workshop, &component, PROGRAM.1);
            assert!(!trap.to_string().is_empty());
            unknown += usize::from(!is_known(&trap));
            ran += 1;
        }
        let _ = std::fs::remove_file(path);
    }
    assert!(ran > 150 && unknown > 50, "{ran} ran, {unknown} unknown");
}

#[test]
fn what_is_beside_an_artifact_may_be_no_file() {
    let workshop = Workshop::new();
    let Output { bytes, .. } = split();
    let folder = |path: &Path| std::fs::create_dir(path).unwrap();
    let pipe = |path: &Path| {
        let mode = rustix::fs::Mode::RUSR;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap();
    };
    let link = |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
    let ways: [&dyn Fn(&Path); 3] = [&folder, &pipe, &link];
    for make in ways {
        let path = workshop.write(&bytes);
        make(&beside(&path));
        let component = workshop.map_component_at(&path).unwrap();
        let trap = run(&workshop, &component, PROGRAM.1);
        assert!(trap.frames().iter().all(|frame| frame.name.is_none()));
    }
}

#[test]
fn a_file_is_found_whatever_its_path_is() {
    let workshop = Workshop::new();
    let Output { bytes, debug, .. } = split();
    for name in [
        "a b.cwasm",
        "größe",
        "two  spaces",
        "(deleted)",
        "x.cwasm.y",
    ] {
        let path = workshop.folder().join(name);
        std::fs::write(&path, &bytes).unwrap();
        std::fs::write(beside(&path), debug.as_ref().unwrap()).unwrap();
        let component = workshop.map_component_at(&path).unwrap();
        assert!(is_known(&run(&workshop, &component, PROGRAM.1)), "{name}");
    }
}
