//! The types of a unit's functions.

use cwasm_format::abi::{FlatType, MAX_FLAT_ASYNC_PARAMS, PointerWidth};
use cwasm_format::types::{FuncType, Types, ValueType};

use super::CanonicalOptions;

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

    /// The core type of a function that is lowered with these options.
    pub(crate) fn lowered_as(
        &self,
        ty: FuncTypeId,
        options: &CanonicalOptions,
    ) -> wasmparser::FuncType {
        match options.is_async {
            true => self.lowered_async(ty, options.width),
            false => self.lowered(ty, options.width),
        }
    }

    /// The core type of a function that is lowered with `async`: at most four flat parameters, or
    /// a pointer to them, a pointer to where the result goes, if there is one, and the subtask's
    /// state as result.
    pub(crate) fn lowered_async(
        &self,
        ty: FuncTypeId,
        width: PointerWidth,
    ) -> wasmparser::FuncType {
        let func = self.get(ty);
        let pointer = core_type(FlatType::Pointer, width);
        let mut params = match self.types.params_flat(func).types() {
            Some(types) if types.len() <= MAX_FLAT_ASYNC_PARAMS => {
                types.iter().map(|ty| core_type(*ty, width)).collect()
            }
            _ => vec![pointer],
        };
        if func.result.is_some() {
            params.push(pointer);
        }
        wasmparser::FuncType::new(params, [wasmparser::ValType::I32])
    }

    /// The core type of `task.return`: the flat result as parameters, or a pointer to it.
    pub(crate) fn task_return(
        &self,
        result: Option<ValueType>,
        width: PointerWidth,
    ) -> wasmparser::FuncType {
        let pointer = core_type(FlatType::Pointer, width);
        let params = match result.map(|ty| self.types.abi(ty).flat) {
            None => vec![],
            Some(flat) => match flat.types() {
                Some(types) => types.iter().map(|ty| core_type(*ty, width)).collect(),
                None => vec![pointer],
            },
        };
        wasmparser::FuncType::new(params, [])
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
