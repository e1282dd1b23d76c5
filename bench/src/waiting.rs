//! Calls that wait, and tasks: the rows `async.*`.

use std::fs;
use std::future::poll_fn;
use std::hint::black_box;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use anyhow::{Context as _, Result};

use crate::guests::Guest;
use crate::held::{self, By};
use crate::measure::{Work, interleaved};
use crate::rows::OFTEN;
use crate::runtime::Runtime;
use crate::side::{Side, check, failed};

/// The length of a chunk of `stream<u8>`.
const CHUNK_LEN: usize = 1 << 16;
/// A chunk at the beginning of a page, as those of guests are.
#[repr(align(4096))]
struct Chunk([u8; CHUNK_LEN]);
static CHUNK: Chunk = Chunk([CHUNK_BYTE; CHUNK_LEN]);

/// A chunk of the host. That it is always the same byte is hidden from the optimiser, which would
/// not copy it.
pub(crate) fn chunk() -> &'static [u8] {
    black_box(&CHUNK.0)
}
/// The byte that the guest's chunks are made of, too, and with which its records start.
const CHUNK_BYTE: u8 = 0x5a;
/// How many records are a chunk.
const RECORDS: u32 = 1000;
/// With this the name in a record starts.
const NAME_BYTE: u8 = b'A';
/// How many tasks wait at a time.
pub(crate) const TOGETHER: u32 = 100;
/// How many tasks wait when their memory is looked at.
pub(crate) const HELD: u32 = 100_000;

/// A runtime whose functions may wait.
pub(crate) trait Waits: Runtime {
    /// An instance of a component that waits.
    type Waiter: Waiter<Error = Self::Error>;

    /// Makes an instance in a store of its own.
    fn waiter(&self, artifact: &Path) -> Result<Self::Waiter, Self::Error>;
}

/// An instance. All calls are futures that one executor polls, the same one on both sides.
pub(crate) trait Waiter {
    /// The runtime's own error.
    type Error: Into<anyhow::Error>;

    /// Calls `add`, a plain function, so many times, each time to add one: the sum.
    fn add(&mut self, calls: u32) -> Result<u32, Self::Error>;
    /// Calls the loop of this name, which goes round so many times.
    fn run(&mut self, name: &str, rounds: u32) -> Result<u32, Self::Error>;
    /// Passes so many chunks of a kind from guest to guest: what the reader answers.
    fn stream(&mut self, kind: u32, chunks: u32) -> Result<u32, Self::Error>;
    /// Passes so many chunks of bytes from the host to a guest: what the reader answers.
    fn stream_in(&mut self, chunks: u32) -> Result<u32, Self::Error>;
    /// Calls so many tasks, [`TOGETHER`] at a time, which wait for the host once each: how many
    /// have returned.
    fn pause(&mut self, tasks: u32) -> Result<u32, Self::Error>;
    /// Calls so many tasks, which wait for ever, and looks at the [memory](measure) before and
    /// after.
    fn hold(&mut self, tasks: u32) -> Result<(), Self::Error>;
}

/// Is pending once.
pub(crate) async fn pause() {
    let mut is_polled = false;
    poll_fn(|context| {
        if is_polled {
            return Poll::Ready(());
        }
        is_polled = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

static NEVER_CALLS: AtomicU32 = AtomicU32::new(0);

/// Is pending for ever, and counts its calls.
pub(crate) async fn never() {
    NEVER_CALLS.fetch_add(1, Ordering::Relaxed);
    std::future::pending().await
}

/// How often [`never`] was called.
pub(crate) fn never_calls() -> u32 {
    NEVER_CALLS.load(Ordering::Relaxed)
}

static MEASURED: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Looks at how much memory of its own the process has resident.
pub(crate) fn measure() {
    let figure = own_memory().unwrap_or_default();
    MEASURED.lock().expect("nobody panics").push(figure);
}

/// What [`measure`] has seen.
pub(crate) fn measured() -> Vec<u64> {
    MEASURED.lock().expect("nobody panics").clone()
}

fn own_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read the own status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.context("the status tells no memory")?.parse()?;
    Ok(kilobytes * 1024)
}

fn waiter<R: Waits>(side: &Side<R>, guest: Guest) -> Result<R::Waiter> {
    let artifact = side.artifact(guest)?;
    side.runtime.waiter(&artifact).map_err(failed::<R>)
}

/// Work that asks a guest for an answer that is a multiple of the rounds.
fn rounds<'a, R: Waits>(
    side: &'a Side<R>,
    guest: Guest,
    what: &'static str,
    run: impl Fn(&mut R::Waiter, u32) -> Result<u32, R::Error> + 'a,
    each: u32,
) -> Result<Work<'a>> {
    let mut waiter = waiter(side, guest)?;
    Ok(Box::new(move |rounds| {
        let rounds = black_box(rounds as u32);
        let answer = run(&mut waiter, rounds).map_err(failed::<R>)?;
        check::<R, _>(what, answer, rounds.wrapping_mul(each))
    }))
}

