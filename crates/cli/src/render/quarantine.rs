//! What lies in quarantine, and what came back from it.

use std::fmt;

use cleanup_core::candidate::harmless;
use cleanup_core::moment::Moment;
use cleanup_core::size::HumanBytes;
use cleanup_core::words::Number;
use cleanup_engine::responses::{QuarantinedFile, QuarantinedPolicy, RestoreOutcome, Restored, RestoredFile};
use jiff::tz::TimeZone;

use super::Theme;
use super::place::{Places, exact};
use super::when::{Distance, When};

/// One file in quarantine: until when it can come back, how large it is, where it came from.
pub(crate) struct QuarantineLine<'a> {
    pub(crate) file: &'a QuarantinedFile,
    pub(crate) places: &'a Places<'a>,
    pub(crate) now: Moment,
    pub(crate) theme: &'a Theme,
    /// With its run and why it went.
    pub(crate) with_reason: bool,
}

impl fmt::Display for QuarantineLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, places, now, theme: Theme { stays, warning, detail, .. }, with_reason } = self;
        let path = places.below(&file.policy, &exact(&file.path, file.path_bytes.as_deref()));
        let goes =
            if file.until > *now { Distance { at: file.until, now: *now }.to_string() } else { "soon".to_owned() };
        let size = HumanBytes(file.bytes).to_string();
        write!(f, "{stays}expires {goes:>9}{stays:#}  {size:>9}  {path}")?;
        if !file.origin_known {
            write!(f, "  {warning}its note is lost, so its origin is unknown{warning:#}")?;
        }
        if *with_reason {
            let reason = file.reason.as_deref().unwrap_or("reason unknown");
            write!(f, "  {detail}run {}, {}{detail:#}", file.run_id, harmless(reason))?;
        }
        Ok(())
    }
}

/// What one policy has there.
pub(crate) struct QuarantineSum<'a> {
    pub(crate) policy: &'a QuarantinedPolicy,
    pub(crate) noun: &'static str,
    pub(crate) now: Moment,
    pub(crate) zone: &'a TimeZone,
}

impl fmt::Display for QuarantineSum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuarantinedPolicy { policy, files, bytes, next_purge_at, .. } = self.policy;
        write!(f, "{policy}: {} in quarantine, {}", Number(*files, self.noun), HumanBytes(*bytes))?;
        match next_purge_at {
            Some(at) if *at > self.now => {
                write!(f, "; the first is deleted after {}", When { at: *at, now: self.now, zone: self.zone })
            }
            Some(_) => f.write_str("; the first is deleted at the next sweep"),
            None => Ok(()),
        }
    }
}

/// One file that came back, or would.
pub(crate) struct RestoredLine<'a> {
    pub(crate) file: &'a RestoredFile,
    pub(crate) restored: &'a Restored,
    pub(crate) places: &'a Places<'a>,
    pub(crate) now: Moment,
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for RestoredLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, restored, places, now, theme: Theme { stays, detail, .. } } = self;
        let path = places.below(&file.policy, &exact(&file.path, file.path_bytes.as_deref()));
        if file.outcome == RestoreOutcome::Older {
            return write!(f, "{detail}older     {path}  (from run {}; stays in quarantine){detail:#}", file.run_id);
        }
        let word = if restored.dry_run { "would restore" } else { "restored" };
        write!(f, "{stays}{word}{stays:#}  {path}")?;
        match restored.held_until {
            Some(at) => write!(f, "  {detail}(held until {}, {}){detail:#}", at, Distance { at, now: *now }),
            None => Ok(()),
        }
    }
}

/// The last line.
pub(crate) struct RestoredSum<'a> {
    pub(crate) restored: &'a Restored,
    pub(crate) now: Moment,
    pub(crate) zone: &'a TimeZone,
}

impl fmt::Display for RestoredSum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Restored { run_id, dry_run, restored, restored_bytes, older, failed, held_until, .. } = self.restored;
        f.write_str(if *dry_run { "Dry run: would restore " } else { "Restored " })?;
        if *restored == 0 {
            f.write_str("nothing")?;
        } else {
            write!(f, "{}, {}", Number(*restored, "file"), HumanBytes(*restored_bytes))?;
        }
        if let Some(run) = run_id {
            write!(f, ", of run {run}")?;
        }
        if *older > 0 {
            let stay = if *older == 1 { "stays" } else { "stay" };
            write!(f, "; {} {stay} in quarantine", Number(*older, "older version"))?;
        }
        if *failed > 0 {
            write!(f, "; {} could not be restored", Number(*failed, "file"))?;
        }
        if let Some(at) = held_until {
            write!(f, "; held until {}", When { at: *at, now: self.now, zone: self.zone })?;
        }
        f.write_str(if *dry_run { "; nothing was moved." } else { "." })
    }
}

/// Why a file is still in quarantine.
pub(crate) fn not_restored(file: &RestoredFile, places: &Places<'_>) -> String {
    let path = places.below(&file.policy, &exact(&file.path, file.path_bytes.as_deref()));
    format!("{path}: {}", harmless(file.error.as_deref().unwrap_or("it could not be restored")))
}
