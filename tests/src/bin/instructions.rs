//! How many instructions the loader and the compiler execute for the work that hosts repeat,
//! compared with the file `tests/instructions.txt`: counts hardly depend on the machine, so that a
//! change is seen that clocks would hide.
//!
//! ```text
//! cargo run --release --bin instructions [-- --update]
//! ```
//!
//! Each work runs under `valgrind --tool=callgrind`, in a process of its own, twice: the second
//! time more often. The difference is what one more round takes, without start-up. Only
//! instructions of the program itself and of guests count: those of the C library depend on the
//! machine (each CPU has its own `memcpy`) and on the heap's state, which the length of a path
//! changes.
#![allow(
    clippy::print_stdout,
    reason = "a command that reports on standard output"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::task::Poll;

use cwasm::{
    Component, Config, Context as _, Engine, Instance, Linker, Result, Store, StoreContextMut,
    TypedFunc, block_on,
};
use cwasm_compiler::{CpuLevel, Options};
use cwasm_tests::artifact::Workshop;

/// A change of more than this part is reported.
const TOLERANCE: f64 = 0.02;

/// What is counted, with the rounds that are counted.
const WORKS: &[(&str, u32)] = &[
    ("load", 100),
    ("link", 100),
    ("instantiate.fresh", 100),
    ("instantiate.recycled", 1000),
    ("call.nop", 10_000),
    ("call.add", 10_000),
    ("call.echo", 1000),
    ("host.nop", 10_000),
    ("host.len", 10_000),
    ("async.call", 10_000),
    ("async.call.fiber", 1000),
    ("async.host-ready", 10_000),
    ("async.host-pending", 1000),
    ("async.guest", 1000),
    ("async.guest-wait", 1000),
    ("async.stream", 1000),
    ("async.stream.names", 10),
    ("async.tasks", 1000),
    ("compile", 1),
];

/// The guest of a work: for what waits, one of the bench's.
fn guest(name: &str) -> &'static str {
    match name {
        "async.call.fiber" | "async.host-ready" | "async.host-pending" => {
            include_str!("../../../bench/guests/waiting.wat")
        }
        name if name != "async.call" && name.starts_with("async.") => {
            include_str!("../../../bench/guests/tasks.wat")
        }
        _ => GUEST,
    }
}

/// The guest of all works that do not wait, but `compile`.
const GUEST: &str = r#"(component
  (import "nop" (func $nop))
  (import "len" (func $len (param "text" string) (result u32)))
  (core module $libc (memory (export "memory") 2) (data (i32.const 64) "A string of 32 bytes, not of 31."))
  (core instance $libc (instantiate $libc))
  (core func $nop (canon lower (func $nop)))
  (core func $len (canon lower (func $len) (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "host" "nop" (func $nop))
    (import "host" "len" (func $len (param i32 i32) (result i32)))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "nop"))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16))
    (func (export "host-nop") (param i32)
      (loop $next
        (call $nop)
        (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "host-len") (param i32)
      (loop $next
        (drop (call $len (i32.const 64) (i32.const 32)))
        (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
  (core instance $i (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "nop" (func $nop)) (export "len" (func $len))))))
  (func (export "nop") (canon lift (core func $i "nop")))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $i "add")))
  (func (export "echo") (param "text" string) (result string)
    (canon lift (core func $i "echo")
      (memory (core memory $libc "memory")) (realloc (core func $i "realloc"))))
  (func (export "host-nop") (param "n" u32) (canon lift (core func $i "host-nop")))
  (func (export "host-len") (param "n" u32) (canon lift (core func $i "host-len"))))"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["work", name, artifact, rounds] => on_thread(name, artifact, rounds),
        [] => compare(false),
        ["--update"] => compare(true),
        _ => Err("usage: instructions [--update]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Counts all works, and compares with the file or writes it.
fn compare(update: bool) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let folder = tempfile::tempdir()?;
    let artifact = folder.path().join("guest.cwasm");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let limits: BTreeMap<&str, u64> = text.lines().filter_map(limit).collect();
    let (mut new, mut failed) = (heading(&text), 0);
    for (name, rounds) in WORKS {
        std::fs::write(&artifact, compile(&parse(guest(name))?)?)?;
        let once = count(name, &artifact, *rounds)?;
        let more = count(name, &artifact, 2 * rounds)?;
        let rounds = u64::from(*rounds);
        // To the nearest: start-up differs by a few instructions.
        let each = (more.saturating_sub(once) + rounds / 2) / rounds;
        let expected = limits.get(name).copied().unwrap_or_default();
        let change = each as f64 / expected.max(1) as f64 - 1.0;
        let is_met = change.abs() <= TOLERANCE;
        failed += usize::from(!is_met);
        let verdict = if is_met { "" } else { "  <- changed" };
        println!("{name:<24}{each:>12}  {:+6.1} %{verdict}", 100.0 * change);
        writeln!(new, "{name:<24}{each:>12}").context("cannot write to a string")?;
    }
    if update {
        std::fs::write(&file, new)?;
    } else if failed != 0 {
        let percent = 100.0 * TOLERANCE;
        return Err(format!(
            "{failed} of {} counts differ from `tests/instructions.txt` by more than {percent} %: \
             if that is meant, run `cargo run --release --bin instructions -- --update` and give \
             the reason in the commit",
            WORKS.len()
        )
        .into());
    }
    println!("{} counts, {failed} changed", WORKS.len());
    Ok(())
}

