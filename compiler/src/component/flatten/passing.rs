//! Functions that the outermost component imports and exports unchanged: each is lowered, and
//! lifted again, by a component instance of its own.
//!
//! Where values need memory, or a borrowed handle must be dropped, a core instance stands between:
//! its function is lifted, and calls the lowered one.

use cwasm_format::abi::MAX_FLAT_RESULTS;
use cwasm_format::types::{FuncType, ResourceNumber, TypeDef, Types, ValueType};

use super::{Flattener, check_core_instances};
use crate::error::{Error, Result};
use crate::options::Limits;
use crate::plan::types::FuncTypeId;
use crate::plan::{
    CanonicalOptions, CoreDef, CoreFunc, CoreItem, InstanceId, Lift, Lower, ModuleId, PassThrough,
    Plan, PlanInstance, ResourceFunc, ResourceOp,
};

/// A function that passes through, by its places in the plan's lowers and lifts.
pub(super) struct Passing {
    lower: u32,
    lift: u32,
}

impl Flattener<'_, '_> {
    /// Lowers and lifts an import of the plan, for now without memory; returns the lift.
    ///
    /// # Errors
    /// If there are too many component instances.
    pub(super) fn pass_through(&mut self, import: u32, ty: FuncTypeId) -> Result<u32> {
        let component = self.new_component_instance()?;
        let plan = &mut self.plan;
        let options = CanonicalOptions::NONE;
        let lower = plan.lowers.len() as u32;
        plan.lowers.push(Lower {
            import,
            ty,
            options,
            component,
            op: None,
        });
        let lift = plan.lifts.len() as u32;
        plan.lifts.push(Lift {
            func: CoreFunc::Lower(lower),
            ty,
            options,
            component,
            task: None,
        });
        self.passing.push(Passing { lower, lift });
        Ok(lift)
    }
}

/// Adds a core instance for each function that needs one. The modules of these instances follow the
/// first `modules`.
///
/// # Errors
/// If a borrowed handle is inside another value.
pub(super) fn add_instances(
    plan: &mut Plan,
    passing: &[Passing],
    modules: usize,
    limits: Limits,
) -> Result<()> {
    if passing.is_empty() {
        return Ok(());
    }
    let types = &plan.types.types;
    let pointers = types_with(types, |def| {
        !is_inline(def) || def.parts().any(|ty| ty == ValueType::String)
    });
    let borrows = types_with(types, |def| matches!(def, TypeDef::Borrow(_)));
    for found in passing {
        let types = &plan.types.types;
        let ty = plan.lifts[found.lift as usize].ty;
        let func = plan.types.get(ty);
        let params = func.params.iter().map(|(_, ty)| *ty);
        let has_pointers = |ty| ty == ValueType::String || has(&pointers, ty);
        let needs_memory = !types.params_flat(func).fits()
            || types.result_flat(func).count() > MAX_FLAT_RESULTS
            || params.clone().chain(func.result).any(has_pointers);
        let lent = params.filter(|ty| has(&borrows, *ty)).count();
        let drops = lent_params(types, func);
        if drops.len() != lent {
            let import = plan.lowers[found.lower as usize].import as usize;
            let path = &plan.imports[import].path;
            let feature = format!(
                "exporting an imported function (`{path}`) with a borrowed handle inside of a value"
            );
            return Err(Error::unsupported(feature, None));
        }
        if needs_memory || lent != 0 {
            let module = ModuleId((modules + plan.pass_throughs.len()) as u32);
            plan.pass_throughs.push(PassThrough {
                ty,
                dropped: drops.iter().map(|(place, _)| *place as u32).collect(),
            });
            let resources = drops.into_iter().map(|(_, resource)| resource);
            add_instance(plan, found, module, resources, limits)?;
        }
    }
    Ok(())
}

/// The flat parameters that are borrowed handles, with their resources.
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

/// Puts an instance of the module that [`crate::pass_through`] makes between the lower and the
/// lift.
fn add_instance(
    plan: &mut Plan,
    found: &Passing,
    module: ModuleId,
    dropped: impl Iterator<Item = ResourceNumber>,
    limits: Limits,
) -> Result<()> {
    let instance = InstanceId(check_core_instances(plan, limits)?);
    let lower = &mut plan.lowers[found.lower as usize];
    let mut imports = vec![CoreDef::Func(CoreFunc::Lower(found.lower))];
    for resource in dropped {
        plan.resource_funcs.push(ResourceFunc {
            op: ResourceOp::Drop,
            resource,
            component: lower.component,
            is_nested: false,
            loader_op: None,
        });
        let index = plan.resource_funcs.len() as u32 - 1;
        imports.push(CoreDef::Func(CoreFunc::Resource(index)));
    }
    // The numbers of the functions in the module.
    let first = imports.len() as u32;
    let func = |place| CoreFunc::Export {
        instance,
        index: first + place,
    };
    let memory = Some(CoreItem { instance, index: 0 });
    let realloc = Some(func(PassThrough::REALLOC));
    let component = lower.component;
    plan.instances.push(PlanInstance {
        module,
        component,
        imports,
    });
    lower.options = CanonicalOptions {
        memory,
        realloc,
        ..lower.options
    };
    let lift = &mut plan.lifts[found.lift as usize];
    lift.func = func(PassThrough::CALL);
    lift.options = CanonicalOptions {
        memory,
        realloc,
        post_return: Some(func(PassThrough::POST_RETURN)),
        ..lift.options
    };
    Ok(())
}

/// Whether values of this type, apart from their parts, have no pointers to other memory.
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
            | TypeDef::ErrorContext
    )
}

/// For each type of the table, whether `is_found` holds for it or for a type in it.
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
