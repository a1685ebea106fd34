//! `cleanup man [COMMAND]`: the manual page, as roff.

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::args::Cli;
use crate::console::Console;
use crate::exit::Fault;
use crate::failure::Failure;

pub(super) fn run(command: Option<&str>, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let mut whole = Cli::command();
    whole.build();
    let page = match command {
        None => whole,
        Some(name) => {
            let found = whole.get_subcommands().find(|command| command.get_name() == name);
            let found = found.ok_or_else(|| Failure::Usage(format!("unknown command {name:?}")))?;
            found.clone()
        }
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).context("cannot render the manual page")?;
    console.out.write_bytes(&roff);
    Ok(Vec::new())
}
