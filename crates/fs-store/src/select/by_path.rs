//! Some files of a tree, by their paths: for deadlines, for what was seen to appear, and for plans.
//!
//! They are offered as the walk would offer them, and removed by the same hand. A path that the walk would not come to
//! (no pattern names it, it lies behind a link, on another mount, too deep) is passed over without a word, like one that
//! is gone: whoever picks knows which paths it asked for. What was asked for as a certain file and is another one now is
//! counted as changed, and never offered.

use std::ffi::CString;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cleanup_core::candidate::{Class, Identity, Name, Stamp};
use cleanup_core::owner::{Claim, Ground};
use cleanup_core::policy::{EmptyDirs, Unit};
use cleanup_core::store::{Batch as _, Fault, FileStore, Seen, Visitor};
use rustix::fs::StatxFlags;
use rustix::io::Errno;

use crate::act::GATHERED;
use crate::act::remove::{EmptyDirectory, File, Files, Remover};
use crate::protected::{Reserved, is_reserved};
use crate::rivals::Meeting;
use crate::select::classify::{Classified, c_name, open_folder};
use crate::select::whole_dirs;
use crate::sys::entry::{FileId, Meta, in_words, needs};
use crate::tree::Tree;
use crate::walk::visit::{Looked, look_at};
use crate::walk::worker_pool::{self, Jobs};

/// How many names are looked at, judged and acted on together.
const BATCH: usize = 1024;

/// How many files are worth another worker.
const WORTH: usize = 256;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The path below the root.
    pub path: &'a [u8],
    /// What it has to be still; `None` is whatever lies there.
    pub same: Option<Same>,
}

/// What a path has to be still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// This file, unchanged; with `unit = "directory"` this directory, with all that is in it.
    File(Identity),
    /// This directory, with nothing in it. What was in it has gone meanwhile, so its age counts from this stamp.
    EmptyDirectory {
        /// Device and inode count.
        identity: Identity,
        /// From before anything in it was touched.
        stamp: Stamp,
    },
}

impl Same {
    fn identity(&self) -> &Identity {
        match self {
            Self::File(identity) | Self::EmptyDirectory { identity, .. } => identity,
        }
    }
}

/// Some files of a tree.
#[derive(Debug)]
pub struct Selected<'a> {
    tree: &'a Tree<'a>,
    remover: &'a Remover,
    jobs: Jobs,
    /// In order, so that those of one folder lie together.
    files: Vec<Wanted<'a>>,
    /// The deepest first, so that each is empty when its turn comes.
    directories: Vec<(&'a [u8], Identity, Stamp)>,
}

/// A folder, and the files of it that are meant: by name, each with what it has to be.
struct Opened<'w> {
    dir: OwnedFd,
    /// Its path below the root.
    folder: &'w [u8],
    meant: Vec<(CString, Class, Option<Same>)>,
}

impl<'a> Selected<'a> {
    pub(crate) fn new(tree: &'a Tree<'a>, remover: &'a Remover, jobs: Jobs, wanted: Vec<Wanted<'a>>) -> Self {
        let mut files = Vec::with_capacity(wanted.len());
        let mut directories = Vec::new();
        for wanted in wanted {
            match wanted.same {
                Some(Same::EmptyDirectory { identity, stamp }) => directories.push((wanted.path, identity, stamp)),
                Some(Same::File(_)) | None => files.push(wanted),
            }
        }
        files.sort_unstable_by_key(|wanted| folder_and_name(wanted.path));
        files.dedup_by_key(|wanted| wanted.path);
        directories.sort_unstable_by_key(|(path, ..)| std::cmp::Reverse(depth(path)));
        Self { tree, remover, jobs, files, directories }
    }

