//! The engine: opens the stores that the configuration names, reads the clock, lets core drive, builds the report.
//!
//! One policy that cannot run never stops the others: it ends as a status in the report. An error of a call means
//! that the call itself made no sense.

use std::path::{Path, PathBuf};

use cleanup_core::candidate::Name;
use cleanup_core::config::Config;
use cleanup_core::judge::{Run, judge};
use cleanup_core::moment::Moment;
use cleanup_core::policy::{Archives, FilePolicy, MaxAge, SessionPolicy};
use cleanup_core::report::{PolicyKind, PolicyReport, Report, Skip, Trigger, json_path};
use cleanup_core::store::Seen;
use cleanup_core::sweep::{Judged, Mode, Observer, sweep};
use cleanup_fs_store::{FileId, Look, RootError, Store};
use ulid::Ulid;

use crate::answer::{Answer, AnswerVerdict, Check, Explanation, Finding, Listed, Severity, Stats};
use crate::open::{self, OpenError, Origin};
use crate::{clock, rows, watch};

/// An opened configuration, ready to sweep and to answer.
#[derive(Debug)]
pub struct Engine {
    origin: Origin,
    config: Config,
    /// What relative paths in the configuration are relative to.
    folder: PathBuf,
}

/// What to sweep, and how.
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
    /// As if it were this moment, for plans.
    pub at: Option<Moment>,
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
}

/// Watches a run from outside: for lists, progress, events. Called from the engine's threads.
pub trait Watcher: Sync {
    /// A policy begins.
    fn begins(&self, policy: &str) {
        let _ = policy;
    }

    /// A candidate was judged and, when due and not in a plan, acted on.
    fn judged(&self, policy: &str, judged: &Judged<'_>) {
        let _ = (policy, judged);
    }

    /// More entries were looked at.
    fn seen(&self, policy: &str, seen: Seen) {
        let _ = (policy, seen);
    }

    /// A policy has ended.
    fn ends(&self, report: &PolicyReport) {
        let _ = report;
    }
}

/// Watches nothing.
impl Watcher for () {}

/// The policies that a request means, in the order of the configuration.
struct Selected<'a> {
    files: Vec<&'a FilePolicy>,
    sessions: Vec<&'a SessionPolicy>,
}

impl Engine {
    /// Finds, trusts, reads and checks the configuration: `named`, else `$CLEANUP_CONFIG`, else `./cleanup.toml`, the
    /// user's, the system's, the built-in default.
    pub fn open(named: Option<&Path>) -> Result<Self, OpenError> {
        let (origin, config, folder) = open::open(named)?;
        Ok(Self { origin, config, folder })
    }

    /// Where the configuration came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether any file policy has a root to look at.
    pub fn has_any_root(&self) -> bool {
        self.config.files.iter().any(|policy| policy.root.symlink_metadata().is_ok())
    }

