//! Adapters: how a component calls a function that another one lifts ("canon lower" of a "canon
//! lift" in `CanonicalABI.md`).
//!
//! ```text
//! caller -> adapter: check flag -> parameters -> callee -> results -> post-return -> caller
//! ```
//!
//! An adapter has the core signature of the lowered function. It lifts from one side and lowers
//! into the other in one pass, directed by the type. The type is the same on both sides, and so are
//! layouts and flat forms, except for the width of pointers. A value is copied from flat form to
//! flat form ([`flat`]) or from memory to memory ([`memory`]); both use [`variants`], [`lists`]
//! (with [`vectors`]) and [`strings`].
//!
//! **Invariants:** every access to a memory is in a range that was checked before. Memories never
//! shrink and never move, so a checked range stays valid whatever a guest's `realloc` does, and
//! even if the caller is entered again while it waits. The two sides are different component
//! instances with different memories, unless an instance calls its own export: then source and
//! destination may overlap. After a trap instances are left as they are: nothing of the component
//! runs again.
//!
//! The callee may be active: then it waits for a call of its own, so that its flags are those
//! outside of `realloc` and post-return. Entering an instance writes nothing.

mod flat;
mod lists;
mod memory;
mod scalars;
pub(crate) mod shared;
mod sizes;
mod strings;
mod variants;
mod vectors;

use std::collections::{HashMap, HashSet};

use cranelift_codegen::ir::{self, InstBuilder, Value, types};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::TrapCode;
use cwasm_format::abi::{MAX_FLAT_RESULTS, PointerWidth};
use cwasm_format::builtin::Builtin;
use cwasm_format::encoding::StringEncoding;
use cwasm_format::resources::HandleUse;
use cwasm_format::types::{FuncType, ResourceNumber, TypeDef, Types, ValueType};
use cwasm_format::vmctx::flags::{INITIAL, MAY_LEAVE, MAY_NEST};

use self::memory::{Memory, Place};
use self::sizes::End;
pub(crate) use self::sizes::Sharing;
use super::handles;
use crate::ir::boundary;
use crate::ir::check::Checks;
use crate::ir::flags::trusted;
use crate::ir::function::{begin, declare_function};
use crate::ir::symbol::{CopyFunc, HandleOp, Symbol};
use crate::ir::trap::trap_code;
use crate::ir::types::{builtin_signature, core_signature};
use crate::layout::UnitLayout;
use crate::plan::{ComponentInstanceId, CoreFunc, Plan};

/// One side of an adapter: how values pass through its memory.
#[derive(Clone, Copy)]
struct Side {
    component: ComponentInstanceId,
    /// Context offset of the instance's handle table, if it has one.
    handles: u32,
    memory: Option<Memory>,
    realloc: Option<ir::FuncRef>,
    encoding: StringEncoding,
    /// The width of pointers and lengths.
    width: PointerWidth,
    /// Context offset of the storage of the instance's running task, if its code uses that.
    storage: Option<i32>,
    /// Context offset of the instance's flags.
    flags: i32,
    /// The flags outside of `realloc` and post-return.
    outer_flags: Value,
}

/// Copies values from one side to the other.
struct Copier<'c, 'f> {
    builder: &'c mut FunctionBuilder<'f>,
    plan: &'c Plan,
    types: &'c Types,
    loans: Loans,
    context: Value,
    from: Side,
    to: Side,
    builtins: Vec<(Builtin, ir::FuncRef)>,
    /// The interrupt checks, which loops over elements have; all other code is bounded by the
    /// types.
    checks: Checks,
    sharing: &'c Sharing,
    /// The number of the [`Direction`](sizes::Direction).
    direction: u32,
    /// Whether shared functions are called.
    is_large: bool,
    /// Whether guests may throw.
    may_throw: bool,
    shared_funcs: HashMap<CopyFunc, ir::FuncRef>,
}

