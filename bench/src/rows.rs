//! The rows: their names, in order, and how their figures come about.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::guests::{Computation, KERNELS, PROGRAMS, Real};
use crate::measure::{Pair, Sampling, Work, geometric_mean, interleaved};
use crate::ours::Ours;
use crate::process::{Commands, Program};
use crate::runtime::Mode;
use crate::serve::{Figure, Load};
use crate::side::Side;
use crate::theirs::Theirs;
#[cfg(feature = "async")]
use crate::waiting;
use crate::work::{self, Served, compute, interrupt_cost};

/// One row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: Quantity,
    measure: Measure,
    /// The file that must exist to measure it.
    needs: Option<Real>,
}

/// The unit of a row's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
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
    /// As `Time`, of components that use the asynchronous ABI.
    #[cfg(feature = "async")]
    Tasks {
        ours: for<'a> fn(&'a Side<Ours>) -> Result<Work<'a>>,
        theirs: for<'a> fn(&'a Side<Theirs>) -> Result<Work<'a>>,
    },
    /// As `Amount`, of such components.
    #[cfg(feature = "async")]
    TasksAmount {
        ours: fn(&Side<Ours>) -> Result<f64>,
        theirs: fn(&Side<Theirs>) -> Result<f64>,
    },
    /// A component that computes.
    Computation(&'static Computation),
    /// All programs: the geometric mean of their ratios.
    Programs,
    /// Instances that are made from the start.
    Fresh,
    /// Instances one after another.
    Recycled(Served),
    /// Interpreters one after another, each of which is called once.
    RecycledInterpreter(Real),
    /// Instances on two threads, as part of the time on one.
    RecycledThreads(Served),
    /// The cost of interruptible code.
    InterruptCost,
    /// Whole commands.
    Process(Program),
    /// Servers.
    Serve(Load, Figure),
}

