//! What a sweep would make of one path, for explanations: the same steps as the walk, for one name.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};

use cleanup_core::candidate::{Candidate, Class, Identity, Name, Stamp};
use cleanup_core::owner::{Claim, Ground, Naming};
use cleanup_core::policy::{Depth, Unit};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::act::tree_sum;
use crate::select::whole_dirs::{self, Looked};
use crate::sys::entry::{self, FileId, Meta, in_words, needs};
use crate::tree::{Tree, is_own_folder};
use crate::walk::visit::NO_STAMP;

/// What a path below the root is to a policy. `Display` says it in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classified {
    /// A candidate, to be judged.
    Candidate(Box<Found>),
    /// No pattern of the policy names it.
    NotNamed,
    /// `exclude` names it, or a folder on the way to it.
    Excluded,
    /// A dot begins its name or that of a folder on the way to it, and only a wildcard would stand for it.
    Dotfile,
    /// It is a folder.
    Folder,
    /// It lies in a directory that goes whole.
    InUnit,
    /// It is a file, and the policy is for whole directories.
    NoDirectory,
    /// A link, socket, FIFO or device, or something is mounted on it.
    NotRegular(&'static str),
    /// It belongs to another policy, whose root lies deeper.
    Others {
        /// That policy.
        policy: String,
        /// What it makes of it.
        naming: Naming,
    },
    /// A whole directory that is, or holds, the root of another policy.
    HoldsRoot {
        /// That policy.
        policy: String,
    },
    /// Another policy with the same root names it as well, and neither may take it.
    Disputed {
        /// That policy.
        policy: String,
    },
    /// It belongs to `cleanup` itself: its configuration, state or quarantine.
    Own,
    /// It is the file system's own `lost+found`, or lies in it.
    LostAndFound,
    /// A folder on the way to it is a link, which is never followed.
    BehindLink,
    /// It lies on another file system, mounted below the root.
    OtherMount,
    /// It lies deeper than the policy looks.
    TooDeep(Depth),
    /// It does not exist.
    Missing,
    /// It could not be looked at.
    Unreadable(String),
}

/// The facts about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// By which list its name is meant.
    pub class: Class,
    /// Allocated bytes.
    pub bytes: u64,
    /// The moment from which its age counts.
    pub stamp: Stamp,
    /// When it arrived.
    pub arrival: Stamp,
    /// Which file it is.
    pub identity: Identity,
}

impl Found {
    /// The candidate that the walk would offer.
    pub fn candidate<'a>(&self, name: Name<'a>) -> Candidate<'a> {
        let Self { class, bytes, stamp, arrival, identity } = *self;
        Candidate { name, class, bytes, stamp, arrival, identity: Some(identity) }
    }
}

impl fmt::Display for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Candidate(_) => f.write_str("a candidate"),
            Self::NotNamed => f.write_str("no pattern of this policy matches it"),
            Self::Excluded => f.write_str("`exclude` matches it or a folder above it"),
            Self::Dotfile => f.write_str(
                "its name, or that of a folder above it, starts with a dot, which wildcards do not match; name it in \
                 `include` (`.*`, `.cache/**`), or set `dotfiles = true`",
            ),
            Self::Folder => f.write_str("a folder; only what is in it is judged"),
            Self::InUnit => f.write_str("it is removed or kept with the whole directory that contains it"),
            Self::NoDirectory => f.write_str("a single file; this policy is for whole directories"),
            Self::NotRegular(kind) => write!(f, "{kind}; only regular files are ever removed"),
            Self::Others { policy, naming: Naming::Takes } => {
                write!(f, "it belongs to the policy `{policy}`, whose root is deeper")
            }
            Self::Others { policy, naming: Naming::Spares } => {
                write!(f, "it belongs to the policy `{policy}`, whose root is deeper, and which excludes it")
            }
            Self::HoldsRoot { policy } => {
                write!(f, "the whole directory stays: it is, or contains, the root of the policy `{policy}`")
            }
            Self::Disputed { policy } => write!(
                f,
                "the policy `{policy}` has the same root and matches it as well, so neither removes it; add it to \
                 `exclude` in one of the two"
            ),
            Self::Own => f.write_str("it belongs to cleanup itself"),
            Self::LostAndFound => f.write_str("`lost+found` belongs to the file system, and is left to fsck"),
            Self::BehindLink => f.write_str("it is behind a symbolic link, which is never followed"),
            Self::OtherMount => f.write_str("it is on another mount, which is never entered"),
            Self::TooDeep(Depth::FLAT) => f.write_str("it is in a folder below the root; set `recursive = true`"),
            Self::TooDeep(Depth(depth)) => write!(f, "it is deeper than `max_depth = {depth}`"),
            Self::Missing => f.write_str("no such file"),
            Self::Unreadable(error) => write!(f, "cannot inspect it: {error}"),
        }
    }
}

