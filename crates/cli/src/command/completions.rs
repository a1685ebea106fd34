//! `cleanup completions SHELL`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::console::Console;

pub(super) fn run(shell: Shell, console: &mut Console) {
    // The generator panics on a stream that fails; memory does not.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cleanup", &mut script);
    console.out.write_bytes(&script);
}
