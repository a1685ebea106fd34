//! What happens, as it happens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use cleanup_core::candidate::Escaped;
use futures_util::StreamExt as _;

use crate::app::error::AppError;
use crate::app::service::Service;
use crate::telemetry::events::Filter;
use crate::web::extract::Query;
use crate::web::problem::{Kind, Problem};

/// How often a stream without events shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A live stream of events.
///
/// Server-sent events: `registered`, `removed`, `hold`, `release`, `restore`, `deadlines`, `watching`, `sweep_started`,
/// `sweep_ended`, `reloaded`. A client that reconnects with `Last-Event-ID` receives the events that it missed, or
/// `lagged` if they are no longer available, whatever it selected. Ends when the service stops.
#[utoipa::path(get, path = "/api/v1/events", tag = "Events",
    params(
        ("kind" = Option<Vec<String>>, Query, description = "Only events of this kind; may be repeated"),
        ("policy" = Option<Vec<String>>, Query,
            description = "Only events about this policy or about all policies; may be repeated"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event received"),
    ),
    responses((status = 200, description = "A stream of events", body = String, content_type = "text/event-stream")))]
pub(crate) async fn events(
    State(service): State<Arc<Service>>,
    Query(wanted): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = filter(&service, wanted)?;
    let last_id = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let stream = service.feed().events.stream(last_id, filter, service.stop().clone()).ok_or_else(|| {
        Problem::of(Kind::NotNow, "too many clients are listening")
            .header(header::RETRY_AFTER, HeaderValue::from_static("10"))
    })?;
    // A first word at once: clients and proxies then know that the stream stands.
    let hello = futures_util::stream::once(async { Event::default().comment("hello") });
    let events = hello.chain(stream).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn filter(service: &Service, wanted: Vec<(String, String)>) -> Result<Filter, Problem> {
    let bad = |what: std::fmt::Arguments<'_>| Problem::of(Kind::BadValue, format!("the query: {what}"));
    let mut filter = Filter::default();
    for (key, value) in wanted {
        match key.as_str() {
            "kind" => {
                let kind =
                    serde_json::from_value(value.into()).map_err(|error| bad(format_args!("`kind`: {error}")))?;
                filter.kinds.push(kind);
            }
            "policy" => filter.policies.push(value),
            other => {
                let other = Escaped(other.as_bytes());
                return Err(bad(format_args!("unknown field `{other}`, expected `kind` or `policy`")));
            }
        }
    }
    let engine = service.generation().engine;
    let is_unknown = |name: &&String| !engine.config().rules().any(|rule| rule.name == **name);
    match filter.policies.iter().find(is_unknown) {
        Some(name) => Err(AppError::unknown_policy(engine.config(), name).into()),
        None => Ok(filter),
    }
}
