//! Writes the types of a world as Rust types.

use std::cell::Cell;
use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{Error, Path, Result};
use wit_parser::{
    Docs, Function, FunctionKind, Handle, Resolve, Type, TypeDefKind, TypeId, TypeOwner,
};

use super::idents::{camel, screaming, snake};
use super::modules::{Scope, Tree};
use crate::names::kebab;

/// Whether a type is written owned or borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// An owned value: results, parameters of host functions, fields.
    Owned,
    /// A parameter of an export: large values are borrowed.
    Borrowed,
}

/// The basic parts of types.
enum Part {
    /// Numbers, characters, cases and flags.
    Scalar,
    Text,
    /// A list, whatever its elements are.
    List,
    /// A handle of this resource.
    Handle(TypeId),
    /// The readable end of a stream or future.
    End,
}

/// The context in which types are generated.
pub(super) struct TypeWriter<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) tree: &'a Tree<'a>,
    pub(super) krate: &'a Path,
    pub(super) derives: &'a [Path],
    /// The types that occur as errors in results of functions.
    pub(super) errors: HashSet<TypeId>,
    /// Whether there are streams, futures or functions that run beside others.
    pub(super) is_async: Cell<bool>,
}

pub(super) fn docs(docs: &Docs) -> TokenStream {
    match &docs.contents {
        Some(text) => {
            let lines = text.lines().map(|line| format!(" {line}"));
            quote!(#(#[doc = #lines])*)
        }
        None => quote!(),
    }
}

/// The error for an item that cannot be generated.
pub(super) fn unsupported(what: &str) -> Error {
    Error::new(Span::call_site(), format!("not supported yet: {what}"))
}

impl TypeWriter<'_> {
    /// Notes that the code needs the feature `async`, if it does.
    pub(super) fn uses_async(&self, so: bool) {
        self.is_async.set(self.is_async.get() | so);
    }

    /// The Rust type.
    pub(super) fn ty(&self, ty: &Type, mode: Mode, scope: Scope) -> Result<TokenStream> {
        Ok(match ty {
            Type::Bool => quote!(bool),
            Type::U8 => quote!(u8),
            Type::U16 => quote!(u16),
            Type::U32 => quote!(u32),
            Type::U64 => quote!(u64),
            Type::S8 => quote!(i8),
            Type::S16 => quote!(i16),
            Type::S32 => quote!(i32),
            Type::S64 => quote!(i64),
            Type::F32 => quote!(f32),
            Type::F64 => quote!(f64),
            Type::Char => quote!(char),
            Type::String if mode == Mode::Borrowed => quote!(&str),
            Type::String => quote!(::std::string::String),
            Type::ErrorContext => {
                self.uses_async(true);
                let krate = self.krate;
                match mode {
                    Mode::Owned => quote!(#krate::ErrorContext),
                    Mode::Borrowed => quote!(&#krate::ErrorContext),
                }
            }
            Type::Id(id) => return self.def(*id, mode, scope),
        })
    }

    fn def(&self, id: TypeId, mode: Mode, scope: Scope) -> Result<TokenStream> {
        let def = &self.resolve.types[id];
        if let Some(name) = &def.name {
            let path = self.named(id, name, scope);
            let is_value = self.is_copy(&Type::Id(id), scope) || is_handle(self.resolve, id);
            let is_borrowed = mode == Mode::Borrowed && !is_value;
            return Ok(if is_borrowed { quote!(&#path) } else { path });
        }
        self.structure(&def.kind, mode, scope)
    }

    /// A type that has no name of its own.
    fn structure(&self, kind: &TypeDefKind, mode: Mode, scope: Scope) -> Result<TokenStream> {
        let part = |ty: &Type| self.ty(ty, mode, scope);
        let side = |ty: &Option<Type>| ty.as_ref().map_or(Ok(quote!(())), part);
        Ok(match kind {
            TypeDefKind::List(element) => {
                let element = self.ty(element, Mode::Owned, scope)?;
                match mode {
                    Mode::Owned => quote!(::std::vec::Vec<#element>),
                    Mode::Borrowed => quote!(&[#element]),
                }
            }
            TypeDefKind::FixedLengthList(element, len) => {
                let is_value = self.is_copy(element, scope);
                let element = self.ty(element, Mode::Owned, scope)?;
                let len = *len as usize;
                match mode {
                    Mode::Borrowed if !is_value => quote!(&[#element; #len]),
                    _ => quote!([#element; #len]),
                }
            }
            TypeDefKind::Map(key, value) => {
                let key = self.ty(key, Mode::Owned, scope)?;
                let value = self.ty(value, Mode::Owned, scope)?;
                let map = quote!(::std::collections::HashMap<#key, #value>);
                match mode {
                    Mode::Owned => map,
                    Mode::Borrowed => quote!(&#map),
                }
            }
            TypeDefKind::Option(payload) => {
                let payload = part(payload)?;
                quote!(::core::option::Option<#payload>)
            }
            TypeDefKind::Result(result) => {
                let (ok, err) = (side(&result.ok)?, side(&result.err)?);
                quote!(::core::result::Result<#ok, #err>)
            }
            TypeDefKind::Tuple(tuple) => {
                let fields = tuple.types.iter().map(part).collect::<Result<Vec<_>>>()?;
                quote!((#(#fields,)*))
            }
            TypeDefKind::Handle(handle) => self.handle(resource_of(handle), scope),
            TypeDefKind::Stream(payload) => self.end("StreamReader", payload.as_ref(), scope)?,
            TypeDefKind::Future(payload) => self.end("FutureReader", payload.as_ref(), scope)?,
            kind => return Err(unsupported(kind.as_str())),
        })
    }

    /// The type of the readable end of a stream or future.
    fn end(&self, name: &str, payload: Option<&Type>, scope: Scope) -> Result<TokenStream> {
        self.uses_async(true);
        let (krate, name) = (self.krate, Ident::new(name, Span::call_site()));
        let payload = payload.map(|ty| self.ty(ty, Mode::Owned, scope));
        let payload = payload.transpose()?.unwrap_or_else(|| quote!(()));
        Ok(quote!(#krate::#name<#payload>))
    }

    /// The type of a handle, owned or borrowed. A guest's resources are only known at run time.
    fn handle(&self, resource: TypeId, scope: Scope) -> TokenStream {
        let krate = self.krate;
        if self.is_guests(resource, scope) {
            return quote!(#krate::ResourceAny);
        }
        // All resources have names.
        let name = self.resolve.types[resource].name.as_deref();
        let path = self.named(resource, name.unwrap_or_default(), scope);
        quote!(#krate::Resource<#path>)
    }

    /// Whether the guest defines a resource, which may be given as an alias.
    fn is_guests(&self, mut id: TypeId, scope: Scope) -> bool {
        loop {
            let def = &self.resolve.types[id];
            // The world itself and its imports only have imported resources.
            let TypeOwner::Interface(interface) = def.owner else {
                return false;
            };
            if !self.tree.is_exported(interface, scope) {
                return false;
            }
            match def.kind {
                TypeDefKind::Type(Type::Id(aliased)) => id = aliased,
                _ => return true,
            }
        }
    }

    /// The path of a named type.
    pub(super) fn named(&self, id: TypeId, name: &str, scope: Scope) -> TokenStream {
        let ident = camel(name);
        let owner = self.resolve.types[id].owner;
        if let Some(path) = self.tree.replaced_type(owner, name) {
            return quote!(#path);
        }
        match owner {
            TypeOwner::Interface(interface) => {
                let module = self.tree.path(interface, scope);
                quote!(#module #ident)
            }
            TypeOwner::World(_) | TypeOwner::None => {
                let root = scope.root();
                quote!(#root #ident)
            }
        }
    }

    /// Whether values are copied rather than borrowed.
    fn is_copy(&self, ty: &Type, scope: Scope) -> bool {
        self.all(ty, &|part| match part {
            Part::Scalar => true,
            Part::Text | Part::List | Part::End => false,
            Part::Handle(resource) => self.is_guests(resource, scope),
        })
    }

    /// Whether values can be cloned: a handle of the host's resources cannot.
    fn is_clone(&self, ty: &Type, scope: Scope) -> bool {
        self.all(ty, &|part| match part {
            Part::Handle(resource) => self.is_guests(resource, scope),
            Part::End => false,
            Part::Scalar | Part::Text | Part::List => true,
        })
    }

    /// Whether `so` holds for all parts of a type.
    fn all(&self, ty: &Type, so: &dyn Fn(Part) -> bool) -> bool {
        let Type::Id(id) = ty else {
            return match ty {
                Type::String | Type::ErrorContext => so(Part::Text),
                _ => so(Part::Scalar),
            };
        };
        let kind = &self.resolve.types[*id].kind;
        let is_so = match kind {
            TypeDefKind::Enum(_) | TypeDefKind::Flags(_) => so(Part::Scalar),
            TypeDefKind::Handle(handle) => so(Part::Handle(resource_of(handle))),
            TypeDefKind::List(_) | TypeDefKind::Map(..) => so(Part::List),
            TypeDefKind::Stream(_) | TypeDefKind::Future(_) => so(Part::End),
            _ => true,
        };
        is_so && parts(kind).iter().all(|part| self.all(part, so))
    }

    /// Which of the handles in a function's type are borrowed, in the order of
    /// `ComponentType::handles`. `None` if no valid component can differ: results are owned, and
    /// the first parameter of a method is borrowed.
    pub(super) fn borrows(&self, func: &Function) -> Option<TokenStream> {
        let mut found = Vec::new();
        let is_method = matches!(
            func.kind,
            FunctionKind::Method(_) | FunctionKind::AsyncMethod(_)
        );
        for param in &func.params {
            self.add_borrows(&param.ty, &mut found);
        }
        if found.len() == usize::from(is_method) {
            return None;
        }
        if let Some(result) = &func.result {
            self.add_borrows(result, &mut found);
        }
        Some(quote!(&[#(#found),*]))
    }

    fn add_borrows(&self, ty: &Type, found: &mut Vec<bool>) {
        let Type::Id(id) = ty else { return };
        let kind = &self.resolve.types[*id].kind;
        if let TypeDefKind::Handle(handle) = kind {
            found.push(matches!(handle, Handle::Borrow(_)));
        }
        for part in parts(kind) {
            self.add_borrows(part, found);
        }
    }

    /// The definition of a named type, in the module of its owner.
    pub(super) fn definition(&self, id: TypeId, name: &str, scope: Scope) -> Result<TokenStream> {
        let def = &self.resolve.types[id];
        let (docs, ident) = (docs(&def.docs), camel(name));
        let (krate, attributes) = (self.krate, self.attributes(id, scope));
        let is_guests = matches!(def.kind, TypeDefKind::Resource) && self.is_guests(id, scope);
        if let Some(path) = self
            .tree
            .replaced_type(def.owner, name)
            .filter(|_| !is_guests)
        {
            return Ok(quote!(#docs pub type #ident = #path;));
        }
        let item = match &def.kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| {
                    let (ident, docs) = (snake(&field.name), self::docs(&field.docs));
                    let ty = self.ty(&field.ty, Mode::Owned, scope)?;
                    let name = name_attribute(&ident, &field.name);
                    Ok(quote!(#docs #name pub #ident: #ty,))
                });
                let fields = fields.collect::<Result<Vec<_>>>()?;
                quote!(#attributes #[component(record)] pub struct #ident { #(#fields)* })
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| {
                    let (ident, docs) = (camel(&case.name), self::docs(&case.docs));
                    let payload = case.ty.as_ref().map(|ty| self.ty(ty, Mode::Owned, scope));
                    let payload = payload.transpose()?.map(|ty| quote!((#ty)));
                    let name = name_attribute(&ident, &case.name);
                    Ok(quote!(#docs #name #ident #payload,))
                });
                let cases = cases.collect::<Result<Vec<_>>>()?;
                quote!(#attributes #[component(variant)] pub enum #ident { #(#cases)* })
            }
            TypeDefKind::Enum(found) => {
                let cases = found.cases.iter().map(|case| {
                    let (ident, docs) = (camel(&case.name), self::docs(&case.docs));
                    let name = name_attribute(&ident, &case.name);
                    quote!(#docs #name #ident,)
                });
                let more = ["PartialEq", "Eq", "Hash"]
                    .into_iter()
                    .filter(|name| !self.derives.iter().any(|path| path.is_ident(name)))
                    .map(|name| Ident::new(name, Span::call_site()));
                quote! {
                    #attributes
                    #[derive(#(#more),*)]
                    #[component(enum)]
                    pub enum #ident { #(#cases)* }
                }
            }
            TypeDefKind::Flags(flags) => {
                let flags = flags.flags.iter().map(|flag| {
                    let (ident, docs) = (screaming(&flag.name), self::docs(&flag.docs));
                    let name = name_attribute(&ident, &flag.name);
                    quote!(#docs #name const #ident;)
                });
                return Ok(quote! {
                    #krate::flags! { #docs #[component(crate = #krate)] pub #ident { #(#flags)* } }
                });
            }
            TypeDefKind::Resource => {
                return Ok(match is_guests {
                    true => quote!(#docs pub type #ident = #krate::ResourceAny;),
                    false => quote!(#docs #[derive(Debug)] pub enum #ident {}),
                });
            }
            TypeDefKind::Type(ty) => {
                let ty = self.ty(ty, Mode::Owned, scope)?;
                return Ok(quote!(#docs pub type #ident = #ty;));
            }
            kind => {
                let ty = self.structure(kind, Mode::Owned, scope)?;
                return Ok(quote!(#docs pub type #ident = #ty;));
            }
        };
        let error = self.errors.contains(&id).then(|| {
            quote! {
                impl ::core::fmt::Display for #ident {
                    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                        ::core::fmt::Debug::fmt(self, f)
                    }
                }

                impl ::core::error::Error for #ident {}
            }
        });
        Ok(quote!(#docs #item #error))
    }

    fn attributes(&self, id: TypeId, scope: Scope) -> TokenStream {
        let (krate, derives) = (self.krate, self.derives);
        let clone = self.is_clone(&Type::Id(id), scope).then(|| quote!(Clone,));
        let copy = self.is_copy(&Type::Id(id), scope).then(|| quote!(Copy,));
        quote! {
            #[derive(
                #clone #copy Debug, #krate::ComponentType, #krate::Lower, #krate::Lift
                #(, #derives)*
            )]
            #[component(crate = #krate)]
        }
    }
}

/// The types in a type, in the order in which it is written.
fn parts(kind: &TypeDefKind) -> Vec<&Type> {
    match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| &field.ty).collect(),
        TypeDefKind::Tuple(tuple) => tuple.types.iter().collect(),
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            cases.filter_map(|case| case.ty.as_ref()).collect()
        }
        TypeDefKind::Result(result) => result.ok.iter().chain(&result.err).collect(),
        TypeDefKind::Map(key, value) => vec![key, value],
        TypeDefKind::Type(ty)
        | TypeDefKind::Option(ty)
        | TypeDefKind::List(ty)
        | TypeDefKind::FixedLengthList(ty, _) => vec![ty],
        _ => vec![],
    }
}

fn resource_of(handle: &Handle) -> TypeId {
    match handle {
        Handle::Own(resource) | Handle::Borrow(resource) => *resource,
    }
}

/// Whether a type is a handle, or the end of a stream or future, by another name: it is given away.
fn is_handle(resolve: &Resolve, id: TypeId) -> bool {
    match resolve.types[id].kind {
        TypeDefKind::Handle(_) | TypeDefKind::Stream(_) | TypeDefKind::Future(_) => true,
        TypeDefKind::Type(Type::Id(aliased)) => is_handle(resolve, aliased),
        _ => false,
    }
}

/// `#[component(name = "...")]`, if the Rust name does not convert to the name.
fn name_attribute(ident: &Ident, name: &str) -> Option<TokenStream> {
    (kebab(ident) != name).then(|| quote!(#[component(name = #name)]))
}
