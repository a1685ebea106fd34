//! `cleanup`, `cleanup sweep`: one sweep, and what is said about it.
//!
//! The sweep runs to its end whatever becomes of the output: everything here happens beside it or after it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cleanup_core::candidate::{Candidate, Class};
use cleanup_core::report::{PolicyReport, Report, Skip};
use cleanup_core::store::{Outcome, Seen};
use cleanup_core::sweep::{Judged, Mode};
use cleanup_core::verdict::{KeepKind, Verdict};
use cleanup_engine::{Engine, Origin, Request, RequestError, Watcher};

use crate::args::{Format, Global, PolicyAge, SweepFlags};
use crate::console::{Console, Out, Verbosity};
use crate::exit::{self, Code, Strictness};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::render::Theme;
use crate::render::block::{Block, FirstPaths, planned_line};
use crate::render::place::Places;
use crate::render::problem::Problem;
use crate::render::summary::Summary;
use crate::textfile;

pub(super) fn run(
    global: &Global,
    policies: Vec<String>,
    flags: &SweepFlags,
    console: &mut Console,
) -> Result<Code, Failure> {
    if flags.dry_run && flags.textfile.is_some() {
        return Err(Failure::Usage("`--textfile` tells of sweeps, and a dry run is none".to_owned()));
    }
    let engine = super::open(global)?;
    let ages = ages(&engine, &policies, flags)?;
    let request = Request {
        policies,
        mode: if flags.dry_run { Mode::Plan } else { Mode::Apply },
        include_archives: flags.include_archives,
        max_age: ages.iter().map(|age| (age.policy.clone(), age.max_age)).collect(),
        at: flags.at,
        force: flags.force,
        jobs: flags.jobs,
        // A dry run is nobody's business but the caller's.
        asked_by: (!flags.dry_run).then(cleanup_engine::caller),
        ..Request::default()
    };
    let places = Places::from_here(engine.config()).with_ages(ages);
    let (swept, first) = watched(&places, console, |watcher| engine.sweep(&request, watcher));
    let report = swept?;

    if console.format == Format::Json {
        console.out.document(&report);
        report.policies.iter().flat_map(Problem::of).for_each(|problem| console.problem(&problem));
    } else if is_nowhere(&engine, &report) {
        // Also in cron: a crontab that forgot its `cd` would otherwise do nothing for ever, and say nothing.
        super::say_where_to_begin(console);
        if flags.dry_run && console.verbosity > Verbosity::Problems {
            console.out.print(Summary(&report));
        }
    } else {
        print(&report, &first, &places, console);
    }
    if let Some(path) = &flags.textfile
        && let Err(error) = textfile::write(path, &report)
    {
        // What was removed is removed; that nobody hears of it is worth a word, and no other exit code.
        console.problem(&Problem::warning(format!("the metrics are not written to {}: {error}", path.display())));
    }
    super::notify::conclude(&engine, &report, console);
    let strictness = if flags.strict { Strictness::Strict } else { Strictness::Lenient };
    Ok(Code::of(exit::faults(&report, strictness)))
}

/// The ages that were asked for, each for a policy that exists, is swept, and is named once.
fn ages(engine: &Engine, policies: &[String], flags: &SweepFlags) -> Result<Vec<PolicyAge>, Failure> {
    let mut ages: Vec<PolicyAge> = Vec::new();
    for (flag, age) in flags.ages() {
        let policy = &age.policy;
        let exists = engine.config().rules().any(|rule| rule.name == *policy);
        if !exists && flag != "--max-age" {
            return Err(Failure::Usage(format!(
                "`{flag}` is for policy {policy:?}, which this configuration does not have; \
                 use `--max-age POLICY=DURATION` for its own policies"
            )));
        }
        if exists && !policies.is_empty() && !policies.contains(policy) {
            return Err(Failure::Usage(format!("`{flag}` is for policy {policy:?}, which is not to be swept")));
        }
        if ages.iter().any(|other| other.policy == *policy) {
            return Err(Failure::Usage(format!("there are two maximum ages for policy {policy:?}")));
        }
        ages.push(age);
    }
    Ok(ages)
}

/// No configuration, and nothing that the built-in one speaks of.
fn is_nowhere(engine: &Engine, report: &Report) -> bool {
    let has_nothing = |policy: &PolicyReport| matches!(policy.skipped, Some(Skip::NoRoot | Skip::NoDatabase));
    *engine.origin() == Origin::BuiltIn && report.policies.iter().all(has_nothing)
}

