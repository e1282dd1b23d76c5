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
//! memory of its own, all of which post-return frees. What is lent to it, it drops after the call.

use std::fmt::Write as _;

use cwasm_format::abi::{MAX_FLAT_RESULTS, PointerWidth};
use cwasm_format::encoding::StringEncoding;
use cwasm_format::types::{FuncType, ResourceNumber, TypeDef, Types, ValueType};

use super::flatten::check_core_instances;
use super::resolve::FuncTypeId;
use super::{
    ComponentInstanceId, CoreDef, CoreFunc, CoreItem, InstanceId, Lift, Lower, ModuleId, Options,
    Plan, PlanInstance, ResourceFunc, ResourceOp,
};
use crate::decode;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::module::Module;

/// A function that goes through a component.
#[derive(Clone, Copy)]
pub(crate) struct Passage {
    /// Indices into the plan's lowers and lifts.
    lower: u32,
    lift: u32,
}

/// The core module of a passage.
pub(crate) struct PassageModule {
    /// Index into [`Plan::passages`].
    passage: usize,
    bytes: Vec<u8>,
    /// What each of its functions that drop a handle drops, in the order of its imports.
    drops: Vec<ResourceNumber>,
}

/// Adds a passage to an import of the plan: its lift. Nothing has memory yet.
pub(crate) fn add(plan: &mut Plan, import: u32, ty: FuncTypeId) -> u32 {
    let options = Options {
        memory: None,
        realloc: None,
        post_return: None,
        string_encoding: StringEncoding::Utf8,
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
    plan.passages.push(Passage { lower, lift });
    lift
}

/// The core modules of those passages that need memory, or drop what was lent.
///
/// # Errors
/// If a handle is lent inside of another value.
pub(crate) fn modules(plan: &Plan) -> Result<Vec<PassageModule>> {
    let mut found = Vec::new();
    if plan.passages.is_empty() {
        return Ok(found);
    }
    let types = &plan.types;
    let pointers = types_with(&types.types, |def| {
        !is_inline(def) || def.parts().any(|ty| ty == ValueType::String)
    });
    let borrows = types_with(&types.types, |def| matches!(def, TypeDef::Borrow(_)));
    for (passage, Passage { lower, lift }) in plan.passages.iter().enumerate() {
        let ty = plan.lifts[*lift as usize].ty;
        let func = types.get(ty);
        let params = func.params.iter().map(|(_, ty)| *ty);
        let has_pointers = |ty| ty == ValueType::String || has(&pointers, ty);
        let needs_memory = !types.types.params_flat(func).fits()
            || types.types.result_flat(func).count() > MAX_FLAT_RESULTS
            || params.clone().chain(func.result).any(has_pointers);
        let lent = params.filter(|ty| has(&borrows, *ty)).count();
        let drops = lent_params(&types.types, func);
        if drops.len() != lent {
            let import = plan.lowers[*lower as usize].import as usize;
            let path = &plan.imports[import].path;
            let feature = format!(
                "exporting an imported function (`{path}`) with a borrowed handle inside of a value"
            );
            return Err(Error::unsupported(feature, None));
        }
        if needs_memory || lent != 0 {
            let bytes = module(plan, ty, &drops);
            let drops = drops.into_iter().map(|(_, resource)| resource).collect();
            found.push(PassageModule {
                passage,
                bytes,
                drops,
            });
        }
    }
    Ok(found)
}

/// The flat parameters that are borrowed handles, and of which resource.
fn lent_params(types: &Types, func: &FuncType) -> Vec<(usize, ResourceNumber)> {
    let mut found = Vec::new();
    if !types.params_flat(func).fits() {
        return found;
    }
    let mut place = 0;
    for (_, ty) in &func.params {
        if let ValueType::Def(id) = *ty
            && let TypeDef::Borrow(resource) = types.def(id)
        {
            found.push((place, *resource));
        }
        place += types.abi(*ty).flat.count();
    }
    found
}

/// Puts these core modules into the plan.
pub(crate) fn link<'a>(
    plan: &mut Plan,
    sources: &'a [PassageModule],
    modules: &mut Vec<Module<'a>>,
) -> Result<()> {
    for PassageModule {
        passage,
        bytes,
        drops,
    } in sources
    {
        let Passage { lower, lift } = plan.passages[*passage];
        modules.extend(decode::decode(bytes, Features::default())?.modules);
        let instance = InstanceId(check_core_instances(plan)?);
        let mut imports = vec![CoreDef::Func(CoreFunc::Lower(lower))];
        for resource in drops {
            plan.resource_funcs.push(ResourceFunc {
                op: ResourceOp::Drop,
                resource: *resource,
                component: plan.lowers[lower as usize].component,
                is_recursive: false,
            });
            let index = plan.resource_funcs.len() as u32 - 1;
            imports.push(CoreDef::Func(CoreFunc::Resource(index)));
        }
        // As the functions of the module are numbered below.
        let first = imports.len() as u32;
        let func = |place| CoreFunc::Export {
            instance,
            index: first + place,
        };
        let memory = Some(CoreItem { instance, index: 0 });
        let realloc = Some(func(0));
        plan.instances.push(PlanInstance {
            module: ModuleId(modules.len() as u32 - 1),
            imports,
        });
        let lower = &mut plan.lowers[lower as usize];
        lower.options = Options {
            memory,
            realloc,
            ..lower.options
        };
        let lift = &mut plan.lifts[lift as usize];
        lift.func = func(1);
        lift.options = Options {
            memory,
            realloc,
            post_return: Some(func(2)),
            ..lift.options
        };
    }
    Ok(())
}

