//! Faults in a guest only affect the guest, and faults in the host are not swallowed.
//!
//! Tests that may end a process run in a child: the test starts itself again.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};

use crate::common::child;
use cwasm::{
    Component, CoreFunc, CoreMemory, CoreVal, Engine, Extern, FuncType, Instance, Linker, Module,
    ModuleInstance, SharedMemory, Store, StoreContextMut, ValType,
};
use cwasm_format::header::{HEADER_END, HEADER_OFFSET, Header, SectionId};
use cwasm_format::{TrapCode, traps};
use cwasm_tests::artifact::Workshop;
use iced_x86::{Code, Decoder, DecoderOptions, Register};
use zerocopy::FromBytes as _;

/// Names what a child is to do, where there are several things.
const CASE: &str = "CWASM_FAULTS_CASE";

const SIGSEGV: i32 = 11;

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

/// The data of a store in these tests: the imported host function.
type HostFn = Box<dyn Fn(u32) -> cwasm::Result<u32> + Send>;

struct Guest {
    store: Store<HostFn>,
    instance: Instance,
}

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn component(engine: &Engine) -> Component {
    let wasm = wat::parse_str(GUEST).unwrap();
    let artifact = cwasm_compiler::compile(&wasm, &Default::default()).unwrap();
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

fn in_child(test: &str, body: impl FnOnce()) -> Option<Output> {
    child::run(module_path!(), test, body)
}

fn child(test: &str, body: impl FnOnce()) -> Option<Command> {
    child::command(module_path!(), test, body)
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
        assert_eq!(output.status.signal(), Some(SIGSEGV), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("went on"));
    }
}

