//! The form of files written by hand, and words that stand in several of them.

use super::{files, root};

/// No file may have more lines.
const MAX_LINES: usize = 1500;

/// No line of prose or comment may have more columns. Rows of tables cannot be broken. rustfmt sees
/// to the width of code; what it leaves wide, such as WebAssembly in strings, may be.
const MAX_WIDTH: usize = 100;

/// The promise about artifacts, in the same words wherever it is made.
const PROMISE: &str = "map, inspect, reflect, link: any bytes; instantiate and call: \
    the artifact as the compiler wrote it";

const PROMISE_FILES: &[&str] = &[
    "ARCHITECTURE.md",
    "README.md",
    "SECURITY.md",
    "docs/embedding.md",
    "docs/format.md",
    "loader/src/component.rs",
    "loader/src/lib.rs",
];

#[test]
fn files_are_short() {
    for (name, text) in files(&[".rs"]) {
        let lines = text.lines().count();
        assert!(
            lines <= MAX_LINES,
            "{name} has {lines} lines: split it by concept"
        );
    }
}

/// Checks the width of a line of prose, or of a comment.
fn check_width(name: &str, index: usize, line: &str) {
    let content = line.trim_start_matches([' ', '/', '!']);
    let width = line.chars().count();
    assert!(
        width <= MAX_WIDTH || content.starts_with('|'),
        "{name}:{}: {width} columns, at most {MAX_WIDTH}",
        index + 1
    );
}

#[test]
fn lines_are_narrow() {
    let mut texts = files(&[".md"]);
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    texts.push((".ci/run".to_owned(), ci));
    for (name, text) in texts {
        for (index, line) in text.lines().enumerate() {
            check_width(&name, index, line);
        }
    }
}

#[test]
fn comments_are_narrow() {
    let mut seen = 0;
    for (name, text) in files(&[".rs"]) {
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                check_width(&name, index, line);
                seen += 1;
            }
        }
    }
    assert!(
        seen > 1000,
        "comments are not what this test takes for them"
    );
}

#[test]
fn the_promise_is_everywhere_the_same() {
    for name in PROMISE_FILES {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let words = text
            .split_whitespace()
            .filter(|word| !matches!(*word, "///" | "//!"));
        let text = words.collect::<Vec<_>>().join(" ");
        assert!(text.contains(PROMISE), "{name} does not say: {PROMISE}");
    }
}

#[test]
fn text_is_tidy() {
    for (name, text) in files(&[
        ".rs", ".toml", ".md", ".wast", ".wat", ".wit", ".txt", ".sh",
    ]) {
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "{name} does not end with a line"
        );
        assert!(!text.ends_with("\n\n"), "{name} ends with an empty line");
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            assert!(
                !line.ends_with([' ', '\t']),
                "{name}:{line_number}: spaces at the end"
            );
            assert!(
                !line.contains('\r'),
                "{name}:{line_number}: a carriage return"
            );
        }
    }
}
