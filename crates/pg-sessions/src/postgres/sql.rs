//! Every statement that touches the application's rows, one a constant, and how a table's names go into them.
//!
//! The age predicate stands in the `DELETE` itself, never only in the selection: READ COMMITTED then looks at the
//! newest version of a row, and a committed touch always wins. `for update skip locked` keeps us from waiting for a
//! touch that is not committed yet. `array(…)` makes the selection run once; as `in (select … limit n)` it may run
//! again for every outer row, and then deletes more than its limit.
//!
//! `$1` is the number of seconds a row may be idle, everywhere.
//!
//! A `DELETE` runs under the role's own `search_path`, because the application's triggers may need it. Somebody may have
//! put operators, functions or types of the same names on that path, so everything of ours says that it is PostgreSQL's.

use crate::table::{Identifier, Operator, Part, Sql, TableName, Zone};

/// The age of a `timestamptz`: the database's clock on both sides, in seconds, so that no time zone comes in.
const AGE: &str = "\
t.{activity} operator(pg_catalog.<) ({now} operator(pg_catalog.-) pg_catalog.make_interval(secs => $1))";

/// The age of a `timestamp`. The comparison that counts is the second one: of two moments that share a wall-clock
/// time when summer time ends, PostgreSQL takes the later, so a row is at worst kept an hour longer. Comparing wall-clock
/// times would take live sessions an hour early that night. The first one is there for an index, with room to spare.
const LOCAL_AGE: &str = "\
t.{activity} operator(pg_catalog.<) ((({now} operator(pg_catalog.-) pg_catalog.make_interval(secs => $1)) \
  at time zone {zone}) operator(pg_catalog.+) interval '1 day') \
and (t.{activity} at time zone {zone}) operator(pg_catalog.<) \
  ({now} operator(pg_catalog.-) pg_catalog.make_interval(secs => $1))";

const FUTURE: &str = "\
t.{activity} operator(pg_catalog.>) (pg_catalog.now() operator(pg_catalog.+) pg_catalog.make_interval(secs => $2))";

const LOCAL_FUTURE: &str = "\
(t.{activity} at time zone {zone}) operator(pg_catalog.>) \
  (pg_catalog.now() operator(pg_catalog.+) pg_catalog.make_interval(secs => $2))";

/// A row that a foreign key without an action refers to cannot go; it is passed by.
const REFERRED: &str = "exists (select 1 from {other} r where {match})";

/// Whether a partition or child still belongs to the policy's table. One that was detached in mid-sweep belongs to
/// whoever detached it; one that was dropped and made anew under the same name is another table. Asked once a statement,
/// after the statement has its lock on the partition, so nothing can be detached between the answer and the `DELETE`.
const MEMBER: &str = " \
and exists (with recursive up as (
    select {leaf}::pg_catalog.oid as relid
    union
    select i.inhparent from pg_catalog.pg_inherits i join up on i.inhrelid operator(pg_catalog.=) up.relid)
  select 1 from up where up.relid operator(pg_catalog.=) {root}::pg_catalog.oid)";

/// As the foreign key itself compares: its operator, on the types that the operator is for, and our column's collation.
const SAME_KEY: &str = "t.{ours}{our_cast} operator({schema}.{operator}) r.{theirs}{their_cast}{collate}";

/// One batch in the order of the index, from the watermark on. `$2` watermark as text, `$3` rows, `$4` rows to pass by.
///
/// The watermark spares each batch the walk over the dead rows of all earlier ones, which a long transaction
/// elsewhere keeps in the index. It comes from what was picked, not from what went: rows that a trigger keeps are
/// passed by. It travels as text because `-infinity` has no other form.
const DRIP: &str = "\
with picked as materialized (
  select t.ctid, t.{activity} as stamp from only {table} as t
  where {age} and t.{activity} operator(pg_catalog.>=) $2::pg_catalog.text::{type}
    and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){spared}
  order by t.{activity} limit $3
  for update of t skip locked),
gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.=) any (array(select ctid from picked)) and {age}{spared}
  returning {returned}){archived}
select (select pg_catalog.count(*) from picked), (select pg_catalog.count(*) from gone),
  (select pg_catalog.to_json(pg_catalog.max(stamp)) operator(pg_catalog.#>>) '{}' from picked)";

/// The rows that the batch of the same values would take, in its order.
const DRIP_TIDS: &str = "\
select t.ctid::pg_catalog.text from only {table} as t
where {age} and t.{activity} operator(pg_catalog.>=) $2::pg_catalog.text::{type}
  and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){spared}
order by t.{activity} limit $3";

/// The same rows, locked, with their stamps, for a `DELETE` of their places that follows in the same transaction.
const DRIP_PICK: &str = "\
select t.ctid::pg_catalog.text, pg_catalog.to_json(t.{activity}) operator(pg_catalog.#>>) '{}' from only {table} as t
where {age} and t.{activity} operator(pg_catalog.>=) $2::pg_catalog.text::{type}
  and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){spared}
order by t.{activity} limit $3
for update of t skip locked";

/// All of a range of pages. `$2` first, `$3` end, as text. Waits for locked rows, so it runs under a short
/// `lock_timeout`.
const RANGE: &str = "\
delete from only {table} as t
where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid and {age}{spared}";

const RANGE_ARCHIVED: &str = "\
with gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
    and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid and {age}{spared}
  returning {returned})
insert into {archive} ({columns}) select {columns} from gone";

/// A range in which somebody holds a lock, again, without waiting; or one that takes too long, in pieces. `$4` rows.
const RANGE_AROUND_LOCKS: &str = "\
with picked as materialized (
  select t.ctid from only {table} as t
  where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
    and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid and {age}{spared}
  limit $4
  for update of t skip locked),
gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.=) any (array(select ctid from picked)) and {age}{spared}
  returning {returned}){archived}
select (select pg_catalog.count(*) from picked), (select pg_catalog.count(*) from gone), null::pg_catalog.text";

/// The same rows, locked, for a `DELETE` of their places that follows in the same transaction.
const RANGE_PICK: &str = "\
select t.ctid::pg_catalog.text, null::pg_catalog.text from only {table} as t
where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid and {age}{spared}
limit $4
for update of t skip locked";

/// What is due in a range of pages. `$4` rows at most, `$5` rows to pass by.
const RANGE_TIDS: &str = "\
select t.ctid::pg_catalog.text from only {table} as t
where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<>) all ($5::pg_catalog.text[]::pg_catalog.tid[]) and {age}{spared}
limit $4";

/// Some rows by their places, `$2`. A row that was touched in the meantime has another place.
const LISTED: &str = "\
with picked as materialized (
  select t.ctid from only {table} as t
  where t.ctid operator(pg_catalog.=) any ($2::pg_catalog.text[]::pg_catalog.tid[]) and {age}{spared}
  for update of t skip locked),
gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.=) any (array(select ctid from picked)) and {age}{spared}
  returning {returned}){archived}
select (select pg_catalog.count(*) from picked), (select pg_catalog.count(*) from gone), null::pg_catalog.text";

/// Rows that were picked in the same transaction, by their places, `$2`.
const PLACES: &str = "\
delete from only {table} as t
where t.ctid operator(pg_catalog.=) any ($2::pg_catalog.text[]::pg_catalog.tid[]) and {age}{spared}";

const PLACES_ARCHIVED: &str = "\
with gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.=) any ($2::pg_catalog.text[]::pg_catalog.tid[]) and {age}{spared}
  returning {returned})
insert into {archive} ({columns}) select {columns} from gone";

const ARCHIVED: &str = ", kept as (insert into {archive} ({columns}) select {columns} from gone)";

const ESTIMATE: &str = "explain select 1 from only {table} as t where {age}";