/// A handler that was there before and is for one signal only has one; the next ends the process.
#[test]
#[allow(unsafe_code, reason = "faults on purpose, in a child process")]
fn a_handler_for_one_signal_is_called_once() {
    extern "C" fn handler(_: libc::c_int) {
        eprintln!("handled");
    }
    let output = in_child("a_handler_for_one_signal_is_called_once", || {
        let function: extern "C" fn(libc::c_int) = handler;
        // SAFETY: an action is plain bits, and all zeros is the default one.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = function as usize;
        action.sa_flags = libc::SA_RESETHAND;
        // SAFETY: the handler has the signature for these flags.
        let set = unsafe { libc::sigaction(SIGSEGV, &raw const action, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        let mut guest = Guest::new(&component(&Engine::default()), Ok);
        assert_eq!(guest.trap("load", u32::MAX), TrapCode::MemoryOutOfBounds);
        // SAFETY: none; this is the fault.
        unsafe { std::ptr::without_provenance::<u32>(64).read_volatile() };
    });
    if let Some(output) = output {
        assert_eq!(output.status.signal(), Some(SIGSEGV), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.matches("handled").count(), 1, "{text}");
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
    // The second is recursion, which a comparison ends.
    assert_eq!(faults, [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE]);
    assert_eq!(steps, faults.len());
}

/// A module that calls the host with an address, and whose `load` was changed after it was
/// compiled: the instruction that accesses the memory reads what is at the address of the
/// function's argument, wherever that is.
fn wild(workshop: &Workshop) -> Module {
    const TEXT: &str = r#"(module
        (import "" "host" (func $host (param i64) (result i32)))
        (memory (export "memory") 1 1)
        (func (export "load") (param i64) (result i32)
            (i32.load (i32.wrap_i64 (local.get 0))))
        (func (export "host") (param i64) (result i32) (call $host (local.get 0))))"#;
    const PROLOGUE: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
    const LOAD_FROM_ARGUMENT: [u8; 2] = [0x8b, 0x06];
    const NOP: u8 = 0x90;
    let mut bytes = workshop.compile(TEXT.as_bytes()).unwrap();
    let text = {
        let header = Header::read_from_bytes(&bytes[HEADER_OFFSET..HEADER_END]).unwrap();
        let text = header.sections[SectionId::Text as usize];
        text.offset as usize..(text.offset + text.size) as usize
    };
    // The only access is in the function that comes first.
    let access = {
        let module = workshop.map_module(&bytes).unwrap();
        let artifact = module.artifact();
        let (blocks, table) = (
            artifact.trap_blocks(),
            artifact.section(SectionId::TrapBytes),
        );
        let is_access = |offset: &usize| {
            traps::lookup(blocks, table, *offset as u32) == Some(TrapCode::MemoryOutOfBounds)
        };
        let accesses: Vec<usize> = (0..text.len()).filter(is_access).collect();
        assert_eq!(accesses.len(), 1, "{accesses:?}");
        accesses[0]
    };
    let text = &mut bytes[text];
    let load = Decoder::new(64, &text[access..], DecoderOptions::NONE).decode();
    assert_eq!(
        (load.code(), load.op0_register()),
        (Code::Mov_r32_rm32, Register::EAX)
    );
    assert_eq!(text[..4], PROLOGUE);
    text[4..access + load.len()].fill(NOP);
    text[access..access + 2].copy_from_slice(&LOAD_FROM_ARGUMENT);
    workshop.map_module(&bytes).unwrap()
}

/// An instance of [`wild`] in a store of its own.
struct Wild {
    store: Store<()>,
    instance: ModuleInstance,
}

impl Wild {
    fn new(
        engine: &Engine,
        module: &Module,
        host: impl Fn(u64) -> i32 + Send + Sync + 'static,
    ) -> Wild {
        let mut store = Store::new(engine, ());
        let ty = FuncType::new([ValType::I64], [ValType::I32]);
        let host = CoreFunc::new(&mut store, ty, move |args| match args {
            [CoreVal::I64(at)] => Ok(vec![CoreVal::I32(host(*at as u64))]),
            _ => panic!("the arguments are {args:?}"),
        });
        let instance = module
            .instantiate(&mut store, &[Extern::Func(host)])
            .unwrap();
        Wild { store, instance }
    }

    /// The address of the memory, after whose first page the guard begins.
    fn memory(&self) -> u64 {
        match self.instance.get(&self.store, "memory").unwrap() {
            Some(Extern::Memory(memory)) => {
                memory.data(&self.store).unwrap().as_ptr().addr() as u64
            }
            _ => panic!("the module exports its memory"),
        }
    }

    fn guard(&self) -> u64 {
        self.memory() + 0x1_0000
    }

    fn call(&mut self, name: &str, at: u64) -> Result<i32, Option<TrapCode>> {
        let Some(Extern::Func(func)) = self.instance.get(&self.store, name).unwrap() else {
            panic!("the module exports functions")
        };
        match func.call(&mut self.store, &[CoreVal::I64(at as i64)]) {
            Ok(results) => match results[..] {
                [CoreVal::I32(value)] => Ok(value),
                _ => panic!("the results are {results:?}"),
            },
            Err(error) => Err(error.trap().map(|trap| trap.code())),
        }
    }
}

#[test]
fn faults_in_memories_of_the_store_are_traps() {
    const TRAP: Result<i32, Option<TrapCode>> = Err(Some(TrapCode::MemoryOutOfBounds));
    let workshop = Workshop::new();
    let module = wild(&workshop);
    let mut guest = Wild::new(workshop.engine(), &module, |_| 7);
    let memory = guest.memory();
    assert_eq!(guest.call("load", memory), Ok(0));
    for at in [
        guest.guard() - 3,
        guest.guard(),
        memory + (1 << 32),
        memory + (1 << 32) + (31 << 20),
    ] {
        assert_eq!(guest.call("load", at), TRAP, "{:#x}", at - memory);
    }
    // Another instance's memory may be one that is imported, or its function be called.
    let other = CoreFunc::new(
        &mut guest.store,
        FuncType::new([ValType::I64], [ValType::I32]),
        |_| Ok(vec![CoreVal::I32(8)]),
    );
    let other = module
        .instantiate(&mut guest.store, &[Extern::Func(other)])
        .unwrap();
    let first = std::mem::replace(&mut guest.instance, other);
    let guard = guest.guard();
    assert_ne!(guard, memory + 0x1_0000);
    guest.instance = first;
    assert_eq!(guest.call("load", guard), TRAP);
    // Stores within stores: each has its own memories.
    let (engine, inner_module) = (workshop.engine().clone(), module.clone());
    let mut outer = Wild::new(workshop.engine(), &module, move |_| {
        let mut inner = Wild::new(&engine, &inner_module, |_| 9);
        let guard = inner.guard();
        assert_eq!(inner.call("load", guard), TRAP);
        inner.call("host", 0).unwrap()
    });
    assert_eq!(outer.call("host", 0), Ok(9));
    let guard = outer.guard();
    assert_eq!(outer.call("load", guard), TRAP);
}

/// A fault after the end of a memory is a trap of the code that accesses it, whoever owns the
/// memory.
#[test]
fn faults_in_memories_of_any_owner_are_traps() {
    let workshop = Workshop::new();
    let module = |ty: &str| {
        let text = format!(
            r#"(module (import "" "memory" (memory $m {ty})) (memory 1) (memory 1)
                (func (export "own") (param i32) (result i32) (i32.load 2 (local.get 0)))
                (func (export "imported") (param i32) (result i32) (i32.load $m (local.get 0))))"#
        );
        workshop
            .map_module(&workshop.compile(text.as_bytes()).unwrap())
            .unwrap()
    };
    let mut store = Store::new(workshop.engine(), ());
    let of_host = CoreMemory::new(&mut store, 1, Some(2)).unwrap();
    let shared = SharedMemory::new(workshop.engine(), 1, 2).unwrap();
    let shared = CoreMemory::from_shared(&mut store, &shared);
    for (ty, memory) in [("1", of_host), ("1 2 shared", shared)] {
        let instance = module(ty)
            .instantiate(&mut store, &[Extern::Memory(memory)])
            .unwrap();
        for name in ["own", "imported"] {
            let Some(Extern::Func(load)) = instance.get(&store, name).unwrap() else {
                panic!("the module exports functions")
            };
            let mut call = |at: i32| load.call(&mut store, &[CoreVal::I32(at)]);
            assert!(call(0xfffc).is_ok());
            for at in [0xfffd, 0x1_0000, i32::MIN, -1] {
                let error = call(at).unwrap_err();
                let code = error.trap().map(|trap| trap.code());
                assert_eq!(
                    code,
                    Some(TrapCode::MemoryOutOfBounds),
                    "{ty} {name} {at:#x}"
                );
            }
        }
    }
}

/// A fault in compiled code that no guest can cause: at an instruction that may trap, but of an
/// address that the instruction cannot access.
#[test]
#[allow(unsafe_code, reason = "installs a signal handler")]
fn faults_of_compiled_code_elsewhere_are_no_traps() {
    const CASES: [&str; 5] = [
        "low",
        "no address",
        "another store",
        "outer store",
        "handler before",
    ];
    const EXIT: i32 = 77;
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: has no preconditions.
        unsafe { libc::_exit(EXIT) }
    }
    fn run() {
        let case = std::env::var(CASE).unwrap();
        if case == "handler before" {
            let handler: extern "C" fn(libc::c_int) = handler;
            // SAFETY: the handler does what handlers may do.
            unsafe { libc::signal(libc::SIGSEGV, handler as libc::sighandler_t) };
        }
        let workshop = Workshop::new();
        let module = wild(&workshop);
        let other = Wild::new(workshop.engine(), &module, |_| 0);
        let (engine, inner_module) = (workshop.engine().clone(), module.clone());
        let mut guest = Wild::new(workshop.engine(), &module, move |at| {
            let mut inner = Wild::new(&engine, &inner_module, |_| 0);
            eprintln!("went on with {:?}", inner.call("load", at));
            0
        });
        let memory = guest.memory();
        assert_eq!(guest.call("load", memory), Ok(0));
        eprintln!("\nready");
        let own = guest.guard();
        let result = match &case[..] {
            "low" | "handler before" => guest.call("load", 64),
            "no address" => guest.call("load", 1 << 63),
            "another store" => guest.call("load", other.guard()),
            "outer store" => guest.call("host", own),
            case => panic!("no case `{case}`"),
        };
        eprintln!("went on with {result:?}");
    }
    for case in CASES {
        let Some(mut child) = child("faults_of_compiled_code_elsewhere_are_no_traps", run) else {
            return;
        };
        let output = child.env(CASE, case).output().unwrap();
        let expected = match case {
            "handler before" => (Some(EXIT), None),
            _ => (None, Some(SIGSEGV)),
        };
        assert_eq!(
            (output.status.code(), output.status.signal()),
            expected,
            "{case}: {output:?}"
        );
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            text.contains("ready") && !text.contains("went on"),
            "{case}: {text}"
        );
    }
}
