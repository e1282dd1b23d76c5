//! The proposals that the input may use.

use wasmparser::{Operator, Parser, Payload, WasmFeatures};

use crate::error::{Error, Result};

/// The proposals that the input may use, by the names that WebAssembly gives them. By default, all
/// that are supported and part of WebAssembly and of the component model that WASI 0.3 uses. Off
/// are `legacy-exceptions`, which WebAssembly 3.0 replaced, and of the component model
/// `component-model-async-stackful` (functions lifted with `async` without a callback),
/// `component-model-more-async-builtins` (reads and writes of streams and futures that wait, and
/// cancels that do not) and `component-model-error-context`.
///
/// ```
/// let mut features = cwasm_compiler::Features::default();
/// features.set("simd", false)?;
/// assert!(!features.contains("relaxed-simd"));
/// # Ok::<(), cwasm_compiler::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(WasmFeatures);

/// A proposal that can be switched on or off.
struct Feature {
    name: &'static str,
    flags: WasmFeatures,
    /// The proposals that this one builds on.
    needs: &'static [&'static str],
}

const fn feature(
    name: &'static str,
    flags: WasmFeatures,
    needs: &'static [&'static str],
) -> Feature {
    Feature { name, flags, needs }
}

const FEATURES: &[Feature] = &[
    feature("mutable-global", WasmFeatures::MUTABLE_GLOBAL, &[]),
    feature(
        "nontrapping-float-to-int-conversions",
        WasmFeatures::SATURATING_FLOAT_TO_INT,
        &[],
    ),
    feature("sign-extension-ops", WasmFeatures::SIGN_EXTENSION, &[]),
    feature("multi-value", WasmFeatures::MULTI_VALUE, &[]),
    feature("bulk-memory", WasmFeatures::BULK_MEMORY, &[]),
    feature("reference-types", WasmFeatures::REFERENCE_TYPES, &[]),
    feature("simd", WasmFeatures::SIMD, &[]),
    feature("relaxed-simd", WasmFeatures::RELAXED_SIMD, &["simd"]),
    feature("tail-call", WasmFeatures::TAIL_CALL, &[]),
    feature("extended-const", WasmFeatures::EXTENDED_CONST, &[]),
    feature("multi-memory", WasmFeatures::MULTI_MEMORY, &[]),
    feature("memory64", WasmFeatures::MEMORY64, &[]),
    feature(
        "function-references",
        WasmFeatures::FUNCTION_REFERENCES,
        &["reference-types"],
    ),
    feature("threads", WasmFeatures::THREADS, &[]),
    feature("custom-page-sizes", WasmFeatures::CUSTOM_PAGE_SIZES, &[]),
    feature("wide-arithmetic", WasmFeatures::WIDE_ARITHMETIC, &[]),
    feature("compact-imports", WasmFeatures::COMPACT_IMPORTS, &[]),
    feature("exceptions", WasmFeatures::EXCEPTIONS, &["reference-types"]),
    feature(
        "legacy-exceptions",
        WasmFeatures::LEGACY_EXCEPTIONS,
        &["exceptions"],
    ),
    feature(
        "component-model-async-stackful",
        WasmFeatures::CM_ASYNC_STACKFUL,
        &[],
    ),
    feature(
        "component-model-more-async-builtins",
        WasmFeatures::CM_MORE_ASYNC_BUILTINS,
        &[],
    ),
    feature(
        "component-model-error-context",
        WasmFeatures::CM_ERROR_CONTEXT,
        &[],
    ),
];

/// What is supported, and off by default.
const OFF: WasmFeatures = WasmFeatures::LEGACY_EXCEPTIONS
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_ERROR_CONTEXT);

impl Default for Features {
    fn default() -> Features {
        Features(ALL.difference(OFF))
    }
}

/// The features that the validator accepts. Not all of them can be compiled; the stages refuse the
/// rest where they meet it. Garbage collection is here because its recursion groups are supported,
/// async components because a component may declare their types without using them.
/// [`needs`](crate::needs) has all names.
const ALL: WasmFeatures = OFF
    .union(WasmFeatures::WASM3)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::COMPACT_IMPORTS)
    .union(WasmFeatures::COMPONENT_MODEL)
    .union(WasmFeatures::CM_ASYNC)
    .union(WasmFeatures::CM_FIXED_LENGTH_LISTS)
    .union(WasmFeatures::CM_MAP)
    .union(WasmFeatures::CM64)
    .union(WasmFeatures::CM_IMPLEMENTS)
    .union(WasmFeatures::CM_CANON_NAMES);

impl Features {
    /// All proposals that are supported.
    pub fn all() -> Features {
        Features(ALL)
    }

