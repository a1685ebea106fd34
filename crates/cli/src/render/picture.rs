//! What is there, as a picture: bars for the bytes of each policy, ages, and what comes due in the next 24 hours.
//!
//! Plain characters where the locale has no others; the numbers stand beside every bar, so nothing is told by length
//! alone.

use std::fmt;
use std::time::Duration;

use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;
use cleanup_core::size::HumanBytes;
use cleanup_core::words::Number;
use cleanup_engine::responses::{FileStats, Stats};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Theme;

/// How long a bar may get, in characters.
const WIDTH: usize = 32;

/// Which characters there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glyphs {
    /// Blocks in eighths.
    Blocks,
    /// `#` and what else everybody has.
    Ascii,
}

impl Glyphs {
    /// What the locale of these variables can show: the first that is set decides, as for every program.
    pub(crate) fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name).filter(|text| !text.is_empty()));
        let locale = set.unwrap_or_default().to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::Blocks } else { Self::Ascii }
    }

    fn bar(self, value: u64, most: u64, width: usize) -> String {
        if value == 0 || most == 0 {
            return String::new();
        }
        let eighths = u128::from(value) * (width as u128) * 8 / u128::from(most);
        let eighths = usize::try_from(eighths).unwrap_or(usize::MAX).min(width * 8);
        match self {
            // What is there is seen, however little it is.
            Self::Ascii => "#".repeat((eighths / 8).max(1)),
            Self::Blocks => {
                let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths.max(1) % 8];
                "█".repeat(eighths / 8) + rest
            }
        }
    }

    /// One character high, for a row of many.
    fn column(self, value: u64, most: u64) -> char {
        let heights: &[char] = match self {
            Self::Blocks => &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => &['.', ':', '-', '=', '+', '*', '%', '#'],
        };
        if value == 0 || most == 0 {
            return ' ';
        }
        let step = u128::from(value) * (heights.len() as u128 - 1) / u128::from(most);
        heights[usize::try_from(step).unwrap_or(0).min(heights.len() - 1)]
    }
}

/// The picture.
pub(crate) struct Picture<'a> {
    pub(crate) stats: &'a Stats,
    pub(crate) theme: &'a Theme,
    pub(crate) glyphs: Glyphs,
    pub(crate) zone: &'a TimeZone,
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<(&str, &FileStats)> = self
            .stats
            .policies
            .iter()
            .filter_map(|policy| Some((policy.name.as_str(), policy.files.as_ref()?)))
            .collect();
        if files.iter().all(|(_, stats)| stats.total_files == 0) {
            return Ok(());
        }
        self.sizes(f, &files)?;
        self.ages(f, &files)?;
        self.next_hours(f, &files)
    }
}

