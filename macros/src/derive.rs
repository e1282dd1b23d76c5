//! The output of the derives.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{DeriveInput, Generics, Path, parse_quote};

use crate::shape::{Case, NamedField, Parts, Shape};

/// A trait that can be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trait {
    ComponentType,
    Lower,
    Lift,
}

impl Trait {
    fn ident(self) -> Ident {
        let name = match self {
            Trait::ComponentType => "ComponentType",
            Trait::Lower => "Lower",
            Trait::Lift => "Lift",
        };
        Ident::new(name, Span::call_site())
    }
}

/// The implementation of a trait for a type.
pub(crate) fn expand(which: Trait, input: &DeriveInput, shape: &Shape) -> TokenStream {
    let krate = &shape.krate;
    let items = match (&shape.parts, which) {
        (Parts::Record(fields), Trait::ComponentType) => record_type(krate, fields),
        (Parts::Record(fields), Trait::Lower) => record_lower(krate, fields),
        (Parts::Record(fields), Trait::Lift) => record_lift(krate, fields),
        (Parts::Variant(cases), Trait::ComponentType) => variant_type(krate, cases),
        (Parts::Enum(cases), Trait::ComponentType) => enum_type(krate, cases),
        (Parts::Variant(cases) | Parts::Enum(cases), Trait::Lower) => cases_lower(krate, cases),
        (Parts::Variant(cases) | Parts::Enum(cases), Trait::Lift) => cases_lift(krate, cases),
    };
    let generics = bounded(&input.generics, which, krate);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let (name, ident) = (which.ident(), &input.ident);
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::#name for #ident #type_generics #where_clause {
            // Made by the derive from the type's own fields.
            const SEAL: #krate::__derive::Seal = #krate::__derive::Seal::KEPT;

            #items
        }
    }
}

/// The type's parameters, each with the trait as a bound.
fn bounded(generics: &Generics, which: Trait, krate: &Path) -> Generics {
    let mut generics = generics.clone();
    let name = which.ident();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#krate::#name));
    }
    generics
}

fn record_type(krate: &Path, fields: &[NamedField]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    quote! {
        const HASH: #derive::TypeHash = #derive::record_hash(
            &[#((#names, <#types as #krate::ComponentType>::HASH)),*],
        );
        const LAYOUT: #derive::Layout =
            #derive::Layout::record(&[#(<#types as #krate::ComponentType>::LAYOUT),*]);
        const FLAT: #derive::Flat =
            #derive::concat(&[#(<#types as #krate::ComponentType>::FLAT),*]);
        const HOLDS_VIEWS: bool = #(<#types as #krate::ComponentType>::HOLDS_VIEWS)||*;
        const HAS_POINTERS: bool = #(<#types as #krate::ComponentType>::HAS_POINTERS)||*;
        const HANDLES: usize = 0 #(+ <#types as #krate::ComponentType>::HANDLES)*;

        fn handles(found: &mut ::std::vec::Vec<#derive::HandleType>) {
            #(<#types as #krate::ComponentType>::handles(found);)*
        }

        fn describe(types: &mut #derive::Types) -> ::core::option::Option<#derive::ValueType> {
            let fields = ::std::vec![#((#names, #derive::describe_part::<#types>(types))),*];
            ::core::option::Option::Some(#derive::push_record(types, fields))
        }
    }
}

/// An expression: whether Rust lays the type out as the component model does.
fn record_is_canonical(krate: &Path, which: Trait, fields: &[NamedField]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let name = which.ident();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    quote! {
        const IS_CANONICAL: bool = #(<#types as #krate::#name>::IS_CANONICAL)&&*
            && #derive::is_canonical(
                ::core::mem::size_of::<Self>(),
                &[#((
                    ::core::mem::offset_of!(Self, #idents),
                    ::core::mem::size_of::<#types>(),
                    <#types as #krate::ComponentType>::LAYOUT,
                )),*],
            );
    }
}

