//! Linking: which host function each import of a component gets.

use std::marker::PhantomData;
#[cfg(feature = "async")]
use std::pin::Pin;
use std::sync::Arc;

use cwasm_format::exports::kind;
use cwasm_format::header::NONE;
use cwasm_format::modules::ModuleType;
use cwasm_format::vmctx::VmHostImport;

use crate::component::Component;
#[cfg(feature = "async")]
use crate::concurrent::Accessor;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::host::{self, HostFunc};
use crate::instance::{Instance, Linked, Origin};
use crate::link_error::{ImportItem, LinkError, Mismatch};
use crate::module::Module;
use crate::signature;
use crate::spread::{CopyOnWrite, Spread};
use crate::trace;
use crate::types::ComponentFunc;
use crate::val::Val;
use crate::values::{ComponentNamedList, Lift, Lower};
use crate::versions::{ByName, Items};
use crate::vm::caller::Caller;
#[cfg(feature = "async")]
use crate::vm::fiber::OnFiber;
use crate::vm::imports::HostImport;
use crate::vm::imports::ImportTable;
#[cfg(feature = "recycle")]
use crate::vm::recycle::home::Homes;
use crate::vm::resources::{HostResource, ResourceType};
use crate::vm::store_context::{AsContextMut, StoreContextMut};

/// Host functions by name, for components to import. `T` is the host's data in the stores that they
/// work on. Cheap to clone; a clone that is changed is copied.
///
/// An import of a version of an interface that is not there, as `example:host/log@1.0.2`, gets the
/// newest compatible one: of the same major number, or minor number if the major one is 0.
///
/// ```
/// use cwasm::{Engine, Linker, StoreContextMut};
///
/// let mut linker = Linker::<Vec<String>>::new(&Engine::default());
/// let log = |mut store: StoreContextMut<'_, Vec<String>>, (message,): (String,)| {
///     store.data_mut().push(message);
///     Ok(())
/// };
/// linker.root().func_wrap("log", log)?;
/// linker.instance("example:host/log@1.0.0")?.func_wrap("log", log)?;
/// # Ok::<(), cwasm::Error>(())
/// ```
pub struct Linker<T: 'static> {
    engine: Engine,
    items: CopyOnWrite<Items<HostItem>>,
    allow_shadowing: bool,
    data: PhantomData<fn(&mut T)>,
}

/// A definition of the host.
#[derive(Clone)]
enum HostItem {
    Func(HostFunc),
    Resource(HostResource),
    Module(Module),
}

impl HostItem {
    /// The kind of definition, and its type, for errors.
    fn item(&self) -> ImportItem {
        match self {
            HostItem::Func(func) => ImportItem::Func(func.signature()),
            HostItem::Resource(_) => ImportItem::Resource,
            HostItem::Module(_) => ImportItem::Module,
        }
    }
}

/// The functions of one imported instance, or of none, in a [`Linker`].
pub struct LinkerInstance<'a, T: 'static> {
    engine: &'a Engine,
    /// The instance's name; empty for functions of none.
    name: Box<str>,
    items: &'a mut ByName<HostItem>,
    allow_shadowing: bool,
    data: PhantomData<fn(&mut T)>,
}

/// A component with all its imports resolved. Cheap to clone, also on many threads at once.
///
/// It keeps what its instances leave when they are dropped, so that the next ones need not be made
/// from the start: see [`Config::max_idle_instances`](crate::Config::max_idle_instances). A host
/// that makes many instances keeps one `InstancePre`.
pub struct InstancePre<T: 'static> {
    pre: Spread<Pre>,
    data: PhantomData<fn(&mut T)>,
}

struct Pre {
    linked: Arc<Linked>,
    #[cfg(feature = "recycle")]
    homes: Homes,
}

