//! Database URLs as the Python world writes them, and as everybody else does.
//!
//! SQLAlchemy names the driver in the scheme (`postgresql+psycopg2://`), takes characters in a password that a strict
//! parser refuses, and writes a relative SQLite file with three slashes and an absolute one with four. So the URL is
//! taken apart here by SQLAlchemy's rules and handed on piece by piece. A URL may hold a password: no error of this
//! module quotes any part of it but the scheme and the name of a parameter.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::parameter::{self, Meaning, Spelling};
use crate::table::Identifier;

/// What a URL leads to.
pub(crate) enum Target {
    Postgres(Box<Server>),
    /// A file; whether it exists is found out when it is opened.
    Sqlite(PathBuf),
}

/// A PostgreSQL server, and how it is to be reached.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) options: PgConnectOptions,
    /// The schema of tables that are named without one, where the URL says so.
    pub(crate) schema: Option<Identifier>,
    /// How long connecting may take: names, TCP, TLS and the password together.
    pub(crate) patience: Duration,
}

/// How long connecting may take when nobody says so, and at most.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// Why a URL leads nowhere. Never quotes a value of it.
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
    #[error("url has an IPv6 address that is not written as `[::1]`")]
    Address,
    #[error("url names no SQLite file; a database in memory is gone before anyone can clean it")]
    NoFile,
    #[error("url has a character that is not written in UTF-8")]
    Encoding,
    #[error("{0} has a value that cannot be understood")]
    Value(Place),
    #[error("{0} has a value that cannot be followed; {1}")]
    Unsupported(Place, &'static str),
    #[error("{0} cannot be followed, so this might be another database or table than the application's; {1}")]
    Refused(Place, &'static str),
    #[error("{0} does not name one schema; write it into the policy instead: table = \"tenant1.sessions\"")]
    Schema(Place),
}

/// Where a parameter comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A parameter of the URL.
    Parameter(String),
    /// One that does not look like a name; it may be a piece of a password.
    Nameless,
    /// A variable of libpq.
    Variable(&'static str),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parameter(name) => write!(f, "the parameter `{name}` of url"),
            Self::Nameless => f.write_str("a parameter of url without a name"),
            Self::Variable(name) => write!(f, "the variable {name}"),
        }
    }
}

impl Place {
    fn parameter(name: &str, has_value: bool) -> Self {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
        if has_value && !name.is_empty() && name.len() <= 40 && name.chars().all(is_name) {
            Self::Parameter(name.to_owned())
        } else {
            Self::Nameless
        }
    }
}

/// Takes a URL apart, and asks the environment for what it leaves open. A relative SQLite file is relative to `base`.
pub(crate) fn parse(url: &str, base: &Path) -> Result<Target, UrlError> {
    parse_with(url, base, &|variable| std::env::var(variable).ok())
}

/// What can be said of a URL by its text alone.
pub(crate) fn check(url: &str) -> Result<(), UrlError> {
    parse_with(url, Path::new("/"), &|_| None).map(drop)
}

fn parse_with(url: &str, base: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Target, UrlError> {
    let (scheme, rest) = url.trim().split_once(':').ok_or(UrlError::NoUrl)?;
    let scheme = scheme.to_ascii_lowercase();
    if !scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '_') {
        return Err(UrlError::NoUrl);
    }
    match scheme.split('+').next().unwrap_or_default() {
        "postgres" | "postgresql" => postgres(rest.strip_prefix("//").ok_or(UrlError::NoUrl)?, variable),
        "sqlite" => sqlite(rest, base),
        _ if rest.starts_with("//") => Err(UrlError::Scheme(scheme)),
        _ => Err(UrlError::NoUrl),
    }
}