/// A call that may wait, of a component that never does.
pub(crate) fn call<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    rounds(side, Guest::Add, "add", Waiter::add, 1)
}

/// A call that could have waited.
pub(crate) fn call_on_fiber<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    rounds(side, Guest::Waiting, "add", Waiter::add, 1)
}

/// A host function that may wait, and does not.
pub(crate) fn host_ready<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    let run = |it: &mut R::Waiter, n| it.run("ready", n);
    rounds(side, Guest::Waiting, "ready", run, 1)
}

/// A host function that waits.
pub(crate) fn host_pending<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    let run = |it: &mut R::Waiter, n| it.run("pending", n);
    rounds(side, Guest::Waiting, "pending", run, 1)
}

/// How much longer a host function takes that waits: the guest's stack is left, the executor polls,
/// and the stack is entered.
pub(crate) fn fiber_switch<R: Waits>(side: &Side<R>) -> Result<f64> {
    let pair = interleaved(host_pending(side)?, host_ready(side)?, OFTEN)?;
    Ok(pair.ours - pair.theirs)
}

/// A guest calls a task of another one, which returns at once.
pub(crate) fn guest<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    let run = |it: &mut R::Waiter, n| it.run("add", n);
    rounds(side, Guest::Tasks, "add", run, 1)
}

/// The same, which yields before.
pub(crate) fn guest_wait<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    let run = |it: &mut R::Waiter, n| it.run("later", n);
    rounds(side, Guest::Tasks, "later", run, 1)
}

/// A chunk of bytes between guests.
pub(crate) fn stream_bytes<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    let run = |it: &mut R::Waiter, n| it.stream(0, n);
    let each = CHUNK_LEN as u32 + u32::from(CHUNK_BYTE);
    rounds(side, Guest::Tasks, "stream of bytes", run, each)
}

/// A chunk of records of numbers between guests.
pub(crate) fn stream_records<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    let run = |it: &mut R::Waiter, n| it.stream(1, n);
    let each = RECORDS + u32::from(CHUNK_BYTE);
    rounds(side, Guest::Tasks, "stream of records", run, each)
}

/// The same, with a name in each.
pub(crate) fn stream_names<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    let run = |it: &mut R::Waiter, n| it.stream(2, n);
    let each = RECORDS + u32::from(CHUNK_BYTE) + u32::from(NAME_BYTE);
    rounds(side, Guest::Tasks, "stream of names", run, each)
}

/// A chunk of bytes from the host to a guest.
pub(crate) fn stream_in<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    let each = CHUNK_LEN as u32 + u32::from(CHUNK_BYTE);
    rounds(side, Guest::Tasks, "stream in", Waiter::stream_in, each)
}

/// The time of [`stream_bytes`] as a multiple of the C library's for the same copy.
pub(crate) fn stream_bytes_by_memcpy<R: Waits>(side: &Side<R>) -> Result<f64> {
    Ok(interleaved(stream_bytes(side)?, copies(), OFTEN)?.ratio())
}

/// That of [`stream_in`].
pub(crate) fn stream_in_by_memcpy<R: Waits>(side: &Side<R>) -> Result<f64> {
    Ok(interleaved(stream_in(side)?, copies(), OFTEN)?.ratio())
}

fn copies() -> Work<'static> {
    let mut target = Box::new(Chunk([0; CHUNK_LEN]));
    Box::new(move |calls| {
        for _ in 0..calls {
            black_box(&mut target.0[..]).copy_from_slice(chunk());
        }
        Ok(())
    })
}

/// A task of the host's that waits for the host.
pub(crate) fn tasks<R: Waits>(side: &Side<R>) -> Result<Work<'_>> {
    rounds(side, Guest::Tasks, "pause", Waiter::pause, 1)
}

/// The memory of a task that the host has called, and that waits for the host.
pub(crate) fn task_bytes<R: Waits>(side: &Side<R>) -> Result<f64> {
    held::bytes::<R>(&side.artifact(Guest::Tasks)?, By::Host)
}

/// That of one that a guest has called, and that waits for nothing.
pub(crate) fn guest_task_bytes<R: Waits>(side: &Side<R>) -> Result<f64> {
    held::bytes::<R>(&side.artifact(Guest::Tasks)?, By::Guest)
}
