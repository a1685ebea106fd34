//! What the database's catalog says about a policy's table, before anything is done to it.
//!
//! The catalog is the judge of names: a configuration's table is looked up here, under limits like everything else,
//! and from then on it is the schema and name that the catalog gave. All that could make a sweep fail, wait or surprise
//! is asked here once, so that `config check` and the sweep cannot disagree.

use cleanup_core::moment::Moment;
use cleanup_core::policy::SessionPolicy;
use sqlx::SqlStr;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;

use super::fault::Fault;
use super::session::{Frame, Limits, Session, cell, statement};
use super::sql::{Pair, Reference};
use crate::rule::names::{Identifier, Literal, Operator, Part, Sql, TableName};

/// Among it the role's own limits, in milliseconds: what is in force while the transaction sets none. The view of all
/// settings would take longer than all the rest.
const SERVER: &str = "\
select pg_catalog.current_setting('server_version_num')::int4,
  pg_catalog.pg_is_in_recovery(),
  pg_catalog.current_setting('default_transaction_read_only')::bool,
  pg_catalog.current_setting('block_size')::int8,
  pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_buffers')),
  current_user::text,
  (extract(epoch from pg_catalog.current_setting('statement_timeout')::interval) * 1000)::int8,
  (extract(epoch from pg_catalog.current_setting('lock_timeout')::interval) * 1000)::int8,
  extract(epoch from pg_catalog.clock_timestamp())::float8,
  pg_catalog.to_json(pg_catalog.clock_timestamp()) #>> '{}',
  pg_catalog.current_setting('track_counts')::bool";

/// Asked under the role's own path, so everything says where it comes from.
const TABLE: &str = "\
select c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text,
  c.relpersistence::pg_catalog.text,
  pg_catalog.hashtextextended(pg_catalog.format('cleanup/%s/%s', n.nspname, c.relname), 0),
  pg_catalog.row_security_active(c.oid)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
where c.oid operator(pg_catalog.=) pg_catalog.to_regclass({name})::pg_catalog.oid";

/// Some columns of a table by their names.
const NAMED_COLUMNS: &str = "\
select a.attname::text, a.attnotnull, case t.typtype when 'd' then t.typbasetype else t.oid end::regtype::text,
  format_type(a.atttypid, a.atttypmod),
  exists (select 1 from pg_type b where b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end and b.typtype = 'e'),
  array(select e.enumlabel::text from pg_enum e
    where e.enumtypid = case t.typtype when 'd' then t.typbasetype else t.oid end order by e.enumsortorder)
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = {table} and a.attname::text in ({names}) and a.attnum > 0 and not a.attisdropped";

const COLUMNS: &str = "\
select a.attname::text from pg_attribute a
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
order by a.attnum";

/// The table itself, and its partitions and children: all that hold rows of their own.
const LEAVES: &str = "\
with recursive tree as (
  select {table}::oid as relid
  union
  select i.inhrelid from pg_inherits i join tree on i.inhparent = tree.relid)
select c.oid, n.nspname::text, c.relname::text, c.relkind::text,
  greatest(c.reltuples, -1)::float8, coalesce(pg_relation_size(c.oid), 0),
  coalesce(has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'delete')
    and has_any_column_privilege(c.oid, 'update'), true),
  row_security_active(c.oid), coalesce(g.before_row, false),
  exists (select 1 from pg_rewrite w where w.ev_class = c.oid and w.ev_type = '4'),
  exists (select 1 from pg_index x join pg_class ic on ic.oid = x.indexrelid join pg_am m on m.oid = ic.relam
    where x.indrelid = c.oid and x.indisvalid and x.indpred is null and m.amname = 'btree' and {leads}),
  coalesce(g.fires, false), coalesce(g.is_own, false), coalesce(g.is_internal, false)
