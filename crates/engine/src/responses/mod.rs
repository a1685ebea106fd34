//! What the engine answers beside a report: statistics, lists, explanations, checks.
//!
//! Like the report these are plain values with a JSON shape that scripts rely on: keys are added, never renamed or
//! lost. All of them come out of the same walk and the same judge as a sweep.

mod check;
mod explain;
mod history;
mod quarantine;
mod removals;
mod stats;
pub mod track;

pub use self::check::{
    BatchPlan, Check, CheckedNotify, Finding, Follower, RowOrder, SessionCheck, Severity, TestedTarget,
};
pub use self::explain::{Answer, AnswerVerdict, Explanation, RuleAnswer, SessionAnswer, SessionExplanation};
pub use self::history::{HeldPath, History, Holds, LastRun, PastRun};
pub use self::quarantine::{Quarantined, QuarantinedFile, QuarantinedPolicy, RestoreOutcome, Restored, RestoredFile};
pub use self::removals::{RemovalAction, RemovalEntry, Removals};
pub use self::stats::{AgeBand, FileStats, Listed, NextToGo, PolicyStats, SessionStats, Stats};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
