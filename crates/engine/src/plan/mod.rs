//! Plans: verdicts written down, to be read by people and carried out later, exactly as they stand.
//!
//! A plan is a stream of JSON lines: what it belongs to, for each policy what its limits came to, one line for everything
//! that would go, and an end with a digest of all lines before it. Nothing of it is ever held in memory as a whole.
//!
//! Carrying it out is a sweep over just the files that it names ([`cleanup_fs_store::Store::select_same`]), through the same
//! checks and the same judge: what is another file now is kept, and so is what somebody holds since. So a plan can only
//! ever take less than a sweep would; a line that was smuggled in takes nothing that the policy would not take anyway.
//!
//! Rows are in no plan: their rule is inside the `DELETE` that removes them.

mod apply;
mod format;
mod read;
mod write;

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use cleanup_core::config::{Config, Origin, Setting};
use cleanup_core::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use read::{Plan, PlannedItem};

/// How long a plan counts, unless somebody says otherwise.
pub const VALID_FOR: Duration = Duration::from_hours(24);

/// Summary of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanSummary {
    /// Its id, a ULID.
    pub plan_id: String,
    /// When it was made.
    pub created_at: Moment,
    /// When it expires.
    pub expires_at: Moment,
    /// Its policies.
    pub policies: Vec<String>,
    /// The number of files and empty directories to remove.
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
        "{name:?} is a session policy; a plan contains only files, because each row is judged again in the DELETE \
         that removes it"
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
    #[error("line {line}: not a plan entry: {why}")]
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
    #[error("the plan expired at {expires_at}; make a new one")]
    TooOld {
        /// Until when it counted.
        expires_at: Moment,
    },
    /// It comes from the future.
    #[error(
        "the plan was made at {created_at}, which is in the future: the clock was set back, or the plan comes from \
         another machine; make a new one"
    )]
    Future {
        /// When it was made.
        created_at: Moment,
    },
}

/// The defaults that the first plans were made with. One that a later version brings is left out, so that plans count
/// across an upgrade.
const FIRST_DEFAULTS: [&str; 16] = [
    "exclude",
    "archives",
    "include_archives",
    "min_age",
    "stamp",
    "age_clock",
    "recursive",
    "remove_empty_dirs",
    "unit",
    "dispose",
    "skip_in_use",
    "honour_flock",
    "index",
    "mode",
    "track",
    "enabled",
];

/// What policies have to have in common with those that a plan was made for: all their settings.
fn fingerprint(config: &Config, policies: &[String]) -> String {
    let mut digest = Sha256::new();
    for policy in policies {
        let prefix = format!("files.{policy}.");
        let counts = |setting: &&Setting| match setting.key.strip_prefix(&prefix) {
            // Nothing is planned where there is no root.
            None | Some("root_may_be_missing") => false,
            Some(key) => setting.origin != Origin::Default || FIRST_DEFAULTS.contains(&key),
        };
        for setting in config.settings.iter().filter(counts) {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cleanup_core::config::Source;

    use super::*;

    /// What the first version put into its digest.
    const FIRST: &str = "files.a.root = \"/r\"\nfiles.a.include = [\"*\"]\nfiles.a.max_age = \"1h\"\nfiles.a.exclude = []\n\
        files.a.archives = []\nfiles.a.include_archives = false\nfiles.a.min_age = \"0s\"\nfiles.a.stamp = \"mtime\"\n\
        files.a.age_clock = \"wall\"\nfiles.a.recursive = false\nfiles.a.remove_empty_dirs = false\n\
        files.a.unit = \"file\"\nfiles.a.dispose = \"delete\"\nfiles.a.skip_in_use = false\n\
        files.a.honour_flock = false\nfiles.a.index = true\nfiles.a.mode = \"enforce\"\nfiles.a.track = false\n\
        files.a.enabled = true\n";

    #[test]
    fn a_plan_of_the_first_version_counts_across_an_upgrade() {
        let policies = ["a".to_owned()];
        let of = |more: &str| {
            let text = format!("[files.a]\nroot = \"/r\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n{more}\n");
            let source = Source { name: "", text: &text, folder: Path::new("/") };
            fingerprint(&Config::load(&source, &|_| None).unwrap(), &policies)
        };
        assert_eq!(of(""), hex(Sha256::new().chain_update(FIRST)));
        assert_eq!(of("root_may_be_missing = true"), of(""));
        assert_ne!(of("skip_in_use = true"), of(""));
    }
}
