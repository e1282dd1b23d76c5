//! A decoded core module: its index spaces and bodies, as the binary has them.

use std::ops::Range;

use cwasm_format::exports::kind;
use cwasm_format::imports::core_type::{self, Limits};
use rayon::prelude::*;
use wasmparser::{
    ConstExpr, ExternalKind, FuncToValidate, FuncType, FunctionBody, GlobalType, MemoryType,
    TableType, TagKind, TagType, TypeRef, ValidatorResources,
};

use crate::core_types::CoreTypes;
use crate::error::{Error, Result};
use crate::originals::Originals;

/// A core module. Index spaces list imports first, as the specification numbers them.
#[derive(Default)]
pub(crate) struct Module<'a> {
    /// Whether it stands for a module that is imported. Then `imports` are the items that the
    /// imported module is given, and all items that it exports count as imported.
    pub(crate) is_declared: bool,
    /// Function types, by type index.
    pub(crate) types: Vec<FuncType>,
    /// The same types without type indices.
    pub(crate) core_types: CoreTypes,
    pub(crate) imports: Vec<Import<'a>>,
    /// Type index of each function.
    pub(crate) funcs: Vec<u32>,
    pub(crate) tables: Vec<TableType>,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) globals: Vec<GlobalType>,
    /// Type index of each tag: its parameters are the tag's.
    pub(crate) tags: Vec<u32>,
    /// Initial values of the globals that are not imported.
    pub(crate) global_inits: Vec<ConstExpr<'a>>,
    /// Initial elements of the tables that are not imported; `None` for null.
    pub(crate) table_inits: Vec<Option<ConstExpr<'a>>>,
    pub(crate) exports: Vec<wasmparser::Export<'a>>,
    pub(crate) start: Option<u32>,
    pub(crate) elements: Vec<Element<'a>>,
    pub(crate) data: Vec<Data<'a>>,
    /// Bodies of the functions that are not imported.
    pub(crate) bodies: Vec<Body<'a>>,
    /// Its byte range in the input.
    pub(crate) range: Range<u64>,
    /// Where the contents of its code section start in the input.
    pub(crate) code_start: u64,
    /// Bytes of these contents.
    pub(crate) code_len: u64,
    /// Its name for tools, which the component around it or its name section gives; may be empty.
    pub(crate) name: &'a str,
    /// Where its code was before it was rewritten, if it was.
    pub(crate) originals: Option<Originals>,
    /// Custom sections with debug information: name and contents.
    pub(crate) debug_sections: Vec<(&'a str, &'a [u8])>,
    /// Names of functions from the name section, by function index; empty where unknown.
    pub(crate) func_names: Vec<&'a str>,
    /// Those of tags.
    pub(crate) tag_names: Vec<&'a str>,
    pub(crate) imported_funcs: u32,
    pub(crate) imported_tables: u32,
    pub(crate) imported_memories: u32,
    pub(crate) imported_globals: u32,
    pub(crate) imported_tags: u32,
}

pub(crate) struct Import<'a> {
    pub(crate) module: &'a str,
    pub(crate) name: &'a str,
    pub(crate) ty: TypeRef,
    /// Byte offset in the input.
    pub(crate) offset: u64,
}

/// A function body with what is needed to validate it while it is translated.
pub(crate) struct Body<'a> {
    pub(crate) validator: FuncToValidate<ValidatorResources>,
    pub(crate) body: FunctionBody<'a>,
}

pub(crate) enum SegmentMode<'a> {
    Active { index: u32, offset: ConstExpr<'a> },
    Passive,
    Declared,
}

pub(crate) struct Element<'a> {
    pub(crate) mode: SegmentMode<'a>,
    pub(crate) items: ElementItems<'a>,
}

/// The elements of a segment.
pub(crate) enum ElementItems<'a> {
    /// Function indices.
    Funcs(Vec<u32>),
    /// Constant expressions.
    Exprs(Vec<ConstExpr<'a>>),
}

impl ElementItems<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            ElementItems::Funcs(funcs) => funcs.len(),
            ElementItems::Exprs(exprs) => exprs.len(),
        }
    }
}

