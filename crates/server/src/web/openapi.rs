//! `/openapi.json`: the handlers' own descriptions, and the schemas of the very types that are served.
//!
//! The types of reports, files and explanations have their schema already, for the command line's documents; all others
//! get theirs in the same way. So there is one description of each shape, and the paths refer to them by name.

use std::sync::{Arc, LazyLock};

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use cleanup_core::report::Report;
use cleanup_engine::plan::PlanSummary;
use cleanup_engine::responses::{Explanation, Holds, Removals};
use cleanup_engine::track::FilesPage;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::files::{NewFile, NewFiles, NewHold, NewPathHold, RegisteredFiles};
use super::api::plans::{NewPlan, Plans};
use super::api::quarantine::NewRestore;
use super::api::shapes;
use super::api::sweeps::NewSweep;
use super::login::{self, Login};
use super::{api, dashboard};
use crate::app::files::{Held, HeldUntil};
use crate::app::service::Service;
use crate::web::auth::COOKIE;
use crate::web::problem::{PROBLEM_JSON, ProblemBody};

/// The routes, each with its description.
pub(crate) fn described() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(api::legacy::stats))
        .routes(routes!(api::legacy::manual))
        .routes(routes!(api::policies::list))
        .routes(routes!(api::policies::one))
        .routes(routes!(api::stats::stats))
        .routes(routes!(api::sweeps::start))
        .routes(routes!(api::plans::list, api::plans::make))
        .routes(routes!(api::plans::one, api::plans::drop_one))
        .routes(routes!(api::plans::apply))
        .routes(routes!(api::runs::list))
        .routes(routes!(api::runs::one))
        .routes(routes!(api::removals::list))
        .routes(routes!(api::files::list, api::files::register))
        .routes(routes!(api::files::one, api::files::forget))
        .routes(routes!(api::files::hold, api::files::release))
        .routes(routes!(api::files::holds, api::files::hold_path, api::files::release_path))
        .routes(routes!(api::quarantine::list))
        .routes(routes!(api::quarantine::restore))
        .routes(routes!(api::explain::explain))
        .routes(routes!(api::forecast::forecast))
        .routes(routes!(api::events::events))
        .routes(routes!(api::health::healthz))
        .routes(routes!(api::health::readyz))
        .routes(routes!(api::metrics::metrics))
        .routes(routes!(openapi))
        .routes(routes!(dashboard::overview))
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "Operation",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

/// The description as it is served: `OpenAPI` 3.1, as JSON.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", assemble()));
    &DOCUMENT
}

fn assemble() -> Value {
    let (_, openapi) = described().split_for_parts();
    // What describes an interface is plain data.
    let mut document = serde_json::to_value(openapi).unwrap_or_default();
    document["info"] = json!({
        "title": "cleanup-server",
        "summary": "Removes old files and idle sessions by the rules of one configuration.",
        "description": "How to use it: docs/api.md. Errors are problems as RFC 9457 has them. On loopback and the unix \
            socket calls need no token, unless one is configured: then every changing call does, under \
            `token_for = \"everything\"` every call, and from elsewhere, or through a proxy, every call in any case.",
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    document["security"] = json!([{}, { "bearer": [] }, { "session": [] }]);
    document["components"] = json!({
        "schemas": schemas(),
        "securitySchemes": {
            "bearer": { "type": "http", "scheme": "bearer", "description": "The token of the configuration" },
            "session": { "type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The cookie of /login" },
        },
    });
    let operations = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in operations.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut()) {
        // Who reads a body needs it, but for the sweep and the plan: without one they mean everything.
        if operation["operationId"] != "start_sweep"
            && operation["operationId"] != "make_plan"
            && let Some(body) = operation.get_mut("requestBody")
        {
            body["required"] = json!(true);
        }
        operation["responses"]["default"] = json!({
            "description": "Something is wrong with the call, or with the service",
            "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } },
        });
    }
    document
}

fn schemas() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.definitions_path = "/components/schemas".into();
    let mut answers = settings.clone().into_generator();
    define::<shapes::Success>(&mut answers);
    define::<shapes::Policies>(&mut answers);
    define::<shapes::ServiceStats>(&mut answers);
    define::<shapes::Accepted>(&mut answers);
    define::<shapes::Runs>(&mut answers);
    define::<HeldUntil>(&mut answers);
    define::<Held>(&mut answers);
    define::<RegisteredFiles>(&mut answers);
    define::<shapes::QuarantinePage>(&mut answers);
    define::<shapes::RestoreAnswer>(&mut answers);
    define::<shapes::Forecast>(&mut answers);
    define::<shapes::Ready>(&mut answers);
    define::<FilesPage>(&mut answers);
    define::<Explanation>(&mut answers);
    define::<Report>(&mut answers);
    define::<Holds>(&mut answers);
    define::<Removals>(&mut answers);
    define::<PlanSummary>(&mut answers);
    define::<Plans>(&mut answers);
    define::<ProblemBody>(&mut answers);
    let mut questions = settings.for_deserialize().into_generator();
    define::<NewSweep>(&mut questions);
    define::<NewPlan>(&mut questions);
    define::<NewFile>(&mut questions);
    define::<NewFiles>(&mut questions);
    define::<NewHold>(&mut questions);
    define::<NewPathHold>(&mut questions);
    define::<NewRestore>(&mut questions);
    define::<Login>(&mut questions);

    let mut all = answers.take_definitions(true);
    all.append(&mut questions.take_definitions(true));
    for (name, variants) in [
        ("Run", ["Report", "Running"]),
        ("OneOrManyFiles", ["NewFile", "NewFiles"]),
        ("OneOrManyRegistered", ["TrackedFile", "RegisteredFiles"]),
    ] {
        let variants = variants.map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }));
        all.insert(name.to_owned(), json!({ "oneOf": variants }));
    }
    Value::Object(all)
}

fn define<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}
