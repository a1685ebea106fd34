//! Values on the command line, checked where they are read: what comes out needs no second look.

use std::num::NonZero;
use std::time::Duration;

use cleanup_core::duration;
use cleanup_core::moment::Moment;
use cleanup_core::policy::MaxAge;
use cleanup_engine::At;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The maximum age of one policy, for one sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyAge {
    /// The policy's name, not yet looked up.
    pub(crate) policy: String,
    /// The age.
    pub(crate) max_age: MaxAge,
}

/// `24`, `0.5`: what the scripts' flags took.
pub(super) fn hours(text: &str) -> Result<MaxAge, String> {
    let is_number = text.trim().parse::<f64>().is_ok_and(f64::is_finite);
    if !is_number {
        return Err("expected a number of hours such as `24` or `0.5`".to_owned());
    }
    positive(duration::parse_hours(text).map_err(|error| error.to_string())?)
}

/// `4`: workers.
pub(super) fn jobs(text: &str) -> Result<NonZero<usize>, String> {
    let jobs = text.parse().ok().filter(|jobs: &NonZero<usize>| jobs.get() <= 64);
    jobs.ok_or_else(|| "expected a number from 1 to 64".to_owned())
}

/// `temp-svgs=30m`.
pub(super) fn policy_age(text: &str) -> Result<PolicyAge, String> {
    let (policy, age) = match text.split_once('=') {
        Some((policy, age)) if !policy.is_empty() => (policy, age),
        _ => return Err("expected a policy and an age such as `temp-svgs=30m`".to_owned()),
    };
    let max_age = positive(duration::parse(age).map_err(|error| error.to_string())?)?;
    Ok(PolicyAge { policy: policy.to_owned(), max_age })
}

/// `2d`, not zero.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let span = duration::parse(text).map_err(|error| error.to_string())?;
    if span.is_zero() { Err("nothing is held for no time".to_owned()) } else { Ok(span) }
}

/// `24h`, not zero.
pub(super) fn validity(text: &str) -> Result<Duration, String> {
    let span = duration::parse(text).map_err(|error| error.to_string())?;
    if span.is_zero() { Err("a plan that counts for no time could not be applied".to_owned()) } else { Ok(span) }
}

/// `7d`, or zero.
pub(super) fn hold(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

/// `+7d` from now; a moment in RFC 3339; a date, or a date and a time, in local time.
pub(super) fn at(text: &str) -> Result<At, String> {
    if let Some(offset) = duration::parse_offset(text) {
        return offset.map(At::In).map_err(|error| error.to_string());
    }
    if let Ok(moment) = Moment::parse(text) {
        return Ok(At::Moment(moment));
    }
    let local: DateTime = text
        .parse()
        .map_err(|_| "expected something like `+7d`, `2026-12-24`, or `2026-12-24T18:00:00Z`".to_owned())?;
    let zoned = local.to_zoned(TimeZone::system()).map_err(|error| error.to_string())?;
    Ok(At::Moment(zoned.timestamp().into()))
}

/// `-2d` from now; else as [`at`].
pub(super) fn since(text: &str) -> Result<Moment, String> {
    if let Some(ago) = text.strip_prefix('-') {
        let ago = duration::parse(ago).map_err(|error| error.to_string())?;
        return Ok(cleanup_engine::now().minus(ago));
    }
    match at(text).map_err(|_| "expected something like `-2d`, `2026-12-24`, or `2026-12-24T18:00:00Z`".to_owned())? {
        At::Moment(moment) => Ok(moment),
        At::In(_) => Err("nothing was removed in the future".to_owned()),
    }
}

fn positive(age: std::time::Duration) -> Result<MaxAge, String> {
    MaxAge::new(age).ok_or_else(|| "an age of zero would take everything".to_owned())
}
