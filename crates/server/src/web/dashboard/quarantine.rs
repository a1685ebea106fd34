//! What lies in quarantine: sums by policy and by run, and the files, each with the way to its plan of coming back.
//!
//! It reads the notes of the quarantine whenever it is asked for, so it does not ask for itself again.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use cleanup_core::moment::Moment;
use cleanup_engine::responses::{Quarantined, QuarantinedFile, QuarantinedPolicy};
use serde::Deserialize;

use super::page::{Asked, Frame, Part, here, page_or_fault};
use super::runs::query_of;
use super::words::{self, Here, When};
use crate::app::quarantine;
use crate::app::service::Service;
use crate::web::problem::Problem;

/// Files on a page.
const PAGE: usize = 200;

/// Runs that are named, the newest ones.
const RUNS: usize = 20;

/// Which files; empty fields of a form ask for nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    policy: String,
    run: String,
    contains: String,
    /// How many of them come before the page.
    from: usize,
}

impl Question {
    fn fits(&self, file: &QuarantinedFile) -> bool {
        (self.policy.is_empty() || file.policy == self.policy)
            && (self.run.is_empty() || file.run_id == self.run)
            && (self.contains.is_empty() || file.path.contains(&self.contains))
    }
}

/// What was gathered on one way through the quarantine.
#[derive(Debug, Default)]
struct Gathered {
    /// The files of the page.
    files: Vec<QuarantinedFile>,
    /// How many fit the question.
    fitting: usize,
    /// Everything by its run, whatever was asked for: a run comes back as a whole.
    runs: BTreeMap<String, RunSum>,
}

/// What is there of one run.
#[derive(Debug)]
struct RunSum {
    files: u64,
    bytes: u64,
    since: Moment,
    until: Moment,
}

impl Gathered {
    fn add(&mut self, question: &Question, file: &QuarantinedFile) {
        let until = file.until;
        let sum = self.runs.entry(file.run_id.clone()).or_insert_with(|| RunSum {
            files: 0,
            bytes: 0,
            since: file.quarantined_at,
            until,
        });
        sum.files += 1;
        sum.bytes += file.bytes;
        sum.until = sum.until.min(until);
        if question.fits(file) {
            if self.fitting >= question.from && self.files.len() < PAGE {
                self.files.push(file.clone());
            }
            self.fitting += 1;
        }
    }
}

/// One policy's quarantine.
struct PolicyLine {
    name: String,
    files: String,
    size: String,
    oldest: Option<When>,
    next_purge: Option<When>,
    problem: Option<String>,
}

/// One run of which something is there.
struct RunLine {
    id: String,
    since: When,
    items: String,
    size: String,
    until: When,
}

/// One file.
struct FileLine {
    policy: String,
    run: String,
    path: String,
    size: String,
    since: When,
    until: When,
    reason: String,
    /// The address of its plan; none where nobody knows where it came from.
    restore: Option<String>,
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    frame: Frame,
    headline: String,
    policies: Vec<PolicyLine>,
    runs: Vec<RunLine>,
    older_runs: usize,
    files: Vec<FileLine>,
    names: Vec<String>,
    question: Question,
    /// Which of how many are shown.
    shown: String,
    previous: Option<String>,
    next: Option<String>,
}

/// The page.
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Asked(asked): Asked<Question>,
) -> Response {
    page_or_fault(&service, &headers, found(&service, &headers, asked).await)
}

async fn found(service: &Service, headers: &HeaderMap, question: Question) -> Result<QuarantinePage, Problem> {
    let asked = question.clone();
    let add = move |gathered: &mut Gathered, file: &QuarantinedFile| gathered.add(&asked, file);
    let (gathered, all) = quarantine::list(service, Vec::new(), Gathered::default(), add).await?;
    let frame = Frame::of(service, headers, Part::Quarantine);
    Ok(QuarantinePage::new(frame, question, &gathered, &all, &here(service)))
}

impl QuarantinePage {
    fn new(frame: Frame, question: Question, gathered: &Gathered, all: &Quarantined, here: &Here) -> Self {
        let sum = |of: fn(&QuarantinedPolicy) -> u64| all.policies.iter().map(of).sum::<u64>();
        let headline = match sum(|policy| policy.files) {
            0 => "Quarantine is empty".to_owned(),
            files => {
                let size = words::bytes(sum(|policy| policy.bytes));
                format!("{} in quarantine, {size}", words::number(files, "item"))
            }
        };
        let has_any = |policy: &&QuarantinedPolicy| policy.files > 0 || policy.problem.is_some();
        let page = |from: usize| {
            let Question { policy, run, contains, .. } = &question;
            let from = if from == 0 { String::new() } else { from.to_string() };
            let fields = [("policy", policy), ("run", run), ("contains", contains), ("from", &from)];
            format!("/quarantine?{}", query_of(&fields.map(|(name, value)| (name, value.as_str()))))
        };
        let end = question.from + gathered.files.len();
        let shown = match (gathered.files.len(), gathered.fitting) {
            (0, _) => String::new(),
            (all, fitting) if all == fitting => words::number(all as u64, "item"),
            (_, fitting) => {
                let count = |number: usize| words::count(number as u64);
                format!("{} to {} of {}", count(question.from + 1), count(end), count(fitting))
            }
        };
        Self {
            frame,
            headline,
            policies: all.policies.iter().filter(has_any).map(|policy| PolicyLine::new(policy, here)).collect(),
            runs: gathered.runs.iter().rev().take(RUNS).map(|(id, sum)| RunLine::new(id, sum, here)).collect(),
            older_runs: gathered.runs.len().saturating_sub(RUNS),
            files: gathered.files.iter().map(|file| FileLine::new(file, here)).collect(),
            names: all.policies.iter().map(|policy| policy.policy.clone()).collect(),
            shown,
            previous: (question.from > 0).then(|| page(question.from.saturating_sub(PAGE))),
            next: (end < gathered.fitting && !gathered.files.is_empty()).then(|| page(end)),
            question,
        }
    }
}

