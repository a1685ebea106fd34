//! What was removed: when, by which run and policy, why, and who asked.

use std::fmt;
use std::path::Path;

use cleanup_core::candidate::harmless;
use cleanup_core::moment::Moment;
use cleanup_core::report::Trigger;
use cleanup_core::size::HumanBytes;
use cleanup_core::words::Count;
use cleanup_engine::responses::{RemovalAction, RemovalEntry};
use jiff::tz::TimeZone;

use super::Theme;
use super::place::{Places, exact};
use super::when::{Distance, When};

/// The removals, in the order in which they are given.
pub(crate) struct RemovalsTable<'a> {
    pub(crate) removals: &'a [RemovalEntry],
    pub(crate) now: Moment,
    /// The zone of dates; without one only distances are shown.
    pub(crate) zone: Option<&'a TimeZone>,
    pub(crate) places: &'a Places<'a>,
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for RemovalsTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { removals, places, theme: Theme { name, .. }, .. } = self;
        for removal in *removals {
            match &removal.path {
                Some(path) => {
                    let path = exact(path, removal.path_bytes.as_deref());
                    let path = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&path);
                    writeln!(f, "{name}{}{name:#}", places.shown(Path::new(path)))?;
                }
                None => writeln!(f, "{name}{} items{name:#}", Count(removal.count))?,
            }
            self.entry(f, removal)?;
        }
        Ok(())
    }
}

impl RemovalsTable<'_> {
    /// What came of one thing, below its name.
    pub(crate) fn entry(&self, f: &mut fmt::Formatter<'_>, removal: &RemovalEntry) -> fmt::Result {
        let Self { now, theme: Theme { goes, stays, detail, .. }, .. } = self;
        let RemovalEntry { at, action, whole_directory, bytes, policy, run_id, trigger, asked_by, reason, .. } =
            removal;
        let (style, word) = match action {
            RemovalAction::Removed => (goes, "removed"),
            RemovalAction::Quarantined => (goes, "quarantined"),
            RemovalAction::Purged => (goes, "purged"),
            RemovalAction::Restored => (stays, "restored"),
        };
        write!(f, "  {style}{word:11}{style:#} ")?;
        match self.zone {
            Some(zone) => write!(f, "{}", When { at: *at, now: *now, zone })?,
            None => write!(f, "{}", Distance { at: *at, now: *now })?,
        }
        let whole = if *whole_directory { ", with the whole directory" } else { "" };
        writeln!(f, "  {detail}{}{whole}{detail:#}", HumanBytes(*bytes))?;
        if let Some(reason) = reason {
            writeln!(f, "  why         {}", harmless(reason))?;
        }
        let asked_by = asked_by.as_ref().map(|name| format!(", asked by {}", harmless(name))).unwrap_or_default();
        let by = match trigger {
            Trigger::Manual => "manual",
            Trigger::Schedule => "schedule",
            Trigger::Pressure => "pressure",
            Trigger::Deadline => "deadline",
            Trigger::Restore => "restore",
            Trigger::Reload => "reload",
        };
        writeln!(f, "  policy      {policy} {detail}({by}{asked_by}){detail:#}")?;
        writeln!(f, "  run         {run_id}")
    }
}
