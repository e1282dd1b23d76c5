//! The direction of imports: a file imports from its own layer and from those below.
//!
//! Paths that begin with `crate`, `super` or `self` are followed to the files that they name, also
//! where a folder's `mod.rs` passes on a name of one of its files. Modules for tests are exempt.

use std::collections::{BTreeMap, BTreeSet};

/// The layers of the loader, the lowest first: files and folders of `loader/src`.
const LOADER: &[&[&str]] = &[
    // The ground.
    &[
        "sys",
        "error",
        "link_error",
        "core_types",
        "counters",
        "finally",
        "fork",
        "parts",
        "spread",
        "block_on",
        "sync",
        "trace",
        "transcode",
        "versions",
    ],
    // Mapped and checked.
    &["artifact"],
    // What compiled code runs on and with.
    &["vm"],
    // Calls and values.
    &[
        "values",
        "resource",
        "val",
        "types",
        "signature",
        "stream_any",
        "dynamic",
        "concurrent",
        "wave",
        "func",
        "host",
    ],
    // What hosts use.
    &[
        "engine",
        "coredump",
        "export_index",
        "metrics",
        "store",
        "component",
        "module",
        "instance",
        "linker",
        "resource_table",
    ],
    &["lib"],
];

/// Files of the loader that import each other, each group inside one folder, with the reason.
const LOADER_CIRCLES: &[(&[&str], &str)] = &[
    (
        &[
            "concurrent/accessor.rs",
            "concurrent/calls.rs",
            "concurrent/futures.rs",
            "concurrent/host.rs",
            "concurrent/values.rs",
        ],
        "a call of the host is a task, which calls the host's futures, which make calls",
    ),
    (
        &["module/exception.rs", "module/func.rs"],
        "a value may be a reference to an exception, which has values",
    ),
    (
        &[
            "values/lists.rs",
            "values/scalars.rs",
            "values/strings.rs",
            "values/transcode.rs",
        ],
        "a list of bytes is copied as a scalar is, and strings are lists of bytes",
    ),
    (
        &["vm/stack.rs", "vm/store.rs"],
        "a stack is of a store's instances, by the numbers that the store gives them",
    ),
    (
        &[
            "vm/deadline.rs",
            "vm/engine.rs",
            "vm/interrupt.rs",
            "vm/parking.rs",
        ],
        "an engine's timer stops stores by their interrupts, which wake what waits in them",
    ),
];

/// The layers of the compiler, the lowest first: its stages, and below them what they pass on.
const COMPILER: &[&[&str]] = &[
    // The ground.
    &["error", "output", "stats"],
    &["core_types", "originals"],
    &["module"],
    &["features"],
    &["needs"],
    &["options"],
    // What stages have in common.
    &["ir"],
    &["isa"],
    &["env"],
    &["plan"],
    &["outline"],
    // From bytes to units, and from bodies to IR.
    &["component"],
    &["decode"],
    &["layout"],
    &["translate"],
    // What crosses components, and all functions of the text.
    &["pass_through"],
    &["canon"],
    &["work"],
    // The artifact.
    &["link"],
    &["debug"],
    &["emit"],
    &["source"],
    &["object"],
    &["preview1"],
    &["lib"],
];

/// As [`LOADER_CIRCLES`], of the compiler.
const COMPILER_CIRCLES: &[(&[&str], &str)] = &[
    (
        &[
            "canon/adapter/flat.rs",
            "canon/adapter/memory.rs",
            "canon/adapter/mod.rs",
            "canon/adapter/variants.rs",
            "canon/handles.rs",
        ],
        "values have values of all types in them, flat or in memory",
    ),
    (
        &[
            "translate/control.rs",
            "translate/exceptions.rs",
            "translate/interrupt.rs",
            "translate/legacy.rs",
            "translate/mod.rs",
            "translate/operators.rs",
            "translate/unroll.rs",
        ],
        "methods of one translator",
    ),
];

#[test]
fn the_loader_imports_downwards() {
    check("loader/src/", LOADER, LOADER_CIRCLES);
}

#[test]
fn the_compiler_imports_downwards() {
    check("compiler/src/", COMPILER, COMPILER_CIRCLES);
}

