//! That the checker can find harm: each thing that the program does for safety is left out once, and the invariant that
//! it is there for is seen to break.

use std::collections::BTreeSet;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::actor::Stage::{
    DeleteDirectory, DeleteFiles, Expire, MakeRoom, MoveDirectory, MoveFiles, MoveFilesOneByOne, Restore, Settle,
};
use crate::protocol::Protocol;
use crate::site::{
    ALWAYS_NOTED, COUNTED, Crash, Earlier, KEPT, NEVER_OVER, RESTORABLE, Site, TOLD, TRUE, VERIFIED, WHOLE, Write,
    YOUNG,
};
use crate::world::{Journal, Name};

/// A protocol that lacks something breaks this invariant, and the whole one does not.
fn breaks(invariant: &'static str, site: &Site, lack: impl Fn(&mut Protocol)) {
    let check = |site: Site| {
        let enough = HasDiscoveries::AnyOf(BTreeSet::from([invariant]));
        let checker = site.checker().threads(2).finish_when(enough).spawn_bfs().join();
        checker.discovery(invariant).is_some()
    };
    assert!(check(site.clone().with(lack)), "left out, and nobody noticed: {invariant}");
    assert!(!check(site.clone()), "broken with everything in place: {invariant}");
}

/// One process, and what follows it.
fn alone(stages: &[crate::actor::Stage]) -> Site {
    Site::new(stages, &[]).then(&[&[Settle, Expire], &[Restore]])
}

#[test]
fn moving_before_the_note() {
    breaks(ALWAYS_NOTED, &alone(&[MoveFiles]), |it| it.writes_note_first = false);
}

#[test]
fn moving_before_the_note_is_on_the_disk() {
    let site = alone(&[MoveFiles]).crashing(Crash::Power(Journal::InOrder));
    breaks(ALWAYS_NOTED, &site, |it| it.syncs_notes = false);
}

#[test]
fn moving_before_the_way_to_the_notes_is_on_the_disk() {
    let site = alone(&[MoveFiles]).crashing(Crash::Power(Journal::ByDirectory));
    breaks(ALWAYS_NOTED, &site, |it| it.syncs_folders = false);
}

#[test]
fn deleting_without_a_last_look() {
    let site = alone(&[DeleteFiles]).writing(1, &[Write::Touch(Name::A)]);
    breaks(YOUNG, &site, |it| it.looks_last = false);
    let site = alone(&[DeleteFiles]).writing(1, &[Write::Replace(Name::A)]);
    breaks(YOUNG, &site, |it| it.looks_last = false);
}

#[test]
fn no_look_at_what_came() {
    let site = alone(&[MoveFiles, Settle]).writing(1, &[Write::Replace(Name::A)]);
    breaks(TOLD, &site, |it| it.looks_inside = false);
}

#[test]
fn deleting_a_directory_without_a_look_at_what_came() {
    let site = alone(&[DeleteDirectory]).writing(1, &[Write::In(2)]);
    breaks(VERIFIED, &site, |it| it.looks_inside = false);
}

#[test]
fn purging_without_a_look() {
    breaks(VERIFIED, &alone(&[Expire]).after(Earlier::Killed), |it| it.looks_before_purge = false);
    breaks(YOUNG, &alone(&[Expire]).after(Earlier::KilledWithSomethingElse), |it| it.looks_before_purge = false);
    breaks(YOUNG, &alone(&[MakeRoom]).after(Earlier::KilledWithSomethingElse), |it| it.looks_before_purge = false);
}

#[test]
fn putting_back_over_something() {
    let site = alone(&[MoveFiles]).writing(2, &[Write::Touch(Name::A), Write::Make(Name::A)]);
    breaks(NEVER_OVER, &site, |it| it.never_replaces = false);
    let site = alone(&[Restore]).after(Earlier::Settled).writing(1, &[Write::Make(Name::A)]);
    breaks(NEVER_OVER, &site, |it| it.never_replaces = false);
}

#[test]
fn taking_what_was_cut_off_for_settled() {
    breaks(TOLD, &alone(&[MoveFiles]).crashing(Crash::Kill), |it| it.settles_what_was_cut_off = false);
}

