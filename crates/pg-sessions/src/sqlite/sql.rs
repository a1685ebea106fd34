//! The statements of the SQLite twin, one a constant.
//!
//! SQLite has no time type. Two forms are understood: text in UTC as SQLAlchemy writes it (`2026-01-02 03:04:05.678901`,
//! which sorts as it reads), and seconds since 1970. Each statement tests the form of every value that it compares, so
//! that a value of another form, however it got there, is never older than anything.
//!
//! The cutoff is asked of the database once per batch, inside its transaction, and bound as `?1`: the two statements
//! that archive and delete must mean the same rows.

use crate::table::{Identifier, Part, Sql, TableName};

/// How the activity column holds time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Epoch,
}

const IS_TEXT: &str = "\
typeof(t.{activity}) = 'text' \
and t.{activity} glob '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]*' \
and substr(t.{activity}, 20) not glob '*[^0-9.]*' and substr(t.{activity}, 20, 1) in ('', '.')";

/// The years 1 to 9999: a count of milliseconds is not among them.
const IS_EPOCH: &str = "\
typeof(t.{activity}) in ('integer', 'real') and t.{activity} between -62135596800 and 253402300799";

const TEXT_CUTOFF: &str = "select strftime('%Y-%m-%d %H:%M:%f', 'now', ?1)";

/// Whole seconds, rounded down: a row is at worst kept a second longer.
const EPOCH_CUTOFF: &str = "select strftime('%s', 'now', ?1)";

const TEXT_AGE: &str = "t.{activity} < ?1 and {form}";

const EPOCH_AGE: &str = "t.{activity} < cast(?1 as integer) and {form}";

const TEXT_FROM: &str = "t.{activity} >= ?2";

/// A second earlier: a number that has been text has lost its last digits.
const EPOCH_FROM: &str = "t.{activity} >= cast(?2 as real) - 1";

const TEXT_FUTURE: &str = "t.{activity} > ?2 and {form}";

const EPOCH_FUTURE: &str = "t.{activity} > cast(?2 as integer) and {form}";

const REFERRED: &str = "exists (select 1 from {other} r where {match})";

/// Our column stands on the left: SQLite then compares by its collation, as the foreign key itself does.
const SAME_KEY: &str = "t.{ours} = r.{theirs}";

/// Which forms the column holds: all, none at all, text, seconds.
const FORMS: &str = "\
select count(*), count(*) filter (where t.{activity} is null), count(*) filter (where {text}),
  count(*) filter (where {epoch})
from {table} as t";

/// `?2` watermark, `?3` rows, `?4` keys of rows to pass by, as a JSON array.
const PICK: &str = "\
select count(*), cast(max(stamp) as text)
from (select t.{activity} as stamp from {table} as t
  where {age} and {from}{spared} and t.{key} not in (select value from json_each(?4))
  order by t.{activity} limit ?3)";

/// The keys of those rows, in their order, as a JSON array.
const PICKED_KEYS: &str = "\
select json_group_array(k)
from (select t.{key} as k from {table} as t
  where {age} and {from}{spared} and t.{key} not in (select value from json_each(?4))
  order by t.{activity} limit ?3)";

/// The predicate stands inside, to choose, and outside, to be sure.
const PICKED: &str = "\
t.{key} in (select t.{key} from {table} as t
  where {age} and {from}{spared} and t.{key} not in (select value from json_each(?4))
  order by t.{activity} limit ?3)
and {age}{spared}";

/// Some rows by their keys: of the JSON array `?2` the elements from `?3` to before `?4`.
const LISTED: &str = "\
t.{key} in (select value from json_each(?2) where key >= ?3 and key < ?4) and {age}{spared}";

/// Another array with one element more: the one of `?2` at `?3`.
const WITH_KEY: &str = "select json_insert(?1, '$[#]', (select value from json_each(?2) where key = ?3))";

/// `?1` the key before, `?2` rows: where a window ends.
const WINDOW: &str = "\
select count(*), max(k) from (select t.{key} as k from {table} as t where t.{key} > ?1 order by t.{key} limit ?2)";

/// `?2` the key before, `?3` the last one.
const IN_WINDOW: &str = "t.{key} > ?2 and t.{key} <= ?3 and {age}{spared}";

/// The keys of what is due in a window, as a JSON array.
const WINDOW_KEYS: &str = "select json_group_array(k) from (select t.{key} as k from {table} as t where {where})";

const EXISTS: &str = "select exists (select 1 from {table} as t where {where})";

const DELETE: &str = "delete from {table} as t where {where}";

const ARCHIVE: &str = "insert into {archive} ({columns}) select {columns} from {table} as t where {where}";

/// All, due, referred to, in the future (`?2` now).
const COUNT: &str = "\
select count(*), count(*) filter (where {age}{spared}), count(*) filter (where {age} and not (true{spared})),
  count(*) filter (where {future})
from {table} as t";

/// The oldest and newest, and the first that is not due, in seconds since 1970.
const ENDS: &str = "\
select {oldest}, {newest}, (select {oldest} from {table} as t where not ({age}))
from {table} as t where t.{activity} is not null and ?1 = ?1";

