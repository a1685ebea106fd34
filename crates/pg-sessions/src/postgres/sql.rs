//! Every statement that touches the application's rows, one a constant, and how a table's names go into them.
//!
//! The age predicate stands in the `DELETE` itself, never only in the selection: READ COMMITTED then looks at the
//! newest version of a row, and a committed touch always wins. `for update skip locked` keeps us from waiting for a
//! touch that is not committed yet. `array(…)` makes the selection run once; as `in (select … limit n)` it may run
//! again for every outer row, and then deletes more than its limit.
//!
//! `$1` is the number of seconds a row may be idle, everywhere.

use crate::table::{Identifier, Part, Sql, TableName, Zone};

/// The age of a `timestamptz`: the database's clock on both sides, in seconds, so that no time zone comes in.
const AGE: &str = "t.{activity} < {now} - make_interval(secs => $1)";

/// The age of a `timestamp`. The comparison that counts is the second one: of two moments that share a wall-clock
/// time when summer time ends, PostgreSQL takes the later, so a row is at worst kept an hour longer. Comparing wall-clock
/// times would take live sessions an hour early that night. The first one is there for an index, with room to spare.
const LOCAL_AGE: &str = "\
t.{activity} < (({now} - make_interval(secs => $1)) at time zone {zone}) + interval '1 day' \
and (t.{activity} at time zone {zone}) < {now} - make_interval(secs => $1)";

const FUTURE: &str = "t.{activity} > now() + make_interval(secs => $2)";

const LOCAL_FUTURE: &str = "(t.{activity} at time zone {zone}) > now() + make_interval(secs => $2)";

/// A row that a foreign key without an action refers to cannot go; it is passed by.
const REFERRED: &str = "exists (select 1 from {other} r where {match})";

/// One batch in the order of the index, from the watermark on. `$2` watermark as text, `$3` rows.
///
/// The watermark spares each batch the walk over the dead rows of all earlier ones, which a long transaction
/// elsewhere keeps in the index. It comes from what was picked, not from what went: rows that a trigger keeps are
/// passed by. It travels as text because `-infinity` has no other form.
const DRIP: &str = "\
with picked as materialized (
  select t.ctid, t.{activity} as stamp from only {table} as t
  where {age} and t.{activity} >= $2::text::{type}{spared}
  order by t.{activity} limit $3
  for update of t skip locked),
gone as (
  delete from only {table} as t
  where t.ctid = any (array(select ctid from picked)) and {age}{spared}
  returning {returned}){archived}
select (select count(*) from picked), (select count(*) from gone), (select to_json(max(stamp)) #>> '{}' from picked)";

/// All of a range of pages. `$2` first, `$3` end, as text. Waits for locked rows, so it runs under a short
/// `lock_timeout`.
const RANGE: &str = "\
delete from only {table} as t
where t.ctid >= $2::text::tid and t.ctid < $3::text::tid and {age}{spared}";

const RANGE_ARCHIVED: &str = "\
with gone as (
  delete from only {table} as t
  where t.ctid >= $2::text::tid and t.ctid < $3::text::tid and {age}{spared}
  returning {returned})
insert into {archive} ({columns}) select {columns} from gone";

/// A range in which somebody holds a lock, again, without waiting; or one that takes too long, in pieces. `$4` rows.
const RANGE_AROUND_LOCKS: &str = "\
with picked as materialized (
  select t.ctid from only {table} as t
  where t.ctid >= $2::text::tid and t.ctid < $3::text::tid and {age}{spared}
  limit $4
  for update of t skip locked),
gone as (
  delete from only {table} as t
  where t.ctid = any (array(select ctid from picked)) and {age}{spared}
  returning {returned}){archived}
select (select count(*) from picked), (select count(*) from gone), null::text";

const ARCHIVED: &str = ", kept as (insert into {archive} ({columns}) select {columns} from gone)";

const ESTIMATE: &str = "explain select 1 from only {table} as t where {age}";

/// Everything, exactly: all rows, those due, those that are referred to, those in the future. `$2` shifts the clock.
const COUNT: &str = "\
select count(*), count(*) filter (where {age}{spared}), count(*) filter (where {age} and not (true{spared})),
  count(*) filter (where {future})
from only {table} as t";

/// What was due when the run began and is still there. `$2` that moment, `$3` the most to count; a range by `$4`, `$5`.
const LEFT: &str = "\
select count(*), count(*) filter (where referred)
from (select not (true{spared}) as referred from only {table} as t where {age}{range} limit $3) as t";

/// Of those, the ones that nobody has locked and nothing refers to. Rolled back: it locks rows to find out.
const LEFT_UNLOCKED: &str = "\
select count(*)
from (select 1 from only {table} as t where {age}{spared}{range} limit $3
  for update of t skip locked) as t";

const IN_RANGE: &str = " and t.ctid >= $4::text::tid and t.ctid < $5::text::tid";

/// The oldest and the newest, in seconds since 1970.
const ENDS: &str = "\
select extract(epoch from min(t.{activity}){zoned})::float8, extract(epoch from max(t.{activity}){zoned})::float8
from only {table} as t";

/// The first that is not due yet.
const NEXT: &str = "\
select extract(epoch from min(t.{activity}){zoned})::float8 from only {table} as t where not ({age})";

