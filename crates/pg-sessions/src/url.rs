//! Database URLs as the Python world writes them, and as everybody else does.
//!
//! SQLAlchemy names the driver in the scheme (`postgresql+psycopg2://`), takes characters in a password that a strict
//! parser refuses, and writes a relative SQLite file with three slashes and an absolute one with four. So the URL is
//! taken apart here by SQLAlchemy's rules and handed on piece by piece. A URL may hold a password: no error of this
//! module quotes any part of it but the scheme.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// What a URL leads to.
pub(crate) enum Target {
    Postgres(Box<PgConnectOptions>),
    /// A file; whether it exists is found out when it is opened.
    Sqlite(PathBuf),
}

/// Why a URL leads nowhere. Never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("url is no database URL; expected postgresql://user@host/database or sqlite:///file")]
    NoUrl,
    #[error("url has scheme `{0}`; only PostgreSQL and SQLite are supported")]
    Scheme(String),
    #[error("url names several hosts; name one")]
    Hosts,
    #[error("url has no usable port")]
    Port,
    #[error("url names no SQLite file; a database in memory is gone before anyone can clean it")]
    NoFile,
    #[error("url has a parameter that cannot be understood (sslmode, sslrootcert, port …)")]
    Parameter,
}

/// Takes a URL apart. A relative SQLite file is relative to `base`.
pub(crate) fn parse(url: &str, base: &Path) -> Result<Target, UrlError> {
    let (scheme, rest) = url.trim().split_once(':').ok_or(UrlError::NoUrl)?;
    let scheme = scheme.to_ascii_lowercase();
    if !scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '_') {
        return Err(UrlError::NoUrl);
    }
    match scheme.split('+').next().unwrap_or_default() {
        "postgres" | "postgresql" => postgres(rest.strip_prefix("//").ok_or(UrlError::NoUrl)?),
        "sqlite" => sqlite(rest, base),
        _ if rest.starts_with("//") => Err(UrlError::Scheme(scheme)),
        _ => Err(UrlError::NoUrl),
    }
}

/// `///file` and `////file` as SQLAlchemy has them, `file` and `/file` as `sqlx` has them.
fn sqlite(rest: &str, base: &Path) -> Result<Target, UrlError> {
    let rest = rest.split_once('?').map_or(rest, |(file, _)| file);
    let file = match rest.strip_prefix("//") {
        Some(slashed) => slashed.strip_prefix('/').ok_or(UrlError::NoFile)?,
        None => rest,
    };
    if file.is_empty() || file == ":memory:" || file.starts_with("file:") || file.contains('\0') {
        return Err(UrlError::NoFile);
    }
    Ok(Target::Sqlite(base.join(file)))
}

fn postgres(rest: &str) -> Result<Target, UrlError> {
    let (user_info, rest) = split_user_info(rest);
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (address, database) = location.split_once('/').unwrap_or((location, ""));
    let mut settings = Settings::default();

    if let Some((user, password)) = user_info {
        settings.set("user", &decoded(user)?);
        if let Some(password) = password {
            settings.set("password", &decoded(password)?);
        }
    }
    let (host, port) = split_address(address)?;
    if host.contains(',') {
        return Err(UrlError::Hosts);
    }
    settings.set("host", &decoded(host)?);
    settings.set("port", port);
    settings.set("dbname", &decoded(database)?);

    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(&value.replace('+', " "))?;
        match key {
            "host" if value.contains(',') => return Err(UrlError::Hosts),
            "host" | "port" | "user" | "password" | "dbname" | "options" | "sslmode" | "sslrootcert" | "sslcert"
            | "sslkey" => settings.set(key, &value),
            // The spelling of asyncpg.
            "ssl" => settings.set("sslmode", if value == "true" { "require" } else { &value }),
            // Meant for the application's own driver.
            _ => tracing::debug!(key, "ignoring a parameter of the database URL"),
        }
    }
    settings.into_options().map(|options| Target::Postgres(Box::new(options)))
}

/// The user and the password, and what follows their `@`. A password may hold `/`, `#`, `?`, and even `@`.
fn split_user_info(rest: &str) -> (Option<(&str, Option<&str>)>, &str) {
    let Some(first) = rest.find('@') else { return (None, rest) };
    let user = rest[..first].split(':').next().unwrap_or_default();
    if user.contains(['/', '?']) || (user.len() == first && user.is_empty()) {
        return (None, rest);
    }
    let end = rest[first..].find(['/', '?']).map_or(rest.len(), |at| first + at);
    let last = rest[..end].rfind('@').unwrap_or(first);
    let (user_info, rest) = (&rest[..last], &rest[last + 1..]);
    let (user, password) = user_info.split_once(':').map_or((user_info, None), |(user, word)| (user, Some(word)));
    (Some((user, password)), rest)
}

fn split_address(address: &str) -> Result<(&str, &str), UrlError> {
    let bracket = address.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match address[bracket..].rfind(':') {
        Some(colon) => (&address[..bracket + colon], &address[bracket + colon + 1..]),
        None => (address, ""),
    };
    if !port.is_empty() && port.parse::<u16>().is_err() {
        return Err(UrlError::Port);
    }
    Ok((host, port))
}

fn decoded(text: &str) -> Result<String, UrlError> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| UrlError::Parameter)
}

