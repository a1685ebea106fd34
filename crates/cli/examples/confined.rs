//! For tests: runs a program under a filter of system calls, as systemd would.
//!
//! `confined FILE PROGRAM ARGUMENT…`: FILE holds the names of the calls that are allowed, one a line, each followed by
//! the numbers that its first argument may be, where it may not be any. Anything else kills the program, which is stricter than the unit's `EPERM`: a call that is missing from the list cannot go unnoticed.
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
    for line in names.lines() {
        let mut words = line.split_whitespace();
        let Some(call) = words.next().and_then(|name| name.parse::<Sysno>().ok()) else { continue };
        let firsts = words.map(|word| Ok(condition(0, SeccompCmpOp::Eq, word.parse()?)?));
        let firsts: Vec<SeccompRule> = firsts.collect::<Result<_, Box<dyn Error>>>()?;
        let protection = |of, bits| condition(2, SeccompCmpOp::MaskedEq(of), bits);
        let rule = match call {
            Sysno::mmap => {
                let both = WRITE | EXECUTE;
                vec![protection(both, 0)?, protection(both, WRITE)?, protection(both, EXECUTE)?]
            }
            Sysno::mprotect | Sysno::pkey_mprotect => vec![protection(EXECUTE, 0)?],
            _ => firsts,
        };
        rules.insert(i64::from(call.id()), rule);
    }
    let architecture = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?)
}

/// One argument, counted from 0, compares so with a number.
fn condition(argument: u8, how: SeccompCmpOp, number: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, how, number)?])
}