from tree join pg_class c on c.oid = tree.relid join pg_namespace n on n.oid = c.relnamespace
  cross join lateral (select bool_or(g.tgenabled <> 'D') as fires,
      bool_or(not g.tgisinternal and g.tgenabled in ('O', 'A')) as is_own, bool_or(g.tgisinternal) as is_internal,
      bool_or(not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype & 2 = 2 and g.tgtype & 1 = 1) as before_row
    from pg_trigger g where g.tgrelid = c.oid and g.tgtype & 8 = 8) g
where c.relkind <> 'p' and (c.relkind <> 'r' or pg_relation_size(c.oid) is not null)
order by c.oid";

/// Whether a column leads an index, or the first of several columns that is not null.
const LEADS: &str = "\
x.indkey[0] = (select a.attnum from pg_attribute a where a.attrelid = c.oid and a.attname::text = {column})";

const LEADS_TOGETHER: &str = "\
x.indkey[0] = 0 and pg_get_indexdef(x.indexrelid, 1, true) = (select 'COALESCE(' || string_agg(quote_ident(u.name), ', '
  order by u.place) || ')' from unnest(array[{columns}]::text[]) with ordinality u (name, place))";

/// Of tables with row security: what of select, update and delete no policy lets the role do, and whether it may delete
/// others than it may see. Asked only where there are any, because most of what it takes is planning.
const POLICIES: &str = "\
with rules as (
  select p.polrelid as relid, p.polcmd::text as command, row(p.polpermissive, pg_get_expr(p.polqual, p.polrelid))::text as quals
  from pg_policy p
  where p.polrelid in ({tables}) and exists (select 1 from unnest(p.polroles) r (role)
    where case r.role when 0 then true else pg_has_role(r.role, 'usage') end))
select c.oid,
  array(select v.command from (values ('r', 'select'), ('w', 'update'), ('d', 'delete')) v (code, command)
    where not exists (select 1 from pg_policy p where p.polrelid = c.oid and p.polpermissive
      and p.polcmd::text in (v.code, '*') and exists (select 1 from unnest(p.polroles) r (role)
        where case r.role when 0 then true else pg_has_role(r.role, 'usage') end))),
  (select array_agg(p.quals order by p.quals) from rules p where p.relid = c.oid and p.command in ('r', '*'))
    is distinct from
    (select array_agg(p.quals order by p.quals) from rules p where p.relid = c.oid and p.command in ('d', '*'))
from pg_class c where c.oid in ({tables})";

/// Partitions, of which table, by what column of it, whether they take what no other does, until when they take rows,
/// whether the role may drop them, and whether that column says when a row was written or touched. The end is a moment where the column is a time: with a day to spare, because it may be
/// without a zone.
const PARTITIONS: &str = "\
select c.oid, p.oid, n.nspname::text, p.relname::text, c.oid = t.partdefid,
  case when t.partstrat = 'r' and t.partnatts = 1 then a.attname::text end,
  b.bound,
  case when a.atttypid::regtype::text in ('timestamp with time zone', 'timestamp without time zone', 'date')
      and b.bound not in ('MAXVALUE', 'MINVALUE')
    then b.bound::timestamptz < now() - interval '1 day' end,
  pg_has_role(c.relowner, 'usage') and pg_has_role(p.relowner, 'usage'),
  coalesce(a.attname = any ($2) or (select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d
    where d.adrelid = a.attrelid and d.adnum = a.attnum) in ('now()', 'CURRENT_TIMESTAMP'), false)
from pg_class c join pg_inherits i on i.inhrelid = c.oid join pg_class p on p.oid = i.inhparent
  join pg_namespace n on n.oid = p.relnamespace join pg_partitioned_table t on t.partrelid = p.oid
  left join pg_attribute a on a.attrelid = p.oid and a.attnum = t.partattrs[0]
  cross join lateral (select (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''?([^'']*?)''?\\)$'))[1]) b (bound)
where c.relispartition and c.oid = any ($1)";

/// Of some tables that were there: whether they are there still, and still belong to the table.
const STANDING: &str = "\
with recursive tree as (
  select {table}::oid as relid
  union
  select i.inhrelid from pg_inherits i join tree on i.inhparent = tree.relid)
