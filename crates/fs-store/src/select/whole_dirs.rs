//! Whole directories as candidates (`unit = "directory"`): each one directly below the root, with all that is in it.
//!
//! A directory goes whole or not at all: it is moved aside in one rename, looked at again where nobody else can reach
//! it, put back if anything in it is not as it was judged, and only then emptied, or kept in quarantine.

use std::ffi::{CStr, CString};
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd};

use cleanup_core::candidate::{Candidate, Class, Identity, Name};
use cleanup_core::policy::Dispose;
use cleanup_core::store::{Batch, Fault, Outcome, Removal, Seen, Visitor};
use cleanup_core::verdict::Remove;
use rustix::fs::{FileType, StatxFlags};
use rustix::io::Errno;

use crate::act::remove::Remover;
use crate::act::tree_sum::{self, Sum};
use crate::rivals::Meeting;
use crate::select::claims;
use crate::select::classify::Classified;
use crate::sys::dir::{self, Buffer};
use crate::sys::entry::{self, FileId, Meta, in_words};
use crate::sys::name_buffer::Names;
use crate::tree::{Tree, is_own_folder};
use crate::walk::resume::ResumePoint;
use crate::walk::walker::SPARES;

/// Offers every directory directly below the root that the policy names, from where it was stopped. Says where it was
/// stopped this time.
pub(crate) fn offer(
    tree: &Tree<'_>,
    remover: &Remover,
    visitor: &dyn Visitor,
    begin: &[ResumePoint],
) -> Vec<ResumePoint> {
    let fault = |error: Errno| {
        visitor.fault(Fault { name: Name { folder: b"", last: b"" }, error: &in_words(error) });
    };
    let root = match tree.root.reopen() {
        Ok(root) => root,
        Err(error) => {
            fault(error);
            return Vec::new();
        }
    };
    let (mut names, mut seen) = (Names::default(), Seen::default());
    let read = dir::read(root.as_fd(), 0, &mut Buffer::default(), |entry| {
        seen.scanned += 1;
        let name = Name { folder: b"", last: entry.name.to_bytes() };
        if is_named(tree, entry.name).is_some() {
            names.push(entry.name);
        } else if entry.kind() == FileType::Directory && !is_own_folder(name.last) {
            seen.dotfiles += u64::from(tree.policy.patterns.leaves_dotfile(name));
        }
        ControlFlow::<()>::Continue(())
    });
    if let Err(error) = read {
        fault(error);
    }
    visitor.seen(seen);
    // Those behind it were offered before.
    for position in begin {
        if names.end_at(&position.folder) {
            break;
        }
    }
    while let Some(name) = names.pop() {
        if offer_one(tree, remover, visitor, root.as_fd(), &name, None).is_break() {
            let next = names.iter().rev().take(SPARES);
            return next.map(|name| ResumePoint::whole(Name { folder: b"", last: name.to_bytes() })).collect();
        }
    }
    Vec::new()
}

/// Offers the directory of this name, if the policy names it and there is one; where it has to be a certain one, only
/// while it is still that.
pub(crate) fn offer_one(
    tree: &Tree<'_>,
    remover: &Remover,
    visitor: &dyn Visitor,
    root: BorrowedFd<'_>,
    name: &CStr,
    same: Option<&Identity>,
) -> ControlFlow<()> {
    let counted = match look(tree, root, name) {
        Looked::Candidate(unit) if same.is_some_and(|same| unit.sum.identity != *same) => {
            Seen { changed: 1, ..Seen::default() }
        }
        Looked::Candidate(unit) => return visitor.batch(&mut Whole { tree, remover, root, unit: &unit }),
        Looked::NotNamed => return ControlFlow::Continue(()),
        Looked::LeftAlone => Seen { left_alone: 1, ..Seen::default() },
        Looked::Claimed(Classified::Disputed { .. }) => Seen { disputed: 1, ..Seen::default() },
        Looked::Claimed(_) => Seen { owned_by_others: 1, ..Seen::default() },
        Looked::Vanished => Seen { vanished: 1, ..Seen::default() },
        Looked::Pinned(why) => {
            visitor.fault(Fault { name: Name { folder: b"", last: name.to_bytes() }, error: &why });
            return ControlFlow::Continue(());
        }
    };
    visitor.seen(counted);
    ControlFlow::Continue(())
}

