//! The generated core modules through which a host uses the exports of a core instance.
//!
//! Lifted functions cannot take or return every core value, and lose the bits of NaNs. So values
//! pass through *slots*, globals that hold 64 bits each: an i32 or f32 is zero-extended, a v128
//! takes two slots, of a reference there is 1 if it is null and 0 if not. A reference that is an
//! argument is null: a host has no others to give to a component.

use std::collections::HashMap;

use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection,
    InstructionSink, RefType, TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{ExternalKind, FuncType, Payload, TypeRef};

use super::Result;

const SLOT_TYPE: GlobalType = GlobalType {
    val_type: ValType::I64,
    mutable: true,
    shared: false,
};
/// A slot as what is imported.
pub(crate) const SLOT: EntityType = EntityType::Global(SLOT_TYPE);

/// The driver of a module's instances.
pub(crate) struct Driver {
    pub(crate) bytes: Vec<u8>,
    /// How many slots it uses.
    pub(crate) width: u32,
    /// Exported functions and globals by name.
    pub(crate) actions: HashMap<String, Action>,
}

/// An action on an export.
#[derive(Clone)]
pub(crate) struct Action {
    /// The argument of the driver's `call`.
    pub(crate) index: u32,
    pub(crate) is_global: bool,
    pub(crate) params: Vec<ValType>,
    pub(crate) results: Vec<ValType>,
}

/// How many slots a value takes.
pub(crate) fn slot_count(ty: ValType) -> usize {
    if ty == ValType::V128 { 2 } else { 1 }
}

fn slots_of(types: &[ValType]) -> usize {
    types.iter().copied().map(slot_count).sum()
}

/// The visible part of a module: types and exports.
#[derive(Default)]
pub(crate) struct Surface {
    /// The module's own types, to which the driver adds its own.
    types: TypeSection,
    /// By type index; `None` for a type that is no function's.
    func_types: Vec<Option<FuncType>>,
    /// The type index of each function.
    funcs: Vec<u32>,
    globals: Vec<wasmparser::GlobalType>,
    exports: Vec<(String, ExternalKind, u32)>,
}

