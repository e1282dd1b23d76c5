//! Profiles of guests whose time is known. It is the CPU's time, so that it does not matter what
//! else the machine does.

mod guests;
mod outside;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cwasm::{
    Engine, FrameKind, Linker, Profile, ProfileConfig, Profiler, Store, StoreContextMut, TypedFunc,
};

use guests::{alone, artifact, burn, component, cpu_time, load, own, profile_of, share, stacks};

/// How far shares may be off: 5 points.
const NEAR: f64 = 0.05;

/// A store with an instance of the guest, whose host function does what it should: it burns time.
fn instance(engine: &Engine, component: &cwasm::Component) -> (Store<()>, cwasm::Instance) {
    instance_with(engine, component, |_, (millis,)| {
        burn(millis.into());
        Ok(())
    })
}

fn instance_with(
    engine: &Engine,
    component: &cwasm::Component,
    host: impl Fn(StoreContextMut<'_, ()>, (u32,)) -> cwasm::Result<()> + Send + Sync + 'static,
) -> (Store<()>, cwasm::Instance) {
    let mut linker = Linker::new(engine);
    linker.root().func_wrap("burn", host).unwrap();
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, component).unwrap();
    (store, instance)
}

/// A function of the guest.
fn func<P, R>(store: &mut Store<()>, instance: cwasm::Instance, name: &str) -> TypedFunc<P, R>
where
    P: cwasm::ComponentNamedList + cwasm::Lower + 'static,
    R: cwasm::ComponentNamedList + cwasm::Lift + 'static,
{
    instance.get_typed_func(store, name).unwrap()
}

fn assert_near(found: f64, expected: f64, profile: &Profile) {
    let stacks = stacks(profile, own(profile));
    assert!(
        (found - expected).abs() < NEAR,
        "{found}, not {expected}: {stacks:?}"
    );
}

#[test]
fn time_is_split_as_it_was_spent() {
    let _alone = alone();
    let engine = Engine::default();
    let (mut store, instance) = instance(&engine, &component(&engine));
    let split = func::<(u32,), (u32,)>(&mut store, instance, "split");
    let before = cpu_time();
    let profile = profile_of(|| {
        split.call(&mut store, (8,)).unwrap();
    });
    let spent = (cpu_time() - before).as_secs_f64();
    let stacks = stacks(&profile, own(&profile));
    assert_near(share(&stacks, "split;seventy"), 0.7, &profile);
    assert_near(share(&stacks, "split;thirty"), 0.3, &profile);
    let sum: f64 = stacks.values().map(Duration::as_secs_f64).sum();
    assert!((sum / spent - 1.0).abs() < 2.0 * NEAR, "{sum} of {spent}");
    let samples = &own(&profile).samples;
    assert!(samples.is_sorted_by_key(|sample| sample.time));
    assert!(Duration::from_nanos(samples.last().unwrap().time) <= profile.duration);
}

#[test]
fn functions_without_names_are_told_apart() {
    let _alone = alone();
    let engine = Engine::default();
    let (mut store, instance) = instance(&engine, &load(&engine, &artifact(false)));
    let split = func::<(u32,), (u32,)>(&mut store, instance, "split");
    let profile = profile_of(|| {
        split.call(&mut store, (4,)).unwrap();
    });
    let stacks = stacks(&profile, own(&profile));
    // The import is the first function.
    let seventy = share(&stacks, "core[0].func[3];core[0].func[1]");
    assert_near(seventy, 0.7, &profile);
}

#[test]
fn the_hosts_time_is_that_of_the_guest_that_called() {
    let _alone = alone();
    let engine = Engine::default();
    let (mut store, instance) = instance(&engine, &component(&engine));
    let asks = func::<(u32,), ()>(&mut store, instance, "asks");
    let profile = profile_of(|| {
        asks.call(&mut store, (300,)).unwrap();
        burn(100);
    });
    let thread = own(&profile);
    let stacks = stacks(&profile, thread);
    assert!(share(&stacks, "asks;burn") > 0.95, "{stacks:?}");
    let sum: f64 = stacks.values().map(Duration::as_secs_f64).sum();
    assert!((0.27..0.33).contains(&sum), "{stacks:?}");
    let outside = thread.outside.as_secs_f64();
    assert!((0.08..0.15).contains(&outside), "{thread:?}");
    assert!(thread.unknown < Duration::from_millis(20), "{thread:?}");
    let host = profile.frames.iter().find(|frame| frame.name == "burn");
    assert_eq!(host.unwrap().kind, FrameKind::Host);
}

#[test]
fn guests_that_hosts_call_stand_on_those_that_called() {
    let _alone = alone();
    let engine = Engine::default();
    let component = component(&engine);
    let split: Arc<OnceLock<TypedFunc<(u32,), (u32,)>>> = Arc::default();
    let inner = Arc::clone(&split);
    let (mut store, instance) = instance_with(&engine, &component, move |mut store, _| {
        inner.get().unwrap().call(&mut store, (2,)).map(drop)
    });
    let _ = split.set(func(&mut store, instance, "split"));
    let asks = func::<(u32,), ()>(&mut store, instance, "asks");
    let profile = profile_of(|| asks.call(&mut store, (0,)).unwrap());
    let stacks = stacks(&profile, own(&profile));
    assert!(
        share(&stacks, "asks;burn;split;seventy") > 0.5,
        "{stacks:?}"
    );
    assert!(
        stacks.keys().all(|stack| stack.starts_with("asks")),
        "{stacks:?}"
    );
}

