//! Where the memory of a configuration lies, and what it consists of.

use std::path::{Path, PathBuf};

use cleanup_core::config::State as Configured;
use cleanup_fs_store::Protected;

use crate::config_file::Origin;
use crate::place;

/// Where a configuration's memory is.
pub(crate) enum Place {
    Nowhere,
    Unknown,
    At { folder: PathBuf, database: Option<PathBuf> },
}

impl Place {
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Nowhere | Self::Unknown => None,
            Self::At { folder, .. } => Some(folder),
        }
    }
}

/// It belongs to the configuration, not to whoever happens to call.
pub(crate) fn placed(origin: &Origin, configured: &Configured) -> Place {
    let at = |folder: PathBuf| Place::At { folder, database: None };
    match configured {
        Configured::None => return Place::Nowhere,
        Configured::Sqlite(file) => {
            let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
            return Place::At { folder, database: Some(file.clone()) };
        }
        Configured::Default => {}
    }
    // systemd may name several folders; the first is ours.
    if let Some(folders) = place::variable("STATE_DIRECTORY") {
        let first = folders.as_os_str().as_encoded_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
        return at(place::path_of(first));
    }
    match origin.path().map(place::folder_of) {
        Some(Ok(folder)) if folder.starts_with("/etc") => at(PathBuf::from("/var/lib/cleanup")),
        Some(Ok(folder)) => at(folder.join(".cleanup")),
        Some(Err(_)) => Place::Unknown,
        None => {
            let home = || Some(place::variable("HOME")?.join(".local/state"));
            match place::variable("XDG_STATE_HOME").or_else(home) {
                Some(folder) => at(folder.join("cleanup")),
                None => Place::Unknown,
            }
        }
    }
}

/// Protects everything that a memory in this folder consists of, also what is not there yet.
pub(super) fn protect(folder: &Path, database: Option<&Path>, protected: &mut Protected) {
    let database = database.map_or_else(|| folder.join("state.db"), Path::to_owned);
    protected.file_family(&database);
    protected.file_family(&folder.join("promises.jsonl"));
    protected.file_family(&folder.join("notified.json"));
    for name in ["locks", "index", "running", "removals"] {
        protected.path(&folder.join(name));
    }
}
