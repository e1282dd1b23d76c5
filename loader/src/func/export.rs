//! Names of functions that are called, for spans.

use std::fmt;

use cwasm_format::escape;
use cwasm_format::exports::kind;

use crate::vm::canon::CallTarget;
use crate::vm::store::StoreOpaque;

/// Prints the path of the export that is called; nothing if it is not known, or `store` is not its
/// store. Any text, as a guest chooses its names.
pub(super) struct ExportName<'a> {
    store: &'a StoreOpaque,
    target: &'a CallTarget,
}

/// The name of a function that is called in this store.
pub(super) fn name<'a>(store: &'a StoreOpaque, target: &'a CallTarget) -> ExportName<'a> {
    ExportName { store, target }
}

impl fmt::Display for ExportName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExportName { store, target } = self;
        if target.owner != store.id() {
            return Ok(());
        }
        let unit = store.instance(target.instance).unit();
        let artifact = unit.artifact();
        let lifts = artifact.lifts();
        let is_called = |index: u32| {
            let lift = lifts.get(index as usize);
            // A thunk may be that of several functions, of the same type.
            lift.is_some_and(|lift| {
                unit.text().get(lift.thunk) == Some(target.code)
                    && (lift.task, lift.func_type) == (target.task, target.func_type)
            })
        };
        let mut exports = artifact.exports().iter();
        let found = exports.find(|export| export.kind == kind::FUNC && is_called(export.index));
        match found.and_then(|export| artifact.string(export.name)) {
            Some(name) => write!(f, "{}", escape::name(name)),
            None => Ok(()),
        }
    }
}