#[test]
fn builtins_are_shown() {
    let _alone = alone();
    let engine = Engine::default();
    let (mut store, instance) = instance(&engine, &component(&engine));
    let fills = func::<(u32,), ()>(&mut store, instance, "fills");
    let profile = profile_of(|| fills.call(&mut store, (2000,)).unwrap());
    let stacks = stacks(&profile, own(&profile));
    assert!(
        share(&stacks, "fills;builtin[memory_fill]") > 0.9,
        "{stacks:?}"
    );
    let mut kinds = profile.frames.iter().map(|frame| frame.kind);
    assert!(kinds.any(|kind| kind == FrameKind::Builtin));
}

#[test]
fn of_deep_stacks_the_innermost_frames_are_kept() {
    let _alone = alone();
    let engine = Engine::default();
    let (mut store, instance) = instance(&engine, &component(&engine));
    let dives = func::<(u32,), (u32,)>(&mut store, instance, "dives");
    let profile = profile_of(|| {
        dives.call(&mut store, (200,)).unwrap();
        dives.call(&mut store, (2000,)).unwrap();
    });
    let stacks = stacks(&profile, own(&profile));
    assert!(share(&stacks, "deep;deep;seventy") > 0.95, "{stacks:?}");
    let deepest = stacks.keys().map(|stack| stack.matches(';').count() + 1);
    assert_eq!(deepest.max(), Some(256));
    let whole = |stack: &&String| !stack.starts_with("[truncated]");
    let depth = stacks
        .keys()
        .filter(whole)
        .map(|stack| stack.matches("deep").count());
    assert_eq!(depth.max(), Some(201));
}

#[test]
fn traps_do_not_confuse_it() {
    let _alone = alone();
    let engine = Engine::default();
    let component = component(&engine);
    let profile = profile_of(|| {
        let end = cpu_time() + Duration::from_millis(400);
        while cpu_time() < end {
            let (mut store, instance) = instance(&engine, &component);
            let traps = func::<(), ()>(&mut store, instance, "traps");
            assert!(traps.call(&mut store, ()).is_err());
        }
    });
    for stack in stacks(&profile, own(&profile)).keys() {
        let known = ["traps", "traps;[trap]", "thunk[traps]"];
        assert!(known.contains(&&**stack), "{stack}");
    }
}

#[test]
fn names_of_dropped_artifacts_are_kept() {
    let _alone = alone();
    let engine = Engine::default();
    let bytes = artifact(true);
    let profile = profile_of(|| {
        for _ in 0..20 {
            let component = load(&engine, &bytes);
            let (mut store, instance) = instance(&engine, &component);
            let split = func::<(u32,), (u32,)>(&mut store, instance, "split");
            split.call(&mut store, (1,)).unwrap();
        }
    });
    let stacks = stacks(&profile, own(&profile));
    assert_near(share(&stacks, "split;seventy"), 0.7, &profile);
    assert_eq!(
        profile
            .frames
            .iter()
            .filter(|frame| frame.name == "seventy")
            .count(),
        1
    );
    assert_eq!(own(&profile).dropped, Duration::ZERO);
}

#[test]
fn threads_are_sampled_whether_they_are_there_or_come() {
    let _alone = alone();
    let engine = Engine::default();
    let component = component(&engine);
    let stop = AtomicBool::new(false);
    let work = || {
        let (mut store, instance) = instance(&engine, &component);
        let split = func::<(u32,), (u32,)>(&mut store, instance, "split");
        while !stop.load(Ordering::Relaxed) {
            split.call(&mut store, (1,)).unwrap();
        }
        cpu_time()
    };
    std::thread::scope(|scope| {
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let early = named("early").spawn_scoped(scope, work).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let profile = profile_of(|| {
            let late = named("late").spawn_scoped(scope, work).unwrap();
            std::thread::sleep(Duration::from_millis(1000));
            stop.store(true, Ordering::Relaxed);
            assert!(late.join().unwrap() > Duration::from_millis(50));
            early.join().unwrap();
        });
        for name in ["early", "late"] {
            let mut threads = profile.threads.iter();
            let thread = threads.find(|thread| thread.name.as_deref() == Some(name));
            let stacks = stacks(
                &profile,
                thread.unwrap_or_else(|| panic!("no thread {name}")),
            );
            assert!(share(&stacks, "split;seventy") > 0.5, "{name}: {stacks:?}");
        }
    });
}

#[test]
fn a_process_has_one_profile_at_a_time() {
    let _alone = alone();
    let first = Profiler::start(&ProfileConfig::new()).unwrap();
    let error = Profiler::start(&ProfileConfig::new())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "a profile of this process runs already");
    drop(first);
    let profile = profile_of(|| {});
    assert!(
        profile
            .threads
            .iter()
            .all(|thread| thread.samples.is_empty())
    );
    let mut config = ProfileConfig::new();
    let error = Profiler::start(config.interval(Duration::from_micros(99))).unwrap_err();
    let expected = "the interval of a profile is 99µs, expected at least 100µs";
    assert_eq!(error.to_string(), expected);
}
