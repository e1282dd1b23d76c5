//! Programs with debug information that trap.

use super::guest;
use crate::support::{Folder, TRAPPED, cwasm};

/// What is printed of a division in `places.c` if all is known.
const WHERE: &[&str] = &[
    "error: wasm trap: integer divide by zero\n",
    "main!quotient (inlined)\n               at /guest/places.c:15:24\n",
    "                - divide\n               at /guest/places.c:23:11\n",
    "main!main\n               at /guest/places.c:48:18\n",
    "  ... 5 frames of the runtime\n",
];

fn places() -> String {
    let path = guest("debug/places-c.wasm");
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_program_that_is_compiled_to_run_has_lines() {
    for (name, how, expected) in [
        ("places-c", "divide", WHERE),
        ("shapes", "abort", &["at /guest/shapes.cpp:25:9\n"]),
        (
            "places",
            "closure",
            &[
                "main!places::geometry::halve (inlined)\n               at /guest/src/main.rs:22:12\n",
            ],
        ),
    ] {
        let path = guest(&format!("debug/{name}.wasm"));
        cwasm(&["run", path.to_str().unwrap(), "--", how]).fails(TRAPPED, expected);
    }
}

#[test]
fn an_artifact_has_the_lines_that_it_was_compiled_with() {
    let folder = Folder::new();
    let artifact = folder.path("places.cwasm");
    let run = || cwasm(&["run", &artifact, "--", "divide"]);
    for options in [&["--debug"][..], &["--debug=inside"], &["--dwarf"]] {
        let places = places();
        let args = [&["compile", &places, "-o", &artifact], options].concat();
        cwasm(&args).prints("");
        run().fails(TRAPPED, WHERE);
    }
    cwasm(&["compile", &places(), "-o", &artifact]).prints("");
    let plain = run();
    plain.fails(TRAPPED, &["integer divide by zero", "    0: .text+0x"]);
    assert!(!plain.stderr().contains("places.c"), "{}", plain.stderr());
}

#[test]
fn debug_information_apart_is_used_while_it_is_there() {
    let folder = Folder::new();
    let (artifact, debug) = (
        folder.path("places.cwasm"),
        folder.path("places.cwasm.debug"),
    );
    for dwarf in [&[][..], &["--dwarf"]] {
        let compile = ["compile", &places(), "-o", &artifact, "--debug=split"];
        cwasm(&[&compile, dwarf].concat()).prints("");
        assert!(std::fs::exists(&debug).unwrap());
        let run = || cwasm(&["run", &artifact, "--", "divide"]);
        run().fails(TRAPPED, WHERE);
        // As when only the artifact was copied to a machine.
        std::fs::remove_file(&debug).unwrap();
        run().fails(TRAPPED, &["    0: .text+0x"]);
        std::fs::write(&debug, "no debug information").unwrap();
        run().fails(TRAPPED, &["    0: .text+0x"]);
    }
}

#[test]
fn debug_information_apart_needs_a_file_to_be_beside() {
    let message = "--debug=split writes a file beside the artifact";
    cwasm(&["compile", &places(), "-o", "-", "--debug=split"]).fails(1, &[message]);
    cwasm(&["compile", &places(), "--debug=elsewhere"]).fails(2, &["inside", "split"]);
}

#[test]
fn damaged_debug_information_is_a_warning() {
    let folder = Folder::new();
    let mut module = std::fs::read(places()).unwrap();
    let name = b".debug_abbrev";
    let section = module.windows(name.len()).position(|bytes| bytes == name);
    // The first abbreviation's number is all that is left of the table.
    let start = section.unwrap() + name.len();
    module[start..start + 64].fill(0xff);
    let (input, artifact) = (
        folder.file("damaged.wasm", module),
        folder.path("out.cwasm"),
    );
    let ran = cwasm(&["compile", &input, "--debug", "-o", &artifact]);
    ran.prints("");
    let warning = "warning: the debug information of core module `main` is left out: ";
    assert!(ran.stderr().contains(warning), "{}", ran.stderr());
    // Names and offsets do not depend on it.
    let ran = cwasm(&["run", &artifact, "--", "divide"]);
    ran.fails(TRAPPED, &["main!divide\n", "main!main\n"]);
    assert!(!ran.stderr().contains("places.c"), "{}", ran.stderr());
}
