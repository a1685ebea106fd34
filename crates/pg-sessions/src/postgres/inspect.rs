//! Looks at the ground before anyone sets foot on it: every reason why a sweep would fail, wait or surprise.
//!
//! The same findings stop a sweep and make up `config check`. A finding of severity *problem* says what to change.

use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::{Partitions, SessionPolicy};
use sqlx::postgres::types::Oid;

use super::catalog::{self, Described, KeyFacts, Kind, LeafFacts, ServerFacts, TableFacts};
use super::columns::Searched;
use super::fault::Fault;
use super::partition::{self, Droppable, Kept};
use super::session::{Frame, Limits, Session};
use super::sql::{Reference, Shape, Statements, Times};
use super::{archive, columns, values};
use crate::database::{Inspected, Seen};
use crate::report::finding::{Finding, Severity, takes_live_rows_along};
use crate::rule::clocks::{Clock, Clocks, tolerance};
use crate::rule::names::{Identifier, Part, Sql, TableName};

/// What a look at the catalog may take, whatever the role's own limit: it must come to an end to say anything.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Older servers are not asked anything more: they lack settings and columns of the catalog that are taken for granted.
pub(super) const OLDEST: i32 = 120_000;

/// What is known of the table once it was found; what a sweep stands on.
pub(crate) struct Ground {
    pub(super) server: ServerFacts,
    pub(super) table: TableFacts,
    pub(super) leaves: Vec<Leaf>,
    /// For looks: estimates, counts of what is left.
    pub(super) look: Frame,
}

/// One table that holds rows, with its statements.
pub(super) struct Leaf {
    pub(super) facts: LeafFacts,
    pub(super) statements: Statements,
    /// Whether rows of other tables keep rows here.
    pub(super) referenced: bool,
    pub(super) steering: Steering,
    /// Tables whose rows go along or are changed, and what becomes of them; in the order of their statements.
    pub(super) followers: Vec<(TableName, &'static str)>,
    /// The same tables with their numbers, where the server counts what a batch does to them, and whether rows go along.
    pub(super) counted: Vec<Counted>,
    /// Why row security keeps the role from all of it.
    pub(super) hidden: Option<String>,
    /// Whether it may be dropped as a whole, where the policy says so and it is a partition.
    pub(super) partition: Option<Result<Droppable, Kept>>,
}

/// A table whose rows go along with ours, or are changed.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    /// `None` where the server does not count what becomes of its rows.
    pub(super) oid: Option<Oid>,
    pub(super) table: TableName,
    pub(super) goes: bool,
    /// What happens to its rows, as text.
    pub(super) follow: &'static str,
}

/// How the planner is held to the strategy. Its switches reach everything that a transaction plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steering {
    /// By switches: nothing but our own statement is planned.
    Whole,
    /// By switches while rows are picked, and not while they are deleted, which sets triggers or foreign keys in motion. Not at
    /// all as long as the planner goes that way by itself: one statement then does, and locks no row twice.
    Picking,
    /// Not at all: our own statement asks other tables, and there the planner must be free to choose.
    None,
}

impl Steering {
    /// `holds` where rows of other tables keep rows of this one.
    fn of(leaf: &LeafFacts, holds: bool, archive_fires: bool) -> Self {
        if holds || leaf.row_security {
            Self::None
        } else if leaf.fires || archive_fires {
            Self::Picking
        } else {
            Self::Whole
        }
    }
}

