//! What is said of files that more than one policy names: whose they are, and what is to be done about those that are
//! nobody's.

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

/// What a report says of files that stay because two policies name them; `None` when there are none.
pub(crate) fn disputes(report: &PolicyReport) -> Option<String> {
    let (name, count) = (&report.name, report.counts.kept.disputed);
    (count > 0).then(|| format!("{name}: {}", dispute(count, &report.disputed_with)))
}

fn dispute(count: u64, with: &[String]) -> String {
    let (items, stay, them) = if count == 1 { ("item", "stays", "it") } else { ("items", "stay", "them") };
    let names: Vec<String> = with.iter().map(|name| format!("`{name}`")).collect();
    let (names, names_them) = match names.as_slice() {
        [] => ("another policy".to_owned(), "names"),
        [one] => (one.clone(), "names"),
        several => (several.join(", "), "name"),
    };
    format!(
        "{count} {items} {stay}, because {names} with the same root {names_them} {them} too, and neither may take {them}; \
         add {them} to `exclude` in all but one of these policies"
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
        let message = format!("{owned} {items} that it names {belong} to `{other}`, whose root lies deeper");
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
