//! Exceptions: `try_table`, `throw`, `throw_ref`.
//!
//! ```text
//! call in a try_table -> the block after it
//!                    \-> landing block of a clause: loads the values, branches to its label
//! ```
//!
//! A call in a `try_table` is a `try_call` of Cranelift with the clauses of all `try_table`s around
//! it in the function, innermost first; machine code has nothing for them but the landing blocks.
//! What a clause catches is a number that Cranelift passes on to the tables of the artifact
//! ([`cwasm_format::exceptions`]).
//!
//! The clauses at a call are bounded, so that the tables are not quadratic in the size of a
//! function: a `try_table` with many, or in many others, catches all exceptions itself; its code
//! compares tags, and throws again what none of its clauses catches.

use std::ops::Range;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    self, Block, BlockArg, BlockCall, ExceptionTableItem, ExceptionTag, InstBuilder, StackSlotData,
    StackSlotKind, Value,
};
use cwasm_format::TrapCode;
use cwasm_format::builtin::Builtin;
use cwasm_format::exceptions::{VALUE_SIZE, catch};
use cwasm_format::exports::IMPORTED;
use wasmparser::{Catch, TryTable};

use super::call::{Callee, Code};
use super::control::FrameKind;
use super::emit::Emitter;
use super::legacy::Tries;
use super::operators::Translator;
use crate::env::{FuncRefs, TagLoc};
use crate::ir::flags::trusted;
use crate::ir::try_call::exception_table;
use crate::ir::types::representation;

/// The most clauses of a `try_table` that tables have.
const MAX_CLAUSES: usize = 8;
/// The most clauses around a `try_table` that tables have.
const MAX_AROUND: usize = 8;
/// Where the tag of a caught exception is, from the address that a handler gets: the number of a
/// closed unit, or the address.
const CAUGHT_TAG: i32 = 8;

/// What a call's handler catches, as in [`CatchRecord`](cwasm_format::exceptions::CatchRecord), and
/// where it is.
#[derive(Clone, Copy)]
pub(super) struct Handler {
    catches: u32,
    pub(super) block: Block,
}

/// A `try_table` around the current operator, by its place in [`Exceptions::scopes`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ScopeId(u32);

/// The `try_table`s around the current operator.
#[derive(Default)]
pub(super) struct Exceptions {
    scopes: Vec<Scope>,
    /// Those of all scopes.
    clauses: Vec<Clause>,
    /// The handlers of the call that is being emitted.
    handlers: Vec<Handler>,
    /// Where the values of exceptions are put that the function throws.
    values: Option<ir::StackSlot>,
    pub(super) tries: Tries,
}

struct Scope {
    /// The next one outwards that has clauses.
    parent: Option<ScopeId>,
    clauses: Range<usize>,
    /// How many handlers a call in it has.
    count: usize,
    /// The block that catches all exceptions and compares their tags.
    dispatch: Option<Block>,
    /// Whether a call has its handlers.
    is_used: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Clause {
    pub(super) handler: Handler,
    /// The index of the tag whose values it gets.
    tag: Option<u32>,
    /// The frame that it branches to.
    target: usize,
}

impl Exceptions {
    pub(super) fn clear(&mut self) {
        self.scopes.clear();
        self.clauses.clear();
        self.values = None;
        self.tries.clear();
    }

    /// A clause of the innermost scope, and whether exceptions may come to it.
    pub(super) fn clause(&self, number: usize) -> (Clause, bool) {
        let Some(scope) = self.scopes.last() else {
            unreachable!("a frame with clauses has a scope")
        };
        (self.clauses[scope.clauses.start + number], scope.is_used)
    }

    /// This scope, or the next one outwards if it has no clauses.
    fn with_clauses(&self, scope: Option<ScopeId>) -> Option<ScopeId> {
        let found = &self.scopes[scope?.0 as usize];
        if found.clauses.is_empty() {
            found.parent
        } else {
            scope
        }
    }

    /// Forgets the innermost scope.
    pub(super) fn pop_scope(&mut self) {
        if let Some(scope) = self.scopes.pop() {
            self.clauses.truncate(scope.clauses.start);
        }
    }

