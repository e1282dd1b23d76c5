//! The components that cases run in, as text.
//!
//! Every guest has two memories: the one that the canonical ABI sees, and `control`, which holds
//! what the guest is told to do and what it has seen. The host sets both with `reset` and reads
//! both with `report`; `libc.wat` has these and `realloc`.

use std::fmt::Write as _;

use super::typed::ROWS;
use crate::reference::{
    Core, Encoding, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, Type, Value, Width, flatten,
};

/// Places in the memory `control`, in bytes. All numbers are little-endian.
pub mod control {
    /// How often `realloc` was called: 4 bytes.
    pub const CALLS: usize = 0x00;
    /// How often post-return was called: 4 bytes.
    pub const POSTS: usize = 0x04;
    /// Where the next free place is: 8 bytes.
    pub const NEXT: usize = 0x08;
    /// The callee's behaviour: 8 bytes.
    pub const BEHAVIOUR: usize = 0x10;
    /// The behaviour of post-return: 8 bytes.
    pub const POST_BEHAVIOUR: usize = 0x18;
    /// The argument of post-return: 8 bytes.
    pub const POST_ARG: usize = 0x20;
    /// How many handles are dropped at the end: 4 bytes.
    pub const DROPS: usize = 0x28;
    /// The script of `realloc`: action and value, 8 bytes each, 16 times.
    pub const SCRIPT: usize = 0x40;
    /// The arguments that the caller gives or the callee gets: 8 bytes each, 17 times.
    pub const ARGS: usize = 0x200;
    /// The result that the callee returns or the caller gets: 8 bytes.
    pub const RESULT: usize = 0x300;
    /// The type and the handle of each that is dropped, 4 bytes each.
    pub const DROPPED: usize = 0x400;
    /// The most that are dropped.
    pub const MAX_DROPS: usize = 0x180;
    /// The size of all of these.
    pub const HEAD_SIZE: usize = 0x1000;
    /// The arguments of `realloc`: 4 times 8 bytes, 512 times.
    pub const LOG: usize = 0x1000;
    /// The entries of the log.
    pub const LOG_LEN: usize = 512;
    /// The part of a report after head and log: the other memory.
    pub const MEMORY: usize = 0x5000;
}

/// A function of a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Func {
    /// The types of the parameters `p0`, `p1`...
    pub params: Vec<Type>,
    /// The type of the result.
    pub result: Option<Type>,
    /// The encoding of the caller, if it is a guest.
    pub caller: Encoding,
    /// The encoding of the callee, if it is a guest.
    pub callee: Encoding,
    /// Whether the callee has a post-return.
    pub post_return: bool,
    /// The Rust types that stand for it: a row of [`typed::ROWS`](super::typed::ROWS).
    pub typed: Option<usize>,
}

/// Caller and callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The host calls what a guest exports.
    Export,
    /// A guest calls what the host provides.
    Import,
    /// A guest calls another one.
    Between,
}

impl Path {
    /// All three.
    pub const ALL: [Path; 3] = [Path::Export, Path::Import, Path::Between];
}

/// A guest's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Pages at first.
    pub min: usize,
    /// Pages at most.
    pub max: usize,
    /// How wide its addresses are.
    pub width: Width,
}

/// A component with many functions.
#[derive(Clone, Debug)]
pub struct World {
    /// The caller.
    pub path: Path,
    /// Whether the functions are `async`, so that their calls are tasks; between guests only.
    pub is_async: bool,
    /// The functions `f0`, `f1`...
    pub funcs: Vec<Func>,
    /// The caller's memory.
    pub caller: Memory,
    /// The callee's memory.
    pub callee: Memory,
}

/// The component that a world is.
pub fn component(world: &World) -> String {
    match world.path {
        Path::Export => format!("(component\n{})\n", exporter(world).0),
        Path::Import => format!("(component\n{})\n", importer(world).0),
        Path::Between => {
            let ((callee, _), (caller, types)) = (exporter(world), importer(world));
            let mut with = String::new();
            for index in 0..types {
                let _ = write!(with, " (with \"n{index}\" (type $c \"n{index}\"))");
            }
            let mut resources = "";
            let mut given = "";
            if world.has_handles() {
                resources = RESOURCES;
                given = RESOURCES_GIVEN;
            }
            for index in 0..world.funcs.len() {
                let _ = write!(with, " (with \"f{index}\" (func $c \"f{index}\"))");
            }
            format!(
                "(component\n(import \"tick\" (func $tick))\n{resources}(component $C\n{callee})\n(component \
                 $D\n{caller})\n(instance $c (instantiate $C (with \"tick\" (func $tick)){given}))\n\
                 (instance $d (instantiate $D (with \"tick\" (func $tick)){given}{with}))\n(export \"c\" \
                 (instance $c))\n(export \"d\" (instance $d)))\n"
            )
        }
    }
}

