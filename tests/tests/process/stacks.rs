//! Stacks: how much of them guests use, also on the main thread, and those that are not the one
//! that a call began on: of other threads, without a guard, of coroutines. Each test that may crash
//! does it in a child process.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread;

use crate::common::child;
use cwasm::{
    AsContextMut as _, Component, Config, Engine, Instance, Linker, Store, StoreContextMut,
    TrapCode,
};
use cwasm_compiler::{Bounds, Options};

/// `recurse` calls itself and the host, without end, and `pure` itself alone, `wide` with a frame
/// of many pages; `twice` calls the host twice.
const GUEST: &str = r#"(component
  (import "host" (func $host (param "n" u32) (result u32)))
  (core func $host (canon lower (func $host)))
  (core module $m (import "" "host" (func $host (param i32) (result i32)))
    (memory 1)
    (func $recurse (export "recurse") (param i32) (result i32)
      (i32.add (call $host (local.get 0)) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
    (func $pure (export "pure") (param i32) (result i32)
      (i32.add (i32.const 1) (call $pure (i32.add (local.get 0) (i32.const 1)))))
    (func $wide (export "wide") (param i32) (result i32) LOADS
      (local.set 0 (call $wide (i32.add (local.get 0) (i32.const 1))))
      SUM)
    (func (export "twice") (param i32) (result i32)
      (i32.add (call $host (local.get 0)) (call $host (local.get 0))))
    (func (export "plain") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m (with "" (instance (export "host" (func $host))))))
  (func (export "recurse") (param "n" u32) (result u32) (canon lift (core func $i "recurse")))
  (func (export "pure") (param "n" u32) (result u32) (canon lift (core func $i "pure")))
  (func (export "wide") (param "n" u32) (result u32) (canon lift (core func $i "wide")))
  (func (export "twice") (param "n" u32) (result u32) (canon lift (core func $i "twice")))
  (func (export "plain") (param "n" u32) (result u32) (canon lift (core func $i "plain"))))"#;

/// The artifact of the guest.
fn artifact(bounds: Bounds) -> Vec<u8> {
    const LOCALS: u32 = 600;
    let (mut loads, mut sum) = (String::new(), String::new());
    for local in 1..=LOCALS {
        loads.push_str("(local i32)");
        sum.push_str(&format!("(i32.add (local.get {local})"));
    }
    for local in 1..=LOCALS {
        let offset = 4 * local;
        loads.push_str(&format!(
            "(local.set {local} (i32.load offset={offset} (local.get 0)))"
        ));
    }
    sum.push_str(&format!("(local.get 0){}", ")".repeat(LOCALS as usize)));
    let text = GUEST.replace("LOADS", &loads).replace("SUM", &sum);
    let options = Options {
        bounds,
        ..Options::default()
    };
    let wasm = wat::parse_str(&text).unwrap();
    cwasm_compiler::compile(&wasm, &options).unwrap().bytes
}

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn component(engine: &Engine) -> Component {
    static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
    let artifact = ARTIFACT.get_or_init(|| artifact(Bounds::Guard));
    // SAFETY: the artifact comes from this compiler.
    unsafe { Component::from_bytes(engine, artifact) }.unwrap()
}

/// Runs `body` in a child process, which must say `expected` on standard error.
fn says(test: &str, expected: &str, body: impl FnOnce()) {
    if let Some(output) = child::run(module_path!(), test, body) {
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(expected), "{output:?}");
    }
}

type Call = cwasm::Result<u32>;

fn call(store: &mut StoreContextMut<'_, Option<Instance>>, instance: Instance, name: &str) -> Call {
    let func = instance.get_typed_func::<(u32,), (u32,)>(&mut *store, name)?;
    Ok(func.call(&mut *store, (0,))?.0)
}

/// Less than what wasm leaves for host functions.
#[inline(never)]
fn use_stack(n: u32) -> u32 {
    let buffer = [n as u8; 60 << 10];
    std::hint::black_box(&buffer)[n as usize % 100].into()
}

