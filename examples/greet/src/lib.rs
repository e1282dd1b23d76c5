//! A small guest: strings and lists in and out, one import, some work, and a trap.
//!
//! It uses no WASI, so a host has to offer `log` and nothing else.

use std::sync::atomic::{AtomicU32, Ordering};

wit_bindgen::generate!({
    path: "wit",
    world: "greeter",
});

struct Greeter;

export!(Greeter);

/// How often `announce` was called: the state that an instance keeps between calls.
static ANNOUNCED: AtomicU32 = AtomicU32::new(0);

impl Guest for Greeter {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }

    fn sum(xs: Vec<i32>) -> i64 {
        xs.into_iter().map(i64::from).sum()
    }

    fn fib(n: u32) -> u64 {
        fib(n)
    }

    fn fail() {
        walk_the_plank();
    }

    fn announce(name: String) -> u32 {
        log(&format!("hello from {name}"));
        ANNOUNCED.fetch_add(1, Ordering::Relaxed) + 1
    }
}

fn fib(n: u32) -> u64 {
    if n < 2 {
        u64::from(n)
    } else {
        fib(n - 1) + fib(n - 2)
    }
}

// Each of these stays a function of its own, so that a backtrace has something to show.

#[inline(never)]
fn walk_the_plank() {
    take_one_step_too_many();
}

#[inline(never)]
fn take_one_step_too_many() {
    splash();
}

#[inline(never)]
fn splash() {
    panic!("this guest fails when it is asked to");
}