    /// The names of all proposals that can be switched on or off.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FEATURES.iter().map(|feature| feature.name)
    }

    /// Switches a proposal: on with all that it builds on, or off with all that builds on it.
    ///
    /// # Errors
    /// If no proposal has this name.
    pub fn set(&mut self, name: &str, on: bool) -> Result<()> {
        let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
            let known: Vec<_> = Features::names().collect();
            let message = format!("unknown feature `{name}` (known: {})", known.join(", "));
            return Err(Error::option(message));
        };
        if on {
            self.0 |= feature.flags;
            feature
                .needs
                .iter()
                .try_for_each(|needed| self.set(needed, true))
        } else {
            *self = self.without(feature);
            Ok(())
        }
    }

    /// Whether the input may use a proposal.
    pub fn contains(&self, name: &str) -> bool {
        let feature = FEATURES.iter().find(|feature| feature.name == name);
        feature.is_some_and(|feature| self.0.contains(feature.flags))
    }

    /// The validator's flags.
    pub(crate) fn flags(self) -> WasmFeatures {
        self.0
    }

    fn without(self, feature: &Feature) -> Features {
        let mut flags = self.0.difference(feature.flags);
        if feature.flags == WasmFeatures::FUNCTION_REFERENCES {
            // The validator takes it for a part of gc.
            flags.remove(WasmFeatures::GC);
        }
        let above = FEATURES
            .iter()
            .filter(|other| other.needs.contains(&feature.name));
        above.fold(Features(flags), |features, other| features.without(other))
    }
}

/// The name of the proposal that the validator's flags stand for, if it can be switched.
pub(crate) fn name(flags: WasmFeatures) -> Option<&'static str> {
    let found = FEATURES.iter().find(|feature| feature.flags == flags);
    found.map(|feature| feature.name)
}

/// The offset of the first `return_call_ref`, if tail calls are off in `on`: the validator asks for
/// typed function references there, but not for tail calls.
pub(crate) fn tail_call(bytes: &[u8], on: WasmFeatures) -> Result<Option<u64>> {
    if on.contains(WasmFeatures::TAIL_CALL) {
        return Ok(None);
    }
    for payload in Parser::new(0).parse_all(bytes) {
        let Payload::CodeSectionEntry(body) = payload? else {
            continue;
        };
        for op in body.get_operators_reader()?.into_iter_with_offsets() {
            if let (Operator::ReturnCallRef { .. }, offset) = op? {
                return Ok(Some(offset));
            }
        }
    }
    Ok(None)
}

/// Refuses the tail calls that the validator accepts although the proposal is off.
pub(crate) fn check_tail_calls(bytes: &[u8], features: Features) -> Result<()> {
    match tail_call(bytes, features.0)? {
        Some(offset) => Err(Error::invalid("tail calls are not enabled", offset)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, compile};

    fn error(text: &str, off: &[&str]) -> String {
        let mut options = Options::default();
        for name in off {
            options.features.set(name, false).unwrap();
        }
        let bytes = wat::parse_str(text).unwrap();
        compile(&bytes, &options).unwrap_err().to_string()
    }

    #[test]
    fn what_needs_a_feature_that_is_off_is_refused_with_its_name_and_place() {
        let cases = [
            ("tail-call", "(func $f (return_call $f))", 0x17),
            (
                "tail-call",
                "(type $f (func)) (func (param (ref $f)) (return_call_ref $f (local.get 0)))",
                0x1e,
            ),
            ("multi-memory", "(memory 1) (memory 1)", 0xa),
            ("memory64", "(memory i64 1)", 0xb),
            ("multi-value", "(func (result i32 i32) unreachable)", 0xb),
            (
                "bulk-memory",
                "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))",
                0x22,
            ),
            ("function-references", "(func (param (ref func)))", 0xb),
            (
                "extended-const",
                "(global i32 (i32.add (i32.const 1) (i32.const 1)))",
                0x11,
            ),
            ("threads", "(func atomic.fence)", 0x17),
            ("custom-page-sizes", "(memory 1 (pagesize 1))", 0xb),
            (
                "sign-extension-ops",
                "(func (drop (i32.extend8_s (i32.const 0))))",
                0x19,
            ),
            ("simd", "(func (drop (v128.const i64x2 0 0)))", 0x17),
            (
                "relaxed-simd",
                "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
                0x1c,
            ),
            (
                "wide-arithmetic",
                "(func (i64.mul_wide_u (i64.const 1) (i64.const 1)) drop drop)",
                0x1b,
            ),
            ("reference-types", "(func (param externref))", 0xb),
            (
                "mutable-global",
                "(global (export \"g\") (mut i32) (i32.const 0))",
                0x13,
            ),
        ];
        for (name, text, offset) in cases {
            let expected =
                format!("needs the feature `{name}`, which is off (at offset {offset:#x})");
            assert_eq!(error(&format!("(module {text})"), &[name]), expected);
        }
    }

    #[test]
    fn the_first_of_several_features_is_named() {
        let text = "(module (memory i64 1) (func $f (return_call $f)))";
        let found = error(text, &["tail-call", "memory64"]);
        assert!(found.starts_with("needs the feature `memory64`"), "{found}");
    }

    #[test]
    fn what_is_invalid_in_any_case_is_said_first() {
        for text in [
            "(module (func $f (return_call $f)) (func (result i32) (i64.const 0)))",
            "(module (tag) (func (result i32) (i64.const 0)))",
        ] {
            let found = error(text, &["tail-call"]);
            assert!(found.contains("type mismatch"), "{found}");
        }
    }

    #[test]
    fn features_are_switched_with_what_they_build_on() {
        let mut features = Features::default();
        features.set("simd", false).unwrap();
        assert!(!features.contains("relaxed-simd") && features.contains("threads"));
        features.set("relaxed-simd", true).unwrap();
        assert_eq!(features, Features::default());
        let message = features.set("sind", true).unwrap_err().to_string();
        assert!(
            message.starts_with("unknown feature `sind` (known: "),
            "{message}"
        );
    }
}