select exists (select 1 from pg_class c where c.oid = l.oid), exists (select 1 from tree where tree.relid = l.oid)
from unnest(array[{tables}]::oid[]) with ordinality l (oid, place)
order by l.place";

/// Whether an insert into a table, or into its partitions, sets anything in motion: a trigger, the check of a foreign key.
const FIRES_ON_INSERT: &str = "\
with recursive tree as (
  select $1::oid as relid
  union
  select i.inhrelid from pg_inherits i join tree on i.inhparent = tree.relid)
select exists (select 1 from pg_trigger g join tree on tree.relid = g.tgrelid
    where g.tgenabled <> 'D' and g.tgtype & 4 = 4)
  or exists (select 1 from tree where row_security_active(tree.relid))";

/// Whether a table belongs to the tree below another one.
const IS_BELOW: &str = "\
with recursive tree as (
  select $1::oid as relid
  union
  select i.inhrelid from pg_inherits i join tree on i.inhparent = tree.relid)
select exists (select 1 from tree where tree.relid = $2)";

/// What may keep rows out of an archive: privileges on its columns, a rule, a trigger before the row, row security, and
/// the lack of a policy that lets anything in.
const ARCHIVE: &str = "\
select has_table_privilege(c.oid, 'insert')
    or (select bool_and(has_column_privilege(c.oid, name, 'insert')) from unnest($2::text[]) u (name)),
  exists (select 1 from pg_rewrite w where w.ev_class = c.oid and w.ev_type = '3'),
  exists (select 1 from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled in ('O', 'A')
    and g.tgtype & 7 = 7),
  row_security_active(c.oid),
  exists (select 1 from pg_policy p where p.polrelid = c.oid and p.polpermissive and p.polcmd::text in ('a', '*')
    and exists (select 1 from unnest(p.polroles) r (role)
      where case r.role when 0 then true else pg_has_role(r.role, 'usage') end))
from pg_class c where c.oid = $1";

/// Foreign keys of other tables that point to the table or to a part of it that holds rows; of a partitioned one, the
/// parent's alone. A row for each pair of columns, with how the key compares them itself: its operator, the types that the
/// operator is for where they can be named and are others than the columns', and the collation of our column.
const KEYS: &str = "\
with recursive tree as (
  select {table}::oid as relid
  union
  select i.inhrelid from pg_inherits i join tree on i.inhparent = tree.relid)
select k.confrelid, n.nspname::text, c.relname::text, k.confdeltype::text,
  exists (select 1 from pg_index x where x.indrelid = k.conrelid and x.indkey[0] = any (k.conkey)
    and x.indisvalid and x.indpred is null),
  coalesce(has_table_privilege(k.conrelid, 'select'), true), k.oid,
  theirs.attname::text, ours.attname::text, opn.nspname::text, op.oprname::text,
  case when op.oprleft <> ours.atttypid and lt.typtype <> 'p' then ltn.nspname::text end, lt.typname::text,
  case when op.oprright <> theirs.atttypid and rt.typtype <> 'p' then rtn.nspname::text end, rt.typname::text,
  cn.nspname::text, co.collname::text, case c.relkind when 'r' then c.oid end
from pg_constraint k join pg_class l on l.oid = k.confrelid
  join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
  cross join lateral unnest(k.conkey, k.confkey, k.conpfeqop) with ordinality u(theirs, ours, op, place)
  join pg_attribute theirs on theirs.attrelid = k.conrelid and theirs.attnum = u.theirs
  join pg_attribute ours on ours.attrelid = k.confrelid and ours.attnum = u.ours
  join pg_operator op on op.oid = u.op join pg_namespace opn on opn.oid = op.oprnamespace
  join pg_type lt on lt.oid = op.oprleft join pg_namespace ltn on ltn.oid = lt.typnamespace
  join pg_type rt on rt.oid = op.oprright join pg_namespace rtn on rtn.oid = rt.typnamespace
  left join pg_collation co on co.oid = ours.attcollation left join pg_namespace cn on cn.oid = co.collnamespace
