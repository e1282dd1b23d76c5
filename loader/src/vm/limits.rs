//! Limits of what the guests of a store use.

use crate::artifact::plan::InstancePlan;
use crate::error::{Error, Result};
use crate::vm::mappings::{PER_RESERVATION, PER_RUN};
use crate::vm::table::MAX_ELEMENTS;

/// Limits of what the guests of a store use; set with
/// [`Store::set_limits`](crate::Store::set_limits).
///
/// ```
/// let mut limits = cwasm::StoreLimits::new();
/// limits.memory_size(16 << 20).instances(1);
/// let mut store = cwasm::Store::new(&cwasm::Engine::default(), ());
/// store.set_limits(limits);
/// assert_eq!(store.limits().get_memory_size(), 16 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    memory_size: u64,
    table_elements: u64,
    instances: usize,
    memories: usize,
    tables: usize,
    mappings: usize,
    lift_size: usize,
    handles: u32,
    tasks: usize,
    async_stacks: usize,
    exception_size: usize,
    error_context_size: usize,
}

impl Default for StoreLimits {
    fn default() -> StoreLimits {
        StoreLimits {
            memory_size: 16 << 30,
            table_elements: MAX_ELEMENTS,
            instances: 10_000,
            memories: 10_000,
            tables: 10_000,
            mappings: 20_000,
            lift_size: 128 << 20,
            handles: 1 << 20,
            tasks: 1 << 20,
            async_stacks: 10_000,
            exception_size: 16 << 20,
            error_context_size: 1 << 20,
        }
    }
}

impl StoreLimits {
    /// The default limits, which are documented at each method.
    pub fn new() -> StoreLimits {
        StoreLimits::default()
    }

    /// Sets how large each linear memory may be, in bytes, those of the host included
    /// ([`SharedMemory`](crate::SharedMemory) aside, which belongs to no store); 16 GiB by default,
    /// which is as much as a memory with 64-bit addresses reserves if it may grow without limit. A
    /// memory that starts larger cannot be made or instantiated; growing beyond the limit fails,
    /// which the guest sees.
    pub fn memory_size(&mut self, bytes: u64) -> &mut StoreLimits {
        self.memory_size = bytes;
        self
    }

    /// Sets how many elements each table may have, those of the host included; 10,000,000 by
    /// default, which no table exceeds, even if a higher limit is set. A table that starts with
    /// more cannot be made or instantiated; growing beyond the limit fails, which the guest sees.
    pub fn table_elements(&mut self, count: u64) -> &mut StoreLimits {
        self.table_elements = count;
        self
    }

    /// Sets how many instances of components and core modules the store may have; 10,000 by
    /// default. A component with all its core instances counts as one.
    pub fn instances(&mut self, count: usize) -> &mut StoreLimits {
        self.instances = count;
        self
    }

    /// Sets how many linear memories all instances may define; 10,000 by default.
    pub fn memories(&mut self, count: usize) -> &mut StoreLimits {
        self.memories = count;
        self
    }

    /// Sets how many tables all instances may define; 10,000 by default. Tables that are never
    /// written to do not count, since they take no memory.
    pub fn tables(&mut self, count: usize) -> &mut StoreLimits {
        self.tables = count;
        self
    }

    /// Sets how many mappings of memory all instances may take; 20,000 by default. An operating
    /// system limits those of a process: see [`Config::max_mappings`](crate::Config::max_mappings),
    /// also for what takes how many of them.
    pub fn mappings(&mut self, count: usize) -> &mut StoreLimits {
        self.mappings = count;
        self
    }

    /// Sets how many bytes of host memory the strings and lists may take that are lifted from a
    /// guest in one direction of one call; 128 MiB by default. Elements of a guest's list may all
    /// lie in the same place, so that a few bytes of guest memory could become any number for the
    /// host. A call that needs more fails as if the guest had trapped. [`WasmStr`](crate::WasmStr)
    /// and [`WasmList`](crate::WasmList) take no memory.
    pub fn lift_size(&mut self, bytes: usize) -> &mut StoreLimits {
        self.lift_size = bytes;
        self
    }

