//! The command, run as users run it.

mod command;
mod files;
