//! One file of a list as a line: whether it is due, how old, how large, where.

use std::fmt;
use std::time::Duration;

use cleanup_core::size::HumanBytes;
use cleanup_engine::responses::Listed;

use super::Theme;
use super::place::{Places, exact};
use super::when::age;

/// The line.
pub(crate) struct ListLine<'a> {
    pub(crate) listed: &'a Listed,
    pub(crate) places: &'a Places<'a>,
    pub(crate) theme: &'a Theme,
    /// With the reason at the end.
    pub(crate) with_reason: bool,
}

impl fmt::Display for ListLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listed, places, theme: Theme { goes, stays, detail, .. }, .. } = self;
        let path = exact(&listed.path, listed.path_bytes.as_deref());
        let (style, verdict) = if listed.due { (goes, "due ") } else { (stays, "keep") };
        // A stamp in the future has a negative age.
        let sign = if listed.age_seconds < 0 { "-" } else { "" };
        let age = format!("{sign}{}", age(Duration::from_secs(listed.age_seconds.unsigned_abs())));
        let size = HumanBytes(listed.bytes).to_string();
        let path = places.below(&listed.policy, &path);
        write!(f, "{style}{verdict}{style:#}  {age:>7}  {size:>9}  {path}")?;
        if self.with_reason {
            write!(f, "  {detail}{}{detail:#}", listed.reason)?;
        }
        Ok(())
    }
}
