//! Looks at the ground before anyone sets foot on it: every reason why a sweep would fail, wait or surprise.
//!
//! The same findings stop a sweep and make up `config check`. A finding of severity *problem* says what to change.

use std::time::Duration;

use cleanup_core::policy::{SessionPolicy, TimeFormat};
use sqlx::SqlStr;
use sqlx::postgres::types::Oid;

use super::catalog::{self, ArchiveFacts, KeyFacts, Kind, LeafFacts, ServerFacts, TableFacts};
use super::fault::Fault;
use super::session::{Frame, Limits, Session, statement};
use super::sql::{Archive, Number, Reference, Shape, Statements, Times};
use super::values;
use crate::Clock;
use crate::check::{Clocks, Finding, Severity, tolerance};
use crate::table::{Identifier, Part, Sql, TableName, Zone};
use crate::time::Unit;

/// What a look at the catalog may take, whatever the role's own limit: it must come to an end to say anything.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Older servers are not asked anything more: they lack settings and columns of the catalog that are taken for granted.
const OLDEST: i32 = 120_000;

/// What is known of the table once it was found; what a sweep stands on.
pub(super) struct Ground {
    pub(super) server: ServerFacts,
    pub(super) table: TableFacts,
    pub(super) leaves: Vec<Leaf>,
    /// For looks: estimates, counts of what is left.
    pub(super) look: Frame,
    /// The server's clock beside ours.
    pub(super) clocks: Clocks,
    /// Rows that have no plausible time, as far as they were come across.
    pub(super) implausible: u64,
    /// What looks wrong, in sentences.
    pub(super) notes: Vec<String>,
    /// Whether nothing may be removed because most values are no times.
    pub(super) is_refused: bool,
}

/// One table that holds rows, with its statements.
pub(super) struct Leaf {
    pub(super) facts: LeafFacts,
    pub(super) statements: Statements,
    /// Whether rows of other tables keep rows here.
    pub(super) referenced: bool,
    pub(super) steering: Steering,
    /// Why row security keeps the role from all of it.
    pub(super) hidden: Option<String>,
}

/// How the planner is held to the way that was chosen. Its switches reach everything that a transaction plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steering {
    /// By switches: nothing but our own statement is planned.
    Whole,
    /// By switches while rows are picked, and not while they are deleted, which sets triggers or foreign keys in motion.
    Picking,
    /// Not at all: our own statement asks other tables, and there the planner must be free to choose.
    None,
}