/// Looks at everything.
pub(super) async fn inspect(
    session: &mut Session,
    policy: &SessionPolicy,
    clock: &Clock,
) -> Result<Inspected<Ground>, Fault> {
    let limits = Limits { lock: policy.lock_timeout, statement: Some(LOOK_LIMIT) };
    let look = Frame::look(limits);
    let mut findings = Vec::new();

    let asked = clock.now();
    let server = catalog::server(session, limits).await?;
    let clocks = Clocks::new(server.now, asked, clock.now(), tolerance(policy));
    about_server(&server, &mut findings);
    findings.extend(clocks.finding());
    if server.version < OLDEST {
        return Ok(Inspected::nothing(findings));
    }
    let key = policy.stamp.key();
    let Ok((name, (id, columns))) = TableName::parse(&policy.table)
        .and_then(|name| Ok((name, catalog::column_names(policy)?)))
        .inspect_err(|error| findings.push(Finding::problem(format!("table, id_column or {key}: {error}"))))
    else {
        return Ok(Inspected::nothing(findings));
    };
    let Some(table) = find_table(session, limits, &name, &mut findings).await? else {
        return Ok(Inspected::nothing(findings));
    };
    let Described { columns: found, leaves, keys } =
        describe(session, policy, (&look, table.oid), (&id, &columns)).await?;
    let searched = Searched { policy, table: &table, look: &look, columns: &found };
    let Some(times) = columns::find_times(session, &searched, (&id, &columns), &mut findings).await? else {
        return Ok(Inspected::nothing(findings));
    };
    let asked = columns::find_asked(session, &searched, &mut findings).await?;

    about_leaves((&table, &leaves), &keys, &server, &columns, &mut findings);
    let archive = match &policy.archive_table {
        Some(archive) => archive::find(session, limits, (&table, &server), archive, &mut findings).await?,
        None => None,
    };
    let archive_fires = match &archive {
        Some((oid, _)) => catalog::fires_on_insert(session, &look, *oid).await?,
        None => false,
    };

    let mut partitions = match policy.partitions {
        Partitions::Delete => Vec::new(),
        Partitions::Drop => {
            find_partitions(session, &look, (&table, &leaves), (&columns, &times), server.now, &mut findings).await?
        }
    };

    let stamp = Sql::stamp(&columns);
    let leaf = |facts: LeafFacts| {
        let place = partitions.iter().position(|(oid, _)| *oid == facts.oid);
        let partition = place.map(|place| partitions.swap_remove(place).1);
        let droppable = partition.as_ref().and_then(|partition| partition.as_ref().ok());
        let holding = keys.iter().filter(|key| key.leaf == facts.oid && !key.acts);
        let references: Vec<Reference> = holding.map(|key| key.reference.clone()).collect();
        let following = || keys.iter().filter(|key| key.leaf == facts.oid && key.acts && key.readable);
        let follow: Vec<Reference> = following().map(|key| key.reference.clone()).collect();
        let followers = following().map(|key| (key.reference.other.clone(), key.follow)).collect();
        let shape = Shape {
            table: &facts.name,
            stamp: &stamp,
            asked: &asked,
            times: &times,
            references: &references,
            followers: &follow,
            archive: archive.as_ref().map(|(_, archive)| archive),
            is_indexed: facts.index,
            member: (facts.oid != table.oid).then_some((facts.oid.0.into(), table.oid.0.into())),
            parent: droppable.map(|droppable| (&droppable.parent, droppable.parent_oid.0.into())),
        };
        let holds = !references.is_empty();
        Leaf {
            statements: Statements::new(&shape),
            referenced: holds,
            steering: Steering::of(&facts, holds, archive_fires),
            followers,
            counted: counted(&keys, &facts, &server),
            hidden: hidden(&facts, &table),
            partition,
            facts,
        }
    };
    let leaves: Vec<Leaf> = leaves.into_iter().map(leaf).collect();
    if let (Some(leaf), Some((_, archive)), false) = (leaves.first(), &archive, has_problem(&findings)) {
        findings.extend(archive::attempt(session, limits, leaf, archive).await?);
    }
    let ground = Ground { server, table, leaves, look };
    let mut seen = seen_of(&clocks);
    // Rows that may not be looked at say nothing.
    if !has_problem(&findings) {
        let column = format!("{}.{}", ground.table.name, named(&columns));
        let looked = values::look(session, &ground).await?;
        let unit = if let Times::Number(unit, _) = times { Some(unit) } else { None };
        let refusal = looked.values.refusal(&policy.rule.name, &column, unit);
        seen.take_down(refusal, looked.notes(policy, ground.server.now, &column), &mut findings);
        seen.implausible = looked.implausible;
    }
    Ok(Inspected { ground: Some(ground), findings, seen })
}

async fn describe(
    session: &mut Session,
    policy: &SessionPolicy,
    (look, table): (&Frame, Oid),
    (id, stamp): (&Identifier, &[Identifier]),
) -> Result<Described, Fault> {
    let conditions: Vec<Identifier> =
        policy.conditions.iter().filter_map(|condition| Identifier::parse(&condition.column).ok()).collect();
    let sought: Vec<&Identifier> = std::iter::once(id).chain(stamp).chain(&conditions).collect();
    catalog::describe(session, look, table, (&sought, stamp)).await
}

/// The tables whose rows follow those of a leaf.
fn counted(keys: &[KeyFacts], leaf: &LeafFacts, server: &ServerFacts) -> Vec<Counted> {
    let mut counted: Vec<Counted> = Vec::new();
    for key in keys.iter().filter(|key| key.leaf == leaf.oid && key.acts) {
        // By two keys of one table the same rows may go.
        if !counted.iter().any(|known| known.table == key.reference.other && known.goes == key.takes_along) {
            let oid = key.other.filter(|_| server.tracks_counts);
            let table = key.reference.other.clone();
            counted.push(Counted { oid, table, goes: key.takes_along, follow: key.follow });
        }
    }
    counted
}

