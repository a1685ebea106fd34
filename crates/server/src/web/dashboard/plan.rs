//! A plan: all that would be removed, to be reviewed first and applied to the letter. The way on for a policy that a brake
//! holds back.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use cleanup_core::candidate::Escaped;
use cleanup_engine::Request;
use cleanup_engine::plan::{PlanSummary, PlannedItem, VALID_FOR};

use super::act::{followed, forgotten, led_on};
use super::page::{Frame, Part, here, page_or_fault};
use super::words::{self, Here, When};
use crate::app::access::Asker;
use crate::app::error::AppError;
use crate::app::plans;
use crate::app::service::Service;
use crate::web::extract::PageForm;
use crate::web::problem::{Kind, Problem};

/// Entries that are named; the plan itself has all of them.
const NAMED: usize = 500;

/// What is to be planned: the policies of a dry run, or one policy.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    run: String,
    policy: String,
}

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    frame: Frame,
    id: String,
    headline: String,
    policies: String,
    made: When,
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

/// Writes down all that is due now in file policies, whatever brake holds it back. Rows are in no plan.
pub(crate) async fn make(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    form: Result<PageForm<Wanted>, Problem>,
) -> Response {
    let done = async {
        let PageForm(Wanted { run, policy }) = form?;
        let (policies, include_archives) = match (run.is_empty(), policy.is_empty()) {
            (false, true) => {
                let dry_run = service.sweeps().dry_run(&run).ok_or_else(forgotten)?;
                (dry_run.policies.clone(), dry_run.include_archives)
            }
            (true, false) => (vec![policy], false),
            _ => return Err(Problem::of(Kind::BadValue, "a plan is of either a dry run or a policy")),
        };
        let engine = service.generation().engine;
        let config = engine.config();
        if let Some(name) = policies.iter().find(|name| !config.rules().any(|rule| rule.name == **name)) {
            return Err(AppError::unknown_policy(config, name).into());
        }
        let is_of_files = |name: &String| config.files.iter().any(|policy| policy.rule.name == *name);
        let policies: Vec<String> = policies.into_iter().filter(is_of_files).collect();
        if policies.is_empty() {
            let detail = "a plan lists files only: each row is judged again when it is removed";
            return Err(Problem::of(Kind::BadValue, detail));
        }
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
        Ok(PlanPage::new(Frame::of(&service, &headers, Part::Runs), &summary, &items, &here(&service)))
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
    fn new(frame: Frame, plan: &PlanSummary, items: &[PlannedItem], here: &Here) -> Self {
        let PlanSummary { plan_id, created_at, expires_at, policies, entries, bytes } = plan;
        let more = entries.saturating_sub(items.len() as u64);
        Self {
            frame,
            id: plan_id.clone(),
            headline: match entries {
                0 => "Nothing would be removed".to_owned(),
                entries => format!("{} would be removed, {}", words::number(*entries, "item"), words::bytes(*bytes)),
            },
            policies: policies.join(", "),
            made: here.when(*created_at),
            expires: here.when(*expires_at),
            lines: items.iter().map(|item| Line::new(item, here)).collect(),
            more: (more > 0).then(|| words::count(more)),
        }
    }
}

impl Line {
    fn new(PlannedItem { policy, path, bytes, reason }: &PlannedItem, here: &Here) -> Self {
        Self {
            policy: policy.clone(),
            path: Escaped(path).to_string(),
            size: words::bytes(*bytes),
            reason: here.text(reason),
        }
    }
}
