//! The measured operations, declared once: both sides implement them, so both do the same work.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// What an engine is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The defaults.
    Plain,
    /// Code that can be interrupted.
    Interruptible,
    /// Instances that touch each page for the first time: address space is all that is kept of
    /// others.
    Fresh,
    /// Many instances, one after another.
    Pooling,
    /// Components that use the asynchronous ABI.
    #[cfg(feature = "async")]
    Tasks,
}

/// A compiler with its loader: an engine, and a linker that defines the guest's imports.
pub(crate) trait Runtime: Sized + Sync {
    /// Its name in tables and error messages.
    const NAME: &'static str;
    /// The front part of its artifacts' names, and its name for child processes.
    const PREFIX: &'static str;

    /// Its own error, so that nothing is converted while it is timed.
    type Error: Into<anyhow::Error>;
    /// A component whose imports are resolved.
    type Linked: Sync;
    /// An instance of the bench's guest.
    type Instance: Instance<Error = Self::Error>;
    /// An instance of a component that computes.
    type Computer: Computer<Error = Self::Error>;
    /// An instance of a language's interpreter.
    type Interpreter: Interpreter<Error = Self::Error>;
    /// An interpreter's component whose imports are resolved.
    type LinkedInterpreter: Sync;

    /// Makes the engine and the linker.
    fn new(mode: Mode) -> Result<Self, Self::Error>;
    /// Compiles a component with `threads` threads, or all that the machine has.
    fn compile(&self, wasm: &[u8], threads: Option<NonZeroUsize>) -> Result<Vec<u8>, Self::Error>;
    /// Loads an artifact and drops it.
    fn load(&self, artifact: &Path) -> Result<(), Self::Error>;
    /// Loads an artifact and resolves its imports.
    fn link(&self, artifact: &Path) -> Result<Self::Linked, Self::Error>;
    /// Makes an instance in a store of its own, and drops both.
    fn instantiate(&self, linked: &Self::Linked) -> Result<(), Self::Error>;
    /// Makes an instance in a store of its own, calls `run` with this, and drops both.
    fn serve(&self, linked: &Self::Linked, argument: u32) -> Result<u32, Self::Error>;
    /// Loads, links, instantiates, calls `add`, and drops everything.
    fn first_call(&self, artifact: &Path, a: u32, b: u32) -> Result<u32, Self::Error>;
    /// The same with `run`, which small and large components export.
    fn run(&self, artifact: &Path, seed: u32) -> Result<u32, Self::Error>;
    /// An instance of the bench's guest, its typed functions resolved.
    fn guest(&self, artifact: &Path) -> Result<Self::Instance, Self::Error>;
    /// An instance of a component that computes, its export of this name resolved.
    fn computer(&self, artifact: &Path, name: &str) -> Result<Self::Computer, Self::Error>;
    /// Loads an interpreter and resolves its imports: WASI 0.2.
    fn link_interpreter(&self, artifact: &Path) -> Result<Self::LinkedInterpreter, Self::Error>;
    /// An instance of an interpreter, with WASI that allows nothing.
    fn interpreter(
        &self,
        linked: &Self::LinkedInterpreter,
    ) -> Result<Self::Interpreter, Self::Error>;
}

/// An export that computes something by a number, such as how often a loop goes round: a typed
/// call.
pub(crate) trait Computer {
    /// The runtime's own error.
    type Error: Into<anyhow::Error>;

    fn run(&mut self, n: u32) -> Result<u32, Self::Error>;
}

/// The export `sum` of an interpreter's component, a typed call.
pub(crate) trait Interpreter {
    /// The runtime's own error.
    type Error: Into<anyhow::Error>;

    fn sum(&mut self, numbers: &'static [i32]) -> Result<i32, Self::Error>;
}

/// A record as a tuple: 12 bytes in a guest's memory.
pub(crate) type Record = (f32, f32, u8);

/// The exports of `bench.wat`, each a typed call.
pub(crate) trait Instance {
    /// The runtime's own error.
    type Error: Into<anyhow::Error>;

    /// Makes a handle of the export of this name, whose type is `add`'s.
    fn handle(&mut self, name: &str) -> Result<(), Self::Error>;
    fn nop(&mut self) -> Result<(), Self::Error>;
    fn add(&mut self, a: u32, b: u32) -> Result<u32, Self::Error>;
    fn echo(&mut self, text: &'static str) -> Result<String, Self::Error>;
    fn same(&mut self, text: &'static str) -> Result<String, Self::Error>;
    fn list_u8_in(&mut self, bytes: &'static [u8]) -> Result<u32, Self::Error>;
    fn list_u8_out(&mut self, len: u32) -> Result<Vec<u8>, Self::Error>;
    fn records(&mut self, records: &'static [Record]) -> Result<u32, Self::Error>;
    fn run_host_nop(&mut self, n: u32) -> Result<(), Self::Error>;
    fn run_host_add(&mut self, n: u32) -> Result<u32, Self::Error>;
    fn run_host_len(&mut self, n: u32) -> Result<u32, Self::Error>;
}

static HOST_NOP_CALLS: AtomicU32 = AtomicU32::new(0);

/// The host function `nop` of both sides. It counts its calls, to see that all of them arrive, as
/// cheaply as can be: the bench calls it from one thread, so a load and a store will do.
#[inline(always)]
pub(crate) fn host_nop() {
    HOST_NOP_CALLS.store(host_nop_calls().wrapping_add(1), Ordering::Relaxed);
}

/// How often the host function `nop` was called.
pub(crate) fn host_nop_calls() -> u32 {
    HOST_NOP_CALLS.load(Ordering::Relaxed)
}

/// The host function `add` of both sides.
#[inline(always)]
pub(crate) fn host_add(a: u32, b: u32) -> u32 {
    a.wrapping_add(b)
}

/// The host function `len` of both sides, which get the string as one of their own.
#[inline(always)]
pub(crate) fn host_len(text: &str) -> u32 {
    text.len() as u32
}
