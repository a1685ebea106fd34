//! What an error of the server means for the run: try again, smaller, later, elsewhere, or never.
//!
//! What a server says may quote a row (`Key (session_id)=(…) is still referenced`, whatever a trigger raises), and a
//! session's id is a credential. So only the primary message is ever passed on, and only for classes of errors that
//! speak of tables, roles and the server; for all others the five characters of the SQLSTATE must do.

use cleanup_core::candidate::Escaped;
use sqlx::postgres::PgDatabaseError;

use crate::report::obstacle::Stop;

/// What came of a statement that did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone, or was never had.
    Away(String),
    /// `lock_timeout`.
    Locked,
    /// `statement_timeout`.
    Cancelled,
    /// Deadlock or serialization: the same again may work.
    Conflict(String),
    /// A constraint or a trigger has something against a row of the batch; it does not say which.
    Refused(String),
    /// Another node holds the advisory lock.
    AnotherNode,
    /// Something that the statement, or a trigger of it, names is not there: most likely it was dropped a moment ago.
    Missing(String),
    /// Nothing that another try would change.
    Final(String),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => error
                .try_downcast_ref::<PgDatabaseError>()
                .map_or_else(|| Self::Away("unexpected answer".to_owned()), server),
            sqlx::Error::Io(error) => connection(error.to_string()),
            sqlx::Error::Tls(error) => connection(format!("TLS: {error}")),
            sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => Self::Away("unexpected answer".to_owned()),
            sqlx::Error::Configuration(_) => Self::Final("a file named in the url cannot be used".to_owned()),
            _ => Self::Final("unexpected answer of the database driver".to_owned()),
        }
    }
}

/// A certificate that is refused is no database that is away: somebody has to change something.
fn connection(error: String) -> Fault {
    let Some((_, why)) = error.split_once("invalid peer certificate: ") else { return Fault::Away(error) };
    let help = if why.contains("CaUsedAsEndEntity") || why.contains("UnsupportedCertVersion") {
        "; it is a CA certificate, which `openssl req -x509` creates by default, or an old one without extensions; \
         psql accepts it, but the TLS library used here does not. Create one that both accept: openssl req -x509 \
         -newkey rsa:2048 -nodes -days 3650 -subj /CN=HOST -addext basicConstraints=critical,CA:FALSE -addext \
         subjectAltName=DNS:HOST -keyout server.key -out server.crt"
    } else {
        ""
    };
    Fault::Final(format!("the server's certificate is rejected: {why}{help}"))
}

fn server(error: &PgDatabaseError) -> Fault {
    let code = error.code();
    match code {
        "55P03" => Fault::Locked,
        "57014" => Fault::Cancelled,
        "40P01" | "40001" => Fault::Conflict(said(error)),
        "25006" => Fault::Final("the database is read-only".to_owned()),
        // An archive's policy has something against a row.
        "42501" if error.message().starts_with("new row violates row-level security") => Fault::Refused(said(error)),
        // `row_security = off` of the role: it wants an error where a policy would filter.
        "42501" if error.message().contains("row-level security") => Fault::Final(said(error)),
        "42501" => Fault::Final(format!("{}; the role needs select, update and delete on the table", said(error))),
        // Not let in, no such database, going down, too many connections.
        "3D000" | "53300" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Fault::Away(said(error)),
        _ if code.starts_with("08") || code.starts_with("28") => Fault::Away(said(error)),
        "42P01" => Fault::Missing(said(error)),
        // Dropped between looking up its name and opening it.
        "XX000" if error.message().starts_with("could not open relation") => Fault::Missing(said(error)),
        // Its own fault, or the server's: XX is corruption and other surprises.
        _ if names_no_row(code) || code.starts_with("XX") => Fault::Final(said(error)),
        _ => Fault::Refused(said(error)),
    }
}

/// Classes of errors that speak of tables, roles and the server.
fn names_no_row(code: &str) -> bool {
    ["08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"]
        .iter()
        .any(|class| code.starts_with(class))
}

/// As much as may be repeated.
fn said(error: &PgDatabaseError) -> String {
    if names_no_row(error.code()) {
        return Escaped(error.message().as_bytes()).to_string();
    }
    let place = match (error.constraint(), error.table()) {
        (Some(constraint), Some(table)) => {
            format!(", constraint {} of {}", Escaped(constraint.as_bytes()), Escaped(table.as_bytes()))
        }
        _ => String::new(),
    };
    format!("refused by the database (SQLSTATE {}{place})", Escaped(error.code().as_bytes()))
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(reason) => Self::Away(reason),
            Fault::Locked => Self::Busy,
            Fault::AnotherNode => Self::AnotherNode,
            Fault::Missing(reason) => Self::Missing(reason),
            Fault::Cancelled => Self::GaveUp("statement_timeout".to_owned()),
            Fault::Conflict(reason) | Fault::Refused(reason) | Fault::Final(reason) => Self::Failed(reason),
        }
    }
}
