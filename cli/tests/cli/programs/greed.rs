//! Programs that take all they can get: the host's memory, descriptors and threads stay as they
//! are.

use super::watched::{Peak, watched};
use crate::support::{Folder, Ran};

/// The memory that the command takes at most; with an artifact it is 8 MiB at first.
const MEMORY: u64 = 100 << 20;

/// Runs the client greedily: at most so many files for one process.
fn greedy(files: usize, command: &str) -> (Ran, Peak) {
    let folder = Folder::new();
    let (ran, peak) = watched(
        &folder,
        &format!("bash -c 'ulimit -n {files}; exec $run --net all --dir . $client -- {command}'"),
    );
    assert!(peak.descriptors <= files, "{command}: {peak:?}");
    assert!(peak.threads <= 4, "{command}: {peak:?}");
    assert!(peak.memory < MEMORY, "{command}: {peak:?}");
    (ran, peak)
}

#[test]
fn no_more_random_bytes_than_a_host_has() {
    for bytes in [u64::MAX, 1 << 63, 1 << 32, (64 << 20) + 1] {
        let (ran, _) = greedy(1024, &format!("random {bytes}"));
        ran.fails(1, &["random bytes in one call, at most"]);
    }
    greedy(1024, "random 1000000").0.prints("1000000 bytes\n");
}

#[test]
fn no_more_is_written_than_was_permitted() {
    for bytes in [u64::MAX, 1 << 32, 1 << 31, 65537] {
        let (ran, _) = greedy(1024, &format!("write-zeroes {bytes}"));
        ran.fails(1, &["more than is permitted"]);
    }
    for bytes in [1 << 20, 65537] {
        let (ran, _) = greedy(1024, &format!("write {bytes}"));
        ran.fails(1, &["where `check-write` has permitted"]);
    }
}

#[test]
fn a_million_handles_are_too_many() {
    for what in [
        "input-streams",
        "output-streams",
        "error-streams",
        "pollables",
        "stdin-pollables",
        "preopens",
        "networks",
        "file-streams",
        "lookups",
    ] {
        let (ran, _) = greedy(1024, &format!("many {what} 1000000"));
        ran.fails(1, &["the table of resources is full"]);
    }
}

#[test]
fn a_million_descriptors_are_too_many() {
    for (what, code) in [
        ("files", "insufficient-memory"),
        ("folders", "insufficient-memory"),
        ("listings", "insufficient-memory"),
        ("closed-file-streams", "insufficient-memory"),
        ("tcp-sockets", "new-socket-limit"),
        ("udp-sockets", "new-socket-limit"),
    ] {
        // The program is told, and goes on.
        let (ran, _) = greedy(1024, &format!("many {what} 1000000"));
        assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
        let count = ran.stdout().split(' ').next().unwrap();
        let count: usize = count.parse().unwrap();
        assert!((900..1010).contains(&count), "{}", ran.stdout());
        assert_eq!(ran.stdout(), format!("{count} {what}: {code}\n"));
    }
}

#[test]
fn a_list_of_a_million_pollables_is_waited_for() {
    greedy(1024, "poll 1000000").0.prints("1000000 ready\n");
}