impl<T: 'static> Linker<T> {
    /// A linker without functions.
    pub fn new(engine: &Engine) -> Linker<T> {
        Linker {
            engine: engine.clone(),
            items: CopyOnWrite::new(Items::default()),
            allow_shadowing: false,
            data: PhantomData,
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The functions that are imported by themselves.
    pub fn root(&mut self) -> LinkerInstance<'_, T> {
        self.of_instance("")
    }

    /// The functions of the instance that is imported by this name, as
    /// `wasi:cli/environment@0.2.0`.
    ///
    /// # Errors
    /// If `name` cannot be the name of an instance.
    pub fn instance(&mut self, name: &str) -> Result<LinkerInstance<'_, T>> {
        if name.is_empty() || name.contains('#') {
            return Err(Error::msg(format!(
                "`{name}` is not the name of an instance"
            )));
        }
        Ok(self.of_instance(name))
    }

    fn of_instance(&mut self, name: &str) -> LinkerInstance<'_, T> {
        LinkerInstance {
            engine: &self.engine,
            name: name.into(),
            items: self.items.to_mut().of_instance(name),
            allow_shadowing: self.allow_shadowing,
            data: PhantomData,
        }
    }

    /// Sets whether a new definition may replace an old one of the same name; without this it is an
    /// error. Components whose imports were resolved before keep the old one.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Linker<T> {
        self.allow_shadowing = allow;
        self
    }

    /// Defines the imports of a component that the linker does not have yet: functions that fail
    /// when they are called, and resources of the host that nobody can make. Imported core modules
    /// stay unknown.
    ///
    /// # Errors
    /// If the artifact is malformed.
    pub fn define_unknown_imports_as_traps(&mut self, component: &Component) -> Result<()> {
        component.unit().plan()?;
        let artifact = component.artifact();
        let (mut known, mut unknown) = (self.items.finder(), Vec::new());
        for record in artifact.imports() {
            let path = artifact.string(record.name).unwrap_or_default();
            if known.find(path).is_some() {
                continue;
            }
            let item = match record.kind {
                kind::FUNC => {
                    let message = format!("the import `{path}` is called, which is not defined");
                    let fail = move |_: StoreContextMut<'_, T>, _, _: &[Val], _: &mut [Val]| {
                        Err(Error::msg(&message))
                    };
                    HostItem::Func(HostFunc::dynamic(fail))
                }
                kind::RESOURCE => HostItem::Resource(HostResource {
                    ty: ResourceType::host::<()>(),
                    dtor: None,
                }),
                _ => continue,
            };
            unknown.push((path, item));
        }
        for (path, item) in unknown {
            self.items.to_mut().insert_import(path, item);
        }
        Ok(())
    }

    /// Resolves all imports of a component, so that instantiating it needs to look up nothing.
    ///
    /// # Errors
    /// A [`LinkError`] that lists all imports that are missing or of another type; or the artifact
    /// is malformed.
    pub fn instantiate_pre(&self, component: &Component) -> Result<InstancePre<T>> {
        let linked = self.link(component)?;
        Ok(InstancePre {
            pre: Spread::new(Pre {
                #[cfg(feature = "recycle")]
                homes: Homes::new(Arc::clone(&linked) as _, self.engine.kept()),
                linked,
            }),
            data: PhantomData,
        })
    }

    fn link(&self, component: &Component) -> Result<Arc<Linked>> {
        trace::enter!(DEBUG, "link");
        if !component.engine().same(&self.engine) {
            return Err(Error::msg(
                "the component and the linker belong to different engines",
            ));
        }
        let artifact = component.artifact();
        component.unit().plan()?;
        let (mut imports, mut keep) = (Vec::new(), Vec::new());
        #[cfg(feature = "async")]
        let mut is_async = false;
        let mut bind = |slot: u32, import: &HostImport| {
            #[cfg(feature = "async")]
            {
                is_async |= import.is_async;
            }
            if slot != NONE {
                let bound = VmHostImport {
                    code: import.code.as_ptr().expose_provenance() as u64,
                    data: import.data.as_ptr().expose_provenance() as u64,
                };
                imports.push((slot, bound));
                keep.push(Arc::clone(&import.keep));
            }
        };
        let mut error = LinkError::default();
        let mut resources = vec![None; artifact.resources().len()];
        let mut modules = vec![None; artifact.imports().len()];
        let mut items = self.items.finder();
        for (index, record) in artifact.imports().iter().enumerate() {
            let path = artifact.string(record.name).unwrap_or_default();
            match (record.kind, items.find(path)) {
                (kind::FUNC, None) => {
                    error.missing(path.into(), expected(component, record.index));
                }
                (kind::FUNC, Some(HostItem::Func(func))) => {
                    match func.bind(component.unit(), record, &resources) {
                        Ok(import) => bind(record.slot, &import),
                        Err(found) => {
                            let expected = expected(component, record.index);
                            error.mismatch(path.into(), expected, found);
                        }
                    }
                }
                (kind::FUNC, Some(other)) => {
                    let expected = expected(component, record.index);
                    error.mismatch(path.into(), expected, other.item().into());
                }
                (kind::RESOURCE, None) => {
                    error.missing(path.into(), ImportItem::Resource);
                }
                (kind::RESOURCE, Some(HostItem::Resource(resource))) => {
                    if let Some(dtor) = &resource.dtor {
                        bind(record.slot, dtor);
                    }
                    // The plan has checked the index.
                    resources[record.index as usize] = Some(resource.clone());
                }
                (kind::RESOURCE, Some(other)) => {
                    let found = other.item().into();
                    error.mismatch(path.into(), ImportItem::Resource, found);
                }
                (kind::MODULE, None) => {
                    error.missing(path.into(), ImportItem::Module);
                }
                (kind::MODULE, Some(HostItem::Module(module))) => {
                    let ty = artifact.string_bytes(record.core_type);
                    let ty = ty.and_then(ModuleType::decode).unwrap_or_default();
                    for detail in module.mismatches(&ty)? {
                        let found = Mismatch {
                            found: ImportItem::Module,
                            detail: Some(detail),
                        };
                        error.mismatch(path.into(), ImportItem::Module, found);
                    }
                    modules[index] = Some(Arc::clone(module.unit()));
                }
                (kind::MODULE, Some(other)) => {
                    error.mismatch(path.into(), ImportItem::Module, other.item().into());
                }
                _ => {}
            }
        }
        error.into_result()?;
        trace::event!(
            DEBUG,
            imports = artifact.imports().len(),
            "component linked"
        );
        // The plan has checked all slots.
        let imports = ImportTable(imports.into());
        Ok(Arc::new(Linked {
            component: component.clone(),
            imports,
            resources: resources.into(),
            modules: modules.into(),
            #[cfg(feature = "async")]
            is_async,
            _keep: keep.into(),
        }))
    }

    /// Resolves the imports of a component and makes an instance.
    ///
    /// # Errors
    /// As [`Linker::instantiate_pre`] and [`InstancePre::instantiate`].
    pub fn instantiate(
        &self,
        store: impl AsContextMut<Data = T>,
        component: &Component,
    ) -> Result<Instance> {
        let linked = self.link(component)?;
        trace::enter!(DEBUG, "instantiate");
        Instance::instantiate(store, &linked, Origin::Once(&linked), Caller::Host)
    }

    /// As [`instantiate`](Linker::instantiate), of a component whose imports may wait.
    ///
    /// # Errors
    /// As [`Linker::instantiate_pre`] and [`InstancePre::instantiate`].
    #[cfg(feature = "async")]
    pub async fn instantiate_async(
        &self,
        store: impl AsContextMut<Data = T>,
        component: &Component,
    ) -> Result<Instance>
    where
        T: Send,
    {
        let linked = self.link(component)?;
        instantiate_async(store, &linked, Origin::Once(&linked)).await
    }
}

