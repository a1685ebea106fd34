//! One policy of a sweep as a block: what it is, what went or would go, what stays and why.

use std::collections::BTreeSet;
use std::fmt;

use cleanup_core::candidate::harmless;
use cleanup_core::candidate::{Escaped, Name};
use cleanup_core::report::{KeptCounts, Observed, Planned, PolicyKind, PolicyReport, PolicyStatus, Processes};
use cleanup_core::size::HumanBytes;
use cleanup_core::sweep::Mode;
use cleanup_core::verdict::KeepKind;
use cleanup_core::words::{Count, Number};

use super::Theme;
use super::limits::LimitLine;
use super::place::{Places, exact};

/// How many paths a block shows; the rest is counted. `-v` shows all.
pub(crate) const MAX_PATHS: usize = 20;

/// The first paths in the order of bytes, so that a block reads the same whatever order the walk had.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstPaths(BTreeSet<Vec<u8>>);

impl FirstPaths {
    /// Keeps the path if it is among the first.
    pub(crate) fn offer(&mut self, name: Name<'_>) {
        let is_late = |last: &Vec<u8>| {
            let slash: &[u8] = if name.folder.is_empty() { b"" } else { b"/" };
            name.folder.iter().chain(slash).chain(name.last).ge(last)
        };
        if self.0.len() == MAX_PATHS && self.0.last().is_some_and(is_late) {
            return;
        }
        self.0.insert(name.to_bytes());
        if self.0.len() > MAX_PATHS {
            self.0.pop_last();
        }
    }
}

/// One block.
pub(crate) struct Block<'a> {
    pub(crate) report: &'a PolicyReport,
    pub(crate) mode: Mode,
    /// What went, or in a plan would go; empty when the paths were shown already.
    pub(crate) paths: &'a FirstPaths,
    pub(crate) places: &'a Places<'a>,
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, places, theme: Theme { name, detail, warning, error, .. }, .. } = self;
        let about = places.about(&report.name);
        writeln!(f, "{name}{}{name:#}  {detail}{about}{detail:#}", report.name)?;
        let message = harmless(report.message.as_deref().unwrap_or_default());
        match report.status {
            // The whole sentence follows on stderr.
            PolicyStatus::Skipped if report.root_missing => {
                writeln!(f, "  {detail}skipped: the root does not exist{detail:#}")
            }
            PolicyStatus::Skipped => writeln!(f, "  {detail}skipped: {message}{detail:#}"),
            // The message follows on stderr.
            PolicyStatus::Failed => writeln!(f, "  {error}could not run{error:#}"),
            PolicyStatus::Interrupted => writeln!(f, "  {error}{message}{error:#}"),
            PolicyStatus::Held => {
                // The message follows on stderr.
                writeln!(f, "  {warning}held back, nothing was removed{warning:#}")?;
                for planned in &report.plan {
                    writeln!(f, "{}", planned_line(planned, self.theme))?;
                }
                let more = report.counts.due.saturating_sub(report.plan.len() as u64);
                if more > 0 {
                    writeln!(f, "    {detail}and {} more{detail:#}", Count(more))?;
                }
                self.limits(f)
            }
            PolicyStatus::Ok | PolicyStatus::Partial => {
                self.counts(f)?;
                self.limits(f)?;
                // What is said of a limit that is not met is on its line, and follows on stderr.
                let unmet = report.limits.iter().filter(|limit| !limit.met).map(ToString::to_string);
                if !message.is_empty() && message != harmless(&unmet.collect::<Vec<_>>().join("; ")) {
                    writeln!(f, "  {detail}{message}{detail:#}")?;
                }
                report.observed.as_ref().map_or(Ok(()), |observed| self.observed(f, observed))
            }
        }
    }
}