/// Looks at everything. Without a ground there is no such table or column, and the findings say so.
pub(super) async fn inspect(
    session: &mut Session,
    policy: &SessionPolicy,
    clock: &Clock,
) -> Result<(Option<Ground>, Vec<Finding>), Fault> {
    let limits = Limits { lock: policy.lock_timeout, statement: Some(LOOK_LIMIT) };
    let look = Frame::look(limits);
    let mut findings = Vec::new();

    let asked = clock.now();
    let server = catalog::server(session, &Frame::first_look(limits)).await?;
    let clocks = Clocks::new(server.now, asked, clock.now(), tolerance(policy));
    about_server(&server, &mut findings);
    findings.extend(clocks.finding());
    if server.version < OLDEST {
        return Ok((None, findings));
    }
    let Ok((name, (id, activity))) = TableName::parse(&policy.table)
        .and_then(|name| Ok((name, catalog::column_names(policy)?)))
        .inspect_err(|error| findings.push(Finding::problem(format!("table, id_column or activity_column: {error}"))))
    else {
        return Ok((None, findings));
    };
    let Some(table) = find_table(session, limits, &name, &mut findings).await? else { return Ok((None, findings)) };
    let Some(times) = find_columns(session, &look, policy, &table, (&id, &activity), &mut findings).await? else {
        return Ok((None, findings));
    };

    let leaves = catalog::leaves(session, &look, table.oid, &activity).await?;
    let keys = catalog::keys(session, &look, leaves.iter().map(|leaf| leaf.oid).collect()).await?;
    for leaf in &leaves {
        about_leaf(leaf, &server, &activity, &mut findings);
        about_row_security(leaf, &table, &server, &mut findings);
    }
    for key in &keys {
        about_key(key, &server.role, &mut findings);
    }
    let archive = match &policy.archive_table {
        Some(archive) => find_archive(session, limits, (&table, &server), archive, &mut findings).await?,
        None => None,
    };
    let archive_fires = match &archive {
        Some((oid, _)) => catalog::fires_on_insert(session, &look, *oid).await?,
        None => false,
    };

    let leaf = |facts: LeafFacts| {
        let holding = keys.iter().filter(|key| key.leaf == facts.oid && !key.acts);
        let references: Vec<Reference> = holding.map(|key| key.reference.clone()).collect();
        let shape = Shape {
            table: &facts.name,
            activity: &activity,
            times: &times,
            references: &references,
            archive: archive.as_ref().map(|(_, archive)| archive),
            member: (facts.oid != table.oid).then_some((facts.oid.0.into(), table.oid.0.into())),
        };
        let holds = !references.is_empty();
        let steering = if holds || facts.row_security {
            Steering::None
        } else if facts.fires || archive_fires {
            Steering::Picking
        } else {
            Steering::Whole
        };
        Leaf { statements: Statements::new(&shape), referenced: holds, steering, hidden: hidden(&facts, &table), facts }
    };
    let leaves: Vec<Leaf> = leaves.into_iter().map(leaf).collect();
    if let (Some(leaf), Some((_, archive)), false) = (leaves.first(), &archive, has_problem(&findings)) {
        findings.extend(try_archive(session, limits, leaf, archive).await?);
    }
    let mut ground =
        Ground { server, table, leaves, look, clocks, implausible: 0, notes: Vec::new(), is_refused: false };
    ground.notes.extend(clocks.difference());
    // Rows that may not be looked at say nothing.
    if !has_problem(&findings) {
        let column = format!("{}.{activity}", ground.table.name);
        let seen = values::look(session, &ground).await?;
        let unit = if let Times::Number(unit, _) = times { Some(unit) } else { None };
        if let Some(refusal) = seen.values.refusal(&policy.rule.name, &column, unit) {
            ground.is_refused = true;
            ground.notes.push(refusal.clone());
            findings.push(Finding::problem(refusal));
        } else {
            let notes = seen.notes(policy, ground.server.now, &column);
            findings.extend(notes.iter().cloned().map(Finding::warning));
            ground.notes.extend(notes);
        }
        ground.implausible = seen.implausible;
    }
    Ok((Some(ground), findings))
}

fn has_problem(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Problem)
}

fn about_server(server: &ServerFacts, findings: &mut Vec<Finding>) {
    if server.version < OLDEST {
        findings.push(Finding::problem("the server is older than PostgreSQL 12".to_owned()));
    }
    if server.standby {
        findings.push(Finding::problem("this server is a read-only standby; give the url of the primary".to_owned()));
    } else if server.read_only {
        let sentence = "default_transaction_read_only is on for this role or database, so nothing can be removed";
        findings.push(Finding::problem(sentence.to_owned()));
    }
}

async fn find_table(
    session: &mut Session,
    limits: Limits,
    name: &TableName,
    findings: &mut Vec<Finding>,
) -> Result<Option<TableFacts>, Fault> {
    let look_up = Frame::look_up(limits);
    if let Some(table) = catalog::table(session, &look_up, name).await? {
        if let Kind::Other(what) = table.kind {
            findings.push(Finding::problem(format!("{} is {what}; name the table itself", table.name)));
            return Ok(None);
        }
        return Ok(Some(table));
    }
    let mut sentence = format!("there is no table {name}, or the role may not see it");
    if let Ok(folded) = TableName::parse(&name.to_string().to_lowercase())
        && folded != *name
        && catalog::table(session, &look_up, &folded).await?.is_some()
    {
        sentence = format!("there is no table {name}; names are taken as they are written, and there is {folded}");
    }
    findings.push(Finding::problem(sentence));
    Ok(None)
}