/// `///file` and `////file` as SQLAlchemy has them, `file` and `/file` as `sqlx` has them.
fn sqlite(rest: &str, base: &Path) -> Result<Target, UrlError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let file = match rest.strip_prefix("//") {
        Some(slashed) => slashed.strip_prefix('/').ok_or(UrlError::NoFile)?,
        None => rest,
    };
    if file.is_empty() || file == ":memory:" || file.starts_with("file:") || file.contains('\0') {
        return Err(UrlError::NoFile);
    }
    for Parameter { name, value, place } in parameters(query)? {
        match parameter::of_sqlite(&name) {
            Meaning::Only(_) if name == "mode" && value == "memory" => return Err(UrlError::NoFile),
            Meaning::Only(_) if name == "mode" && value == "ro" => {
                return Err(UrlError::Unsupported(place, "rows are removed, so the file has to be written"));
            }
            meaning => weigh(meaning, place, &value)?,
        }
    }
    Ok(Target::Sqlite(base.join(file)))
}

fn postgres(rest: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Target, UrlError> {
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
    settings.set("host", &host_name(host)?);
    settings.set("port", port);
    settings.set("dbname", &decoded(database)?);

    for Parameter { name, value, place } in parameters(query)? {
        match parameter::of_postgres(&name) {
            Meaning::Followed => settings.follow(&name, &value, place)?,
            Meaning::Schema(spelling) => settings.schema = schema(&value, spelling, place)?,
            meaning => weigh(meaning, place, &value)?,
        }
    }
    for (name, variable_name, meaning) in parameter::LIBPQ {
        let value = if variable_name.is_empty() || settings.has(name) { None } else { variable(variable_name) };
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        let place = Place::Variable(variable_name);
        match meaning {
            Meaning::Followed if BY_DRIVER.contains(name) => {}
            Meaning::Followed => settings.follow(name, &value, place)?,
            meaning => weigh(*meaning, place, &value)?,
        }
    }
    settings.into_server().map(|server| Target::Postgres(Box::new(server)))
}

/// A parameter of a URL, decoded.
struct Parameter {
    name: String,
    value: String,
    place: Place,
}

fn parameters(query: &str) -> Result<Vec<Parameter>, UrlError> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let parameter = |pair: &str| {
        let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
        let name = decoded(&name.replace('+', " "))?;
        let place = Place::parameter(&name, value.is_some());
        Ok(Parameter { value: decoded(&value.unwrap_or_default().replace('+', " "))?, name, place })
    };
    pairs.map(parameter).collect()
}

/// Refuses what cannot be followed.
fn weigh(meaning: Meaning, place: Place, value: &str) -> Result<(), UrlError> {
    match meaning {
        Meaning::Followed | Meaning::Schema(_) | Meaning::NoBearing => Ok(()),
        Meaning::Only(values) if values.contains(&value) => Ok(()),
        Meaning::Only(_) => Err(UrlError::Unsupported(place, "leave it out, or give cleanup a url of its own")),
        Meaning::Refused(way_out) => Err(UrlError::Refused(place, way_out)),
    }
}

/// The one schema that a value names; nothing when it is empty.
fn schema(value: &str, spelling: Spelling, place: Place) -> Result<Option<Identifier>, UrlError> {
    let is_plain = match spelling {
        Spelling::Exact => !value.contains([',', '"', '\0']),
        Spelling::Path => {
            value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && !value.starts_with(|c: char| c.is_ascii_digit())
        }
    };
    match value {
        "" => Err(UrlError::Schema(place)),
        value if is_plain => Identifier::new(value.to_owned()).map(Some).map_err(|_| UrlError::Schema(place)),
        _ => Err(UrlError::Schema(place)),
    }
}

/// A host as it is asked for: an IPv6 address without its brackets, a zone with its own `%`.
fn host_name(host: &str) -> Result<String, UrlError> {
    let Some(inner) = host.strip_prefix('[') else {
        let host = decoded(host)?;
        let is_path = host.starts_with('/');
        return if host.contains(':') && !is_path { Err(UrlError::Address) } else { Ok(host) };
    };
    let inner = decoded(inner.strip_suffix(']').ok_or(UrlError::Address)?)?;
    let address = inner.split_once('%').map_or(&*inner, |(address, _)| address);
    if address.parse::<Ipv6Addr>().is_err() || inner.ends_with('%') {
        return Err(UrlError::Address);
    }
    Ok(inner)
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
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| UrlError::Encoding)
}