impl Block<'_> {
    fn counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, mode, theme: Theme { goes, error, .. }, .. } = self;
        let counts = &report.counts;
        let noun = match report.kind {
            PolicyKind::Files => self.places.noun(&report.name),
            PolicyKind::Sessions => "session",
        };
        let (verb, taken, bytes) = match mode {
            Mode::Plan => ("would remove", counts.due, counts.due_bytes),
            Mode::Apply if counts.quarantined > 0 => {
                ("moved into quarantine", counts.quarantined, counts.quarantined_bytes)
            }
            Mode::Apply => ("removed", counts.removed, counts.freed_by_removal()),
        };
        match (taken, counts.matched) {
            (0, 0) if counts.restored > 0 => {
                let (files, bytes) = (Number(counts.restored, noun), HumanBytes(counts.restored_bytes));
                writeln!(f, "  {goes}restored {files}{goes:#}, {bytes}")?;
            }
            (0, 0) => writeln!(f, "  no {noun} matches")?,
            (0, _) if counts.due == 0 => writeln!(f, "  nothing is due")?,
            (0, _) => writeln!(f, "  nothing was removed")?,
            (taken, matched) => {
                write!(f, "  {goes}{verb} {}{goes:#} of {}", Count(taken), Number(matched, noun))?;
                if bytes > 0 {
                    let freed = if verb == "removed" { "freed " } else { "" };
                    write!(f, ", {freed}{}", HumanBytes(bytes))?;
                }
                writeln!(f)?;
            }
        }
        self.paths(f, taken)?;
        let dirs = if *mode == Mode::Plan { counts.dirs_due } else { counts.dirs_removed };
        if dirs > 0 {
            writeln!(f, "  {goes}{verb} {}{goes:#}", Number(dirs, "empty folder"))?;
        }
        if counts.purged > 0 {
            let (files, bytes) = (Number(counts.purged, noun), HumanBytes(counts.purged_bytes));
            writeln!(f, "  {goes}permanently deleted {files}{goes:#} from quarantine, {bytes}")?;
        }
        kept(f, &counts.kept)?;
        for (count, text) in [
            (counts.vanished, "vanished before they could be inspected or removed"),
            (counts.changed, "changed in the meantime and kept"),
            (counts.owned_by_others, "owned by a policy whose root is deeper"),
            (counts.left_alone, "never touched (links, devices, other mounts, files of cleanup itself)"),
        ] {
            if count > 0 {
                writeln!(f, "  {} {text}", Count(count))?;
            }
        }
        if let Some(Processes { hidden, .. }) = report.processes.filter(|processes| processes.hidden > 0) {
            let programs = Number(hidden, "program");
            writeln!(f, "  {programs} could not be inspected: their open files are unknown (skip_in_use)")?;
        }
        if report.errors_total > 0 {
            let items = Number(report.errors_total, "item");
            writeln!(f, "  {error}{items} could not be inspected or removed{error:#}")?;
        }
        Ok(())
    }

    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.limits.iter().try_for_each(|limit| writeln!(f, "{}", LimitLine { limit, theme: self.theme }))
    }

    fn observed(&self, f: &mut fmt::Formatter<'_>, observed: &Observed) -> fmt::Result {
        let Theme { detail, warning, .. } = self.theme;
        let Observed { gone_as_predicted, still_there, gone_but_kept, .. } = observed;
        writeln!(f, "  {detail}since the last run:{detail:#} {} removed as predicted", Count(*gone_as_predicted))?;
        for (count, text, examples) in [
            (*still_there, "predicted for removal but still there", &observed.examples_still_there),
            (*gone_but_kept, "predicted to stay but gone", &observed.examples_gone_but_kept),
        ] {
            if count > 0 {
                writeln!(f, "  {warning}{} {text}{warning:#}", Count(count))?;
            }
            for path in examples {
                writeln!(f, "    {}", Escaped(path.as_bytes()))?;
            }
        }
        Ok(())
    }

    fn paths(&self, f: &mut fmt::Formatter<'_>, taken: u64) -> fmt::Result {
        let Self { paths: FirstPaths(paths), theme: Theme { detail, .. }, .. } = self;
        for path in paths {
            writeln!(f, "    {}", Escaped(path))?;
        }
        let unnamed = taken.saturating_sub(paths.len() as u64);
        if unnamed > 0 && !paths.is_empty() {
            writeln!(f, "    {detail}and {} more; -v shows all{detail:#}", Count(unnamed))?;
        }
        Ok(())
    }
}

