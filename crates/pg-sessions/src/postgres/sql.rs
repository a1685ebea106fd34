//! Every statement that touches the application's rows, one a constant, and how a table's names go into them.
//!
//! The age predicate stands in the `DELETE` itself, never only in the selection: READ COMMITTED then looks at the
//! newest version of a row, and a committed touch always wins. `for update skip locked` keeps us from waiting for a
//! touch that is not committed yet. `array(…)` makes the selection run once; as `in (select … limit n)` it may run
//! again for every outer row, and then deletes more than its limit.
//!
//! `$1` is the number of seconds a row may be idle, everywhere that ages matter; the very last value are the texts that the
//! key `where` compares with, where there are any. Before it stands, where a statement removes or picks, a
//! transaction: what was written since is left out.
//!
//! A `DELETE` runs under the role's own `search_path`, because the application's triggers may need it. Somebody may have
//! put operators, functions or types of the same names on that path, so everything of ours says that it is PostgreSQL's.

use cleanup_core::policy::{Scalar, Test};

use super::session::Bound;
use crate::rule::names::{Identifier, Operator, Part, Sql, TableName, Zone};
use crate::rule::time::Unit;

/// The age of a `timestamptz`: the database's clock on both sides, in seconds, so that no time zone comes in. What lies
/// before the year 2000 is no time of a session, and never old.
const AGE: &str = "\
{stamp} operator(pg_catalog.<) {at} \
and {stamp} operator(pg_catalog.>=) '2000-01-01 00:00:00+00'::pg_catalog.timestamptz";

/// The age of a `timestamp`. The comparison that counts is the second one: of two moments that share a wall-clock
/// time when summer time ends, PostgreSQL takes the later, so a row is at worst kept an hour longer. Comparing wall-clock
/// times would take live sessions an hour early that night. The first one is there for an index, with room to spare.
const LOCAL_AGE: &str = "\
{stamp} operator(pg_catalog.<) (({at} \
  at time zone {zone}) operator(pg_catalog.+) interval '1 day') \
and {stamp} operator(pg_catalog.>=) '1999-12-30 00:00:00'::pg_catalog.timestamp \
and ({stamp} at time zone {zone}) operator(pg_catalog.<) \
  {at} \
and ({stamp} at time zone {zone}) operator(pg_catalog.>=) '2000-01-01 00:00:00+00'::pg_catalog.timestamptz";

/// The age of a number: the cutoff is put into its unit and type, so that the bare column can be compared by an index.
const NUMBER_AGE: &str = "{stamp} operator(pg_catalog.<) {at} and {stamp} operator(pg_catalog.>=) {year_2000}";

/// As [`NUMBER_AGE`], for days with fractions. A whole number may stand for any moment of its day, so all of that day has
/// to be older.
const DAYS_AGE: &str = "\
{stamp} operator(pg_catalog.<) {at} and {stamp} operator(pg_catalog.>=) {year_2000} \
and ({stamp} operator(pg_catalog.<>) pg_catalog.floor({stamp}) \
  or {stamp} operator(pg_catalog.<=) ({at} operator(pg_catalog.-) 1::{type}))";

/// Seconds since 1970 in the unit of a column of numbers. Whole numbers are rounded down: a row is at worst kept longer.
const SCALED: &str = "(extract(epoch from {at})::pg_catalog.float8 operator(pg_catalog.*) {scale}::pg_catalog.float8)";

const JULIAN: &str = "\
((extract(epoch from {at})::pg_catalog.float8 operator(pg_catalog./) 86400::pg_catalog.float8) \
  operator(pg_catalog.+) 2440587.5::pg_catalog.float8)";

const BEFORE_NOW: &str = "({now} operator(pg_catalog.-) pg_catalog.make_interval(secs => $1))";

const SHIFTED_NOW: &str = "(pg_catalog.now() operator(pg_catalog.+) pg_catalog.make_interval(secs => $2))";

const TEN_YEARS_ON: &str = "({now} operator(pg_catalog.+) pg_catalog.make_interval(hours => 87660))";

const PLAUSIBLE: &str = "\
{stamp} operator(pg_catalog.>=) '2000-01-01 00:00:00+00'::pg_catalog.timestamptz \
and {stamp} operator(pg_catalog.<=) {at}";

const LOCAL_PLAUSIBLE: &str = "\
{stamp} operator(pg_catalog.>=) '1999-12-30 00:00:00'::pg_catalog.timestamp \
and {stamp} operator(pg_catalog.<=) (({at} at time zone {zone}) operator(pg_catalog.+) interval '1 day') \
and ({stamp} at time zone {zone}) operator(pg_catalog.>=) '2000-01-01 00:00:00+00'::pg_catalog.timestamptz \
and ({stamp} at time zone {zone}) operator(pg_catalog.<=) {at}";

const NUMBER_PLAUSIBLE: &str = "\
{stamp} operator(pg_catalog.>=) {year_2000} and {stamp} operator(pg_catalog.<=) {at}";

/// Not null, and not `infinity`, which is no mistake: such a session never ends.
const KNOWN: &str = "{stamp} operator(pg_catalog.<>) 'infinity'::{type}";

const KNOWN_WHOLE: &str = "{stamp} is not null";