pub(crate) fn classify(tree: &Tree<'_>, path: &[u8]) -> Classified {
    step_by_step(tree, path).unwrap_or_else(|stopped| stopped)
}

fn step_by_step(tree: &Tree<'_>, path: &[u8]) -> Result<Classified, Classified> {
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    let Some((last, folders)) = names.split_last() else { return Ok(Classified::Folder) };
    let patterns = &tree.policy.patterns;

    if tree.policy.unit == Unit::Directory {
        return look_at_unit(tree, &folders.join(&b'/'), last, folders.first().copied());
    }
    let folder = folders.join(&b'/');
    let (dir, ground) = open_folder(tree, &folder)?;
    let name = Name { folder: &folder, last };
    let meta = Meta::of_entry(dir.as_fd(), &c_name(last)?, needs(tree.policy)).map_err(refused)?;
    if tree.is_protected_name(&dir, last) {
        return Ok(Classified::Own);
    }
    if meta.is_dir() {
        let is_lost_and_found = folders.is_empty() && tree.root.is_lost_and_found(last, &meta);
        return Ok(match *last {
            name if is_own_folder(name) => Classified::Own,
            _ if is_lost_and_found => Classified::LostAndFound,
            _ => Classified::Folder,
        });
    }
    if patterns.excludes(name) {
        return Ok(Classified::Excluded);
    }
    if patterns.leaves_dotfile(name) {
        return Ok(Classified::Dotfile);
    }
    let Some(class) = patterns.class(name) else { return Ok(Classified::NotNamed) };
    if u32::try_from(folders.len()).is_ok_and(|depth| depth >= tree.policy.depth.0) {
        return Ok(Classified::TooDeep(tree.policy.depth));
    }
    if let Some(claimed) = claimed(tree, tree.claim(&ground, name)) {
        return Ok(claimed);
    }
    if !meta.is_plain_file() {
        return Ok(Classified::NotRegular(kind_in_words(&meta)));
    }
    if tree.is_protected(&meta.id) {
        return Ok(Classified::Own);
    }
    match meta.stamp(tree.policy.stamp) {
        Some(stamp) => {
            let (arrival, identity) = (meta.arrival(), meta.identity());
            Ok(Classified::Candidate(Box::new(Found { class, bytes: meta.allocated, stamp, arrival, identity })))
        }
        None => Ok(Classified::Unreadable(NO_STAMP.to_owned())),
    }
}

/// What is said of a file for the sake of another policy.
pub(crate) fn claimed(tree: &Tree<'_>, claim: Claim) -> Option<Classified> {
    let name = |policy| tree.rivals.as_ref().map(|rivals| rivals.name(policy).to_owned()).unwrap_or_default();
    match claim {
        Claim::Own => None,
        Claim::Other { policy, naming } => Some(Classified::Others { policy: name(policy), naming }),
        Claim::Disputed { policy } => Some(Classified::Disputed { policy: name(policy) }),
    }
}

