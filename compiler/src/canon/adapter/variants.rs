//! The cases of variants, enums, options and results.

use cranelift_codegen::ir::{Block, InstBuilder, Value};
use cranelift_frontend::Switch;
use cwasm_format::TrapCode;
use cwasm_format::types::{TypeDef, ValueType};

use super::Copier;
use crate::ir::trap::trap_code;

/// The payload of each case.
pub(super) struct Cases {
    cases: Vec<Option<ValueType>>,
    /// All different payloads; none for types that are only a discriminant.
    pub(super) payloads: Vec<ValueType>,
}

impl Cases {
    /// The cases of a variant, enum, option or result.
    pub(super) fn new(def: &TypeDef) -> Cases {
        let cases = match def {
            TypeDef::Variant(cases) => cases.iter().map(|(_, ty)| *ty).collect(),
            TypeDef::Enum(names) => vec![None; names.len()],
            TypeDef::Option(ty) => vec![None, Some(*ty)],
            TypeDef::Result { ok, err } => vec![*ok, *err],
            _ => unreachable!("types of other kinds have no cases"),
        };
        let mut payloads = Vec::new();
        for ty in cases.iter().flatten() {
            if !payloads.contains(ty) {
                payloads.push(*ty);
            }
        }
        Cases { cases, payloads }
    }

    pub(super) fn count(&self) -> usize {
        self.cases.len()
    }
}

impl Copier<'_, '_> {
    /// Branches to a block for each payload, shared by all cases that have it, and to one for cases
    /// without payload. Traps if the discriminant is not one of the cases.
    pub(super) fn branch_to_cases(
        &mut self,
        cases: &Cases,
        discriminant: Value,
    ) -> Vec<(Option<ValueType>, Block)> {
        let mut blocks: Vec<(Option<ValueType>, Block)> = Vec::new();
        let mut switch = Switch::new();
        for (number, payload) in cases.cases.iter().enumerate() {
            let known = blocks.iter().find(|(known, _)| known == payload);
            let block = match known {
                Some((_, block)) => *block,
                None => {
                    let block = self.builder.create_block();
                    blocks.push((*payload, block));
                    block
                }
            };
            switch.set_entry(number as u128, block);
        }
        // A jump table is not worth while for options and results.
        if cases.count() <= 2 {
            self.check_discriminant(discriminant, cases.count());
            let (first, last) = (blocks[0].1, blocks[blocks.len() - 1].1);
            self.builder.ins().brif(discriminant, last, &[], first, &[]);
            return blocks;
        }
        let invalid = self.builder.create_block();
        self.builder.set_cold_block(invalid);
        switch.emit(self.builder, discriminant, invalid);
        self.builder.switch_to_block(invalid);
        let code = trap_code(TrapCode::InvalidDiscriminant);
        self.builder.ins().trap(code);
        blocks
    }
}
