//! `cwasm compile`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cwasm::{Error, Result};
use cwasm_format::escape;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{CompileArgs, Debug, Emit};
use crate::input::{self, Input};
use crate::limits::Limits;
use crate::{output, time};

/// The destination of the output.
enum Target {
    Stdout,
    File(PathBuf),
}

/// Compiles a file into another.
pub(crate) fn compile(args: &CompileArgs) -> Result<()> {
    let limits = Limits::start(&args.limits)?;
    let input = Input::open(&args.input)?;
    let name = input.name;
    // Before its name is used for the output.
    input.check_not_compiled()?;
    let target = target(args, &input)?;
    if matches!(
        (&target, args.emit),
        (Target::Stdout, Emit::Artifact | Emit::Obj)
    ) {
        output::check_takes_binary()?;
    }
    let debug_file = debug_file(args, &target)?;
    if args.json && matches!(target, Target::Stdout) {
        let message = "found -o -, expected another output: standard output is for JSON (--json)";
        return Err(Error::msg(message));
    }
    let wasm = input.read_program(args.limits.text_limit)?;
    let start = Instant::now();
    let bar = progress_bar();
    let compiled = cwasm_compiler::compile_with(&wasm, &args.options(), args.emit.kind(), &|at| {
        if bar.length() != Some(at.total as u64) {
            bar.set_length(at.total as u64);
        }
        bar.set_position(at.done as u64);
    });
    bar.finish_and_clear();
    let compiled = compiled.map_err(|error| input::cannot_compile(name, error))?;
    let taken = start.elapsed();
    for warning in &compiled.warnings {
        output::note(&format!("warning: {warning}"));
    }
    if let (Some(path), Some(bytes)) = (&debug_file, &compiled.debug) {
        cwasm_compiler::write_file(path, bytes)?;
    }
    // A file is replaced as a whole or not at all, without a limit. The reader of a stream may be
    // too slow.
    if target.is_replaced() {
        drop(limits);
        write(&target, &compiled.bytes, args.emit)?;
    } else {
        write(&target, &compiled.bytes, args.emit)?;
        drop(limits);
    }
    output::note(&format!(
        "{target}: {} functions, {} bytes, {:.3} s",
        compiled.stats.functions,
        compiled.bytes.len(),
        start.elapsed().as_secs_f64(),
    ));
    match (args.time, args.json, &target) {
        (false, ..) => Ok(()),
        (true, true, _) => output::print_json(&time::json(&compiled.stats, taken)?),
        (true, false, Target::File(_)) => output::print(&time::table(&compiled.stats, taken)),
        (true, false, Target::Stdout) => {
            output::note(time::table(&compiled.stats, taken).trim_end());
            Ok(())
        }
    }
}

fn write(target: &Target, bytes: &[u8], emit: Emit) -> Result<()> {
    match (target, emit) {
        (Target::File(path), _) => Ok(cwasm_compiler::write_file(path, bytes)?),
        (Target::Stdout, Emit::Clif) => output::print(&String::from_utf8_lossy(bytes)),
        (Target::Stdout, Emit::Artifact | Emit::Obj) => output::write_binary(bytes),
    }
}

/// The file of debug information, if it is apart: beside the output.
fn debug_file(args: &CompileArgs, target: &Target) -> Result<Option<PathBuf>> {
    let apart = args.debug == Debug::Split && matches!(args.emit, Emit::Artifact);
    match target {
        _ if !apart => Ok(None),
        Target::File(path) => {
            let mut name = path.clone().into_os_string();
            name.push(".debug");
            Ok(Some(name.into()))
        }
        Target::Stdout => {
            let message = "--debug=split writes a file beside the artifact, which is no file";
            Err(Error::msg(message).context("choose an output with -o"))
        }
    }
}

/// The destination of the output. Never over the input.
fn target(args: &CompileArgs, input: &Input<'_>) -> Result<Target> {
    let path = match &args.output {
        Some(output) if output == Path::new("-") => return Ok(Target::Stdout),
        Some(output) => output.clone(),
        None if input.name.is_stdin() => return Ok(Target::Stdout),
        None if !input.is_named_file() => {
            let message = format!("{} is no file that an output can stand beside", input.name);
            return Err(Error::msg(message).context("choose an output with -o"));
        }
        None => args.input.with_extension(args.emit.extension()),
    };
    if input.is_same_file(&path) {
        let message = format!("the output `{}` would replace the input", path.display());
        return Err(Error::msg(message).context("choose another one with -o"));
    }
    Ok(Target::File(path))
}

impl Target {
    /// Whether it is a file, or will become one.
    fn is_replaced(&self) -> bool {
        match self {
            Target::Stdout => false,
            Target::File(path) => path.metadata().map_or(true, |found| found.is_file()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Stdout => f.write_str("standard output"),
            Target::File(path) => write!(f, "{}", escape::name(&path.to_string_lossy())),
        }
    }
}

/// A bar on standard error; invisible if that is no terminal.
fn progress_bar() -> ProgressBar {
    let template = "compiling [{bar:40}] {pos}/{len} functions";
    let style = ProgressStyle::with_template(template).map(|style| style.progress_chars("=> "));
    let bar = ProgressBar::new(0);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
