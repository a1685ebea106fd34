//! Where a PostgreSQL URL leads, and how it is to be reached.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use super::parameter;
use crate::rule::names::Identifier;
use crate::url::parameter::{Meaning, Spelling};
use crate::url::{
    Parameter, Place, UrlError, Variable, decoded, host_name, parameters, split_address, split_user_info, weigh,
};

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

/// Reads what follows the scheme, and asks the environment for what it leaves open.
pub(crate) fn parse(rest: &str, variable: Variable<'_>) -> Result<Server, UrlError> {
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
        match parameter::of(&name) {
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
    settings.into_server()
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

/// Files that have to be there.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

/// Public authorities, as the value of `sslrootcert`.
const SYSTEM: &str = "system";

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
        // What a variable names is up to the driver: it may be meant for other servers.
        let is_asked_for = FILES.contains(&name) && matches!(place, Place::Parameter(_));
        if is_asked_for && !value.is_empty() && value != SYSTEM && !Path::new(value).is_file() {
            return Err(UrlError::NoSuchFile(place, PathBuf::from(value)));
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
        // As for libpq: anybody can have a certificate of a public authority, so the host's name counts.
        if self.get("sslrootcert") == Some(SYSTEM) {
            if self.get("sslmode").is_some_and(|mode| mode != "verify-full") {
                let place = Place::Parameter("sslmode".to_owned());
                return Err(UrlError::Unsupported(place, "with sslrootcert=system it has to be verify-full"));
            }
            self.values.retain(|(key, _)| *key != "sslrootcert");
            self.set("sslmode", "verify-full");
        }
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
