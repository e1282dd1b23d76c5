//! The work that each row measures: the same function on both sides.

use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::floor::Floor;
use crate::guests::{Computation, Guest, KERNELS, Real};
use crate::measure::{Work, geometric_mean, interleaved, median};
use crate::peak;
use crate::rows::{COMPUTATIONS, OFTEN, SELDOM};
use crate::runtime::{Computer as _, Instance, Interpreter as _, Record, Runtime, host_nop_calls};
use crate::side::{Side, check, failed};

const ONE: NonZeroUsize = NonZeroUsize::MIN;
const TWO: NonZeroUsize = ONE.saturating_add(1);

/// 32 bytes.
const ECHO_TEXT: &str = "A string of 32 bytes, not of 31.";
const _: () = assert!(ECHO_TEXT.len() == 32);
/// The length of lists: 1 MiB.
const LIST_LEN: usize = 1 << 20;
/// The list that goes into guests.
static LIST: [u8; LIST_LEN] = [LIST_BYTE; LIST_LEN];
const LIST_BYTE: u8 = 0x5a;
/// The records that go into guests.
static RECORDS: [Record; 10_000] = [(1.5, -2.5, LIST_BYTE); 10_000];
/// The numbers that interpreters add up: small ones, and large ones of both signs.
static NUMBERS: [i32; 10_000] = {
    let mut numbers = [0; 10_000];
    let mut index = 0;
    while index < numbers.len() {
        let number = index as i32 % 4001 - 2000;
        numbers[index] = if index % 4 == 0 {
            number * 1_000
        } else {
            number
        };
        index += 1;
    }
    numbers
};
/// A MiB of ASCII.
static TEXT: [u8; LIST_LEN] = [b'a'; LIST_LEN];
/// The byte with which `bench.wat` fills result lists.
const LIST_OUT_BYTE: u8 = 0xa5;

pub(crate) fn load_small<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    load(side, Guest::Small)
}

/// The time of [`load_small`] as a multiple of the system calls alone.
pub(crate) fn load_floor<R: Runtime>(side: &Side<R>) -> Result<f64> {
    let artifact = side.artifact(Guest::Small)?;
    let floor = Floor::new(&artifact)?;
    let calls = Box::new(|calls| (0..calls).try_for_each(|_| floor.run()));
    Ok(interleaved(load_small(side)?, calls, OFTEN)?.ratio())
}

pub(crate) fn load_large<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    load(side, Guest::Large)
}

fn load<R: Runtime>(side: &Side<R>, guest: Guest) -> Result<Work<'_>> {
    let artifact = side.artifact(guest)?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            side.runtime
                .load(black_box(&artifact))
                .map_err(failed::<R>)?;
        }
        Ok(())
    }))
}

pub(crate) fn load_py<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    load(side, Guest::Real(Real::Py))
}

pub(crate) fn load_js<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    load(side, Guest::Real(Real::Js))
}

pub(crate) fn instantiate<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let linked = side
        .runtime
        .link(&side.artifact(Guest::Bench)?)
        .map_err(failed::<R>)?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            side.runtime
                .instantiate(black_box(&linked))
                .map_err(failed::<R>)?;
        }
        Ok(())
    }))
}

/// A component whose instances are called once each.
#[derive(Clone, Copy)]
pub(crate) struct Served {
    pub(crate) guest: Guest,
    pub(crate) argument: u32,
    pub(crate) answer: u32,
}

impl Served {
    /// Instances that write to so many pages.
    pub(crate) const fn pages(pages: u32) -> Served {
        Served {
            guest: Guest::Pages,
            argument: pages,
            answer: if pages == 0 { 0 } else { b'A' as u32 },
        }
    }

    /// Instances that grow their memory by a page, from 17.
    pub(crate) const GROWN: Served = Served {
        guest: Guest::Grown,
        argument: 1,
        answer: 18,
    };

    fn link<R: Runtime>(self, side: &Side<R>) -> Result<R::Linked> {
        let artifact = side.artifact(self.guest)?;
        side.runtime.link(&artifact).map_err(failed::<R>)
    }

