//! The time that each function took, with names.

use super::names::shown_name;
use super::parts::Parts;
use crate::stats::FunctionTiming;
use crate::work::size_hint;

/// The times of the functions, in the order of the text.
pub(crate) fn timings(parts: &Parts<'_, '_>) -> Vec<FunctionTiming> {
    let compiled = parts.compiled;
    let functions = compiled.entries().zip(&compiled.functions);
    let timing = functions.map(|(entry, function)| FunctionTiming {
        name: shown_name(parts, entry).into_owned(),
        wasm_size: size_hint(entry, parts.unit),
        code_size: function.code.len(),
        translate: function.times.translate,
        optimize: function.times.optimize,
        generate: function.times.generate,
    });
    timing.collect()
}
