//! The features that an input needs. The only place that knows which features are not supported,
//! and their names.
//!
//! The validator refuses features that are off in [`Features`], and the stages stop at the first
//! thing that they cannot compile. Neither lists all that is missing. This module does, for an
//! input that was refused or for one that nobody has compiled: it validates the input, and after
//! each missing feature validates it again with that feature on.

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::{
    BlockType, CanonicalFunction, CompositeInnerType, HeapType, Operator, Parser, Payload, RefType,
    ValType, Validator, WasmFeatures,
};

use crate::core_types::check_ref_type;
use crate::error::{Error, ErrorKind, Need, Result};
use crate::features::{self, Features};

/// Proposals that are not supported, and those that [`Features`] does not name because they cannot
/// be switched off.
const OTHERS: &[(&str, WasmFeatures)] = &[
    ("component-model", WasmFeatures::COMPONENT_MODEL),
    ("bulk-memory", WasmFeatures::BULK_MEMORY_OPT),
    ("reference-types", WasmFeatures::CALL_INDIRECT_OVERLONG),
    ("gc", WasmFeatures::GC),
    ("custom-descriptors", WasmFeatures::CUSTOM_DESCRIPTORS),
    ("stack-switching", WasmFeatures::STACK_SWITCHING),
    (
        "shared-everything-threads",
        WasmFeatures::SHARED_EVERYTHING_THREADS,
    ),
    ("memory-control", WasmFeatures::MEMORY_CONTROL),
    (
        "acquire-release-atomics",
        WasmFeatures::ACQUIRE_RELEASE_ATOMICS,
    ),
    (
        "multibyte-array-access",
        WasmFeatures::MULTIBYTE_ARRAY_ACCESS,
    ),
    ("component-model values", WasmFeatures::CM_VALUES),
    (
        "component-model nested names",
        WasmFeatures::CM_NESTED_NAMES,
    ),
    ("component-model async", WasmFeatures::CM_ASYNC),
    (
        "component-model async, forwarding",
        WasmFeatures::CM_FORWARD,
    ),
    ("component-model threads", WasmFeatures::CM_THREADING),
    (
        "component-model fixed-length lists",
        WasmFeatures::CM_FIXED_LENGTH_LISTS,
    ),
    ("component-model gc", WasmFeatures::CM_GC),
    ("component-model maps", WasmFeatures::CM_MAP),
    ("component-model memory64", WasmFeatures::CM64),
    ("component-model implements", WasmFeatures::CM_IMPLEMENTS),
    (
        "component-model version suffixes",
        WasmFeatures::CM_CANON_NAMES,
    ),
    ("component-model accessors", WasmFeatures::CM_ACCESSORS),
];

/// All features that a valid input needs beyond WebAssembly 1.0, in the order in which they are
/// found, and as the validator's flags.
///
/// # Errors
/// If the input is not valid even with all features.
pub(crate) fn features(bytes: &[u8]) -> Result<(Vec<Need>, WasmFeatures)> {
    let mut on = WasmFeatures::MVP;
    let found = missing(bytes, &mut on)?;
    let mut needs: Vec<Need> = Vec::new();
    for Missing { flags, offset } in found {
        let name = name(flags);
        if !needs.iter().any(|need| need.name == name) {
            needs.push(Need {
                name: name.to_owned(),
                offset: Some(offset),
            });
        }
    }
    needs.extend(gc(bytes));
    Ok((needs, on))
}

/// The error for an input that was refused with `error`: that it is not valid; else all features
/// that it needs and that are not supported; else the first one that is switched off. Validates the
/// whole input several times: where the validator does not name the missing feature, each is tried.
#[cold]
pub(crate) fn refusal(bytes: &[u8], on: Features, error: Error) -> Error {
    let own = match error.kind() {
        ErrorKind::Invalid { .. } => None,
        ErrorKind::Unsupported { needs } => Some(needs.clone()),
        _ => return error,
    };
    let missing = match missing(bytes, &mut on.flags()) {
        Ok(missing) => missing,
        Err(invalid) => return invalid,
    };
    let supported = Features::all().flags();
    let (off, unsupported): (Vec<_>, Vec<_>) = missing
        .into_iter()
        .partition(|missing| supported.contains(missing.flags));
    let mut needs: Vec<Need> = Vec::new();
    let found = unsupported.into_iter().map(|missing| Need {
        name: name(missing.flags).to_owned(),
        offset: Some(missing.offset),
    });
    let own = own.unwrap_or_default();
    for need in component(bytes)
        .into_iter()
        .chain(found)
        .chain(gc(bytes))
        .chain(own)
    {
        // A feature may be in the list already, with all its parts.
        if !needs
            .iter()
            .any(|known| need.proposal().starts_with(known.proposal()))
        {
            needs.push(need);
        }
    }
    if !needs.is_empty() {
        return Error::from(ErrorKind::Unsupported { needs });
    }
    match off.iter().min_by_key(|missing| missing.offset) {
        Some(Missing { flags, offset }) => Error::disabled(name(*flags), *offset),
        None => error,
    }
}

