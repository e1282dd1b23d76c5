//! `cwasm compile`.

use std::path::PathBuf;
use std::time::Instant;

use cwasm::{Error, Result};
use cwasm_compiler::Stats;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::CompileArgs;
use crate::input::{self, FileKind};
use crate::output;

/// Compiles a file into another.
pub(crate) fn compile(args: &CompileArgs) -> Result<()> {
    let path = args.input.display();
    let input = input::read(&args.input)?;
    if input::kind(&input) == FileKind::Elf {
        let message = "found an ELF file (an artifact?), expected WebAssembly";
        return Err(Error::msg(message).context(format!("cannot compile `{path}`")));
    }
    let target = output_path(args)?;
    let start = Instant::now();
    let bar = progress_bar();
    let compiled = cwasm_compiler::compile_with(&input, &args.options(), args.emit.kind(), &|at| {
        bar.set_length(at.total as u64);
        bar.set_position(at.done as u64);
    });
    bar.finish_and_clear();
    let compiled =
        compiled.map_err(|error| Error::from(error).context(format!("cannot compile `{path}`")))?;
    cwasm_compiler::write_file(&target, &compiled.bytes)?;
    let seconds = start.elapsed().as_secs_f64();
    let Stats {
        functions,
        code_size,
        ..
    } = compiled.stats;
    output::note(&format!(
        "{}: {functions} functions, {} bytes ({code_size} of machine code), {seconds:.3} s",
        target.display(),
        compiled.bytes.len(),
    ));
    Ok(())
}

/// Where the output goes. Never over the input.
fn output_path(args: &CompileArgs) -> Result<PathBuf> {
    let output = match &args.output {
        Some(output) => output.clone(),
        None => args.input.with_extension(args.emit.extension()),
    };
    let same = match (args.input.canonicalize(), output.canonicalize()) {
        (Ok(input), Ok(output)) => input == output,
        _ => false,
    };
    if same {
        let message = format!("the output `{}` would replace the input", output.display());
        return Err(Error::msg(message).context("choose another one with -o"));
    }
    Ok(output)
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
