//! What a session policy says about rows: which column tells when one is due, and which rows it is about at all.

use std::time::Duration;

/// Which columns tell that a row is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowStamp {
    /// The keys `activity_column` and `max_idle`: when the session was last active, by the first of these columns that
    /// is not null. There is at least one.
    Activity(Vec<String>),
    /// The keys `expires_column` and `grace`: when the session ends by itself.
    Expiry {
        /// The column.
        column: String,
        /// How long after that moment the row stays.
        grace: Duration,
    },
}

impl RowStamp {
    /// The columns, as written.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Activity(columns) => columns,
            Self::Expiry { column, .. } => std::slice::from_ref(column),
        }
    }

    /// The key of the configuration that names them.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Activity(_) => "activity_column",
            Self::Expiry { .. } => "expires_column",
        }
    }
}

/// One entry of the key `where`: which values of a column a row must have for the policy to be about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column, as written.
    pub column: String,
    /// What is asked of it.
    pub test: Test,
}

/// What a [`Condition`] asks of a value. Values are bound, never part of a statement's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is one of these; null is none of them.
    OneOf(Vec<Scalar>),
    /// It is none of these, and not null either: nobody knows what null would be.
    NoneOf(Vec<Scalar>),
    /// It is null, or it is not.
    Null(bool),
}

/// A value of a configuration that a column is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
}

/// As a database reads it from text.
impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(is_true) => write!(f, "{is_true}"),
        }
    }
}