/// Everything, exactly: all rows, those due, those that are referred to, those in the future. `$2` shifts the clock.
const COUNT: &str = "\
select pg_catalog.count(*), pg_catalog.count(*) filter (where {age}{spared}),
  pg_catalog.count(*) filter (where {age} and not (true{spared})), pg_catalog.count(*) filter (where {future})
from only {table} as t";

/// What was due when the run began and is still there, rows aside that are counted already. `$2` that moment, `$3` the
/// most to count, `$4` the rows to pass by; a range by `$5`, `$6`.
const LEFT: &str = "\
select pg_catalog.count(*), pg_catalog.count(*) filter (where referred)
from (select not (true{spared}) as referred from only {table} as t
  where {age} and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){range}
  limit $3) as t";

/// Of those, the ones that nobody has locked and nothing refers to. Rolled back: it locks rows to find out.
const LEFT_UNLOCKED: &str = "\
select pg_catalog.count(*)
from (select 1 from only {table} as t
  where {age}{spared} and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){range}
  limit $3
  for update of t skip locked) as t";

const IN_RANGE: &str = " \
and t.ctid operator(pg_catalog.>=) $5::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<) $6::pg_catalog.text::pg_catalog.tid";

/// The oldest and the newest, in seconds since 1970.
const ENDS: &str = "\
select extract(epoch from pg_catalog.min(t.{activity}){zoned})::pg_catalog.float8,
  extract(epoch from pg_catalog.max(t.{activity}){zoned})::pg_catalog.float8
from only {table} as t";

/// The first that is not due yet.
const NEXT: &str = "\
select extract(epoch from pg_catalog.min(t.{activity}){zoned})::pg_catalog.float8 from only {table} as t where not ({age})";

/// The names and choices that go into the statements for one table without children.
pub(super) struct Shape<'a> {
    pub(super) table: &'a TableName,
    pub(super) activity: &'a Identifier,
    /// The zone of a column that has none of its own.
    pub(super) zone: Option<&'a Zone>,
    pub(super) references: &'a [Reference],
    pub(super) archive: Option<&'a Archive>,
    /// The catalog's numbers of a partition or child, and of the policy's own table.
    pub(super) member: Option<(u64, u64)>,
}

/// A foreign key of another table that points here and keeps rows from going.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) other: TableName,
    pub(super) columns: Vec<Pair>,
}

