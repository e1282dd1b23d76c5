//! The imports and exports of a module, and modules that export what another imports.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    ConstExpr, EntityType, ExportKind, ExportSection, GlobalSection, HeapType, Ieee32, Ieee64,
    MemorySection, RefType, TableSection, TagKind, TagSection, TagType, TypeSection, ValType,
};
use wasmparser::{
    BinaryReaderError, CompositeInnerType, ExternalKind, FunctionBody, Operator, Parser, Payload,
    TypeRef,
};

use crate::program::Proposals;
use crate::rng::Rng;
use crate::value::{Type, Value};

/// The imports and exports of a module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Vec<Export>,
    /// Whether it may wait for other threads, of which there are none.
    pub(crate) may_block: bool,
    /// The function types, which tags refer to.
    types: Vec<FuncType>,
}

#[derive(Clone, Debug)]
pub(crate) enum Import {
    /// A function, which the host gives.
    Func(FuncType),
    /// Something else, which the [`provider`] exports.
    Item(EntityType),
}

#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Func(FuncType),
    Table,
    Memory,
    Global,
    Tag,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FuncType {
    pub(crate) params: Vec<Type>,
    pub(crate) results: Vec<Type>,
}

/// Why a module is not one for these tests.
#[derive(Debug)]
pub(crate) enum NotHere {
    Malformed(BinaryReaderError),
    /// It has types or items that are not made here, or an index that is out of range.
    Other,
}

impl From<BinaryReaderError> for NotHere {
    fn from(error: BinaryReaderError) -> NotHere {
        NotHere::Malformed(error)
    }
}

impl Shape {
    /// The shape of a module.
    pub(crate) fn of(wasm: &[u8]) -> Result<Shape, NotHere> {
        let mut reader = Reader::default();
        for payload in Parser::new(0).parse_all(wasm) {
            reader.payload(payload?)?;
        }
        Ok(reader.shape)
    }

    /// The imports that the [`provider`] exports, in its order.
    fn items(&self) -> impl Iterator<Item = EntityType> {
        self.imports.iter().filter_map(|import| match import {
            Import::Item(ty) => Some(*ty),
            Import::Func(_) => None,
        })
    }
}

/// The parts of a module that were read so far.
#[derive(Default)]
struct Reader {
    /// Types of functions, imported and defined.
    funcs: Vec<u32>,
    shape: Shape,
}

impl Reader {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), NotHere> {
        match payload {
            Payload::TypeSection(reader) => {
                for group in reader {
                    for ty in group?.into_types() {
                        let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                            return Err(NotHere::Other);
                        };
                        self.shape.types.push(func_type(&ty)?);
                    }
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    let import = self.import(import?.ty)?;
                    self.shape.imports.push(import);
                }
            }
            Payload::FunctionSection(reader) => {
                for ty in reader {
                    self.funcs.push(ty?);
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    let export = self.export(export?)?;
                    self.shape.exports.push(export);
                }
            }
            Payload::CodeSectionEntry(body) => self.shape.may_block |= waits(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, ty: TypeRef) -> Result<Import, NotHere> {
        Ok(match ty {
            TypeRef::Func(index) => {
                self.funcs.push(index);
                Import::Func(self.func(index)?)
            }
            ty => match RoundtripReencoder.entity_type(ty) {
                Ok(ty) => Import::Item(ty),
                Err(_) => return Err(NotHere::Other),
            },
        })
    }

    fn export(&self, export: wasmparser::Export<'_>) -> Result<Export, NotHere> {
        let kind = match export.kind {
            ExternalKind::Func => {
                let ty = self.funcs.get(export.index as usize);
                Kind::Func(self.func(*ty.ok_or(NotHere::Other)?)?)
            }
            ExternalKind::Table => Kind::Table,
            ExternalKind::Memory => Kind::Memory,
            ExternalKind::Global => Kind::Global,
            ExternalKind::Tag => Kind::Tag,
            _ => return Err(NotHere::Other),
        };
        let name = export.name.to_owned();
        Ok(Export { name, kind })
    }

    fn func(&self, ty: u32) -> Result<FuncType, NotHere> {
        let ty = self.shape.types.get(ty as usize);
        ty.cloned().ok_or(NotHere::Other)
    }
}

fn func_type(ty: &wasmparser::FuncType) -> Result<FuncType, NotHere> {
    let list = |types: &[wasmparser::ValType]| -> Result<Vec<Type>, NotHere> {
        types.iter().map(|ty| value_type(*ty)).collect()
    };
    Ok(FuncType {
        params: list(ty.params())?,
        results: list(ty.results())?,
    })
}

