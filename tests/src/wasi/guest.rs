//! One program, in a thread and a store of its own.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use cwasm::{Component, Linker, Store, TrapCode};
use cwasm_wasi::{DirPerms, Exit, FilePerms, OutputBuffer, Stdin, Stdout, WasiCtx, WasiCtxBuilder};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::components::{self, Network};
use super::http::FORBIDDEN;
use crate::artifact::Workshop;

/// How long a program may run.
const LIMIT: Duration = Duration::from_secs(60);

/// The most output that is kept.
const MAX_OUTPUT: usize = 16 << 20;

/// How much of the standard error is shown.
const TAIL: usize = 600;

/// Stack of a thread that runs a program.
const STACK_SIZE: usize = 8 << 20;

/// What a program is given.
pub(super) struct Setup {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// The folder that is `/`.
    pub(super) folder: Option<PathBuf>,
    pub(super) stdin: Stdin,
    /// Where its output goes, if not to memory.
    pub(super) stdout: Option<Stdout>,
    /// Whether its clocks are those of `api_time`.
    pub(super) clocks: bool,
    pub(super) network: Network,
}

/// What a program did.
pub(super) struct Found {
    /// Its exit code, or why it stopped.
    pub(super) exit_code: Result<u8, String>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Found {
    /// A message with the end, what was expected, and the last of the standard error.
    pub(super) fn with_stderr(&self, expected: String) -> String {
        let found = match &self.exit_code {
            Ok(code) => format!("exit code {code}"),
            Err(message) => message.clone(),
        };
        let tail = &self.stderr[self.stderr.len().saturating_sub(TAIL)..];
        let tail = String::from_utf8_lossy(tail);
        match tail.trim() {
            "" => format!("found {found}, {expected}"),
            tail => format!("found {found}, {expected}; its standard error: {tail:?}"),
        }
    }
}

/// Runs a program.
///
/// # Errors
/// If it cannot be started.
pub(super) fn run(
    workshop: &Workshop,
    component: &Component,
    setup: Setup,
) -> Result<Found, String> {
    let (stdout, stderr) = (OutputBuffer::new(MAX_OUTPUT), OutputBuffer::new(MAX_OUTPUT));
    let wasi = setup.wasi(&stdout, &stderr);
    let wasi = wasi.map_err(|error| format!("no folder: {error}"))?;
    let exit_code = in_thread(|| run_here(workshop, component, wasi))?;
    Ok(Found {
        exit_code: exit_code?,
        stdout: stdout.take(),
        stderr: stderr.take(),
    })
}

fn run_here(
    workshop: &Workshop,
    component: &Component,
    wasi: WasiCtx,
) -> Result<Result<u8, String>, String> {
    let (mut store, linker) = store(workshop, wasi).map_err(|error| error.to_string())?;
    let command = cwasm_wasi::Command::instantiate(&mut store, component, &linker);
    let command = match command {
        Ok(command) => command,
        Err(error) => {
            return ended(&error)
                .map(Ok)
                .map_err(|error| format!("found {error}"));
        }
    };
    Ok(match command.wasi_cli_run().call_run(&mut store) {
        Ok(result) => Ok(u8::from(result.is_err())),
        Err(error) => ended(&error),
    })
}

/// A store whose deadline is [`LIMIT`] from now, and a linker with all of WASI.
pub(super) fn store(
    workshop: &Workshop,
    mut wasi: WasiCtx,
) -> cwasm::Result<(Store<WasiCtx>, Linker<WasiCtx>)> {
    wasi.set_deadline(Some(LIMIT));
    let mut linker = Linker::new(workshop.engine());
    cwasm_wasi::add_to_linker(&mut linker, |wasi| wasi)?;
    cwasm_wasi::http::add_to_linker(&mut linker, |wasi| wasi)?;
    let mut store = Store::new(workshop.engine(), wasi);
    store.set_deadline(Some(Instant::now() + LIMIT))?;
    Ok((store, linker))
}

/// The exit code with which a call has ended; else what the error is.
fn ended(error: &cwasm::Error) -> Result<u8, String> {
    if let Some(exit) = error.downcast_ref::<Exit>() {
        return Ok(exit.code);
    }
    let waits = error.downcast_ref::<io::Error>();
    let is_late = error
        .trap()
        .is_some_and(|trap| trap.code() == TrapCode::Interrupt)
        || waits.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
    match is_late {
        true => Err(format!("no end after {} s", LIMIT.as_secs())),
        false => Err(error.to_string()),
    }
}

/// Runs something in a thread that has no more rights than a user.
pub(super) fn in_thread<R: Send>(operation: impl FnOnce() -> R + Send) -> Result<R, String> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(STACK_SIZE);
        let started = builder.spawn_scoped(scope, || {
            drop_rights();
            operation()
        });
        let started = started.map_err(|error| format!("no thread: {error}"))?;
        let result = started.join();
        result.map_err(|panic| super::message_of(&*panic))
    })
}

/// Takes from this thread what lets root open files whose permissions forbid it: programs test that
/// they cannot. Other users do not have it.
fn drop_rights() {
    let rights = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    if let Ok(mut sets) = capabilities(None)
        && sets.effective.intersects(rights)
    {
        sets.effective -= rights;
        set_capabilities(None, sets).expect("a thread may give up its rights");
    }
}

impl Setup {
    fn wasi(self, stdout: &OutputBuffer, stderr: &OutputBuffer) -> io::Result<WasiCtx> {
        let mut builder = WasiCtxBuilder::new()
            .args(self.args)
            .envs(self.env)
            .stdin(self.stdin)
            .stdout(self.stdout.unwrap_or_else(|| stdout.clone().into()))
            .stderr(stderr.clone());
        if let Some(folder) = self.folder {
            builder = builder.preopened_dir(folder, "/", DirPerms::all(), FilePerms::all())?;
        }
        if self.clocks {
            builder = components::replace_clocks(builder);
        }
        let builder = builder.http_forbidden_headers(|name| name == FORBIDDEN);
        Ok(self.network.allow(builder).build())
    }
}
