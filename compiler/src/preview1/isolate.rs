//! Gives a program and the adapter memories of their own.
//!
//! The adapter keeps its state in the memory that the module exports, and gets room there by making
//! it larger. Programs of some toolchains take for their own all that there is when they allocate
//! for the first time (AssemblyScript; C libraries of before 2022), and would overwrite it. So the
//! exported memory is one that the module gets for that, and [`shims`](super::shims) copy.

use std::collections::BTreeMap;

use wasm_encoder::reencode::{Error as ReencodeError, Reencode, utils};
use wasm_encoder::{
    CodeSection, CustomSection, Encode as _, ExportKind, ExportSection, FunctionSection,
    ImportSection, MemorySection, MemoryType, Module, Section as _, TypeSection, ValType,
};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef};

use super::pointers::Shim;
use super::shims::{Uses, reserve};
use super::{PREVIEW1, exit};
use crate::error::Result;
use crate::originals;

type Reencoded = Result<(), ReencodeError>;

/// The export that the adapter finds its memory by.
const MEMORY: &str = "memory";

/// What an import of a program is called from now on; it calls a function with an exit code, where
/// the adapter knows only success and failure.
const PROC_EXIT: &str = "proc_exit";

/// The module with a memory for the adapter, if it has a memory of its own and the shims that it
/// needs can be made; else only its exit is as [`exit`] says.
pub(super) fn isolate(module: &[u8]) -> Result<Vec<u8>> {
    let plan = Plan::of(module)?;
    let mut rewriter = Rewriter {
        shims: plan.shims(),
        plan,
        is_in_names: false,
    };
    let mut rewritten = Module::new();
    rewriter
        .parse_core_module(&mut rewritten, Parser::new(0), module)
        .map_err(|error| super::invalid(error.to_string()))?;
    if rewriter.plan.imports.iter().any(Import::is_exit) {
        rewritten.section(&exit::section()?);
    }
    let rewritten = rewritten.finish();
    with_originals(module, rewritten)
}

/// Adds where the code of the module was before.
fn with_originals(module: &[u8], mut rewritten: Vec<u8>) -> Result<Vec<u8>> {
    let data = originals::section(module, &rewritten)?;
    let section = CustomSection {
        name: originals::SECTION.into(),
        data: data.into(),
    };
    rewritten.push(section.id());
    section.encode(&mut rewritten);
    Ok(rewritten)
}

/// A function that a module imports.
#[derive(Clone)]
struct Import {
    module: String,
    name: String,
    ty: u32,
}

impl Import {
    fn is_exit(&self) -> bool {
        self.module == PREVIEW1 && self.name == PROC_EXIT
    }
}

/// What has to be known of a module.
#[derive(Default)]
struct Plan {
    types: Vec<Option<FuncType>>,
    /// Functions only.
    imports: Vec<Import>,
    functions: u32,
    memories: u32,
    /// Whether the sections that get something more are there.
    has_memory: bool,
    has_code: bool,
}

impl Plan {
    fn of(module: &[u8]) -> Result<Plan> {
        let mut plan = Plan::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        for ty in group?.into_types() {
                            plan.types.push(match ty.composite_type.inner {
                                wasmparser::CompositeInnerType::Func(ty) => Some(ty),
                                _ => None,
                            });
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        match import.ty {
                            TypeRef::Func(ty) => plan.imports.push(Import {
                                module: import.module.to_owned(),
                                name: import.name.to_owned(),
                                ty,
                            }),
                            TypeRef::Memory(_) => plan.memories += 1,
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(section) => plan.functions = section.count(),
                Payload::MemorySection(section) => {
                    plan.memories += section.count();
                    plan.has_memory = true;
                }
                Payload::CodeSectionStart { .. } => plan.has_code = true,
                _ => {}
            }
        }
        plan.functions += plan.imports.len() as u32;
        Ok(plan)
    }

    fn import(&self, name: &str) -> Option<u32> {
        let is_it = |import: &Import| import.module == PREVIEW1 && import.name == name;
        Some(self.imports.iter().position(is_it)? as u32)
    }

