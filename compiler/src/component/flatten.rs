//! Flattens a component: evaluates its definition, with everything nested in it, to a [`Plan`].
//!
//! Instantiating a nested component evaluates its items in a scope of its own, whose imports are
//! the arguments. Index spaces hold values ([`Def`]) that are resolved as far as possible: an
//! alias of an export is the exported thing itself, so chains of aliases, re-exports and imports
//! end at the core instance (or host import) that defines the item.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use cwasm_format::abi::PointerWidth;
use cwasm_format::exports::encoding;
use wasmparser::{
    CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ExternalKind, Instance,
};

use super::types::FuncTypeId;
use super::{
    Adapter, Component, ComponentInstanceId, CoreDef, CoreFunc, CoreItem, ImportType, InstanceId,
    InstanceShape, Item, Lift, Lower, ModuleId, Options, Plan, PlanExport, PlanImport,
    PlanInstance,
};
use crate::error::{Error, Result};
use crate::module::Module;

/// The most core instances that one component may have, nested ones included.
const MAX_CORE_INSTANCES: u64 = 1_000;
/// The most component instances, nested ones included.
const MAX_COMPONENT_INSTANCES: u64 = 10_000;
/// How deep components may be nested in each other.
const MAX_DEPTH: u64 = 100;

/// A component-level value.
#[derive(Clone)]
enum Def<'d, 'a> {
    Func(Func),
    Module(ModuleId),
    Component(Closure<'d, 'a>),
    Instance(Rc<Exports<'d, 'a>>),
    /// Types are not tracked.
    Type,
}

/// A component-level function.
#[derive(Clone, Copy)]
enum Func {
    /// Index into the plan's imports.
    Host { import: u32, ty: FuncTypeId },
    /// Index into [`Flattener::lifts`].
    Lifted(usize),
}

/// The exports of a component instance, in order.
#[derive(Default)]
struct Exports<'d, 'a> {
    defs: Vec<(String, Def<'d, 'a>)>,
    by_name: HashMap<String, usize>,
}

/// A component definition with the scope that its outer aliases mean.
#[derive(Clone)]
struct Closure<'d, 'a> {
    def: &'d Component<'a>,
    outer: Rc<Outer<'d, 'a>>,
}

/// What outer aliases can reach of a scope. It only grows, so that sharing it is as good as a
/// copy made when the nested component was defined.
struct Outer<'d, 'a> {
    modules: RefCell<Vec<ModuleId>>,
    components: RefCell<Vec<Closure<'d, 'a>>>,
    parent: Option<Rc<Outer<'d, 'a>>>,
}

/// The index spaces of a component instance while it is evaluated.
struct Scope<'d, 'a> {
    component: ComponentInstanceId,
    outer: Rc<Outer<'d, 'a>>,
    core_funcs: Vec<CoreFunc>,
    core_tables: Vec<CoreItem>,
    core_memories: Vec<CoreItem>,
    core_globals: Vec<CoreItem>,
    core_instances: Vec<CoreInstance<'a>>,
    funcs: Vec<Func>,
    instances: Vec<Rc<Exports<'d, 'a>>>,
    exports: Exports<'d, 'a>,
}

enum CoreInstance<'a> {
    Real(InstanceId),
    FromExports(HashMap<&'a str, CoreDef>),
}

struct Flattener<'m, 'a> {
    modules: &'m [Module<'a>],
    plan: Plan,
    /// All lifted functions; those that the outermost component exports go into the plan.
    lifts: Vec<Lift>,
    /// For each component instance, the one it is nested in.
    parents: Vec<Option<ComponentInstanceId>>,
}

/// Flattens the outermost component.
pub(crate) fn flatten(component: &Component<'_>, modules: &[Module<'_>]) -> Result<Plan> {
    let mut flattener = Flattener {
        modules,
        plan: Plan::default(),
        lifts: Vec::new(),
        parents: Vec::new(),
    };
    let outer = Rc::new(Outer::new(None));
    let exports = flattener.instantiate(component, outer, None)?;
    let mut exported = HashMap::new();
    flattener.export_paths("", &exports, component.offset, &mut exported)?;
    Ok(flattener.plan)
}

/// The plan of a core module on its own: one instance, whose imports are the unit's.
pub(crate) fn module_plan() -> Plan {
    Plan {
        instances: vec![PlanInstance {
            module: ModuleId(0),
            imports: Vec::new(),
        }],
        ..Plan::default()
    }
}