/// The handles that an adapter lends, and the borrows that its callee gets.
#[derive(Default)]
struct Loans {
    /// Whether loans must be counted, because during the call a guest may give a lent handle away
    /// or drop it.
    are_seen: bool,
    /// Flat parameters of the adapter that are lent handles.
    flat: Vec<Value>,
    /// The place on the stack of the caller's table from which other lent handles are noted.
    noted: Option<Value>,
    /// The scope of the handles that the callee gets.
    scope: Option<Value>,
}

/// Builds an adapter. If the callee is a leaf, it makes no calls, so nobody can notice a loan
/// during the call.
pub(crate) fn build(
    builder: &mut FunctionBuilder<'_>,
    unit: &UnitLayout<'_>,
    plan: &Plan,
    (sharing, index): (&Sharing, u32),
    is_leaf: bool,
) {
    let adapter = &plan.adapters[index as usize];
    let types = &plan.types;
    let signature = types.lowered(adapter.callee.ty, adapter.options.width);
    let entry = begin(builder, core_signature(&signature));
    let params = builder.block_params(entry).to_vec();
    let context = params[0];
    let flags_of = |id: ComponentInstanceId| unit.flags[id.0 as usize] as i32;
    let caller_flags = flags_of(adapter.component);
    let flags = check_leaves(builder, context, caller_flags);
    if adapter.is_nested {
        check_nests(builder, flags);
    }
    let func = types.get(adapter.callee.ty);

    let callee_flags = flags_of(adapter.callee.component);
    let mut outer = |id: ComponentInstanceId| match unit.nests[id.0 as usize] {
        true => {
            let ins = builder.ins();
            ins.load(types::I32, trusted(), context, flags_of(id))
        }
        false => builder.ins().iconst(types::I32, i64::from(INITIAL)),
    };
    let outer_flags = outer(adapter.component);
    let callee_outer = outer(adapter.callee.component);
    let lift = &adapter.callee;
    let callee = declare(builder, unit, plan, lift.func);
    let post_return = lift.options.post_return;
    let post_return = post_return.map(|func| declare(builder, unit, plan, func));
    let directions = sharing.of_adapter(index);
    let direction = sharing.direction(directions.params);
    let caller = side(builder, unit, plan, &direction.from, outer_flags);
    let callee_side = side(builder, unit, plan, &direction.to, callee_outer);

    let is_large = sharing.is_large_func(func);
    let mut copier = Copier::new(builder, unit, plan, sharing, context, (caller, callee_side));
    copier.direction = directions.params;
    copier.is_large = is_large;
    // Shared functions cannot depend on this adapter's callee.
    copier.loans.are_seen = !is_leaf || is_large || takes_and_borrows(&types.types, func);
    copier.begin_loans(func);
    let args = copier.params(func, &params);
    let returned = boundary::call(copier.builder, unit.may_throw, callee, &args);
    copier.check_borrows();
    let loans = std::mem::take(&mut copier.loans);
    copier.from = callee_side;
    copier.to = caller;
    copier.direction = directions.results;
    let results = copier.results(func, &returned, &params);

    if let Some(post_return) = post_return {
        let inside = builder.ins().iconst(types::I32, 0);
        set_flags(builder, context, callee_flags, inside);
        let mut args = vec![context];
        args.extend(&returned);
        boundary::call(builder, unit.may_throw, post_return, &args);
        set_flags(builder, context, callee_flags, callee_outer);
    }
    loans.end(builder, context, (&caller, &callee_side));
    builder.ins().return_(&results);
    builder.seal_all_blocks();
}

/// Declares a core function of the plan.
fn declare(
    builder: &mut FunctionBuilder<'_>,
    unit: &UnitLayout<'_>,
    plan: &Plan,
    func: CoreFunc,
) -> ir::FuncRef {
    let (id, ty) = unit.resolve(plan, func);
    let signature = builder.func.import_signature(core_signature(&ty));
    declare_function(builder.func, Symbol::Func(id), signature)
}

