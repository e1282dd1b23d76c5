//! [`Emitter`], and the helpers that its methods in the other files share.

use std::borrow::Cow;

use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, Endianness, InstBuilder, InstructionData, MemFlagsData, Opcode,
    Value, ValueDef,
};
use cranelift_frontend::FunctionBuilder;

use super::references::References;
use crate::env::Env;
use crate::ir::check::Checks;
use crate::ir::flags::{CONSTANT, displacement};

/// Emits the IR of the operators of one core instance.
///
/// Operands and results are values of the types that the operators have; indices are those of the
/// module, which must be valid.
pub(crate) struct Emitter<'e, 'f> {
    pub(crate) env: &'e Env<'e>,
    pub(crate) builder: &'e mut FunctionBuilder<'f>,
    pub(crate) vmctx: Value,
    pub(super) refs: &'e mut References,
}

/// Disjoint parts of memory, for Cranelift's alias analysis. Two regions never contain the same
/// address: where that cannot be known, as with two imports, they share a region. Constant loads
/// need none. Their number is fixed, because the analysis keeps a row of them per block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// Descriptors of memories, tables and segments.
    Descriptors,
    /// Elements of tables.
    Elements,
    FirstMemory,
    ImportedMemories,
    ImportedGlobals,
    /// Other memories of the unit, by context offset of their descriptors.
    Memory {
        desc: u32,
    },
    /// Globals of the unit, by context offset.
    Global {
        offset: u32,
    },
}

impl Region {
    const MEMORIES: u32 = 8;
    const GLOBALS: u32 = 32;

    fn number(self) -> u32 {
        match self {
            Region::Descriptors => 0,
            Region::Elements => 1,
            Region::FirstMemory => 2,
            Region::ImportedMemories => 3,
            Region::ImportedGlobals => 4,
            Region::Memory { desc } => 5 + desc / 32 % Self::MEMORIES,
            Region::Global { offset } => 5 + Self::MEMORIES + offset / 8 % Self::GLOBALS,
        }
    }

    fn description(self) -> &'static str {
        match self {
            Region::Descriptors => "descriptors",
            Region::Elements => "table elements",
            Region::FirstMemory => "first memory",
            Region::ImportedMemories => "imported memories",
            Region::ImportedGlobals => "imported globals",
            Region::Memory { .. } => "memory",
            Region::Global { .. } => "global",
        }
    }
}

impl<'e, 'f> Emitter<'e, 'f> {
    /// An emitter into the current block of `builder`. `references` is cleared, so there is one
    /// emitter at a time.
    pub(crate) fn new(
        env: &'e Env<'e>,
        builder: &'e mut FunctionBuilder<'f>,
        vmctx: Value,
        references: &'e mut References,
    ) -> Self {
        references.clear(Checks::new(env.interrupt_slot));
        Emitter {
            env,
            builder,
            vmctx,
            refs: references,
        }
    }

    pub(super) fn region(&mut self, region: Region) -> AliasRegion {
        let number = region.number();
        if let Some(known) = self.refs.regions.get(number) {
            return known;
        }
        let description = Cow::Borrowed(region.description());
        let data = AliasRegionData {
            user_id: number,
            description,
        };
        let entity = self.builder.func.dfg.alias_regions.insert(data);
        self.refs.regions.insert(number, entity)
    }

    /// Flags of accesses to `region` that cannot fault.
    pub(super) fn flags(&mut self, region: Region) -> MemFlagsData {
        MemFlagsData::new()
            .with_notrap()
            .with_endianness(Endianness::Little)
            .with_alias_region(Some(self.region(region)))
    }

    /// Loads a `u64` that never changes from the context.
    pub(super) fn load_constant(&mut self, context_offset: u32) -> Value {
        self.load_constant_at(self.vmctx, displacement(context_offset))
    }

    /// Loads a `u64` that never changes, from an address that can always be read.
    pub(super) fn load_constant_at(&mut self, addr: Value, offset: i32) -> Value {
        self.builder.ins().load(I64, CONSTANT, addr, offset)
    }

    /// The address of a place in the context.
    pub(super) fn context_addr(&mut self, context_offset: u32) -> Value {
        self.builder
            .ins()
            .iadd_imm_u(self.vmctx, i64::from(context_offset))
    }

    /// An index or length of 32 or 64 bits as 64 bits.
    pub(super) fn extend(&mut self, value: Value) -> Value {
        match self.builder.func.dfg.value_type(value) {
            I32 => self.builder.ins().uextend(I64, value),
            _ => value,
        }
    }

    /// A 64-bit index or length in the index type of the memory or table.
    pub(super) fn narrow(&mut self, value: Value, is_64: bool) -> Value {
        if is_64 {
            value
        } else {
            self.builder.ins().ireduce(I32, value)
        }
    }

    /// The value of an index, if it is a constant.
    pub(super) fn constant(&self, value: Value) -> Option<u64> {
        let dfg = &self.builder.func.dfg;
        let ValueDef::Result(inst, _) = dfg.value_def(value) else {
            return None;
        };
        let InstructionData::UnaryImm {
            opcode: Opcode::Iconst,
            imm,
        } = dfg.insts[inst]
        else {
            return None;
        };
        match dfg.value_type(value) {
            I32 => Some(u64::from(imm.bits() as u32)),
            _ => Some(imm.bits() as u64),
        }
    }
}