/// The names and choices that go into the statements for one table without children.
pub(super) struct Shape<'a> {
    pub(super) table: &'a TableName,
    pub(super) activity: &'a Identifier,
    /// The zone of a column that has none of its own.
    pub(super) zone: Option<&'a Zone>,
    pub(super) references: &'a [Reference],
    pub(super) archive: Option<&'a Archive>,
}

/// A foreign key of another table that points here and keeps rows from going.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) other: TableName,
    /// Their column, our column.
    pub(super) columns: Vec<(Identifier, Identifier)>,
}

/// The table that takes removed rows, and the columns that both have.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    pub(super) table: TableName,
    pub(super) columns: Vec<Identifier>,
}

/// The statements for one table without children.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    pub(super) drip: Sql,
    pub(super) range: Sql,
    pub(super) range_around_locks: Sql,
    pub(super) estimate: Sql,
    pub(super) count: Sql,
    pub(super) left: Sql,
    pub(super) left_unlocked: Sql,
    pub(super) left_in_range: Sql,
    pub(super) left_unlocked_in_range: Sql,
    pub(super) ends: Sql,
    pub(super) next: Sql,
}

impl Statements {
    pub(super) fn new(shape: &Shape<'_>) -> Self {
        let (now, start) = (Sql::new("now()", &[]), Sql::new("$2::text::timestamptz", &[]));
        let (age, age_at_start) = (shape.age(&now), shape.age(&start));
        let future = shape.zoned(FUTURE, LOCAL_FUTURE, &now);
        let zoned = shape.zone.map_or(Sql::EMPTY, |zone| Sql::new(" at time zone {zone}", &[("zone", zone)]));
        let column_type = Sql::new(if shape.zone.is_some() { "timestamp" } else { "timestamptz" }, &[]);
        let spared = shape.spared();
        let (columns, archived) = shape.archived();
        let returned = if shape.archive.is_some() { columns.clone() } else { Sql::new("1", &[]) };
        let nowhere = Sql::EMPTY;
        let archive: &dyn Part = shape.archive.map_or(&nowhere, |archive| &archive.table);

        let in_range = Sql::new(IN_RANGE, &[]);
        let fill_in = |template, age: &Sql, range: &Sql| {
            Sql::new(
                template,
                &[
                    ("table", shape.table),
                    ("activity", shape.activity),
                    ("age", age),
                    ("future", &future),
                    ("zoned", &zoned),
                    ("type", &column_type),
                    ("spared", &spared),
                    ("returned", &returned),
                    ("columns", &columns),
                    ("archive", archive),
                    ("archived", &archived),
                    ("range", range),
                ],
            )
        };
        let fill = |template, age: &Sql| fill_in(template, age, &nowhere);
        Self {
            drip: fill(DRIP, &age),
            range: fill(if shape.archive.is_some() { RANGE_ARCHIVED } else { RANGE }, &age),
            range_around_locks: fill(RANGE_AROUND_LOCKS, &age),
            estimate: fill(ESTIMATE, &age),
            count: fill(COUNT, &age),
            left: fill(LEFT, &age_at_start),
            left_unlocked: fill(LEFT_UNLOCKED, &age_at_start),
            left_in_range: fill_in(LEFT, &age_at_start, &in_range),
            left_unlocked_in_range: fill_in(LEFT_UNLOCKED, &age_at_start, &in_range),
            ends: fill(ENDS, &age),
            next: fill(NEXT, &age),
        }
    }
}

impl Shape<'_> {
    fn age(&self, now: &Sql) -> Sql {
        self.zoned(AGE, LOCAL_AGE, now)
    }

    fn zoned(&self, absolute: &'static str, local: &'static str, now: &Sql) -> Sql {
        match self.zone {
            Some(zone) => Sql::new(local, &[("activity", self.activity), ("now", now), ("zone", zone)]),
            None => Sql::new(absolute, &[("activity", self.activity), ("now", now)]),
        }
    }

    fn spared(&self) -> Sql {
        let referred: Vec<Sql> = self
            .references
            .iter()
            .map(|reference| {
                let pairs: Vec<Sql> = reference
                    .columns
                    .iter()
                    .map(|(theirs, ours)| Sql::new("r.{theirs} = t.{ours}", &[("theirs", theirs), ("ours", ours)]))
                    .collect();
                let pairs = Sql::joined(pairs.iter().map(|pair| pair as &dyn Part), " and ");
                let referred = Sql::new(REFERRED, &[("other", &reference.other), ("match", &pairs)]);
                Sql::new(" and not {referred}", &[("referred", &referred)])
            })
            .collect();
        Sql::joined(referred.iter().map(|referred| referred as &dyn Part), "")
    }

    /// The list of columns, and the piece that fills the archive.
    fn archived(&self) -> (Sql, Sql) {
        let Some(archive) = self.archive else { return (Sql::EMPTY, Sql::EMPTY) };
        let columns = Sql::joined(archive.columns.iter().map(|column| column as &dyn Part), ", ");
        let archived = Sql::new(ARCHIVED, &[("archive", &archive.table), ("columns", &columns)]);
        (columns, archived)
    }
}