/// Calls `name` of a guest whose host function, when it is called first, calls another guest from
/// another thread. That thread's stack is above the guest's, or below it.
fn call_across_threads(name: &str, is_above: bool) -> Call {
    let engine = Engine::default();
    let component = component(&engine);
    let mut linker = Linker::<Option<Instance>>::new(&engine);
    let host = |mut store: StoreContextMut<'_, Option<Instance>>, (n,): (u32,)| {
        if let Some(second) = store.data_mut().take() {
            thread::scope(|scope| {
                let other = scope.spawn(|| call(&mut store, second, "plain").unwrap());
                other.join().unwrap();
            });
        }
        Ok((use_stack(n),))
    };
    linker.root().func_wrap("host", host).unwrap();
    // A thread gets the highest place that is free: that of one that was there before and ended.
    let upper = thread::Builder::new().stack_size(4 << 20);
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let upper = upper.spawn(move || wait.recv().is_err()).unwrap();
    let lower = thread::Builder::new().stack_size(8 << 20);
    let name = name.to_owned();
    let lower = lower.spawn(move || {
        if is_above {
            drop(end);
            upper.join().unwrap();
        } else {
            std::mem::forget(end);
        }
        let mut store = Store::new(&engine, None);
        let first = linker.instantiate(&mut store, &component)?;
        let second = linker.instantiate(&mut store, &component)?;
        *store.data_mut() = Some(second);
        call(
            &mut cwasm::AsContextMut::as_context_mut(&mut store),
            first,
            &name,
        )
    });
    lower.unwrap().join().unwrap()
}

#[test]
fn a_call_knows_its_stack_after_one_on_another_thread() {
    let test = "a_call_knows_its_stack_after_one_on_another_thread";
    says(test, "all as expected", || {
        for is_above in [false, true] {
            assert_eq!(call_across_threads("twice", is_above).unwrap(), 0);
            let error = call_across_threads("recurse", is_above).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), TrapCode::StackOverflow);
        }
        eprintln!("all as expected");
    });
}

/// Instantiates the guest and calls `recurse`.
fn recurse() -> Call {
    let engine = Engine::default();
    let component = component(&engine);
    let mut linker = Linker::<Option<Instance>>::new(&engine);
    linker
        .root()
        .func_wrap("host", |_, (n,): (u32,)| Ok((n,)))?;
    let mut store = Store::new(&engine, None);
    let instance = linker.instantiate(&mut store, &component)?;
    let mut context = cwasm::AsContextMut::as_context_mut(&mut store);
    call(&mut context, instance, "recurse")
}

/// Memory that is never freed, and is accessible except for `guard` bytes at its start.
#[allow(unsafe_code, reason = "maps memory for a stack")]
fn memory(size: usize, guard: usize) -> *mut u8 {
    let (access, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: new memory, anywhere.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), size, access, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: the start of it.
    assert_eq!(unsafe { libc::mprotect(start, guard, libc::PROT_NONE) }, 0);
    start.cast()
}

#[test]
#[allow(unsafe_code, reason = "makes a thread with a stack of its own")]
fn a_stack_without_a_guard_is_refused() {
    const SIZE: usize = 1 << 20;
    extern "C" fn run(_: *mut libc::c_void) -> *mut libc::c_void {
        eprintln!("{:?}", recurse());
        std::ptr::null_mut()
    }
    let test = "a_stack_without_a_guard_is_refused";
    says(test, "has no guard page", || {
        let below = memory(2 * SIZE, 0);
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: initialises the attributes.
        let initialised = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
        assert_eq!(initialised, 0);
        let stack = below.wrapping_add(SIZE).cast();
        // SAFETY: initialised above; the memory stays.
        let set = unsafe { libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack, SIZE) };
        assert_eq!(set, 0);
        let mut thread = 0;
        // SAFETY: the function takes no argument, and the thread is joined below.
        let created = unsafe {
            libc::pthread_create(
                &raw mut thread,
                attributes.as_ptr(),
                run,
                std::ptr::null_mut(),
            )
        };
        assert_eq!(created, 0);
        // SAFETY: the thread was just made, and nobody else joins it.
        let joined = unsafe { libc::pthread_join(thread, std::ptr::null_mut()) };
        assert_eq!(joined, 0);
        // SAFETY: accessible, and nothing writes to it any more.
        let bytes = unsafe { std::slice::from_raw_parts(below, SIZE) };
        assert!(bytes.iter().all(|byte| *byte == 0));
    });
}

