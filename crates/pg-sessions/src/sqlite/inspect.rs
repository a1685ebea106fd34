//! What a SQLite file says about a policy's table: the same questions as for PostgreSQL, asked of pragmas.

use cleanup_core::policy::{SessionPolicy, Test, TimeFormat};
use sqlx::SqlStr;
use sqlx::sqlite::SqliteRow;

use super::moment;
use super::session::{Fault, Session, cell, count, statement};
use super::sql::{self, Form, Pair, Reference, Shape, Statements};
use super::zone::WallClock;
use crate::database::{Inspected, Seen};
use crate::report::finding::{Finding, takes_live_rows_along};
use crate::report::plural;
use crate::rule::clocks::Clock;
use crate::rule::clocks::newest_ahead;
use crate::rule::names::{Identifier, NameError, Part, Sql, TableName};
use crate::rule::time::{Unit, Values, implausible_rows};

const TABLE: &str = "\
select name, type, wr from pragma_table_list where schema = 'main' and name = ?1 collate nocase";

const COLUMNS: &str = "select name, hidden, pk, \"notnull\" from pragma_table_xinfo(?1) order by cid";

const INDEX: &str = "\
select exists (select 1 from pragma_index_list(?1) l join pragma_index_info(l.name) i
  where i.seqno = 0 and i.name = ?2 collate nocase and l.partial = 0)
  or exists (select 1 from pragma_table_info(?1) c where c.pk = 1 and c.name = ?2 collate nocase)";

const TRIGGER: &str = "\
select exists (select 1 from sqlite_schema where type = 'trigger' and tbl_name = ?1 collate nocase)";

const REFERENCES: &str = "\
select m.name, f.id, f.\"from\", f.\"to\", f.on_delete
from sqlite_schema m join pragma_foreign_key_list(m.name) f
where m.type = 'table' and f.\"table\" = ?1 collate nocase order by m.name, f.id, f.seq";

