//! Components that others built with async functions, streams and futures, and what they must do.
//!
//! ```text
//! folder -> cases (which components, how linked, what is called)
//!        -> coverage: is there one for each component, in each way?
//!        -> compose: several nested in one component
//!        -> host: what they import, ready at once, later, or never
//!        -> streams: whose other ends are the host's
//!        -> Report
//! ```
//!
//! Each case runs with several seeds of the schedule: whatever the order, the results are the same.

mod cases;
mod compose;
mod coverage;
mod host;
mod streams;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use cwasm::{Component, Config, Instance, Store};

use crate::Report;
use crate::artifact::Workshop;
pub use cases::Case;
use cases::Part;
use host::{Host, When};

/// How long a case may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The seeds of schedules; with `None`, tasks take turns.
const SEEDS: [Option<u64>; 5] = [None, Some(0), Some(1), Some(2), Some(3)];

/// The cases of a folder of components.
pub fn cases() -> Vec<Case> {
    cases::all()
}

/// What no case runs of a folder of components, though it could.
pub fn coverage(folder: &Path) -> Report {
    coverage::check(folder, &cases())
}

/// Runs a case with components of this folder: in all orders, and with hosts that take all times.
pub fn run(folder: &Path, case: &Case) -> Report {
    let mut report = Report::default();
    let artifacts = match compile(folder, case) {
        Ok(artifacts) => artifacts,
        Err(error) => {
            report.fail(format!("{case}: {error}"));
            return report;
        }
    };
    for seed in SEEDS {
        for when in case.whens() {
            let one = || run_one(&prepare(&artifacts, seed)?, case, *when, seed.unwrap_or(0));
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(one));
            let outcome = outcome.unwrap_or_else(|panic| Err(message_of(&*panic)));
            match outcome {
                Ok(()) => report.passed += 1,
                Err(message) => {
                    report.fail(format!("{case}, host {when:?}, seed {seed:?}: {message}"));
                }
            }
        }
    }
    report
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("found a panic: {}", text.unwrap_or_default())
}

/// The components of a case, the callee first.
struct Prepared {
    workshop: Workshop,
    components: Vec<Component>,
}

/// The artifacts of a case, the callee's first.
fn compile(folder: &Path, case: &Case) -> Result<Vec<Vec<u8>>, String> {
    let read = |name: &str| {
        let path = folder.join(format!("{name}.wasm"));
        std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let binaries = match &case.part {
        Part::Alone(name) => vec![read(name)?],
        Part::Composed { callee, caller } => vec![compose::nest(&read(callee)?, &read(caller)?)?],
        Part::Linked { callee, caller } => vec![read(callee)?, read(caller)?],
    };
    let workshop = Workshop::new();
    let compiled = |binary: &Vec<u8>| workshop.compile(binary).map_err(|error| error.to_string());
    binaries.iter().map(compiled).collect()
}

fn prepare(artifacts: &[Vec<u8>], seed: Option<u64>) -> Result<Prepared, String> {
    let mut config = Config::new();
    if let Some(seed) = seed {
        config.schedule_seed(seed);
    }
    let workshop = Workshop::with_config(&config);
    let mapped = artifacts
        .iter()
        .map(|artifact| workshop.map_component(artifact));
    let components = mapped.collect::<cwasm::Result<Vec<_>>>();
    let components = components.map_err(|error| format!("{error:?}"))?;
    Ok(Prepared {
        workshop,
        components,
    })
}

/// Runs a case once, in a store of its own, whose host functions must all be gone at the end.
fn run_one(prepared: &Prepared, case: &Case, when: When, seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| error.to_string())?;
    let host = Host::new(when, seed);
    let live = host.live();
    let mut store = Store::new(prepared.workshop.engine(), host);
    let result = runtime.block_on(async {
        let instance = instantiate(prepared, &mut store).map_err(|error| format!("{error:?}"))?;
        let call = case.test.run(&mut store, instance, when);
        match tokio::time::timeout(LIMIT, call).await {
            Ok(result) => result,
            Err(_) => Err(format!("no end after {} s", LIMIT.as_secs())),
        }
    });
    let output = store.data().output();
    let result = result.and(store.data_mut().take_problem());
    drop(store);
    match live.count() {
        0 => result.map_err(|message| format!("{message}\n{output}")),
        count => Err(format!(
            "{count} futures of the host are left after the store"
        )),
    }
}

/// The instance of the last component, whose imports are the host's, and the exports of the others.
fn instantiate(prepared: &Prepared, store: &mut Store<Host>) -> cwasm::Result<Instance> {
    let mut linker = host::linker(prepared.workshop.engine())?;
    let (last, others) = match prepared.components.split_last() {
        Some(split) => split,
        None => return Err("there is no component".into()),
    };
    for component in others {
        let callee = linker.instantiate(&mut *store, component)?;
        host::pass_on(&mut linker, store, callee)?;
    }
    linker.instantiate(store, last)
}