/// What a policy for whole directories makes of a name; `top` is the directory that it lies in.
fn look_at_unit(tree: &Tree<'_>, folder: &[u8], last: &[u8], top: Option<&[u8]>) -> Result<Classified, Classified> {
    let name = Name { folder: b"", last: top.unwrap_or(last) };
    if is_own_folder(name.last) {
        return Ok(Classified::Own);
    }
    if tree.policy.patterns.excludes_folder(name) {
        return Ok(Classified::Excluded);
    }
    if tree.policy.patterns.leaves_dotfile(name) {
        return Ok(Classified::Dotfile);
    }
    if tree.policy.patterns.class_of_whole(name).is_none() {
        return Ok(Classified::NotNamed);
    }
    if tree.root.has_lost_and_found(&c_name(name.last)?) {
        return Ok(Classified::LostAndFound);
    }
    if top.is_some() {
        let ground = open_folder(tree, folder).map(|(_, ground)| ground).unwrap_or_default();
        return Ok(claimed(tree, tree.claim(&ground, Name { folder, last })).unwrap_or(Classified::InUnit));
    }
    let root = tree.root.reopen().map_err(refused)?;
    let name = c_name(last)?;
    Ok(match whole_dirs::look(tree, root.as_fd(), &name) {
        Looked::Candidate(whole_dirs::Unit { class, sum, .. }) => {
            let tree_sum::Sum { bytes, stamp, arrival, identity, .. } = sum;
            Classified::Candidate(Box::new(Found { class, bytes, stamp, arrival, identity }))
        }
        Looked::NotNamed => Classified::NoDirectory,
        Looked::LeftAlone => Classified::NotRegular("not a directory of this root"),
        Looked::Vanished => Classified::Missing,
        Looked::Claimed(look) => look,
        Looked::Pinned(why) => Classified::Unreadable(why),
    })
}

/// Opens a folder below the root by its path, a name at a time; never through a link, onto another mount, or into what
/// the walk would not enter. The empty path is the root. Says whose territory it is as well.
pub(crate) fn open_folder(tree: &Tree<'_>, path: &[u8]) -> Result<(OwnedFd, Ground), Classified> {
    if tree.is_all_protected {
        return Err(Classified::Own);
    }
    let mut dir = tree.root.reopen().map_err(|error| Classified::Unreadable(in_words(error)))?;
    let mut ground = tree.ground();
    let mut folder = Vec::new();
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        if is_own_folder(name) {
            return Err(Classified::Own);
        }
        if tree.policy.patterns.excludes_folder(Name { folder: &folder, last: name }) {
            return Err(Classified::Excluded);
        }
        if folder.is_empty() && tree.root.has_lost_and_found(&c_name(name)?) {
            return Err(Classified::LostAndFound);
        }
        let (next, id) = enter(tree, &dir, name)?;
        dir = next;
        ground = tree.ground_below(&ground, Name { folder: &folder, last: name }, id);
        folder = Name { folder: &folder, last: name }.to_bytes();
    }
    Ok((dir, ground))
}

fn enter(tree: &Tree<'_>, dir: &OwnedFd, name: &[u8]) -> Result<(OwnedFd, FileId), Classified> {
    let next = entry::open_dir(dir, &c_name(name)?).map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR => Classified::BehindLink,
        error => refused(error),
    })?;
    let meta = Meta::of(&next).map_err(refused)?;
    if meta.mount != tree.root.mount() {
        return Err(Classified::OtherMount);
    }
    if tree.is_protected(&meta.id) || tree.is_protected_name(dir, name) {
        return Err(Classified::Own);
    }
    Ok((next, meta.id))
}

fn refused(error: Errno) -> Classified {
    match error {
        Errno::NOENT => Classified::Missing,
        error => Classified::Unreadable(in_words(error)),
    }
}

pub(crate) fn c_name(name: &[u8]) -> Result<CString, Classified> {
    CString::new(name).map_err(|_| Classified::Missing)
}

fn kind_in_words(meta: &Meta) -> &'static str {
    match meta.kind() {
        _ if meta.is_mount_point => "something is mounted on it",
        FileType::Symlink => "a symbolic link",
        FileType::Socket => "a socket",
        FileType::Fifo => "a FIFO",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "not a regular file",
    }
}
