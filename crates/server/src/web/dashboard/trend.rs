//! Charts over time: what was kept and removed, and what comes due, by policy.

use std::time::Duration;

use cleanup_engine::track::ForecastHour;

use super::charts::{self, Chart, Series, Subject, Unit};
use super::words::Here;
use crate::app::trend::{Measure, Trend, Window};

/// Kept and removed, of these policies and of those that are no longer configured.
pub(crate) fn kept_and_removed(trend: &Trend, policies: &[String], show: Measure, here: &Here) -> [Chart; 2] {
    let mut names = policies.to_vec();
    let mut former: Vec<String> = trend.policies().filter(|name| !policies.contains(name)).cloned().collect();
    former.sort();
    names.extend(former);
    // The same policies in both charts, so that each has the same colour in both.
    names.retain(|name| has_any(trend, name, show));
    let place = |name: &String| policies.iter().position(|own| own == name).unwrap_or(charts::COLOURS);
    let colours: Vec<usize> = names.iter().map(place).collect();
    let words = match show {
        Measure::Bytes => ["Bytes kept", "Bytes freed"],
        Measure::Files => ["Files and rows kept", "Files and rows removed"],
    };
    drawn(trend, &names, &colours, (show, "item", words), here)
}

/// Kept and removed of one policy, of the noun that it cleans; `None` where nothing is known of it.
pub(crate) fn of_policy(
    trend: &Trend,
    name: &str,
    (show, noun): (Measure, &'static str),
    here: &Here,
) -> Option<[Chart; 2]> {
    let words = match (show, noun) {
        (Measure::Bytes, _) => ["Bytes kept", "Bytes freed"],
        (Measure::Files, "row") => ["Rows kept", "Rows removed"],
        (Measure::Files, _) => ["Files kept", "Files removed"],
    };
    has_any(trend, name, show).then(|| drawn(trend, &[name.to_owned()], &[0], (show, noun, words), here))
}

fn has_any(trend: &Trend, name: &str, show: Measure) -> bool {
    let is_any = |values: Vec<Option<u64>>| values.into_iter().flatten().any(|value| value > 0);
    is_any(trend.kept(name, show)) || is_any(trend.gone(name, show))
}

fn drawn(
    trend: &Trend,
    names: &[String],
    colours: &[usize],
    (show, noun, words): (Measure, &'static str, [&str; 2]),
    here: &Here,
) -> [Chart; 2] {
    let (seconds, stretches) = trend.over().stretches();
    let at = |index: u32| trend.since().plus(Duration::from_secs(u64::from(seconds) * u64::from(index)));
    let labels: Vec<String> = (0..stretches).map(|index| here.strftime(at(index), "%a %-d %b %H:%M")).collect();
    let format = if trend.over() == Window::Day { "%H:%M" } else { "%-d %b" };
    let marks: Vec<String> = (0..=4_u32).map(|part| here.strftime(at(stretches * part / 4), format)).collect();
    let series = |of: &dyn Fn(&str) -> Vec<Option<u64>>| -> Vec<Series> {
        let one = |(name, colour): (&String, &usize)| Series { name: name.clone(), colour: *colour, values: of(name) };
        names.iter().zip(colours).map(one).collect()
    };
    let unit = match show {
        Measure::Bytes => Unit::Bytes,
        Measure::Files => Unit::Count(noun),
    };
    let subject = |id, title| Subject { id, title, unit, stretches: &labels, marks: marks.clone() };
    [
        charts::areas(subject("kept", words[0]), series(&|name| trend.kept(name, show))),
        charts::bars(subject("removed", words[1]), series(&|name| trend.gone(name, show))),
    ]
}

/// What comes due in each of the next hours, of policies with their colours.
pub(crate) fn due_by_hour(
    policies: &[(String, usize, Vec<ForecastHour>)],
    show: Measure,
    here: &Here,
) -> Option<Chart> {
    let (.., hours) = policies.first()?;
    let stretches: Vec<String> = hours.iter().map(|hour| here.strftime(hour.from, "%a %H:%M")).collect();
    let mut marks: Vec<String> = hours.iter().step_by(6).map(|hour| here.strftime(hour.from, "%H:%M")).collect();
    marks.extend(hours.first().map(|first| here.strftime(first.from, "%H:%M")));
    let (unit, title) = match show {
        Measure::Bytes => (Unit::Bytes, "Bytes due per hour"),
        Measure::Files => (Unit::Count("file"), "Files due per hour"),
    };
    let value = |hour: &ForecastHour| Some(if show == Measure::Bytes { hour.bytes } else { hour.files });
    let series = policies.iter().map(|(name, colour, hours)| Series {
        name: name.clone(),
        colour: *colour,
        values: hours.iter().map(value).collect(),
    });
    Some(charts::bars(Subject { id: "ahead", title, unit, stretches: &stretches, marks }, series.collect()))
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
