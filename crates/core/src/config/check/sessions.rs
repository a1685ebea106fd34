//! Checks of `[sessions.NAME]`.
//!
//! Table and column names are checked against the database's catalog later, and the URL is parsed by the crate that
//! connects. Here only its scheme is looked at, and nothing of it is ever shown.

use std::ops::Range;
use std::time::Duration;

use super::super::diagnostic::Diagnostic;
use super::super::raw::{RawPace, RawPartitions, RawSessionPolicy, RawTimeFormat};
use super::super::values::{At, Columns, Conditions, Period, Switch};
use super::super::{BATCH_SIZE, LOCK_TIMEOUT};
use super::{Check, effect};
use crate::policy::{
    Archives, Brakes, Condition, Database, MaxAge, Pace, Partitions, Policy, RowStamp, SessionPolicy, Test, TimeFormat,
};

/// The largest first batch. The pacing never goes beyond it either.
const LARGEST_BATCH: u32 = 20_000;

impl Check<'_> {
    pub(super) fn session_policy(&mut self, name: &At<String>, raw: &RawSessionPolicy) -> Option<SessionPolicy> {
        self.complete(
            "sessions",
            name,
            &[
                ("url = \"${DATABASE_URL}\"", raw.url.is_some()),
                ("table = \"tutor_sessions\"", raw.table.is_some()),
                ("id_column = \"session_id\"", raw.id_column.is_some()),
                ("activity_column = \"last_activity\"", raw.activity_column.is_some() || raw.expires_column.is_some()),
                ("max_idle = \"2h\"", raw.max_idle.is_some() || raw.expires_column.is_some()),
            ],
        );
        self.one_stamp(raw);
        let database = self.database(raw);
        let table = self.identifier("table", raw.table.as_ref());
        let id_column = self.identifier("id_column", raw.id_column.as_ref());
        let stamp = self.stamp(raw);
        let conditions = self.conditions(raw.conditions.as_ref());
        let archive_table = self.identifier("archive_table", raw.archive_table.as_ref());
        let partitions = self.partitions(raw);
        let max_idle = self.max_idle(raw);
        let brakes = self.row_brakes(raw);
        let activity_time_zone = self.time_zone(raw.activity_time_zone.as_ref());
        let batch_size = self.batch_size(raw);
        let lock_timeout = self.timeout("lock_timeout", raw.lock_timeout.as_ref());
        let statement_timeout = self.timeout("statement_timeout", raw.statement_timeout.as_ref());
        let schedule = self.schedule(raw.every.as_ref(), raw.cron.as_ref());
        Some(SessionPolicy {
            rule: Policy {
                name: name.value.clone(),
                max_age: if raw.expires_column.is_some() { None } else { Some(max_idle?) },
                min_age: Duration::ZERO,
                archives: Archives::Keep,
            },
            database: database?,
            table: table?,
            id_column: id_column?,
            stamp: stamp?,
            conditions: conditions?,
            activity_time_zone,
            time_format: raw.time_format.map(time_format),
            batch_size,
            lock_timeout: lock_timeout.unwrap_or(LOCK_TIMEOUT),
            statement_timeout,
            pace: raw.pace.map_or(Pace::Normal, pace),
            archive_table,
            partitions: partitions?,
            brakes,
            effect: effect(raw.mode),
            schedule,
            enabled: raw.enabled.is_none_or(|Switch(enabled)| enabled),
        })
    }

    fn database(&mut self, raw: &RawSessionPolicy) -> Option<Database> {
        let url = raw.url.as_ref()?;
        if let Some(variable) = self.variables.unset(&url.span) {
            return Some(Database::Unset { variable: variable.to_owned() });
        }
        let text = url.value.trim();
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let dialect = scheme.split_once('+').map_or(scheme, |(dialect, _)| dialect);
        if matches!(dialect, "postgres" | "postgresql" | "sqlite") {
            return Some(Database::Url(text.to_owned()));
        }
        let diagnostic = Diagnostic::new(&url.span, "`url` has an unsupported scheme")
            .label("expected a URL that begins with `postgresql://`, `postgres://` or `sqlite:///`");
        self.refuse(match dialect.to_ascii_lowercase().as_str() {
            known @ ("mysql" | "mariadb" | "mssql" | "oracle" | "redis" | "mongodb") => {
                diagnostic.note(format!("`{known}` is not supported"))
            }
            known @ ("postgres" | "postgresql" | "sqlite") => diagnostic.help(format!("write `{known}` in lower case")),
            _ => diagnostic,
        });
        None
    }

    /// A name that a database could have: not empty, without NUL. Whether it exists is for the catalog to say.
    fn identifier(&mut self, key: &str, name: Option<&At<String>>) -> Option<String> {
        let name = name?;
        if name.value.trim().is_empty() || name.value.contains('\0') {
            self.refuse(
                Diagnostic::new(&name.span, format!("`{key}` is not a valid name"))
                    .label("expected a database identifier"),
            );
            return None;
        }
        Some(name.value.clone())
    }

    /// A session is due either some time after its last activity or from its end on.
    fn one_stamp(&mut self, raw: &RawSessionPolicy) {
        let clash = |here: &Range<usize>, key: &str, other: &Range<usize>, with: &str| {
            Diagnostic::new(here, format!("`{key}` cannot be combined with `{with}`"))
                .label("a session is due either after a time without activity, or at its end")
                .context(other, "the other one")
        };
        if let Some(expires) = &raw.expires_column {
            if let Some(activity) = &raw.activity_column {
                self.refuse(clash(&expires.span, "expires_column", &activity.span, "activity_column"));
            }
            if let Some(max_idle) = &raw.max_idle {
                let diagnostic = clash(&max_idle.span, "max_idle", &expires.span, "expires_column");
                self.refuse(diagnostic.help("to keep sessions for a time after their end, use `grace`"));
            }
        } else if let (Some(grace), Some(activity)) = (&raw.grace, &raw.activity_column) {
            let diagnostic = clash(&grace.span, "grace", &activity.span, "activity_column");
            self.refuse(diagnostic.help("for a time without activity, use `max_idle`"));
        }
    }

    fn stamp(&mut self, raw: &RawSessionPolicy) -> Option<RowStamp> {
        if let Some(expires) = &raw.expires_column {
            let grace = raw.grace.as_ref().map_or(Duration::ZERO, |grace| grace.value.0);
            let column = self.identifier("expires_column", Some(expires))?;
            return Some(RowStamp::Expiry { column, grace });
        }
        let At { value: Columns(columns), span } = raw.activity_column.as_ref()?;
        if columns.is_empty() {
            self.refuse(Diagnostic::new(span, "`activity_column` is empty").label("expected at least one"));
            return None;
        }
        let named = |column: &String| At { value: column.clone(), span: span.clone() };
        let columns: Option<Vec<_>> =
            columns.iter().map(|column| self.identifier("activity_column", Some(&named(column)))).collect();
        Some(RowStamp::Activity(columns?))
    }

    fn conditions(&mut self, raw: Option<&Conditions>) -> Option<Vec<Condition>> {
        let mut conditions = Vec::new();
        for (column, test) in raw.iter().flat_map(|Conditions(conditions)| conditions) {
            if let Test::OneOf(values) | Test::NoneOf(values) = test
                && values.is_empty()
            {
                let diagnostic = Diagnostic::new(&column.span, "a condition of `where` has no values");
                self.refuse(diagnostic.label("expected at least one value"));
            }
            conditions.push(Condition { column: self.identifier("where", Some(column))?, test: test.clone() });
        }
        Some(conditions)
    }

    fn row_brakes(&mut self, raw: &RawSessionPolicy) -> Brakes {
        if let Some(percent) = &raw.max_removal_percent
            && !(1..=100).contains(&percent.value)
        {
            self.refuse(
                Diagnostic::new(&percent.span, "`max_removal_percent` is not a percentage").label("expected 1 to 100"),
            );
        }
        Brakes {
            max_removals: raw.max_removals,
            max_removal_percent: raw.max_removal_percent.as_ref().map(|percent| percent.value),
            max_consecutive_errors: None,
            max_runtime: (raw.max_runtime.as_ref())
                .and_then(|time| self.positive("max_runtime", time, "the run would end before it starts")),
        }
    }

    fn max_idle(&mut self, raw: &RawSessionPolicy) -> Option<MaxAge> {
        let idle = raw.max_idle.as_ref()?;
        self.positive("max_idle", idle, "every session would be idle for longer than that").and_then(MaxAge::new)
    }

    /// What is dropped is in no archive, and SQLite has no partitions.
    fn partitions(&mut self, raw: &RawSessionPolicy) -> Option<Partitions> {
        let Some(At { value: RawPartitions::Drop, span }) = &raw.partitions else { return Some(Partitions::Delete) };
        let refused = Diagnostic::new(span, "`partitions` cannot be \"drop\" here");
        if let Some(archive) = &raw.archive_table {
            let diagnostic = refused.label("rows of a dropped partition are not archived");
            self.refuse(diagnostic.context(&archive.span, "the archive"));
            return None;
        }
        if raw.url.as_ref().is_some_and(|url| url.value.trim().starts_with("sqlite")) {
            self.refuse(refused.label("SQLite has no partitions; leave it out"));
            return None;
        }
        Some(Partitions::Drop)
    }

    fn batch_size(&mut self, raw: &RawSessionPolicy) -> u32 {
        let Some(size) = &raw.batch_size else { return BATCH_SIZE };
        if !(1..=LARGEST_BATCH).contains(&size.value) {
            self.refuse(
                Diagnostic::new(&size.span, "`batch_size` is out of range")
                    .label(format!("expected 1 to {LARGEST_BATCH} rows"))
                    .note("it is only the first batch; the size then follows the observed latency"),
            );
        }
        size.value
    }

    fn timeout(&mut self, key: &str, timeout: Option<&At<Period>>) -> Option<Duration> {
        let timeout = timeout?;
        if timeout.value.0.as_millis() == 0 {
            self.refuse(
                Diagnostic::new(&timeout.span, format!("`{key}` is zero"))
                    .label("expected at least `1ms`: databases take zero as unlimited"),
            );
        }
        Some(timeout.value.0)
    }
}

fn pace(raw: RawPace) -> Pace {
    match raw {
        RawPace::Strict => Pace::Strict,
        RawPace::Normal => Pace::Normal,
        RawPace::OffHours => Pace::OffHours,
    }
}

fn time_format(raw: RawTimeFormat) -> TimeFormat {
    match raw {
        RawTimeFormat::Timestamp => TimeFormat::Timestamp,
        RawTimeFormat::Seconds => TimeFormat::Seconds,
        RawTimeFormat::Milliseconds => TimeFormat::Milliseconds,
        RawTimeFormat::Microseconds => TimeFormat::Microseconds,
        RawTimeFormat::Julian => TimeFormat::Julian,
        RawTimeFormat::Iso8601 => TimeFormat::Iso8601,
    }
}
