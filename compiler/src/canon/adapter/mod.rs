//! Adapters: how a component calls a function that another one lifts ("canon lower" of a "canon
//! lift" in `CanonicalABI.md`).
//!
//! ```text
//! caller -> adapter: check flags -> parameters -> callee -> results -> post-return -> caller
//! ```
//!
//! An adapter has the core signature of the lowered function. It lifts from one side and lowers
//! into the other in one go, directed by the type, which is the same on both sides: so are layouts
//! and flat forms, but for the width of pointers and what follows from it, and a value passes from flat to flat ([`flat`]) or from memory to memory
//! ([`memory`]). [`variants`], [`lists`] (with [`vectors`]) and [`strings`] are what both have in common.
//!
//! **Invariants:** the two sides are different component instances, so their memories are different
//! ones. Every access to a memory lies in a range that was checked before; memories never shrink
//! and never move, so what was checked stays good whatever a guest's `realloc` does. Instances are
//! left as they are when something traps: they can never be entered again.

mod flat;
mod lists;
mod memory;
mod scalars;
mod sizes;
mod strings;
mod variants;
mod vectors;

use std::collections::HashSet;

use cranelift_codegen::ir::{self, InstBuilder, Value, types};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::TrapCode;
use cwasm_format::abi::{MAX_FLAT_RESULTS, PointerWidth};
use cwasm_format::builtin::Builtin;
use cwasm_format::encoding::StringEncoding;
use cwasm_format::resources::HandleUse;
use cwasm_format::types::{FuncType, ResourceNumber, TypeDef, Types, ValueType};
use cwasm_format::vmctx::flags::{INITIAL, MAY_ENTER, MAY_LEAVE};

use self::memory::{Memory, Place};
pub(crate) use self::sizes::check_sizes;
use super::handles;
use crate::ir::check::Checks;
use crate::ir::flags::trusted;
use crate::ir::function::{begin, declare_function};
use crate::ir::symbol::{HandleOp, Symbol};
use crate::ir::trap::trap_code;
use crate::ir::types::{builtin_signature, core_signature};
use crate::layout::Unit;
use crate::plan::{Adapter, CanonicalOptions, ComponentInstanceId, CoreFunc, Plan};

/// One side of an adapter: how values pass through its memory.
#[derive(Clone, Copy)]
struct Side {
    component: ComponentInstanceId,
    /// Context offset of the instance's handle table, if it has one.
    handles: u32,
    memory: Option<Memory>,
    realloc: Option<ir::FuncRef>,
    encoding: StringEncoding,
    /// How wide pointers and lengths are.
    width: PointerWidth,
    /// Context offset of the instance's flags.
    flags: i32,
    /// The flags outside of `realloc`.
    outer_flags: Value,
}

/// Copies values from one side to the other.
struct Copier<'c, 'f> {
    builder: &'c mut FunctionBuilder<'f>,
    plan: &'c Plan,
    types: &'c Types,
    /// Whether handles that are lent are marked: see [`handles`].
    marks_lent: bool,
    context: Value,
    from: Side,
    to: Side,
    builtins: Vec<(Builtin, ir::FuncRef)>,
    /// Loops over elements check for interrupts; all else is as long as the types.
    checks: Checks,
}

