//! The rows: what each measures, on both sides by the same function.

use std::fmt::Debug;
use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use object::{Object as _, ObjectSection as _};
use tempfile::TempDir;

use crate::guests::{Guest, Kernel};
use crate::measure::{Pair, Sampling, Work, interleaved};
use crate::ours::Ours;
use crate::peak;
use crate::runtime::{Instance, Kernel as _, Runtime, host_nop_calls};
use crate::theirs::Theirs;

/// One row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    measure: Measure,
}

/// What a row's figures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Bytes,
    /// How many times as much as something else on the same side.
    Ratio,
}

#[derive(Clone, Copy)]
enum Measure {
    Time {
        sampling: Sampling,
        ours: for<'a> fn(&'a Side<Ours>) -> Result<Work<'a>>,
        theirs: for<'a> fn(&'a Side<Theirs>) -> Result<Work<'a>>,
    },
    Amount {
        ours: fn(&Side<Ours>) -> Result<f64>,
        theirs: fn(&Side<Theirs>) -> Result<f64>,
    },
    /// A kernel.
    Kernel(Kernel),
    /// What it costs that code can be interrupted.
    InterruptCost,
}

/// Both sides, with their artifacts.
pub(crate) struct Bench {
    ours: Side<Ours>,
    theirs: Side<Theirs>,
    our_interruptible: Side<Ours>,
    their_interruptible: Side<Theirs>,
}

/// One side. Artifacts are compiled when a row first needs them, into a folder that goes with it.
pub(crate) struct Side<R> {
    runtime: R,
    folder: TempDir,
}

/// For all rows that are fast enough to be called many times. Many short samples: what else runs on
/// the machine interrupts few of them, and the median leaves those out.
const OFTEN: Sampling = Sampling {
    samples: 201,
    length: Some(Duration::from_millis(2)),
};
/// For compilation.
const SELDOM: Sampling = Sampling {
    samples: 5,
    length: None,
};

/// For kernels: a call takes a few hundred microseconds, so that most are within one time slice.
const KERNELS: Sampling = Sampling {
    samples: 401,
    length: None,
};
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
/// What `bench.wat` fills the lists with that come out.
const LIST_OUT_BYTE: u8 = 0xa5;

/// All rows, in the order in which they are measured and printed.
pub(crate) const ROWS: &[Row] = &[
    Row::time(
        "load.small",
        OFTEN,
        load_small::<Ours>,
        load_small::<Theirs>,
    ),
    Row::time(
        "load.large",
        OFTEN,
        load_large::<Ours>,
        load_large::<Theirs>,
    ),
    Row::time(
        "instantiate.fresh",
        OFTEN,
        instantiate::<Ours>,
        instantiate::<Theirs>,
    ),
    Row::time(
        "first-call",
        OFTEN,
        first_call::<Ours>,
        first_call::<Theirs>,
    ),
    Row::time("call.nop", OFTEN, call_nop::<Ours>, call_nop::<Theirs>),
    Row::time("call.add", OFTEN, call_add::<Ours>, call_add::<Theirs>),
    Row::time("call.echo32", OFTEN, call_echo::<Ours>, call_echo::<Theirs>),
    Row::time(
        "call.list-u8-in",
        OFTEN,
        call_list_in::<Ours>,
        call_list_in::<Theirs>,
    ),
    Row::time(
        "call.list-u8-out",
        OFTEN,
        call_list_out::<Ours>,
        call_list_out::<Theirs>,
    ),
    Row::time("host.nop", OFTEN, host_nop::<Ours>, host_nop::<Theirs>),
    Row::time("host.add", OFTEN, host_add::<Ours>, host_add::<Theirs>),
    Row::time(
        "compile.wall",
        SELDOM,
        compile_large::<Ours>,
        compile_large::<Theirs>,
    ),
    Row::amount(
        "compile.peak",
        Unit::Bytes,
        compile_large_peak::<Ours>,
        compile_large_peak::<Theirs>,
    ),
    Row::time(
        "compile.one-thread",
        SELDOM,
        compile_medium::<Ours>,
        compile_medium::<Theirs>,
    ),
    Row::amount(
        "compile.one-thread.peak",
        Unit::Bytes,
        compile_medium_peak::<Ours>,
        compile_medium_peak::<Theirs>,
    ),
    Row::amount(
        "compile.scaling",
        Unit::Ratio,
        compile_scaling::<Ours>,
        compile_scaling::<Theirs>,
    ),
    Row::amount(
        "size.artifact",
        Unit::Bytes,
        artifact_size::<Ours>,
        artifact_size::<Theirs>,
    ),
    Row::kernel("run.bytes", Kernel::Bytes),
    Row::kernel("run.fib", Kernel::Fib),
    Row::kernel("run.hash", Kernel::Hash),
    Row::kernel("run.matmul", Kernel::Matmul),
    Row::kernel("run.sha256", Kernel::Sha256),
    Row::kernel("run.sort", Kernel::Sort),
    Row {
        name: "interruptible.cost",
        unit: Unit::Ratio,
        measure: Measure::InterruptCost,
    },
];

