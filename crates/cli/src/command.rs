//! One file for each command: asks the engine, hands the answer to `render` or prints it as JSON, names the faults.

mod apply;
mod completions;
mod config;
mod demo;
mod explain;
mod history;
mod hold;
mod import;
mod init;
mod list;
mod man;
mod notify;
mod plan;
mod quarantine;
mod restore;
mod stats;
mod stream;
mod sweep;
mod units;

use cleanup_core::report::PolicyReport;
use cleanup_engine::Engine;

use crate::args::{Cli, Command, ConfigCommand, Format, Global};
use crate::console::{Console, Verbosity};
use crate::exit::{Code, Fault, status_fault};
use crate::failure::Failure;
use crate::render::problem::Problem;

/// Does what was asked for, and prints all that there is to say about it.
///
/// Whatever the command is, output that could not be written is a fault of its own: a script that keeps the report
/// must not take a cut one for the whole. The work is done by then, and the history has it.
pub(crate) fn run(cli: Cli, console: &mut Console) -> Result<Code, Failure> {
    let code = dispatch(cli, console)?;
    console.out.flush();
    Ok(if console.out.has_failed() { code.and(Fault::Failed) } else { code })
}

fn dispatch(cli: Cli, console: &mut Console) -> Result<Code, Failure> {
    let Cli { global, sweep: flags, stats, command } = cli;
    let command = match command {
        None if stats => Command::Stats { policies: Vec::new() },
        None => Command::Sweep { policies: Vec::new(), flags: flags.clone() },
        Some(Command::Sweep { policies, flags: own }) if !stats => Command::Sweep { policies, flags: own.and(flags) },
        Some(command) => {
            let stray = if stats { Some("--stats") } else { flags.first_given() };
            match stray {
                Some(flag) => return Err(Failure::Usage(format!("`{flag}` cannot be used with a command"))),
                None => command,
            }
        }
    };
    if let Command::Sweep { policies, flags } = command {
        return sweep::run(&global, policies, &flags, console);
    }
    if let Command::Apply { plan, jobs } = command {
        return apply::run(&global, &plan, jobs, console);
    }
    if let Command::Plan(args) = command {
        return plan::run(&global, args, console);
    }
    Ok(Code::of(answer(&global, command, console)?))
}

/// Runs a command that sweeps nothing, and says what went wrong.
fn answer(global: &Global, command: Command, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    match command {
        Command::Sweep { .. } | Command::Plan(_) | Command::Apply { .. } => Ok(Vec::new()),
        Command::Stats { policies } => stats::run(global, &policies, console),
        Command::List(args) => list::run(global, &args, console),
        Command::History(args) => history::run(global, &args, console),
        Command::Restore(args) => restore::run(global, &args, console),
        Command::Quarantine { policies } => quarantine::run(global, &policies, console),
        Command::Hold(args) => hold::run(global, &args, console),
        Command::Explain { paths, session: None } => explain::run(global, &paths, console),
        Command::Explain { paths, session: Some(policy) } => explain::rows(global, &policy, &paths, console),
        Command::Config(ConfigCommand::Check) => config::check(global, console),
        Command::Config(ConfigCommand::Show) => config::show(global, console),
        Command::Config(ConfigCommand::Schema) => {
            config::schema(console);
            Ok(Vec::new())
        }
        Command::Notify { test: _ } => notify::test(global, console),
        Command::Units(args) => text_only("units", console).and_then(|()| units::run(global, &args, console)),
        Command::Import { files } => import::run(&files, console),
        Command::Init(args) => text_only("init", console).and_then(|()| init::run(global, &args, console)),
        Command::Demo => text_only("demo", console).and_then(|()| demo::run(console)),
        Command::Completions { shell } => {
            text_only("completions", console)?;
            completions::run(shell, console);
            Ok(Vec::new())
        }
        Command::Man { command } => text_only("man", console).and_then(|()| man::run(command.as_deref(), console)),
    }
}

fn text_only(command: &str, console: &Console) -> Result<(), Failure> {
    match console.format {
        Format::Text => Ok(()),
        Format::Json => Err(Failure::Usage(format!("`{command}` has no JSON form"))),
    }
}

fn open(global: &Global) -> Result<Engine, Failure> {
    Ok(Engine::open(global.config.as_deref())?)
}

/// Says what went wrong with policies that were only looked at.
fn report_problems(reports: &[PolicyReport], console: &mut Console) -> Vec<Fault> {
    for problem in reports.iter().flat_map(Problem::of) {
        console.problem(&problem);
    }
    reports.iter().filter_map(|report| status_fault(report.status)).collect()
}

/// Says on stderr that there is nothing here to work on, and where to begin.
fn say_where_to_begin(console: &mut Console) {
    if console.verbosity == Verbosity::Problems {
        return;
    }
    console.out.flush();
    let theme = console.err.theme;
    let (name, warning) = (theme.name, theme.warning);
    console.err.write(format_args!(
        "{warning}Nothing to clean up here{warning:#}: there is no cleanup.toml, and none of the folders of the \
         built-in one.\n  \
         {name}cleanup init{name:#}   write a cleanup.toml to start from\n  \
         {name}cleanup demo{name:#}   see it work on a made-up folder\n"
    ));
}
