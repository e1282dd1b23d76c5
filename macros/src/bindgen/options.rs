//! The options of `bindgen!`.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitBool, LitStr, Path, Result, Token, braced, bracketed, token};

use super::rules::{Rules, Side};

/// The contents of the parentheses of `bindgen!`.
#[derive(Default)]
pub(crate) struct BindgenOptions {
    /// A file or folder, relative to the folder of `Cargo.toml`.
    pub(crate) path: Option<LitStr>,
    /// A package in place of a file.
    pub(crate) inline: Option<LitStr>,
    pub(crate) world: Option<LitStr>,
    /// Interfaces and types that exist already: their names in the world, and their Rust paths.
    pub(crate) with: Vec<(LitStr, Path)>,
    /// Error types, and the host's own error type that host functions return in place of each.
    pub(crate) error_types: Vec<(LitStr, Path)>,
    pub(crate) trappable: Trappable,
    /// What is chosen for each function.
    pub(crate) imports: Option<Rules>,
    pub(crate) exports: Option<Rules>,
    /// Traits that generated types derive in addition to the usual ones.
    pub(crate) derives: Vec<Path>,
    pub(crate) krate: Option<Path>,
}

/// Which host functions can return an error that ends the call as a trap does.
#[derive(Default)]
pub(crate) enum Trappable {
    #[default]
    None,
    All,
    /// By name: `f`, or `a:b/c#f`.
    Named(Vec<LitStr>),
}

impl Parse for BindgenOptions {
    fn parse(input: ParseStream<'_>) -> Result<BindgenOptions> {
        let mut options = BindgenOptions::default();
        if input.peek(token::Brace) {
            let content;
            braced!(content in input);
            while !content.is_empty() {
                options.option(&content)?;
                if !content.is_empty() {
                    content.parse::<Token![,]>()?;
                }
            }
            return Ok(options);
        }
        // `bindgen!("world" in "path")`, either part may be absent.
        if input.peek(LitStr) {
            options.world = Some(input.parse()?);
        }
        if input.peek(Token![in]) {
            input.parse::<Token![in]>()?;
            options.path = Some(input.parse()?);
        }
        Ok(options)
    }
}

impl BindgenOptions {
    fn option(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(Token![crate]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![:]>()?;
            return once(
                &mut self.krate,
                input.call(Path::parse_mod_style)?,
                "crate",
                input.span(),
            );
        }
        let name: Ident = input.parse()?;
        input.parse::<Token![:]>()?;
        match name.to_string().as_str() {
            "path" => once(&mut self.path, input.parse()?, "path", name.span()),
            "inline" => once(&mut self.inline, input.parse()?, "inline", name.span()),
            "world" => once(&mut self.world, input.parse()?, "world", name.span()),
            "with" => {
                self.with = map(input, |input| input.parse::<Token![:]>().map(drop))?;
                Ok(())
            }
            "trappable_error_type" => {
                self.error_types = map(input, |input| input.parse::<Token![=>]>().map(drop))?;
                Ok(())
            }
            "trappable_imports" => {
                self.trappable = trappable(input)?;
                Ok(())
            }
            "imports" => {
                let rules = Rules::parse(input, Side::Imports)?;
                once(&mut self.imports, rules, "imports", name.span())
            }
            "exports" => {
                let rules = Rules::parse(input, Side::Exports)?;
                once(&mut self.exports, rules, "exports", name.span())
            }
            "additional_derives" => {
                self.derives = list(input)?;
                Ok(())
            }
            _ => Err(Error::new(
                name.span(),
                "expected `path`, `inline`, `world`, `with`, `imports`, `exports`, \
                 `trappable_imports`, `trappable_error_type`, `additional_derives` or `crate`",
            )),
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T, name: &str, span: Span) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(span, format!("there is a `{name}` already"))),
    }
}

fn trappable(input: ParseStream<'_>) -> Result<Trappable> {
    if input.peek(LitBool) {
        return Ok(match input.parse::<LitBool>()?.value {
            true => Trappable::All,
            false => Trappable::None,
        });
    }
    Ok(Trappable::Named(list(input)?))
}

fn list<T: Parse>(input: ParseStream<'_>) -> Result<Vec<T>> {
    let content;
    bracketed!(content in input);
    let items = content.parse_terminated(T::parse, Token![,])?;
    Ok(items.into_iter().collect())
}

fn map(
    input: ParseStream<'_>,
    separator: fn(ParseStream<'_>) -> Result<()>,
) -> Result<Vec<(LitStr, Path)>> {
    let content;
    braced!(content in input);
    let mut pairs = Vec::new();
    while !content.is_empty() {
        let key: LitStr = content.parse()?;
        separator(&content)?;
        pairs.push((key, content.parse()?));
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(pairs)
}
