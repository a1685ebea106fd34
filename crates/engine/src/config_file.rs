//! Finds, trusts and opens the configuration.
//!
//! A file that the caller named is trusted. A file that was *found* must belong to root or to the caller, and neither
//! it nor its folder may be writable by everyone; otherwise `sudo cleanup` in another user's folder would obey that
//! user.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cleanup_core::config::{Config, ConfigError, DEFAULT, Source};
use rustix::fs::OFlags;

use crate::place::{self, variable};

/// More than any configuration needs.
const MAX_BYTES: u64 = 1 << 20;

/// The name under which the configuration is looked for.
const FILE_NAME: &str = "cleanup.toml";

/// The source of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Named by `--config` or `$CLEANUP_CONFIG`.
    Named(PathBuf),
    /// Found in one of the usual places.
    Found(PathBuf),
    /// The built-in default; its relative roots mean the current directory.
    BuiltIn,
}

impl Origin {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Named(path) | Self::Found(path) => Some(path),
            Self::BuiltIn => None,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path() {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("the built-in default"),
        }
    }
}

/// Why there is no engine. Every one of these is a configuration error (exit code 78).
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A found file that another user controls.
    #[error(
        "found {0}, but {why}, and whoever can write it decides what is deleted\nto use it anyway, name it: --config \
         {0}",
        path.display()
    )]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The current directory is gone.
    #[error("cannot find the current directory: {0}")]
    NoCurrentDirectory(io::Error),
    /// The file's content.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The URL of a session policy is invalid or unsupported.
    #[error("sessions.{policy}: {why}")]
    Url {
        /// The policy.
        policy: String,
        /// What is wrong, without any value of the URL.
        why: String,
    },
}

/// Finds, trusts, reads and checks the configuration.
pub(crate) fn open(named: Option<&Path>) -> Result<(Origin, Config, PathBuf), OpenError> {
    let origin = locate(named);
    let here = || std::path::absolute(".").map_err(OpenError::NoCurrentDirectory);
    let (name, text, folder) = match &origin {
        Origin::BuiltIn => ("the built-in cleanup.toml".to_owned(), DEFAULT.to_owned(), here()?),
        Origin::Named(path) => (path.display().to_string(), read(path, Trust::Given)?, folder_of(path)?),
        Origin::Found(path) => (path.display().to_string(), read(path, Trust::ToBeEarned)?, folder_of(path)?),
    };
    let source = Source { name: &name, text: &text, folder: &folder };
    let config = Config::load(&source, &|variable| std::env::var(variable).ok())?;
    for policy in config.sessions.iter().filter(|policy| policy.enabled) {
        if let Some(why) = cleanup_pg_sessions::unreadable_url(policy) {
            return Err(OpenError::Url { policy: policy.rule.name.clone(), why });
        }
    }
    Ok((origin, config, folder))
}

/// `--config`, `$CLEANUP_CONFIG`, `./cleanup.toml`, the user's, the system's, the built-in default.
fn locate(named: Option<&Path>) -> Origin {
    if let Some(path) = named.map(Path::to_owned).or_else(|| variable("CLEANUP_CONFIG")) {
        return Origin::Named(path);
    }
    let home = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let places = [Some(PathBuf::from(".")), home.map(|home| home.join("cleanup")), Some("/etc/cleanup".into())];
    let mut files = places.into_iter().flatten().map(|folder| folder.join(FILE_NAME));
    // What exists but cannot be read is not passed over: it would have said what to keep. Nor is what cannot be looked for,
    // but for a folder that this user may not enter: what is in there was not written for them.
    let may_be_there = |file: &PathBuf| match file.symlink_metadata() {
        Ok(_) => true,
        Err(error) => {
            use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
            !matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
        }
    };
    files.find(may_be_there).map_or(Origin::BuiltIn, Origin::Found)
}

/// Whether the file was named by the caller, or only found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Given,
    ToBeEarned,
}

/// Reads a configuration. A found one is judged before anything of it is read: its FIFO must not keep us waiting, its
/// device must not fill the memory. A named one may be a pipe: `--config /dev/stdin`.
fn read(path: &Path, trusted: Trust) -> Result<String, OpenError> {
    let unreadable = |error| OpenError::Unreadable { path: path.to_owned(), error };
    let mut options = File::options();
    options.read(true);
    if trusted == Trust::ToBeEarned {
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    }
    let file = options.open(path).map_err(unreadable)?;
    if trusted == Trust::ToBeEarned {
        let metadata = file.metadata().map_err(unreadable)?;
        trust(path, &metadata)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
    }
    let mut text = String::new();
    let length = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if length as u64 > MAX_BYTES {
        return Err(unreadable(io::Error::other("it is larger than a megabyte")));
    }
    Ok(text)
}

fn folder_of(path: &Path) -> Result<PathBuf, OpenError> {
    place::folder_of(path).map_err(OpenError::NoCurrentDirectory)
}

/// Refuses a found file that anyone except root and the caller could have placed there. For a link, its own owner and
/// folder are checked as well as its target's.
fn trust(path: &Path, opened: &Metadata) -> Result<(), OpenError> {
    let unreadable = |error| OpenError::Unreadable { path: path.to_owned(), error };
    let untrusted = |why| OpenError::Untrusted { path: path.to_owned(), why };
    let entry = path.symlink_metadata().map_err(unreadable)?;
    let target = path.canonicalize().map_err(unreadable)?;

    let us = rustix::process::geteuid().as_raw();
    if let Some(stranger) = [opened.uid(), entry.uid()].into_iter().find(|uid| *uid != 0 && *uid != us) {
        return Err(untrusted(format!("it belongs to another user (uid {stranger})")));
    }
    if opened.mode() & 0o002 != 0 {
        return Err(untrusted("everyone can write to it".to_owned()));
    }
    for folder in [folder_of(path)?.as_path(), target.parent().unwrap_or(Path::new("/"))] {
        let mode = folder.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(untrusted(format!("everyone can write to its folder {}", folder.display())));
        }
    }
    Ok(())
}
