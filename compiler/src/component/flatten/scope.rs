//! The index spaces of component instances, and the values in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use cwasm_format::types::{ResourceNumber, ValueType};
use wasmparser::{ComponentExternalKind, ExternalKind};

use crate::component::Component;
use crate::component::names::ExternName;
use crate::component::resolve::InstanceTypes;
use crate::component::types::{ResourcePaths, ResourceRef};
use crate::plan::types::FuncTypeId;
use crate::plan::{ComponentInstanceId, CoreDef, CoreFunc, CoreItem, InstanceId, ModuleId};

/// A component-level value.
#[derive(Clone)]
pub(super) enum Def<'d, 'a> {
    Func(Func),
    Module(ModuleId),
    Component(Closure<'d, 'a>),
    Instance(Rc<Exports<'d, 'a>>),
    Resource(ResourceNumber),
    /// Another type: its value type, if it is one and has a name.
    Type(Option<ValueType>),
}

/// A component-level function.
#[derive(Clone, Copy)]
pub(super) enum Func {
    /// Index into the plan's imports.
    Host { import: u32, ty: FuncTypeId },
    /// Index into [`Flattener::lifts`].
    Lifted(usize),
}

/// The exports of a component instance, in order.
#[derive(Default)]
pub(super) struct Exports<'d, 'a> {
    pub(super) defs: Vec<(ExternName, Def<'d, 'a>)>,
    /// Places in `defs`, by [`ExternName::key`].
    pub(super) by_name: HashMap<String, usize>,
}

/// A component definition with the scope that its outer aliases refer to.
#[derive(Clone)]
pub(super) struct Closure<'d, 'a> {
    pub(super) def: &'d Component<'a>,
    pub(super) outer: Rc<Outer<'d, 'a>>,
}

/// The part of a scope that outer aliases can reach. It only grows, so sharing it is equivalent to
/// copying it when the nested component is defined.
pub(super) struct Outer<'d, 'a> {
    pub(super) modules: RefCell<Vec<ModuleId>>,
    pub(super) components: RefCell<Vec<Closure<'d, 'a>>>,
    pub(super) parent: Option<Rc<Outer<'d, 'a>>>,
}

/// The index spaces of a component instance while it is evaluated.
pub(super) struct Scope<'d, 'a> {
    pub(super) component: ComponentInstanceId,
    pub(super) outer: Rc<Outer<'d, 'a>>,
    pub(super) core_funcs: Vec<CoreFunc>,
    pub(super) core_tables: Vec<CoreItem>,
    pub(super) core_memories: Vec<CoreItem>,
    pub(super) core_globals: Vec<CoreItem>,
    pub(super) core_tags: Vec<CoreItem>,
    pub(super) core_instances: Vec<CoreInstance<'a>>,
    pub(super) funcs: Vec<Func>,
    pub(super) instances: Vec<Rc<Exports<'d, 'a>>>,
    pub(super) types: InstanceTypes,
    pub(super) exports: Exports<'d, 'a>,
}

pub(super) enum CoreInstance<'a> {
    Real(InstanceId),
    FromExports(HashMap<&'a str, CoreDef>),
}

impl<'d, 'a> Exports<'d, 'a> {
    pub(super) fn insert(&mut self, name: ExternName, def: Def<'d, 'a>) {
        self.by_name.insert(name.key.clone(), self.defs.len());
        self.defs.push((name, def));
    }

    pub(super) fn get(&self, name: &str) -> Def<'d, 'a> {
        // Types that are not tracked are not in the list.
        self.by_name
            .get(name)
            .map_or(Def::Type(None), |index| self.defs[*index].1.clone())
    }
}

impl<'d, 'a> Outer<'d, 'a> {
    pub(super) fn new(parent: Option<Rc<Outer<'d, 'a>>>) -> Outer<'d, 'a> {
        Outer {
            modules: RefCell::default(),
            components: RefCell::default(),
            parent,
        }
    }
}

impl<'d, 'a> Scope<'d, 'a> {
    pub(super) fn new(component: ComponentInstanceId, outer: Rc<Outer<'d, 'a>>) -> Scope<'d, 'a> {
        Scope {
            component,
            outer,
            core_funcs: Vec::new(),
            core_tables: Vec::new(),
            core_memories: Vec::new(),
            core_globals: Vec::new(),
            core_tags: Vec::new(),
            core_instances: Vec::new(),
            funcs: Vec::new(),
            instances: Vec::new(),
            types: InstanceTypes::default(),
            exports: Exports::default(),
        }
    }

    /// Sets the meaning of `resources`: the resource types at these paths of `def`.
    pub(super) fn bind(&mut self, def: &Def<'d, 'a>, resources: &ResourcePaths) {
        for (path, resource) in resources {
            let mut found = def.clone();
            for name in path {
                found = match found {
                    Def::Instance(exports) => exports.get(name),
                    _ => Def::Type(None),
                };
            }
            // A resource type that is missing is an error where it is used.
            if let Def::Resource(number) = found {
                self.types.bind(*resource, number);
            }
        }
    }

    /// Adds a value to the index space of its kind.
    pub(super) fn push(&mut self, def: Def<'d, 'a>) {
        match def {
            Def::Func(func) => self.funcs.push(func),
            Def::Module(module) => self.outer.modules.borrow_mut().push(module),
            Def::Component(closure) => self.outer.components.borrow_mut().push(closure),
            Def::Instance(exports) => self.instances.push(exports),
            Def::Resource(_) | Def::Type(_) => {}
        }
    }

    /// The value of this kind and index. `resource` is the resource type, if it is one.
    pub(super) fn def(
        &self,
        kind: ComponentExternalKind,
        index: u32,
        resource: Option<ResourceRef>,
    ) -> Def<'d, 'a> {
        let index = index as usize;
        match kind {
            ComponentExternalKind::Func => Def::Func(self.funcs[index]),
            ComponentExternalKind::Module => Def::Module(self.outer.modules.borrow()[index]),
            ComponentExternalKind::Component => {
                Def::Component(self.outer.components.borrow()[index].clone())
            }
            ComponentExternalKind::Instance => Def::Instance(self.instances[index].clone()),
            ComponentExternalKind::Type | ComponentExternalKind::Value => {
                let number = resource.and_then(|resource| self.types.get(resource));
                number.map_or(Def::Type(None), Def::Resource)
            }
        }
    }

    pub(super) fn core_def(&self, kind: ExternalKind, index: u32) -> CoreDef {
        let index = index as usize;
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => CoreDef::Func(self.core_funcs[index]),
            ExternalKind::Table => CoreDef::Table(self.core_tables[index]),
            ExternalKind::Memory => CoreDef::Memory(self.core_memories[index]),
            ExternalKind::Global => CoreDef::Global(self.core_globals[index]),
            ExternalKind::Tag => CoreDef::Tag(self.core_tags[index]),
        }
    }
}
