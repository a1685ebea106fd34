//! Undo: first the plan, which says what would come back and changes nothing, and from there the way to do it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use cleanup_core::candidate::Escaped;
use cleanup_core::sweep::Mode;
use cleanup_engine::responses::{RestoreOutcome, Restored, RestoredFile};
use cleanup_engine::{Restore, RestoreRequest};
use serde::Deserialize;

use super::page::{Asked, Frame, Part, here, page_or_fault};
use super::words::{self, Here, Status, When};
use crate::app::access::Asker;
use crate::app::files::max_hold;
use crate::app::quarantine::{self, paths_below_root};
use crate::app::service::Service;
use crate::web::extract::{PageForm, path_bytes};
use crate::web::problem::{Kind, Problem};

/// Files that are named: of those that come back, and of those that stay.
const NAMED: usize = 200;

/// What to bring back: a run, or what lay at a path of a policy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    run: String,
    policy: String,
    path_bytes: String,
}

impl Wanted {
    /// What it is for the engine, and for a reader.
    fn read(&self, service: &Service) -> Result<(Restore, String), Problem> {
        let given = [&self.run, &self.policy, &self.path_bytes].map(|field| !field.is_empty());
        match given {
            [true, false, false] => Ok((Restore::Run(self.run.clone()), format!("run {}", self.run))),
            [false, true, true] => {
                let path = path_bytes(None, Some(self.path_bytes.clone()))?;
                let name = Escaped(&path).to_string();
                Ok((paths_below_root(service, &self.policy, [path])?, name))
            }
            _ => Err(Problem::of(Kind::BadValue, "a restore is of either a run or a path of a policy")),
        }
    }
}

/// What became of the files, or would.
#[derive(Debug, Default)]
struct Gathered {
    back: Vec<RestoredFile>,
    stays: Vec<RestoredFile>,
}

impl Gathered {
    fn add(&mut self, file: &RestoredFile) {
        let list = if file.outcome == RestoreOutcome::Restored { &mut self.back } else { &mut self.stays };
        if list.len() < NAMED {
            list.push(file.clone());
        }
    }
}

/// One file.
struct FileLine {
    path: String,
    policy: String,
    size: String,
    since: When,
    status: Status,
    why: String,
}

#[derive(Template)]
#[template(path = "restore.html")]
struct RestorePage {
    frame: Frame,
    subject: String,
    headline: String,
    wanted: Wanted,
    is_plan: bool,
    back: Vec<FileLine>,
    more_back: u64,
    stays: Vec<FileLine>,
    more_stays: u64,
    /// How long what comes back is held.
    hold: String,
    held_until: Option<When>,
    is_found: bool,
    problems: Vec<String>,
    /// The restore as a run of the history.
    run: Option<String>,
}

/// The plan.
pub(crate) async fn plan(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Extension(asker): Extension<Asker>,
    Asked(wanted): Asked<Wanted>,
) -> Response {
    shown(&service, &headers, &asker, Ok(wanted), Mode::Plan).await
}

/// Brings it back, and says what came of it.
pub(crate) async fn act(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Extension(asker): Extension<Asker>,
    form: Result<PageForm<Wanted>, Problem>,
) -> Response {
    shown(&service, &headers, &asker, form.map(|PageForm(wanted)| wanted), Mode::Apply).await
}

async fn shown(
    service: &Service,
    headers: &HeaderMap,
    asker: &Asker,
    wanted: Result<Wanted, Problem>,
    mode: Mode,
) -> Response {
    let page = async {
        let wanted = wanted?;
        let (what, subject) = wanted.read(service)?;
        let hold = RestoreRequest::HOLD.min(max_hold(service));
        let request = RestoreRequest { what, hold, mode, asked_by: asker.to_name() };
        let (gathered, restored) = quarantine::restore(service, request, Gathered::default(), Gathered::add).await?;
        let frame = Frame::of(service, headers, Part::Quarantine);
        Ok(RestorePage::new(frame, (&subject, hold), wanted, &gathered, &restored, &here(service)))
    };
    page_or_fault(service, headers, page.await)
}

