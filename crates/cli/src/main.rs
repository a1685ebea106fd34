//! The command line: `cleanup`.
//!
//! Reads arguments, asks the engine, prints what it answers. Nothing here decides what may go, opens a store, or
//! changes a number: text, JSON and the exit code are three views of the same values. Nothing that happens to the
//! output (a closed pipe, a full disk) reaches the work; output that is lost on a full disk ends with exit code 1.

mod args;
mod command;
mod console;
mod document;
mod exit;
mod failure;
mod import;
mod policy_name;
mod progress;
mod render;
mod textfile;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::console::Console;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            let code = exit::Code::from_clap(&message);
            return console::print_message(&message, code).into();
        }
    };
    let mut console = Console::new(&cli.global);
    if console.verbosity.is_debug() {
        console::log_to_stderr(console.err.is_coloured());
    }
    let code = command::run(cli, &mut console).unwrap_or_else(|failure| failure.report(&mut console));
    console.finish();
    code.into()
}
