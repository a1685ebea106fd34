//! Charts of the past: what was kept and removed, by policy and stretch of time.

use std::time::Duration;

use super::charts::{self, Chart, Series, Subject, Unit};
use super::words::Here;
use crate::app::trend::{Measure, Trend, Window};

/// Kept and removed, of these policies and of those that are configured no more.
pub(crate) fn kept_and_removed(trend: &Trend, policies: &[String], show: Measure, here: &Here) -> [Chart; 2] {
    let mut names = policies.to_vec();
    let mut former: Vec<String> = trend.policies().filter(|name| !policies.contains(name)).cloned().collect();
    former.sort();
    names.extend(former);
    // The same policies in both charts, so that each has the same colour in both.
    let has_any = |values: Vec<Option<u64>>| values.into_iter().flatten().any(|value| value > 0);
    names.retain(|name| has_any(trend.kept(name, show)) || has_any(trend.gone(name, show)));
    let (seconds, stretches) = trend.over().stretches();
    let at = |index: u32| trend.since().plus(Duration::from_secs(u64::from(seconds) * u64::from(index)));
    let labels: Vec<String> = (0..stretches).map(|index| here.strftime(at(index), "%a %d %b %H:%M")).collect();
    let format = if trend.over() == Window::Day { "%H:%M" } else { "%d %b" };
    let marks: Vec<String> = (0..=4_u32).map(|part| here.strftime(at(stretches * part / 4), format)).collect();
    let series = |of: &dyn Fn(&str) -> Vec<Option<u64>>| -> Vec<Series> {
        let place = |name: &String| policies.iter().position(|own| own == name).unwrap_or(charts::COLOURS);
        names.iter().map(|name| Series { name: name.clone(), colour: place(name), values: of(name) }).collect()
    };
    let (unit, words) = match show {
        Measure::Bytes => (Unit::Bytes, ["Bytes kept", "Bytes freed"]),
        Measure::Files => (Unit::Files, ["Files and rows kept", "Files and rows removed"]),
    };
    let subject = |id, title| Subject { id, title, unit, stretches: &labels, marks: marks.clone() };
    [
        charts::areas(subject("kept", words[0]), series(&|name| trend.kept(name, show))),
        charts::bars(subject("removed", words[1]), series(&|name| trend.gone(name, show))),
    ]
}

#[cfg(test)]
mod tests {
    use cleanup_core::moment::Moment;
    use cleanup_engine::TrendPoint;

    use super::*;

    #[test]
    fn a_policy_has_the_same_colour_in_both_charts_and_former_ones_come_last() {
        let point = |policy: &str, removed| {
            let policy = policy.to_owned();
            TrendPoint { policy, stretch: 1, removed, bytes_freed: 0, kept: Some(7), kept_bytes: None }
        };
        let trend = Trend::new(Window::Day, Moment::from_unix(0, 0), vec![point("a", 2), point("b", 1)]);
        let here = Here { now: Moment::from_unix(86_400, 0), zone: jiff::tz::TimeZone::UTC };
        let [kept, removed] = kept_and_removed(&trend, &["b".to_owned()], Measure::Files, &here);
        assert_eq!((kept.legend, removed.rows.len()), (vec![(0, "b".to_owned()), (5, "a".to_owned())], 1));
    }
}
