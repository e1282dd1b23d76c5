//! Guests whose functions are known to take their time, and the profile of what is done with them.
#![allow(
    unsafe_code,
    reason = "artifacts that were made a moment ago are loaded"
)]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cwasm::{Component, Engine, Profile, ProfileConfig, ProfileThread, Profiler};
use cwasm_compiler::Options;

/// Two functions that do the same, seven and three times as often; one that calls the host before
/// and after; one that fills memory; one that calls itself, and one that traps.
const GUEST: &str = r#"
(component
  (import "burn" (func $burn (param "millis" u32)))
  (core func $lowered (canon lower (func $burn)))
  (core module $m
    (import "host" "burn" (func $burn (param i32)))
    (memory 64)
    (func $seventy (param $n i32) (result i32) (local $x i32)
      (loop $next
        (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (local.get $n)))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $x))
    (func $thirty (param $n i32) (result i32) (local $x i32)
      (loop $next
        (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (local.get $n)))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $x))
    (func $split (export "split") (param $rounds i32) (result i32) (local $x i32)
      (loop $next
        (local.set $x (i32.add (local.get $x) (call $seventy (i32.const 70000000))))
        (local.set $x (i32.add (local.get $x) (call $thirty (i32.const 30000000))))
        (br_if $next (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
      (local.get $x))
    (func $asks (export "asks") (param $millis i32)
      (call $burn (local.get $millis)))
    (func $fills (export "fills") (param $rounds i32)
      (loop $next
        (memory.fill (i32.const 0) (local.get $rounds) (i32.const 4000000))
        (br_if $next (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1))))))
    (func $deep (param $depth i32) (result i32)
      (if (result i32) (local.get $depth)
        (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get $depth) (i32.const 1)))))
        (else (call $seventy (i32.const 100000000)))))
    (func (export "dives") (param $depth i32) (result i32) (call $deep (local.get $depth)))
    (func $traps (export "traps") unreachable))
  (core instance $i (instantiate $m
    (with "host" (instance (export "burn" (func $lowered))))))
  (func (export "split") (param "rounds" u32) (result u32) (canon lift (core func $i "split")))
  (func (export "asks") (param "millis" u32) (canon lift (core func $i "asks")))
  (func (export "fills") (param "rounds" u32) (canon lift (core func $i "fills")))
  (func (export "dives") (param "depth" u32) (result u32) (canon lift (core func $i "dives")))
  (func (export "traps") (canon lift (core func $i "traps"))))
"#;

/// The artifact of the guest, with or without names.
pub(crate) fn artifact(debug: bool) -> Vec<u8> {
    let options = Options {
        debug: match debug {
            true => cwasm_compiler::Debug::Inside,
            false => cwasm_compiler::Debug::None,
        },
        ..Options::default()
    };
    let wasm = wat::parse_str(GUEST).unwrap();
    cwasm_compiler::compile(&wasm, &options).unwrap().bytes
}

/// The guest, loaded.
pub(crate) fn component(engine: &Engine) -> Component {
    load(engine, &artifact(true))
}

pub(crate) fn load(engine: &Engine, artifact: &[u8]) -> Component {
    // SAFETY: the compiler has just made it.
    unsafe { Component::from_bytes(engine, artifact) }.unwrap()
}

/// The time that this thread has run.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs for so long.
#[inline(never)]
pub(crate) fn burn(millis: u64) {
    let end = cpu_time() + Duration::from_millis(millis);
    while cpu_time() < end {
        std::hint::spin_loop();
    }
}

/// One profile at a time: a process has one.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The profile of what `body` does.
pub(crate) fn profile_of(body: impl FnOnce()) -> Profile {
    let profiler = Profiler::start(&ProfileConfig::new()).unwrap();
    body();
    profiler.stop()
}

/// The time of each stack of a thread, as `caller;callee`.
pub(crate) fn stacks(profile: &Profile, thread: &ProfileThread) -> BTreeMap<String, Duration> {
    let mut stacks = BTreeMap::new();
    for sample in &thread.samples {
        let frames = profile.frames_of(sample.stack);
        let mut names: Vec<_> = frames.map(|frame| &*frame.name).collect();
        names.reverse();
        *stacks.entry(names.join(";")).or_default() += Duration::from_nanos(sample.weight);
    }
    stacks
}

/// This thread in the profile. (Threads that have run guests before are there as well.)
pub(crate) fn own(profile: &Profile) -> &ProfileThread {
    // SAFETY: has no preconditions.
    let id = unsafe { libc::gettid() };
    let mut threads = profile.threads.iter();
    threads
        .find(|thread| thread.id == id as u32)
        .expect("this thread has run a guest")
}

/// The part that stacks which end so have of all.
pub(crate) fn share(stacks: &BTreeMap<String, Duration>, end: &str) -> f64 {
    let sum = |which: &dyn Fn(&str) -> bool| -> f64 {
        let found = stacks.iter().filter(|(stack, _)| which(stack));
        found.map(|(_, time)| time.as_secs_f64()).sum()
    };
    sum(&|stack| stack.ends_with(end)) / sum(&|_| true)
}
