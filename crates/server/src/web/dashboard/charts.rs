//! Charts, as SVG made here: pure functions from numbers to text.
//!
//! A plot is stretched to whatever width there is, so no text lies in it: scales are HTML beside it, and so are the hints,
//! one for each stretch, under the pointer, a finger or the focus. Every plot has a title and a description for those who
//! do not see it, and the same numbers as a table.

use std::fmt::Write as _;
use std::time::Duration;

use super::words;

/// So many colours can still be told apart; what has no colour of its own is summed up as `others`.
pub(crate) const COLOURS: usize = 6;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    /// Things of this name, in the singular.
    Count(&'static str),
    Millis,
}

impl Unit {
    /// A value on a scale or in a table, of which the title says what it counts.
    fn show(self, value: u64) -> String {
        match self {
            Self::Bytes => words::bytes(value),
            Self::Count(_) => words::count(value),
            Self::Millis => words::lateness(Duration::from_millis(value)),
        }
    }

    /// A value that stands alone.
    fn say(self, value: u64) -> String {
        match self {
            Self::Count(noun) => words::number(value, noun),
            Self::Bytes | Self::Millis => self.show(value),
        }
    }
}

/// The numbers of one policy; `None` where nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Which colour, the same in every chart: the policy's place in the configuration. [`COLOURS`] or more is the last.
    pub(crate) colour: usize,
    pub(crate) values: Vec<Option<u64>>,
}

/// What a chart is about.
#[derive(Clone, Debug)]
pub(crate) struct Subject<'a> {
    /// Unique on the page.
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) unit: Unit,
    /// One for each stretch, in full.
    pub(crate) stretches: &'a [String],
    /// Below the plot, at even distances.
    pub(crate) marks: Vec<String>,
}

/// A chart, ready to be put into a page.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) id: String,
    pub(crate) title: String,
    /// Nothing in it comes from outside without being escaped.
    pub(crate) svg: String,
    /// One for each stretch, in their order.
    pub(crate) hints: Vec<Hint>,
    /// From the top down.
    pub(crate) scale: [String; 3],
    pub(crate) marks: Vec<String>,
    /// Colour and name.
    pub(crate) legend: Vec<(usize, String)>,
    pub(crate) rows: Vec<Row>,
}

/// What is said of a stretch; nothing where there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) text: Option<String>,
    /// Whether it stands in the middle or at the end of the plot, where a hint would not fit on its right.
    pub(crate) side: &'static str,
    /// Whether `Tab` stops here: once a chart, at the last; the arrow keys lead to the others.
    pub(crate) is_stop: bool,
}

/// One stretch in the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) stretch: String,
    pub(crate) cells: Vec<String>,
}

/// How values become marks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Bars,
    Areas,
}

/// A bar for each stretch, the series on top of each other.
pub(crate) fn bars(subject: Subject<'_>, series: Vec<Series>) -> Chart {
    draw(subject, series, Shape::Bars)
}

/// A filled curve, the series on top of each other.
pub(crate) fn areas(subject: Subject<'_>, series: Vec<Series>) -> Chart {
    draw(subject, series, Shape::Areas)
}

fn draw(subject: Subject<'_>, series: Vec<Series>, shape: Shape) -> Chart {
    let series = few(series);
    let Subject { id, title, unit, stretches, marks } = subject;
    let totals: Vec<Option<u64>> = (0..stretches.len()).map(|index| total(&series, index)).collect();
    let top = round_up(totals.iter().flatten().copied().max().unwrap_or(0));
    let mut svg = format!(
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\
         <path class=\"grid\" d=\"M0 0H{WIDTH}M0 {}H{WIDTH}M0 {HEIGHT}H{WIDTH}\"/>",
        escaped(title),
        escaped(&description(&totals, stretches, unit)),
        HEIGHT / 2.0,
    );
    let mut below = vec![0_u64; stretches.len()];
    for one in &series {
        let path = match shape {
            Shape::Bars => bar_path(&one.values, &below, top),
            Shape::Areas => area_path(&one.values, &below, top),
        };
        // Writing to a string does not fail.
        let _ = write!(svg, "<path class=\"s{}\" d=\"{path}\"/>", one.colour);
        for (below, value) in below.iter_mut().zip(&one.values) {
            *below += value.unwrap_or(0);
        }
    }
    svg.push_str("</svg>");
    Chart {
        id: id.to_owned(),
        title: title.to_owned(),
        svg,
        hints: hints(&series, stretches, &totals, unit),
        scale: [unit.show(top), unit.show(top / 2), unit.show(0)],
        marks,
        rows: rows(&series, stretches, unit, shape),
        legend: series.into_iter().map(|series| (series.colour, series.name)).collect(),
    }
}