#[test]
#[allow(unsafe_code, reason = "switches stacks, as coroutines do")]
fn the_stack_of_a_coroutine_is_refused() {
    const SIZE: usize = 4 << 20;
    static mut MAIN: std::mem::MaybeUninit<libc::ucontext_t> = std::mem::MaybeUninit::uninit();
    static mut COROUTINE: std::mem::MaybeUninit<libc::ucontext_t> = std::mem::MaybeUninit::uninit();
    extern "C" fn run() {
        eprintln!("{:?}", recurse());
    }
    let test = "the_stack_of_a_coroutine_is_refused";
    says(test, "the thread's own stack only", || {
        // Mapped before the thread's stack, so above it.
        let stack = memory(SIZE, 64 << 10).expose_provenance();
        let thread = thread::Builder::new().stack_size(64 << 20).spawn(move || {
            let here = 0u8;
            assert!(stack > (&raw const here).addr());
            let (main, coroutine) = (
                (&raw mut MAIN).cast::<libc::ucontext_t>(),
                (&raw mut COROUTINE).cast::<libc::ucontext_t>(),
            );
            // SAFETY: only this thread uses the statics.
            assert_eq!(unsafe { libc::getcontext(coroutine) }, 0);
            // SAFETY: as above, and filled by the call before.
            let prepared = unsafe { &mut *coroutine };
            prepared.uc_stack.ss_sp = std::ptr::with_exposed_provenance_mut(stack);
            prepared.uc_stack.ss_size = SIZE;
            prepared.uc_link = main;
            // SAFETY: the stack stays, and the function takes no arguments.
            unsafe { libc::makecontext(coroutine, run, 0) };
            // SAFETY: both are as they must be; control comes back through `uc_link`.
            assert_eq!(unsafe { libc::swapcontext(main, coroutine) }, 0);
        });
        thread.unwrap().join().unwrap();
    });
}

/// The variable that tells a child what to do on its main thread: the artifact's path, the
/// function, and an action before the call.
const MAIN: &str = "CWASM_STACKS_MAIN";

/// Runs on the main thread, where the test harness runs no test.
#[used]
#[allow(
    unsafe_code,
    reason = "runs before the test harness, on the main thread"
)]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    let Ok(what) = std::env::var(MAIN) else {
        return;
    };
    let mut words = what.split(' ');
    let [path, name, before] = [(); 3].map(|()| words.next().unwrap());
    match on_main_thread(path, name, before) {
        Ok(depth) => eprintln!("returned {depth}"),
        Err(error) => eprintln!("{error:?}"),
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmPeak:"));
    eprintln!("{}", peak.unwrap_or_default());
    std::process::exit(0);
}