impl Picture<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
        let name = self.theme.name;
        writeln!(f, "\n{name}{text}{name:#}")
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, label: &str, width: usize, bar: &str, text: &str) -> fmt::Result {
        let Theme { stays, detail, .. } = self.theme;
        let bar = if bar.is_empty() { String::new() } else { format!("{stays}{bar}{stays:#} ") };
        writeln!(f, "{label:>width$}  {bar}{detail}{text}{detail:#}")
    }

    fn sizes(&self, f: &mut fmt::Formatter<'_>, files: &[(&str, &FileStats)]) -> fmt::Result {
        self.head(f, "Bytes by policy")?;
        let most = files.iter().map(|(_, stats)| stats.total_bytes).max().unwrap_or(0);
        let width = files.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, stats) in files {
            let due = match stats.due_files {
                0 => String::new(),
                due => format!(", {} due", Number(due, "file")),
            };
            let text = format!("{}, {}{due}", HumanBytes(stats.total_bytes), Number(stats.total_files, "file"));
            self.line(f, name, width, &self.glyphs.bar(stats.total_bytes, most, WIDTH), &text)?;
        }
        Ok(())
    }

    fn ages(&self, f: &mut fmt::Formatter<'_>, files: &[(&str, &FileStats)]) -> fmt::Result {
        self.head(f, "Files by age")?;
        let Some((_, first)) = files.first() else { return Ok(()) };
        let mut bands: Vec<(String, u64, u64)> = Vec::new();
        let mut before = None;
        for (index, band) in first.ages.iter().enumerate() {
            let label = match (before, band.below_seconds) {
                (_, Some(end)) => format!("under {}", Human(Duration::from_secs(end))),
                (Some(start), None) => format!("{} or more", Human(Duration::from_secs(start))),
                (None, None) => "any".to_owned(),
            };
            let own = files.iter().filter_map(|(_, stats)| stats.ages.get(index));
            let (count, bytes) = own.fold((0, 0), |(count, bytes), band| (count + band.files, bytes + band.bytes));
            bands.push((label, count, bytes));
            before = band.below_seconds;
        }
        let most = bands.iter().map(|(_, count, _)| *count).max().unwrap_or(0);
        let width = bands.iter().map(|(label, ..)| label.len()).max().unwrap_or(0);
        let last = bands.iter().rposition(|(_, count, _)| *count > 0).unwrap_or(0);
        for (label, count, bytes) in &bands[..=last] {
            let text = if *count == 0 {
                "none".to_owned()
            } else {
                format!("{}, {}", Number(*count, "file"), HumanBytes(*bytes))
            };
            self.line(f, label, width, &self.glyphs.bar(*count, most, WIDTH), &text)?;
        }
        Ok(())
    }

    fn next_hours(&self, f: &mut fmt::Formatter<'_>, files: &[(&str, &FileStats)]) -> fmt::Result {
        self.head(f, "Due in the next 24 hours")?;
        let hours = files.iter().map(|(_, stats)| stats.next_hours.len()).max().unwrap_or(0);
        let sum = |index: usize| {
            let own = files.iter().filter_map(|(_, stats)| stats.next_hours.get(index));
            own.fold((0, 0), |(count, bytes), hour| (count + hour.files, bytes + hour.bytes))
        };
        let sums: Vec<(u64, u64)> = (0..hours).map(sum).collect();
        let most = sums.iter().map(|(count, _)| *count).max().unwrap_or(0);
        let Theme { goes, detail, .. } = self.theme;
        if most == 0 {
            return writeln!(f, "  {detail}none by age alone{detail:#}");
        }
        let columns: String = sums.iter().map(|(count, _)| self.glyphs.column(*count, most)).collect();
        let (count, bytes) = sums.iter().fold((0, 0), |(count, bytes), sum| (count + sum.0, bytes + sum.1));
        writeln!(f, "  {goes}{columns}{goes:#}  {detail}{}, {}{detail:#}", Number(count, "file"), HumanBytes(bytes))?;
        let from = files.iter().find_map(|(_, stats)| stats.next_hours.first()).map(|hour| hour.from);
        let at =
            |hours: u64| from.map_or_else(String::new, |from| self.time(from.plus(Duration::from_secs(hours * 3600))));
        let busiest = sums.iter().position(|(count, _)| *count == most).unwrap_or(0);
        let most = Number(most, "file");
        writeln!(
            f,
            "  {detail}{:<12}{:<7}{:>5}  most from {}: {most}{detail:#}",
            at(0),
            at(12),
            at(24),
            at(busiest as u64)
        )
    }

    fn time(&self, at: Moment) -> String {
        match Timestamp::from_second(at.unix_seconds()) {
            Ok(timestamp) => timestamp.to_zoned(self.zone.clone()).strftime("%H:%M").to_string(),
            Err(_) => at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cleanup_core::report::{PolicyKind, PolicyStatus};
    use cleanup_engine::responses::{AgeBand, PolicyStats};
    use cleanup_engine::track::ForecastHour;

    use super::*;

    fn stats() -> Stats {
        let from = Moment::from_unix(1_767_322_800, 0);
        let policy = |name: &str, files: u64, bytes: u64| {
            let band =
                |below_seconds, share| AgeBand { below_seconds, files: files * share / 10, bytes: bytes * share / 10 };
            let hour = |hour: u32| {
                let files = if hour < 9 { files * u64::from(hour) / 50 } else { 0 };
                ForecastHour { from: from.plus(Duration::from_secs(3600) * hour), files, bytes: files * 1000 }
            };
            let own = FileStats {
                total_files: files,
                total_bytes: bytes,
                due_files: files / 100,
                ages: vec![band(Some(600), 2), band(Some(3600), 7), band(Some(21_600), 0), band(None, 1)],
                next_hours: (0..24).map(hour).collect(),
                ..FileStats::default()
            };
            PolicyStats {
                name: name.to_owned(),
                kind: PolicyKind::Files,
                status: PolicyStatus::Ok,
                message: None,
                files: Some(own),
                sessions: None,
            }
        };
        let policies =
            vec![policy("images", 12_000, 3_000_000_000), policy("models", 40, 900_000_000), policy("none", 0, 0)];
        Stats { format_version: 1, policies }
    }

    fn drawn(glyphs: Glyphs) -> String {
        Picture { stats: &stats(), theme: &Theme::PLAIN, glyphs, zone: &TimeZone::UTC }.to_string()
    }

    #[test]
    fn bars_ages_and_the_next_hours_stand_beside_their_numbers() {
        insta::assert_snapshot!(drawn(Glyphs::Blocks));
    }

    #[test]
    fn without_utf_8_the_same_is_drawn_with_what_everybody_has() {
        let text = drawn(Glyphs::Ascii);
        assert!(text.is_ascii(), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn nothing_there_is_no_picture() {
        let stats = Stats { format_version: 1, policies: Vec::new() };
        let picture = Picture { stats: &stats, theme: &Theme::PLAIN, glyphs: Glyphs::Blocks, zone: &TimeZone::UTC };
        assert_eq!(picture.to_string(), "");
    }

    #[test]
    fn the_first_variable_that_is_set_says_what_can_be_shown() {
        let of = |pairs: &[(&str, &str)]| {
            Glyphs::of_locale(|name| pairs.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Glyphs::Blocks);
        assert_eq!(of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]), Glyphs::Blocks);
        assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]), Glyphs::Ascii);
        assert_eq!(of(&[]), Glyphs::Ascii);
    }
}
