//! Crates, namespaces and packages, from the names of functions as people write them.
//!
//! ```text
//! alloc::vec::Vec<T>::push              alloc, vec
//! <greet::Ship as core::fmt::Debug>::fmt    greet, Ship
//! <u8 as greet::Sail>::hoist            greet: nobody else may implement it
//! void shape::draw<int>(int*)           shape
//! github.com/a/b.(*T).Method            github.com/a/b
//! ```
//!
//! Names are whatever a module says: work is linear in the length of a name, and what cannot be
//! understood has no space.

use std::borrow::Cow;

/// The bytes of a name that are looked at.
const MAX_LEN: usize = 1024;

/// The depth of types within types that is followed.
const MAX_DEPTH: usize = 8;

/// Thunks of C++, which are called as the function that they are for.
const THUNKS: [&str; 3] = [
    "non-virtual thunk to ",
    "virtual thunk to ",
    "covariant return thunk to ",
];

/// What toolchains put after a dot in the names of C's functions.
const SUFFIXES: [&str; 8] = [
    "llvm",
    "command_export",
    "part",
    "cold",
    "isra",
    "constprop",
    "resolver",
    "localalias",
];

/// Where a function belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space<'a> {
    /// A crate, C++ namespace or Go package.
    pub(super) outer: &'a str,
    /// A module, type or namespace in it.
    pub(super) inner: Option<&'a str>,
}

/// Where the function of this name belongs; `None` for one that stands alone, as C's do.
pub(super) fn space(name: &str) -> Option<Space<'_>> {
    let name = start(name, MAX_LEN);
    let name = THUNKS
        .iter()
        .find_map(|thunk| name.strip_prefix(thunk))
        .unwrap_or(name);
    if name.starts_with('<') {
        return of_type(name, 0);
    }
    let path = declarator(name);
    match segments(path)[..] {
        [outer, inner, _, ..] => Some(named(outer, Some(inner))),
        [outer, _] => Some(named(outer, None)),
        _ => package(name),
    }
}

/// The first bytes of a text, whole characters.
pub(super) fn start(text: &str, len: usize) -> &str {
    &text[..text.floor_char_boundary(len)]
}

fn named<'a>(outer: &'a str, inner: Option<&'a str>) -> Space<'a> {
    Space {
        outer: without_args(outer),
        inner: inner.map(without_args),
    }
}

/// The space of `<T as Trait>::f`: that of the type, or of the trait if the type has none.
fn of_type<'a>(name: &'a str, depth: usize) -> Option<Space<'a>> {
    let inside = name.get(1..closing(name)?)?;
    let (ty, of_trait) = match split(inside, " as ") {
        Some((ty, of_trait)) => (ty, Some(of_trait)),
        None => (inside, None),
    };
    let of_path = |path: &'a str| match segments(path)[..] {
        _ if path.starts_with('<') && depth < MAX_DEPTH => of_type(path, depth + 1),
        [outer, inner, ..] => Some(named(outer, Some(inner))),
        _ => None,
    };
    of_path(declarator(pointee(ty))).or_else(|| match of_trait {
        Some(path) => of_path(path),
        // Only the standard library has functions of types that are part of the language.
        None => Some(named("core", None)),
    })
}

/// The type behind references and pointers, or that an `impl` is for.
fn pointee(mut ty: &str) -> &str {
    for _ in 0..2 * MAX_DEPTH {
        let next = ty
            .trim_start_matches(['&', '[', '(', ' '])
            .trim_start_matches("*const ")
            .trim_start_matches("*mut ")
            .trim_start_matches("mut ")
            .trim_start_matches("dyn ");
        let next = match next.strip_prefix("impl ") {
            Some(inner) => split(inner, " for ").map_or(inner, |(_, ty)| ty),
            None => next,
        };
        if next.len() == ty.len() {
            break;
        }
        ty = next;
    }
    ty
}

