//! Running other programs from the top of the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What the product itself would obey; tests and measurements start without it, wherever they are started.
const LEFTOVERS: &[&str] = &[
    "CLEANUP_CONFIG",
    "CLEANUP_TEST_POSTGRES",
    "CREDENTIALS_DIRECTORY",
    "DATABASE_URL",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "PGDATABASE",
    "PGHOST",
    "PGHOSTADDR",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGSERVICE",
    "PGSSLMODE",
    "PGUSER",
    "RUST_LOG",
    "STATE_DIRECTORY",
];

/// The top of the repository.
pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies one folder below the top")
}

/// The cargo that runs us, from the top of the repository.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(top());
    command
}

/// Takes away every variable that the product or a database client would obey.
pub(crate) fn without_leftovers(command: &mut Command) -> &mut Command {
    for name in LEFTOVERS {
        command.env_remove(name);
    }
    command
}

/// Runs to the end; an exit code other than 0 is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", spoken(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", spoken(command));
    }
    Ok(())
}

/// Where `name` lies on the search path; `/usr/sbin` and `/sbin` are looked at too.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// True in CI, where nothing may be skipped and nobody can be asked.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

fn spoken(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}
