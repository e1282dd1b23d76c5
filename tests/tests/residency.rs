//! Many loads, and many artifacts at once: memory, file descriptors and time stay flat.
//!
//! One test only: it looks at the whole process.

mod common;

use std::time::{Duration, Instant};

use cwasm::Component;
use cwasm_tests::artifact::Workshop;

/// Loads and drops.
const LOADS: usize = 10_000;

/// Artifacts that stay.
const RESIDENT: usize = 1000;

/// Bytes of address space of this process, and of its own memory: pages of files are shared.
fn memory() -> (usize, usize) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let field = |index| {
        let pages = statm.split(' ').nth(index).unwrap();
        pages.parse::<usize>().unwrap() * 4096
    };
    (field(0), field(1).saturating_sub(field(2)))
}

fn file_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn loads_leave_nothing_behind() {
    let workshop = Workshop::new();
    let artifact = workshop.compile(&common::greet()).unwrap();
    let path = workshop.write(&artifact);
    let load = || workshop.map_component_at(&path).unwrap();
    let time_of_load = || {
        let mut times: Vec<Duration> = (0..500)
            .map(|_| {
                let start = Instant::now();
                let component = load();
                let time = start.elapsed();
                drop(component);
                time
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };

    for _ in 0..100 {
        drop(load());
    }
    let (space, own) = memory();
    let descriptors = file_descriptors();
    let alone = time_of_load();
    for _ in 0..LOADS {
        drop(load());
    }
    let (space_after, own_after) = memory();
    assert_eq!(file_descriptors(), descriptors);
    assert!(
        space_after < space + (1 << 20),
        "address space: {space}, then {space_after}"
    );
    assert!(
        own_after < own + (4 << 20),
        "memory: {own}, then {own_after}"
    );

    let components: Vec<Component> = (0..RESIDENT).map(|_| load()).collect();
    assert_eq!(file_descriptors(), descriptors);
    let (_, with_many) = memory();
    let each = with_many.saturating_sub(own) / RESIDENT;
    assert!(each < 8 << 10, "{each} bytes for each resident artifact");
    let crowded = time_of_load();
    assert!(
        crowded < 3 * alone + Duration::from_micros(50),
        "a load takes {alone:?} alone, {crowded:?} with {RESIDENT} others"
    );
    drop(components);
    let (space_at_end, _) = memory();
    assert!(
        space_at_end < space + (1 << 20),
        "address space: {space}, then {space_at_end}"
    );
}
