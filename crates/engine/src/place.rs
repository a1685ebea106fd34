//! Path helpers: for paths in the environment, next to the configuration, and below a root.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// A path in an environment variable; an empty one counts as unset.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from)
}

/// The absolute folder of a file.
pub(crate) fn folder_of(path: &Path) -> io::Result<PathBuf> {
    Ok(std::path::absolute(path)?.parent().unwrap_or(Path::new("/")).to_owned())
}

/// The path that these bytes are.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The absolute path under which something is recorded: its real location, with links resolved as far as it exists.
pub(crate) fn really(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    if let Ok(real) = absolute.canonicalize() {
        return Ok(real);
    }
    match (absolute.parent(), absolute.file_name()) {
        (Some(folder), Some(name)) => Ok(really(folder)?.join(name)),
        _ => Ok(absolute),
    }
}

/// A path as written and its real path; both are the same without links and `..`.
pub(crate) fn spellings(path: &Path) -> Vec<PathBuf> {
    let mut spellings = vec![path.to_owned()];
    spellings.extend(really(path).ok().filter(|real| real != path));
    spellings
}

/// The path relative to the root, if it is below it: as written, or otherwise by the real path of its folder.
pub(crate) fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    let as_written = || {
        let plain = !path.components().any(|component| component == Component::ParentDir);
        plain.then(|| path.strip_prefix(root).ok()).flatten().map(Path::to_owned)
    };
    let really = || {
        let folder = path.parent()?.canonicalize().ok()?;
        folder.join(path.file_name()?).strip_prefix(root.canonicalize().ok()?).ok().map(Path::to_owned)
    };
    as_written().or_else(really)
}