    fn serve<R: Runtime>(self, side: &Side<R>, linked: &R::Linked) -> Result<()> {
        let answer = side.runtime.serve(black_box(linked), self.argument);
        check::<R, u32>("run", answer.map_err(failed::<R>)?, self.answer)
    }
}

/// Instances one after another, each in a store of its own.
pub(crate) fn recycled<R: Runtime>(side: &Side<R>, served: Served) -> Result<Work<'_>> {
    let linked = served.link(side)?;
    Ok(Box::new(move |calls| {
        (0..calls).try_for_each(|_| served.serve(side, &linked))
    }))
}

/// The time of an instance with two threads as part of that with one: a half at best.
pub(crate) fn recycled_threads<R: Runtime>(side: &Side<R>, served: Served) -> Result<f64> {
    const INSTANCES: u32 = 100_000;
    let linked = served.link(side)?;
    let run = |instances| (0..instances).try_for_each(|_| served.serve(side, &linked));
    let time = |threads: u32| -> Result<f64> {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| run(INSTANCES / threads)))
                .collect();
            let mut threads = threads.into_iter();
            threads.try_for_each(|thread| thread.join().expect("the work does not panic"))
        })?;
        Ok(start.elapsed().as_secs_f64())
    };
    let mut ratios = Vec::new();
    for _ in 0..9 {
        let one = time(1)?;
        ratios.push(time(2)? / one);
    }
    Ok(median(ratios))
}

pub(crate) fn first_call<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let artifact = side.artifact(Guest::Bench)?;
    Ok(Box::new(move |calls| {
        for a in 0..calls as u32 {
            let sum = side
                .runtime
                .first_call(black_box(&artifact), a, 3)
                .map_err(failed::<R>)?;
            check::<R, _>("add", sum, a.wrapping_add(3))?;
        }
        Ok(())
    }))
}

pub(crate) fn call_nop<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            guest.nop().map_err(failed::<R>)?;
        }
        Ok(())
    }))
}

pub(crate) fn call_add<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        for a in 0..calls as u32 {
            let sum = guest.add(black_box(a), black_box(3)).map_err(failed::<R>)?;
            check::<R, _>("add", sum, a.wrapping_add(3))?;
        }
        Ok(())
    }))
}

pub(crate) fn call_echo<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        let mut text = String::new();
        for _ in 0..calls {
            text = black_box(guest.echo(black_box(ECHO_TEXT)).map_err(failed::<R>)?);
        }
        check::<R, _>("echo", text.as_str(), ECHO_TEXT)
    }))
}

pub(crate) fn call_echo_long<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    let text = str::from_utf8(&TEXT)?;
    let first = guest.same(text).map_err(failed::<R>)?;
    ensure!(first == text, "{}: `same` answered another text", R::NAME);
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            let answer = black_box(guest.same(black_box(text)).map_err(failed::<R>)?);
            check::<R, _>("same", answer.len(), text.len())?;
        }
        Ok(())
    }))
}

pub(crate) fn call_records<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    let expected = RECORDS.len() as u32 + u32::from(LIST_BYTE);
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            let answer = guest.records(black_box(&RECORDS)).map_err(failed::<R>)?;
            check::<R, _>("records", answer, expected)?;
        }
        Ok(())
    }))
}

pub(crate) fn call_list_in<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    let expected = LIST_LEN as u32 + 2 * u32::from(LIST_BYTE);
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            let answer = guest.list_u8_in(black_box(&LIST)).map_err(failed::<R>)?;
            check::<R, _>("list-u8-in", answer, expected)?;
        }
        Ok(())
    }))
}

