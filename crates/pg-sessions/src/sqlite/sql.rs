//! The statements of the SQLite twin, one a constant.
//!
//! SQLite has no time type. Two forms are understood: text that is ISO 8601, as SQLAlchemy writes it
//! (`2026-01-02 03:04:05.678901`) or as programs exchange it (`2026-01-02T03:04:05+02:00`), in UTC where it names no
//! offset; and numbers of a unit that is known. Each statement tests the form of every value that it compares, and that
//! the value is a plausible time, so that a value of another form, however it got there, is never older than anything.
//!
//! The cutoff is asked of the database once per batch, inside its transaction, and bound as `?1`: the two statements
//! that archive and delete must mean the same rows. It is in the unit of the column, which stands bare on the left of the
//! comparison, so that an index serves.

use cleanup_core::policy::{Scalar, Test};

use super::session::Bound;
use crate::rule::names::{Identifier, Part, Sql, TableName};
use crate::rule::time::{TEN_YEARS_DAYS, Unit, YEAR_2000_JULIAN};

/// How the activity column holds time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Number(Unit),
}

/// The shape first: by itself `julianday` also takes `now`, times without a date, and numbers.
pub(super) const IS_TEXT: &str = "\
typeof({stamp}) = 'text' \
and {stamp} glob '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-5][0-9]:[0-5][0-9]*' \
and substr({stamp}, 20) not glob '*[^0-9.:+Z-]*' and substr({stamp}, 20, 1) in ('', '.', 'Z', '+', '-') \
and julianday({stamp}) is not null";

pub(super) const IS_NUMBER: &str = "typeof({stamp}) in ('integer', 'real')";

const TEXT_CUTOFF: &str = "select strftime('%Y-%m-%d %H:%M:%f', 'now', ?1)";

/// Whole seconds, rounded down: a row is at worst kept a second longer.
const SECONDS_CUTOFF: &str = "select strftime('%s', 'now', ?1)";

const MILLISECONDS_CUTOFF: &str = "select strftime('%s', 'now', ?1) || '000'";

const MICROSECONDS_CUTOFF: &str = "select strftime('%s', 'now', ?1) || '000000'";

/// A millisecond earlier, because the text rounds.
const JULIAN_CUTOFF: &str = "select printf('%.9f', julianday('now', ?1) - 0.000000012)";

/// The age test: older than the cutoff and a plausible time, whose upper end lies ahead. A text that begins with a date
/// sorts by it, whatever follows; so the bare comparisons are there for an index, with room for every offset from UTC,
/// and those of `julianday` count.
const TEXT_AGE: &str = "\
{stamp} < date(substr({moment}, 1, 23), '+2 days') and {stamp} >= '1999-12-30' and {form} \
and julianday({stamp}) < julianday(substr({moment}, {half}, 23)) and julianday({stamp}) >= {year_2000}";

/// Which half of a bound moment a text is compared with. Where a zone is configured, the second one holds the wall-clock time
/// of that zone, for texts that name no offset of their own.
const HALF: &str = "iif(substr({stamp}, 20) glob '*[Z+-]*', 1, 25)";

const NUMBER_AGE: &str = "{stamp} < {moment} and {stamp} >= {year_2000} and {form}";

/// As [`NUMBER_AGE`], for days. A whole number may stand for any moment of its day, so all of that day has to be older.
const DAYS_AGE: &str = "\
{stamp} < {moment} and {stamp} >= {year_2000} and {form} \
and ({stamp} <> cast({stamp} as integer) or {stamp} + 1 <= cast({moment} as real))";

const TEXT_PLAUSIBLE: &str = "\
{form} and julianday({stamp}) between {year_2000} and julianday(substr({now}, 1, 23)) + {ten_years}";

const NUMBER_PLAUSIBLE: &str = "{form} and {stamp} between {year_2000} and {now} + {ten_years}";

const TEXT_FUTURE: &str = "julianday({stamp}) > julianday(substr({now}, {half}, 23))";

