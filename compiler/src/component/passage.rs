//! Passages: how the host calls a function that a component imports and exports as it is.
//!
//! No core module has a part in such a call, but the host's two sides meet in flat values and memory
//! like any others: the function is lowered, and lifted again. Where values need memory, a core module
//! that is made for the function has it:
//!
//! ```text
//! host -> lift of `call` (memory, realloc, post-return) -> lower (memory, realloc) -> host
//! ```
//!
//! Each passage is a component instance of its own, so that one can be used while another is, and has a
//! memory of its own, all of which post-return frees.

use std::fmt::Write as _;

use cwasm_format::abi::{Extent, MAX_FLAT_RESULTS, PointerWidth};
use cwasm_format::exports::encoding;
use cwasm_format::types::{TypeDef, ValueType};

use super::types::{FuncTypeId, TypeBuilder};
use super::{
    ComponentInstanceId, CoreDef, CoreFunc, CoreItem, InstanceId, Lift, Lower, ModuleId, Options,
    Plan, PlanInstance,
};
use crate::decode;
use crate::error::Result;
use crate::features::Features;
use crate::module::Module;

/// Adds a passage to an import of the plan: its lift. Nothing has memory yet.
pub(crate) fn add(plan: &mut Plan, import: u32, ty: FuncTypeId) -> u32 {
    let options = Options {
        memory: None,
        realloc: None,
        post_return: None,
        string_encoding: encoding::UTF8,
        width: PointerWidth::W32,
    };
    let component = ComponentInstanceId(plan.component_instances);
    plan.component_instances += 1;
    let lower = plan.lowers.len() as u32;
    plan.lowers.push(Lower {
        import,
        ty,
        options,
        component,
    });
    let lift = plan.lifts.len() as u32;
    plan.lifts.push(Lift {
        func: CoreFunc::Lower(lower),
        ty,
        options,
        component,
    });
    plan.passages.push((lower, lift));
    lift
}

/// The core modules of those passages that need memory, by the places of their lower and lift.
pub(crate) fn modules(plan: &Plan, types: &TypeBuilder) -> Vec<((u32, u32), Vec<u8>)> {
    if plan.passages.is_empty() {
        return Vec::new();
    }
    let pointers = types_with_pointers(types);
    let needs_memory = |ty: FuncTypeId| {
        let func = types.get(ty);
        let mut values = func.params.iter().map(|(_, ty)| *ty).chain(func.result);
        !types.types.params_flat(func).fits()
            || types.types.result_flat(func).count() > MAX_FLAT_RESULTS
            || values.any(|ty| has_pointers(&pointers, ty))
    };
    let module = |(lower, lift): &(u32, u32)| {
        let ty = plan.lifts[*lift as usize].ty;
        needs_memory(ty).then(|| ((*lower, *lift), module(types, ty)))
    };
    plan.passages.iter().filter_map(module).collect()
}

/// Puts these core modules into the plan.
pub(crate) fn link<'a>(
    plan: &mut Plan,
    sources: &'a [((u32, u32), Vec<u8>)],
    modules: &mut Vec<Module<'a>>,
) -> Result<()> {
    for ((lower, lift), bytes) in sources {
        modules.extend(decode::decode(bytes, Features::default())?.modules);
        let instance = InstanceId(plan.instances.len() as u32);
        plan.instances.push(PlanInstance {
            module: ModuleId(modules.len() as u32 - 1),
            imports: vec![CoreDef::Func(CoreFunc::Lower(*lower))],
        });
        // As the functions of the module are numbered below.
        let func = |index| CoreFunc::Export { instance, index };
        let memory = Some(CoreItem { instance, index: 0 });
        let realloc = Some(func(1));
        let lower = &mut plan.lowers[*lower as usize];
        lower.options = Options {
            memory,
            realloc,
            ..lower.options
        };
        let lift = &mut plan.lifts[*lift as usize];
        lift.func = func(2);
        lift.options = Options {
            memory,
            realloc,
            post_return: Some(func(3)),
            ..lift.options
        };
    }
    Ok(())
}