/// As [`KNOWN`]. By its text, because older servers have no `numeric` that is infinite.
const KNOWN_NUMBER: &str = "{stamp}::pg_catalog.text operator(pg_catalog.<>) 'Infinity'";

/// What stands for "never" or "not yet" says nothing about the unit of the others.
const SENTINEL: &str = "{stamp}::pg_catalog.text operator(pg_catalog.=) any (array['0', '-1', '-Infinity', 'NaN'])";

const FUTURE: &str = "{stamp} operator(pg_catalog.>) {now}";

const LOCAL_FUTURE: &str = "({stamp} at time zone {zone}) operator(pg_catalog.>) {now}";

const NUMBER_FUTURE: &str = "{stamp} operator(pg_catalog.>) {at}";

const EARLY: &str = "{stamp} operator(pg_catalog.<) '2000-01-01 00:00:00+00'::pg_catalog.timestamptz";

const LOCAL_EARLY: &str = "\
{stamp} operator(pg_catalog.<) '2000-01-03 00:00:00'::pg_catalog.timestamp \
and ({stamp} at time zone {zone}) operator(pg_catalog.<) '2000-01-01 00:00:00+00'::pg_catalog.timestamptz";

const NUMBER_EARLY: &str = "{stamp} operator(pg_catalog.<) {year_2000}";

const LATE: &str = "\
{stamp} operator(pg_catalog.>) {at} and {stamp} operator(pg_catalog.<) 'infinity'::{type}";

const LOCAL_LATE: &str = "\
{stamp} operator(pg_catalog.>) (({at} at time zone {zone}) operator(pg_catalog.-) interval '1 day') \
and {stamp} operator(pg_catalog.<) 'infinity'::{type} \
and ({stamp} at time zone {zone}) operator(pg_catalog.>) {at}";

const NUMBER_LATE: &str = "{stamp} operator(pg_catalog.>) {at} and {known}";

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
const INDEX_ORDER: &str = "\
with picked as materialized (
  select t.ctid, {stamp} as stamp from only {table} as t
  where {age} and {stamp} operator(pg_catalog.>=) $2::pg_catalog.text::{type}
    and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){spared}{since}
  order by {stamp} limit $3
  for update of t skip locked),
gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.=) any (array(select ctid from picked)) and {age}{spared}
  returning {returned}){archived}
select (select pg_catalog.count(*) from picked), (select pg_catalog.count(*) from gone),
  (select pg_catalog.to_json(pg_catalog.max(stamp)) operator(pg_catalog.#>>) '{}' from picked), {archived_rows}";

/// The rows that the batch of the same values would take, in its order.
const INDEX_ORDER_TIDS: &str = "\
select t.ctid::pg_catalog.text from only {table} as t
where {age} and {stamp} operator(pg_catalog.>=) $2::pg_catalog.text::{type}
  and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){spared}{since}
order by {stamp} limit $3";

/// The same rows, locked, with their stamps, for a `DELETE` of their places that follows in the same transaction.
const INDEX_ORDER_PICK: &str = "\
select t.ctid::pg_catalog.text, pg_catalog.to_json({stamp}) operator(pg_catalog.#>>) '{}' from only {table} as t
where {age} and {stamp} operator(pg_catalog.>=) $2::pg_catalog.text::{type}
  and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){spared}{since}
order by {stamp} limit $3
for update of t skip locked";

/// All of a range of pages. `$2` first, `$3` end, as text. Waits for locked rows, so it runs under a short
/// `lock_timeout`.
const RANGE: &str = "\
delete from only {table} as t
where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid and {age}{spared}{since}";

const RANGE_ARCHIVED: &str = "\
with gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
    and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid and {age}{spared}{since}
  returning {returned}){archived}
select null::pg_catalog.int8, (select pg_catalog.count(*) from gone), null::pg_catalog.text, {archived_rows}";

/// A range in which somebody holds a lock, again, without waiting; or one that takes too long, in pieces. `$4` rows.
const RANGE_AROUND_LOCKS: &str = "\
with picked as materialized (
  select t.ctid from only {table} as t
  where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
    and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid and {age}{spared}{since}
  limit $4
  for update of t skip locked),
gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.=) any (array(select ctid from picked)) and {age}{spared}
  returning {returned}){archived}
select (select pg_catalog.count(*) from picked), (select pg_catalog.count(*) from gone), null::pg_catalog.text,
  {archived_rows}";

/// The same rows, locked, for a `DELETE` of their places that follows in the same transaction.
const RANGE_PICK: &str = "\
select t.ctid::pg_catalog.text, null::pg_catalog.text from only {table} as t
where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid and {age}{spared}{since}
limit $4
for update of t skip locked";

/// What is due in a range of pages. `$4` rows at most, `$5` rows to pass by.
const RANGE_TIDS: &str = "\
select t.ctid::pg_catalog.text from only {table} as t
where t.ctid operator(pg_catalog.>=) $2::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<) $3::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<>) all ($5::pg_catalog.text[]::pg_catalog.tid[]) and {age}{spared}{since}
limit $4";

