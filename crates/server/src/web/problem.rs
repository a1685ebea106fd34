//! Errors as RFC 9457 says: `application/problem+json` with `type`, `title`, `status` and `detail`.
//!
//! A detail is a sentence for the person who made the call. It never holds a path outside the policies' roots, a URL or
//! what went wrong inside: that is logged, once, where it is handled.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::error::AppError;

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The `type` of a problem of which the status says it all.
const PLAIN: &str = "about:blank";

/// What goes wrong in a way that a program may want to tell apart; everything else is its status alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No policy has this name.
    UnknownPolicy,
    /// No file, run or page has this id.
    UnknownId,
    /// The policy does not say `track = true`.
    NotTracked,
    /// The path leaves the root, matches no pattern, does not exist, or is not a regular file.
    PathRefused,
    /// A value in the body or the query is not what it has to be.
    BadValue,
    /// More files are tracked than the service has room for.
    TooManyFiles,
    /// The call needs a token and has none, or a wrong one.
    TokenNeeded,
    /// A proxy passes the call on, and there is no token by which to tell whose it is.
    PassedOn,
    /// Another site made a browser call.
    CrossSite,
    /// `Host` is no name of this service.
    WrongHost,
    /// The service cannot answer this now: it is starting or stopping.
    NotNow,
    /// What the service remembers cannot be read or written.
    MemoryAway,
}

impl Kind {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::UnknownPolicy => (StatusCode::NOT_FOUND, "/problems/unknown-policy", "No such policy"),
            Self::UnknownId => (StatusCode::NOT_FOUND, "/problems/unknown-id", "No such id"),
            Self::NotTracked => {
                (StatusCode::UNPROCESSABLE_ENTITY, "/problems/not-tracked", "The policy does not track files")
            }
            Self::PathRefused => (StatusCode::UNPROCESSABLE_ENTITY, "/problems/path-refused", "Invalid path"),
            Self::BadValue => (StatusCode::UNPROCESSABLE_ENTITY, "/problems/bad-value", "Invalid value"),
            Self::TooManyFiles => {
                (StatusCode::INSUFFICIENT_STORAGE, "/problems/too-many-files", "Too many tracked files")
            }
            Self::TokenNeeded => (StatusCode::UNAUTHORIZED, "/problems/token-needed", "Token required"),
            Self::PassedOn => {
                (StatusCode::FORBIDDEN, "/problems/passed-on", "Requests through a proxy require a token")
            }
            Self::CrossSite => (StatusCode::FORBIDDEN, "/problems/cross-site", "Not allowed from another site"),
            Self::WrongHost => (StatusCode::MISDIRECTED_REQUEST, "/problems/wrong-host", "Unknown host name"),
            Self::NotNow => (StatusCode::SERVICE_UNAVAILABLE, "/problems/not-now", "Not possible now"),
            Self::MemoryAway => (StatusCode::SERVICE_UNAVAILABLE, "/problems/memory-away", "State not available"),
        }
    }
}

/// An error as it is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    body: ProblemBody,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The members of a problem.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody {
    /// The kind of problem, for programs: `about:blank` if the status is enough, or a name relative to the service,
    /// such as `/problems/path-refused`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The kind for people; the same for each occurrence.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened this time, as a sentence.
    detail: String,
    /// More that is known of it.
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Problem {
    /// A problem that programs can tell from others of the same status.
    pub fn of(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, name, title) = kind.parts();
        Self::assemble(status, name, title.to_owned(), detail.into())
    }

    /// A problem of which the status says it all.
    pub fn plain(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self::assemble(status, PLAIN, title, detail.into())
    }

    /// What is served when something went wrong inside; the log says what.
    pub fn internal() -> Self {
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, AppError::Internal.to_string())
    }

    fn assemble(status: StatusCode, kind: &'static str, title: String, detail: String) -> Self {
        let body = ProblemBody { kind, title, status: status.as_u16(), detail, more: Map::new() };
        Self(Box::new(Parts { body, status, headers: Vec::new() }))
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.body.more.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Its members, where it is a part of an answer.
    pub(crate) fn into_body(self) -> ProblemBody {
        self.0.body
    }

    /// Whether the status says it all.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.body.kind == PLAIN
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What kind of problem it is, for people.
    pub(crate) fn title(&self) -> &str {
        &self.0.body.title
    }

    /// What happened this time.
    pub(crate) fn detail(&self) -> &str {
        &self.0.body.detail
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let text = error.to_string();
        let kind = match error {
            AppError::UnknownPolicy(_) => Kind::UnknownPolicy,
            AppError::UnknownId(_) => Kind::UnknownId,
            AppError::NotTracked(_) => Kind::NotTracked,
            AppError::PathRefused(_) => Kind::PathRefused,
            AppError::BadValue(_) => Kind::BadValue,
            AppError::TooManyFiles(_) => Kind::TooManyFiles,
            AppError::MemoryAway(_) => Kind::MemoryAway,
            AppError::NotNow(_) => Kind::NotNow,
            AppError::Starting => {
                return Self::of(Kind::NotNow, text).header(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            AppError::Conflict(_) => return Self::plain(StatusCode::CONFLICT, text),
            AppError::Internal => return Self::internal(),
        };
        Self::of(kind, text)
    }
}

impl IntoResponse for Problem {
    /// The problem itself is in the extensions of the response, for whoever tells it in another way.
    fn into_response(self) -> Response {
        let told = self.clone();
        let Parts { body, status, headers } = *self.0;
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(told);
        response
    }
}
