//! Never comes back: the host's deadline stops it.

use guests::{Document, Guest, export};

struct Endless;

export!(Endless);

impl Guest for Endless {
    fn describe() -> String {
        "the last digit of pi".to_owned()
    }

    fn check(document: &Document) -> Result<u32, String> {
        let mut lines = 0;
        while document.line_count() != u32::MAX {
            lines += 1;
        }
        Ok(lines)
    }
}