impl<'m, 'a: 'm> Flattener<'m, 'a> {
    /// Evaluates a component. Without the instance that it is nested in, and its arguments there,
    /// it is the outermost one: the host is asked for its imports.
    fn instantiate<'d>(
        &mut self,
        def: &'d Component<'a>,
        outer: Rc<Outer<'d, 'a>>,
        nested: Option<(ComponentInstanceId, &HashMap<&str, Def<'d, 'a>>)>,
    ) -> Result<Exports<'d, 'a>> {
        let (parent, args) = nested.unzip();
        let depth = self.ancestors(parent).count() as u64;
        if depth > MAX_DEPTH {
            return Err(Error::limit("depth of nested components", depth, MAX_DEPTH));
        }
        let id = self.plan.component_instances;
        if u64::from(id) >= MAX_COMPONENT_INSTANCES {
            let found = u64::from(id) + 1;
            return Err(Error::limit(
                "component instances",
                found,
                MAX_COMPONENT_INSTANCES,
            ));
        }
        self.plan.component_instances += 1;
        self.parents.push(parent);
        let mut scope = Scope::new(ComponentInstanceId(id), outer);
        for item in &def.items {
            match item {
                Item::Import { name, ty, offset } => {
                    let def = match args {
                        None => self.host_import(name, ty, *offset)?,
                        Some(args) => args.get(name.as_str()).cloned().unwrap_or(Def::Type),
                    };
                    scope.push(def);
                }
                Item::Instance(instance, offset) => {
                    let exports = self.component_instance(&scope, instance, *offset)?;
                    scope.instances.push(Rc::new(exports));
                }
                item => self.item(&mut scope, item, args.is_none())?,
            }
        }
        Ok(scope.exports)
    }

    /// Evaluates an item that does not instantiate a component.
    fn item<'d>(
        &mut self,
        scope: &mut Scope<'d, 'a>,
        item: &'d Item<'a>,
        outermost: bool,
    ) -> Result<()> {
        match item {
            Item::CoreModule(module) => scope.outer.modules.borrow_mut().push(*module),
            Item::Component(def) => {
                let closure = Closure {
                    def,
                    outer: scope.outer.clone(),
                };
                scope.outer.components.borrow_mut().push(closure);
            }
            Item::CoreInstance(instance) => {
                let instance = self.core_instance(scope, instance)?;
                scope.core_instances.push(instance);
            }
            Item::Alias(alias) => self.alias(scope, alias),
            Item::Lift {
                core_func,
                ty,
                options,
                offset,
            } => {
                let func = scope.core_funcs[*core_func as usize];
                let options = self.options(scope, options, *offset)?;
                self.lifts.push(Lift {
                    func,
                    ty: *ty,
                    options,
                    component: scope.component,
                });
                scope.funcs.push(Func::Lifted(self.lifts.len() - 1));
            }
            Item::Lower {
                func,
                options,
                offset,
            } => {
                let options = self.options(scope, options, *offset)?;
                let func = self.lower(scope.funcs[*func as usize], options, scope.component);
                scope.core_funcs.push(func);
            }
            Item::Export {
                name,
                kind,
                index,
                named_type,
                ..
            } => {
                let def = scope.def(*kind, *index);
                if let (true, Some(ty)) = (outermost, named_type) {
                    self.plan.type_names.push((name.clone(), *ty));
                }
                scope.push(def.clone());
                scope.exports.insert(name.clone(), def);
            }
            Item::Import { .. } | Item::Instance(..) => unreachable!("evaluated by the caller"),
        }
        Ok(())
    }

    /// Lowers a function for a component instance.
    fn lower(&mut self, func: Func, options: Options, component: ComponentInstanceId) -> CoreFunc {
        match func {
            Func::Host { import, ty } => {
                self.plan.lowers.push(Lower {
                    import,
                    ty,
                    options,
                    component,
                });
                CoreFunc::Lower(self.plan.lowers.len() as u32 - 1)
            }
            Func::Lifted(lift) => {
                let callee = self.lifts[lift];
                let is_nested = |inner, outer| self.ancestors(Some(inner)).any(|id| id == outer);
                let is_recursive = is_nested(component, callee.component)
                    || is_nested(callee.component, component);
                self.plan.adapters.push(Adapter {
                    callee,
                    options,
                    component,
                    is_recursive,
                });
                CoreFunc::Adapter(self.plan.adapters.len() as u32 - 1)
            }
        }
    }

    /// Resolves canonical options. `offset` is where they stand, for errors.
    fn options(
        &self,
        scope: &Scope<'_, 'a>,
        options: &[CanonicalOption],
        offset: u64,
    ) -> Result<Options> {
        let mut resolved = Options {
            memory: None,
            realloc: None,
            post_return: None,
            string_encoding: encoding::UTF8,
            width: PointerWidth::W32,
        };
        for option in options {
            match *option {
                CanonicalOption::UTF8 => resolved.string_encoding = encoding::UTF8,
                CanonicalOption::UTF16 => resolved.string_encoding = encoding::UTF16,
                CanonicalOption::CompactUTF16 => {
                    resolved.string_encoding = encoding::LATIN1_UTF16;
                }
                CanonicalOption::Memory(index) => {
                    let memory = scope.core_memories[index as usize];
                    resolved.memory = Some(memory);
                    resolved.width = self.width(memory);
                }
                CanonicalOption::Realloc(index) => {
                    resolved.realloc = Some(scope.core_funcs[index as usize]);
                }
                CanonicalOption::PostReturn(index) => {
                    resolved.post_return = Some(scope.core_funcs[index as usize]);
                }
                CanonicalOption::Async | CanonicalOption::Callback(_) => {
                    return Err(Error::unsupported("component-model async", offset));
                }
                CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                    return Err(Error::unsupported("cm-gc", offset));
                }
            }
        }
        Ok(resolved)
    }

    /// How wide the addresses of a memory are.
    fn width(&self, memory: CoreItem) -> PointerWidth {
        let instance = &self.plan.instances[memory.instance.0 as usize];
        let module = &self.modules[instance.module.0 as usize];
        match module.memories[memory.index as usize].memory64 {
            false => PointerWidth::W32,
            true => PointerWidth::W64,
        }
    }

    /// A component instance, the one that it is nested in, and so on.
    fn ancestors(
        &self,
        first: Option<ComponentInstanceId>,
    ) -> impl Iterator<Item = ComponentInstanceId> {
        std::iter::successors(first, |id| self.parents[id.0 as usize])
    }

    /// An import of the outermost component: the host provides it.
    fn host_import<'d>(&mut self, path: &str, ty: &ImportType, offset: u64) -> Result<Def<'d, 'a>> {
        Ok(match ty {
            ImportType::Func(ty) => {
                self.plan.imports.push(PlanImport {
                    path: path.to_owned(),
                    ty: Some(*ty),
                });
                let import = self.plan.imports.len() as u32 - 1;
                Def::Func(Func::Host { import, ty: *ty })
            }
            ImportType::Instance(shape) => {
                self.plan.imports.push(PlanImport {
                    path: path.to_owned(),
                    ty: None,
                });
                Def::Instance(Rc::new(self.host_instance(path, shape, offset)?))
            }
            ImportType::Type(ty) => {
                if let Some(ty) = ty {
                    self.plan.type_names.push((path.to_owned(), *ty));
                }
                Def::Type
            }
            ImportType::Unsupported(feature) => {
                return Err(Error::unsupported(*feature, offset));
            }
        })
    }

    fn host_instance<'d>(
        &mut self,
        path: &str,
        shape: &InstanceShape,
        offset: u64,
    ) -> Result<Exports<'d, 'a>> {
        let mut exports = Exports::default();
        for (name, ty) in &shape.exports {
            let def = self.host_import(&format!("{path}#{name}"), ty, offset)?;
            exports.insert(name.clone(), def);
        }
        Ok(exports)
    }

    fn component_instance<'d>(
        &mut self,
        scope: &Scope<'d, 'a>,
        instance: &ComponentInstance<'a>,
        offset: u64,
    ) -> Result<Exports<'d, 'a>> {
        match instance {
            ComponentInstance::Instantiate {
                component_index,
                args,
            } => {
                let closure = scope.outer.components.borrow()[*component_index as usize].clone();
                let args: HashMap<&str, Def<'d, 'a>> = args
                    .iter()
                    .map(|arg| (arg.name, scope.def(arg.kind, arg.index)))
                    .collect();
                let outer = Rc::new(Outer::new(Some(closure.outer)));
                self.instantiate(closure.def, outer, Some((scope.component, &args)))
            }
            ComponentInstance::FromExports(items) => {
                let mut exports = Exports::default();
                for item in items {
                    if item.kind == ComponentExternalKind::Value {
                        return Err(Error::unsupported("cm-values", offset));
                    }
                    let name = item.name.full_name().into_owned();
                    exports.insert(name, scope.def(item.kind, item.index));
                }
                Ok(exports)
            }
        }
    }

    fn core_instance<'d>(
        &mut self,
        scope: &Scope<'d, 'a>,
        instance: &Instance<'a>,
    ) -> Result<CoreInstance<'a>> {
        match instance {
            Instance::Instantiate { module_index, args } => {
                let found = self.plan.instances.len() as u64 + 1;
                if found > MAX_CORE_INSTANCES {
                    return Err(Error::limit("core instances", found, MAX_CORE_INSTANCES));
                }
                let module = scope.outer.modules.borrow()[*module_index as usize];
                let imports = self.modules[module.0 as usize]
                    .imports
                    .iter()
                    .map(|import| {
                        let Some(arg) = args.iter().find(|arg| arg.name == import.module) else {
                            unreachable!("validation checks that every import has an argument");
                        };
                        self.core_export(&scope.core_instances[arg.index as usize], import.name)
                    })
                    .collect();
                self.plan.instances.push(PlanInstance { module, imports });
                Ok(CoreInstance::Real(InstanceId(found as u32 - 1)))
            }
            Instance::FromExports(exports) => {
                let defs = exports
                    .iter()
                    .map(|export| (export.name, scope.core_def(export.kind, export.index)))
                    .collect();
                Ok(CoreInstance::FromExports(defs))
            }
        }
    }

    /// What a core instance exports by this name, resolved to where it is defined.
    fn core_export(&self, instance: &CoreInstance<'a>, name: &str) -> CoreDef {
        let id = match instance {
            CoreInstance::FromExports(defs) => return defs[name],
            CoreInstance::Real(id) => *id,
        };
        let planned = &self.plan.instances[id.0 as usize];
        let module = &self.modules[planned.module.0 as usize];
        let Some(export) = module.exports.iter().find(|export| export.name == name) else {
            unreachable!("validation checks that the export is there");
        };
        let index = export.index;
        let (imported, def) = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => (
                module.imported_funcs,
                CoreDef::Func(CoreFunc::Export {
                    instance: id,
                    index,
                }),
            ),
            ExternalKind::Table => (
                module.imported_tables,
                CoreDef::Table(CoreItem {
                    instance: id,
                    index,
                }),
            ),
            ExternalKind::Memory => (
                module.imported_memories,
                CoreDef::Memory(CoreItem {
                    instance: id,
                    index,
                }),
            ),
            ExternalKind::Global => (
                module.imported_globals,
                CoreDef::Global(CoreItem {
                    instance: id,
                    index,
                }),
            ),
            ExternalKind::Tag => unreachable!("modules with tags are refused when decoded"),
        };
        if index >= imported {
            return def;
        }
        // A re-export of the index-th import of its kind.
        let of_kind =
            |import: &&CoreDef| std::mem::discriminant(*import) == std::mem::discriminant(&def);
        match planned.imports.iter().filter(of_kind).nth(index as usize) {
            Some(origin) => *origin,
            None => unreachable!("the index counts imports of this kind"),
        }
    }

    fn alias<'d>(&mut self, scope: &mut Scope<'d, 'a>, alias: &ComponentAlias<'a>) {
        match alias {
            ComponentAlias::InstanceExport {
                instance_index,
                name,
                ..
            } => {
                let def = scope.instances[*instance_index as usize].get(name);
                scope.push(def);
            }
            ComponentAlias::CoreInstanceExport {
                instance_index,
                name,
                ..
            } => {
                let instance = &scope.core_instances[*instance_index as usize];
                match self.core_export(instance, name) {
                    CoreDef::Func(func) => scope.core_funcs.push(func),
                    CoreDef::Table(item) => scope.core_tables.push(item),
                    CoreDef::Memory(item) => scope.core_memories.push(item),
                    CoreDef::Global(item) => scope.core_globals.push(item),
                }
            }
            ComponentAlias::Outer { kind, count, index } => {
                let mut outer = &scope.outer;
                for _ in 0..*count {
                    match &outer.parent {
                        Some(parent) => outer = parent,
                        None => unreachable!("validation checks the depth of outer aliases"),
                    }
                }
                let index = *index as usize;
                let def = match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        Def::Module(outer.modules.borrow()[index])
                    }
                    ComponentOuterAliasKind::Component => {
                        Def::Component(outer.components.borrow()[index].clone())
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => Def::Type,
                };
                scope.push(def);
            }
        }
    }

    /// Puts what the outermost component exports into the plan, by path. A function that is
    /// exported twice is lifted once.
    fn export_paths(
        &mut self,
        prefix: &str,
        exports: &Exports<'_, 'a>,
        offset: u64,
        lifts: &mut HashMap<usize, u32>,
    ) -> Result<()> {
        for (name, def) in &exports.defs {
            let path = format!("{prefix}{name}");
            match def {
                Def::Func(Func::Lifted(lift)) => {
                    let index = *lifts.entry(*lift).or_insert_with(|| {
                        self.plan.lifts.push(self.lifts[*lift]);
                        self.plan.lifts.len() as u32 - 1
                    });
                    self.plan.exports.push(PlanExport {
                        path,
                        lift: Some(index),
                    });
                }
                Def::Func(Func::Host { .. }) => {
                    let feature = format!("exporting an imported function (`{path}`)");
                    return Err(Error::unsupported(feature, offset));
                }
                Def::Instance(exports) => {
                    let inner = format!("{path}#");
                    self.plan.exports.push(PlanExport { path, lift: None });
                    self.export_paths(&inner, exports, offset, lifts)?;
                }
                Def::Module(_) => {
                    let feature = format!("exporting a core module (`{path}`)");
                    return Err(Error::unsupported(feature, offset));
                }
                Def::Component(_) => {
                    let feature = format!("exporting a component (`{path}`)");
                    return Err(Error::unsupported(feature, offset));
                }
                Def::Type => {}
            }
        }
        Ok(())
    }
}