/// Connection settings as a URL that nothing in a value can break out of. Going through a URL again lets the driver
/// fill in what is missing from `PGHOST`, `~/.pgpass` and the like, as every other client of PostgreSQL does.
#[derive(Default)]
struct Settings {
    values: Vec<(&'static str, String)>,
    schema: Option<Identifier>,
}

/// What the driver is told; what else is followed is followed here.
const TOLD: [&str; 10] =
    ["host", "port", "user", "password", "dbname", "options", "sslmode", "sslrootcert", "sslcert", "sslkey"];

const KEPT: [&str; 3] = ["hostaddr", "application_name", "connect_timeout"];

/// Variables that the driver asks for itself, and that are right whatever they hold.
const BY_DRIVER: [&str; 4] = ["options", "sslrootcert", "sslcert", "sslkey"];

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

impl Settings {
    fn set(&mut self, key: &str, value: &str) {
        let Some(key) = TOLD.into_iter().chain(KEPT).find(|known| *known == key) else { return };
        if !value.is_empty() {
            self.values.retain(|(other, _)| *other != key);
            self.values.push((key, value.to_owned()));
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Takes a parameter that is followed, if its value can be understood.
    fn follow(&mut self, name: &str, value: &str, place: Place) -> Result<(), UrlError> {
        let is_understood = match name {
            "host" if value.contains(',') => {
                return Err(match place {
                    Place::Variable(_) => UrlError::Unsupported(place, "name one host"),
                    Place::Parameter(_) | Place::Nameless => UrlError::Hosts,
                });
            }
            "hostaddr" => value.is_empty() || value.parse::<IpAddr>().is_ok(),
            "port" => value.is_empty() || value.parse::<u16>().is_ok(),
            "connect_timeout" => value.is_empty() || value.trim().parse::<i32>().is_ok(),
            "sslmode" => value.is_empty() || SSL_MODES.contains(&value),
            _ => true,
        };
        if !is_understood {
            return Err(UrlError::Value(place));
        }
        match (name, value) {
            ("host", value) if value.starts_with('[') => self.set("host", &host_name(value)?),
            ("ssl", "true" | "1") => self.set("sslmode", "require"),
            ("ssl", "false" | "0") => self.set("sslmode", "disable"),
            ("ssl", value) => self.follow("sslmode", value, place)?,
            (name, value) => self.set(name, value),
        }
        Ok(())
    }

    fn into_server(mut self) -> Result<Server, UrlError> {
        if let Some(address) = self.get("hostaddr").map(ToOwned::to_owned) {
            // The address is where to go, the name only what to look for in the certificate, and the driver has one of
            // them.
            if self.get("sslmode") == Some("verify-full") && self.has("host") {
                let place = Place::Parameter("hostaddr".to_owned());
                return Err(UrlError::Refused(place, "leave it out: with sslmode=verify-full the host's name counts"));
            }
            self.set("host", &address);
        }
        let told = self.values.iter().filter(|(key, _)| TOLD.contains(key));
        let query: Vec<String> =
            told.map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
        let options = PgConnectOptions::from_str(&format!("postgres:///?{}", query.join("&")));
        let options = options.map_err(|_| UrlError::NoUrl)?;
        // Poolers refuse start-up parameters that they do not know, and statements must not be logged twice.
        let options = options.application_name(self.get("application_name").unwrap_or("cleanup"));
        let options = options.extra_float_digits(None).statement_cache_capacity(0).disable_statement_logging();
        let patience = self.get("connect_timeout").and_then(|seconds| seconds.trim().parse::<i32>().ok());
        // For libpq, 0 and less is no limit at all.
        let patience = patience.map_or(PATIENCE, |seconds| match u64::try_from(seconds) {
            Ok(0) | Err(_) => MOST_PATIENCE,
            Ok(seconds) => Duration::from_secs(seconds).min(MOST_PATIENCE),
        });
        Ok(Server { options, schema: self.schema, patience })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres_parts(url: &str) -> String {
        let Ok(Target::Postgres(server)) = parse(url, Path::new("/base")) else { panic!("{url}") };
        let options = server.options;
        let shown = format!("{options:?}");
        let password = options
            .clone()
            .host("it-makes-no-url-of-an-ipv6-address")
            .to_url_lossy()
            .password()
            .map(ToOwned::to_owned)
            .unwrap_or_default();
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
            ("postgresql://ann:pw@[::1]:5433/app", "ann:pw@::1:5433/app"),
            ("postgresql://ann:pw@[::1]/app", "ann:pw@::1:5432/app"),
            ("postgresql://ann@[2001:DB8::7]:5433/app", "ann:@2001:DB8::7:5433/app"),
            ("postgresql://ann@[fe80::1%25eth0]:5433/app", "ann:@fe80::1%eth0:5433/app"),
            ("postgresql://ann@[::ffff:127.0.0.1]/app", "ann:@::ffff:127.0.0.1:5432/app"),
            ("postgresql://ann@/app?host=::1&port=5433", "ann:@::1:5433/app"),
            ("postgresql://ann@/app?host=%5B::1%5D", "ann:@::1:5432/app"),
            ("postgresql://ann@db.example/app?hostaddr=::1", "ann:@::1:5432/app"),
            ("postgresql://ann@%2Fa%3Ab/app", "ann:@/a:b:5432/app"),
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
            ("postgresql://ann:hunter2@db:1,2/app", UrlError::Port),
            ("postgresql://ann:hunter2@::1/app", UrlError::Address),
            ("postgresql://ann:hunter2@[::1/app", UrlError::Address),
            ("postgresql://ann:hunter2@[hunter2]/app", UrlError::Address),
            ("postgresql://ann:hunter2@[127.0.0.1]/app", UrlError::Address),
            ("postgresql://ann:hunter2@[fe80::1%25]/app", UrlError::Address),
            ("postgresql://ann:%ff@db/app", UrlError::Encoding),
            (
                "postgresql://ann:hunter2@db/app?sslmode=hunter2",
                UrlError::Value(Place::Parameter("sslmode".to_owned())),
            ),
            // Most likely a piece of a password that nobody has encoded.
            (
                "postgresql://db/app?hunter2",
                UrlError::Refused(Place::Nameless, "give cleanup a url of its own without it"),
            ),
            ("sqlite://", UrlError::NoFile),
            ("sqlite:///:memory:", UrlError::NoFile),
        ] {
            let Err(error) = parse(url, Path::new("/base")) else { panic!("{url}") };
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{url}");
        }
    }

    const NOTHING: &dyn Fn(&str) -> Option<String> = &|_| None;

    /// What became of one parameter, or of one variable: followed, without bearing, or refused by its name.
    fn verdict(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
        match parse_with(url, Path::new("/base"), variable) {
            Ok(Target::Postgres(server)) => {
                let Server { options, schema, patience } = *server;
                let host =
                    options.get_socket().map_or(options.get_host().to_owned(), |path| path.display().to_string());
                let place = format!("{host}:{}/{}", options.get_port(), options.get_database().unwrap_or_default());
                let rest = format!("{:?} {:?}", options.get_application_name(), options.get_options());
                format!(
                    "{} {place} {rest} {:?} {schema:?} {patience:?}",
                    options.get_username(),
                    options.get_ssl_mode()
                )
            }
            Ok(Target::Sqlite(file)) => file.display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// All of libpq's parameters, each with a value that would lead elsewhere or ask for something.
    #[test]
    fn no_parameter_of_libpq_is_passed_over_in_silence() {
        let base = "postgresql://ann@db/app";
        let plain = verdict(base, NOTHING);
        let telling = |name: &str| match name {
            "hostaddr" => "192.0.2.7",
            "port" => "6000",
            "sslmode" => "verify-full",
            "connect_timeout" => "17",
            // Files and texts that only the driver looks at.
            _ => "x",
        };
        let by_driver = ["password", "sslrootcert", "sslcert", "sslkey"];
        let mut ignored = Vec::new();
        for (name, variable, meaning) in parameter::LIBPQ {
            let found = verdict(&format!("{base}?{name}={}", telling(name)), NOTHING);
            let told = verdict(base, &|asked| (asked == *variable).then(|| telling(name).to_owned()));
            match meaning {
                Meaning::Followed if by_driver.contains(name) => {}
                Meaning::Followed => {
                    assert_ne!(found, plain, "{name}");
                    assert!(!found.contains("cannot"), "{name}: {found}");
                }
                Meaning::NoBearing => {
                    assert_eq!((found, told), (plain.clone(), plain.clone()), "{name}");
                    ignored.push(*name);
                }
                Meaning::Only(_) | Meaning::Refused(_) => {
                    assert!(found.contains(&format!("the parameter `{name}` of url")), "{name}: {found}");
                    let named = told.contains(&format!("the variable {variable}"));
                    assert!(named || variable.is_empty(), "{variable}: {told}");
                }
                Meaning::Schema(_) => unreachable!("libpq has no such parameter"),
            }
        }
        // Whatever they say, the rows are the same.
        assert_eq!(
            ignored.join(" "),
            "fallback_application_name client_encoding max_protocol_version keepalives keepalives_idle \
             keepalives_interval keepalives_count tcp_user_timeout load_balance_hosts authtype tty"
        );
    }

    #[test]
    fn parameters_are_followed_or_the_url_is_refused_by_their_name() {
        let way_out = "write it into the policy instead: table = \"tenant1.sessions\"";
        for (query, expected) in [
            ("schema=tenant1", r#"Some(Identifier("tenant1"))"#),
            ("schema=Tenant-1", r#"Some(Identifier("Tenant-1"))"#),
            ("sch%65ma=tenant1", r#"Some(Identifier("tenant1"))"#),
            ("search_path=tenant1", r#"Some(Identifier("tenant1"))"#),
            ("currentSchema=tenant1", r#"Some(Identifier("tenant1"))"#),
            ("schema=a,b", way_out),
            ("schema=", way_out),
            ("search_path=%22$user%22,public", way_out),
            ("search_path=Tenant1", "the parameter `search_path` of url does not name one schema"),
            ("service=replica", "the parameter `service` of url cannot be followed"),
            ("passfile=/x", "set the variable PGPASSFILE instead"),
            ("hostaddr=192.0.2.7", "ann 192.0.2.7:5432/app"),
            ("hostaddr=192.0.2.7&sslmode=require", "ann 192.0.2.7:5432/app"),
            ("hostaddr=192.0.2.7&sslmode=verify-full", "the parameter `hostaddr` of url cannot be followed"),
            ("hostaddr=db2", "the parameter `hostaddr` of url has a value that cannot be understood"),
            ("port=6000,6001", "the parameter `port` of url has a value that cannot be understood"),
            ("host=a,b", "url names several hosts"),
            ("sslmode=no-verify", "the parameter `sslmode` of url has a value that cannot be understood"),
            ("ssl=true", "Require"),
            ("ssl=false", "Disable"),
            ("ssl=verify-full", "VerifyFull"),
            ("options=-c%20search_path%3Dtenant1", r#"Some("-c search_path=tenant1")"#),
            ("application_name=app", r#"Some("app")"#),
            ("connect_timeout=17", "17s"),
            ("connect_timeout=0", "60s"),
            ("connect_timeout=soon", "the parameter `connect_timeout` of url has a value that cannot be understood"),
            ("channel_binding=require", "the parameter `channel_binding` of url has a value that cannot be followed"),
            ("channel_binding=prefer&target_session_attrs=read-write&gssencmode=disable", "5s"),
            ("target_session_attrs=standby", "the parameter `target_session_attrs` of url has a value that"),
            ("connection_limit=5&pgbouncer=true&pool_timeout=3&prepared_statement_cache_size=0", "ann db:5432/app"),
            ("role=tenant1", "the parameter `role` of url cannot be followed"),
        ] {
            let found = verdict(&format!("postgresql://ann@db/app?{query}"), NOTHING);
            assert!(found.contains(expected), "{query}: {found}");
        }
    }

    #[test]
    fn variables_of_libpq_stand_in_for_what_the_url_leaves_open() {
        for (url, variable, value, expected) in [
            ("postgresql://ann@db/app", "PGSERVICE", "replica", "the variable PGSERVICE cannot be followed"),
            ("postgresql://ann@db/app", "PGHOSTADDR", "192.0.2.7", "ann 192.0.2.7:5432/app"),
            ("postgresql://ann@db/app?hostaddr=192.0.2.8", "PGHOSTADDR", "192.0.2.7", "ann 192.0.2.8:5432/app"),
            ("postgresql://ann@db/app", "PGHOST", "other", "ann db:5432/app"),
            ("postgresql://ann@/app", "PGHOST", "other", "ann other:5432/app"),
            ("postgresql://ann@/app", "PGHOST", "a,b", "the variable PGHOST has a value that cannot be followed"),
            ("postgresql://ann@db/app", "PGPORT", "many", "the variable PGPORT has a value that cannot be understood"),
            ("postgresql://ann@db:5433/app", "PGPORT", "many", "ann db:5433/app"),
            ("postgresql://ann@db/app", "PGSSLMODE", "verify", "the variable PGSSLMODE has a value that cannot be"),
            ("postgresql://ann@db/app?sslmode=require", "PGSSLMODE", "verify", "Require"),
            ("postgresql://ann@db/app", "PGSSLMODE", "verify-full", "VerifyFull"),
            ("postgresql://ann@db/app", "PGCHANNELBINDING", "require", "the variable PGCHANNELBINDING has a value"),
            ("postgresql://ann@db/app", "PGREQUIREPEER", "postgres", "the variable PGREQUIREPEER cannot be followed"),
            ("postgresql://ann@db/app", "PGSERVICE", "", "ann db:5432/app"),
            ("postgresql://ann@db/app", "PGAPPNAME", "app", r#"Some("app")"#),
            ("postgresql://ann@db/app", "PGCONNECT_TIMEOUT", "9", "9s"),
        ] {
            let found = verdict(url, &|asked| (asked == variable).then(|| value.to_owned()));
            assert!(found.contains(expected), "{url} {variable}={value}: {found}");
        }
        // What the text alone says does not hang on where it is looked at.
        assert_eq!(check("postgresql://ann@db/app"), Ok(()));
    }

    #[test]
    fn parameters_of_sqlite_are_harmless_or_refused() {
        for (query, expected) in [
            ("timeout=5&check_same_thread=false&cache=shared&mode=rwc", "/srv/app.db"),
            ("mode=rw&_journal_mode=WAL&_fk=1", "/srv/app.db"),
            ("mode=ro", "the parameter `mode` of url has a value that cannot be followed; rows are removed"),
            ("mode=memory", "url names no SQLite file"),
            ("immutable=1", "the parameter `immutable` of url has a value that cannot be followed"),
            ("vfs=other", "the parameter `vfs` of url cannot be followed"),
            ("key=secret", "the parameter `key` of url cannot be followed"),
            ("_foreign_keys=0", "the parameter `_foreign_keys` of url has a value that cannot be followed"),
            ("schema=tenant1", "the parameter `schema` of url cannot be followed"),
        ] {
            let found = verdict(&format!("sqlite:////srv/app.db?{query}"), NOTHING);
            assert!(found.contains(expected), "{query}: {found}");
            assert!(!found.contains("secret"), "{query}: {found}");
        }
    }
}
