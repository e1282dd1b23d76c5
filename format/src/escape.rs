//! Text of guests, made safe to show.
//!
//! Names in core WebAssembly are arbitrary Unicode text, so a guest could move the cursor of a
//! terminal, set its title, or forge lines in a log. Characters that do such things are shown as
//! `\u{1b}`, an escape that strings of WAVE, WIT and Rust read as the same character.

use core::fmt::{self, Display, Formatter};

/// Shows a name on one line: with all control characters escaped, those that end lines included.
pub fn name(text: &str) -> impl Display {
    Escaped {
        text,
        keeps_lines: false,
    }
}

/// Shows a text of several lines: with all control characters escaped but `\n` and `\t`.
pub fn text(text: &str) -> impl Display {
    Escaped {
        text,
        keeps_lines: true,
    }
}

/// Whether a character controls how others are shown: C0 and C1 control characters, DEL, line and
/// paragraph separators, and those that set the direction of text.
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

struct Escaped<'a> {
    text: &'a str,
    keeps_lines: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.text;
        let escapes = |c: char| is_control(c) && !(self.keeps_lines && matches!(c, '\n' | '\t'));
        while let Some(at) = rest.find(escapes) {
            let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            f.write_str(plain)?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                write!(f, "{}", c.escape_unicode())?;
            }
            rest = chars.as_str();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_escaped() {
        let guest = "a\u{1b}[2J\u{7f}\u{9b}31m\r\n\t\0b\u{202e}c\u{2066}d\u{2028}e";
        assert_eq!(
            name(guest).to_string(),
            r"a\u{1b}[2J\u{7f}\u{9b}31m\u{d}\u{a}\u{9}\u{0}b\u{202e}c\u{2066}d\u{2028}e"
        );
        assert_eq!(
            text(guest).to_string(),
            "a\\u{1b}[2J\\u{7f}\\u{9b}31m\\u{d}\n\t\\u{0}b\\u{202e}c\\u{2066}d\\u{2028}e"
        );
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for plain in ["", "größe", "日本語 👩‍👩‍👧", "a\\u{1b}", "שלום"] {
            assert_eq!(name(plain).to_string(), plain);
        }
    }

    #[test]
    fn no_character_is_left_that_controls() {
        let all: String = ('\0'..=char::MAX).collect();
        assert!(!name(&all).to_string().contains(is_control));
        let lines = text(&all).to_string();
        assert!(!lines.contains(|c| is_control(c) && c != '\n' && c != '\t'));
    }
}
