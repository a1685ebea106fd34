//! Who may call: on loopback or a unix socket without a token. Once there is one, every changing call needs it, under
//! `token_for = "everything"` every call, and from elsewhere every call in any case. Which token of several it is says who
//! asks. What only reads numbers may have a token that is good for nothing else.
//!
//! A proxy on this machine calls from loopback whoever stands behind it. A request that says that it was passed on
//! (`forwarded_by`) therefore counts as one from elsewhere. One that does not say so cannot be told from a request of
//! this machine: for that there is `token_for = "everything"`.
//!
//! A wrong token, a missing one and one in the wrong place get the same answer.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use cleanup_core::config::TokenFor;

use super::problem::{Kind, Problem};
use crate::app::access::{Access, Asker};
use crate::app::service::Service;
use crate::net::socket::Peer;

/// The cookie that stands for the token.
pub const COOKIE: &str = "cleanup_session";

/// How long a call with a wrong token waits for its answer.
pub const REFUSAL_DELAY: Duration = Duration::from_millis(200);

/// Whether the caller may see details, in a request's extensions: it needs no token for that, or has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Trusted,
    Stranger,
}

/// Whether a call needs the token.
pub(crate) fn asks_for_token(access: &Access, peer: Peer, method: &Method) -> bool {
    let is_asked_of_all = access.token_for() == TokenFor::Everything || is_changing(method);
    peer == Peer::Remote || (access.has_token() && is_asked_of_all)
}

/// Who asks, when a call has a token or a cookie that stands for one. An `Authorization` header is never overruled by a
/// cookie.
pub(crate) fn authorized(service: &Service, access: &Access, headers: &HeaderMap) -> Option<Asker> {
    if !access.has_token() {
        return None;
    }
    match presented(headers) {
        Presented::Token(token) => access.asker(token),
        Presented::Unclear => None,
        Presented::Nothing => session_cookie(headers).and_then(|value| service.sessions.asker(value)),
    }
}

/// Whether a call has the token that is good for reading numbers alone.
pub(crate) fn may_read_metrics(access: &Access, headers: &HeaderMap) -> bool {
    matches!(presented(headers), Presented::Token(token) if access.is_metrics_token(token))
}

/// What the `Authorization` headers say.
enum Presented<'a> {
    Token(&'a [u8]),
    /// No token, or more than one.
    Unclear,
    Nothing,
}

fn presented(headers: &HeaderMap) -> Presented<'_> {
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    match (authorizations.next(), authorizations.next()) {
        (Some(only), None) => bearer(only.as_bytes()).map_or(Presented::Unclear, Presented::Token),
        (Some(_), Some(_)) => Presented::Unclear,
        (None, _) => Presented::Nothing,
    }
}

/// Whether a method may change anything.
pub(crate) fn is_changing(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// The header by which a proxy says that it passes the request on for somebody else, whatever the value.
pub(crate) fn forwarded_by(headers: &HeaderMap) -> Option<&HeaderName> {
    let says_so = |name: &&HeaderName| {
        // Names are in lower case here, however they were sent.
        let name = name.as_str();
        matches!(name, "forwarded" | "x-forwarded" | "x-real-ip" | "via") || name.starts_with("x-forwarded-")
    };
    headers.keys().find(says_so)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// The value of our cookie, when the call has one.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The same answer for a missing, a misplaced and a wrong token, each as late as the others.
pub(crate) async fn refused() -> Problem {
    tokio::time::sleep(REFUSAL_DELAY).await;
    Problem::of(Kind::TokenNeeded, "this call needs the header `Authorization: Bearer TOKEN`, or the cookie of /login")
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"cleanup\""))
}