/// A pair of columns that a foreign key compares, and how.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) theirs: Identifier,
    pub(super) ours: Identifier,
    pub(super) operator: Operator,
    /// The types that the operator is for, where the columns have others.
    pub(super) our_cast: Option<TableName>,
    pub(super) their_cast: Option<TableName>,
    /// Our column's; it decides which texts are the same.
    pub(super) collation: Option<TableName>,
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
    pub(super) drip_pick: Sql,
    pub(super) range_pick: Sql,
    pub(super) places: Sql,
    pub(super) drip_tids: Sql,
    pub(super) range_tids: Sql,
    pub(super) listed: Sql,
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
        let (now, start) =
            (Sql::new("pg_catalog.now()", &[]), Sql::new("$2::pg_catalog.text::pg_catalog.timestamptz", &[]));
        let (age, age_at_start) = (shape.age(&now), shape.age(&start));
        let future = shape.zoned(FUTURE, LOCAL_FUTURE, &now);
        let zoned = shape.zone.map_or(Sql::EMPTY, |zone| Sql::new(" at time zone {zone}", &[("zone", zone)]));
        let column_type =
            Sql::new(if shape.zone.is_some() { "pg_catalog.timestamp" } else { "pg_catalog.timestamptz" }, &[]);
        let spared = shape.spared();
        let (columns, archived) = shape.archived();
        let returned = if shape.archive.is_some() { columns.clone() } else { Sql::new("1", &[]) };
        let nowhere = Sql::EMPTY;
        let archive: &dyn Part = shape.archive.map_or(&nowhere, |archive| &archive.table);

        let member = shape.member();
        let all_spared = Sql::joined([&spared as &dyn Part, &member], "");
        let in_range = Sql::joined([&Sql::new(IN_RANGE, &[]) as &dyn Part, &member], "");
        let fill_in = |template, age: &Sql, spared: &Sql, range: &Sql| {
            Sql::new(
                template,
                &[
                    ("table", shape.table),
                    ("activity", shape.activity),
                    ("age", age),
                    ("future", &future),
                    ("zoned", &zoned),
                    ("type", &column_type),
                    ("spared", spared),
                    ("returned", &returned),
                    ("columns", &columns),
                    ("archive", archive),
                    ("archived", &archived),
                    ("range", range),
                ],
            )
        };
        let fill = |template, age: &Sql| fill_in(template, age, &all_spared, &nowhere);
        // Here what is spared is told apart from what is none of ours.
        let look = |template, age: &Sql, range: &Sql| fill_in(template, age, &spared, range);
        Self {
            drip: fill(DRIP, &age),
            range: fill(if shape.archive.is_some() { RANGE_ARCHIVED } else { RANGE }, &age),
            range_around_locks: fill(RANGE_AROUND_LOCKS, &age),
            drip_pick: fill(DRIP_PICK, &age),
            range_pick: fill(RANGE_PICK, &age),
            places: fill(if shape.archive.is_some() { PLACES_ARCHIVED } else { PLACES }, &age),
            drip_tids: fill(DRIP_TIDS, &age),
            range_tids: fill(RANGE_TIDS, &age),
            listed: fill(LISTED, &age),
            estimate: fill(ESTIMATE, &age),
            count: look(COUNT, &age, &nowhere),
            left: look(LEFT, &age_at_start, &member),
            left_unlocked: look(LEFT_UNLOCKED, &age_at_start, &member),
            left_in_range: look(LEFT, &age_at_start, &in_range),
            left_unlocked_in_range: look(LEFT_UNLOCKED, &age_at_start, &in_range),
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
                let pairs: Vec<Sql> = reference.columns.iter().map(Pair::same).collect();
                let pairs = Sql::joined(pairs.iter().map(|pair| pair as &dyn Part), " and ");
                let referred = Sql::new(REFERRED, &[("other", &reference.other), ("match", &pairs)]);
                Sql::new(" and not {referred}", &[("referred", &referred)])
            })
            .collect();
        Sql::joined(referred.iter().map(|referred| referred as &dyn Part), "")
    }

    fn member(&self) -> Sql {
        match &self.member {
            Some((leaf, root)) => Sql::new(MEMBER, &[("leaf", leaf), ("root", root)]),
            None => Sql::EMPTY,
        }
    }

    /// The list of columns, and the piece that fills the archive.
    fn archived(&self) -> (Sql, Sql) {
        let Some(archive) = self.archive else { return (Sql::EMPTY, Sql::EMPTY) };
        let columns = Sql::joined(archive.columns.iter().map(|column| column as &dyn Part), ", ");
        let archived = Sql::new(ARCHIVED, &[("archive", &archive.table), ("columns", &columns)]);
        (columns, archived)
    }
}

impl Pair {
    fn same(&self) -> Sql {
        let suffix = |template: &'static str, name: &Option<TableName>| match name {
            Some(name) => Sql::new(template, &[("name", name)]),
            None => Sql::EMPTY,
        };
        let our_cast = suffix("::{name}", &self.our_cast);
        let their_cast = suffix("::{name}", &self.their_cast);
        let collate = suffix(" collate {name}", &self.collation);
        let parts: [(&str, &dyn Part); 7] = [
            ("ours", &self.ours),
            ("theirs", &self.theirs),
            ("schema", &self.operator.schema),
            ("operator", &self.operator),
            ("our_cast", &our_cast),
            ("their_cast", &their_cast),
            ("collate", &collate),
        ];
        Sql::new(SAME_KEY, &parts)
    }
}