/// The qualified name in a function's declaration: without return type and parameters.
fn declarator(name: &str) -> &str {
    let (mut from, mut depth) = (0, 0usize);
    for (at, c) in name.char_indices() {
        match c {
            '(' if depth == 0 && !is_part_of_name(name, at) => return &name[from..at],
            ' ' if depth == 0 && !is_after_operator(name, at, 3) => from = at + 1,
            _ => depth = nested(depth, name, at, c),
        }
    }
    &name[from..]
}

/// Whether the parenthesis at `at` belongs to a name, not to its parameters.
fn is_part_of_name(name: &str, at: usize) -> bool {
    name[at..].starts_with("(anonymous namespace)")
        || name[..at].ends_with("operator") && name[at..].starts_with("()")
}

/// The parts of a path between `::`.
fn segments(path: &str) -> Vec<&str> {
    let (mut found, mut from, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in path.char_indices() {
        if depth == 0 && at >= from && path[at..].starts_with("::") {
            found.push(&path[from..at]);
            from = at + 2;
        }
        depth = nested(depth, path, at, c);
    }
    found.push(&path[from..]);
    // `::<T>` is not a part.
    found.retain(|part| !part.is_empty() && (!part.starts_with('<') || part.starts_with("<impl ")));
    found
}

/// The depth of brackets after a character.
fn nested(depth: usize, text: &str, at: usize, c: char) -> usize {
    match c {
        '<' | '>' if is_after_operator(text, at, 2) => depth,
        '<' | '(' | '[' | '{' => depth + 1,
        '>' if text[..at].ends_with('-') => depth,
        '>' | ')' | ']' | '}' => depth.saturating_sub(1),
        _ => depth,
    }
}

/// Whether `operator` is before `at`, with at most `most` signs of an operator of C++ after it, as
/// `<=>` is one.
fn is_after_operator(text: &str, at: usize, most: usize) -> bool {
    let signs = text[..at].bytes().rev().take(most);
    let signs = signs.take_while(|byte| matches!(byte, b'<' | b'>' | b'=' | b'-'));
    text[..at - signs.count()].ends_with("operator")
}

/// The parts of a text around a separator that is not in brackets.
fn split<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if depth == 0 && text[at..].starts_with(separator) {
            return Some((&text[..at], &text[at + separator.len()..]));
        }
        depth = nested(depth, text, at, c);
    }
    None
}

/// The place of the bracket that closes the first one.
fn closing(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '<' if is_after_operator(text, at, 2) => {}
            '<' | '(' | '[' | '{' => open.push(c),
            // Else it is a part of `->`, or compares.
            '>' if open.last() == Some(&'<') && !text[..at].ends_with('-') => _ = open.pop(),
            ')' | ']' | '}' => {
                // What has no end of its own ends here.
                let start = open.iter().rposition(|open| *open != '<');
                open.truncate(start.unwrap_or(0));
            }
            _ => {}
        }
        if open.is_empty() {
            return Some(at);
        }
    }
    None
}

fn without_args(segment: &str) -> &str {
    match segment.find('<') {
        Some(at) if at > 0 && !segment.starts_with("operator") => &segment[..at],
        _ => segment,
    }
}

/// The Go package of `a/b.f` or `(*a/b.T).f`.
fn package(name: &str) -> Option<Space<'_>> {
    let name = name.trim_start_matches(['(', '*']);
    let path = &name[..name.find(['(', '[', '{', '$']).unwrap_or(name.len())];
    let base = path.rfind('/').map_or(0, |at| at + 1);
    let dot = base + path[base..].find('.')?;
    let (package, rest) = (&name[..dot], &name[dot + 1..]);
    let is_name = |c: char| c.is_alphabetic() || c == '_';
    let is_suffix = SUFFIXES.iter().any(|suffix| rest.starts_with(suffix));
    let is_package = package.starts_with(is_name)
        && (base > 0 || package.chars().all(|c| is_name(c) || c.is_ascii_digit()))
        && rest.starts_with(|c| is_name(c) || c == '(')
        && !package.contains(' ')
        && !is_suffix;
    is_package.then(|| named(package, None))
}