pub(crate) struct Data<'a> {
    pub(crate) mode: SegmentMode<'a>,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Module<'a> {
    /// The type of a function.
    pub(crate) fn func_type(&self, func: u32) -> &FuncType {
        &self.types[self.funcs[func as usize] as usize]
    }

    /// The type of an export.
    pub(crate) fn export_type(&self, export: &wasmparser::Export<'_>) -> TypeRef {
        let index = export.index as usize;
        match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => TypeRef::Func(self.funcs[index]),
            ExternalKind::Table => TypeRef::Table(self.tables[index]),
            ExternalKind::Memory => TypeRef::Memory(self.memories[index]),
            ExternalKind::Global => TypeRef::Global(self.globals[index]),
            ExternalKind::Tag => TypeRef::Tag(tag_type(self.tags[index])),
        }
    }

    /// A name of each tag, for messages: by which it is exported or imported, or that of the name
    /// section; may be empty.
    pub(crate) fn tag_names(&self) -> Vec<&'a str> {
        let mut names = self.tag_names.clone();
        names.resize(self.tags.len(), "");
        let imports = self.imports.iter();
        let imports = imports.filter(|import| matches!(import.ty, TypeRef::Tag(_)));
        for (name, import) in names.iter_mut().zip(imports) {
            *name = import.name;
        }
        let exports = self.exports.iter();
        for export in exports.filter(|export| export.kind == ExternalKind::Tag) {
            names[export.index as usize] = export.name;
        }
        names
    }

    /// The kind and encoded type of a core import or export.
    pub(crate) fn extern_type(&self, ty: TypeRef, offset: Option<u64>) -> Result<(u32, Vec<u8>)> {
        let mut out = Vec::new();
        let val_type = |ty| {
            let known = self.core_types.val_type(ty);
            known.map_err(|error| offset.into_iter().fold(error, Error::at))
        };
        let kind = match ty {
            TypeRef::Func(ty) => {
                return Ok((kind::CORE_FUNC, self.core_types.encoded(ty).to_vec()));
            }
            TypeRef::Table(ty) => {
                let element = wasmparser::ValType::Ref(ty.element_type);
                let element = val_type(element)?;
                let limits = Limits {
                    min: ty.initial,
                    max: ty.maximum,
                    is_64: ty.table64,
                    shared: ty.shared,
                };
                core_type::encode_table(element, limits, &mut out);
                kind::CORE_TABLE
            }
            TypeRef::Memory(ty) => {
                let limits = Limits {
                    min: ty.initial,
                    max: ty.maximum,
                    is_64: ty.memory64,
                    shared: ty.shared,
                };
                core_type::encode_memory(ty.page_size_log2.unwrap_or(16) as u8, limits, &mut out);
                kind::CORE_MEMORY
            }
            TypeRef::Global(ty) => {
                let content = val_type(ty.content_type)?;
                core_type::encode_global(content, ty.mutable, &mut out);
                kind::CORE_GLOBAL
            }
            TypeRef::Tag(ty) => {
                let ty = self.core_types.encoded(ty.func_type_idx);
                return Ok((kind::CORE_TAG, ty.to_vec()));
            }
            TypeRef::FuncExact(_) => {
                return Err(Error::unsupported("custom-descriptors", offset));
            }
        };
        Ok((kind, out))
    }

    /// Bytes that each instance of the module adds to the plan and the images, approximately: those
    /// that active segments write, and a place for each import, global, tag and element.
    pub(crate) fn instance_size(&self) -> u64 {
        const PLACE_SIZE: u64 = 16;
        let active = |data: &&Data<'_>| matches!(data.mode, SegmentMode::Active { .. });
        let data = self.data.iter().filter(active);
        let elements = self.elements.iter().map(|element| element.items.len());
        let items = self.imports.len() + self.globals.len() + self.tags.len();
        let places = items + elements.sum::<usize>();
        data.map(|data| data.bytes.len() as u64).sum::<u64>() + PLACE_SIZE * places as u64
    }

    /// Whether it has DWARF.
    pub(crate) fn has_dwarf(&self) -> bool {
        let mut sections = self.debug_sections.iter();
        sections.any(|(name, _)| *name == ".debug_info")
    }

    /// Bytes of all function bodies.
    pub(crate) fn code_size(&self) -> u64 {
        self.bodies
            .iter()
            .map(|body| body.body.range().end - body.body.range().start)
            .sum()
    }
}

/// The type of a tag whose parameters are those of a function type.
pub(crate) fn tag_type(func_type_idx: u32) -> TagType {
    TagType {
        kind: TagKind::Exception,
        func_type_idx,
    }
}

/// Validates the bodies of modules that nothing instantiates, which are not translated.
pub(crate) fn validate_bodies(modules: &[&Module<'_>]) -> Result<()> {
    modules
        .par_iter()
        .flat_map(|module| &module.bodies)
        .try_for_each(|body| {
            let mut validator = body.to_validate().into_validator(Default::default());
            Ok(validator.validate(&body.body)?)
        })
}

impl<'a> Body<'a> {
    /// A new validator for this body, because a body may be translated once per instance.
    pub(crate) fn to_validate(&self) -> FuncToValidate<ValidatorResources> {
        FuncToValidate {
            resources: self.validator.resources.clone(),
            index: self.validator.index,
            ty: self.validator.ty,
            features: self.validator.features,
        }
    }
}
