//! Signals that are not the profiler's. Alone: the first profiler of a process installs a handler.
#![allow(unsafe_code, reason = "sends signals")]

use std::sync::atomic::{AtomicU32, Ordering};

use cwasm::{Engine, ProfileConfig, Profiler};

#[test]
fn signals_of_others_go_to_the_handler_that_was_there() {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count(_: libc::c_int) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = count;
    // SAFETY: the handler only counts.
    unsafe { libc::signal(libc::SIGPROF, handler as libc::sighandler_t) };
    drop(Engine::default());
    for round in 1..3 {
        let profiler = Profiler::start(&ProfileConfig::new()).unwrap();
        // SAFETY: has no preconditions.
        unsafe { libc::raise(libc::SIGPROF) };
        drop(profiler);
        // SAFETY: as above.
        unsafe { libc::raise(libc::SIGPROF) };
        assert_eq!(COUNT.load(Ordering::Relaxed), 2 * round);
    }
}
