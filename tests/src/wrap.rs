//! Components that link core modules statically, so that scripts of core WebAssembly run as
//! components do: one context for all instances, direct calls, closed function references.
//!
//! ```text
//! slots        64-bit globals: what an action takes and returns; its `set` and `get` are lifted
//! for each instance, in the script's order:
//!   module     the script's own; only the names of its imports differ
//!   driver     `call(n)`, lifted as `callI`: the n-th action of instance I
//! between them:
//!   replay     a start function that repeats what the script did before the next instance
//! ```
//!
//! An *action* calls an exported function or reads an exported global, whatever its type: see
//! [`driver`].

pub(crate) mod driver;

use std::collections::HashMap;
use std::rc::Rc;

use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, ComponentBuilder, ComponentExportKind, EntityType, ExportKind, Function,
    FunctionSection, ImportSection, ModuleArg, PrimitiveValType, RawSection, StartSection,
    TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

use driver::{Driver, SLOT, Surface};

pub(crate) type Result<T> = std::result::Result<T, wasm_encoder::reencode::Error>;

/// A core module of a script.
pub(crate) struct Module {
    /// The module, where each import has its number as name: components want unique names.
    bytes: Vec<u8>,
    pub(crate) imports: Vec<Import>,
    pub(crate) driver: Driver,
}

/// An import of a module.
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) name: String,
    kind: ExportKind,
}

/// An event of a script, which is repeated in each component.
pub(crate) enum Event {
    Instance(Instance),
    Call(Call),
}

/// A core instance.
pub(crate) struct Instance {
    /// Its number in the script.
    pub(crate) id: usize,
    pub(crate) module: Rc<Module>,
    /// The instance that each import comes from; `None` if the script has none of that name.
    pub(crate) sources: Vec<Option<usize>>,
}

/// An action that returned.
pub(crate) struct Call {
    pub(crate) instance: usize,
    pub(crate) action: u32,
    pub(crate) args: Vec<u64>,
}

impl Event {
    /// The instance that is made or used.
    pub(crate) fn instance(&self) -> usize {
        match self {
            Event::Instance(instance) => instance.id,
            Event::Call(call) => call.instance,
        }
    }
}

impl Module {
    /// Reads a module, which need not be valid.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Module> {
        let mut renamed = wasm_encoder::Module::new();
        let mut imports = Vec::new();
        let mut surface = Surface::default();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            surface.payload(&payload)?;
            if let Payload::ImportSection(reader) = &payload {
                let mut section = ImportSection::new();
                for import in reader.clone().into_imports() {
                    let import = import?;
                    let ty = RoundtripReencoder.entity_type(import.ty)?;
                    section.import("", &imports.len().to_string(), ty);
                    imports.push(Import {
                        module: import.module.to_owned(),
                        name: import.name.to_owned(),
                        kind: export_kind(ty),
                    });
                }
                renamed.section(&section);
            } else if let Some((id, range)) = payload.as_section() {
                let data = &bytes[range.start as usize..range.end as usize];
                renamed.section(&RawSection { id, data });
            }
        }
        Ok(Module {
            bytes: renamed.finish(),
            imports,
            driver: Driver::new(surface)?,
        })
    }
}

fn export_kind(ty: EntityType) -> ExportKind {
    match ty {
        EntityType::Function(_) | EntityType::FunctionExact(_) => ExportKind::Func,
        EntityType::Table(_) => ExportKind::Table,
        EntityType::Memory(_) => ExportKind::Memory,
        EntityType::Global(_) => ExportKind::Global,
        EntityType::Tag(_) => ExportKind::Tag,
    }
}

/// A component of nothing but a core module, whatever its bytes are.
pub(crate) fn alone(bytes: &[u8]) -> Vec<u8> {
    let mut builder = ComponentBuilder::default();
    match Module::parse(bytes) {
        Ok(module) => builder.core_module_raw(None, &module.bytes),
        Err(_) => builder.core_module_raw(None, bytes),
    };
    builder.finish()
}

/// The component in which, when it is instantiated, all this happens again and then a new instance
/// is made. What is imported comes from instances made before.
pub(crate) fn component(past: &[&Event], newest: &Instance) -> Vec<u8> {
    let mut builder = ComponentBuilder::default();
    let width = past.iter().map(|event| match event {
        Event::Instance(instance) => instance.module.driver.width,
        Event::Call(_) => 0,
    });
    let width = width.fold(newest.module.driver.width, u32::max);
    let module = builder.core_module(None, &driver::slots(width));
    let slots = builder.core_instantiate(None, module, no_args());
    let mut linker = Linker {
        builder,
        slots,
        modules: HashMap::new(),
        instances: HashMap::new(),
    };
    let (index, value) = (("index", PrimitiveValType::U32), PrimitiveValType::U64);
    linker.lift("set", slots, "set", &[index, ("value", value)], None);
    linker.lift("get", slots, "get", &[index], Some(value));
    let mut calls = Vec::new();
    for event in past {
        match event {
            Event::Call(call) => calls.push(call),
            Event::Instance(instance) => {
                linker.replay(&calls);
                calls.clear();
                linker.instantiate(instance);
            }
        }
    }
    linker.replay(&calls);
    linker.instantiate(newest);
    linker.builder.finish()
}