/// Checks all files of a crate.
fn check(folder: &str, layers: &[&[&str]], circles: &[(&[&str], &str)]) {
    let files: BTreeMap<String, String> = super::files(&[".rs"])
        .into_iter()
        .filter_map(|(name, text)| Some((name.strip_prefix(folder)?.to_owned(), text)))
        .filter(|(name, _)| !is_for_tests(name))
        .collect();
    assert!(!files.is_empty(), "{folder} has files");
    let layer = |file: &str| {
        let top = file.split(['/', '.']).next().unwrap();
        let found = layers.iter().position(|layer| layer.contains(&top));
        found.unwrap_or_else(|| panic!("{folder}{file} is in no layer: add it to this test"))
    };
    for name in layers.iter().copied().flatten() {
        let is_there = |file: &String| {
            let mut parts = file.split(['/', '.']);
            parts.next() == Some(name)
        };
        assert!(files.keys().any(is_there), "{folder}{name} is not there");
    }
    let names: BTreeMap<Vec<String>, &str> = files
        .keys()
        .map(|file| (module_of(file), file.as_str()))
        .collect();
    let modules = Modules {
        passed_on: files
            .iter()
            .map(|(file, text)| (file.as_str(), passed_on(file, text, &names)))
            .collect(),
        names,
    };
    let imports: BTreeMap<&str, BTreeSet<&str>> = files
        .iter()
        .map(|(file, text)| (file.as_str(), imports_of(file, text, &modules)))
        .collect();
    for (file, imported) in &imports {
        for other in imported {
            assert!(
                layer(other) <= layer(file),
                "{folder}{file} imports {other}, which is in a layer above"
            );
        }
    }
    let found: Vec<Vec<&str>> = circles_in(&imports);
    for circle in &found {
        let folders: BTreeSet<_> = circle.iter().map(|file| file.split('/').next()).collect();
        assert!(folders.len() == 1, "{circle:?} import each other");
        assert!(
            circles.iter().any(|(known, _)| known == circle),
            "{circle:?} import each other: break the circle, or name it in this test"
        );
    }
    for (known, _) in circles {
        assert!(
            found.iter().any(|circle| circle == known),
            "{known:?} do not import each other any more: take them out of this test"
        );
    }
}

/// The modules of a crate.
struct Modules<'f> {
    /// The file of each.
    names: BTreeMap<Vec<String>, &'f str>,
    /// For each file, the names that it passes on from modules inside it, and their files.
    passed_on: BTreeMap<&'f str, BTreeMap<String, &'f str>>,
}

fn is_for_tests(name: &str) -> bool {
    name.split('/')
        .any(|part| matches!(part, "tests" | "tests.rs" | "fake.rs"))
}

/// The module that a file is: its names from the crate on.
fn module_of(file: &str) -> Vec<String> {
    let mut parts: Vec<_> = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// The other files that a file names.
fn imports_of<'f>(file: &str, text: &str, modules: &Modules<'f>) -> BTreeSet<&'f str> {
    let own = module_of(file);
    let mut paths = Vec::new();
    let tokens = tokens(text);
    let mut at = 0;
    while at < tokens.len() {
        if matches!(tokens[at].as_str(), "crate" | "super" | "self")
            && tokens.get(at + 1).is_some_and(|next| next == "::")
            && (at == 0 || tokens[at - 1] != "::")
        {
            at = read_tree(&tokens, at, &mut Vec::new(), &mut paths);
        } else {
            at += 1;
        }
    }
    let files = paths
        .into_iter()
        .filter_map(|path| modules.file_of(absolute(&own, &path)));
    files.filter(|found| *found != file).collect()
}

/// The names that a file passes on (`pub use inner::Name;`) from modules inside it, and their
/// files.
fn passed_on<'f>(
    file: &str,
    text: &str,
    names: &BTreeMap<Vec<String>, &'f str>,
) -> BTreeMap<String, &'f str> {
    let own = module_of(file);
    let tokens = tokens(text);
    let mut paths = Vec::new();
    for at in 0..tokens.len() {
        let is_passed_on = tokens[at] == "use"
            && tokens[..at]
                .last()
                .is_some_and(|before| before == "pub" || before == ")");
        let is_inside = tokens.get(at + 1).is_some_and(|first| {
            names.contains_key(&[&own[..], std::slice::from_ref(first)].concat())
        });
        if is_passed_on && is_inside {
            read_tree(&tokens, at + 1, &mut Vec::new(), &mut paths);
        }
    }
    let found = paths.into_iter().filter_map(|path| {
        let mut module = [&own[..], &path].concat();
        let name = module.pop()?;
        Some((name, *names.get(&module)?))
    });
    found.collect()
}

/// Reads a path, or a tree of them as `use` has: the index after it.
fn read_tree(
    tokens: &[String],
    mut at: usize,
    before: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let len = before.len();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = read_tree(tokens, at, before, paths);
                    // `as name`, and what separates.
                    while tokens
                        .get(at)
                        .is_some_and(|token| token != "," && token != "}")
                    {
                        at += 1;
                    }
                    if tokens.get(at).is_some_and(|token| token == ",") {
                        at += 1;
                    }
                }
                at += 1;
                break;
            }
            Some(name) if is_name(name) => {
                before.push(name.to_owned());
                at += 1;
                if tokens.get(at).is_none_or(|token| token != "::") {
                    paths.push(before.clone());
                    break;
                }
                at += 1;
            }
            // `*`, or generics.
            _ => {
                paths.push(before.clone());
                at += 1;
                break;
            }
        }
    }
    before.truncate(len);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// A path from the crate on.