    /// Sweeps, or plans to. Blocks until all policies have ended.
    pub fn sweep(&self, request: &Request, watcher: &dyn Watcher) -> Result<Report, RequestError> {
        let selected = self.select(&request.policies)?;
        if request.at.is_some() && request.mode == Mode::Apply {
            return Err(RequestError::NotNow);
        }
        for (name, _) in &request.max_age {
            if self.select(std::slice::from_ref(name))?.files.is_empty() {
                return Err(RequestError::NotAFilePolicy { name: name.clone() });
            }
        }
        let started_at = clock::now();
        let reports = std::thread::scope(|scope| {
            let rows = (!selected.sessions.is_empty()).then(|| {
                scope.spawn(|| rows::sweep(&selected.sessions, &self.folder, request.mode, request.at, watcher))
            });
            let mut reports: Vec<_> =
                selected.files.iter().map(|policy| self.run_files(policy, request, watcher)).collect();
            let rows = rows.map(|rows| rows.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            reports.extend(rows.into_iter().flatten());
            reports
        });
        let dry_run = request.mode == Mode::Plan;
        Ok(Report::new(run_id(started_at), Trigger::Manual, dry_run, started_at, clock::now(), reports))
    }

    /// What is there now, by policy.
    pub fn stats(&self, policies: &[String]) -> Result<Stats, RequestError> {
        let selected = self.select(policies)?;
        let files = selected.files.into_iter().map(|policy| {
            let stats = watch::FileStatsWatcher::new(policy);
            let report = self.sweep_files(policy, clock::now(), Mode::Plan, &stats);
            stats.finish(report)
        });
        let policies = files.chain(rows::stats(&selected.sessions, &self.folder)).collect();
        Ok(Stats { format_version: cleanup_core::report::FORMAT_VERSION, policies })
    }

    /// Calls `each` for every file that a policy means, as the walk comes to it. Returns how the policies ended.
    pub fn list(
        &self,
        policies: &[String],
        each: &(dyn Fn(&Listed) + Sync),
    ) -> Result<Vec<PolicyReport>, RequestError> {
        let selected = self.select(policies)?;
        let watcher = watch::ListWatcher { now: clock::now(), each };
        Ok(selected
            .files
            .into_iter()
            .map(|policy| self.sweep_files(policy, watcher.now, Mode::Plan, &watcher))
            .collect())
    }

    /// What every file policy says to one path.
    pub fn explain(&self, path: &Path) -> Explanation {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let answers = self.config.files.iter().filter_map(|policy| self.answer(policy, &absolute)).collect();
        let (path, path_bytes) = json_path(absolute.as_os_str().as_encoded_bytes());
        Explanation { path, path_bytes, answers }
    }

    /// Looks whether every policy could run, and changes nothing.
    pub fn check(&self) -> Check {
        let files = self.config.files.iter().filter_map(|policy| self.check_files(policy));
        let sessions: Vec<_> = self.config.sessions.iter().collect();
        let findings: Vec<Finding> = files.chain(rows::check(&sessions, &self.folder)).collect();
        let status = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
        let config = self.origin.to_string();
        Check { format_version: cleanup_core::report::FORMAT_VERSION, config, status, findings }
    }

    fn select(&self, names: &[String]) -> Result<Selected<'_>, RequestError> {
        let Config { files, sessions, .. } = &self.config;
        if names.is_empty() {
            return Ok(Selected {
                files: files.iter().filter(|policy| policy.enabled).collect(),
                sessions: sessions.iter().filter(|policy| policy.enabled).collect(),
            });
        }
        for name in names {
            if !self.config.rules().any(|rule| rule.name == *name) {
                let suggestion = self.config.nearest_policy(name).map(str::to_owned);
                return Err(RequestError::UnknownPolicy { name: name.clone(), suggestion });
            }
        }
        Ok(Selected {
            files: files.iter().filter(|policy| names.contains(&policy.rule.name)).collect(),
            sessions: sessions.iter().filter(|policy| names.contains(&policy.rule.name)).collect(),
        })
    }

