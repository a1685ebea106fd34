//! `/`: whether cleaning works, in five seconds; below it what is on disk, what is due next, what was removed.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cleanup_engine::responses::PastRun;
use cleanup_engine::track::{ForecastHour, TrackedFile};
use serde::Deserialize;

use super::charts::{self, Chart, Series, Subject, Unit};
use super::files::FileLine;
use super::login;
use super::page::{Asked, Fault, Frame, Part, Token, here, html};
use super::policies::{Amount, Card, FindingLine, Known};
use super::runs::RunLine;
use super::trend::{due_by_hour, kept_and_removed};
use super::words::{self, Here, When};
use crate::app::policies::policies;
use crate::app::readiness::{Findings, findings};
use crate::app::service::Service;
use crate::app::trend::{Measure, Past, Trend, Window};
use crate::telemetry::recent_removals::{Gone, HourOfLateness};
use crate::web::auth::Caller;
use crate::web::problem::Problem;

/// Files that are named as the next to go, and hours that are looked ahead.
const NEXT: usize = 7;
const HOURS: u32 = 24;

/// How much of the past to show, and of what.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    over: Window,
    show: Measure,
}

/// All that the page is made of.
pub(crate) struct Picture {
    pub(crate) here: Here,
    pub(crate) token: Token,
    pub(crate) origin: String,
    pub(crate) started_at: cleanup_core::moment::Moment,
    pub(crate) findings: Findings,
    pub(crate) policies: Vec<Known>,
    /// By policy; only those that are tracked.
    pub(crate) forecast: Vec<(String, Vec<ForecastHour>)>,
    pub(crate) next: Vec<TrackedFile>,
    pub(crate) trend: Arc<Trend>,
    pub(crate) over: Window,
    pub(crate) show: Measure,
    pub(crate) runs: Arc<[PastRun]>,
    pub(crate) gone: Vec<Gone>,
    pub(crate) lateness: Vec<HourOfLateness>,
}

/// The page.
#[derive(Template)]
#[template(path = "overview.html")]
pub(crate) struct Overview {
    frame: Frame,
    headline: String,
    is_well: bool,
    origin: String,
    started: When,
    findings: Vec<FindingLine>,
    tiles: Vec<Tile>,
    cards: Vec<Card>,
    forecast: Option<Chart>,
    /// Policies of which nobody knows what comes due.
    unforeseen: Vec<String>,
    next: Vec<FileLine>,
    is_bytes: bool,
    over: Window,
    past: Option<[Chart; 2]>,
    lateness: Option<Chart>,
    worst: String,
    gone: Vec<GoneLine>,
    runs: Vec<RunLine>,
}

/// A number that is seen first.
struct Tile {
    label: &'static str,
    value: String,
    when: Option<When>,
    note: String,
}

/// A file that went at its deadline.
struct GoneLine {
    policy: String,
    path: String,
    size: String,
    when: When,
    late: String,
}

/// The dashboard, or a page that asks for the token.
#[utoipa::path(get, path = "/", tag = "Operation",
    responses((status = 200, description = "A page for people", body = String, content_type = "text/html")))]
pub(crate) async fn overview(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Asked(asked): Asked<Question>,
) -> Response {
    if caller == Caller::Stranger {
        return login::asked(&service, "/").await;
    }
    let Question { over, show } = asked;
    match picture(&service, &headers, over, show).await {
        Ok(picture) => html(StatusCode::OK, &Overview::new(&picture)),
        Err(problem) => Fault::new(&service, &headers, problem).into_response(),
    }
}

