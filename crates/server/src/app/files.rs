//! Tracked files: register one, find some, hold one for a while, take a registration back. Nothing here deletes a file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cleanup_core::duration::Human;
use cleanup_core::moment::Moment;
use cleanup_core::report::{FORMAT_VERSION, json_path};
use cleanup_engine::responses::Holds;
use cleanup_engine::track::{FilesPage, FilesQuery, RegisterError, Registration, TrackedFile};
use cleanup_engine::{HoldsQuery, MemoryError, NewHold, now};
use schemars::JsonSchema;
use serde::Serialize;

use super::access::Asker;
use super::error::AppError;
use super::quarantine::below_root;
use super::runs::{memory_away, remembers_nothing};
use super::service::Service;

/// Until when a file is held.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct HeldUntil {
    /// Until when it is kept, whatever its age.
    pub held_until: Moment,
    /// Why that is earlier than requested, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A new hold.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Held {
    /// The absolute path; lossy if it is not UTF-8.
    pub path: String,
    /// The exact path in base64, only when `path` is lossy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Until when it is kept, whatever its age.
    pub held_until: Moment,
    /// The file policies that it affects.
    pub policies: Vec<String>,
    /// Why that is earlier than requested, if it is.
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

/// The result for one of several files.
pub(crate) type Registered = Result<Registration, AppError>;

/// Tracks several files from now on, each for itself: one that is refused stops no other.
pub(crate) async fn register_all(
    service: &Arc<Service>,
    files: Vec<(String, Vec<u8>, Option<Duration>)>,
) -> Result<Vec<Registered>, AppError> {
    let tracker = service.tracker()?;
    let asked = Arc::clone(service);
    let register = move |(policy, path, ttl): (String, Vec<u8>, Option<Duration>)| {
        tracker.register(&policy, &path, ttl).map_err(|error| not_registered(&asked, error))
    };
    service.blocking(move || files.into_iter().map(register).collect()).await
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

/// Holds a tracked file for no longer than is allowed.
pub(crate) async fn hold(service: &Service, asker: &Asker, id: &str, span: Duration) -> Result<HeldUntil, AppError> {
    let path = service.tracker()?.path_of(id).ok_or_else(unknown_file)?;
    let Held { held_until, note, .. } = hold_path(service, asker, path, span).await?;
    Ok(HeldUntil { held_until, note })
}

/// Holds a path for no longer than is allowed, and tells of it. A hold that runs longer already, because somebody made it
/// in another way, is never cut short by one that asks for more.
pub(crate) async fn hold_path(
    service: &Service,
    asker: &Asker,
    path: PathBuf,
    span: Duration,
) -> Result<Held, AppError> {
    let tracker = service.tracker()?;
    let max = max_hold(service);
    let engine = service.generation().engine;
    let by = asker.to_name();
    let held = service.blocking(move || {
        let left = || engine.held_until(&path).and_then(|until| until.since(now()));
        let allowed = if span <= max { span } else { left().unwrap_or_default().max(max).min(span) };
        let held = engine.hold(&path, allowed, by.as_deref())?;
        tracker.hold_changed(&path);
        Ok((path, held))
    });
    let (path, NewHold { until, policies, .. }) = held.await?.map_err(|error| not_held(&error))?;
    let path = path.into_os_string().into_vec();
    service.feed().held(&policies, &path, until, asker.name());
    let (path, path_bytes) = json_path(&path);
    Ok(Held { path, path_bytes, held_until: until, policies, note: shortened(span, max) })
}

/// The path that a call names: below the root of a policy, or absolute and then in some policy's root.
pub(crate) async fn path_to_hold(
    service: &Service,
    policy: Option<String>,
    path: Vec<u8>,
) -> Result<PathBuf, AppError> {
    if let Some(name) = policy {
        return below_root(service, &name, path);
    }
    let path = PathBuf::from(OsString::from_vec(path));
    let has_nul = path.as_os_str().as_encoded_bytes().contains(&0);
    let is_plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    let engine = service.generation().engine;
    let looked = path.clone();
    if has_nul || !is_plain || service.blocking(move || engine.policies_at(&looked)).await?.is_empty() {
        let text = "a path to hold must be absolute, in the root of a file policy, without `..`";
        return Err(AppError::PathRefused(text.to_owned()));
    }
    Ok(path)
}

/// The longest time for which a request may hold a file.
pub(crate) fn max_hold(service: &Service) -> Duration {
    service.generation().engine.config().server.max_hold
}

/// What is to be said of a hold for so long.
pub(crate) fn shortened(span: Duration, max: Duration) -> Option<String> {
    (span > max).then(|| {
        format!(
            "held for a shorter time than requested: `max_hold` in `[server]` allows {}; renew the hold before it ends",
            Human(max)
        )
    })
}

/// The path of a hold: below the root of a policy, or absolute.
pub(crate) fn path_to_release(service: &Service, policy: Option<String>, path: Vec<u8>) -> Result<PathBuf, AppError> {
    match policy {
        Some(name) => below_root(service, &name, path),
        None if path.starts_with(b"/") && !path.contains(&0) => Ok(PathBuf::from(OsString::from_vec(path))),
        None => Err(AppError::PathRefused("without a policy the path of a hold must be absolute".to_owned())),
    }
}

/// Takes back the hold of a tracked file; one that is not held stays so.
pub(crate) async fn release(service: &Service, asker: &Asker, id: &str) -> Result<(), AppError> {
    let path = service.tracker()?.path_of(id).ok_or_else(unknown_file)?;
    release_path(service, asker, path).await.map(|_| ())
}

/// Takes a hold back, and tells of it. `false` when there is none on this very path.
pub(crate) async fn release_path(service: &Service, asker: &Asker, path: PathBuf) -> Result<bool, AppError> {
    let tracker = service.tracker()?;
    let engine = service.generation().engine;
    let by = asker.to_name();
    let released = service.blocking(move || {
        let released = engine.release(&path, by.as_deref())?;
        tracker.hold_changed(&path);
        Ok(released.map(|released| (engine.policies_at(&path), released)))
    });
    match released.await? {
        Ok(None) | Err(MemoryError::Path(_)) => Ok(false),
        Ok(Some((policies, path))) => {
            service.feed().released(&policies, &path, asker.name());
            Ok(true)
        }
        Err(error) => Err(not_held(&error)),
    }
}

/// Paths that are held, by path.
pub(crate) async fn holds(service: &Service, query: HoldsQuery) -> Result<Holds, AppError> {
    let engine = service.generation().engine;
    if let Some(name) = query.policy.as_ref().filter(|name| !engine.config().rules().any(|rule| rule.name == **name)) {
        return Err(AppError::unknown_policy(engine.config(), name));
    }
    if remembers_nothing(service) {
        return Ok(Holds { format_version: FORMAT_VERSION, holds: Vec::new(), next: None });
    }
    let held = service.blocking(move || engine.holds(&query)).await?;
    held.map_err(|error| memory_away(&error))
}

fn not_held(error: &MemoryError) -> AppError {
    match error {
        MemoryError::Path(_) => AppError::PathRefused("the folder of the path cannot be found".to_owned()),
        error => not_written(&error.to_string()),
    }
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
    AppError::MemoryAway("this is not possible now; see the log and /readyz".to_owned())
}
