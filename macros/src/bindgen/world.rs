//! A world: a struct with its exports, and functions that define its imports.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::iter;

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{Path, Result, parse_quote};
use wit_parser::{
    Function, InterfaceId, Resolve, Type, TypeDefKind, TypeId, World, WorldId, WorldItem, WorldKey,
};

use super::functions::{self, Export, Failing, HostTrait, Imports, Place, own};
use super::idents::{camel, camel_text, snake};
use super::modules::{Modules, Scope, Tree};
use super::options::BindgenOptions;
use super::resources::{self, Group};
use super::rules::{Rules, Side};
use super::types::{TypeWriter, docs};

struct Writer<'a> {
    resolve: &'a Resolve,
    tree: &'a Tree<'a>,
    types: TypeWriter<'a>,
    failing: Failing<'a>,
    import_rules: &'a Rules,
    export_rules: &'a Rules,
    krate: &'a Path,
    modules: Modules,
    /// Whether host functions are async.
    has_async_imports: bool,
}

/// The output for a world.
pub(super) fn expand(
    resolve: &Resolve,
    id: WorldId,
    options: &BindgenOptions,
) -> Result<TokenStream> {
    let world = &resolve.worlds[id];
    let tree = Tree::new(resolve, world, &options.with);
    let krate = options
        .krate
        .clone()
        .unwrap_or_else(|| parse_quote!(::cwasm));
    let no_rules = Rules::default();
    let (import_rules, export_rules) = (&options.imports, &options.exports);
    let mut writer = Writer {
        resolve,
        tree: &tree,
        types: TypeWriter {
            resolve,
            tree: &tree,
            krate: &krate,
            derives: &options.derives,
            errors: errors(resolve, world),
            is_async: Cell::new(false),
        },
        failing: Failing {
            trappable: &options.trappable,
            error_types: &options.error_types,
        },
        import_rules: import_rules.as_ref().unwrap_or(&no_rules),
        export_rules: export_rules.as_ref().unwrap_or(&no_rules),
        krate: &krate,
        modules: Modules::default(),
        has_async_imports: false,
    };
    let imports = writer.imports(world)?;
    let exports = writer.exports(world)?;
    writer.import_rules.check_used(Side::Imports)?;
    writer.export_rules.check_used(Side::Exports)?;
    let modules = writer.modules.tokens();
    let rules = [writer.import_rules, writer.export_rules];
    let has_async = writer.types.is_async.get() || rules.iter().any(|rules| rules.has_async());
    let needed = has_async.then(|| quote!(#krate::__async! { needed }));
    Ok(quote!(#needed #imports #exports #modules))
}

/// The types that occur as errors in results of functions.
fn errors(resolve: &Resolve, world: &World) -> HashSet<TypeId> {
    let items = world.imports.values().chain(world.exports.values());
    let funcs = items.flat_map(|item| match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id]
            .functions
            .values()
            .collect::<Vec<_>>(),
        WorldItem::Function(func) => vec![func],
        WorldItem::Type { .. } => vec![],
    });
    let mut found = HashSet::new();
    for func in funcs {
        if let Some(Type::Id(result)) = func.result
            && let TypeDefKind::Result(result) = &resolve.types[result].kind
            && let Some(Type::Id(mut error)) = result.err
        {
            while let TypeDefKind::Type(Type::Id(aliased)) = resolve.types[error].kind {
                error = aliased;
            }
            found.insert(error);
        }
    }
    found
}

const ROOT: Scope = Scope {
    depth: 0,
    interface: None,
    exporting: false,
};

impl Writer<'_> {
    /// Writes the modules of imported interfaces. Returns the items of the root: the trait of
    /// functions that are imported by themselves.
    fn imports(&mut self, world: &World) -> Result<TokenStream> {
        let krate = self.krate;
        let (mut content, mut hosts, mut calls) = (TokenStream::new(), Vec::new(), Vec::new());
        let (mut funcs, mut types) = (Vec::new(), Vec::new());
        // Each interface is written once, whatever labels it has. Remembers whether it has a host.
        let mut written = HashMap::new();
        let (linker, get, host) = (own("linker"), own("get"), own("H_"));
        for (key, item) in &world.imports {
            match item {
                WorldItem::Interface { id, .. } => {
                    if self.tree.replaced(*id).is_some() {
                        continue;
                    }
                    let path = self.tree.path(*id, ROOT);
                    let has_host = match written.get(id) {
                        Some(has_host) => *has_host,
                        None => {
                            let has_host = self.import_interface(key, *id)?;
                            hosts.extend(has_host.then(|| quote!(#path Host)));
                            written.insert(*id, has_host);
                            has_host
                        }
                    };
                    let call = match label(self.resolve, key, item) {
                        None => quote!(#path add_to_linker(#linker, #get)?;),
                        Some(label) => quote! {
                            #path add_to_linker_instance(&mut #linker.instance(#label)?, #get)?;
                        },
                    };
                    calls.extend(has_host.then_some(call));
                }
                WorldItem::Function(func) => funcs.push(func),
                WorldItem::Type { id, .. } => {
                    content.extend(self.world_type(*id)?);
                    types.push(*id);
                }
            }
        }
        let (free, resources) =
            resources::groups(self.resolve, types.into_iter(), funcs.into_iter());
        if !free.funcs.is_empty() || !resources.is_empty() {
            let name = format_ident!("{}Imports", camel_text(&world.name));
            let imports = Imports {
                types: &self.types,
                rules: self.import_rules,
                failing: &self.failing,
                host: &name,
                instance: None,
                scope: ROOT,
            };
            let docs = quote!(#[doc = " What the host provides to the world by itself."]);
            let HostTrait {
                item,
                definitions,
                is_async,
            } = imports.host(&docs, &free, &resources)?;
            self.has_async_imports |= is_async;
            content.extend(item);
            hosts.push(quote!(#name));
            calls.push(quote!({
                let mut #linker = #linker.root();
                #definitions
            }));
        }
        let world_name = camel(&world.name);
        let send = send_data(self.has_async_imports);
        let unused = calls.is_empty().then(|| quote!(let _ = (&#linker, #get);));
        content.extend(quote! {
            impl #world_name {
                /// Defines everything that the world imports. `get` gives the host from a store's
                /// data.
                ///
                /// # Errors
                /// If something of the same name is defined already.
                pub fn add_to_linker<T_: #send 'static, #host: #(#hosts +)* 'static>(
                    #linker: &mut #krate::Linker<T_>,
                    #get: fn(&mut T_) -> &mut #host,
                ) -> #krate::Result<()> {
                    #unused
                    #(#calls)*
                    ::core::result::Result::Ok(())
                }
            }
        });
        Ok(content)
    }

    /// A type that belongs to the world itself.
    fn world_type(&self, id: TypeId) -> Result<TokenStream> {
        let def = &self.resolve.types[id];
        match &def.name {
            // A replacement may be in the same module.
            Some(name) if self.tree.replaced_type(def.owner, name).is_none() => {
                self.types.definition(id, name, ROOT)
            }
            _ => Ok(TokenStream::new()),
        }
    }

    /// The types of an interface.
    fn definitions(&self, id: InterfaceId, scope: Scope) -> Result<TokenStream> {
        let types = self.resolve.interfaces[id].types.iter();
        types
            .map(|(name, ty)| self.types.definition(*ty, name, scope))
            .collect()
    }

    /// Writes the module of an imported interface. Returns whether it has a host.
    fn import_interface(&mut self, key: &WorldKey, id: InterfaceId) -> Result<bool> {
        let krate = self.krate;
        let path = self.tree.segments(id);
        let scope = Scope {
            depth: path.len(),
            interface: Some(id),
            exporting: false,
        };
        let interface = &self.resolve.interfaces[id];
        let mut content = self.definitions(id, scope)?;
        let name = self.instance_name(key, id);
        let (free, resources) = self.groups(id);
        let has_host = !free.funcs.is_empty() || !resources.is_empty();
        if has_host {
            let imports = Imports {
                types: &self.types,
                rules: self.import_rules,
                failing: &self.failing,
                host: &format_ident!("Host"),
                instance: Some(&name),
                scope,
            };
            let docs = docs(&interface.docs);
            let HostTrait {
                item,
                definitions,
                is_async,
            } = imports.host(&docs, &free, &resources)?;
            self.has_async_imports |= is_async;
            let send = send_data(is_async);
            let (linker, get, host) = (own("linker"), own("get"), own("H_"));
            content.extend(quote! {
                #item

                /// Defines the functions and resources of this interface. `get` gives the host from
                /// a store's data.
                ///
                /// # Errors
                /// If something of the same name is defined already.
                pub fn add_to_linker<T_: #send 'static, #host: Host + 'static>(
                    #linker: &mut #krate::Linker<T_>,
                    #get: fn(&mut T_) -> &mut #host,
                ) -> #krate::Result<()> {
                    add_to_linker_instance(&mut #linker.instance(#name)?, #get)
                }

                /// Defines the functions and resources of this interface in an instance of another
                /// name: that of a label that implements the interface. `get` gives the host for
                /// this label from a store's data.
                ///
                /// # Errors
                /// If something of the same name is defined already.
                pub fn add_to_linker_instance<T_: #send 'static, #host: Host + 'static>(
                    #linker: &mut #krate::LinkerInstance<'_, T_>,
                    #get: impl Fn(&mut T_) -> &mut #host
                        + ::core::marker::Copy
                        + ::core::marker::Send
                        + ::core::marker::Sync
                        + 'static,
                ) -> #krate::Result<()> {
                    #definitions
                    ::core::result::Result::Ok(())
                }
            });
        }
        self.modules.add(&path, content);
        Ok(has_host)
    }

    /// The name of an interface: its own, or one that the world gives it.
    fn instance_name(&self, key: &WorldKey, id: InterfaceId) -> String {
        let name = self.resolve.id_of(id);
        name.unwrap_or_else(|| self.resolve.name_world_key(key))
    }

    /// The functions of an interface.
    fn groups(&self, id: InterfaceId) -> (Group<'_>, Vec<Group<'_>>) {
        let interface = &self.resolve.interfaces[id];
        let (types, funcs) = (interface.types.values(), interface.functions.values());
        resources::groups(self.resolve, types.copied(), funcs)
    }

    /// The struct of the world, and the modules of exported interfaces.
    fn exports(&mut self, world: &World) -> Result<TokenStream> {
        let scope = Scope {
            depth: 0,
            interface: None,
            exporting: true,
        };
        let krate = self.krate;
        let (store, instance) = (own("store"), own("instance"));
        let (mut fields, mut values, mut methods) = (Vec::new(), Vec::new(), Vec::new());
        let mut content = TokenStream::new();
        // The resources of a world itself are always imported.
        let (free, _) = resources::groups(self.resolve, iter::empty(), iter::empty());
        let finding = finding(self.resolve, world);
        let mut written = HashMap::new();
        for (key, item) in &world.exports {
            match item {
                WorldItem::Interface { id, .. } => {
                    let has_functions = match written.get(id) {
                        Some(has_functions) => *has_functions,
                        None => {
                            let has_functions = self.export_interface(*id, &finding[id])?;
                            written.insert(*id, has_functions);
                            has_functions
                        }
                    };
                    if !has_functions {
                        continue;
                    }
                    let segments = self.tree.segments(*id);
                    let ty = quote!(exports::#(#segments::)*Guest);
                    let (field, value) = match label(self.resolve, key, item) {
                        None => {
                            let field = interface_field(&segments);
                            (field, quote!(<#ty>::new(&mut #store, #instance)?))
                        }
                        Some(label) => (
                            snake(label),
                            quote!(<#ty>::labelled(&mut #store, #instance, #label)?),
                        ),
                    };
                    fields.push(quote!(#field: #ty));
                    values.push(quote!(#field: #value));
                    let docs = docs(&self.resolve.interfaces[*id].docs);
                    methods.push(quote!(#docs pub fn #field(&self) -> &#ty { &self.#field }));
                }
                WorldItem::Function(func) => {
                    let place = Place::World;
                    let export = self.export(&free, func, place, scope)?;
                    fields.push(export.field);
                    values.push(export.value);
                    methods.push(export.method);
                }
                WorldItem::Type { id, .. } => content.extend(self.world_type(*id)?),
            }
        }
        let (name, docs) = (camel(&world.name), docs(&world.docs));
        Ok(quote! {
            #content

            #docs
            #[derive(Clone, Debug)]
            pub struct #name { #(#fields),* }

            impl #name {
                /// Makes an instance of a component, and finds all exports of the world.
                ///
                /// # Errors
                /// If an import is not defined or has another type; if an export is missing or has
                /// another type; if the guest traps.
                pub fn instantiate<T: 'static>(
                    mut #store: impl #krate::AsContextMut<Data = T>,
                    component: &#krate::Component,
                    linker: &#krate::Linker<T>,
                ) -> #krate::Result<Self> {
                    let #instance = linker.instantiate(&mut #store, component)?;
                    Self::new(#store, &#instance)
                }

                #krate::__async! { optional
                    /// As `instantiate`, of a component whose imports may wait.
                    ///
                    /// # Errors
                    /// As `instantiate`.
                    pub async fn instantiate_async<T: ::core::marker::Send + 'static>(
                        mut #store: impl #krate::AsContextMut<Data = T>,
                        component: &#krate::Component,
                        linker: &#krate::Linker<T>,
                    ) -> #krate::Result<Self> {
                        let #instance = linker.instantiate_async(&mut #store, component).await?;
                        Self::new(#store, &#instance)
                    }
                }

                /// Finds all exports of the world in an instance.
                ///
                /// # Errors
                /// If an export is missing or has another type.
                pub fn new(
                    mut #store: impl #krate::AsContextMut,
                    #instance: &#krate::Instance,
                ) -> #krate::Result<Self> {
                    let _ = (&mut #store, #instance);
                    ::core::result::Result::Ok(Self { #(#values),* })
                }

                #(#methods)*
            }
        })
    }

    /// Writes the module of an exported interface. Returns whether it has functions.
    fn export_interface(&mut self, id: InterfaceId, finding: &Finding) -> Result<bool> {
        let mut path = vec![format_ident!("exports")];
        path.extend(self.tree.segments(id));
        let scope = Scope {
            depth: path.len(),
            interface: Some(id),
            exporting: true,
        };
        let mut content = self.definitions(id, scope)?;
        let (free, resources) = self.groups(id);
        let mut members = self.members(&free, finding, scope)?;
        for group in resources {
            let Some(resource) = group.resource.filter(|_| !group.funcs.is_empty()) else {
                continue;
            };
            let (ty, accessor) = (resource.guest(), resource.accessor());
            let docs = format!("Calls the functions of the resource `{}`.", resource.name);
            let functions = self.members(&group, finding, scope)?;
            content.extend(self.guest(&ty, &quote!(#[doc = #docs]), &functions));
            let (store, instance, label) = (own("store"), own("instance"), own("label"));
            for (place, members) in &mut members {
                let found = match place {
                    Place::Labelled => quote!(labelled(&mut #store, #instance, #label)),
                    _ => quote!(new(&mut #store, #instance)),
                };
                members.push(Export {
                    field: quote!(#accessor: #ty),
                    value: quote!(#accessor: #ty::#found?),
                    method: quote! {
                        #[doc = #docs]
                        pub fn #accessor(&self) -> &#ty { &self.#accessor }
                    },
                });
            }
        }
        let has_functions = members.iter().any(|(_, members)| !members.is_empty());
        if has_functions {
            let docs = docs(&self.resolve.interfaces[id].docs);
            content.extend(self.guest(&format_ident!("Guest"), &docs, &members));
        }
        self.modules.add(&path, content);
        Ok(has_functions)
    }

    fn export(
        &self,
        group: &Group<'_>,
        func: &Function,
        place: Place<'_>,
        scope: Scope,
    ) -> Result<Export> {
        functions::export(&self.types, self.export_rules, group, func, place, scope)
    }

    /// The code that finds and calls the exported functions of a group, for each place where they
    /// may be.
    fn members<'f>(
        &self,
        group: &Group<'_>,
        finding: &'f Finding,
        scope: Scope,
    ) -> Result<Vec<(Place<'f>, Vec<Export>)>> {
        let by_name = finding.name.as_deref().map(Place::Instance);
        let places = by_name
            .into_iter()
            .chain(finding.labelled.then_some(Place::Labelled));
        let members = places.map(|place| {
            let funcs = group.funcs.iter();
            let export = |func: &&Function| self.export(group, func, place, scope);
            Ok((place, funcs.map(export).collect::<Result<_>>()?))
        });
        members.collect()
    }

    /// A struct of exported functions, with a constructor for each place where they may be.
    fn guest(
        &self,
        name: &Ident,
        docs: &TokenStream,
        members: &[(Place<'_>, Vec<Export>)],
    ) -> TokenStream {
        let krate = self.krate;
        let (store, instance, label) = (own("store"), own("instance"), own("label"));
        let constructors = members.iter().map(|(place, members)| {
            let values = members.iter().map(|member| &member.value);
            let (docs, signature) = match place {
                Place::Labelled => (
                    " Finds the functions in what an instance exports as `label`.",
                    quote!(labelled(
                        mut #store: impl #krate::AsContextMut,
                        #instance: &#krate::Instance,
                        #label: &str,
                    )),
                ),
                _ => (
                    " Finds the functions in an instance.",
                    quote!(new(
                        mut #store: impl #krate::AsContextMut,
                        #instance: &#krate::Instance,
                    )),
                ),
            };
            quote! {
                #[doc = #docs]
                ///
                /// # Errors
                /// If a function is missing or has another type.
                pub fn #signature -> #krate::Result<Self> {
                    ::core::result::Result::Ok(Self { #(#values),* })
                }
            }
        });
        let (fields, methods): (Vec<_>, Vec<_>) = members
            .iter()
            .take(1)
            .flat_map(|(_, members)| members)
            .map(|member| (&member.field, &member.method))
            .unzip();
        quote! {
            #docs
            #[derive(Clone, Debug)]
            pub struct #name { #(#fields),* }

            impl #name {
                #(#constructors)*
                #(#methods)*
            }
        }
    }
}

/// The bound of a store's data that futures have.
fn send_data(is_async: bool) -> Option<TokenStream> {
    is_async.then(|| quote!(::core::marker::Send+))
}

/// The names under which a world exports an interface.
#[derive(Default)]
struct Finding {
    /// The interface's own name, or the one that the world gives it.
    name: Option<String>,
    /// Whether it is exported under labels.
    labelled: bool,
}

/// The names under which a world exports its interfaces.
fn finding(resolve: &Resolve, world: &World) -> HashMap<InterfaceId, Finding> {
    let mut found = HashMap::<_, Finding>::new();
    for (key, item) in &world.exports {
        if let WorldItem::Interface { id, .. } = item {
            let finding = found.entry(*id).or_default();
            match label(resolve, key, item) {
                None => finding.name = Some(resolve.name_world_key(key)),
                Some(_) => finding.labelled = true,
            }
        }
    }
    found
}

/// The label of an import or export that implements an interface.
fn label<'k>(resolve: &Resolve, key: &'k WorldKey, item: &WorldItem) -> Option<&'k str> {
    match key {
        WorldKey::Name(name) if resolve.implements_interface(key, item).is_some() => Some(name),
        _ => None,
    }
}

/// The field and method of an exported interface: its path in one word.
fn interface_field(segments: &[Ident]) -> Ident {
    let words: Vec<String> = segments
        .iter()
        .map(|segment| segment.to_string().trim_start_matches("r#").to_owned())
        .collect();
    snake(&words.join("_"))
}