/// Both sides, with their artifacts.
pub(crate) struct Bench {
    ours: Side<Ours>,
    theirs: Side<Theirs>,
    our_interruptible: Side<Ours>,
    their_interruptible: Side<Theirs>,
    our_fresh: Side<Ours>,
    their_pool: Side<Theirs>,
    #[cfg(feature = "async")]
    their_tasks: Side<Theirs>,
    commands: Commands,
    /// Components that compute and were measured, with their figures.
    computed: RefCell<Vec<(&'static Computation, Pair)>>,
}

/// For all rows that are fast enough to be called many times. Many samples, each much shorter than
/// a scheduler's time slice: what else runs on the machine interrupts few of them, and the median
/// leaves those out.
pub(crate) const OFTEN: Sampling = Sampling {
    samples: 801,
    length: Some(Duration::from_micros(500)),
};
/// For compilation.
pub(crate) const SELDOM: Sampling = Sampling {
    samples: 5,
    length: None,
};

/// For compilation that takes many seconds.
const RARELY: Sampling = Sampling {
    samples: 3,
    length: None,
};
/// For components that compute: a call takes some hundred microseconds, so that most are within one
/// time slice.
pub(crate) const COMPUTATIONS: Sampling = Sampling {
    samples: 401,
    length: None,
};
/// Those before the rows of components that compute.
const FIRST: &[Row] = &[
    Row::time(
        "load.small",
        OFTEN,
        work::load_small::<Ours>,
        work::load_small::<Theirs>,
    ),
    Row::amount(
        "load.floor",
        Quantity::Ratio,
        work::load_floor::<Ours>,
        work::load_floor::<Theirs>,
    ),
    Row::time(
        "load.large",
        OFTEN,
        work::load_large::<Ours>,
        work::load_large::<Theirs>,
    ),
    Row::time(
        "load.py",
        OFTEN,
        work::load_py::<Ours>,
        work::load_py::<Theirs>,
    )
    .of(Real::Py),
    Row::time(
        "load.js",
        OFTEN,
        work::load_js::<Ours>,
        work::load_js::<Theirs>,
    )
    .of(Real::Js),
    Row {
        name: "instantiate.fresh",
        unit: Quantity::Nanoseconds,
        measure: Measure::Fresh,
        needs: None,
    },
    Row::time(
        "first-call",
        OFTEN,
        work::first_call::<Ours>,
        work::first_call::<Theirs>,
    ),
    Row::time(
        "call.handle",
        OFTEN,
        work::call_handle::<Ours>,
        work::call_handle::<Theirs>,
    ),
    Row::time(
        "call.nop",
        OFTEN,
        work::call_nop::<Ours>,
        work::call_nop::<Theirs>,
    ),
    Row::time(
        "call.add",
        OFTEN,
        work::call_add::<Ours>,
        work::call_add::<Theirs>,
    ),
    Row::time(
        "call.echo32",
        OFTEN,
        work::call_echo::<Ours>,
        work::call_echo::<Theirs>,
    ),
    Row::time(
        "call.echo1M",
        OFTEN,
        work::call_echo_long::<Ours>,
        work::call_echo_long::<Theirs>,
    ),
    Row::time(
        "call.list-u8-in",
        OFTEN,
        work::call_list_in::<Ours>,
        work::call_list_in::<Theirs>,
    ),
    Row::time(
        "call.list-u8-out",
        OFTEN,
        work::call_list_out::<Ours>,
        work::call_list_out::<Theirs>,
    ),
    Row::time(
        "call.records",
        OFTEN,
        work::call_records::<Ours>,
        work::call_records::<Theirs>,
    ),
    Row::time(
        "host.nop",
        OFTEN,
        work::host_nop::<Ours>,
        work::host_nop::<Theirs>,
    ),
    Row::time(
        "host.add",
        OFTEN,
        work::host_add::<Ours>,
        work::host_add::<Theirs>,
    ),
    Row::time(
        "host.len32",
        OFTEN,
        work::host_len::<Ours>,
        work::host_len::<Theirs>,
    ),
    Row::time(
        "guest.add",
        OFTEN,
        work::guest_add::<Ours>,
        work::guest_add::<Theirs>,
    ),
    Row::time(
        "guest.div",
        OFTEN,
        work::guest_div::<Ours>,
        work::guest_div::<Theirs>,
    ),
    Row::time(
        "guest.list-u8",
        OFTEN,
        work::guest_list_u8::<Ours>,
        work::guest_list_u8::<Theirs>,
    ),
    Row::amount(
        "guest.list-u8.memcpy",
        Quantity::Ratio,
        work::guest_list_by_memcpy::<Ours>,
        work::guest_list_by_memcpy::<Theirs>,
    ),
    Row::time(
        "guest.list-u32",
        OFTEN,
        work::guest_list_u32::<Ours>,
        work::guest_list_u32::<Theirs>,
    ),
    Row::time(
        "guest.string32",
        OFTEN,
        work::guest_string32::<Ours>,
        work::guest_string32::<Theirs>,
    ),
    Row::time(
        "guest.string-ascii",
        OFTEN,
        work::guest_string_ascii::<Ours>,
        work::guest_string_ascii::<Theirs>,
    ),
    Row::time(
        "guest.string-text",
        OFTEN,
        work::guest_string_text::<Ours>,
        work::guest_string_text::<Theirs>,
    ),
    Row::time(
        "guest.resource",
        OFTEN,
        work::guest_resource::<Ours>,
        work::guest_resource::<Theirs>,
    ),
    Row::time(
        "guest.resource-new",
        OFTEN,
        work::guest_resource_new::<Ours>,
        work::guest_resource_new::<Theirs>,
    ),
    Row::time(
        "exceptions.throw-near",
        OFTEN,
        work::throw_near::<Ours>,
        work::throw_near::<Theirs>,
    ),
    Row::time(
        "exceptions.throw-far",
        OFTEN,
        work::throw_far::<Ours>,
        work::throw_far::<Theirs>,
    ),
    Row::amount(
        "exceptions.unused",
        Quantity::Ratio,
        work::exceptions_unused::<Ours>,
        work::exceptions_unused::<Theirs>,
    ),
    Row::time(
        "compile.wall",
        SELDOM,
        work::compile_large::<Ours>,
        work::compile_large::<Theirs>,
    ),
    Row::amount(
        "compile.peak",
        Quantity::Bytes,
        work::compile_large_peak::<Ours>,
        work::compile_large_peak::<Theirs>,
    ),
    Row::time(
        "compile.one-thread",
        SELDOM,
        work::compile_medium::<Ours>,
        work::compile_medium::<Theirs>,
    ),
    Row::amount(
        "compile.one-thread.peak",
        Quantity::Bytes,
        work::compile_medium_peak::<Ours>,
        work::compile_medium_peak::<Theirs>,
    ),
    Row::amount(
        "compile.scaling",
        Quantity::Ratio,
        work::compile_scaling::<Ours>,
        work::compile_scaling::<Theirs>,
    ),
    Row::time(
        "compile.py.wall",
        RARELY,
        work::compile_py::<Ours>,
        work::compile_py::<Theirs>,
    )
    .of(Real::Py),
    Row::amount(
        "compile.py.peak",
        Quantity::Bytes,
        work::compile_py_peak::<Ours>,
        work::compile_py_peak::<Theirs>,
    )
    .of(Real::Py),
    Row::time(
        "compile.js.wall",
        RARELY,
        work::compile_js::<Ours>,
        work::compile_js::<Theirs>,
    )
    .of(Real::Js),
    Row::amount(
        "compile.js.peak",
        Quantity::Bytes,
        work::compile_js_peak::<Ours>,
        work::compile_js_peak::<Theirs>,
    )
    .of(Real::Js),
    Row::amount(
        "size.py",
        Quantity::Bytes,
        work::size_py::<Ours>,
        work::size_py::<Theirs>,
    )
    .of(Real::Py),
    Row::amount(
        "size.js",
        Quantity::Bytes,
        work::size_js::<Ours>,
        work::size_js::<Theirs>,
    )
    .of(Real::Js),
    Row::amount(
        "size.artifact",
        Quantity::Bytes,
        work::size_large::<Ours>,
        work::size_large::<Theirs>,
    ),
];

/// Those after the rows of components that compute.
const LAST: &[Row] = &[
    Row {
        name: "run.geomean",
        unit: Quantity::Ratio,
        measure: Measure::Programs,
        needs: None,
    },
    Row::time(
        "run.py",
        COMPUTATIONS,
        work::sum_py::<Ours>,
        work::sum_py::<Theirs>,
    )
    .of(Real::Py),
    Row::time(
        "run.js",
        COMPUTATIONS,
        work::sum_js::<Ours>,
        work::sum_js::<Theirs>,
    )
    .of(Real::Js),
    Row {
        name: "interruptible.cost",
        unit: Quantity::Ratio,
        measure: Measure::InterruptCost,
        needs: None,
    },
    Row::recycled("recycled.0", Served::pages(0)),
    Row::recycled("recycled.1", Served::pages(1)),
    Row::recycled("recycled.8", Served::pages(8)),
    Row::recycled("recycled.64", Served::pages(64)),
    Row::recycled("recycled.grown", Served::GROWN),
    Row::recycled_interpreter("recycled.py", Real::Py),
    Row::recycled_interpreter("recycled.js", Real::Js),
    Row::recycled_threads("recycled.threads", Served::pages(1)),
    Row::recycled_threads("recycled.grown.threads", Served::GROWN),
    Row::process("process.add", Program::Add),
    Row::process("process.py", Program::Real(Real::Py)).of(Real::Py),
    Row::process("process.js", Program::Real(Real::Js)).of(Real::Js),
    Row::process("process.rust", Program::Rust),
    Row::serve("serve.hello", Load::Hello, Figure::PerRequest),
    Row::serve("serve.hello.p99", Load::Hello, Figure::P99),
    Row::serve("serve.echo1k", Load::Echo1k, Figure::PerRequest),
    Row::serve("serve.echo1k.p99", Load::Echo1k, Figure::P99),
    Row::serve("serve.p3-hello", Load::P3Hello, Figure::PerRequest),
    Row::serve("serve.p3-echo", Load::P3Echo1k, Figure::PerRequest),
    Row::serve("serve.p3-stream", Load::P3Stream, Figure::PerRequest),
];

/// Those about waiting.
#[cfg(feature = "async")]
const ASYNC: &[Row] = &[
    Row::time(
        "async.call",
        OFTEN,
        waiting::call::<Ours>,
        waiting::call::<Theirs>,
    ),
    Row::time(
        "async.call.fiber",
        OFTEN,
        waiting::call_on_fiber::<Ours>,
        waiting::call_on_fiber::<Theirs>,
    ),
    Row::time(
        "async.host-ready",
        OFTEN,
        waiting::host_ready::<Ours>,
        waiting::host_ready::<Theirs>,
    ),
    Row::time(
        "async.host-pending",
        OFTEN,
        waiting::host_pending::<Ours>,
        waiting::host_pending::<Theirs>,
    ),
    Row::amount(
        "async.fiber-switch",
        Quantity::Nanoseconds,
        waiting::fiber_switch::<Ours>,
        waiting::fiber_switch::<Theirs>,
    ),
    Row::tasks(
        "async.guest",
        waiting::guest::<Ours>,
        waiting::guest::<Theirs>,
    ),
    Row::tasks(
        "async.guest-wait",
        waiting::guest_wait::<Ours>,
        waiting::guest_wait::<Theirs>,
    ),
    Row::tasks(
        "async.stream-u8",
        waiting::stream_bytes::<Ours>,
        waiting::stream_bytes::<Theirs>,
    ),
    Row::tasks_amount(
        "async.stream-u8.memcpy",
        Quantity::Ratio,
        waiting::stream_bytes_by_memcpy::<Ours>,
        waiting::stream_bytes_by_memcpy::<Theirs>,
    ),
    Row::tasks(
        "async.stream-u8-host",
        waiting::stream_in::<Ours>,
        waiting::stream_in::<Theirs>,
    ),
    Row::tasks_amount(
        "async.stream-u8-host.memcpy",
        Quantity::Ratio,
        waiting::stream_in_by_memcpy::<Ours>,
        waiting::stream_in_by_memcpy::<Theirs>,
    ),
    Row::tasks(
        "async.stream-records",
        waiting::stream_records::<Ours>,
        waiting::stream_records::<Theirs>,
    ),
    Row::tasks(
        "async.stream-records.names",
        waiting::stream_names::<Ours>,
        waiting::stream_names::<Theirs>,
    ),
    Row::tasks(
        "async.tasks",
        waiting::tasks::<Ours>,
        waiting::tasks::<Theirs>,
    ),
    Row::tasks_amount(
        "async.task-bytes",
        Quantity::Bytes,
        waiting::task_bytes::<Ours>,
        waiting::task_bytes::<Theirs>,
    ),
    Row::tasks_amount(
        "async.task-bytes.guest",
        Quantity::Bytes,
        waiting::guest_task_bytes::<Ours>,
        waiting::guest_task_bytes::<Theirs>,
    ),
];
/// Wasmtime is built without its asynchronous components.
#[cfg(not(feature = "async"))]
const ASYNC: &[Row] = &[];

/// All rows, in the order in which they are measured and printed.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    let computations = KERNELS.iter().chain(PROGRAMS).map(Row::computation);
    FIRST
        .iter()
        .copied()
        .chain(computations)
        .chain(LAST.iter().copied())
        .chain(ASYNC.iter().copied())
}

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
            unit: Quantity::Nanoseconds,
            measure,
            needs: None,
        }
    }

    const fn amount(
        name: &'static str,
        unit: Quantity,
        ours: fn(&Side<Ours>) -> Result<f64>,
        theirs: fn(&Side<Theirs>) -> Result<f64>,
    ) -> Row {
        Row {
            name,
            unit,
            measure: Measure::Amount { ours, theirs },
            needs: None,
        }
    }

    #[cfg(feature = "async")]
    const fn tasks(
        name: &'static str,
        ours: for<'a> fn(&'a Side<Ours>) -> Result<Work<'a>>,
        theirs: for<'a> fn(&'a Side<Theirs>) -> Result<Work<'a>>,
    ) -> Row {
        Row {
            name,
            unit: Quantity::Nanoseconds,
            measure: Measure::Tasks { ours, theirs },
            needs: None,
        }
    }

    #[cfg(feature = "async")]
    const fn tasks_amount(
        name: &'static str,
        unit: Quantity,
        ours: fn(&Side<Ours>) -> Result<f64>,
        theirs: fn(&Side<Theirs>) -> Result<f64>,
    ) -> Row {
        Row {
            name,
            unit,
            measure: Measure::TasksAmount { ours, theirs },
            needs: None,
        }
    }

    const fn computation(computation: &'static Computation) -> Row {
        Row {
            name: computation.row,
            unit: Quantity::Nanoseconds,
            measure: Measure::Computation(computation),
            needs: None,
        }
    }

    const fn recycled(name: &'static str, served: Served) -> Row {
        Row {
            name,
            unit: Quantity::Nanoseconds,
            measure: Measure::Recycled(served),
            needs: None,
        }
    }

    const fn recycled_threads(name: &'static str, served: Served) -> Row {
        Row {
            name,
            unit: Quantity::Ratio,
            measure: Measure::RecycledThreads(served),
            needs: None,
        }
    }

    const fn recycled_interpreter(name: &'static str, real: Real) -> Row {
        Row {
            name,
            unit: Quantity::Nanoseconds,
            measure: Measure::RecycledInterpreter(real),
            needs: Some(real),
        }
    }

    const fn process(name: &'static str, program: Program) -> Row {
        Row {
            name,
            unit: Quantity::Nanoseconds,
            measure: Measure::Process(program),
            needs: None,
        }
    }

    const fn serve(name: &'static str, load: Load, figure: Figure) -> Row {
        Row {
            name,
            unit: Quantity::Nanoseconds,
            measure: Measure::Serve(load, figure),
            needs: None,
        }
    }

    /// The same row, to be left out where this component is not there.
    const fn of(self, real: Real) -> Row {
        Row {
            needs: Some(real),
            ..self
        }
    }

    /// What the row needs and is not there.
    pub(crate) fn missing(&self, bench: &Bench) -> Option<String> {
        let real = self.needs.filter(|real| !real.path().exists());
        match (real, self.measure) {
            (Some(real), _) => Some(format!("no `{}`", real.path().display())),
            (None, Measure::Process(_) | Measure::Serve(..)) => bench.commands.missing(),
            (None, _) => None,
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
            Measure::Amount { ours, theirs } => {
                ours(&bench.ours).and_then(|ours| Ok(Pair::of(ours, theirs(&bench.theirs)?)))
            }
            #[cfg(feature = "async")]
            Measure::Tasks { ours, theirs } => ours(&bench.ours)
                .and_then(|ours| interleaved(ours, theirs(&bench.their_tasks)?, OFTEN)),
            #[cfg(feature = "async")]
            Measure::TasksAmount { ours, theirs } => {
                ours(&bench.ours).and_then(|ours| Ok(Pair::of(ours, theirs(&bench.their_tasks)?)))
            }
            Measure::Computation(computation) => bench.compute(computation),
            Measure::Programs => bench.programs(),
            Measure::Fresh => work::instantiate(&bench.our_fresh)
                .and_then(|ours| interleaved(ours, work::instantiate(&bench.theirs)?, OFTEN)),
            Measure::Recycled(served) => work::recycled(&bench.ours, served).and_then(|ours| {
                interleaved(ours, work::recycled(&bench.their_pool, served)?, OFTEN)
            }),
            Measure::RecycledInterpreter(real) => work::recycled_interpreter(&bench.ours, real)
                .and_then(|ours| {
                    let theirs = work::recycled_interpreter(&bench.their_pool, real)?;
                    interleaved(ours, theirs, OFTEN)
                }),
            Measure::RecycledThreads(served) => work::recycled_threads(&bench.ours, served)
                .and_then(|ours| {
                    let theirs = work::recycled_threads(&bench.their_pool, served)?;
                    Ok(Pair::of(ours, theirs))
                }),
            Measure::InterruptCost => interrupt_cost(&bench.our_interruptible, &bench.ours)
                .and_then(|ours| {
                    let theirs = interrupt_cost(&bench.their_interruptible, &bench.theirs)?;
                    Ok(Pair::of(ours, theirs))
                }),
            Measure::Process(program) => bench.commands.measure(program),
            Measure::Serve(load, figure) => bench.commands.measure_servers(load, figure),
        };
        pair.with_context(|| format!("cannot measure `{}`", self.name))
    }
}

