//! Has a bug that not every document shows.

use guests::{Document, Guest, export, lines, report};

struct Panics;

export!(Panics);

impl Guest for Panics {
    fn describe() -> String {
        "lines that do not start with a capital".to_owned()
    }

    fn check(document: &Document) -> Result<u32, String> {
        let mut found = 0;
        for (number, line) in lines(document) {
            // The bug: a line can be empty.
            let first = line.chars().next().unwrap();
            if !first.is_uppercase() {
                report(number, &format!("starts with `{first}`"));
                found += 1;
            }
        }
        Ok(found)
    }
}
