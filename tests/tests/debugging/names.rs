//! Names of modules, functions and files in backtraces: those that debug information gives,
//! whatever they are.

use cwasm::{Linker, Store, Trap};
use cwasm_compiler::{Debug, OptLevel};
use cwasm_tests::artifact::Workshop;

use super::{compile, guest, trap_inside};

/// `reenter`, in whose names and debug information each of these texts is another one, as long.
fn renamed(texts: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut module = guest("reenter");
    for (from, to) in texts {
        assert_eq!(from.len(), to.len());
        let mut count = 0;
        for place in 0..module.len() - from.len() {
            if module[place..].starts_with(from) {
                module[place..place + to.len()].copy_from_slice(to);
                count += 1;
            }
        }
        assert!(count > 0, "no {}", from.escape_ascii());
    }
    module
}

fn trap(wasm: &[u8]) -> Trap {
    let artifact = compile(wasm, OptLevel::Speed, Debug::Inside);
    trap_inside(&Workshop::new(), &artifact.bytes)
}

#[test]
fn a_module_of_its_own_has_names_and_lines() {
    let trap = trap(&guest("reenter"));
    let frames = trap.frames();
    let offsets = [&frames[0], &frames[1]].map(|frame| frame.wasm_offset.unwrap());
    let expected = format!(
        "wasm trap: unreachable
    0: {:#8x} - scaled
               at /guest/reenter.c:10:9
    1: {:#8x} - inner
               at /guest/reenter.c:17:22",
        offsets[0], offsets[1]
    );
    assert_eq!(trap.to_string(), expected);
}

#[test]
fn hostile_names_are_one_line_each() {
    let trap = trap(&renamed(&[
        (b"scaled", b"s\x1b[1m\n"),
        (b"/guest", b"/g\nu\tt"),
        (b"reenter.c", b"re\xe2\x80\xaee.c\x07"),
    ]));
    let text = format!("{trap}\n{trap:#}");
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains('\u{202e}'), "{line:?}");
        let starts = [
            "wasm trap: unreachable",
            "    0: ",
            "    1: ",
            "               at /g",
        ];
        let is_ours = starts.iter().any(|start| line.starts_with(start));
        assert!(is_ours, "{line:?} in {text}");
    }
    assert_eq!(lines.len(), 10, "{text}");
    assert!(text.contains("s\\u{1b}[1m\\u{a}"), "{text}");
    assert!(
        text.contains("at /g\\u{a}u\\u{9}t/re\\u{202e}e.c\\u{7}:10:9"),
        "{text}"
    );
    // Those who look at the fields get what the guest says.
    let frame = &trap.frames()[0];
    assert_eq!(frame.name.as_deref(), Some("s\x1b[1m\n"));
    let file = frame.locations[0].file.as_deref();
    assert_eq!(file, Some("/g\nu\tt/re\u{202e}e.c\u{7}"));
}

#[test]
fn texts_that_are_no_utf8_are_shown_as_such() {
    let trap = trap(&renamed(&[(b"reenter.c", b"\xff\xfe\x80\xc3\x28...c")]));
    let file = trap.frames()[0].locations[0].file.as_deref();
    assert_eq!(file, Some("/guest/\u{fffd}\u{fffd}\u{fffd}\u{fffd}(...c"));
}

/// Runs the function `run` of a component until it traps: what is printed of its frames, without
/// their offsets.
fn frames(text: &str) -> Vec<String> {
    let wasm = wat::parse_str(text).unwrap();
    let workshop = Workshop::new();
    let output = compile(&wasm, OptLevel::Speed, Debug::Inside);
    let component = workshop.map_component(&output.bytes).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let linker = Linker::new(workshop.engine());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run");
    let error = run.unwrap().call(&mut store, ()).unwrap_err();
    let frames = error.trap().unwrap().frames().iter();
    let frames = frames.map(|frame| {
        let text = frame.to_string();
        let (_, name) = text.split_once(" - ").unwrap();
        name.to_owned()
    });
    frames.collect()
}

#[test]
fn modules_have_the_names_that_they_or_their_components_give() {
    let module = |name: &str| {
        format!(
            "(core module {name} (func $f (export \"f\") unreachable))
            (core instance $i (instantiate 0))
            (func (export \"run\") (canon lift (core func $i \"f\")))"
        )
    };
    let nested = |name: &str, module: &str| {
        format!(
            "(component (component {name} {module})
            (instance $c (instantiate 0)) (export \"run\" (func $c \"run\")))"
        )
    };
    // The text format writes a name of a core module into the module and into its component.
    let own = module("$own");
    for (text, expected) in [
        (format!("(component {own})"), "own!f"),
        (format!("(component {})", module("")), "f"),
        (nested("$inside", &own), "inside/own!f"),
        (nested("$inside", &module("")), "inside!f"),
        (
            format!("(component {})", module("(@name \"a\\nb\\1b\")")),
            "a\\u{a}b\\u{1b}!f",
        ),
    ] {
        assert_eq!(frames(&text), [expected], "{text}");
    }
}