where k.contype = 'f' and k.confrelid in (select tree.relid from tree) and l.relkind <> 'p'
  and not exists (select 1 from pg_constraint p where p.oid = k.conparentid and p.confrelid = k.confrelid)
order by k.oid, u.place";

/// Tables are joined as they stand in a statement: of ten the planner would take longer to find another way than the whole
/// of it does.
const STRAIGHT: &str = "set local join_collapse_limit = 1";

/// What is asked of the server once per run.
#[derive(Clone, Debug)]
pub(super) struct ServerFacts {
    pub(super) version: i32,
    pub(super) standby: bool,
    pub(super) read_only: bool,
    pub(super) block_bytes: u64,
    /// What of the write-ahead log fits in memory.
    pub(super) wal_buffer_bytes: u64,
    pub(super) role: String,
    /// The role's own limits, in milliseconds; 0 is none. What a session resets to, not what this transaction has set.
    pub(super) statement_timeout_ms: u64,
    pub(super) lock_timeout_ms: u64,
    pub(super) now: Moment,
    /// The same, as the server writes it.
    pub(super) now_text: String,
    /// Whether the server counts what a transaction does to each table.
    pub(super) tracks_counts: bool,
}

/// The table that the policy names.
#[derive(Clone, Debug)]
pub(super) struct TableFacts {
    pub(super) oid: Oid,
    pub(super) name: TableName,
    pub(super) kind: Kind,
    /// The key of the advisory lock, the same for every node; the database is part of it anyway.
    pub(super) key: i64,
    /// Whether row security applies to this role when it names this table; of its partitions that says nothing.
    pub(super) row_security: bool,
}

/// What `pg_class.relkind` makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    Partitioned,
    /// Refused; the text says what it is.
    Other(&'static str),
}

/// A column of the table.
#[derive(Clone, Debug)]
pub(super) struct ColumnFacts {
    pub(super) name: Identifier,
    pub(super) not_null: bool,
    /// The type, of a domain the one below it.
    pub(super) base_type: String,
    pub(super) shown_type: String,
    pub(super) is_enum: bool,
    /// The values of an enum.
    pub(super) labels: Vec<String>,
}

/// One table that holds rows: the policy's own, or a partition of it.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "answers of the catalog, each to a question of its own")]
pub(super) struct LeafFacts {
    pub(super) oid: Oid,
    pub(super) name: TableName,
    pub(super) is_table: bool,
    /// The planner's figure; −1 when it has none.
    pub(super) tuples: f64,
    pub(super) bytes: u64,
    pub(super) privileged: bool,
    pub(super) row_security: bool,
    /// Row-level triggers before delete: they may keep rows.
    pub(super) triggers: bool,
    pub(super) delete_rule: bool,
    pub(super) index: bool,
    /// Whether a delete sets anything in motion: a trigger of any kind, a foreign key that points here.
    pub(super) fires: bool,
    /// Of select, update and delete, what no policy of row security lets the role do; means nothing without row security.
    pub(super) forbidden: Vec<String>,
    /// Whether the application has a trigger of its own on delete, of any kind: it may put rows back.
    pub(super) own_triggers: bool,
    /// Whether policies of row security for deleting are others than those for seeing.
    pub(super) deletes_otherwise: bool,
}

/// What the catalog says of a partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionFacts {
    pub(super) oid: Oid,
    pub(super) parent: Oid,
    pub(super) parent_name: TableName,
    /// Whether it takes the rows that no other partition takes.
    pub(super) is_default: bool,
    /// The one column by whose ranges the parent is partitioned, if it is.
    pub(super) by: Option<Identifier>,
    /// Where its range ends, as PostgreSQL writes it.
    pub(super) end: Option<String>,
    /// Whether that moment is over; `None` where it is no moment.
    pub(super) is_over: Option<bool>,
    /// Whether the role owns it and the parent.
    pub(super) is_owned: bool,
    /// Whether the column says when a row was written or touched: it is the policy's own, or the moment of the insert by
    /// default. Ranges of other times, of birthdays say, get new rows at any time.
    pub(super) tells_age: bool,
}