    /// Sets how many handles of resources all component instances of the store may have at a time,
    /// counted with the room that their tables have for more; 2^20 by default. Each takes 16 bytes
    /// of host memory. A guest that needs more traps. The specification limits each component
    /// instance to 2^28 - 2.
    pub fn handles(&mut self, count: u32) -> &mut StoreLimits {
        self.handles = count;
        self
    }

    /// Sets how many tasks may be unfinished at a time: calls of functions of components that use
    /// the asynchronous ABI, by guests or the host; 2^20 by default. Each takes about 400 bytes of
    /// host memory. A call of one more fails as if the guest had trapped. What else waits (calls
    /// that a guest has made, its ends of streams and futures, and its sets of these) has
    /// [handles](StoreLimits::handles).
    pub fn tasks(&mut self, count: usize) -> &mut StoreLimits {
        self.tasks = count;
        self
    }

    /// Sets how many tasks may have stacks of their own at a time, as they do in components that
    /// wait in the middle of a function; 10,000 by default. Each takes as many bytes as it uses, of
    /// `Config::async_stack_size`, and two
    /// [mappings](crate::Config::max_mappings). A task that needs one more traps.
    pub fn async_stacks(&mut self, count: usize) -> &mut StoreLimits {
        self.async_stacks = count;
        self
    }

    /// Sets how many bytes of host memory the exceptions may take that guests of the store have
    /// references to; 16 MiB by default. Each takes 64 bytes, and 16 for each value. A guest that
    /// needs more traps. Exceptions that are caught without a reference take nothing.
    pub fn exception_size(&mut self, bytes: usize) -> &mut StoreLimits {
        self.exception_size = bytes;
        self
    }

    /// Sets how many bytes of host memory the messages of [error
    /// contexts](crate::ErrorContext) may take that guests of the store have made; 1 MiB by
    /// default. A message that would exceed it is left out as a whole, as the specification allows.
    pub fn error_context_size(&mut self, bytes: usize) -> &mut StoreLimits {
        self.error_context_size = bytes;
        self
    }

    /// The limit that [`memory_size`](StoreLimits::memory_size) sets.
    pub fn get_memory_size(&self) -> u64 {
        self.memory_size
    }

    /// The limit that [`table_elements`](StoreLimits::table_elements) sets.
    pub fn get_table_elements(&self) -> u64 {
        self.table_elements
    }

    /// The limit that [`instances`](StoreLimits::instances) sets.
    pub fn get_instances(&self) -> usize {
        self.instances
    }

    /// The limit that [`memories`](StoreLimits::memories) sets.
    pub fn get_memories(&self) -> usize {
        self.memories
    }

    /// The limit that [`tables`](StoreLimits::tables) sets.
    pub fn get_tables(&self) -> usize {
        self.tables
    }

    /// The limit that [`mappings`](StoreLimits::mappings) sets.
    pub fn get_mappings(&self) -> usize {
        self.mappings
    }

    /// The limit that [`lift_size`](StoreLimits::lift_size) sets.
    pub fn get_lift_size(&self) -> usize {
        self.lift_size
    }

    /// The limit that [`handles`](StoreLimits::handles) sets.
    pub fn get_handles(&self) -> u32 {
        self.handles
    }

    /// The limit that [`tasks`](StoreLimits::tasks) sets.
    pub fn get_tasks(&self) -> usize {
        self.tasks
    }

    /// The limit that [`async_stacks`](StoreLimits::async_stacks) sets.
    pub fn get_async_stacks(&self) -> usize {
        self.async_stacks
    }

    /// The limit that [`exception_size`](StoreLimits::exception_size) sets.
    pub fn get_exception_size(&self) -> usize {
        self.exception_size
    }

    /// The limit that [`error_context_size`](StoreLimits::error_context_size) sets.
    pub fn get_error_context_size(&self) -> usize {
        self.error_context_size
    }

    /// Checks the number of tasks.
    #[cfg(feature = "async")]
    pub(crate) fn check_tasks(&self, count: usize) -> Result<()> {
        check("tasks", count as u64, self.tasks as u64)
    }

    /// Checks the number of tasks with stacks.
    #[cfg(feature = "async")]
    pub(crate) fn check_async_stacks(&self, count: usize) -> Result<()> {
        check("stacks of tasks", count as u64, self.async_stacks as u64)
    }

