//! What is asked of the engine: which policies, how, and as if at what time.

use std::num::NonZero;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Archives, FilePolicy, MaxAge};
use cleanup_core::report::Trigger;
use cleanup_core::sweep::Mode;
use cleanup_fs_store::Jobs;

use crate::clock;

/// What to sweep, and how. The default plans for all policies that are enabled, and removes nothing.
#[derive(Clone, Debug)]
pub struct Request {
    /// The policies by name; empty means all that are enabled.
    pub policies: Vec<String>,
    /// Whether to act.
    pub mode: Mode,
    /// Judge archives by age like everything else, in all file policies.
    pub include_archives: bool,
    /// Other age limits for some file policies, for this run.
    pub max_age: Vec<(String, MaxAge)>,
    /// As if it were another time, for plans.
    pub at: Option<At>,
    /// Go past the brakes, and take the clock for right: a person has looked.
    pub force: bool,
    /// How many workers look through the files of a policy; `None` is as many as there is use for.
    pub jobs: Option<NonZero<usize>>,
    /// What starts it.
    pub trigger: Trigger,
    /// Who asks for it, where that has a name: the report and the audit log say so.
    pub asked_by: Option<String>,
    /// The id that the report is to have, as [`run_id`](crate::run_id) makes them; `None` for a new one.
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
    /// So long from now.
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

/// A request that makes no sense. Every one of these is a usage error (exit code 2).
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
    /// Removing at another time than now would be removing by a wrong clock.
    #[error("another time than now is for dry runs only")]
    NotNow,
    /// The age limit of sessions belongs to the application.
    #[error("{name:?} is a session policy; its threshold is set in the configuration (`max_idle`) and nowhere else")]
    NotAFilePolicy {
        /// The name.
        name: String,
    },
    /// Only rows have a key.
    #[error("{name:?} is a file policy; `cleanup explain PATH` tells of its files")]
    NotASessionPolicy {
        /// The name.
        name: String,
    },
}

/// A run of one policy with what the request asks to be different.
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
