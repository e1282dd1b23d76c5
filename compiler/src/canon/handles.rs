//! Handles: operations of compiled code on the table of a component instance ([`VmHandles`], "Table
//! State" and "Resource State" of `CanonicalABI.md`).
//!
//! Each basic operation is a small function that all callers share ([`HandleOp`]). `resource.new`,
//! `resource.rep` and `resource.drop` of a component are functions of their own that call these.
//!
//! Borrows are counted by call and not by instance, which may be entered again while it waits: a
//! call that gives handles to its callee opens a scope, a word on the table's stack
//! ([`HandleOp::Open`], [`close`]). A handle is lent until the call that lends it is over. Loans of
//! flat parameters are counted in the entry, and the adapter ends them ([`HandleOp::Lend`],
//! [`unlend`]). Loans of handles in memory are also noted on the stack ([`HandleOp::Note`],
//! [`HandleOp::Release`]), unless the handle is lent already: calls nest, so the earlier loan ends
//! later.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, Value, types};
use cranelift_frontend::FunctionBuilder;
use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::resources::HandleUse;
use cwasm_format::vmctx::{VmHandle, VmHandles};

use super::adapter::{check_leaves, check_nests};
use super::trampoline;
use crate::ir::boundary;
use crate::ir::flags::trusted;
use crate::ir::function::{begin, declare_function};
use crate::ir::symbol::{HandleOp, Symbol};
use crate::ir::trap::trap_code;
use crate::ir::types::{builtin_signature, core_signature};
use crate::layout::UnitLayout;
use crate::plan::{Plan, ResourceFunc, ResourceOp, ResourceOrigin};

/// Shifts an index to the offset of its entry.
const ENTRY_LOG2: i64 = size_of::<VmHandle>().trailing_zeros() as i64;

/// Calls a shared function for the table at this offset of the context.
pub(crate) fn call(
    builder: &mut FunctionBuilder<'_>,
    op: HandleOp,
    context: Value,
    table: u32,
    args: &[Value],
) -> Vec<Value> {
    let signature = builder.func.import_signature(op.signature());
    let callee = declare_function(builder.func, Symbol::Handle(op), signature);
    let table = builder.ins().iadd_imm_u(context, i64::from(table));
    let mut all = vec![context, table];
    all.extend(args);
    let call = builder.ins().call(callee, &all);
    builder.inst_results(call).to_vec()
}

/// As [`call`], for functions that take a value and the expected use, and return a value.
pub(crate) fn convert(
    builder: &mut FunctionBuilder<'_>,
    op: HandleOp,
    context: Value,
    table: u32,
    (value, handle_use): (Value, HandleUse),
) -> Value {
    let bits = builder.ins().iconst(types::I32, i64::from(handle_use.0));
    call(builder, op, context, table, &[value, bits])[0]
}

/// The number of words on the stack of this table, which is the place of the next one.
pub(crate) fn stack_len(builder: &mut FunctionBuilder<'_>, context: Value, table: u32) -> Value {
    let offset = table as i32 + offset_of!(VmHandles, stack_len) as i32;
    builder.ins().load(types::I32, trusted(), context, offset)
}

/// Traps if a call that gave handles of this scope returns before all are dropped.
pub(crate) fn check_borrows(
    builder: &mut FunctionBuilder<'_>,
    context: Value,
    table: u32,
    scope: Value,
) {
    let offset = table as i32 + offset_of!(VmHandles, stack) as i32;
    let stack = builder.ins().load(types::I64, trusted(), context, offset);
    let word = stack_word(builder, stack, scope);
    let count = builder.ins().load(types::I32, trusted(), word, 0);
    builder
        .ins()
        .trapnz(count, trap_code(TrapCode::BorrowsRemain));
}

/// Closes a scope, which is the last word on the stack.
pub(crate) fn close(builder: &mut FunctionBuilder<'_>, context: Value, table: u32, scope: Value) {
    let offset = table as i32 + offset_of!(VmHandles, stack_len) as i32;
    builder.ins().store(trusted(), scope, context, offset);
}