/// A feature without which the validator refuses the input.
struct Missing {
    flags: WasmFeatures,
    offset: u64,
}

/// The features that the validator misses where only `on` is allowed. Adds them to `on`.
fn missing(bytes: &[u8], on: &mut WasmFeatures) -> Result<Vec<Missing>> {
    let mut found: Vec<Missing> = Vec::new();
    loop {
        let error = match Validator::new_with_features(*on).validate_all(bytes) {
            Ok(_) => match features::tail_call(bytes, *on)? {
                Some(offset) => {
                    *on |= WasmFeatures::TAIL_CALL;
                    found.push(Missing {
                        flags: WasmFeatures::TAIL_CALL,
                        offset,
                    });
                    continue;
                }
                None => return Ok(found),
            },
            Err(error) => error,
        };
        let flags = error.missing_wasm_feature().or_else(|| guess(bytes, *on));
        let Some(mut flags) = flags.filter(|flags| !on.contains(*flags)) else {
            return Err(error.into());
        };
        *on |= flags;
        if flags == WasmFeatures::GC {
            // To the validator, recursion groups are a part of garbage collection; [`gc`] finds the
            // other parts.
            flags = WasmFeatures::FUNCTION_REFERENCES;
            *on |= flags;
        }
        found.push(Missing {
            flags,
            offset: error.offset(),
        });
    }
}

/// The feature without which an input is not valid, where the validator does not name it.
fn guess(bytes: &[u8], on: WasmFeatures) -> Option<WasmFeatures> {
    let is_valid = |flags| {
        let valid = Validator::new_with_features(flags).validate_all(bytes);
        valid.is_ok()
    };
    let off = WasmFeatures::all().difference(on);
    if !is_valid(on | off) {
        return None;
    }
    off.iter()
        .find(|flags| !is_valid(WasmFeatures::all().difference(*flags)))
}

fn name(flags: WasmFeatures) -> &'static str {
    features::name(flags).unwrap_or_else(|| {
        let known = OTHERS.iter().find(|(_, known)| *known == flags);
        known.map_or("an unknown proposal", |(name, _)| name)
    })
}

/// The first use of garbage collection, apart from recursion groups, which are supported.
fn gc(bytes: &[u8]) -> Option<Need> {
    let mut finder = Gc::default();
    for payload in Parser::new(0).parse_all(bytes) {
        // Input that cannot be read was refused before.
        finder.payload(payload.ok()?)?;
        if let Some(offset) = finder.found {
            return Some(Need {
                name: "gc".to_owned(),
                offset: Some(offset),
            });
        }
    }
    None
}

/// Refuses the parts of garbage collection that translation cannot compile.
pub(crate) fn check_gc(bytes: &[u8]) -> Result<()> {
    match gc(bytes) {
        Some(need) => Err(Error::unsupported(need.name, need.offset)),
        None => Ok(()),
    }
}

/// Searches an input for garbage collection.
#[derive(Default)]
struct Gc {
    found: Option<u64>,
}

impl Gc {
    fn payload(&mut self, payload: Payload<'_>) -> Option<()> {
        match payload {
            Payload::TypeSection(reader) => {
                for group in reader.into_iter_with_offsets() {
                    let (offset, group) = group.ok()?;
                    for ty in group.into_types() {
                        match ty.composite_type.inner {
                            CompositeInnerType::Func(func)
                                if ty.is_final && ty.supertype_idxs.is_empty() =>
                            {
                                let types = func.params().iter().chain(func.results());
                                types.for_each(|ty| self.value(*ty, offset));
                            }
                            _ => self.at(offset),
                        }
                    }
                }
            }
            Payload::TableSection(reader) => {
                for table in reader.into_iter_with_offsets() {
                    let (offset, table) = table.ok()?;
                    self.reference(table.ty.element_type, offset);
                }
            }
            Payload::GlobalSection(reader) => {
                for global in reader.into_iter_with_offsets() {
                    let (offset, global) = global.ok()?;
                    self.value(global.ty.content_type, offset);
                    self.operators(global.init_expr.get_operators_reader())?;
                }
            }
            Payload::CodeSectionEntry(body) => {
                let mut locals = body.get_locals_reader().ok()?;
                for _ in 0..locals.get_count() {
                    let offset = locals.original_position();
                    self.value(locals.read().ok()?.1, offset);
                }
                self.operators(body.get_operators_reader().ok()?)?;
            }
            _ => {}
        }
        Some(())
    }

    fn at(&mut self, offset: u64) {
        self.found = self.found.or(Some(offset));
    }

    fn value(&mut self, ty: ValType, offset: u64) {
        if let ValType::Ref(ty) = ty {
            self.reference(ty, offset);
        }
    }

    fn reference(&mut self, ty: RefType, offset: u64) {
        let refused = check_ref_type(ty).err();
        if refused.is_some_and(|error| error.is_unsupported("gc")) {
            self.at(offset);
        }
    }

