//! Names of functions, for backtraces, debuggers and profilers.

use cwasm_format::header::SectionId;
use cwasm_format::names;
use cwasm_format::write::{Contents, Symbol};

use super::parts::Parts;
use crate::ir::symbol::Form;
use crate::link::Text;
use crate::plan::ResourceOp;
use crate::work::Entry;

/// Names for backtraces, symbols for debuggers and profilers.
pub(super) fn debug(parts: &Parts<'_, '_>, text: &Text, contents: &mut Contents) {
    let names: Vec<String> = parts
        .compiled
        .entries()
        .map(|entry| entry_name(parts, entry))
        .collect();
    // In backtraces only what the module names is a name.
    let known: Vec<&str> = parts
        .compiled
        .entries()
        .zip(&names)
        .map(|(entry, name)| match entry {
            Entry::Core { instance, index } => {
                let module = parts.unit.envs[*instance as usize].module;
                module
                    .func_names
                    .get(*index as usize)
                    .copied()
                    .unwrap_or_default()
            }
            _ => name.as_str(),
        })
        .collect();
    contents.set(SectionId::Names, names::encode(known.into_iter()));
    contents.symbols = names
        .iter()
        .zip(&text.offsets)
        .zip(&parts.compiled.functions)
        .map(|((name, offset), function)| Symbol {
            name: name.clone(),
            offset: *offset,
            size: function.code.len() as u32,
        })
        .collect();
}

/// The name of an entry as a symbol.
pub(crate) fn entry_name(parts: &Parts<'_, '_>, entry: &Entry) -> String {
    let core_name = |instance: u32, index: u32| {
        let module = parts.unit.envs[instance as usize].module;
        match module.func_names.get(index as usize) {
            Some(name) if !name.is_empty() => (*name).to_owned(),
            _ => format!("core[{instance}].func[{index}]"),
        }
    };
    match entry {
        Entry::Core { instance, index } => core_name(*instance, *index),
        Entry::Lower(index) => {
            let import = parts.plan.lowers[*index as usize].import;
            format!("lower[{}]", parts.plan.imports[import as usize].path)
        }
        Entry::Adapter(index) => format!("adapter[{index}]"),
        Entry::Resource(index) => {
            let func = &parts.plan.resource_funcs[*index as usize];
            let op = match func.op {
                ResourceOp::New => "new",
                ResourceOp::Rep => "rep",
                ResourceOp::Drop => "drop",
            };
            format!("resource.{op}[{index}]")
        }
        Entry::Handle(op) => format!("handle[{}]", op.name()),
        Entry::Copy(func) => {
            let form = match func.form {
                Form::Flat => "flat",
                Form::Memory => "memory",
            };
            let ty = func.ty.map_or("string".to_owned(), |ty| ty.to_string());
            format!("copy.{form}[{}.{ty}]", func.direction)
        }
        Entry::Thunk { func, .. } => {
            let callee = &parts.list.entries[func.0 as usize];
            format!("thunk[{}]", entry_name(parts, callee))
        }
        Entry::ArrayThunk(ty) => format!("array_thunk[{ty}]"),
        Entry::HostFunc(ty) => format!("host_func[{ty}]"),
        Entry::Bridge(index) => format!("bridge[{index}]"),
        Entry::Init(0) => "init".to_owned(),
        Entry::Init(number) => format!("init[{number}]"),
        Entry::Builtin(builtin) => format!("builtin[{}]", builtin.name()),
    }
}
