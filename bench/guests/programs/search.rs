//! Finds what regular expressions match in n KiB of text, and replaces it.

use programs::{Random, checksum, mixed, text};
use regex::{Captures, Regex};

/// A literal, an alternative, repetitions with captures, and words that are not ASCII. Where words
/// end is asked for ASCII alone: else no automaton could be used for this text.
const PATTERNS: [&str; 4] = [
    r"trampoline",
    r"(?m)^(The|Memory|Register)(?-u:\b).*?(\w+)\.$",
    r"(?P<first>[a-z]+)(?:, |\s)(?P<second>c[a-z]*t)(?-u:\b)",
    r"\w*[^\x00-\x7f]\w*",
];

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let text = text(&mut Random::new(), n as usize * 1024);
    let mut sum = 0;
    for pattern in PATTERNS {
        let regex = Regex::new(pattern).expect("a correct pattern");
        for found in regex.find_iter(&text) {
            sum = mixed(sum, found.end() as u32);
        }
        let replaced = regex.replace_all(&text, |captures: &Captures<'_>| {
            let last = captures.iter().flatten().last().expect("the whole match");
            format!("<{}>", last.as_str())
        });
        sum = checksum(sum, replaced.as_bytes());
    }
    sum
}
