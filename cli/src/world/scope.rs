//! The names of types in one interface, or in the world.
//!
//! WIT requires a name for each record, variant, enum, set of flags and resource. Most have one; a
//! type without one here gets the name that it has elsewhere, or a new one.

use std::collections::HashSet;
use std::fmt::Write as _;

use cwasm_format::describe::{Description, Extern};
use cwasm_format::types::{FuncType, ResourceNumber, TypeDef, TypeId, ValueType};
use cwasm_format::wit::{Wit, id};

use super::block::{Block, Declaration, Resource, canonical};
use crate::surface::{Item, ItemKind, split};

/// A type whose text would have more parts gets a name.
const MAX_PARTS: u32 = 40;

/// An interface that is being printed.
pub(super) struct Scope<'a> {
    description: &'a Description,
    /// Its path; `None` for the world.
    path: Option<&'a str>,
    /// The names of types here.
    types: Vec<(String, ValueType)>,
    /// The names of resource types here.
    resources: Vec<(ResourceNumber, String)>,
    /// Names that are taken, in the form of [`canonical`].
    taken: HashSet<String>,
    seen: HashSet<TypeId>,
    block: Block,
}

/// Returns the full name of the interface at `path`, if it is printed where others can use it.
pub(super) type Home<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An interface's name as used in another interface: without the package if that is the same.
fn seen_from<'n>(name: &'n str, other: &str) -> &'n str {
    let parts = |name: &'n str| {
        let (package, rest) = name.split_once('/')?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        Some((package, interface, version))
    };
    let Some((package, interface, version)) = parts(name) else {
        return name;
    };
    let rest = other
        .strip_prefix(package)
        .and_then(|rest| rest.strip_prefix('/'));
    match rest.map(|rest| rest.split_once('@').map_or("", |(_, version)| version)) {
        Some(of_other) if of_other == version => interface,
        _ => name,
    }
}

/// The declarations of the interface at `path` (`None`: of the world) with these items.
pub(super) fn block<'a>(
    description: &'a Description,
    path: Option<&'a str>,
    items: &[&Item<'a>],
    home: Home<'_>,
) -> Block {
    let mut scope = Scope {
        description,
        path,
        types: Vec::new(),
        resources: Vec::new(),
        taken: HashSet::new(),
        seen: HashSet::new(),
        block: Block::default(),
    };
    scope.take_names(items, home);
    let funcs: Vec<_> = items.iter().filter_map(|item| func(item)).collect();
    for (_, ty) in &funcs {
        for ty in ty.params.iter().map(|(_, ty)| *ty).chain(ty.result) {
            scope.visit(ty, home);
        }
    }
    let mut next = 0;
    // Types that are named in this loop are added at the end of the list.
    while let Some((_, ty)) = scope.types.get(next).cloned() {
        scope.visit_parts(ty, home);
        next += 1;
    }
    scope.declare_types();
    for (item, ty) in funcs {
        scope.declare_func(item, ty);
    }
    scope.block
}

fn func<'i, 'a>(item: &'i Item<'a>) -> Option<(&'i Item<'a>, &'a FuncType)> {
    match item.kind {
        ItemKind::Func(ty) => Some((item, ty)),
        _ => None,
    }
}