/// The comments at the beginning of the file.
fn heading(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    lines.fold(String::new(), |heading, line| heading + line + "\n")
}

/// A line of the file.
fn limit(line: &str) -> Option<(&str, u64)> {
    let (name, count) = line.split_once(' ')?;
    Some((name, count.trim().parse().ok()?))
}

/// The instructions of a process that does a work so many times.
fn count(name: &str, artifact: &Path, rounds: u32) -> Result<u64> {
    let program: PathBuf = std::env::current_exe()?;
    let profile = tempfile::NamedTempFile::new()?;
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.path().display()))
        .arg(program)
        .args(["work", name])
        .arg(artifact)
        .arg(rounds.to_string())
        .output()
        .context("cannot run `valgrind`, which Debian has as a package of this name")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{name}` failed under valgrind:\n{told}").into());
    }
    let profile = std::fs::read_to_string(profile.path())?;
    collected(&profile).with_context(|| format!("cannot read valgrind's profile of `{name}`"))
}

/// Adds up what a profile counts outside of shared libraries (Callgrind Format Specification).
///
/// `ob=(ID) PATH` names the file that the lines behind it are of, and later `ob=(ID)`; a line of
/// costs is a position and a count; that behind `calls=` is what the callee took,
/// whose file `cob=` names.
fn collected(profile: &str) -> Option<u64> {
    let (mut libraries, mut is_library, mut is_call) = (BTreeSet::new(), false, false);
    let mut sum = 0;
    for line in profile.lines() {
        let (key, object) = line.split_once("ob=").unwrap_or(("-", line));
        if key.is_empty() || key == "c" {
            let (id, path) = object.split_once(' ').unwrap_or((object, ""));
            if path.contains(".so") {
                libraries.insert(id);
            }
            if key.is_empty() {
                is_library = libraries.contains(id);
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| "+-*".contains(first) || first.is_ascii_digit()) {
            let (_, cost) = line.split_once(' ')?;
            let cost: u64 = cost.trim().parse().ok()?;
            sum += if is_call || is_library { 0 } else { cost };
            is_call = false;
        }
    }
    (sum > 0).then_some(sum)
}

fn parse(text: &str) -> Result<Vec<u8>> {
    wat::parse_str(text).context("the text does not parse")
}

fn compile(wasm: &[u8]) -> Result<Vec<u8>> {
    let options = Options {
        cpu: CpuLevel::X86_64V2,
        jobs: Some(NonZeroUsize::MIN),
        ..Options::default()
    };
    let artifact = cwasm_compiler::compile(wasm, &options);
    Ok(artifact.map_err(|error| error.to_string())?.bytes)
}

fn linker(engine: &Engine) -> Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    linker
        .root()
        .func_wrap("nop", |_: StoreContextMut<'_, ()>, (): ()| Ok(()))?;
    let len = |_: StoreContextMut<'_, ()>, (text,): (String,)| Ok((text.len() as u32,));
    linker.root().func_wrap("len", len)?;
    Ok(linker)
}

/// Does a work so many times, on a thread of its own: valgrind's main thread has a stack that does
/// not grow as the kernel's do, so that each call would look for its end.
fn on_thread(name: &str, artifact: &str, rounds: &str) -> Result<()> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| work(name, Path::new(artifact), rounds));
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Does a work so many times.
fn work(name: &str, artifact: &Path, rounds: &str) -> Result<()> {
    let rounds: u32 = rounds.parse().context("the number of rounds")?;
    if name == "compile" {
        let wasm = parse(&module())?;
        return (0..rounds).try_for_each(|_| {
            // There is code to compile.
            let artifact = compile(&wasm)?;
            (artifact.len() > wasm.len())
                .then_some(())
                .context("an artifact without code")
        });
    }
    let mut config = Config::new();
    if name == "instantiate.fresh" {
        config.max_idle_instances(0);
    }
    let workshop = Workshop::with_config(&config);
    let engine = workshop.engine();
    let map = || workshop.map_component_at(artifact);
    if name == "load" {
        return (0..rounds).try_for_each(|_| map().map(drop));
    }
    if name.starts_with("async.") {
        return waits(name, engine, &map()?, rounds);
    }
    let (component, linker) = (map()?, linker(engine)?);
    if name == "link" {
        return (0..rounds).try_for_each(|_| linker.instantiate_pre(&component).map(drop));
    }
    let pre = linker.instantiate_pre(&component)?;
    if name.starts_with("instantiate") {
        return (0..rounds).try_for_each(|_| {
            let mut store = Store::new(engine, ());
            let instance = pre.instantiate(&mut store)?;
            let nop = instance.get_typed_func::<(), ()>(&mut store, "nop")?;
            nop.call(&mut store, ())
        });
    }
    let mut store = Store::new(engine, ());
    let instance = pre.instantiate(&mut store)?;
    calls(name, &mut store, &instance, rounds)
}

fn calls(name: &str, store: &mut Store<()>, instance: &Instance, rounds: u32) -> Result<()> {
    let nop: TypedFunc<(), ()> = instance.get_typed_func(&mut *store, "nop")?;
    let add: TypedFunc<(u32, u32), (u32,)> = instance.get_typed_func(&mut *store, "add")?;
    let echo: TypedFunc<(&str,), (String,)> = instance.get_typed_func(&mut *store, "echo")?;
    let run = |name| instance.get_typed_func::<(u32,), ()>(&mut *store, name);
    match name {
        "host.nop" => return { run }("host-nop")?.call(store, (rounds,)),
        "host.len" => return { run }("host-len")?.call(store, (rounds,)),
        _ => {}
    }
    for round in 0..rounds {
        match name {
            "call.nop" => nop.call(&mut *store, ())?,
            "call.add" => {
                black_box(add.call(&mut *store, (round, 1))?);
            }
            "call.echo" => {
                black_box(echo.call(&mut *store, ("A string of 32 bytes, not of 31.",))?);
            }
            _ => return Err(format!("there is no work `{name}`").into()),
        }
    }
    Ok(())
}

/// Is pending once.
async fn pause() {
    let mut is_polled = false;
    poll_fn(|context| match std::mem::replace(&mut is_polled, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Functions that may wait.
fn waiting_linker(engine: &Engine, component: &Component) -> Result<Linker<()>> {
    let mut linker = linker(engine)?;
    let mut root = linker.root();
    root.func_wrap_async("ready", |_, (n,): (u32,)| {
        Box::new(async move { Ok((n + 1,)) })
    })?;
    root.func_wrap_async("pending", |_, (n,): (u32,)| {
        Box::new(async move {
            pause().await;
            Ok((n + 1,))
        })
    })?;
    root.func_wrap_concurrent("pause", |_, (): ()| {
        Box::pin(async {
            pause().await;
            Ok(())
        })
    })?;
    linker.define_unknown_imports_as_traps(component)?;
    Ok(linker)
}

/// Does a work of the kind that may wait.
fn waits(name: &str, engine: &Engine, component: &Component, rounds: u32) -> Result<()> {
    let linker = waiting_linker(engine, component)?;
    let mut store = Store::new(engine, ());
    let instance = block_on(linker.instantiate_async(&mut store, component))?;
    let (answer, expected) = match name {
        "async.host-ready" => (run(store, &instance, "ready", rounds)?, rounds),
        "async.host-pending" => (run(store, &instance, "pending", rounds)?, rounds),
        "async.guest" => (run(store, &instance, "add", rounds)?, rounds),
        "async.guest-wait" => (run(store, &instance, "later", rounds)?, rounds),
        // The reader adds up the length and the first byte of each chunk, and the first of a name.
        "async.stream" => (stream(store, &instance, 0, rounds)?, 0x1005a * rounds),
        "async.stream.names" => (stream(store, &instance, 2, rounds)?, (1000 + 0x9b) * rounds),
        "async.tasks" => (tasks(store, &instance, rounds)?, rounds),
        _ => (add(store, &instance, rounds)?, rounds),
    };
    match answer == expected {
        true => Ok(()),
        false => Err(format!("`{name}` answered {answer}, expected {expected}").into()),
    }
}

fn add(mut store: Store<()>, instance: &Instance, rounds: u32) -> Result<u32> {
    let add = instance.get_typed_func::<(u32, u32), (u32,)>(&mut store, "add")?;
    block_on(async {
        let mut sum = 0;
        for _ in 0..rounds {
            (sum,) = add.call_async(&mut store, (sum, 1)).await?;
        }
        Ok(sum)
    })
}

fn run(mut store: Store<()>, instance: &Instance, name: &str, rounds: u32) -> Result<u32> {
    let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, name)?;
    Ok(block_on(run.call_async(&mut store, (rounds,)))?.0)
}

fn stream(mut store: Store<()>, instance: &Instance, kind: u32, rounds: u32) -> Result<u32> {
    let stream = instance.get_typed_func::<(u32, u32), (u32,)>(&mut store, "stream")?;
    Ok(block_on(stream.call_async(&mut store, (kind, rounds)))?.0)
}

fn tasks(mut store: Store<()>, instance: &Instance, rounds: u32) -> Result<u32> {
    let pause = instance.get_typed_func::<(), ()>(&mut store, "pause")?;
    block_on(store.run_concurrent(async |accessor| {
        for _ in 0..rounds {
            pause.call_concurrent(accessor, ()).await?;
        }
        Ok(rounds)
    }))?
}

/// A component of a module of some hundred functions, always the same.
fn module() -> String {
    let mut text = String::from("(component (core module $m (memory 1)\n");
    for index in 0..200 {
        let callee = if index == 0 { 0 } else { index - 1 };
        let _ = writeln!(
            text,
            "(func $f{index} (param i32 i64) (result i64) (local i32)
               (loop $next
                 (local.set 1 (i64.add (local.get 1)
                   (i64.mul (i64.load offset={index} (local.get 0)) (i64.const {index}))))
                 (i32.store offset={index} (local.get 0) (i32.wrap_i64 (local.get 1)))
                 (br_if $next (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 1)))
                   (i32.const 100))))
               (if (result i64) (i64.eqz (local.get 1))
                 (then (call $f{callee} (local.get 0) (local.get 1)))
                 (else (i64.rotl (local.get 1) (i64.const {index})))))"
        );
    }
    text + ") (core instance (instantiate $m)))"
}
