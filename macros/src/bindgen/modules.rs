//! The tree of modules for the interfaces of a world.
//!
//! ```text
//! imports  a::b::c for the interface a:b/c, whatever labels it has in the world; or the name there
//!          of one that has none of its own
//! exports  exports::a::b::c
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{LitStr, Path};
use wit_parser::{InterfaceId, PackageId, Resolve, TypeOwner, World, WorldItem, WorldKey};

use super::idents::snake;

/// The place in the generated code where something is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// The number of modules around it.
    pub(super) depth: usize,
    /// The interface in whose module it is.
    pub(super) interface: Option<InterfaceId>,
    /// Whether it belongs to an export of the world.
    pub(super) exporting: bool,
}

impl Scope {
    /// The path to the items around all modules.
    pub(super) fn root(self) -> TokenStream {
        let supers = (0..self.depth).map(|_| quote!(super::));
        quote!(#(#supers)*)
    }
}

/// Maps interfaces to modules.
pub(super) struct Tree<'a> {
    resolve: &'a Resolve,
    with: &'a [(LitStr, Path)],
    /// The names that the world gives to interfaces without a name of their own.
    names: HashMap<InterfaceId, String>,
    /// Interfaces that are exported by a name that is not a label: exported interfaces refer to
    /// these.
    exported: HashSet<InterfaceId>,
    /// Packages that occur in several versions.
    versioned: HashSet<PackageId>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(resolve: &'a Resolve, world: &World, with: &'a [(LitStr, Path)]) -> Tree<'a> {
        let mut names = HashMap::new();
        let mut exported = HashSet::new();
        for (key, item) in world.imports.iter().chain(&world.exports) {
            if let (WorldKey::Name(name), WorldItem::Interface { id, .. }) = (key, item)
                && resolve.implements_interface(key, item).is_none()
            {
                names.insert(*id, name.clone());
            }
        }
        for (key, item) in &world.exports {
            if let WorldItem::Interface { id, .. } = item
                && resolve.implements_interface(key, item).is_none()
            {
                exported.insert(*id);
            }
        }
        let mut same = HashMap::<(&str, &str), Vec<PackageId>>::new();
        for (id, package) in resolve.packages.iter() {
            let name = &package.name;
            same.entry((&name.namespace, &name.name))
                .or_default()
                .push(id);
        }
        let versioned = same.into_values().filter(|ids| ids.len() > 1).flatten();
        Tree {
            resolve,
            with,
            names,
            exported,
            versioned: versioned.collect(),
        }
    }

    /// The modules of an interface, outermost first, without `exports`.
    pub(super) fn segments(&self, interface: InterfaceId) -> Vec<Ident> {
        if let Some(name) = self.names.get(&interface) {
            return vec![snake(name)];
        }
        let found = &self.resolve.interfaces[interface];
        let name = snake(found.name.as_deref().unwrap_or_default());
        let Some(id) = found.package else {
            return vec![name];
        };
        let package = &self.resolve.packages[id].name;
        let package_name = match &package.version {
            Some(version) if self.versioned.contains(&id) => {
                snake(&format!("{}{version}", package.name).replace('+', "-"))
            }
            _ => snake(&package.name),
        };
        vec![snake(&package.namespace), package_name, name]
    }

    /// Whether a reference to an interface means the exported one here.
    pub(super) fn is_exported(&self, interface: InterfaceId, scope: Scope) -> bool {
        let is_own = scope.interface == Some(interface);
        scope.exporting && (is_own || self.exported.contains(&interface))
    }

    /// The path to the items of an interface, with `::` at the end; empty in its own module.
    pub(super) fn path(&self, interface: InterfaceId, scope: Scope) -> TokenStream {
        if let Some(path) = self.replaced(interface) {
            return quote!(#path::);
        }
        if scope.interface == Some(interface) {
            return TokenStream::new();
        }
        let exports = self
            .is_exported(interface, scope)
            .then(|| quote!(exports::));
        let (root, segments) = (scope.root(), self.segments(interface));
        quote!(#root #exports #(#segments::)*)
    }

    /// The module that is used in place of an interface's.
    pub(super) fn replaced(&self, interface: InterfaceId) -> Option<&'a Path> {
        self.find(&self.keys(interface))
    }

    /// The type that is used in place of a type of an interface or of the world itself.
    pub(super) fn replaced_type(&self, owner: TypeOwner, name: &str) -> Option<&'a Path> {
        let TypeOwner::Interface(interface) = owner else {
            return self.find(&[name.to_owned()]);
        };
        let keys = self.keys(interface).into_iter();
        self.find(&keys.map(|key| format!("{key}/{name}")).collect::<Vec<_>>())
    }

    /// Which interface's error type is `name`, if it is one of these.
    pub(super) fn keys(&self, interface: InterfaceId) -> Vec<String> {
        if let Some(name) = self.names.get(&interface) {
            return vec![name.clone()];
        }
        let Some(full) = self.resolve.id_of(interface) else {
            return Vec::new();
        };
        let without_version = full.split('@').next().unwrap_or(&full).to_owned();
        vec![full, without_version]
    }

    /// The names of the package of an interface that has a name of its own.
    pub(super) fn package_keys(&self, interface: InterfaceId) -> Vec<String> {
        let package = self.resolve.interfaces[interface].package;
        let Some(package) = package.filter(|_| !self.names.contains_key(&interface)) else {
            return Vec::new();
        };
        let name = &self.resolve.packages[package].name;
        let without_version = format!("{}:{}", name.namespace, name.name);
        vec![name.to_string(), without_version]
    }

    fn find(&self, keys: &[String]) -> Option<&'a Path> {
        let found = self
            .with
            .iter()
            .find(|(key, _)| keys.contains(&key.value()));
        found.map(|(_, path)| path)
    }
}

/// Contents of modules, nested.
#[derive(Default)]
pub(super) struct Modules {
    content: TokenStream,
    inner: BTreeMap<String, Modules>,
}

impl Modules {
    /// Adds `content` to the module at this path.
    pub(super) fn add(&mut self, path: &[Ident], content: TokenStream) {
        match path.split_first() {
            None => self.content.extend(content),
            Some((first, rest)) => self
                .inner
                .entry(first.to_string())
                .or_default()
                .add(rest, content),
        }
    }

    /// All modules.
    pub(super) fn tokens(self) -> TokenStream {
        let Modules { content, inner } = self;
        let inner = inner.into_iter().map(|(name, module)| {
            let name = snake(name.trim_start_matches("r#"));
            let content = module.tokens();
            quote!(pub mod #name { #content })
        });
        quote!(#content #(#inner)*)
    }
}