/// The name without the arguments of generics and templates: that of all their instances.
pub(super) fn without_generics(name: &str) -> Cow<'_, str> {
    let brackets: &[char] = match name.contains("::") {
        true => &['<'],
        // Go's.
        false => &['<', '['],
    };
    if !name.contains(brackets) {
        return name.into();
    }
    let (mut kept, mut rest, mut is_cut) = (String::with_capacity(name.len()), name, false);
    while let Some(at) = rest.find(brackets) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let operator = operator(&kept, rest);
        if operator > 0 || is_self_type(&kept, rest) {
            let len = operator.max(1);
            kept.push_str(&rest[..len]);
            rest = &rest[len..];
            continue;
        }
        let Some(end) = closing(start(rest, MAX_LEN * 4)) else {
            break;
        };
        kept.truncate(kept.strip_suffix("::").unwrap_or(&kept).len());
        rest = &rest[end + 1..];
        is_cut = true;
    }
    kept.push_str(rest);
    // Of a C++ template, parameters and result may be other types in each instance.
    if is_cut && !kept.starts_with('<') {
        return declarator(&kept).trim_end().to_owned().into();
    }
    kept.into()
}

/// The length of the operator of C++ at the start of `rest`; 0 if there is none.
fn operator(kept: &str, rest: &str) -> usize {
    let name = kept.trim_end_matches(" new").trim_end_matches(" delete");
    if !name.ends_with("operator") {
        return 0;
    }
    let known = ["<<=", "<=>", "<<", "<=", "<", "[]"];
    let found = known.iter().find(|known| rest.starts_with(**known));
    found.map_or(0, |found| found.len())
}

