//! Stacks that are not the one that a call began on: of other threads, without a guard, of
//! coroutines. Each test that may crash does it in a child process.

use std::thread;

use crate::common::child;
use cwasm::{Component, Engine, Instance, Linker, Store, StoreContextMut, TrapCode};
use cwasm_compiler::Options;

/// `recurse` calls itself and the host, without end; `twice` calls the host twice.
const GUEST: &str = r#"(component
  (import "host" (func $host (param "n" u32) (result u32)))
  (core func $host (canon lower (func $host)))
  (core module $m (import "" "host" (func $host (param i32) (result i32)))
    (func $recurse (export "recurse") (param i32) (result i32)
      (i32.add (call $host (local.get 0)) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
    (func (export "twice") (param i32) (result i32)
      (i32.add (call $host (local.get 0)) (call $host (local.get 0))))
    (func (export "plain") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m (with "" (instance (export "host" (func $host))))))
  (func (export "recurse") (param "n" u32) (result u32) (canon lift (core func $i "recurse")))
  (func (export "twice") (param "n" u32) (result u32) (canon lift (core func $i "twice")))
  (func (export "plain") (param "n" u32) (result u32) (canon lift (core func $i "plain"))))"#;

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn component(engine: &Engine) -> Component {
    let wasm = wat::parse_str(GUEST).unwrap();
    let artifact = cwasm_compiler::compile(&wasm, &Options::default()).unwrap();
    // SAFETY: the artifact comes from this compiler.
    unsafe { Component::from_bytes(engine, &artifact.bytes) }.unwrap()
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

/// Memory that is accessible, but for `guard` bytes at its start, for ever.
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