impl<'a> Scope<'a> {
    /// Adopts the names that the component gives in this interface.
    fn take_names(&mut self, items: &[&Item<'a>], home: Home<'_>) {
        for (item, _) in items.iter().filter_map(|item| func(item)) {
            if !split(item.path).1.starts_with('[') {
                self.taken.insert(canonical(split(item.path).1));
            }
        }
        for item in items {
            if let ItemKind::Resource(number) = item.kind {
                let has_funcs = items
                    .iter()
                    .any(|other| resource_of(split(other.path).1) == Some(split(item.path).1));
                let own = self.resource_path(number) == item.path || has_funcs;
                self.name_resource(number, split(item.path).1, own, item.said, home);
            }
        }
        for (item, ty) in items.iter().filter_map(|item| func(item)) {
            // A resource type whose functions are here has its name here, even if it was not
            // listed.
            if let (Some(name), Some(number)) = (
                resource_of(split(item.path).1),
                self.resource_in_signature(split(item.path).1, ty),
            ) {
                self.name_resource(number, name, true, None, home);
            }
        }
        let used = self.reachable(items);
        let is_used = |ty: ValueType| matches!(ty, ValueType::Def(id) if used.contains(&id));
        let named = self.description.type_names.iter();
        let mut named: Vec<_> = named
            .filter(|(path, _)| split(path).0 == self.path)
            .collect();
        // An interface of this name on the other side has types of its own.
        named.sort_by_key(|(_, ty)| !is_used(*ty));
        let hash = |ty| self.description.types.abi(ty).hash;
        let mut types: Vec<(&str, ValueType)> = Vec::new();
        for (path, ty) in named {
            let name = split(path).1;
            let known = types.iter().find(|(known, _)| *known == name);
            if known.is_none_or(|(_, known)| hash(*known) == hash(*ty)) {
                types.push((name, *ty));
            }
        }
        for (name, ty) in types {
            let known = self.types.iter().any(|(known, _)| known == name);
            let name = if known {
                name.to_owned()
            } else {
                self.unique(name)
            };
            self.types.push((name, ty));
        }
    }

    /// The types that functions here use.
    fn reachable(&self, items: &[&Item<'a>]) -> HashSet<TypeId> {
        let mut found = HashSet::new();
        let funcs = items.iter().filter_map(|item| func(item));
        let types = funcs.flat_map(|(_, ty)| ty.params.iter().map(|(_, ty)| *ty).chain(ty.result));
        let mut next: Vec<_> = types.collect();
        while let Some(ty) = next.pop() {
            if let (ValueType::Def(id), Some(def)) = (ty, self.def(ty))
                && found.insert(id)
            {
                next.extend(def.parts());
            }
        }
        found
    }

    /// The path where a resource type is defined, if the component says.
    fn resource_path(&self, number: ResourceNumber) -> &'a str {
        let names = &self.description.types.resource_names;
        names.get(number.0 as usize).map_or("", |path| path)
    }

    /// The resource type of a method or constructor.
    fn resource_in_signature(&self, name: &str, ty: &FuncType) -> Option<ResourceNumber> {
        let handle = |ty: ValueType| match self.def(ty)? {
            TypeDef::Own(number) | TypeDef::Borrow(number) => Some(*number),
            TypeDef::Result { ok: Some(ok), .. } => match self.def(*ok)? {
                TypeDef::Own(number) => Some(*number),
                _ => None,
            },
            _ => None,
        };
        match name.starts_with("[constructor]") {
            true => handle(ty.result?),
            false if name.starts_with("[method]") => handle(ty.params.first()?.1),
            false => None,
        }
    }

    fn def(&self, ty: ValueType) -> Option<&'a TypeDef> {
        match ty {
            ValueType::Def(id) => Some(self.description.types.def(id)),
            _ => None,
        }
    }

    /// Takes a name like this that is not taken yet.
    fn unique(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        let mut number = 1;
        while !self.taken.insert(canonical(&unique)) {
            number += 1;
            unique = format!("{name}-n{number}");
        }
        unique
    }

