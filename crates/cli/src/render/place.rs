//! How policies and paths are named in text: relative to where the reader is, and escaped.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use cleanup_core::candidate::Escaped;
use cleanup_core::config::Config;
use cleanup_core::duration::Human;
use cleanup_core::policy::{FilePolicy, MaxAge, RowStamp, Unit};

use crate::args::PolicyAge;

/// Where everything lies, seen from one folder.
pub(crate) struct Places<'a> {
    config: &'a Config,
    files: HashMap<&'a str, &'a FilePolicy>,
    here: PathBuf,
    ages: Vec<PolicyAge>,
}

impl<'a> Places<'a> {
    /// Names paths below `here` relative to it.
    pub(crate) fn new(config: &'a Config, here: PathBuf) -> Self {
        let files = config.files.iter().map(|policy| (policy.rule.name.as_str(), policy)).collect();
        Self { config, files, here, ages: Vec::new() }
    }

    /// Names paths relative to the current directory.
    pub(crate) fn from_here(config: &'a Config) -> Self {
        Self::new(config, std::env::current_dir().unwrap_or_default())
    }

    /// Speaks of these ages instead of the configured ones.
    pub(crate) fn with_ages(self, ages: Vec<PolicyAge>) -> Self {
        Self { ages, ..self }
    }

    /// The roots of all file policies, absolute.
    pub(crate) fn roots(&self) -> BTreeMap<String, String> {
        let root = |policy: &FilePolicy| (policy.rule.name.clone(), policy.root.display().to_string());
        self.config.files.iter().map(root).collect()
    }

    /// An absolute path as it is shown.
    pub(crate) fn shown(&self, path: &Path) -> String {
        let shorter = match path.strip_prefix(&self.here) {
            Ok(below) if !below.as_os_str().is_empty() => below,
            _ => path,
        };
        Escaped(shorter.as_os_str().as_bytes()).to_string()
    }

    /// A path below a policy's root as it is shown.
    pub(crate) fn below(&self, policy: &str, path: &[u8]) -> String {
        let file_policy = self.files.get(policy);
        let root = file_policy.map(|file| self.shown(&file.root));
        match root {
            Some(root) => format!("{}/{}", root.trim_end_matches('/'), Escaped(path)),
            None => Escaped(path).to_string(),
        }
    }

    /// What a policy's files are called, one of them.
    pub(crate) fn noun(&self, policy: &str) -> &'static str {
        let file = self.files.get(policy);
        if file.is_some_and(|file| file.unit == Unit::Directory) { "directory" } else { "file" }
    }

    /// What a policy is about, in a phrase.
    pub(crate) fn about(&self, policy: &str) -> About<'_> {
        let age = |configured: Option<MaxAge>| {
            let asked = self.ages.iter().rev().find(|age| age.policy == policy);
            asked.map(|age| age.max_age).or(configured).map(|age| Human(age.get()))
        };
        if let Some(file) = self.files.get(policy) {
            let what = match file.unit {
                Unit::File => "files",
                Unit::Directory => "directories",
            };
            return About::Files { what, root: self.shown(&file.root), older_than: age(file.rule.max_age) };
        }
        if let Some(session) = self.config.sessions.iter().find(|session| session.rule.name == policy) {
            let due = match &session.stamp {
                RowStamp::Activity(_) => age(session.rule.max_age).map(Due::Idle),
                RowStamp::Expiry { grace, .. } => Some(Due::Expired((!grace.is_zero()).then_some(Human(*grace)))),
            };
            return About::Sessions { table: &session.table, due };
        }
        About::Unknown
    }
}

/// When a session is due.
pub(crate) enum Due {
    Idle(Human),
    /// Since when, if not at once.
    Expired(Option<Human>),
}

/// What a policy is about.
pub(crate) enum About<'a> {
    Files { what: &'static str, root: String, older_than: Option<Human> },
    Sessions { table: &'a str, due: Option<Due> },
    Unknown,
}

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { what, root, older_than: Some(age) } => write!(f, "{what} in {root} older than {age}"),
            Self::Files { what, root, older_than: None } => write!(f, "{what} in {root} beyond its limits"),
            Self::Sessions { table, due } => {
                write!(f, "sessions in table {}", Escaped(table.as_bytes()))?;
                match due {
                    Some(Due::Idle(idle)) => write!(f, " idle for more than {idle}"),
                    Some(Due::Expired(None)) => f.write_str(" that have expired"),
                    Some(Due::Expired(Some(grace))) => write!(f, " that expired more than {grace} ago"),
                    None => Ok(()),
                }
            }
            Self::Unknown => Ok(()),
        }
    }
}

/// The bytes of a path in an answer: the exact ones where its text is lossy.
pub(crate) fn exact<'a>(path: &'a str, path_bytes: Option<&str>) -> Cow<'a, [u8]> {
    let decoded = path_bytes.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    decoded.map_or(Cow::Borrowed(path.as_bytes()), Cow::Owned)
}
