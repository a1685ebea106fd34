//! Tracked files: register one, find some, hold one for a while, take a registration back. Nothing here deletes a file.

use std::time::Duration;

use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;
use cleanup_engine::responses::HeldPath;
use cleanup_engine::track::{FilesPage, FilesQuery, RegisterError, Registration, TrackedFile};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::AppError;
use super::runs::{memory_away, remembers_nothing};
use super::service::Service;

/// Until when a file is held.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct HeldUntil {
    /// Until then it is kept, whatever its age.
    pub held_until: Moment,
    /// Why that is earlier than was asked for, when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A page of tracked files.
pub(crate) async fn list(service: &Service, query: FilesQuery) -> Result<FilesPage, AppError> {
    let tracker = service.tracker()?;
    if let Some(policy) = &query.policy
        && !service.generation().engine.config().rules().any(|rule| rule.name == *policy)
    {
        return Err(AppError::unknown_policy(service.generation().engine.config(), policy));
    }
    service.blocking(move || tracker.files(&query)).await
}

/// One tracked file.
pub(crate) fn one(service: &Service, id: &str) -> Result<TrackedFile, AppError> {
    service.tracker()?.file(id).ok_or_else(unknown_file)
}

/// Tracks a file from now on. `path` is relative to the policy's root; without a ttl the policy's `max_age` counts.
pub(crate) async fn register(
    service: &Service,
    policy: String,
    path: Vec<u8>,
    ttl: Option<Duration>,
) -> Result<Registration, AppError> {
    let tracker = service.tracker()?;
    let registered = service.blocking(move || tracker.register(&policy, &path, ttl)).await?;
    registered.map_err(|error| not_registered(service, error))
}

/// Takes a registration back; the file stays where it is.
pub(crate) async fn forget(service: &Service, id: String) -> Result<(), AppError> {
    let tracker = service.tracker()?;
    match service.blocking(move || tracker.forget(&id)).await? {
        Ok(true) => Ok(()),
        Ok(false) => Err(unknown_file()),
        Err(why) => Err(not_written(&why)),
    }
}

/// Holds a file for no longer than is allowed. A hold that runs longer already, because somebody
/// made it in another way, is never cut short by one that asks for more.
pub(crate) async fn hold(service: &Service, id: String, span: Duration) -> Result<HeldUntil, AppError> {
    let tracker = service.tracker()?;
    let max = max_hold(service);
    match service.blocking(move || tracker.hold_at_most(&id, span, max)).await? {
        Ok(Some(held_until)) => Ok(HeldUntil { held_until, note: shortened(span, max) }),
        Ok(None) => Err(unknown_file()),
        Err(why) => Err(not_written(&why)),
    }
}

/// The longest time for which a request may hold a file.
pub(crate) fn max_hold(service: &Service) -> Duration {
    service.generation().engine.config().server.max_hold
}

/// What is to be said of a hold for so long.
pub(crate) fn shortened(span: Duration, max: Duration) -> Option<String> {
    (span > max).then(|| {
        format!(
            "not held for as long as was asked: `max_hold` in `[server]` allows {}; hold it again before that is over",
            Human(max)
        )
    })
}

/// Takes a hold back.
pub(crate) async fn release(service: &Service, id: String) -> Result<(), AppError> {
    let tracker = service.tracker()?;
    match service.blocking(move || tracker.release(&id)).await? {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(unknown_file()),
        Err(why) => Err(not_written(&why)),
    }
}

/// All paths that are held, by path.
pub(crate) async fn holds(service: &Service) -> Result<Vec<HeldPath>, AppError> {
    if remembers_nothing(service) {
        return Ok(Vec::new());
    }
    let engine = service.generation().engine;
    let held = service.blocking(move || engine.holds()).await?;
    held.map(|held| held.holds).map_err(|error| memory_away(&error))
}

fn not_registered(service: &Service, error: RegisterError) -> AppError {
    match error {
        RegisterError::UnknownPolicy(policy) => AppError::unknown_policy(service.generation().engine.config(), &policy),
        RegisterError::NotTracked(_) => AppError::NotTracked(error.to_string()),
        RegisterError::Refused(why) => AppError::PathRefused(why),
        RegisterError::TooMany(_) => AppError::TooManyFiles(error.to_string()),
        RegisterError::Unavailable(why) => not_written(&why),
    }
}

fn unknown_file() -> AppError {
    AppError::UnknownId("no file with this id is tracked".to_owned())
}

/// What was promised cannot be written down, or the root is away. Why may name a path, so only the log says it.
fn not_written(why: &str) -> AppError {
    tracing::warn!("{why}");
    AppError::MemoryAway("this cannot be done now; the log and /readyz say why".to_owned())
}