impl Quantity {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Quantity::Nanoseconds => "ns",
            Quantity::Bytes => "bytes",
            Quantity::Ratio => "ratio",
        }
    }

    /// A figure for people to read.
    pub(crate) fn show(self, figure: f64) -> String {
        let scales: &[(f64, &str)] = match self {
            Quantity::Nanoseconds => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
            Quantity::Bytes => &[(1e6, "MB"), (1e3, "KB"), (1.0, "B")],
            Quantity::Ratio => return format!("{figure:.3}"),
        };
        let fits = scales.iter().find(|(scale, _)| figure.abs() >= *scale);
        let (scale, name) = fits.or(scales.last()).copied().unwrap_or((1.0, ""));
        format!("{:.2} {name}", figure / scale)
    }
}

impl Bench {
    /// Makes both engines, beside these commands.
    ///
    /// # Errors
    /// If one cannot be made.
    pub(crate) fn new(commands: Commands) -> Result<Bench> {
        Ok(Bench {
            ours: Side::new(Mode::Plain)?,
            theirs: Side::new(Mode::Plain)?,
            our_interruptible: Side::new(Mode::Interruptible)?,
            their_interruptible: Side::new(Mode::Interruptible)?,
            our_fresh: Side::new(Mode::Fresh)?,
            their_pool: Side::new(Mode::Pooling)?,
            #[cfg(feature = "async")]
            their_tasks: Side::new(Mode::Tasks)?,
            commands,
            computed: RefCell::default(),
        })
    }