    /// Collects the handlers of a call in a scope.
    fn collect(&mut self, scope: Option<ScopeId>) {
        self.handlers.clear();
        let mut next = scope;
        while let Some(ScopeId(id)) = next {
            let scope = &mut self.scopes[id as usize];
            scope.is_used = true;
            if let Some(block) = scope.dispatch {
                let catches = catch::ANY | catch::REFERENCE;
                self.handlers.push(Handler { catches, block });
                return;
            }
            for clause in &self.clauses[scope.clauses.clone()] {
                let what = |catches: u32| catches & !catch::REFERENCE;
                let catches = what(clause.handler.catches);
                let mut known = self.handlers.iter();
                if !known.any(|handler| what(handler.catches) == catches) {
                    self.handlers.push(clause.handler);
                }
                if catches == catch::ANY {
                    return;
                }
            }
            next = scope.parent;
        }
    }
}

/// A block that exceptions are caught in: its parameter is the address of the values.
fn landing(emit: &mut Emitter<'_, '_>) -> Block {
    let block = emit.builder.create_block();
    emit.builder.append_block_param(block, I64);
    emit.builder.set_cold_block(block);
    block
}

impl Translator<'_, '_> {
    pub(super) fn try_table(&mut self, table: &TryTable) {
        let first = self.exceptions.clauses.len();
        for clause in &table.catches {
            let (tag, reference, label) = match *clause {
                Catch::One { tag, label } => (Some(tag), 0, label),
                Catch::OneRef { tag, label } => (Some(tag), catch::REFERENCE, label),
                Catch::All { label } => (None, 0, label),
                Catch::AllRef { label } => (None, catch::REFERENCE, label),
            };
            self.push_clause(tag, reference, self.frame_index(label));
        }
        let scope = self.enter_scope(first);
        self.push_frame(FrameKind::TryTable, table.ty, None);
        self.set_scope(Some(scope));
    }

    /// Adds a clause that branches to a frame.
    pub(super) fn push_clause(&mut self, tag: Option<u32>, reference: u32, target: usize) {
        let what = tag.map_or(catch::ANY, |tag| self.emit.env.tags[tag as usize].number);
        let handler = Handler {
            catches: what | reference,
            block: landing(&mut self.emit),
        };
        self.exceptions.clauses.push(Clause {
            handler,
            tag,
            target,
        });
    }

    /// How many clauses there are in all scopes.
    pub(super) fn clause_count(&self) -> usize {
        self.exceptions.clauses.len()
    }

    /// Enters the scope of the clauses from `first` on.
    pub(super) fn enter_scope(&mut self, first: usize) -> ScopeId {
        let parent = self.exceptions.with_clauses(self.scope());
        let around = parent.map_or(0, |ScopeId(id)| self.exceptions.scopes[id as usize].count);
        let clauses = first..self.exceptions.clauses.len();
        let is_large = clauses.len() > MAX_CLAUSES || around > MAX_AROUND;
        let dispatches = is_large && !clauses.is_empty();
        let scope = Scope {
            parent,
            count: match dispatches {
                true => 1,
                false => around + clauses.len(),
            },
            clauses,
            dispatch: dispatches.then(|| landing(&mut self.emit)),
            is_used: false,
        };
        self.exceptions.scopes.push(scope);
        ScopeId(self.exceptions.scopes.len() as u32 - 1)
    }

    /// The innermost `try_table` around the current operator.
    pub(super) fn scope(&self) -> Option<ScopeId> {
        self.frames.last().and_then(|frame| frame.scope)
    }

    pub(super) fn set_scope(&mut self, scope: Option<ScopeId>) {
        if let Some(frame) = self.frames.last_mut() {
            frame.scope = scope;
        }
    }

    /// Ends the `try_table` that is the innermost frame.
    pub(super) fn end_try_table(&mut self) {
        let clauses = self.leave_scope();
        if !clauses.is_empty() {
            let index = self.frames.len() - 1;
            let (ty, height) = (self.frames[index].ty, self.frames[index].height);
            if self.reachable {
                let target = self.target(index);
                self.jump(target, self.result_count(ty));
            }
            self.stack.truncate(height);
            self.dispatch();
            for place in clauses {
                let clause = self.exceptions.clauses[place];
                let values = self.begin_landing(clause.handler.block);
                self.push_caught(clause, values);
                self.branch(clause.target);
                self.stack.truncate(height);
            }
        }
        self.exceptions.pop_scope();
        self.end_innermost();
    }

