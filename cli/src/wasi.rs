//! The interfaces of WASI that a component needs.

use cwasm::{Component, Linker, Result};
use cwasm_wasi::{WasiCtx, p3};

/// Defines those packages of WASI that the component imports something of: a command that ends
/// after milliseconds has no time for the others.
///
/// # Errors
/// If an interface is defined already.
pub(crate) fn add_needed(linker: &mut Linker<WasiCtx>, component: &Component) -> Result<()> {
    let mut packages: Vec<(&str, Version)> = Vec::new();
    for (name, _) in component.imports() {
        let Some(package) = package_of(name) else {
            continue;
        };
        // Imports of one interface follow each other.
        if packages.last() != Some(&package) {
            packages.push(package);
        }
    }
    add_p3(linker, |package| packages.contains(&(package, Version::P3)))?;
    let needs = |package| packages.contains(&(package, Version::P2));
    // A resource is imported with the interface that has it, so that none is missing.
    if needs("io") {
        cwasm_wasi::add_io_to_linker(linker, |wasi| wasi)?;
    }
    if needs("clocks") {
        cwasm_wasi::add_clocks_to_linker(linker, |wasi| wasi)?;
    }
    if needs("random") {
        cwasm_wasi::add_random_to_linker(linker, |wasi| wasi)?;
    }
    if needs("cli") {
        cwasm_wasi::add_cli_to_linker(linker, |wasi| wasi)?;
    }
    if needs("filesystem") {
        cwasm_wasi::add_filesystem_to_linker(linker, |wasi| wasi)?;
    }
    if needs("sockets") {
        cwasm_wasi::add_sockets_to_linker(linker, |wasi| wasi)?;
    }
    #[cfg(feature = "http")]
    if needs("http") {
        cwasm_wasi::http::add_to_linker(linker, |wasi| wasi)?;
    }
    Ok(())
}

/// As [`add_needed`], those of WASI 0.3.
fn add_p3(linker: &mut Linker<WasiCtx>, needs: impl Fn(&str) -> bool) -> Result<()> {
    if needs("clocks") {
        p3::add_clocks_to_linker(linker, |wasi| wasi)?;
    }
    if needs("random") {
        p3::add_random_to_linker(linker, |wasi| wasi)?;
    }
    if needs("cli") {
        p3::add_cli_to_linker(linker, |wasi| wasi)?;
    }
    if needs("filesystem") {
        p3::add_filesystem_to_linker(linker, |wasi| wasi)?;
    }
    if needs("sockets") {
        p3::add_sockets_to_linker(linker, |wasi| wasi)?;
    }
    #[cfg(feature = "http")]
    if needs("http") {
        p3::http::add_to_linker(linker, |wasi| wasi)?;
    }
    Ok(())
}

/// A version of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 0.2.
    P2,
    /// 0.3.
    P3,
}

impl Version {
    /// The version of an interface of WASI that a component imports or exports.
    pub(crate) fn of(name: &str) -> Version {
        match name.split_once("@0.3.") {
            Some(_) => Version::P3,
            None => Version::P2,
        }
    }
}

/// Whether a component uses WASI 0.3, whose operations wait.
pub(crate) fn waits(component: &Component) -> bool {
    let mut imports = component.imports();
    let mut exports = component.exports();
    imports.any(|(name, _)| is_p3(name)) || exports.any(|(name, _)| is_p3(name))
}

/// Whether a component can wait by WASI 0.2, whose operations block the thread.
#[cfg(feature = "http")]
pub(crate) fn blocks(component: &Component) -> bool {
    let mut imports = component.imports().filter_map(|(name, _)| package_of(name));
    imports.any(|(_, version)| version == Version::P2)
}

fn is_p3(name: &str) -> bool {
    package_of(name).is_some_and(|(_, version)| version == Version::P3)
}

/// The package of WASI that an interface is of.
fn package_of(name: &str) -> Option<(&str, Version)> {
    let (package, rest) = name.strip_prefix("wasi:")?.split_once('/')?;
    Some((package, Version::of(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_have_packages() {
        for (import, package) in [
            ("wasi:io/streams@0.2.0", Some(("io", Version::P2))),
            (
                "wasi:io/streams@0.2.0#[method]input-stream.read",
                Some(("io", Version::P2)),
            ),
            (
                "wasi:filesystem/types@0.2.12",
                Some(("filesystem", Version::P2)),
            ),
            ("wasi:cli/run@0.3.1", Some(("cli", Version::P3))),
            ("log", None),
            ("other:io/streams@0.2.0", None),
        ] {
            assert_eq!(package_of(import), package, "{import}");
        }
    }
}