/// Some rows by their places, `$2`. A row that was touched in the meantime has another place.
const LISTED: &str = "\
with picked as materialized (
  select t.ctid from only {table} as t
  where t.ctid operator(pg_catalog.=) any ($2::pg_catalog.text[]::pg_catalog.tid[]) and {age}{spared}{since}
  for update of t skip locked),
gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.=) any (array(select ctid from picked)) and {age}{spared}
  returning {returned}){archived}
select (select pg_catalog.count(*) from picked), (select pg_catalog.count(*) from gone), null::pg_catalog.text,
  {archived_rows}";

/// Rows that were picked in the same transaction, by their places, `$2`.
const PLACES: &str = "\
delete from only {table} as t
where t.ctid operator(pg_catalog.=) any ($2::pg_catalog.text[]::pg_catalog.tid[]) and {age}{spared}{since}";

const PLACES_ARCHIVED: &str = "\
with gone as (
  delete from only {table} as t
  where t.ctid operator(pg_catalog.=) any ($2::pg_catalog.text[]::pg_catalog.tid[]) and {age}{spared}{since}
  returning {returned}){archived}
select null::pg_catalog.int8, (select pg_catalog.count(*) from gone), null::pg_catalog.text, {archived_rows}";

/// A row that a trigger of the archive keeps out is not returned, so `kept` counts what has really arrived.
const ARCHIVED: &str = ", kept as (insert into {archive} ({columns}) select {columns} from gone returning 1)";

const ARCHIVED_ROWS: &str = "(select pg_catalog.count(*) from kept)";

/// How the server would go about a statement, and whether it can at all: types, rules and privileges are checked, and
/// nothing is executed.
const EXPLAIN: &str = "explain {statement}";

/// Leaves out what was written since a transaction of ours in which a trigger put rows back, `{since}`: they would go
/// round in circles. By the distance of the two numbers; a row that is frozen long since may be a negative one away.
const NOT_SINCE: &str = " \
and ({since}::pg_catalog.text is null or not {written})";

const WRITTEN_SINCE: &str = "\
(pg_catalog.age(t.xmin) operator(pg_catalog.>=) 0
  and pg_catalog.age(t.xmin) operator(pg_catalog.<=) pg_catalog.age({since}::pg_catalog.text::pg_catalog.xid))";

/// What was due when the run began, `$2`, and was written since `$3`.
const PUT_BACK: &str = "select pg_catalog.count(*) from only {table} as t where {age} and {written}{range}";

const ESTIMATE: &str = "explain select 1 from only {table} as t where {age}";

/// Everything, exactly: all rows, those due, those that are referred to, those in the future, those without a plausible
/// time. `$2` shifts the clock.
const COUNT: &str = "\
select pg_catalog.count(*), pg_catalog.count(*) filter (where {age}{spared}),
  pg_catalog.count(*) filter (where {age} and not (true{spared})),
  pg_catalog.count(*) filter (where {future} and ({plausible} or not ({known}))),
  pg_catalog.count(*) filter (where {known} and not ({plausible}))
from only {table} as t where true{asked}";

/// Of some pages, the same in each run as long as the table has not grown: values, plausible ones, those that stand for
/// none, and those that would be plausible in each unit of a number. `$1` percent.
const SAMPLE: &str = "\
select pg_catalog.count(*) filter (where {known}), pg_catalog.count(*) filter (where {known} and {plausible}),
  pg_catalog.count(*) filter (where {sentinel}), {as_unit}
from only {table} as t tablesample pg_catalog.system ($1::pg_catalog.float4) repeatable (0)";

/// The same of the newest values, for a table whose pages are nearly all empty. `$1` rows.
const NEWEST_SAMPLE: &str = "\
select pg_catalog.count(*) filter (where {known}), pg_catalog.count(*) filter (where {known} and {plausible}),
  pg_catalog.count(*) filter (where {sentinel}), {as_unit}
from (select t.* from only {table} as t where {stamp} is not null order by {stamp} desc limit $1) as t";

const AS_UNIT: &str = "pg_catalog.count(*) filter (where {plausible})";

/// Values before and after what is plausible, `$1` of each at most, and the newest that is plausible.
const MARGINS: &str = "\
select (select pg_catalog.count(*) from (select 1 from only {table} as t where {early}{asked} limit $1) as early),
  (select pg_catalog.count(*) from (select 1 from only {table} as t where {late}{asked} limit $1) as late),
  (select {newest} from only {table} as t where {plausible}{asked})";

/// What was due when the run began and is still there, rows aside that are counted already. `$2` that moment, `$3` the
/// most to count, `$4` the rows to pass by; a range by `$5`, `$6`.
const LEFT: &str = "\
select pg_catalog.count(*), pg_catalog.count(*) filter (where referred)
from (select not (true{spared}) as referred from only {table} as t
  where {age} and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){range}{since}
  limit $3) as t";

/// Of those, the ones that nobody has locked and nothing refers to. Rolled back: it locks rows to find out.
const LEFT_UNLOCKED: &str = "\
select pg_catalog.count(*)
from (select 1 from only {table} as t
  where {age}{spared} and t.ctid operator(pg_catalog.<>) all ($4::pg_catalog.text[]::pg_catalog.tid[]){range}{since}
  limit $3
  for update of t skip locked) as t";

