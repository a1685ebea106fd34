//! Spans of time in JSON: a duration as people write it, or a number of seconds.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use cleanup_core::duration;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// A hundred years: longer than anybody keeps anything here, and far from where clocks run out.
const MAX: Duration = Duration::from_secs(36_525 * 86_400);

/// More than zero, and at most a hundred years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"10m\", or a number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        bounded(duration::parse(text).map_err(E::custom)?)
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Span, E> {
        bounded(Duration::from_secs(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Span, E> {
        bounded(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Span, E> {
        // What is negative or no number at all becomes zero, and what no duration can hold becomes the longest one.
        bounded(if seconds > 0.0 {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        })
    }
}

fn bounded<E: de::Error>(span: Duration) -> Result<Span, E> {
    match span {
        Duration::ZERO => Err(E::custom("a duration must be longer than zero")),
        span if span > MAX => Err(E::custom("a duration must be at most a hundred years")),
        span => Ok(Span(span)),
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A duration such as `10m`, `1h30m` or `7d`, or a number of seconds; at most a hundred years.",
            "oneOf": [
                { "type": "string", "examples": ["10m"] },
                { "type": "number", "exclusiveMinimum": 0 }
            ]
        })
    }
}