    /// Ends the part of the innermost frame whose exceptions the innermost scope catches. The
    /// clauses to which exceptions may come.
    pub(super) fn leave_scope(&mut self) -> Range<usize> {
        let Some(scope) = self.exceptions.scopes.last() else {
            unreachable!("a frame with clauses has a scope")
        };
        let (parent, clauses) = (scope.parent, scope.clauses.clone());
        let is_used = scope.is_used;
        self.set_scope(parent);
        if is_used { clauses } else { 0..0 }
    }

    /// Goes on in a landing block, to which nothing else will branch; the address of the values.
    pub(super) fn begin_landing(&mut self, block: Block) -> Value {
        let builder = &mut *self.emit.builder;
        builder.seal_block(block);
        builder.switch_to_block(block);
        builder.block_params(block)[0]
    }

    /// Pushes what a clause has caught.
    pub(super) fn push_caught(&mut self, clause: Clause, values: Value) {
        if let Some(tag) = clause.tag {
            let module = self.emit.env.module;
            let ty = &module.types[module.tags[tag as usize] as usize];
            for (place, ty) in (1..).zip(ty.params()) {
                let (ty, offset) = (representation(*ty), place * VALUE_SIZE as i32);
                let value = self.emit.builder.ins().load(ty, trusted(), values, offset);
                self.push(value);
            }
        }
        if clause.handler.catches & catch::REFERENCE != 0 {
            let reference = self.emit.reference(values);
            self.push(reference);
        }
    }

    /// If the innermost scope has a block that catches all exceptions: goes from there to the
    /// clause for the exception's tag, or throws it again.
    pub(super) fn dispatch(&mut self) {
        let scope = self.exceptions.scopes.last();
        let Some((block, clauses)) =
            scope.and_then(|scope| Some((scope.dispatch?, scope.clauses.clone())))
        else {
            return;
        };
        let values = self.begin_landing(block);
        let args = [BlockArg::Value(values)];
        let ins = self.emit.builder.ins();
        let found = ins.load(I64, trusted(), values, CAUGHT_TAG);
        for place in clauses {
            let clause = self.exceptions.clauses[place];
            let block = clause.handler.block;
            let Some(tag) = clause.tag else {
                self.emit.builder.ins().jump(block, &args);
                return;
            };
            let expected = self.emit.tag(tag);
            let builder = &mut *self.emit.builder;
            let next = builder.create_block();
            builder.set_cold_block(next);
            let is_equal = builder.ins().icmp(IntCC::Equal, found, expected);
            builder.ins().brif(is_equal, block, &args, next, &[]);
            builder.seal_block(next);
            builder.switch_to_block(next);
        }
        let reference = self.emit.reference(values);
        self.throw_reference(reference);
    }

    pub(super) fn throw(&mut self, tag: u32) {
        let module = self.emit.env.module;
        let params = module.types[module.tags[tag as usize] as usize].params();
        let first = self.stack.len() - params.len();
        let number = self.emit.env.tags[tag as usize].number;
        let size = VALUE_SIZE * params.len() as u32;
        let slot = self.exceptions.values_slot(&mut self.emit, size);
        for (place, value) in self.stack[first..].iter().enumerate() {
            let offset = place as i32 * VALUE_SIZE as i32;
            let ins = self.emit.builder.ins();
            ins.stack_store(I64, *value, slot, offset);
        }
        let ins = self.emit.builder.ins();
        let values = ins.stack_addr(I64, slot, 0);
        let ins = self.emit.builder.ins();
        let number = ins.iconst(ir::types::I32, i64::from(number));
        let ins = self.emit.builder.ins();
        let count = ins.iconst(I64, params.len() as i64);
        self.throw_by(Builtin::Throw, &[number, values, count]);
    }

    pub(super) fn throw_ref(&mut self) {
        let reference = self.pop();
        self.emit.trap_if_null(reference);
        self.throw_reference(reference);
    }

    /// Throws the exception of a reference that is not null.
    pub(super) fn throw_reference(&mut self, reference: Value) {
        self.throw_by(Builtin::ThrowRef, &[reference]);
    }