pub(crate) fn call_list_out<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    let first = guest.list_u8_out(LIST_LEN as u32).map_err(failed::<R>)?;
    ensure!(
        first.iter().all(|byte| *byte == LIST_OUT_BYTE),
        "{}: `list-u8-out` returned other elements than {LIST_OUT_BYTE:#x}",
        R::NAME
    );
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            let list = guest
                .list_u8_out(black_box(LIST_LEN as u32))
                .map_err(failed::<R>)?;
            let list = black_box(list);
            let ends = (list.len(), list.first().copied(), list.last().copied());
            check::<R, _>(
                "list-u8-out",
                ends,
                (LIST_LEN, Some(LIST_OUT_BYTE), Some(LIST_OUT_BYTE)),
            )?;
        }
        Ok(())
    }))
}

/// A typed handle is made of an export of two parameters.
pub(crate) fn call_handle<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            guest.handle(black_box("add")).map_err(failed::<R>)?;
        }
        Ok(())
    }))
}

pub(crate) fn host_nop<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        let before = host_nop_calls();
        guest.run_host_nop(calls as u32).map_err(failed::<R>)?;
        check::<R, _>(
            "run-host-nop",
            host_nop_calls().wrapping_sub(before),
            calls as u32,
        )
    }))
}

pub(crate) fn host_add<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        let sum = guest.run_host_add(calls as u32).map_err(failed::<R>)?;
        check::<R, _>("run-host-add", sum, calls as u32)
    }))
}

pub(crate) fn host_len<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        let sum = guest.run_host_len(calls as u32).map_err(failed::<R>)?;
        check::<R, _>("run-host-len", sum, (calls as u32).wrapping_mul(32))
    }))
}

/// The loop of `pair.wat` of this name, and what it must answer for a number of rounds.
fn guest_loop<'a, R: Runtime>(
    side: &'a Side<R>,
    name: &'static str,
    expected: impl Fn(u32) -> u32 + 'a,
) -> Result<Work<'a>> {
    let artifact = side.artifact(Guest::Pair)?;
    let mut guest = side
        .runtime
        .computer(&artifact, name)
        .map_err(failed::<R>)?;
    Ok(Box::new(move |calls| {
        let answer = guest.run(calls as u32).map_err(failed::<R>)?;
        check::<R, _>(name, answer, expected(calls as u32))
    }))
}

/// A loop that passes a MiB that starts and ends with these bytes.
fn guest_bytes<'a, R: Runtime>(
    side: &'a Side<R>,
    name: &'static str,
    ends: [u8; 2],
) -> Result<Work<'a>> {
    let answer = LIST_LEN as u32 + u32::from(ends[0]) + u32::from(ends[1]);
    guest_loop(side, name, move |n| answer.wrapping_mul(n))
}

/// A throw that the caller catches.
pub(crate) fn throw_near<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    throws(side, "throw-near")
}

/// A throw that a function ten frames away catches.
pub(crate) fn throw_far<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    throws(side, "throw-far")
}

fn throws<'a, R: Runtime>(side: &'a Side<R>, name: &str) -> Result<Work<'a>> {
    let artifact = side.artifact(Guest::Exceptions)?;
    let mut guest = side
        .runtime
        .computer(&artifact, name)
        .map_err(failed::<R>)?;
    Ok(Box::new(move |calls| {
        let answer = guest.run(black_box(calls as u32)).map_err(failed::<R>)?;
        check::<R, _>("throw", answer, calls as u32)
    }))
}

/// The time of calls in a `try_table` that throw nothing as a multiple of that without.
pub(crate) fn exceptions_unused<R: Runtime>(side: &Side<R>) -> Result<f64> {
    const CALLS: u32 = 100_000;
    let artifact = side.artifact(Guest::Exceptions)?;
    let open = |name| side.runtime.computer(&artifact, name).map_err(failed::<R>);
    let (mut guarded, mut plain) = (open("guarded")?, open("plain")?);
    let expected = plain.run(CALLS).map_err(failed::<R>)?;
    let work = |guest: &mut R::Computer, calls: u64| {
        (0..calls).try_for_each(|_| {
            let answer = guest.run(black_box(CALLS)).map_err(failed::<R>)?;
            check::<R, _>("calls", answer, expected)
        })
    };
    let with: Work<'_> = Box::new(|calls| work(&mut guarded, calls));
    let without: Work<'_> = Box::new(|calls| work(&mut plain, calls));
    Ok(interleaved(with, without, COMPUTATIONS)?.ratio())
}

