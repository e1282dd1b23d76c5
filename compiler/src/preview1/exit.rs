//! The end of a program with an exit code: the adapter passes on only whether it has succeeded.

use wasm_encoder::CustomSection;
use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

use crate::error::Result;

/// The interface and the function that take the place of `proc_exit`, whose types are the same.
pub(super) const INTERFACE: &str = "wasi:cli/exit@0.2.12";
pub(super) const FUNCTION: &str = "exit-with-code";

const WIT: &str = "
package wasi:cli@0.2.12;

interface exit {
    exit: func(status: result);
    exit-with-code: func(status-code: u8);
}

world program {
    import exit;
}
";

/// The custom section that describes the import.
pub(super) fn section() -> Result<CustomSection<'static>> {
    let encode = || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("exit.wit", WIT)?;
        let world = resolve.select_world(&[package], None)?;
        let encoded = metadata::encode(&resolve, world, StringEncoding::UTF8, None, false)?;
        Ok(encoded)
    };
    let data = encode().map_err(|error| super::invalid(error.to_string()))?;
    Ok(CustomSection {
        name: "component-type:exit".into(),
        data: data.into(),
    })
}