async fn picture(service: &Arc<Service>, headers: &HeaderMap, over: Window, show: Measure) -> Result<Picture, Problem> {
    let live = service.generation();
    let here = here(service);
    let latest = &service.feed().last_runs;
    let runs = latest.runs();
    let Past { trend, runs } = if let Some(past) = service.trends.fresh(over, here.now, runs) {
        past
    } else {
        let (reader, engine, now) = (Arc::clone(service), Arc::clone(&live.engine), here.now);
        service.blocking(move || reader.trends.read(&engine, over, now, runs)).await?
    };
    let policies = policies(service);
    let findings = findings(service, &policies);
    let config = live.engine.config();
    let tracker = live.tracker.as_ref();
    let forecast =
        |rule: &cleanup_core::policy::Policy| Some((rule.name.clone(), tracker?.forecast(&rule.name, HOURS)?));
    Ok(Picture {
        token: Frame::of(service, headers, Part::Overview).token,
        origin: words::message(&live.engine.origin().to_string()),
        started_at: service.started_at,
        findings,
        forecast: config.rules().filter_map(forecast).collect(),
        policies: policies.into_iter().map(|policy| Known::of(service, &live, policy)).collect(),
        next: tracker.map(|tracker| tracker.next_files(NEXT)).unwrap_or_default(),
        trend,
        over,
        show,
        runs,
        gone: service.feed().recent_removals.files(),
        lateness: service.feed().recent_removals.hours(here.now),
        here,
    })
}

impl Overview {
    pub(crate) fn new(picture: &Picture) -> Self {
        let Picture { here, trend, over, show, .. } = picture;
        let findings = FindingLine::all(&picture.findings, here);
        let cards: Vec<Card> = picture.policies.iter().map(|known| known.card(trend, here)).collect();
        let headline = match findings.len() {
            0 if cards.is_empty() => "No policies are configured".to_owned(),
            0 => "All is well".to_owned(),
            1 => "1 thing needs attention".to_owned(),
            many => format!("{many} things need attention"),
        };
        let names: Vec<String> = picture.policies.iter().map(|known| known.policy.name.clone()).collect();
        let is_foreseen = |name: &&String| !picture.forecast.iter().any(|(foreseen, _)| foreseen == *name);
        Self {
            frame: Frame::new(Part::Overview, picture.token, here),
            headline,
            is_well: findings.is_empty(),
            origin: picture.origin.clone(),
            started: here.when(picture.started_at),
            findings,
            tiles: tiles(picture),
            cards,
            forecast: forecast(picture),
            unforeseen: names.iter().filter(is_foreseen).cloned().collect(),
            next: picture.next.iter().map(|file| FileLine::new(file, here)).collect(),
            is_bytes: *show == Measure::Bytes,
            over: *over,
            past: (!trend.is_empty()).then(|| kept_and_removed(trend, &names, *show, here)),
            lateness: lateness(picture),
            worst: picture.lateness.iter().map(|hour| hour.worst).max().map(words::lateness).unwrap_or_default(),
            gone: picture.gone.iter().take(NEXT).map(|gone| GoneLine::new(gone, here)).collect(),
            runs: picture.runs.iter().map(|run| RunLine::new(run, &names, here)).collect(),
        }
    }
}

impl GoneLine {
    fn new(gone: &Gone, here: &Here) -> Self {
        Self {
            policy: gone.policy.clone(),
            path: cleanup_core::candidate::Escaped(&gone.path).to_string(),
            size: words::bytes(gone.bytes),
            when: here.when(gone.at),
            late: words::lateness(gone.lateness),
        }
    }
}

fn tiles(picture: &Picture) -> Vec<Tile> {
    let sum = |of: fn(&Known) -> Option<Amount>| {
        let known = picture.policies.iter().filter_map(of);
        known.fold((0, 0), |(items, bytes), (more, size)| (items + more, bytes + size.unwrap_or(0)))
    };
    let (there, there_bytes) = sum(Known::there);
    let (due, due_bytes) = sum(Known::due);
    let looked_all = picture.policies.iter().all(|known| known.there().is_some());
    let as_of = match (looked_all, picture.policies.iter().all(|known| known.policy.tracked.is_some())) {
        (false, _) => "in the policies scanned so far",
        (true, true) => "now",
        (true, false) => "as of each policy's last scan",
    };
    let next = picture.policies.iter().filter_map(|known| known.policy.tracked.as_ref()?.next_deadline).min();
    let (gone, gone_bytes) = picture.trend.removed();
    let plain = |label, value, note| Tile { label, value, when: None, note };
    vec![
        plain("On disk", words::bytes(there_bytes), format!("{}, {as_of}", words::number(there, "item"))),
        plain("Due now", words::count(due), format!("{}, {as_of}", words::bytes(due_bytes))),
        match next {
            Some(at) => {
                let when = picture.here.when(at);
                Tile { label: "Next deadline", value: String::new(), note: when.short.clone(), when: Some(when) }
            }
            None => plain("Next deadline", "none".to_owned(), "no tracked file has a deadline".to_owned()),
        },
        plain(
            "Freed",
            words::bytes(gone_bytes),
            format!("{} removed in {}", words::number(gone, "item"), picture.over.words()),
        ),
    ]
}