/// The resources of the host, and functions that make them.
const RESOURCES: &str = r#"(import "r0" (type $r0 (sub resource)))
(import "r1" (type $r1 (sub resource)))
(import "make0" (func $make0 (param "rep" u32) (result (own $r0))))
(import "make1" (func $make1 (param "rep" u32) (result (own $r1))))
"#;

/// The same, passed on.
const RESOURCES_GIVEN: &str = r#" (with "r0" (type $r0)) (with "r1" (type $r1))
(with "make0" (func $make0)) (with "make1" (func $make1))"#;

impl World {
    /// Whether the functions have handles.
    pub fn has_handles(&self) -> bool {
        self.funcs.iter().any(Func::has_handles)
    }
}

/// Types that need a name, each after those that it is made of.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn of(&mut self, ty: &Type) -> String {
        let list = |names: &mut Names, types: &[Type]| {
            let types = types.iter().map(|ty| names.of(ty));
            types.collect::<Vec<_>>().join(" ")
        };
        match ty {
            Type::List(element) => format!("(list {})", self.of(element)),
            Type::FixedList(element, len) => format!("(list {} {len})", self.of(element)),
            Type::Map(pair) => {
                let Type::Tuple(parts) = &**pair else {
                    panic!("{pair:?} is not a pair");
                };
                format!("(map {})", list(self, parts))
            }
            Type::Tuple(fields) => format!("(tuple {})", list(self, fields)),
            Type::Option(some) => format!("(option {})", self.of(some)),
            Type::Result(ok, error) => {
                let ok = ok
                    .as_ref()
                    .map_or(String::new(), |ty| format!(" {}", self.of(ty)));
                let error = error.as_ref();
                let error = error.map_or(String::new(), |ty| format!(" (error {})", self.of(ty)));
                format!("(result{ok}{error})")
            }
            Type::Record(fields) => {
                let fields = fields.iter().enumerate().map(|(index, ty)| {
                    let ty = self.of(ty);
                    format!(" (field \"f{index}\" {ty})")
                });
                let text = format!("(record{})", fields.collect::<String>());
                self.define(text)
            }
            Type::Variant(cases) => {
                let cases = cases.iter().enumerate().map(|(index, ty)| {
                    let ty = ty
                        .as_ref()
                        .map_or(String::new(), |ty| format!(" {}", self.of(ty)));
                    format!(" (case \"c{index}\"{ty})")
                });
                let text = format!("(variant{})", cases.collect::<String>());
                self.define(text)
            }
            Type::Enum(count) => self.define(labels("enum", 'c', *count)),
            Type::Flags(count) => self.define(labels("flags", 'n', *count)),
            Type::Own(resource) => format!("(own $r{resource})"),
            Type::Borrow(resource) => format!("(borrow $r{resource})"),
            simple => format!("{simple:?}").to_lowercase(),
        }
    }

    fn define(&mut self, text: String) -> String {
        self.0.push(text);
        format!("$n{}", self.0.len() - 1)
    }
}

fn labels(keyword: &str, letter: char, count: usize) -> String {
    let labels = (0..count).map(|index| format!(" \"{letter}{index}\""));
    format!("({keyword}{})", labels.collect::<String>())
}

/// The component types of all functions, and the types that they name.
fn signatures(world: &World) -> (Vec<String>, Vec<String>) {
    let mut names = Names::default();
    let signature = |func: &Func| {
        let mut text = String::new();
        if world.is_async {
            text += " async";
        }
        for (index, ty) in func.params.iter().enumerate() {
            let _ = write!(text, " (param \"p{index}\" {})", names.of(ty));
        }
        if let Some(ty) = &func.result {
            let _ = write!(text, " (result {})", names.of(ty));
        }
        text
    };
    let signatures = world.funcs.iter().map(signature).collect();
    (signatures, names.0)
}

/// The imports of every guest.
fn imports(world: &World) -> String {
    let resources = if world.has_handles() { RESOURCES } else { "" };
    format!("(import \"tick\" (func $tick))\n{resources}")
}

/// The first part of every guest.
fn libc(memory: Memory, has_handles: bool) -> String {
    let (pointer, narrow, widen) = match memory.width {
        Width::W32 => (
            "i32",
            "(i32.wrap_i64 (local.get 0))",
            "(i64.extend_i32_u (local.get 0))",
        ),
        Width::W64 => ("i64", "(local.get 0)", "(local.get 0)"),
    };
    let text = include_str!("libc.wat")
        .replace("MIN MAX", &format!("{} {}", memory.min, memory.max))
        .replace("POINTER", pointer)
        .replace("NARROW", narrow)
        .replace("WIDEN", widen);
    let handles = match has_handles {
        true => include_str!("handles.wat"),
        false => "",
    };
    format!("(core func $tick' (canon lower (func $tick)))\n{text}{handles}")
}

