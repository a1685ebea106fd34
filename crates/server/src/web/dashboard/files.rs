//! Tracked files: search, order, time left, and what is held; one file with what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanup_core::duration::Human;
use cleanup_engine::HoldsQuery;
use cleanup_engine::responses::HeldPath;
use cleanup_engine::track::{FilesOrder, FilesQuery, TrackedFile};
use serde::Deserialize;

use super::explain::{AnswerLine, answers};
use super::page::{Asked, Frame, Part, here, page_or_fault};
use super::runs::query_of;
use super::words::{self, Here, When};
use crate::app::explain::explain;
use crate::app::files::{self, max_hold};
use crate::app::service::Service;
use crate::web::extract::path_bytes;
use crate::web::problem::Problem;

/// Files on a page, and held paths that are named.
const PAGE: usize = 100;

/// Which files; empty fields of a form ask for nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    contains: String,
    policy: String,
    sort: String,
    after: String,
}

/// The orders of the list: key, words, and the order itself.
const ORDERS: [(&str, &str, FilesOrder); 6] = [
    ("path", "path", FilesOrder::Path),
    ("due", "deadline, next first", FilesOrder::Due),
    ("oldest", "age, oldest first", FilesOrder::Oldest),
    ("newest", "age, newest first", FilesOrder::Newest),
    ("largest", "size, largest first", FilesOrder::Largest),
    ("smallest", "size, smallest first", FilesOrder::Smallest),
];

/// The heading of a column that the list can be sorted by.
#[derive(Clone, Debug)]
struct Column {
    name: &'static str,
    class: &'static str,
    /// `ascending` or `descending`, where the list is sorted by it.
    sorted: Option<&'static str>,
    /// The list in the order that the heading leads to.
    address: String,
}

/// Name, class, and the orders that a heading leads to by turns, each with how its values run.
type ColumnOrders = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const COLUMNS: [ColumnOrders; 4] = [
    ("Path", "", &[("path", "ascending")]),
    ("Size", "n", &[("largest", "descending"), ("smallest", "ascending")]),
    ("Age counts from", "", &[("oldest", "ascending"), ("newest", "descending")]),
    ("Due", "", &[("due", "ascending")]),
];

/// One file in a list.
#[derive(Clone, Debug)]
pub(crate) struct FileLine {
    pub(crate) id: String,
    pub(crate) policy: String,
    pub(crate) path: String,
    pub(crate) size: String,
    pub(crate) age: When,
    pub(crate) due: Option<When>,
    pub(crate) held: Option<When>,
    pub(crate) ttl: Option<String>,
}

/// A path that is held.
struct HeldLine {
    path: String,
    /// The path in base64, for the form that releases it.
    path_bytes: String,
    until: When,
    asked_by: Option<String>,
}

#[derive(Template)]
#[template(path = "files.html")]
struct FilesPage {
    frame: Frame,
    files: Vec<FileLine>,
    /// All file policies: what is held may be of any.
    policies: Vec<String>,
    tracks: bool,
    contains: String,
    policy: String,
    sort: &'static str,
    columns: Vec<Column>,
    /// The address of the first page, on the others.
    first: Option<String>,
    next: Option<String>,
    held: Vec<HeldLine>,
    more_held: usize,
}

#[derive(Template)]
#[template(path = "file.html")]
struct FilePage {
    frame: Frame,
    file: FileLine,
    answers: Vec<AnswerLine>,
    /// For how long it may be held: the value of each choice, its words, and whether it is the usual one.
    spans: Vec<(String, String, bool)>,
}

/// The choices of the form that holds a file; nothing beyond what is allowed.
fn spans(max: Duration) -> Vec<(String, String, bool)> {
    let usual = [("1h", "an hour", 1), ("1d", "a day", 24), ("7d", "a week", 7 * 24), ("30d", "30 days", 30 * 24)];
    let allowed = usual.iter().filter(|(.., hours)| Duration::from_hours(*hours) <= max);
    let mut spans: Vec<_> =
        allowed.map(|(value, text, hours)| ((*value).to_owned(), (*text).to_owned(), *hours == 24)).collect();
    if spans.is_empty() {
        spans.push((Human(max).to_string(), words::span(max), true));
    }
    spans
}