/// `    out/a.tmp  last modified 2h ago, older than max_age 24s`
pub(crate) fn planned_line(planned: &Planned, theme: &Theme) -> String {
    let detail = theme.detail;
    let path = exact(&planned.path, planned.path_bytes.as_deref());
    format!("    {}  {detail}{}{detail:#}", Escaped(&path), planned.reason)
}

fn kept(f: &mut fmt::Formatter<'_>, kept: &KeptCounts) -> fmt::Result {
    let total = kept.total();
    if total == 0 {
        return Ok(());
    }
    let given: Vec<(KeepKind, u64)> = kept.by_kind().filter(|(_, count)| *count > 0).collect();
    if let [(kind, _)] = given.as_slice() {
        return writeln!(f, "  kept {}: {}", Count(total), kind.label());
    }
    let parts: Vec<String> =
        given.into_iter().map(|(kind, count)| format!("{} {}", Count(count), kind.label())).collect();
    writeln!(f, "  kept {}: {}", Count(total), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use cleanup_core::config::{Config, DEFAULT, Source};
    use cleanup_core::report::{Counts, Skip, Tally};

    use super::*;

    #[test]
    fn a_block_shows_the_first_paths_whatever_the_order_of_the_walk() {
        let names: Vec<String> = (0..200_u32).map(|number| format!("{:03}", number * 77 % 200)).collect();
        let mut first = FirstPaths::default();
        for name in &names {
            first.offer(Name { folder: b"a", last: name.as_bytes() });
            first.offer(Name { folder: b"", last: name.as_bytes() });
        }
        let expected: Vec<Vec<u8>> = (0..20).map(|number| format!("{number:03}").into_bytes()).collect();
        assert_eq!(first.0.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn whatever_was_counted_is_told_in_words() {
        let source = Source { name: "default", text: DEFAULT, folder: Path::new("/srv/app") };
        let config = Config::load(&source, &|_| None).unwrap();
        let places = Places::new(&config, PathBuf::from("/srv/app"));
        let show = |report: &PolicyReport, mode| {
            let paths = &FirstPaths::default();
            Block { report, mode, paths, places: &places, theme: &Theme::PLAIN }.to_string()
        };
        let kept = KeptCounts {
            archive: 1,
            held: 2,
            referenced: 3,
            future: 4,
            implausible: 5,
            newest: 1000,
            ..KeptCounts::default()
        };
        let counts = Counts {
            matched: 2000,
            due: 12,
            removed: 9,
            removed_bytes: 1_500_000,
            bytes_freed: 1_500_000,
            kept,
            vanished: 1,
            changed: 1,
            left_alone: 5,
            dirs_removed: 1,
            ..Counts::default()
        };
        let tally = Tally { counts, errors_total: 1, ..Tally::default() };
        let files = PolicyReport::finished("temp-svgs", PolicyKind::Files, tally);
        let rows = Counts { matched: 8, due: 3, ..Counts::default() };
        let rows = Tally { counts: rows, ..Tally::default() };
        let sessions = PolicyReport::finished("tutor-sessions", PolicyKind::Sessions, rows);
        let message = "no such\u{1b}[2J folder".to_owned();
        let skipped = PolicyReport::skipped("temp-models", PolicyKind::Files, Skip::NoRoot, message);
        let blocks = [show(&files, Mode::Apply), show(&sessions, Mode::Plan), show(&skipped, Mode::Apply)].join("\n");
        insta::assert_snapshot!(blocks, @r"
        temp-svgs  files in storage/temp_svgs older than 1h
          removed 9 of 2,000 files, freed 1.5 MB
          removed 1 empty folder
          kept 1,015: 1 archived, 2 held, 3 still referenced, 4 stamped in the future, 5 without a plausible time, 1,000 among the newest
          1 vanished before they could be inspected or removed
          1 changed in the meantime and kept
          5 never touched (links, devices, other mounts, files of cleanup itself)
          1 item could not be inspected or removed

        tutor-sessions  sessions in table tutor_sessions idle for more than 2h
          would remove 3 of 8 sessions

        temp-models  files in temp_models older than 30m
          skipped: no such\u{1b}[2J folder
        ");
    }
}
