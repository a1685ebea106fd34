//! Why a file stays or goes: a field for its path, and the answer.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use cleanup_engine::responses::{AnswerVerdict, Explanation, RuleAnswer};
use serde::Deserialize;

use super::page::{Asked, Frame, Part, here, html};
use super::removals::RemovalLine;
use super::runs::query_of;
use super::words::{self, Here, Status, When};
use crate::app;
use crate::app::service::Service;
use crate::web::extract;
use crate::web::problem::Problem;

/// Which file; empty fields of a form ask for nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    path: String,
    path_bytes: String,
    policy: String,
}

/// What one policy says to it.
#[derive(Clone, Debug)]
pub(crate) struct AnswerLine {
    pub(crate) policy: String,
    pub(crate) verdict: Status,
    pub(crate) reason: String,
    /// What each rule says, in the order in which they are asked.
    pub(crate) rules: Vec<RuleLine>,
    /// Where it can be brought back from, when it lies in quarantine.
    pub(crate) quarantine: Option<String>,
    pub(crate) kept_until: Option<When>,
    pub(crate) is_enabled: bool,
    pub(crate) schedule: Option<String>,
}

/// What one rule says to it.
#[derive(Clone, Debug)]
pub(crate) struct RuleLine {
    pub(crate) rule: String,
    pub(crate) status: Status,
    pub(crate) reason: String,
    /// The first that applies: all others are only said.
    pub(crate) decides: bool,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    policies: Vec<String>,
    path: String,
    policy: String,
    problem: Option<String>,
    /// What was asked for, and the answers.
    explained: Option<(String, Vec<AnswerLine>)>,
    /// Earlier removals of the path.
    removals: Vec<RemovalLine>,
}

/// The answers as they are shown.
pub(crate) fn answers(explanation: &Explanation, here: &Here) -> Vec<AnswerLine> {
    let verdict = |verdict: AnswerVerdict| match verdict {
        AnswerVerdict::Remove => Status { word: "removed by the next sweep", class: "gone" },
        AnswerVerdict::Keep => Status { word: "kept", class: "good" },
        AnswerVerdict::NotACandidate => Status { word: "not a candidate", class: "idle" },
        AnswerVerdict::Quarantined => Status { word: "in quarantine", class: "warn" },
        AnswerVerdict::Unknown => Status { word: "unknown", class: "warn" },
    };
    let line = |answer: &cleanup_engine::responses::Answer| AnswerLine {
        policy: answer.policy.clone(),
        verdict: verdict(answer.verdict),
        reason: words::sentence(&here.text(&answer.reason)),
        rules: rules(&answer.rules, here),
        quarantine: (answer.verdict == AnswerVerdict::Quarantined).then(|| {
            let name = explanation.path.rsplit('/').next().unwrap_or_default();
            // It is searched for by a part of its name that is text.
            let plain = name.split('\u{fffd}').max_by_key(|part| part.len()).unwrap_or_default();
            format!("/quarantine?{}", query_of(&[("policy", &answer.policy), ("contains", plain)]))
        }),
        kept_until: answer.kept_until.map(|at| here.when(at)),
        is_enabled: answer.enabled,
        schedule: answer.schedule.clone(),
    };
    explanation.answers.iter().map(line).collect()
}

fn rules(answers: &[RuleAnswer], here: &Here) -> Vec<RuleLine> {
    let first = answers.iter().position(|answer| answer.verdict.is_some());
    let line = |(place, answer): (usize, &RuleAnswer)| RuleLine {
        rule: words::message(&answer.rule),
        status: match answer.verdict {
            Some(AnswerVerdict::Remove) => Status { word: "remove", class: "gone" },
            Some(_) => Status { word: "keep", class: "good" },
            None => Status { word: "not applicable", class: "idle" },
        },
        reason: answer.reason.as_deref().map(|why| here.text(why)).unwrap_or_default(),
        decides: Some(place) == first,
    };
    answers.iter().enumerate().map(line).collect()
}

/// The page. Looks at one path on the disk, when one is asked for.
pub(crate) async fn page(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Asked(asked): Asked<Question>,
) -> Response {
    let Question { path, path_bytes, policy } = asked;
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let here = here(&service);
    let mut page = ExplainPage {
        frame: Frame::of(&service, &headers, Part::Explain),
        policies: service.generation().engine.config().files.iter().map(|policy| policy.rule.name.clone()).collect(),
        problem: None,
        explained: None,
        removals: Vec::new(),
        path: path.clone(),
        policy: policy.clone(),
    };
    let mut status = StatusCode::OK;
    if !path.is_empty() || !path_bytes.is_empty() {
        // An absolute path says by itself which policies it concerns.
        let policy = given(&policy).filter(|_| !path.starts_with('/'));
        let found = async {
            let path = extract::path_bytes(given(&path), given(&path_bytes))?;
            Ok::<_, Problem>(app::explain::explain(&service, path, policy.as_deref()).await?)
        };
        match found.await {
            Ok(found) => {
                let path = words::path(&found.path, found.path_bytes.as_deref());
                page.explained = Some((path, answers(&found, &here)));
                let engine = service.generation().engine;
                let configured: Vec<String> = engine.config().rules().map(|rule| rule.name.clone()).collect();
                page.removals = found.removals.iter().map(|one| RemovalLine::new(one, &configured, &here)).collect();
            }
            Err(problem) => {
                status = problem.status();
                page.problem = Some(words::sentence(problem.detail()));
            }
        }
    }
    html(status, &page)
}
