//! Runs: a page of them, by policy and status.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use cleanup_core::report::{RunStatus, Trigger};
use cleanup_core::sweep::Mode;
use cleanup_engine::RunsQuery;
use cleanup_engine::responses::PastRun;
use serde::Deserialize;

use super::page::{Asked, Frame, Part, here, page_or_fault};
use super::words::{self, Here, Status, When};
use crate::app::runs;
use crate::app::service::Service;
use crate::app::sweeps::RunningSweep;
use crate::web::problem::Problem;

/// Runs on a page.
const PAGE: usize = 50;

/// Which runs; empty fields of a form ask for nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    policy: String,
    status: String,
    after: String,
}

/// A policy that a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyName {
    pub(crate) name: String,
    /// Whether it is configured, and so has a page.
    pub(crate) has_page: bool,
}

impl PolicyName {
    pub(crate) fn new(name: &str, configured: &[String]) -> Self {
        Self { name: name.to_owned(), has_page: configured.iter().any(|other| other == name) }
    }
}

/// Policies of a run that a list names.
const NAMED: usize = 2;

/// One run in a list.
#[derive(Clone, Debug)]
pub(crate) struct RunLine {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) trigger: &'static str,
    pub(crate) when: When,
    pub(crate) took: String,
    pub(crate) policies: Vec<PolicyName>,
    /// Those beyond the ones that are named.
    pub(crate) more_policies: usize,
    pub(crate) due: String,
    pub(crate) removed: String,
    /// How many it moved aside, where it did.
    pub(crate) quarantined: Option<String>,
    pub(crate) freed: String,
    pub(crate) errors: u64,
    /// The policies that something was in the way of.
    pub(crate) skipped: Option<String>,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    runs: Vec<RunLine>,
    policies: Vec<String>,
    policy: String,
    status: String,
    is_first: bool,
    /// The address of the next page.
    next: Option<String>,
}

impl RunsPage {
    /// The states that a run can be asked for by.
    const STATUSES: [&'static str; 5] = ["ok", "partial", "held", "interrupted", "failed"];
}

impl RunLine {
    pub(crate) fn new(run: &PastRun, configured: &[String], here: &Here) -> Self {
        // A list shows all or, where they are many, the first of them.
        let named = if run.policies.len() <= NAMED + 1 { run.policies.len() } else { NAMED };
        Self {
            id: run.run_id.clone(),
            status: run.status.into(),
            trigger: words::trigger(run.trigger),
            when: here.when(run.finished_at),
            took: words::lateness(run.finished_at.since(run.started_at).unwrap_or_default()),
            policies: run.policies.iter().take(named).map(|name| PolicyName::new(name, configured)).collect(),
            more_policies: run.policies.len() - named,
            due: words::count(run.due),
            removed: match run.trigger {
                Trigger::Restore => format!("{} restored", words::count(run.restored)),
                Trigger::Manual | Trigger::Schedule | Trigger::Pressure | Trigger::Deadline | Trigger::Reload => {
                    words::count(run.removed)
                }
            },
            quarantined: (run.quarantined > 0).then(|| words::count(run.quarantined)),
            freed: words::bytes(run.bytes_freed),
            errors: run.errors,
            skipped: (!run.skipped.is_empty()).then(|| run.skipped.join(", ")),
        }
    }

    fn running(sweep: &RunningSweep, configured: &[String], here: &Here) -> Self {
        let named = if sweep.policies.len() <= NAMED + 1 { sweep.policies.len() } else { NAMED };
        Self {
            id: sweep.run_id.clone(),
            status: if sweep.mode == Mode::Plan { Status::DRY_RUN } else { Status::RUNNING },
            trigger: words::trigger(sweep.trigger),
            when: here.when(sweep.started_at),
            took: "–".to_owned(),
            policies: sweep.policies.iter().take(named).map(|name| PolicyName::new(name, configured)).collect(),
            more_policies: sweep.policies.len() - named,
            due: "–".to_owned(),
            removed: words::count(sweep.removed.load(Ordering::Relaxed)),
            quarantined: None,
            freed: "–".to_owned(),
            errors: 0,
            skipped: None,
        }
    }
}

/// The page.
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Asked(asked): Asked<Question>,
) -> Response {
    page_or_fault(&service, &headers, found(&service, &headers, asked).await)
}

async fn found(service: &Arc<Service>, headers: &HeaderMap, asked: Question) -> Result<RunsPage, Problem> {
    let Question { policy, status, after } = asked;
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let wanted: Option<RunStatus> = serde_json::from_value(status.clone().into()).ok();
    let query = RunsQuery { before: given(&after), limit: PAGE, policy: given(&policy), status: wanted };
    let engine = service.generation().engine;
    let (runs, next) = runs::page(service, query).await?;
    let here = here(service);
    let is_first = after.is_empty();
    let mut policies: Vec<String> = engine.config().rules().map(|rule| rule.name.clone()).collect();
    let mut lines = Vec::new();
    if is_first && wanted.is_none() {
        let sweeps = service.sweeps().running();
        let meant = sweeps.iter().filter(|sweep| policy.is_empty() || sweep.policies.contains(&policy));
        lines.extend(meant.map(|sweep| RunLine::running(sweep, &policies, &here)));
    }
    lines.extend(runs.iter().map(|run| RunLine::new(run, &policies, &here)));
    if !policy.is_empty() && !policies.contains(&policy) {
        policies.push(policy.clone());
    }
    let next = next.map(|id| {
        let form = query_of(&[("policy", &policy), ("status", &status), ("after", &id)]);
        format!("/runs?{form}")
    });
    Ok(RunsPage {
        frame: Frame::of(service, headers, Part::Runs),
        runs: lines,
        policies,
        policy,
        status,
        is_first,
        next,
    })
}

/// The fields that are not empty, as a query.
pub(crate) fn query_of(fields: &[(&str, &str)]) -> String {
    let given = fields.iter().filter(|(_, value)| !value.is_empty());
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    given.map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}
