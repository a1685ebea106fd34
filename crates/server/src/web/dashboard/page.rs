//! What all pages share: the frame, the headers, and how a problem looks to a person.

use std::convert::Infallible;

use askama::Template;
use axum::extract::{FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cleanup_engine::time_zone;
use serde::de::DeserializeOwned;

use super::assets;
use super::words::{self, Here, When};
use crate::app::service::Service;
use crate::web::auth::authorized;
use crate::web::problem::Problem;
use cleanup_engine::now;

/// What a page may load: our own style, script and icon; nothing from anywhere else, nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The frame around a page.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Which entry of the navigation this is.
    pub(crate) part: Part,
    pub(crate) token: Token,
    pub(crate) made: When,
    /// The zone of all times on the page: its name for the script, and in words.
    pub(crate) zone_id: String,
    pub(crate) zone: String,
    pub(crate) style: &'static str,
    pub(crate) script: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) version: &'static str,
}

/// The parts of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Overview,
    Runs,
    Files,
    Quarantine,
    Removals,
    Explain,
    Other,
}

impl Part {
    /// The navigation: a new part of the dashboard adds its line here.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Overview, "/", "Overview"),
        (Self::Runs, "/runs", "Runs"),
        (Self::Files, "/files", "Files"),
        (Self::Quarantine, "/quarantine", "Quarantine"),
        (Self::Removals, "/removals", "Removals"),
        (Self::Explain, "/explain", "Explain"),
    ];
}

/// How the caller stands to the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// There is none.
    NotAsked,
    /// Acting needs it, and the caller has not shown it.
    Missing,
    /// The caller has shown it.
    Shown,
}

impl Frame {
    pub(crate) fn new(part: Part, token: Token, here: &Here) -> Self {
        Self {
            part,
            token,
            made: here.when(here.now),
            zone_id: here.zone_id().to_owned(),
            zone: here.zone_name(),
            style: assets::STYLE.path(),
            script: assets::SCRIPT.path(),
            icon: assets::ICON.path(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The navigation: address, name, and whether it is this page.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let here = self.part;
        Part::ALL.into_iter().map(move |(part, address, name)| (address, name, part == here))
    }

    pub(crate) fn may_sign_in(&self) -> bool {
        self.token == Token::Missing
    }

    pub(crate) fn may_sign_out(&self) -> bool {
        self.token == Token::Shown
    }

    /// The frame for a call.
    pub(crate) fn of(service: &Service, headers: &HeaderMap, part: Part) -> Self {
        let access = service.generation().access;
        let token = match access.has_token() {
            false => Token::NotAsked,
            true if authorized(service, &access, headers).is_some() => Token::Shown,
            true => Token::Missing,
        };
        Self::new(part, token, &here(service))
    }
}

/// A query, read with patience: what makes no sense in it asks for nothing.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let asked = Query::try_from_uri(&parts.uri).map(|Query(asked)| asked);
        Ok(Self(asked.unwrap_or_default()))
    }
}

/// The moment and the zone of a call.
pub(crate) fn here(service: &Service) -> Here {
    let live = service.generation();
    // A zone that does not exist has stopped the service at its start.
    let zone = time_zone(live.engine.config().time_zone.as_deref()).unwrap_or(jiff::tz::TimeZone::UTC);
    Here { now: now(), zone }
}

/// A page with the headers that pages have.
pub(crate) fn html(status: StatusCode, template: &impl Template) -> Response {
    let Ok(text) = template.render() else { return Problem::internal().into_response() };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // Without it a browser sends forms with `Origin: null`, which is nobody.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, text).into_response()
}

/// Somebody who looks at pages.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|value| value.split(',')).any(|one| one.trim().starts_with("text/html"))
}

/// The headers of a request by somebody who looks at pages: a browser that was not sent to an address for programs.
pub(crate) fn reader(request: &Request) -> Option<HeaderMap> {
    let is_for_programs = ["/api/", "/cleanup/"].iter().any(|part| request.uri().path().starts_with(part));
    (!is_for_programs && wants_html(request.headers())).then(|| request.headers().clone())
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    frame: Frame,
    title: String,
    detail: String,
}

/// A problem, told on a page.
pub(crate) struct Fault {
    frame: Frame,
    problem: Problem,
}

impl Fault {
    pub(crate) fn new(service: &Service, headers: &HeaderMap, problem: Problem) -> Self {
        Self { frame: Frame::of(service, headers, Part::Other), problem }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self { frame, problem } = self;
        // What a status alone says is said for programs; a person has come by an address.
        let (title, detail) = match (problem.status(), problem.is_plain()) {
            (StatusCode::NOT_FOUND, true) => (
                "Page not found".to_owned(),
                "There is nothing at this address. It may be mistyped, or what it led to is gone.".to_owned(),
            ),
            (StatusCode::METHOD_NOT_ALLOWED, true) => (
                "Nothing to see here".to_owned(),
                "This address takes what a form sends. Go back to the page with its button.".to_owned(),
            ),
            _ => (problem.title().to_owned(), words::sentence(problem.detail())),
        };
        html(problem.status(), &FaultPage { frame, title, detail })
    }
}

/// A page, or why there is none, on a page.
pub(crate) fn page_or_fault(service: &Service, headers: &HeaderMap, page: Result<impl Template, Problem>) -> Response {
    match page {
        Ok(page) => html(StatusCode::OK, &page),
        Err(problem) => Fault::new(service, headers, problem).into_response(),
    }
}

/// A page as text that stays the same from build to build.
#[cfg(test)]
pub(crate) fn still(template: &impl Template) -> String {
    let page = template.render().expect("templates write to memory");
    let assets = [assets::STYLE.path(), assets::SCRIPT.path(), assets::ICON.path()];
    let page = assets.iter().fold(page, |page, path| page.replace(path, "[asset]"));
    page.replace(env!("CARGO_PKG_VERSION"), "[version]")
}