/// The names and choices that go into the statements.
pub(super) struct Shape<'a> {
    pub(super) table: &'a TableName,
    pub(super) activity: &'a Identifier,
    /// `rowid` under a name that no column has, or the id column of a table without rowids.
    pub(super) key: &'a Sql,
    pub(super) form: Form,
    /// Other tables, and pairs of their column and ours.
    pub(super) references: &'a [Reference],
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

/// The statements for one table.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    pub(super) cutoff: Sql,
    pub(super) pick: Sql,
    pub(super) delete_picked: Sql,
    pub(super) archive_picked: Option<Sql>,
    pub(super) picked_keys: Sql,
    pub(super) window_keys: Sql,
    pub(super) delete_listed: Sql,
    pub(super) archive_listed: Option<Sql>,
    pub(super) window: Sql,
    pub(super) any_in_window: Sql,
    pub(super) delete_window: Sql,
    pub(super) archive_window: Option<Sql>,
    pub(super) count: Sql,
    pub(super) ends: Sql,
}

/// Asks which forms a column holds; before anything else is known.
pub(super) fn forms(table: &TableName, activity: &Identifier) -> Sql {
    let form = |template| Sql::new(template, &[("activity", activity)]);
    let (text, epoch) = (form(IS_TEXT), form(IS_EPOCH));
    Sql::new(FORMS, &[("table", table), ("activity", activity), ("text", &text), ("epoch", &epoch)])
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
        let by_form = |text: &'static str, epoch: &'static str| match shape.form {
            Form::Text => text,
            Form::Epoch => epoch,
        };
        let activity: (&str, &dyn Part) = ("activity", shape.activity);
        let form = Sql::new(by_form(IS_TEXT, IS_EPOCH), &[activity]);
        let age = Sql::new(by_form(TEXT_AGE, EPOCH_AGE), &[activity, ("form", &form)]);
        let future = Sql::new(by_form(TEXT_FUTURE, EPOCH_FUTURE), &[activity, ("form", &form)]);
        let from = Sql::new(by_form(TEXT_FROM, EPOCH_FROM), &[activity]);
        let moment = |text: &'static str, epoch: &'static str| Sql::new(by_form(text, epoch), &[activity]);
        let oldest = moment("(julianday(min(t.{activity})) - 2440587.5) * 86400.0", "min(t.{activity}) * 1.0");
        let newest = moment("(julianday(max(t.{activity})) - 2440587.5) * 86400.0", "max(t.{activity}) * 1.0");
        let spared = shape.spared();

        let fill = |template, condition: &Sql| {
            let mut parts: Vec<(&str, &dyn Part)> = vec![
                ("table", shape.table),
                activity,
                ("key", shape.key),
                ("age", &age),
                ("from", &from),
                ("future", &future),
                ("spared", &spared),
                ("oldest", &oldest),
                ("newest", &newest),
                ("where", condition),
            ];
            let columns =
                shape.archive.map(|(_, columns)| Sql::joined(columns.iter().map(|column| column as &dyn Part), ", "));
            if let (Some((archive, _)), Some(columns)) = (shape.archive, &columns) {
                parts.extend([("archive", archive as &dyn Part), ("columns", columns)]);
            }
            Sql::new(template, &parts)
        };
        let (picked, window) = (fill(PICKED, &Sql::EMPTY), fill(IN_WINDOW, &Sql::EMPTY));
        let listed = fill(LISTED, &Sql::EMPTY);
        let archive = |condition| shape.archive.map(|_| fill(ARCHIVE, condition));
        Self {
            cutoff: Sql::new(by_form(TEXT_CUTOFF, EPOCH_CUTOFF), &[]),
            pick: fill(PICK, &Sql::EMPTY),
            delete_picked: fill(DELETE, &picked),
            archive_picked: archive(&picked),
            picked_keys: fill(PICKED_KEYS, &Sql::EMPTY),
            window_keys: fill(WINDOW_KEYS, &window),
            delete_listed: fill(DELETE, &listed),
            archive_listed: archive(&listed),
            window: fill(WINDOW, &Sql::EMPTY),
            any_in_window: fill(EXISTS, &window),
            delete_window: fill(DELETE, &window),
            archive_window: archive(&window),
            count: fill(COUNT, &Sql::EMPTY),
            ends: fill(ENDS, &Sql::EMPTY),
        }
    }
}

impl Shape<'_> {
    fn spared(&self) -> Sql {
        let referred: Vec<Sql> = self
            .references
            .iter()
            .map(|Reference { other, columns }| {
                let pairs: Vec<Sql> = columns
                    .iter()
                    .map(|Pair { theirs, ours }| Sql::new(SAME_KEY, &[("theirs", theirs), ("ours", ours)]))
                    .collect();
                let pairs = Sql::joined(pairs.iter().map(|pair| pair as &dyn Part), " and ");
                let referred = Sql::new(REFERRED, &[("other", other), ("match", &pairs)]);
                Sql::new(" and not {referred}", &[("referred", &referred)])
            })
            .collect();
        Sql::joined(referred.iter().map(|referred| referred as &dyn Part), "")
    }
}