pub(crate) fn guest_add<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    guest_loop(side, "add", |n| n)
}

pub(crate) fn guest_div<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    guest_loop(side, "div", |n| {
        (u64::from(n) * (u64::from(n) + 1) / 2) as u32
    })
}

pub(crate) fn guest_list_u8<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    guest_bytes(side, "list-u8", *b"A.")
}

pub(crate) fn guest_list_u32<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    guest_bytes(side, "list-u32", *b"A.")
}

/// The time of a list as a multiple of the C library's for the same copy.
pub(crate) fn guest_list_by_memcpy<R: Runtime>(side: &Side<R>) -> Result<f64> {
    let (source, mut target) = (vec![LIST_BYTE; LIST_LEN], vec![0; LIST_LEN]);
    let copy = Box::new(move |calls| {
        for _ in 0..calls {
            black_box(&mut target[..]).copy_from_slice(black_box(&source));
        }
        Ok(())
    });
    let pair = interleaved(guest_list_u8(side)?, copy, OFTEN)?;
    Ok(pair.ratio())
}

/// A method of a resource that the callee defines.
pub(crate) fn guest_resource<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    guest_loop(side, "resource", |n| n.wrapping_mul(7))
}

/// The same resource is made and dropped.
pub(crate) fn guest_resource_new<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    guest_loop(side, "resource-new", |n| n)
}

pub(crate) fn guest_string32<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let answer = 32 + u32::from(b'A') + u32::from(b'.');
    guest_loop(side, "string32", move |n| answer.wrapping_mul(n))
}

pub(crate) fn guest_string_ascii<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    guest_bytes(side, "string-ascii", *b"A.")
}

pub(crate) fn guest_string_text<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    guest_bytes(side, "string-text", *b"G ")
}

pub(crate) fn compile_large<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    compile(side, Guest::Large, None)
}

pub(crate) fn compile_py<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    compile(side, Guest::Real(Real::Py), None)
}

pub(crate) fn compile_js<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    compile(side, Guest::Real(Real::Js), None)
}

pub(crate) fn compile_medium<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    compile(side, Guest::Medium, Some(ONE))
}

/// Compiles a component. The artifact that is loaded elsewhere is compiled again, and tried; here
/// the same must come out.
fn compile<R: Runtime>(
    side: &Side<R>,
    guest: Guest,
    threads: Option<NonZeroUsize>,
) -> Result<Work<'_>> {
    let wasm = guest.wasm()?;
    let expected = fs::read(side.artifact(guest)?)?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            let bytes = side
                .runtime
                .compile(black_box(&wasm), threads)
                .map_err(failed::<R>)?;
            ensure!(
                bytes == expected,
                "{} compiled other bytes than before",
                R::NAME
            );
        }
        Ok(())
    }))
}

/// The time with two threads as part of that with one: a half at best.
pub(crate) fn compile_scaling<R: Runtime>(side: &Side<R>) -> Result<f64> {
    let two = compile(side, Guest::Medium, Some(TWO))?;
    let one = compile(side, Guest::Medium, Some(ONE))?;
    let pair = interleaved(two, one, SELDOM)?;
    Ok(pair.ratio())
}

pub(crate) fn compile_large_peak<R: Runtime>(side: &Side<R>) -> Result<f64> {
    compile_peak(side, Guest::Large, None)
}

pub(crate) fn compile_py_peak<R: Runtime>(side: &Side<R>) -> Result<f64> {
    compile_peak(side, Guest::Real(Real::Py), None)
}

pub(crate) fn compile_js_peak<R: Runtime>(side: &Side<R>) -> Result<f64> {
    compile_peak(side, Guest::Real(Real::Js), None)
}

pub(crate) fn compile_medium_peak<R: Runtime>(side: &Side<R>) -> Result<f64> {
    compile_peak(side, Guest::Medium, Some(ONE))
}

