//! Answers about single paths and about the configuration as a whole. Nothing here changes anything.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use cleanup_core::candidate::{Candidate, Name};
use cleanup_core::config::SHORTEST_TOKEN;
use cleanup_core::judge::{Rule, Run, examine, judge};
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::{FORMAT_VERSION, json_path};
use cleanup_core::verdict::Verdict;
use cleanup_fs_store::{Look, RootError, Store};
use cleanup_pg_sessions::Obstacle;

use crate::clock;
use crate::engine::Engine;
use crate::place;
use crate::quarantine;
use crate::responses::{Answer, AnswerVerdict, Check, Explanation, Finding, RuleAnswer, Severity};
use crate::run::due_index;
use crate::run::limits::{self, ranked};
use crate::run::missing_root;
use crate::run::owners;
use crate::run::sessions;
use crate::state::run_state::{Memory, Use};

/// More than any token needs, in bytes.
const LONGEST_TOKEN: u64 = 4096;

impl Engine {
    /// What every file policy says to one path. A policy with limits goes through all its files for it, as a sweep of all
    /// policies would, unless the answer does not depend on them.
    pub fn explain(&self, path: &Path) -> Explanation {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut memory = self.memory(Use::Look);
        let answer = |policy| self.answer(policy, &absolute, &mut memory);
        let answers: Vec<Answer> = self.config.files.iter().filter_map(answer).collect();
        let (path, path_bytes) = json_path(absolute.as_os_str().as_encoded_bytes());
        let is_disputed = |answer: &&Answer| answer.disputed_with.is_some();
        let disputed: Vec<String> = answers.iter().filter(is_disputed).map(|it| it.policy.clone()).collect();
        let is_candidate = |answer: &&Answer| matches!(answer.verdict, AnswerVerdict::Remove | AnswerVerdict::Keep);
        let owner = answers.iter().find_map(|answer| answer.belongs_to.clone());
        let owner = owner.or_else(|| Some(answers.iter().find(is_candidate)?.policy.clone()));
        Explanation { path, path_bytes, owner: owner.filter(|_| disputed.is_empty()), disputed, answers }
    }

    /// Looks whether every policy could run, and changes nothing.
    pub fn check(&self) -> Check {
        let mut memory = self.memory(Use::Look);
        let files: Vec<Finding> =
            self.config.files.iter().filter_map(|policy| self.check_files(policy, &mut memory)).collect();
        let overlaps = self.config.files.iter().flat_map(|policy| self.check_overlaps(policy, &memory));
        let sessions: Vec<_> = self.config.sessions.iter().collect();
        let zone = crate::zone::time_zone(self.config.time_zone.as_deref()).err().map(|error| Finding {
            policy: "all".to_owned(),
            severity: Severity::Error,
            message: error.to_string(),
            remedy: Some("ls /usr/share/zoneinfo".to_owned()),
        });
        let findings: Vec<Finding> = zone
            .into_iter()
            .chain(files)
            .chain(overlaps)
            .chain(sessions::check(&sessions, &self.folder))
            .chain(self.check_token())
            .collect();
        let status = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
        let config = self.origin.to_string();
        Check { format_version: FORMAT_VERSION, config, status, findings }
    }

    /// A token that can be guessed. One that cannot be read here, because it is the service's alone, is for the service to
    /// judge when it starts.
    fn check_token(&self) -> Option<Finding> {
        let path = self.config.server.token_file.as_ref().filter(|path| path.is_file())?;
        let mut text = String::new();
        File::open(path).ok()?.take(LONGEST_TOKEN).read_to_string(&mut text).ok()?;
        (1..SHORTEST_TOKEN).contains(&text.trim().len()).then(|| Finding {
            policy: "[server]".to_owned(),
            severity: Severity::Warning,
            message: format!(
                "the token in {} is shorter than {SHORTEST_TOKEN} characters and can be guessed; from version 0.3 on it \
                 is refused",
                path.display()
            ),
            remedy: Some(format!("head -c 32 /dev/urandom | base64 > {}", path.display())),
        })
    }

    /// `None` when the path does not lie below the policy's root.
    fn answer(&self, policy: &FilePolicy, path: &Path, memory: &mut Memory) -> Option<Answer> {
        let below = place::below(&policy.root, path)?;
        let (mut belongs_to, mut disputed_with) = (None, None);
        let usable = self.store(policy, memory).and_then(|store| store.records_stamp().map(|()| store));
        let Judgement { verdict, reason, rules, kept_until } = match usable {
            Err(error) => Judgement::without(AnswerVerdict::Unknown, error.to_string()),
            Ok(store) => {
                let path = below.as_os_str().as_encoded_bytes();
                let look = store.look(path);
                match &look {
                    Look::Others { policy, .. } | Look::HoldsRoot { policy } => belongs_to = Some(policy.clone()),
                    Look::Disputed { policy } => disputed_with = Some(policy.clone()),
                    _ => {}
                }
                match look {
                    Look::Candidate(found) => self.judged(policy, &store, &found.candidate(name_of(path)), memory),
                    Look::Missing => self.missing(policy, path, memory),
                    look @ Look::Unreadable(_) => Judgement::without(AnswerVerdict::Unknown, look.to_string()),
                    look => Judgement::without(AnswerVerdict::NotACandidate, look.to_string()),
                }
            }
        };
        Some(Answer {
            policy: policy.rule.name.clone(),
            verdict,
            reason,
            belongs_to,
            disputed_with,
            rules,
            kept_until,
            enabled: policy.enabled,
            schedule: policy.schedule.as_ref().map(ToString::to_string),
        })
    }