fn absolute(own: &[String], path: &[String]) -> Vec<String> {
    let mut module: Vec<String> = Vec::new();
    for (index, part) in path.iter().enumerate() {
        match part.as_str() {
            "crate" => module.clear(),
            "self" if index == 0 => module = own.to_vec(),
            "self" => {}
            "super" => {
                if index == 0 {
                    module = own.to_vec();
                }
                module.pop();
            }
            name => module.push(name.to_owned()),
        }
    }
    module
}

impl<'f> Modules<'f> {
    /// The file of what a path names: of the innermost module in it, or of the one that has the
    /// name which that passes on.
    fn file_of(&self, mut path: Vec<String>) -> Option<&'f str> {
        let mut name = String::new();
        loop {
            if let Some(file) = self.names.get(&path) {
                return Some(self.passed_on[file].get(&name).unwrap_or(file));
            }
            name = path.pop()?;
        }
    }
}

/// Names and signs of a file, without comments, texts and modules for tests.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            end_of_raw_text(rest)
        } else if first == '"' {
            end_of_text(rest)
        } else if first == '\'' {
            end_of_char(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let len = end.unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    without_tests(&tokens)
}

/// The length of the text that this starts with, in its quotes.
fn end_of_text(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of the raw text, or raw name, that this starts with.
fn end_of_raw_text(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let Some(text) = rest[1 + hashes..].strip_prefix('"') else {
        return 1 + hashes;
    };
    let end = format!("\"{}", "#".repeat(hashes));
    let len = text.find(&end).unwrap_or(text.len());
    2 + hashes + len + end.len()
}

/// The length of the char that this starts with, in its quotes; of lifetimes, that of the quote.
fn end_of_char(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, _))) => rest[at + 1..].find('\'').map_or(1, |end| at + end + 2),
        (_, Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Leaves out what `#[cfg(test)]` is about.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let attributes: [&[&str]; 2] = [
        &["#", "[", "cfg", "(", "test", ")", "]"],
        &["#", "[", "cfg", "(", "all", "(", "test", ","],
    ];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts_with = |start: &&[&str]| tokens[at..].iter().take(start.len()).eq(*start);
        if !attributes.iter().any(starts_with) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token.as_str(), "}" | ";") {
                break;
            }
        }
    }
    kept
}

/// Groups of files each of which can be reached from each other one, sorted.
fn circles_in<'f>(imports: &BTreeMap<&'f str, BTreeSet<&'f str>>) -> Vec<Vec<&'f str>> {
    let reachable = |from: &'f str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            for other in &imports[file] {
                // The root names everything for hosts.
                if *other != "lib.rs" && seen.insert(*other) {
                    next.push(other);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports
        .keys()
        .map(|file| (*file, reachable(file)))
        .collect();
    let circles = reached.iter().filter(|(file, seen)| seen.contains(*file));
    let circles: BTreeSet<Vec<&str>> = circles
        .map(|(file, seen)| {
            let mutual = seen.iter().filter(|other| reached[*other].contains(file));
            mutual.copied().collect()
        })
        .collect();
    circles.into_iter().collect()
}

#[test]
fn paths_are_found_in_texts() {
    let text = r#"
        //! use crate::no;
        use crate::a::{self, b::{C, d}, e::*};
        use super::f as g;
        fn h() -> crate::i::J<'_> { let _ = ("crate::k", 'c', '\''); self::l::m(); x::self_::n() }
        #[cfg(test)]
        mod tests { use crate::o; fn p() {} }
        #[cfg(all(test, unix))]
        use crate::o;
        const Q: r = super::super::s;
    "#;
    let tokens = tokens(text);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = match tokens[at].as_str() {
            "crate" | "super" | "self" if tokens[at + 1] == "::" => {
                read_tree(&tokens, at, &mut Vec::new(), &mut paths)
            }
            _ => at + 1,
        };
    }
    let paths: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(
        paths,
        [
            "crate::a::self",
            "crate::a::b::C",
            "crate::a::b::d",
            "crate::a::e",
            "super::f",
            "crate::i::J",
            "self::l::m",
            "super::super::s"
        ]
    );
}

#[test]
fn circles_and_their_files_are_found() {
    let imports = BTreeMap::from([
        ("a", BTreeSet::from(["b", "d"])),
        ("b", BTreeSet::from(["c"])),
        ("c", BTreeSet::from(["a"])),
        ("d", BTreeSet::from(["e"])),
        ("e", BTreeSet::new()),
    ]);
    assert_eq!(circles_in(&imports), [["a", "b", "c"]]);
}