fn forecast(picture: &Picture) -> Option<Chart> {
    let place = |name: &str| picture.policies.iter().position(|known| known.policy.name == name);
    let of = |(name, hours): &(String, Vec<ForecastHour>)| {
        (name.clone(), place(name).unwrap_or(charts::COLOURS), hours.clone())
    };
    let policies: Vec<_> = picture.forecast.iter().map(of).collect();
    due_by_hour(&policies, picture.show, &picture.here)
}

fn lateness(picture: &Picture) -> Option<Chart> {
    // A single hour is no trend.
    if picture.lateness.len() < 2 {
        return None;
    }
    let stretches: Vec<String> =
        picture.lateness.iter().map(|hour| picture.here.strftime(hour.from, "%a %H:%M")).collect();
    let marks =
        stretches.first().into_iter().chain(stretches.last().filter(|_| stretches.len() > 1)).cloned().collect();
    let subject = Subject {
        id: "late",
        title: "Longest delay after a deadline, per hour",
        unit: Unit::Millis,
        stretches: &stretches,
        marks,
    };
    let millis = |hour: &HourOfLateness| Some(u64::try_from(hour.worst.as_millis()).unwrap_or(u64::MAX));
    let series =
        Series { name: "longest delay".to_owned(), colour: 0, values: picture.lateness.iter().map(millis).collect() };
    Some(charts::bars(subject, vec![series]))
}

#[cfg(test)]
mod tests {
    use cleanup_core::moment::Moment;
    use cleanup_core::report::{
        Counts, Finding, FindingCode, Level, Limit, PolicyKind, PolicyStatus, RunStatus, Trigger,
    };
    use cleanup_engine::TrendPoint;
    use cleanup_engine::track::{TrackedPolicy, Watching};

    use super::*;
    use crate::app::policies::{Policy, PolicyMode};
    use crate::telemetry::last_runs::{LastOutcome, LastRun};

    const NOW: Moment = Moment::from_unix(1_767_323_045, 0);

    fn minutes(minutes: u64) -> std::time::Duration {
        std::time::Duration::from_secs(60 * minutes)
    }

    fn policy(name: &str, tracked: Option<TrackedPolicy>, last_run: Option<LastRun>) -> Known {
        let policy = Policy {
            name: name.to_owned(),
            kind: PolicyKind::Files,
            enabled: true,
            mode: PolicyMode::Enforce,
            max_age_seconds: Some(1800.0),
            schedule: Some("every 30m".to_owned()),
            root: Some("/srv/<b>".to_owned()),
            table: None,
            tracked,
            last_run,
            running: None,
        };
        let due_now = policy.tracked.as_ref().map(|_| (2, 8192));
        Known {
            policy,
            include: "\"*.step\"".to_owned(),
            archives: String::new(),
            limits: Vec::new(),
            look: None,
            before: None,
            due_now,
        }
    }

    /// The same policy with limits alone.
    fn without_age(mut known: Known) -> Known {
        known.policy.max_age_seconds = None;
        known.limits = vec!["max_total_size 5GiB".to_owned()];
        known
    }

