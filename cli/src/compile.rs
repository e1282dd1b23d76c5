//! `cwasm compile`.

use std::path::PathBuf;
use std::time::Instant;

use cwasm::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::CompileArgs;
use crate::{input, output};

/// Compiles a file into another.
pub(crate) fn compile(args: &CompileArgs) -> Result<()> {
    let input = input::read_wasm(&args.input)?;
    let target = output_path(args)?;
    let start = Instant::now();
    let bar = progress_bar();
    let compiled = cwasm_compiler::compile_with(&input, &args.options(), args.emit.kind(), &|at| {
        if bar.length() != Some(at.total as u64) {
            bar.set_length(at.total as u64);
        }
        bar.set_position(at.done as u64);
    });
    bar.finish_and_clear();
    let compiled = compiled.map_err(|error| input::cannot_compile(&args.input, error))?;
    cwasm_compiler::write_file(&target, &compiled.bytes)?;
    output::note(&format!(
        "{}: {} functions, {} bytes, {:.3} s",
        target.display(),
        compiled.stats.functions,
        compiled.bytes.len(),
        start.elapsed().as_secs_f64(),
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