/// One side of a function that copies values.
fn side(
    builder: &mut FunctionBuilder<'_>,
    unit: &UnitLayout<'_>,
    plan: &Plan,
    end: &End,
    outer_flags: Value,
) -> Side {
    let (component, options) = (end.component, &end.options);
    let realloc = options.realloc;
    Side {
        component,
        handles: unit.handles[component.0 as usize],
        memory: options.memory.map(|memory| Memory::new(unit, memory)),
        realloc: realloc.map(|func| declare(builder, unit, plan, func)),
        encoding: options.string_encoding,
        width: options.width,
        storage: unit.storage[component.0 as usize].map(|offset| offset as i32),
        flags: unit.flags[component.0 as usize] as i32,
        outer_flags,
    }
}

/// The resources of the handles in the parameters.
fn params_handles<'t>(types: &'t Types, func: &FuncType) -> impl Iterator<Item = &'t TypeDef> {
    handles_in(types, func.params.iter().map(|(_, ty)| *ty).collect())
}

/// The resources of the handles in these types.
fn handles_in(types: &Types, mut rest: Vec<ValueType>) -> impl Iterator<Item = &TypeDef> {
    let mut seen = HashSet::new();
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

/// Loads the flags of an instance. Traps if it cannot be left.
pub(crate) fn check_leaves(
    builder: &mut FunctionBuilder<'_>,
    context: Value,
    offset: i32,
) -> Value {
    let flags = builder.ins().load(types::I32, trusted(), context, offset);
    check_flag(builder, flags, MAY_LEAVE, TrapCode::CannotLeave);
    flags
}

/// Traps if the host has forbidden the instance with these flags to call itself, an instance around
/// it, or one nested in it.
pub(crate) fn check_nests(builder: &mut FunctionBuilder<'_>, flags: Value) {
    check_flag(builder, flags, MAY_NEST, TrapCode::CannotEnter);
}

fn check_flag(builder: &mut FunctionBuilder<'_>, flags: Value, flag: u32, code: TrapCode) {
    let is_set = builder.ins().band_imm_u(flags, i64::from(flag));
    builder.ins().trapz(is_set, trap_code(code));
}

fn set_flags(builder: &mut FunctionBuilder<'_>, context: Value, offset: i32, flags: Value) {
    builder.ins().store(trusted(), flags, context, offset);
}

impl Loans {
    /// Ends all loans of the call, which is over. (If an instance calls itself, the callee's scope
    /// is on the same stack, below the noted handles.)
    fn end(
        self,
        builder: &mut FunctionBuilder<'_>,
        context: Value,
        (caller, callee): (&Side, &Side),
    ) {
        for handle in self.flat {
            handles::unlend(builder, context, caller.handles, handle);
        }
        if let Some(place) = self.noted {
            let release = HandleOp::Release;
            handles::call(builder, release, context, caller.handles, &[place]);
        }
        if let Some(scope) = self.scope {
            handles::close(builder, context, callee.handles, scope);
        }
    }
}

impl<'c, 'f> Copier<'c, 'f> {
    /// A copier of small values from the first side to the second.
    fn new(
        builder: &'c mut FunctionBuilder<'f>,
        unit: &UnitLayout<'_>,
        plan: &'c Plan,
        sharing: &'c Sharing,
        context: Value,
        (from, to): (Side, Side),
    ) -> Copier<'c, 'f> {
        Copier {
            builder,
            plan,
            types: &plan.types.types,
            loans: Loans::default(),
            context,
            from,
            to,
            builtins: Vec::new(),
            checks: Checks::new(unit.interrupt_slot),
            sharing,
            direction: 0,
            is_large: false,
            may_throw: unit.may_throw,
            shared_funcs: HashMap::new(),
        }
    }
}

impl Copier<'_, '_> {
    /// Makes the callee's arguments from the adapter's: the context, and all parameters or a
    /// pointer to them.
    fn params(&mut self, func: &FuncType, params: &[Value]) -> Vec<Value> {
        let types = func.params.iter().map(|(_, ty)| *ty);
        let mut args = vec![self.context];
        if self.types.params_flat(func).fits() {
            self.flat_params(types, &params[1..], &mut args);
            return args;
        }
        let layout = self.types.params_layout(func);
        let src = self.pointer_to(self.from, params[1], layout);
        let (pointer, dst) = self.allocate_value(layout);
        self.memory_fields(types, src, dst);
        args.push(pointer);
        args
    }

    /// Copies flat parameters. Borrowed handles among them are remembered, to end their loans after
    /// the call.
    fn flat_params(
        &mut self,
        params: impl Iterator<Item = ValueType>,
        values: &[Value],
        out: &mut Vec<Value>,
    ) {
        let mut values = values;
        for ty in params {
            let (own, rest) = values.split_at(self.types.abi(ty).flat.count());
            values = rest;
            let def = match ty {
                ValueType::Def(id) => Some(self.types.def(id)),
                _ => None,
            };
            let Some(TypeDef::Borrow(resource)) = def else {
                self.copy_flat(ty, own, out);
                continue;
            };
            out.push(self.borrow(own[0], *resource, HandleOp::Lend));
            if self.loans.are_seen {
                self.loans.flat.push(own[0]);
            }
        }
    }

    /// Makes the adapter's results from the callee's. A result that is not flat is written to the
    /// address in the adapter's last argument.
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

    /// Moves an owned resource to the other side, and returns its handle there.
    fn own(&mut self, handle: Value, resource: ResourceNumber) -> Value {
        let (from, to) = (self.from.handles, self.to.handles);
        let own = HandleUse::own(resource);
        let rep = self.handle(HandleOp::Take, from, handle, own);
        self.handle(HandleOp::Add, to, rep, own)
    }

    /// Opens a scope if the callee gets borrowed handles, and remembers from which place of the
    /// stack loans are noted.
    fn begin_loans(&mut self, func: &FuncType) {
        let is_borrow = |def: &TypeDef| matches!(def, TypeDef::Borrow(_));
        let gets_handle = |def: &TypeDef| match def {
            TypeDef::Borrow(resource) => !self.defines(*resource),
            _ => false,
        };
        if params_handles(self.types, func).any(gets_handle) {
            let table = self.to.handles;
            let scope = handles::call(self.builder, HandleOp::Open, self.context, table, &[]);
            self.loans.scope = Some(scope[0]);
        }
        let is_flat = |ty: &ValueType| match ty {
            ValueType::Def(id) => is_borrow(self.types.def(*id)),
            _ => false,
        };
        let fits = self.types.params_flat(func).fits();
        let others = func.params.iter().map(|(_, ty)| *ty);
        let others = others.filter(|ty| !(fits && is_flat(ty)));
        if self.loans.are_seen && handles_in(self.types, others.collect()).any(is_borrow) {
            let len = handles::stack_len(self.builder, self.context, self.from.handles);
            self.loans.noted = Some(len);
        }
    }

    /// Whether the callee's side defines a resource.
    fn defines(&self, resource: ResourceNumber) -> bool {
        self.plan.resources[resource.0 as usize].is_defined_by(self.to.component)
    }

    /// Traps if the callee has not dropped all borrowed handles.
    fn check_borrows(&mut self) {
        if let Some(scope) = self.loans.scope {
            handles::check_borrows(self.builder, self.context, self.to.handles, scope);
        }
    }

    /// Lends a resource to the other side. Returns its handle there, or its representation if that
    /// side defines the resource. `op` says how the loan is counted.
    fn borrow(&mut self, handle: Value, resource: ResourceNumber, op: HandleOp) -> Value {
        let op = if self.loans.are_seen {
            op
        } else {
            HandleOp::Rep
        };
        let borrow = HandleUse::borrow(resource);
        let rep = self.handle(op, self.from.handles, handle, borrow);
        let Some(scope) = self.loans.scope.filter(|_| !self.defines(resource)) else {
            return rep;
        };
        let bits = self.builder.ins().iconst(types::I32, i64::from(borrow.0));
        let (op, table) = (HandleOp::AddBorrow, self.to.handles);
        handles::call(self.builder, op, self.context, table, &[rep, bits, scope])[0]
    }

    fn handle(&mut self, op: HandleOp, table: u32, value: Value, handle_use: HandleUse) -> Value {
        let args = (value, handle_use);
        handles::convert(self.builder, op, self.context, table, args)
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
