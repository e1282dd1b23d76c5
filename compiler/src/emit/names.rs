//! Names of functions: for backtraces, and as symbols for debuggers and profilers.
//!
//! A module may give a function any text as its name: an empty one, the name of another function,
//! or one with control characters. Backtraces have the name as people write it; symbols have it as
//! toolchains encode it, which tools decode, in a form that they can show.

use std::borrow::Cow;
use std::collections::HashMap;

use cwasm_format::header::SectionId;
use cwasm_format::names;
use cwasm_format::write::{Contents, Symbol};

use super::parts::Parts;
use crate::debug::demangle::demangle;
use crate::env::MemoryBase;
use crate::error::{Error, Result};
use crate::ir::symbol::Form;
use crate::link::Text;
use crate::plan::ResourceOp;
use crate::work::Entry;

/// The longest symbol in bytes. Of a longer name, a symbol has the start.
const MAX_SYMBOL_LEN: usize = 1000;

/// Sets the section of names and the symbols.
pub(super) fn set(parts: &Parts<'_, '_>, text: &Text, contents: &mut Contents) -> Result<()> {
    let entries = parts.compiled.entries();
    // Backtraces only have names that the module gives.
    let known = entries.map(|entry| match *entry {
        Entry::Core { instance, index } => demangle(given_name(parts, instance, index)),
        _ => entry_name(parts, entry),
    });
    let known: Vec<Cow<'_, str>> = known.chain(owners(parts)).collect();
    let Some(section) = names::encode(known.iter().map(|name| &**name)) else {
        let len = known.iter().map(|name| name.len() as u64).sum();
        return Err(Error::limit("bytes of names", len, u32::MAX.into()));
    };
    contents.set(SectionId::Names, section);
    let functions = parts.compiled.entries().zip(&text.offsets);
    contents.symbols = functions
        .zip(&parts.compiled.functions)
        .map(|((entry, offset), function)| Symbol {
            name: symbol_name(parts, entry),
            offset: *offset,
            size: function.code.len() as u32,
        })
        .collect();
    Ok(())
}

/// The name of an entry as a symbol: of limited length and without control characters. (A zero byte
/// would end it; a line feed would break the output of tools.)
pub(crate) fn symbol_name(parts: &Parts<'_, '_>, entry: &Entry) -> String {
    let name = entry_name(parts, entry);
    let mut symbol = String::new();
    for char in name.chars() {
        if symbol.len() > MAX_SYMBOL_LEN {
            symbol.push_str("...");
            break;
        }
        match char.is_control() {
            true => symbol.extend(char.escape_default()),
            false => symbol.push(char),
        }
    }
    symbol
}

/// The name of an entry as people write it.
pub(crate) fn shown_name<'a>(parts: &Parts<'_, 'a>, entry: &Entry) -> Cow<'a, str> {
    match (entry, entry_name(parts, entry)) {
        (Entry::Core { .. }, Cow::Borrowed(given)) => demangle(given),
        (_, name) => name,
    }
}

/// The names of component and module of each core instance, and then of the core instance that
/// defines each memory.
fn owners<'a>(parts: &Parts<'_, 'a>) -> Vec<Cow<'a, str>> {
    let Parts {
        unit,
        plan,
        modules,
        ..
    } = parts;
    let names = |instance: usize| {
        let planned = &plan.instances[instance];
        let component = planned.component.0;
        let name = plan.component_names.get(component as usize);
        let component = match name.map_or("", |name| name) {
            "" if component != 0 => format!("component[{component}]"),
            name => name.to_owned(),
        };
        [
            Cow::from(component),
            modules[planned.module.0 as usize].name.into(),
        ]
    };
    let mut owner: HashMap<u32, usize> = HashMap::new();
    for (instance, env) in unit.envs.iter().enumerate() {
        for memory in &env.memories {
            if let MemoryBase::First { desc, .. } | MemoryBase::Own { desc } = memory.base {
                // Later instances may import it.
                owner.entry(desc).or_insert(instance);
            }
        }
    }
    let instances = 0..plan.instances.len();
    let memories = unit.memories.iter().map(|memory| owner[&memory.slot]);
    instances.chain(memories).flat_map(names).collect()
}

/// The name that the module gives to a function; empty if it gives none.
fn given_name<'a>(parts: &Parts<'_, 'a>, instance: u32, index: u32) -> &'a str {
    let module = parts.unit.envs[instance as usize].module;
    let name = module.func_names.get(index as usize);
    name.copied().unwrap_or_default()
}

/// The name of an entry.
fn entry_name<'a>(parts: &Parts<'_, 'a>, entry: &Entry) -> Cow<'a, str> {
    let name = match entry {
        Entry::Core { instance, index } => match given_name(parts, *instance, *index) {
            "" => format!("core[{instance}].func[{index}]"),
            name => return Cow::from(name),
        },
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
        Entry::Op(index) => {
            let op = &parts.plan.concurrent.ops[*index as usize];
            format!("{}[{index}]", op.name())
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
        Entry::Steps { start: 0, .. } => "init".to_owned(),
        Entry::Steps { start, .. } => format!("init[{start}]"),
        Entry::Init { first, .. } => format!("init[from {}]", first.0),
        Entry::Builtin(builtin) => format!("builtin[{}]", builtin.name()),
    };
    Cow::from(name)
}