/// What is known of the table once it was found.
#[expect(clippy::struct_excessive_bools, reason = "answers of the file, each to a question of its own")]
pub(crate) struct Ground {
    pub(super) name: TableName,
    pub(super) statements: Statements,
    pub(super) wall_clock: WallClock,
    pub(super) index: bool,
    /// Whether the key is a number that orders the table physically.
    pub(super) rowid: bool,
    /// Whether something could keep rows: triggers, other tables' foreign keys.
    pub(super) keepers: bool,
    pub(super) triggers: bool,
    /// Tables whose rows go along or are changed, and what becomes of them; in the order of their statements.
    pub(super) followers: Vec<(TableName, &'static str)>,
}

struct Column {
    name: Identifier,
    generated: bool,
    primary_key: i64,
    not_null: bool,
}

/// A foreign key of another table.
struct ForeignKey {
    other: Identifier,
    /// Distinguishes the keys of one table.
    id: i64,
    /// What becomes of its rows when ours go, in words; `None` where it keeps ours from going.
    follow: Option<&'static str>,
    pairs: Vec<Pair>,
}

/// Foreign keys of other tables, by what they do when ours go.
#[derive(Default)]
struct References {
    holding: Vec<Reference>,
    following: Vec<Reference>,
    /// Of those, the table and what becomes of its rows.
    words: Vec<(TableName, &'static str)>,
}

/// Looks at everything.
pub(super) async fn inspect(
    session: &mut Session,
    policy: &SessionPolicy,
    clock: &Clock,
) -> Result<Inspected<Ground>, Fault> {
    let mut findings = Vec::new();
    let key = policy.stamp.key();
    let names = match names(policy) {
        Ok(names) => names,
        Err(error) => {
            findings.push(Finding::problem(format!("table, id_column, {key} or where: {error}")));
            return Ok(Inspected::nothing(findings));
        }
    };
    let Some((name, without_rowid)) = find_table(session, &names.table, &mut findings).await? else {
        return Ok(Inspected::nothing(findings));
    };
    let columns = columns(session, &name).await?;
    let Some(found) = find_columns(policy, &name, &columns, &names, &mut findings) else {
        return Ok(Inspected::nothing(findings));
    };
    let Found { id, stamp, asked, wall_clock } = found;
    let column = format!("{name}.{}", shown(&stamp));
    let expression = Sql::stamp(&stamp);
    let looked = look_at_values(session, &name, &expression, &wall_clock).await?;
    let form = match looked.form(policy, &column) {
        Ok(form) => form,
        Err(sentence) => {
            findings.push(Finding::problem(sentence));
            return Ok(Inspected::nothing(findings));
        }
    };
    let (values, newest) = looked.values(form);
    let unit = if let Form::Number(unit) = form { Some(unit) } else { None };
    // The file's clock is this machine's.
    let notes = newest_ahead(newest.map(moment), clock.now(), policy, &column).into_iter();
    let notes = notes.chain(implausible_rows(values.implausible(), false, &column)).collect();
    let mut seen = Seen { implausible: values.implausible(), ..Seen::default() };
    seen.take_down(values.refusal(&policy.rule.name, &column, unit), notes, &mut findings);

    let references = references(session, &name, &columns, &mut findings).await?;
    let archive = match &policy.archive_table {
        Some(text) => find_archive(session, &name, &columns, text, &mut findings).await?,
        None => None,
    };
    let hidden = |candidate: &&str| !columns.iter().any(|column| column.name.as_str().eq_ignore_ascii_case(candidate));
    let rowid = if without_rowid { None } else { ["rowid", "_rowid_", "oid"].into_iter().find(hidden) };
    let key = match rowid {
        Some(rowid) => Sql::new(rowid, &[]),
        None => Sql::new("{id}", &[("id", &id)]),
    };
    // An index on several columns at once is none that pragmas tell of.
    let index = match &stamp[..] {
        [column] => exists(session, INDEX, &[&name.name, column]).await?,
        _ => false,
    };
    if let ([column], false) = (&stamp[..], index) {
        let ix = Identifier::new(format!("ix_{}_{}", name.name.as_str(), column.as_str()));
        let ix = ix.map_err(|error| Fault::Final(error.to_string()))?;
        let parts: [(&str, &dyn Part); 3] = [("ix", &ix), ("table", &name.name), ("column", column)];
        let help = Sql::new("create index {ix} on {table} ({column})", &parts).shown();
        findings.push(
            Finding::advice(format!("no index of {name} starts with {column}: sweeps read the whole table")).run(help),
        );
    }
    let triggers = exists(session, TRIGGER, &[&name.name]).await?;
    let shape = Shape {
        table: &name,
        stamp: &expression,
        asked: &asked,
        id: &id,
        key: &key,
        form,
        zoned: wall_clock.is_zoned(),
        references: &references.holding,
        followers: &references.following,
        archive: archive.as_ref().map(|(table, columns)| (table, &columns[..])),
    };
    let statements = Statements::new(&shape);
    let keepers = triggers || !references.holding.is_empty();
    let ground = Ground {
        name,
        statements,
        wall_clock,
        index,
        rowid: rowid.is_some(),
        keepers,
        triggers,
        followers: references.words,
    };
    Ok(Inspected { ground: Some(ground), findings, seen })
}

/// The columns that the policy names, as the file spells them.
struct Found {
    id: Identifier,
    stamp: Vec<Identifier>,
    asked: Vec<(Identifier, Test)>,
    wall_clock: WallClock,
}

/// `None` when one is missing.
fn find_columns(
    policy: &SessionPolicy,
    name: &TableName,
    columns: &[Column],
    Names { id, stamp, asked, .. }: &Names,
    findings: &mut Vec<Finding>,
) -> Option<Found> {
    let mut find = |key: &str, wanted: &Identifier| {
        let found = columns.iter().find(|column| same(&column.name, wanted));
        if found.is_none() {
            findings.push(Finding::problem(format!("{name} has no column {wanted} ({key})")));
        }
        found
    };
    let id = find("id_column", id);
    let stamp: Vec<_> = stamp.iter().map(|wanted| find(policy.stamp.key(), wanted)).collect();
    let tests = policy.conditions.iter().map(|condition| condition.test.clone());
    let asked: Vec<_> = (asked.iter().zip(tests))
        .map(|(wanted, test)| find("where", wanted).map(|column| (column.name.clone(), test)))
        .collect();
    let stamp = stamp.into_iter().collect::<Option<Vec<&Column>>>()?;
    let asked = asked.into_iter().collect::<Option<_>>()?;
    let id = id?.name.clone();
    let names: Vec<Identifier> = stamp.iter().map(|column| column.name.clone()).collect();
    if stamp.iter().all(|column| !column.not_null) {
        let sentence = format!("{name}.{} may be null; such rows always stay", shown(&names));
        findings.push(Finding::advice(sentence));
    }
    let Some(wall_clock) = WallClock::new(policy.activity_time_zone.as_deref()) else {
        findings.push(Finding::problem("this machine does not know the zone in activity_time_zone".to_owned()));
        return None;
    };
    Some(Found { id, stamp: names, asked, wall_clock })
}

/// The names of a policy, parsed.
struct Names {
    table: TableName,
    id: Identifier,
    stamp: Vec<Identifier>,
    asked: Vec<Identifier>,
}

fn names(policy: &SessionPolicy) -> Result<Names, NameError> {
    let parsed = |column: &String| Identifier::parse(column);
    Ok(Names {
        table: TableName::parse(&policy.table)?,
        id: Identifier::parse(&policy.id_column)?,
        stamp: policy.stamp.columns().iter().map(parsed).collect::<Result<_, _>>()?,
        asked: policy.conditions.iter().map(|condition| parsed(&condition.column)).collect::<Result<_, _>>()?,
    })
}

/// A column, or what of several is looked at, as people read it.
fn shown(columns: &[Identifier]) -> String {
    match columns {
        [column] => column.to_string(),
        columns => {
            let names: Vec<String> = columns.iter().map(ToString::to_string).collect();
            format!("coalesce({})", names.join(", "))
        }
    }
}

/// SQLite takes names without regard to case.
fn same(a: &Identifier, b: &Identifier) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

async fn find_table(
    session: &mut Session,
    name: &TableName,
    findings: &mut Vec<Finding>,
) -> Result<Option<(TableName, bool)>, Fault> {
    let main = Identifier::new("main".to_owned()).map_err(|error| Fault::Final(error.to_string()))?;
    let elsewhere = name.schema.as_ref().is_some_and(|schema| !same(schema, &main));
    let bound = statement(SqlStr::from_static(TABLE)).bind(name.name.as_str().to_owned());
    let row = if elsewhere { None } else { session.all(bound).await?.into_iter().next() };
    let Some(row) = row else {
        findings.push(Finding::problem(format!("there is no table {name}")));
        return Ok(None);
    };
    let found = identifier(&row, 0)?;
    let what = match cell::<String>(&row, 1)?.as_str() {
        "table" if found.as_str().to_ascii_lowercase().starts_with("sqlite_") => "a system table",
        "table" => {
            let without_rowid = cell::<i64>(&row, 2)? != 0;
            return Ok(Some((TableName { schema: Some(main), name: found }, without_rowid)));
        }
        "view" => "a view",
        _ => "a virtual table",
    };
    findings.push(Finding::problem(format!("{found} is {what}; name the table itself")));
    Ok(None)
}

async fn columns(session: &mut Session, table: &TableName) -> Result<Vec<Column>, Fault> {
    let rows = session.all(statement(SqlStr::from_static(COLUMNS)).bind(table.name.as_str().to_owned())).await?;
    rows.iter()
        .map(|row| {
            Ok(Column {
                name: identifier(row, 0)?,
                generated: cell::<i64>(row, 1)? != 0,
                primary_key: cell(row, 2)?,
                not_null: cell::<i64>(row, 3)? != 0,
            })
        })
        .collect()
}

/// What the values of the activity column look like.
struct Looked {
    known: u64,
    text: u64,
    numbers: u64,
    sentinels: u64,
    /// As text, and by [`Unit::ALL`].
    plausible: [u64; 5],
    /// Of those the newest, in seconds since 1970.
    newest: [Option<f64>; 5],
}

/// Looks at all of them: a column that mixes forms cannot be compared.
async fn look_at_values(
    session: &mut Session,
    table: &TableName,
    stamp: &Sql,
    wall_clock: &WallClock,
) -> Result<Looked, Fault> {
    let now = statement(SqlStr::from_static("select strftime('%Y-%m-%d %H:%M:%f', 'now')"));
    let now = wall_clock.both(cell(&session.one(now).await?, 0)?);
    let forms = sql::forms(table, stamp, wall_clock.is_zoned());
    let row = session.one(statement(forms.statement()).bind(now)).await?;
    let mut looked = Looked {
        known: count(&row, 0)?.saturating_sub(count(&row, 1)?),
        text: count(&row, 2)?,
        numbers: count(&row, 3)?,
        sentinels: count(&row, 14)?,
        plausible: [0; 5],
        newest: [None; 5],
    };
    for (index, plausible) in looked.plausible.iter_mut().enumerate() {
        *plausible = count(&row, 4 + index)?;
    }
    for (index, newest) in looked.newest.iter_mut().enumerate() {
        *newest = cell(&row, 9 + index)?;
    }
    Ok(looked)
}

impl Looked {
    /// What the configuration says, else what all values are.
    fn form(&self, policy: &SessionPolicy, column: &str) -> Result<Form, String> {
        let (form, fitting) = match policy.time_format {
            Some(TimeFormat::Timestamp) => {
                return Err("SQLite has no timestamps of its own; leave time_format = \"timestamp\" out".to_owned());
            }
            Some(TimeFormat::Iso8601) => (Form::Text, self.text),
            Some(format) => match Unit::of(format) {
                Some(unit) => (Form::Number(unit), self.numbers),
                None => (Form::Text, self.text),
            },
            None if self.text == self.known => (Form::Text, self.text),
            None => (Form::Number(Unit::Seconds), self.numbers),
        };
        if fitting == self.known {
            return Ok(form);
        }
        let others = self.known.saturating_sub(self.text + self.numbers);
        let wanted = match policy.time_format {
            Some(format) => format!("time_format = \"{}\" needs the same form in all rows", format.key()),
            None => "all rows must have one of the first two forms".to_owned(),
        };
        Err(format!(
            "{column} holds text such as 2026-01-02 03:04:05.678901 in {}, numbers in {}, and other forms in {}; {wanted}",
            plural(self.text, "row"),
            plural(self.numbers, "row"),
            plural(others, "row")
        ))
    }

