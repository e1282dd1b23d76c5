//! Core modules of WASI preview 1 as components of WASI 0.2.
//!
//! Programs of `wasm32-wasip1` and of older toolchains are core modules that import
//! `wasi_snapshot_preview1`. An adapter, a core module itself, has these functions as exports and
//! calls those of WASI 0.2; a component links both.
//!
//! ```text
//! module -> isolate (a memory for the adapter; shims, which copy) -> wit-component -> component
//! ```

mod exit;
mod isolate;
mod pointers;
mod shims;

use std::collections::BTreeSet;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, metadata};

use crate::error::{Error, ErrorKind, Result};

/// The export that makes a module a program.
const START: &str = "_start";

/// What the names of custom sections that describe imports begin with.
const COMPONENT_TYPE: &str = "component-type";

/// What is before the names of modules in the newer way to name imports.
const PREFIX: &str = "cm32p2";

/// Whether `module` is a core module that imports something of `wasi_snapshot_preview1`, which
/// [`componentize`] wraps. It is not validated: of bytes that cannot be read, this is false.
pub fn is_preview1(module: &[u8]) -> bool {
    Outside::of(module).is_ok_and(|outside| {
        let mut modules = outside.imports.iter().map(|(module, _)| *module);
        modules.any(|module| module == PREVIEW1)
    })
}

/// Wraps a core module of WASI preview 1 in a component of WASI 0.2: one that exports
/// `wasi:cli/run`, if the module exports `_start`; else one with the exports that the module's
/// custom sections describe.
///
/// # Errors
/// [`ErrorKind::UnknownImports`] if the module imports anything but `wasi_snapshot_preview1` and
/// what its custom sections describe; [`ErrorKind::Invalid`] if it is not valid, or its types are
/// not those of what it imports.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let outside = Outside::of(module)?;
    let adapter = match outside.is_program {
        true => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        false => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    let unknown = outside.unknown(module, adapter)?;
    if !unknown.is_empty() {
        return Err(ErrorKind::UnknownImports { imports: unknown }.into());
    }
    let module = match outside.is_built_for_adapters() {
        true => module.to_vec(),
        false => isolate::isolate(module)?,
    };
    let encode = || -> Result<Vec<u8>, _> {
        ComponentEncoder::default()
            .module(&module)?
            .adapter(PREVIEW1, adapter)?
            .encode()
    };
    encode().map_err(|error| invalid(format!("{error:#}")))
}

fn invalid(message: String) -> Error {
    let offset = None;
    ErrorKind::Invalid { message, offset }.into()
}

/// What a core module has to do with the world.
#[derive(Default)]
struct Outside<'m> {
    /// Modules and names.
    imports: Vec<(&'m str, &'m str)>,
    exports: BTreeSet<&'m str>,
    /// Whether it exports [`START`].
    is_program: bool,
    /// Whether a custom section describes imports.
    is_described: bool,
}

impl<'m> Outside<'m> {
    fn of(module: &'m [u8]) -> Result<Outside<'m>> {
        let mut outside = Outside::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::Version {
                    encoding: Encoding::Component,
                    ..
                } => return Err(invalid("found a component, expected a module".to_owned())),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        outside.imports.push((import.module, import.name));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        outside.exports.insert(export?.name);
                    }
                }
                Payload::CustomSection(section) => {
                    outside.is_described |= section.name().starts_with(COMPONENT_TYPE);
                }
                _ => {}
            }
        }
        outside.is_program = outside.exports.contains(START);
        Ok(outside)
    }

    /// Whether the toolchain knows of adapters: the module describes its imports, or lets others
    /// allocate in its memory.
    fn is_built_for_adapters(&self) -> bool {
        self.is_described || self.exports.contains("cabi_realloc")
    }

    /// The imports that neither the adapter nor a custom section knows, each once.
    fn unknown(&self, module: &[u8], adapter: &[u8]) -> Result<Vec<(String, String)>> {
        let functions = Outside::of(adapter)?.exports;
        let described = match self.is_described {
            true => Some(described(module)?),
            false => None,
        };
        let is_known = |module: &str, name: &str| match &described {
            _ if module == PREVIEW1 => functions.contains(name),
            Some(modules) => is_described(modules, module),
            None => false,
        };
        let unknown = self.imports.iter();
        let unknown = unknown.filter(|(module, name)| !is_known(module, name));
        let unknown: BTreeSet<_> = unknown
            .map(|(module, name)| (module.to_string(), name.to_string()))
            .collect();
        Ok(unknown.into_iter().collect())
    }
}

/// The interfaces that the custom sections of a module describe as imports, without versions.
fn described(module: &[u8]) -> Result<BTreeSet<String>> {
    let (_, found) = metadata::decode(module).map_err(|error| invalid(format!("{error:#}")))?;
    let imports = &found.resolve.worlds[found.world].imports;
    let names = imports.keys().map(|key| found.resolve.name_world_key(key));
    Ok(names.map(|name| unversioned(&name).to_owned()).collect())
}

/// Whether imports from `module` are of these interfaces, or of the component model itself. Whether
/// the interface has the function is checked when the component is made.
fn is_described(interfaces: &BTreeSet<String>, module: &str) -> bool {
    let module = match module.strip_prefix(PREFIX) {
        Some("") => return true,
        Some(rest) => rest.trim_start_matches('|'),
        None => module,
    };
    module == "$root"
        || module.starts_with("[export]")
        || module.starts_with("_ex_")
        || interfaces.contains(unversioned(module))
}

fn unversioned(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

#[cfg(test)]
mod tests;
