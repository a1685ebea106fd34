//! The programs from outside that tests call, and how they get onto the machine.
//!
//! As root they are installed; a developer who is not root is told the one command that does it. A program that a test
//! can do without is only reported there; in CI nothing is skipped, so there every missing program is an error.

use std::process::Command;

use anyhow::{Result, bail};

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
    Tool { program: "initdb",   package: "postgresql", needed_for: "tests of sessions, on a real server", without_it: NothingRuns },
    Tool { program: "faketime", package: "faketime",   needed_for: "tests of clocks that jump",           without_it: SomeAreSkipped },
];

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

fn missing() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| !is_there(tool.program)).collect()
}

fn is_there(program: &str) -> bool {
    match program {
        // Debian keeps the server's programs off the search path.
        "initdb" => cleanup_test_postgres::Cluster::binaries().is_ok(),
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