/// Prints the report as text, as much of it as was asked for.
pub(super) fn print(report: &Report, first: &BTreeMap<String, FirstPaths>, places: &Places<'_>, console: &mut Console) {
    let mode = if report.dry_run { Mode::Plan } else { Mode::Apply };
    let theme = console.out.theme;
    let none = FirstPaths::default();
    for policy in &report.policies {
        if console.verbosity >= Verbosity::Blocks {
            let paths = first.get(&policy.name).unwrap_or(&none);
            console.out.write(Block { report: policy, mode, paths, places, theme: &theme });
        }
        for problem in Problem::of(policy) {
            console.problem(&problem);
        }
        match console.verbosity {
            Verbosity::Problems => {}
            Verbosity::LastLine => policy.plan.iter().for_each(|item| console.out.print(planned_line(item, &theme))),
            Verbosity::Blocks | Verbosity::Paths | Verbosity::Debug => console.out.print(""),
        }
    }
    for note in &report.notes {
        console.problem(&Problem::warning(note));
    }
    if let Some(why) = &report.not_remembered
        && console.verbosity >= Verbosity::Blocks
    {
        console.problem(&Problem::warning(why));
    }
    if report.new_memory && console.verbosity >= Verbosity::Blocks {
        let detail = theme.detail;
        console.out.print(format_args!(
            "{detail}Runs are remembered from now on; earlier holds, if any, are forgotten.{detail:#}"
        ));
    }
    let summary = Summary(report);
    let is_wanted = match console.verbosity {
        Verbosity::Problems => false,
        Verbosity::LastLine => summary.is_news(),
        Verbosity::Blocks | Verbosity::Paths | Verbosity::Debug => true,
    };
    if is_wanted {
        console.out.print(summary);
    }
}

/// Does something that a person may watch, and returns what came of it with the first paths that went.
pub(super) fn watched<T>(
    places: &Places<'_>,
    console: &mut Console,
    act: impl FnOnce(&dyn Watcher) -> T,
) -> (T, BTreeMap<String, FirstPaths>) {
    let watch = match (console.format, console.verbosity) {
        (Format::Text, Verbosity::Blocks) => Watch::First(Mutex::default()),
        (Format::Text, Verbosity::Paths | Verbosity::Debug) => Watch::Stream(Mutex::new(&mut console.out)),
        (Format::Text, Verbosity::Problems | Verbosity::LastLine) | (Format::Json, _) => Watch::Nothing,
    };
    let screen = Screen { places, watch, progress: Progress::new(console.shows_progress) };
    let result = act(&screen);
    screen.progress.finish();
    (result, screen.into_first())
}

/// Sweeps as a person at a terminal would see it; for `demo`.
pub(super) fn show(
    engine: &Engine,
    mode: Mode,
    verbosity: Verbosity,
    places: &Places<'_>,
    console: &mut Console,
) -> Result<(), RequestError> {
    let request = Request { mode, ..Request::default() };
    let screen = Screen { places, watch: Watch::First(Mutex::default()), progress: Progress::new(false) };
    let report = engine.sweep(&request, &screen)?;
    let before = std::mem::replace(&mut console.verbosity, verbosity);
    print(&report, &screen.into_first(), places, console);
    console.verbosity = before;
    Ok(())
}

/// What is written down or shown while the sweep runs. Called from the engine's threads.
struct Screen<'a> {
    places: &'a Places<'a>,
    watch: Watch<'a>,
    progress: Progress,
}

enum Watch<'a> {
    Nothing,
    /// Remember the first paths that go, by policy.
    First(Mutex<BTreeMap<String, FirstPaths>>),
    /// Print every path as it comes.
    Stream(Mutex<&'a mut Out>),
}

impl Screen<'_> {
    fn into_first(self) -> BTreeMap<String, FirstPaths> {
        match self.watch {
            Watch::First(first) => first.into_inner().unwrap_or_else(PoisonError::into_inner),
            Watch::Nothing | Watch::Stream(_) => BTreeMap::new(),
        }
    }
}

impl Watcher for Screen<'_> {
    fn judged(&self, policy: &str, judged: &Judged<'_>) {
        self.progress.judged(judged);
        let Candidate { name, class, .. } = judged.candidate;
        match &self.watch {
            Watch::Nothing => {}
            Watch::First(first) => {
                let goes = match judged.outcome {
                    Some(outcome) => outcome.is_gone(),
                    None => judged.verdict.is_due(),
                };
                if goes && class != Class::EmptyDirectory {
                    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                    if !first.contains_key(policy) {
                        first.insert(policy.to_owned(), FirstPaths::default());
                    }
                    if let Some(paths) = first.get_mut(policy) {
                        paths.offer(name);
                    }
                }
            }
            Watch::Stream(out) => {
                let mut path = self.places.below(policy, &name.to_bytes());
                if class == Class::EmptyDirectory {
                    path.push('/');
                }
                let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                let theme = out.theme;
                out.print(stream_line(judged, &path, &theme));
            }
        }
    }

    fn seen(&self, policy: &str, seen: Seen) {
        self.progress.seen(policy, seen);
    }
}

/// `removed  storage/temp_svgs/icon.svg  last modified 5h ago, older than max_age 1h`
fn stream_line(judged: &Judged<'_>, path: &str, theme: &Theme) -> String {
    let Theme { goes, stays, detail, warning, error, .. } = theme;
    let (style, word) = match (judged.outcome, judged.verdict) {
        (Some(Outcome::Removed), _) => (goes, "removed"),
        (Some(Outcome::Quarantined), _) => (goes, "aside"),
        (Some(Outcome::Vanished), _) => (warning, "gone"),
        (Some(Outcome::Changed | Outcome::Displaced(_)), _) => (warning, "changed"),
        (Some(Outcome::InUse), _) => (stays, KeepKind::InUse.label()),
        (Some(Outcome::Failed(_)), _) => (error, "failed"),
        (None, Verdict::Remove(_)) => (goes, "due"),
        (None, Verdict::Keep(_)) => (stays, "keep"),
    };
    format!("{style}{word:7}{style:#}  {path}  {detail}{}{detail:#}", judged.verdict.reason())
}
