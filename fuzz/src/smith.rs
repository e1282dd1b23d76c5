//! Modules of `wasm-smith`. Each case has proposals, limits and instructions of its own ("swarm
//! testing", Groce et al., ISSTA 2012): a module with a few kinds of instructions finds what one
//! with all of them hides.

use arbitrary::Unstructured;
use wasm_smith::{Config, InstructionKind, InstructionKinds, MemoryOffsetChoices, Module};

use crate::program::Proposals;
use crate::rng::Rng;

/// How often functions are entered and loops go round before the module stops itself.
const FUEL: &[u32] = &[40, 500, 5000];

/// Kinds of instructions that code without branches and calls is made of.
const STRAIGHT: &[InstructionKind] = &[
    InstructionKind::Numeric,
    InstructionKind::NumericInt,
    InstructionKind::Vector,
    InstructionKind::VectorInt,
    InstructionKind::Memory,
    InstructionKind::MemoryInt,
    InstructionKind::Variable,
    InstructionKind::Parametric,
];

/// The module of this DNA; `None` if there is too little of it.
pub(crate) fn module(rng: &mut Rng, dna: &[u8], proposals: Proposals) -> Option<Vec<u8>> {
    let mut config = limits(rng);
    switch(&mut config, rng, proposals);
    instructions(&mut config, rng);
    let mut module = Module::new(config, &mut Unstructured::new(dna)).ok()?;
    let fuel = rng.pick(FUEL);
    match module.ensure_termination(fuel) {
        Ok(_) => Some(module.to_bytes()),
        Err(error) => panic!("no function has bytes that are no instructions: {error}"),
    }
}

/// Sizes. Memories and tables have maxima so small that both sides always have room for them.
fn limits(rng: &mut Rng) -> Config {
    let memory = rng.pick(&[1 << 16, 1 << 18, 1 << 20]);
    let (inside, maybe, outside) = rng.pick(&[(90, 9, 1), (1, 0, 0), (50, 25, 25)]);
    Config {
        min_funcs: 1,
        max_funcs: rng.pick(&[1, 3, 10]),
        min_types: 4,
        max_types: 12,
        max_type_size: 30,
        max_imports: rng.pick(&[0, 0, 3, 8]),
        max_instructions: rng.pick(&[40, 200, 1000]),
        max_globals: rng.pick(&[2, 8]),
        max_tables: rng.pick(&[1, 3]),
        max_memories: rng.pick(&[1, 1, 3]),
        min_memories: u32::from(!rng.one_in(4)),
        max_data_segments: 6,
        max_element_segments: 6,
        max_elements: 12,
        max_table_elements: rng.pick(&[10, 300]),
        max_memory32_bytes: memory,
        max_memory64_bytes: memory.into(),
        memory_max_size_required: true,
        table_max_size_required: true,
        memory_offset_choices: MemoryOffsetChoices(inside, maybe, outside),
        export_everything: !rng.one_in(5),
        min_exports: 2,
        ..Config::default()
    }
}

/// Switches proposals.
fn switch(config: &mut Config, rng: &mut Rng, proposals: Proposals) {
    let ours = proposals != Proposals::Common;
    let mut flag = || !rng.one_in(3);
    config.simd_enabled = flag();
    config.multi_value_enabled = flag();
    config.bulk_memory_enabled = flag();
    config.reference_types_enabled = flag();
    config.tail_call_enabled = flag();
    config.memory64_enabled = flag();
    config.extended_const_enabled = flag();
    config.wide_arithmetic_enabled = flag();
    config.custom_page_sizes_enabled = flag();
    // Else most functions end at their first access to a memory.
    config.disallow_traps = flag() || flag();
    // The bits of NaNs are not specified; made the same after each operation, they can be compared.
    config.canonicalize_nans = true;
    config.allow_floats = flag();
    // The interpreter's `relaxed_madd` rounds once. Where ours has NaNs to choose from, the choice
    // depends on the CPU level, and wasm-smith does not make those the same.
    config.relaxed_simd_enabled = ours && !config.allow_floats;
    config.threads_enabled = ours && flag();
    config.compact_imports_enabled = ours;
    config.exceptions_enabled = proposals == Proposals::Exceptions || ours && flag();
    config.gc_enabled = false;
}

/// Leaves out kinds of instructions; without branches and calls, functions are few and long.
fn instructions(config: &mut Config, rng: &mut Rng) {
    let mut kinds: Vec<_> = STRAIGHT.to_vec();
    kinds.retain(|_| !rng.one_in(4));
    if rng.one_in(3) {
        config.max_funcs = 2;
        config.max_instructions = 2000;
    } else {
        kinds.extend([InstructionKind::Control, InstructionKind::Reference]);
        kinds.push(InstructionKind::Table);
    }
    config.allowed_instructions = InstructionKinds::new(&kinds);
}
