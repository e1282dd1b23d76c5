//! `flags!`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Ident, Path, Result, Token, Visibility, braced, parse_quote};

use crate::attributes::{TypeAttributes, check_names, name};

/// The most flags that a type may have (component model, `Binary.md`: "flags").
const MAX_FLAGS: usize = 32;

/// The contents of the braces of `flags!`.
pub(crate) struct Flags {
    attributes: Vec<Attribute>,
    krate: Path,
    visibility: Visibility,
    ident: Ident,
    flags: Vec<Flag>,
}

struct Flag {
    attributes: Vec<Attribute>,
    ident: Ident,
    name: String,
}

impl Parse for Flags {
    fn parse(input: ParseStream<'_>) -> Result<Flags> {
        let (own, attributes) = split(input.call(Attribute::parse_outer)?);
        let found = TypeAttributes::of(&own)?;
        if let Some((_, span)) = found.kind {
            return Err(Error::new(span, "expected `crate = path`"));
        }
        let visibility = input.parse()?;
        let ident: Ident = input.parse()?;
        let content;
        braced!(content in input);
        let mut flags = Vec::new();
        while !content.is_empty() {
            flags.push(content.call(Flag::parse)?);
        }
        if flags.is_empty() || flags.len() > MAX_FLAGS {
            let message = format!("{} flags; there are 1 to {MAX_FLAGS}", flags.len());
            return Err(Error::new(ident.span(), message));
        }
        check_names(
            flags
                .iter()
                .map(|flag| (flag.name.as_str(), flag.ident.span())),
        )?;
        Ok(Flags {
            attributes,
            krate: found.krate.unwrap_or_else(|| parse_quote!(::cwasm)),
            visibility,
            ident,
            flags,
        })
    }
}

impl Flag {
    fn parse(input: ParseStream<'_>) -> Result<Flag> {
        let (own, attributes) = split(input.call(Attribute::parse_outer)?);
        input.parse::<Token![const]>()?;
        let ident: Ident = input.parse()?;
        input.parse::<Token![;]>()?;
        let name = name(&own, &ident)?;
        Ok(Flag {
            attributes,
            ident,
            name,
        })
    }
}

/// Splits attributes into ours and the others.
fn split(attributes: Vec<Attribute>) -> (Vec<Attribute>, Vec<Attribute>) {
    attributes
        .into_iter()
        .partition(|attribute| attribute.path().is_ident("component"))
}

/// The type with its operators and implementations.
pub(crate) fn expand(input: &Flags) -> TokenStream {
    let Flags {
        attributes,
        krate,
        visibility,
        ident,
        flags,
    } = input;
    let bits = Ident::new(
        match flags.len() {
            0..=8 => "u8",
            9..=16 => "u16",
            _ => "u32",
        },
        Span::call_site(),
    );
    let all = u32::MAX >> (32 - flags.len());
    let docs = flags.iter().map(|flag| &flag.attributes);
    let constants: Vec<_> = flags.iter().map(|flag| &flag.ident).collect();
    let names: Vec<_> = flags.iter().map(|flag| &flag.name).collect();
    let places = 0..flags.len() as u32;
    let operators = operators(ident);
    let implementations = implementations(krate, ident, &bits, &names);
    quote! {
        #(#attributes)*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        #visibility struct #ident {
            bits: #bits,
        }

        #[allow(dead_code)]
        impl #ident {
            #(#(#docs)* pub const #constants: Self = Self { bits: 1 << #places };)*

            /// No flags.
            pub const fn empty() -> Self {
                Self { bits: 0 }
            }

            /// All flags.
            pub const fn all() -> Self {
                Self { bits: #all as #bits }
            }

            /// The flags as bits, the first one lowest.
            pub const fn bits(self) -> u32 {
                self.bits as u32
            }

            /// The flags of these bits; bits that are no flag are ignored.
            pub const fn from_bits_truncate(bits: u32) -> Self {
                Self { bits: (bits & #all) as #bits }
            }

            /// Whether no flag is set.
            pub const fn is_empty(self) -> bool {
                self.bits == 0
            }

            /// Whether all flags of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.bits & other.bits == other.bits
            }

            /// Whether any flag of `other` is set.
            pub const fn intersects(self, other: Self) -> bool {
                self.bits & other.bits != 0
            }

            /// Sets or clears the flags of `other`.
            pub fn set(&mut self, other: Self, value: bool) {
                if value {
                    self.bits |= other.bits;
                } else {
                    self.bits &= !other.bits;
                }
            }
        }

        impl ::core::fmt::Debug for #ident {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(::core::concat!(::core::stringify!(#ident), "("))?;
                let mut separator = "";
                for (flag, name) in [#((Self::#constants, ::core::stringify!(#constants))),*] {
                    if self.contains(flag) {
                        f.write_str(separator)?;
                        f.write_str(name)?;
                        separator = " | ";
                    }
                }
                f.write_str(")")
            }
        }

        #operators
        #implementations
    }
}