impl Surface {
    /// Takes what is of interest in a part of the module.
    pub(crate) fn payload(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::TypeSection(reader) => {
                RoundtripReencoder.parse_type_section(&mut self.types, reader.clone())?;
                for group in reader.clone() {
                    let types = group?.into_types();
                    self.func_types
                        .extend(types.map(|ty| match ty.composite_type.inner {
                            wasmparser::CompositeInnerType::Func(ty) => Some(ty),
                            _ => None,
                        }));
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.clone().into_imports() {
                    match import?.ty {
                        TypeRef::Func(ty) => self.funcs.push(ty),
                        TypeRef::Global(ty) => self.globals.push(ty),
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(reader) => {
                for ty in reader.clone() {
                    self.funcs.push(ty?);
                }
            }
            Payload::GlobalSection(reader) => {
                for global in reader.clone() {
                    self.globals.push(global?.ty);
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader.clone() {
                    let export = export?;
                    self.exports
                        .push((export.name.to_owned(), export.kind, export.index));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The type of a function. `None` if there is none, which validation finds.
    fn func_type(&self, index: u32) -> Option<(u32, &FuncType)> {
        let ty = *self.funcs.get(index as usize)?;
        Some((ty, self.func_types.get(ty as usize)?.as_ref()?))
    }
}

/// The target of an action: the index of an imported function or global of the driver.
#[derive(Clone, Copy)]
enum Target {
    Func(u32),
    Global(u32),
}

impl Driver {
    pub(crate) fn new(mut surface: Surface) -> Result<Driver> {
        let mut actions = HashMap::new();
        let mut targets = Vec::new();
        let mut imports = ImportSection::new();
        let (mut funcs, mut globals) = (0, 0);
        for (name, kind, index) in &surface.exports {
            let (import, target, params, results) = match kind {
                ExternalKind::Func => {
                    let Some((index, ty)) = surface.func_type(*index) else {
                        continue;
                    };
                    funcs += 1;
                    (
                        EntityType::Function(index),
                        Target::Func(funcs - 1),
                        RoundtripReencoder.val_types(ty.params().to_vec())?,
                        RoundtripReencoder.val_types(ty.results().to_vec())?,
                    )
                }
                ExternalKind::Global => {
                    let Some(ty) = surface.globals.get(*index as usize) else {
                        continue;
                    };
                    globals += 1;
                    let ty = RoundtripReencoder.global_type(*ty)?;
                    (
                        EntityType::Global(ty),
                        Target::Global(globals - 1),
                        Vec::new(),
                        vec![ty.val_type],
                    )
                }
                _ => continue,
            };
            imports.import("instance", name, import);
            let action = Action {
                index: targets.len() as u32,
                is_global: *kind == ExternalKind::Global,
                params,
                results,
            };
            targets.push((target, action.clone()));
            actions.insert(name.clone(), action);
        }
        let width = |action: &Action| slots_of(&action.params).max(slots_of(&action.results));
        let width = actions.values().map(width).max().unwrap_or(0) as u32;
        for slot in 0..width {
            imports.import("slots", &slot.to_string(), SLOT);
        }
        let run = surface.func_types.len() as u32;
        let types = &mut surface.types;
        types.ty().function([], []);
        types.ty().function([ValType::I32], []);
        let bytes = encode(types, &imports, run, (funcs, globals), &targets);
        Ok(Driver {
            bytes,
            width,
            actions,
        })
    }
}

/// The driver's module. `run` is the type of its functions but `call`, which has the next one;
/// `imported` is how many functions and globals it imports before the slots.
fn encode(
    types: &TypeSection,
    imports: &ImportSection,
    run: u32,
    imported: (u32, u32),
    targets: &[(Target, Action)],
) -> Vec<u8> {
    let (first, first_slot) = imported;
    let count = targets.len() as u32;
    let (mut declared, mut bodies) = (FunctionSection::new(), CodeSection::new());
    for (target, action) in targets {
        declared.function(run);
        bodies.function(&body(*target, action, first_slot));
    }
    declared.function(run + 1);
    let mut call = Function::new([]);
    call.instructions().local_get(0).call_indirect(0, run).end();
    bodies.function(&call);
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: count.into(),
        maximum: None,
        shared: false,
    });
    let mut elements = ElementSection::new();
    let funcs: Vec<u32> = (first..first + count).collect();
    elements.active(
        None,
        &ConstExpr::i32_const(0),
        Elements::Functions(funcs.into()),
    );
    let mut exports = ExportSection::new();
    exports.export("call", ExportKind::Func, first + count);
    let mut module = wasm_encoder::Module::new();
    module
        .section(types)
        .section(imports)
        .section(&declared)
        .section(&tables)
        .section(&exports)
        .section(&elements)
        .section(&bodies);
    module.finish()
}

/// The function of an action: slots, from global `first_slot` on, to arguments, results to slots.
fn body(target: Target, action: &Action, first_slot: u32) -> Function {
    // Parameters that cannot be null: nothing that a host has can be given.
    let impossible = |ty: &ValType| matches!(ty, ValType::Ref(ty) if !ty.nullable);
    let vector = (action.results.contains(&ValType::V128)).then_some((1, ValType::V128));
    let mut body = Function::new(vector);
    let mut code = body.instructions();
    if action.params.iter().any(impossible) {
        code.unreachable().end();
        return body;
    }
    let mut slot = first_slot;
    for ty in &action.params {
        load(&mut code, *ty, slot);
        slot += slot_count(*ty) as u32;
    }
    match target {
        Target::Func(index) => code.call(index),
        Target::Global(index) => code.global_get(index),
    };
    slot = first_slot + slots_of(&action.results) as u32;
    for ty in action.results.iter().rev() {
        slot -= slot_count(*ty) as u32;
        store(&mut code, *ty, slot);
    }
    code.end();
    body
}

/// Pushes the value in a slot.
fn load(code: &mut InstructionSink<'_>, ty: ValType, slot: u32) {
    match ty {
        ValType::I32 => code.global_get(slot).i32_wrap_i64(),
        ValType::I64 => code.global_get(slot),
        ValType::F32 => code.global_get(slot).i32_wrap_i64().f32_reinterpret_i32(),
        ValType::F64 => code.global_get(slot).f64_reinterpret_i64(),
        ValType::V128 => code
            .global_get(slot)
            .i64x2_splat()
            .global_get(slot + 1)
            .i64x2_replace_lane(1),
        ValType::Ref(ty) => code.ref_null(ty.heap_type),
    };
}

/// Pops a value into a slot; local 0 is free for vectors.
fn store(code: &mut InstructionSink<'_>, ty: ValType, slot: u32) {
    match ty {
        ValType::I32 => code.i64_extend_i32_u(),
        ValType::I64 => code,
        ValType::F32 => code.i32_reinterpret_f32().i64_extend_i32_u(),
        ValType::F64 => code.i64_reinterpret_f64(),
        ValType::V128 => code
            .local_tee(0)
            .i64x2_extract_lane(1)
            .global_set(slot + 1)
            .local_get(0)
            .i64x2_extract_lane(0),
        ValType::Ref(_) => code.ref_is_null().i64_extend_i32_u(),
    }
    .global_set(slot);
}

/// The module with `count` slots, named by their numbers, and the functions `set` and `get` of a
/// slot chosen by number.
pub(crate) fn slots(count: u32) -> wasm_encoder::Module {
    let (mut globals, mut exports) = (GlobalSection::new(), ExportSection::new());
    for slot in 0..count {
        globals.global(SLOT_TYPE, &ConstExpr::i64_const(0));
        exports.export(&slot.to_string(), ExportKind::Global, slot);
    }
    exports.export("set", ExportKind::Func, 0);
    exports.export("get", ExportKind::Func, 1);
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I64], []);
    types.ty().function([ValType::I32], [ValType::I64]);
    let mut declared = FunctionSection::new();
    declared.function(0).function(1);
    let mut bodies = CodeSection::new();
    bodies.function(&select(count, |code, slot| {
        code.local_get(1).global_set(slot);
    }));
    bodies.function(&select(count, |code, slot| {
        code.global_get(slot);
    }));
    let mut module = wasm_encoder::Module::new();
    module
        .section(&types)
        .section(&declared)
        .section(&globals)
        .section(&exports)
        .section(&bodies);
    module
}

/// A function that does something with the one of `count` slots whose number its first parameter
/// is.
fn select(count: u32, something: impl Fn(&mut InstructionSink<'_>, u32)) -> Function {
    let mut body = Function::new([]);
    let mut code = body.instructions();
    // One block around the next for each slot, and one for all other numbers.
    for _ in 0..=count {
        code.block(BlockType::Empty);
    }
    code.local_get(0).br_table(0..count, count).end();
    for slot in 0..count {
        something(&mut code, slot);
        code.return_().end();
    }
    code.unreachable().end();
    body
}