impl Row {
    const fn time(
        name: &'static str,
        sampling: Sampling,
        ours: for<'a> fn(&'a Side<Ours>) -> Result<Work<'a>>,
        theirs: for<'a> fn(&'a Side<Theirs>) -> Result<Work<'a>>,
    ) -> Row {
        let measure = Measure::Time {
            sampling,
            ours,
            theirs,
        };
        Row {
            name,
            unit: Unit::Nanoseconds,
            measure,
        }
    }

    const fn amount(
        name: &'static str,
        unit: Unit,
        ours: fn(&Side<Ours>) -> Result<f64>,
        theirs: fn(&Side<Theirs>) -> Result<f64>,
    ) -> Row {
        Row {
            name,
            unit,
            measure: Measure::Amount { ours, theirs },
        }
    }

    const fn kernel(name: &'static str, kernel: Kernel) -> Row {
        Row {
            name,
            unit: Unit::Nanoseconds,
            measure: Measure::Kernel(kernel),
        }
    }

    /// Measures both sides.
    ///
    /// # Errors
    /// If a side fails or answers wrongly.
    pub(crate) fn measure(&self, bench: &Bench) -> Result<Pair> {
        let pair = match self.measure {
            Measure::Time {
                sampling,
                ours,
                theirs,
            } => ours(&bench.ours)
                .and_then(|ours| interleaved(ours, theirs(&bench.theirs)?, sampling)),
            Measure::Amount { ours, theirs } => ours(&bench.ours).and_then(|ours| {
                Ok(Pair {
                    ours,
                    theirs: theirs(&bench.theirs)?,
                })
            }),
            Measure::Kernel(kernel) => run_kernel(&bench.ours, kernel)
                .and_then(|ours| interleaved(ours, run_kernel(&bench.theirs, kernel)?, KERNELS)),
            Measure::InterruptCost => interrupt_cost(&bench.our_interruptible, &bench.ours)
                .and_then(|ours| {
                    let theirs = interrupt_cost(&bench.their_interruptible, &bench.theirs)?;
                    Ok(Pair { ours, theirs })
                }),
        };
        pair.with_context(|| format!("cannot measure `{}`", self.name))
    }
}

impl Unit {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Bytes => "bytes",
            Unit::Ratio => "ratio",
        }
    }

    /// A figure for people to read.
    pub(crate) fn show(self, figure: f64) -> String {
        let scales: &[(f64, &str)] = match self {
            Unit::Nanoseconds => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
            Unit::Bytes => &[(1e6, "MB"), (1e3, "KB"), (1.0, "B")],
            Unit::Ratio => return format!("{figure:.3}"),
        };
        let fits = scales.iter().find(|(scale, _)| figure.abs() >= *scale);
        let (scale, name) = fits.or(scales.last()).copied().unwrap_or((1.0, ""));
        format!("{:.2} {name}", figure / scale)
    }
}

impl Bench {
    /// Makes both engines.
    ///
    /// # Errors
    /// If one cannot be made.
    pub(crate) fn new() -> Result<Bench> {
        Ok(Bench {
            ours: Side::new(false)?,
            theirs: Side::new(false)?,
            our_interruptible: Side::new(true)?,
            their_interruptible: Side::new(true)?,
        })
    }
}

impl<R: Runtime> Side<R> {
    fn new(interruptible: bool) -> Result<Side<R>> {
        let runtime = R::new(interruptible).map_err(failed::<R>)?;
        let folder = tempfile::tempdir().context("cannot make a folder for artifacts")?;
        Ok(Side { runtime, folder })
    }

    /// The guest's artifact, compiled if it is not there yet.
    fn artifact(&self, guest: Guest) -> Result<PathBuf> {
        let path = self.folder.path().join(guest.name());
        if path.exists() {
            return Ok(path);
        }
        let bytes = self
            .runtime
            .compile(&guest.wasm()?, None)
            .map_err(failed::<R>)?;
        let code = code_size(&bytes)?;
        let wanted = guest.least_code_size();
        ensure!(
            code >= wanted,
            "{}: {code} bytes of code, wanted {wanted}",
            R::NAME
        );
        if guest == Guest::Large {
            let (code, artifact) = (
                Unit::Bytes.show(code as f64),
                Unit::Bytes.show(bytes.len() as f64),
            );
            eprintln!(
                "the large component: {code} of machine code in {artifact} ({})",
                R::NAME
            );
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write `{}`", path.display()))?;
        if let Some((seed, expected)) = guest.run_case() {
            let answer = self.runtime.run(&path, seed).map_err(failed::<R>)?;
            check::<R, _>("run", answer, expected)?;
        }
        Ok(path)
    }

    /// An instance of the bench's guest.
    fn guest(&self) -> Result<R::Instance> {
        self.runtime
            .guest(&self.artifact(Guest::Bench)?)
            .map_err(failed::<R>)
    }
}

fn load_small<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    load(side, Guest::Small)
}

fn load_large<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
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

