//! The artifact: what the compiler writes, and what the loader says of other bytes.

#[path = "../common/mod.rs"]
mod common;

mod altered;
mod elf;
mod format_page;
mod golden;
mod hardening;
mod images;
mod listings;
mod names;
mod runner;
