//! One run: how far it is, what came of it, or what it would do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cleanup_core::candidate::Escaped;
use cleanup_core::config::Config;
use cleanup_core::report::{Counts, ItemError, PolicyKind, PolicyReport, PolicyStatus, Report, Trigger};
use cleanup_core::sweep::Mode;
use cleanup_engine::RemovalsQuery;

use super::page::{Asked, Fault, Frame, Part, here, html};
use super::policies::LimitLine;
use super::removals::RemovalLine;
use super::runs::query_of;
use super::words::{self, Here, Status, When};
use crate::app::service::Service;
use crate::app::sweeps::{Planned, RunningSweep};
use crate::app::{removals, runs};

/// Removals on a page.
const REMOVALS: usize = 50;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    id: String,
    headline: String,
    status: Status,
    trigger: &'static str,
    asked_by: Option<String>,
    started: When,
    finished: Option<When>,
    took: String,
    is_dry_run: bool,
    offers: Offers,
    notes: Vec<String>,
    parts: Vec<PartView>,
    /// Policies that have not ended yet.
    waiting: Vec<String>,
    removals: Vec<RemovalLine>,
    /// The addresses of the first and of the next page of removals.
    first: Option<String>,
    next: Option<String>,
}

/// Which page of the removals.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    before: String,
}

/// The ways on from here.
#[derive(Default)]
struct Offers {
    /// The dry run can be followed by the sweep that it shows.
    sweep: bool,
    /// A brake holds back what the dry run found due: all of it can be reviewed in a plan.
    plan: bool,
    /// Something of the run lies in quarantine.
    restore: bool,
}