    /// How the values do in a form, and which of them is the newest.
    fn values(&self, form: Form) -> (Values, Option<f64>) {
        let place = match form {
            Form::Text => 0,
            Form::Number(unit) => 1 + Unit::ALL.iter().position(|other| *other == unit).unwrap_or_default(),
        };
        let [_, as_unit @ ..] = self.plausible;
        // Other units would not help with text, of which there are none.
        let plausible = self.plausible[place];
        let values = Values { known: self.known, sentinels: self.sentinels, plausible, as_unit, estimated: false };
        (values, self.newest[place])
    }
}

/// Other tables' foreign keys; those that act need an index.
async fn references(
    session: &mut Session,
    table: &TableName,
    columns: &[Column],
    findings: &mut Vec<Finding>,
) -> Result<References, Fault> {
    let rows = session.all(statement(SqlStr::from_static(REFERENCES)).bind(table.name.as_str().to_owned())).await?;
    let mut primary: Vec<&Column> = columns.iter().filter(|column| column.primary_key > 0).collect();
    primary.sort_by_key(|column| column.primary_key);

    let mut keys: Vec<ForeignKey> = Vec::new();
    for row in &rows {
        let (other, id) = (identifier(row, 0)?, cell::<i64>(row, 1)?);
        if !keys.last().is_some_and(|last| last.other == other && last.id == id) {
            let action: String = cell(row, 4)?;
            if action == "CASCADE" && same(&other, &table.name) {
                findings.push(Finding::problem(takes_live_rows_along(&other)));
            }
            let follow = match action.as_str() {
                "NO ACTION" | "RESTRICT" => None,
                "CASCADE" => Some("are removed with them (on delete cascade)"),
                "SET NULL" => Some("are set to null with them (on delete set null)"),
                _ => Some("are set to their default with them (on delete set default)"),
            };
            keys.push(ForeignKey { other, id, follow, pairs: Vec::new() });
        }
        let Some(ForeignKey { pairs, .. }) = keys.last_mut() else { continue };
        let ours = match cell::<Option<String>>(row, 3)? {
            Some(name) => Identifier::new(name).ok(),
            None => primary.get(pairs.len()).map(|column| column.name.clone()),
        };
        let ours = ours.ok_or_else(|| Fault::Final("a foreign key points nowhere".to_owned()))?;
        pairs.push(Pair { theirs: identifier(row, 2)?, ours });
    }

    let mut found = References::default();
    for ForeignKey { other, follow, pairs, .. } in keys {
        let first = pairs.first().map(|pair| pair.theirs.clone());
        if let Some(first) = first
            && !exists(session, INDEX, &[&other, &first]).await?
        {
            let ix = Identifier::new(format!("ix_{}_{}", other.as_str(), first.as_str()));
            let ix = ix.map_err(|error| Fault::Final(error.to_string()))?;
            let parts: [(&str, &dyn Part); 3] = [("ix", &ix), ("table", &other), ("column", &first)];
            let help = Sql::new("create index {ix} on {table} ({column})", &parts).shown();
            let sentence = format!(
                "a foreign key of {other} points here without an index: every removed row scans the whole \
                         table"
            );
            findings
                .push(if follow.is_some() { Finding::problem(sentence) } else { Finding::warning(sentence) }.run(help));
        }
        let reference =
            Reference { other: TableName { schema: table.schema.clone(), name: other.clone() }, columns: pairs };
        if let Some(follow) = follow {
            let sentence = format!("when sessions are removed, rows of {other} that refer to them {follow}");
            findings.push(Finding::advice(sentence));
            found.words.push((TableName { schema: None, name: other }, follow));
            found.following.push(reference);
        } else {
            findings.push(Finding::advice(format!("rows that {other} refers to stay")));
            found.holding.push(reference);
        }
    }
    Ok(found)
}

async fn find_archive(
    session: &mut Session,
    table: &TableName,
    ours: &[Column],
    text: &str,
    findings: &mut Vec<Finding>,
) -> Result<Option<(TableName, Vec<Identifier>)>, Fault> {
    let name = match TableName::parse(text) {
        Ok(name) => name,
        Err(error) => {
            findings.push(Finding::problem(format!("archive_table: {error}")));
            return Ok(None);
        }
    };
    let mut own = Vec::new();
    let Some((archive, _)) = find_table(session, &name, &mut own).await? else {
        findings.extend(
            own.into_iter().map(|finding| Finding { sentence: format!("archive_table: {finding}"), ..finding }),
        );
        return Ok(None);
    };
    if archive == *table {
        findings.push(Finding::problem(format!("{name} cannot be the archive_table: name another table")));
        return Ok(None);
    }
    let theirs = columns(session, &archive).await?;
    let written: Vec<Identifier> =
        ours.iter().filter(|column| !column.generated).map(|column| column.name.clone()).collect();
    for column in &written {
        if !theirs.iter().any(|their| same(&their.name, column)) {
            findings.push(Finding::problem(format!("archive_table {name} has no column {column}; add it")));
        }
    }
    Ok(Some((archive, written)))
}

async fn exists(session: &mut Session, sql: &'static str, names: &[&Identifier]) -> Result<bool, Fault> {
    let bound =
        names.iter().fold(statement(SqlStr::from_static(sql)), |bound, name| bound.bind(name.as_str().to_owned()));
    Ok(cell::<i64>(&session.one(bound).await?, 0)? != 0)
}

fn identifier(row: &SqliteRow, index: usize) -> Result<Identifier, Fault> {
    Identifier::new(cell(row, index)?).map_err(|error| Fault::Final(error.to_string()))
}
