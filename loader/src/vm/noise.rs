//! What of a backtrace a reader needs not see.

use super::backtrace::Frame;

/// How many frames of a backtrace are those that every program has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noise {
    /// How many of the innermost frames only end the program: after a panic, or `abort`.
    pub(crate) panic: usize,
    /// How many of the outermost ones only begin it.
    pub(crate) runtime: usize,
}

impl Noise {
    pub(crate) const NONE: Noise = Noise {
        panic: 0,
        runtime: 0,
    };

    /// What there is of it in these frames. If that is all of them, none is.
    pub(crate) fn of(frames: &[Frame]) -> Noise {
        // Rust says itself where its runtime begins and ends.
        let is_at = |mark| move |frame: &Frame| name(frame).contains(mark);
        let ended = frames.iter().position(is_at(END)).map_or(0, |at| at + 1);
        let ends = |frame: &&Frame| is_one_of(name(frame), PANIC);
        let panic = ended + frames[ended..].iter().take_while(ends).count();
        let begun = frames.iter().rposition(is_at(BEGIN));
        let begun = begun.unwrap_or(frames.len());
        let starts = |frame: &&Frame| is_one_of(name(frame), RUNTIME);
        let inside = frames[..begun].iter().rev().take_while(starts).count();
        let runtime = frames.len() - begun + inside;
        match panic + runtime < frames.len() {
            true => Noise { panic, runtime },
            false => Noise::NONE,
        }
    }
}

/// What Rust calls when a panic has been reported, and what calls a program.
const END: &str = "::__rust_end_short_backtrace";
const BEGIN: &str = "::__rust_begin_short_backtrace";

/// What ends programs: names, or starts of names if they end with punctuation.
const PANIC: &[&str] = &[
    "core::panicking::",
    "core::option::expect_failed",
    "core::option::unwrap_failed",
    "core::result::unwrap_failed",
    "core::slice::index::slice_",
    "core::str::slice_error_fail",
    "core::str::slice_error_fail_rt",
    "core::cell::panic_",
    "alloc::alloc::handle_alloc_error",
    "alloc::raw_vec::handle_error",
    "std::panicking::",
    "std::process::abort",
    "std::sys::pal::",
    "std::terminate()",
    "std::__terminate(",
    "std::__2::__libcpp_verbose_abort",
    "__rustc::",
    "rust_begin_unwind",
    "__cxa_pure_virtual",
    "__assert_fail",
    "abort",
];

/// What begins programs, in the same way.
const RUNTIME: &[&str] = &[
    "<fn() as core::ops::function::FnOnce<()>>::call_once",
    "core::ops::function::FnOnce::call_once",
    "_start",
    "_start.command_export",
    "__main_void",
    "__original_main",
    "__wasm_call_ctors",
    "wasi:cli/run@",
];

/// The name of the function in the source, if that is known: linkers may give it another one.
fn name(frame: &Frame) -> &str {
    let outermost = frame.locations.last();
    let in_source = outermost.and_then(|location| location.function.as_ref());
    in_source.or(frame.name.as_ref()).map_or("", |name| name)
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names
        .iter()
        .any(|known| match known.ends_with([':', '_', '(', '@']) {
            true => name.starts_with(known),
            false => name == *known,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_programs_have_is_noise() {
        for (names, expected) in [
            (&[][..], (0, 0)),
            (&["run"], (0, 0)),
            (&["abort", "run", "main", "_start"], (1, 1)),
            (&["abort", "_start"], (0, 0)),
            (&["abortion", "core::panicking", "main", "restart"], (0, 0)),
            (
                &[
                    "dlabort",
                    "std::sys::backtrace::__rust_end_short_backtrace::<f>",
                    "__rustc::rust_begin_unwind",
                    "core::panicking::panic_fmt",
                    "app::main",
                    "core::ops::function::FnOnce::call_once",
                    "std::sys::backtrace::__rust_begin_short_backtrace::<fn(), ()>",
                    "std::rt::lang_start::{{closure}}",
                    "main",
                    "_start",
                ],
                (4, 5),
            ),
            // What a program calls itself stays.
            (
                &["run", "core::panicking::panic_fmt", "_start", "main"],
                (0, 0),
            ),
        ] {
            let frames: Vec<Frame> = names.iter().map(|name| Frame::named(name)).collect();
            let Noise { panic, runtime } = Noise::of(&frames);
            assert_eq!((panic, runtime), expected, "{names:?}");
        }
    }
}