fn operators(ident: &Ident) -> TokenStream {
    let binary = [
        ("BitOr", "bitor", quote!(self.bits | other.bits)),
        ("BitAnd", "bitand", quote!(self.bits & other.bits)),
        ("BitXor", "bitxor", quote!(self.bits ^ other.bits)),
        ("Sub", "sub", quote!(self.bits & !other.bits)),
    ];
    let binary = binary.into_iter().map(|(name, method, bits)| {
        let assign = Ident::new(&format!("{name}Assign"), Span::call_site());
        let assign_method = Ident::new(&format!("{method}_assign"), Span::call_site());
        let (name, method) = (
            Ident::new(name, Span::call_site()),
            Ident::new(method, Span::call_site()),
        );
        quote! {
            impl ::core::ops::#name for #ident {
                type Output = Self;

                fn #method(self, other: Self) -> Self {
                    Self { bits: #bits }
                }
            }

            impl ::core::ops::#assign for #ident {
                fn #assign_method(&mut self, other: Self) {
                    *self = ::core::ops::#name::#method(*self, other);
                }
            }
        }
    });
    quote! {
        #(#binary)*

        impl ::core::ops::Not for #ident {
            type Output = Self;

            fn not(self) -> Self {
                Self::all() - self
            }
        }
    }
}

fn implementations(krate: &Path, ident: &Ident, bits: &Ident, names: &[&String]) -> TokenStream {
    let derive = quote!(#krate::__derive);
    let count = names.len();
    quote! {
        impl #krate::ComponentType for #ident {
            // Made by `flags!` for these flags.
            const SEAL: #krate::__derive::Seal = #krate::__derive::Seal::KEPT;

            const HASH: #derive::TypeHash = #derive::flags_hash(&[#(#names),*]);
            const LAYOUT: #derive::Layout = #derive::Layout::flags(#count);
            const FLAT: #derive::Flat = #derive::Flat::one(#derive::FlatType::I32);

            fn describe(types: &mut #derive::Types) -> ::core::option::Option<#derive::ValueType> {
                ::core::option::Option::Some(#derive::push_flags(types, &[#(#names),*]))
            }
        }

        impl #krate::Lower for #ident {
            // Writes the bits as an integer of the flags' size. No other bits are ever set.
            const SEAL: #krate::__derive::Seal = #krate::__derive::Seal::KEPT;

            const IS_CANONICAL: bool = true;

            #[inline]
            fn lower_flat(
                &self,
                _: &mut #krate::__derive::LowerContext<'_>,
                out: &mut [u64],
            ) -> #krate::Result<()> {
                out[0] = u64::from(self.bits);
                ::core::result::Result::Ok(())
            }

            #[inline]
            fn write(&self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.bits.to_le_bytes());
            }
        }

        impl #krate::Lift for #ident {
            // Ignores bits that are not flags, as the canonical ABI does.
            const SEAL: #krate::__derive::Seal = #krate::__derive::Seal::KEPT;

            #[inline]
            fn lift_flat(
                _: &mut #krate::__derive::LiftContext<'_>,
                flat: &[u64],
            ) -> #krate::Result<Self> {
                ::core::result::Result::Ok(Self::from_bits_truncate(flat[0] as u32))
            }

            #[inline]
            fn load(
                cx: &mut #krate::__derive::LiftContext<'_>,
                bytes: &[u8],
            ) -> #krate::Result<Self> {
                let bits = <#bits as #krate::Lift>::load(cx, bytes)?;
                ::core::result::Result::Ok(Self::from_bits_truncate(u32::from(bits)))
            }
        }
    }
}
