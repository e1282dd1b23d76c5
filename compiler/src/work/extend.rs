//! Removes zero extensions of indices.
//!
//! An index of 32 bits is extended where it becomes part of an address. Cranelift needs no
//! instruction for that if the index is the result of arithmetic, because x86 clears the upper half
//! of a register with its lower half; but it needs one in each iteration if the index is a variable
//! of a loop, which is a block parameter:
//!
//! ```text
//! loop(i: i32):                          loop(wide: i64):
//!   address = uextend.i64 i                i = ireduce.i32 wide
//!   next = iadd i, 8               ->      next = iadd i, 8
//!   jump loop(next)                        jump loop(uextend.i64 next)
//! ```
//!
//! So parameters are made wide if what is passed in each iteration needs no instruction to be
//! extended. The same is done for what is loaded and used both extended and not.
//!
//! Runs after Cranelift's optimisations, which would move extensions and reductions again. It
//! neither adds nor removes blocks and branches.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::entity::{EntitySet, SecondaryMap};
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    Block, BlockArg, Endianness, Function, Inst, InstBuilder, InstructionData, MemFlagsData,
    Opcode, Value, ValueDef,
};
use cranelift_codegen::packed_option::PackedOption;

/// How many selections, each an operand of the next, are looked through.
const MAX_DEPTH: u32 = 4;
/// How often parameters are looked at again because others are not made wide.
const MAX_ROUNDS: usize = 16;

/// Removes zero extensions of `func`, whose dominator tree is `domtree`.
pub(super) fn remove(func: &mut Function, domtree: &DominatorTree) {
    let extensions = extensions(func);
    if extensions.is_empty() {
        return;
    }
    let params = Params::find(func, domtree, &extensions);
    let mut widener = Widener {
        func,
        params: &params,
        wide: SecondaryMap::new(),
    };
    widener.run(extensions);
}

/// The extensions of 32 bits to 64.
fn extensions(func: &Function) -> Vec<Inst> {
    let blocks = func.layout.blocks();
    let insts = blocks.flat_map(|block| func.layout.block_insts(block));
    insts
        .filter(|inst| extended(func, *inst).is_some())
        .collect()
}

/// What an instruction extends, if it extends 32 bits to 64.
fn extended(func: &Function, inst: Inst) -> Option<Value> {
    match func.dfg.insts[inst] {
        InstructionData::Unary {
            opcode: Opcode::Uextend,
            arg,
        } => {
            let ty = func.dfg.value_type(func.dfg.first_result(inst));
            (ty == I64 && func.dfg.value_type(arg) == I32).then(|| func.dfg.resolve_aliases(arg))
        }
        _ => None,
    }
}

/// A branch to a block, and its number among the branch's destinations.
#[derive(Clone, Copy)]
struct Edge {
    from: Block,
    branch: Inst,
    destination: usize,
    /// Where the values that it passes start in [`Edges::passed`].
    first: usize,
}

/// All branches. What they pass is listed once: finding a single argument of a branch takes time
/// that grows with its place.
#[derive(Default)]
struct Edges {
    /// The branches to each block.
    to: SecondaryMap<Block, Vec<Edge>>,
    /// What they pass; nothing, where that is a result of the branch itself.
    passed: Vec<PackedOption<Value>>,
}

impl Edges {
    fn of(func: &Function) -> Edges {
        let mut edges = Edges::default();
        let pool = &func.dfg.value_lists;
        for from in func.layout.blocks() {
            let Some(branch) = func.layout.last_inst(from) else {
                continue;
            };
            let (tables, exceptions) = (&func.dfg.jump_tables, &func.dfg.exception_tables);
            let destinations = func.dfg.insts[branch].branch_destination(tables, exceptions);
            for (destination, call) in destinations.iter().enumerate() {
                edges.to[call.block(pool)].push(Edge {
                    from,
                    branch,
                    destination,
                    first: edges.passed.len(),
                });
                let values = call.args(pool).map(|arg| arg.as_value());
                let values = values.map(|value| value.map(|it| func.dfg.resolve_aliases(it)));
                edges.passed.extend(values.map(PackedOption::from));
            }
        }
        edges
    }

    /// What a branch passes as a parameter; `None` if it is a result of the branch.
    fn passed(&self, edge: &Edge, index: usize) -> Option<Value> {
        self.passed[edge.first + index].expand()
    }
}

/// Block parameters of 32 bits that are made wide.
struct Params {
    /// In the order in which they were found.
    list: Vec<Value>,
    set: EntitySet<Value>,
    /// The branches, if there are such parameters.
    edges: Edges,
}

