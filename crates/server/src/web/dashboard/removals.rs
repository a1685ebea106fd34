//! What was removed and why: a search by path, policy and run, the newest first. Looking for a whole path is a matter of
//! an index; a name or a pattern is looked for in all of the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use cleanup_core::report::Trigger;
use cleanup_engine::RemovalsQuery;
use cleanup_engine::responses::{RemovalAction, RemovalEntry};
use serde::Deserialize;

use super::page::{Asked, Frame, Part, here, html};
use super::runs::{PolicyName, query_of};
use super::words::{self, Here, Status, When};
use crate::app::removals;
use crate::app::service::Service;
use crate::web::problem::Problem;

/// Removals on a page.
const PAGE: usize = 50;

/// How far back to look: key, words, and the span itself.
const SINCE: [(&str, &str, Option<Duration>); 4] = [
    ("", "any time", None),
    ("1d", "last 24 hours", Some(Duration::from_hours(24))),
    ("7d", "last 7 days", Some(Duration::from_hours(7 * 24))),
    ("30d", "last 30 days", Some(Duration::from_hours(30 * 24))),
];

/// Which removals; empty fields of a form ask for nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    path: String,
    policy: String,
    run: String,
    since: String,
    before: String,
}

/// One removal in a list.
#[derive(Clone, Debug)]
pub(crate) struct RemovalLine {
    /// The path, or how many rows or items where there is none.
    pub(crate) path: String,
    pub(crate) action: Status,
    pub(crate) when: When,
    pub(crate) reason: String,
    pub(crate) asked_by: String,
    pub(crate) policy: PolicyName,
    pub(crate) size: String,
    pub(crate) run: String,
    /// Where it can be looked for in quarantine.
    pub(crate) quarantine: Option<String>,
}

impl RemovalLine {
    pub(crate) fn new(entry: &RemovalEntry, configured: &[String], here: &Here) -> Self {
        let path = match &entry.path {
            Some(path) => {
                let path = words::path(path, entry.path_bytes.as_deref());
                if entry.whole_directory { format!("{path}/ and everything in it") } else { path }
            }
            None => words::number(entry.count, "item"),
        };
        let in_quarantine = |path: &String| {
            // It is searched for by a part of its name that is text.
            let name = path.rsplit('/').next().unwrap_or_default();
            let plain = name.split('\u{fffd}').max_by_key(|part| part.len()).unwrap_or_default();
            format!(
                "/quarantine?{}",
                query_of(&[("policy", &entry.policy), ("contains", plain), ("run", &entry.run_id)])
            )
        };
        Self {
            path,
            action: match entry.action {
                RemovalAction::Removed => Status { word: "removed", class: "gone" },
                RemovalAction::Quarantined => Status { word: "quarantined", class: "warn" },
                RemovalAction::Purged => Status { word: "purged", class: "gone" },
                RemovalAction::Restored => Status { word: "restored", class: "good" },
            },
            when: here.when(entry.at),
            reason: entry.reason.as_deref().map(|why| here.text(why)).unwrap_or_default(),
            asked_by: who(entry.trigger, entry.asked_by.as_deref()),
            policy: PolicyName::new(&entry.policy, configured),
            size: words::bytes(entry.bytes),
            run: entry.run_id.clone(),
            quarantine: (entry.action == RemovalAction::Quarantined)
                .then(|| entry.path.as_ref().map(in_quarantine))
                .flatten(),
        }
    }
}

/// Who or what asked for it.
fn who(trigger: Trigger, asked_by: Option<&str>) -> String {
    let what = match trigger {
        Trigger::Manual => "a manual run",
        Trigger::Schedule => "the schedule",
        Trigger::Pressure => "an exceeded limit",
        Trigger::Deadline => "its deadline",
        Trigger::Restore => "a restore",
        Trigger::Reload => "a reload",
    };
    match asked_by {
        Some(name) if trigger == Trigger::Manual => words::message(name),
        Some(name) => format!("{} ({what})", words::message(name)),
        None => what.to_owned(),
    }
}

#[derive(Template)]
#[template(path = "removals.html")]
struct RemovalsPage {
    frame: Frame,
    path: String,
    policy: String,
    policies: Vec<String>,
    run: String,
    since: &'static str,
    /// Whether anything narrows the list.
    is_search: bool,
    problem: Option<String>,
    lines: Vec<RemovalLine>,
    /// The address of the first page, on the others.
    first: Option<String>,
    next: Option<String>,
    /// What explains the path that was asked for, where it is a whole one.
    explain: Option<String>,
}

/// What a search means: a part of a name is looked for in all names, and the end of a path in all folders.
fn pattern(path: &str) -> PathBuf {
    let is_part = !path.contains('/') && !path.contains(['*', '?', '[', '{']);
    if is_part {
        format!("*{path}*").into()
    } else if path.starts_with(['/', '*']) || !path.contains('/') {
        path.into()
    } else {
        format!("**/{path}").into()
    }
}

/// The page.
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Asked(asked): Asked<Question>,
) -> Response {
    let Question { path, policy, run, since, before } = asked;
    let path = path.trim().to_owned();
    let (since, _, span) = SINCE.into_iter().find(|(key, ..)| *key == since).unwrap_or(SINCE[0]);
    let here = here(&service);
    let engine = service.generation().engine;
    let mut policies: Vec<String> = engine.config().rules().map(|rule| rule.name.clone()).collect();
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let query = RemovalsQuery {
        path: given(&path).map(|path| pattern(&path)),
        policy: given(&policy),
        run: given(&run),
        since: span.map(|span| here.now.minus(span)),
        limit: PAGE,
        before: given(&before),
    };
    let (mut status, mut problem) = (StatusCode::OK, None);
    let found = match removals::page(&service, query).await {
        Ok(found) => Some(found),
        Err(error) => {
            let error = Problem::from(error);
            status = error.status();
            problem = Some(words::sentence(error.detail()));
            None
        }
    };
    let lines = found.iter().flat_map(|page| &page.removals);
    let lines = lines.map(|entry| RemovalLine::new(entry, &policies, &here)).collect();
    let address = |before: &str| {
        let fields = [("path", &*path), ("policy", &policy), ("run", &run), ("since", since), ("before", before)];
        format!("/removals?{}", query_of(&fields))
    };
    let page = RemovalsPage {
        frame: Frame::of(&service, &headers, Part::Removals),
        lines,
        first: (!before.is_empty()).then(|| address("")),
        next: found.and_then(|page| page.next).map(|next| address(&next)),
        explain: path.starts_with('/').then(|| format!("/explain?{}", query_of(&[("path", &path)]))),
        is_search: [&*path, &policy, &run, since].iter().any(|field| !field.is_empty()),
        problem,
        since,
        run,
        // What is configured no more may be asked for as well.
        policies: {
            if !policy.is_empty() && !policies.contains(&policy) {
                policies.push(policy.clone());
            }
            policies
        },
        policy,
        path,
    };
    html(status, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_is_looked_for_in_all_names() {
        for (asked, meant) in
            [("x.step", "*x.step*"), ("*.step", "*.step"), ("/a/x", "/a/x"), ("a/x", "**/a/x"), ("[ab]", "[ab]")]
        {
            assert_eq!(pattern(asked), PathBuf::from(meant));
        }
    }

    #[test]
    fn a_removal_says_who_asked_for_it() {
        assert_eq!(who(Trigger::Schedule, None), "the schedule");
        assert_eq!(who(Trigger::Manual, Some("ops\u{202e}")), "ops\\u{202e}");
        assert_eq!(who(Trigger::Restore, Some("ops")), "ops (a restore)");
    }
}
