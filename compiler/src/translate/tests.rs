//! Every operator translates, passes Cranelift's verifier and compiles; the design is in the code.

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, ir};

use super::{TranslateState, translate_function};
use crate::decode::decode;
use crate::env::{
    ConstValue, Env, FuncId, FuncLoc, FuncRefs, GlobalLoc, MemoryBase, MemoryLoc, SegmentLoc,
    SegmentStart, TableLoc,
};
use crate::error::Result;
use crate::module::Module;

const CONTEXT_SIZE: u32 = 0x1000;
const FIRST_MEMORY: u32 = 0x20;
const TYPE_IDS: u32 = 0x40;
const SLOTS: u32 = 0x100;

/// An x86-64 target with the settings of the compiler.
pub(crate) fn target(cpu: &str, opt_level: &str) -> OwnedTargetIsa {
    let mut flags = settings::builder();
    flags.set("opt_level", opt_level).unwrap();
    flags.enable("preserve_frame_pointers").unwrap();
    flags.enable("enable_multi_ret_implicit_sret").unwrap();
    flags.set("unwind_info", "false").unwrap();
    let mut builder = isa::lookup("x86_64-unknown-linux-gnu".parse().unwrap()).unwrap();
    builder.enable(cpu).unwrap();
    builder.finish(settings::Flags::new(flags)).unwrap()
}

/// A plausible layout: in a closed unit everything is in the context, in an open one imports are
/// reached through slots.
pub(crate) fn env<'a>(module: &'a Module<'a>, refs: FuncRefs) -> Env<'a> {
    let open = refs != FuncRefs::Closed;
    let slot = |index: usize| SLOTS + 32 * index as u32;
    let imported = |index: usize, imports: u32| open && index < imports as usize;
    let funcs = (0..module.funcs.len()).map(|index| match imported(index, module.imported_funcs) {
        true => FuncLoc::Import { slot: slot(index) },
        false => FuncLoc::Local {
            func: FuncId(index as u32),
            func_ref: open.then_some(slot(index)),
        },
    });
    let tables = module.tables.iter().enumerate().map(|(index, ty)| {
        match imported(index, module.imported_tables) {
            true => TableLoc::Import { slot: slot(index) },
            false if ty.maximum == Some(ty.initial) => TableLoc::Fixed {
                desc: slot(index),
                elements: 0x800,
                len: ty.initial as u32,
            },
            false => TableLoc::Own { desc: slot(index) },
        }
    });
    let memories = module.memories.iter().enumerate().map(|(index, ty)| {
        let page_log2 = ty.page_size_log2.unwrap_or(16);
        MemoryLoc {
            base: match imported(index, module.imported_memories) {
                true => MemoryBase::Import { slot: slot(index) },
                false if index == 0 => {
                    MemoryBase::First { context_size: CONTEXT_SIZE, desc: FIRST_MEMORY }
                }
                false => MemoryBase::Own { desc: slot(index) },
            },
            min_byte_len: ty.initial << page_log2,
            reservation: 1 << 32,
            guard_size: 32 << 20,
            is_64: ty.memory64,
            page_log2,
        }
    });
    let globals = module.globals.iter().enumerate().map(|(index, ty)| {
        match imported(index, module.imported_globals) {
            true => GlobalLoc::Import { slot: slot(index) },
            false if !ty.mutable && ty.content_type == wasmparser::ValType::I32 => {
                GlobalLoc::Const(ConstValue::I32(7))
            }
            false => GlobalLoc::Own { offset: slot(index) },
        }
    });
    let segment = |index: usize, start| Some(SegmentLoc { start, len: slot(index) });
    Env {
        module,
        instance: 0,
        funcs: funcs.collect(),
        tables: tables.collect(),
        memories: memories.collect(),
        globals: globals.collect(),
        data: (0..module.data.len())
            .map(|index| segment(index, SegmentStart::Data(64 * index as u32)))
            .collect(),
        elements: (0..module.elements.len())
            .map(|index| segment(index, SegmentStart::Context(0xa00)))
            .collect(),
        type_numbers: (0..module.types.len() as u32).collect(),
        refs,
        flags: None,
    }
}