fn no_args() -> [(&'static str, ModuleArg); 0] {
    []
}

struct Linker {
    builder: ComponentBuilder,
    /// The core instance with the slots.
    slots: u32,
    /// The core modules of a script's module and its driver, by the address of the former.
    modules: HashMap<*const Module, (u32, u32)>,
    instances: HashMap<usize, Linked>,
}

/// The core instances of an instance.
struct Linked {
    instance: u32,
    driver: u32,
}

impl Linker {
    fn instantiate(&mut self, instance: &Instance) {
        let Instance {
            id,
            module,
            sources,
        } = instance;
        let builder = &mut self.builder;
        let (module_index, driver_index) =
            *self.modules.entry(Rc::as_ptr(module)).or_insert_with(|| {
                let index = builder.core_module_raw(None, &module.bytes);
                (index, builder.core_module_raw(None, &module.driver.bytes))
            });
        // What the script has no instance for is left out: the compiler refuses that.
        let mut found = Vec::new();
        for (number, (import, source)) in module.imports.iter().zip(sources).enumerate() {
            let Some(source) = source else { continue };
            let from = self.instances[source].instance;
            let item = builder.core_alias_export(None, from, &import.name, import.kind);
            found.push((number.to_string(), import.kind, item));
        }
        let items: Vec<_> = found
            .iter()
            .map(|(name, kind, item)| (&**name, *kind, *item))
            .collect();
        let imports = builder.core_instantiate_exports(None, items);
        let args = [("", ModuleArg::Instance(imports))];
        let core = builder.core_instantiate(None, module_index, args);
        let args = [
            ("slots", ModuleArg::Instance(self.slots)),
            ("instance", ModuleArg::Instance(core)),
        ];
        let driver = builder.core_instantiate(None, driver_index, args);
        let action = ("action", PrimitiveValType::U32);
        self.lift(&format!("call{id}"), driver, "call", &[action], None);
        let linked = Linked {
            instance: core,
            driver,
        };
        self.instances.insert(*id, linked);
    }

    /// Exports a core function.
    fn lift(
        &mut self,
        name: &str,
        instance: u32,
        export: &str,
        params: &[(&str, PrimitiveValType)],
        result: Option<PrimitiveValType>,
    ) {
        let builder = &mut self.builder;
        let (ty, mut encoder) = builder.type_function(None);
        encoder
            .params(params.iter().copied())
            .result(result.map(Into::into));
        let core = builder.core_alias_export(None, instance, export, ExportKind::Func);
        let func = builder.lift_func(None, core, ty, []);
        builder.export(name, ComponentExportKind::Func, func, None);
    }

    /// Adds a core instance whose start function does what was done before.
    fn replay(&mut self, calls: &[&Call]) {
        if calls.is_empty() {
            return;
        }
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types.ty().function([ValType::I32], []);
        let mut imports = ImportSection::new();
        let width = calls.iter().map(|call| call.args.len()).max().unwrap_or(0);
        for slot in 0..width {
            imports.import("slots", &slot.to_string(), SLOT);
        }
        let mut args = vec![("slots".to_owned(), ModuleArg::Instance(self.slots))];
        let mut funcs = HashMap::new();
        let mut body = Function::new([]);
        let mut code = body.instructions();
        for call in calls {
            let next = funcs.len() as u32;
            let func = *funcs.entry(call.instance).or_insert_with(|| {
                let name = format!("driver{}", call.instance);
                imports.import(&name, "call", EntityType::Function(1));
                let driver = self.instances[&call.instance].driver;
                args.push((name, ModuleArg::Instance(driver)));
                next
            });
            for (slot, value) in call.args.iter().enumerate() {
                code.i64_const(value.cast_signed()).global_set(slot as u32);
            }
            code.i32_const(call.action.cast_signed()).call(func);
        }
        code.end();
        let (mut declared, mut bodies) = (FunctionSection::new(), CodeSection::new());
        declared.function(0);
        bodies.function(&body);
        let start = StartSection {
            function_index: funcs.len() as u32,
        };
        let mut module = wasm_encoder::Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&declared)
            .section(&start)
            .section(&bodies);
        let module = self.builder.core_module(None, &module);
        let args: Vec<_> = args.iter().map(|(name, arg)| (&**name, *arg)).collect();
        self.builder.core_instantiate(None, module, args);
    }
}