fn instantiate<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
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

fn first_call<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
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

fn call_nop<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            guest.nop().map_err(failed::<R>)?;
        }
        Ok(())
    }))
}

fn call_add<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        for a in 0..calls as u32 {
            let sum = guest.add(black_box(a), black_box(3)).map_err(failed::<R>)?;
            check::<R, _>("add", sum, a.wrapping_add(3))?;
        }
        Ok(())
    }))
}

fn call_echo<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        let mut text = String::new();
        for _ in 0..calls {
            text = black_box(guest.echo(black_box(ECHO_TEXT)).map_err(failed::<R>)?);
        }
        check::<R, _>("echo", text.as_str(), ECHO_TEXT)
    }))
}

fn call_list_in<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
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

fn call_list_out<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
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

fn host_nop<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
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

fn host_add<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    let mut guest = side.guest()?;
    Ok(Box::new(move |calls| {
        let sum = guest.run_host_add(calls as u32).map_err(failed::<R>)?;
        check::<R, _>("run-host-add", sum, calls as u32)
    }))
}

fn compile_large<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
    compile(side, Guest::Large, None)
}

fn compile_medium<R: Runtime>(side: &Side<R>) -> Result<Work<'_>> {
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
fn compile_scaling<R: Runtime>(side: &Side<R>) -> Result<f64> {
    let two = compile(side, Guest::Medium, Some(TWO))?;
    let one = compile(side, Guest::Medium, Some(ONE))?;
    let pair = interleaved(two, one, SELDOM)?;
    Ok(pair.ratio())
}

fn compile_large_peak<R: Runtime>(side: &Side<R>) -> Result<f64> {
    compile_peak(side, Guest::Large, None)
}

fn compile_medium_peak<R: Runtime>(side: &Side<R>) -> Result<f64> {
    compile_peak(side, Guest::Medium, Some(ONE))
}

fn compile_peak<R: Runtime>(
    side: &Side<R>,
    guest: Guest,
    threads: Option<NonZeroUsize>,
) -> Result<f64> {
    let path = side.folder.path().join(guest.name()).with_extension("wasm");
    fs::write(&path, guest.wasm()?)?;
    peak::of_compiling::<R>(&path, threads)
}

fn artifact_size<R: Runtime>(side: &Side<R>) -> Result<f64> {
    Ok(fs::metadata(side.artifact(Guest::Large)?)?.len() as f64)
}

fn run_kernel<R: Runtime>(side: &Side<R>, kernel: Kernel) -> Result<Work<'_>> {
    let artifact = side.artifact(Guest::Kernel(kernel))?;
    let mut instance = side.runtime.kernel(&artifact).map_err(failed::<R>)?;
    let (n, expected) = kernel.case();
    let first = instance.run(n).map_err(failed::<R>)?;
    check::<R, _>("run", first, expected)?;
    Ok(Box::new(move |calls| {
        for _ in 0..calls {
            black_box(instance.run(black_box(n)).map_err(failed::<R>)?);
        }
        Ok(())
    }))
}

/// How many times as long kernels run with code that can be interrupted, on one side: the geometric
/// mean. The figure of each goes to standard error.
fn interrupt_cost<R: Runtime>(interruptible: &Side<R>, plain: &Side<R>) -> Result<f64> {
    let mut sum = 0.0;
    for kernel in Kernel::ALL {
        let with = run_kernel(interruptible, kernel)?;
        let pair = interleaved(with, run_kernel(plain, kernel)?, KERNELS)?;
        eprintln!(
            "interruptible {kernel:?}: {:.3} ({})",
            pair.ratio(),
            R::NAME
        );
        sum += pair.ratio().ln();
    }
    Ok((sum / Kernel::ALL.len() as f64).exp())
}

/// How much machine code is in an artifact: both sides' are ELF files.
fn code_size(artifact: &[u8]) -> Result<u64> {
    let file = object::File::parse(artifact)?;
    let text = file
        .section_by_name(".text")
        .context("an artifact has no `.text`")?;
    Ok(text.size())
}

/// The error of a side, with its name.
#[cold]
pub(crate) fn failed<R: Runtime>(error: R::Error) -> Error {
    Error::from_boxed(error.into()).context(R::NAME)
}

#[inline(always)]
fn check<R: Runtime, T: PartialEq + Debug>(function: &str, found: T, expected: T) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(wrong::<R>(function, &found, &expected))
    }
}

#[cold]
fn wrong<R: Runtime>(function: &str, found: &dyn Debug, expected: &dyn Debug) -> Error {
    anyhow!(
        "{}: `{function}` answered {found:?}, expected {expected:?}",
        R::NAME
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_fitting_units() {
        assert_eq!(Unit::Nanoseconds.show(1.5), "1.50 ns");
        assert_eq!(Unit::Nanoseconds.show(0.5), "0.50 ns");
        assert_eq!(Unit::Nanoseconds.show(31_200.0), "31.20 µs");
        assert_eq!(Unit::Bytes.show(5_400_000.0), "5.40 MB");
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
