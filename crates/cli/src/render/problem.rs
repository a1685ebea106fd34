//! What went wrong, one line each, readable alone: `error: temp-svgs: icon.svg: permission denied`.
//!
//! Problems always go to stderr, whatever the format and the verbosity: they are what cron should mail.

use std::borrow::Cow;
use std::fmt;

use cleanup_core::candidate::{Escaped, harmless};
use cleanup_core::report::{MAX_ERRORS, PolicyKind, PolicyReport, PolicyStatus, Skip};
use cleanup_core::words::Count;

use super::Theme;
use super::place::exact;

/// Whether a status is news of its own, told beside whatever was counted.
pub(crate) fn is_failure(status: PolicyStatus) -> bool {
    matches!(status, PolicyStatus::Failed | PolicyStatus::Interrupted | PolicyStatus::Held)
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Something failed.
    Error(String),
    /// A reason to look; the next run may well succeed.
    Warning(String),
    /// A session policy whose database is away or locked: a sentence of its own that log watchers look for.
    Away(String),
}

impl Problem {
    pub(crate) fn error(text: impl fmt::Display) -> Self {
        Self::Error(text.to_string())
    }

    pub(crate) fn warning(text: impl fmt::Display) -> Self {
        Self::Warning(text.to_string())
    }

    /// Everything that went wrong with one policy.
    pub(crate) fn of(report: &PolicyReport) -> Vec<Self> {
        let name = &report.name;
        let mut problems = Vec::new();
        let message = report.message.as_deref().map(harmless);
        match (report.status, report.skipped) {
            (PolicyStatus::Failed | PolicyStatus::Interrupted, _) => {
                problems.push(Self::error(format_args!("{name}: {}", message.as_deref().unwrap_or("could not run"))));
            }
            (PolicyStatus::Held, _) => {
                problems.push(Self::error(format_args!(
                    "{name}: {}",
                    message.as_deref().unwrap_or("held back by a brake")
                )));
            }
            (PolicyStatus::Partial, _) => {
                problems.extend(message.map(|message| Self::warning(format_args!("{name}: {message}"))));
            }
            // Also a table that is locked at the time of each run is worth a word, or nobody ever hears that nothing goes.
            (PolicyStatus::Skipped, Some(Skip::DatabaseAway | Skip::Busy)) if report.kind == PolicyKind::Sessions => {
                problems.push(Self::Away(message.unwrap_or_else(|| format!("{name}: the database does not answer"))));
            }
            // A file policy that does not know what is still needed keeps everything: worth a word, also in cron.
            (PolicyStatus::Skipped, Some(Skip::Locked | Skip::DatabaseAway | Skip::Busy)) => {
                problems.push(Self::warning(format_args!("{name}: {}", message.unwrap_or_default())));
            }
            // Mistyped, perhaps: it would be skipped for ever, and nobody would know.
            (PolicyStatus::Skipped, _) if report.root_missing => {
                problems.push(Self::warning(format_args!("{name}: {}", message.unwrap_or_default())));
            }
            (PolicyStatus::Skipped | PolicyStatus::Ok, _) => {}
        }
        for item in &report.errors {
            let path = exact(&item.path, item.path_bytes.as_deref());
            let path = match &report.root {
                Some(root) if path.as_ref() == b"." => Cow::Owned(root.clone().into_bytes()),
                Some(root) => Cow::Owned([root.trim_end_matches('/').as_bytes(), b"/", &path].concat()),
                None => path,
            };
            problems.push(Self::error(format_args!("{name}: {}: {}", Escaped(&path), harmless(&item.error))));
        }
        let unnamed = report.errors_total.saturating_sub(report.errors.len() as u64);
        if unnamed > 0 {
            let named = Count(MAX_ERRORS.min(report.errors.len()) as u64);
            problems
                .push(Self::error(format_args!("{name}: and {} more items beyond the first {named}", Count(unnamed))));
        }
        problems
    }

    /// As it is printed.
    pub(crate) fn with<'a>(&'a self, theme: &'a Theme) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            let Theme { error, warning, .. } = theme;
            match self {
                Self::Error(text) => write!(f, "{error}error{error:#}: {text}"),
                Self::Warning(text) => write!(f, "{warning}warning{warning:#}: {text}"),
                Self::Away(message) => write!(f, "{warning}{message}{warning:#}"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::candidate::Name;
    use cleanup_core::report::{ItemError, PolicyKind, Tally};

    use super::*;

    fn lines(report: &PolicyReport) -> String {
        let lines: Vec<_> = Problem::of(report).iter().map(|problem| problem.with(&Theme::PLAIN).to_string()).collect();
        lines.join("\n")
    }

    #[test]
    fn every_problem_is_named_and_escaped() {
        let mut tally = Tally::default();
        for last in [b"a.svg".as_slice(), b"\xff\x1b[2J.svg", b""] {
            tally.failed(ItemError::new(Name { folder: b"", last }, "permission denied".to_owned()));
        }
        tally.errors_total += 41;
        let partial = PolicyReport::finished("temp-svgs", PolicyKind::Files, tally);
        insta::assert_snapshot!(lines(&partial), @r"
        error: temp-svgs: .: permission denied
        error: temp-svgs: a.svg: permission denied
        error: temp-svgs: \xff\u{1b}[2J.svg: permission denied
        error: temp-svgs: and 41 more items beyond the first 3
        ");
    }

    #[test]
    fn a_database_that_is_away_or_locked_has_its_own_sentence_and_other_skips_are_no_problem() {
        let skipped = |skip| {
            let message = "Could not clean up tutor sessions: connection refused".to_owned();
            PolicyReport::skipped("tutor-sessions", PolicyKind::Sessions, skip, message)
        };
        for skip in [Skip::DatabaseAway, Skip::Busy] {
            assert_eq!(lines(&skipped(skip)), "Could not clean up tutor sessions: connection refused", "{skip:?}");
        }
        for skip in [Skip::NoRoot, Skip::NoDatabase, Skip::AnotherNode] {
            assert_eq!(lines(&skipped(skip)), "", "{skip:?}");
        }
        let missing = PolicyReport::skipped("temp", PolicyKind::Files, Skip::NoRoot, "no such folder: /t".to_owned());
        let missing = PolicyReport { root_missing: true, ..missing };
        assert_eq!(lines(&missing), "warning: temp: no such folder: /t");
    }
}
