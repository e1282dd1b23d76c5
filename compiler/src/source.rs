//! Where a function of an artifact comes from in the input.

use std::ops::Range;

use crate::debug::demangle::demangle;
use crate::module::Module;
use crate::originals::Original;
use crate::plan::Plan;

/// The WebAssembly of a core function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSource {
    /// Its name as people write it; empty if its module gives it none.
    pub name: String,
    /// Byte range of its body in the input: its locals and operators.
    pub body: Range<u64>,
    /// Byte range in the input of the core module that it is a part of.
    pub module: Range<u64>,
    /// Where the body was before the module was rewritten, if it was.
    original: Option<Original>,
}

impl FunctionSource {
    /// Where a byte of the body was in the core module as it was given: in a program of WASI
    /// preview 1, before it was rewritten. Both are offsets from the start of the module.
    pub fn original(&self, offset: u64) -> u64 {
        let start = self.body.start - self.module.start;
        let inside = offset.checked_sub(start);
        let inside = inside.and_then(|inside| u32::try_from(inside).ok());
        match (&self.original, inside) {
            (Some(original), Some(inside)) => {
                u64::from(original.start) + u64::from(original.offset(inside))
            }
            _ => offset,
        }
    }
}

/// Finds function `index` of core instance `instance`. `modules` are those of the input.
pub(crate) fn find(
    plan: &Plan,
    modules: &[Module<'_>],
    instance: u32,
    index: u32,
) -> Option<FunctionSource> {
    let planned = plan.instances.get(instance as usize)?;
    let module = modules.get(planned.module.0 as usize)?;
    let place = index.checked_sub(module.imported_funcs)?;
    let body = module.bodies.get(place as usize)?;
    let name = module.func_names.get(index as usize);
    Some(FunctionSource {
        name: demangle(name.copied().unwrap_or_default()).into_owned(),
        body: body.body.range(),
        module: module.range.clone(),
        original: module
            .originals
            .as_ref()
            .and_then(|originals| originals.function(place as usize).cloned()),
    })
}
