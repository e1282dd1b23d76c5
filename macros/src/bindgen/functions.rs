//! Functions: methods that call exports, and traits and code that define imports.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Error, LitStr, Path, Result};
use wit_parser::{Function, FunctionKind, InterfaceId, Type, TypeDefKind, TypeId, TypeOwner};

use super::idents::{prefixed, snake};
use super::modules::Scope;
use super::options::Trappable;
use super::resources::{Group, Resource};
use super::rules::{Flags, Rules};
use super::types::{Mode, TypeWriter, docs, unsupported};

/// The most parameters, because traits are implemented for tuples of up to this many.
const MAX_PARAMS: usize = 16;

/// A name in generated code that cannot equal a name of a world.
pub(super) fn own(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The ways in which host functions can fail.
pub(super) struct Failing<'a> {
    pub(super) trappable: &'a Trappable,
    pub(super) error_types: &'a [(LitStr, Path)],
}

/// The bound of what futures have, which any thread may poll.
fn send() -> TokenStream {
    quote!(::core::marker::Send)
}

/// What a host function returns that waits.
fn future(output: &TokenStream) -> TokenStream {
    let send = send();
    quote!(impl ::core::future::Future<Output = #output> + #send)
}

/// A parameter list and a result.
struct Signature {
    names: Vec<Ident>,
    types: Vec<TokenStream>,
    result: Option<TokenStream>,
}

impl Signature {
    fn new(types: &TypeWriter<'_>, func: &Function, mode: Mode, scope: Scope) -> Result<Signature> {
        if func.params.len() > MAX_PARAMS {
            let message = format!(
                "`{}` has {} parameters; at most {MAX_PARAMS} are supported",
                func.name,
                func.params.len()
            );
            return Err(Error::new(Span::call_site(), message));
        }
        let params = func.params.iter();
        let result = func
            .result
            .as_ref()
            .map(|ty| types.ty(ty, Mode::Owned, scope));
        Ok(Signature {
            names: params.clone().map(|param| snake(&param.name)).collect(),
            types: params
                .map(|param| types.ty(&param.ty, mode, scope))
                .collect::<Result<_>>()?,
            result: result.transpose()?,
        })
    }

    /// The type of results in calls.
    fn results(&self) -> TokenStream {
        match &self.result {
            Some(result) => quote!((#result,)),
            None => quote!(()),
        }
    }

    fn returned(&self) -> TokenStream {
        self.result.clone().unwrap_or_else(|| quote!(()))
    }
}

/// The size of a signature is decided by the world.
fn allow() -> TokenStream {
    quote!(#[allow(
        clippy::too_many_arguments,
        clippy::type_complexity,
        reason = "the signature is that of the WIT"
    )])
}

/// How the host calls a function, or is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Sync,
    /// It has the store for itself while it waits.
    Async,
    /// It runs beside others: WIT declares it as `async func`.
    Concurrent,
    /// WIT declares it so, but the host's function does not wait.
    AtOnce,
    /// The host's function does not wait, and gets a way to the store.
    Store,
}

impl Form {
    /// The form of an export.
    fn of_export(func: &Function, flags: Flags) -> Result<Form> {
        Ok(match is_async_func(func)? {
            _ if flags.is_async => Form::Async,
            true if !flags.is_sync => Form::Concurrent,
            _ => Form::Sync,
        })
    }

    /// The form of an import.
    fn of_import(func: &Function, flags: Flags) -> Result<Form> {
        Ok(match is_async_func(func)? {
            true if flags.is_sync => Form::AtOnce,
            // The store cannot be a caller's own while others of its calls go on.
            true => Form::Concurrent,
            _ if flags.is_async => Form::Async,
            _ if flags.has_store => Form::Store,
            _ => Form::Sync,
        })
    }

    /// Whether the host's function gets an `Access`, in place of `self`.
    fn has_access(self) -> bool {
        matches!(self, Form::Concurrent | Form::Store)
    }
}

/// Whether WIT declares a function as `async func`.
fn is_async_func(func: &Function) -> Result<bool> {
    match func.kind {
        FunctionKind::Freestanding
        | FunctionKind::Constructor(_)
        | FunctionKind::Method(_)
        | FunctionKind::Static(_) => Ok(false),
        FunctionKind::AsyncFreestanding
        | FunctionKind::AsyncMethod(_)
        | FunctionKind::AsyncStatic(_) => Ok(true),
        _ => Err(unsupported(&format!(
            "`{}`, which is a property",
            func.name
        ))),
    }
}

/// An exported function: a field, its initial value, and the method that calls it.
pub(super) struct Export {
    pub(super) field: TokenStream,
    pub(super) value: TokenStream,
    pub(super) method: TokenStream,
}

