//! What becomes of one path, why, and when.

use std::fmt;
use std::path::Path;

use cleanup_core::moment::Moment;
use cleanup_engine::responses::{Answer, AnswerVerdict, Explanation, RuleAnswer};
use jiff::tz::TimeZone;

use super::Theme;
use super::place::{Places, exact};
use super::when::{Distance, When};

/// The answer to one path.
pub(crate) struct Explained<'a> {
    pub(crate) explanation: &'a Explanation,
    pub(crate) places: &'a Places<'a>,
    pub(crate) now: Moment,
    /// The zone of dates; without one only distances are shown.
    pub(crate) zone: Option<&'a TimeZone>,
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
        Ok(())
    }
}

impl Explained<'_> {
    fn answer(&self, f: &mut fmt::Formatter<'_>, answer: &Answer) -> fmt::Result {
        let Theme { goes, stays, detail, warning, .. } = self.theme;
        let (style, verdict) = match answer.verdict {
            AnswerVerdict::Remove => (goes, "due"),
            AnswerVerdict::Keep => (stays, "keep"),
            AnswerVerdict::NotACandidate => (stays, "left alone"),
            AnswerVerdict::Quarantined => (warning, "quarantine"),
            AnswerVerdict::Unknown => (warning, "unknown"),
        };
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