#[allow(
    unsafe_code,
    reason = "maps an artifact, and takes something from the process"
)]
fn on_main_thread(path: &str, name: &str, before: &str) -> Call {
    let engine = Engine::default();
    // SAFETY: the test has just compiled it.
    let component = unsafe { Component::map(&engine, path) }?;
    let mut linker = Linker::<Option<Instance>>::new(&engine);
    let host = |_: StoreContextMut<'_, _>, (n,): (u32,)| Ok((use_stack(n),));
    linker.root().func_wrap("host", host)?;
    let mut store = Store::new(&engine, None);
    let instance = linker.instantiate(&mut store, &component)?;
    match before {
        // Nothing in /proc can be opened.
        "no-files" => {
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
            assert!(std::fs::File::open("/proc/self/maps").is_err());
        }
        "blocked" => {
            let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: fills the set.
            unsafe { libc::sigfillset(all.as_mut_ptr()) };
            // SAFETY: filled above.
            let set = unsafe { all.assume_init() };
            // SAFETY: a valid set; the old one is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        }
        _ => {}
    }
    let called = call(&mut store.as_context_mut(), instance, name);
    if before == "blocked" {
        return called;
    }
    let error = called.unwrap_err();
    // A fresh instance can be called: nothing is left behind.
    let instance = linker.instantiate(&mut store, &component)?;
    assert_eq!(call(&mut store.as_context_mut(), instance, "plain")?, 0);
    Err(error)
}

/// The output of a child that calls `name` on its main thread, with these limits of the shell's
/// `ulimit`.
#[track_caller]
fn main_thread_says(artifact: &Path, name: &str, before: &str, limits: &str) -> String {
    let output = on_main(artifact, name, before, limits);
    assert!(output.status.success(), "`{limits}`, {name}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a child that calls `name` on its main thread.
fn on_main(artifact: &Path, name: &str, before: &str, limits: &str) -> Output {
    let exe = std::env::current_exe().unwrap();
    let script = format!("{limits} exec \"$0\"");
    let mut command = Command::new("sh");
    let command = command.args(["-c", &script]).arg(exe);
    let what = format!("{} {name} {before}", artifact.display());
    command.env(MAIN, what).output().unwrap()
}

#[test]
fn recursion_on_the_main_thread_ends_with_a_trap() {
    let folder = tempfile::tempdir().unwrap();
    let guarded = folder.path().join("guarded.cwasm");
    std::fs::write(&guarded, artifact(Bounds::Guard)).unwrap();
    let checked = folder.path().join("checked.cwasm");
    std::fs::write(&checked, artifact(Bounds::Check)).unwrap();
    let stacks = ["8192", "unlimited", "1000000", "256"];
    for limit in stacks.map(|stack| format!("ulimit -s {stack};")) {
        for name in ["pure", "wide", "recurse"] {
            let said = main_thread_says(&guarded, name, "-", &limit);
            assert!(
                said.contains("call stack exhausted"),
                "{limit} {name}: {said}"
            );
        }
    }
    let limit = "ulimit -s unlimited; ulimit -v 5500000;";
    let said = main_thread_says(&checked, "pure", "-", limit);
    assert!(said.contains("call stack exhausted"), "{said}");
    // About as much as the program takes with its stack: it cannot grow far.
    let said = main_thread_says(&checked, "pure", "-", "");
    let peak = said.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let peak: u32 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    let mut exhausted = 0;
    for less in (0..16).map(|step| 256 * step) {
        for name in ["pure", "recurse"] {
            let limits = format!("ulimit -v {};", peak + 512 - less);
            let output = on_main(&checked, name, "-", &limits);
            let said = String::from_utf8_lossy(&output.stderr);
            // Too little for the program itself, which says so.
            let too_little = ["cannot ", "memory allocation of"]
                .iter()
                .any(|text| said.contains(text));
            if !too_little {
                assert!(output.status.success(), "{limits} {name}: {output:?}");
                assert!(
                    said.contains("call stack exhausted"),
                    "{limits} {name}: {said}"
                );
                exhausted += 1;
            }
        }
    }
    assert!(exhausted > 4, "{exhausted}");
}

#[test]
fn the_main_thread_needs_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guest.cwasm");
    std::fs::write(&path, artifact(Bounds::Guard)).unwrap();
    for name in ["pure", "recurse"] {
        let said = main_thread_says(&path, name, "no-files", "");
        assert!(said.contains("call stack exhausted"), "{said}");
    }
}

#[test]
fn a_thread_that_blocks_signals_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guest.cwasm");
    std::fs::write(&path, artifact(Bounds::Guard)).unwrap();
    let said = main_thread_says(&path, "pure", "blocked", "");
    assert!(
        said.contains("this thread blocks SIGSEGV, SIGILL, SIGFPE"),
        "{said}"
    );
}

/// How many times `pure` calls itself on a thread of this size, by what a global says.
fn depth(max: usize, thread_size: usize, name: &'static str) -> usize {
    let run = move || {
        let engine = Engine::new(Config::new().max_wasm_stack(max)).unwrap();
        let component = component(&engine);
        let mut linker = Linker::<Option<Instance>>::new(&engine);
        let lowest = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let seen = std::sync::Arc::clone(&lowest);
        let host = move |_: StoreContextMut<'_, _>, (n,): (u32,)| {
            let here = 0u8;
            seen.store(
                (&raw const here).addr(),
                std::sync::atomic::Ordering::Relaxed,
            );
            Ok((use_stack(n),))
        };
        linker.root().func_wrap("host", host).unwrap();
        let mut store = Store::new(&engine, None);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let start = 0u8;
        let error = call(&mut store.as_context_mut(), instance, name).unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::StackOverflow);
        (&raw const start).addr() - lowest.load(std::sync::atomic::Ordering::Relaxed)
    };
    let thread = thread::Builder::new().stack_size(thread_size);
    thread.spawn(run).unwrap().join().unwrap()
}

