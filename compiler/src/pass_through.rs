//! Core modules for functions that a component imports and exports unchanged, so that the host
//! calls the host.
//!
//! No core module of the component takes part in such a call, but the two sides of the host
//! exchange flat values and memory as in any call: the function is lowered, and lifted again
//! ([`component::flatten`](crate::component::flatten)). Where values need memory, or a borrowed
//! handle must be dropped, a core module is made for the function:
//!
//! ```text
//! host -> lift of `call` (memory, realloc, post-return) -> lower (memory, realloc) -> host
//! ```
//!
//! Each such module has one instance, with a memory of its own, in a component instance of its own,
//! so that one can be used while another is. The instance may be entered again while the host's
//! function runs, so post-return frees what its own call has allocated, and keeps the memory of
//! calls that are not over:
//!
//! ```text
//! | what calls hold that wait for the host | of the innermost call | free
//!                                           base                    end
//! ```
//!
//! It drops borrowed handles after the call.

use cwasm_format::abi::{MAX_FLAT_RESULTS, PointerWidth};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, EntityType, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, MemorySection, MemoryType, NameMap, NameSection, TypeSection,
    ValType,
};

use crate::decode::decode;
use crate::error::Result;
use crate::features::Features;
use crate::module::Module;
use crate::plan::{PassThrough, Plan};

/// The most pages of the memory: 4 GiB less a page, so that the sums of 32 bits below do not
/// overflow.
const MAX_PAGES: u64 = 65_535;
/// The first address that is allocated, so that no pointer is null.
const FIRST_ADDR: i32 = 8;
/// The global with the end of all allocated memory.
const END: u32 = 0;
/// The global with the end of the memory of calls that wait for the host.
const BASE: u32 = 1;
/// The lowered function, which is imported first.
const LOWERED: u32 = 0;

/// The modules of the plan's pass-throughs, in their order.
pub(crate) fn encode(plan: &Plan) -> Vec<Vec<u8>> {
    let modules = plan.pass_throughs.iter();
    modules.map(|passed| module(plan, passed)).collect()
}

/// The modules, decoded.
pub(crate) fn modules(encoded: &[Vec<u8>]) -> Result<Vec<Module<'_>>> {
    let mut modules = Vec::new();
    for bytes in encoded {
        modules.extend(decode(bytes, Features::default())?.modules);
    }
    Ok(modules)
}

/// The core module of a function.
fn module(plan: &Plan, passed: &PassThrough) -> Vec<u8> {
    let types = &plan.types.types;
    let func = plan.types.get(passed.ty);
    let lowered = plan.types.lowered(passed.ty, PointerWidth::W32);
    let params: Vec<ValType> = lowered.params().iter().map(val_type).collect();
    let results: Vec<ValType> = lowered.results().iter().map(val_type).collect();
    // The lowered function writes a result that is not flat to the address in its last parameter;
    // the lifted one has no such parameter and returns the address.
    let spilled = func
        .result
        .filter(|_| types.result_flat(func).count() > MAX_FLAT_RESULTS)
        .map(|ty| types.abi(ty).layout.at(PointerWidth::W32));
    let (lifted_params, lifted_results) = match spilled {
        Some(_) => (&params[..params.len() - 1], vec![ValType::I32]),
        None => (&params[..], results.clone()),
    };

    let mut signatures = Signatures::default();
    let mut imports = ImportSection::new();
    let lowered = signatures.index(&params, &results);
    imports.import("", "f", EntityType::Function(lowered));
    for _ in &passed.dropped {
        let drop = signatures.index(&[ValType::I32], &[]);
        imports.import("", "drop", EntityType::Function(drop));
    }
    let first = imports.len();
    let mut funcs = FunctionSection::new();
    let mut code = CodeSection::new();
    // In the order of `PassThrough::REALLOC` and the others.
    funcs.function(signatures.index(&[ValType::I32; 4], &[ValType::I32]));
    code.function(&realloc());
    funcs.function(signatures.index(lifted_params, &lifted_results));
    let realloc = first + PassThrough::REALLOC;
    let place = spilled.map(|extent| (realloc, extent.size, extent.align));
    code.function(&call(passed, lifted_params.len() as u32, place));
    funcs.function(signatures.index(&lifted_results, &[]));
    code.function(&post_return());

    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(MAX_PAGES),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut globals = GlobalSection::new();
    let address = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    // END and BASE.
    for _ in 0..2 {
        globals.global(address, &ConstExpr::i32_const(FIRST_ADDR));
    }
    let mut func_names = NameMap::new();
    func_names.append(realloc, "realloc");
    let mut names = NameSection::new();
    names.module("cwasm-pass-through");
    names.functions(&func_names);

    let mut module = wasm_encoder::Module::new();
    module.section(&signatures.section);
    module.section(&imports);
    module.section(&funcs);
    module.section(&memories);
    module.section(&globals);
    module.section(&code);
    module.section(&names);
    module.finish()
}