const IN_RANGE: &str = " \
and t.ctid operator(pg_catalog.>=) $5::pg_catalog.text::pg_catalog.tid
  and t.ctid operator(pg_catalog.<) $6::pg_catalog.text::pg_catalog.tid";

/// Rows of another table that a foreign key takes along, or changes, with those that are due.
const FOLLOWERS: &str = "\
select pg_catalog.count(*) from {other} r where exists (select 1 from only {table} as t where {age}{spared} and {match})";

/// How many rows a partition has, and how many of them are not due: what is null, implausible or not asked for is not.
const PARTITION_ROWS: &str = "\
select pg_catalog.count(*), pg_catalog.count(*) filter (where ({age}) is not true) from only {table} as t";

/// The same where an index answers whether any row is not due: one stands for all of them.
const PARTITION_ROWS_BY_INDEX: &str = "\
select (select pg_catalog.count(*) from only {table} as t), {kept}::pg_catalog.int4::pg_catalog.int8";

/// Nobody reads or writes a partition while it is looked at for the last time. The parent first, as everybody else locks
/// them; dropping the partition takes that lock in any case.
const LOCK_PARTITION: &str = "lock table only {parent}, only {table} in access exclusive mode";

/// Whether it is still the partition that was found, and whether it holds a row that is not due. `$2` its name.
const IS_PARTITION_DUE: &str = "\
select pg_catalog.to_regclass($2)::pg_catalog.oid operator(pg_catalog.=) {leaf}::pg_catalog.oid
    and exists (select 1 from pg_catalog.pg_inherits i where i.inhrelid operator(pg_catalog.=) {leaf}::pg_catalog.oid
      and i.inhparent operator(pg_catalog.=) {root}::pg_catalog.oid),
  {kept}";

/// By reading until the first such row.
const KEPT: &str = "exists (select 1 from only {table} as t where ({age}) is not true)";

/// The same in three pieces that an index on the column answers at once.
const KEPT_BY_INDEX: &str = "\
(exists (select 1 from only {table} as t where {stamp} is null)
  or exists (select 1 from only {table} as t where {stamp} operator(pg_catalog.>=) {at})
  or exists (select 1 from only {table} as t where {stamp} operator(pg_catalog.<) {year_2000}))";

const DROP_PARTITION: &str = "drop table {table}";

/// The oldest and the newest, in seconds since 1970.
const ENDS: &str = "select {oldest}, {newest} from only {table} as t where {plausible}{asked}";

/// The first that is not due yet.
const NEXT: &str = "select {oldest} from only {table} as t where {plausible}{asked} and not ({age})";

/// What there is to say of single rows; a condition on their key follows. `$2` is the key.
const ROW: &str = "\
select case when {plausible} then {seconds} end, {stamp} is null, (true{asked}), {known}, {plausible}, {age},
  not (true{spared}), {ahead}
from only {table} as t where true";

/// One entry of the key `where`. The values are some of those in the text array that is bound last.
const ONE_OF: &str = " \
and t.{column}::{as} operator(pg_catalog.=) any ((({values}::pg_catalog.text[])[{first}:{last}])::{as}[])";

/// Null is not among the values, but nobody knows what it would be: the comparison is null, and the row stays.
const NONE_OF: &str = " \
and t.{column}::{as} operator(pg_catalog.<>) all ((({values}::pg_catalog.text[])[{first}:{last}])::{as}[])";

const IS_NULL: &str = " and t.{column} is null";

const IS_NOT_NULL: &str = " and t.{column} is not null";

/// Whether the values of a condition can be compared at all.
const TRY_VALUES: &str = "select pg_catalog.count(*) from pg_catalog.unnest($1::pg_catalog.text[]::{as}[])";

/// How the stamp holds time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// `timestamptz`.
    Absolute,
    /// `timestamp`, in this zone.
    Local(Zone),
    Number(Unit, Number),
}

/// The type in which numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Whole,
    Float,
    Numeric,
}

/// An entry of the key `where`, and how its column is compared.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) column: Identifier,
    pub(super) compared_as: Compared,
    pub(super) test: Test,
}

/// A type in which a column and the values of the configuration are compared. Types whose equality is not PostgreSQL's own,
/// such as `citext`, are not among them: an operator of that name may mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Text,
    Number,
    Boolean,
    Uuid,
}

/// The place of the first value of a statement that is not its own.
#[derive(Clone, Copy)]
enum Next {
    /// A transaction, and then the values of the key `where`.
    Since(u64),
    /// Those values alone.
    Values(u64),
}

impl Next {
    fn place(self) -> u64 {
        match self {
            Self::Since(place) | Self::Values(place) => place,
        }
    }

    fn values(self) -> u64 {
        match self {
            Self::Since(place) => place + 1,
            Self::Values(place) => place,
        }
    }
}

impl Asked {
    /// What is compared with; nothing where null is asked for.
    pub(super) fn values(&self) -> &[Scalar] {
        match &self.test {
            Test::OneOf(values) | Test::NoneOf(values) => values,
            Test::Null(_) => &[],
        }
    }
}

