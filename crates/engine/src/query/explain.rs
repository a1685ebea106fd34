//! Why a path stays or goes, policy by policy and rule by rule.

use std::path::Path;

use cleanup_core::candidate::{Candidate, Name};
use cleanup_core::judge::{Rule, Run, examine, judge};
use cleanup_core::policy::FilePolicy;
use cleanup_core::report::json_path;
use cleanup_core::verdict::Verdict;
use cleanup_fs_store::{Classified, Store};

use crate::engine::Engine;
use crate::request::RequestError;
use crate::responses::{Answer, AnswerVerdict, Explanation, RuleAnswer, SessionExplanation};
use crate::run::limits::ranked;
use crate::run::min_free::shared_cutoffs;
use crate::run::scope::Scope;
use crate::run::{gates, passed_by_until, sessions};
use crate::state::run_state::{Access, Shared};
use crate::{clock, place};

/// How many earlier removals of a path an explanation tells of.
const MOST_REMOVALS: usize = 5;

impl Engine {
    /// What every file policy says to one path. A policy with limits goes through all its files for it, as a sweep of all
    /// policies would, unless the answer does not depend on them.
    pub fn explain(&self, path: &Path) -> Explanation {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let state = Shared::from(self.setup.state(Access::Look));
        let answer = |policy| self.answer(policy, &absolute, &state);
        let answers: Vec<Answer> = self.config().files.iter().filter_map(answer).collect();
        let (path, path_bytes) = json_path(absolute.as_os_str().as_encoded_bytes());
        let is_disputed = |answer: &&Answer| answer.disputed_with.is_some();
        let disputed: Vec<String> = answers.iter().filter(is_disputed).map(|it| it.policy.clone()).collect();
        let is_candidate = |answer: &&Answer| matches!(answer.verdict, AnswerVerdict::Remove | AnswerVerdict::Keep);
        let owner = answers.iter().find_map(|answer| answer.belongs_to.clone());
        let owner = owner.or_else(|| Some(answers.iter().find(is_candidate)?.policy.clone()));
        let removals = self.removals_of(&absolute, MOST_REMOVALS).unwrap_or_default();
        Explanation { path, path_bytes, owner: owner.filter(|_| disputed.is_empty()), disputed, answers, removals }
    }

    /// What a session policy says to the rows with a key, the text of its `id_column`.
    ///
    /// # Errors
    /// There is no session policy of this name.
    pub fn explain_session(&self, policy: &str, key: &str) -> Result<SessionExplanation, RequestError> {
        let policy = self.setup.session_policy(policy)?;
        let state = Shared::from(self.setup.state(Access::Look));
        Ok(sessions::explain(policy, &self.setup.folder, key, &state))
    }

    /// `None` when the path does not lie below the policy's root.
    fn answer(&self, policy: &FilePolicy, path: &Path, state: &Shared) -> Option<Answer> {
        let below = place::below(&policy.root, path)?;
        let (mut belongs_to, mut disputed_with) = (None, None);
        let usable = self.setup.store(policy, &state.lock()).and_then(gates::recording);
        let Judgement { verdict, reason, rules, kept_until } = match usable {
            Err(error) => Judgement::without(AnswerVerdict::Unknown, error.to_string()),
            Ok(store) => {
                let path = below.as_os_str().as_encoded_bytes();
                let look = store.classify(path);
                match &look {
                    Classified::Others { policy, .. } | Classified::HoldsRoot { policy } => {
                        belongs_to = Some(policy.clone());
                    }
                    Classified::Disputed { policy } => disputed_with = Some(policy.clone()),
                    _ => {}
                }
                match look {
                    Classified::Candidate(found) => self.judged(policy, &store, &found.candidate(name_of(path)), state),
                    Classified::Missing => self.missing(policy, path, state),
                    look @ Classified::Unreadable(_) => Judgement::without(AnswerVerdict::Unknown, look.to_string()),
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
    fn judged(&self, policy: &FilePolicy, store: &Store<'_>, candidate: &Candidate<'_>, state: &Shared) -> Judgement {
        let mut run = match gates::facts(&self.setup, state, policy, &Scope::All, clock::now()) {
            Ok(run) => run,
            Err(unready) => return Judgement::without(AnswerVerdict::Keep, unready.to_string()),
        };
        if policy.limits.need_ranking() {
            run = self.ranked_with_all(policy, store, run, state);
        }
        let verdict = judge(&policy.rule, &run, candidate);
        let passed_by = || passed_by_until(policy, &run, store, &state.lock(), candidate);
        Judgement {
            verdict: kind(&verdict),
            reason: verdict.reason(),
            rules: examine(&policy.rule, &run, candidate).iter().map(rule_answer).collect(),
            kept_until: if verdict.is_due() { passed_by() } else { verdict.kept_until() },
        }
    }

    /// What is said of a path where nothing is: whether it can come back.
    fn missing(&self, policy: &FilePolicy, path: &[u8], state: &Shared) -> Judgement {
        match self.quarantined_at(policy, path, &state.lock()) {
            None => Judgement::without(AnswerVerdict::Unknown, Classified::Missing.to_string()),
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

    /// As in a sweep of all policies.
    fn ranked_with_all(&self, policy: &FilePolicy, store: &Store<'_>, run: Run, state: &Shared) -> Run {
        let others = self.config().files.iter().filter(|_| policy.limits.min_free.is_some());
        // Nobody stops an explanation.
        let shared = shared_cutoffs(&self.setup, state, others, run.now, &()).unwrap_or_default();
        match shared.of(&policy.rule.name) {
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
pub(super) fn name_of(path: &[u8]) -> Name<'_> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Name { folder: &path[..slash], last: &path[slash + 1..] },
        None => Name { folder: b"", last: path },
    }
}
