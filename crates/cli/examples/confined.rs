//! For tests: runs a program under a filter of system calls, as systemd would.
//!
//! `confined FILE PROGRAM ARGUMENT…`: FILE holds the names of the calls that are allowed, one a line. Anything else kills
//! the program, which is stricter than the unit's `EPERM`: a call that is missing from the list cannot go unnoticed.
//! Memory that is writable and executable is refused as `MemoryDenyWriteExecute=` does, and so is gaining privileges.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use syscalls::Sysno;

/// `PROT_WRITE`, `PROT_EXEC`.
const WRITE: u64 = 2;
const EXECUTE: u64 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (list, program) = arguments.next().zip(arguments.next()).ok_or("confined FILE PROGRAM ARGUMENT…")?;
    let filter: BpfProgram = filter(&std::fs::read_to_string(list)?)?.try_into()?;
    // Sets no_new_privs as well.
    seccompiler::apply_filter(&filter)?;
    Err(Command::new(program).args(arguments).exec().into())
}

fn filter(names: &str) -> Result<SeccompFilter, Box<dyn Error>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    // A name of another architecture is none of ours.
    for call in names.lines().filter_map(|name| name.parse::<Sysno>().ok()) {
        let rule = match call {
            Sysno::mmap => vec![
                protection(WRITE | EXECUTE, 0)?,
                protection(WRITE | EXECUTE, WRITE)?,
                protection(WRITE | EXECUTE, EXECUTE)?,
            ],
            Sysno::mprotect | Sysno::pkey_mprotect => vec![protection(EXECUTE, 0)?],
            _ => Vec::new(),
        };
        rules.insert(i64::from(call.id()), rule);
    }
    let architecture = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?)
}

/// The protection of memory, the third argument, has exactly these of those bits.
fn protection(of: u64, bits: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(of), bits)?])
}
