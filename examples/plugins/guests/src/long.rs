//! Finds lines that are too long, and does not want documents without lines.

use guests::{Document, Guest, export, lines, report};

const MAX_CHARS: usize = 40;

struct Long;

export!(Long);

impl Guest for Long {
    fn describe() -> String {
        format!("lines of more than {MAX_CHARS} characters")
    }

    fn check(document: &Document) -> Result<u32, String> {
        if document.line_count() == 0 {
            return Err(format!("`{}` is empty", document.title()));
        }
        let mut found = 0;
        for (number, line) in lines(document) {
            let chars = line.chars().count();
            if chars > MAX_CHARS {
                report(number, &format!("{chars} characters"));
                found += 1;
            }
        }
        Ok(found)
    }
}