/// What came of one policy.
struct PartView {
    name: String,
    /// Whether it is configured, and so has a page.
    has_page: bool,
    status: Status,
    message: Option<String>,
    is_held: bool,
    /// Whether it was held back in a real run, so that what is due now can be reviewed in a plan of its own.
    has_plan: bool,
    numbers: Vec<(&'static str, String)>,
    kept: Vec<(&'static str, String)>,
    limits: Vec<LimitLine>,
    plan: Vec<PlanLine>,
    /// Those of the plan that are not named.
    unnamed: u64,
    errors: Vec<(String, String)>,
    more_errors: u64,
}

/// A file that would go.
struct PlanLine {
    path: String,
    size: String,
    reason: String,
}

/// The page.
pub(crate) async fn one(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Asked(asked): Asked<Question>,
) -> Response {
    let here = here(&service);
    let frame = Frame::of(&service, &headers, Part::Runs);
    let live = service.generation();
    let config = live.engine.config();
    if let Some(sweep) = service.sweeps().running().iter().find(|sweep| sweep.run_id == id) {
        return html(StatusCode::OK, &RunPage::running(frame, sweep, &here).with_policies(config));
    }
    let dry_run = service.sweeps().dry_run(&id);
    if let Some(report) = service.sweeps().finished(&id) {
        let page = RunPage::ended(frame, &report, dry_run.as_deref(), &here);
        return html(StatusCode::OK, &page.with_policies(config).with_removals(&service, &report, &asked).await);
    }
    match runs::one(&service, &id).await {
        Ok(report) => {
            let page = RunPage::ended(frame, &report, None, &here);
            html(StatusCode::OK, &page.with_policies(config).with_removals(&service, &report, &asked).await)
        }
        Err(problem) => Fault::new(&service, &headers, problem.into()).into_response(),
    }
}

impl RunPage {
    fn running(frame: Frame, sweep: &RunningSweep, here: &Here) -> Self {
        let ended = sweep.ended();
        let scanned = words::count(sweep.scanned.load(Ordering::Relaxed));
        let removed = words::count(sweep.removed.load(Ordering::Relaxed));
        let is_dry_run = sweep.mode == Mode::Plan;
        let has_ended = |name: &&String| !ended.iter().any(|part| part.name == **name);
        Self {
            frame,
            id: sweep.run_id.clone(),
            headline: format!("Running: {scanned} scanned, {removed} removed so far"),
            status: if is_dry_run { Status::DRY_RUN } else { Status::RUNNING },
            trigger: words::trigger(sweep.trigger),
            asked_by: sweep.asked_by.clone(),
            started: here.when(sweep.started_at),
            finished: None,
            took: String::new(),
            is_dry_run,
            offers: Offers::default(),
            removals: Vec::new(),
            first: None,
            next: None,
            notes: Vec::new(),
            waiting: sweep.policies.iter().filter(has_ended).cloned().collect(),
            parts: ended.iter().map(|part| PartView::new(part, is_dry_run, &[], here)).collect(),
        }
    }

    fn ended(frame: Frame, report: &Report, dry_run: Option<&RunningSweep>, here: &Here) -> Self {
        let totals = &report.totals;
        let planned = dry_run.map(RunningSweep::planned).unwrap_or_default();
        let due_bytes: u64 = report.policies.iter().map(|part| part.counts.due_bytes).sum();
        let is_held = |part: &&PolicyReport| part.status == PolicyStatus::Held;
        let held_due: u64 = report.policies.iter().filter(is_held).map(|part| part.counts.due).sum();
        let headline = match (report.dry_run, totals.due, totals.removed + totals.quarantined) {
            _ if report.trigger == Trigger::Restore => {
                let bytes = report.policies.iter().map(|part| part.counts.restored_bytes).sum();
                format!("{} restored, {}", words::number(totals.restored, "item"), words::bytes(bytes))
            }
            _ if report.trigger == Trigger::Reload => "Reload refused".to_owned(),
            (true, 0, _) if held_due > 0 => {
                format!("Held back: {} due, none would be removed", words::number(held_due, "item"))
            }
            (true, 0, _) => "Nothing would be removed".to_owned(),
            (true, due, _) => format!("{} would be removed, {}", words::number(due, "item"), words::bytes(due_bytes)),
            (false, _, 0) => "Nothing was removed".to_owned(),
            (false, _, gone) => words::gone(gone, "item", totals.bytes_freed, totals.quarantined_bytes),
        };
        // What the policies found stands with them. Runs of earlier versions have notes alone.
        let texts = report.notes.iter().chain(&report.not_remembered);
        let found = report.findings.iter().filter(|it| it.policy.is_none()).map(|it| &it.text);
        let texts: BTreeSet<&String> = texts.chain(found).collect();
        let notes = texts.into_iter().map(|text| here.text(text)).collect();
        Self {
            frame,
            id: report.run_id.clone(),
            headline,
            status: if report.dry_run { Status::DRY_RUN } else { report.status.into() },
            trigger: words::trigger(report.trigger),
            asked_by: report.asked_by.clone(),
            started: here.when(report.started_at),
            finished: Some(here.when(report.finished_at)),
            took: words::lateness(report.finished_at.since(report.started_at).unwrap_or_default()),
            is_dry_run: report.dry_run,
            offers: Offers {
                sweep: dry_run.is_some() && report.policies.iter().any(is_worth_a_sweep),
                plan: dry_run.is_some() && report.policies.iter().any(is_worth_a_plan),
                restore: false,
            },
            notes,
            removals: Vec::new(),
            first: None,
            next: None,
            parts: report.policies.iter().map(|part| PartView::new(part, report.dry_run, &planned, here)).collect(),
            waiting: Vec::new(),
        }
    }
}

impl RunPage {
    /// Leads to the pages of the policies that are configured now, and from those that were held back to a plan.
    fn with_policies(mut self, config: &Config) -> Self {
        for part in &mut self.parts {
            let is_of_files = config.files.iter().any(|policy| policy.rule.name == part.name);
            part.has_page = is_of_files || config.sessions.iter().any(|policy| policy.rule.name == part.name);
            part.has_plan = is_of_files && part.is_held && !self.is_dry_run && self.finished.is_some();
        }
        self
    }

    /// Names what the run removed, a page at a time, and offers the way back from quarantine.
    async fn with_removals(mut self, service: &Service, report: &Report, asked: &Question) -> Self {
        let totals = &report.totals;
        let has_purged = report.policies.iter().any(|part| part.counts.purged > 0);
        if !report.dry_run && (totals.removed + totals.quarantined + totals.restored > 0 || has_purged) {
            let address = |before: &str| format!("/runs/{}{before}#removals-h", report.run_id);
            let query = RemovalsQuery {
                run: Some(report.run_id.clone()),
                limit: REMOVALS,
                before: Some(asked.before.clone()).filter(|before| !before.is_empty()),
                ..RemovalsQuery::default()
            };
            // A run from before there was a log, or whose entries are too old, has none.
            if let Ok(page) = removals::page(service, query).await {
                let live = service.generation();
                let configured: Vec<String> = live.engine.config().rules().map(|rule| rule.name.clone()).collect();
                let here = here(service);
                self.removals = page.removals.iter().map(|one| RemovalLine::new(one, &configured, &here)).collect();
                self.first = (!asked.before.is_empty()).then(|| address(""));
                self.next = page.next.map(|next| address(&format!("?{}", query_of(&[("before", &next)]))));
            }
        }
        self.with_undo(service, report).await
    }

    /// Offers the way back where something of the run is there; only a run that moved files aside is looked for.
    async fn with_undo(mut self, service: &Service, report: &Report) -> Self {
        if report.totals.quarantined > 0 {
            let (engine, id) = (service.generation().engine, report.run_id.clone());
            let found = service.blocking(move || engine.quarantined_run(&id)).await;
            self.offers.restore = found.is_ok_and(|run| run.is_some());
        }
        self
    }
}

fn is_worth_a_sweep(part: &PolicyReport) -> bool {
    part.status != PolicyStatus::Held && part.counts.due + part.counts.dirs_due > 0
}

/// Rows are in no plan.
fn is_worth_a_plan(part: &PolicyReport) -> bool {
    part.status == PolicyStatus::Held && part.kind == PolicyKind::Files && part.counts.due > 0
}

impl PartView {
    fn new(part: &PolicyReport, is_dry_run: bool, planned: &[Planned], here: &Here) -> Self {
        let counts = &part.counts;
        let mut plan: Vec<PlanLine> = planned
            .iter()
            .filter(|planned| planned.policy == part.name)
            .map(|planned| PlanLine::new(planned, here))
            .collect();
        if plan.is_empty() {
            plan = part
                .plan
                .iter()
                .map(|planned| PlanLine {
                    path: words::path(&planned.path, planned.path_bytes.as_deref()),
                    size: String::new(),
                    reason: here.text(&planned.reason),
                })
                .collect();
        }
        let error = |item: &ItemError| (words::path(&item.path, item.path_bytes.as_deref()), here.text(&item.error));
        let unnamed = if plan.is_empty() { 0 } else { counts.due.saturating_sub(plan.len() as u64) };
        Self {
            name: part.name.clone(),
            has_page: false,
            has_plan: false,
            status: part.status.into(),
            message: part.message.as_deref().map(|why| words::sentence(&here.text(why))),
            is_held: part.status == PolicyStatus::Held,
            numbers: numbers(counts, is_dry_run),
            kept: kept(counts),
            limits: part.limits.iter().map(LimitLine::new).collect(),
            plan,
            unnamed,
            errors: part.errors.iter().map(error).collect(),
            more_errors: part.errors_total.saturating_sub(part.errors.len() as u64),
        }
    }
}

impl PlanLine {
    fn new(planned: &Planned, here: &Here) -> Self {
        Self {
            path: Escaped(&planned.path).to_string(),
            size: words::bytes(planned.bytes),
            reason: here.text(&planned.reason),
        }
    }
}

fn numbers(counts: &Counts, is_dry_run: bool) -> Vec<(&'static str, String)> {
    let mut numbers = vec![
        ("scanned", words::count(counts.scanned)),
        ("matched", words::count(counts.matched)),
        ("due", words::count(counts.due)),
    ];
    if is_dry_run {
        numbers.push(("size of those due", words::bytes(counts.due_bytes)));
    } else {
        numbers.push(("removed", words::count(counts.removed)));
        if counts.quarantined > 0 {
            numbers.push(("quarantined", words::count(counts.quarantined)));
            numbers.push(("size quarantined", words::bytes(counts.quarantined_bytes)));
        }
        numbers.push(("freed", words::bytes(counts.bytes_freed)));
    }
    let rare = [
        ("restored", counts.restored),
        ("already gone", counts.vanished),
        ("changed since the scan", counts.changed),
        ("owned by other policies", counts.owned_by_others),
        ("left alone", counts.left_alone),
        ("too young by the index", counts.indexed),
        ("empty folders due", counts.dirs_due),
        ("empty folders removed", counts.dirs_removed),
    ];
    numbers.extend(rare.into_iter().filter(|(_, count)| *count > 0).map(|(word, count)| (word, words::count(count))));
    numbers
}

/// Why things stay, the most frequent reason first.
fn kept(counts: &Counts) -> Vec<(&'static str, String)> {
    let mut reasons: Vec<_> = counts.kept.by_kind().filter(|(_, count)| *count > 0).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons.into_iter().map(|(kind, count)| (kind.label(), words::count(count))).collect()
}