impl PolicyLine {
    fn new(policy: &QuarantinedPolicy, here: &Here) -> Self {
        Self {
            name: policy.policy.clone(),
            files: words::count(policy.files),
            size: words::bytes(policy.bytes),
            oldest: policy.oldest.map(|at| here.when(at)),
            next_purge: policy.next_purge_at.map(|at| here.when(at)),
            problem: policy.problem.as_deref().map(|why| here.text(why)),
        }
    }
}

impl RunLine {
    fn new(id: &str, sum: &RunSum, here: &Here) -> Self {
        Self {
            id: id.to_owned(),
            since: here.when(sum.since),
            items: words::count(sum.files),
            size: words::bytes(sum.bytes),
            until: here.when(sum.until),
        }
    }
}

impl FileLine {
    fn new(file: &QuarantinedFile, here: &Here) -> Self {
        Self {
            policy: file.policy.clone(),
            run: file.run_id.clone(),
            path: words::path(&file.path, file.path_bytes.as_deref()),
            size: words::bytes(file.bytes),
            since: here.when(file.quarantined_at),
            until: here.when(file.until),
            reason: file.reason.as_deref().map(|why| here.text(why)).unwrap_or_default(),
            restore: file.origin_known.then(|| plan_of(file)),
        }
    }
}

/// The address of the plan for one file. Its path goes exactly: a form would change what looks like the end of a line.
fn plan_of(file: &QuarantinedFile) -> String {
    let exact = file.path_bytes.clone();
    let exact = exact.unwrap_or_else(|| base64::engine::general_purpose::STANDARD.encode(&file.path));
    format!("/quarantine/restore?{}", query_of(&[("policy", &file.policy), ("path_bytes", &exact)]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::page::{Token, still};
    use super::*;

    const NOW: Moment = Moment::from_unix(1_767_323_045, 0);

    fn file(path: &str, run: &str) -> QuarantinedFile {
        QuarantinedFile {
            policy: "svgs".to_owned(),
            run_id: run.to_owned(),
            path: path.to_owned(),
            path_bytes: None,
            origin_known: true,
            bytes: 4096,
            quarantined_at: NOW.minus(Duration::from_hours(2)),
            until: NOW.plus(Duration::from_hours(46)),
            reason: Some("older than 1h".to_owned()),
        }
    }

    fn page(question: Question, files: &[QuarantinedFile]) -> QuarantinePage {
        let mut gathered = Gathered::default();
        for file in files {
            gathered.add(&question, file);
        }
        let policy = QuarantinedPolicy {
            policy: "svgs".to_owned(),
            files: files.len() as u64,
            bytes: 4096 * files.len() as u64,
            oldest: files.first().map(|file| file.quarantined_at),
            next_purge_at: files.first().map(|file| file.until),
            problem: None,
        };
        let here = Here { now: NOW, zone: jiff::tz::TimeZone::UTC };
        let all = Quarantined { format_version: 1, policies: vec![policy] };
        QuarantinePage::new(Frame::new(Part::Quarantine, Token::NotAsked, &here), question, &gathered, &all, &here)
    }

    #[test]
    fn the_page_says_what_lies_there_and_how_it_comes_back() {
        let raw = QuarantinedFile { path_bytes: Some("Yf8=".to_owned()), ..file("a\u{fffd}", "01B") };
        let lost =
            QuarantinedFile { origin_known: false, reason: None, ..file(".cleanup/quarantine/01B-svgs/7", "01B") };
        let files = [file("<b>\u{202e}.svg", "01A"), raw, lost];
        insta::assert_snapshot!(still(&page(Question::default(), &files)));
        insta::assert_snapshot!("empty", still(&page(Question::default(), &[])));
    }

    #[test]
    fn many_files_come_by_pages() {
        let files: Vec<_> = (0..450).map(|number| file(&format!("{number}.svg"), "01A")).collect();
        let first = page(Question::default(), &files);
        assert_eq!((first.shown.as_str(), first.previous.as_deref()), ("1 to 200 of 450", None));
        assert_eq!(first.next.as_deref(), Some("/quarantine?from=200"));
        let last = page(Question { from: 400, ..Question::default() }, &files);
        assert_eq!((last.shown.as_str(), last.next), ("401 to 450 of 450", None));
        assert_eq!(last.previous.as_deref(), Some("/quarantine?from=200"));
        let some = page(Question { contains: "44".to_owned(), ..Question::default() }, &files);
        assert_eq!((some.shown.as_str(), some.runs[0].items.as_str()), ("14 items", "450"));
    }
}