/// A text as a moment. The offset of a configured zone is the one of now, which may be an hour off for times of another
/// season: this is for people alone, ages are never told by it.
const TEXT_MOMENT: &str = "\
julianday({stamp}) - (julianday(substr({now}, {half}, 23)) - julianday(substr({now}, 1, 23)))";

const NUMBER_FUTURE: &str = "{stamp} > {now}";

const TEXT_FROM: &str = "{stamp} >= ?2";

/// A little earlier: a number that has been text has lost its last digits.
const NUMBER_FROM: &str = "{stamp} >= cast(?2 as real) - {slack}";

const REFERRED: &str = "exists (select 1 from {other} r where {match})";

/// Rows of another table that a foreign key takes along, or changes, with those that are due.
const FOLLOWERS: &str = "\
select count(*) from {other} r where exists (select 1 from {table} as t where {age}{asked}{spared} and {match})";

/// Our column stands on the left: SQLite then compares by its collation, as the foreign key itself does.
const SAME_KEY: &str = "t.{ours} = r.{theirs}";

/// Which forms the column holds, with `?1` as now: all, nulls, text, numbers; those that are plausible times, as text and in each unit;
/// and of those the newest, in seconds since 1970. The limit keeps each value from being computed again for each count.
const FORMS: &str = "\
select count(*), count(*) filter (where v is null), count(jd), count(n), {counts}, {newest}, {sentinels}
from (select {stamp} as v, case when {text} then {moment} end as jd,
  case when {number} then {stamp} end as n from {table} as t limit -1)";

pub(super) const COUNTED: &str = "count(*) filter (where {value} between {year_2000} and {now} + {ten_years})";

const NEWEST: &str = "max({value}) filter (where {value} between {year_2000} and {now} + {ten_years})";

/// 0 and −1 stand for "never", and what is infinite for no end: they say nothing about the unit of the others.
pub(super) const SENTINELS: &str = "count(*) filter (where n in (0, -1) or abs(n) > 1e300)";

/// The largest key there is.
const LAST: &str = "select max(t.{key}) from {table} as t";

/// `?2` watermark, `?3` rows, `?4` keys of rows to pass by, as a JSON array.
const PICK: &str = "\
select count(*), cast(max(stamp) as text)
from (select {stamp} as stamp from {table} as t
  where {age} and {from}{spared} and t.{key} not in (select value from json_each(?4))
  order by {stamp} limit ?3)";

/// The keys of those rows, in their order, as a JSON array.
const PICKED_KEYS: &str = "\
select json_group_array(k)
from (select t.{key} as k from {table} as t
  where {age} and {from}{spared} and t.{key} not in (select value from json_each(?4))
  order by {stamp} limit ?3)";

/// The predicate stands inside, to choose, and outside, to be sure.
const PICKED: &str = "\
t.{key} in (select t.{key} from {table} as t
  where {age} and {from}{spared} and t.{key} not in (select value from json_each(?4))
  order by {stamp} limit ?3)
and {age}{spared}";

/// Some rows by their keys: of the JSON array `?2` the elements from `?3` to before `?4`.
const LISTED: &str = "\
t.{key} in (select value from json_each(?2) where key >= ?3 and key < ?4) and {age}{spared}";

/// Another array with one element more: the one of `?2` at `?3`.
const WITH_KEY: &str = "select json_insert(?1, '$[#]', (select value from json_each(?2) where key = ?3))";

/// `?1` the key before, `?2` rows, `?3` the last key: where a window ends.
const WINDOW: &str = "\
select count(*), max(k)
from (select t.{key} as k from {table} as t where t.{key} > ?1 and t.{key} <= ?3 order by t.{key} limit ?2)";

/// `?2` the key before, `?3` the last one.
const IN_WINDOW: &str = "t.{key} > ?2 and t.{key} <= ?3 and {age}{spared}";