/// Connection settings as a URL that nothing in a value can break out of. Going through a URL again lets the driver
/// fill in what is missing from `PGHOST`, `~/.pgpass` and the like, as every other client of PostgreSQL does.
#[derive(Default)]
struct Settings(Vec<(&'static str, String)>);

impl Settings {
    fn set(&mut self, key: &str, value: &str) {
        let known =
            ["host", "port", "user", "password", "dbname", "options", "sslmode", "sslrootcert", "sslcert", "sslkey"];
        let Some(key) = known.into_iter().find(|known| *known == key) else { return };
        if !value.is_empty() {
            self.0.retain(|(other, _)| *other != key);
            self.0.push((key, utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()));
        }
    }

    fn into_options(self) -> Result<PgConnectOptions, UrlError> {
        let query: Vec<String> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let options = PgConnectOptions::from_str(&format!("postgres:///?{}", query.join("&")));
        let options = options.map_err(|_| UrlError::Parameter)?;
        // Poolers refuse start-up parameters that they do not know, and statements must not be logged twice.
        let options = options.application_name("cleanup").extra_float_digits(None).statement_cache_capacity(0);
        Ok(options.disable_statement_logging())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres_parts(url: &str) -> String {
        let Ok(Target::Postgres(options)) = parse(url, Path::new("/base")) else { panic!("{url}") };
        let shown = format!("{options:?}");
        let password = options.to_url_lossy().password().map(ToOwned::to_owned).unwrap_or_default();
        assert!(shown.contains("cleanup"));
        let host = options.get_socket().map_or(options.get_host().to_owned(), |path| path.display().to_string());
        format!(
            "{}:{}@{host}:{}/{}",
            options.get_username(),
            percent_decode_str(&password).decode_utf8().unwrap(),
            options.get_port(),
            options.get_database().unwrap_or_default()
        )
    }

    #[test]
    fn postgres_urls_are_read_as_python_writes_them() {
        for (url, expected) in [
            ("postgresql://ann:pw@db.example:5433/app", "ann:pw@db.example:5433/app"),
            ("postgres://ann:pw@db.example/app", "ann:pw@db.example:5432/app"),
            ("postgresql+psycopg2://ann:pw@db/app", "ann:pw@db:5432/app"),
            ("postgresql+asyncpg://ann:pw@db/app?ssl=require", "ann:pw@db:5432/app"),
            ("POSTGRESQL+psycopg://ann:pw@db/app?connect_timeout=3", "ann:pw@db:5432/app"),
            ("postgresql://ann:p%40ss%2Fw%23@db/app", "ann:p@ss/w#@db:5432/app"),
            ("postgresql://ann:p@ss@db/app", "ann:p@ss@db:5432/app"),
            ("postgresql://ann:p/s?s#@db/app", "ann:p/s?s#@db:5432/app"),
            ("postgresql://ann@db/app", "ann:@db:5432/app"),
            ("postgresql://ann:pw@/app?host=/run/postgresql", "ann:pw@/run/postgresql:5432/app"),
            ("postgresql:///app?host=/run/postgresql&user=ann&port=6000", "ann:@/run/postgresql:6000/app"),
            ("postgresql://ann@%2Frun%2Fpostgresql/app", "ann:@/run/postgresql:5432/app"),
            ("postgresql://ann:pw@[::1]:5433/app", "ann:pw@[::1]:5433/app"),
            ("postgresql://ann@db/a%20b", "ann:@db:5432/a b"),
        ] {
            assert_eq!(postgres_parts(url), expected, "{url}");
        }
    }

    #[test]
    fn sqlite_urls_are_relative_with_three_slashes_and_absolute_with_four() {
        for (url, expected) in [
            ("sqlite:///app.db", "/base/app.db"),
            ("sqlite:///data/app.db?timeout=5", "/base/data/app.db"),
            ("sqlite:////srv/app.db", "/srv/app.db"),
            ("sqlite+aiosqlite:////srv/app.db", "/srv/app.db"),
            ("sqlite:app.db", "/base/app.db"),
            ("sqlite:/srv/app.db", "/srv/app.db"),
        ] {
            let Ok(Target::Sqlite(path)) = parse(url, Path::new("/base")) else { panic!("{url}") };
            assert_eq!(path, Path::new(expected), "{url}");
        }
    }

    #[test]
    fn a_url_that_leads_nowhere_says_why_without_quoting_it() {
        for (url, expected) in [
            ("", UrlError::NoUrl),
            ("hunter2", UrlError::NoUrl),
            ("ann:hunter2@db", UrlError::NoUrl),
            ("postgresql:hunter2", UrlError::NoUrl),
            ("mysql+pymysql://ann:hunter2@db/app", UrlError::Scheme("mysql+pymysql".to_owned())),
            ("postgresql://ann:hunter2@a,b/app", UrlError::Hosts),
            ("postgresql://ann:hunter2@db:port/app", UrlError::Port),
            ("postgresql://ann:hunter2@db/app?sslmode=hunter2", UrlError::Parameter),
            ("sqlite://", UrlError::NoFile),
            ("sqlite:///:memory:", UrlError::NoFile),
        ] {
            let Err(error) = parse(url, Path::new("/base")) else { panic!("{url}") };
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{url}");
        }
    }
}
