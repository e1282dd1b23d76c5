//! The inputs of the last stage: all that an artifact is made of.

use crate::isa::Target;
use crate::layout::UnitLayout;
use crate::module::Module;
use crate::options::Debug;
use crate::plan::{ModuleId, Plan};
use crate::work::{Compiled, WorkList};

/// The inputs of the last stage: all that an artifact is made of.
pub(crate) struct Parts<'p, 'a> {
    pub(crate) unit: &'p UnitLayout<'a>,
    pub(crate) plan: &'p Plan,
    /// The modules of the input.
    pub(crate) modules: &'p [Module<'a>],
    /// The artifacts of the modules that the component exports.
    pub(crate) exported: &'p [ExportedModule],
    pub(crate) list: &'p WorkList,
    pub(crate) compiled: &'p Compiled<'p>,
    pub(crate) target: &'p Target,
    /// What is kept for debuggers and backtraces.
    pub(crate) debug: Debug,
}

/// The artifact of a module that the component exports.
pub(crate) struct ExportedModule {
    pub(crate) id: ModuleId,
    pub(crate) bytes: Vec<u8>,
}