impl RestorePage {
    fn new(
        frame: Frame,
        (subject, hold): (&str, Duration),
        wanted: Wanted,
        gathered: &Gathered,
        restored: &Restored,
        here: &Here,
    ) -> Self {
        let is_plan = restored.dry_run;
        let headline = match (restored.restored, is_plan) {
            (0, true) => "Nothing would be restored".to_owned(),
            (0, false) => "Nothing was restored".to_owned(),
            (items, _) => {
                let verb = if is_plan { "would be restored" } else { "restored" };
                format!("{} {verb}, {}", words::number(items, "item"), words::bytes(restored.restored_bytes))
            }
        };
        let line = |file: &RestoredFile| FileLine::new(file, is_plan, here);
        Self {
            frame,
            subject: words::message(subject),
            headline,
            wanted,
            is_plan,
            back: gathered.back.iter().map(line).collect(),
            more_back: restored.restored.saturating_sub(gathered.back.len() as u64),
            stays: gathered.stays.iter().map(line).collect(),
            more_stays: (restored.failed + restored.older).saturating_sub(gathered.stays.len() as u64),
            hold: words::days(hold),
            held_until: restored.held_until.map(|at| here.when(at)),
            is_found: restored.not_found.is_empty(),
            problems: restored.problems.iter().map(|problem| here.text(problem)).collect(),
            run: restored.restore_run_id.clone(),
        }
    }
}

impl FileLine {
    fn new(file: &RestoredFile, is_plan: bool, here: &Here) -> Self {
        let error = file.error.as_deref().map(|why| here.text(why)).unwrap_or_default();
        let (word, class, why) = match (file.outcome, is_plan) {
            (RestoreOutcome::Restored, true) => ("would be restored", "good", error),
            (RestoreOutcome::Restored, false) => ("restored", "good", error),
            (RestoreOutcome::Conflict, _) => ("blocked", "warn", error),
            (RestoreOutcome::Older, _) => ("older version", "idle", "a newer version is restored instead".to_owned()),
            (RestoreOutcome::Failed, _) => ("failed", "bad", error),
        };
        Self {
            path: words::path(&file.path, file.path_bytes.as_deref()),
            policy: file.policy.clone(),
            size: words::bytes(file.bytes),
            since: here.when(file.quarantined_at),
            status: Status { word, class },
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::moment::Moment;

    use super::super::page::{Token, still};
    use super::*;

    const NOW: Moment = Moment::from_unix(1_767_323_045, 0);

    fn file(path: &str, outcome: RestoreOutcome, error: Option<&str>) -> RestoredFile {
        RestoredFile {
            policy: "svgs".to_owned(),
            run_id: "01A".to_owned(),
            path: path.to_owned(),
            path_bytes: None,
            bytes: 4096,
            quarantined_at: NOW.minus(Duration::from_hours(2)),
            outcome,
            error: error.map(str::to_owned),
        }
    }

    fn page(files: &[RestoredFile], restored: &Restored) -> String {
        let here = Here { now: NOW, zone: jiff::tz::TimeZone::UTC };
        let mut gathered = Gathered::default();
        for file in files {
            gathered.add(file);
        }
        let frame = Frame::new(Part::Quarantine, Token::NotAsked, &here);
        let wanted = Wanted { run: "01A".to_owned(), ..Wanted::default() };
        still(&RestorePage::new(frame, ("run 01A", RestoreRequest::HOLD), wanted, &gathered, restored, &here))
    }

    #[test]
    fn the_plan_says_what_would_come_back_and_the_answer_what_came() {
        let files = [
            file("<b>.svg", RestoreOutcome::Restored, None),
            file("taken.svg", RestoreOutcome::Conflict, Some("already exists")),
            file("<b>.svg", RestoreOutcome::Older, None),
        ];
        let plan =
            Restored { dry_run: true, restored: 1, restored_bytes: 4096, older: 1, failed: 1, ..Restored::default() };
        insta::assert_snapshot!("plan", page(&files, &plan));
        let held_until = Some(NOW.plus(RestoreRequest::HOLD));
        insta::assert_snapshot!("done", page(&files, &Restored { dry_run: false, held_until, ..plan }));
    }

    #[test]
    fn what_is_not_there_has_no_button() {
        let plan = Restored { dry_run: true, not_found: vec!["/srv/a".to_owned()], ..Restored::default() };
        let page = page(&[], &plan);
        assert!(
            page.contains("Nothing would be restored") && page.contains("Nothing of this is in quarantine"),
            "{page}"
        );
        assert!(!page.contains("<form class=\"card act\""), "{page}");
    }
}