/// Calls the lowered function, then drops the borrowed handles. `place` is for a result that is not
/// flat, which gets memory: the function `realloc`, the size and the alignment.
fn call(passed: &PassThrough, params: u32, place: Option<(u32, u32, u32)>) -> Function {
    let (base, result) = (params, params + 1);
    let mut func = Function::new([(1 + u32::from(place.is_some()), ValType::I32)]);
    let mut code = func.instructions();
    for param in 0..params {
        code.local_get(param);
    }
    if let Some((realloc, size, align)) = place {
        code.i32_const(0).i32_const(0);
        code.i32_const(align as i32).i32_const(size as i32);
        code.call(realloc).local_tee(result);
    }
    code.global_get(BASE).local_set(base);
    code.global_get(END).global_set(BASE);
    code.call(LOWERED);
    code.local_get(base).global_set(BASE);
    if place.is_some() {
        code.local_get(result);
    }
    for (drop, param) in (LOWERED + 1..).zip(&passed.dropped) {
        code.local_get(*param).call(drop);
    }
    code.end();
    func
}

/// `(old, old size, alignment, size) -> new`: allocates at the end of the allocated memory.
fn realloc() -> Function {
    const OLD: u32 = 0;
    const OLD_SIZE: u32 = 1;
    const ALIGN: u32 = 2;
    const SIZE: u32 = 3;
    const NEW: u32 = 4;
    const NEW_END: u32 = 5;
    const MISSING: u32 = 6;
    const PAGE_LOG2: i64 = 16;
    let mut func = Function::new([(1, ValType::I32), (2, ValType::I64)]);
    let mut code = func.instructions();
    // A block that does not grow stays where it is.
    code.local_get(SIZE).local_get(OLD_SIZE).i32_le_u();
    code.if_(BlockType::Empty);
    code.local_get(OLD_SIZE).if_(BlockType::Empty);
    code.local_get(OLD).return_().end().end();
    // new = (end + align - 1) & -align
    code.global_get(END).local_get(ALIGN).i32_const(1);
    code.i32_sub().i32_add();
    code.i32_const(0).local_get(ALIGN).i32_sub().i32_and();
    code.local_set(NEW);
    code.local_get(NEW).i64_extend_i32_u();
    code.local_get(SIZE).i64_extend_i32_u();
    code.i64_add().local_set(NEW_END);
    // The bytes that the memory lacks.
    code.local_get(NEW_END);
    code.memory_size(0).i64_extend_i32_u();
    code.i64_const(PAGE_LOG2).i64_shl();
    code.i64_sub().local_set(MISSING);
    code.local_get(MISSING).i64_const(0).i64_gt_s();
    code.if_(BlockType::Empty);
    code.i32_const(-1).local_get(MISSING);
    code.i64_const((1 << PAGE_LOG2) - 1).i64_add();
    code.i64_const(PAGE_LOG2).i64_shr_u().i32_wrap_i64();
    code.memory_grow(0).i32_eq();
    code.if_(BlockType::Empty).unreachable().end().end();
    code.local_get(NEW).local_get(OLD).local_get(OLD_SIZE);
    code.memory_copy(0, 0);
    code.local_get(NEW_END).i32_wrap_i64().global_set(END);
    code.local_get(NEW).end();
    func
}

/// Frees the memory that the call has allocated.
fn post_return() -> Function {
    let mut func = Function::new([]);
    let mut code = func.instructions();
    code.global_get(BASE).global_set(END).end();
    func
}

/// The type section; equal types are one.
#[derive(Default)]
struct Signatures {
    known: Vec<(Vec<ValType>, Vec<ValType>)>,
    section: TypeSection,
}

impl Signatures {
    /// The index of a function type.
    fn index(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let is_same = |(p, r): &(Vec<ValType>, Vec<ValType>)| p == params && r == results;
        if let Some(found) = self.known.iter().position(is_same) {
            return found as u32;
        }
        self.known.push((params.to_vec(), results.to_vec()));
        let (params, results) = (params.iter().copied(), results.iter().copied());
        self.section.ty().function(params, results);
        self.known.len() as u32 - 1
    }
}

/// A flat type.
fn val_type(ty: &wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        ty => unreachable!("no flat value has type {ty}"),
    }
}