impl Compared {
    /// How a column of this type is compared; `None` where that is not known.
    pub(super) fn of(base_type: &str, is_enum: bool) -> Option<Self> {
        Some(match base_type {
            "text" | "character varying" | "character" | "name" => Self::Text,
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => Self::Number,
            "boolean" => Self::Boolean,
            "uuid" => Self::Uuid,
            _ if is_enum => Self::Text,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "pg_catalog.text",
            Self::Number => "pg_catalog.numeric",
            Self::Boolean => "pg_catalog.bool",
            Self::Uuid => "pg_catalog.uuid",
        }
    }

    /// Has the server read the values of the configuration.
    pub(super) fn try_values(self) -> Sql {
        Sql::new(TRY_VALUES, &[("as", &Sql::new(self.name(), &[]))])
    }
}

/// The names and choices that go into the statements for one table without children.
pub(super) struct Shape<'a> {
    pub(super) table: &'a TableName,
    pub(super) stamp: &'a Sql,
    pub(super) asked: &'a [Asked],
    pub(super) times: &'a Times,
    pub(super) references: &'a [Reference],
    /// Those whose rows go along, or are changed.
    pub(super) followers: &'a [Reference],
    pub(super) archive: Option<&'a Archive>,
    /// The catalog's numbers of a partition or child, and of the policy's own table.
    pub(super) member: Option<(u64, u64)>,
    /// Whether an index is led by the stamp.
    pub(super) is_indexed: bool,
    /// The table that it is a partition of, and that one's number, where it may be dropped.
    pub(super) parent: Option<(&'a TableName, u64)>,
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
    /// Older than every stamp; the watermark of a run begins here each time.
    pub(super) beginning: &'static str,
    pub(super) index_order: Sql,
    pub(super) range: Sql,
    pub(super) range_around_locks: Sql,
    pub(super) index_order_pick: Sql,
    pub(super) range_pick: Sql,
    pub(super) places: Sql,
    /// Whether removed rows are archived. Statements that remove then answer a row that counts both.
    pub(super) archives: bool,
    pub(super) explain_places: Sql,
    /// The plans of a batch in either order.
    pub(super) explain_range: Sql,
    pub(super) explain_index_order: Sql,
    /// What the key `where` compares with.
    values: Vec<String>,
    pub(super) index_order_tids: Sql,
    pub(super) range_tids: Sql,
    pub(super) listed: Sql,
    pub(super) estimate: Sql,
    pub(super) count: Sql,
    pub(super) sample: Sql,
    pub(super) newest_sample: Sql,
    pub(super) margins: Sql,
    pub(super) put_back: Sql,
    pub(super) left: Sql,
    pub(super) left_unlocked: Sql,
    pub(super) left_in_range: Sql,
    pub(super) left_unlocked_in_range: Sql,
    /// One for each of the followers.
    pub(super) followers: Vec<Sql>,
    /// How many rows a partition has, and how many are not due, or whether any is not.
    pub(super) partition_rows: Sql,
    /// Where the leaf may be dropped.
    pub(super) drop: Option<DropStatements>,
    pub(super) ends: Sql,
    pub(super) next: Sql,
    /// To be completed by a condition on the key.
    pub(super) row: Sql,
}

/// The statements that drop a partition, in their order.
#[derive(Clone, Debug)]
pub(super) struct DropStatements {
    pub(super) lock: Sql,
    pub(super) is_due: Sql,
    pub(super) drop: Sql,
}

impl Statements {
    /// Binds what comes last in each statement.
    pub(super) fn with_values(&self, bound: Bound) -> Bound {
        if self.values.is_empty() { bound } else { bound.bind(self.values.clone()) }
    }

