//! The guest `cancel` begins each operation a thousand times and gives it up: nothing is left of
//! them, neither while it goes on nor when its store is gone.

use std::task::Poll;
use std::time::{Duration, Instant};

use cwasm_tests::artifact::Workshop;
use cwasm_wasi::{OutputBuffer, WasiCtxBuilder, p3};

use crate::{child, guest, program, with_folder};

/// All that the guest can give up, and how many of its runs, each of a thousand, are looked at.
const NAMES: &[(&str, usize)] = &[
    ("wait-for", 10),
    ("wait-until", 10),
    ("stdin-read", 10),
    ("stdin-ending", 10),
    ("stdout-written", 10),
    ("stream-read", 10),
    ("stream-write", 10),
    ("file-read", 10),
    ("file-write", 10),
    ("file-written", 10),
    ("file-stat", 10),
    ("file-sync", 10),
    ("file-open", 10),
    ("file-list", 10),
    ("tcp-connect", 2),
    ("tcp-accept", 10),
    ("tcp-receive", 10),
    ("tcp-send", 10),
    ("tcp-sent", 2),
    ("udp-receive", 10),
    ("udp-send", 10),
    ("resolve", 1),
    ("http-send", 1),
    ("http-upload", 1),
    ("http-body", 10),
    ("http-trailers", 10),
];

/// Kinds of descriptors are all the same here.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until threads that were asked to do something have done it.
#[track_caller]
fn settles(what: &str, mut now: impl FnMut() -> usize, at: usize) {
    let start = Instant::now();
    loop {
        match now() {
            now if now <= at => return,
            now => assert!(
                start.elapsed() < Duration::from_secs(10),
                "{what}: {now} instead of {at}"
            ),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Memory of this process, in KiB.
fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let field = |index| {
        statm
            .split(' ')
            .nth(index)
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    (field(1) - field(2)) * 4
}

#[test]
fn nothing_is_left_of_what_is_given_up() {
    let ran = child::run(
        module_path!(),
        "nothing_is_left_of_what_is_given_up",
        || {
            let workshop = Workshop::new();
            let component = guest(&workshop, "p3/cancel.wasm");
            // What the process makes once: threads, their wakers.
            run(&workshop, &component, "resolve", 1);
            run(&workshop, &component, "http-body", 1);
            let before = descriptors();
            for (name, runs) in NAMES {
                run(&workshop, &component, name, *runs);
                settles(name, descriptors, before);
            }
        },
    );
    if let Some(output) = ran {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

/// Runs the guest in one store: once, and then some times more, which take no more than the first.
fn run(workshop: &Workshop, component: &cwasm::Component, name: &str, runs: usize) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![7; 200_000]).unwrap();
    // Input that does not come.
    let (input, _unwritten) = rustix::pipe::pipe().unwrap();
    let stderr = OutputBuffer::new(1 << 20);
    let stdout = OutputBuffer::new(1 << 20);
    let builder = WasiCtxBuilder::new()
        .args(["cancel", name])
        .stdin(input)
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .inherit_network();
    let wasi = with_folder(builder, folder.path()).build();
    let (mut store, command) = program(workshop, component, wasi);
    let mut once = || {
        let ran = p3::block_on(command.run(&mut store, |wasi| wasi)).unwrap();
        let said = String::from_utf8(stderr.take()).unwrap();
        assert_eq!(ran, Ok(()), "{name}: {said}");
        assert_eq!(stdout.take(), b"done\n");
        assert_eq!(store.task_count(), 0, "{name}");
    };
    once();
    let (open, used) = (descriptors(), memory());
    for _ in 1..runs {
        once();
    }
    // What was given up goes on when the store is polled.
    let polled = || {
        let poll = std::future::poll_fn(|context| Poll::Ready(store.poll(context).is_ready()));
        p3::block_on(poll);
        descriptors()
    };
    settles(name, polled, open);
    // A byte of each would be more.
    let grown = memory().saturating_sub(used);
    assert!(grown < 2 << 10, "{name}: {grown} KiB more");
}