impl<T: 'static> LinkerInstance<'_, T> {
    /// Defines a function. Its parameters and results are tuples; an error that `func` returns is
    /// returned by the call that the guest was in.
    ///
    /// # Errors
    /// If there is a function of this name already.
    pub fn func_wrap<F, P, R>(&mut self, name: &str, func: F) -> Result<()>
    where
        F: Fn(StoreContextMut<'_, T>, P) -> Result<R> + Send + Sync + 'static,
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.define(name, HostItem::Func(HostFunc::typed(func)))
    }

    /// Defines a function that waits: as [`func_wrap`](LinkerInstance::func_wrap), with a future
    /// that is polled where the guest's call is. Components that import it are called by
    /// [`TypedFunc::call_async`](crate::TypedFunc::call_async) and the like; from other calls, the
    /// function fails. While it waits, its guest does, and nothing else runs in the store but what
    /// the future does with it.
    ///
    /// ```
    /// use cwasm::{Engine, Linker};
    ///
    /// # async fn read(_key: String) -> Option<String> { None }
    /// let mut linker = Linker::<u32>::new(&Engine::default());
    /// let mut cache = linker.instance("example:host/cache")?;
    /// cache.func_wrap_async("get", |mut store, (key,): (String,)| {
    ///     Box::new(async move {
    ///         *store.data_mut() += 1;
    ///         Ok((read(key).await,))
    ///     })
    /// })?;
    /// # Ok::<(), cwasm::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is a function of this name already.
    #[cfg(feature = "async")]
    pub fn func_wrap_async<F, P, R>(&mut self, name: &str, func: F) -> Result<()>
    where
        F: for<'a> Fn(StoreContextMut<'a, T>, P) -> Box<dyn Future<Output = Result<R>> + Send + 'a>
            + Send
            + Sync
            + 'static,
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.define(name, HostItem::Func(HostFunc::typed_async(func)))
    }

    /// Defines a function that waits, of whatever type the component imports: as
    /// [`func_new`](LinkerInstance::func_new) and
    /// [`func_wrap_async`](LinkerInstance::func_wrap_async).
    ///
    /// # Errors
    /// If there is a function of this name already.
    #[cfg(feature = "async")]
    pub fn func_new_async<F>(&mut self, name: &str, func: F) -> Result<()>
    where
        F: for<'a> Fn(
                StoreContextMut<'a, T>,
                ComponentFunc,
                &'a [Val],
                &'a mut [Val],
            ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        self.define(name, HostItem::Func(HostFunc::dynamic_async(func)))
    }

    /// Defines a function that is `async` in components' types. Its future runs beside those of
    /// other calls, of this store and of others: it has the store between two awaits only, by the
    /// [`Accessor`].
    ///
    /// ```
    /// use cwasm::{Accessor, Engine, Linker};
    ///
    /// # async fn read(_key: String) -> Option<String> { None }
    /// let mut linker = Linker::<u32>::new(&Engine::default());
    /// let mut cache = linker.instance("example:host/cache")?;
    /// cache.func_wrap_concurrent("get", |accessor, (key,): (String,)| {
    ///     Box::pin(async move {
    ///         accessor.with(|mut store| *store.data_mut() += 1);
    ///         Ok((read(key).await,))
    ///     })
    /// })?;
    /// # Ok::<(), cwasm::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is a function of this name already.
    #[cfg(feature = "async")]
    pub fn func_wrap_concurrent<F, P, R>(&mut self, name: &str, func: F) -> Result<()>
    where
        F: for<'a> Fn(&'a Accessor<T>, P) -> Pin<Box<dyn Future<Output = Result<R>> + Send + 'a>>
            + Send
            + Sync
            + 'static,
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.define(name, HostItem::Func(HostFunc::typed_concurrent(func)))
    }

    /// Defines a function that is `async` in components' types, of whatever type the component
    /// imports: as [`func_new`](LinkerInstance::func_new) and
    /// [`func_wrap_concurrent`](LinkerInstance::func_wrap_concurrent).
    ///
    /// # Errors
    /// If there is a function of this name already.
    #[cfg(feature = "async")]
    pub fn func_new_concurrent<F>(&mut self, name: &str, func: F) -> Result<()>
    where
        F: for<'a> Fn(
                &'a Accessor<T>,
                ComponentFunc,
                &'a [Val],
                &'a mut [Val],
            ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>
            + Send
            + Sync
            + 'static,
    {
        self.define(name, HostItem::Func(HostFunc::dynamic_concurrent(func)))
    }

    /// Sets which of the handles in the type of a defined function are borrowed: for code of
    /// `bindgen!`, whose types stand for both.
    #[doc(hidden)]
    pub fn expect_borrows(&mut self, name: &str, is_borrow: &'static [bool]) {
        if let Some(HostItem::Func(func)) = self.items.get_mut(name) {
            func.expect_borrows(is_borrow);
        }
    }

    /// Defines a function of whatever type the component imports. `func` is given that type, the
    /// arguments, and a place for each result.
    ///
    /// ```
    /// use cwasm::{Engine, Linker, Val};
    ///
    /// let mut linker = Linker::<()>::new(&Engine::default());
    /// linker.root().func_new("zero", |_, ty, _args, results| {
    ///     for (place, ty) in results.iter_mut().zip(ty.results()) {
    ///         *place = match ty {
    ///             cwasm::types::Type::U32 => Val::U32(0),
    ///             cwasm::types::Type::String => Val::String(String::new()),
    ///             other => return Err(format!("there is no zero of {other}").into()),
    ///         };
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), cwasm::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is a function of this name already.
    pub fn func_new<F>(&mut self, name: &str, func: F) -> Result<()>
    where
        F: Fn(StoreContextMut<'_, T>, ComponentFunc, &[Val], &mut [Val]) -> Result<()>
            + Send
            + Sync
            + 'static,
    {
        self.define(name, HostItem::Func(HostFunc::dynamic(func)))
    }

    /// Defines a resource type of the host. `dtor` is called when a guest drops a resource that it
    /// owns, with the resource's representation; an error that it returns is returned by the call
    /// that the guest was in.
    ///
    /// Typed functions get and give such resources as [`Resource<T>`](crate::Resource), where `ty`
    /// is [`ResourceType::host::<T>()`](ResourceType::host).
    ///
    /// ```
    /// use cwasm::{Engine, Linker, Resource, ResourceType};
    ///
    /// struct File;
    /// let mut linker = Linker::<()>::new(&Engine::default());
    /// let mut files = linker.instance("example:host/files")?;
    /// files.resource("file", ResourceType::host::<File>(), |_, _rep| Ok(()))?;
    /// files.func_wrap("open", |_, (): ()| Ok((Resource::<File>::new_own(1),)))?;
    /// files.func_wrap("[method]file.size", |_, (file,): (Resource<File>,)| Ok((file.rep(),)))?;
    /// # Ok::<(), cwasm::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is something of this name already, or `ty` is a guest's.
    pub fn resource<F>(&mut self, name: &str, ty: ResourceType, dtor: F) -> Result<()>
    where
        F: Fn(StoreContextMut<'_, T>, u32) -> Result<()> + Send + Sync + 'static,
    {
        self.define_resource(name, ty, host::destructor(dtor))
    }

    /// Defines a resource type of the host whose destructor waits: as
    /// [`resource`](LinkerInstance::resource) and
    /// [`func_wrap_async`](LinkerInstance::func_wrap_async).
    ///
    /// # Errors
    /// As [`resource`](LinkerInstance::resource).
    #[cfg(feature = "async")]
    pub fn resource_async<F>(&mut self, name: &str, ty: ResourceType, dtor: F) -> Result<()>
    where
        F: for<'a> Fn(
                StoreContextMut<'a, T>,
                u32,
            ) -> Box<dyn Future<Output = Result<()>> + Send + 'a>
            + Send
            + Sync
            + 'static,
    {
        self.define_resource(name, ty, host::destructor_async(dtor))
    }

    fn define_resource(&mut self, name: &str, ty: ResourceType, dtor: HostImport) -> Result<()> {
        if !ty.is_host() {
            return Err(Error::msg(format_args!(
                "`{name}` is a resource of a guest, expected one of the host"
            )));
        }
        let dtor = Some(dtor);
        self.define(name, HostItem::Resource(HostResource { ty, dtor }))
    }

    /// Defines a core module. The components that import it instantiate it with the imports that
    /// they choose: these must include all that it needs, and it must export all that the
    /// components use.
    ///
    /// # Errors
    /// If there is something of this name already, or the module is of another engine.
    pub fn module(&mut self, name: &str, module: &Module) -> Result<()> {
        if !module.engine().same(self.engine) {
            return Err(Error::msg(
                "the module and the linker belong to different engines",
            ));
        }
        self.define(name, HostItem::Module(module.clone()))
    }

    fn define(&mut self, name: &str, item: HostItem) -> Result<()> {
        if !self.allow_shadowing && self.items.contains_key(name) {
            let separator = if self.name.is_empty() { "" } else { "#" };
            return Err(Error::msg(format!(
                "`{}{separator}{name}` is defined already",
                self.name
            )));
        }
        self.items.insert(name.into(), item);
        Ok(())
    }
}

