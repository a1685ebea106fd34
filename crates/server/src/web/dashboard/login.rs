//! Asking for the token, and where to go on with it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::page::{Asked, Frame, Part, Token, here, html};
use crate::app::service::Service;
use crate::web::auth::refused as not_authorized;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    frame: Frame,
    next: &'a str,
    is_wrong: bool,
}

/// Where to go on.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Target {
    next: Option<String>,
}

/// The page that asks.
pub(crate) async fn page(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    Asked(target): Asked<Target>,
) -> Response {
    let next = target.next;
    let frame = Frame::of(&service, &headers, Part::Other);
    html(StatusCode::OK, &LoginPage { frame, next: safe_target(next.as_deref()), is_wrong: false })
}

/// The answer to whoever needs the token and has none, as late as all refusals.
pub(crate) async fn asked(service: &Service, next: &str) -> Response {
    answer(service, next, false).await
}

/// The answer to a wrong token.
pub(crate) async fn refused(service: &Service, next: Option<&str>) -> Response {
    answer(service, safe_target(next), true).await
}

/// The page that asks a stranger, whatever he asked for, once he was kept waiting.
pub(super) fn unasked(service: &Service) -> Response {
    let frame = Frame::new(Part::Other, Token::Missing, &here(service));
    html(StatusCode::UNAUTHORIZED, &LoginPage { frame, next: "/", is_wrong: false })
}

async fn answer(service: &Service, next: &str, is_wrong: bool) -> Response {
    let problem = not_authorized().await.into_response();
    let frame = Frame::new(Part::Other, Token::Missing, &here(service));
    let mut response = html(problem.status(), &LoginPage { frame, next, is_wrong });
    for (name, value) in problem.headers() {
        if name == axum::http::header::WWW_AUTHENTICATE {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// A page of ours to go to; anything else is the first one. No address of another host begins with a single slash.
pub(crate) fn safe_target(next: Option<&str>) -> &str {
    let is_safe = |target: &&str| {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        super::is_page(path)
            && !target.starts_with("//")
            && target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    next.filter(is_safe).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::safe_target;

    #[test]
    fn a_login_leads_to_our_own_pages_only() {
        for target in ["/", "/policies/a", "/runs?policy=a", "/files/temp-models.YQ", "/explain?path=%2Fa#x"] {
            assert_eq!(safe_target(Some(target)), target);
        }
        for target in
            ["", "//evil.example", "/\\evil.example", "https://evil.example/", "runs", "/runs\r\nX: y", "/metrics"]
        {
            assert_eq!(safe_target(Some(target)), "/", "{target:?}");
        }
        assert_eq!(safe_target(None), "/");
    }
}
