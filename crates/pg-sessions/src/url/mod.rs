//! Database URLs as the Python world writes them, and as everybody else does.
//!
//! SQLAlchemy names the driver in the scheme (`postgresql+psycopg2://`), takes characters in a password that a strict
//! parser refuses, and writes a relative SQLite file with three slashes and an absolute one with four. So the URL is
//! taken apart here by SQLAlchemy's rules and handed on piece by piece. A URL may hold a password: no error of this
//! module quotes any part of it but the scheme and the name of a parameter.

pub(crate) mod parameter;
#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use self::parameter::Meaning;

/// Answers a variable of the environment.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

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
    #[error("url names no SQLite file; an in-memory database cannot be cleaned")]
    NoFile,
    #[error("url is not valid UTF-8")]
    Encoding,
    #[error("{0} has an invalid value")]
    Value(Place),
    #[error("{0} has an unsupported value; {1}")]
    Unsupported(Place, &'static str),
    #[error("{0} is not supported, so this might not be the application's database or table; {1}")]
    Refused(Place, &'static str),
    #[error("{0}: there is no file {file}", file = .1.display())]
    NoSuchFile(Place, PathBuf),
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

/// The scheme without the driver that SQLAlchemy adds to it, and the rest.
pub(crate) fn split_scheme(url: &str) -> Result<(String, &str), UrlError> {
    let (scheme, rest) = url.trim().split_once(':').ok_or(UrlError::NoUrl)?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '_') {
        Ok((scheme, rest))
    } else {
        Err(UrlError::NoUrl)
    }
}

/// A parameter of a URL, decoded.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) place: Place,
}

/// The parameters of a URL, in their order.
pub(crate) fn parameters(query: &str) -> Result<Vec<Parameter>, UrlError> {
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
pub(crate) fn weigh(meaning: Meaning, place: Place, value: &str) -> Result<(), UrlError> {
    match meaning {
        Meaning::Followed | Meaning::Schema(_) | Meaning::NoBearing => Ok(()),
        Meaning::Only(values) if values.contains(&value) => Ok(()),
        Meaning::Only(_) => Err(UrlError::Unsupported(place, "leave it out, or give cleanup a url of its own")),
        Meaning::Refused(way_out) => Err(UrlError::Refused(place, way_out)),
    }
}

/// A host as it is asked for: an IPv6 address without its brackets, a zone with its own `%`.
pub(crate) fn host_name(host: &str) -> Result<String, UrlError> {
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
pub(crate) fn split_user_info(rest: &str) -> (Option<(&str, Option<&str>)>, &str) {
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

/// The host and the port of an address.
pub(crate) fn split_address(address: &str) -> Result<(&str, &str), UrlError> {
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

/// Percent-decoded.
pub(crate) fn decoded(text: &str) -> Result<String, UrlError> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| UrlError::Encoding)
}
