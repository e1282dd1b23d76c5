//! `cwasm inspect --disassemble`: the machine code of a function.

mod decode;
mod find;
mod listing;
mod operators;

use cwasm::{Error, Result};
use cwasm_format::Artifact;
use cwasm_format::header::{TARGET_X86_64_LINUX, target_name};
use serde::{Serialize, Serializer};

use crate::args::{InspectArgs, default_options};
use crate::code::{Code, Function, FunctionKind};
use crate::elf::Tail;
use crate::input::{Input, Name};
use crate::output;
use decode::Row;
use operators::Operator;

/// A function and its code.
#[derive(Serialize)]
struct Listing {
    /// Its place in the artifact's table of functions.
    number: u32,
    name: String,
    kind: &'static str,
    core_instance: u32,
    index: u32,
    /// Text offset.
    offset: u32,
    size: u64,
    instructions: Vec<Row>,
    /// What it was compiled from; empty if that is not known.
    #[serde(serialize_with = "serialize_operators")]
    operators: Vec<Operator>,
}

/// Prints the machine code of the function that `query` means. `wasm` is what the artifact was
/// compiled from just now.
pub(crate) fn disassemble(
    (name, artifact): (Name<'_>, &Artifact<'_>),
    query: &str,
    wasm: Option<&[u8]>,
    args: &InspectArgs,
) -> Result<()> {
    let context = || format!("cannot disassemble {name}");
    let listing = listing(artifact, query, wasm, args).map_err(|error| error.context(context()))?;
    match args.json {
        true => output::print_json(&serde_json::to_string_pretty(&listing)?),
        false => output::print(&listing::text(&listing)),
    }
}

fn listing(
    artifact: &Artifact<'_>,
    query: &str,
    wasm: Option<&[u8]>,
    args: &InspectArgs,
) -> Result<Listing> {
    let target = artifact.header().target;
    if target != TARGET_X86_64_LINUX {
        let (found, expected) = (target_name(target), target_name(TARGET_X86_64_LINUX));
        return Err(Error::msg(format!(
            "found code for {found}, expected {expected}: no other can be disassembled"
        )));
    }
    let code = Code::read(*artifact, &Tail::read(artifact));
    let number = find::find(&code, query)?;
    let function = &code.functions[number as usize];
    let operators = match (wasm, &args.wasm) {
        (None, None) => Vec::new(),
        (Some(_), Some(_)) => {
            let message = "found --wasm, expected it with an artifact only: FILE is WebAssembly";
            return Err(Error::msg(message));
        }
        (Some(wasm), None) => operators_of(wasm, function)?,
        (None, Some(file)) => {
            let input = Input::open(file)?;
            let name = input.name;
            let wasm = input.read_program(args.limits.text_limit)?;
            operators_of(&wasm, function)
                .map_err(|error| error.context(format!("cannot use {name} (--wasm)")))?
        }
    };
    Ok(Listing {
        number,
        name: code.shown(function),
        kind: function.kind.name(),
        core_instance: function.core_instance,
        index: function.index,
        offset: function.range.start,
        size: u64::from(function.range.end - function.range.start),
        instructions: decode::decode(artifact, &code, function.range.clone(), |_| None),
        operators,
    })
}

/// The operators of a function, in what its artifact was compiled from; none if the compiler has
/// added it.
fn operators_of(wasm: &[u8], function: &Function<'_>) -> Result<Vec<Operator>> {
    if function.kind != FunctionKind::Core {
        return Ok(Vec::new());
    }
    let (instance, index) = (function.core_instance, function.index);
    let found = cwasm_compiler::function_source(wasm, &default_options(), instance, index)?;
    let Some(source) = found else {
        return Err(Error::msg(format!(
            "found no function {index} of core instance {instance}: the artifact was compiled from \
             another file"
        )));
    };
    if let Some(name) = function.name
        && name != source.name
    {
        let found = cwasm_format::escape::name(&source.name);
        return Err(Error::msg(format!(
            "found that function {index} of core instance {instance} is `{found}`, expected \
             `{}`: the artifact was compiled from another file",
            cwasm_format::escape::name(name)
        )));
    }
    operators::operators(wasm, &source)
}

/// Operators as pairs of offset and text.
fn serialize_operators<S: Serializer>(
    operators: &[Operator],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(operators.iter().map(|operator| (operator.offset, &operator.text)))
}
