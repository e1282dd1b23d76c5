//! Sorts n numbers, records and strings, and keeps some in a tree and a heap.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use programs::{Random, mixed, text};

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let mut random = Random::new();
    let mut numbers: Vec<u32> = (0..n).map(|_| random.number()).collect();
    let mut records: Vec<(f64, u32)> = numbers
        .iter()
        .map(|number| (f64::from(number % 5003), *number))
        .collect();
    let words = text(&mut random, n as usize * 4);
    let mut words: Vec<&str> = words.split_whitespace().collect();

    let mut tree = BTreeMap::new();
    let mut heap = BinaryHeap::new();
    for (place, number) in numbers.iter().enumerate() {
        *tree.entry(number % 3001).or_insert(0) += place;
        heap.push(Reverse(*number));
        if place % 3 == 2 {
            heap.pop();
        }
    }
    numbers.sort_unstable();
    records.sort_by(|a, b| a.0.total_cmp(&b.0));
    words.sort();

    let sum = numbers.iter().fold(0, |sum, number| mixed(sum, *number));
    let sum = records.iter().fold(sum, |sum, record| mixed(sum, record.1));
    let sum = words
        .iter()
        .fold(sum, |sum, word| mixed(sum, word.len() as u32));
    let sum = tree.range(..1500).fold(sum, |sum, (key, value)| {
        mixed(mixed(sum, *key), *value as u32)
    });
    heap.into_sorted_vec()
        .iter()
        .fold(sum, |sum, number| mixed(sum, number.0))
}