#[test]
fn passing_by_what_is_not_the_same_without_a_word() {
    let site = alone(&[Settle]).after(Earlier::KilledWithSomethingElse).writing(1, &[Write::Make(Name::A)]);
    breaks(TOLD, &site, |it| it.tells = false);
}

#[test]
fn emptying_a_directory_without_a_mark() {
    breaks(WHOLE, &alone(&[DeleteDirectory]).crashing(Crash::Kill), |it| it.marks_emptying = false);
}

#[test]
fn emptying_a_directory_before_the_mark_is_on_the_disk() {
    let power = Crash::Power(Journal::InOrder);
    breaks(WHOLE, &alone(&[DeleteDirectory]).crashing(power), |it| it.syncs_mark = false);
    breaks(WHOLE, &alone(&[Expire]).after(Earlier::Settled).crashing(power), |it| it.syncs_mark = false);
}

#[test]
fn emptying_a_directory_of_what_is_younger() {
    breaks(YOUNG, &alone(&[DeleteDirectory]).writing(1, &[Write::In(2)]), |it| it.keeps_younger = false);
    breaks(YOUNG, &alone(&[DeleteDirectory]).writing(1, &[Write::ToOpen(2)]), |it| it.keeps_younger = false);
}

#[test]
fn marking_before_what_went_back_is_on_the_disk() {
    let site = alone(&[MoveDirectory]).writing(1, &[Write::In(2)]).crashing(Crash::Power(Journal::InOrder));
    breaks(TOLD, &site, |it| it.syncs_before_mark = false);
}

#[test]
fn purging_beside_somebody_who_moves_in_or_purges() {
    let then: &[&[crate::actor::Stage]] = &[&[Settle, Expire]];
    let beside = Site::new(&[MoveFilesOneByOne], &[Settle]).without_lock(&[0, 1]).crashing(Crash::Kill).then(then);
    breaks(TOLD, &beside, |it| it.purges_alone = false);
    let two =
        Site::new(&[Expire], &[Expire]).without_lock(&[0, 1]).after(Earlier::Settled).crashing(Crash::Kill).then(then);
    breaks(WHOLE, &two, |it| it.purges_alone = false);
}

#[test]
fn restoring_a_directory_that_somebody_empties() {
    let site = Site::new(&[Expire], &[Restore]).without_lock(&[0, 1]).after(Earlier::Settled);
    breaks(WHOLE, &site, |it| it.restores_alone = false);
}

#[test]
fn taking_what_somebody_else_restored_for_an_error() {
    let site = Site::new(&[MoveFiles], &[Restore]).without_lock(&[0, 1]);
    breaks(TRUE, &site, |it| it.knows_gone = false);
    let site = Site::new(&[Expire], &[Restore]).without_lock(&[0, 1]).after(Earlier::Settled);
    breaks(TRUE, &site, |it| it.knows_gone = false);
}

#[test]
fn tidying_up_without_the_lock() {
    let site = Site::new(&[MoveFiles], &[Settle]).without_lock(&[0, 1]);
    breaks(ALWAYS_NOTED, &site, |it| it.tidies_alone = false);
}

#[test]
fn writing_notes_into_a_file_that_has_lost_its_name() {
    let site = Site::new(&[MoveFiles], &[Settle]).without_lock(&[0, 1]);
    breaks(ALWAYS_NOTED, &site, |it| it.checks_notes = false);
}

#[test]
fn restoring_without_a_promise() {
    let site = Site::new(&[MoveFiles], &[Restore, MoveFiles]);
    breaks(KEPT, &site, |it| it.holds_first = false);
    breaks(KEPT, &site, |it| it.asks_holds = false);
}

#[test]
fn a_deadline_that_does_not_ask_again_for_holds() {
    let site = Site::new(&[Restore], &[MoveFilesOneByOne]).after(Earlier::Settled).without_lock(&[1]);
    breaks(KEPT, &site, |it| it.asks_holds_again = false);
}

#[test]
fn not_counting_what_was_put_back() {
    let site = alone(&[MoveFiles]).writing(1, &[Write::Touch(Name::A)]);
    breaks(COUNTED, &site, |it| it.counts_back = false);
}

#[test]
fn restoring_less_than_there_is() {
    breaks(RESTORABLE, &alone(&[MoveFiles, Restore]), |it| it.restores_all = false);
}