/// The core module of a passage to a function of this type.
fn module(types: &TypeBuilder, ty: FuncTypeId) -> Vec<u8> {
    let func = types.get(ty);
    let lowered = types.lowered(ty, PointerWidth::W32);
    let is_spilled = types.types.result_flat(func).count() > MAX_FLAT_RESULTS;
    let (params, result) = match is_spilled {
        true => (&lowered.params()[..lowered.params().len() - 1], "(result i32)"),
        false => (lowered.params(), ""),
    };
    let list = |keyword, types: &[wasmparser::ValType]| {
        types.iter().fold(format!("({keyword}"), |mut text, ty| {
            let _ = write!(text, " {ty}");
            text
        }) + ")"
    };
    let results = match is_spilled {
        true => result.to_owned(),
        false => list("result", lowered.results()),
    };
    let post_params = results.replace("result", "param");
    let args: String = (0..params.len())
        .map(|index| format!("(local.get {index})"))
        .collect();
    let body = match (is_spilled, func.result) {
        (true, Some(ty)) => {
            let Extent { size, align } = types.types.abi(ty).layout.at(PointerWidth::W32);
            let out = params.len();
            format!(
                "(local i32)
                 (call $f {args} (local.tee {out} (call $realloc
                   (i32.const 0) (i32.const 0) (i32.const {align}) (i32.const {size}))))
                 (local.get {out})"
            )
        }
        _ => format!("(call $f {args})"),
    };
    let (all_params, all_results) = (
        list("param", lowered.params()),
        list("result", lowered.results()),
    );
    let params = list("param", params);
    // What is freed is the end of the memory, since the last post-return: never more than 4 GiB less
    // a page, so that no sum of 32 bits overflows that is used.
    let text = format!(
        r#"(module
          (import "" "f" (func $f {all_params} {all_results}))
          (memory 1 65535)
          (global $end (mut i32) (i32.const 8))
          (func $realloc (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
              (result i32) (local $new i32) (local $new-end i64) (local $missing i64)
            (if (i32.le_u (local.get $size) (local.get $old-size)) (then
              (if (local.get $old-size) (then (return (local.get $old))))))
            (local.set $new (i32.and
              (i32.add (global.get $end) (i32.sub (local.get $align) (i32.const 1)))
              (i32.sub (i32.const 0) (local.get $align))))
            (local.set $new-end (i64.add
              (i64.extend_i32_u (local.get $new)) (i64.extend_i32_u (local.get $size))))
            (local.set $missing (i64.sub (local.get $new-end)
              (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16))))
            (if (i64.gt_s (local.get $missing) (i64.const 0)) (then
              (if (i32.eq (i32.const -1) (memory.grow (i32.wrap_i64 (i64.shr_u
                    (i64.add (local.get $missing) (i64.const 0xffff)) (i64.const 16)))))
                (then (unreachable)))))
            (memory.copy (local.get $new) (local.get $old) (local.get $old-size))
            (global.set $end (i32.wrap_i64 (local.get $new-end)))
            (local.get $new))
          (func {params} {results} {body})
          (func {post_params} (global.set $end (i32.const 8))))"#
    );
    match wat::parse_str(&text) {
        Ok(bytes) => bytes,
        Err(error) => unreachable!("{error}\n{text}"),
    }
}

/// Which types of the table have pointers in them.
fn types_with_pointers(types: &TypeBuilder) -> Vec<bool> {
    let mut known: Vec<bool> = Vec::new();
    for def in types.types.defs() {
        let is_pointer = matches!(def, TypeDef::List(_) | TypeDef::Map(_));
        let has = is_pointer || def.parts().any(|ty| has_pointers(&known, ty));
        known.push(has);
    }
    known
}

fn has_pointers(known: &[bool], ty: ValueType) -> bool {
    match ty {
        ValueType::Def(id) => known[id.0 as usize],
        ty => ty == ValueType::String,
    }
}