/// Which leaves may be dropped, and what is worth saying about the others.
async fn find_partitions(
    session: &mut Session,
    look: &Frame,
    (table, leaves): (&TableFacts, &[LeafFacts]),
    stamp: (&[Identifier], &Times),
    now: Moment,
    findings: &mut Vec<Finding>,
) -> Result<Vec<(Oid, Result<Droppable, Kept>)>, Fault> {
    let facts = catalog::partitions(session, look, leaves.iter().map(|leaf| leaf.oid).collect(), stamp.0).await?;
    if facts.is_empty() {
        let sentence = format!("{} has no partitions, so partitions = \"drop\" does nothing", table.name);
        findings.push(Finding::warning(sentence));
    }
    let mut found = Vec::new();
    for facts in &facts {
        let Some(leaf) = leaves.iter().find(|leaf| leaf.oid == facts.oid) else { continue };
        let partition = partition::may_drop(facts, leaf, table, stamp, now);
        if let Err(Some(why)) = &partition {
            let sentence = format!("rows of {} are deleted, and it is never dropped: {why}", leaf.name);
            findings.push(Finding::warning(sentence));
        }
        found.push((leaf.oid, partition));
    }
    Ok(found)
}

fn seen_of(clocks: &Clocks) -> Seen {
    let notes = clocks.difference().into_iter().collect();
    Seen { notes, clock_ahead_seconds: Some(clocks.ahead_seconds()), ..Seen::default() }
}

/// A column, or what of several is looked at, as people read it.
pub(super) fn named(columns: &[Identifier]) -> String {
    match columns {
        [column] => column.to_string(),
        columns => {
            let names: Vec<String> = columns.iter().map(ToString::to_string).collect();
            format!("coalesce({})", names.join(", "))
        }
    }
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
        sentence = format!("there is no table {name}; names are case-sensitive, and {folded} exists");
    }
    findings.push(Finding::problem(sentence));
    Ok(None)
}

fn about_leaves(
    (table, leaves): (&TableFacts, &[LeafFacts]),
    keys: &[KeyFacts],
    server: &ServerFacts,
    columns: &[Identifier],
    findings: &mut Vec<Finding>,
) {
    for leaf in leaves {
        about_leaf(leaf, server, columns, findings);
        about_row_security(leaf, table, server, findings);
    }
    for key in keys {
        let other = &key.reference.other;
        if key.takes_along && (*other == table.name || leaves.iter().any(|leaf| leaf.name == *other)) {
            findings.push(Finding::problem(takes_live_rows_along(other)));
        }
        about_key(key, &server.role, findings);
    }
}

fn about_leaf(leaf: &LeafFacts, server: &ServerFacts, columns: &[Identifier], findings: &mut Vec<Finding>) {
    let name = &leaf.name;
    if !leaf.is_table {
        findings.push(Finding::problem(format!("{name} is not a table of this server; its rows cannot be removed")));
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
        findings.push(Finding::problem(format!("{name} has a rule on delete, whose effect is unknown")));
    }
    if leaf.triggers {
        findings.push(Finding::advice(format!("{name} has a trigger before delete; rows that it protects stay")));
    }
    if !leaf.index {
        let led_by = named(columns);
        let expression = Sql::joined(columns.iter().map(|column| column as &dyn Part), ", ");
        let parts: [(&str, &dyn Part); 2] = [("table", name), ("column", &expression)];
        let template = match columns {
            [_] => "create index concurrently on {table} ({column})",
            _ => "create index concurrently on {table} ((coalesce({column})))",
        };
        let statement = Sql::new(template, &parts).shown();
        findings.push(if server.version >= 140_000 {
            let sentence = format!(
                "no index of {name} starts with {led_by}: sweeps read the whole table in physical order, which needs \
                 none; an index helps if the table is large and few rows expire, but slows down every update"
            );
            Finding::advice(sentence).run(statement)
        } else {
            Finding::warning(format!("no index of {name} starts with {led_by}: every batch is slow")).run(statement)
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
        let sentence = "row security applies to";
        let lacks = |command: &str| leaf.forbidden.iter().any(|forbidden| forbidden == command);
        findings.push(Finding::warning(if lacks("delete") {
            format!("{sentence} {name}, and no policy lets the role delete its rows; they stay")
        } else {
            format!("{sentence} {name}: its policies filter rows, and hidden rows stay")
        }));
        if lacks("update") && !lacks("delete") {
            findings.push(Finding::advice(format!(
                "no policy of {name} lets the role update its rows, which locking a row requires: rows next to a \
                 locked row stay until the next run"
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
            "row security applies to {} but not to its partition {name}, which is swept directly: hidden rows would \
             be removed; enable row security on the partition as well, or use a role that bypasses it",
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
            format!("a foreign key of {other} points here without an index: every removed row scans the whole table");
        findings.push(if key.acts { Finding::problem(sentence) } else { Finding::warning(sentence) }.run(statement));
    }
    if key.acts {
        findings.push(Finding::advice(format!(
            "when sessions are removed, rows of {other} that refer to them {}",
            key.follow
        )));
    } else {
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

pub(super) fn grant(template: &'static str, table: &TableName, server: &ServerFacts) -> String {
    match Identifier::new(server.role.clone()) {
        Ok(role) => Sql::new(template, &[("table", table), ("role", &role)]).shown(),
        Err(_) => String::new(),
    }
}