fn record_lower(krate: &Path, fields: &[NamedField]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let (types, idents, indices) = columns(fields);
    let is_canonical = record_is_canonical(krate, Trait::Lower, fields);
    quote! {
        #is_canonical

        #[inline]
        fn lower_flat(
            &self,
            cx: &mut #krate::__derive::LowerContext<'_>,
            out: &mut [u64],
        ) -> #krate::Result<()> {
            let offsets = const {
                #derive::flat_offsets([#(<#types as #krate::ComponentType>::FLAT),*])
            };
            #(
                <#types as #krate::Lower>::lower_flat(
                    &self.#idents,
                    cx,
                    &mut out[offsets[#indices]..]
                        [..<#types as #krate::ComponentType>::FLAT.count()],
                )?;
                cx.skip_handles(<#types as #krate::ComponentType>::HANDLES);
            )*
            cx.rewind_handles(<Self as #krate::ComponentType>::HANDLES);
            ::core::result::Result::Ok(())
        }

        #[inline]
        fn store(
            &self,
            cx: &mut #krate::__derive::LowerContext<'_>,
            offset: usize,
        ) -> #krate::Result<()> {
            let offsets = const {
                #derive::field_offsets([#(<#types as #krate::ComponentType>::LAYOUT),*])
            };
            let width = cx.width();
            #(
                <#types as #krate::Lower>::store(
                    &self.#idents,
                    cx,
                    offset + offsets[#indices].at(width),
                )?;
                cx.skip_handles(<#types as #krate::ComponentType>::HANDLES);
            )*
            cx.rewind_handles(<Self as #krate::ComponentType>::HANDLES);
            ::core::result::Result::Ok(())
        }

        #[inline]
        fn write(&self, bytes: &mut [u8]) {
            let offsets = const {
                #derive::field_offsets([#(<#types as #krate::ComponentType>::LAYOUT),*])
            };
            #(<#types as #krate::Lower>::write(
                &self.#idents,
                &mut bytes[offsets[#indices].plain()..]
                    [..<#types as #krate::ComponentType>::LAYOUT.plain().size as usize],
            );)*
        }
    }
}

fn record_lift(krate: &Path, fields: &[NamedField]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let (types, idents, indices) = columns(fields);
    let is_canonical = record_is_canonical(krate, Trait::Lift, fields);
    quote! {
        #is_canonical

        #[inline]
        fn lift_flat(
            cx: &mut #krate::__derive::LiftContext<'_>,
            flat: &[u64],
        ) -> #krate::Result<Self> {
            let offsets = const {
                #derive::flat_offsets([#(<#types as #krate::ComponentType>::FLAT),*])
            };
            let value = Self {
                #(#idents: {
                    let field = <#types as #krate::Lift>::lift_flat(
                        cx,
                        &flat[offsets[#indices]..]
                            [..<#types as #krate::ComponentType>::FLAT.count()],
                    )?;
                    cx.skip_handles(<#types as #krate::ComponentType>::HANDLES);
                    field
                }),*
            };
            cx.rewind_handles(<Self as #krate::ComponentType>::HANDLES);
            ::core::result::Result::Ok(value)
        }

        #[inline]
        fn load(cx: &mut #krate::__derive::LiftContext<'_>, bytes: &[u8]) -> #krate::Result<Self> {
            let offsets = const {
                #derive::field_offsets([#(<#types as #krate::ComponentType>::LAYOUT),*])
            };
            let width = cx.width();
            let value = Self {
                #(#idents: {
                    let field = <#types as #krate::Lift>::load(
                        cx,
                        &bytes[offsets[#indices].at(width)..]
                            [..<#types as #krate::ComponentType>::LAYOUT.at(width).size as usize],
                    )?;
                    cx.skip_handles(<#types as #krate::ComponentType>::HANDLES);
                    field
                }),*
            };
            cx.rewind_handles(<Self as #krate::ComponentType>::HANDLES);
            ::core::result::Result::Ok(value)
        }
    }
}

/// Types, names and places of fields.
fn columns(fields: &[NamedField]) -> (Vec<&syn::Type>, Vec<&Ident>, Vec<usize>) {
    let types = fields.iter().map(|field| &field.ty).collect();
    let idents = fields.iter().map(|field| &field.ident).collect();
    (types, idents, (0..fields.len()).collect())
}

/// The types of payloads; `()` is an absent one.
fn payloads(cases: &[Case]) -> Vec<TokenStream> {
    cases
        .iter()
        .map(|case| match &case.payload {
            Some(ty) => quote!(#ty),
            None => quote!(()),
        })
        .collect()
}

fn variant_type(krate: &Path, cases: &[Case]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    let types = payloads(cases);
    quote! {
        const HASH: #derive::TypeHash = #derive::variant_hash(
            &[#((#names, <#types as #krate::ComponentType>::HASH)),*],
        );
        const LAYOUT: #derive::Layout =
            #derive::Layout::variant(&[#(<#types as #krate::ComponentType>::LAYOUT),*]);
        const FLAT: #derive::Flat =
            #derive::Flat::variant(&[#(<#types as #krate::ComponentType>::FLAT),*]);
        const HOLDS_VIEWS: bool = #(<#types as #krate::ComponentType>::HOLDS_VIEWS)||*;
        const HAS_POINTERS: bool = #(<#types as #krate::ComponentType>::HAS_POINTERS)||*;
        const HANDLES: usize = 0 #(+ <#types as #krate::ComponentType>::HANDLES)*;

        fn handles(found: &mut ::std::vec::Vec<#derive::HandleType>) {
            #(<#types as #krate::ComponentType>::handles(found);)*
        }

        fn describe(types: &mut #derive::Types) -> ::core::option::Option<#derive::ValueType> {
            let cases =
                ::std::vec![#((#names, <#types as #krate::ComponentType>::describe(types))),*];
            ::core::option::Option::Some(#derive::push_variant(types, cases))
        }
    }
}

fn enum_type(krate: &Path, cases: &[Case]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    let count = cases.len();
    quote! {
        const HASH: #derive::TypeHash = #derive::enum_hash(&[#(#names),*]);
        const LAYOUT: #derive::Layout =
            #derive::Layout::variant(&[#derive::Layout::EMPTY; #count]);
        const FLAT: #derive::Flat = #derive::Flat::variant(&[]);

        fn describe(types: &mut #derive::Types) -> ::core::option::Option<#derive::ValueType> {
            ::core::option::Option::Some(#derive::push_enum(types, &[#(#names),*]))
        }
    }
}

/// Expressions for the number of handles in the cases before each one. They only name payloads: an
/// enum may have many cases, and the expression is in every arm with a payload.
fn handles_before(krate: &Path, cases: &[Case]) -> Vec<TokenStream> {
    (0..cases.len())
        .map(|case| {
            let types = cases[..case]
                .iter()
                .filter_map(|case| case.payload.as_ref());
            quote!(const { 0 #(+ <#types as #krate::ComponentType>::HANDLES)* })
        })
        .collect()
}

/// For each case, a pattern that binds a payload to `payload`, and the expression for the payload
/// in the arm.
fn arms(cases: &[Case]) -> (Vec<TokenStream>, Vec<TokenStream>) {
    cases
        .iter()
        .map(|case| {
            let ident = &case.ident;
            match case.payload {
                Some(_) => (quote!(Self::#ident(payload)), quote!(payload)),
                None => (quote!(Self::#ident), quote!(&())),
            }
        })
        .unzip()
}

fn cases_lower(krate: &Path, cases: &[Case]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let (patterns, values) = arms(cases);
    let types = payloads(cases);
    let numbers: Vec<u32> = (0..cases.len() as u32).collect();
    let count = cases.len();
    let before = handles_before(krate, cases);
    // The code that lowers each case. Only payloads contain handles.
    let bodies = |calls: Vec<TokenStream>| {
        let cases = cases.iter().zip(&before).zip(calls);
        let bodies = cases.map(|((case, before), call)| match case.payload {
            Some(_) => quote!({
                cx.skip_handles(#before);
                #call?;
                cx.rewind_handles(#before);
                ::core::result::Result::Ok(())
            }),
            None => call,
        });
        bodies.collect::<Vec<_>>()
    };
    let rows = || numbers.iter().zip(&types).zip(&values);
    let flat = bodies(
        rows()
            .map(|((number, ty), value)| {
                quote!(#derive::lower_case::<#ty>(#number, #value, cx, out))
            })
            .collect(),
    );
    let stored = bodies(
        rows()
            .map(|((number, ty), value)| {
                quote!(#derive::store_case::<Self, #ty, #count>(#number, #value, cx, offset))
            })
            .collect(),
    );
    quote! {
        #[inline]
        fn lower_flat(
            &self,
            cx: &mut #krate::__derive::LowerContext<'_>,
            out: &mut [u64],
        ) -> #krate::Result<()> {
            match self { #(#patterns => #flat,)* }
        }

        #[inline]
        fn store(
            &self,
            cx: &mut #krate::__derive::LowerContext<'_>,
            offset: usize,
        ) -> #krate::Result<()> {
            match self { #(#patterns => #stored,)* }
        }

        #[inline]
        fn write(&self, bytes: &mut [u8]) {
            match self {
                #(#patterns => #derive::write_case::<Self, #types, #count>(
                    #numbers, #values, bytes,
                ),)*
            }
        }
    }
}

fn cases_lift(krate: &Path, cases: &[Case]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let count = cases.len();
    let before = handles_before(krate, cases);
    let make = |case: &Case, before: &TokenStream, read: TokenStream| {
        let ident = &case.ident;
        match &case.payload {
            Some(ty) => quote!({
                cx.skip_handles(#before);
                let payload = <#ty as #krate::Lift>::#read?;
                cx.rewind_handles(#before);
                ::core::result::Result::Ok(Self::#ident(payload))
            }),
            None => quote!(::core::result::Result::Ok(Self::#ident)),
        }
    };
    let numbers: Vec<u32> = (0..count as u32).collect();
    let types = payloads(cases);
    let all = || cases.iter().zip(&types).zip(&before);
    let flat = all().map(|((case, ty), before)| {
        make(
            case,
            before,
            quote!(lift_flat(cx, #derive::flat_payload::<#ty>(flat))),
        )
    });
    let loaded = all().map(|((case, ty), before)| {
        let bytes = quote!(#derive::payload_bytes::<Self, #ty, #count>(cx, bytes));
        make(case, before, quote!(load(cx, #bytes)))
    });
    let (flat_cx, load_cx) = match cases.iter().all(|case| case.payload.is_none()) {
        true => (format_ident!("_cx"), format_ident!("_cx")),
        false => (format_ident!("cx"), format_ident!("cx")),
    };
    quote! {
        #[inline]
        fn lift_flat(
            #flat_cx: &mut #krate::__derive::LiftContext<'_>,
            flat: &[u64],
        ) -> #krate::Result<Self> {
            match flat[0] as u32 {
                #(#numbers => #flat,)*
                _ => ::core::result::Result::Err(#derive::invalid_discriminant()),
            }
        }

        #[inline]
        fn load(
            #load_cx: &mut #krate::__derive::LiftContext<'_>,
            bytes: &[u8],
        ) -> #krate::Result<Self> {
            match #derive::discriminant::<#count>(bytes) {
                #(#numbers => #loaded,)*
                _ => ::core::result::Result::Err(#derive::invalid_discriminant()),
            }
        }
    }
}
