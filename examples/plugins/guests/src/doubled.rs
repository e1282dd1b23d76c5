//! Finds words that are there twice in a row.

use guests::{Document, Guest, export, lines, report};

struct Doubled;

export!(Doubled);

impl Guest for Doubled {
    fn describe() -> String {
        "words that are there twice".to_owned()
    }

    fn check(document: &Document) -> Result<u32, String> {
        let mut found = 0;
        for (number, line) in lines(document) {
            let words: Vec<_> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                if pair[0].eq_ignore_ascii_case(pair[1]) {
                    report(number, &format!("`{}` is there twice", pair[0]));
                    found += 1;
                }
            }
        }
        Ok(found)
    }
}