/// Ends a loan by [`HandleOp::Lend`]. The entry still exists, because it was lent.
pub(crate) fn unlend(builder: &mut FunctionBuilder<'_>, context: Value, table: u32, handle: Value) {
    let offset = table as i32 + offset_of!(VmHandles, base) as i32;
    let base = builder.ins().load(types::I64, trusted(), context, offset);
    let entry = entry_at(builder, base, handle);
    change(builder, entry, offset_of!(VmHandle, lends), -1);
}

/// The address of the entry of this index.
fn entry_at(builder: &mut FunctionBuilder<'_>, base: Value, index: Value) -> Value {
    let index = builder.ins().uextend(types::I64, index);
    let offset = builder.ins().ishl_imm_u(index, ENTRY_LOG2);
    builder.ins().iadd(base, offset)
}

/// The address of this word of a stack.
fn stack_word(builder: &mut FunctionBuilder<'_>, stack: Value, place: Value) -> Value {
    let place = builder.ins().uextend(types::I64, place);
    let offset = builder.ins().ishl_imm_u(place, 2);
    builder.ins().iadd(stack, offset)
}

/// Adds to a number in memory.
fn change(builder: &mut FunctionBuilder<'_>, base: Value, offset: usize, by: i64) {
    let offset = offset as i32;
    let count = builder.ins().load(types::I32, trusted(), base, offset);
    let count = builder.ins().iadd_imm_s(count, by);
    builder.ins().store(trusted(), count, base, offset);
}

/// Builds a shared function.
pub(crate) fn shared(builder: &mut FunctionBuilder<'_>, op: HandleOp) {
    let entry = begin(builder, op.signature());
    let params = builder.block_params(entry).to_vec();
    let mut table = Table {
        builder,
        context: params[0],
        table: params[1],
    };
    let results = match (op, &params[2..]) {
        (HandleOp::Add, &[rep, bits]) => {
            let free = table.free_entry(HandleOp::GrowAndAdd, &params);
            table.add(free, rep, bits);
            vec![free]
        }
        (HandleOp::AddBorrow, &[rep, bits, scope]) => {
            let free = table.free_entry(HandleOp::GrowAndAddBorrow, &params);
            table.add(free, rep, bits);
            table.count_borrow(free, scope);
            vec![free]
        }
        (HandleOp::GrowAndAdd, _) => return table.grow_and(HandleOp::Add, &params),
        (HandleOp::GrowAndAddBorrow, _) => return table.grow_and(HandleOp::AddBorrow, &params),
        (HandleOp::Take, &[handle, bits]) => {
            let entry = table.find(handle);
            let found = table.check_resource(entry, bits);
            // The order of `lift_own`.
            table.check_not_lent(entry);
            table.check_owned(found);
            vec![table.free(entry, handle)]
        }
        (HandleOp::Rep, &[handle, bits]) => {
            let entry = table.find(handle);
            table.check_resource(entry, bits);
            vec![table.load(entry, offset_of!(VmHandle, rep))]
        }
        (HandleOp::Lend, &[handle, bits]) => {
            let entry = table.find(handle);
            table.check_resource(entry, bits);
            table.change(entry, offset_of!(VmHandle, lends), 1);
            vec![table.load(entry, offset_of!(VmHandle, rep))]
        }
        (HandleOp::Note, &[handle, bits]) => {
            let entry = table.find(handle);
            table.check_resource(entry, bits);
            let rep = table.load(entry, offset_of!(VmHandle, rep));
            table.note(entry, handle);
            vec![rep]
        }
        (HandleOp::Open, []) => {
            let none = table.builder.ins().iconst(types::I32, 0);
            vec![table.push(none)]
        }
        (HandleOp::Release, &[place]) => {
            table.release(place);
            vec![]
        }
        (HandleOp::Remove, &[handle, bits]) => {
            let entry = table.find(handle);
            let found = table.check_resource(entry, bits);
            table.check_not_lent(entry);
            let is_borrow = table.builder.ins().band_imm_u(found, 1);
            let scope = table.load(entry, offset_of!(VmHandle, scope));
            vec![table.free(entry, handle), is_borrow, scope]
        }
        _ => unreachable!("the signature has as many parameters"),
    };
    builder.ins().return_(&results);
    builder.seal_all_blocks();
}

