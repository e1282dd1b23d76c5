//! Makes loops shorter, after Cranelift's optimisations: moves what does not change out of them,
//! and what leaves them behind all other code.

use cranelift_codegen::Context;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstBuilder, InstructionData, Opcode, Value,
    ValueDef,
};
use cranelift_codegen::loop_analysis::{Loop, LoopAnalysis};

/// The most instructions of a loop out of which others are moved, for each of which it needs a
/// register.
const MAX_INSTS: usize = 64;
/// The most instructions that are moved out of a loop.
const MAX_MOVED: usize = 3;

/// Changes the loops of the function in `context`, whose dominator tree is known.
pub(super) fn shorten(context: &mut Context) {
    context.compute_loop_analysis();
    if context.loop_analysis.loops().next().is_none() {
        return;
    }
    let (func, loops) = (&mut context.func, &context.loop_analysis);
    move_constant(func, loops);
    if move_exits(func, loops) {
        context.compute_cfg();
        context.compute_domtree();
    }
}

/// What is known of a loop.
#[derive(Default, Clone, Copy)]
struct Shape {
    insts: usize,
    /// Whether there is another loop in it, or a call.
    is_large: bool,
    /// The last instruction of the block from which it is entered.
    entry: Option<Inst>,
    entries: usize,
    moved: usize,
}

/// Moves arithmetic with a constant out of small loops that do not change its operand. Cranelift
/// puts it where its result is used.
fn move_constant(func: &mut Function, loops: &LoopAnalysis) {
    let mut shapes: SecondaryMap<Loop, Shape> = SecondaryMap::new();
    let blocks: Vec<Block> = func.layout.blocks().collect();
    for block in &blocks {
        if let Some(found) = loops.innermost_loop(*block) {
            for inst in func.layout.block_insts(*block) {
                shapes[found].insts += 1;
                shapes[found].is_large |= func.dfg.insts[inst].opcode().is_call();
            }
            if let Some(parent) = loops.loop_parent(found) {
                shapes[parent].is_large = true;
            }
        }
        let Some(last) = func.layout.last_inst(*block) else {
            continue;
        };
        for target in destinations(func, last) {
            if let Some(entered) = loops.is_loop_header(target)
                && !loops.is_in_loop(*block, entered)
            {
                shapes[entered].entry = Some(last);
                shapes[entered].entries += 1;
            }
        }
    }
    for block in blocks {
        let Some(found) = loops.innermost_loop(block) else {
            continue;
        };
        let shape = shapes[found];
        let (Some(entry), 1) = (shape.entry, shape.entries) else {
            continue;
        };
        if shape.is_large || shape.insts > MAX_INSTS {
            continue;
        }
        let mut next = func.layout.first_inst(block);
        while let Some(inst) = next {
            next = func.layout.next_inst(inst);
            let Some((operand, constant)) = arithmetic(func, inst) else {
                continue;
            };
            let defined = match func.dfg.value_def(operand) {
                ValueDef::Result(inst, _) => func.layout.inst_block(inst),
                ValueDef::Param(block, _) => Some(block),
                ValueDef::Union(..) => None,
            };
            let Some(defined) = defined else {
                continue;
            };
            if loops.is_in_loop(defined, found) || shapes[found].moved == MAX_MOVED {
                continue;
            }
            shapes[found].moved += 1;
            func.layout.remove_inst(inst);
            let mut cursor = FuncCursor::new(func).at_inst(entry);
            let ty = cursor.func.dfg.value_type(operand);
            let copy = cursor.ins().iconst(ty, constant);
            cursor.insert_inst(inst);
            for arg in func.dfg.inst_args_mut(inst) {
                if *arg != operand {
                    *arg = copy;
                }
            }
        }
    }
}

/// The operand of arithmetic with a constant, and the constant.
fn arithmetic(func: &Function, inst: Inst) -> Option<(Value, i64)> {
    let InstructionData::Binary {
        opcode: Opcode::Iadd | Opcode::Isub | Opcode::Band | Opcode::Bor | Opcode::Bxor,
        args,
    } = func.dfg.insts[inst]
    else {
        return None;
    };
    let constant = |value| match func.dfg.insts[func.dfg.value_def(value).inst()?] {
        InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } => Some(imm.bits()),
        _ => None,
    };
    match args.map(constant) {
        [None, Some(number)] => Some((args[0], number)),
        [Some(number), None] => Some((args[1], number)),
        _ => None,
    }
}

fn destinations(func: &Function, inst: Inst) -> impl Iterator<Item = Block> {
    let (tables, exceptions) = (&func.dfg.jump_tables, &func.dfg.exception_tables);
    let destinations = func.dfg.insts[inst].branch_destination(tables, exceptions);
    destinations
        .iter()
        .map(|call| call.block(&func.dfg.value_lists))
}

/// Moves the copies of values that leaving a loop needs behind all other code, so that going on is
/// not a jump over them. Answers whether there are some.
fn move_exits(func: &mut Function, loops: &LoopAnalysis) -> bool {
    let mut branches: SecondaryMap<Block, u32> = SecondaryMap::new();
    let mut exits = Vec::new();
    for block in func.layout.blocks() {
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        for target in destinations(func, last) {
            branches[target] += 1;
        }
        let (InstructionData::Brif { blocks, .. }, Some(left)) =
            (func.dfg.insts[last], loops.innermost_loop(block))
        else {
            continue;
        };
        let pool = &func.dfg.value_lists;
        for (place, call) in blocks.iter().enumerate() {
            let leaves = !loops.is_in_loop(call.block(pool), left);
            if leaves && call.args(pool).len() > 0 {
                exits.push((last, place, *call));
            }
        }
    }
    exits.retain(|(_, _, call)| branches[call.block(&func.dfg.value_lists)] > 1);
    for (branch, place, call) in &exits {
        let pool = &func.dfg.value_lists;
        let target = call.block(pool);
        let args: Vec<BlockArg> = call.args(pool).collect();
        let exit = func.dfg.make_block();
        func.layout.append_block(exit);
        func.layout.set_cold(exit);
        let mut cursor = FuncCursor::new(func).at_bottom(exit);
        cursor.ins().jump(target, args.iter());
        let call = BlockCall::new(exit, [], &mut func.dfg.value_lists);
        if let InstructionData::Brif { blocks, .. } = &mut func.dfg.insts[*branch] {
            blocks[*place] = call;
        }
    }
    !exits.is_empty()
}