    /// Measures a component that computes, once.
    fn compute(&self, computation: &'static Computation) -> Result<Pair> {
        let known = |(other, pair): &(&Computation, Pair)| (*other == computation).then_some(*pair);
        if let Some(pair) = self.computed.borrow().iter().find_map(known) {
            return Ok(pair);
        }
        let ours = compute(&self.ours, computation)?;
        let pair = interleaved(ours, compute(&self.theirs, computation)?, COMPUTATIONS)?;
        self.computed.borrow_mut().push((computation, pair));
        Ok(pair)
    }

    /// The geometric mean of the programs' ratios, beside Wasmtime's, which is one.
    fn programs(&self) -> Result<Pair> {
        let ratio = |program| Ok(self.compute(program)?.ratio());
        let ratios: Vec<f64> = PROGRAMS.iter().map(ratio).collect::<Result<_>>()?;
        Ok(Pair::of(geometric_mean(&ratios), 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_fitting_units() {
        assert_eq!(Quantity::Nanoseconds.show(1.5), "1.50 ns");
        assert_eq!(Quantity::Nanoseconds.show(0.5), "0.50 ns");
        assert_eq!(Quantity::Nanoseconds.show(31_200.0), "31.20 µs");
        assert_eq!(Quantity::Bytes.show(5_400_000.0), "5.40 MB");
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<_> = rows().map(|row| row.name).collect();
        assert_eq!(names.len(), rows().count());
    }
}
