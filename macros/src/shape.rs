//! Reads a Rust type as a component type, and finds its faults.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::{
    Data, DeriveInput, Error, Field, Fields, Ident, Path, Result, Type, Variant, parse_quote,
};

use crate::attributes::{Kind, TypeAttributes, check_names, name};

/// A Rust type as a component type.
pub(crate) struct Shape {
    pub(crate) parts: Parts,
    /// The path of the crate `cwasm`.
    pub(crate) krate: Path,
}

pub(crate) enum Parts {
    Record(Vec<NamedField>),
    Variant(Vec<Case>),
    Enum(Vec<Case>),
}

/// A field of a record.
pub(crate) struct NamedField {
    pub(crate) name: String,
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
}

/// A case of a variant or enum.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) ident: Ident,
    pub(crate) payload: Option<Type>,
}

impl Shape {
    pub(crate) fn new(input: &DeriveInput) -> Result<Shape> {
        let attributes = TypeAttributes::of(&input.attrs)?;
        let parts = match &input.data {
            Data::Struct(data) => {
                expect_kind(&attributes, &[Kind::Record], "a struct is a `record`")?;
                Parts::Record(fields(&data.fields, input.ident.span())?)
            }
            Data::Enum(data) => {
                let expected = "an enum is a `variant` or an `enum`";
                expect_kind(&attributes, &[Kind::Variant, Kind::Enum], expected)?;
                let cases: Vec<Case> = data.variants.iter().map(case).collect::<Result<_>>()?;
                let spans = data.variants.iter().map(|variant| variant.ident.span());
                check_names(cases.iter().map(|case| case.name.as_str()).zip(spans))?;
                if cases.is_empty() {
                    let message = "a component type has at least one case";
                    return Err(Error::new(input.ident.span(), message));
                }
                enum_parts(cases, attributes.kind.map(|(kind, _)| kind))?
            }
            Data::Union(data) => {
                let message = "a union is no component type; use an enum";
                return Err(Error::new(data.union_token.span(), message));
            }
        };
        let krate = attributes.krate.unwrap_or_else(|| parse_quote!(::cwasm));
        Ok(Shape { parts, krate })
    }
}

fn expect_kind(attributes: &TypeAttributes, allowed: &[Kind], message: &str) -> Result<()> {
    match attributes.kind {
        Some((kind, span)) if !allowed.contains(&kind) => Err(Error::new(span, message)),
        _ => Ok(()),
    }
}

fn fields(fields: &Fields, span: Span) -> Result<Vec<NamedField>> {
    let Fields::Named(named) = fields else {
        let message = "a record has named fields; for a tuple use a tuple";
        let span = if fields.is_empty() {
            span
        } else {
            fields.span()
        };
        return Err(Error::new(span, message));
    };
    let fields: Vec<NamedField> = named.named.iter().map(field).collect::<Result<_>>()?;
    if fields.is_empty() {
        return Err(Error::new(span, "a record has at least one field"));
    }
    check_names(
        fields
            .iter()
            .map(|field| (field.name.as_str(), field.ident.span())),
    )?;
    Ok(fields)
}

fn field(field: &Field) -> Result<NamedField> {
    let Some(ident) = &field.ident else {
        return Err(Error::new(field.span(), "a record has named fields"));
    };
    Ok(NamedField {
        name: name(&field.attrs, ident)?,
        ident: ident.clone(),
        ty: field.ty.clone(),
    })
}

fn case(variant: &Variant) -> Result<Case> {
    if let Some((_, discriminant)) = &variant.discriminant {
        let message = "cases are numbered in their order; a discriminant of its own has no meaning";
        return Err(Error::new(discriminant.span(), message));
    }
    let payload = match &variant.fields {
        Fields::Unit => None,
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Some(fields.unnamed[0].ty.clone()),
        fields => {
            let message = "a case has at most one payload; for several use a tuple or a record";
            return Err(Error::new(fields.span(), message));
        }
    };
    Ok(Case {
        name: name(&variant.attrs, &variant.ident)?,
        ident: variant.ident.clone(),
        payload,
    })
}

/// The cases of a Rust enum. If none has a payload and no kind is given, they are an enum.
fn enum_parts(cases: Vec<Case>, kind: Option<Kind>) -> Result<Parts> {
    let with_payload = cases.iter().find(|case| case.payload.is_some());
    match (kind, with_payload) {
        (Some(Kind::Enum), Some(case)) => Err(Error::new(
            case.payload.span(),
            "a case of an `enum` has no payload; `variant` is what has",
        )),
        (Some(Kind::Variant), _) | (_, Some(_)) => Ok(Parts::Variant(cases)),
        (_, None) => Ok(Parts::Enum(cases)),
    }
}
