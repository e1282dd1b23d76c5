//! Imports: where the imported items of an instance are, or where the loader puts them.

use cwasm_format::exports::IMPORTED;
use cwasm_format::vmctx::VmFuncImport;

use super::memories::imported_memory;
use super::{Bridge, Builder, Planned};
use crate::env::{Env, FuncLoc, GlobalLoc, TableLoc};
use crate::plan::{CoreDef, CoreFunc, CoreItem};

impl<'a> Builder<'a> {
    /// Places imports that come from instances laid out before, or from lowered functions.
    pub(super) fn linked_imports(&mut self, env: &mut Env<'a>, imports: &[CoreDef]) {
        for import in imports {
            match *import {
                CoreDef::Func(func) => env.funcs.push(self.func(func)),
                CoreDef::Table(CoreItem { instance, index }) => {
                    env.tables
                        .push(self.unit.envs[instance.0 as usize].tables[index as usize]);
                }
                CoreDef::Memory(CoreItem { instance, index }) => {
                    env.memories
                        .push(self.unit.envs[instance.0 as usize].memories[index as usize]);
                }
                CoreDef::Global(CoreItem { instance, index }) => {
                    env.globals
                        .push(self.unit.envs[instance.0 as usize].globals[index as usize]);
                }
                CoreDef::Tag(CoreItem { instance, index }) => {
                    env.tags
                        .push(self.unit.envs[instance.0 as usize].tags[index as usize]);
                }
            }
        }
    }

    /// The place of a function of the plan.
    pub(super) fn func(&self, func: CoreFunc) -> FuncLoc {
        let planned = match func {
            CoreFunc::Lower(index) => Planned::Lower(index),
            CoreFunc::Adapter(index) => Planned::Adapter(index),
            CoreFunc::Resource(index) => Planned::Resource(index),
            CoreFunc::Op(index) => Planned::Op(index),
            CoreFunc::Export { instance, index } => {
                return self.unit.envs[instance.0 as usize].funcs[index as usize];
            }
        };
        let func = self.unit.text_order.id(planned);
        let place = func.0 - self.unit.text_order.core_funcs();
        FuncLoc::Local {
            func,
            func_ref: self.trampoline_refs.get(place as usize).copied(),
        }
    }

    /// Reserves slots for imports that the loader fills in.
    pub(super) fn open_imports(&mut self, env: &mut Env<'a>) {
        for import in &env.module.imports {
            self.open_import(env, import.ty);
        }
    }

    /// Reserves slots for the exports of an instance of an imported module.
    pub(super) fn declared_exports(&mut self, env: &mut Env<'a>) {
        for export in &env.module.exports {
            let ty = env.module.export_type(export);
            let slot = self.open_import(env, ty);
            if let wasmparser::TypeRef::Func(ty) = ty {
                let ty = env.module.types[ty as usize].clone();
                self.unit.bridges.push(Bridge { slot, ty });
            }
        }
    }

    /// Reserves a slot for an item that the loader fills in; returns its context offset.
    pub(super) fn open_import(&mut self, env: &mut Env<'a>, ty: wasmparser::TypeRef) -> u32 {
        let slot = match ty {
            wasmparser::TypeRef::Func(_) => {
                let slot = self.reserve(size_of::<VmFuncImport>(), 8);
                env.funcs.push(FuncLoc::Import { slot });
                slot
            }
            wasmparser::TypeRef::Table(_) => {
                let slot = self.reserve(8, 8);
                env.tables.push(TableLoc::Import { slot });
                slot
            }
            wasmparser::TypeRef::Memory(ty) => {
                let slot = self.reserve(8, 8);
                env.memories.push(imported_memory(&ty, slot, self.bounds));
                slot
            }
            wasmparser::TypeRef::Global(_) => {
                let slot = self.reserve(8, 8);
                env.globals.push(GlobalLoc::Import { slot });
                slot
            }
            wasmparser::TypeRef::Tag(_) => {
                let slot = self.reserve(8, 8);
                self.add_tag(env, slot | IMPORTED);
                slot
            }
            wasmparser::TypeRef::FuncExact(_) => unreachable!("refused when decoded"),
        };
        self.unit.import_slots.push(slot);
        slot
    }
}
