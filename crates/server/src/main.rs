//! `cleanup-server`: the service as a program.
//!
//! Reads arguments, begins to log, opens the configuration and the sockets, and hands over to the library. Exit codes
//! are those of the command line: 0 after SIGTERM, 1 when it could not serve, 2 for usage, 78 for the configuration.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cleanup_server::lifecycle::{self, Failure};
use cleanup_server::self_test;
use cleanup_server::telemetry::logs::{self, Format, Wanted};

/// Removes what is temporary and old, by schedule and by deadline, and answers over HTTP.
#[derive(Debug, Parser)]
#[command(version, name = "cleanup-server")]
struct Args {
    /// The configuration; else `$CLEANUP_CONFIG`, ./cleanup.toml, the user's, the system's, the built-in default
    #[arg(short, long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// How to log; by default text on stderr, with priorities where the journal reads it
    #[arg(long, value_name = "FORMAT")]
    log: Option<Format>,
    /// Say more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Only warnings and errors
    #[arg(short, long)]
    quiet: bool,
    /// Serve a temporary folder on a port of its own, see a file go at its deadline, make both calls, and end
    #[arg(long)]
    self_test: bool,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(message) => {
            // Help or a usage error; when nobody reads it, the code still says which.
            let _ = message.print();
            return if message.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let quiet = args.quiet || (args.self_test && args.verbose == 0);
    let wanted = Wanted { format: args.log, verbose: args.verbose, quiet };
    if let Err(error) = logs::start(wanted, &|name| std::env::var(name).ok()) {
        say(&format!("error: {error}"));
        return ExitCode::from(2);
    }
    let result = if args.self_test { self_test::run() } else { lifecycle::run(args.config.as_deref()) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(match failure {
                Failure::Configuration(_) => 78,
                Failure::Other(_) => 1,
            })
        }
    }
}

/// Says something on stderr; when nobody hears it, the exit code still says it.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}
