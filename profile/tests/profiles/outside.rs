//! What is done to threads and processes while a profile runs: waits, fibers, forks.
#![allow(unsafe_code, reason = "forks")]

use std::time::{Duration, Instant};

use cwasm::{Engine, Linker, ProfileClock, ProfileConfig, Profiler, Store};

use crate::guests::{alone, burn, component, own, profile_of, share, stacks};
use crate::{func, instance, instance_with};

#[test]
fn time_on_fibers_is_attributed() {
    let _alone = alone();
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker
        .root()
        .func_wrap_async("burn", |_, (millis,): (u32,)| {
            Box::new(async move {
                burn((millis / 2).into());
                std::thread::yield_now();
                burn((millis / 2).into());
                Ok(())
            })
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let profile = profile_of(|| {
        cwasm::block_on(async {
            let component = component(&engine);
            let instance = linker.instantiate_async(&mut store, &component).await;
            let instance = instance.unwrap();
            let asks = func::<(u32,), ()>(&mut store, instance, "asks");
            asks.call_async(&mut store, (200,)).await.unwrap();
            let split = func::<(u32,), (u32,)>(&mut store, instance, "split");
            split.call_async(&mut store, (2,)).await.unwrap();
        });
    });
    let stacks = stacks(&profile, own(&profile));
    let time = |end: &str| {
        let found = stacks.iter().filter(|(stack, _)| stack.ends_with(end));
        found.map(|(_, time)| time.as_secs_f64()).sum::<f64>()
    };
    assert!((0.17..0.24).contains(&time("asks;burn")), "{stacks:?}");
    assert!(
        (share(&stacks, "split;seventy") / share(&stacks, "split;thirty") - 7.0 / 3.0).abs() < 0.6
    );
}

#[test]
fn waits_are_seen_by_the_clock_on_the_wall() {
    let _alone = alone();
    let engine = Engine::default();
    let wait = |_: cwasm::StoreContextMut<'_, ()>, (millis,): (u32,)| {
        std::thread::sleep(Duration::from_millis(millis.into()));
        Ok(())
    };
    let (mut store, instance) = instance_with(&engine, &component(&engine), wait);
    let asks = func::<(u32,), ()>(&mut store, instance, "asks");
    for (clock, least, most) in [
        (ProfileClock::Cpu, 0.0, 0.1),
        (ProfileClock::Wall, 0.35, f64::MAX),
    ] {
        let began = Instant::now();
        let profiler = Profiler::start(ProfileConfig::new().clock(clock)).unwrap();
        asks.call(&mut store, (400,)).unwrap();
        let profile = profiler.stop();
        assert!(
            began.elapsed() >= Duration::from_millis(400),
            "the sleep was cut short"
        );
        let stacks = stacks(&profile, own(&profile));
        let waits: f64 = stacks.values().map(Duration::as_secs_f64).sum();
        assert!(waits >= least && waits < most, "{clock:?}: {stacks:?}");
        assert!(
            least == 0.0 || share(&stacks, "asks;burn") > 0.9,
            "{stacks:?}"
        );
    }
}

#[test]
fn a_child_has_its_own_profiles() {
    let _alone = alone();
    let engine = Engine::default();
    let (mut store, instance) = instance(&engine, &component(&engine));
    let split = func::<(u32,), (u32,)>(&mut store, instance, "split");
    let profiler = Profiler::start(&ProfileConfig::new()).unwrap();
    split.call(&mut store, (2,)).unwrap();
    let in_child = || {
        split.call(&mut store, (1,)).unwrap();
        let of_parent = profiler.stop();
        let own_profile = profile_of(|| {
            split.call(&mut store, (4,)).unwrap();
        });
        let stacks = stacks(&own_profile, own(&own_profile));
        let child_is_sampled = (share(&stacks, "split;seventy") - 0.7).abs() < 0.05;
        child_is_sampled && of_parent.threads.len() < 1000
    };
    // SAFETY: the child runs this alone, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(in_child));
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(!matches!(run, Ok(true)))) }
        }
        child => {
            let mut status = 0;
            // SAFETY: a child of this process.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
        }
    }
}
