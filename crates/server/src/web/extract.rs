//! What a call brings along, read with limits, and refused with a problem instead of a framework's own words.
//!
//! Bodies are JSON objects, at most 64 KiB, all there within ten seconds. What is no JSON at all is 400; what is JSON and
//! not what it has to be is 422, and so are the two things that only look like JSON: lone surrogates and `NaN`. An array
//! is never taken for an object whose values it lists by position: `[]` would mean "everything, for good" to a sweep.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use base64::Engine as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::problem::{Kind, Problem};

/// The largest body that is read, in bytes.
pub(crate) const MAX_BODY_BYTES: u64 = 64 << 10;

/// How long a body may take. Together with the limit for headers this stays below 20 seconds.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body that is not parsed yet.
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let is_json = is_media_type(&parts.headers, "application/json");
        let bytes = read(body).await?;
        if !is_json {
            return Err(unsupported("the body must be JSON, with `Content-Type: application/json`"));
        }
        Ok(Self(bytes))
    }
}

/// A JSON body that may be left out.
pub(crate) struct JsonOrNothing<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for JsonOrNothing<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let is_json = is_media_type(&parts.headers, "application/json");
        let bytes = read(body).await?;
        match is_json {
            _ if bytes.is_empty() => Ok(Self(T::default())),
            true => parse(&bytes).map(Self),
            false => Err(unsupported("the body must be JSON, with `Content-Type: application/json`")),
        }
    }
}

/// The media type of what a page sends.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A form, as a page sends it.
pub(crate) struct PageForm<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for PageForm<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let is_form = is_media_type(&parts.headers, FORM);
        let bytes = read(body).await?;
        if !is_form {
            return Err(unsupported("the body must be a form"));
        }
        form(bytes).await.map(Self)
    }
}

/// Reads a form.
pub(crate) async fn form<T: DeserializeOwned>(bytes: Bytes) -> Result<T, Problem> {
    let mut request = Request::new(Body::from(bytes));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
    match axum::extract::Form::from_request(request, &()).await {
        Ok(axum::extract::Form(value)) => Ok(value),
        Err(error) => Err(Problem::of(Kind::BadValue, format!("the form: {}", root_cause(&error)))),
    }
}

/// A query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => Err(Problem::of(Kind::BadValue, format!("the query: {}", root_cause(&error)))),
        }
    }
}

/// The variable part of a path.
pub(crate) struct Part(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(part)) => Ok(Self(part)),
            Err(_) => Err(Problem::plain(StatusCode::BAD_REQUEST, "the URL is not valid UTF-8")),
        }
    }
}

/// Whether the body is announced as this media type, whatever its parameters.
pub(crate) fn is_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    let announced = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    announced.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

pub(crate) fn unsupported(detail: &str) -> Problem {
    Problem::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

/// Reads a body, whatever it announced, never more than the limit of it and never longer than the timeout.
pub(crate) async fn read(body: Body) -> Result<Bytes, Problem> {
    let limit = usize::try_from(MAX_BODY_BYTES).unwrap_or(usize::MAX);
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::plain(StatusCode::BAD_REQUEST, "the body is incomplete")),
        Err(_) => Err(Problem::plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 seconds")
            .header(header::CONNECTION, header::HeaderValue::from_static("close"))),
    }
}

/// The body is over [`MAX_BODY_BYTES`]. The connection is not used again: the rest of the body would have to be read.
pub(crate) fn too_large() -> Problem {
    Problem::plain(StatusCode::PAYLOAD_TOO_LARGE, "a body must not exceed 64 KiB")
        .header(header::CONNECTION, HeaderValue::from_static("close"))
}

/// Parses a JSON object: the one place through which every body goes.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let is_grammatical = || serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    if bytes.trim_ascii_start().first() != Some(&b'{') && is_grammatical() {
        return Err(Problem::of(Kind::BadValue, "the body must be a JSON object, `{…}`"));
    }
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if error.is_data() || is_grammatical() || is_at_no_number(bytes, &error) {
        return Err(Problem::of(Kind::BadValue, format!("the body: {error}")));
    }
    Err(Problem::plain(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")))
}

/// Whether parsing stopped at one of the words that Python and JavaScript write for what is no number.
fn is_at_no_number(bytes: &[u8], error: &serde_json::Error) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let column = error.column().saturating_sub(1);
    let (before, after) = line.split_at(column.min(line.len()));
    let rest = [before.strip_suffix(b"-").map_or(after, |_| after), &line[before.len().saturating_sub(1)..]];
    rest.iter().any(|rest| [&b"NaN"[..], b"Infinity", b"-Infinity"].iter().any(|word| rest.starts_with(word)))
}

/// The innermost cause in words, without the types in between.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A page size within its bounds.
pub(crate) fn page_size(wanted: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match wanted {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::of(Kind::BadValue, format!("the query: `limit` must be 1 to {max}"))),
    }
}

/// The path that a call names: as text, or exactly.
pub(crate) fn path_bytes(text: Option<String>, exact: Option<String>) -> Result<Vec<u8>, Problem> {
    match (text, exact) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(exact)) => base64::engine::general_purpose::STANDARD
            .decode(exact)
            .map_err(|_| Problem::of(Kind::BadValue, "`path_bytes` is not base64")),
        (None, None) => Err(Problem::of(Kind::BadValue, "`path` is missing")),
        (Some(_), Some(_)) => Err(Problem::of(Kind::BadValue, "`path` and `path_bytes` cannot be combined")),
    }
}
