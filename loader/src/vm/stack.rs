//! Where in which instance code was that a trap has stopped: for core dumps.
//!
//! A frame of compiled code does not hold its context; the thunk's does by which wasm was entered.

use crate::artifact::UnitId;
use crate::artifact::registry;
use crate::vm::backtrace::core_function;
use crate::vm::store::StoreOpaque;
use crate::vm::store_id::StoreId;

/// The functions that were active when a guest trapped.
#[derive(Debug)]
pub(crate) struct Stack {
    /// The store of the guest.
    pub(crate) store: StoreId,
    /// The number of the instance that was entered, if it is one of the store.
    pub(crate) entered: Option<InstanceNumber>,
    /// Innermost first.
    pub(crate) frames: Box<[StackFrame]>,
}

/// A core function that was active.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackFrame {
    pub(crate) unit: UnitId,
    pub(crate) core_instance: u32,
    pub(crate) func_index: u32,
}

/// The number of an instance in its store: no two instances of a store have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstanceNumber(pub(crate) u64);

impl Stack {
    /// The stack of these program counters, innermost first, of wasm that was entered with the
    /// context or host function at this address.
    pub(crate) fn new(store: &StoreOpaque, context: usize, pcs: &[usize]) -> Stack {
        let mut instances = store.numbered_instances();
        let entered = instances.find(|(_, data)| data.context().addr().get() == context);
        Stack {
            store: store.id(),
            entered: entered.map(|(number, _)| number),
            frames: pcs.iter().filter_map(|pc| frame(*pc)).collect(),
        }
    }
}

/// The frame whose instruction at `pc` was the last; `None` for thunks, trampolines and the like.
fn frame(pc: usize) -> Option<StackFrame> {
    // The store still holds the instances whose code has run, and they hold their artifacts.
    registry::with_unit(pc, |unit| {
        let index = core_function(unit, unit.text_offset(pc)?)?;
        let function = unit.artifact().functions().get(index)?;
        Some(StackFrame {
            unit: unit.id(),
            core_instance: function.kind >> 8,
            func_index: function.index,
        })
    })?
}
