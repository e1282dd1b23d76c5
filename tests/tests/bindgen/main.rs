//! Hosts that `bindgen!` makes of WIT. One file for each world or matter.

#[path = "../common/mod.rs"]
mod common;

mod concurrent;
mod error_contexts;
mod handles;
mod items;
mod labels;
mod matrix;
mod polls;
mod resources;
mod waiting;
mod wasi;
mod with_store;
