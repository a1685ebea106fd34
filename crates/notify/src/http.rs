//! Requests over HTTP, each within a time limit. Redirects are not followed, and nothing of an answer is read but its
//! status: whoever answers can neither send us elsewhere nor keep us waiting.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use cleanup_core::config::{Endpoint, Hidden, url_error, without_secrets};
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// More than any URL needs, in bytes.
const LONGEST_URL: u64 = 8192;

/// More than a file of certificates needs, in bytes.
const MOST_CERTIFICATES: u64 = 4 << 20;

/// Sends a message by POST.
pub fn post(
    endpoint: &Endpoint,
    headers: &[(String, Hidden)],
    ca_file: Option<&Path>,
    body: &[u8],
    limit: Duration,
) -> Result<(), String> {
    let url = url(endpoint)?;
    let mut request = agent(ca_file, limit)?.post(&url);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        request = request.header("Content-Type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(name, value.expose());
    }
    told(&url, request.send(body))
}

/// Calls a URL by GET.
pub fn get(endpoint: &Endpoint, ca_file: Option<&Path>, limit: Duration) -> Result<(), String> {
    let url = url(endpoint)?;
    told(&url, agent(ca_file, limit)?.get(&url).call())
}

/// The URL that is called.
fn url(endpoint: &Endpoint) -> Result<String, String> {
    match endpoint {
        Endpoint::Url(url) => Ok(url.expose().to_owned()),
        Endpoint::File(path) => read_url(path),
    }
}

/// The URL in a file, without the line break at its end. An error names the file, and nothing of what is in it.
pub fn read_url(path: &Path) -> Result<String, String> {
    let text = read(path, LONGEST_URL)?;
    let text = String::from_utf8(text).unwrap_or_default().trim().to_owned();
    match url_error(&text) {
        None => Ok(text),
        Some(why) => Err(format!("{} holds no URL to call: {why}", path.display())),
    }
}

/// The certificates in a file.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let text = read(path, MOST_CERTIFICATES)?;
    let certificates = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    match certificates.collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(format!("{} holds no certificate in PEM", path.display())),
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    // To open a pipe would be to wait for whoever writes into it.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(format!("{} is not a regular file", path.display()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn agent(ca_file: Option<&Path>, limit: Duration) -> Result<Agent, String> {
    let roots = match ca_file {
        None => RootCerts::WebPki,
        Some(path) => RootCerts::new_with_certs(&read_certificates(path)?),
    };
    let config = Agent::config_builder()
        .timeout_global(Some(limit))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("cleanup/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build();
    Ok(config.into())
}

/// What came of a request, without anything of its URL but the host.
fn told(url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(), String> {
    let host = without_secrets(url);
    let answer = answer.map_err(|error| format!("{host}: {}", why(&error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    if !status.is_redirection() {
        return Err(format!("{host} answered {code}"));
    }
    let location = answer.headers().get("location").and_then(|location| location.to_str().ok());
    let elsewhere = match location {
        Some(location) if location.contains("://") => {
            format!(" to {}", cleanup_core::candidate::harmless(&without_secrets(location)))
        }
        Some(_) | None => String::new(),
    };
    Err(format!("{host} answered {code}, a redirect{elsewhere}; redirects are not followed: write the final URL"))
}

/// Why there is no answer. The texts of some errors quote the URL, so each kind has a text of its own here.
fn why(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::ConnectionFailed => "it cannot be connected to".to_owned(),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Rustls(error) => error.to_string(),
        ureq::Error::Tls(why) => (*why).to_owned(),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => "what it answers is not HTTP".to_owned(),
        ureq::Error::BadUri(_) => "the URL cannot be called".to_owned(),
        _ => "the request failed".to_owned(),
    }
}