#[test]
fn guests_use_as_much_stack_as_the_engine_says() {
    for max in [64 << 10, 512 << 10, 4 << 20] {
        let used = depth(max, 8 << 20, "recurse");
        assert!(used.abs_diff(max) < 32 << 10, "{max}: {used}");
    }
    // At most the thread's stack without the part that host functions need.
    let used = depth(4 << 20, 1 << 20, "recurse");
    assert!((700 << 10..(900 << 10)).contains(&used), "{used}");
}

/// A guest that the host function enters again, without end: all its calls share one limit, however
/// large the thread's stack is.
#[test]
fn calls_of_a_store_that_wait_count_together() {
    let thread = thread::Builder::new().stack_size(32 << 20);
    let used = thread.spawn(|| {
        let engine = Engine::new(Config::new().max_wasm_stack(256 << 10)).unwrap();
        let component = component(&engine);
        let mut linker = Linker::<Option<Instance>>::new(&engine);
        let lowest = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(usize::MAX));
        let seen = std::sync::Arc::clone(&lowest);
        let again = move |mut store: StoreContextMut<'_, Option<Instance>>, (_,): (u32,)| {
            let here = 0u8;
            let here = (&raw const here).addr();
            seen.fetch_min(here, std::sync::atomic::Ordering::Relaxed);
            let instance = store.data().unwrap();
            Ok((call(&mut store, instance, "twice")?,))
        };
        linker.root().func_wrap("host", again).unwrap();
        let mut store = Store::new(&engine, None);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        *store.data_mut() = Some(instance);
        let start = 0u8;
        let error = call(&mut store.as_context_mut(), instance, "twice").unwrap_err();
        let innermost = error.chain().last().unwrap().to_string();
        assert!(innermost.contains("call stack exhausted"), "{error:?}");
        (&raw const start).addr() - lowest.load(std::sync::atomic::Ordering::Relaxed)
    });
    let used = used.unwrap().join().unwrap();
    assert!(used.abs_diff(256 << 10) < 32 << 10, "{used}");
}

/// Guests of more and more stores that call each other through the host, without end: each has a
/// limit of its own, and all together the thread's stack.
#[test]
fn stores_that_wait_for_each_other_end_with_the_stack() {
    fn bounce(store: StoreContextMut<'_, Option<Instance>>, (n,): (u32,)) -> cwasm::Result<(u32,)> {
        let engine = store.engine().clone();
        let component = component(&engine);
        let mut linker = Linker::<Option<Instance>>::new(&engine);
        linker.root().func_wrap("host", bounce)?;
        let mut other = Store::new(&engine, None);
        let instance = linker.instantiate(&mut other, &component)?;
        let func = instance.get_typed_func::<(u32,), (u32,)>(&mut other, "twice")?;
        func.call(&mut other, (n + 1,))
    }
    let thread = thread::Builder::new().stack_size(1 << 20);
    let thread = thread.spawn(|| {
        let engine = Engine::new(Config::new().max_wasm_stack(256 << 10)).unwrap();
        let component = component(&engine);
        let mut linker = Linker::<Option<Instance>>::new(&engine);
        linker.root().func_wrap("host", bounce).unwrap();
        let mut store = Store::new(&engine, None);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let error = call(&mut store.as_context_mut(), instance, "twice").unwrap_err();
        // The innermost ran out of it, and with it all others failed.
        let innermost = error.chain().last().unwrap().to_string();
        assert!(innermost.contains("call stack exhausted"), "{error:?}");
    });
    thread.unwrap().join().unwrap();
}