/// The keys of what is due in a window, as a JSON array.
const WINDOW_KEYS: &str = "select json_group_array(k) from (select t.{key} as k from {table} as t where {where})";

const EXISTS: &str = "select exists (select 1 from {table} as t where {where})";

const DELETE: &str = "delete from {table} as t where {where}";

const ARCHIVE: &str = "insert into {archive} ({columns}) select {columns} from {table} as t where {where}";

/// All, due, referred to, in the future, and no plausible times (`?2` now).
const COUNT: &str = "\
select count(*), count(*) filter (where {age}{spared}), count(*) filter (where {age} and not (true{spared})),
  count(*) filter (where {plausible} and {future}), count(*) filter (where {stamp} is not null and not ({plausible}))
from {table} as t where true{asked}";

/// An entry of the key `where`: the values are some of those in a JSON array that is bound last.
const ONE_OF: &str = " \
and t.{column} in (select value from json_each({values}) where key >= {first} and key < {end})";

const NONE_OF: &str = " \
and t.{column} not in (select value from json_each({values}) where key >= {first} and key < {end})";

const IS_NULL: &str = " and t.{column} is null";

const IS_NOT_NULL: &str = " and t.{column} is not null";

/// The oldest and newest, and the first that is not due, in seconds since 1970; `?2` now.
const ENDS: &str = "\
select {oldest}, {newest}, (select {oldest} from {table} as t where {plausible}{asked} and not ({age}))
from {table} as t where {plausible}{asked}";

/// What there is to say of the rows with the key `?3`; `?2` now, `?4` the most rows. A column without a type keeps what it
/// was given, so a number is compared by its text as well.
const ROW: &str = "\
select case when {plausible} then {seconds} end, {stamp} is null, (true{asked}), {plausible}, {age}, not (true{spared}),
  {future}
from {table} as t
where t.{id} = ?3 or (typeof(t.{id}) <> 'text' and cast(t.{id} as text) = ?3) limit ?4";

/// The names and choices that go into the statements.
pub(super) struct Shape<'a> {
    pub(super) table: &'a TableName,
    pub(super) stamp: &'a Sql,
    /// The entries of the key `where`, and their columns.
    pub(super) asked: &'a [(Identifier, Test)],
    /// The column of the key `id_column`.
    pub(super) id: &'a Identifier,
    /// `rowid` under a name that no column has, or the id column of a table without rowids.
    pub(super) key: &'a Sql,
    pub(super) form: Form,
    /// Whether texts without an offset are in a zone of their own.
    pub(super) zoned: bool,
    /// Other tables, and pairs of their column and ours.
    pub(super) references: &'a [Reference],
    /// Those whose rows go along, or are changed.
    pub(super) followers: &'a [Reference],
    pub(super) archive: Option<(&'a TableName, &'a [Identifier])>,
}

/// A foreign key of another table that points here and keeps rows from going.
pub(super) struct Reference {
    pub(super) other: TableName,
    pub(super) columns: Vec<Pair>,
}

/// A pair of columns that a foreign key compares.
pub(super) struct Pair {
    pub(super) theirs: Identifier,
    pub(super) ours: Identifier,
}

/// The value that tells whether a row is due, and whether texts of it are in a zone of their own.
type Stamp<'a> = (&'a Sql, bool);

/// The statements for one table.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    pub(super) cutoff: Sql,
    /// What the key `where` compares with, as a JSON array.
    values: Option<String>,
    pub(super) pick: Sql,
    pub(super) delete_picked: Sql,
    pub(super) archive_picked: Option<Sql>,
    pub(super) picked_keys: Sql,
    pub(super) window_keys: Sql,
    pub(super) delete_listed: Sql,
    pub(super) archive_listed: Option<Sql>,
    pub(super) last: Sql,
    pub(super) window: Sql,
    pub(super) any_in_window: Sql,
    pub(super) delete_window: Sql,
    pub(super) archive_window: Option<Sql>,
    pub(super) count: Sql,
    pub(super) ends: Sql,
    pub(super) row: Sql,
    /// One for each table whose rows go along, or are changed.
    pub(super) followers: Vec<Sql>,
}

