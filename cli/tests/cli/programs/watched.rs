//! What a process takes of the system while it runs.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use super::bash;
use crate::support::{Folder, Ran};

/// The most that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    /// Memory, in bytes.
    pub(super) memory: u64,
    pub(super) descriptors: usize,
    pub(super) threads: u64,
}

/// Runs a command, looking at it all the time.
pub(super) fn watched(folder: &Folder, command: &str) -> (Ran, Peak) {
    let mut bash = bash(folder, &format!("exec {command}"));
    let (out, err) = (folder.path("watched.out"), folder.path("watched.err"));
    bash.stdout(fs::File::create(&out).unwrap());
    bash.stderr(fs::File::create(&err).unwrap());
    let mut child = bash.stdin(Stdio::null()).spawn().unwrap();
    let process = format!("/proc/{}", child.id());
    let mut peak = Peak::default();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let status = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let descriptors = fs::read_dir(format!("{process}/fd"));
        peak = Peak {
            memory: peak.memory.max(number("VmHWM:") << 10),
            descriptors: peak.descriptors.max(descriptors.map_or(0, Iterator::count)),
            threads: peak.threads.max(number("Threads:")),
        };
        thread::sleep(Duration::from_millis(1));
    };
    let ran = Ran(std::process::Output {
        status,
        stdout: fs::read(out).unwrap(),
        stderr: fs::read(err).unwrap(),
    });
    (ran, peak)
}
