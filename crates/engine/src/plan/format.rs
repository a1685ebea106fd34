//! The lines of a plan, as they are written and read.

use base64::Engine as _;
use cleanup_core::candidate::{Basis, Candidate, Identity, Stamp};
use cleanup_core::moment::Moment;
use cleanup_core::rank::{Cutoff, Cutoffs, Newest};
use cleanup_core::report::json_path;
use cleanup_core::verdict::LimitKey;
use cleanup_fs_store::Same;
use serde::{Deserialize, Serialize};

/// The version of the lines, raised when one changes its meaning.
pub(super) const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// The first one.
    Plan(Header),
    /// A policy begins.
    Policy(Section),
    /// A file that would go.
    Remove(Entry),
    /// A directory that would go, once nothing is left in it.
    RemoveDirectory(Entry),
    /// The last one.
    End(End),
}

/// What a plan belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format_version: u32,
    pub(super) id: String,
    pub(super) created_at: Moment,
    pub(super) expires_at: Moment,
    /// In the order of the configuration.
    pub(super) policies: Vec<String>,
    /// A digest of their settings.
    pub(super) config: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) include_archives: bool,
    /// Other age limits, in seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) max_age: Vec<(String, Exact)>,
}

/// What the limits of a policy came to when the plan was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_newest: Option<NewestLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    over: Vec<(String, CutoffLine)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewestLine {
    of: u64,
    before: Option<CutoffLine>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CutoffLine {
    at: Exact,
    #[serde(flatten)]
    path: PathLine,
}

/// A path below the root; lossy when it is not UTF-8, and then exact in base64 beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PathLine {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
}

/// Something that would go, and what it has to be still.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) policy: String,
    #[serde(flatten)]
    pub(super) path: PathLine,
    device: (u32, u32),
    inode: u64,
    links: u32,
    size: u64,
    /// Allocated.
    pub(super) bytes: u64,
    mtime: Exact,
    ctime: Exact,
    stamp: Exact,
    basis: Word,
    pub(super) reason: String,
}

/// The end of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// SHA-256 of all lines before this one.
    pub(super) digest: String,
}

/// Which moment a stamp is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Mtime,
    Atime,
    Ctime,
    Btime,
    LastActivity,
    Registered,
}

/// A moment to the nanosecond, in seconds since 1970: `1767225600.000000001`. Numbers of this size lose digits in many
/// programs that read JSON, so it is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Exact(pub(super) Moment);

impl From<Exact> for String {
    fn from(Exact(moment): Exact) -> Self {
        format!("{}.{:09}", moment.unix_seconds(), moment.subsec_nanos())
    }
}

impl TryFrom<String> for Exact {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "expected seconds since 1970 with nine decimals";
        let (seconds, nanos) = text.split_once('.').ok_or(WRONG)?;
        if nanos.len() != 9 || !nanos.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(WRONG);
        }
        let seconds = seconds.parse().map_err(|_| WRONG)?;
        Ok(Self(Moment::from_unix(seconds, nanos.parse().map_err(|_| WRONG)?)))
    }
}

impl PathLine {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let (path, path_bytes) = json_path(bytes);
        Self { path, path_bytes }
    }

    /// The exact bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        match &self.path_bytes {
            None => Ok(self.path.clone().into_bytes()),
            Some(text) => base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|error| format!("`path_bytes` is not base64: {error}")),
        }
    }
}

impl Section {
    pub(super) fn new(name: &str, cutoffs: &Cutoffs) -> Self {
        let newest =
            |newest: &Newest| NewestLine { of: newest.of, before: newest.before.as_ref().map(CutoffLine::new) };
        let over = |(limit, cutoff): &(LimitKey, Cutoff)| (limit.name().to_owned(), CutoffLine::new(cutoff));
        Self {
            name: name.to_owned(),
            keep_newest: cutoffs.newest.as_ref().map(newest),
            over: cutoffs.over.iter().map(over).collect(),
        }
    }

    pub(super) fn cutoffs(&self) -> Result<Cutoffs, String> {
        let newest = match &self.keep_newest {
            None => None,
            Some(NewestLine { of, before }) => {
                Some(Newest { of: *of, before: before.as_ref().map(CutoffLine::cutoff).transpose()? })
            }
        };
        let over = |(name, cutoff): &(String, CutoffLine)| {
            let limit = LimitKey::ALL.into_iter().find(|limit| limit.name() == name);
            Ok((limit.ok_or_else(|| format!("there is no limit `{name}`"))?, cutoff.cutoff()?))
        };
        Ok(Cutoffs { newest, over: self.over.iter().map(over).collect::<Result<_, String>>()? })
    }
}

impl CutoffLine {
    fn new(cutoff: &Cutoff) -> Self {
        Self { at: Exact(cutoff.at), path: PathLine::new(&cutoff.path) }
    }

    fn cutoff(&self) -> Result<Cutoff, String> {
        Ok(Cutoff { at: self.at.0, path: self.path.bytes()? })
    }
}

impl Entry {
    pub(super) fn new(policy: &str, candidate: &Candidate<'_>, identity: &Identity, reason: String) -> Self {
        Self {
            policy: policy.to_owned(),
            path: PathLine::new(&candidate.name.to_bytes()),
            device: identity.device,
            inode: identity.inode,
            links: identity.links,
            size: identity.size,
            bytes: candidate.bytes,
            mtime: Exact(identity.modified),
            ctime: Exact(identity.changed),
            stamp: Exact(candidate.stamp.at),
            basis: Word::of(candidate.stamp.basis),
            reason,
        }
    }

    pub(super) fn as_file(&self) -> Same {
        Same::File(self.identity())
    }

    pub(super) fn as_directory(&self) -> Same {
        let stamp = Stamp { at: self.stamp.0, basis: self.basis.basis() };
        Same::EmptyDirectory { identity: self.identity(), stamp }
    }

    fn identity(&self) -> Identity {
        Identity {
            device: self.device,
            inode: self.inode,
            size: self.size,
            modified: self.mtime.0,
            changed: self.ctime.0,
            links: self.links,
        }
    }
}

impl Word {
    fn of(basis: Basis) -> Self {
        match basis {
            Basis::Modified => Self::Mtime,
            Basis::Accessed => Self::Atime,
            Basis::Changed => Self::Ctime,
            Basis::Born => Self::Btime,
            Basis::LastActivity => Self::LastActivity,
            Basis::Registered => Self::Registered,
        }
    }

    fn basis(self) -> Basis {
        match self {
            Self::Mtime => Basis::Modified,
            Self::Atime => Basis::Accessed,
            Self::Ctime => Basis::Changed,
            Self::Btime => Basis::Born,
            Self::LastActivity => Basis::LastActivity,
            Self::Registered => Basis::Registered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_to_the_nanosecond_and_read_again() {
        for (seconds, nanos) in [(0, 0), (1_767_225_600, 1), (-1, 999_999_999), (i64::MAX, 5), (i64::MIN, 5)] {
            let moment = Exact(Moment::from_unix(seconds, nanos));
            assert_eq!(Exact::try_from(String::from(moment)), Ok(moment));
        }
        for wrong in ["", "1", "1.5", "x.000000000", "1.+00000000", "99999999999999999999.000000000"] {
            assert!(Exact::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
