//! Messages about files that several policies match: their owner, and the remedy for disputed ones.

use std::ops::ControlFlow;

use cleanup_core::policy::FilePolicy;
use cleanup_core::report::PolicyReport;
use cleanup_core::store::{Batch, Fault, FileStore as _, Seen, Visitor};
use cleanup_fs_store::{Met, Store};

use crate::responses::{Finding, Severity};

/// The policies with which files of a store were disputed so far.
pub(crate) fn disputed_with(store: &Store<'_>) -> Vec<String> {
    store.met().into_iter().filter(|met| met.disputed > 0).map(|met| met.policy).collect()
}

/// What is said of files that stay because two policies name them; `None` when there are none.
pub(crate) fn dispute_of(report: &PolicyReport) -> Option<String> {
    let count = report.counts.kept.disputed;
    (count > 0).then(|| dispute(count, &report.disputed_with))
}

fn dispute(count: u64, with: &[String]) -> String {
    let (items, stay, them) = if count == 1 { ("item", "stays", "it") } else { ("items", "stay", "them") };
    let names: Vec<String> = with.iter().map(|name| format!("`{name}`")).collect();
    let (names, matches) = match names.as_slice() {
        [] => ("another policy".to_owned(), "matches"),
        [one] => (one.clone(), "matches"),
        several => (several.join(", "), "match"),
    };
    format!(
        "{count} {items} {stay}, because {names} with the same root {matches} {them} too; \
         exclude {them} in all but one of these policies"
    )
}

/// What `config check` says of files on the disk that a policy names and others claim. Reads names, and changes nothing.
pub(crate) fn check(policy: &FilePolicy, store: &Store<'_>) -> Vec<Finding> {
    if !store.may_meet_others() {
        return Vec::new();
    }
    let finding = |severity, message| Finding { policy: policy.rule.name.clone(), severity, message, remedy: None };
    store.offer(&Passing);
    let met = store.met();
    let owned = met.iter().filter(|met| met.owned > 0).map(|Met { policy: other, owned, .. }| {
        let (items, belong) = if *owned == 1 { ("item", "belongs") } else { ("items", "belong") };
        let message = format!("{owned} matching {items} {belong} to `{other}`, whose root is deeper");
        finding(Severity::Ok, message)
    });
    let with: Vec<String> = met.iter().filter(|met| met.disputed > 0).map(|met| met.policy.clone()).collect();
    let count: u64 = met.iter().map(|met| met.disputed).sum();
    let disputed = (count > 0).then(|| finding(Severity::Warning, dispute(count, &with)));
    owned.chain(disputed).collect()
}

/// Lets everything pass: what others claim is counted on the way.
struct Passing;

impl Visitor for Passing {
    fn batch(&self, _: &mut dyn Batch) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn fault(&self, _: Fault<'_>) {}

    fn seen(&self, _: Seen) {}
}