impl<'d, 'a> Exports<'d, 'a> {
    fn insert(&mut self, name: String, def: Def<'d, 'a>) {
        self.by_name.insert(name.clone(), self.defs.len());
        self.defs.push((name, def));
    }

    fn get(&self, name: &str) -> Def<'d, 'a> {
        // Types that are not tracked are not listed either.
        self.by_name
            .get(name)
            .map_or(Def::Type, |index| self.defs[*index].1.clone())
    }
}

impl<'d, 'a> Outer<'d, 'a> {
    fn new(parent: Option<Rc<Outer<'d, 'a>>>) -> Outer<'d, 'a> {
        Outer {
            modules: RefCell::default(),
            components: RefCell::default(),
            parent,
        }
    }
}

impl<'d, 'a> Scope<'d, 'a> {
    fn new(component: ComponentInstanceId, outer: Rc<Outer<'d, 'a>>) -> Scope<'d, 'a> {
        Scope {
            component,
            outer,
            core_funcs: Vec::new(),
            core_tables: Vec::new(),
            core_memories: Vec::new(),
            core_globals: Vec::new(),
            core_instances: Vec::new(),
            funcs: Vec::new(),
            instances: Vec::new(),
            exports: Exports::default(),
        }
    }

    /// Adds a value to the index space of its kind.
    fn push(&mut self, def: Def<'d, 'a>) {
        match def {
            Def::Func(func) => self.funcs.push(func),
            Def::Module(module) => self.outer.modules.borrow_mut().push(module),
            Def::Component(closure) => self.outer.components.borrow_mut().push(closure),
            Def::Instance(exports) => self.instances.push(exports),
            Def::Type => {}
        }
    }

    /// The value of this kind and index.
    fn def(&self, kind: ComponentExternalKind, index: u32) -> Def<'d, 'a> {
        let index = index as usize;
        match kind {
            ComponentExternalKind::Func => Def::Func(self.funcs[index]),
            ComponentExternalKind::Module => Def::Module(self.outer.modules.borrow()[index]),
            ComponentExternalKind::Component => {
                Def::Component(self.outer.components.borrow()[index].clone())
            }
            ComponentExternalKind::Instance => Def::Instance(self.instances[index].clone()),
            ComponentExternalKind::Type | ComponentExternalKind::Value => Def::Type,
        }
    }

    fn core_def(&self, kind: ExternalKind, index: u32) -> CoreDef {
        let index = index as usize;
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => CoreDef::Func(self.core_funcs[index]),
            ExternalKind::Table => CoreDef::Table(self.core_tables[index]),
            ExternalKind::Memory => CoreDef::Memory(self.core_memories[index]),
            ExternalKind::Global => CoreDef::Global(self.core_globals[index]),
            ExternalKind::Tag => unreachable!("modules with tags are refused when decoded"),
        }
    }
}