fn value_type(ty: wasmparser::ValType) -> Result<Type, NotHere> {
    use wasmparser::ValType;
    Ok(match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::FUNCREF => Type::Func,
        ValType::EXTERNREF => Type::Extern,
        ValType::Ref(ty) if ty == wasmparser::RefType::EXNREF => Type::Exn,
        ValType::Ref(_) => return Err(NotHere::Other),
    })
}

fn waits(body: &FunctionBody<'_>) -> Result<bool, BinaryReaderError> {
    for operator in body.get_operators_reader()? {
        if let Operator::MemoryAtomicWait32 { .. } | Operator::MemoryAtomicWait64 { .. } = operator?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A module that exports the tables, memories and globals that a module of this shape imports, by
/// their number among them; `None` if there are none.
pub(crate) fn provider(
    shape: &Shape,
    rng: &mut Rng,
    proposals: Proposals,
) -> Option<(Vec<u8>, Shape)> {
    let mut tables = TableSection::new();
    let mut memories = MemorySection::new();
    let mut globals = GlobalSection::new();
    let (mut types, mut tags) = (TypeSection::new(), TagSection::new());
    let mut exports = ExportSection::new();
    let mut own = Shape::default();
    let mut made: Vec<(EntityType, Kind, ExportKind, u32)> = Vec::new();
    for (number, ty) in shape.items().enumerate() {
        // Two imports may be one item; the interpreter cannot copy from a memory or table to itself
        // by two names.
        let may_share = proposals != Proposals::Common || matches!(ty, EntityType::Global(_));
        let mut same = made.iter().filter(|(made, ..)| may_share && *made == ty);
        let same = same.next().filter(|_| rng.one_in(2)).cloned();
        let item = same.unwrap_or_else(|| {
            let (kind, export_kind, index) = match ty {
                EntityType::Table(ty) => {
                    tables.table(ty);
                    (Kind::Table, ExportKind::Table, tables.len() - 1)
                }
                EntityType::Memory(ty) => {
                    memories.memory(ty);
                    (Kind::Memory, ExportKind::Memory, memories.len() - 1)
                }
                EntityType::Global(ty) => {
                    globals.global(ty, &constant(ty.val_type, rng));
                    (Kind::Global, ExportKind::Global, globals.len() - 1)
                }
                EntityType::Tag(ty) => {
                    let params = shape.types[ty.func_type_idx as usize].params.iter();
                    let params = params.map(|ty| encoded(*ty));
                    types.ty().function(params.collect::<Vec<_>>(), []);
                    tags.tag(TagType {
                        kind: TagKind::Exception,
                        func_type_idx: types.len() - 1,
                    });
                    (Kind::Tag, ExportKind::Tag, tags.len() - 1)
                }
                EntityType::Function(_) | EntityType::FunctionExact(_) => {
                    unreachable!("the host gives functions")
                }
            };
            (ty, kind, export_kind, index)
        });
        let (_, kind, export_kind, index) = item.clone();
        made.push(item);
        let name = number.to_string();
        exports.export(&name, export_kind, index);
        own.exports.push(Export { name, kind });
    }
    if own.exports.is_empty() {
        return None;
    }
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&tables).section(&memories);
    // The interpreter has none, and no such section.
    if !tags.is_empty() {
        module.section(&tags);
    }
    module.section(&globals).section(&exports);
    Some((module.finish(), own))
}

fn encoded(ty: Type) -> ValType {
    match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
        Type::F32 => ValType::F32,
        Type::F64 => ValType::F64,
        Type::V128 => ValType::V128,
        Type::Func => ValType::FUNCREF,
        Type::Extern => ValType::EXTERNREF,
        Type::Exn => ValType::Ref(RefType::EXNREF),
    }
}

/// A constant of a global.
fn constant(ty: ValType, rng: &mut Rng) -> ConstExpr {
    let ty = match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::Ref(ty) => return ConstExpr::ref_null(ty.heap_type),
    };
    match Value::random(ty, rng) {
        Value::I32(bits) => ConstExpr::i32_const(bits as i32),
        Value::I64(bits) => ConstExpr::i64_const(bits as i64),
        Value::F32(bits) => ConstExpr::f32_const(Ieee32::new(bits)),
        Value::F64(bits) => ConstExpr::f64_const(Ieee64::new(bits)),
        Value::V128(bits) => ConstExpr::v128_const(bits as i128),
        Value::Func { .. } => ConstExpr::ref_null(HeapType::FUNC),
        Value::Extern(_) => ConstExpr::ref_null(HeapType::EXTERN),
        Value::Exn { .. } => ConstExpr::ref_null(RefType::EXNREF.heap_type),
    }
}