    fn heap(&mut self, ty: HeapType, offset: u64) {
        if let Some(ty) = RefType::new(true, ty) {
            self.reference(ty, offset);
        }
    }

    fn operators(&mut self, mut reader: wasmparser::OperatorsReader<'_>) -> Option<()> {
        while !reader.eof() {
            let (op, offset) = reader.read_with_offset().ok()?;
            match op {
                Operator::RefNull { hty } => self.heap(hty, offset),
                Operator::TypedSelect { ty } => self.value(ty, offset),
                Operator::Block {
                    blockty: BlockType::Type(ty),
                }
                | Operator::Loop {
                    blockty: BlockType::Type(ty),
                }
                | Operator::If {
                    blockty: BlockType::Type(ty),
                } => self.value(ty, offset),
                op if proposal(&op) == "gc" => self.at(offset),
                _ => {}
            }
        }
        Some(())
    }
}

macro_rules! define_proposal {
    ($(@$proposal:ident $op:ident $({ $($payload:tt)* })? => $visit:ident ($($ann:tt)*))*) => {
        /// The proposal that brought an operator, in wasmparser's spelling.
        fn proposal(op: &Operator<'_>) -> &'static str {
            match op {
                $(Operator::$op { .. } => stringify!($proposal),)*
                _ => "an unknown operator",
            }
        }
    };
}
wasmparser::for_each_operator!(define_proposal);

/// The error for an operator that is valid but cannot be translated.
#[cold]
pub(crate) fn operator(op: &Operator<'_>, offset: u64) -> Error {
    Error::unsupported(proposal(op).replace('_', "-"), offset)
}

/// The unsupported proposals that a component uses, each with the names of the parts that are used.
fn component(bytes: &[u8]) -> Vec<Need> {
    let mut used = Parts::default();
    // Input that cannot be read was refused before.
    for payload in Parser::new(0)
        .parse_all(bytes)
        .map_while(|payload| payload.ok())
    {
        match payload {
            Payload::ComponentCanonicalSection(reader) => {
                for (offset, func) in reader.into_iter_with_offsets().map_while(|func| func.ok()) {
                    used.add(canonical(&func), offset);
                }
            }
            Payload::ComponentStartSection { range, .. } => {
                used.add([(VALUES, "start functions")], range.start);
            }
            _ => {}
        }
    }
    let needs = used.0.into_iter().map(|(proposal, (offset, parts))| {
        let parts: Vec<_> = parts.into_iter().collect();
        Need {
            name: format!("{proposal} ({})", parts.join(", ")),
            offset: Some(offset),
        }
    });
    needs.collect()
}

/// The parts that are used, by proposal, each with the first offset where it is used.
#[derive(Default)]
struct Parts(BTreeMap<&'static str, (u64, BTreeSet<&'static str>)>);

impl Parts {
    fn add(&mut self, parts: impl IntoIterator<Item = (&'static str, &'static str)>, offset: u64) {
        for (proposal, part) in parts {
            let (first, parts) = self.0.entry(proposal).or_insert((offset, BTreeSet::new()));
            *first = offset.min(*first);
            parts.insert(part);
        }
    }
}

const FORWARDING: &str = "component-model async, forwarding";
const THREADS: &str = "component-model threads";
const SHARED: &str = "shared-everything-threads";
const VALUES: &str = "component-model values";

/// The parts of proposals that a canonical definition uses.
fn canonical(func: &CanonicalFunction) -> Vec<(&'static str, &'static str)> {
    use CanonicalFunction as F;

    let part = match func {
        F::ThreadSpawnRef { .. } => (SHARED, "thread.spawn-ref"),
        F::ThreadSpawnIndirect { .. } => (SHARED, "thread.spawn-indirect"),
        F::ThreadAvailableParallelism => (SHARED, "thread.available-parallelism"),
        F::StreamForward { .. } => (FORWARDING, "stream.forward"),
        F::FutureForward { .. } => (FORWARDING, "future.forward"),
        F::ThreadIndex => (THREADS, "thread.index"),
        F::ThreadNewIndirect { .. } => (THREADS, "thread.new-indirect"),
        F::ThreadResumeLater => (THREADS, "thread.resume-later"),
        F::ThreadSuspend => (THREADS, "thread.suspend"),
        F::ThreadSuspendThenResume => (THREADS, "thread.suspend-then-resume"),
        F::ThreadYieldThenResume => (THREADS, "thread.yield-then-resume"),
        F::ThreadSuspendThenPromote => (THREADS, "thread.suspend-then-promote"),
        F::ThreadYieldThenPromote => (THREADS, "thread.yield-then-promote"),
        _ => return Vec::new(),
    };
    vec![part]
}

/// The error for a canonical definition that is valid but cannot be compiled.
#[cold]
pub(crate) fn definition(func: &CanonicalFunction, offset: u64) -> Error {
    match canonical(func).first() {
        Some((proposal, part)) => Error::unsupported(format!("{proposal} ({part})"), offset),
        None => unreachable!("lifts, lowers and functions of resources are supported"),
    }
}
