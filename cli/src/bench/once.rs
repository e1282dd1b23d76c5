//! One run: each phase after the other.

use std::path::Path;

use cwasm::{Engine, Error, InstancePre, Result};
use cwasm_wasi::WasiCtx;
use serde::{Deserialize, Serialize};

use super::phase::{Cost, Meter, Phase};
use super::subject::{Subject, Target};
use crate::args::BenchArgs;
use crate::{load, output};

/// Later calls are measured together, about this long, as the clock alone takes a part of a
/// microsecond.
const BATCH_NS: f64 = 50_000.0;

/// The most calls that are measured together.
const MAX_BATCH: f64 = 1000.0;

/// What a run cost, as far as it went.
#[derive(Default)]
pub(super) struct Once {
    pub(super) costs: Vec<(Phase, Cost)>,
    /// Why it went no further.
    pub(super) error: Option<Error>,
}

/// A run as a fresh process prints it.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) costs: Vec<(Phase, Cost)>,
    pub(super) error: Option<String>,
}

impl Once {
    /// Does a phase; nothing if an earlier one failed.
    fn phase<T>(
        &mut self,
        meter: &Meter,
        phase: Phase,
        work: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        if self.error.is_some() {
            return None;
        }
        let result = meter.measure(work).and_then(|(result, cost)| {
            self.costs.push((phase, cost));
            result
        });
        result.map_err(|error| self.error = Some(error)).ok()
    }

    /// Everything, from the file to the end of its mapping.
    pub(super) fn whole(meter: &Meter, engine: &Engine, subject: &Subject<'_>) -> Once {
        let mut once = Once::default();
        let component = once.phase(meter, Phase::Map, || load::map(engine, subject.artifact));
        let Some(component) = component else {
            return once;
        };
        once.mapped(meter, engine, subject, component);
        once
    }

    fn mapped(
        &mut self,
        meter: &Meter,
        engine: &Engine,
        subject: &Subject<'_>,
        component: cwasm::Component,
    ) {
        let linked = self.phase(meter, Phase::Link, || subject.link(engine, &component));
        let Some(linked) = linked else { return };
        self.instance(meter, subject, &linked);
        self.phase(meter, Phase::Unmap, || {
            drop((linked, component));
            Ok(())
        });
    }

    /// An instance of what is linked already.
    pub(super) fn instance(
        &mut self,
        meter: &Meter,
        subject: &Subject<'_>,
        linked: &InstancePre<WasiCtx>,
    ) {
        let made = self.phase(meter, Phase::Instantiate, || subject.instantiate(linked));
        let Some((mut store, instance)) = made else {
            return;
        };
        let target = &subject.target;
        if !matches!(target, Target::Nothing) {
            let callee = self.phase(meter, Phase::FirstCall, || {
                let callee = target.look_up(&mut store, &instance)?;
                target.call(&mut store, &callee)?;
                Ok(callee)
            });
            if let Some(callee) = callee.filter(|_| target.is_repeated()) {
                let later = calls(meter, 1, || target.call(&mut store, &callee));
                let later = later.and_then(|first| {
                    let count = (BATCH_NS / first.ns.max(1.0)).clamp(1.0, MAX_BATCH) as u32;
                    match count {
                        // A long call is measured alone.
                        1 => Ok(first),
                        _ => calls(meter, count, || target.call(&mut store, &callee)),
                    }
                });
                match later {
                    Ok(cost) => self.costs.push((Phase::LaterCall, cost)),
                    Err(error) => self.error = Some(error),
                }
            }
        }
        self.phase(meter, Phase::Drop, || {
            drop(store);
            Ok(())
        });
    }
}

/// The cost of each of some calls.
fn calls(meter: &Meter, count: u32, mut call: impl FnMut() -> Result<()>) -> Result<Cost> {
    let (result, cost) = meter.measure(|| (0..count).try_for_each(|_| call()))?;
    result.map(|()| cost.of_each(count))
}

/// One run in this process, which was started for it: prints what it cost.
pub(super) fn child(args: &BenchArgs, artifact: &Path) -> Result<()> {
    let meter = Meter::new()?;
    let engine = Engine::new(&cwasm::Config::new())?;
    let file = args.files.first().map_or(artifact, |file| file);
    let mut once = Once::default();
    if let Some(component) = once.phase(&meter, Phase::Map, || load::map(&engine, artifact)) {
        // What a host would know when it was built: not in any phase.
        let target = Target::find(&component, args, file)?;
        let subject = Subject {
            artifact,
            file,
            target,
            args,
        };
        once.mapped(&meter, &engine, &subject, component);
    }
    let line = Line {
        costs: once.costs,
        error: once.error.map(|error| error.to_string()),
    };
    output::print_json(&serde_json::to_string(&line)?)
}