/// What the catalog says of an archive.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "answers of the catalog, each to a question of its own")]
pub(super) struct ArchiveFacts {
    pub(super) privileged: bool,
    pub(super) insert_rule: bool,
    pub(super) trigger: bool,
    pub(super) row_security: bool,
    /// Whether any policy of row security lets the role insert; means nothing without row security.
    pub(super) admitted: bool,
}

/// What has become of a table that was there when the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is there, and part of the policy's table.
    Member,
    /// It is there, and somebody has detached it.
    Detached,
    /// It was dropped.
    Dropped,
}

/// A foreign key that points to a leaf.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "answers of the catalog, each to a question of its own")]
pub(super) struct KeyFacts {
    pub(super) leaf: Oid,
    pub(super) reference: Reference,
    /// Whether rows go along, or are changed, when ours go: CASCADE, SET NULL, SET DEFAULT.
    pub(super) acts: bool,
    /// Whether they go along: CASCADE.
    pub(super) takes_along: bool,
    /// The other table, where it holds its rows itself.
    pub(super) other: Option<Oid>,
    /// What becomes of the other table's rows then, in words.
    pub(super) follow: &'static str,
    pub(super) index: bool,
    pub(super) readable: bool,
}

pub(super) async fn server(session: &mut Session, limits: Limits) -> Result<ServerFacts, Fault> {
    let rows = session.look_once(&Frame::settings(limits), &Sql::new(SERVER, &[])).await?;
    let row = rows.first().ok_or_else(|| Fault::Final("an empty answer".to_owned()))?;
    Ok(ServerFacts {
        version: cell(row, 0)?,
        standby: cell(row, 1)?,
        read_only: cell(row, 2)?,
        block_bytes: super::session::count(row, 3)?.max(512),
        wal_buffer_bytes: super::session::count(row, 4)?,
        role: cell(row, 5)?,
        statement_timeout_ms: super::session::count(row, 6)?,
        lock_timeout_ms: super::session::count(row, 7)?,
        now: super::moment(cell(row, 8)?),
        now_text: cell(row, 9)?,
        tracks_counts: cell(row, 10)?,
    })
}

/// `None` when there is no such table. Names longer than PostgreSQL keeps are never found: cut short, they could be
/// somebody else's.
pub(super) async fn table(session: &mut Session, frame: &Frame, name: &TableName) -> Result<Option<TableFacts>, Fault> {
    let quoted = Sql::new("{name}", &[("name", name)]);
    let rows = session.look_once(frame, &Sql::new(TABLE, &[("name", &Literal::quoted(&quoted))])).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let found = table_name(row, 1)?;
    if found.name != name.name || name.schema.as_ref().is_some_and(|schema| found.schema.as_ref() != Some(schema)) {
        return Ok(None);
    }
    let kind = match (cell::<String>(row, 3)?.as_str(), cell::<String>(row, 4)?.as_str()) {
        ("r", "t") => Kind::Other("a temporary table"),
        ("r", _)
            if matches!(found.schema.as_ref().map(Identifier::as_str), Some("pg_catalog" | "information_schema")) =>
        {
            Kind::Other("a system table")
        }
        ("r", _) => Kind::Table,
        ("p", _) => Kind::Partitioned,
        ("v", _) => Kind::Other("a view"),
        ("m", _) => Kind::Other("a materialized view"),
        ("f", _) => Kind::Other("a foreign table"),
        ("i" | "I", _) => Kind::Other("an index"),
        ("S", _) => Kind::Other("a sequence"),
        _ => Kind::Other("no table"),
    };
    Ok(Some(TableFacts { oid: cell(row, 0)?, name: found, kind, key: cell(row, 5)?, row_security: cell(row, 6)? }))
}

