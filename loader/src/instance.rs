//! Instances of components as hosts use them.
#![allow(unsafe_code, reason = "resolves offsets in instances")]

use std::any::Any;
use std::sync::Arc;

use cwasm_format::exports::{IMPORTED, LiftRecord, kind};
use cwasm_format::types::ResourceNumber;
use cwasm_format::vmctx::VmHostImport;

use crate::component::Component;
use crate::error::{Error, Result};
use crate::export_index::{ComponentExportIndex, ExportLookup, Lookup};
use crate::func::{Func, TypedFunc};
use crate::module::{self, Module};
use crate::values::{ComponentNamedList, Lift, Lower};
use crate::vm::caller::{Caller, apart};
use crate::vm::canon::{CallTarget, CanonOptions};
use crate::vm::enter::Entered;
use crate::vm::imports::ImportTable;
use crate::vm::initialize::initialize;
use crate::vm::instance::{InstanceData, InstanceKind, Modules};
#[cfg(feature = "recycle")]
use crate::vm::recycle::home::Homes;
use crate::vm::resources::{HostResources, ResourceType};
use crate::vm::store::{Owner, StoreOpaque};
use crate::vm::store_context::AsContextMut;
use crate::vm::store_id::StoreId;
use crate::vm::type_ids::TypeIds;

/// An instance of a component, in a store.
///
/// A small handle: the instance lives as long as the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    store: StoreId,
    index: u32,
}

/// A component whose imports are resolved.
pub(crate) struct Linked {
    pub(crate) component: Component,
    pub(crate) imports: ImportTable,
    pub(crate) resources: HostResources,
    pub(crate) modules: Modules,
    /// Whether an import waits for futures of the host.
    #[cfg(feature = "async")]
    pub(crate) is_async: bool,
    /// Owners of what `imports` points to.
    pub(crate) _keep: Box<[Arc<dyn Any + Send + Sync>]>,
}

