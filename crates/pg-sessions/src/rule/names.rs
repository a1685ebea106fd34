//! The one audited place where names become SQL.
//!
//! Table and column names come from a configuration file, so they are hostile until proven otherwise. They are parsed
//! into [`Identifier`]s, looked up in the database's catalog before use, and enter a statement only through [`Sql`],
//! which quotes them. `AssertSqlSafe` stands here and nowhere else in this crate. A statement is a `&'static str`
//! template whose `{placeholders}` take identifiers, numbers and other templates: but for the operator's own query, no
//! function takes SQL as a run-time string, and values never go in at all, they are bound. One kind of text does go in:
//! a name that is looked up in the catalog, as a [`Literal`], because what is bound takes a round trip of its own.

use std::fmt;

use cleanup_core::candidate::Escaped;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// A name as the database's catalog spells it. `Display` is for sentences; SQL gets it quoted, through [`Sql`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identifier(String);

/// A table, with its schema when one is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<Identifier>,
    pub(crate) name: Identifier,
}

/// Why a text names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("a name is empty")]
    Empty,
    #[error("a name contains a NUL character")]
    Nul,
    #[error("a name has a quote that is not closed, or text after it")]
    Quotes,
    #[error("more than `schema.table`; put a name that contains a dot in double quotes")]
    Dots,
}

impl Identifier {
    /// Takes a name as it is written, case and all; one in double quotes is read as SQL reads it (`"a""b"` is `a"b`).
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        match take(text)? {
            (name, "") if text.starts_with('"') => Ok(name),
            (_, _) if text.starts_with('"') => Err(NameError::Quotes),
            _ => Self::new(text.to_owned()),
        }
    }

    /// Takes a name from the catalog.
    pub(crate) fn new(name: String) -> Result<Self, NameError> {
        match name {
            name if name.is_empty() => Err(NameError::Empty),
            name if name.contains('\0') => Err(NameError::Nul),
            name => Ok(Self(name)),
        }
    }

    /// The name itself, for binding as a value.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TableName {
    /// Parses `table` or `schema.table`.
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        let (first, rest) = take(text)?;
        let Some(rest) = rest.strip_prefix('.') else {
            return if rest.is_empty() { Ok(Self { schema: None, name: first }) } else { Err(NameError::Quotes) };
        };
        match take(rest)? {
            (name, "") => Ok(Self { schema: Some(first), name }),
            (_, rest) if rest.starts_with('.') => Err(NameError::Dots),
            _ => Err(NameError::Quotes),
        }
    }
}

/// Takes one name off the front: up to a dot, or to the closing quote.
fn take(text: &str) -> Result<(Identifier, &str), NameError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (name, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        return Ok((Identifier::new(name.to_owned())?, rest));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"').ok_or(NameError::Quotes)?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Ok((Identifier::new(name)?, after)),
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.0.as_bytes()).fmt(f)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        self.name.fmt(f)
    }
}

/// A name of a time zone: letters, digits, `_`, `/`, `+` and `-`, so that it can stand between quotes as it is.
///
/// Offsets such as `UTC+2` are refused: POSIX reads their sign the other way round, four hours off. `Etc/GMT-2` is
/// the spelling whose sign is at least documented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone(String);

impl Zone {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let shape = text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_/+-".contains(c));
        let offset = text.contains(|c: char| c.is_ascii_digit() || c == '+') && !text.starts_with("Etc/");
        (shape && !offset).then(|| Self(text.to_owned()))
    }
}

/// An operator of the catalog, with its schema. Its name cannot be quoted, so nothing but the characters that
/// PostgreSQL allows in one gets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) schema: Identifier,
    name: String,
}

impl Operator {
    /// `None` for what PostgreSQL would not take as a name, or would take for a comment.
    pub(crate) fn new(schema: Identifier, name: String) -> Option<Self> {
        let shape = !name.is_empty() && name.chars().all(|c| "+-*/<>=~!@#%^&|`?".contains(c));
        (shape && !name.contains("--") && !name.contains("/*")).then_some(Self { schema, name })
    }
}