/// Asks which forms a column holds; before anything else is known.
pub(super) fn forms(table: &TableName, stamp: &Sql, zoned: bool) -> Sql {
    let is = |template| Sql::new(template, &[("stamp", stamp)]);
    let (text, number) = (is(IS_TEXT), is(IS_NUMBER));
    let moment = text_moment(stamp, zoned, &Sql::new("?1", &[]));
    let of_all = |make: &dyn Fn(Form) -> Sql| {
        let forms = std::iter::once(Form::Text).chain(Unit::ALL.map(Form::Number));
        let made: Vec<Sql> = forms.map(make).collect();
        Sql::joined(made.iter().map(|sql| sql as &dyn Part), ", ")
    };
    let counts = of_all(&|form| form.in_forms(COUNTED));
    let newest = of_all(&|form| form.in_seconds(&form.in_forms(NEWEST)));
    let sentinels = Sql::new(SENTINELS, &[]);
    let parts: [(&str, &dyn Part); 8] = [
        ("sentinels", &sentinels),
        ("table", table),
        ("stamp", stamp),
        ("text", &text),
        ("moment", &moment),
        ("number", &number),
        ("counts", &counts),
        ("newest", &newest),
    ];
    Sql::new(FORMS, &parts)
}

/// Which half of a bound moment the stamp is compared with.
fn half(stamp: &Sql, zoned: bool) -> Sql {
    if zoned { Sql::new(HALF, &[("stamp", stamp)]) } else { Sql::new("1", &[]) }
}

/// A text as a Julian day; `now` is bound.
fn text_moment(stamp: &Sql, zoned: bool, now: &Sql) -> Sql {
    if !zoned {
        return Sql::new("julianday({stamp})", &[("stamp", stamp)]);
    }
    Sql::new(TEXT_MOMENT, &[("stamp", stamp), ("half", &half(stamp, zoned)), ("now", now)])
}