/// The table at an address.
struct Table<'t, 'f> {
    builder: &'t mut FunctionBuilder<'f>,
    context: Value,
    table: Value,
}

impl Table<'_, '_> {
    fn load(&mut self, base: Value, offset: usize) -> Value {
        let ins = self.builder.ins();
        ins.load(types::I32, trusted(), base, offset as i32)
    }

    fn store(&mut self, base: Value, offset: usize, value: Value) {
        let ins = self.builder.ins();
        ins.store(trusted(), value, base, offset as i32);
    }

    /// The address of an entry that exists.
    fn entry(&mut self, index: Value) -> Value {
        let offset = offset_of!(VmHandles, base) as i32;
        let ins = self.builder.ins();
        let base = ins.load(types::I64, trusted(), self.table, offset);
        entry_at(self.builder, base, index)
    }

    /// The address of a word on the stack.
    fn word(&mut self, place: Value) -> Value {
        let offset = offset_of!(VmHandles, stack) as i32;
        let ins = self.builder.ins();
        let stack = ins.load(types::I64, trusted(), self.table, offset);
        stack_word(self.builder, stack, place)
    }

    fn change(&mut self, base: Value, offset: usize, by: i64) {
        change(self.builder, base, offset, by);
    }

    /// The address of the entry of a guest's handle. Traps if there is none.
    fn find(&mut self, handle: Value) -> Value {
        let len = self.load(self.table, offset_of!(VmHandles, len));
        let ins = self.builder.ins();
        let is_known = ins.icmp(IntCC::UnsignedLessThan, handle, len);
        let unknown = trap_code(TrapCode::UnknownHandle);
        self.builder.ins().trapz(is_known, unknown);
        self.entry(handle)
    }

    /// The use of an entry. Traps if the entry is free or of another resource than expected.
    fn check_resource(&mut self, entry: Value, bits: Value) -> Value {
        let found = self.load(entry, offset_of!(VmHandle, ty));
        let other = self.builder.ins().bxor(found, bits);
        let ins = self.builder.ins();
        let is_other = ins.icmp_imm_u(IntCC::UnsignedGreaterThan, other, 1);
        let fine = self.branch(is_other);
        self.trap_other(found, TrapCode::WrongResourceType);
        self.builder.switch_to_block(fine);
        found
    }

    /// Traps if the use is a borrow.
    fn check_owned(&mut self, found: Value) {
        let is_borrow = self.builder.ins().band_imm_u(found, 1);
        let not_owned = trap_code(TrapCode::NotOwned);
        self.builder.ins().trapnz(is_borrow, not_owned);
    }

    fn check_not_lent(&mut self, entry: Value) {
        let lent = self.load(entry, offset_of!(VmHandle, lends));
        let borrowed = trap_code(TrapCode::ResourceBorrowed);
        self.builder.ins().trapnz(lent, borrowed);
    }

    /// Branches to a cold block, where the builder goes on, if the condition is not zero. Returns
    /// the other block.
    fn branch(&mut self, condition: Value) -> Block {
        let (cold, fine) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(cold);
        self.builder.ins().brif(condition, cold, &[], fine, &[]);
        self.builder.switch_to_block(cold);
        fine
    }

    /// Traps for an entry that is free, or else with `code`.
    fn trap_other(&mut self, found: Value, code: TrapCode) {
        let free = i64::from(VmHandle::FREE);
        let is_free = self.builder.ins().icmp_imm_u(IntCC::Equal, found, free);
        let unknown = trap_code(TrapCode::UnknownHandle);
        self.builder.ins().trapnz(is_free, unknown);
        self.builder.ins().trap(trap_code(code));
    }

