//! What becomes of one path, why, and when.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use cleanup_core::candidate::Escaped;
use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;
use cleanup_engine::responses::{Answer, AnswerVerdict, Explanation, RuleAnswer, SessionAnswer, SessionExplanation};
use jiff::tz::TimeZone;

use super::Theme;
use super::place::{Places, exact};
use super::removals::RemovalsTable;
use super::when::{Distance, When};

/// The answer to one path.
pub(crate) struct Explained<'a> {
    pub(crate) explanation: &'a Explanation,
    pub(crate) places: &'a Places<'a>,
    pub(crate) now: Moment,
    /// The zone of dates; without one only distances are shown.
    pub(crate) zone: Option<&'a TimeZone>,
    /// How long removals are kept, where nothing is there.
    pub(crate) unrecorded: Option<Duration>,
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { explanation, places, theme: Theme { name, stays, .. }, .. } = self;
        let path = exact(&explanation.path, explanation.path_bytes.as_deref());
        let path = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&path);
        writeln!(f, "{name}{}{name:#}", places.shown(Path::new(path)))?;
        if explanation.answers.is_empty() {
            writeln!(f, "  {stays}left alone{stays:#}  no policy names it: it lies below no root")?;
        }
        // One answer says it by itself.
        if explanation.answers.len() > 1 {
            match (&explanation.owner, explanation.disputed.as_slice()) {
                (Some(owner), _) => writeln!(f, "  owner       {owner}")?,
                (None, []) => {}
                (None, disputed) => writeln!(f, "  owner       nobody: {} dispute it", disputed.join(" and "))?,
            }
        }
        for answer in &explanation.answers {
            self.answer(f, answer)?;
        }
        let Self { now, zone, theme, .. } = *self;
        let removals = RemovalsTable { removals: &explanation.removals, now, zone, places, theme };
        for removal in &explanation.removals {
            removals.entry(f, removal)?;
        }
        if let (Some(kept), []) = (self.unrecorded, explanation.removals.as_slice()) {
            writeln!(f, "  removed     {stays}nothing is recorded; removals are kept for {}{stays:#}", Human(kept))?;
        }
        Ok(())
    }
}

impl Explained<'_> {
    fn answer(&self, f: &mut fmt::Formatter<'_>, answer: &Answer) -> fmt::Result {
        let Theme { detail, .. } = self.theme;
        let (style, verdict) = shown(answer.verdict, self.theme);
        let Answer { reason, policy, .. } = answer;
        writeln!(f, "  {style}{verdict:10}{style:#}  {reason}")?;
        match (answer.verdict, answer.kept_until) {
            (AnswerVerdict::Remove, None) => writeln!(f, "  goes        at the next sweep")?,
            (AnswerVerdict::Remove, Some(at)) => {
                let until = Distance { at, now: self.now };
                writeln!(f, "  goes        {until}: its stamp was set back, and sweeps know it as younger (--force)")?;
            }
            (_, Some(at)) => match self.zone {
                Some(zone) => writeln!(f, "  goes        after {}", When { at, now: self.now, zone })?,
                None => writeln!(f, "  goes        {}", Distance { at, now: self.now })?,
            },
            (_, None) => {}
        }
        self.rules(f, answer)?;
        let schedule = match (answer.enabled, answer.schedule.as_deref()) {
            (false, _) => "disabled",
            (true, Some(schedule)) => schedule,
            (true, None) => "runs only when asked to",
        };
        writeln!(f, "  policy      {policy} {detail}({schedule}){detail:#}")
    }

    /// Every rule in the order of judgement: the first that applies has decided, the others would have.
    fn rules(&self, f: &mut fmt::Formatter<'_>, answer: &Answer) -> fmt::Result {
        let Theme { goes, stays, detail, .. } = self.theme;
        let mut label = "rules";
        let mut silent = Vec::new();
        for RuleAnswer { rule, verdict, reason } in &answer.rules {
            let (Some(verdict), Some(reason)) = (verdict, reason) else {
                silent.push(rule.as_str());
                continue;
            };
            let (style, word) = if *verdict == AnswerVerdict::Remove { (goes, "remove") } else { (stays, "keep") };
            writeln!(f, "  {label:10}  {rule}: {style}{word}{style:#}, {detail}{reason}{detail:#}")?;
            label = "";
        }
        if !silent.is_empty() {
            writeln!(f, "  {label:10}  {detail}nothing to say: {}{detail:#}", silent.join(", "))?;
        }
        Ok(())
    }
}

/// What becomes of the rows with one key.
pub(crate) struct ExplainedRows<'a> {
    pub(crate) explanation: &'a SessionExplanation,
    pub(crate) now: Moment,
    pub(crate) zone: &'a TimeZone,
    pub(crate) theme: &'a Theme,
}

impl fmt::Display for ExplainedRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { explanation, now, zone, theme } = self;
        let Theme { name, detail, warning, .. } = theme;
        let SessionExplanation { policy, table, answers, held, enabled, observes, schedule } = explanation;
        writeln!(f, "{name}{}{name:#}", Escaped(table.as_bytes()))?;
        for SessionAnswer { verdict, reason, stamp, kept_until } in answers {
            let (style, word) = shown(*verdict, theme);
            writeln!(f, "  {style}{word:10}{style:#}  {}", Escaped(reason.as_bytes()))?;
            if let Some(at) = stamp {
                writeln!(f, "  time        {}", When { at: *at, now: *now, zone })?;
            }
            match (verdict, kept_until) {
                (AnswerVerdict::Remove, _) if held.is_none() => writeln!(f, "  goes        at the next sweep")?,
                (_, Some(at)) => writeln!(f, "  goes        after {}", When { at: *at, now: *now, zone })?,
                _ => {}
            }
        }
        if let Some(held) = held {
            writeln!(f, "  {warning}{:10}{warning:#}  {}", "held", Escaped(held.as_bytes()))?;
        }
        let schedule = match (enabled, observes, schedule.as_deref()) {
            (false, _, _) => "disabled",
            (true, true, _) => "only observes",
            (true, false, Some(schedule)) => schedule,
            (true, false, None) => "runs only when asked to",
        };
        writeln!(f, "  policy      {policy} {detail}({schedule}){detail:#}")
    }
}

fn shown(verdict: AnswerVerdict, theme: &Theme) -> (anstyle::Style, &'static str) {
    match verdict {
        AnswerVerdict::Remove => (theme.goes, "due"),
        AnswerVerdict::Keep => (theme.stays, "keep"),
        AnswerVerdict::NotACandidate => (theme.stays, "left alone"),
        AnswerVerdict::Quarantined => (theme.warning, "quarantine"),
        AnswerVerdict::Unknown => (theme.warning, "unknown"),
    }
}