/// Whether the bracket at the start of `rest` opens a type that has a function, as in `<T>::f`.
fn is_self_type(kept: &str, rest: &str) -> bool {
    kept.is_empty()
        || kept.ends_with(['<', '&', '(', ',', '['])
        || kept.ends_with(' ') && !kept.ends_with("> ") && !kept.ends_with("< ")
        || kept.ends_with("::") && rest.starts_with("<impl ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_belong_to_crates_namespaces_and_packages() {
        for (name, outer, inner) in [
            ("alloc::vec::Vec<T,A>::push", "alloc", "vec"),
            ("alloc::vec::Vec::<u8>::push", "alloc", "vec"),
            (
                "core::ptr::drop_in_place<alloc::string::String>",
                "core",
                "ptr",
            ),
            ("greet::main", "greet", ""),
            ("greet::main::{closure#0}", "greet", "main"),
            ("<greet::Ship as core::fmt::Debug>::fmt", "greet", "Ship"),
            (
                "<&greet::sea::Ship as core::fmt::Debug>::fmt",
                "greet",
                "sea",
            ),
            (
                "<&mut dyn greet::Sail as core::fmt::Write>::write",
                "greet",
                "Sail",
            ),
            ("<u8 as greet::Sail>::hoist", "greet", "Sail"),
            ("<[u8]>::to_vec", "core", ""),
            ("<T as core::any::Any>::type_id", "core", "any"),
            (
                "<fn(a::B) -> c::D as core::ops::FnOnce<()>>::call_once",
                "core",
                "ops",
            ),
            ("<<a::B as c::D>::E as f::G>::h", "a", "B"),
            (
                "<alloc::vec::Vec<a::B> as core::ops::Drop>::drop",
                "alloc",
                "vec",
            ),
            ("<impl a::B for c::D>::e", "c", "D"),
            ("<&[u8] as <a::b::C>::new::D>::e", "a", "b"),
            (
                "core::fmt::num::<impl core::fmt::Debug for u32>::fmt",
                "core",
                "fmt",
            ),
            ("core::ops::FnOnce::call_once{{vtable.shim}}", "core", "ops"),
            ("shape::area(shape::Square const&)", "shape", ""),
            ("std::__2::vector<int>::push_back(int const&)", "std", "__2"),
            ("void shape::draw<int>(int*)", "shape", ""),
            (
                "std::pair<int, a::b> shape::deep::f<c::d>(int)",
                "shape",
                "deep",
            ),
            ("Shape<int>::area() const", "Shape", ""),
            (
                "(anonymous namespace)::helper(int)",
                "(anonymous namespace)",
                "",
            ),
            (
                "a::(anonymous namespace)::helper(int)",
                "a",
                "(anonymous namespace)",
            ),
            ("a::F::operator()(int) const", "a", "F"),
            ("a::F::operator bool() const", "a", "F"),
            ("a::F::operator<(int) const", "a", "F"),
            ("a::F::operator->() const", "a", "F"),
            ("bool a::operator<=> <b::c>(b::c)", "a", ""),
            ("non-virtual thunk to a::B::f()", "a", "B"),
            ("runtime.alloc", "runtime", ""),
            ("(*internal/task.Stack).Pop", "internal/task", ""),
            ("github.com/a/b.(*T).Method", "github.com/a/b", ""),
            ("main.Map[go.shape.int]", "main", ""),
            ("main.main$1", "main", ""),
        ] {
            let inner = (!inner.is_empty()).then_some(inner);
            assert_eq!(space(name), Some(Space { outer, inner }), "{name}");
        }
    }

    #[test]
    fn other_functions_belong_nowhere() {
        for name in [
            "",
            "malloc",
            "cabi_realloc",
            "waitable-set.wait",
            "memcpy.1",
            "f.llvm.123",
            "f.command_export",
            "_start",
            "::",
            "::::",
            "<",
            "(",
            "a b c",
            ".a",
            "a.",
            "/.",
            "[.]",
        ] {
            assert_eq!(space(name), None, "{name}");
        }
    }

    #[test]
    fn instances_of_generics_have_one_name() {
        for (name, merged) in [
            ("alloc::vec::Vec<T,A>::push", "alloc::vec::Vec::push"),
            ("alloc::vec::Vec::<u8>::push", "alloc::vec::Vec::push"),
            (
                "<alloc::vec::Vec<a::B> as c::D<e>>::f::<g>",
                "<alloc::vec::Vec as c::D>::f",
            ),
            ("<fn(a) -> b<c> as d<e>>::f", "<fn(a) -> b as d>::f"),
            ("a::<impl b::C<d> for e<f>>::g", "a::<impl b::C for e>::g"),
            ("a::f::{closure#0}", "a::f::{closure#0}"),
            ("void shape::draw<int>(int*)", "shape::draw"),
            (
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
                "std::vector::push_back",
            ),
            (
                "shape::area(shape::Square const&)",
                "shape::area(shape::Square const&)",
            ),
            ("bool a::operator< <int>(int)", "a::operator<"),
            (
                "a::S& a::operator<<(a::S&, int)",
                "a::S& a::operator<<(a::S&, int)",
            ),
            ("a::operator<=>(a::S, a::S)", "a::operator<=>(a::S, a::S)"),
            ("a::F::operator->() const", "a::F::operator->() const"),
            ("main.Map[go.shape.int,string]", "main.Map"),
            (
                "operator new[](unsigned long)",
                "operator new[](unsigned long)",
            ),
            ("a::f<(b > c)>()", "a::f"),
            ("a::f<", "a::f<"),
            ("", ""),
        ] {
            assert_eq!(without_generics(name), merged, "{name}");
        }
    }

    #[test]
    fn odd_names_take_no_time() {
        for part in [
            "<",
            ">",
            "(",
            "&",
            "<<a",
            "::",
            "::<",
            "operator<",
            "impl ",
            " for ",
            " as ",
            "é",
            "*const ",
        ] {
            let name = part.repeat(200_000);
            space(&name);
            without_generics(&name);
        }
    }
}
