//! From the columns of a table, and a sample of one of them, to the lines of a policy.

use super::Proposal;
use super::frameworks::{ACTIVITIES, Counts, ENDINGS, Ends, FRAMEWORKS, Framework, LIKE_SESSIONS, WrittenBy};
use crate::rule::time::{Unit, Values};

/// How long something has to be idle in a policy that a person is to complete.
const EXAMPLE_IDLE: &str = "30d";

/// More than any time zone lies from UTC.
const ANY_ZONE: &str = "1d";

const ANY_ZONE_REMARK: &str = "The time zone of the column is unknown; a grace of one day covers all zones.";

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

/// A table as the catalog describes it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// As the key `table` names it: with its schema where the search path does not lead there, quoted where it must be.
    pub(crate) name: String,
    /// The last part of it, as it is.
    pub(crate) bare: String,
    pub(crate) columns: Vec<Column>,
    /// The columns of the primary key.
    pub(crate) key: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) holds: Holds,
}

/// What a column's type says of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A moment that names its zone.
    Moment,
    /// A wall-clock time.
    WallClock,
    Number,
    /// Only the values say it, as in SQLite.
    Anything,
    /// No time.
    Other,
}

/// What some values of a column are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) values: Values,
    /// Texts that are times.
    pub(crate) texts: u64,
    /// Of those the ones that name their offset from UTC.
    pub(crate) with_offset: u64,
    pub(crate) numbers: u64,
}

/// A table that a policy is wanted for.
pub(crate) struct Wanted<'a> {
    dialect: Dialect,
    table: &'a Table,
    framework: Option<&'static Framework>,
    id: &'a str,
    stamp: &'a Column,
    ends: Ends,
}

impl<'a> Wanted<'a> {
    /// `None` for tables that are no sessions.
    pub(crate) fn new(dialect: Dialect, table: &'a Table) -> Option<Self> {
        let bare = table.bare.to_lowercase();
        let framework = FRAMEWORKS.iter().find(|framework| {
            bare.contains(framework.named) && framework.columns.iter().all(|column| table.column(column).is_some())
        });
        if let Some(framework) = framework {
            let (id, stamp) = (table.column(framework.id)?, table.column(framework.ends.column())?);
            let ends = framework.ends;
            return Some(Self { dialect, table, framework: Some(framework), id: &id.name, stamp, ends });
        }
        if !LIKE_SESSIONS.iter().any(|part| bare.contains(part)) {
            return None;
        }
        let time = |name: &&'static str| {
            let column = table.column(name).filter(|column| column.holds != Holds::Other)?;
            Some((*name, column))
        };
        let (ends, stamp) = if let Some((name, column)) = ENDINGS.iter().find_map(&time) {
            (Ends::At(name), column)
        } else {
            let (name, column) = ACTIVITIES.iter().find_map(time)?;
            (Ends::After(name, EXAMPLE_IDLE), column)
        };
        let id = table.key.first().or_else(|| table.columns.first().map(|column| &column.name))?;
        Some(Self { dialect, table, framework: None, id, stamp, ends })
    }

    /// Whether a framework makes such a table.
    pub(crate) fn is_known(&self) -> bool {
        self.framework.is_some()
    }

    /// The column whose values have to be looked at; `None` where its type says everything.
    pub(crate) fn asks_for(&self) -> Option<&'a str> {
        matches!(self.stamp.holds, Holds::Number | Holds::Anything).then_some(&self.stamp.name)
    }

    /// The policy, or why there can be none.
    pub(crate) fn proposal(&self, sample: &Sample) -> Result<Proposal, String> {
        let (format, zone) = self.form(sample)?;
        let mut keys = vec![("table", self.table.name.clone()), ("id_column", column_name(self.id))];
        let mut remarks: Vec<_> = self.framework.and_then(|framework| framework.remark).into_iter().collect();
        let column = column_name(&self.stamp.name);
        match self.ends {
            Ends::At(_) => keys.push(("expires_column", column)),
            Ends::After(_, idle) => keys.extend([("activity_column", column), ("max_idle", idle.to_owned())]),
        }
        keys.extend(format.map(|unit| ("time_format", unit.format().key().to_owned())));
        // Texts of SQLite are in UTC where nobody says so.
        if zone != Zone::None && self.dialect == Dialect::Postgres {
            keys.push(("activity_time_zone", "UTC".to_owned()));
        }
        if zone == Zone::Unknown && matches!(self.ends, Ends::At(_)) {
            keys.push(("grace", ANY_ZONE.to_owned()));
            remarks.push(ANY_ZONE_REMARK);
        }
        Ok(Proposal { framework: self.framework.map(|framework| framework.name), keys, remarks })
    }

    /// What the column's numbers count, where it is not what is taken for granted, and which clock its wall-clock times
    /// are of.
    fn form(&self, sample: &Sample) -> Result<(Option<Unit>, Zone), String> {
        let clock = self.framework.map_or(WrittenBy::Application, |framework| framework.clock);
        let zone = |is_written_by_sql: bool| match clock {
            WrittenBy::Utc => Zone::Utc,
            // SQLite has no zone of its own, and its functions answer in UTC.
            WrittenBy::Database if !is_written_by_sql => Zone::Utc,
            WrittenBy::Database | WrittenBy::Application => Zone::Unknown,
        };
        match self.stamp.holds {
            Holds::Moment => return Ok((None, Zone::None)),
            Holds::WallClock => return Ok((None, zone(true))),
            Holds::Number | Holds::Anything => {}
            Holds::Other => return Err(self.refusal("is not a time")),
        }
        let known = sample.values.known;
        if known == sample.values.sentinels {
            let Some(framework) = self.framework else { return Err(self.refusal("holds nothing yet")) };
            return Ok(match (framework.counts, self.stamp.holds) {
                (Counts::Milliseconds, _) => (Some(Unit::Milliseconds), Zone::None),
                (Counts::Seconds, Holds::Anything) => (None, zone(false)),
                (Counts::Seconds, _) => (None, Zone::None),
            });
        }
        if sample.texts == known {
            let zone = if sample.with_offset == known { Zone::None } else { zone(false) };
            return Ok((None, zone));
        }
        if sample.numbers != known {
            return Err(self.refusal("mixes numbers, texts or other values"));
        }
        match sample.values.unit() {
            Some(Unit::Seconds) => Ok((None, Zone::None)),
            Some(unit) => Ok((Some(unit), Zone::None)),
            None => {
                Err(self.refusal("holds no plausible times: they would be before 2000 or more than ten years ahead"))
            }
        }
    }

    fn refusal(&self, why: &str) -> String {
        let framework = self.framework.map_or(String::new(), |framework| format!(" ({})", framework.name));
        format!("{}{framework}: its column {} {why}", self.table.name, self.stamp.name)
    }
}

/// What is known of the zone of wall-clock times.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// There are none.
    None,
    Utc,
    Unknown,
}

impl Table {
    /// A column by its name, whatever the case and the underscores.
    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| plain(&column.name) == plain(name))
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

/// A column's name as the configuration takes it: in double quotes only where it would be read otherwise.
fn column_name(name: &str) -> String {
    if name.starts_with('"') { in_quotes(name) } else { name.to_owned() }
}

/// The same for a table, or for a schema, whose names end at a dot.
pub(crate) fn table_name(name: &str) -> String {
    if name.starts_with('"') || name.contains('.') { in_quotes(name) } else { name.to_owned() }
}

fn in_quotes(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
