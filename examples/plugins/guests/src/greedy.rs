//! Wants all memory there is: the host's limit ends it.

use guests::{Document, Guest, export, report};

struct Greedy;

export!(Greedy);

impl Guest for Greedy {
    fn describe() -> String {
        "room".to_owned()
    }

    fn check(_: &Document) -> Result<u32, String> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(vec![1u8; 1 << 20]);
            if hoard.len() == 8 {
                report(1, "8 MiB, and still hungry");
            }
        }
    }
}
