//! The table that takes removed rows: found before anything goes, and everything said that would keep rows out of it.

use sqlx::postgres::types::Oid;

use super::catalog::{self, ArchiveFacts, Kind, ServerFacts, TableFacts};
use super::fault::Fault;
use super::inspect::{Leaf, grant};
use super::session::{Frame, Limits, Session, statement};
use super::sql::Archive;
use crate::report::finding::Finding;
use crate::rule::names::{Part, Sql, TableName};

/// Finds the archive, and says what would keep rows out of it.
pub(super) async fn find(
    session: &mut Session,
    limits: Limits,
    (table, server): (&TableFacts, &ServerFacts),
    text: &str,
    findings: &mut Vec<Finding>,
) -> Result<Option<(Oid, Archive)>, Fault> {
    let name = match TableName::parse(text) {
        Ok(name) => name,
        Err(error) => {
            findings.push(Finding::problem(format!("archive_table: {error}")));
            return Ok(None);
        }
    };
    let found = catalog::table(session, &Frame::look_up(limits), &name).await?;
    let Some(archive) = found else {
        let parts: [(&str, &dyn Part); 2] = [("archive", &name), ("table", &table.name)];
        let statement = Sql::new("create table {archive} (like {table})", &parts).shown();
        findings.push(Finding::problem(format!("there is no archive_table {name}")).run(statement));
        return Ok(None);
    };
    let look = Frame::look(limits);
    let is_below = catalog::is_below(session, &look, table.oid, archive.oid).await?;
    if is_below || matches!(archive.kind, Kind::Other(_)) {
        let why = if is_below && archive.oid != table.oid {
            format!(", because it is a partition or child of {} and would itself be swept", table.name)
        } else {
            String::new()
        };
        findings.push(Finding::problem(format!("{name} cannot be the archive_table{why}: name another table")));
        return Ok(None);
    }
    // Rows that are put into a partitioned table may end up in any of its partitions.
    if archive.kind == Kind::Partitioned && catalog::is_below(session, &look, archive.oid, table.oid).await? {
        findings.push(Finding::problem(format!(
            "{name} cannot be the archive_table, because {} is a partition of it: name another table",
            table.name
        )));
        return Ok(None);
    }
    let ours = catalog::columns(session, &look, table.oid).await?;
    let theirs = catalog::columns(session, &look, archive.oid).await?;
    for column in ours.iter().filter(|column| !theirs.contains(column)) {
        findings.push(Finding::problem(format!("archive_table {name} has no column {column}; add it")));
    }
    if ours.iter().all(|column| theirs.contains(column)) {
        about(&archive.name, catalog::archive(session, &look, archive.oid, &ours).await?, server, findings);
    }
    Ok(Some((archive.oid, Archive { table: archive.name, columns: ours })))
}

/// What would keep rows out of an archive.
fn about(name: &TableName, facts: ArchiveFacts, server: &ServerFacts, findings: &mut Vec<Finding>) {
    if !facts.privileged {
        let sentence = format!("the role may not insert into the archive_table {name}");
        let help = grant("grant insert on {table} to {role}", name, server);
        findings.push(Finding::problem(sentence).run(help));
    }
    if facts.insert_rule {
        let sentence = format!("the archive_table {name} has a rule on insert, whose effect is unknown");
        findings.push(Finding::problem(sentence));
    }
    if facts.row_security && !facts.admitted {
        let sentence =
            format!("row security applies to the archive_table {name}, and no policy lets the role insert into it");
        let help = grant("create policy cleanup on {table} for insert to {role} with check (true)", name, server);
        findings.push(Finding::problem(sentence).run(help));
    } else if facts.row_security {
        findings.push(Finding::warning(format!(
            "row security applies to the archive_table {name}: rows that its policies reject are not removed"
        )));
    }
    if facts.trigger {
        findings.push(Finding::advice(format!(
            "the archive_table {name} has a trigger before insert: if it rejects a row, the sweep fails and the row \
             stays"
        )));
    }
}

/// Has the server plan what a sweep does, and execute nothing: it finds types that do not fit, and whatever else there is.
pub(super) async fn attempt(
    session: &mut Session,
    limits: Limits,
    leaf: &Leaf,
    archive: &Archive,
) -> Result<Option<Finding>, Fault> {
    let explain =
        statement(leaf.statements.explain_places.statement()).bind(0.0).bind(Vec::<String>::new()).bind(None::<String>);
    match session.ask(&Frame::look_up(limits), leaf.statements.with_values(explain)).await {
        Ok(_) => Ok(None),
        Err(Fault::Final(reason) | Fault::Refused(reason) | Fault::Missing(reason)) => {
            let sentence = format!("the archive_table {} cannot take the rows: {reason}", archive.table);
            Ok(Some(Finding::problem(sentence)))
        }
        Err(fault) => Err(fault),
    }
}
