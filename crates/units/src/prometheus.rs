//! Alert rules, and the test that `promtool` runs on them.
//!
//! They do not depend on the configuration: what is late is measured by the interval that the service itself exports,
//! so that a changed schedule needs no changed rule.

use crate::Rendered;

/// Adds the files of `prometheus/`.
pub(crate) fn render(rendered: &mut Rendered) {
    rendered.add("prometheus/cleanup.rules.yml", include_str!("prometheus/rules.yml"));
    rendered.add("prometheus/cleanup.rules.test.yml", include_str!("prometheus/test.yml"));
}
