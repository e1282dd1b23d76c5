//! Derives of the traits of typed calls. Use them through the crate `cwasm`, which documents them.

mod attributes;
#[cfg(feature = "bindgen")]
mod bindgen;
mod derive;
mod flags;
mod names;
mod shape;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use derive::Trait;

/// See `cwasm::ComponentType`.
#[proc_macro_derive(ComponentType, attributes(component))]
pub fn component_type(input: TokenStream) -> TokenStream {
    expand(Trait::ComponentType, &parse_macro_input!(input))
}

/// See `cwasm::Lower`.
#[proc_macro_derive(Lower, attributes(component))]
pub fn lower(input: TokenStream) -> TokenStream {
    expand(Trait::Lower, &parse_macro_input!(input))
}

/// See `cwasm::Lift`.
#[proc_macro_derive(Lift, attributes(component))]
pub fn lift(input: TokenStream) -> TokenStream {
    expand(Trait::Lift, &parse_macro_input!(input))
}

/// See `cwasm::flags`.
#[proc_macro]
pub fn flags(input: TokenStream) -> TokenStream {
    flags::expand(&parse_macro_input!(input)).into()
}

/// See `cwasm::bindgen`.
#[cfg(feature = "bindgen")]
#[proc_macro]
pub fn bindgen(input: TokenStream) -> TokenStream {
    bindgen::expand(&parse_macro_input!(input))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn expand(which: Trait, input: &DeriveInput) -> TokenStream {
    shape::Shape::new(input)
        .map(|shape| derive::expand(which, input, &shape))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
