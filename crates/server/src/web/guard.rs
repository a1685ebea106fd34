//! What every call has to get past before any handler sees it, in this order: its name for us, its origin, its token,
//! its body. Afterwards every answer gets the headers that keep browsers from doing anything clever with it.
//!
//! `Host` is checked because a page of another site can point its own name at this machine (rebinding); `Origin` and
//! `Sec-Fetch-Site` because it can post here without asking. There is no cross-origin access at all, so no
//! `Access-Control-Allow-Origin` is ever sent. Probes have neither token nor `Host`: the two health pages ask for none.
//!
//! What a proxy passes on comes from elsewhere, wherever the proxy runs, and over whichever socket. Without a token
//! nobody there may call, and the answer says how to change that.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::auth::{Caller, asks_for_token, authorized, forwarded_by, is_changing, may_read_metrics, refused};
use super::dashboard;
use super::extract::{MAX_BODY_BYTES, too_large};
use super::problem::{Kind, Problem};
use crate::app::access::Asker;
use crate::app::generation::Generation;
use crate::app::service::Service;
use crate::net::socket::Peer;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a call pass or refuses it, and dresses the answer.
pub(crate) async fn guard(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let mut response = match check(&service, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    dress(response.headers_mut());
    response
}

async fn check(service: &Service, request: &mut Request) -> Result<(), Problem> {
    let path = request.uri().path();
    let is_probe = matches!(path, "/healthz" | "/readyz");
    let asks_by_itself = is_probe || dashboard::is_page(path);
    let headers = request.headers();
    let live = service.generation();
    if !is_probe {
        check_host(&live, request.version(), request.uri(), headers)?;
    }
    if is_changing(request.method()) {
        check_site(headers)?;
    }
    let is_numbers = matches!(path, "/metrics" | "/readyz") && !is_changing(request.method());
    let has_token = live.access.has_token() || (is_numbers && live.access.has_metrics_token());
    let peer = match forwarded_by(headers) {
        Some(header) if !has_token && !is_probe => return Err(passed_on(header)),
        Some(_) => Peer::Remote,
        None => request.extensions().get().copied().unwrap_or(Peer::Remote),
    };
    let asker = authorized(service, &live.access, headers);
    let is_stranger = asks_for_token(&live.access, peer, request.method())
        && asker.is_none()
        && !(is_numbers && may_read_metrics(&live.access, headers));
    let caller = if is_stranger { Caller::Stranger } else { Caller::Trusted };
    if caller == Caller::Stranger && !asks_by_itself {
        return Err(refused().await);
    }
    check_body(headers)?;
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(named(asker.unwrap_or_default(), peer));
    Ok(())
}

/// Who asks, by the name of the token, or of the user at the other end of a unix socket.
fn named(asker: Asker, peer: Peer) -> Asker {
    match peer {
        Peer::Unix { uid } if asker.name().is_none() => Asker::of_user(uid),
        Peer::Unix { .. } | Peer::Loopback | Peer::Remote => asker,
    }
}

/// A proxy passes the call on, and there is no token by which to tell who may.
fn passed_on(header: &HeaderName) -> Problem {
    let detail = format!(
        "the header `{header}` says that a proxy passes this request on, so it may be anybody's, and no token is set: \
         set `token_file` and `token_for = \"everything\"` in `[server]`, and send the token with each request"
    );
    Problem::of(Kind::PassedOn, detail)
}

/// The call must name us by a name that only we have: no name of another site that leads here passes.
fn check_host(live: &Generation, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let bad = |detail: &str| Problem::plain(StatusCode::BAD_REQUEST, detail);
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) => return Err(bad("the header `Host` is missing")),
        (Some(_), Some(_)) => return Err(bad("there is more than one header `Host`")),
    };
    let named = host.to_str().ok().and_then(parse_authority).ok_or_else(|| bad("the header `Host` is not valid"))?;
    // HTTP/2 has its authority in the target always; here it means a request in absolute form.
    if version <= Version::HTTP_11
        && let Some(target) = uri.authority()
        && parse_authority(target.as_str()).as_ref() != Some(&named)
    {
        return Err(bad("the request's target and the header `Host` differ"));
    }
    if is_ours(&named.0, live.access.hosts()) {
        return Ok(());
    }
    let detail = "`Host` must be `localhost`, an IP address, or a name that `hosts` in `[server]` lists";
    Err(Problem::of(Kind::WrongHost, detail))
}

/// Host, in lower case, and port.
type HostAndPort = (String, Option<u16>);

fn parse_authority(text: &str) -> Option<HostAndPort> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    // What follows the host is a port or nothing; `user@` is neither.
    let rest = text.strip_prefix(host)?;
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

fn is_ours(host: &str, configured: &[String]) -> bool {
    let v6 = || host.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok()
        || v6().is_some()
        || configured.iter().any(|name| name == host)
}

/// A browser says where a call comes from; a changing one must come from our own page, or from no page at all.
fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let cross_site = || Err(Problem::of(Kind::CrossSite, "a page of another origin may not change anything here"));
    let is_own_site = |value: &HeaderValue| matches!(value.as_bytes(), b"same-origin" | b"none");
    if !headers.get_all(SEC_FETCH_SITE).iter().all(is_own_site) {
        return cross_site();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own = |origin: &HeaderValue| {
        let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let with_port = |text| parse_authority(text).map(|(host, port)| (host, port.unwrap_or(default)));
        Some(with_port(authority)? == with_port(host?)?)
    };
    if !headers.get_all(header::ORIGIN).iter().all(|origin| is_own(origin) == Some(true)) {
        return cross_site();
    }
    Ok(())
}

/// Refuses by its announcement what would be refused when it comes.
fn check_body(headers: &HeaderMap) -> Result<(), Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        let detail = "bodies are taken as they are, without `Content-Encoding`";
        let identity = HeaderValue::from_static("identity");
        return Err(
            Problem::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).header(header::ACCEPT_ENCODING, identity)
        );
    }
    Ok(())
}

/// Headers of every answer; a page may bring a policy of its own.
fn dress(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(HeaderName::from_static("cross-origin-resource-policy"))
        .or_insert(HeaderValue::from_static("same-origin"));
}
