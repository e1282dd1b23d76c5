//! Control frames and branches.
//!
//! A frame gets a block for its end only when something branches there: a `block` that is only left
//! by reaching its end needs no basic block, nor does the end of a loop. An `if` without `else` and
//! without parameters needs no block for the case that it is not taken.

use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Inst, InstBuilder, JumpTableData, Value};
use cwasm_format::TrapCode;
use wasmparser::{BlockType, BrTable, BrTableTargets, Operator};

use super::exceptions::ScopeId;
use super::interrupt::Mark;
use super::operators::Translator;
use crate::error::Result;
use crate::ir::trap::trap_code;
use crate::ir::types::representation;

/// The most targets of a `br_table` that becomes a single table.
const MAX_TABLE_LEN: usize = 1_024;
/// The targets of each table that a larger one is split into.
const TABLE_PART_LEN: usize = 256;

/// A control frame whose start is reachable.
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    pub(super) ty: BlockType,
    /// Number of operands below the parameters.
    pub(super) height: usize,
    /// The target of branches: the head of a loop, otherwise the code after the frame.
    pub(super) target: PackedOption<Block>,
    /// The innermost `try_table` around the operators in it.
    pub(super) scope: Option<ScopeId>,
    mark: Mark,
}

#[derive(Clone, Copy)]
pub(super) enum FrameKind {
    /// The function's body: branching to it returns.
    Func,
    Block,
    Loop,
    /// The first part of an `if`. A copy of its parameters is below the operands, for the case
    /// `otherwise`, to which `branch` goes.
    If {
        branch: Inst,
        otherwise: Block,
    },
    /// The second part of an `if`.
    Else,
    TryTable,
    /// The body of a `try`.
    Try,
    /// A clause of a `try`, and the reference to what it has caught if it can be reached.
    Catch {
        clause: u32,
        exception: PackedOption<Value>,
    },
}

impl Translator<'_, '_> {
    pub(super) fn enter_function(&mut self, type_index: u32) {
        self.stack.clear();
        self.frames.clear();
        let ty = BlockType::FuncType(type_index);
        self.frames.push(Frame {
            kind: FrameKind::Func,
            ty,
            height: 0,
            target: None.into(),
            scope: None,
            mark: self.budget.mark(),
        });
    }

