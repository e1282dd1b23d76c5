//! Core dumps: the state of the guests of a store, as a file that debuggers of WebAssembly read.

mod collect;
mod encode;

use std::io::Write;

use crate::error::{Context as _, Error, Result};
use crate::vm::store::StoreOpaque;
use crate::vm::store_context::AsContext;
use crate::vm::trap::Trap;

use collect::Collected;

/// A core dump of the guests of a store, in the format of WebAssembly's [tool conventions]: the
/// memories and globals of all core instances, and after a trap the functions that were active. To
/// be made at any time while the store is there, after a call has failed as well: what the guests
/// had is theirs until the store is dropped.
///
/// ```no_run
/// # use cwasm::{CoreDump, Result, Store, TypedFunc};
/// # fn example(mut store: Store<()>, run: TypedFunc<(), ()>) -> Result<()> {
/// if let Err(error) = run.call(&mut store, ()) {
///     let mut dump = CoreDump::new(&store);
///     if let Some(trap) = error.trap() {
///         dump.trap(trap)?;
///     }
///     dump.name("app.cwasm");
///     dump.write(std::fs::File::create("app.coredump")?)?;
///     return Err(error);
/// }
/// # Ok(())
/// # }
/// ```
///
/// | item | in the dump |
/// |---|---|
/// | modules | those of all components and modules with an instance, by the name in their name section, or `module[N]` |
/// | instances | each core instance; one without memories and globals stands for an instance of a frame that cannot be told from others of its module |
/// | memories | as large as they are; pages of 4 KiB of zeros have no data, nor have zeros beside them |
/// | globals | immutable, with their values; references are null |
/// | stack | the frames of [`Trap::frames`] by instance, function index and offset in its body (0 without `--debug`); locals are not known |
///
/// Artifacts say where the memories and globals of their core instances are if they were compiled
/// with `--debug`. Of others, the dump has the memories, but no instance says that they are its
/// own, and no globals.
///
/// A guest's memory may hold secrets of its users: a dump is as confidential.
///
/// To have a stack without a trap, stop the guest by an
/// [`InterruptHandle`](crate::InterruptHandle), or by an error of a host function. A trap of
/// instantiation needs [`Store::keep_failed_instances`](crate::Store::keep_failed_instances).
///
/// [tool conventions]: https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md
#[derive(Clone)]
pub struct CoreDump<'s> {
    store: &'s StoreOpaque,
    trap: Option<Trap>,
    name: String,
    max_memory: u64,
}

/// How large a core dump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoreDumpSize {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of memories among them.
    pub memory: u64,
    /// Bytes of memories that were left out, because there are more than
    /// [`CoreDump::max_memory`] or than the format can have (4 GiB): pages of 4 KiB of zeros are
    /// not counted.
    pub left_out: u64,
}

impl std::fmt::Debug for CoreDump<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreDump")
            .field("trap", &self.trap)
            .field("name", &self.name)
            .field("max_memory", &self.max_memory)
            .finish_non_exhaustive()
    }
}

impl<'s> CoreDump<'s> {
    /// A dump of the guests of a store, without a stack.
    pub fn new<T: 'static>(store: &'s impl AsContext<Data = T>) -> CoreDump<'s> {
        CoreDump {
            store: store.as_context().opaque(),
            trap: None,
            name: String::new(),
            max_memory: u64::MAX,
        }
    }

    /// Adds the stack of a trap, which a call or an instantiation in the store has returned.
    ///
    /// # Errors
    /// If it is a trap of another store.
    pub fn trap(&mut self, trap: &Trap) -> Result<&mut CoreDump<'s>> {
        let stack = trap.stack();
        if stack.is_some_and(|stack| stack.store != self.store.id()) {
            return Err(Error::msg("the trap is one of another store"));
        }
        self.trap = Some(trap.clone());
        Ok(self)
    }

    /// Sets the name of the executable, which is any text; empty by default.
    pub fn name(&mut self, name: &str) -> &mut CoreDump<'s> {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets how many bytes of memories the dump has at most; by default as many as the format can
    /// have, about 4 GiB. Pages that are not zero are taken in the order of memories and addresses.
    pub fn max_memory(&mut self, bytes: u64) -> &mut CoreDump<'s> {
        self.max_memory = bytes;
        self
    }

    /// Writes the dump. Memories are not copied for it but written in parts of 64 KiB.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, mut out: impl Write) -> Result<CoreDumpSize> {
        let trap = self.trap.as_ref();
        let stack = trap.and_then(|trap| Some((trap.stack()?, trap.frames())));
        let collected = Collected::of(self.store, stack);
        encode::write(&collected, &self.name, self.max_memory, &mut out)
            .context("cannot write the core dump")
    }
}
