//! Pages of measurements: one HTML file each, which needs nothing but itself.
//!
//! ```text
//! samples -- stats --> percentiles, ratios -- plot --> SVG -- page --> HTML
//! ```
//!
//! A crate of its own because two commands write such pages: `cwasm bench`, and the project's
//! bench, whose workspace must not depend on the command.

pub mod plot;
pub mod stats;

mod page;
mod quantity;
mod treemap;

pub use page::{Block, Page, Section, Table, Tile};
pub use quantity::Quantity;
pub use treemap::{Area, Treemap};
