//! The table `[notify]`: who is told of findings, and what runs after files were removed.

use std::fmt;
use std::path::PathBuf;

use crate::report::FindingCode;

/// The table `[notify]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Where each message is sent by POST.
    pub webhook: Option<Endpoint>,
    /// What that request carries besides its own headers: names and values, checked to be valid in HTTP.
    pub headers: Vec<(String, Hidden)>,
    /// A file of certificates in PEM that are trusted instead of the built-in ones, absolute.
    pub ca_file: Option<PathBuf>,
    /// The program that gets each message on its standard input, and its arguments; not empty.
    pub command: Option<Vec<String>>,
    /// The codes that are told; `None` is all but those that pass by themselves.
    pub on: Option<Vec<FindingCode>>,
    /// Whether the end of a finding is told as well.
    pub recovered: bool,
    /// Where a GET is sent after each successful run.
    pub ping: Option<Endpoint>,
    /// The program that gets the paths of removed files on its standard input, and its arguments; not empty.
    pub after: Option<Vec<String>>,
}

impl Notify {
    /// Whether somebody is to be told of findings with this code.
    pub fn wants(&self, code: FindingCode) -> bool {
        match &self.on {
            Some(codes) => codes.contains(&code),
            None => code.is_told_by_default(),
        }
    }

    /// Whether anybody is told of anything: a message or a ping.
    pub fn tells(&self) -> bool {
        self.webhook.is_some() || self.command.is_some() || self.ping.is_some()
    }

    /// Every file that holds a secret.
    pub fn secret_files(&self) -> impl Iterator<Item = &std::path::Path> {
        [&self.webhook, &self.ping].into_iter().filter_map(|endpoint| match endpoint {
            Some(Endpoint::File(path)) => Some(path.as_path()),
            Some(Endpoint::Url(_)) | None => None,
        })
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// This URL, checked as far as its text tells.
    Url(Hidden),
    /// The URL in this file, absolute. It is read for each request, so that it can be replaced at any time.
    File(PathBuf),
}

/// The place without what may be secret: `https://hooks.slack.com/…`, or the file.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&without_secrets(url.expose())),
            Self::File(path) => write!(f, "the URL in {}", path.display()),
        }
    }
}

/// A text that no log and no error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever sends it where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A URL without what may be secret. In those of webhooks that is everything after the host: whoever knows the path may
/// send.
pub fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.trim().split_once("://") else { return "…".to_owned() };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let more = if rest.is_empty() || rest == "/" { "" } else { "/…" };
    format!("{scheme}://{host}{more}")
}

/// What is wrong with a URL that is to be called, without anything of it that may be secret.
pub fn url_error(url: &str) -> Option<&'static str> {
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("it holds a space, a line break or a character that is not ASCII; percent-encode those");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("expected a URL that begins with `https://` or `http://`");
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Some("expected a URL that begins with `https://` or `http://`");
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if authority.contains('@') {
        return Some("it holds a user name; send credentials as `headers = { Authorization = \"Basic …\" }`");
    }
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Some("it names no host");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => Some("its port is not a number up to 65535"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_after_the_host_is_shown() {
        for (url, shown) in [
            ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com/…"),
            ("https://user:secret@example.org:8443/secret?secret#secret", "https://example.org:8443/…"),
            ("http://127.0.0.1:80", "http://127.0.0.1:80"),
            ("https://example.org/", "https://example.org"),
            ("https://example.org?secret", "https://example.org/…"),
            ("secret", "…"),
        ] {
            assert_eq!(without_secrets(url), shown, "{url}");
            assert_eq!(Endpoint::Url(Hidden::new(url)).to_string(), shown);
        }
        assert!(!format!("{:?}", Endpoint::Url(Hidden::new("https://secret/"))).contains("secret"));
    }

    #[test]
    fn what_cannot_be_called_is_an_error_that_shows_nothing_of_it() {
        for good in ["https://h/x?y=%7B", "http://[::1]:80/", "http://[::1]", "HTTPS://h", "http://h:65535"] {
            assert_eq!(url_error(good), None, "{good}");
        }
        for bad in [
            "",
            "h/secret",
            "ftp://h/secret",
            "file:///secret",
            "https://",
            "https:///secret",
            "https://:80",
            "https://u:secret@h/",
            "https://h:secret/",
            "https://h:65536/",
            "https://h/se cret",
            "https://h/\r\nsecret: x",
            "https://h/sécret",
        ] {
            let error = url_error(bad).unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