/// What has become of some tables since the run began, in their order.
pub(super) async fn standing(
    session: &mut Session,
    frame: &Frame,
    table: Oid,
    leaves: Vec<Oid>,
) -> Result<Vec<Standing>, Fault> {
    let leaves: Vec<u64> = leaves.into_iter().map(|Oid(leaf)| leaf.into()).collect();
    let leaves = Sql::joined(leaves.iter().map(|leaf| leaf as &dyn Part), ", ");
    let parts: [(&str, &dyn Part); 2] = [("table", &u64::from(table.0)), ("tables", &leaves)];
    let rows = session.look_once(frame, &Sql::new(STANDING, &parts)).await?;
    let standing = |row| {
        Ok(match (cell(row, 0)?, cell(row, 1)?) {
            (false, _) => Standing::Dropped,
            (true, false) => Standing::Detached,
            (true, true) => Standing::Member,
        })
    };
    rows.iter().map(standing).collect()
}

/// Whether an insert into a table sets anything in motion.
pub(super) async fn fires_on_insert(session: &mut Session, frame: &Frame, table: Oid) -> Result<bool, Fault> {
    cell(&session.ask_one(frame, statement(SqlStr::from_static(FIRES_ON_INSERT)).bind(table)).await?, 0)
}

/// Whether `table` is `root` or belongs to the tree below it.
pub(super) async fn is_below(session: &mut Session, frame: &Frame, root: Oid, table: Oid) -> Result<bool, Fault> {
    cell(&session.ask_one(frame, statement(SqlStr::from_static(IS_BELOW)).bind(root).bind(table)).await?, 0)
}

pub(super) async fn archive(
    session: &mut Session,
    frame: &Frame,
    table: Oid,
    columns: &[Identifier],
) -> Result<ArchiveFacts, Fault> {
    let names: Vec<String> = columns.iter().map(|column| column.as_str().to_owned()).collect();
    let row = session.ask_one(frame, statement(SqlStr::from_static(ARCHIVE)).bind(table).bind(names)).await?;
    Ok(ArchiveFacts {
        privileged: cell(&row, 0)?,
        insert_rule: cell(&row, 1)?,
        trigger: cell(&row, 2)?,
        row_security: cell(&row, 3)?,
        admitted: cell(&row, 4)?,
    })
}

/// A column by its name.
pub(super) async fn column(
    session: &mut Session,
    frame: &Frame,
    table: Oid,
    column: &Identifier,
) -> Result<Option<ColumnFacts>, Fault> {
    let rows = session.look_once(frame, &named_columns(table, [column])).await?;
    rows.first().map(column_facts).transpose()
}

fn named_columns<'a>(table: Oid, names: impl IntoIterator<Item = &'a Identifier>) -> Sql {
    let names: Vec<Literal<'_>> = names.into_iter().map(Literal::new).collect();
    let names = Sql::joined(names.iter().map(|name| name as &dyn Part), ", ");
    Sql::new(NAMED_COLUMNS, &[("table", &u64::from(table.0)), ("names", &names)])
}

fn column_facts(row: &PgRow) -> Result<ColumnFacts, Fault> {
    Ok(ColumnFacts {
        name: identifier(cell(row, 0)?)?,
        not_null: cell(row, 1)?,
        base_type: cell(row, 2)?,
        shown_type: cell(row, 3)?,
        is_enum: cell(row, 4)?,
        labels: cell(row, 5)?,
    })
}

/// All columns that can be written, in their order.
pub(super) async fn columns(session: &mut Session, frame: &Frame, table: Oid) -> Result<Vec<Identifier>, Fault> {
    let rows = session.ask(frame, statement(SqlStr::from_static(COLUMNS)).bind(table)).await?;
    rows.iter().map(|row| identifier(cell(row, 0)?)).collect()
}