/// Translates and compiles all functions of a module: the listing of each.
pub(crate) fn compile(
    module: &Module<'_>,
    refs: FuncRefs,
    isa: &dyn isa::TargetIsa,
    state: &mut TranslateState,
) -> Result<Vec<String>> {
    let env = env(module, refs);
    let mut listings = Vec::new();
    for index in module.imported_funcs..module.funcs.len() as u32 {
        let mut context = Context::for_function(ir::Function::new());
        context.set_disasm(true);
        translate_function(&env, index, isa, state, &mut context.func)?;
        let text = context.func.display().to_string();
        if let Err(errors) = context.verify(isa) {
            panic!("{errors}\n{text}");
        }
        let code = match context.compile(isa, &mut ControlPlane::default()) {
            Ok(code) => code,
            Err(error) => panic!("{:?}\n{text}", error.inner),
        };
        listings.push(code.vcode.clone().unwrap());
    }
    Ok(listings)
}

fn compile_text(text: &str, refs: FuncRefs) -> Result<Vec<String>> {
    let bytes = wat::parse_str(text).unwrap();
    let decoded = decode(&bytes)?;
    let isa = target("x86-64-v3", "speed");
    compile(&decoded.modules[0], refs, &*isa, &mut TranslateState::default())
}

/// The instructions of the only function of a module, without prologue and epilogue.
fn listing(text: &str, refs: FuncRefs) -> Vec<String> {
    let listings = compile_text(text, refs).unwrap();
    let [listing] = &listings[..] else { panic!("one function is expected") };
    let lines = listing.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(str::to_string).collect()
}

#[test]
fn print_listings() {
    for (name, text) in LISTINGS {
        for refs in [FuncRefs::Closed, FuncRefs::Open { type_ids: TYPE_IDS }] {
            println!("== {name} {refs:?}\n{}\n", listing(text, refs).join("\n"));
        }
    }
}

const LISTINGS: &[(&str, &str)] = &[
    ("load", "(module (memory 1) (func (param i32) (result i32) (i32.load offset=8 (local.get 0))))"),
    ("load const", "(module (memory 1) (func (result i32) (i32.load offset=8 (i32.const 16))))"),
    ("load big", "(module (memory 1) (func (param i32) (result i32) (i32.load offset=0x10000000 (local.get 0))))"),
    ("load64", "(module (memory i64 1) (func (param i64) (result i32) (i32.load offset=8 (local.get 0))))"),
    ("load imp", "(module (memory (import \"\" \"\") 1) (func (param i32) (result i32) (i32.load offset=8 (local.get 0))))"),
    ("load own", "(module (memory 0) (memory 1) (func (param i32) (result i32) (i32.load 1 offset=8 (local.get 0))))"),
    ("size", "(module (memory 1) (func (result i32) memory.size))"),
    ("grow", "(module (memory 1) (func (result i32) (memory.grow (i32.const 1))))"),
    ("call_indirect fixed", "(module (type (func (param i32) (result i32))) (table 8 8 funcref) (func (param i32) (result i32) (call_indirect (type 0) (local.get 0) (local.get 0))))"),
    ("call_indirect own", "(module (type (func (param i32) (result i32))) (table 8 funcref) (func (param i32) (result i32) (call_indirect (type 0) (local.get 0) (local.get 0))))"),
    ("ref.func", "(module (func $f (result funcref) (ref.func $f)) (export \"\" (func $f)))"),
    ("loop", "(module (memory 1) (func (param $p i32) (param $n i32) (result i32) (local $s i32) (loop $l (local.set $s (i32.add (local.get $s) (i32.load (local.get $p)))) (local.set $p (i32.add (local.get $p) (i32.const 4))) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $s)))"),
];