/// A small curve without scales, for a row of its own.
pub(crate) fn spark(title: &str, values: &[Option<u64>]) -> Option<String> {
    let known = values.iter().flatten().count();
    let top = values.iter().flatten().copied().max().filter(|top| *top > 0 && known > 1)?;
    let none = vec![0; values.len()];
    Some(format!(
        "<svg class=\"spark\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\">\
         <title>{}</title><path class=\"s0\" d=\"{}\"/></svg>",
        escaped(title),
        area_path(values, &none, top),
    ))
}

/// Sums up what has no colour of its own, unless that is a single one.
fn few(series: Vec<Series>) -> Vec<Series> {
    let (mut own, rest): (Vec<_>, Vec<_>) = series.into_iter().partition(|series| series.colour + 1 < COLOURS);
    if rest.len() > 1 {
        let length = rest.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let values = (0..length).map(|index| total(&rest, index)).collect();
        own.push(Series { name: format!("{} others", rest.len()), colour: COLOURS - 1, values });
    } else {
        own.extend(rest.into_iter().map(|series| Series { colour: COLOURS - 1, ..series }));
    }
    own
}

fn total(series: &[Series], index: usize) -> Option<u64> {
    series.iter().filter_map(|series| series.values.get(index).copied().flatten()).reduce(u64::saturating_add)
}

fn description(totals: &[Option<u64>], stretches: &[String], unit: Unit) -> String {
    let mut known = totals.iter().zip(stretches).filter_map(|(total, stretch)| Some(((*total)?, stretch)));
    match known.clone().max_by_key(|(total, _)| *total) {
        None | Some((0, _)) => "No data.".to_owned(),
        Some((most, at)) => {
            let last = known.next_back().map(|(last, _)| unit.say(last)).unwrap_or_default();
            format!("Highest: {} at {at}. Latest: {last}. All values are in the table below.", unit.say(most))
        }
    }
}

fn hints(series: &[Series], stretches: &[String], totals: &[Option<u64>], unit: Unit) -> Vec<Hint> {
    let last = totals.iter().rposition(|total| total.is_some_and(|total| total > 0));
    let hint = |(index, (stretch, total)): (usize, (&String, &Option<u64>))| Hint {
        text: total.filter(|total| *total > 0).map(|total| hint(series, index, stretch, total, unit)),
        side: match index * 3 / stretches.len().max(1) {
            0 => "",
            1 => " mid",
            _ => " end",
        },
        is_stop: Some(index) == last,
    };
    stretches.iter().zip(totals).enumerate().map(hint).collect()
}

/// A line for the stretch and what it comes to, and one for each of several series.
fn hint(series: &[Series], index: usize, stretch: &str, total: u64, unit: Unit) -> String {
    let mut text = format!("{stretch}: {}", unit.say(total));
    if series.len() > 1 {
        for one in series {
            if let Some(value) = one.values.get(index).copied().flatten().filter(|value| *value > 0) {
                // Writing to a string does not fail.
                let _ = write!(text, "\n{}: {}", one.name, unit.say(value));
            }
        }
    }
    text
}

/// Stretches without anything to tell are left out.
fn rows(series: &[Series], stretches: &[String], unit: Unit, shape: Shape) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut before = None;
    for (index, stretch) in stretches.iter().enumerate() {
        let values: Vec<Option<u64>> = series.iter().map(|one| one.values.get(index).copied().flatten()).collect();
        let is_news = match shape {
            Shape::Bars => values.iter().flatten().any(|value| *value > 0),
            Shape::Areas => values.iter().any(Option::is_some) && before.as_ref() != Some(&values),
        };
        if is_news {
            let show = |value: &Option<u64>| value.map_or_else(|| "–".to_owned(), |value| unit.show(value));
            rows.push(Row { stretch: stretch.clone(), cells: values.iter().map(show).collect() });
        }
        before = Some(values);
    }
    rows
}

fn bar_path(values: &[Option<u64>], below: &[u64], top: u64) -> String {
    let step = WIDTH / as_f64(values.len().max(1) as u64);
    let gap = (step * 0.2).min(4.0);
    let mut path = String::new();
    for (index, (value, below)) in values.iter().zip(below).enumerate() {
        let Some(value) = value.filter(|value| *value > 0) else { continue };
        let (low, high) = (y(*below, top), y(below + value, top));
        // What is there is seen, however little it is.
        let high = high.min(low - 1.5);
        let _ = write!(
            path,
            "M{:.1} {low:.1}V{high:.1}h{:.1}V{low:.1}z",
            as_f64(index as u64) * step + gap / 2.0,
            step - gap
        );
    }
    path
}

