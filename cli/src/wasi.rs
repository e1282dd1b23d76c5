//! The interfaces of WASI that a component needs.

use cwasm::{Component, Linker, Result};
use cwasm_wasi::WasiCtx;

/// Defines those packages of WASI that the component imports something of: a command that ends
/// after milliseconds has no time for the others.
///
/// # Errors
/// If an interface is defined already.
pub(crate) fn add_needed(linker: &mut Linker<WasiCtx>, component: &Component) -> Result<()> {
    let mut packages: Vec<&str> = Vec::new();
    for (name, _) in component.imports() {
        let package = package_of(name).unwrap_or_default();
        // Imports of one interface follow each other.
        if packages.last() != Some(&package) {
            packages.push(package);
        }
    }
    let needs = |package| packages.contains(&package);
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

/// The package of WASI that an import is of.
fn package_of(import: &str) -> Option<&str> {
    let (package, _) = import.strip_prefix("wasi:")?.split_once('/')?;
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_have_packages() {
        for (import, package) in [
            ("wasi:io/streams@0.2.0", Some("io")),
            (
                "wasi:io/streams@0.2.0#[method]input-stream.read",
                Some("io"),
            ),
            ("wasi:filesystem/types@0.2.12", Some("filesystem")),
            ("log", None),
            ("other:io/streams@0.2.0", None),
        ] {
            assert_eq!(package_of(import), package, "{import}");
        }
    }
}
