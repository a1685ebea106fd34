//! What holds, whatever the order of steps: every pair of processes, with an application that writes, and a crash at any
//! moment.

use std::time::Instant;

use stateright::{Checker as _, Model as _};

use crate::actor::Stage::{
    self, DeleteDirectory, DeleteFiles, Expire, MakeRoom, MoveDirectory, MoveFiles, MoveFilesOneByOne, Restore, Settle,
};
use crate::site::{Crash, ENDS, Earlier, Site, Write, in_short};
use crate::world::{Journal, Name};

type Stages = &'static [Stage];

/// Sweeps, and a deadline.
const SWEEP: Stages = &[MoveFiles, Settle];
const DEADLINE: Stages = &[MoveFilesOneByOne, Expire];
const DELETION: Stages = &[DeleteFiles, Settle];
const DIRECTORY: Stages = &[MoveDirectory, Settle];
const DIRECTORY_DELETION: Stages = &[DeleteDirectory, Expire];
const MOVERS: [Stages; 5] = [SWEEP, DEADLINE, DELETION, DIRECTORY, DIRECTORY_DELETION];

/// What only deals with what is in quarantine already.
const PURGE: Stages = &[Expire];
const ROOM: Stages = &[MakeRoom];
const RESTORE: Stages = &[Restore];
const OTHERS: [Stages; 3] = [PURGE, ROOM, RESTORE];

const KILL: Crash = Crash::Kill;
/// Of the changes that no sync has written, any may be left that keep the order of each directory: more than any journal
/// that keeps one order of all.
const POWER: Crash = Crash::Power(Journal::ByDirectory);

/// What may follow when both have ended.
const THEN: &[Stages] = &[&[Settle, Expire], &[Restore]];

/// Goes through every state that there is.
fn holds(what: &str, site: Site) -> usize {
    let begun = Instant::now();
    let checker = site.checker().threads(2).spawn_bfs().join();
    let broken = checker.discoveries().into_iter().find(|(name, _)| *name != ENDS);
    if let Some((invariant, path)) = broken {
        for (world, event) in path.into_vec() {
            println!("{}\n-> {event:?}", in_short(&world));
        }
        panic!("{what}: not true: {invariant}");
    }
    checker.assert_properties();
    println!("{what}: {} states in {:?}", checker.unique_state_count(), begun.elapsed());
    checker.unique_state_count()
}

/// Two processes that know nothing of each other: not even the lock of the policy keeps them apart.
fn pair(first: Stages, second: Stages, writes: u8, crash: Crash) -> usize {
    let writing = |program: Stages| match program[0] {
        MoveDirectory | DeleteDirectory => &[Write::Make(Name::D), Write::ToOpen(2), Write::In(2)][..],
        _ => &[Write::Make(Name::A), Write::Replace(Name::A), Write::ToOpen(0)][..],
    };
    let mut all = writing(first).to_vec();
    all.extend(writing(second).iter().filter(|write| !writing(first).contains(write)));
    let site = Site::new(first, second).without_lock(&[0, 1]).writing(writes, &all).crashing(crash).then(THEN);
    holds(&format!("{first:?} beside {second:?}, {crash:?}"), site)
}

/// The same where an earlier run has left a file and the directory in quarantine.
fn pair_after(earlier: Earlier, first: Stages, second: Stages, crash: Crash) -> usize {
    let writes = [Write::Make(Name::A), Write::ToOpen(0), Write::Make(Name::D), Write::ToOpen(2), Write::In(2)];
    // A sweep takes the lock of the policy, as whoever restores does: a hold binds runs that begin after it. A deadline
    // does without, and asks again.
    let alone: &[usize] = match second {
        DEADLINE => &[1],
        second if OTHERS.contains(&second) => &[0, 1],
        _ => &[],
    };
    let site =
        Site::new(first, second).after(earlier).without_lock(alone).writing(1, &writes).crashing(crash).then(THEN);
    holds(&format!("{first:?} beside {second:?} after {earlier:?}, {crash:?}"), site)
}

/// Each that deals with quarantine, beside each of those from there on, and beside each that moves something in.
fn all_after(earlier: Earlier) {
    let mut states = 0;
    for (index, first) in OTHERS.into_iter().enumerate() {
        let seconds = OTHERS[index..].iter().chain(&MOVERS);
        states += seconds.map(|second| pair_after(earlier, first, second, KILL)).sum::<usize>();
    }
    println!("{states} states");
}

#[test]
fn what_lies_in_quarantine_is_safe_whoever_is_killed() {
    all_after(Earlier::Settled);
}

#[test]
fn what_nobody_has_looked_at_is_safe_whoever_is_killed() {
    all_after(Earlier::Killed);
}

#[test]
fn what_came_instead_of_what_was_judged_is_safe_whoever_is_killed() {
    all_after(Earlier::KilledWithSomethingElse);
}

#[test]
fn what_lies_in_quarantine_is_safe_when_the_power_fails() {
    let mut states = 0;
    for earlier in [Earlier::Settled, Earlier::KilledWithSomethingElse] {
        for (index, first) in OTHERS.into_iter().enumerate() {
            states += OTHERS[index..].iter().map(|second| pair_after(earlier, first, second, POWER)).sum::<usize>();
        }
    }
    println!("{states} states");
}

#[test]
fn what_is_moved_is_safe_when_the_power_fails() {
    let pairs = MOVERS.iter().flat_map(|first| OTHERS.iter().map(move |second| (first, second)));
    let states: usize = pairs.map(|(first, second)| pair(first, second, 1, POWER)).sum();
    println!("{states} states");
}

#[test]
#[ignore = "some minutes; the two above are a part of it"]
fn what_is_moved_twice_is_safe_when_the_power_fails() {
    for (index, first) in MOVERS.into_iter().enumerate() {
        for second in &MOVERS[index..] {
            pair(first, second, 0, POWER);
        }
    }
    for (index, first) in OTHERS.into_iter().enumerate() {
        for second in &OTHERS[index..] {
            pair_after(Earlier::Killed, first, second, POWER);
        }
    }
}

/// One process that moves things aside, beside each of those from here on, and beside each that deals with quarantine.
fn beside_all(first: Stages, seconds: &[Stages]) {
    let states: usize = seconds.iter().chain(&OTHERS).map(|second| pair(first, second, 1, KILL)).sum();
    println!("{states} states");
}

#[test]
fn a_sweep_is_safe_whoever_is_killed() {
    beside_all(SWEEP, &[SWEEP, DELETION, DIRECTORY]);
}

#[test]
fn a_deadline_is_safe_whoever_is_killed() {
    beside_all(DEADLINE, &[SWEEP, DELETION]);
}

#[test]
fn a_deletion_is_safe_whoever_is_killed() {
    beside_all(DELETION, &[DELETION, DIRECTORY, DIRECTORY_DELETION]);
}

#[test]
fn a_directory_is_safe_whoever_is_killed() {
    beside_all(DIRECTORY, &[DIRECTORY, DIRECTORY_DELETION]);
    beside_all(DIRECTORY_DELETION, &[DIRECTORY_DELETION]);
}

#[test]
#[ignore = "some minutes"]
fn the_largest_pairs_are_safe_whoever_is_killed() {
    beside_all(DEADLINE, &[DEADLINE, DIRECTORY, DIRECTORY_DELETION]);
    beside_all(SWEEP, &[DIRECTORY_DELETION]);
}
