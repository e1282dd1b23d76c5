//! The command `cwasm`: compiles components ahead of time, runs and inspects them.
#![allow(
    clippy::print_stdout,
    reason = "a command that answers on standard output"
)]

mod args;
mod compile;
mod input;
mod inspect;
mod invoke;
mod output;
mod run;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Compile(args) => compile::compile(&args),
        Command::Run(args) => run::run(&args),
        Command::Inspect(args) => inspect::inspect(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::report(&error),
    }
}