    fn store<'a>(&self, policy: &'a FilePolicy) -> Result<Store<'a>, RootError> {
        // Even where `include = ["*"]` means it too, the file that says what to keep is kept.
        let spared = self.origin.path().and_then(FileId::of).into_iter().collect();
        Store::open(policy, spared)
    }

    fn run_files(&self, policy: &FilePolicy, request: &Request, watcher: &dyn Watcher) -> PolicyReport {
        watcher.begins(&policy.rule.name);
        let now = request.at.unwrap_or_else(clock::now);
        let report = self.sweep_files(&adjusted(policy, request), now, request.mode, watcher);
        watcher.ends(&report);
        report
    }

    fn sweep_files(&self, policy: &FilePolicy, now: Moment, mode: Mode, watcher: &dyn Watcher) -> PolicyReport {
        let name = &policy.rule.name;
        if !policy.enabled {
            return disabled(name, PolicyKind::Files);
        }
        let store = match self.store(policy) {
            Ok(store) => store,
            Err(error @ RootError::Missing { .. }) => {
                return PolicyReport::skipped(name, PolicyKind::Files, Skip::NoRoot, error.to_string());
            }
            Err(error) => {
                tracing::warn!(policy = name.as_str(), "{error}");
                return PolicyReport::failed(name, PolicyKind::Files, error.to_string());
            }
        };
        let run = Run::at(now);
        let tally = sweep(&store, &policy.rule, &run, mode, &PolicyWatcher { name, watcher });
        PolicyReport::finished(name, PolicyKind::Files, tally)
    }

    /// `None` when the path does not lie below the policy's root.
    fn answer(&self, policy: &FilePolicy, path: &Path) -> Option<Answer> {
        let below = below(&policy.root, path)?;
        let (verdict, reason, kept_until) = match self.store(policy) {
            Err(error) => (AnswerVerdict::Unknown, error.to_string(), None),
            Ok(store) => {
                let path = below.as_os_str().as_encoded_bytes();
                match store.look(path) {
                    Look::Candidate(found) => {
                        let name = Name { folder: b"", last: path };
                        let verdict = judge(&policy.rule, &Run::at(clock::now()), &found.candidate(name));
                        let kind = if verdict.is_due() { AnswerVerdict::Remove } else { AnswerVerdict::Keep };
                        (kind, verdict.reason(), verdict.kept_until())
                    }
                    look @ (Look::Missing | Look::Unreadable(_)) => (AnswerVerdict::Unknown, look.to_string(), None),
                    look => (AnswerVerdict::NotACandidate, look.to_string(), None),
                }
            }
        };
        Some(Answer {
            policy: policy.rule.name.clone(),
            verdict,
            reason,
            kept_until,
            enabled: policy.enabled,
            schedule: policy.schedule.as_ref().map(ToString::to_string),
        })
    }

    fn check_files(&self, policy: &FilePolicy) -> Option<Finding> {
        let finding =
            |severity, message, remedy| Some(Finding { policy: policy.rule.name.clone(), severity, message, remedy });
        let root = policy.root.display();
        match self.store(policy) {
            Err(error @ RootError::Missing { .. }) => finding(
                Severity::Warning,
                format!("{error}; skipped until there is one"),
                Some(format!("mkdir -p {root}")),
            ),
            Err(error) => finding(Severity::Error, error.to_string(), None),
            Ok(store) => match store.may_remove() {
                Ok(()) => None,
                Err(why) => finding(Severity::Error, format!("files in {root} cannot be removed: {why}"), None),
            },
        }
    }
}

/// A run of one policy with what the request asks to be different.
fn adjusted(policy: &FilePolicy, request: &Request) -> FilePolicy {
    let mut policy = policy.clone();
    if request.include_archives {
        policy.rule.archives = Archives::Judge;
    }
    for (name, max_age) in &request.max_age {
        if *name == policy.rule.name {
            policy.rule.max_age = *max_age;
        }
    }
    policy
}

/// A policy that the configuration switches off.
pub(crate) fn disabled(name: &str, kind: PolicyKind) -> PolicyReport {
    PolicyReport::skipped(name, kind, Skip::Disabled, "disabled in the configuration".to_owned())
}

/// The path below the root, if it lies there: as written, or else by where its folder really is.
fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    let as_written = || {
        let plain = !path.components().any(|component| component == std::path::Component::ParentDir);
        plain.then(|| path.strip_prefix(root).ok()).flatten().map(Path::to_owned)
    };
    let really = || {
        let folder = path.parent()?.canonicalize().ok()?;
        folder.join(path.file_name()?).strip_prefix(root.canonicalize().ok()?).ok().map(Path::to_owned)
    };
    as_written().or_else(really)
}

/// A ULID: sorts by time, and two in the same millisecond differ.
fn run_id(at: Moment) -> String {
    let millis = u64::try_from(at.unix_millis()).unwrap_or(0);
    Ulid::from_parts(millis, Ulid::generate().random()).to_string()
}

/// Passes on what a sweep of one policy says, with the policy's name.
pub(crate) struct PolicyWatcher<'a> {
    pub(crate) name: &'a str,
    pub(crate) watcher: &'a dyn Watcher,
}

impl Observer for PolicyWatcher<'_> {
    fn judged(&self, judged: &Judged<'_>) {
        if let Some(outcome) = judged.outcome {
            tracing::debug!(policy = self.name, path = %judged.candidate.name, ?outcome, "{}", judged.verdict);
        }
        self.watcher.judged(self.name, judged);
    }

    fn seen(&self, seen: Seen) {
        self.watcher.seen(self.name, seen);
    }
}