impl Params {
    fn find(func: &Function, domtree: &DominatorTree, extensions: &[Inst]) -> Params {
        let mut params = Params {
            list: Vec::new(),
            set: EntitySet::new(),
            edges: Edges::default(),
        };
        for inst in extensions {
            if let Some(value) = extended(func, *inst) {
                params.add(func, value);
            }
        }
        if params.list.is_empty() {
            return params;
        }
        params.edges = Edges::of(func);
        let mut next = 0;
        while let Some(param) = params.list.get(next).copied() {
            next += 1;
            let (block, index) = place(func, param);
            for place in 0..params.edges.to[block].len() {
                let edge = params.edges.to[block][place];
                if let Some(value) = params.edges.passed(&edge, index) {
                    params.add(func, value);
                }
            }
        }
        // Whether one pays depends on others. Those that are left after some rounds are right too,
        // but need not pay.
        for _ in 0..MAX_ROUNDS {
            let (set, edges) = (&params.set, &params.edges);
            let (kept, others): (Vec<Value>, Vec<Value>) = params
                .list
                .iter()
                .partition(|param| pays(func, domtree, (set, edges), **param));
            params.list = kept;
            if others.is_empty() {
                break;
            }
            for param in others {
                params.set.remove(param);
            }
        }
        params
    }

    /// Adds a value if it is a parameter of 32 bits of a block that is not the first.
    fn add(&mut self, func: &Function, value: Value) {
        if let ValueDef::Param(block, _) = func.dfg.value_def(value)
            && func.dfg.value_type(value) == I32
            && func.layout.entry_block() != Some(block)
            && self.set.insert(value)
        {
            self.list.push(value);
        }
    }
}

/// Whether making `param` wide adds no instruction but before the loop whose variable it is.
fn pays(
    func: &Function,
    domtree: &DominatorTree,
    (set, edges): (&EntitySet<Value>, &Edges),
    param: Value,
) -> bool {
    let (block, index) = place(func, param);
    let repeats = |edge: &Edge| domtree.block_dominates(block, edge.from);
    let is_loop = edges.to[block].iter().any(repeats);
    edges.to[block].iter().all(|edge| {
        let Some(value) = edges.passed(edge, index) else {
            return false;
        };
        is_free(func, &|it| set.contains(it), value, MAX_DEPTH) || is_loop && !repeats(edge)
    })
}

/// Whether extending a value, or making it wide, needs no instruction.
fn is_free(func: &Function, is_wide: &dyn Fn(Value) -> bool, value: Value, depth: u32) -> bool {
    let value = func.dfg.resolve_aliases(value);
    if is_wide(value) {
        return true;
    }
    let ValueDef::Result(inst, _) = func.dfg.value_def(value) else {
        return false;
    };
    match func.dfg.insts[inst].opcode() {
        Opcode::Iconst => true,
        Opcode::Select => match (depth.checked_sub(1), func.dfg.inst_args(inst)) {
            (Some(depth), [_, one, other]) => {
                is_free(func, is_wide, *one, depth) && is_free(func, is_wide, *other, depth)
            }
            _ => false,
        },
        opcode => is_wide_anyway(opcode) || can_be_wide(opcode),
    }
}

/// Whether Cranelift knows that the result of an instruction of 32 bits has zeros above them.
fn is_wide_anyway(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Iadd
            | Opcode::Isub
            | Opcode::Imul
            | Opcode::Band
            | Opcode::Bor
            | Opcode::Bxor
            | Opcode::Ishl
            | Opcode::Ushr
    )
}

/// Whether an instruction that gives 32 bits can give 64 that are the same number.
fn can_be_wide(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Load | Opcode::Uload8 | Opcode::Uload16 | Opcode::Uextend
    )
}

/// The block of a parameter, and the parameter's number.
fn place(func: &Function, param: Value) -> (Block, usize) {
    match func.dfg.value_def(param) {
        ValueDef::Param(block, index) => (block, index),
        _ => unreachable!("only parameters are made wide"),
    }
}

/// Replaces arguments of a branch, by their places in ascending order.
fn pass(func: &mut Function, edge: &Edge, values: &[(usize, Value)]) {
    let dfg = &mut func.dfg;
    let (tables, exceptions) = (&mut dfg.jump_tables, &mut dfg.exception_tables);
    let destinations = dfg.insts[edge.branch].branch_destination_mut(tables, exceptions);
    let mut places = 0..;
    let mut values = values.iter().peekable();
    destinations[edge.destination].update_args(&mut dfg.value_lists, |arg| {
        let place = places.next();
        match values.next_if(|(index, _)| Some(*index) == place) {
            Some((_, value)) => BlockArg::Value(*value),
            None => arg,
        }
    });
}