impl Form {
    /// The database's clock, in this form.
    fn clock(self) -> &'static str {
        match self {
            Self::Text | Self::Number(Unit::JulianDays) => "julianday('now')",
            Self::Number(Unit::Seconds) => "cast(strftime('%s', 'now') as integer)",
            Self::Number(Unit::Milliseconds) => "cast(strftime('%s', 'now') || '000' as integer)",
            Self::Number(Unit::Microseconds) => "cast(strftime('%s', 'now') || '000000' as integer)",
        }
    }

    /// Asks for the database's clock, `?1` from now, in this form.
    fn cutoff(self) -> &'static str {
        match self {
            Self::Text => TEXT_CUTOFF,
            Self::Number(Unit::Seconds) => SECONDS_CUTOFF,
            Self::Number(Unit::Milliseconds) => MILLISECONDS_CUTOFF,
            Self::Number(Unit::Microseconds) => MICROSECONDS_CUTOFF,
            Self::Number(Unit::JulianDays) => JULIAN_CUTOFF,
        }
    }

    /// A bound moment, as text, in this form.
    fn bound(self, place: &'static str) -> Sql {
        let place = Sql::new(place, &[]);
        let template = match self {
            Self::Text => "{place}",
            Self::Number(Unit::JulianDays) => "cast({place} as real)",
            Self::Number(_) => "cast({place} as integer)",
        };
        Sql::new(template, &[("place", &place)])
    }

    /// What a number may have lost as text.
    fn slack(self) -> &'static str {
        match self {
            Self::Text | Self::Number(Unit::Seconds | Unit::Milliseconds) => "1",
            Self::Number(Unit::Microseconds) => "100",
            Self::Number(Unit::JulianDays) => "0.00001",
        }
    }

    fn pick(self, text: &'static str, number: &'static str) -> &'static str {
        match self {
            Self::Text => text,
            Self::Number(_) => number,
        }
    }

    fn fill(self, template: &'static str, (stamp, zoned): Stamp<'_>, moment: &Sql, now: &Sql) -> Sql {
        let form = Sql::new(self.pick(IS_TEXT, IS_NUMBER), &[("stamp", stamp)]);
        let half = half(stamp, zoned);
        let (year_2000, ten_years) = self.bounds();
        let slack = Sql::new(self.slack(), &[]);
        let parts: [(&str, &dyn Part); 8] = [
            ("stamp", stamp),
            ("half", &half),
            ("moment", moment),
            ("now", now),
            ("form", &form),
            ("year_2000", &year_2000),
            ("ten_years", &ten_years),
            ("slack", &slack),
        ];
        Sql::new(template, &parts)
    }

    /// Before the moment, and a plausible time.
    fn age(self, stamp: Stamp<'_>, moment: &Sql) -> Sql {
        let number = if self == Self::Number(Unit::JulianDays) { DAYS_AGE } else { NUMBER_AGE };
        self.fill(self.pick(TEXT_AGE, number), stamp, moment, &Sql::EMPTY)
    }

    fn plausible(self, stamp: Stamp<'_>, now: &Sql) -> Sql {
        self.fill(self.pick(TEXT_PLAUSIBLE, NUMBER_PLAUSIBLE), stamp, &Sql::EMPTY, now)
    }

    fn future(self, stamp: Stamp<'_>, now: &Sql) -> Sql {
        self.fill(self.pick(TEXT_FUTURE, NUMBER_FUTURE), stamp, &Sql::EMPTY, now)
    }

    fn from(self, stamp: Stamp<'_>) -> Sql {
        self.fill(self.pick(TEXT_FROM, NUMBER_FROM), stamp, &Sql::EMPTY, &Sql::EMPTY)
    }

    fn bounds(self) -> (Sql, Sql) {
        let (year_2000, ten_years) = match self {
            Self::Text => (YEAR_2000_JULIAN, TEN_YEARS_DAYS),
            Self::Number(unit) => (unit.year_2000(), unit.ten_years()),
        };
        (Sql::new(year_2000, &[]), Sql::new(ten_years, &[]))
    }

    /// Of the statement that asks for forms, whose `jd` is what `julianday` makes of text.
    pub(super) fn in_forms(self, template: &'static str) -> Sql {
        let (year_2000, ten_years) = self.bounds();
        let (value, now) = (Sql::new(self.pick("jd", "n"), &[]), Sql::new(self.clock(), &[]));
        let parts: [(&str, &dyn Part); 4] =
            [("value", &value), ("now", &now), ("year_2000", &year_2000), ("ten_years", &ten_years)];
        Sql::new(template, &parts)
    }

    /// An aggregate of comparable values, in seconds since 1970.
    fn in_seconds(self, aggregate: &Sql) -> Sql {
        let template = match self {
            // To the millisecond: a day with its fraction is no more exact, and would be shown a second early.
            Self::Text | Self::Number(Unit::JulianDays) => "round(({aggregate} - 2440587.5) * 86400.0, 3)",
            Self::Number(Unit::Seconds) => "{aggregate} * 1.0",
            Self::Number(Unit::Milliseconds) => "{aggregate} / 1000.0",
            Self::Number(Unit::Microseconds) => "{aggregate} / 1000000.0",
        };
        Sql::new(template, &[("aggregate", aggregate)])
    }

    /// `min` or `max` of the column, in seconds since 1970; `?2` now.
    fn end(self, aggregate: &'static str, (stamp, zoned): Stamp<'_>) -> Sql {
        let value = match self {
            Self::Text => text_moment(stamp, zoned, &Sql::new("?2", &[])),
            Self::Number(_) => stamp.clone(),
        };
        self.in_seconds(&Sql::new(aggregate, &[("value", &value)]))
    }
}

/// How many keys there are in the JSON array `?1`.
pub(super) fn length() -> Sql {
    Sql::new("select json_array_length(?1)", &[])
}