fn compile_peak<R: Runtime>(
    side: &Side<R>,
    guest: Guest,
    threads: Option<NonZeroUsize>,
) -> Result<f64> {
    let path = side.folder().join(guest.name()).with_extension("wasm");
    fs::write(&path, guest.wasm()?)?;
    peak::of_compiling::<R>(&path, threads)
}

pub(crate) fn size_large<R: Runtime>(side: &Side<R>) -> Result<f64> {
    artifact_size(side, Guest::Large)
}

pub(crate) fn size_py<R: Runtime>(side: &Side<R>) -> Result<f64> {
    artifact_size(side, Guest::Real(Real::Py))
}

pub(crate) fn size_js<R: Runtime>(side: &Side<R>) -> Result<f64> {
    artifact_size(side, Guest::Real(Real::Js))
}

fn artifact_size<R: Runtime>(side: &Side<R>, guest: Guest) -> Result<f64> {
    Ok(fs::metadata(side.artifact(guest)?)?.len() as f64)
}

/// Calls a component that computes.
pub(crate) fn compute<'a, R: Runtime>(
    side: &'a Side<R>,
    computation: &'static Computation,
) -> Result<Work<'a>> {
    let artifact = side.artifact(Guest::Computation(computation))?;
    let mut instance = side
        .runtime
        .computer(&artifact, "run")
        .map_err(failed::<R>)?;
    let n = computation.argument;
    let first = instance.run(n).map_err(failed::<R>)?;
    check::<R, _>("run", first, computation.answer)?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            black_box(instance.run(black_box(n)).map_err(failed::<R>)?);
        }
        Ok(())
    }))
}

pub(crate) fn sum_py<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    sum(side, Real::Py)
}

pub(crate) fn sum_js<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    sum(side, Real::Js)
}

/// An interpreter adds numbers up: it makes its own list of them first. Python has a builtin for
/// the sum, JavaScript calls a closure for each number.
fn sum<R: Runtime>(side: &Side<R>, real: Real) -> Result<Work<'_>> {
    let artifact = side.artifact(Guest::Real(real))?;
    let linked = side.runtime.link_interpreter(&artifact);
    let interpreter = side.runtime.interpreter(&linked.map_err(failed::<R>)?);
    let mut interpreter = interpreter.map_err(failed::<R>)?;
    let expected: i32 = NUMBERS.iter().sum();
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            let sum = interpreter.sum(black_box(&NUMBERS)).map_err(failed::<R>)?;
            check::<R, _>("sum", sum, expected)?;
        }
        Ok(())
    }))
}

/// An interpreter for each call, which adds few numbers up.
pub(crate) fn recycled_interpreter<R: Runtime>(side: &Side<R>, real: Real) -> Result<Work<'_>> {
    let artifact = side.artifact(Guest::Real(real))?;
    let linked = side.runtime.link_interpreter(&artifact);
    let linked = linked.map_err(failed::<R>)?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            let interpreter = side.runtime.interpreter(black_box(&linked));
            let sum = interpreter.and_then(|mut started| started.sum(black_box(&[1, 2, 3])));
            check::<R, _>("sum", sum.map_err(failed::<R>)?, 6)?;
        }
        Ok(())
    }))
}

/// How many times as long kernels run with code that can be interrupted, on one side: the geometric
/// mean. The figure of each goes to standard error.
pub(crate) fn interrupt_cost<R: Runtime>(interruptible: &Side<R>, plain: &Side<R>) -> Result<f64> {
    let mut ratios = Vec::new();
    for kernel in KERNELS {
        let with = compute(interruptible, kernel)?;
        let pair = interleaved(with, compute(plain, kernel)?, COMPUTATIONS)?;
        eprintln!(
            "interruptible {}: {:.3} ({})",
            kernel.name,
            pair.ratio(),
            R::NAME
        );
        ratios.push(pair.ratio());
    }
    Ok(geometric_mean(&ratios))
}