/// Each run of known values is an area of its own, drawn in steps: what was kept stays so until the next sweep.
fn area_path(values: &[Option<u64>], below: &[u64], top: u64) -> String {
    let step = WIDTH / as_f64(values.len().max(1) as u64);
    let at = |index: usize| as_f64(index as u64) * step;
    let mut path = String::new();
    let mut index = 0;
    while index < values.len() {
        let length = values[index..].iter().take_while(|value| value.is_some()).count();
        if length == 0 {
            index += 1;
            continue;
        }
        let end = index + length;
        let _ = write!(path, "M{:.1} {:.1}", at(index), y(below[index], top));
        for here in index..end {
            let _ = write!(path, "V{:.1}H{:.1}", y(below[here] + values[here].unwrap_or(0), top), at(here + 1));
        }
        for here in (index..end).rev() {
            let _ = write!(path, "V{:.1}H{:.1}", y(below[here], top), at(here));
        }
        path.push('z');
        index = end;
    }
    path
}

fn y(value: u64, top: u64) -> f64 {
    if top == 0 { HEIGHT } else { HEIGHT - as_f64(value) / as_f64(top) * HEIGHT }
}

/// The next of 1, 2, 5, 10, 20 … that is no less.
fn round_up(value: u64) -> u64 {
    let mut size = 1_u64;
    loop {
        for step in [1, 2, 5] {
            match size.checked_mul(step) {
                Some(round) if round >= value => return round,
                Some(_) => {}
                None => return value,
            }
        }
        match size.checked_mul(10) {
            Some(next) => size = next,
            None => return value,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a place on the screen")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, values: &[Option<u64>]) -> Series {
        Series { name: name.to_owned(), colour: usize::from(name == "c"), values: values.to_vec() }
    }

    fn subject(stretches: &[String], unit: Unit) -> Subject<'_> {
        Subject { id: "c", title: "Removed & <gone>", unit, stretches, marks: vec!["from".to_owned(), "to".to_owned()] }
    }

    fn hours(count: usize) -> Vec<String> {
        (0..count).map(|hour| format!("{hour}:00")).collect()
    }

    #[test]
    fn bars_stand_on_each_other_and_say_what_they_are() {
        let stretches = hours(4);
        let chart = bars(
            subject(&stretches, Unit::Count("file")),
            vec![series("a<b", &[Some(3), None, Some(0), Some(40)]), series("c", &[Some(4), Some(1), None, None])],
        );
        insta::assert_snapshot!(chart.svg.replace("><", ">\n<"));
        assert_eq!(chart.scale, ["50", "25", "0"]);
        let hints: Vec<_> = chart.hints.iter().map(|hint| (hint.text.as_deref(), hint.side, hint.is_stop)).collect();
        assert_eq!(
            hints,
            [
                (Some("0:00: 7 files\na<b: 3 files\nc: 4 files"), "", false),
                (Some("1:00: 1 file\nc: 1 file"), "", false),
                (None, " mid", false),
                (Some("3:00: 40 files\na<b: 40 files"), " end", true),
            ]
        );
        let rows: Vec<_> = chart.rows.iter().map(|row| (row.stretch.as_str(), row.cells.join(" "))).collect();
        assert_eq!(rows, [("0:00", "3 4".to_owned()), ("1:00", "– 1".to_owned()), ("3:00", "40 –".to_owned())]);
    }

    #[test]
    fn a_curve_has_holes_where_nothing_is_known() {
        let stretches = hours(5);
        let kept = [None, Some(2_000_000), Some(2_000_000), None, Some(500_000)];
        let chart = areas(subject(&stretches, Unit::Bytes), vec![series("a", &kept)]);
        assert_eq!(chart.svg.matches('M').count() - chart.svg.matches("MB").count(), 3 + 2, "{}", chart.svg);
        assert_eq!(chart.rows.len(), 2, "what stays the same is told once");
        assert!(chart.svg.contains("Highest: 2.0 MB at 2:00. Latest: 500.0 kB."), "{}", chart.svg);
    }

    #[test]
    fn nothing_is_a_chart_too() {
        let chart = bars(subject(&[], Unit::Count("file")), Vec::new());
        assert!(chart.svg.contains("No data.") && chart.rows.is_empty());
        assert_eq!(spark("s", &[None, Some(0)]), None);
        assert_eq!(spark("s", &[Some(1)]), None);
    }

    #[test]
    fn many_series_are_few_and_nothing_is_lost() {
        let one = |place: usize| Series { colour: place, ..series(&place.to_string(), &[Some(1)]) };
        let many = (0..9).map(one).collect();
        let few = few(many);
        assert_eq!((few.len(), few[5].name.as_str(), few[5].values[0]), (6, "4 others", Some(4)));
    }

    #[test]
    fn scales_end_at_round_numbers_whatever_comes() {
        assert_eq!([0, 1, 3, 7, 10, 11, 4_200_000].map(round_up), [1, 1, 5, 10, 10, 20, 5_000_000]);
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }
}