/// How the activity column holds time; `None` when it cannot be used.
async fn find_columns(
    session: &mut Session,
    look: &Frame,
    policy: &SessionPolicy,
    table: &TableFacts,
    (id, activity): (&Identifier, &Identifier),
    findings: &mut Vec<Finding>,
) -> Result<Option<Times>, Fault> {
    let name = &table.name;
    if catalog::column(session, look, table.oid, id).await?.is_none() {
        findings.push(Finding::problem(format!("{name} has no column {id} (id_column)")));
        return Ok(None);
    }
    let Some(column) = catalog::column(session, look, table.oid, activity).await? else {
        findings.push(Finding::problem(format!("{name} has no column {activity} (activity_column)")));
        return Ok(None);
    };
    if !column.not_null {
        findings.push(Finding::advice(format!("{name}.{activity} may be null; such rows always stay")));
    }
    let number = match column.base_type.as_str() {
        "integer" | "bigint" => Some(Number::Whole),
        "double precision" => Some(Number::Float),
        "numeric" => Some(Number::Numeric),
        _ => None,
    };
    if let Some(number) = number {
        return Ok(numbers(policy, number, &format!("{name}.{activity} is of type {}", column.shown_type), findings));
    }
    if let Some(format) = policy.time_format
        && format != TimeFormat::Timestamp
    {
        let sentence = format!(
            "{name}.{activity} is of type {}, which time_format = \"{}\" does not fit; leave time_format out",
            column.shown_type,
            format.key()
        );
        findings.push(Finding::problem(sentence));
        return Ok(None);
    }
    match (column.base_type.as_str(), &policy.activity_time_zone) {
        ("timestamp with time zone", None) => Ok(Some(Times::Absolute)),
        ("timestamp with time zone", Some(_)) => {
            let sentence = format!("{name}.{activity} has a time zone of its own; activity_time_zone is not needed");
            findings.push(Finding::advice(sentence));
            Ok(Some(Times::Absolute))
        }
        ("timestamp without time zone", Some(text)) => {
            let zone = Zone::parse(text);
            let bound = statement(SqlStr::from_static("select (now() at time zone $1)::text")).bind(text.clone());
            if zone.is_some() && matches!(session.ask(look, bound).await, Ok(_) | Err(Fault::Away(_))) {
                return Ok(zone.map(Times::Local));
            }
            findings.push(Finding::problem("activity_time_zone is no zone that the database knows".to_owned()));
            Ok(None)
        }
        ("timestamp without time zone", None) => {
            let sentence = format!(
                "{name}.{activity} is a timestamp without time zone; set activity_time_zone to the zone that the \
                 application writes, such as \"UTC\""
            );
            findings.push(Finding::problem(sentence));
            Ok(None)
        }
        _ => {
            let sentence = format!(
                "{name}.{activity} is of type {}, and has to be a timestamp, integer, bigint, double precision or numeric; \
                 name a column that is (one that holds when a session ends will do, with max_idle = \"1s\"), or add a stored \
                 generated column of such a type",
                column.shown_type
            );
            findings.push(Finding::problem(sentence));
            Ok(None)
        }
    }
}

/// A column of numbers, which count Unix seconds unless the configuration says otherwise.
fn numbers(policy: &SessionPolicy, number: Number, column: &str, findings: &mut Vec<Finding>) -> Option<Times> {
    if policy.activity_time_zone.is_some() {
        findings.push(Finding::advice(format!("{column}: numbers have no time zone; leave activity_time_zone out")));
    }
    let format = policy.time_format.unwrap_or(TimeFormat::Seconds);
    let unit = Unit::of(format);
    if unit.is_none() {
        let sentence =
            format!("{column}, which time_format = \"{}\" does not fit; leave time_format out", format.key());
        findings.push(Finding::problem(sentence));
    }
    unit.map(|unit| Times::Number(unit, number))
}

