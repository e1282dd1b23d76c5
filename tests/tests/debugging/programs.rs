//! Programs of `wasi/guests/debug`: where they trap, as their sources say.
//!
//! `NAME.txt` in this folder has what is printed of each trap of a program. `UPDATE=1 cargo test
//! --workspace --test debugging programs` writes the files anew, to be reviewed as a diff beside
//! the sources. That `llvm-symbolizer` says the same of all places is checked by the runner
//! `lines`.

use std::fmt::Write as _;
use std::path::Path;

use cwasm::{CoreVal, Extern, Frame, Location, Store, Trap};
use cwasm_compiler::{Debug, OptLevel};
use cwasm_tests::artifact::Workshop;

use super::{LEVELS, compile, input, run, trap, write};

/// The programs, and in which ways they trap.
const PROGRAMS: [(&str, &[&str]); 3] = [
    (
        "places-c",
        &["divide", "outside", "deep", "callback", "abort"],
    ),
    ("shapes", &["divide", "large", "abort"]),
    ("places", &["closure", "panic", "option"]),
];

/// All that a program's traps print.
fn printed(workshop: &Workshop, name: &str, ways: &[&str], opt: OptLevel, debug: Debug) -> String {
    let output = compile(&input(name), opt, debug);
    let path = write(workshop, &output.bytes, output.debug.as_deref());
    let component = workshop.map_component_at(&path).unwrap();
    let mut text = String::new();
    for how in ways {
        let trap = run(workshop, &component, how);
        writeln!(text, "{name} {how}\n{trap}").unwrap();
    }
    text
}

#[test]
fn traps_are_where_the_sources_say() {
    let workshop = Workshop::new();
    for (name, ways) in PROGRAMS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debugging");
        let path = folder.join(format!("{name}.txt"));
        let first = printed(&workshop, name, ways, OptLevel::Speed, Debug::Inside);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &first).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        assert_eq!(first, expected, "{name}");
        // Without optimisation, a trap behind a branch has a line of its own.
        let found = printed(&workshop, name, ways, OptLevel::Speed, Debug::Split);
        assert_eq!(found, expected, "{name}");
    }
}

/// The functions and lines of a frame, in short.
fn places(frame: &Frame) -> Vec<(&str, &str, u32, u32)> {
    let place = |location: &'_ Location| (location.line.unwrap(), location.column.unwrap());
    frame
        .locations
        .iter()
        .map(|location| {
            let function = location.function.as_deref().unwrap();
            let file = location.file.as_deref().unwrap();
            let (line, column) = place(location);
            (function, file, line, column)
        })
        .collect()
}

#[test]
fn frames_say_which_functions_were_inlined() {
    let workshop = Workshop::new();
    {
        let opt = OptLevel::Speed;
        let divide = trap(&workshop, ("places-c", "divide"), opt, Debug::Inside);
        let frames = divide.frames();
        assert_eq!(
            places(&frames[0]),
            [
                ("quotient", "/guest/places.c", 15, 24),
                ("divide", "/guest/places.c", 23, 11)
            ]
        );
        assert_eq!(
            places(&frames[1]),
            [("__main_argc_argv", "/guest/places.c", 48, 18)]
        );
        let names: Vec<_> = frames
            .iter()
            .map(|frame| frame.name.as_deref().unwrap())
            .collect();
        assert_eq!(names[..2], ["divide", "main"]);
        assert!(names.contains(&"_start"), "{names:?}");
        let closure = trap(&workshop, ("places", "closure"), opt, Debug::Inside);
        let [innermost, outer, ..] = closure.frames() else {
            panic!("{closure}")
        };
        let (area, file) = (
            "<places::geometry::Square<u32> as places::geometry::Area>::area",
            "/guest/src/main.rs",
        );
        assert_eq!(
            places(innermost),
            [
                ("places::geometry::halve", file, 22, 12),
                (area, file, 16, 13)
            ]
        );
        let outer = places(outer);
        assert!(outer.len() > 2, "{outer:?}");
        let last = outer.len() - 1;
        assert_eq!(
            (outer[0], outer[last]),
            (
                ("places::in_closure::{closure#0}", file, 49, 37),
                ("places::in_closure", file, 49, 50)
            )
        );
    }
}

