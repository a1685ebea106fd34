//! A plan: all that would go, to be read first and carried out to the letter. The way on for a policy that a brake holds.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use cleanup_core::candidate::Escaped;
use cleanup_engine::Request;
use cleanup_engine::plan::{PlanSummary, PlannedItem, VALID_FOR};

use super::act::{followed, led_on};
use super::page::{Frame, Part, here, page_or_fault};
use super::words::{self, When};
use crate::app::access::Asker;
use crate::app::plans;
use crate::app::service::Service;
use crate::web::extract::PageForm;
use crate::web::problem::{Kind, Problem};

/// Entries that are named; the plan itself has all of them.
const NAMED: usize = 500;

/// The dry run whose policies are to be planned.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    run: String,
}

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    frame: Frame,
    id: String,
    headline: String,
    policies: String,
    expires: When,
    lines: Vec<Line>,
    more: Option<String>,
}

struct Line {
    policy: String,
    path: String,
    size: String,
    reason: String,
}

/// Writes down all that a dry run found due in file policies. Rows are in no plan.
pub(crate) async fn make(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    form: Result<PageForm<Wanted>, Problem>,
) -> Response {
    let done = async {
        let PageForm(Wanted { run }) = form?;
        let dry_run = service.sweeps().dry_run(&run).ok_or_else(|| {
            Problem::of(Kind::UnknownId, "this dry run is forgotten by now: make another one, and look at it")
        })?;
        let engine = service.generation().engine;
        let is_of_files = |name: &&String| engine.config().files.iter().any(|policy| policy.rule.name == **name);
        let policies: Vec<String> = dry_run.policies.iter().filter(is_of_files).cloned().collect();
        if policies.is_empty() {
            return Err(Problem::of(Kind::BadValue, "rows are in no plan: each is judged again when it goes"));
        }
        let include_archives = dry_run.include_archives;
        let request = Request { policies, include_archives, force: true, ..Request::default() };
        let plan = plans::make(&service, request, VALID_FOR).await?;
        Ok(format!("/plans/{}", plan.plan_id))
    };
    led_on(&service, &headers, done.await)
}

/// The page.
pub(crate) async fn one(State(service): State<Arc<Service>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let page = async {
        let kept = plans::find(&service, &id)?;
        let summary = kept.summary.clone();
        let items = plans::first(&service, kept, NAMED).await?;
        Ok(PlanPage::new(
            Frame::of(&service, &headers, Part::Runs),
            &summary,
            &items,
            here(&service).when(summary.expires_at),
        ))
    };
    page_or_fault(&service, &headers, page.await)
}

/// Carries it out.
pub(crate) async fn apply(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Response {
    let done = async { Ok(followed(&plans::apply(&service, &id, &asker).await?).await) };
    led_on(&service, &headers, done.await)
}

impl PlanPage {
    fn new(frame: Frame, plan: &PlanSummary, items: &[PlannedItem], expires: When) -> Self {
        let PlanSummary { plan_id, created_at: _, expires_at: _, policies, entries, bytes } = plan;
        let more = entries.saturating_sub(items.len() as u64);
        Self {
            frame,
            id: plan_id.clone(),
            headline: match entries {
                0 => "Nothing would go".to_owned(),
                entries => format!("{} would go, {}", words::number(*entries, "item"), words::bytes(*bytes)),
            },
            policies: policies.join(", "),
            expires,
            lines: items.iter().map(Line::new).collect(),
            more: (more > 0).then(|| words::count(more)),
        }
    }
}

impl Line {
    fn new(PlannedItem { policy, path, bytes, reason }: &PlannedItem) -> Self {
        Self {
            policy: policy.clone(),
            path: Escaped(path).to_string(),
            size: words::bytes(*bytes),
            reason: words::message(reason),
        }
    }
}