/// A directory that may be judged.
pub(crate) struct Unit {
    name: CString,
    pub(crate) class: Class,
    pub(crate) sum: Sum,
}

/// What a name directly below the root turned out to be.
pub(crate) enum Looked {
    Candidate(Unit),
    /// The policy does not mean it, or it is a single file.
    NotNamed,
    /// It is nothing that is ever removed.
    LeftAlone,
    Vanished,
    /// It stays as a whole, because others own or dispute it or something in it.
    Claimed(Classified),
    /// It has to stay whatever its age; why, in words.
    Pinned(String),
}

/// Looks at one name directly below the root, and at all below it.
pub(crate) fn look(tree: &Tree<'_>, root: BorrowedFd<'_>, name: &CStr) -> Looked {
    let Some(class) = is_named(tree, name) else { return Looked::NotNamed };
    let meta = match Meta::of_entry(root, name, entry::ALWAYS) {
        Ok(meta) => meta,
        Err(Errno::NOENT) => return Looked::Vanished,
        Err(error) => return Looked::Pinned(in_words(error)),
    };
    if meta.kind() == FileType::RegularFile {
        return Looked::NotNamed;
    }
    let is_none_of_ours = meta.mount != tree.root.mount()
        || meta.is_mount_point
        || tree.is_protected(&meta.id)
        || tree.is_protected_name(root, name.to_bytes());
    if !meta.is_dir() || is_none_of_ours || tree.root.is_lost_and_found(name.to_bytes(), &meta) {
        return Looked::LeftAlone;
    }
    let dir = match entry::open_dir(root, name) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Looked::Vanished,
        Err(error) => return Looked::Pinned(in_words(error)),
    };
    let sum = tree_sum::look(tree, dir);
    if let Some((claim, look)) = claims::claimed(tree, root, name, sum.is_err()) {
        let mut meeting = Meeting::default();
        meeting.note(claim);
        tree.meet(&mut meeting);
        return Looked::Claimed(look);
    }
    match sum {
        Ok(sum) => Looked::Candidate(Unit { name: name.to_owned(), class, sum }),
        Err(why) => Looked::Pinned(format!("the whole directory stays: {why}")),
    }
}

fn is_named(tree: &Tree<'_>, name: &CStr) -> Option<Class> {
    let patterns = &tree.policy.patterns;
    let name = Name { folder: b"", last: name.to_bytes() };
    if is_own_folder(name.last) { None } else { patterns.class_of_whole(name) }
}

/// One directory that was looked at.
struct Whole<'a> {
    tree: &'a Tree<'a>,
    remover: &'a Remover,
    root: BorrowedFd<'a>,
    unit: &'a Unit,
}

impl Batch for Whole<'_> {
    fn len(&self) -> usize {
        1
    }

    fn candidate(&self, _: usize) -> Candidate<'_> {
        let Unit { name, class, sum } = self.unit;
        Candidate {
            name: Name { folder: b"", last: name.to_bytes() },
            class: *class,
            bytes: sum.bytes,
            stamp: sum.stamp,
            arrival: sum.arrival,
            identity: Some(sum.identity),
        }
    }

    fn remove(&mut self, _: usize, why: &Remove) -> Removal {
        let Unit { name, sum, .. } = self.unit;
        // It leaves its place in one step whatever becomes of it then.
        let Some(move_in) = &self.remover.move_in else {
            return Outcome::Failed("its quarantine was not opened".to_owned()).into();
        };
        let last_look = || match Meta::of_entry(self.root, name, StatxFlags::TYPE | StatxFlags::INO) {
            Ok(meta) if meta.is_dir() && meta.id == FileId::from(&sum.identity) => Ok(()),
            Ok(_) => Err(Outcome::Changed),
            Err(Errno::NOENT) => Err(Outcome::Vanished),
            Err(error) => Err(Outcome::Failed(in_words(error))),
        };
        match move_in.take_whole(self.tree, self.root, name, sum, why, &last_look) {
            Err(outcome) => outcome.into(),
            Ok(moved) => match self.tree.policy.dispose {
                Dispose::Quarantine(_) => Outcome::Quarantined.into(),
                Dispose::Delete => move_in.delete(self.tree, &moved, self.root, name, sum),
            },
        }
    }

    fn pretend(&mut self, _: usize) {}
}
