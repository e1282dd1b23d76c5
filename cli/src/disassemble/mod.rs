//! `cwasm inspect --disassemble`: the machine code of a function.

mod decode;
mod find;
mod listing;
mod operators;
mod origins;

use cwasm::{Error, Result};
use cwasm_format::Artifact;
use cwasm_format::header::{TARGET_X86_64_LINUX, target_name};
use serde::{Serialize, Serializer};

use crate::args::{InspectArgs, default_options};
use crate::code::{self, Code, Function, FunctionKind};
use crate::elf::Tail;
use crate::input::{Input, Name};
use crate::output;
use decode::Instructions;
use operators::Operator;
use origins::Origins;

/// A function and its code.
#[derive(Serialize)]
struct Listing<'a> {
    #[serde(flatten)]
    head: Head,
    #[serde(serialize_with = "serialize_instructions")]
    instructions: Instructions<'a>,
    /// What it was compiled from; empty if that is not known.
    #[serde(serialize_with = "serialize_operators")]
    operators: Vec<Operator>,
}

/// What function it is.
#[derive(Serialize)]
struct Head {
    /// Its place in the artifact's table of functions.
    number: u32,
    name: String,
    kind: &'static str,
    core_instance: u32,
    index: u32,
    /// Text offset.
    offset: u32,
    /// Bytes.
    size: u32,
}

/// Prints the machine code of the function that `query` means. `wasm` is what the artifact was
/// compiled from just now.
pub(crate) fn disassemble(
    (name, artifact): (Name<'_>, &Artifact<'_>),
    query: &str,
    wasm: Option<&[u8]>,
    args: &InspectArgs,
) -> Result<()> {
    let context = |error: Error| error.context(format!("cannot disassemble {name}"));
    check_target(artifact).map_err(context)?;
    let code = Code::read(*artifact, &Tail::read(artifact));
    let number = find::find(&code, query).map_err(context)?;
    let function = &code.functions[number as usize];
    let operators = known_operators(function, wasm, args).map_err(context)?;
    let origins = Origins::read(artifact, &code, number).map_err(context)?;
    let listing = Listing {
        head: Head {
            number,
            name: code.shown(function).into_owned(),
            kind: function.kind.name(),
            core_instance: function.core_instance,
            index: function.index,
            offset: function.range.start,
            size: function.range.end - function.range.start,
        },
        instructions: Instructions::new(artifact, &code, function.range.clone(), origins),
        operators,
    };
    if args.json {
        return output::print_json(&serde_json::to_string_pretty(&listing)?);
    }
    let Listing {
        head,
        instructions,
        operators,
    } = &listing;
    let has_origins = instructions.has_origins();
    output::print(&listing::text(
        head,
        operators,
        instructions.rows(),
        has_origins,
    ))
}

fn check_target(artifact: &Artifact<'_>) -> Result<()> {
    let target = artifact.header().target;
    if target == TARGET_X86_64_LINUX {
        return Ok(());
    }
    let (found, expected) = (target_name(target), target_name(TARGET_X86_64_LINUX));
    Err(Error::msg(format!(
        "found code for {found}, expected {expected}: no other can be disassembled"
    )))
}

/// The operators of a function, if what its artifact was compiled from is known.
fn known_operators(
    function: &Function<'_>,
    wasm: Option<&[u8]>,
    args: &InspectArgs,
) -> Result<Vec<Operator>> {
    match (wasm, &args.wasm) {
        (None, None) => Ok(Vec::new()),
        (Some(_), Some(_)) => {
            let message = "found --wasm, expected it with an artifact only: FILE is WebAssembly";
            Err(Error::msg(message))
        }
        (Some(wasm), None) => operators_of(wasm, function),
        (None, Some(file)) => {
            let input = Input::open(file)?;
            let name = input.name;
            let wasm = input.read_program(args.limits.text_limit)?;
            operators_of(&wasm, function)
                .map_err(|error| error.context(format!("cannot use {name} (--wasm)")))
        }
    }
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
             another file, or the compiler has added the function"
        )));
    };
    if let Some(name) = function.name
        && code::text(source.name.as_bytes()) != Some(name)
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

fn serialize_instructions<S: Serializer>(
    instructions: &Instructions<'_>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(instructions.rows())
}

/// Operators as pairs of offset and text.
fn serialize_operators<S: Serializer>(
    operators: &[Operator],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        operators
            .iter()
            .map(|operator| (operator.offset, &operator.text)),
    )
}