    /// What a sweep would say now.
    fn judged(
        &self,
        policy: &FilePolicy,
        store: &Store<'_>,
        candidate: &Candidate<'_>,
        memory: &mut Memory,
    ) -> Judgement {
        let mut run = match self.before_ranking(policy, memory, clock::now()) {
            Ok(run) => run,
            Err(unready) => return Judgement::without(AnswerVerdict::Keep, unready.to_string()),
        };
        if policy.limits.need_ranking() {
            run = self.ranked_with_all(policy, store, run, memory);
        }
        let verdict = judge(&policy.rule, &run, candidate);
        let passed_by = || due_index::passed_by_until(policy, &run, store, memory, candidate);
        Judgement {
            verdict: kind(&verdict),
            reason: verdict.reason(),
            rules: examine(&policy.rule, &run, candidate).iter().map(rule_answer).collect(),
            kept_until: if verdict.is_due() { passed_by() } else { verdict.kept_until() },
        }
    }

    /// What is said of a path where nothing is: whether it can come back.
    fn missing(&self, policy: &FilePolicy, path: &[u8], memory: &Memory) -> Judgement {
        match self.quarantined_at(policy, path, memory) {
            None => Judgement::without(AnswerVerdict::Unknown, Look::Missing.to_string()),
            Some(file) => {
                let why = file.reason.map(|why| format!(" ({why})")).unwrap_or_default();
                let reason = format!(
                    "moved into quarantine at {}{why}; `cleanup restore` brings it back until {}",
                    file.quarantined_at, file.until
                );
                Judgement::without(AnswerVerdict::Quarantined, reason)
            }
        }
    }

    fn check_files(&self, policy: &FilePolicy, memory: &mut Memory) -> Option<Finding> {
        let finding =
            |severity, message, remedy| Some(Finding { policy: policy.rule.name.clone(), severity, message, remedy });
        let root = policy.root.display();
        match self.store(policy, memory).and_then(|store| store.records_stamp().map(|()| store)) {
            Err(error @ RootError::Missing { .. }) => {
                finding(Severity::Error, missing_root(policy, &error, memory)?, Some(format!("mkdir -p {root}")))
            }
            Err(error) => finding(Severity::Error, error.to_string(), None),
            Ok(store) => match store.may_remove() {
                Ok(()) => {
                    if let Some(why) = quarantine::check(&store, policy) {
                        return finding(Severity::Error, why, None);
                    }
                    if let Err(brake) = limits::reachable(&store, policy) {
                        return finding(Severity::Error, brake.to_string(), None);
                    }
                    let unknown = sessions::referenced(policy, &self.config, &self.folder).err()?;
                    let severity = match &unknown {
                        Obstacle::Skipped { .. } => Severity::Warning,
                        Obstacle::Held(_) | Obstacle::Failed(_) => Severity::Error,
                    };
                    finding(severity, unknown.to_string(), None)
                }
                Err(why) => finding(Severity::Error, format!("files in {root} cannot be removed: {why}"), None),
            },
        }
    }

    fn check_overlaps(&self, policy: &FilePolicy, memory: &Memory) -> Vec<Finding> {
        // Why a root cannot be opened is said elsewhere.
        self.store(policy, memory).map(|store| owners::check(policy, &store)).unwrap_or_default()
    }

    /// As in a sweep of all policies.
    fn ranked_with_all(&self, policy: &FilePolicy, store: &Store<'_>, run: Run, memory: &mut Memory) -> Run {
        let others = self.config.files.iter().filter(|_| policy.limits.min_free.is_some());
        // Nobody stops an explanation.
        let shares = self.shares(others, run.now, memory, &()).unwrap_or_default();
        match shares.of(&policy.rule.name) {
            Some(cutoffs) => Run { cutoffs, ..run },
            None => ranked(store, policy, run.clone(), &()).unwrap_or(run),
        }
    }
}

struct Judgement {
    verdict: AnswerVerdict,
    reason: String,
    rules: Vec<RuleAnswer>,
    kept_until: Option<cleanup_core::moment::Moment>,
}

impl Judgement {
    /// Where there is nothing to judge.
    fn without(verdict: AnswerVerdict, reason: String) -> Self {
        Self { verdict, reason, rules: Vec::new(), kept_until: None }
    }
}

fn kind(verdict: &Verdict) -> AnswerVerdict {
    if verdict.is_due() { AnswerVerdict::Remove } else { AnswerVerdict::Keep }
}

fn rule_answer((rule, answer): &(Rule, Option<Verdict>)) -> RuleAnswer {
    RuleAnswer {
        rule: rule.to_string(),
        verdict: answer.as_ref().map(kind),
        reason: answer.as_ref().map(Verdict::reason),
    }
}

/// A path below a root in the two parts of a name.
fn name_of(path: &[u8]) -> Name<'_> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Name { folder: &path[..slash], last: &path[slash + 1..] },
        None => Name { folder: b"", last: path },
    }
}