    /// Calls a builtin that throws.
    fn throw_by(&mut self, builtin: Builtin, args: &[Value]) {
        let callee = self.emit.builtin_callee(builtin);
        self.exceptions.collect(self.scope());
        self.emit
            .call_with(&callee, args, &self.exceptions.handlers);
        self.budget.call();
        self.trap(TrapCode::Unreachable);
    }

    /// Calls a function with the topmost `count` operands, and replaces them by the results.
    pub(super) fn call_with_operands(&mut self, callee: &Callee, count: usize) {
        let first = self.stack.len() - count;
        self.exceptions.collect(self.scope());
        let handlers = &self.exceptions.handlers;
        let args = &self.stack[first..];
        match self.emit.call_with(callee, args, handlers) {
            Called::Plainly(inst) => {
                self.stack.truncate(first);
                let results = self.emit.builder.inst_results(inst);
                self.stack.extend_from_slice(results);
            }
            Called::Before(block) => {
                self.stack.truncate(first);
                let results = self.emit.builder.block_params(block);
                self.stack.extend_from_slice(results);
            }
        }
        self.budget.call();
    }
}

impl Exceptions {
    /// The place for the values of an exception that is thrown, of at least `size` bytes.
    fn values_slot(&mut self, emit: &mut Emitter<'_, '_>, size: u32) -> ir::StackSlot {
        let slot = *self.values.get_or_insert_with(|| {
            let align = VALUE_SIZE.ilog2() as u8;
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, VALUE_SIZE, align);
            emit.builder.create_sized_stack_slot(data)
        });
        let data = &mut emit.builder.func.sized_stack_slots[slot];
        data.size = data.size.max(size);
        slot
    }
}

/// A call that was emitted.
pub(super) enum Called {
    /// As an instruction, whose results are the call's.
    Plainly(ir::Inst),
    /// At the end of a block; the parameters of this one, where the builder is, are its results.
    Before(Block),
}

impl Emitter<'_, '_> {
    /// Calls a function; what it throws goes to these handlers.
    pub(super) fn call_with(
        &mut self,
        callee: &Callee,
        args: &[Value],
        handlers: &[Handler],
    ) -> Called {
        if handlers.is_empty() {
            return Called::Plainly(self.call_callee(callee, args));
        }
        self.begin_call(callee, args);
        let signature = self.callee_signature(callee);
        let items = self.handler_items(handlers);
        let (after, table) = exception_table(&mut *self.builder, signature, items);
        match callee.code {
            Code::Func(func) => {
                self.builder.ins().try_call(func, &self.refs.args, table);
            }
            Code::Address(_, code) => {
                let ins = self.builder.ins();
                ins.try_call_indirect(code, &self.refs.args, table);
            }
        }
        self.builder.seal_block(after);
        self.builder.switch_to_block(after);
        Called::Before(after)
    }

    fn handler_items(&mut self, handlers: &[Handler]) -> Vec<ExceptionTableItem> {
        let context = match self.env.refs {
            FuncRefs::Closed => None,
            FuncRefs::Open { .. } => Some(ExceptionTableItem::Context(self.vmctx)),
        };
        let pool = &mut self.builder.func.dfg.value_lists;
        let items = handlers.iter().map(|handler| {
            let block = BlockCall::new(handler.block, [BlockArg::TryCallExn(0)], pool);
            ExceptionTableItem::Tag(ExceptionTag::from_u32(handler.catches), block)
        });
        context.into_iter().chain(items).collect()
    }

    /// The reference to what a handler has caught, which asks for one.
    pub(super) fn reference(&mut self, values: Value) -> Value {
        self.builder.ins().load(I64, trusted(), values, 0)
    }

    /// A tag as a caught exception has it.
    fn tag(&mut self, tag: u32) -> Value {
        let TagLoc { number, slot } = self.env.tags[tag as usize];
        match (self.env.refs, slot & IMPORTED) {
            (FuncRefs::Closed, _) => self.builder.ins().iconst(I64, i64::from(number)),
            (FuncRefs::Open { .. }, 0) => self.context_addr(slot),
            (FuncRefs::Open { .. }, _) => self.load_constant(slot & !IMPORTED),
        }
    }
}