/// What the catalog says of a table: the columns that are asked about, the tables that hold its rows, and the foreign keys
/// that point to those.
pub(super) struct Described {
    pub(super) columns: Vec<ColumnFacts>,
    pub(super) leaves: Vec<LeafFacts>,
    pub(super) keys: Vec<KeyFacts>,
}

/// Asks for all of it in few messages: a sweep of a few rows takes no longer than asking does.
pub(super) async fn describe(
    session: &mut Session,
    frame: &Frame,
    table: Oid,
    (columns, stamp): (&[&Identifier], &[Identifier]),
) -> Result<Described, Fault> {
    let root = u64::from(table.0);
    let names: Vec<Literal<'_>> = stamp.iter().map(Literal::new).collect();
    let leads = match &names[..] {
        [name] => Sql::new(LEADS, &[("column", name)]),
        names => {
            let names = Sql::joined(names.iter().map(|name| name as &dyn Part), ", ");
            Sql::new(LEADS_TOGETHER, &[("columns", &names)])
        }
    };
    let statements =
        [named_columns(table, columns.iter().copied()), Sql::new(LEAVES, &[("table", &root), ("leads", &leads)])];
    let answers = session.look_at_once(frame, &statements).await?;
    let [columns, leaves] = &answers[..] else {
        return Err(Fault::Final("an empty answer".to_owned()));
    };
    // A key that points here is a trigger on the table as well.
    let mut has_keys = false;
    for row in leaves {
        has_keys |= cell::<bool>(row, 13)?;
    }
    let keys = if has_keys {
        let statements = [Sql::new(STRAIGHT, &[]), Sql::new(KEYS, &[("table", &root)])];
        session.look_at_once(frame, &statements).await?.pop().unwrap_or_default()
    } else {
        Vec::new()
    };
    let mut leaves = leaves.iter().map(leaf_facts).collect::<Result<Vec<_>, _>>()?;
    add_policies(session, frame, &mut leaves).await?;
    let columns = columns.iter().map(column_facts).collect::<Result<_, _>>()?;
    Ok(Described { columns, leaves, keys: key_facts(&keys)? })
}

async fn add_policies(session: &mut Session, frame: &Frame, leaves: &mut [LeafFacts]) -> Result<(), Fault> {
    let secured: Vec<u64> = leaves.iter().filter(|leaf| leaf.row_security).map(|leaf| u64::from(leaf.oid.0)).collect();
    if secured.is_empty() {
        return Ok(());
    }
    let tables = Sql::joined(secured.iter().map(|table| table as &dyn Part), ", ");
    for row in session.look_once(frame, &Sql::new(POLICIES, &[("tables", &tables)])).await? {
        let oid: Oid = cell(&row, 0)?;
        if let Some(leaf) = leaves.iter_mut().find(|leaf| leaf.oid == oid) {
            (leaf.forbidden, leaf.deletes_otherwise) = (cell(&row, 1)?, cell(&row, 2)?);
        }
    }
    Ok(())
}

fn leaf_facts(row: &PgRow) -> Result<LeafFacts, Fault> {
    Ok(LeafFacts {
        oid: cell(row, 0)?,
        name: table_name(row, 1)?,
        is_table: cell::<String>(row, 3)? == "r",
        tuples: cell(row, 4)?,
        bytes: super::session::count(row, 5)?,
        privileged: cell(row, 6)?,
        row_security: cell(row, 7)?,
        triggers: cell(row, 8)?,
        delete_rule: cell(row, 9)?,
        index: cell(row, 10)?,
        fires: cell(row, 11)?,
        forbidden: Vec::new(),
        own_triggers: cell(row, 12)?,
        deletes_otherwise: false,
    })
}