    /// One policy that tracks, with a limit that is not met, and one of which nothing is known.
    fn picture() -> Picture {
        let tracked = TrackedPolicy {
            policy: "models".to_owned(),
            total_files: 1234,
            tracked_files: 1200,
            total_bytes: 5_000_000,
            next_deadline: Some(NOW.plus(minutes(3))),
            watching: Watching::Rescans { why: "no watch is left".to_owned() },
            held: None,
        };
        let limit = |name: &str, wanted, is, after, pinned: &[(&str, u64)]| Limit {
            name: name.to_owned(),
            met: pinned.is_empty(),
            wanted,
            is,
            after,
            pinned: pinned.iter().map(|(why, amount)| ((*why).to_owned(), *amount)).collect(),
        };
        let limits = vec![
            limit("max_total_size", 1_000_000, 5_000_000, None, &[("held", 4096), ("settling", 8192)]),
            limit("max_files", 2000, 1234, None, &[]),
            limit("min_free", 9_000_000, 7_000_000, Some(8_000_000), &[("elsewhere", 90_000_000)]),
            limit("min_free_inodes", 1000, 12_000, None, &[]),
        ];
        let outcome = LastOutcome {
            run_id: "01A".to_owned(),
            finished_at: NOW.minus(minutes(5)),
            status: PolicyStatus::Partial,
            message: None,
            skipped: None,
            counts: Counts { removed: 3, bytes_freed: 12_288, ..Counts::default() },
            limits,
            errors_total: 1,
        };
        let last = LastRun { started_at: None, succeeded_at: None, outcome: Some(outcome) };
        let trend = TrendPoint {
            policy: "models".to_owned(),
            stretch: 80,
            removed: 3,
            bytes_freed: 12_288,
            kept: Some(1200),
            kept_bytes: Some(5_000_000),
        };
        let run = PastRun {
            asked_by: None,
            run_id: "01A".to_owned(),
            trigger: Trigger::Schedule,
            started_at: NOW.minus(minutes(5)),
            finished_at: NOW.minus(minutes(5)),
            status: RunStatus::Partial,
            due: 4,
            removed: 3,
            quarantined: 0,
            quarantined_bytes: 0,
            bytes_freed: 12_288,
            errors: 1,
            restored: 0,
            policies: vec!["models".to_owned()],
            skipped: Vec::new(),
            root_missing: Vec::new(),
            findings: Vec::new(),
        };
        let late = std::time::Duration::from_millis(120);
        let gone =
            Gone { policy: "models".to_owned(), path: b"\xff<i>".to_vec(), bytes: 4096, at: NOW, lateness: late };
        Picture {
            here: Here { now: NOW, zone: jiff::tz::TimeZone::UTC },
            token: Token::Missing,
            origin: "/etc/cleanup/cleanup.toml".to_owned(),
            started_at: NOW.minus(minutes(90)),
            findings: Findings {
                reasons: Vec::new(),
                warnings: vec![Finding {
                    code: FindingCode::LimitUnmet,
                    level: Level::Warning,
                    policy: Some("models".to_owned()),
                    since: NOW.minus(minutes(30)),
                    text: "it is <full>".to_owned(),
                    remedy: Some("cleanup stats models".to_owned()),
                }],
            },
            policies: vec![policy("models", Some(tracked), Some(last)), without_age(policy("other", None, None))],
            forecast: vec![(
                "models".to_owned(),
                (0..24_u32)
                    .map(|hour| ForecastHour {
                        from: NOW.plus(minutes(60) * hour),
                        files: u64::from(hour % 5),
                        bytes: u64::from(hour % 5) * 4096,
                    })
                    .collect(),
            )],
            next: Vec::new(),
            trend: Arc::new(Trend::new(Window::Week, Moment::from_unix(1_766_721_600, 0), vec![trend])),
            over: Window::Week,
            show: Measure::Bytes,
            runs: Arc::new([run]),
            gone: vec![gone],
            lateness: vec![HourOfLateness { from: NOW, files: 1, mean: late, worst: late }],
        }
    }

    #[test]
    fn the_page_says_what_is_there_what_goes_next_and_what_went() {
        insta::assert_snapshot!(super::super::page::still(&Overview::new(&picture())));
    }

    #[test]
    fn a_page_without_policies_is_a_page() {
        let empty = Picture { policies: Vec::new(), findings: Findings::default(), forecast: Vec::new(), ..picture() };
        let page = Overview::new(&empty).render().unwrap();
        assert!(page.contains("No policies are configured") && page.contains("No policy tracks its files"));
    }
}