fn about_leaf(leaf: &LeafFacts, server: &ServerFacts, activity: &Identifier, findings: &mut Vec<Finding>) {
    let name = &leaf.name;
    if !leaf.is_table {
        findings.push(Finding::problem(format!("{name} is no table of this server; its rows cannot be removed")));
        return;
    }
    if !leaf.privileged {
        let sentence = format!("the role may not select, update (for row locks) and delete on {name}");
        findings.push(Finding::problem(sentence).run(grant(
            "grant select, update, delete on {table} to {role}",
            name,
            server,
        )));
    }
    if leaf.delete_rule {
        findings.push(Finding::problem(format!("{name} has a rule on delete; what it would do is unknown")));
    }
    if leaf.triggers {
        findings.push(Finding::advice(format!("{name} has a trigger before delete; rows that it keeps stay")));
    }
    if !leaf.index {
        let parts: [(&str, &dyn Part); 2] = [("table", name), ("column", activity)];
        let statement = Sql::new("create index concurrently on {table} ({column})", &parts).shown();
        findings.push(if server.version >= 140_000 {
            let sentence = format!(
                "no index of {name} is led by {activity}: sweeps read the whole table in physical order, which needs \
                 none; an index helps when the table is large and few rows expire, and costs at every touch"
            );
            Finding::advice(sentence).run(statement)
        } else {
            Finding::warning(format!("no index of {name} is led by {activity}: every batch is slow")).run(statement)
        });
    }
}

/// Row security filters in silence: what it hides is neither counted nor removed, and looks as if it were not there.
fn about_row_security(leaf: &LeafFacts, table: &TableFacts, server: &ServerFacts, findings: &mut Vec<Finding>) {
    let name = &leaf.name;
    if let Some(sentence) = hidden(leaf, table) {
        let role = Identifier::new(server.role.clone()).ok();
        let parts: Option<[(&str, &dyn Part); 2]> =
            role.as_ref().map(|role| [("table", name as &dyn Part), ("role", role)]);
        let policy = "create policy cleanup on {table} to {role} using (true)";
        let statement = parts.filter(|_| leaf.row_security).map(|parts| Sql::new(policy, &parts).shown());
        findings.push(Finding { statement, ..Finding::warning(sentence) });
    } else if leaf.row_security {
        let sentence = "row security applies on";
        let lacks = |command: &str| leaf.forbidden.iter().any(|forbidden| forbidden == command);
        findings.push(Finding::warning(if lacks("delete") {
            format!("{sentence} {name}, and no policy lets the role delete its rows; they stay")
        } else {
            format!("{sentence} {name}: its policies are a filter, and rows that they hide stay")
        }));
        if lacks("update") && !lacks("delete") {
            findings.push(Finding::advice(format!(
                "no policy of {name} lets the role update its rows, as it takes to lock one: rows beside one that somebody \
                 has locked stay until the next run"
            )));
        }
    }
}

/// Why the role sees none of a table's rows, or would see more than it may.
fn hidden(leaf: &LeafFacts, table: &TableFacts) -> Option<String> {
    let name = &leaf.name;
    if leaf.row_security {
        let blind = leaf.forbidden.iter().any(|command| command == "select");
        return blind
            .then(|| format!("row security hides all rows of {name} from this role: no policy lets it see any"));
    }
    // A policy on the table is not asked when somebody names the partition.
    (table.row_security && leaf.oid != table.oid).then(|| {
        format!(
            "row security applies on {} and not on its partition {name}, which is swept by itself: rows that are hidden \
             there would be removed here; enable row security on the partition as well, or use a role that bypasses it",
            table.name
        )
    })
}