impl FileLine {
    pub(crate) fn new(file: &TrackedFile, here: &Here) -> Self {
        let ttl = file.ttl_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self {
            id: file.id.clone(),
            policy: file.policy.clone(),
            path: words::path(&file.path, file.path_bytes.as_deref()),
            size: words::bytes(file.bytes),
            age: here.when(file.stamp),
            due: file.due_at.map(|at| here.when(at)),
            held: file.held_until.map(|at| here.when(at)),
            ttl: ttl.map(words::span),
        }
    }
}

/// The page of many.
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Asked(asked): Asked<Question>,
) -> Response {
    page_or_fault(&service, &headers, found(&service, &headers, asked).await)
}

async fn found(service: &Arc<Service>, headers: &HeaderMap, asked: Question) -> Result<FilesPage, Problem> {
    let Question { contains, policy, sort, after } = asked;
    let (sort, _, order) = *ORDERS.iter().find(|(key, ..)| *key == sort).unwrap_or(&ORDERS[0]);
    let tracker = service.tracker()?;
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let query =
        FilesQuery { policy: given(&policy), contains: given(&contains), order, limit: PAGE, after: given(&after) };
    let tracks = !tracker.policies().is_empty();
    let engine = service.generation().engine;
    let policies = engine.config().files.iter().map(|policy| policy.rule.name.clone()).collect();
    let page = files::list(service, query).await?;
    let here = here(service);
    let wanted = HoldsQuery { policy: given(&policy), contains: given(&contains), ..HoldsQuery::default() };
    let mut held = files::holds(service, wanted).await.map(|held| held.holds).unwrap_or_default();
    let more_held = held.len().saturating_sub(PAGE);
    held.truncate(PAGE);
    let line = |held: &HeldPath| HeldLine {
        path: words::path(&held.path, held.path_bytes.as_deref()),
        path_bytes: held.path_bytes.clone().unwrap_or_else(|| STANDARD.encode(&held.path)),
        until: here.when(held.until),
        asked_by: held.asked_by.clone(),
    };
    let address = |sort: &str, after: &str| {
        // The usual order needs no saying.
        let sort = if sort == ORDERS[0].0 { "" } else { sort };
        let query = query_of(&[("contains", &contains), ("policy", &policy), ("sort", sort), ("after", after)]);
        if query.is_empty() { "/files".to_owned() } else { format!("/files?{query}") }
    };
    let column = |(name, class, orders): &ColumnOrders| {
        let now = orders.iter().position(|(key, _)| *key == sort);
        let (to, _) = orders[now.map_or(0, |now| (now + 1) % orders.len())];
        Column { name, class, sorted: now.map(|now| orders[now].1), address: address(to, "") }
    };
    Ok(FilesPage {
        columns: COLUMNS.iter().map(column).collect(),
        first: (!after.is_empty()).then(|| address(sort, "")),
        next: page.next.map(|after| address(sort, &after)),
        sort,
        frame: Frame::of(service, headers, Part::Files),
        files: page.files.iter().map(|file| FileLine::new(file, &here)).collect(),
        policies,
        tracks,
        contains,
        policy,
        held: held.iter().map(line).collect(),
        more_held,
    })
}

/// The page of one.
pub(crate) async fn one(State(service): State<Arc<Service>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    page_or_fault(&service, &headers, looked_at(&service, &headers, &id).await)
}

async fn looked_at(service: &Arc<Service>, headers: &HeaderMap, id: &str) -> Result<FilePage, Problem> {
    let here = here(service);
    let file = files::one(service, id)?;
    let path = match &file.path_bytes {
        Some(exact) => path_bytes(None, Some(exact.clone()))?,
        None => file.path.clone().into_bytes(),
    };
    let explained = explain(service, path, Some(&file.policy)).await?;
    Ok(FilePage {
        frame: Frame::of(service, headers, Part::Files),
        file: FileLine::new(&file, &here),
        answers: answers(&explained, &here),
        spans: spans(max_hold(service)),
    })
}
