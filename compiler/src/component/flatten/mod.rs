//! Flattens a component: evaluates its definition, with everything nested in it, to a [`Plan`].
//!
//! Instantiating a nested component evaluates its items in a scope of its own, whose imports are
//! the arguments. Index spaces hold values ([`Def`]) that are resolved as far as possible: an
//! alias of an export is the exported thing itself, so chains of aliases, re-exports and imports
//! end at the core instance (or host import) that defines the item.

mod host;
mod passing;
mod scope;

use std::collections::HashMap;
use std::rc::Rc;

use cwasm_format::abi::PointerWidth;
use cwasm_format::concurrent::Op;
use cwasm_format::encoding::StringEncoding;
use cwasm_format::resources::MAX_RESOURCES;
use cwasm_format::types::{ResourceNumber, TypeDef, ValueType};
use wasmparser::{
    CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ExternalKind, Instance, TypeRef,
};

use super::concurrent::{self, BuiltIn};
use super::resolve::Resolver;
use super::types::{ResourceRef, TypeBuilder};
use super::{Component, Item};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::options::Limits;
use crate::plan::concurrent::{OpKind, PlanOp};
use crate::plan::{
    Adapter, CanonicalOptions, ComponentInstanceId, CoreDef, CoreFunc, CoreItem, InstanceId, Lift,
    Lower, ModuleId, Plan, PlanInstance, PlanResource, ResourceFunc, ResourceOrigin,
};
use passing::Passing;
use scope::{Closure, CoreInstance, Def, Exports, Func, Outer, Scope};

/// The deepest nesting of components in each other.
const MAX_DEPTH: u64 = 100;

/// Bytes that core instances may take beyond [`MAX_SIZE_FACTOR`] times those of one instance of
/// each module.
const FREE_SIZE: u64 = 64 << 20;
/// See [`FREE_SIZE`]. A small input can declare many instances, and each has all imports, globals
/// and elements of its module.
const MAX_SIZE_FACTOR: u64 = 8;

struct Flattener<'m, 'a> {
    limits: Limits,
    /// [`Module::instance_size`] of each module.
    instance_sizes: Vec<u64>,
    /// Their sum over the core instances so far.
    instance_bytes: u64,
    max_instance_bytes: u64,
    modules: &'m [Module<'a>],
    /// For each module, the places of its exports and imports.
    places: Vec<Places<'a>>,
    /// The first of the modules that stand for imported ones.
    first_declared: u32,
    plan: Plan,
    types: Resolver<'m>,
    /// All lifted functions. Those that the outermost component exports go into the plan.
    lifts: Vec<Lift>,
    /// Imported functions that the outermost component exports unchanged.
    passing: Vec<Passing>,
    /// For each component instance, the one it is nested in.
    parents: Vec<Option<ComponentInstanceId>>,
}

/// Where a module's exports and imports are in their lists.
struct Places<'a> {
    /// By name.
    exports: HashMap<&'a str, usize>,
    /// Imports of each kind, in their order.
    imported_funcs: Vec<usize>,
    imported_tables: Vec<usize>,
    imported_memories: Vec<usize>,
    imported_globals: Vec<usize>,
    imported_tags: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(module: &Module<'a>) -> Places<'a> {
        let names = module.exports.iter().map(|export| export.name);
        let mut places = Places {
            exports: names.zip(0..).collect(),
            imported_funcs: Vec::new(),
            imported_tables: Vec::new(),
            imported_memories: Vec::new(),
            imported_globals: Vec::new(),
            imported_tags: Vec::new(),
        };
        for (place, import) in module.imports.iter().enumerate() {
            match import.ty {
                TypeRef::Func(_) | TypeRef::FuncExact(_) => places.imported_funcs.push(place),
                TypeRef::Table(_) => places.imported_tables.push(place),
                TypeRef::Memory(_) => places.imported_memories.push(place),
                TypeRef::Global(_) => places.imported_globals.push(place),
                TypeRef::Tag(_) => places.imported_tags.push(place),
            }
        }
        places
    }
}

