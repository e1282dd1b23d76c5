//! Emits a relocatable object: the functions of the artifact, to be linked into a program that may
//! not map code at run time.
//!
//! Each function is a local symbol, in the order and with the alignment of the artifact's text, so
//! that text offsets in records count from the first function. What code refers to besides
//! functions are the symbols `cwasm_data`, `cwasm_lowers` and `cwasm_ops`: the sections of these
//! names.

use cranelift_module::{
    DataDescription, DataId, FuncId as ObjectFuncId, Linkage, Module as _, ModuleReloc,
    ModuleRelocTarget,
};
use cranelift_object::{ObjectBuilder, ObjectModule};
use cwasm_format::header::SectionId;

use crate::emit::contents;
use crate::emit::names::symbol_name;
use crate::emit::parts::Parts;
use crate::error::{Error, Result};
use crate::ir::symbol::Symbol;
use crate::link::Text;

/// The bytes of the object.
pub(crate) fn emit(parts: &Parts<'_, '_>) -> Result<Vec<u8>> {
    let builder = ObjectBuilder::new(
        parts.target.isa.clone(),
        "cwasm",
        cranelift_module::default_libcall_names(),
    )
    .map_err(object_error)?;
    let mut module = ObjectModule::new(builder);
    let signature = module.make_signature();
    let mut funcs = Vec::new();
    let align = parts.target.arch.function_align;
    for (place, entry) in parts.compiled.entries().enumerate() {
        let name = format!("{}#{place}", symbol_name(parts, entry));
        funcs.push(
            module
                .declare_function(&name, Linkage::Local, &signature)
                .map_err(object_error)?,
        );
    }
    let contents = contents(parts, &Text::place(parts.compiled)?)?;
    let data = define_data(&mut module, "cwasm_data", contents.get(SectionId::Data))?;
    let lowers = define_data(&mut module, "cwasm_lowers", contents.get(SectionId::Lowers))?;
    let ops = define_data(&mut module, "cwasm_ops", contents.get(SectionId::Ops))?;
    for (func, compiled) in funcs.iter().zip(&parts.compiled.functions) {
        let relocs: Vec<ModuleReloc> = compiled
            .relocs
            .iter()
            .map(|reloc| {
                let (name, addend) = target(parts, &funcs, data, [lowers, ops], reloc.symbol);
                ModuleReloc {
                    offset: reloc.offset,
                    kind: reloc.kind,
                    name,
                    addend: reloc.addend + addend,
                }
            })
            .collect();
        module
            .define_function_bytes(*func, align.into(), &compiled.code, &relocs)
            .map_err(object_error)?;
    }
    module
        .finish()
        .emit()
        .map_err(|error| Error::codegen("the object", error.to_string()))
}

fn object_error(error: cranelift_module::ModuleError) -> Error {
    Error::codegen("the object", error.to_string())
}

fn define_data(module: &mut ObjectModule, name: &str, bytes: &[u8]) -> Result<DataId> {
    let id = module
        .declare_data(name, Linkage::Export, false, false)
        .map_err(object_error)?;
    let mut description = DataDescription::new();
    description.define(if bytes.is_empty() {
        Box::new([0])
    } else {
        bytes.into()
    });
    description.set_align(16);
    module.define_data(id, &description).map_err(object_error)?;
    Ok(id)
}

/// The object's symbol and the offset from it.
fn target(
    parts: &Parts<'_, '_>,
    funcs: &[ObjectFuncId],
    data: DataId,
    [lowers, ops]: [DataId; 2],
    symbol: Symbol,
) -> (ModuleRelocTarget, i64) {
    let func = |place: usize| ModuleRelocTarget::user(0, funcs[place].as_u32());
    match symbol {
        Symbol::Func(_) | Symbol::Builtin(_) | Symbol::Handle(_) | Symbol::Copy(_) => {
            match parts.compiled.func(symbol) {
                Some(found) => (func(found.0 as usize), 0),
                None => unreachable!("all that is used was compiled"),
            }
        }
        // Functions are placed in the list's order, so the text starts with the first.
        Symbol::Text => (func(0), 0),
        Symbol::Data(offset) => (ModuleRelocTarget::user(1, data.as_u32()), offset.into()),
        Symbol::Lower(index) => {
            let size = size_of::<cwasm_format::imports::LowerRecord>() as i64;
            (
                ModuleRelocTarget::user(1, lowers.as_u32()),
                i64::from(index) * size,
            )
        }
        Symbol::Op(index) => {
            let size = size_of::<cwasm_format::concurrent::OpRecord>() as i64;
            (
                ModuleRelocTarget::user(1, ops.as_u32()),
                i64::from(index) * size,
            )
        }
    }
}