/// The text of a name as a literal of PostgreSQL, to be compared with the names of its catalog.
pub(crate) struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    pub(crate) fn new(name: &'a Identifier) -> Self {
        Self(name.as_str())
    }

    /// The quoted name, for `to_regclass`, which parses it again.
    pub(crate) fn quoted(name: &'a Sql) -> Self {
        Self(&name.0)
    }
}

/// A piece of SQL that only static text, quoted identifiers and names, zones and numbers went into.
#[derive(Clone, Debug)]
pub(crate) struct Sql(String);

/// What may stand for a placeholder.
pub(crate) trait Part: Sync {
    fn render(&self, sql: &mut String);
}

impl Sql {
    /// Fills a template. `{name}` takes the part of that name; `{}` stands for itself.
    ///
    /// One pass: what a part brings is never looked at again, so a column called `{table}` is just a column.
    pub(crate) fn new(template: &'static str, parts: &[(&'static str, &dyn Part)]) -> Self {
        let mut sql = String::with_capacity(template.len() * 2);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            sql.push_str(before);
            let (name, after) = after.split_once('}').expect("templates close their braces");
            if name.is_empty() {
                sql.push_str("{}");
            } else {
                let part = parts.iter().find(|(known, _)| *known == name);
                part.expect("a template names only parts that it is given").1.render(&mut sql);
            }
            rest = after;
        }
        sql.push_str(rest);
        Self(sql)
    }

    /// Some pieces, one after the other.
    pub(crate) fn joined<'a>(pieces: impl IntoIterator<Item = &'a dyn Part>, separator: &'static str) -> Self {
        let mut sql = String::new();
        for (index, piece) in pieces.into_iter().enumerate() {
            if index > 0 {
                sql.push_str(separator);
            }
            piece.render(&mut sql);
        }
        Self(sql)
    }

    /// The value of a row that tells whether it is due: of one column itself, so that an index serves, of several the
    /// first that is not null.
    pub(crate) fn stamp(columns: &[Identifier]) -> Self {
        let columns: Vec<Self> = columns.iter().map(|column| Self::new("t.{column}", &[("column", column)])).collect();
        match &columns[..] {
            [column] => column.clone(),
            columns => {
                let columns = Self::joined(columns.iter().map(|column| column as &dyn Part), ", ");
                Self::new("coalesce({columns})", &[("columns", &columns)])
            }
        }
    }

    /// Nothing at all.
    pub(crate) const EMPTY: Self = Self(String::new());

    /// The operator's own query, from the configuration: the one text that is SQL as it stands. It only ever runs where
    /// nothing can be changed.
    pub(crate) fn query(text: &str) -> Self {
        Self(text.trim().trim_end_matches(';').to_owned())
    }

    /// A statement to be run.
    pub(crate) fn statement(&self) -> SqlStr {
        AssertSqlSafe(self.0.clone()).into_sql_str()
    }

    /// A statement to be shown to a person, who may run it.
    pub(crate) fn shown(&self) -> String {
        Escaped(self.0.as_bytes()).to_string().replace("\\\\", "\\")
    }

    /// The text, to be bound as a value: for `to_regclass`, which parses it again.
    pub(crate) fn into_value(self) -> String {
        self.0
    }
}

impl Part for Sql {
    fn render(&self, sql: &mut String) {
        sql.push_str(&self.0);
    }
}

impl Part for Identifier {
    fn render(&self, sql: &mut String) {
        sql.push('"');
        sql.push_str(&self.0.replace('"', "\"\""));
        sql.push('"');
    }
}

impl Part for TableName {
    fn render(&self, sql: &mut String) {
        if let Some(schema) = &self.schema {
            schema.render(sql);
            sql.push('.');
        }
        self.name.render(sql);
    }
}

/// The bare name: the schema stands before it, as a part of its own.
impl Part for Operator {
    fn render(&self, sql: &mut String) {
        sql.push_str(&self.name);
    }
}

/// In the form that means the same whatever `standard_conforming_strings` says. A name holds no NUL.
impl Part for Literal<'_> {
    fn render(&self, sql: &mut String) {
        sql.push_str("E'");
        sql.push_str(&self.0.replace('\\', "\\\\").replace('\'', "''"));
        sql.push('\'');
    }
}