/// The place of an exported function.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// The world exports it by itself.
    World,
    /// It is in the instance of this name.
    Instance(&'a str),
    /// It is in the instance whose name is the value of the variable `label` at run time.
    Labelled,
}

/// The code that finds and calls an exported function.
pub(super) fn export(
    types: &TypeWriter<'_>,
    rules: &Rules,
    group: &Group<'_>,
    func: &Function,
    place: Place<'_>,
    scope: Scope,
) -> Result<Export> {
    let flags = rules.flags(types.tree, scope.interface, &func.name);
    let form = Form::of_export(func, flags)?;
    types.uses_async(form == Form::Concurrent);
    let (krate, borrows) = (types.krate, types.borrows(func));
    let owned = Signature::new(types, func, Mode::Owned, scope)?;
    let mode = match form {
        // Others go on meanwhile: what is given must be there until the guest takes it.
        Form::Concurrent => Mode::Owned,
        Form::Sync | Form::Async | Form::AtOnce | Form::Store => Mode::Borrowed,
    };
    let borrowed = Signature::new(types, func, mode, scope)?;
    let (field, method) = (group.guest_field(func), group.guest_method(func));
    let path = match place {
        Place::World => func.name.to_token_stream(),
        Place::Instance(instance) => format!("{instance}#{}", func.name).to_token_stream(),
        Place::Labelled => {
            let (format, label) = (format!("{{}}#{}", func.name), own("label"));
            quote!(&::std::format!(#format, #label))
        }
    };
    let (owned_types, results) = (&owned.types, owned.results());
    let (names, types, returned) = (&borrowed.names, &borrowed.types, owned.returned());
    let (store, instance, typed) = (own("store"), own("instance"), own("typed"));
    // If nothing is borrowed, the function is found with the type that calls have. Otherwise the
    // type of calls has lifetimes, which a field cannot have.
    let is_same = owned_types
        .iter()
        .map(TokenStream::to_string)
        .eq(types.iter().map(TokenStream::to_string));
    let found = quote! {
        #instance.get_typed_func::<(#(#owned_types,)*), #results>(&mut #store, #path)?
    };
    // A Rust type stands for owned and for borrowed handles.
    let found = match borrows {
        Some(borrows) => quote!({
            let #typed = #found;
            #instance.check_borrows(&mut #store, #path, #borrows)?;
            #typed
        }),
        None => found,
    };
    let (ty, untyped, call) = match is_same {
        true => (
            quote!(TypedFunc<(#(#types,)*), #results>),
            quote!(),
            quote!(&self.#field),
        ),
        false => (
            quote!(Func),
            quote!(.func()),
            quote!(self.#field.typed_again::<(#(#types,)*), #results>(&#store)?),
        ),
    };
    let unpack = match owned.result {
        Some(_) => quote!(.map(|(result,)| result)),
        None => quote!(),
    };
    let (docs, allow) = (docs(&func.docs), allow());
    let (keyword, generics, context, called) = match form {
        Form::Concurrent => (
            quote!(async),
            quote!(<T_: 'static>),
            quote!(&#krate::Accessor<T_>),
            quote!(call_concurrent(#store, (#(#names,)*)).await),
        ),
        Form::Async => {
            let send = send();
            (
                quote!(async),
                quote!(),
                quote!(impl #krate::AsContextMut<Data: #send>),
                quote!(call_async(#store, (#(#names,)*)).await),
            )
        }
        Form::Sync | Form::AtOnce | Form::Store => (
            quote!(),
            quote!(),
            quote!(impl #krate::AsContextMut),
            quote!(call(#store, (#(#names,)*))),
        ),
    };
    Ok(Export {
        field: quote!(#field: #krate::#ty),
        value: quote!(#field: #found #untyped),
        method: quote! {
            #docs
            #allow
            pub #keyword fn #method #generics(
                &self,
                #store: #context,
                #(#names: #types),*
            ) -> #krate::Result<#returned> {
                let #typed = #call;
                #typed.#called #unpack
            }
        },
    })
}

/// An imported instance, or the functions that the world imports by themselves.
#[derive(Clone, Copy)]
pub(super) struct Imports<'a> {
    pub(super) types: &'a TypeWriter<'a>,
    pub(super) rules: &'a Rules,
    pub(super) failing: &'a Failing<'a>,
    /// The trait of functions that do not belong to a resource. It has the conversions of errors.
    pub(super) host: &'a Ident,
    /// The interface's name.
    pub(super) instance: Option<&'a str>,
    pub(super) scope: Scope,
}

/// A trait of the host, and the code that defines its functions in a linker.
pub(super) struct HostTrait {
    pub(super) item: TokenStream,
    pub(super) definitions: TokenStream,
    /// Whether a function is async: futures have the host and the store's data.
    pub(super) is_async: bool,
}

/// The functions of a group.
#[derive(Default)]
struct Functions {
    methods: TokenStream,
    definitions: TokenStream,
    is_async: bool,
}

impl Imports<'_> {
    /// The trait of functions that do not belong to a resource, with the resources' traits as its
    /// supertraits.
    pub(super) fn host(
        &self,
        docs: &TokenStream,
        free: &Group<'_>,
        resources: &[Group<'_>],
    ) -> Result<HostTrait> {
        let traits = resources.iter().filter_map(|group| group.resource);
        let names: Vec<_> = traits.map(Resource::host).collect();
        let Functions {
            methods,
            mut definitions,
            mut is_async,
        } = self.functions(free, self.host)?;
        let names = names.iter().map(ToTokens::to_token_stream);
        let supertraits = supertraits(names.chain(is_async.then(send)));
        let funcs = resources
            .iter()
            .chain([free])
            .flat_map(|group| &group.funcs);
        let conversions = self.conversions(funcs.copied())?;
        let host = self.host;
        let mut item = quote!(#docs pub trait #host #supertraits { #methods #conversions });
        for group in resources {
            let Some(resource) = group.resource else {
                continue;
            };
            let found = self.resource(group, resource)?;
            item.extend(found.item);
            definitions.extend(found.definitions);
            is_async |= found.is_async;
        }
        Ok(HostTrait {
            item,
            definitions,
            is_async,
        })
    }

    /// The trait of a resource's functions.
    fn resource(&self, group: &Group<'_>, resource: Resource<'_>) -> Result<HostTrait> {
        let krate = self.types.krate;
        let (name, host) = (resource.name, resource.host());
        let Functions {
            methods,
            definitions,
            mut is_async,
        } = self.functions(group, &host)?;
        let ty = self.types.named(resource.id, name, self.scope);
        let (store, get, linker) = (own("store"), own("get"), own("linker"));
        let docs = format!("What the host does for the resource `{name}`.");
        let drop_name = format!("[drop]{name}");
        let drop_flags = self
            .rules
            .flags(self.types.tree, self.scope.interface, &drop_name);
        let call = quote! {
            #host::drop(#get(#store.data_mut()), #krate::Resource::new_own(rep))
        };
        let (access, implementor) = (own("access"), own("H_"));
        let dropped = quote!(#krate::Result<()>);
        let takes_host = quote!(&mut self, rep: #krate::Resource<#ty>);
        let (define, signature, body) = match (drop_flags.is_async, drop_flags.has_store) {
            (true, _) => {
                let returned = future(&dropped);
                (
                    quote!(resource_async),
                    quote!(fn drop(#takes_host) -> #returned),
                    quote!(::std::boxed::Box::new(async move { #call.await })),
                )
            }
            (false, false) => (
                quote!(resource),
                quote!(fn drop(#takes_host) -> #dropped),
                call,
            ),
            (false, true) => {
                self.types.uses_async(true);
                (
                    quote!(resource),
                    quote! {
                        fn drop<T_: 'static>(
                            #access: #krate::Access<'_, T_, Self>,
                            rep: #krate::Resource<#ty>,
                        ) -> #dropped
                        where
                            Self: ::core::marker::Sized + 'static
                    },
                    quote! {
                        #store.with_accessor(|#store| {
                            let #access = #krate::Access::new(#store, &#get);
                            let rep = #krate::Resource::new_own(rep);
                            <#implementor as #host>::drop(#access, rep)
                        })
                    },
                )
            }
        };
        is_async |= drop_flags.is_async;
        let supertraits = supertraits(is_async.then(send).into_iter());
        Ok(HostTrait {
            item: quote! {
                #[doc = #docs]
                pub trait #host #supertraits {
                    #methods

                    /// Called when a guest has dropped a resource that it owned. An error ends the
                    /// call as a trap does.
                    #signature;
                }
            },
            definitions: quote! {
                #linker.#define(
                    #name,
                    #krate::ResourceType::host::<#ty>(),
                    move |mut #store, rep| #body,
                )?;
                #definitions
            },
            is_async,
        })
    }

    /// The methods of a group, and the code that defines them.
    fn functions(&self, group: &Group<'_>, host: &Ident) -> Result<Functions> {
        let mut functions = Functions::default();
        for func in &group.funcs {
            let import = import(self, host, &group.host_method(func), func)?;
            functions.methods.extend(import.method);
            functions.definitions.extend(import.definition);
            functions.is_async |= import.is_async;
        }
        Ok(functions)
    }

    /// The methods that convert the host's errors to the world's.
    fn conversions<'f>(&self, funcs: impl Iterator<Item = &'f Function>) -> Result<TokenStream> {
        let Imports { types, failing, .. } = *self;
        let krate = types.krate;
        let mut known = HashSet::new();
        let mut methods = TokenStream::new();
        let results = funcs.filter_map(|func| func.result);
        for (error, _, path) in results.filter_map(|result| error_of(types, failing, &result)) {
            if known.insert(error) {
                let method = convert_method(types, error);
                let ty = types.ty(&Type::Id(error), Mode::Owned, self.scope)?;
                methods.extend(quote! {
                    /// Converts an error to the one that the guest sees. An error that is returned
                    /// here ends the call as a trap does.
                    fn #method(&mut self, error: #path) -> #krate::Result<#ty>;
                });
            }
        }
        Ok(methods)
    }
}

/// The supertraits of a trait, if it has some.
fn supertraits(bounds: impl Iterator<Item = TokenStream>) -> Option<TokenStream> {
    let bounds: Vec<_> = bounds.collect();
    (!bounds.is_empty()).then(|| quote!(: #(#bounds)+*))
}

/// An imported function: the method of the host's trait, and the code that defines it in a linker.
struct Import {
    method: TokenStream,
    definition: TokenStream,
    is_async: bool,
}

/// The code that defines an imported function by a method of the trait `host_trait`.
fn import(
    imports: &Imports<'_>,
    host_trait: &Ident,
    method: &Ident,
    func: &Function,
) -> Result<Import> {
    let Imports {
        types,
        rules,
        failing,
        host: root_trait,
        instance,
        scope,
    } = *imports;
    let krate = types.krate;
    let flags = rules.flags(types.tree, scope.interface, &func.name);
    let form = Form::of_import(func, flags)?;
    types.uses_async(form == Form::AtOnce || form.has_access());
    let is_trappable = flags.is_trappable || is_trappable(failing.trappable, func, instance);
    let signature = Signature::new(types, func, Mode::Owned, scope)?;
    let (names, param_types) = (&signature.names, &signature.types);
    let (name, docs) = (&func.name, docs(&func.docs));
    let (store, host, linker) = (own("store"), own("host"), own("linker"));
    let error = func
        .result
        .as_ref()
        .and_then(|ty| error_of(types, failing, ty));
    // Called by the trait's name, because traits of several interfaces may have methods of the same
    // name.
    let access = own("access");
    let call = match form {
        Form::Sync | Form::AtOnce => quote!(#host_trait::#method(#host, #(#names),*)),
        Form::Async => quote!(#host_trait::#method(#host, #(#names),*).await),
        Form::Concurrent | Form::Store => {
            let implementor = own("H_");
            let call = quote!(<#implementor as #host_trait>::#method(#access, #(#names),*));
            match form {
                Form::Concurrent => quote!(#call.await),
                _ => call,
            }
        }
    };
    let has_result = signature.result.is_some();
    let (returned, body) = match error {
        Some((error, ok, path)) => {
            let ok = match ok {
                Some(ok) => types.ty(&ok, Mode::Owned, scope)?,
                None => quote!(()),
            };
            let convert = convert_method(types, error);
            let converted = match form.has_access() {
                true => quote! {
                    #access.with(|#host| #root_trait::#convert(#host, error))
                },
                false => quote!(#root_trait::#convert(#host, error)),
            };
            let body = quote! {
                let result = match #call {
                    ::core::result::Result::Ok(value) => ::core::result::Result::Ok(value),
                    ::core::result::Result::Err(error) => {
                        ::core::result::Result::Err(#converted?)
                    }
                };
                ::core::result::Result::Ok((result,))
            };
            (quote!(::core::result::Result<#ok, #path>), body)
        }
        None => {
            let returned = signature.returned();
            match (is_trappable, has_result) {
                (true, true) => (
                    quote!(#krate::Result<#returned>),
                    quote!(#call.map(|result| (result,))),
                ),
                (true, false) => (quote!(#krate::Result<#returned>), call),
                (false, true) => (returned, quote!(::core::result::Result::Ok((#call,)))),
                (false, false) => (returned, quote!(::core::result::Result::Ok(#call))),
            }
        }
    };
    let (get, allow) = (own("get"), allow());
    // A Rust type stands for owned and for borrowed handles.
    let borrows = types.borrows(func);
    let borrows = borrows.map(|borrows| quote!(#linker.expect_borrows(#name, #borrows);));
    let host_body = quote! {
        let #host = #get(#store.data_mut());
        #body
    };
    let (receiver, returned, definition) = match form {
        Form::Sync => (
            quote!(&mut self),
            returned,
            quote!(func_wrap(#name, move |mut #store, (#(#names,)*)| { #host_body })),
        ),
        Form::AtOnce => (
            quote!(&mut self),
            returned,
            quote!(func_wrap_concurrent(#name, move |#store, (#(#names,)*)| {
                ::std::boxed::Box::pin(async move {
                    #store.with(|mut #store| { #host_body })
                })
            })),
        ),
        // The future has the store: the host is borrowed from it.
        Form::Async => (
            quote!(&mut self),
            future(&returned),
            quote!(func_wrap_async(#name, move |mut #store, (#(#names,)*)| {
                ::std::boxed::Box::new(async move { #host_body })
            })),
        ),
        Form::Concurrent => (
            quote!(#access: #krate::Access<'_, T_, Self>),
            future(&returned),
            quote!(func_wrap_concurrent(#name, move |#store, (#(#names,)*)| {
                ::std::boxed::Box::pin(async move {
                    let #access = #krate::Access::new(#store, &#get);
                    #body
                })
            })),
        ),
        Form::Store => (
            quote!(#access: #krate::Access<'_, T_, Self>),
            returned,
            quote!(func_wrap(#name, move |mut #store, (#(#names,)*)| {
                #store.with_accessor(|#store| {
                    let #access = #krate::Access::new(#store, &#get);
                    #body
                })
            })),
        ),
    };
    let (generics, bounds) = match form.has_access() {
        true => (
            quote!(<T_: 'static>),
            quote!(where Self: ::core::marker::Sized + 'static),
        ),
        false => (quote!(), quote!()),
    };
    Ok(Import {
        method: quote! {
            #docs
            #allow
            fn #method #generics(#receiver, #(#names: #param_types),*) -> #returned #bounds;
        },
        definition: quote! {
            #linker.#definition?;
            #borrows
        },
        is_async: form == Form::Async,
    })
}

fn is_trappable(trappable: &Trappable, func: &Function, instance: Option<&str>) -> bool {
    match trappable {
        Trappable::None => false,
        Trappable::All => true,
        Trappable::Named(names) => names.iter().any(|name| {
            let name = name.value();
            match (name.split_once('#'), instance) {
                (Some((of, name)), Some(instance)) => {
                    let plain = instance.split('@').next().unwrap_or(instance);
                    (of == instance || of == plain) && name == func.name
                }
                (Some(_), None) => false,
                (None, _) => name == func.name,
            }
        }),
    }
}

/// The error type of a `result`, if the host returns another one in its place; with the type of
/// `ok` and the host's error.
fn error_of<'a>(
    types: &TypeWriter<'_>,
    failing: &Failing<'a>,
    ty: &Type,
) -> Option<(TypeId, Option<Type>, &'a Path)> {
    let Type::Id(id) = ty else { return None };
    let TypeDefKind::Result(result) = &types.resolve.types[*id].kind else {
        return None;
    };
    let Some(Type::Id(error)) = result.err else {
        return None;
    };
    let error = resolved(types, error);
    let path = replaced_error(types, failing, error)?;
    Some((error, result.ok, path))
}

/// The type that an alias stands for.
fn resolved(types: &TypeWriter<'_>, mut id: TypeId) -> TypeId {
    while let TypeDefKind::Type(Type::Id(aliased)) = types.resolve.types[id].kind {
        id = aliased;
    }
    id
}

/// The host's error for an error type.
fn replaced_error<'a>(
    types: &TypeWriter<'_>,
    failing: &Failing<'a>,
    error: TypeId,
) -> Option<&'a Path> {
    let def = &types.resolve.types[error];
    let name = def.name.as_ref()?;
    let TypeOwner::Interface(interface) = def.owner else {
        return None;
    };
    let keys: Vec<String> = keys(types, interface, name);
    let found = failing.error_types.iter();
    found
        .clone()
        .find(|(key, _)| keys.contains(&key.value()))
        .map(|(_, path)| path)
}

fn keys(types: &TypeWriter<'_>, interface: InterfaceId, name: &str) -> Vec<String> {
    let keys = types.tree.keys(interface).into_iter();
    keys.map(|key| format!("{key}/{name}")).collect()
}

/// The method that converts the host's error to the world's.
fn convert_method(types: &TypeWriter<'_>, error: TypeId) -> Ident {
    let name = types.resolve.types[error].name.as_deref();
    prefixed("convert_", name.unwrap_or("error"))
}
