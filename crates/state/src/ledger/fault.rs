//! What a failure of the database means for us.

use std::fmt;

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// What is there cannot be used, now or later.
    Broken(String),
    /// A newer version of this program made it.
    Newer,
    /// Perhaps later: locked, full, unreadable, not ours.
    Away(String),
}

/// Goes on after "the database NAME".
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => write!(f, " is broken ({why})"),
            Self::Newer => f.write_str(" was made by a newer version"),
            Self::Away(why) => write!(f, ": {why}"),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Away(error.to_string())
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
                from_code(code, database.message())
            }
            // A value of another type than the one we wrote.
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::Protocol(_) => Self::Broken(error.to_string()),
            _ => Self::Away(error.to_string()),
        }
    }
}

/// By SQLite's primary result code: the low byte of the extended one.
fn from_code(code: u32, message: &str) -> Fault {
    match code & 0xff {
        // READONLY alone, on a file that may be written: the header asks for a newer SQLite, or is damaged.
        8 if code == 8 => Fault::Broken(message.to_owned()),
        // ERROR (a table or column that is not there), CONSTRAINT, MISMATCH, CORRUPT, FORMAT, NOTADB.
        1 | 11 | 19 | 20 | 24 | 26 => Fault::Broken(message.to_owned()),
        // BUSY, LOCKED.
        5 | 6 => Fault::Away("another program keeps it locked".to_owned()),
        // FULL.
        13 => Fault::Away("the disk is full".to_owned()),
        // PERM, NOMEM, READONLY, IOERR, CANTOPEN and the rest.
        _ => Fault::Away(message.to_owned()),
    }
}