    /// Offers the files, a batch at a time, by as many workers as there is use for.
    fn offer_files(&self, visitor: &dyn Visitor) -> ControlFlow<()> {
        let same_folder = |a: &Wanted<'_>, b: &Wanted<'_>| folder_and_name(a.path).0 == folder_and_name(b.path).0;
        let folders: Vec<_> = self.files.chunk_by(same_folder).flat_map(|same| same.chunks(BATCH)).collect();
        let batches = self.batches(&folders);
        let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                if self.offer_folders(visitor, batch).is_break() {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        };
        let worth = batches.len().min(self.files.len() / WORTH);
        std::thread::scope(|scope| {
            for _ in 1..worth.min(self.jobs.at_once()) {
                // Where there is no thread to be had, this one does it all.
                let _ = std::thread::Builder::new().name("worker".to_owned()).spawn_scoped(scope, work);
            }
            work();
        });
        if is_over.into_inner() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Puts several folders into one batch where notes are written of what goes: one sync is enough for all of them.
    fn batches<'b>(&self, folders: &'b [&'b [Wanted<'a>]]) -> Vec<&'b [&'b [Wanted<'a>]]> {
        if self.remover.move_in.is_none() {
            return folders.chunks(1).collect();
        }
        let most = (worker_pool::most_folders() / self.jobs.at_once()).max(1);
        let (mut batches, mut rest) = (Vec::new(), folders);
        while !rest.is_empty() {
            let mut files = 0;
            let mut fits = |folder: &&[Wanted<'_>]| {
                files += folder.len();
                files <= GATHERED
            };
            let (batch, behind) =
                rest.split_at(rest.iter().take(most).take_while(|folder| fits(folder)).count().max(1));
            batches.push(batch);
            rest = behind;
        }
        batches
    }

    /// Offers whole directories directly below the root.
    fn offer_units(&self, visitor: &dyn Visitor) {
        let Ok(root) = self.tree.root.reopen() else { return };
        if self.tree.is_all_protected {
            return;
        }
        for Wanted { path, same } in self.files.iter().filter(|wanted| !wanted.path.contains(&b'/')) {
            visitor.seen(Seen { scanned: 1, ..Seen::default() });
            let Ok(name) = c_name(path) else { continue };
            let wanted = same.as_ref().map(Same::identity);
            if whole_dirs::offer_one(self.tree, self.remover, visitor, root.as_fd(), &name, wanted).is_break() {
                return;
            }
        }
    }

    /// Offers files of some folders as one batch.
    fn offer_folders(&self, visitor: &dyn Visitor, folders: &[&[Wanted<'a>]]) -> ControlFlow<()> {
        let mut counted = Seen::default();
        let opened: Vec<Opened<'_>> =
            folders.iter().filter_map(|wanted| self.open_wanted(visitor, wanted, &mut counted)).collect();
        let asked = needs(self.tree.policy);
        let looked: Vec<Vec<File<'_>>> =
            opened.iter().map(|opened| self.look_at_wanted(visitor, opened, asked, &mut counted)).collect();
        visitor.seen(counted);
        let mut batch = Files::new(self.tree, self.remover, asked);
        for (Opened { dir, folder, .. }, files) in opened.iter().zip(&looked) {
            batch.add(dir.as_fd(), folder, files);
        }
        if batch.is_empty() { ControlFlow::Continue(()) } else { visitor.batch(&mut batch) }
    }

    /// Opens the folder of some files, and says which of them the policy means.
    fn open_wanted<'w>(
        &self,
        visitor: &dyn Visitor,
        wanted: &'w [Wanted<'a>],
        counted: &mut Seen,
    ) -> Option<Opened<'w>> {
        let policy = self.tree.policy;
        let folder = folder_and_name(wanted.first()?.path).0;
        if u32::try_from(depth(folder)).is_ok_and(|depth| depth >= policy.depth.0) {
            return None;
        }
        let last = |wanted: &Wanted<'a>| folder_and_name(wanted.path).1;
        let (dir, ground) = match self.open(visitor, folder, wanted.iter().map(last)) {
            Ok(opened) => opened,
            Err(why) => {
                let known = wanted.iter().filter(|wanted| wanted.same.is_some()).count() as u64;
                match why {
                    Classified::Missing => counted.vanished += known,
                    Classified::Unreadable(_) => {}
                    _ => counted.changed += known,
                }
                return None;
            }
        };

        let classed = |wanted: &Wanted<'_>| -> Option<(CString, Class, Option<Same>)> {
            let last = folder_and_name(wanted.path).1;
            let name = Name { folder, last };
            let class = policy.patterns.class(name)?;
            Some((c_name(last).ok()?, class, wanted.same))
        };
        counted.scanned += wanted.len() as u64;
        let (mut meeting, mut left_alone) = (Meeting::default(), 0);
        let mut is_own = |name: &CString| {
            let claim = self.tree.claim(&ground, Name { folder, last: name.to_bytes() });
            match claim {
                Claim::Own => {}
                Claim::Other { .. } => counted.owned_by_others += 1,
                Claim::Disputed { .. } => counted.disputed += 1,
            }
            meeting.note(claim);
            claim == Claim::Own
        };
        let reserved = if self.tree.protected.has_names() { Meta::of(&dir).ok() } else { None };
        let reserved = reserved.map_or(&[] as &[Reserved], |meta| self.tree.protected_names_in(&meta.id));
        let mut is_protected = |name: &CString| {
            let is_protected = is_reserved(reserved, name.to_bytes());
            left_alone += u64::from(is_protected);
            is_protected
        };
        let meant =
            wanted.iter().filter_map(classed).filter(|(name, ..)| !is_protected(name) && is_own(name)).collect();
        self.tree.meet(&mut meeting);
        counted.left_alone += left_alone;
        Some(Opened { dir, folder, meant })
    }

    /// Looks at files of a folder; those that are candidates.
    fn look_at_wanted<'w>(
        &self,
        visitor: &dyn Visitor,
        opened: &'w Opened<'_>,
        needs: StatxFlags,
        counted: &mut Seen,
    ) -> Vec<File<'w>> {
        let Opened { dir, folder, meant } = opened;
        let mut files = Vec::with_capacity(meant.len());
        for (name, class, same) in meant {
            match look_at(self.tree, &self.remover.unnamed, dir.as_fd(), name, *class, needs) {
                Looked::Candidate(file) if is_same(&file, *same) => files.push(file),
                Looked::Candidate(_) => counted.changed += 1,
                Looked::Vanished => counted.vanished += 1,
                Looked::LeftAlone => counted.left_alone += 1,
                Looked::Unknown(error) => {
                    visitor.fault(Fault { name: Name { folder, last: name.to_bytes() }, error: &error });
                }
            }
        }
        files
    }

    fn offer_directory(&self, visitor: &dyn Visitor, path: &[u8], identity: Identity, stamp: Stamp) -> ControlFlow<()> {
        let (folder, last) = folder_and_name(path);
        let policy = self.tree.policy;
        if policy.patterns.keeps_folder(Name { folder, last }, policy.rule.archives) {
            return ControlFlow::Continue(());
        }
        let Ok((parent, ground)) = self.open(visitor, folder, [last]) else { return ControlFlow::Continue(()) };
        let Ok(name) = c_name(last) else { return ControlFlow::Continue(()) };
        let is_lost_and_found = folder.is_empty() && self.tree.root.has_lost_and_found(&name);
        if is_lost_and_found || self.tree.is_protected_name(&parent, last) {
            visitor.seen(Seen { left_alone: 1, ..Seen::default() });
            return ControlFlow::Continue(());
        }
        let found = rustix::fs::openat(&parent, &name, FOLDER, rustix::fs::Mode::empty()).and_then(Meta::of);
        match found {
            Ok(meta)
                if self.tree.is_kept_for_another(&self.tree.ground_below(&ground, Name { folder, last }, meta.id)) =>
            {
                return ControlFlow::Continue(());
            }
            Ok(meta)
                if meta.id == FileId::from(&identity)
                    && meta.mount == self.tree.root.mount()
                    && !self.tree.is_protected(&meta.id) => {}
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return ControlFlow::Continue(()),
            Err(error) => {
                visitor.fault(Fault { name: Name { folder, last }, error: &in_words(error) });
                return ControlFlow::Continue(());
            }
        }
        // Like the stamp, the arrival that counted is the one from before: it was judged when the plan was made.
        let arrival = stamp;
        let parent = parent.as_fd();
        visitor.batch(&mut EmptyDirectory { parent, folder, name: &name, identity, stamp, arrival, gone: false })
    }

    /// Opens a folder. Where it cannot be read, that is said of each of the names in it.
    fn open<'n>(
        &self,
        visitor: &dyn Visitor,
        folder: &[u8],
        names: impl IntoIterator<Item = &'n [u8]>,
    ) -> Result<(OwnedFd, Ground), Classified> {
        let opened = open_folder(self.tree, folder);
        if let Err(Classified::Unreadable(error)) = &opened {
            for last in names {
                visitor.fault(Fault { name: Name { folder, last }, error });
            }
        }
        opened
    }
}

const FOLDER: rustix::fs::OFlags = rustix::fs::OFlags::PATH
    .union(rustix::fs::OFlags::DIRECTORY)
    .union(rustix::fs::OFlags::NOFOLLOW)
    .union(rustix::fs::OFlags::CLOEXEC);

impl FileStore for Selected<'_> {
    fn offer(&self, visitor: &dyn Visitor) {
        if self.tree.policy.unit == Unit::Directory {
            return self.offer_units(visitor);
        }
        if self.offer_files(visitor).is_break() || self.tree.policy.empty_dirs == EmptyDirs::Keep {
            return;
        }
        for (path, identity, stamp) in &self.directories {
            if self.offer_directory(visitor, path, *identity, *stamp).is_break() {
                return;
            }
        }
    }
}

fn is_same(file: &File<'_>, same: Option<Same>) -> bool {
    match same {
        None => true,
        Some(Same::File(identity)) => identity.is_still(&file.identity),
        Some(Same::EmptyDirectory { .. }) => false,
    }
}

/// How many folders a path leads through.
fn depth(path: &[u8]) -> usize {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count()
}

fn folder_and_name(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}