    /// Gives a resource type a name here: declares it here, or uses it from its home.
    fn name_resource(
        &mut self,
        number: ResourceNumber,
        name: &str,
        is_own: bool,
        said: Option<&Extern>,
        home: Home<'_>,
    ) {
        if self.resources.iter().any(|(known, _)| *known == number) {
            return;
        }
        let local = match self.block.resources.iter().any(|known| known.name == name) {
            // It has the same name on the other side.
            true => name.to_owned(),
            false => self.unique(name),
        };
        self.resources.push((number, local.clone()));
        let (instance, original) = split(self.resource_path(number));
        let from = instance.filter(|_| !is_own).and_then(home);
        let own = self.path.and_then(home);
        if let Some(from) = from.filter(|from| own.as_ref() != Some(from)) {
            let from = own.map_or(from.as_str(), |own| seen_from(&from, &own));
            let original_id = id(original);
            let line = match local == original {
                true => format!("use {from}.{{{original_id}}};"),
                false => format!("use {from}.{{{original_id} as {}}};", id(&local)),
            };
            self.block.uses.push(Declaration {
                name: local,
                lines: vec![line],
            });
        } else if !self.block.resources.iter().any(|known| known.name == local) {
            self.block.resources.push(Resource {
                name: local,
                attributes: attributes(said),
                funcs: Vec::new(),
            });
        }
    }

    /// Gives names to a type and its parts, as far as printing them requires.
    fn visit(&mut self, ty: ValueType, home: Home<'_>) {
        let (Some(def), ValueType::Def(id)) = (self.def(ty), ty) else {
            return;
        };
        if self.types.iter().any(|(_, known)| *known == ty) || !self.seen.insert(id) {
            return;
        }
        if let TypeDef::Own(number) | TypeDef::Borrow(number) = def {
            let name = match split(self.resource_path(*number)).1 {
                "" => "resource",
                name => name,
            };
            return self.name_resource(*number, &name.replace('.', "-"), false, None, home);
        }
        self.visit_parts(ty, home);
        let is_nominal = matches!(
            def,
            TypeDef::Record(_) | TypeDef::Variant(_) | TypeDef::Enum(_) | TypeDef::Flags(_)
        );
        if is_nominal || self.parts_in_text(ty) > MAX_PARTS {
            let mut elsewhere = self.description.type_names.iter();
            let known = elsewhere.find(|(_, known)| *known == ty);
            let name = known.map_or_else(|| kind(def), |(path, _)| split(path).1);
            let name = self.unique(name);
            self.types.push((name, ty));
        }
    }

    fn visit_parts(&mut self, ty: ValueType, home: Home<'_>) {
        let Some(def) = self.def(ty) else { return };
        for part in def.parts() {
            // The entry of a map is not printed as a type.
            match (def, self.def(part)) {
                (TypeDef::Map(_), Some(TypeDef::Tuple(_))) => self.visit_parts(part, home),
                _ => self.visit(part, home),
            }
        }
    }

    /// The number of types in the text of a type, where types with names count once.
    fn parts_in_text(&self, ty: ValueType) -> u32 {
        let Some(def) = self.def(ty) else { return 1 };
        let parts =
            def.parts().map(
                |part| match self.types.iter().any(|(_, known)| *known == part) {
                    true => 1,
                    false => self.parts_in_text(part),
                },
            );
        parts.fold(1, u32::saturating_add)
    }

    fn wit(&self) -> Wit<'_> {
        Wit::with_names(&self.description.types, &self.types).in_full(&self.resources)
    }

    fn declare_types(&mut self) {
        let mut types: Vec<Declaration> = Vec::new();
        for (name, ty) in &self.types {
            if types.iter().any(|known| known.name == *name) {
                continue;
            }
            let text = self.wit().declaration(name, *ty).to_string();
            let end = if text.ends_with('}') { "" } else { ";" };
            types.push(Declaration {
                name: name.clone(),
                lines: vec![format!("{text}{end}")],
            });
        }
        self.block.types = types;
    }

    fn declare_func(&mut self, item: &Item<'a>, ty: &'a FuncType) {
        let name = split(item.path).1;
        let mut lines = attributes(item.said);
        let annotated = Annotated::parse(name);
        lines.push(annotated.declaration(self.wit(), ty));
        let line = Declaration {
            name: name.to_owned(),
            lines,
        };
        let of = annotated.resource.and_then(|resource| {
            let mut resources = self.block.resources.iter_mut();
            resources.find(|known| known.name == resource)
        });
        match of {
            Some(resource) => resource.funcs.push(line),
            None if annotated.resource.is_none() => self.block.funcs.push(line),
            // A static function of a resource type that occurs nowhere else.
            None => {
                let resource = annotated.resource.unwrap_or_default();
                self.taken.insert(canonical(resource));
                self.block.resources.push(Resource {
                    name: resource.to_owned(),
                    attributes: Vec::new(),
                    funcs: vec![line],
                });
            }
        }
    }
}

