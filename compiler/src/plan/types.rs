//! The types of a unit's functions.

use cwasm_format::abi::{FlatType, PointerWidth};
use cwasm_format::types::{FuncType, Types};

/// Index of a function type in [`UnitTypes::funcs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FuncTypeId(pub(crate) u32);

/// The types of a unit's functions. Resource types have their numbers in the unit.
#[derive(Default)]
pub(crate) struct UnitTypes {
    pub(crate) types: Types,
    pub(crate) funcs: Vec<FuncType>,
}

impl UnitTypes {
    /// The function type of this id.
    pub(crate) fn get(&self, id: FuncTypeId) -> &FuncType {
        &self.funcs[id.0 as usize]
    }

    /// The core type of a lowered function (`flatten_functype` with context `lower`): the flat
    /// parameters, or a pointer to them; the flat result, or a pointer to where it goes.
    pub(crate) fn lowered(&self, ty: FuncTypeId, width: PointerWidth) -> wasmparser::FuncType {
        let func = self.get(ty);
        let pointer = core_type(FlatType::Pointer, width);
        let mut params = match self.types.params_flat(func).types() {
            Some(types) => types.iter().map(|ty| core_type(*ty, width)).collect(),
            None => vec![pointer],
        };
        let mut results = Vec::new();
        match self.types.result_flat(func).types() {
            Some([]) => {}
            Some([one]) => results.push(core_type(*one, width)),
            Some(_) | None => params.push(pointer),
        }
        wasmparser::FuncType::new(params, results)
    }
}

fn core_type(ty: FlatType, width: PointerWidth) -> wasmparser::ValType {
    match ty.at(width) {
        FlatType::I32 => wasmparser::ValType::I32,
        FlatType::I64 => wasmparser::ValType::I64,
        FlatType::F32 => wasmparser::ValType::F32,
        FlatType::F64 => wasmparser::ValType::F64,
        FlatType::Pointer => unreachable!("a pointer of known width is a number"),
    }
}
