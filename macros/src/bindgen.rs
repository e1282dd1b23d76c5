//! `bindgen!`: generates the code that a host needs for a world from its WIT.
//!
//! ```text
//! options -> Resolve (wit-parser) -> modules of types, host traits and guests -> tokens
//! ```

mod functions;
mod idents;
mod modules;
mod options;
mod resources;
mod rules;
mod types;
mod world;

use std::path::PathBuf;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, Result};
use wit_parser::{PackageId, Resolve, WorldId};

pub(crate) use options::BindgenOptions;

/// The folder that is read by default.
const DEFAULT_PATH: &str = "wit";

/// The output of `bindgen!`.
pub(crate) fn expand(options: &BindgenOptions) -> Result<TokenStream> {
    let mut resolve = Resolve::default();
    let (package, files) = read(&mut resolve, options)?;
    let world = select(&resolve, package, options)?;
    let tokens = world::expand(&resolve, world, options)?;
    // Makes the compiler expand the macro again when these files change.
    let files = files.iter().map(|file| file.display().to_string());
    Ok(quote! {
        #tokens
        #(const _: &str = ::core::include_str!(#files);)*
    })
}

/// Reads the package; returns it and its files.
fn read(resolve: &mut Resolve, options: &BindgenOptions) -> Result<(PackageId, Vec<PathBuf>)> {
    let span = |literal: &Option<syn::LitStr>| {
        literal
            .as_ref()
            .map_or_else(Span::call_site, syn::LitStr::span)
    };
    let failed = |span, error: &anyhow::Error| Error::new(span, format!("{error:#}"));
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_default();
    let path = options.path.as_ref().map(syn::LitStr::value);
    let mut files = Vec::new();
    let mut read_path = |resolve: &mut Resolve, path: &str| {
        let path = folder.join(path);
        let (package, sources) = resolve
            .push_path(&path)
            .map_err(|error| failed(span(&options.path), &error))?;
        files.extend(sources.paths().map(PathBuf::from));
        Ok::<_, Error>(package)
    };
    let Some(inline) = &options.inline else {
        let package = read_path(resolve, path.as_deref().unwrap_or(DEFAULT_PATH))?;
        return Ok((package, files));
    };
    // The inline package may use packages in files.
    if let Some(path) = path {
        read_path(resolve, &path)?;
    }
    let package = resolve
        .push_str("inline", &inline.value())
        .map_err(|error| failed(inline.span(), &error))?;
    Ok((package, files))
}

fn select(resolve: &Resolve, package: PackageId, options: &BindgenOptions) -> Result<WorldId> {
    let name = options.world.as_ref().map(syn::LitStr::value);
    resolve
        .select_world(&[package], name.as_deref())
        .map_err(|error| {
            let span = options.world.as_ref().map(syn::LitStr::span);
            Error::new(span.unwrap_or_else(Span::call_site), format!("{error:#}"))
        })
}
