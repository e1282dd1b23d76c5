//! A command that runs, and what goes through its pipes.

use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::super::guest;
use super::{LIMIT, Pipe};

/// The most output that is kept.
const MAX_OUTPUT: usize = 16 << 20;

/// How much of the standard error is shown: of its beginning, as a backtrace follows the message.
const SHOWN: usize = 600;

/// How long a program that still runs has to say why it failed: a server tells others first.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A command; it is ended when this is dropped.
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Output,
    stderr: Output,
}

impl Process {
    /// Starts a command that has no more rights than a user's.
    pub(super) fn start(mut command: Command) -> io::Result<Process> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = guest::in_thread(|| {
            forbid_rights();
            command.spawn()
        });
        let mut child = started.map_err(io::Error::other)??;
        Ok(Process {
            stdin: child.stdin.take(),
            stdout: Output::of(child.stdout.take()),
            stderr: Output::of(child.stderr.take()),
            child,
        })
    }

    fn output(&mut self, pipe: Pipe) -> Result<&mut Output, String> {
        match pipe {
            Pipe::Stdin => Err("found stdin, expected stdout or stderr".to_owned()),
            Pipe::Stdout => Ok(&mut self.stdout),
            Pipe::Stderr => Ok(&mut self.stderr),
        }
    }

    /// Reads so many bytes; fewer, if the program closes the pipe.
    pub(super) fn read(&mut self, pipe: Pipe, count: usize) -> Result<Vec<u8>, String> {
        self.output(pipe)?
            .take(|bytes| (bytes.len() >= count).then_some(count))
    }

    /// Reads a line, without its end.
    pub(super) fn line(&mut self, pipe: Pipe) -> Result<String, String> {
        let end = |bytes: &[u8]| Some(bytes.iter().position(|byte| *byte == b'\n')? + 1);
        let line = self.output(pipe)?.take(end)?;
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    pub(super) fn kill(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Ends the input, and waits for the end: the exit code, or what it ended by.
    pub(super) fn wait(&mut self) -> Result<i32, String> {
        drop(self.stdin.take());
        let end = Instant::now() + LIMIT;
        loop {
            let exit = self.child.try_wait();
            if let Some(exit) = exit.map_err(|error| format!("found {error}"))? {
                return code_of(exit);
            }
            if Instant::now() > end {
                return Err(format!("found no end after {} s", LIMIT.as_secs()));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What the program says about its failure, on standard error. It is ended, if it is not yet.
    pub(super) fn errors(&mut self) -> String {
        if let Ok(None) = self.child.try_wait() {
            thread::sleep(LAST_WORDS);
        }
        drop(self.child.kill());
        drop(self.child.wait());
        // A process of the program's own may hold the pipe; then this is what is there by now.
        drop(self.stderr.take(|_| None));
        let state = self.stderr.state();
        let shown = &state.bytes[..state.bytes.len().min(SHOWN)];
        String::from_utf8_lossy(shown).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn code_of(exit: ExitStatus) -> Result<i32, String> {
    let signal = || format!("found signal {}", exit.signal().unwrap_or_default());
    exit.code().ok_or_else(signal)
}

/// Takes from this thread, and from what it starts, what lets root open files whose permissions
/// forbid it, as [`guest::in_thread`] does for itself: a process of root would get it again.
fn forbid_rights() {
    for right in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
        // Users may not do so, and need not.
        let _ = remove_capability_from_bounding_set(right);
    }
}

/// What a program writes: a thread collects it, so that the program never waits for its reader.
struct Output {
    shared: Arc<Shared>,
    /// How much of it was taken.
    taken: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    is_closed: bool,
}

impl Output {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Output {
        let shared = Arc::new(Shared::default());
        let collected = Arc::clone(&shared);
        thread::spawn(move || {
            if let Some(mut pipe) = pipe {
                collected.collect(&mut pipe);
            }
            collected.state().is_closed = true;
            collected.changed.notify_all();
        });
        Output { shared, taken: 0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Takes as much as `end` finds, once it finds something, or all once the pipe is closed.
    fn take(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> Result<Vec<u8>, String> {
        let limit = Instant::now() + LIMIT;
        let mut state = self.shared.state();
        loop {
            let rest = &state.bytes[self.taken..];
            let count = end(rest).or_else(|| state.is_closed.then_some(rest.len()));
            if let Some(count) = count {
                let taken = rest[..count].to_vec();
                self.taken += count;
                return Ok(taken);
            }
            let time = limit.saturating_duration_since(Instant::now());
            if time.is_zero() {
                let found = String::from_utf8_lossy(rest);
                return Err(format!("found {found:?} after {} s", LIMIT.as_secs()));
            }
            let waited = self.shared.changed.wait_timeout(state, time);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self, pipe: &mut impl Read) {
        let mut piece = vec![0; 64 << 10];
        loop {
            match pipe.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => {
                    let mut state = self.state();
                    let room = MAX_OUTPUT.saturating_sub(state.bytes.len());
                    state.bytes.extend_from_slice(&piece[..count.min(room)]);
                    self.changed.notify_all();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}