/// The parts of a function's name: `[method][get]a.b`.
struct Annotated<'a> {
    /// The resource type that it belongs to.
    resource: Option<&'a str>,
    name: &'a str,
    kind: &'a str,
    /// `func`, `get` or `set`.
    word: &'static str,
}

impl<'a> Annotated<'a> {
    fn parse(name: &'a str) -> Annotated<'a> {
        let (mut kind, mut word, mut rest) = ("", "func", name);
        while let Some((annotation, after)) =
            rest.strip_prefix('[').and_then(|it| it.split_once(']'))
        {
            match annotation {
                "get" => word = "get",
                "set" => word = "set",
                other => kind = other,
            }
            rest = after;
        }
        let (resource, name) = match (kind, rest.split_once('.')) {
            ("constructor", _) => (Some(rest), rest),
            ("method" | "static", Some((resource, name))) => (Some(resource), name),
            _ => (None, rest),
        };
        Annotated {
            resource,
            name,
            kind,
            word,
        }
    }

    /// The line that declares it, in its interface or resource.
    fn declaration(&self, wit: Wit<'_>, ty: &FuncType) -> String {
        let mut text = String::new();
        let name = id(self.name);
        let word = match (self.word, ty.is_async) {
            ("func", true) => "async func",
            (word, _) => word,
        };
        let _ = match self.kind {
            "constructor" => {
                // Its result is the resource, unless it may fail.
                let result = ty.result.filter(|result| is_result(wit, *result));
                let ty = FuncType {
                    params: ty.params.clone(),
                    result,
                    is_async: false,
                };
                write!(text, "constructor{};", wit.signature(&ty))
            }
            "method" => {
                let ty = FuncType {
                    params: ty.params.iter().skip(1).cloned().collect(),
                    result: ty.result,
                    is_async: ty.is_async,
                };
                write!(text, "{name}: {word}{};", wit.signature(&ty))
            }
            "static" => write!(text, "{name}: static {word}{};", wit.signature(ty)),
            _ => write!(text, "{name}: {word}{};", wit.signature(ty)),
        };
        text
    }
}

fn is_result(wit: Wit<'_>, ty: ValueType) -> bool {
    matches!(ty, ValueType::Def(id) if matches!(wit.types().def(id), TypeDef::Result { .. }))
}

/// The resource type that a function belongs to by its name.
fn resource_of(name: &str) -> Option<&str> {
    Annotated::parse(name).resource
}

/// A name for a type that has none.
fn kind(def: &TypeDef) -> &'static str {
    match def {
        TypeDef::Record(_) => "a-record",
        TypeDef::Variant(_) => "a-variant",
        TypeDef::Enum(_) => "an-enum",
        TypeDef::Flags(_) => "some-flags",
        _ => "a-type",
    }
}

/// The lines above a declaration.
pub(super) fn attributes(said: Option<&Extern>) -> Vec<String> {
    let id = said.and_then(|said| said.external_id.as_deref());
    id.map(|id| format!("@external-id({})", string(id)))
        .into_iter()
        .collect()
}

/// A string literal of WIT.
fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            // WIT refuses some letters too, as they are deprecated.
            c if c.is_alphanumeric() && !DEPRECATED.contains(&c) => out.push(c),
            c => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
        }
    }
    out.push('"');
    out
}

/// Letters that Unicode deprecates and WIT therefore forbids in files.
const DEPRECATED: &[char] = &[
    '\u{149}', '\u{673}', '\u{f77}', '\u{f79}', '\u{17a3}', '\u{17a4}', '\u{17b4}', '\u{17b5}',
];
