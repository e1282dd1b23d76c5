//! Peak memory of a compilation: each in a child process of its own, which is this program again.

use std::fs;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::measure::median;
use crate::ours::Ours;
use crate::runtime::{Mode, Runtime};
use crate::side::failed;
use crate::theirs::Theirs;

/// The hidden subcommand of child processes.
pub(crate) const COMMAND: &str = "__peak";

/// The child that compiles nothing.
const BASELINE: &str = "baseline";
/// Children of each kind; the median counts.
const CHILDREN: usize = 3;

/// How many bytes compiling the component in `input` takes at its peak, beyond those of a process
/// that only has it in memory.
///
/// # Errors
/// If a child process fails.
pub(crate) fn of_compiling<R: Runtime>(input: &Path, threads: Option<NonZeroUsize>) -> Result<f64> {
    Ok(of_children(R::PREFIX, input, threads)? - of_children(BASELINE, input, threads)?)
}

/// Runs in a child process: does `work` on `input`, then prints the process's own peak.
///
/// # Errors
/// If `work` fails or is not known, or the system does not tell the peak.
pub(crate) fn child(work: &str, input: &Path, threads: Option<NonZeroUsize>) -> Result<u64> {
    let wasm = fs::read(input).with_context(|| format!("cannot read `{}`", input.display()))?;
    match work {
        BASELINE => drop(black_box(wasm)),
        Ours::PREFIX => compile::<Ours>(&wasm, threads)?,
        Theirs::PREFIX => compile::<Theirs>(&wasm, threads)?,
        _ => bail!("no child process does `{work}`"),
    }
    own_peak()
}

fn compile<R: Runtime>(wasm: &[u8], threads: Option<NonZeroUsize>) -> Result<()> {
    let runtime = R::new(Mode::Plain).map_err(failed::<R>)?;
    black_box(runtime.compile(wasm, threads).map_err(failed::<R>)?);
    Ok(())
}

fn of_children(work: &str, input: &Path, threads: Option<NonZeroUsize>) -> Result<f64> {
    let peaks: Result<Vec<f64>> = (0..CHILDREN)
        .map(|_| of_child(work, input, threads))
        .collect();
    Ok(median(peaks?))
}

fn of_child(work: &str, input: &Path, threads: Option<NonZeroUsize>) -> Result<f64> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let output = Command::new(program)
        .args([COMMAND, work])
        .arg(input)
        .args(threads.map(|threads| threads.to_string()))
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

/// The most memory that this process ever had resident, in bytes.
fn own_peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read the own status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.context("the own status tells no peak")?.parse()?;
    Ok(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_peak_is_known() {
        assert!(own_peak().unwrap() > 100_000);
    }
}
