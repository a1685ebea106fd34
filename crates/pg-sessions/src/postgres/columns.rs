//! The columns that a policy names: whether they are there, how they hold time, and how they are compared.

use cleanup_core::policy::{SessionPolicy, Test, TimeFormat};
use sqlx::SqlStr;

use super::catalog::{ColumnFacts, TableFacts};
use super::fault::Fault;
use super::inspect::named;
use super::session::{Frame, Session, statement};
use super::sql::{Asked, Compared, Number, Times};
use crate::report::finding::Finding;
use crate::rule::names::{Identifier, Zone};
use crate::rule::time::Unit;

/// Where columns are looked for.
pub(super) struct Searched<'a> {
    pub(super) policy: &'a SessionPolicy,
    pub(super) table: &'a TableFacts,
    pub(super) look: &'a Frame,
    /// Those that are there.
    pub(super) columns: &'a [ColumnFacts],
}

impl Searched<'_> {
    fn column(&self, name: &Identifier) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| column.name == *name)
    }
}

/// How the columns of the stamp hold time; `None` when they cannot be used.
pub(super) async fn find_times(
    session: &mut Session,
    searched: &Searched<'_>,
    (id, stamp): (&Identifier, &[Identifier]),
    findings: &mut Vec<Finding>,
) -> Result<Option<Times>, Fault> {
    let Searched { policy, table, look, columns: _ } = *searched;
    let name = &table.name;
    if searched.column(id).is_none() {
        findings.push(Finding::problem(format!("{name} has no column {id} (id_column)")));
        return Ok(None);
    }
    let key = policy.stamp.key();
    let mut found = Vec::new();
    for activity in stamp {
        match searched.column(activity) {
            Some(column) => found.push(column),
            None => findings.push(Finding::problem(format!("{name} has no column {activity} ({key})"))),
        }
    }
    let [column, others @ ..] = &found[..] else { return Ok(None) };
    if found.len() < stamp.len() {
        return Ok(None);
    }
    let activity = named(stamp);
    if let Some(other) = others.iter().find(|other| other.base_type != column.base_type) {
        findings.push(Finding::problem(format!(
            "the columns of {name}.{activity} are of the types {} and {}; {key} needs one type for all",
            column.shown_type, other.shown_type
        )));
        return Ok(None);
    }
    if found.iter().all(|column| !column.not_null) {
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
            let sentence = format!("{name}.{activity} has its own time zone; remove activity_time_zone");
            findings.push(Finding::advice(sentence));
            Ok(Some(Times::Absolute))
        }
        ("timestamp without time zone", Some(text)) => {
            let zone = Zone::parse(text);
            let bound = statement(SqlStr::from_static("select (now() at time zone $1)::text")).bind(text.clone());
            if zone.is_some() && matches!(session.ask(look, bound).await, Ok(_) | Err(Fault::Away(_))) {
                return Ok(zone.map(Times::Local));
            }
            findings.push(Finding::problem("the database does not know the zone in activity_time_zone".to_owned()));
            Ok(None)
        }
        ("timestamp without time zone", None) => {
            let sentence = format!(
                "{name}.{activity} is a timestamp without time zone; set activity_time_zone to the zone in which the \
                 application writes, such as \"UTC\""
            );
            findings.push(Finding::problem(sentence));
            Ok(None)
        }
        _ => {
            let sentence = format!(
                "{name}.{activity} is of type {}, but must be a timestamp, integer, bigint, double precision or \
                 numeric; name another column (use expires_column for one that holds the end of a session), or add a \
                 stored generated column of such a type",
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

/// The entries of the key `where`, as far as they can be asked.
pub(super) async fn find_asked(
    session: &mut Session,
    searched: &Searched<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Asked>, Fault> {
    let Searched { policy, table, .. } = *searched;
    let mut asked = Vec::new();
    for condition in &policy.conditions {
        let name = match Identifier::parse(&condition.column) {
            Ok(name) => name,
            Err(error) => {
                findings.push(Finding::problem(format!("where: {error}")));
                continue;
            }
        };
        let Some(column) = searched.column(&name) else {
            findings.push(Finding::problem(format!("{} has no column {name} (where)", table.name)));
            continue;
        };
        let compared_as = match &condition.test {
            // Nothing is compared.
            Test::Null(_) => Some(Compared::Text),
            Test::OneOf(_) | Test::NoneOf(_) => Compared::of(&column.base_type, column.is_enum),
        };
        let Some(compared_as) = compared_as else {
            findings.push(Finding::problem(format!(
                "{}.{name} is of type {}, but where can only compare text, numbers, booleans, uuid and enums",
                table.name, column.shown_type
            )));
            continue;
        };
        let one = Asked { column: name, compared_as, test: condition.test.clone() };
        if let Some(problem) = about_values(session, searched, &one, column).await? {
            findings.push(Finding::problem(problem));
        } else {
            asked.push(one);
        }
    }
    Ok(asked)
}

/// A value that the column cannot have is a mistake: among those that are to be kept, it keeps nothing.
async fn about_values(
    session: &mut Session,
    searched: &Searched<'_>,
    asked: &Asked,
    column: &ColumnFacts,
) -> Result<Option<String>, Fault> {
    let Searched { table, look, .. } = *searched;
    let values: Vec<String> = asked.values().iter().map(ToString::to_string).collect();
    let place = format!("{}.{}", table.name, asked.column);
    if column.is_enum
        && let Some(unknown) = values.iter().find(|value| !column.labels.contains(value))
    {
        return Ok(Some(format!("where: {place} is never {unknown:?}; its values are {}", column.labels.join(", "))));
    }
    let bound = statement(asked.compared_as.try_values().statement()).bind(values);
    match session.ask(look, bound).await {
        Ok(_) => Ok(None),
        Err(fault @ Fault::Away(_)) => Err(fault),
        Err(_) => Ok(Some(format!("where: {place} is of type {}, and a value does not match it", column.shown_type))),
    }
}
