//! Checks documents with all plug-ins of a folder: `plugins FOLDER DOCUMENT...`.
//!
//! ```text
//! load     folder -> artifacts, compiled where they are missing -> components
//! host     the WIT world: what plug-ins import
//! checker  a component, linked; each check has an instance, limits and a deadline of its own
//! ```

mod checker;
mod host;
mod load;

use std::path::Path;
use std::process::ExitCode;

use cwasm::escape;
use cwasm::{Engine, Error, Result, Trap, TrapCode};

use checker::Checker;
use host::Document;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, documents @ ..] = &args[..] else {
        eprintln!("usage: plugins FOLDER DOCUMENT...");
        return ExitCode::from(2);
    };
    match run(Path::new(folder), documents) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Checks each document with each plug-in, whatever the others do.
fn run(folder: &Path, documents: &[String]) -> Result<()> {
    let engine = Engine::default();
    let linker = host::linker(&engine)?;
    let mut checkers = Vec::new();
    for (name, component) in load::components(&engine, folder)? {
        match component.and_then(|component| Checker::new(&linker, &component)) {
            Ok(checker) => checkers.push((name, checker)),
            Err(error) => println!("{name} is no plug-in: {error}"),
        }
    }
    for path in documents {
        println!("{path}");
        let document = Document::read(Path::new(path))?;
        for (name, checker) in &checkers {
            print(name, checker, &document);
        }
    }
    Ok(())
}

/// Prints what a plug-in says of a document, or how it failed.
fn print(name: &str, checker: &Checker, document: &Document) {
    let check = checker.check(document);
    // What plug-ins say is shown so that it does nothing to a terminal.
    println!("  {name}: {}", escape::name(&check.description));
    for finding in check.findings {
        println!(
            "    line {}: {}",
            finding.line,
            escape::name(&finding.message)
        );
    }
    match check.outcome {
        Ok(Ok(0)) => println!("    found nothing"),
        Ok(Ok(count)) => println!("    found {count}"),
        Ok(Err(reason)) => println!("    cannot tell: {}", escape::name(&reason)),
        Err(error) => println!("    failed: {}", explain(&error)),
    }
}

/// Why a plug-in was ended, in one line.
fn explain(error: &Error) -> String {
    match error.trap().map(Trap::code) {
        Some(TrapCode::Interrupt) => format!("took more than {} ms", checker::TIME.as_millis()),
        Some(code) => format!("trapped: {code}"),
        None => error.to_string(),
    }
}