pub(super) async fn partitions(
    session: &mut Session,
    frame: &Frame,
    leaves: Vec<Oid>,
    stamp: &[Identifier],
) -> Result<Vec<PartitionFacts>, Fault> {
    let columns: Vec<String> = stamp.iter().map(|column| column.as_str().to_owned()).collect();
    let bound = statement(SqlStr::from_static(PARTITIONS)).bind(leaves).bind(columns);
    let rows = session.ask(frame, bound).await?;
    rows.iter()
        .map(|row| {
            Ok(PartitionFacts {
                oid: cell(row, 0)?,
                parent: cell(row, 1)?,
                parent_name: table_name(row, 2)?,
                is_default: cell(row, 4)?,
                by: cell::<Option<String>>(row, 5)?.map(identifier).transpose()?,
                end: cell(row, 6)?,
                is_over: cell(row, 7)?,
                is_owned: cell(row, 8)?,
                tells_age: cell(row, 9)?,
            })
        })
        .collect()
}

/// Of rows that hold a pair of columns each, one after the other.
fn key_facts(rows: &[PgRow]) -> Result<Vec<KeyFacts>, Fault> {
    let mut keys: Vec<KeyFacts> = Vec::new();
    let mut last = None;
    for row in rows {
        let key: Option<Oid> = Some(cell(row, 6)?);
        if key != last {
            last = key;
            keys.push(key_of(row)?);
        }
        if let Some(key) = keys.last_mut() {
            key.reference.columns.push(pair(row)?);
        }
    }
    Ok(keys)
}

/// What stands beside each of its pairs.
fn key_of(row: &PgRow) -> Result<KeyFacts, Fault> {
    let action: String = cell(row, 3)?;
    Ok(KeyFacts {
        leaf: cell(row, 0)?,
        reference: Reference { other: table_name(row, 1)?, columns: Vec::new() },
        acts: !matches!(action.as_str(), "a" | "r"),
        takes_along: action == "c",
        other: cell(row, 17)?,
        follow: match action.as_str() {
            "c" => "are removed with them (on delete cascade)",
            "n" => "are set to null with them (on delete set null)",
            _ => "are set to their default with them (on delete set default)",
        },
        index: cell(row, 4)?,
        readable: cell(row, 5)?,
    })
}

fn pair(row: &PgRow) -> Result<Pair, Fault> {
    let operator = Operator::new(identifier(cell(row, 9)?)?, cell(row, 10)?);
    Ok(Pair {
        theirs: identifier(cell(row, 7)?)?,
        ours: identifier(cell(row, 8)?)?,
        operator: operator.ok_or_else(|| Fault::Final("an operator with an impossible name".to_owned()))?,
        our_cast: optional_name(row, 11)?,
        their_cast: optional_name(row, 13)?,
        collation: optional_name(row, 15)?,
    })
}

fn optional_name(row: &PgRow, index: usize) -> Result<Option<TableName>, Fault> {
    match cell::<Option<String>>(row, index)? {
        Some(_) => table_name(row, index).map(Some),
        None => Ok(None),
    }
}

fn table_name(row: &PgRow, index: usize) -> Result<TableName, Fault> {
    Ok(TableName { schema: Some(identifier(cell(row, index)?)?), name: identifier(cell(row, index + 1)?)? })
}

pub(super) fn identifier(name: String) -> Result<Identifier, Fault> {
    Identifier::new(name).map_err(|error| Fault::Final(error.to_string()))
}

/// The role's limits and the policy's, the tighter of both.
pub(super) fn tighter(role_ms: u64, ours: std::time::Duration) -> std::time::Duration {
    if role_ms == 0 { ours } else { ours.min(std::time::Duration::from_millis(role_ms)) }
}

/// The policy's column names, parsed.
pub(super) fn column_names(
    policy: &SessionPolicy,
) -> Result<(Identifier, Vec<Identifier>), crate::rule::names::NameError> {
    let stamp = policy.stamp.columns().iter().map(|column| Identifier::parse(column)).collect::<Result<_, _>>()?;
    Ok((Identifier::parse(&policy.id_column)?, stamp))
}