impl Part for Zone {
    fn render(&self, sql: &mut String) {
        sql.push('\'');
        sql.push_str(&self.0);
        sql.push('\'');
    }
}

impl Part for i64 {
    fn render(&self, sql: &mut String) {
        sql.push_str(&self.to_string());
    }
}

impl Part for u64 {
    fn render(&self, sql: &mut String) {
        sql.push_str(&self.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> Result<String, NameError> {
        Ok(Sql::new("{table}", &[("table", &TableName::parse(text)?)]).into_value())
    }

    #[test]
    fn names_from_hell_are_quoted_or_refused() {
        for (text, expected) in [
            ("tutor_sessions", Ok(r#""tutor_sessions""#)),
            ("public.tutor_sessions", Ok(r#""public"."tutor_sessions""#)),
            ("MixedCase", Ok(r#""MixedCase""#)),
            ("x; drop table users--", Ok(r#""x; drop table users--""#)),
            ("public.t where true", Ok(r#""public"."t where true""#)),
            (r#""a""b""#, Ok(r#""a""b""#)),
            (r#"a"b"#, Ok(r#""a""b""#)),
            (r#"a" or "b"#, Ok(r#""a"" or ""b""#)),
            (r#""a.b"."c.d""#, Ok(r#""a.b"."c.d""#)),
            ("{table}", Ok(r#""{table}""#)),
            ("図.größe\n", Ok("\"図\".\"größe\n\"")),
            ("", Err(NameError::Empty)),
            (".t", Err(NameError::Empty)),
            ("s.", Err(NameError::Empty)),
            (r#""""#, Err(NameError::Empty)),
            ("a\0b", Err(NameError::Nul)),
            ("a.b.c", Err(NameError::Dots)),
            (r#""a"#, Err(NameError::Quotes)),
            (r#""a"b"#, Err(NameError::Quotes)),
            (r#""a"."b" c"#, Err(NameError::Quotes)),
        ] {
            assert_eq!(quoted(text).as_deref().map_err(|error| *error), expected, "{text:?}");
        }
    }

    #[test]
    fn a_column_may_hold_dots_and_braces_and_is_still_one_name() {
        let column = Identifier::parse("a.b {table}").unwrap();
        let table = TableName::parse("t").unwrap();
        let sql = Sql::new("select {column} #>> '{}' from {table}", &[("column", &column), ("table", &table)]);
        assert_eq!(sql.shown(), r#"select "a.b {table}" #>> '{}' from "t""#);
        assert_eq!(Identifier::parse(r#""a""b""#).unwrap().as_str(), r#"a"b"#);
        assert_eq!(Identifier::parse(r#""a"b"#), Err(NameError::Quotes));
    }

    #[test]
    fn a_literal_ends_where_its_name_ends() {
        for (name, expected) in [
            ("sessions", "E'sessions'"),
            ("o'clock", "E'o''clock'"),
            (r"back\", r"E'back\\'"),
            (r"\' or true --", r"E'\\'' or true --'"),
            ("{table} $1", "E'{table} $1'"),
        ] {
            let name = Identifier::new(name.to_owned()).unwrap();
            let sql = Sql::new("{name}", &[("name", &Literal::new(&name))]);
            assert_eq!(sql.into_value(), expected);
        }
    }

    #[test]
    fn operators_hold_nothing_but_their_own_characters() {
        let operator = |name: &str| Operator::new(Identifier::parse("s").unwrap(), name.to_owned()).is_some();
        for good in ["=", "<=>", "~=~"] {
            assert!(operator(good), "{good}");
        }
        for bad in ["", "--", "=--", "/*", "= ", "=)", "a", "=;", "'"] {
            assert!(!operator(bad), "{bad}");
        }
    }

    #[test]
    fn zones_are_names_and_never_offsets() {
        for good in ["UTC", "Europe/Zurich", "America/Argentina/Buenos_Aires", "Etc/GMT-2"] {
            assert!(Zone::parse(good).is_some(), "{good}");
        }
        for bad in ["", "+02:00", "UTC+2", "GMT-2", "x'; drop table t--", "Europe/Zürich", "EST5EDT", "a b"] {
            assert!(Zone::parse(bad).is_none(), "{bad}");
        }
    }
}
