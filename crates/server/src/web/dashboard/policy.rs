//! One policy: its rule in words, its limits, what is due next, what it kept and removed, its last runs, its quarantine.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use cleanup_core::config::{Config, Origin, Setting};
use cleanup_core::policy::Dispose;
use cleanup_core::report::PolicyKind;
use cleanup_engine::RunsQuery;
use serde::Deserialize;

use super::charts::Chart;
use super::files::FileLine;
use super::page::{Asked, Frame, Part, here, page_or_fault};
use super::policies::{Card, FindingLine, Known};
use super::runs::RunLine;
use super::trend::{due_by_hour, of_policy};
use super::words::{self, Here, When};
use crate::app::error::AppError;
use crate::app::policies::policies;
use crate::app::readiness::{Findings, findings};
use crate::app::service::Service;
use crate::app::trend::{Measure, Past, Window};
use crate::app::{quarantine, runs};
use crate::web::problem::Problem;

/// Files that are named as the next to be removed, hours that are looked ahead, and runs that are listed.
const NEXT: usize = 10;
const HOURS: u32 = 24;
const RUNS: usize = 10;

/// What our script sends when it asks for the page again.
const AGAIN: HeaderName = HeaderName::from_static("x-again");

/// How much of the past to show.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    over: Window,
    show: Measure,
}

#[derive(Template)]
#[template(path = "policy.html")]
struct PolicyPage {
    frame: Frame,
    card: Card,
    is_files: bool,
    findings: Vec<FindingLine>,
    /// Its keys as the configuration has them.
    settings: Vec<(String, String)>,
    forecast: Option<Chart>,
    next: Vec<FileLine>,
    over: Window,
    is_bytes: bool,
    past: Option<[Chart; 2]>,
    runs: Vec<RunLine>,
    quarantine: Option<QuarantineView>,
}

/// What lies in the quarantine of the policy.
struct QuarantineView {
    /// How long something stays in it.
    keep_for: String,
    /// What is there; `None` where it was not looked at.
    found: Option<Found>,
}

struct Found {
    amount: String,
    oldest: Option<When>,
    next_purge: Option<When>,
    problem: Option<String>,
}

/// The page.
pub(crate) async fn one(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Asked(asked): Asked<Question>,
) -> Response {
    page_or_fault(&service, &headers, found(&service, &headers, &name, asked).await)
}

async fn found(
    service: &Arc<Service>,
    headers: &HeaderMap,
    name: &str,
    Question { over, show }: Question,
) -> Result<PolicyPage, Problem> {
    let live = service.generation();
    let config = live.engine.config();
    let here = here(service);
    let all = policies(service);
    let configured: Vec<String> = all.iter().map(|policy| policy.name.clone()).collect();
    let Findings { reasons, warnings } = findings(service, &all);
    let policy = all.into_iter().find(|policy| policy.name == name);
    let policy = policy.ok_or_else(|| AppError::unknown_policy(config, name))?;
    let is_files = policy.kind == PolicyKind::Files;
    let known = Known::of(service, &live, policy);
    let of_it = |finding: &cleanup_core::report::Finding| finding.policy.as_deref() == Some(name);
    let findings = Findings {
        reasons: reasons.into_iter().filter(of_it).collect(),
        warnings: warnings.into_iter().filter(of_it).collect(),
    };

    let latest = service.feed().last_runs.runs();
    let Past { trend, .. } = if let Some(past) = service.trends.fresh(over, here.now, latest) {
        past
    } else {
        let (reader, engine, now) = (Arc::clone(service), Arc::clone(&live.engine), here.now);
        service.blocking(move || reader.trends.read(&engine, over, now, latest)).await?
    };
    let query = RunsQuery { before: None, limit: RUNS, policy: Some(name.to_owned()), status: None };
    let (runs, _) = runs::page(service, query).await?;
    let tracker = live.tracker.as_ref();
    let forecast = tracker.and_then(|tracker| tracker.forecast(name, HOURS));
    let forecast = forecast.map(|hours| [(name.to_owned(), 0, hours)]);
    let next = tracker.and_then(|tracker| tracker.next_files_of(name, NEXT)).unwrap_or_default();
    // The script shows the charts and lists anew whenever something happens. Notes of a quarantine are read from the
    // disk, so it goes without them.
    let is_again = headers.contains_key(AGAIN);
    let mut card = known.card(&trend, &here);
    card.trouble.clear();
    Ok(PolicyPage {
        frame: Frame::of(service, headers, Part::Other),
        card,
        is_files,
        findings: FindingLine::all(&findings, &here),
        settings: settings(config, name, is_files),
        forecast: forecast.and_then(|hours| due_by_hour(&hours, show, &here)),
        next: next.iter().map(|file| FileLine::new(file, &here)).collect(),
        over,
        is_bytes: show == Measure::Bytes,
        past: of_policy(&trend, name, (if is_files { show } else { Measure::Files }, known.noun()), &here),
        runs: runs.iter().map(|run| RunLine::new(run, &configured, &here)).collect(),
        quarantine: quarantined(service, config, name, is_again, &here).await,
    })
}

/// All keys of a policy that the configuration sets.
fn settings(config: &Config, name: &str, is_files: bool) -> Vec<(String, String)> {
    let prefix = format!("{}.{name}.", if is_files { "files" } else { "sessions" });
    let set = |setting: &Setting| {
        let key = setting.key.strip_prefix(&prefix)?;
        // Where a database is, is nobody's business here, even without its password.
        let is_shown = setting.origin != Origin::Default && !key.ends_with("url");
        is_shown.then(|| (words::message(key), words::message(&setting.value)))
    };
    config.settings.iter().filter_map(set).collect()
}

async fn quarantined(
    service: &Service,
    config: &Config,
    name: &str,
    is_again: bool,
    here: &Here,
) -> Option<QuarantineView> {
    let policy = config.files.iter().find(|policy| policy.rule.name == name)?;
    let Dispose::Quarantine(kept) = &policy.dispose else { return None };
    let keep_for = words::days(kept.keep_for);
    if is_again {
        return Some(QuarantineView { keep_for, found: None });
    }
    let looked = quarantine::list(service, vec![name.to_owned()], (), |(), _| ()).await;
    let found = looked.ok().and_then(|((), all)| all.policies.into_iter().find(|policy| policy.policy == name));
    let found = found.map(|policy| Found {
        amount: match policy.files {
            0 => "empty".to_owned(),
            files => format!("{}, {}", words::number(files, "item"), words::bytes(policy.bytes)),
        },
        oldest: policy.oldest.map(|at| here.when(at)),
        next_purge: policy.next_purge_at.map(|at| here.when(at)),
        problem: policy.problem.as_deref().map(|why| here.text(why)),
    });
    Some(QuarantineView { keep_for, found })
}