/// Builds an adapter. A callee that is a leaf neither calls nor traps: if passing the values does
/// not either, nobody can see that its instance cannot be entered meanwhile.
pub(crate) fn build(
    builder: &mut FunctionBuilder<'_>,
    unit: &Unit<'_>,
    plan: &Plan,
    adapter: &Adapter,
    is_leaf: bool,
) {
    let types = &plan.types;
    let signature = types.lowered(adapter.callee.ty, adapter.options.width);
    let entry = begin(builder, core_signature(&signature));
    let params = builder.block_params(entry).to_vec();
    let context = params[0];
    let flags_of = |id: ComponentInstanceId| unit.flags[id.0 as usize] as i32;
    let (caller_flags, callee_flags) = (
        flags_of(adapter.component),
        flags_of(adapter.callee.component),
    );
    let outer_flags = check_flag(builder, context, caller_flags, MAY_LEAVE);
    if adapter.is_recursive {
        builder.ins().trap(trap_code(TrapCode::CannotEnter));
        return;
    }
    check_flag(builder, context, callee_flags, MAY_ENTER);
    let func = types.get(adapter.callee.ty);
    let is_seen =
        !is_leaf || !is_silent(&types.types, func) || adapter.callee.options.post_return.is_some();
    // An instance that can be entered does not run, so its other flags are as they were first.
    if is_seen {
        set_flags(builder, context, callee_flags, INITIAL & !MAY_ENTER);
    }

    let declare = |builder: &mut FunctionBuilder<'_>, func: CoreFunc| {
        let (id, ty) = unit.resolve(plan, func);
        let signature = builder.func.import_signature(core_signature(&ty));
        declare_function(builder.func, Symbol::Func(id), signature)
    };
    let side = |id: ComponentInstanceId, options: &CanonicalOptions, realloc, outer_flags| Side {
        component: id,
        handles: unit.handles[id.0 as usize],
        memory: options.memory.map(|memory| Memory::new(unit, memory)),
        realloc,
        encoding: options.string_encoding,
        width: options.width,
        flags: flags_of(id),
        outer_flags,
    };
    let callee_outer = builder
        .ins()
        .iconst(types::I32, i64::from(INITIAL & !MAY_ENTER));
    let lift = &adapter.callee;
    let callee = declare(builder, lift.func);
    let post_return = lift.options.post_return.map(|func| declare(builder, func));
    let caller_realloc = adapter.options.realloc.map(|func| declare(builder, func));
    let callee_realloc = lift.options.realloc.map(|func| declare(builder, func));
    let caller = side(
        adapter.component,
        &adapter.options,
        caller_realloc,
        outer_flags,
    );
    let callee_side = side(lift.component, &lift.options, callee_realloc, callee_outer);

    let mut copier = Copier {
        builder: &mut *builder,
        plan,
        types: &types.types,
        marks_lent: takes_and_borrows(&types.types, func),
        context,
        from: caller,
        to: callee_side,
        builtins: Vec::new(),
        checks: Checks::new(unit.interrupt_slot),
    };
    let args = copier.params(func, &params);
    copier.end_of_params();
    let call = copier.builder.ins().call(callee, &args);
    let returned = copier.builder.inst_results(call).to_vec();
    if borrows(&types.types, func) {
        handles::check_borrows(copier.builder, context, callee_side.handles);
    }
    copier.from = callee_side;
    copier.to = caller;
    let results = copier.results(func, &returned, &params);

    if let Some(post_return) = post_return {
        set_flags(builder, context, callee_flags, 0);
        let mut args = vec![context];
        args.extend(&returned);
        builder.ins().call(post_return, &args);
    }
    if is_seen {
        set_flags(builder, context, callee_flags, INITIAL);
    }
    builder.ins().return_(&results);
    builder.seal_all_blocks();
}

/// Whether values pass without a trap and a call: as flat numbers.
fn is_silent(types: &Types, func: &FuncType) -> bool {
    let mut values = func.params.iter().map(|(_, ty)| *ty).chain(func.result);
    let are_flat = types.params_flat(func).fits()
        && func
            .result
            .is_none_or(|ty| types.abi(ty).flat.count() <= MAX_FLAT_RESULTS);
    are_flat && values.all(|ty| is_number(types, ty))
}

/// Whether all bits of a flat value are valid, or those that are not are cleared.
fn is_number(types: &Types, ty: ValueType) -> bool {
    let ValueType::Def(id) = ty else {
        return !matches!(ty, ValueType::Char | ValueType::String);
    };
    match types.def(id) {
        TypeDef::Flags(_) => true,
        def @ (TypeDef::Record(_) | TypeDef::Tuple(_) | TypeDef::FixedList(..)) => {
            def.parts().all(|ty| is_number(types, ty))
        }
        _ => false,
    }
}

/// The resources of the handles in the parameters.
fn params_handles<'t>(types: &'t Types, func: &'t FuncType) -> impl Iterator<Item = &'t TypeDef> {
    let mut seen = HashSet::new();
    let mut rest: Vec<ValueType> = func.params.iter().map(|(_, ty)| *ty).collect();
    std::iter::from_fn(move || {
        while let Some(ty) = rest.pop() {
            let ValueType::Def(id) = ty else { continue };
            if !types.has_handles(ty) || !seen.insert(id) {
                continue;
            }
            match types.def(id) {
                def @ (TypeDef::Own(_) | TypeDef::Borrow(_)) => return Some(def),
                def => rest.extend(def.parts()),
            }
        }
        None
    })
}

/// Whether a function borrows anything.
fn borrows(types: &Types, func: &FuncType) -> bool {
    params_handles(types, func).any(|def| matches!(def, TypeDef::Borrow(_)))
}

/// Whether a function borrows a resource and takes one of the same type, which could be the same.
fn takes_and_borrows(types: &Types, func: &FuncType) -> bool {
    let (mut owned, mut borrowed) = (HashSet::new(), HashSet::new());
    for def in params_handles(types, func) {
        match def {
            TypeDef::Own(resource) => owned.insert(resource),
            TypeDef::Borrow(resource) => borrowed.insert(resource),
            _ => unreachable!("only handles are listed"),
        };
    }
    !owned.is_disjoint(&borrowed)
}

