//! One row by its key, in a transaction that can change nothing.

use cleanup_core::policy::SessionPolicy;
use sqlx::postgres::PgRow;

use super::catalog::{self, ColumnFacts};
use super::fault::Fault;
use super::inspect::Ground;
use super::moment;
use super::session::{Session, cell, statement};
use crate::report::obstacle::Stop;
use crate::row::{Facts, MOST_ROWS, RowAnswer, Rows};
use crate::rule::idle_seconds;
use crate::rule::names::{Identifier, Part, Sql};

/// Whether the key can be read as a value of the column's type at all.
const TRY: &str = "select ($1::pg_catalog.text::{as}) is null";

const SAME: &str = " and t.{id} operator(pg_catalog.=) $2::pg_catalog.text::{as} limit {most}";

const SAME_TEXT: &str = " and t.{id}::pg_catalog.text operator(pg_catalog.=) $2::pg_catalog.text limit {most}";

pub(super) async fn explain(
    session: &mut Session,
    policy: &SessionPolicy,
    ground: &Ground,
    key: &str,
) -> Result<Rows, Stop> {
    let id = Identifier::parse(&policy.id_column).map_err(|error| Stop::Failed(error.to_string()))?;
    let column = catalog::column(session, &ground.look, ground.table.oid, &id).await?;
    let (same, read_as) = same(&id, column.as_ref());
    if let (Some(name), Some(column)) = (read_as, &column) {
        let attempt = Sql::new(TRY, &[("as", &Sql::new(name, &[]))]);
        match session.ask(&ground.look, statement(attempt.statement()).bind(key.to_owned())).await {
            Ok(_) => {}
            Err(fault @ (Fault::Away(_) | Fault::Cancelled)) => return Err(fault.into()),
            Err(_) => {
                let shown = &column.shown_type;
                return Err(Stop::Failed(format!("{id} is of type {shown}, and the key is not a value of it")));
            }
        }
    }
    let mut rows = Vec::new();
    for leaf in &ground.leaves {
        let row = Sql::joined([&leaf.statements.row as &dyn Part, &same], "");
        let bound = statement(row.statement()).bind(idle_seconds(policy)).bind(key.to_owned());
        for row in session.ask(&ground.look, leaf.statements.with_values(bound)).await? {
            rows.push(answer(&row, policy, ground)?);
        }
    }
    let filtered = ground.leaves.iter().any(|leaf| leaf.facts.row_security);
    Ok(Rows { table: ground.table.name.to_string(), rows, filtered, obstacle: None })
}

/// The condition that finds a row by its key, and the type that the key has to be read as. By the column's own type, so
/// that its index serves; what has none of PostgreSQL's own operators is compared as text.
fn same(id: &Identifier, column: Option<&ColumnFacts>) -> (Sql, Option<&'static str>) {
    let name = match column.map(|column| column.base_type.as_str()) {
        Some("text" | "character varying") => Some("pg_catalog.text"),
        Some("character") => Some("pg_catalog.bpchar"),
        Some("smallint" | "integer" | "bigint") => Some("pg_catalog.int8"),
        Some("numeric") => Some("pg_catalog.numeric"),
        Some("uuid") => Some("pg_catalog.uuid"),
        Some("bytea") => Some("pg_catalog.bytea"),
        _ => None,
    };
    let most = MOST_ROWS;
    match name {
        Some(name) => {
            let parts: [(&str, &dyn Part); 3] = [("id", id), ("as", &Sql::new(name, &[])), ("most", &most)];
            (Sql::new(SAME, &parts), Some(name))
        }
        None => (Sql::new(SAME_TEXT, &[("id", id), ("most", &most)]), None),
    }
}

fn answer(row: &PgRow, policy: &SessionPolicy, ground: &Ground) -> Result<RowAnswer, Fault> {
    let holds = |index| Ok::<_, Fault>(cell::<Option<bool>>(row, index)?.unwrap_or_default());
    let seconds: Option<f64> = cell(row, 0)?;
    let facts = Facts {
        seconds,
        is_null: holds(1)?,
        is_meant: holds(2)?,
        is_known: holds(3)?,
        is_plausible: holds(4)?,
        is_old: holds(5)?,
        is_referenced: holds(6)?,
        is_ahead: holds(7)?,
    };
    Ok(RowAnswer::new(facts, policy, ground.server.now, seconds.map(moment)))
}