    /// Keeps track of frames in unreachable code, up to the operator from which code is reachable
    /// again.
    pub(super) fn dead_operator(&mut self, op: &Operator<'_>) -> Result<()> {
        match op {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. } => {
                self.dead_frames += 1;
            }
            Operator::Try { .. } => {
                self.exceptions.tries.skip();
                self.dead_frames += 1;
            }
            Operator::Else if self.dead_frames == 0 => self.else_(),
            Operator::Catch { .. } | Operator::CatchAll if self.dead_frames == 0 => self.catch(),
            Operator::End | Operator::Delegate { .. } if self.dead_frames == 0 => self.end()?,
            Operator::End | Operator::Delegate { .. } => self.dead_frames -= 1,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn block(&mut self, ty: BlockType) {
        self.push_frame(FrameKind::Block, ty, None);
    }

    pub(super) fn loop_(&mut self, ty: BlockType) {
        let head = self.loop_head(ty);
        let args = self.params(ty).len();
        let entry = self.jump(head, args);
        self.emit.refs.loops.enter(entry);
        self.size.enter_loop();
        self.stack.truncate(self.stack.len() - args);
        self.continue_at(head);
        self.check();
        self.push_frame(FrameKind::Loop, ty, Some(head));
        if let Some(body) = self.loop_body.take() {
            self.unroll(body, head);
        }
    }

    /// The block that branches to a loop jump to.
    pub(super) fn loop_head(&mut self, ty: BlockType) -> Block {
        let head = self.emit.builder.create_block();
        for ty in self.params(ty) {
            self.emit
                .builder
                .append_block_param(head, representation(*ty));
        }
        head
    }

    pub(super) fn if_(&mut self, ty: BlockType) {
        let condition = self.pop();
        let builder = &mut *self.emit.builder;
        let (then, otherwise) = (builder.create_block(), builder.create_block());
        let branch = builder.ins().brif(condition, then, &[], otherwise, &[]);
        builder.seal_block(then);
        builder.switch_to_block(then);
        self.push_frame(FrameKind::If { branch, otherwise }, ty, None);
        let params = self.stack.len() - self.params(ty).len();
        self.stack.extend_from_within(params..);
    }

    pub(super) fn else_(&mut self) {
        let index = self.frames.len() - 1;
        let Frame {
            kind: FrameKind::If { otherwise, .. },
            ty,
            height,
            ..
        } = self.frames[index]
        else {
            unreachable!("`else` is validated");
        };
        if self.reachable {
            let target = self.target(index);
            self.jump(target, self.result_count(ty));
        }
        self.frames[index].kind = FrameKind::Else;
        self.emit.builder.seal_block(otherwise);
        self.emit.builder.switch_to_block(otherwise);
        self.stack.truncate(height + self.params(ty).len());
        self.budget.merge(self.frames[index].mark);
        self.reachable = true;
    }

    pub(super) fn end(&mut self) -> Result<()> {
        if let Some(Frame {
            kind: FrameKind::If { branch, otherwise },
            ..
        }) = self.frames.last()
        {
            self.end_if_without_else(*branch, *otherwise);
            return Ok(());
        }
        let Some(frame) = self.frames.last() else {
            unreachable!("`end` is validated")
        };
        match frame.kind {
            FrameKind::Loop if let Some(unrolled) = self.unrolled.take() => {
                return self.end_unrolled(unrolled);
            }
            FrameKind::TryTable => self.end_try_table(),
            FrameKind::Try | FrameKind::Catch { .. } => self.end_try(),
            _ => self.end_innermost(),
        }
        Ok(())
    }

    /// Ends the innermost frame, which is not an `if` without `else`.
    pub(super) fn end_innermost(&mut self) {
        let Some(frame) = self.frames.pop() else {
            unreachable!("`end` is validated")
        };
        self.budget.merge(frame.mark);
        match (frame.kind, frame.target.expand()) {
            (FrameKind::Loop, Some(head)) => {
                self.emit.refs.loops.leave();
                self.emit.builder.seal_block(head);
                self.size
                    .leave_loop(self.emit.builder.func.dfg.num_block_params(head));
            }
            (FrameKind::Func, None) if self.reachable => self.return_values(frame.ty),
            // The code after the frame is reached, if at all, from here.
            (_, None) => {}
            (kind, Some(target)) => {
                if self.reachable {
                    self.jump(target, self.result_count(frame.ty));
                }
                self.end_at(target, frame.height);
                if let FrameKind::Func = kind {
                    self.return_values(frame.ty);
                }
            }
        }
    }

    /// Ends an `if` that has no `else`; its results are its parameters when it is not taken.
    fn end_if_without_else(&mut self, branch: Inst, otherwise: Block) {
        let index = self.frames.len() - 1;
        let Frame {
            ty,
            height,
            target,
            mark,
            ..
        } = self.frames[index];
        let count = self.params(ty).len();
        let target = match target.expand() {
            None if count == 0 => otherwise,
            Some(target) if count == 0 => {
                self.emit
                    .builder
                    .change_jump_destination(branch, otherwise, target);
                target
            }
            _ => self.target(index),
        };
        if self.reachable {
            self.jump(target, count);
        }
        if count > 0 {
            self.emit.builder.seal_block(otherwise);
            self.emit.builder.switch_to_block(otherwise);
            self.stack.truncate(height + count);
            self.jump(target, count);
        }
        self.frames.pop();
        self.budget.merge(mark);
        self.end_at(target, height);
    }

    /// Goes on at `target`, to which nothing else will branch.
    pub(super) fn end_at(&mut self, target: Block, height: usize) {
        self.emit.builder.seal_block(target);
        self.stack.truncate(height);
        self.continue_at(target);
        self.reachable = true;
    }

    /// Goes on at `block`, with its parameters on the operand stack.
    pub(super) fn continue_at(&mut self, block: Block) {
        let builder = &mut *self.emit.builder;
        builder.switch_to_block(block);
        self.stack.extend_from_slice(builder.block_params(block));
    }

    pub(super) fn br(&mut self, depth: u32) {
        self.branch(self.frame_index(depth));
    }

    /// Branches to a frame.
    pub(super) fn branch(&mut self, index: usize) {
        let frame = &self.frames[index];
        match frame.kind {
            FrameKind::Func => self.return_values(frame.ty),
            _ => {
                let count = self.branch_count(index);
                let target = self.target(index);
                self.jump(target, count);
            }
        }
        self.reachable = false;
    }

    pub(super) fn br_if(&mut self, depth: u32) {
        let condition = self.pop();
        self.branch_if(condition, depth);
    }

    pub(super) fn br_on_null(&mut self, depth: u32) {
        let reference = self.pop();
        let is_null = self.emit.is_null(reference);
        self.branch_if(is_null, depth);
        self.push(reference);
    }

    /// If the branch is taken, the reference is its last operand.
    pub(super) fn br_on_non_null(&mut self, depth: u32) {
        if let Some(reference) = self.stack.last() {
            self.branch_if(*reference, depth);
        }
        self.pop();
    }

    /// Branches with the topmost operands unless `condition` is zero.
    fn branch_if(&mut self, condition: Value, depth: u32) {
        let index = self.frame_index(depth);
        let count = self.branch_count(index);
        let target = self.target(index);
        self.collect_branch_args(count);
        let builder = &mut *self.emit.builder;
        let next = builder.create_block();
        builder
            .ins()
            .brif(condition, target, self.branch_args.iter(), next, &[]);
        builder.seal_block(next);
        builder.switch_to_block(next);
    }

    pub(super) fn br_table(&mut self, targets: &BrTable<'_>) -> Result<()> {
        let selector = self.pop();
        if targets.is_empty() {
            self.br(targets.default());
            return Ok(());
        }
        let count = self.branch_count(self.frame_index(targets.default()));
        self.collect_branch_args(count);
        match targets.len() as usize {
            len @ ..=MAX_TABLE_LEN => {
                self.branch_by_table(selector, &mut targets.targets(), len, targets.default())?;
            }
            len => self.branch_by_tables(selector, targets, len)?,
        }
        self.reachable = false;
        Ok(())
    }

    /// Branches to one of the next `len` targets.
    fn branch_by_table(
        &mut self,
        selector: Value,
        targets: &mut BrTableTargets<'_>,
        len: usize,
        default: u32,
    ) -> Result<()> {
        self.branch_table.clear();
        for depth in targets.take(len) {
            let call = self.branch_call(depth?);
            self.branch_table.push(call);
        }
        let default = self.branch_call(default);
        let table = JumpTableData::new(default, self.branch_table);
        let table = self.emit.builder.create_jump_table(table);
        self.emit.builder.ins().br_table(selector, table);
        Ok(())
    }

    /// Branches by a table of tables: Cranelift's work for a block is quadratic in the blocks that
    /// it branches to.
    fn branch_by_tables(
        &mut self,
        selector: Value,
        targets: &BrTable<'_>,
        len: usize,
    ) -> Result<()> {
        let builder = &mut *self.emit.builder;
        let log2 = i64::from(TABLE_PART_LEN.ilog2());
        let high = builder.ins().ushr_imm_u(selector, log2);
        let mask = TABLE_PART_LEN as i64 - 1;
        let low = builder.ins().band_imm_u(selector, mask);
        let parts = len.div_ceil(TABLE_PART_LEN);
        let blocks: Vec<Block> = (0..parts).map(|_| builder.create_block()).collect();
        self.branch_table.clear();
        for block in &blocks {
            let pool = &mut self.emit.builder.func.dfg.value_lists;
            self.branch_table.push(BlockCall::new(*block, [], pool));
        }
        let default = self.branch_call(targets.default());
        let table = JumpTableData::new(default, self.branch_table);
        let table = self.emit.builder.create_jump_table(table);
        self.emit.builder.ins().br_table(high, table);
        let mut left = targets.targets();
        for (part, block) in blocks.into_iter().enumerate() {
            self.emit.builder.seal_block(block);
            self.emit.builder.switch_to_block(block);
            let part_len = TABLE_PART_LEN.min(len - part * TABLE_PART_LEN);
            self.branch_by_table(low, &mut left, part_len, targets.default())?;
        }
        Ok(())
    }

    /// A branch with the collected arguments.
    fn branch_call(&mut self, depth: u32) -> BlockCall {
        let target = self.target(self.frame_index(depth));
        let args = self.branch_args.iter().copied();
        BlockCall::new(target, args, &mut self.emit.builder.func.dfg.value_lists)
    }

    pub(super) fn return_(&mut self) {
        self.return_values(self.frames[0].ty);
        self.reachable = false;
    }

    pub(super) fn trap(&mut self, code: TrapCode) {
        self.emit.builder.ins().trap(trap_code(code));
        self.reachable = false;
    }

    fn return_values(&mut self, ty: BlockType) {
        let first = self.stack.len() - self.result_count(ty);
        self.emit.builder.ins().return_(&self.stack[first..]);
        self.reachable = false;
    }

    pub(super) fn push_frame(&mut self, kind: FrameKind, ty: BlockType, target: Option<Block>) {
        let height = self.stack.len() - self.params(ty).len();
        self.frames.push(Frame {
            scope: self.scope(),
            kind,
            ty,
            height,
            target: target.into(),
            mark: self.budget.mark(),
        });
    }

    /// Goes on in a part of a frame that is reached from anywhere in the one before.
    pub(super) fn merge_budget(&mut self, index: usize) {
        self.budget.merge(self.frames[index].mark);
    }

    pub(super) fn frame_index(&self, depth: u32) -> usize {
        self.frames.len() - 1 - depth as usize
    }

    /// The block that branches to a frame jump to.
    pub(super) fn target(&mut self, index: usize) -> Block {
        if let Some(target) = self.frames[index].target.expand() {
            return target;
        }
        let target = self.block_of_results(self.frames[index].ty);
        self.frames[index].target = target.into();
        target
    }

    /// A block with parameters for the results of a frame.
    pub(super) fn block_of_results(&mut self, ty: BlockType) -> Block {
        let builder = &mut *self.emit.builder;
        let target = builder.create_block();
        match ty {
            BlockType::Empty => {}
            BlockType::Type(ty) => {
                builder.append_block_param(target, representation(ty));
            }
            BlockType::FuncType(ty) => {
                for ty in self.emit.env.module.types[ty as usize].results() {
                    builder.append_block_param(target, representation(*ty));
                }
            }
        }
        target
    }

    /// Jumps with the topmost `count` operands.
    pub(super) fn jump(&mut self, target: Block, count: usize) -> Inst {
        self.collect_branch_args(count);
        let ins = self.emit.builder.ins();
        ins.jump(target, self.branch_args.iter())
    }

    fn collect_branch_args(&mut self, count: usize) {
        let values = &self.stack[self.stack.len() - count..];
        self.branch_args.clear();
        self.branch_args
            .extend(values.iter().map(|value| BlockArg::Value(*value)));
    }

    /// How many operands a branch to a frame takes.
    fn branch_count(&self, index: usize) -> usize {
        let frame = &self.frames[index];
        match frame.kind {
            FrameKind::Loop => self.params(frame.ty).len(),
            _ => self.result_count(frame.ty),
        }
    }
}
