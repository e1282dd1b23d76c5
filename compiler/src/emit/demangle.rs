//! Names of functions as people write them: toolchains encode paths, types and hashes in them.
//!
//! A name is whatever a module says: what takes too much room when it is decoded stays as it is.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};

/// The longest decoded name in bytes: types in names can stand for others, so that few bytes may
/// stand for very many.
const MAX_LEN: usize = 4096;

/// The longest name in bytes that is decoded.
const MAX_ENCODED: usize = 4 * MAX_LEN;

/// The depth of types in a name that is decoded.
const MAX_DEPTH: u32 = 64;

/// The name as people write it; as it is, if it is not one that a toolchain encodes.
pub(crate) fn demangle(name: &str) -> Cow<'_, str> {
    if name.len() > MAX_ENCODED {
        return name.into();
    }
    if let Some(plain) = without_hash(name) {
        return plain.into();
    }
    let decoded = match name.starts_with("_Z") {
        // Also Rust's before 2021.
        true => rust(name).or_else(|| cpp(name)),
        false => rust(name),
    };
    decoded.map_or(name.into(), Cow::from)
}

/// A path of Rust's that a linker has decoded, without the hash at its end.
fn without_hash(name: &str) -> Option<&str> {
    let (path, hash) = name.rsplit_once("::h")?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some(path)
}

fn rust(name: &str) -> Option<String> {
    let decoded = rustc_demangle::try_demangle(name).ok()?;
    let mut text = Bounded::default();
    // Without the hash.
    write!(text, "{decoded:#}").ok()?;
    Some(text.0)
}

fn cpp(name: &str) -> Option<String> {
    let parsing = ParseOptions::default().recursion_limit(MAX_DEPTH);
    let symbol = Symbol::new_with_options(name, &parsing).ok()?;
    let writing = DemangleOptions::default().recursion_limit(MAX_DEPTH);
    let mut text = Bounded::default();
    symbol.structured_demangle(&mut text, &writing).ok()?;
    Some(text.0)
}

/// A text of limited length.
#[derive(Default)]
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() > MAX_LEN - self.0.len() {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_toolchains_are_decoded() {
        for (name, decoded) in [
            ("", ""),
            ("main", "main"),
            ("cabi_realloc", "cabi_realloc"),
            ("_ZN3foo3bar17h0123456789abcdefE", "foo::bar"),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("core::fmt::write::h0123456789abcdef", "core::fmt::write"),
            ("core::h012", "core::h012"),
            (
                "_ZN5shape4areaERKNS_6SquareE",
                "shape::area(shape::Square const&)",
            ),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
            ),
            ("_Z", "_Z"),
            ("_ZN", "_ZN"),
            ("_R", "_R"),
        ] {
            assert_eq!(demangle(name), decoded, "{name}");
        }
    }

    #[test]
    fn greedy_names_stay_as_they_are() {
        // Each type is a pair of the one before.
        let mut name = "_Z1fSt4pairIiiE".to_owned();
        for at in [
            "", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D",
        ] {
            name.push_str(&format!("St4pairIS{at}_S{at}_E"));
        }
        assert!(demangle(&name).len() <= MAX_LEN.max(name.len()));
        let deep = format!("_Z1f{}i", "P".repeat(100_000));
        assert_eq!(demangle(&deep), deep);
        for (prefix, part) in [
            ("_Z1f", "P"),
            ("_Z1f", "N1aI"),
            ("_Z1f", "St4pairI"),
            ("_Z1fI", "XL"),
            ("_ZN", "1a"),
            ("_RIC1a", "T"),
            ("_RNv", "B_"),
            ("_RINv", "RS_"),
        ] {
            for count in [10, 1000, MAX_ENCODED / part.len()] {
                let deep = format!("{prefix}{}", part.repeat(count));
                assert!(demangle(&deep).len() <= MAX_LEN.max(deep.len()));
            }
        }
    }
}