/// The core module of a passage to a function of this type, some of whose parameters are dropped.
fn module(plan: &Plan, ty: FuncTypeId, drops: &[(usize, ResourceNumber)]) -> Vec<u8> {
    let types = &plan.types.types;
    let func = plan.types.get(ty);
    let lowered = plan.types.lowered(ty, PointerWidth::W32);
    let list = |keyword, types: &[wasmparser::ValType]| {
        types.iter().fold(format!("({keyword}"), |mut text, ty| {
            let _ = write!(text, " {ty}");
            text
        }) + ")"
    };
    let all_params = list("param", lowered.params());
    let results = list("result", lowered.results());
    // A result that is not flat goes where the last parameter says: there is none of that in a lift,
    // which returns the place.
    let spilled = func
        .result
        .filter(|_| types.result_flat(func).count() > MAX_FLAT_RESULTS);
    let param_count = lowered.params().len() - usize::from(spilled.is_some());
    let params = list("param", &lowered.params()[..param_count]);
    let args: String = (0..param_count)
        .map(|index| format!("(local.get {index})"))
        .collect();
    let (lifted_results, body) = match spilled {
        Some(ty) => {
            let extent = types.abi(ty).layout.at(PointerWidth::W32);
            let (size, align) = (extent.size, extent.align);
            let body = format!(
                "(local i32)
                 (call $f {args} (local.tee {param_count} (call $realloc
                   (i32.const 0) (i32.const 0) (i32.const {align}) (i32.const {size}))))
                 (local.get {param_count})"
            );
            ("(result i32)".to_owned(), body)
        }
        None => (results.clone(), format!("(call $f {args})")),
    };
    let drop_imports: String = (0..drops.len())
        .map(|place| format!("(import \"\" \"drop\" (func $drop{place} (param i32)))"))
        .collect();
    let drop_calls: String = drops
        .iter()
        .enumerate()
        .map(|(place, (param, _))| format!("(call $drop{place} (local.get {param}))"))
        .collect();
    let post_params = lifted_results.replace("result", "param");
    // What is freed is the end of the memory, since the last post-return: never more than 4 GiB less
    // a page, so that no sum of 32 bits overflows that is used.
    let text = format!(
        r#"(module
          (import "" "f" (func $f {all_params} {results}))
          {drop_imports}
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
          (func {params} {lifted_results} {body} {drop_calls})
          (func {post_params} (global.set $end (i32.const 8))))"#
    );
    match wat::parse_str(&text) {
        Ok(bytes) => bytes,
        Err(error) => unreachable!("{error}\n{text}"),
    }
}

/// Whether values of this type are wholly in the place where they lie, but for their parts.
fn is_inline(def: &TypeDef) -> bool {
    matches!(
        def,
        TypeDef::Record(_)
            | TypeDef::Tuple(_)
            | TypeDef::FixedList(..)
            | TypeDef::Variant(_)
            | TypeDef::Enum(_)
            | TypeDef::Option(_)
            | TypeDef::Result { .. }
            | TypeDef::Flags(_)
            | TypeDef::Own(_)
            | TypeDef::Borrow(_)
    )
}

/// Which types of the table are such a type or have it in them.
fn types_with(types: &Types, is_found: impl Fn(&TypeDef) -> bool) -> Vec<bool> {
    let mut known: Vec<bool> = Vec::new();
    for def in types.defs() {
        let found = is_found(def) || def.parts().any(|ty| has(&known, ty));
        known.push(found);
    }
    known
}

fn has(known: &[bool], ty: ValueType) -> bool {
    matches!(ty, ValueType::Def(id) if known[id.0 as usize])
}
