//! Writes [profiles](cwasm::Profile) of guests to files that people look at.
//!
//! ```text
//! Profile --firefox------> .json  for profiler.firefox.com and speedscope.app
//!         \-speedscope-/
//!         --folded---> .folded    a line for each stack, for other tools
//!         --tree--flame--> .svg   a flame graph
//!                   \-page---> .html  the same, and a table of functions
//! ```
//!
//! ```no_run
//! # fn example(profiler: cwasm::Profiler) -> std::io::Result<()> {
//! let profile = profiler.stop();
//! std::fs::write("profile.svg", cwasm_profile::Format::Svg.write(&profile, "my plug-in"))?;
//! # Ok(())
//! # }
//! ```
//!
//! Files need nothing but themselves. Names of guests, which may be any text, are escaped.
//!
//! A crate of its own because hosts write profiles, too, and need neither the command for it nor
//! these formats in the loader.
#![warn(missing_docs)]

mod firefox;
mod flame;
mod folded;
mod json;
mod page;
mod speedscope;
mod text;
mod tree;

use std::path::Path;

use cwasm::Profile;

pub use text::summary;

/// A format of files with profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JSON that the Firefox Profiler and speedscope read: all samples, with their times.
    Json,
    /// A line for each stack: `caller;callee MICROSECONDS`.
    Folded,
    /// A flame graph, which can be looked at in a browser: frames can be chosen and searched.
    Svg,
    /// A page with the flame graph and a table of functions.
    Html,
}

impl Format {
    /// All formats, with the extensions of their files.
    pub const ALL: &'static [(&'static str, Format)] = &[
        ("json", Format::Json),
        ("svg", Format::Svg),
        ("html", Format::Html),
        ("folded", Format::Folded),
    ];

    /// The format of a file, by its extension.
    pub fn of(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?;
        let found = Format::ALL.iter().find(|(known, _)| *known == extension);
        found.map(|(_, format)| *format)
    }

    /// The profile of a program of this name as bytes of a file.
    pub fn write(self, profile: &Profile, program: &str) -> Vec<u8> {
        match self {
            Format::Json => json::json(profile, program),
            Format::Folded => folded::lines(profile).into_bytes(),
            Format::Svg => flame::svg(profile, program).into_bytes(),
            Format::Html => page::html(profile, program).into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