/// Traps if a flag is clear; all flags.
pub(crate) fn check_flag(
    builder: &mut FunctionBuilder<'_>,
    context: Value,
    offset: i32,
    flag: u32,
) -> Value {
    let code = match flag {
        MAY_ENTER => TrapCode::CannotEnter,
        _ => TrapCode::CannotLeave,
    };
    let flags = builder.ins().load(types::I32, trusted(), context, offset);
    let is_set = builder.ins().band_imm_u(flags, i64::from(flag));
    builder.ins().trapz(is_set, trap_code(code));
    flags
}

pub(crate) fn set_flags(
    builder: &mut FunctionBuilder<'_>,
    context: Value,
    offset: i32,
    flags: u32,
) {
    let flags = builder.ins().iconst(types::I32, i64::from(flags));
    builder.ins().store(trusted(), flags, context, offset);
}

impl Copier<'_, '_> {
    /// The callee's arguments from the adapter's: the context, and all parameters or a pointer to
    /// them.
    fn params(&mut self, func: &FuncType, params: &[Value]) -> Vec<Value> {
        let types = func.params.iter().map(|(_, ty)| *ty);
        let mut args = vec![self.context];
        if self.types.params_flat(func).fits() {
            self.flat_fields(types, &params[1..], &mut args);
            return args;
        }
        let layout = self.types.params_layout(func);
        let src = self.pointer_to(self.from, params[1], layout);
        let (pointer, dst) = self.allocate_value(layout);
        self.memory_fields(types, src, dst);
        args.push(pointer);
        args
    }

    /// The adapter's results from the callee's. Those that are not flat go where the last of the
    /// adapter's arguments points.
    fn results(&mut self, func: &FuncType, returned: &[Value], params: &[Value]) -> Vec<Value> {
        let mut results = Vec::new();
        let Some(ty) = func.result else {
            return results;
        };
        let abi = self.types.abi(ty);
        if abi.flat.count() <= MAX_FLAT_RESULTS {
            self.copy_flat(ty, returned, &mut results);
            return results;
        }
        let src = self.pointer_to(self.from, returned[0], abi.layout);
        let out = params[params.len() - 1];
        let dst = self.pointer_to(self.to, out, abi.layout);
        self.copy_memory(ty, src, dst);
        results
    }

    /// Moves an owned resource to the other side: its handle there.
    fn own(&mut self, handle: Value, resource: ResourceNumber) -> Value {
        let (from, to) = (self.from.handles, self.to.handles);
        let own = HandleUse::own(resource);
        let rep = self.handle(HandleOp::Take, from, handle, own);
        self.handle(HandleOp::Add, to, rep, own)
    }

    /// Lends a resource to the other side: its handle there, or what the handle stands for if that
    /// side defines the resource.
    fn borrow(&mut self, handle: Value, resource: ResourceNumber) -> Value {
        let op = match self.marks_lent {
            true => HandleOp::Lend,
            false => HandleOp::Rep,
        };
        let borrow = HandleUse::borrow(resource);
        let rep = self.handle(op, self.from.handles, handle, borrow);
        if self.plan.resources[resource.0 as usize].is_defined_by(self.to.component) {
            return rep;
        }
        let table = self.to.handles;
        handles::count_borrow(self.builder, self.context, table);
        self.handle(HandleOp::Add, table, rep, borrow)
    }

    fn handle(&mut self, op: HandleOp, table: u32, value: Value, handle_use: HandleUse) -> Value {
        let args = (value, handle_use);
        handles::convert(self.builder, op, self.context, table, args)
    }

    /// All parameters are lifted: whether a handle is lent does not matter any more.
    fn end_of_params(&mut self) {
        if self.marks_lent {
            let table = self.from.handles;
            handles::call(self.builder, HandleOp::Release, self.context, table, &[]);
        }
    }

    /// Calls a builtin that returns a value.
    fn builtin(&mut self, builtin: Builtin, args: &[Value]) -> Option<Value> {
        let known = self.builtins.iter().find(|(known, _)| *known == builtin);
        let callee = match known {
            Some((_, callee)) => *callee,
            None => {
                let signature = builtin_signature(builtin);
                let signature = self.builder.func.import_signature(signature);
                let symbol = Symbol::Builtin(builtin);
                let callee = declare_function(self.builder.func, symbol, signature);
                self.builtins.push((builtin, callee));
                callee
            }
        };
        let mut all = vec![self.context];
        all.extend(args);
        let call = self.builder.ins().call(callee, &all);
        self.builder.inst_results(call).first().copied()
    }

    /// Traps with `code` if the condition is not zero.
    fn trap_if(&mut self, condition: Value, code: TrapCode) {
        self.builder.ins().trapnz(condition, trap_code(code));
    }
}
