//! Runs a program and writes what it cost: `measure RESULT PROGRAM [ARGUMENT…]`.
//!
//! A process of its own, because the peak memory that the kernel reports for a child begins with that of its parent at
//! the moment it was started: measured from something large, everything is large.
//! RESULT gets one line: exit code, then microseconds of wall, user and system time, then bytes of peak memory.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};
use wait4::Wait4 as _;

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(result), Some(program)) = (args.next(), args.next()) else {
        anyhow::bail!("usage: measure RESULT PROGRAM [ARGUMENT…]");
    };
    let mut command = Command::new(&program);
    command.args(args).stdin(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let end = child.wait4()?;
    let wall = start.elapsed();
    let line = format!(
        "{} {} {} {} {}\n",
        end.status.code().unwrap_or(-1),
        wall.as_micros(),
        end.rusage.utime.as_micros(),
        end.rusage.stime.as_micros(),
        end.rusage.maxrss
    );
    std::fs::write(&result, line).with_context(|| format!("cannot write {}", result.display()))
}
