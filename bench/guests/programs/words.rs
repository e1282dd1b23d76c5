//! Counts the words of n KiB of text in a hash table, and prints the table.

use std::collections::HashMap;
use std::fmt::Write as _;

use programs::{Random, checksum, mixed, text};

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let text = text(&mut Random::new(), n as usize * 1024);
    let mut counts: HashMap<String, u32> = HashMap::new();
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    // By count, and else by word: the hash table's order is another every time.
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let total: u32 = counts.values().sum();
    let mut table = String::new();
    for (word, count) in sorted {
        let part = f64::from(*count) * 100.0 / f64::from(total);
        writeln!(table, "{word:<16}{count:>8}{part:>8.3} %").expect("memory");
    }
    let letters: String = text.chars().rev().filter(|c| c.is_alphabetic()).collect();
    let upper = letters.to_uppercase();
    let sum = upper
        .char_indices()
        .fold(0, |sum, (at, c)| mixed(sum, at as u32 ^ u32::from(c)));
    checksum(sum, table.as_bytes())
}
