//! Why a file stays or goes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use cleanup_engine::responses::Explanation;

use super::error::AppError;
use super::service::Service;

/// The longest path that the kernel takes.
const MAX_PATH_BYTES: usize = 4096;

/// Answers for a path that is absolute, or below the root of `policy`. Looks at the disk.
pub(crate) async fn explain(service: &Service, path: Vec<u8>, policy: Option<&str>) -> Result<Explanation, AppError> {
    let engine = service.generation().engine;
    let path = plain_path(path)?;
    let path = match policy {
        None if path.is_absolute() => path,
        None => return Err(refused("a path below a root needs `policy`; without one it must be absolute")),
        Some(name) => match engine.config().files.iter().find(|policy| policy.rule.name == name) {
            Some(_) if path.is_absolute() => return Err(refused("with `policy` the path must be below its root")),
            Some(policy) => policy.root.join(path),
            None if engine.config().rules().any(|rule| rule.name == name) => {
                return Err(refused("sessions have no paths"));
            }
            None => return Err(AppError::unknown_policy(service.generation().engine.config(), name)),
        },
    };
    service.blocking(move || engine.explain(&path)).await
}

/// A path that names one place: what `..` leads to depends on folders that are none of the caller's business.
fn plain_path(bytes: Vec<u8>) -> Result<PathBuf, AppError> {
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() > MAX_PATH_BYTES {
        return Err(refused("a path must have 1 to 4096 bytes, none of them NUL"));
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    let climbs = |path: &Path| path.components().any(|component| component == Component::ParentDir);
    if climbs(&path) {
        return Err(refused("a path must not contain `..`"));
    }
    Ok(path)
}

fn refused(why: &str) -> AppError {
    AppError::PathRefused(why.to_owned())
}
