//! `#[component(...)]`.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Ident, LitStr, Path, Result};

use crate::names;

/// The contents of a type's attributes.
#[derive(Default)]
pub(crate) struct TypeAttributes {
    /// The kind of component type that it stands for, if given.
    pub(crate) kind: Option<(Kind, Span)>,
    /// The path of the crate `cwasm`.
    pub(crate) krate: Option<Path>,
}

/// The kind of component type that a Rust type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Record,
    Variant,
    Enum,
}

impl TypeAttributes {
    pub(crate) fn of(attributes: &[Attribute]) -> Result<TypeAttributes> {
        let mut found = TypeAttributes::default();
        for attribute in ours(attributes) {
            attribute.parse_nested_meta(|meta| {
                let kind = [
                    ("record", Kind::Record),
                    ("variant", Kind::Variant),
                    ("enum", Kind::Enum),
                ]
                .into_iter()
                .find(|(name, _)| meta.path.is_ident(name));
                if let Some((_, kind)) = kind {
                    if found.kind.is_some() {
                        return Err(meta.error("a type stands for one component type"));
                    }
                    found.kind = Some((kind, meta.path.span()));
                    return Ok(());
                }
                if meta.path.is_ident("crate") {
                    found.krate = Some(meta.value()?.parse()?);
                    return Ok(());
                }
                Err(meta.error("expected `record`, `variant`, `enum` or `crate = path`"))
            })?;
        }
        Ok(found)
    }
}

/// The component's name for a field, case or flag: the one in `#[component(name = "...")]`, else
/// the Rust name in kebab case.
pub(crate) fn name(attributes: &[Attribute], ident: &Ident) -> Result<String> {
    let mut found: Option<LitStr> = None;
    for attribute in ours(attributes) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("expected `name = \"...\"`"));
            }
            if found.is_some() {
                return Err(meta.error("there is one name"));
            }
            found = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    let (name, span) = match &found {
        Some(literal) => (literal.value(), literal.span()),
        None => (names::kebab(ident), ident.span()),
    };
    match names::fault(&name) {
        None => Ok(name),
        Some(fault) => Err(Error::new(span, fault)),
    }
}

/// Checks that names differ. The component model ignores case when it compares them.
pub(crate) fn check_names<'a>(names: impl IntoIterator<Item = (&'a str, Span)>) -> Result<()> {
    let mut known: Vec<String> = Vec::new();
    for (name, span) in names {
        let lower = name.to_lowercase();
        if known.contains(&lower) {
            return Err(Error::new(span, format!("there is a `{name}` already")));
        }
        known.push(lower);
    }
    Ok(())
}

fn ours(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("component"))
}
