//! The token for a cookie: browsers cannot send a bearer header by themselves.
//!
//! The cookie is a secret of its own; script cannot read it, and no other site can send it along. It is marked `Secure`
//! when the browser says that it came over https: behind a proxy this service cannot know it in another way, and on
//! plain loopback such a cookie would never come back.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::app::access::SESSION_LENGTH;
use crate::app::service::Service;
use crate::web::auth::{COOKIE, refused, session_cookie};
use crate::web::dashboard::{self, wants_html};
use crate::web::extract::{FORM, form, is_media_type, parse, read, unsupported};
use crate::web::problem::{Kind, Problem};

/// The credentials of a browser.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Login")]
pub(crate) struct Login {
    /// The token.
    #[schemars(with = "String")]
    token: SecretString,
    /// The local page to continue with, for forms; `/` by default.
    #[serde(default)]
    next: Option<String>,
}

/// Exchange the token for a cookie.
///
/// Accepts JSON, or a form from a page, which is redirected to `/`.
#[utoipa::path(post, path = "/login", tag = "Operation",
    request_body(content((ref("#/components/schemas/Login") = "application/json"),
        (ref("#/components/schemas/Login") = "application/x-www-form-urlencoded"))),
    responses(
        (status = 204, description = "Logged in; sets the cookie"),
        (status = 303, description = "Logged in; sets the cookie, for forms"),
    ))]
pub(crate) async fn login(State(service): State<Arc<Service>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let is_form = is_media_type(&parts.headers, FORM);
    let bytes = read(body).await?;
    let Login { token, next } = if is_form {
        form(bytes).await.map_err(|_| bad_body())?
    } else if is_media_type(&parts.headers, "application/json") {
        parse(&bytes).map_err(|_| bad_body())?
    } else {
        return Err(unsupported("the body must be JSON or a form"));
    };
    let access = service.generation().access;
    let asker = access.asker(token.expose_secret().as_bytes());
    if access.has_token() && asker.is_none() {
        if is_form && wants_html(&parts.headers) {
            return Ok(dashboard::login_refused(&service, next.as_deref()).await);
        }
        return Err(refused().await);
    }
    let mut response = done(is_form, next.as_deref());
    if let Some(asker) = asker {
        let value = service.sessions.begin(asker).map_err(|error| {
            tracing::error!("cannot generate a random number: {error}");
            Problem::internal()
        })?;
        set_cookie(&mut response, &value, SESSION_LENGTH.as_secs(), is_https(&parts.headers))?;
    }
    Ok(response)
}

/// End the session of the cookie.
#[utoipa::path(post, path = "/logout", tag = "Operation",
    responses((status = 204, description = "The session has ended"),
        (status = 303, description = "The same, as a redirect for forms")))]
pub(crate) async fn logout(State(service): State<Arc<Service>>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(value) = session_cookie(&headers) {
        service.sessions.end(value);
    }
    let mut response = done(is_media_type(&headers, FORM), None);
    set_cookie(&mut response, "", 0, is_https(&headers))?;
    Ok(response)
}

/// Says nothing of what is in it: a token may be.
fn bad_body() -> Problem {
    Problem::of(Kind::BadValue, "the body must hold `token`, and nothing else")
}

fn done(is_form: bool, next: Option<&str>) -> Response {
    if is_form {
        Redirect::to(dashboard::safe_target(next)).into_response()
    } else {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Whether the browser came over https, as it says itself.
fn is_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

fn set_cookie(response: &mut Response, value: &str, seconds: u64, secure: bool) -> Result<(), Problem> {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}");
    let mut cookie = HeaderValue::try_from(cookie).map_err(|_| Problem::internal())?;
    cookie.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(())
}