    pub(super) fn new(shape: &Shape<'_>) -> Self {
        let (times, stamp) = (shape.times, shape.stamp);
        let (now, start) =
            (Sql::new("pg_catalog.now()", &[]), Sql::new("$2::pg_catalog.text::pg_catalog.timestamptz", &[]));
        let (age, age_at_start) = (times.age(stamp, &now), times.age(stamp, &start));
        let shifted = Sql::new(SHIFTED_NOW, &[]);
        let (plausible, plausible_then) = (times.plausible(stamp, &now), times.plausible(stamp, &shifted));
        let (future, ahead) = (times.future(stamp, &shifted), times.future(stamp, &now));
        let (known, as_unit, sentinel) = (times.known(stamp), times.as_units(stamp, &now), times.sentinel(stamp));
        let (early, late) = (times.early(stamp), times.late(stamp, &now));
        let oldest = times.seconds(&Sql::new("pg_catalog.min({stamp})", &[("stamp", stamp)]));
        let newest = times.seconds(&Sql::new("pg_catalog.max({stamp})", &[("stamp", stamp)]));
        let (seconds, column_type) = (times.seconds(stamp), Sql::new(times.name(), &[]));
        let spared = shape.spared();
        let (columns, archived) = shape.archived();
        let archived_rows =
            Sql::new(if shape.archive.is_some() { ARCHIVED_ROWS } else { "null::pg_catalog.int8" }, &[]);
        let returned = if shape.archive.is_some() { columns.clone() } else { Sql::new("1", &[]) };
        let nowhere = Sql::EMPTY;
        let archive: &dyn Part = shape.archive.map_or(&nowhere, |archive| &archive.table);

        let member = shape.member();
        let all_spared = Sql::joined([&spared as &dyn Part, &member], "");
        let in_range = Sql::joined([&Sql::new(IN_RANGE, &[]) as &dyn Part, &member], "");
        let fill_all = |template, age: &Sql, spared: &Sql, range: &Sql, plausible: &Sql, next: Next| {
            let since = Sql::new("${place}", &[("place", &next.place())]);
            let written = Sql::new(WRITTEN_SINCE, &[("since", &since)]);
            let since = Sql::new(NOT_SINCE, &[("since", &since), ("written", &written)]);
            let asked = shape.asked(next.values());
            let age = Sql::joined([age as &dyn Part, &asked], "");
            Sql::new(
                template,
                &[
                    ("since", &since),
                    ("written", &written),
                    ("table", shape.table),
                    ("stamp", shape.stamp),
                    ("asked", &asked),
                    ("age", &age),
                    ("future", &future),
                    ("ahead", &ahead),
                    ("seconds", &seconds),
                    ("plausible", plausible),
                    ("known", &known),
                    ("sentinel", &sentinel),
                    ("as_unit", &as_unit),
                    ("early", &early),
                    ("late", &late),
                    ("oldest", &oldest),
                    ("newest", &newest),
                    ("type", &column_type),
                    ("spared", spared),
                    ("returned", &returned),
                    ("columns", &columns),
                    ("archive", archive),
                    ("archived", &archived),
                    ("archived_rows", &archived_rows),
                    ("range", range),
                ],
            )
        };
        let fill = |template, place| fill_all(template, &age, &all_spared, &nowhere, &plausible, Next::Values(place));
        let take = |template, place| fill_all(template, &age, &all_spared, &nowhere, &plausible, Next::Since(place));
        // Here what is spared is told apart from what is none of ours.
        let look = |template, range: &Sql, place| {
            fill_all(template, &age_at_start, &spared, range, &plausible, Next::Since(place))
        };
        let range = take(if shape.archive.is_some() { RANGE_ARCHIVED } else { RANGE }, 4);
        let index_order = take(INDEX_ORDER, 5);
        let places = take(if shape.archive.is_some() { PLACES_ARCHIVED } else { PLACES }, 3);
        Self {
            archives: shape.archive.is_some(),
            followers: shape.followers(&age, &spared),
            partition_rows: shape.rows_by_index(&now).unwrap_or_else(|| fill(PARTITION_ROWS, 2)),
            drop: shape.drop(&now),
            values: shape.values(),
            explain_places: Sql::new(EXPLAIN, &[("statement", &places)]),
            beginning: times.beginning(),
            explain_range: Sql::new(EXPLAIN, &[("statement", &range)]),
            explain_index_order: Sql::new(EXPLAIN, &[("statement", &index_order)]),
            index_order,
            range,
            range_around_locks: take(RANGE_AROUND_LOCKS, 5),
            index_order_pick: take(INDEX_ORDER_PICK, 5),
            range_pick: take(RANGE_PICK, 5),
            places,
            index_order_tids: take(INDEX_ORDER_TIDS, 5),
            range_tids: take(RANGE_TIDS, 6),
            listed: take(LISTED, 3),
            estimate: fill(ESTIMATE, 2),
            count: fill_all(COUNT, &age, &spared, &nowhere, &plausible_then, Next::Values(3)),
            sample: fill(SAMPLE, 2),
            newest_sample: fill(NEWEST_SAMPLE, 2),
            margins: fill(MARGINS, 2),
            put_back: look(PUT_BACK, &member, 3),
            left: look(LEFT, &member, 5),
            left_unlocked: look(LEFT_UNLOCKED, &member, 5),
            left_in_range: look(LEFT, &in_range, 7),
            left_unlocked_in_range: look(LEFT_UNLOCKED, &in_range, 7),
            ends: fill(ENDS, 1),
            next: fill(NEXT, 2),
            row: fill_all(ROW, &age, &spared, &nowhere, &plausible, Next::Values(3)),
        }
    }
}

impl Times {
    /// The type of the column, or one that its own compares with.
    fn name(&self) -> &'static str {
        match self {
            Self::Absolute => "pg_catalog.timestamptz",
            Self::Local(_) => "pg_catalog.timestamp",
            Self::Number(_, number) => number.name(),
        }
    }