impl<T: 'static> InstancePre<T> {
    /// Makes an instance. If that fails, and the component imports functions, the partly made
    /// instance stays in the store and counts toward its limits: the host may have kept views and
    /// resources.
    ///
    /// # Errors
    /// A [`Trap`](crate::Trap) if the component traps while it is instantiated; or there is not
    /// enough memory or address space.
    pub fn instantiate(&self, store: impl AsContextMut<Data = T>) -> Result<Instance> {
        trace::enter!(DEBUG, "instantiate");
        Instance::instantiate(store, &self.pre.linked, self.origin(), Caller::Host)
    }

    /// As [`instantiate`](InstancePre::instantiate), of a component whose imports may wait: they
    /// can be called while it is instantiated.
    ///
    /// # Errors
    /// As [`instantiate`](InstancePre::instantiate).
    #[cfg(feature = "async")]
    pub async fn instantiate_async(&self, store: impl AsContextMut<Data = T>) -> Result<Instance>
    where
        T: Send,
    {
        instantiate_async(store, &self.pre.linked, self.origin()).await
    }

    fn origin(&self) -> Origin<'_> {
        #[cfg(feature = "recycle")]
        let origin = Origin::Homes(&self.pre.homes);
        #[cfg(not(feature = "recycle"))]
        let origin = Origin::Once(&self.pre.linked);
        origin
    }

    /// The component.
    pub fn component(&self) -> &Component {
        &self.pre.linked.component
    }
}

