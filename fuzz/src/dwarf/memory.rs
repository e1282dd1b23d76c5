//! The most memory that this process has used.

use std::fs;

/// Forgets what was used until now, and returns what is used, in bytes; `None` if the system does
/// not say.
pub(super) fn reset() -> Option<u64> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    field("VmRSS:")
}

/// The most that was used since then.
pub(super) fn peak() -> Option<u64> {
    field("VmHWM:")
}

fn field(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_again_is_seen() {
        let before = reset().unwrap();
        drop(std::hint::black_box(vec![1u8; 50 << 20]));
        assert!(peak().unwrap() > before + (40 << 20));
    }
}