    /// A shim for each import that needs one, by its index. None at all, if one of them cannot be
    /// made: then all share the memory.
    fn shims(&self) -> BTreeMap<u32, Shim> {
        let mut shims = BTreeMap::new();
        if !self.has_memory || !self.has_code {
            return shims;
        }
        for (index, import) in (0..).zip(&self.imports) {
            let Some(shim) = Shim::of(&import.name).filter(|_| import.module == PREVIEW1) else {
                continue;
            };
            let ty = self.types.get(import.ty as usize).and_then(Option::as_ref);
            let fits = ty.is_some_and(|ty| {
                shim.fits(ty.params()) && ty.results() == [wasmparser::ValType::I32]
            });
            let is_complete = match shim {
                Shim::Strings { sizes } => self.import(sizes).is_some(),
                _ => true,
            };
            if !fits || !is_complete {
                return BTreeMap::new();
            }
            shims.insert(index, shim);
        }
        shims
    }
}

struct Rewriter {
    plan: Plan,
    shims: BTreeMap<u32, Shim>,
    is_in_names: bool,
}

impl Rewriter {
    /// The function [`reserve`], which comes after those of the module.
    fn reserve(&self) -> u32 {
        self.plan.functions
    }
}

impl Reencode for Rewriter {
    type Error = std::convert::Infallible;

    /// Calls of an import are calls of its shim.
    fn function_index(&mut self, index: u32) -> Result<u32, ReencodeError> {
        let mut shims = self.shims.keys();
        let place = shims.position(|shim| *shim == index);
        Ok(match place {
            Some(place) if !self.is_in_names => self.reserve() + 1 + place as u32,
            _ => index,
        })
    }

    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Reencoded {
        self.is_in_names = true;
        let parsed = utils::parse_custom_section(self, module, section);
        self.is_in_names = false;
        parsed
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Reencoded {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32], [ValType::I32]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Reencoded {
        for import in section.into_imports() {
            let mut import = import?;
            if import.module == PREVIEW1 && import.name == PROC_EXIT {
                (import.module, import.name) = (exit::INTERFACE, exit::FUNCTION);
            }
            self.parse_import(imports, import)?;
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Reencoded {
        utils::parse_function_section(self, functions, section)?;
        if !self.shims.is_empty() {
            functions.function(self.plan.types.len() as u32);
        }
        for import in self.shims.keys() {
            functions.function(self.plan.imports[*import as usize].ty);
        }
        Ok(())
    }

    fn parse_memory_section(
        &mut self,
        memories: &mut MemorySection,
        section: wasmparser::MemorySectionReader<'_>,
    ) -> Reencoded {
        utils::parse_memory_section(self, memories, section)?;
        if !self.shims.is_empty() {
            memories.memory(MemoryType {
                minimum: 1,
                maximum: None,
                memory64: false,
                shared: false,
                page_size_log2: None,
            });
        }
        Ok(())
    }

    /// The module's own memory is not exported.
    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: wasmparser::Export<'_>,
    ) -> Reencoded {
        let is_memory = export.name == MEMORY && export.kind == ExternalKind::Memory;
        if is_memory && !self.shims.is_empty() {
            exports.export(MEMORY, ExportKind::Memory, self.plan.memories);
            return Ok(());
        }
        utils::parse_export(self, exports, export)
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Reencoded {
        utils::parse_code_section(self, code, section)?;
        let own = self.plan.memories;
        if !self.shims.is_empty() {
            code.function(&reserve(own));
        }
        for (import, shim) in &self.shims {
            let sizes = match shim {
                Shim::Strings { sizes } => self.plan.import(sizes),
                _ => None,
            };
            let uses = Uses {
                program: 0,
                own,
                function: *import,
                reserve: self.reserve(),
                sizes: sizes.unwrap_or_default(),
            };
            let ty = self.plan.imports[*import as usize].ty;
            let ty = self.plan.types.get(ty as usize).and_then(Option::as_ref);
            let params = ty.map_or(0, |ty| ty.params().len() as u32);
            code.function(&uses.body(shim, params));
        }
        Ok(())
    }
}