/// One key more to be passed by.
pub(super) fn with_key() -> Sql {
    Sql::new(WITH_KEY, &[])
}

impl Statements {
    pub(super) fn new(shape: &Shape<'_>) -> Self {
        let (form, column) = (shape.form, (shape.stamp, shape.zoned));
        let (cutoff, now) = (form.bound("?1"), form.bound("?2"));
        let age = form.age(column, &cutoff);
        let (plausible, future) = (form.plausible(column, &now), form.future(column, &now));
        let from = form.from(column);
        let oldest = form.end("min({value})", column);
        let newest = form.end("max({value})", column);
        let seconds = form.end("{value}", column);
        let spared = shape.spared();

        let fill = |template, condition: &Sql, place: u64| {
            let asked = shape.asked(place);
            let age = Sql::joined([&age as &dyn Part, &asked], "");
            let mut parts: Vec<(&str, &dyn Part)> = vec![
                ("table", shape.table),
                ("stamp", shape.stamp),
                ("asked", &asked),
                ("key", shape.key),
                ("age", &age),
                ("from", &from),
                ("plausible", &plausible),
                ("future", &future),
                ("spared", &spared),
                ("oldest", &oldest),
                ("newest", &newest),
                ("seconds", &seconds),
                ("id", shape.id),
                ("where", condition),
            ];
            let columns =
                shape.archive.map(|(_, columns)| Sql::joined(columns.iter().map(|column| column as &dyn Part), ", "));
            if let (Some((archive, _)), Some(columns)) = (shape.archive, &columns) {
                parts.extend([("archive", archive as &dyn Part), ("columns", columns)]);
            }
            Sql::new(template, &parts)
        };
        let (picked, window) = (fill(PICKED, &Sql::EMPTY, 5), fill(IN_WINDOW, &Sql::EMPTY, 4));
        let listed = fill(LISTED, &Sql::EMPTY, 5);
        // What a condition brings along has its values already.
        let around = |template, condition| fill(template, condition, 0);
        let archive = |condition| shape.archive.map(|_| around(ARCHIVE, condition));
        Self {
            cutoff: Sql::new(form.cutoff(), &[]),
            values: shape.values(),
            pick: fill(PICK, &Sql::EMPTY, 5),
            delete_picked: around(DELETE, &picked),
            archive_picked: archive(&picked),
            picked_keys: fill(PICKED_KEYS, &Sql::EMPTY, 5),
            window_keys: around(WINDOW_KEYS, &window),
            delete_listed: around(DELETE, &listed),
            archive_listed: archive(&listed),
            last: fill(LAST, &Sql::EMPTY, 0),
            window: fill(WINDOW, &Sql::EMPTY, 0),
            any_in_window: around(EXISTS, &window),
            delete_window: around(DELETE, &window),
            archive_window: archive(&window),
            count: fill(COUNT, &Sql::EMPTY, 3),
            ends: fill(ENDS, &Sql::EMPTY, 3),
            row: fill(ROW, &Sql::EMPTY, 5),
            followers: shape.followers(&age, &spared),
        }
    }

    /// Binds what comes last in each statement that asks about rows.
    pub(super) fn with_values(&self, bound: Bound) -> Bound {
        match &self.values {
            Some(values) => bound.bind(values.clone()),
            None => bound,
        }
    }
}

