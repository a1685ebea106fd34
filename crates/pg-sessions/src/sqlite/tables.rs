//! The tables of a file, for `init --from-env`: their columns, and what some values of one column are.

use std::time::Duration;

use sqlx::SqlStr;

use super::File;
use super::session::{Fault, Session, cell, count, statement};
use super::sql::{self, Form};
use crate::database::Access;
use crate::discover::{Column, Dialect, Discovery, Holds, Sample, Table, Wanted, table_name};
use crate::report::obstacle::Stop;
use crate::rule::names::{Identifier, Part, Sql, TableName};
use crate::rule::time::{Unit, Values};

/// No writer is waited for longer.
const PATIENCE: Duration = Duration::from_secs(2);

const TABLES: &str = "\
select name from pragma_table_list
where schema = 'main' and type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name";

/// Some values of a column: all, texts that are times, those of them that name their offset, numbers, those that stand for
/// "never", and those that are times by each unit.
const SAMPLE: &str = "\
select count(*), count(*) filter (where {text}), count(*) filter (where {text} and substr(v, 20) glob '*[Z+-]*'),
  count(n), {sentinels}, {counts}
from (select v, case when {number} then v end as n
  from (select {column} as v from {table} where {column} is not null limit 1000))";

const COLUMNS: &str = "select name, pk from pragma_table_xinfo(?1) order by cid";

pub(crate) async fn tables(file: &File) -> Result<Discovery, Stop> {
    let mut session = Session::open(&file.0, Access::Look, PATIENCE).await?;
    let mut discovery = Discovery::default();
    for row in session.all(statement(SqlStr::from_static(TABLES))).await? {
        let bare: String = cell(&row, 0)?;
        let table = table(&mut session, bare).await?;
        if let Some(wanted) = Wanted::new(Dialect::Sqlite, &table) {
            let sample = match wanted.asks_for() {
                Some(column) => sample(&mut session, &table.bare, column).await?,
                None => Sample::default(),
            };
            discovery.take(&wanted, &sample);
        }
        discovery.tables.push(table.name);
    }
    session.close().await;
    Ok(discovery)
}

async fn table(session: &mut Session, bare: String) -> Result<Table, Fault> {
    let rows = session.all(statement(SqlStr::from_static(COLUMNS)).bind(bare.clone())).await?;
    let mut columns = Vec::with_capacity(rows.len());
    let mut key: Vec<(i64, String)> = Vec::new();
    for row in &rows {
        let (name, place): (String, i64) = (cell(row, 0)?, cell(row, 1)?);
        if place > 0 {
            key.push((place, name.clone()));
        }
        // Declared types bind nobody here.
        columns.push(Column { name, holds: Holds::Anything });
    }
    key.sort_unstable();
    let key = key.into_iter().map(|(_, name)| name).collect();
    Ok(Table { name: table_name(&bare), bare, columns, key })
}

async fn sample(session: &mut Session, table: &str, column: &str) -> Result<Sample, Fault> {
    let name = |text: &str| Identifier::new(text.to_owned()).map_err(|error| Fault::Final(error.to_string()));
    let main = TableName { schema: Some(name("main")?), name: name(table)? };
    let value = Sql::new("v", &[]);
    let (text, number) = (Sql::new(sql::IS_TEXT, &[("stamp", &value)]), Sql::new(sql::IS_NUMBER, &[("stamp", &value)]));
    let counts = Unit::ALL.map(|unit| Form::Number(unit).in_forms(sql::COUNTED));
    let counts = Sql::joined(counts.iter().map(|count| count as &dyn Part), ", ");
    let sentinels = Sql::new(sql::SENTINELS, &[]);
    let column = name(column)?;
    let parts: [(&str, &dyn Part); 6] = [
        ("text", &text),
        ("number", &number),
        ("sentinels", &sentinels),
        ("counts", &counts),
        ("column", &column),
        ("table", &main),
    ];
    let row = session.one(statement(Sql::new(SAMPLE, &parts).statement())).await?;
    let mut values = Values { known: count(&row, 0)?, sentinels: count(&row, 4)?, ..Values::default() };
    for (index, plausible) in values.as_unit.iter_mut().enumerate() {
        *plausible = count(&row, 5 + index)?;
    }
    Ok(Sample { values, texts: count(&row, 1)?, with_offset: count(&row, 2)?, numbers: count(&row, 3)? })
}