/// Flattens the outermost component. `modules` are those of the input, followed by those that stand
/// for imported ones.
pub(crate) fn flatten<'a>(
    component: &Component<'a>,
    modules: &[Module<'a>],
    types: &TypeBuilder,
    limits: Limits,
) -> Result<Plan> {
    let instance_sizes: Vec<u64> = modules.iter().map(Module::instance_size).collect();
    let input: u64 = instance_sizes.iter().sum();
    let mut flattener = Flattener {
        limits,
        instance_sizes,
        instance_bytes: 0,
        max_instance_bytes: input
            .saturating_mul(MAX_SIZE_FACTOR)
            .saturating_add(FREE_SIZE),
        modules,
        places: modules.iter().map(Places::new).collect(),
        first_declared: (modules.len() - types.declared.len()) as u32,
        plan: Plan::default(),
        types: Resolver::new(types),
        lifts: Vec::new(),
        passing: Vec::new(),
        parents: Vec::new(),
    };
    let outer = Rc::new(Outer::new(None));
    let exports = flattener.instantiate(component, outer, None)?;
    let mut exported = HashMap::new();
    flattener.export_paths("", &exports, component.offset, &mut exported)?;
    let mut plan = flattener.plan;
    plan.types = flattener.types.types;
    plan.find_concurrent()?;
    passing::add_instances(&mut plan, &flattener.passing, modules.len(), limits)?;
    Ok(plan)
}

/// The index of the core instance that the plan gets next.
fn check_core_instances(plan: &Plan, limits: Limits) -> Result<u32> {
    let (found, limit) = (
        plan.instances.len() as u64 + 1,
        limits.core_instances.into(),
    );
    if found > limit {
        return Err(Error::limit("core instances", found, limit));
    }
    Ok(found as u32 - 1)
}

