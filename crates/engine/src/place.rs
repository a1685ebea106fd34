//! Paths outside the roots: what the environment names, what lies beside the configuration, what lies below a root.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// A path in an environment variable; an empty one is as good as none.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from)
}

/// The absolute folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> io::Result<PathBuf> {
    Ok(std::path::absolute(path)?.parent().unwrap_or(Path::new("/")).to_owned())
}

/// The path that these bytes are.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// The absolute path by which something is remembered: where it really is, links resolved, as far as it exists.
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

/// A path as it is written and as it really is; both are the same where no link and no `..` is in it.
pub(crate) fn spellings(path: &Path) -> Vec<PathBuf> {
    let mut spellings = vec![path.to_owned()];
    spellings.extend(really(path).ok().filter(|real| real != path));
    spellings
}

/// The path below the root, if it lies there: as written, or else by where its folder really is.
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