/// Whether there will be more instances of a linked component.
pub(crate) enum Origin<'a> {
    /// There may be: these keep what is dropped.
    #[cfg(feature = "recycle")]
    Homes(&'a Homes),
    /// It is the only one, or nothing is kept.
    Once(&'a Arc<Linked>),
}

impl Instance {
    /// Makes an instance of a component whose imports are resolved, in a store of its own engine,
    /// of one that its homes have kept, if there is one.
    ///
    /// # Errors
    /// If there is not enough memory, or the guest traps.
    pub(crate) fn instantiate(
        mut store: impl AsContextMut,
        linked: &Linked,
        origin: Origin<'_>,
        caller: Caller,
    ) -> Result<Instance> {
        let mut context = store.as_context_mut();
        let (instance, data) = Instance::prepare(context.opaque(), linked, origin)?;
        let plan = linked.component.unit().plan()?;
        // SAFETY: an instance of this store, which is ours; references into it are made anew.
        let entered = unsafe { Entered::new(data.context()) };
        let modules = &linked.modules;
        // SAFETY: an instance of this store by this plan, whose imports and references are in
        // place; the linker has checked the modules.
        let imported =
            unsafe { module::instantiate_imported(&mut context, &data, plan, modules, caller) };
        let initialized = imported.and_then(|()| {
            // SAFETY: as above, with all that comes from imported modules.
            unsafe { initialize(&mut context, &data, plan, caller) }
        });
        let Err(error) = initialized else {
            entered.leave();
            return Ok(instance);
        };
        // While it is one of the store.
        drop(entered);
        apart(|| {
            drop(data);
            // Host functions that it called may have kept handles and views of it, and tasks may
            // wait: then it stays, and counts, as long as the store.
            let artifact = linked.component.artifact();
            if artifact.lowers().is_empty() && artifact.concurrent().is_empty() {
                context.opaque().pop_instance(instance.index);
            }
        });
        Err(error)
    }

    /// Makes an instance in the store, none of whose code has run. In a frame of its own, for the
    /// case that the rest is on a fiber.
    ///
    /// # Errors
    /// If there is not enough memory, or the store is of another engine.
    #[inline(never)]
    fn prepare(
        store: &mut StoreOpaque,
        linked: &Linked,
        origin: Origin<'_>,
    ) -> Result<(Instance, Arc<InstanceData>)> {
        let Linked {
            component,
            imports,
            resources,
            modules,
            ..
        } = linked;
        if !store.engine().same(component.engine()) {
            return Err(Error::msg(
                "the component and the store belong to different engines",
            ));
        }
        let plan = component.unit().plan()?;
        let usage = store.usage_with(plan)?;
        let index = store.next_instance();
        let new = |store: &mut StoreOpaque| {
            let kind = InstanceKind::Component {
                index,
                resource_types: resource_types(store.id(), index, resources),
                host_resources: Arc::clone(resources),
                modules: Arc::clone(modules),
                #[cfg(feature = "async")]
                is_async: linked.is_async,
            };
            let type_ids = TypeIds::of(component.unit(), store.engine().types());
            store.new_instance(component.unit(), plan, kind, type_ids)
        };
        let (owner, data) = match origin {
            #[cfg(feature = "recycle")]
            Origin::Homes(homes) => {
                let home = homes.current();
                let data = match homes.take(home, plan, store.limits()) {
                    Some(kept) => store.reuse_instance(kept, plan)?,
                    None => new(store)?,
                };
                (Owner::Home(Arc::clone(home)), data)
            }
            Origin::Once(linked) => (Owner::Imports(Arc::clone(linked) as _), new(store)?),
        };
        for (offset, import) in &imports.0 {
            // SAFETY: the plan has checked the slots of all imports.
            let slot = unsafe { data.slot::<VmHostImport>(*offset) };
            // SAFETY: as above; aligned, and no code runs yet.
            unsafe { slot.write(*import) };
        }
        module::fill_references(&data);
        let instance = Instance {
            store: store.id(),
            index,
        };
        store.push_instance(Arc::clone(&data), owner, usage);
        Ok((instance, data))
    }

    /// The exported function of this name, or `instance#function`; `None` if there is none, or the
    /// instance is of another store.
    pub fn get_func(&self, mut store: impl AsContextMut, name: impl ExportLookup) -> Option<Func> {
        let mut context = store.as_context_mut();
        let (data, lift) = self.lift(context.opaque(), name.lookup()).ok().flatten()?;
        Some(Func::new(self.target(data, lift)))
    }

    /// The exported function of this name, or `instance#function`, for calls with parameters `P`
    /// and results `R`.
    ///
    /// # Errors
    /// If there is none, its type is another one, or the instance is of another store.
    #[inline]
    pub fn get_typed_func<P, R>(
        &self,
        mut store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let mut context = store.as_context_mut();
        let name = name.lookup();
        let Some((data, lift)) = self.lift(context.opaque(), name)? else {
            return Err(self.no_function(context.opaque(), name));
        };
        if let Some(func) = TypedFunc::of_plain(lift.hash, || self.target(data, lift)) {
            return Ok(func);
        }
        let func = Func::new(self.target(data, lift)).typed(&context);
        func.map_err(|error| self.unusable(context.opaque(), name, error))
    }

    /// Checks which of the handles in the type of an exported function are borrowed: for code of
    /// `bindgen!`, whose types stand for both.
    ///
    /// # Errors
    /// As [`Instance::get_typed_func`]; or others are.
    #[doc(hidden)]
    pub fn check_borrows(
        &self,
        mut store: impl AsContextMut,
        name: &str,
        is_borrow: &[bool],
    ) -> Result<()> {
        let mut context = store.as_context_mut();
        let func = self.get_func(&mut context, name);
        let (store, name) = (&*context.opaque(), Lookup::Name(name));
        let func = func.ok_or_else(|| self.no_function(store, name))?;
        func.check_borrows(store, is_borrow)
            .map_err(|error| self.unusable(store, name, error))
    }

    /// The exported resource type of this name, or `instance#resource`; `None` if there is none, or
    /// the instance is of another store.
    pub fn get_resource(
        &self,
        mut store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Option<ResourceType> {
        let mut context = store.as_context_mut();
        let data = self.data(context.opaque()).ok()?;
        let export = name.lookup().export(data.unit())?;
        match export.kind {
            kind::RESOURCE => data.resource_type(ResourceNumber(export.index)),
            _ => None,
        }
    }

    /// The exported core module of this name, or `instance#module`; `None` if there is none, or the
    /// instance is of another store. It can be one that the component imports.
    ///
    /// # Errors
    /// If the artifact is malformed.
    pub fn get_module(
        &self,
        mut store: impl AsContextMut,
        name: impl ExportLookup,
    ) -> Result<Option<Module>> {
        let mut context = store.as_context_mut();
        let store = context.opaque();
        let Ok(data) = self.data(store) else {
            return Ok(None);
        };
        match (name.lookup().export(data.unit()), data.kind()) {
            (Some(export), InstanceKind::Component { modules, .. })
                if export.kind == kind::MODULE =>
            {
                match export.index & IMPORTED {
                    0 => Module::exported(store.engine(), data.unit(), export).map(Some),
                    _ => {
                        let unit = modules[(export.index & !IMPORTED) as usize].as_ref();
                        Ok(unit.map(|unit| Module::new(store.engine(), unit)))
                    }
                }
            }
            _ => Ok(None),
        }
    }

    /// An export of this name, or of this name in an exported instance, for the other methods and
    /// other instances of the component. `None` if there is none, or the instance is of another
    /// store.
    pub fn get_export_index(
        &self,
        mut store: impl AsContextMut,
        instance: Option<&ComponentExportIndex>,
        name: &str,
    ) -> Option<ComponentExportIndex> {
        let mut context = store.as_context_mut();
        let data = self.data(context.opaque()).ok()?;
        ComponentExportIndex::find(data.unit(), instance, name)
    }

    /// The exported function, as the artifact has it.
    ///
    /// # Errors
    /// If the instance belongs to another store.
    fn lift<'s>(
        &self,
        store: &'s StoreOpaque,
        name: Lookup<'_>,
    ) -> Result<Option<(&'s InstanceData, &'s LiftRecord)>> {
        let data = self.data(store)?;
        Ok(name.lift(data.unit()).map(|lift| (data, lift)))
    }

    #[cold]
    fn no_function(&self, store: &StoreOpaque, name: Lookup<'_>) -> Error {
        let name = name.name(store.instance(self.index).unit());
        Error::msg(format!("the component exports no function `{name}`"))
    }

    #[cold]
    fn unusable(&self, store: &StoreOpaque, name: Lookup<'_>, error: Error) -> Error {
        let name = name.name(store.instance(self.index).unit());
        error.context(format!("cannot use the export `{name}`"))
    }

    /// How a function of this instance is called. The plan has checked its record.
    #[inline(always)]
    fn target(&self, data: &InstanceData, lift: &LiftRecord) -> CallTarget {
        // SAFETY: checked by the plan.
        let code = unsafe { data.text().at(lift.thunk) };
        let post_return = (lift.post_return != cwasm_format::header::NONE).then(|| {
            // SAFETY: checked by the plan.
            unsafe { data.text().at(lift.post_return) }
        });
        // SAFETY: checked by the plan, and the context is that of a live instance.
        let options =
            unsafe { CanonOptions::new(data.context(), || data.text(), &lift.options, lift.flags) };
        CallTarget {
            store: match lift.task {
                0 => self.store,
                _ => StoreId::NONE,
            },
            owner: self.store,
            task: lift.task,
            instance: self.index,
            code,
            post_return,
            options,
            hash: lift.hash,
            func_type: lift.func_type,
        }
    }

    #[inline]
    fn data<'a>(&self, store: &'a StoreOpaque) -> Result<&'a InstanceData> {
        if self.store != store.id() {
            return Err(Error::msg("the instance belongs to another store"));
        }
        Ok(store.instance(self.index))
    }
}

/// The types of the resources of an instance.
fn resource_types(
    store: StoreId,
    instance: u32,
    host_resources: &HostResources,
) -> Box<[ResourceType]> {
    let numbers = (0..).map(ResourceNumber);
    let types = numbers.zip(host_resources.iter());
    types
        .map(|(number, host)| match host {
            Some(host) => host.ty,
            None => ResourceType::guest(store, instance, number),
        })
        .collect()
}