    /// Frees an entry, and returns the representation that was in it.
    fn free(&mut self, entry: Value, handle: Value) -> Value {
        let rep = self.load(entry, offset_of!(VmHandle, rep));
        let next = self.load(self.table, offset_of!(VmHandles, free));
        self.store(entry, offset_of!(VmHandle, rep), next);
        let free = i64::from(VmHandle::FREE);
        let free = self.builder.ins().iconst(types::I32, free);
        self.store(entry, offset_of!(VmHandle, ty), free);
        self.store(self.table, offset_of!(VmHandles, free), handle);
        rep
    }

    /// The index of a free entry. If there is none, `grow` is called instead of what follows:
    /// another function, so that this one need not save its arguments for the call of the loader.
    fn free_entry(&mut self, grow: HandleOp, params: &[Value]) -> Value {
        let free = self.load(self.table, offset_of!(VmHandles, free));
        let is_full = self.builder.ins().icmp_imm_u(IntCC::Equal, free, 0);
        let fine = self.branch(is_full);
        self.return_call(grow, params);
        self.builder.switch_to_block(fine);
        free
    }

    /// Adds free entries, and calls `op`.
    fn grow_and(&mut self, op: HandleOp, params: &[Value]) {
        self.grow(Builtin::HandlesGrow);
        self.return_call(op, params);
        self.builder.seal_all_blocks();
    }

    fn return_call(&mut self, op: HandleOp, params: &[Value]) {
        let signature = self.builder.func.import_signature(op.signature());
        let callee = declare_function(self.builder.func, Symbol::Handle(op), signature);
        self.builder.ins().return_call(callee, params);
    }

    /// Takes a free entry.
    fn add(&mut self, free: Value, rep: Value, bits: Value) {
        let entry = self.entry(free);
        let next = self.load(entry, offset_of!(VmHandle, rep));
        self.store(self.table, offset_of!(VmHandles, free), next);
        self.store(entry, offset_of!(VmHandle, rep), rep);
        self.store(entry, offset_of!(VmHandle, ty), bits);
    }

    /// Calls the loader to make room.
    fn grow(&mut self, builtin: Builtin) {
        let signature = builtin_signature(builtin);
        let signature = self.builder.func.import_signature(signature);
        let symbol = Symbol::Builtin(builtin);
        let grow = declare_function(self.builder.func, symbol, signature);
        let args = [self.context, self.table];
        self.builder.ins().call(grow, &args);
    }

    /// Counts a borrow in its scope.
    fn count_borrow(&mut self, handle: Value, scope: Value) {
        let entry = self.entry(handle);
        self.store(entry, offset_of!(VmHandle, scope), scope);
        let count = self.word(scope);
        self.change(count, 0, 1);
    }

    /// Pushes a word onto the stack, and returns its place.
    fn push(&mut self, word: Value) -> Value {
        let place = self.load(self.table, offset_of!(VmHandles, stack_len));
        let capacity = self.load(self.table, offset_of!(VmHandles, stack_capacity));
        let is_full = self.builder.ins().icmp(IntCC::Equal, place, capacity);
        let fine = self.branch(is_full);
        self.grow(Builtin::HandlesDeepen);
        self.builder.ins().jump(fine, &[]);
        self.builder.switch_to_block(fine);
        let address = self.word(place);
        self.store(address, 0, word);
        self.change(self.table, offset_of!(VmHandles, stack_len), 1);
        place
    }

    /// Lends an entry and notes it on the stack, if it is not lent already.
    fn note(&mut self, entry: Value, handle: Value) {
        let (first, done) = (self.builder.create_block(), self.builder.create_block());
        let lends = self.load(entry, offset_of!(VmHandle, lends));
        self.builder.ins().brif(lends, done, &[], first, &[]);

        self.builder.switch_to_block(first);
        self.change(entry, offset_of!(VmHandle, lends), 1);
        self.push(handle);
        self.builder.ins().jump(done, &[]);
        self.builder.switch_to_block(done);
    }