    fn beginning(&self) -> &'static str {
        match self {
            Self::Absolute | Self::Local(_) => "-infinity",
            Self::Number(_, Number::Whole) => "-9223372036854775808",
            Self::Number(_, Number::Float | Number::Numeric) => "-1e300",
        }
    }

    /// Idle for more than `$1` seconds as of a moment, and a plausible time.
    fn age(&self, stamp: &Sql, now: &Sql) -> Sql {
        let cutoff = Sql::new(BEFORE_NOW, &[("now", now)]);
        let is_in_days = matches!(self, Self::Number(Unit::JulianDays, _));
        let number = if is_in_days && !self.is_whole() { DAYS_AGE } else { NUMBER_AGE };
        self.fill([AGE, LOCAL_AGE, number], stamp, now, &cutoff)
    }

    /// Whether a table holds a row that is not due, in pieces that an index serves: the opposite of [`Self::age`]. `None` where
    /// the age is more than two comparisons of the column.
    fn kept_by_index(&self, table: &TableName, stamp: &Sql, now: &Sql) -> Option<Sql> {
        let cutoff = Sql::new(BEFORE_NOW, &[("now", now)]);
        let (at, year_2000) = match self {
            Self::Local(_) => return None,
            Self::Number(Unit::JulianDays, _) if !self.is_whole() => return None,
            Self::Absolute => (cutoff, Sql::new("'2000-01-01 00:00:00+00'::pg_catalog.timestamptz", &[])),
            Self::Number(unit, _) => {
                let year_2000 = Sql::new(unit.year_2000(), &[]);
                let name = Sql::new(self.name(), &[]);
                (self.comparable(&cutoff), Sql::new("{value}::{type}", &[("value", &year_2000), ("type", &name)]))
            }
        };
        let parts: [(&str, &dyn Part); 4] =
            [("table", table), ("stamp", stamp), ("at", &at), ("year_2000", &year_2000)];
        Some(Sql::new(KEPT_BY_INDEX, &parts))
    }

    /// From the year 2000 to ten years after a moment.
    fn plausible(&self, stamp: &Sql, now: &Sql) -> Sql {
        let end = Sql::new(TEN_YEARS_ON, &[("now", now)]);
        self.fill([PLAUSIBLE, LOCAL_PLAUSIBLE, NUMBER_PLAUSIBLE], stamp, now, &end)
    }

    fn early(&self, stamp: &Sql) -> Sql {
        self.fill([EARLY, LOCAL_EARLY, NUMBER_EARLY], stamp, &Sql::EMPTY, &Sql::EMPTY)
    }

    fn late(&self, stamp: &Sql, now: &Sql) -> Sql {
        let end = Sql::new(TEN_YEARS_ON, &[("now", now)]);
        self.fill([LATE, LOCAL_LATE, NUMBER_LATE], stamp, now, &end)
    }

    fn future(&self, stamp: &Sql, now: &Sql) -> Sql {
        self.fill([FUTURE, LOCAL_FUTURE, NUMBER_FUTURE], stamp, now, now)
    }

    fn known(&self, stamp: &Sql) -> Sql {
        let number = if self.is_whole() { KNOWN_WHOLE } else { KNOWN_NUMBER };
        self.fill([KNOWN, KNOWN, number], stamp, &Sql::EMPTY, &Sql::EMPTY)
    }

    pub(super) fn sentinel(&self, stamp: &Sql) -> Sql {
        self.fill(["false", "false", SENTINEL], stamp, &Sql::EMPTY, &Sql::EMPTY)
    }

    fn is_whole(&self) -> bool {
        matches!(self, Self::Number(_, Number::Whole))
    }

    /// Counts of what would be plausible in each unit; only numbers have any.
    pub(super) fn as_units(&self, stamp: &Sql, now: &Sql) -> Sql {
        let counts = Unit::ALL.map(|unit| match self {
            Self::Absolute | Self::Local(_) => Sql::new("0::pg_catalog.int8", &[]),
            Self::Number(_, number) => {
                let plausible = Self::Number(unit, *number).plausible(stamp, now);
                Sql::new(AS_UNIT, &[("plausible", &plausible)])
            }
        });
        Sql::joined(counts.iter().map(|count| count as &dyn Part), ", ")
    }

    /// A value of the column in seconds since 1970.
    fn seconds(&self, value: &Sql) -> Sql {
        let template = match self {
            Self::Absolute => "extract(epoch from {value})::pg_catalog.float8",
            Self::Local(_) => "extract(epoch from {value} at time zone {zone})::pg_catalog.float8",
            Self::Number(Unit::JulianDays, _) => {
                // To the millisecond: a day with its fraction is no more exact, and would be shown a second early.
                "(pg_catalog.round(({value}::pg_catalog.float8 operator(pg_catalog.-) 2440587.5::pg_catalog.float8) \
                 operator(pg_catalog.*) 86400000::pg_catalog.float8) operator(pg_catalog./) 1000::pg_catalog.float8)"
            }
            Self::Number(..) => "({value}::pg_catalog.float8 operator(pg_catalog./) {scale}::pg_catalog.float8)",
        };
        let scale = Sql::new(self.scale(), &[]);
        match self {
            Self::Local(zone) => Sql::new(template, &[("value", value), ("zone", zone)]),
            _ => Sql::new(template, &[("value", value), ("scale", &scale)]),
        }
    }

    /// How many of its units make a second.
    fn scale(&self) -> &'static str {
        match self {
            Self::Number(Unit::Milliseconds, _) => "1000",
            Self::Number(Unit::Microseconds, _) => "1000000",
            _ => "1",
        }
    }

    /// A moment as the column is compared with it.
    fn comparable(&self, at: &Sql) -> Sql {
        let Self::Number(unit, number) = self else { return at.clone() };
        let scale = Sql::new(self.scale(), &[]);
        let template = if *unit == Unit::JulianDays { JULIAN } else { SCALED };
        let value = Sql::new(template, &[("at", at), ("scale", &scale)]);
        let name = Sql::new(number.name(), &[]);
        let template = match number {
            Number::Whole => "pg_catalog.floor({value})::{name}",
            Number::Float | Number::Numeric => "{value}::{name}",
        };
        Sql::new(template, &[("value", &value), ("name", &name)])
    }

    /// `[timestamptz, timestamp, number]`.
    fn fill(&self, templates: [&'static str; 3], stamp: &Sql, now: &Sql, at: &Sql) -> Sql {
        let [absolute, local, number] = templates;
        let column_type = Sql::new(self.name(), &[]);
        let stamp: (&str, &dyn Part) = ("stamp", stamp);
        match self {
            Self::Absolute => Sql::new(absolute, &[stamp, ("now", now), ("at", at), ("type", &column_type)]),
            Self::Local(zone) => {
                Sql::new(local, &[stamp, ("now", now), ("at", at), ("type", &column_type), ("zone", zone)])
            }
            Self::Number(unit, _) => {
                let year_2000 = Sql::new(unit.year_2000(), &[]);
                let year_2000 = Sql::new("{value}::{type}", &[("value", &year_2000), ("type", &column_type)]);
                let at = self.comparable(at);
                let known = Sql::new(if self.is_whole() { KNOWN_WHOLE } else { KNOWN_NUMBER }, &[stamp]);
                let parts: [(&str, &dyn Part); 5] =
                    [stamp, ("at", &at), ("year_2000", &year_2000), ("type", &column_type), ("known", &known)];
                Sql::new(number, &parts)
            }
        }
    }
}