    /// The size in bytes that a memory which may get this large may really get.
    pub(crate) fn memory_max(&self, max_byte_len: u64) -> u64 {
        max_byte_len.min(self.memory_size)
    }

    /// The elements that a table which may get so many may really get.
    pub(crate) fn table_max(&self, max: u64) -> u64 {
        max.min(self.table_elements)
    }

    /// Checks the first size of a memory, in bytes.
    pub(crate) fn check_memory(&self, byte_len: u64) -> Result<()> {
        check("bytes of a memory", byte_len, self.memory_size)
    }

    /// Checks the first length of a table.
    pub(crate) fn check_table(&self, len: u64) -> Result<()> {
        check("elements of a table", len, self.table_elements)
    }
}

/// The instances of a store, counted with all that they define.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    instances: usize,
    memories: usize,
    tables: usize,
    mappings: usize,
    /// Handles that the instances' tables have room for.
    pub(crate) handles: u32,
    /// Whether an instance has tags.
    pub(crate) has_tags: bool,
}

impl Usage {
    /// The usage with one more instance by this plan.
    ///
    /// # Errors
    /// The limit that the instance would exceed.
    pub(crate) fn with(&self, plan: &InstancePlan, limits: &StoreLimits) -> Result<Usage> {
        let usage = Usage {
            has_tags: self.has_tags || plan.has_tags,
            instances: self.instances + 1,
            memories: self.memories + plan.memories.len(),
            tables: self.tables + plan.tables.len(),
            mappings: self.mappings
                + PER_RESERVATION * plan.memories.len().max(1)
                + PER_RUN * plan.mapped_runs,
            handles: self.handles,
        };
        check("instances", usage.instances as u64, limits.instances as u64)?;
        check("memories", usage.memories as u64, limits.memories as u64)?;
        check("tables", usage.tables as u64, limits.tables as u64)?;
        check(
            "memory mappings",
            usage.mappings as u64,
            limits.mappings as u64,
        )?;
        let mut memories = plan.memories.iter();
        memories.try_for_each(|memory| limits.check_memory(memory.byte_len as u64))?;
        let mut tables = plan.tables.iter();
        tables.try_for_each(|table| limits.check_table(table.len))?;
        Ok(usage)
    }
}

fn check(what: &'static str, found: u64, limit: u64) -> Result<()> {
    if found > limit {
        return Err(Error::msg(format_args!(
            "the store's limit of {limit} {what} is exceeded: {found} are needed"
        )));
    }
    Ok(())
}

/// The error of a call that needs more memory than [`StoreLimits::lift_size`].
#[cold]
pub(crate) fn too_much_to_lift() -> Error {
    Error::msg(
        "a guest's value takes more of the host's memory than the store's limit (StoreLimits::lift_size)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_can_be_read() {
        let default = StoreLimits::default();
        let mut limits = StoreLimits::new();
        limits
            .memory_size(default.get_memory_size() + 1)
            .table_elements(default.get_table_elements() + 2)
            .instances(default.get_instances() + 3)
            .memories(default.get_memories() + 4)
            .tables(default.get_tables() + 5)
            .mappings(default.get_mappings() + 6)
            .lift_size(default.get_lift_size() + 7)
            .handles(default.get_handles() + 8)
            .error_context_size(default.get_error_context_size() + 9);
        assert_eq!(limits.get_memory_size() - default.get_memory_size(), 1);
        let table_elements = limits.get_table_elements() - default.get_table_elements();
        assert_eq!(table_elements, 2);
        assert_eq!(limits.get_instances() - default.get_instances(), 3);
        assert_eq!(limits.get_memories() - default.get_memories(), 4);
        assert_eq!(limits.get_tables() - default.get_tables(), 5);
        assert_eq!(limits.get_mappings() - default.get_mappings(), 6);
        assert_eq!(limits.get_lift_size() - default.get_lift_size(), 7);
        assert_eq!(limits.get_handles() - default.get_handles(), 8);
        let size = limits.get_error_context_size() - default.get_error_context_size();
        assert_eq!(size, 9);
    }
}