/// The canonical options of a guest.
fn options(encoding: Encoding) -> String {
    let name = encoding.name();
    format!("string-encoding={name} (memory $memory) (realloc $realloc)")
}

/// The body of the component that exports the functions, and how many types it names.
fn exporter(world: &World) -> (String, usize) {
    let (signatures, names) = signatures(world);
    let mut text = imports(world);
    for (index, name) in names.iter().enumerate() {
        let _ = writeln!(
            text,
            "(type $n{index}' {name}) (export $n{index} \"n{index}\" (type $n{index}'))"
        );
    }
    let (import, with) = drop_all(world);
    text += &libc(world.callee, world.has_handles());
    text += "(core module $m\n(import \"host\" \"tick\" (func $tick))\n";
    text += import;
    text += "(import \"libc\" \"control\" (memory $control 5 5))\n";
    for (index, func) in world.funcs.iter().enumerate() {
        callee(&mut text, index, func, world.callee.width);
    }
    let _ = writeln!(
        text,
        ")\n(core instance $i (instantiate $m (with \"libc\" (instance $libc)){with} (with \"host\" \
         (instance (export \"tick\" (func $tick'))))))"
    );
    for (index, (func, signature)) in world.funcs.iter().zip(signatures).enumerate() {
        let mut options = options(func.callee);
        if func.post_return {
            let _ = writeln!(
                text,
                "(alias core export $i \"p{index}\" (core func $p{index}))"
            );
            let _ = write!(options, " (post-return $p{index})");
        }
        let _ = writeln!(
            text,
            "(func (export \"f{index}\"){signature} (canon lift (core func $i \"f{index}\") \
             {options}))"
        );
    }
    (text, names.len())
}

/// The core function that is called, and its post-return.
fn callee(text: &mut String, index: usize, func: &Func, width: Width) {
    let (params, results) = func.core_types(false, width);
    let result = results.first().copied();
    let _ = write!(
        text,
        "(func (export \"f{index}\"){}",
        core_signature(&params, result)
    );
    for (param, core) in params.iter().enumerate() {
        let at = control::ARGS + 8 * param;
        let value = to_i64(*core, &format!("(local.get {param})"));
        let _ = write!(text, "\n  (i64.store $control (i32.const {at}) {value})");
    }
    let at = control::BEHAVIOUR;
    let _ = write!(
        text,
        "\n  (if (i32.load $control (i32.const {at})) (then (unreachable)))"
    );
    if func.has_handles() {
        *text += "\n  (call $drop-all)";
    }
    if let Some(core) = result {
        let value = format!("(i64.load $control (i32.const {}))", control::RESULT);
        let _ = write!(text, "\n  {}", from_i64(core, &value));
    }
    *text += ")\n";
    if func.post_return {
        let posts = control::POSTS;
        let _ = write!(
            text,
            "(func (export \"p{index}\"){}\n  (i32.store $control (i32.const {posts}) (i32.add \
             (i32.load $control (i32.const {posts})) (i32.const 1)))",
            core_signature(&results, None)
        );
        if let Some(core) = result {
            let (at, value) = (control::POST_ARG, to_i64(core, "(local.get 0)"));
            let _ = write!(text, "\n  (i64.store $control (i32.const {at}) {value})");
        }
        let load = format!(
            "(i32.load $control (i32.const {}))",
            control::POST_BEHAVIOUR
        );
        let _ = writeln!(
            text,
            "\n  (if (i32.eq {load} (i32.const 1)) (then (unreachable)))\n  (if (i32.eq {load} \
             (i32.const 2)) (then (call $tick))))"
        );
    }
}

/// The body of the component that imports the functions, and how many types it names.
fn importer(world: &World) -> (String, usize) {
    let (signatures, names) = signatures(world);
    let mut text = imports(world);
    for (index, name) in names.iter().enumerate() {
        let _ = writeln!(
            text,
            "(type $n{index}' {name}) (import \"n{index}\" (type $n{index} (eq $n{index}')))"
        );
    }
    for (index, signature) in signatures.iter().enumerate() {
        let _ = writeln!(text, "(import \"f{index}\" (func $f{index}{signature}))");
    }
    text += &libc(world.caller, world.has_handles());
    let (mut module, mut with) = (String::new(), String::new());
    for (index, func) in world.funcs.iter().enumerate() {
        let options = options(func.caller);
        let _ = writeln!(
            text,
            "(core func $f{index}' (canon lower (func $f{index}) {options}))"
        );
        let _ = write!(with, " (export \"f{index}\" (func $f{index}'))");
        caller_import(&mut module, index, func, world.caller.width);
    }
    let (import, with_handles) = drop_all(world);
    module += import;
    module += "(import \"libc\" \"control\" (memory $control 5 5))\n";
    for (index, func) in world.funcs.iter().enumerate() {
        caller(&mut module, index, func, world.caller.width);
    }
    let _ = write!(
        text,
        "(core module $m\n{module})\n(core instance $i (instantiate $m (with \"libc\" (instance \
         $libc)){with_handles} (with \"f\" (instance{with}))))\n"
    );
    for (index, func) in world.funcs.iter().enumerate() {
        let lent = match func.has_handles() {
            true => " (param \"lent\" (borrow $r0))",
            false => "",
        };
        let _ = writeln!(
            text,
            "(func (export \"run{index}\"){lent} (canon lift (core func $i \"run{index}\")))"
        );
    }
    (text, names.len())
}

