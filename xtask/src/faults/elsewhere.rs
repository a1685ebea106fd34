//! Machines on which no system call can fail on purpose: what is done to a stopped program is written for one kind alone.

use anyhow::Result;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Taken as elsewhere, and of no use here
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _ignored: Vec<String>,
}

/// Says so.
pub(crate) fn sample() -> Result<()> {
    run(&Args::default())
}

/// Says so.
pub(crate) fn run(_: &Args) -> Result<()> {
    println!("SKIPPED: system calls fail on purpose on x86-64 alone");
    Ok(())
}
