//! The features of the CPU.

use std::sync::atomic::{AtomicU64, Ordering};

use cwasm_format::cpu;

/// The features of this machine's CPU: bits of [`cpu::X86_64_FEATURES`].
pub(crate) fn features() -> u64 {
    /// No feature of ours; set when they are known.
    const KNOWN: u64 = 1 << 63;
    /// Threads may look at once, and find the same. A lock would stay taken in a child of a fork.
    static FEATURES: AtomicU64 = AtomicU64::new(0);
    let found = match FEATURES.load(Ordering::Relaxed) {
        0 => {
            let found = cpu::X86_64_FEATURES
                .iter()
                .filter(|(name, _)| is_detected(name))
                .fold(KNOWN, |bits, (_, bit)| bits | bit);
            FEATURES.store(found, Ordering::Relaxed);
            found
        }
        found => found,
    };
    found & !KNOWN
}

fn is_detected(name: &str) -> bool {
    macro_rules! features {
        ($($name:literal = $rust:tt,)*) => {
            match name {
                $($name => std::is_x86_feature_detected!($rust),)*
                _ => false,
            }
        };
    }
    features! {
        "sse3" = "sse3",
        "ssse3" = "ssse3",
        "sse4.1" = "sse4.1",
        "sse4.2" = "sse4.2",
        "popcnt" = "popcnt",
        "cx16" = "cmpxchg16b",
        "avx" = "avx",
        "avx2" = "avx2",
        "bmi1" = "bmi1",
        "bmi2" = "bmi2",
        "fma" = "fma",
        "lzcnt" = "lzcnt",
        "avx512f" = "avx512f",
        "avx512dq" = "avx512dq",
        "avx512vl" = "avx512vl",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_of_the_format_can_be_detected() {
        // All features in /proc/cpuinfo are found: no name of the format is missing in the table.
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags: Vec<_> = info
            .lines()
            .find(|l| l.starts_with("flags"))
            .unwrap()
            .split(' ')
            .collect();
        for (name, bit) in cpu::X86_64_FEATURES {
            let kernel_name = match *name {
                "sse3" => "pni",
                "sse4.1" => "sse4_1",
                "sse4.2" => "sse4_2",
                "lzcnt" => "abm",
                name => name,
            };
            assert_eq!(
                flags.contains(&kernel_name),
                features() & bit != 0,
                "{name}"
            );
        }
    }
}
