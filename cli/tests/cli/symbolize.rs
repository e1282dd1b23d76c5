//! `cwasm symbolize`.

use assert_cmd::Command;

use crate::programs::guest;
use crate::support::{Folder, TRAPPED, cwasm};

/// What is printed when this is standard input.
fn filtered(input: &[u8], args: &[&str]) -> String {
    let mut command = Command::cargo_bin("cwasm").unwrap();
    let ran = command.arg("symbolize").args(args).write_stdin(input);
    let output = ran.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_log_of_an_artifact_without_debug_information_is_understood_later() {
    let folder = Folder::new();
    let input = guest("debug/places-c.wasm");
    let input = input.to_str().unwrap();
    for options in [
        &[][..],
        &["-O", "none"],
        &["--cpu", "x86-64", "--interruptible"],
    ] {
        let artifact = folder.path("plain.cwasm");
        cwasm(&[&["compile", input, "-o", &artifact], options].concat()).prints("");
        let ran = cwasm(&["run", &artifact, "--", "divide"]);
        assert_eq!(ran.0.status.code(), Some(TRAPPED), "{}", ran.stderr());
        let log = ran.stderr();
        assert!(
            log.contains(".text+0x") && !log.contains("places.c"),
            "{log}"
        );
        let text = filtered(log.as_bytes(), &[&[input], options].concat());
        assert!(!text.contains(".text+"), "{text}");
        let first_line = log.lines().next().unwrap();
        assert!(text.starts_with(first_line), "{text}");
        let places = [
            "quotient (inlined)\n",
            "/guest/places.c:15:",
            "- divide\n",
            "/guest/places.c:23:",
        ];
        let mut rest = &text[..];
        for place in places {
            let (_, after) = rest
                .split_once(place)
                .unwrap_or_else(|| panic!("no `{place}` in {text}"));
            rest = after;
        }
        // The same as an artifact with debug information says.
        let debug = folder.path("debug.cwasm");
        cwasm(&[&["compile", input, "--debug", "-o", &debug], options].concat()).prints("");
        assert_eq!(filtered(log.as_bytes(), &[&debug]), text);
        let ran = cwasm(&["run", &debug, "--", "divide"]);
        let frame = |text: &str| text.split("    1: ").next().unwrap().to_owned();
        assert_eq!(frame(&text), frame(ran.stderr()));
        // So does a single offset.
        let offset = log
            .split(".text+")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        let one = cwasm(&["symbolize", &debug, offset]);
        assert!(one.stdout().contains("places.c:15:"), "{}", one.stdout());
    }
}

#[test]
fn what_is_no_offset_is_copied() {
    let folder = Folder::new();
    let module = folder.file("m.wat", "(module (func $f (export \"f\") unreachable))");
    let log = b"a log\n\n.text+0x0\n.text+0xffffff00 - f\n\xff .text+0x4 - g";
    let expected = "a log\n\n.text+0x0\n.text+0xffffff00 - f\n\u{fffd}     ";
    let text = filtered(log, &[&module]);
    assert!(
        text.starts_with(expected) && text.ends_with("- f"),
        "{text}"
    );
    cwasm(&["symbolize", &module, "0xffffff00"])
        .fails(1, &["no core function is at .text+0xffffff00"]);
    cwasm(&["symbolize", &module, "12"]).fails(2, &["expected an offset, such as 0x1a40"]);
    cwasm(&["symbolize", "no-such-file", "0x1"]).fails(1, &["no-such-file"]);
    // No end is added, and a line may be as long as it likes.
    assert_eq!(filtered(b"no end", &[&module]), "no end");
    let long = [vec![b'a'; 100_000], b" .text+0x4 - g\n".to_vec()].concat();
    assert!(filtered(&long, &[&module]).starts_with("aaa"));
    // An artifact without debug information knows the function.
    let artifact = folder.path("m.cwasm");
    cwasm(&["compile", &module, "-o", &artifact]).prints("");
    let found = cwasm(&["symbolize", &artifact, ".text+0x4"]);
    found.prints(".text+0x4 - <core instance 0, function 0>\n");
}

#[test]
fn damaged_artifacts_answer_or_say_what_is_wrong() {
    let folder = Folder::new();
    let module = folder.file("m.wat", "(module (func $f (export \"f\") unreachable))");
    let artifact = folder.path("m.cwasm");
    cwasm(&["compile", "--debug", &module, "-o", &artifact]).prints("");
    let bytes = std::fs::read(&artifact).unwrap();
    let damaged = folder.path("damaged.cwasm");
    let step = bytes.len() / 60;
    for at in (0..bytes.len()).step_by(step) {
        // Some bytes are others; or the file ends there.
        let mut changed = bytes.clone();
        let end = bytes.len().min(at + 4);
        changed[at..end].fill(0xa5);
        for bytes in [&changed[..], &bytes[..at]] {
            std::fs::write(&damaged, bytes).unwrap();
            let output = cwasm(&["symbolize", &damaged, "0x4"]).0;
            let said = String::from_utf8_lossy(&output.stderr);
            let is_known = output.status.success() && said.is_empty();
            let is_error = output.status.code() == Some(1) && said.starts_with("error: ");
            assert!(is_known || is_error, "{at}: {output:?}");
        }
    }
}
