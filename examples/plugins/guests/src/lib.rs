//! The code that all plug-ins share: the WIT world as Rust. `export!` makes a plug-in of a type
//! that implements `Guest`.

/// The world; in a module, because the macro exports macros of its own.
pub mod world {
    wit_bindgen::generate!({
        path: "../wit",
        world: "plugin",
        pub_export_macro: true,
        default_bindings_module: "guests::world",
    });
}

pub use world::example::plugins::host::report;
pub use world::{Document, Guest, export};

/// The lines of a document, counted from 1.
pub fn lines(document: &Document) -> impl Iterator<Item = (u32, String)> {
    let numbers = 1..=document.line_count();
    numbers.filter_map(|number| Some((number, document.line(number)?)))
}
