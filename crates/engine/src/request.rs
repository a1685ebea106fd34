//! Requests to the engine: which policies, how, and at which time.

use std::num::NonZero;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Archives, FilePolicy, MaxAge};
use cleanup_core::report::Trigger;
use cleanup_core::sweep::Mode;
use cleanup_fs_store::Jobs;

use crate::clock;

/// What to sweep, and how. The default plans all enabled policies, and removes nothing.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names of policies; empty means all enabled ones.
    pub policies: Vec<String>,
    /// Whether to act.
    pub mode: Mode,
    /// Judge archives by age like other files, in all file policies.
    pub include_archives: bool,
    /// Other age limits for some file policies, for this run.
    pub max_age: Vec<(String, MaxAge)>,
    /// Another time than now, for plans.
    pub at: Option<At>,
    /// Override the brakes and trust the clock, because a person has checked.
    pub force: bool,
    /// The number of workers for each policy; `None` chooses it automatically.
    pub jobs: Option<NonZero<usize>>,
    /// What starts it.
    pub trigger: Trigger,
    /// Who made the request, if known; appears in the report and the audit log.
    pub asked_by: Option<String>,
    /// The id of the report, from [`run_id`](crate::run_id); `None` for a new one.
    pub run_id: Option<String>,
}

impl Request {
    /// As the store wants to know it.
    pub(crate) fn jobs(&self) -> Jobs {
        self.jobs.map_or(Jobs::Adaptive, Jobs::Fixed)
    }
}

impl Default for Request {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            mode: Mode::Plan,
            include_archives: false,
            max_age: Vec::new(),
            at: None,
            force: false,
            jobs: None,
            trigger: Trigger::Manual,
            asked_by: None,
            run_id: None,
        }
    }
}

/// Another time than now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// That moment.
    Moment(Moment),
    /// This long from now.
    In(Duration),
}

impl At {
    pub(crate) fn moment(self) -> Moment {
        match self {
            Self::Moment(moment) => moment,
            Self::In(span) => clock::now().plus(span),
        }
    }
}

/// An invalid request. All of these are usage errors (exit code 2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No policy has this name.
    #[error("there is no policy {name:?}{}", suggestion.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default())]
    UnknownPolicy {
        /// The name.
        name: String,
        /// The closest name that exists.
        suggestion: Option<String>,
    },
    /// Only plans may use another time than now: removing by another time would be removing by a wrong clock.
    #[error("`--at` requires a dry run")]
    NotNow,
    /// The age limit of sessions belongs to the application.
    #[error("{name:?} is a session policy; its threshold is set only in the configuration (`max_idle`)")]
    NotAFilePolicy {
        /// The name.
        name: String,
    },
    /// Only rows have a key.
    #[error("{name:?} is a file policy; `cleanup explain PATH` explains its files")]
    NotASessionPolicy {
        /// The name.
        name: String,
    },
}

/// A run of one policy with the overrides of the request.
pub(crate) fn adjusted(policy: &FilePolicy, request: &Request) -> FilePolicy {
    let mut policy = policy.clone();
    if request.include_archives {
        policy.rule.archives = Archives::Judge;
    }
    for (name, max_age) in &request.max_age {
        if *name == policy.rule.name {
            policy.rule.max_age = Some(*max_age);
        }
    }
    policy
}
