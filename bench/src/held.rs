//! Memory of tasks that wait: each in a child process of its own, which is this program again.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::measure::median;
use crate::ours::Ours;
use crate::runtime::{Mode, Runtime};
use crate::side::{check, failed};
use crate::theirs::Theirs;
use crate::waiting::{HELD, Waiter as _, Waits, measured};

/// The hidden subcommand of child processes.
pub(crate) const COMMAND: &str = "__held";

/// Children of each kind; the median counts.
const CHILDREN: usize = 3;

/// Who has called the tasks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum By {
    Host,
    Guest,
}

/// How many bytes each of many tasks takes that wait.
///
/// # Errors
/// If a child process fails.
pub(crate) fn bytes<R: Runtime>(artifact: &Path, by: By) -> Result<f64> {
    let figures: Result<Vec<f64>> = (0..CHILDREN)
        .map(|_| of_child(R::PREFIX, artifact, by))
        .collect();
    Ok(median(figures?))
}

/// Runs in a child process: holds tasks, then says how much memory each takes.
///
/// # Errors
/// If they cannot be held.
pub(crate) fn child(work: &str, artifact: &Path, by: By) -> Result<f64> {
    match work {
        Ours::PREFIX => hold::<Ours>(artifact, by)?,
        Theirs::PREFIX => hold::<Theirs>(artifact, by)?,
        _ => bail!("no child process does `{work}`"),
    }
    match measured()[..] {
        [before, after] => Ok((after as f64 - before as f64) / f64::from(HELD)),
        ref other => bail!("the memory was looked at {} times", other.len()),
    }
}

fn hold<R: Waits>(artifact: &Path, by: By) -> Result<()> {
    let runtime = R::new(Mode::Tasks).map_err(failed::<R>)?;
    let mut waiter = runtime.waiter(artifact).map_err(failed::<R>)?;
    match by {
        By::Host => waiter.hold(HELD).map_err(failed::<R>),
        By::Guest => {
            let held = waiter.run("hold", HELD).map_err(failed::<R>)?;
            check::<R, _>("hold", held, HELD)
        }
    }
}

fn of_child(work: &str, artifact: &Path, by: By) -> Result<f64> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let by = by.to_possible_value().context("a kind without a name")?;
    let output = Command::new(program)
        .args([COMMAND, work])
        .arg(artifact)
        .arg(by.get_name())
        .output()
        .context("cannot start a child process")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the child process for `{work}` failed: {}",
        message.trim()
    );
    let answer = String::from_utf8_lossy(&output.stdout);
    let answer = answer.trim();
    answer
        .parse()
        .with_context(|| format!("a child process answered `{answer}`"))
}