/// How a core module imports what drops handles, and what it is given.
fn drop_all(world: &World) -> (&'static str, &'static str) {
    match world.has_handles() {
        true => (
            "(import \"handles\" \"drop-all\" (func $drop-all))\n",
            " (with \"handles\" (instance $handles))",
        ),
        false => ("", ""),
    }
}

fn caller_import(text: &mut String, index: usize, func: &Func, width: Width) {
    let (params, results) = func.core_types(true, width);
    let signature = core_signature(&params, results.first().copied());
    let _ = writeln!(
        text,
        "(import \"f\" \"f{index}\" (func $f{index}{signature}))"
    );
}

/// The core function that calls.
fn caller(text: &mut String, index: usize, func: &Func, width: Width) {
    let (params, results) = func.core_types(true, width);
    let mut call = format!("(call $f{index}");
    for (param, core) in params.iter().enumerate() {
        let value = format!(
            "(i64.load $control (i32.const {}))",
            control::ARGS + 8 * param
        );
        let _ = write!(call, " {}", from_i64(*core, &value));
    }
    call += ")";
    if let Some(core) = results.first() {
        let value = to_i64(*core, &call);
        call = format!(
            "(i64.store $control (i32.const {}) {value})",
            control::RESULT
        );
    }
    let (lent, end) = match func.has_handles() {
        true => ("(param i32)", "(call $drop-all)"),
        false => ("", ""),
    };
    let _ = writeln!(text, "(func (export \"run{index}\") {lent} {call} {end})");
}

impl Func {
    /// Core parameters and results ("flatten_functype"), lifted or `lowered`.
    pub fn core_types(&self, lowered: bool, width: Width) -> (Vec<Core>, Vec<Core>) {
        let flat = |types: &[Type]| -> Vec<Core> {
            types.iter().flat_map(|ty| flatten(ty, width)).collect()
        };
        let (mut params, mut results) = (flat(&self.params), flat(self.result.as_slice()));
        if params.len() > MAX_FLAT_PARAMS {
            params = vec![Core::pointer(width)];
        }
        if results.len() > MAX_FLAT_RESULTS {
            results = vec![Core::pointer(width)];
            if lowered {
                params.append(&mut results);
            }
        }
        (params, results)
    }
}

impl Func {
    /// Whether it takes or returns handles.
    pub fn has_handles(&self) -> bool {
        self.params
            .iter()
            .chain(&self.result)
            .any(Type::has_handles)
    }

    /// Parameters or results as the host has them.
    pub(super) fn as_host_has(&self, mut values: Vec<Value>) -> Vec<Value> {
        // What may follow is padding.
        if let (Some(row), Some(value)) = (self.typed, values.first_mut()) {
            *value = (ROWS[row].normal)(value);
        }
        values
    }
}

fn core_signature(params: &[Core], result: Option<Core>) -> String {
    let name = |core: &Core| format!("{core:?}").to_lowercase();
    let mut text = String::new();
    for core in params {
        let _ = write!(text, " (param {})", name(core));
    }
    if let Some(core) = result {
        let _ = write!(text, " (result {})", name(&core));
    }
    text
}

fn to_i64(core: Core, value: &str) -> String {
    match core {
        Core::I32 => format!("(i64.extend_i32_u {value})"),
        Core::I64 => value.to_owned(),
        Core::F32 => format!("(i64.extend_i32_u (i32.reinterpret_f32 {value}))"),
        Core::F64 => format!("(i64.reinterpret_f64 {value})"),
    }
}

fn from_i64(core: Core, value: &str) -> String {
    match core {
        Core::I32 => format!("(i32.wrap_i64 {value})"),
        Core::I64 => value.to_owned(),
        Core::F32 => format!("(f32.reinterpret_i32 (i32.wrap_i64 {value}))"),
        Core::F64 => format!("(f64.reinterpret_i64 {value})"),
    }
}