#[test]
fn code_beside_a_function_of_several_units_has_its_own_lines() {
    let workshop = Workshop::new();
    let output = compile(&input("twice/twice"), OptLevel::Speed, Debug::Inside);
    let module = workshop.map_module(&output.bytes).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let instance = module.instantiate(&mut store, &[]).unwrap();
    let Some(Extern::Func(run)) = instance.get(&store, "run").unwrap() else {
        panic!("the module exports `run`")
    };
    let sum = run.call(&mut store, &[CoreVal::I32(3)]).unwrap();
    assert!(matches!(sum[..], [CoreVal::I32(15)]), "{sum:?}");
    let error = run.call(&mut store, &[CoreVal::I32(0)]).unwrap_err();
    let frames = error.trap().unwrap().frames();
    // The unit that is not optimised says of the first that it is a part of `Sum::up_to`.
    assert_eq!(
        [places(&frames[0]), places(&frames[1])],
        [
            [("quotient(int, int)", "/guest/twice/twice.cpp", 5, 14)],
            [("run", "/guest/twice/twice.cpp", 12, 29)]
        ]
    );
}

/// What is known of frames without names.
fn bare(trap: &Trap) -> Vec<(u32, u32, u32)> {
    let frames = trap.frames().iter();
    let bare = frames.map(|frame| (frame.core_instance, frame.func_index, frame.text_offset));
    bare.collect()
}

#[test]
fn without_debug_information_there_are_the_same_frames_with_numbers() {
    let workshop = Workshop::new();
    for opt in LEVELS {
        for program in [
            ("places-c", "deep"),
            ("shapes", "large"),
            ("places", "panic"),
        ] {
            let without = trap(&workshop, program, opt, Debug::None);
            let with = trap(&workshop, program, opt, Debug::Inside);
            assert_eq!((without.code(), bare(&without)), (with.code(), bare(&with)));
            for frame in without.frames() {
                let numbers = (frame.core_instance, frame.func_index, frame.text_offset);
                assert_eq!((&frame.name, &frame.module), (&None, &None));
                assert_eq!((frame.wasm_offset, frame.func_offset), (None, None));
                assert!(frame.locations.is_empty());
                let (instance, index, offset) = numbers;
                let name = format!("<core instance {instance}, function {index}>");
                assert_eq!(frame.to_string(), format!(".text+{offset:#x} - {name}"));
            }
            // Without names nothing is known to be of no interest.
            assert_eq!(without.to_string(), format!("{without:#}"));
            assert_eq!(without.to_string().lines().count(), 1 + with.frames().len());
        }
    }
}

#[test]
fn all_frames_are_there_when_all_are_asked_for() {
    let workshop = Workshop::new();
    for (program, panics, runtime) in [
        (("places-c", "divide"), 0, 5),
        (("shapes", "abort"), 1, 5),
        (("places", "panic"), 12, 8),
        (("places", "option"), 12, 8),
    ] {
        let trap = trap(&workshop, program, OptLevel::Speed, Debug::Inside);
        let (short, all) = (trap.to_string(), format!("{trap:#}"));
        let count = trap.frames().len();
        for (index, frame) in trap.frames().iter().enumerate() {
            let line = format!("\n  {index:>3}: {frame}");
            assert!(all.contains(&line), "no frame {index} in {all}");
            let is_shown = (panics..count - runtime).contains(&index);
            assert_eq!(short.contains(&line), is_shown, "{index} in {short}");
        }
        assert!(!all.contains("... "), "{all}");
        let left_out = |count: usize, of: &str| match count {
            0 => String::new(),
            1 => format!("\n  ... a frame of {of}"),
            _ => format!("\n  ... {count} frames of {of}"),
        };
        for part in [
            left_out(panics, "a panic"),
            left_out(runtime, "the runtime"),
        ] {
            assert!(short.contains(&part), "no `{part}` in {short}");
        }
        assert_eq!(short.contains("of a panic"), panics != 0);
    }
}

#[test]
fn offsets_are_those_of_the_module_before_it_was_rewritten() {
    let workshop = Workshop::new();
    let module = super::guest("places-c");
    let trap = trap(
        &workshop,
        ("places-c", "outside"),
        OptLevel::Speed,
        Debug::Inside,
    );
    let frame = &trap.frames()[0];
    let (offset, inside) = (frame.wasm_offset.unwrap(), frame.func_offset.unwrap());
    // i32.load, where the program reads what is not there.
    assert_eq!(module[offset as usize], 0x28);
    let mut bodies = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(&module) {
        if let wasmparser::Payload::CodeSectionEntry(body) = payload.unwrap() {
            bodies.push(body.range());
        }
    }
    let range = bodies.iter().find(|range| range.contains(&offset.into()));
    assert_eq!(range.unwrap().start, u64::from(offset - inside));
}