impl Shape<'_> {
    /// Every entry of the key `where`, whose values stand at `place`.
    fn asked(&self, place: u64) -> Sql {
        let mut first = 0;
        let condition = |(column, test): &(Identifier, Test)| {
            let values = Sql::new("?{place}", &[("place", &place)]);
            let end = first + scalars(test).len() as u64;
            let parts: [(&str, &dyn Part); 4] =
                [("column", column), ("values", &values), ("first", &first), ("end", &end)];
            let condition = match test {
                Test::OneOf(_) => Sql::new(ONE_OF, &parts),
                Test::NoneOf(_) => Sql::new(NONE_OF, &parts),
                Test::Null(true) => Sql::new(IS_NULL, &parts),
                Test::Null(false) => Sql::new(IS_NOT_NULL, &parts),
            };
            first = end;
            condition
        };
        let conditions: Vec<Sql> = self.asked.iter().map(condition).collect();
        Sql::joined(conditions.iter().map(|condition| condition as &dyn Part), "")
    }

    fn values(&self) -> Option<String> {
        let values: Vec<String> = self.asked.iter().flat_map(|(_, test)| scalars(test)).map(json).collect();
        (!values.is_empty()).then(|| format!("[{}]", values.join(",")))
    }

    fn spared(&self) -> Sql {
        let referred: Vec<Sql> = self
            .references
            .iter()
            .map(|reference| {
                let referred = Sql::new(REFERRED, &[("other", &reference.other), ("match", &reference.matches())]);
                Sql::new(" and not {referred}", &[("referred", &referred)])
            })
            .collect();
        Sql::joined(referred.iter().map(|referred| referred as &dyn Part), "")
    }

    fn followers(&self, age: &Sql, spared: &Sql) -> Vec<Sql> {
        let asked = self.asked(2);
        let follower = |reference: &Reference| {
            let parts: [(&str, &dyn Part); 6] = [
                ("other", &reference.other),
                ("table", self.table),
                ("age", age),
                ("asked", &asked),
                ("spared", spared),
                ("match", &reference.matches()),
            ];
            Sql::new(FOLLOWERS, &parts)
        };
        self.followers.iter().map(follower).collect()
    }
}

impl Reference {
    /// Whether a row `r` of the other table refers to our row `t`.
    fn matches(&self) -> Sql {
        let pair = |Pair { theirs, ours }: &Pair| Sql::new(SAME_KEY, &[("theirs", theirs), ("ours", ours)]);
        let pairs: Vec<Sql> = self.columns.iter().map(pair).collect();
        Sql::joined(pairs.iter().map(|pair| pair as &dyn Part), " and ")
    }
}

/// What a condition compares with; nothing where null is asked for.
fn scalars(test: &Test) -> &[Scalar] {
    match test {
        Test::OneOf(values) | Test::NoneOf(values) => values,
        Test::Null(_) => &[],
    }
}

fn json(value: &Scalar) -> String {
    let Scalar::Text(text) = value else { return value.to_string() };
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::session::{Session, cell, statement};
    use super::*;
    use crate::database::Access;

    /// Both ends of the age test are bounds of the index, whatever the column holds.
    #[tokio::test(flavor = "current_thread")]
    async fn an_index_on_the_activity_serves_every_form() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.db");
        std::fs::write(&file, "").unwrap();
        let mut session = Session::open(&file as &Path, Access::Change, std::time::Duration::ZERO).await.unwrap();
        for setup in ["create table t (id text primary key, at datetime)", "create index ix on t (at)"] {
            session.all(statement(Sql::new(setup, &[]).statement())).await.unwrap();
        }
        let table = TableName::parse("t").unwrap();
        let stamp = Sql::stamp(&[Identifier::parse("at").unwrap()]);
        for form in std::iter::once(Form::Text).chain(Unit::ALL.map(Form::Number)) {
            let (id, key) = (Identifier::parse("id").unwrap(), Sql::new("rowid", &[]));
            let shape = Shape {
                table: &table,
                stamp: &stamp,
                asked: &[],
                id: &id,
                key: &key,
                form,
                zoned: true,
                references: &[],
                followers: &[],
                archive: None,
            };
            let pick = Statements::new(&shape).pick;
            let explain = Sql::new("explain query plan {pick}", &[("pick", &pick)]);
            let rows = session.all(statement(explain.statement())).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| cell(row, 3).unwrap()).collect();
            let plan = plan.join("\n");
            assert!(plan.contains("INDEX ix (at>? AND at<?)"), "{form:?}\n{plan}");
        }
        session.close().await;
    }
}