/// Makes values wide.
struct Widener<'f, 'p> {
    func: &'f mut Function,
    params: &'p Params,
    /// The wide values that are known.
    wide: SecondaryMap<Value, PackedOption<Value>>,
}

impl Widener<'_, '_> {
    fn run(&mut self, extensions: Vec<Inst>) {
        let params = self.params;
        let mut places: Vec<(Block, usize)> = params
            .list
            .iter()
            .map(|param| place(self.func, *param))
            .collect();
        for (param, (block, _)) in params.list.iter().zip(&places) {
            let value = self.func.dfg.replace_block_param(*param, I64);
            self.wide[*param] = Some(value).into();
            let mut cursor = FuncCursor::new(self.func).at_first_insertion_point(*block);
            cursor.ins().with_result(*param).ireduce(I32, value);
        }
        places.sort_unstable();
        for places in places.chunk_by(|one, other| one.0 == other.0) {
            for edge in &params.edges.to[places[0].0] {
                let values = places.iter().map(|(_, index)| {
                    let Some(value) = params.edges.passed(edge, *index) else {
                        unreachable!("what is passed to these parameters are values")
                    };
                    (*index, self.extend(value, edge.branch))
                });
                let values: Vec<(usize, Value)> = values.collect();
                pass(self.func, edge, &values);
            }
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        let flags = self.func.dfg.mem_flags.insert_unchecked(flags);
        for inst in extensions {
            let Some(value) = extended(self.func, inst) else {
                unreachable!("extensions stay until they are replaced")
            };
            if let Some(wide) = self.widen(value) {
                // Of the same type, which needs no instruction. An alias would have to be resolved.
                self.func.dfg.insts[inst] = InstructionData::LoadNoOffset {
                    opcode: Opcode::Bitcast,
                    flags,
                    arg: wide,
                };
            }
        }
    }

    /// The wide value of `value`, extended before `inst` if there is none.
    fn extend(&mut self, value: Value, inst: Inst) -> Value {
        match self.widen(value) {
            Some(wide) => wide,
            None => {
                let mut cursor = FuncCursor::new(self.func).at_inst(inst);
                cursor.ins().uextend(I64, value)
            }
        }
    }

    /// The wide value of `value`, if it needs no instruction more; then `value` is its lower half.
    fn widen(&mut self, value: Value) -> Option<Value> {
        let value = self.func.dfg.resolve_aliases(value);
        if let Some(wide) = self.wide[value].expand() {
            return Some(wide);
        }
        let ValueDef::Result(inst, _) = self.func.dfg.value_def(value) else {
            return None;
        };
        let wide = match self.func.dfg.insts[inst] {
            InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm,
            } => {
                let number = i64::from(imm.bits() as u32);
                let mut cursor = FuncCursor::new(self.func).at_inst(inst);
                cursor.ins().iconst(I64, number)
            }
            InstructionData::Ternary {
                opcode: Opcode::Select,
                args: [condition, one, other],
            } if is_free(self.func, &|it| self.wide[it].is_some(), value, MAX_DEPTH) => {
                let (one, other) = (self.extend(one, inst), self.extend(other, inst));
                let mut cursor = FuncCursor::new(self.func).at_inst(inst);
                let wide = cursor.ins().select(condition, one, other);
                self.reduce(value, wide, inst);
                self.func.layout.remove_inst(inst);
                return Some(wide);
            }
            data if can_be_wide(data.opcode()) => {
                let dfg = &mut self.func.dfg;
                if let InstructionData::Load {
                    opcode: opcode @ Opcode::Load,
                    ..
                } = &mut dfg.insts[inst]
                {
                    *opcode = Opcode::Uload32;
                }
                let wide = dfg.replace_result(value, I64);
                self.reduce(value, wide, inst);
                return Some(wide);
            }
            _ => return None,
        };
        self.wide[value] = Some(wide).into();
        Some(wide)
    }

    /// Makes `value`, which was the result of `inst`, the lower half of `wide`.
    fn reduce(&mut self, value: Value, wide: Value, inst: Inst) {
        if self.func.dfg.value_is_attached(value) {
            self.func.dfg.clear_results(inst);
        }
        self.wide[value] = Some(wide).into();
        let mut cursor = FuncCursor::new(self.func).after_inst(inst);
        cursor.ins().with_result(value).ireduce(I32, wide);
    }
}