impl<'m, 'a: 'm> Flattener<'m, 'a> {
    /// Evaluates a component. `nested` is the instance around it and its arguments there; the
    /// outermost component has none, and imports from the host.
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
        let id = self.new_component_instance()?;
        self.plan.component_names.push(def.name.to_owned());
        self.parents.push(parent);
        let mut scope = Scope::new(id, outer);
        for item in &def.items {
            match item {
                Item::Import {
                    name,
                    ty,
                    resources,
                    offset,
                } => {
                    let def = match args {
                        None => self.host_import(&mut scope.types, "", name, ty, *offset)?,
                        Some(args) => args
                            .get(name.key.as_str())
                            .cloned()
                            .unwrap_or(Def::Type(None)),
                    };
                    scope.bind(&def, resources);
                    scope.push(def);
                }
                Item::Instance {
                    instance,
                    types,
                    resources,
                    offset,
                } => {
                    let exports = self.component_instance(&scope, instance, types, *offset)?;
                    let def = Def::Instance(Rc::new(exports));
                    scope.bind(&def, resources);
                    scope.push(def);
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
                let ty = self.types.func(*ty, &mut scope.types)?;
                self.lifts.push(Lift {
                    func,
                    ty,
                    options,
                    component: scope.component,
                    task: None,
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
                resource,
                resources,
            } => {
                let mut def = scope.def(*kind, *index, *resource);
                if let (Def::Type(_), Some(ty)) = (&def, named_type) {
                    let ty = self.types.value(*ty, &mut scope.types);
                    // Named types of nested components would only be shown by tools, so errors do
                    // not count.
                    def = Def::Type(if outermost { Some(ty?) } else { ty.ok() });
                }
                scope.bind(&def, resources);
                scope.push(def.clone());
                scope.exports.insert(name.clone(), def);
            }
            Item::Resource { resource, dtor } => {
                let component = scope.component;
                let dtor = dtor.map(|func| scope.core_funcs[func as usize]);
                let origin = ResourceOrigin::Guest { component, dtor };
                let number = self.new_resource(String::new(), origin)?;
                scope.types.bind(*resource, number);
            }
            Item::ResourceFunc { op, resource } => {
                let resource = scope.types.resource(*resource)?;
                let is_nested = match self.plan.resources[resource.0 as usize].origin {
                    ResourceOrigin::Guest { component, .. } if component != scope.component => {
                        self.are_nested(scope.component, component)
                    }
                    _ => false,
                };
                self.plan.resource_funcs.push(ResourceFunc {
                    op: *op,
                    resource,
                    component: scope.component,
                    is_nested,
                    loader_op: None,
                });
                let index = self.plan.resource_funcs.len() as u32 - 1;
                scope.core_funcs.push(CoreFunc::Resource(index));
            }
            Item::BuiltIn(found) => self.built_in(scope, found)?,
            Item::Import { .. } | Item::Instance { .. } => {
                unreachable!("evaluated by the caller")
            }
        }
        Ok(())
    }

    /// Lowers a function for a component instance.
    fn lower(
        &mut self,
        func: Func,
        options: CanonicalOptions,
        component: ComponentInstanceId,
    ) -> CoreFunc {
        match func {
            Func::Host { import, ty } => {
                self.plan.lowers.push(Lower {
                    import,
                    ty,
                    options,
                    component,
                    op: None,
                });
                CoreFunc::Lower(self.plan.lowers.len() as u32 - 1)
            }
            Func::Lifted(lift) => {
                let callee = self.lifts[lift];
                let is_nested = self.are_nested(component, callee.component);
                self.plan.adapters.push(Adapter {
                    callee,
                    options,
                    component,
                    is_nested,
                    op: None,
                });
                CoreFunc::Adapter(self.plan.adapters.len() as u32 - 1)
            }
        }
    }

    /// Adds a built-in function.
    fn built_in(&mut self, scope: &mut Scope<'_, 'a>, found: &BuiltIn) -> Result<()> {
        let options = self.options(scope, &found.options, found.offset)?;
        let ty = found
            .ty
            .map(|ty| self.types.value(ty, &mut scope.types))
            .transpose()?;
        let types = &self.types.types.types;
        let concurrent = &mut self.plan.concurrent;
        let mut number =
            |ty: Option<ValueType>| ty.map(|ty| concurrent.number(types, ty)).transpose();
        let kind = match found.func {
            concurrent::Func::ContextGet { is_64, slot } => OpKind::ContextGet { is_64, slot },
            concurrent::Func::ContextSet { is_64, slot } => OpKind::ContextSet { is_64, slot },
            concurrent::Func::Op(Op::TaskReturn) => OpKind::TaskReturn {
                result: number(ty)?,
            },
            concurrent::Func::Op(op) => match ty {
                Some(ValueType::Def(id)) => match types.def(id) {
                    TypeDef::Stream(payload) | TypeDef::Future(payload) => OpKind::Copy {
                        op,
                        payload: number(*payload)?,
                    },
                    _ => unreachable!("the validator has seen the type"),
                },
                _ => OpKind::Other(op),
            },
        };
        concurrent.ops.push(PlanOp {
            kind,
            options,
            component: scope.component,
        });
        let index = concurrent.ops.len() as u32 - 1;
        scope.core_funcs.push(CoreFunc::Op(index));
        Ok(())
    }

    /// Whether one of the instances is the other or is nested in it.
    fn are_nested(&self, a: ComponentInstanceId, b: ComponentInstanceId) -> bool {
        let is_nested = |inner, outer| self.ancestors(Some(inner)).any(|id| id == outer);
        is_nested(a, b) || is_nested(b, a)
    }

    /// Adds a resource type to the unit.
    fn new_resource(&mut self, name: String, origin: ResourceOrigin) -> Result<ResourceNumber> {
        let found = self.plan.resources.len() as u64 + 1;
        if found > MAX_RESOURCES.into() {
            return Err(Error::limit("resource types", found, MAX_RESOURCES.into()));
        }
        self.plan.resources.push(PlanResource { name, origin });
        Ok(ResourceNumber(found as u32 - 1))
    }

    /// Resolves canonical options. `offset` is where they are in the input, for errors.
    fn options(
        &self,
        scope: &Scope<'_, 'a>,
        options: &[CanonicalOption],
        offset: u64,
    ) -> Result<CanonicalOptions> {
        let mut resolved = CanonicalOptions::NONE;
        for option in options {
            match *option {
                CanonicalOption::UTF8 => resolved.string_encoding = StringEncoding::Utf8,
                CanonicalOption::UTF16 => resolved.string_encoding = StringEncoding::Utf16,
                CanonicalOption::CompactUTF16 => {
                    resolved.string_encoding = StringEncoding::Latin1Utf16;
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
                CanonicalOption::Async => resolved.is_async = true,
                CanonicalOption::Callback(index) => {
                    resolved.callback = Some(scope.core_funcs[index as usize]);
                }
                CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                    return Err(Error::unsupported("component-model gc", offset));
                }
            }
        }
        Ok(resolved)
    }

    /// The width of a memory's addresses.
    fn width(&self, memory: CoreItem) -> PointerWidth {
        let instance = &self.plan.instances[memory.instance.0 as usize];
        let module = &self.modules[instance.module.0 as usize];
        match module.memories[memory.index as usize].memory64 {
            false => PointerWidth::W32,
            true => PointerWidth::W64,
        }
    }

    /// A component instance, the one around it, and so on.
    fn ancestors(
        &self,
        first: Option<ComponentInstanceId>,
    ) -> impl Iterator<Item = ComponentInstanceId> {
        std::iter::successors(first, |id| self.parents[id.0 as usize])
    }

    fn component_instance<'d>(
        &mut self,
        scope: &Scope<'d, 'a>,
        instance: &ComponentInstance<'a>,
        types: &[Option<ResourceRef>],
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
                    .zip(types)
                    .map(|(arg, ty)| (arg.name, scope.def(arg.kind, arg.index, *ty)))
                    .collect();
                let outer = Rc::new(Outer::new(Some(closure.outer)));
                self.instantiate(closure.def, outer, Some((scope.component, &args)))
            }
            ComponentInstance::FromExports(items) => {
                let mut exports = Exports::default();
                for (item, ty) in items.iter().zip(types) {
                    if item.kind == ComponentExternalKind::Value {
                        return Err(Error::unsupported("component-model values", offset));
                    }
                    exports.insert(item.name.into(), scope.def(item.kind, item.index, *ty));
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
                let id = InstanceId(check_core_instances(&self.plan, self.limits)?);
                let module = scope.outer.modules.borrow()[*module_index as usize];
                self.count_instance(module)?;
                let args: HashMap<&str, u32> =
                    args.iter().map(|arg| (arg.name, arg.index)).collect();
                let imports = self.modules[module.0 as usize]
                    .imports
                    .iter()
                    .map(|import| {
                        // Validation checks that every import has an argument.
                        let instance = args[import.module] as usize;
                        self.core_export(&scope.core_instances[instance], import.name)
                    })
                    .collect();
                self.plan.instances.push(PlanInstance {
                    module,
                    component: scope.component,
                    imports,
                });
                Ok(CoreInstance::Real(id))
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

    /// Counts the bytes of an instance of the module.
    ///
    /// # Errors
    /// If all instances together take too many.
    fn count_instance(&mut self, module: ModuleId) -> Result<()> {
        self.instance_bytes += self.instance_sizes[module.0 as usize];
        let (found, limit) = (self.instance_bytes, self.max_instance_bytes);
        if found > limit {
            let name = "bytes of data, imports and elements of all core instances";
            return Err(Error::limit(name, found, limit));
        }
        Ok(())
    }

    /// Adds a component instance to the plan.
    ///
    /// # Errors
    /// If there are too many.
    fn new_component_instance(&mut self) -> Result<ComponentInstanceId> {
        let id = self.plan.component_instances;
        let limit = self.limits.component_instances;
        if id >= limit {
            let found = u64::from(id) + 1;
            return Err(Error::limit("component instances", found, limit.into()));
        }
        self.plan.component_instances += 1;
        Ok(ComponentInstanceId(id))
    }

    /// The export of a core instance by this name, resolved to where it is defined.
    fn core_export(&self, instance: &CoreInstance<'a>, name: &str) -> CoreDef {
        let id = match instance {
            CoreInstance::FromExports(defs) => return defs[name],
            CoreInstance::Real(id) => *id,
        };
        let planned = &self.plan.instances[id.0 as usize];
        let module = &self.modules[planned.module.0 as usize];
        // Validation checks that the export is there.
        let places = &self.places[planned.module.0 as usize];
        let export = &module.exports[places.exports[name]];
        let index = export.index;
        let (imported, def) = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => (
                &places.imported_funcs,
                CoreDef::Func(CoreFunc::Export {
                    instance: id,
                    index,
                }),
            ),
            ExternalKind::Table => (
                &places.imported_tables,
                CoreDef::Table(CoreItem {
                    instance: id,
                    index,
                }),
            ),
            ExternalKind::Memory => (
                &places.imported_memories,
                CoreDef::Memory(CoreItem {
                    instance: id,
                    index,
                }),
            ),
            ExternalKind::Global => (
                &places.imported_globals,
                CoreDef::Global(CoreItem {
                    instance: id,
                    index,
                }),
            ),
            ExternalKind::Tag => (
                &places.imported_tags,
                CoreDef::Tag(CoreItem {
                    instance: id,
                    index,
                }),
            ),
        };
        if module.is_declared {
            return def;
        }
        match imported.get(index as usize) {
            // A re-export of an import.
            Some(place) => planned.imports[*place],
            None => def,
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
                    CoreDef::Tag(item) => scope.core_tags.push(item),
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
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {
                        Def::Type(None)
                    }
                };
                scope.push(def);
            }
        }
    }
}
