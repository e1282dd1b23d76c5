//! What goes wrong in a guest stays in the guest, and what goes wrong in the host is not swallowed.
//!
//! Tests that may end a process run in a child: the test starts itself again with `CHILD` set.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};

use cwasm::{Component, Engine, Instance, Linker, Store, StoreContextMut};
use cwasm_format::TrapCode;

const CHILD: &str = "CWASM_FAULTS_CHILD";

const GUEST: &str = r#"(component
  (import "host" (func $host (param "depth" u32) (result u32)))
  (core func $host (canon lower (func $host)))
  (core module $m
    (import "" "host" (func $host (param i32) (result i32)))
    (memory 1)
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func $recurse (export "recurse") (param i32) (result i32)
      (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
    (func $recurse_host (export "recurse-host") (param i32) (result i32)
      (i32.add (call $host (local.get 0))
        (call $recurse_host (i32.add (local.get 0) (i32.const 1)))))
    (func (export "host") (param i32) (result i32) (call $host (local.get 0)))
    (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))
  (core instance $i (instantiate $m (with "" (instance (export "host" (func $host))))))
  (func (export "load") (param "at" u32) (result u32) (canon lift (core func $i "load")))
  (func (export "recurse") (param "n" u32) (result u32) (canon lift (core func $i "recurse")))
  (func (export "recurse-host") (param "n" u32) (result u32)
    (canon lift (core func $i "recurse-host")))
  (func (export "host") (param "n" u32) (result u32) (canon lift (core func $i "host")))
  (func (export "divide") (param "n" u32) (result u32) (canon lift (core func $i "divide"))))"#;

/// What a store of these tests holds: what the imported host function does.
type HostFn = Box<dyn Fn(u32) -> cwasm::Result<u32> + Send>;

struct Guest {
    store: Store<HostFn>,
    instance: Instance,
}

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn component(engine: &Engine) -> Component {
    let artifact = cwasm_compiler::compile(GUEST.as_bytes(), &Default::default()).unwrap();
    // SAFETY: our compiler made it.
    unsafe { Component::from_bytes(engine, &artifact.bytes) }.unwrap()
}

impl Guest {
    fn new(
        component: &Component,
        host: impl Fn(u32) -> cwasm::Result<u32> + Send + 'static,
    ) -> Guest {
        let mut linker = Linker::<HostFn>::new(component.engine());
        linker
            .root()
            .func_wrap(
                "host",
                |store: StoreContextMut<'_, HostFn>, (depth,): (u32,)| {
                    Ok(((store.data())(depth)?,))
                },
            )
            .unwrap();
        let mut store: Store<HostFn> = Store::new(component.engine(), Box::new(host));
        let instance = linker.instantiate(&mut store, component).unwrap();
        Guest { store, instance }
    }

    fn call(&mut self, name: &str, argument: u32) -> cwasm::Result<u32> {
        let func = self
            .instance
            .get_typed_func::<(u32,), (u32,)>(&mut self.store, name)?;
        Ok(func.call(&mut self.store, (argument,))?.0)
    }

    /// Calls and expects a trap; afterwards the instance refuses entry.
    fn trap(&mut self, name: &str, argument: u32) -> TrapCode {
        let code = self
            .call(name, argument)
            .unwrap_err()
            .trap()
            .unwrap()
            .code();
        let again = self.call("load", 0).unwrap_err();
        assert_eq!(again.trap().unwrap().code(), TrapCode::CannotEnter);
        code
    }
}

/// Runs `body` in a child process, which is this test's only purpose there.
fn in_child(test: &str, body: impl FnOnce()) -> Option<Output> {
    let mut command = child(test, body)?;
    Some(command.output().unwrap())
}

/// The child process that runs `body`; `None` in the child itself, where it has run.
fn child(test: &str, body: impl FnOnce()) -> Option<Command> {
    if std::env::var_os(CHILD).is_some() {
        body();
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1");
    Some(command)
}

#[test]
fn guard_pages_trap_on_every_thread() {
    let component = component(&Engine::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for at in [65_533, 65_536, 1 << 31, u32::MAX] {
                    let mut guest = Guest::new(&component, Ok);
                    assert_eq!(guest.call("load", 65_532).unwrap(), 0);
                    assert_eq!(guest.trap("load", at), TrapCode::MemoryOutOfBounds);
                }
                let mut guest = Guest::new(&component, Ok);
                assert_eq!(guest.trap("divide", 0), TrapCode::IntegerDivisionByZero);
            });
        }
    });
}

