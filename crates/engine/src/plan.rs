//! Plans: verdicts written down, to be read by people and carried out later, exactly as they stand.
//!
//! A plan is a stream of JSON lines: what it belongs to, for each policy what its limits came to, one line for everything
//! that would go, and an end with a digest of all lines before it. Nothing of it is ever held in memory as a whole.
//!
//! Carrying it out is a sweep over just the files that it names ([`cleanup_fs_store::Store::pick_same`]), through the same
//! checks and the same judge: what is another file now is kept, and so is what somebody holds since. So a plan can only
//! ever take less than a sweep would; a line that was smuggled in takes nothing that the policy would not take anyway.
//!
//! Rows are in no plan: their rule is inside the `DELETE` that removes them.

mod apply;
mod line;
mod read;
mod write;

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use cleanup_core::config::{Config, Origin as SettingOrigin, Setting};
use cleanup_core::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::memory::LATER;

pub use read::Plan;

pub(crate) use apply::Named;

/// How long a plan counts, unless somebody says otherwise.
pub const VALID_FOR: Duration = Duration::from_hours(24);

/// A plan in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanSummary {
    /// Its id, a ULID.
    pub plan_id: String,
    /// When it was made.
    pub created_at: Moment,
    /// From when on it is refused.
    pub expires_at: Moment,
    /// The policies that it speaks of.
    pub policies: Vec<String>,
    /// How many files and empty directories would go.
    pub entries: u64,
    /// Their allocated bytes.
    pub bytes: u64,
}

/// Why a plan cannot be made or is refused. Nothing has been removed then.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The request makes no sense.
    #[error(transparent)]
    Request(#[from] crate::RequestError),
    /// It asks for rows.
    #[error(
        "{name:?} is a session policy; rows are in no plan, because each is judged again in the DELETE that removes it"
    )]
    Sessions {
        /// The policy.
        name: String,
    },
    /// The plan cannot be written.
    #[error("the plan cannot be written: {0}")]
    Unwritable(#[source] io::Error),
    /// The plan cannot be read.
    #[error("the plan cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It is something else.
    #[error("line {line} is no line of a plan: {why}")]
    NotAPlan {
        /// Counted from 1.
        line: u64,
        /// In words.
        why: String,
    },
    /// Its end is missing.
    #[error("the plan is incomplete: its last line is missing; make a new one")]
    Incomplete,
    /// Its lines are not those that were written.
    #[error("the plan was edited since it was made; make a new one")]
    Edited,
    /// Another version wrote it.
    #[error("the plan has format {found}, and this version knows format {known}; make a new one")]
    OtherFormat {
        /// The version of the plan.
        found: u32,
        /// The version that is known.
        known: u32,
    },
    /// It was made by another configuration.
    #[error("the plan was made for other policies, or their settings have changed since; make a new one")]
    Foreign,
    /// Its time is over.
    #[error("the plan counted until {expires_at}; make a new one")]
    TooOld {
        /// Until when it counted.
        expires_at: Moment,
    },
    /// It comes from the future.
    #[error(
        "the plan was made at {created_at}, which is yet to come: the clock was set back, or the plan comes from elsewhere; make a new one"
    )]
    Future {
        /// When it was made.
        created_at: Moment,
    },
}

/// What policies have to have in common with those that a plan was made for: all their settings.
fn fingerprint(config: &Config, policies: &[String]) -> String {
    let mut digest = Sha256::new();
    for policy in policies {
        let prefix = format!("files.{policy}.");
        let is_newer = |setting: &&Setting| {
            // At its default, a key that came later does not make an older plan another one.
            let key = setting.key.strip_prefix(&prefix).unwrap_or_default();
            setting.origin == SettingOrigin::Default && LATER.contains(&key)
        };
        let own = config.settings.iter().filter(|setting| setting.key.starts_with(&prefix));
        for setting in own.filter(|setting| !is_newer(setting)) {
            digest.update(format!("{} = {}\n", setting.key, setting.value));
        }
    }
    hex(digest)
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
