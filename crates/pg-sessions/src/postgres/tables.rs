//! The tables of a database, for `init --from-env`: their columns, and what some values of one column are.

use sqlx::SqlStr;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;

use super::Server;
use super::catalog::{identifier, server};
use super::fault::Fault;
use super::session::{Frame, Limits, Session, cell, count, statement};
use super::sql::{Number, Times};
use crate::discover::{Column, Dialect, Discovery, Holds, Sample, Table, Wanted, table_name};
use crate::report::obstacle::Stop;
use crate::rule::names::{Identifier, Sql, TableName};
use crate::rule::time::{Unit, Values};

/// No table is waited for.
const LIMITS: Limits =
    Limits { lock: std::time::Duration::from_millis(200), statement: Some(std::time::Duration::from_secs(10)) };

/// Tables that hold rows of this server, partitions aside, whose rows the role may read. Their columns with the types below
/// domains, and those of the primary key.
const TABLES: &str = "\
select c.oid, n.nspname::text, c.relname::text,
  array(select a.attname::text from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum),
  array(select (case t.typtype when 'd' then t.typbasetype else t.oid end)::regtype::text
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum),
  array(select a.attname::text from pg_index x cross join lateral unnest(x.indkey::int2[]) with ordinality k (place, at)
    join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.place
    where x.indrelid = c.oid and x.indisprimary order by k.at)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and has_table_privilege(c.oid, 'select')
order by n.nspname, c.relname";

/// Which of some tables are found without their schema. Asked under the role's own path.
const VISIBLE: &str = "\
select u.oid from pg_catalog.unnest($1::pg_catalog.oid[]) as u (oid) where pg_catalog.pg_table_is_visible(u.oid)";

/// Some values of a column of numbers: all, those that stand for "never", and those that are times, by unit.
const NUMBERS: &str = "\
select pg_catalog.count(*), pg_catalog.count(*) filter (where {sentinel}), {as_unit}
from (select {column}::pg_catalog.float8 as v from {table} where {column} is not null limit 1000) as t";

pub(crate) async fn tables(at: &Server) -> Result<Discovery, Stop> {
    let mut session = Session::open(at).await?;
    let look = Frame::look(LIMITS);
    let facts = server(&mut session, LIMITS).await?;
    if facts.version < super::inspect::OLDEST {
        return Err(Stop::Failed("the server is older than PostgreSQL 12".to_owned()));
    }
    let mut discovery = Discovery::default();
    let rows = session.ask(&look, statement(SqlStr::from_static(TABLES))).await?;
    let oids = rows.iter().map(|row| cell(row, 0)).collect::<Result<Vec<Oid>, Fault>>()?;
    let visible = session.ask(&Frame::look_up(LIMITS), statement(SqlStr::from_static(VISIBLE)).bind(oids)).await?;
    let visible = visible.iter().map(|row| cell(row, 0)).collect::<Result<Vec<Oid>, Fault>>()?;
    for row in &rows {
        let (full, table) = table(row, &visible)?;
        if let Some(wanted) = Wanted::new(Dialect::Postgres, &table) {
            let sample = match wanted.asks_for() {
                Some(column) => match numbers(&mut session, &look, &full, &identifier(column.to_owned())?).await {
                    Ok(sample) => sample,
                    Err(fault @ Fault::Away(_)) => return Err(fault.into()),
                    // Locked or dropped: its framework says what it holds.
                    Err(_) => Sample::default(),
                },
                None => Sample::default(),
            };
            discovery.take(&wanted, &sample);
        }
        discovery.tables.push(table.name);
    }
    session.close().await;
    Ok(discovery)
}

fn table(row: &PgRow, visible: &[Oid]) -> Result<(TableName, Table), Fault> {
    let (oid, schema, bare): (Oid, String, String) = (cell(row, 0)?, cell(row, 1)?, cell(row, 2)?);
    let (names, types): (Vec<String>, Vec<String>) = (cell(row, 3)?, cell(row, 4)?);
    let full = TableName { schema: Some(identifier(schema.clone())?), name: identifier(bare.clone())? };
    let name = if visible.contains(&oid) {
        table_name(&bare)
    } else {
        format!("{}.{}", table_name(&schema), table_name(&bare))
    };
    let columns = names.into_iter().zip(types).map(|(name, base_type)| Column { name, holds: holds(&base_type) });
    Ok((full, Table { name, bare, columns: columns.collect(), key: cell(row, 5)? }))
}

fn holds(base_type: &str) -> Holds {
    match base_type {
        "timestamp with time zone" => Holds::Moment,
        "timestamp without time zone" => Holds::WallClock,
        "integer" | "bigint" | "double precision" | "numeric" => Holds::Number,
        _ => Holds::Other,
    }
}

async fn numbers(session: &mut Session, look: &Frame, table: &TableName, column: &Identifier) -> Result<Sample, Fault> {
    let (value, now) = (Sql::new("t.v", &[]), Sql::new("pg_catalog.now()", &[]));
    let times = Times::Number(Unit::Seconds, Number::Float);
    let (sentinel, as_unit) = (times.sentinel(&value), times.as_units(&value, &now));
    let sql =
        Sql::new(NUMBERS, &[("sentinel", &sentinel), ("as_unit", &as_unit), ("column", column), ("table", table)]);
    let row = session.ask_one(look, statement(sql.statement())).await?;
    let mut values = Values { known: count(&row, 0)?, sentinels: count(&row, 1)?, ..Values::default() };
    for (index, plausible) in values.as_unit.iter_mut().enumerate() {
        *plausible = count(&row, 2 + index)?;
    }
    Ok(Sample { numbers: values.known, values, ..Sample::default() })
}