impl Number {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "pg_catalog.int8",
            Self::Float => "pg_catalog.float8",
            Self::Numeric => "pg_catalog.numeric",
        }
    }
}

impl Shape<'_> {
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

    /// Every entry of the key `where`, whose values stand at `place`.
    fn asked(&self, place: u64) -> Sql {
        let mut first = 1;
        let conditions = self.asked.iter().map(|asked| {
            let last = first + asked.values().len() as u64 - 1;
            let values = Sql::new("${place}", &[("place", &place)]);
            let compared = Sql::new(asked.compared_as.name(), &[]);
            let parts: [(&str, &dyn Part); 5] =
                [("column", &asked.column), ("as", &compared), ("values", &values), ("first", &first), ("last", &last)];
            let condition = match &asked.test {
                Test::OneOf(_) => Sql::new(ONE_OF, &parts),
                Test::NoneOf(_) => Sql::new(NONE_OF, &parts),
                Test::Null(true) => return Sql::new(IS_NULL, &parts),
                Test::Null(false) => return Sql::new(IS_NOT_NULL, &parts),
            };
            first = last + 1;
            condition
        });
        let conditions: Vec<Sql> = conditions.collect();
        Sql::joined(conditions.iter().map(|condition| condition as &dyn Part), "")
    }

    fn values(&self) -> Vec<String> {
        self.asked.iter().flat_map(|asked| asked.values().iter().map(ToString::to_string)).collect()
    }

    fn followers(&self, age: &Sql, spared: &Sql) -> Vec<Sql> {
        let follower = |reference: &Reference| {
            let asked = Sql::joined([age as &dyn Part, &self.asked(2)], "");
            let matches = reference.matches();
            let parts: [(&str, &dyn Part); 5] = [
                ("other", &reference.other),
                ("table", self.table),
                ("age", &asked),
                ("spared", spared),
                ("match", &matches),
            ];
            Sql::new(FOLLOWERS, &parts)
        };
        self.followers.iter().map(follower).collect()
    }

    /// Whether a row is not due, where an index answers that: without one, reading all once is faster.
    fn kept_by_index(&self, now: &Sql) -> Option<Sql> {
        let is_answered = self.is_indexed && self.asked.is_empty();
        if is_answered { self.times.kept_by_index(self.table, self.stamp, now) } else { None }
    }

    fn rows_by_index(&self, now: &Sql) -> Option<Sql> {
        let kept = self.kept_by_index(now)?;
        Some(Sql::new(PARTITION_ROWS_BY_INDEX, &[("table", self.table), ("kept", &kept)]))
    }

    fn drop(&self, now: &Sql) -> Option<DropStatements> {
        let (parent, root) = self.parent?;
        let (leaf, _) = self.member?;
        let kept = self.kept_by_index(now).unwrap_or_else(|| {
            let age = Sql::joined([&self.times.age(self.stamp, now) as &dyn Part, &self.asked(3)], "");
            Sql::new(KEPT, &[("table", self.table), ("age", &age)])
        });
        let parts: [(&str, &dyn Part); 5] =
            [("parent", parent), ("table", self.table), ("leaf", &leaf), ("root", &root), ("kept", &kept)];
        Some(DropStatements {
            lock: Sql::new(LOCK_PARTITION, &parts),
            is_due: Sql::new(IS_PARTITION_DUE, &parts),
            drop: Sql::new(DROP_PARTITION, &parts),
        })
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

impl Reference {
    /// Whether a row `r` of the other table refers to our row `t`.
    fn matches(&self) -> Sql {
        let pairs: Vec<Sql> = self.columns.iter().map(Pair::same).collect();
        Sql::joined(pairs.iter().map(|pair| pair as &dyn Part), " and ")
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