fn about_key(key: &KeyFacts, role: &str, findings: &mut Vec<Finding>) {
    let other = &key.reference.other;
    if !key.index {
        let columns = Sql::joined(key.reference.columns.iter().map(|pair| &pair.theirs as &dyn Part), ", ");
        let parts: [(&str, &dyn Part); 2] = [("table", other), ("columns", &columns)];
        let statement = Sql::new("create index concurrently on {table} ({columns})", &parts).shown();
        let sentence =
            format!("a foreign key of {other} points here without an index: every removed row reads all of it");
        findings.push(if key.acts { Finding::problem(sentence) } else { Finding::warning(sentence) }.run(statement));
    }
    if !key.acts {
        findings.push(Finding::advice(format!("rows that {other} refers to stay")));
        if !key.readable {
            let role = Identifier::new(role.to_owned()).ok();
            let parts: Option<[(&str, &dyn Part); 2]> =
                role.as_ref().map(|role| [("table", other as &dyn Part), ("role", role)]);
            let statement = parts.map(|parts| Sql::new("grant select on {table} to {role}", &parts).shown());
            let sentence = format!("the role may not select on {other}, whose foreign key points here");
            findings.push(Finding { statement, ..Finding::problem(sentence) });
        }
    }
}

async fn find_archive(
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
            format!(", because it is a partition or child of {} and would be swept itself", table.name)
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
        about_archive(&archive.name, catalog::archive(session, &look, archive.oid, &ours).await?, server, findings);
    }
    Ok(Some((archive.oid, Archive { table: archive.name, columns: ours })))
}

/// What would keep rows out of an archive.
fn about_archive(name: &TableName, facts: ArchiveFacts, server: &ServerFacts, findings: &mut Vec<Finding>) {
    if !facts.privileged {
        let sentence = format!("the role may not insert into the archive_table {name}");
        let help = grant("grant insert on {table} to {role}", name, server);
        findings.push(Finding::problem(sentence).run(help));
    }
    if facts.insert_rule {
        let sentence = format!("the archive_table {name} has a rule on insert; what it would do is unknown");
        findings.push(Finding::problem(sentence));
    }
    if facts.row_security && !facts.admitted {
        let sentence =
            format!("row security applies on the archive_table {name}, and no policy lets the role insert into it");
        let help = grant("create policy cleanup on {table} for insert to {role} with check (true)", name, server);
        findings.push(Finding::problem(sentence).run(help));
    } else if facts.row_security {
        findings.push(Finding::warning(format!(
            "row security applies on the archive_table {name}: rows that its policies do not let in are not removed"
        )));
    }
    if facts.trigger {
        findings.push(Finding::advice(format!(
            "the archive_table {name} has a trigger before insert: where it keeps a row out, the sweep fails and the row \
             stays"
        )));
    }
}

/// Has the server plan what a sweep does, and execute nothing: it finds types that do not fit, and whatever else there is.
async fn try_archive(
    session: &mut Session,
    limits: Limits,
    leaf: &Leaf,
    archive: &Archive,
) -> Result<Option<Finding>, Fault> {
    let explain =
        statement(leaf.statements.explain_places.statement()).bind(0.0).bind(Vec::<String>::new()).bind(None::<String>);
    match session.ask(&Frame::look_up(limits), explain).await {
        Ok(_) => Ok(None),
        Err(Fault::Final(reason) | Fault::Refused(reason) | Fault::Missing(reason)) => {
            let sentence = format!("the archive_table {} cannot take the rows: {reason}", archive.table);
            Ok(Some(Finding::problem(sentence)))
        }
        Err(fault) => Err(fault),
    }
}

fn grant(template: &'static str, table: &TableName, server: &ServerFacts) -> String {
    match Identifier::new(server.role.clone()) {
        Ok(role) => Sql::new(template, &[("table", table), ("role", &role)]).shown(),
        Err(_) => String::new(),
    }
}
