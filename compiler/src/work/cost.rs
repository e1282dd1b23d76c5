//! Estimates, from a function's optimised IR, the cost of allocating its registers.
//!
//! The backtracking allocator compares a live range that finds no register with all ranges that
//! overlap it: its work grows with the *area* of the live ranges, the sum over all values of the
//! instructions between definition and last use. Ordinary functions have few values that live long;
//! a function with thousands of them at once takes seconds for 20 KB. The estimate takes blocks in
//! the order of the layout. The range of a value that is defined before a loop and used in it
//! extends to the loop's end.
//!
//! Ranges of values that are one variable are put together, and searched from their start: there is
//! a limit for these, too.
//!
//! The estimates depend on the function alone, never on time, so that the same input gives the same
//! bytes.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::entity::packed_option::PackedOption;
use cranelift_codegen::ir::{Block, BlockArg, Function, Value};

/// The largest area for which backtracking is always used: about a second.
const MAX_AREA: u64 = 25_000_000;
/// In functions with a larger area, the most values that may live at once, on average over the
/// function.
const MAX_MEAN_LIVE: u64 = 250;
/// The most values that may be one variable: parameters of blocks, and what branches pass to them.
/// The allocator puts their ranges together, and looks for a place among them from the start each
/// time it splits them, which for twice as many takes four times as long.
const MAX_SAME: u32 = 16_000;

/// Whether the function is beyond the budget of the backtracking allocator.
pub(super) fn exceeds_budget(func: &Function) -> bool {
    // No live range is longer than the function.
    let insts = func.dfg.num_insts() as u64;
    if insts.saturating_mul(func.dfg.num_values() as u64) <= MAX_AREA {
        return false;
    }
    let (area, insts) = area(func);
    area > MAX_AREA.max(insts.saturating_mul(MAX_MEAN_LIVE)) || most_same(func) > MAX_SAME
}

/// The most values that are one variable.
fn most_same(func: &Function) -> u32 {
    let (tables, exceptions) = (&func.dfg.jump_tables, &func.dfg.exception_tables);
    let pool = &func.dfg.value_lists;
    let mut variables = Variables::default();
    let lasts = func.layout.blocks();
    for last in lasts.filter_map(|block| func.layout.last_inst(block)) {
        for target in func.dfg.insts[last].branch_destination(tables, exceptions) {
            let params = func.dfg.block_params(target.block(pool));
            for (param, passed) in params.iter().zip(target.args(pool)) {
                if let BlockArg::Value(passed) = passed {
                    variables.join(*param, func.dfg.resolve_aliases(passed));
                }
            }
        }
    }
    variables.most
}

/// Sets of values.
#[derive(Default)]
struct Variables {
    /// Another value of the same set; none for the one that stands for it.
    parents: SecondaryMap<Value, PackedOption<Value>>,
    /// How many more values the set has that a value stands for.
    more: SecondaryMap<Value, u32>,
    /// The size of the largest set.
    most: u32,
}

impl Variables {
    /// Joins the sets of two values.
    fn join(&mut self, a: Value, b: Value) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let (small, large) = if self.more[a] < self.more[b] {
            (a, b)
        } else {
            (b, a)
        };
        self.parents[small] = large.into();
        self.more[large] += self.more[small] + 1;
        self.most = self.most.max(self.more[large] + 1);
    }

    /// The value that stands for the set of another one.
    fn root(&mut self, mut value: Value) -> Value {
        while let Some(parent) = self.parents[value].expand() {
            // Shortens the way for the next time.
            let next = self.parents[parent].expand().unwrap_or(parent);
            self.parents[value] = next.into();
            value = parent;
        }
        value
    }
}

/// The area of all live ranges, and the number of instructions.
fn area(func: &Function) -> (u64, u64) {
    let mut ranges: SecondaryMap<Value, Range> = SecondaryMap::new();
    let mut starts: SecondaryMap<Block, u32> = SecondaryMap::new();
    let mut loops = Vec::new();
    let mut position = 0;
    for block in func.layout.blocks() {
        position += 1;
        starts[block] = position;
        for param in func.dfg.block_params(block) {
            ranges[*param].define(position);
        }
        for inst in func.layout.block_insts(block) {
            position += 1;
            for value in func.dfg.inst_values(inst) {
                ranges[func.dfg.resolve_aliases(value)].last = position;
            }
            for result in func.dfg.inst_results(inst) {
                ranges[*result].define(position);
            }
        }
        let Some(last) = func.layout.last_inst(block) else {
            continue;
        };
        let pool = &func.dfg.value_lists;
        let targets = func.dfg.insts[last]
            .branch_destination(&func.dfg.jump_tables, &func.dfg.exception_tables);
        for target in targets {
            // Blocks further on have no start yet.
            let start = starts[target.block(pool)];
            if start != 0 {
                loops.push((start, position));
            }
        }
    }
    let loops = Loops::new(loops);
    let area = ranges
        .values()
        .map(|range| u64::from(loops.extend(*range).len()))
        .sum();
    (area, u64::from(position))
}

/// From the definition of a value to its last use.
#[derive(Clone, Copy, Default)]
struct Range {
    first: u32,
    last: u32,
}

impl Range {
    fn define(&mut self, position: u32) {
        self.first = position;
        self.last = self.last.max(position);
    }

    fn len(self) -> u32 {
        self.last - self.first
    }
}

/// The loops of a function by their starts, with the largest end of each run of 2^n of them.
struct Loops {
    starts: Vec<u32>,
    ends: Vec<Vec<u32>>,
}

impl Loops {
    /// Makes the structure from the start and end of each loop.
    fn new(mut loops: Vec<(u32, u32)>) -> Loops {
        loops.sort_unstable();
        let starts = loops.iter().map(|(start, _)| *start).collect();
        let mut ends = vec![loops.iter().map(|(_, end)| *end).collect::<Vec<u32>>()];
        let mut width = 1;
        while let Some(below) = ends.last()
            && below.len() > width
        {
            let pairs = below.iter().zip(&below[width..]);
            let level = pairs.map(|(a, b)| *a.max(b)).collect();
            ends.push(level);
            width *= 2;
        }
        Loops { starts, ends }
    }

    /// The range, extended to the end of all loops that it enters.
    fn extend(&self, range: Range) -> Range {
        let from = self.starts.partition_point(|start| *start <= range.first);
        let to = self.starts.partition_point(|start| *start <= range.last);
        if from >= to {
            return range;
        }
        let level = (to - from).ilog2() as usize;
        let (a, b) = (self.ends[level][from], self.ends[level][to - (1 << level)]);
        Range {
            last: range.last.max(a).max(b),
            ..range
        }
    }
}