#[test]
fn stack_exhaustion_is_a_trap_on_every_stack() {
    let output = in_child("stack_exhaustion_is_a_trap_on_every_stack", || {
        let component = component(&Engine::default());
        for size in [64 << 10, 1 << 20, 16 << 20] {
            let component = component.clone();
            let thread = std::thread::Builder::new().stack_size(size).spawn(move || {
                for _ in 0..3 {
                    let mut guest = Guest::new(&component, Ok);
                    assert_eq!(guest.trap("recurse", 0), TrapCode::StackOverflow);
                    let mut guest = Guest::new(&component, Ok);
                    assert_eq!(guest.call("load", 0).unwrap(), 0);
                }
            });
            thread.unwrap().join().unwrap();
        }
    });
    if let Some(output) = output {
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn the_host_has_stack_left_wherever_it_is_called() {
    let output = in_child("the_host_has_stack_left_wherever_it_is_called", || {
        let component = component(&Engine::default());
        let thread = std::thread::Builder::new()
            .stack_size(1 << 20)
            .spawn(move || {
                // Each call of the host uses 64 KiB.
                let mut guest = Guest::new(&component, |depth| {
                    let buffer = std::hint::black_box([depth as u8; 64 << 10]);
                    Ok(u32::from(buffer[depth as usize % buffer.len()]))
                });
                assert_eq!(guest.trap("recurse-host", 0), TrapCode::StackOverflow);
            });
        thread.unwrap().join().unwrap();
    });
    if let Some(output) = output {
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn nested_calls_unwind_to_the_innermost_entry() {
    let component = component(&Engine::default());
    let inner_component = component.clone();
    // The host function of the outer guest runs a guest of its own that traps.
    let mut outer = Guest::new(&component, move |at| {
        let mut inner = Guest::new(&inner_component, Ok);
        assert_eq!(inner.trap("load", at), TrapCode::MemoryOutOfBounds);
        let mut inner = Guest::new(&inner_component, |_| Err(cwasm::Error::msg("inner host")));
        let error = inner.call("host", 0).unwrap_err();
        assert!(
            error.to_string().contains("inner host") || format!("{error:?}").contains("inner host")
        );
        Ok(7)
    });
    assert_eq!(outer.call("host", u32::MAX).unwrap(), 7);
    assert_eq!(outer.call("load", 0).unwrap(), 0);
}

#[test]
fn panics_of_the_host_resume_behind_the_guest() {
    let component = component(&Engine::default());
    let mut guest = Guest::new(&component, |_| panic!("of the host"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guest.call("host", 1)));
    let payload = panic.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"of the host"));
    let error = guest.call("load", 0).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
}

#[test]
#[allow(unsafe_code, reason = "faults on purpose, in a child process")]
fn a_fault_of_the_host_is_not_taken_for_a_trap() {
    let output = in_child("a_fault_of_the_host_is_not_taken_for_a_trap", || {
        let component = component(&Engine::default());
        let mut guest = Guest::new(&component, |_| {
            // SAFETY: none; this is the fault.
            Ok(unsafe { std::ptr::without_provenance::<u32>(64).read_volatile() })
        });
        let result = guest.call("host", 1);
        eprintln!("went on with {result:?}");
    });
    if let Some(output) = output {
        const SIGSEGV: i32 = 11;
        assert_eq!(output.status.signal(), Some(SIGSEGV), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("went on"));
    }
}

#[test]
#[allow(unsafe_code, reason = "makes a thread as C does")]
fn threads_that_rust_did_not_make_trap_too() {
    // Rust's own threads have a signal stack from the start.
    extern "C" fn run(_: *mut libc::c_void) -> *mut libc::c_void {
        let component = component(&Engine::default());
        for name in ["load", "recurse"] {
            let mut guest = Guest::new(&component, Ok);
            let expected = match name {
                "load" => TrapCode::MemoryOutOfBounds,
                _ => TrapCode::StackOverflow,
            };
            assert_eq!(guest.trap(name, u32::MAX), expected);
        }
        std::ptr::dangling_mut()
    }
    let mut thread = 0;
    // SAFETY: the function takes no argument, and the thread is joined below.
    let created = unsafe {
        libc::pthread_create(&raw mut thread, std::ptr::null(), run, std::ptr::null_mut())
    };
    assert_eq!(created, 0);
    let mut result = std::ptr::null_mut();
    // SAFETY: the thread was just made, and nobody else joins it.
    assert_eq!(unsafe { libc::pthread_join(thread, &raw mut result) }, 0);
    assert!(!result.is_null());
}

#[test]
#[allow(unsafe_code, reason = "traces a child process, as debuggers do")]
fn traps_under_a_debugger_are_traps() {
    let Some(mut command) = child("traps_under_a_debugger_are_traps", || {
        // SAFETY: has no preconditions; the parent waits for this thread.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) }, 0);
        // SAFETY: has no preconditions.
        eprintln!("\ntraced: {}", unsafe { libc::gettid() });
        // SAFETY: has no preconditions; the parent lets this thread go on.
        assert_eq!(unsafe { libc::raise(libc::SIGSTOP) }, 0);
        let component = component(&Engine::default());
        for name in ["load", "recurse", "divide"] {
            let mut guest = Guest::new(&component, Ok);
            let argument = if name == "divide" { 0 } else { u32::MAX };
            guest.trap(name, argument);
        }
    }) else {
        return;
    };
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let thread: libc::pid_t = lines
        .find_map(|line| line.unwrap().strip_prefix("traced: ")?.parse().ok())
        .unwrap();
    let mut faults = Vec::new();
    let mut steps = 0;
    loop {
        let mut status = 0;
        // SAFETY: waits for a thread of our child, which nobody else waits for.
        let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
        assert_eq!(waited, thread, "{}", std::io::Error::last_os_error());
        if libc::WIFEXITED(status) {
            break;
        }
        assert!(libc::WIFSTOPPED(status), "status {status:#x}");
        // The debugger passes each fault on, and steps over the first instruction of the handler.
        let (request, passed) = match libc::WSTOPSIG(status) {
            libc::SIGSTOP => (libc::PTRACE_CONT, 0),
            libc::SIGTRAP => {
                steps += 1;
                (libc::PTRACE_CONT, 0)
            }
            fault => {
                faults.push(fault);
                (libc::PTRACE_SINGLESTEP, fault)
            }
        };
        // SAFETY: the thread is stopped, and is traced by us.
        assert_eq!(unsafe { libc::ptrace(request, thread, 0, passed) }, 0);
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(faults, [libc::SIGSEGV, libc::SIGSEGV, libc::SIGFPE]);
    assert_eq!(steps, faults.len());
}