    /// Pops noted handles from the stack until it has `place` words.
    fn release(&mut self, place: Value) {
        let (next, body, done) = (
            self.builder.create_block(),
            self.builder.create_block(),
            self.builder.create_block(),
        );
        self.builder.ins().jump(next, &[]);

        self.builder.switch_to_block(next);
        let len = self.load(self.table, offset_of!(VmHandles, stack_len));
        let is_end = self.builder.ins().icmp(IntCC::Equal, len, place);
        self.builder.ins().brif(is_end, done, &[], body, &[]);

        self.builder.switch_to_block(body);
        let last = self.builder.ins().iadd_imm_s(len, -1);
        self.store(self.table, offset_of!(VmHandles, stack_len), last);
        let word = self.word(last);
        let handle = self.load(word, 0);
        let entry = self.entry(handle);
        self.change(entry, offset_of!(VmHandle, lends), -1);
        self.builder.ins().jump(next, &[]);

        self.builder.switch_to_block(done);
    }
}

/// Builds `resource.new`, `resource.rep` or `resource.drop` for a component instance.
pub(crate) fn resource_func(
    builder: &mut FunctionBuilder<'_>,
    unit: &UnitLayout<'_>,
    plan: &Plan,
    func: &ResourceFunc,
) {
    let entry = begin(builder, core_signature(&func.op.core_type()));
    let params = builder.block_params(entry).to_vec();
    let (context, param) = (params[0], params[1]);
    let table = unit.handles[func.component.0 as usize];
    let flags = unit.flags[func.component.0 as usize] as i32;
    let own = HandleUse::own(func.resource);
    match func.op {
        ResourceOp::New => {
            check_leaves(builder, context, flags);
            let handle = convert(builder, HandleOp::Add, context, table, (param, own));
            builder.ins().return_(&[handle]);
        }
        // Allowed wherever the instance runs.
        ResourceOp::Rep => {
            let rep = convert(builder, HandleOp::Rep, context, table, (param, own));
            builder.ins().return_(&[rep]);
        }
        ResourceOp::Drop => {
            let flags = check_leaves(builder, context, flags);
            let bits = builder.ins().iconst(types::I32, i64::from(own.0));
            let removed = call(builder, HandleOp::Remove, context, table, &[param, bits]);
            let (owned, borrowed) = (builder.create_block(), builder.create_block());
            builder.ins().brif(removed[1], borrowed, &[], owned, &[]);
            builder.switch_to_block(borrowed);
            let offset = table as i32 + offset_of!(VmHandles, stack) as i32;
            let stack = builder.ins().load(types::I64, trusted(), context, offset);
            let count = stack_word(builder, stack, removed[2]);
            change(builder, count, 0, -1);
            builder.ins().return_(&[]);
            builder.switch_to_block(owned);
            destroy(builder, unit, plan, func, (context, removed[0], flags));
            builder.ins().return_(&[]);
        }
    }
    builder.seal_all_blocks();
}

/// Calls the destructor of an owned resource, as if the component that defines the resource
/// exported the destructor. `flags` are those of the instance that drops the resource.
fn destroy(
    builder: &mut FunctionBuilder<'_>,
    unit: &UnitLayout<'_>,
    plan: &Plan,
    func: &ResourceFunc,
    (context, rep, flags): (Value, Value, Value),
) {
    let (component, dtor) = match plan.resources[func.resource.0 as usize].origin {
        ResourceOrigin::Host { import } => {
            let slot = unit.host_slots[import as usize];
            return trampoline::destructor(builder, (context, rep), slot);
        }
        ResourceOrigin::Guest { component, dtor } => (component, dtor),
    };
    if component != func.component && func.is_nested {
        check_nests(builder, flags);
    }
    if let Some(dtor) = dtor {
        let (id, ty) = unit.resolve(plan, dtor);
        let signature = builder.func.import_signature(core_signature(&ty));
        let dtor = declare_function(builder.func, Symbol::Func(id), signature);
        boundary::call(builder, unit.may_throw, dtor, &[context, rep]);
    }
}