/// Makes an instance, on a fiber if something may wait meanwhile.
#[cfg(feature = "async")]
async fn instantiate_async<T: Send + 'static>(
    mut store: impl AsContextMut<Data = T>,
    linked: &Linked,
    origin: Origin<'_>,
) -> Result<Instance> {
    let mut store = store.as_context_mut();
    let has_slice = store.opaque().fibers.slice.is_some();
    if !linked.is_async && !has_slice && !store.has_async_hook() {
        trace::enter!(DEBUG, "instantiate");
        return Instance::instantiate(store, linked, origin, Caller::Host);
    }
    let instantiate = move |store: StoreContextMut<'_, T>| {
        Instance::instantiate(store, linked, origin, Caller::Fiber)
    };
    trace::in_span!(OnFiber::new(store, instantiate), DEBUG, "instantiate").await
}

/// The function that a component imports, for errors.
#[cold]
fn expected(component: &Component, func_type: u32) -> ImportItem {
    let description = component.unit().description().ok();
    let ty = description.and_then(|description| signature::of_component(description, func_type));
    ImportItem::Func(ty)
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker {
            engine: self.engine.clone(),
            items: self.items.clone(),
            allow_shadowing: self.allow_shadowing,
            data: PhantomData,
        }
    }
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        InstancePre {
            pre: self.pre.clone(),
            data: PhantomData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_defined_once() {
        let mut linker = Linker::<()>::new(&Engine::default());
        let func = |_: StoreContextMut<'_, ()>, _, _: &[Val], _: &mut [Val]| Ok(());
        linker.root().func_new("f", func).unwrap();
        linker.instance("i").unwrap().func_new("f", func).unwrap();
        assert!(linker.root().func_new("f", func).is_err());
        assert!(linker.instance("").is_err() && linker.instance("a#b").is_err());
    }
}
