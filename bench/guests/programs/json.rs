//! Prints n records as JSON, reads them as what they are and as any JSON, and prints them again.

use programs::{Random, checksum, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize, Serialize)]
struct Person {
    id: u32,
    name: String,
    notes: Option<String>,
    scores: Vec<f64>,
    place: Place,
    active: bool,
}

#[derive(Deserialize, Serialize)]
struct Place {
    latitude: f64,
    longitude: f64,
    label: String,
}

#[cfg_attr(target_family = "wasm", unsafe(no_mangle))]
pub extern "C" fn run(n: u32) -> u32 {
    let mut random = Random::new();
    let people: Vec<Person> = (0..n).map(|id| person(&mut random, id)).collect();
    let first = serde_json::to_string(&people).expect("records");
    let people: Vec<Person> = serde_json::from_str(&first).expect("what was printed");
    let second = serde_json::to_string_pretty(&people).expect("records");
    let any: Value = serde_json::from_str(&second).expect("what was printed");
    let third = any.to_string();
    let sum = checksum(0, first.as_bytes());
    checksum(checksum(sum, second.as_bytes()), third.as_bytes())
}

fn person(random: &mut Random, id: u32) -> Person {
    let degrees = |number: u32| f64::from(number % 3_600_000) / 10_000.0 - 180.0;
    Person {
        id,
        name: text(random, 16),
        notes: (random.number() % 3 > 0).then(|| text(random, 80)),
        scores: (0..random.number() % 8)
            .map(|n| f64::from(random.number()) / f64::from(n + 3))
            .collect(),
        place: Place {
            latitude: degrees(random.number()) / 2.0,
            longitude: degrees(random.number()),
            label: format!("at \"{}\"\t{}", id, text(random, 8)),
        },
        active: random.number() % 2 == 0,
    }
}
