//! Undo: what lies in quarantine, and bringing it back. Nothing is ever written over, and what comes back is held.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, PathBuf};

use cleanup_engine::responses::{Quarantined, QuarantinedFile, Restored, RestoredFile};
use cleanup_engine::{Restore, RestoreError, RestoreRequest};

use super::error::AppError;
use super::service::Service;

/// Looks at what lies in quarantine of these policies, or of all, and gathers what `each` makes of the files.
pub(crate) async fn list<T: Send + 'static>(
    service: &Service,
    policies: Vec<String>,
    mut gathered: T,
    mut each: impl FnMut(&mut T, &QuarantinedFile) + Send + 'static,
) -> Result<(T, Quarantined), AppError> {
    let engine = service.generation().engine;
    let looked = service.blocking(move || {
        let all = engine.quarantined(&policies, &mut |file| each(&mut gathered, file))?;
        Ok::<_, AppError>((gathered, all))
    });
    looked.await?
}

/// Brings files back, or finds out what would come back, and gathers what `each` makes of them.
pub(crate) async fn restore<T: Send + 'static>(
    service: &Service,
    request: RestoreRequest,
    mut gathered: T,
    mut each: impl FnMut(&mut T, &RestoredFile) + Send + 'static,
) -> Result<(T, Restored), AppError> {
    let engine = service.generation().engine;
    let answer = service.blocking(move || {
        let restored = engine.restore(&request, &mut |file| each(&mut gathered, file))?;
        Ok((gathered, restored))
    });
    let (gathered, restored): (T, Restored) = answer.await?.map_err(|error| refused(&error))?;
    if let Some(report) = &restored.report {
        service.feed().restored(report);
    }
    Ok((gathered, restored))
}

/// Paths below the root of a policy, which must not lead out of it.
pub(crate) fn paths_below_root(
    service: &Service,
    name: &str,
    paths: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Restore, AppError> {
    paths.into_iter().map(|path| below_root(service, name, path)).collect::<Result<_, _>>().map(Restore::Paths)
}

/// A path below the root of a policy, which must not lead out of it.
pub(crate) fn below_root(service: &Service, name: &str, path: Vec<u8>) -> Result<PathBuf, AppError> {
    let engine = service.generation().engine;
    let Some(policy) = engine.config().files.iter().find(|policy| policy.rule.name == name) else {
        return Err(AppError::unknown_policy(engine.config(), name));
    };
    let path = PathBuf::from(OsString::from_vec(path));
    let has_nul = path.as_os_str().as_encoded_bytes().contains(&0);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    // `./a` and `a/./b` name what `a` and `a/b` name; the root itself is nothing below it.
    let below: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if is_plain && !has_nul && !below.as_os_str().is_empty() {
        Ok(policy.root.join(below))
    } else {
        Err(AppError::PathRefused("a path must be below the policy's root, without `..`".to_owned()))
    }
}

fn refused(error: &RestoreError) -> AppError {
    match error {
        RestoreError::NeverKept | RestoreError::Nothing | RestoreError::NoSuchRun(_) => {
            AppError::UnknownId(error.to_string())
        }
        RestoreError::AmbiguousRun { .. } => AppError::BadValue(error.to_string()),
        RestoreError::Busy(_) => AppError::Conflict(error.to_string()),
        // Why may name a path, so only the log says it.
        RestoreError::Unreadable(_) => {
            tracing::warn!("{error}");
            AppError::NotNow("the quarantine cannot be read now; see the log".to_owned())
        }
        RestoreError::NotHeld(_) => {
            tracing::warn!("{error}");
            AppError::MemoryAway(
                "restored files could not be held now, so nothing was restored; see the log".to_owned(),
            )
        }
    }
}
