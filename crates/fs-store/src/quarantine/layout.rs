//! The folders: `.cleanup/quarantine/RUN-POLICY` below the root, opened, checked, made, read.
//!
//! A folder that somebody else could write, or a link in its place, is refused and named with the way out. Whoever
//! moves files into a run's folder holds a lock on its notes, so that nobody takes the folder away under them.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use cleanup_core::candidate::Escaped;
use cleanup_core::policy::{Quarantine as Bounds, Unit};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, StatxFlags, flock};
use rustix::io::Errno;

use super::note::{self, First, Header, Judged, Mark};
use super::own_folder::{self, OWN, OwnFolder};
use super::restore::{self, Folders};
use super::{Item, QuarantineRun};
use crate::sys;
use crate::sys::entry::{self, Meta, in_words};
use crate::sys::rename::{self, Kind};
use crate::sys::sync::{sync, sync_upwards};
use crate::tree::Tree;

const QUARANTINE: &CStr = c"quarantine";
pub(super) const NOTES: &CStr = c"notes.jsonl";

/// For its owner alone.
const PRIVATE: Mode = Mode::RWXU;

/// Why a quarantine cannot be used. Each names the folder and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuarantineError {
    /// It belongs to another user.
    #[error("the quarantine {folder} belongs to another user (uid {uid}); run this as that user, or move it away")]
    Stranger {
        /// The folder.
        folder: String,
        /// Its owner.
        uid: u32,
    },
    /// Others may enter or write it.
    #[error(
        "other users can access the quarantine {folder} (mode {mode:04o}) and could change its files; chmod 700 \
         {folder}"
    )]
    Open {
        /// The folder.
        folder: String,
        /// Its permissions.
        mode: u32,
    },
    /// A link, a file or something else is in its place.
    #[error("the quarantine {folder} is not a folder; move it away")]
    NotAFolder {
        /// The path.
        folder: String,
    },
    /// Something is mounted there.
    #[error("the quarantine {folder} is on another mount than its root; unmount it")]
    OtherMount {
        /// The folder.
        folder: String,
    },
    /// A later version of this program wrote it.
    #[error("the quarantine {folder} was written by a later version of this program; use that one")]
    Newer {
        /// The folder.
        folder: String,
    },
    /// Nothing could be brought back from it.
    #[error(
        "nothing could be restored from the quarantine {folder}: this file system supports neither RENAME_NOREPLACE \
         nor hard links; set `dispose = \"delete\"`, or put the root on another file system"
    )]
    NoWayBack {
        /// The folder.
        folder: String,
    },
    /// The system refuses.
    #[error("cannot use the quarantine {folder}: {error}")]
    Unusable {
        /// The folder.
        folder: String,
        /// The reason, as text.
        error: String,
    },
}

/// What to do where a folder is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing.
    Leave,
    /// Make it.
    Make,
}

/// Opens the quarantine in a folder of ours; `None` when there is none.
fn quarantine(tree: &Tree<'_>, own: &OwnFolder, missing: Missing) -> Result<Option<OwnedFd>, QuarantineError> {
    open(tree, &own.dir, QUARANTINE, &[&own.name, QUARANTINE], missing)
}

/// Whether what there is of a quarantine is ours alone.
pub(super) fn check(tree: &Tree<'_>) -> Result<(), QuarantineError> {
    own_folder::all(tree)?.iter().try_for_each(|own| quarantine(tree, own, Missing::Leave).map(drop))
}

/// Opens a folder of ours. `path` is for messages.
pub(super) fn open(
    tree: &Tree<'_>,
    parent: &impl AsFd,
    name: &CStr,
    path: &[&CStr],
    missing: Missing,
) -> Result<Option<OwnedFd>, QuarantineError> {
    let folder = || shown(tree, path);
    if missing == Missing::Make {
        match rustix::fs::mkdirat(parent, name, PRIVATE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(unusable(tree, path, error)),
        }
    }
    let dir = match entry::open_dir(parent, name) {
        Ok(dir) => dir,
        Err(Errno::NOENT) if missing == Missing::Leave => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(QuarantineError::NotAFolder { folder: folder() }),
        Err(error) => match Meta::of_entry(parent, name, StatxFlags::UID).map(|meta| meta.uid) {
            Ok(uid) if uid != us() => return Err(QuarantineError::Stranger { folder: folder(), uid }),
            _ => return Err(unusable(tree, path, error)),
        },
    };
    let meta = Meta::of(&dir).map_err(|error| unusable(tree, path, error))?;
    if meta.mount != tree.root.mount() {
        Err(QuarantineError::OtherMount { folder: folder() })
    } else if meta.uid != us() {
        Err(QuarantineError::Stranger { folder: folder(), uid: meta.uid })
    } else if meta.permissions & 0o077 != 0 {
        Err(QuarantineError::Open { folder: folder(), mode: meta.permissions })
    } else {
        Ok(Some(dir))
    }
}

pub(super) fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn shown(tree: &Tree<'_>, path: &[&CStr]) -> String {
    let mut bytes = tree.policy.root.as_os_str().as_bytes().to_vec();
    for name in path {
        bytes.push(b'/');
        bytes.extend_from_slice(name.to_bytes());
    }
    Escaped(&bytes).to_string()
}

pub(super) fn unusable(tree: &Tree<'_>, path: &[&CStr], error: Errno) -> QuarantineError {
    QuarantineError::Unusable { folder: shown(tree, path), error: in_words(error) }
}

/// The folder of one run of one policy, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunFolder {
    pub(super) run: String,
    pub(super) policy: String,
    /// The folder of ours that it lies in.
    own: CString,
    name: CString,
}

impl RunFolder {
    fn new(own: &CStr, run: &str, policy: &str) -> Self {
        let name = CString::new(format!("{run}-{policy}")).expect("neither ids nor policies hold NUL");
        Self { run: run.to_owned(), policy: policy.to_owned(), own: own.to_owned(), name }
    }

    fn parse(own: &CStr, name: &CStr) -> Option<Self> {
        let (run, policy) = name.to_str().ok()?.split_once('-')?;
        let is_id = !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_id && !policy.is_empty()).then(|| Self::new(own, run, policy))
    }

    /// Its path below the root.
    pub(super) fn path(&self) -> Vec<u8> {
        [self.own.to_bytes(), QUARANTINE.to_bytes(), self.name.to_bytes()].join(&b'/')
    }

    /// Opens it; `None` when it is gone by now.
    pub(super) fn open(&self, tree: &Tree<'_>) -> Result<Option<OpenRun>, QuarantineError> {
        let root = tree.root.reopen().map_err(|error| unusable(tree, &[], error))?;
        let Some(dir) = open(tree, &root, &self.own, &[&self.own], Missing::Leave)? else { return Ok(None) };
        let own = OwnFolder { name: self.own.clone(), dir };
        let Some(parent) = quarantine(tree, &own, Missing::Leave)? else { return Ok(None) };
        let path = [&*self.own, QUARANTINE, &self.name];
        let Some(dir) = open(tree, &parent, &self.name, &path, Missing::Leave)? else { return Ok(None) };
        let notes = match rustix::fs::openat(&dir, NOTES, NOTES_FLAGS | OFlags::RDWR, Mode::empty()) {
            Ok(notes) => Some(notes),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(unusable(tree, &path, error)),
        };
        let mut run = OpenRun { folder: self.clone(), parent, dir, notes, header: None };
        match run.first()? {
            First::Header(header) => run.header = Some(header),
            First::Unknown => {}
            First::Newer => return Err(QuarantineError::Newer { folder: shown(tree, &path) }),
        }
        Ok(Some(run))
    }

    /// Opens that of a run to move files in, and makes what is missing. The notes are locked for as long as they are open.
    pub(super) fn begin(tree: &Tree<'_>, header: &Header, run: &QuarantineRun) -> Result<Begun, QuarantineError> {
        let begun = Self::make(tree, header, run)?;
        let fails = |error| begun.folder.unusable(tree, error);
        // Whatever cannot come back does not leave in the first place.
        let kind = match tree.policy.unit {
            Unit::File => Kind::File,
            Unit::Directory => Kind::Directory,
        };
        if !rename::can_come_out(begun.dir.as_fd(), kind).map_err(fails)? {
            return Err(QuarantineError::NoWayBack { folder: begun.folder.shown(tree) });
        }
        // The way to the notes has to be on the disk before anything that they speak of. Another process may have made
        // a part of it just now, so all of it is synced.
        sync_upwards(&begun.dir, 3).map_err(fails)?;
        Ok(begun)
    }

    fn make(tree: &Tree<'_>, header: &Header, run: &QuarantineRun) -> Result<Begun, QuarantineError> {
        let mut folder = Self::new(OWN, &header.run, &header.policy);
        // Somebody who tidies up may take the folder away between two of these steps, but not once it is locked.
        for _ in 0..TRIES {
            let own = own_folder::make(tree)?;
            folder.own.clone_from(&own.name);
            let Some(parent) = quarantine(tree, &own, Missing::Make)? else { continue };
            let path = [&*own.name, QUARANTINE, &folder.name];
            let fails = |error| unusable(tree, &path, error);
            let Some(dir) = open(tree, &parent, &folder.name, &path, Missing::Make)? else { continue };
            let flags = NOTES_FLAGS | OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
            let notes = match rustix::fs::openat(&dir, NOTES, flags, Mode::RUSR | Mode::WUSR) {
                Ok(notes) => notes,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(fails(error)),
            };
            // Where there are no locks, nobody tidies up either.
            let _ = flock(&notes, FlockOperation::LockShared);
            let found = rustix::fs::fstat(&notes).map_err(fails)?;
            if found.st_nlink == 0 {
                continue;
            }
            if run.is_fresh() {
                // Two notes for one number would give what lies there a wrong name; also one of something that was
                // noted and did not move in the end.
                let there = numbers(&dir).map_err(fails)?.into_iter().max();
                let taken = there.max(last_noted(&dir).map_err(fails)?).unwrap_or(0);
                let is_new = found.st_size == 0 && taken == 0;
                run.begin_after(taken, if is_new { Some(Vec::new()) } else { settled(&dir) });
            }
            if found.st_size == 0 {
                let mut line = Vec::new();
                note::write_line(&mut line, header);
                rustix::io::write(&notes, &line).map_err(fails)?;
            }
            return Ok(Begun { folder, dir, notes });
        }
        Err(folder.unusable(tree, Errno::AGAIN))
    }

    fn shown(&self, tree: &Tree<'_>) -> String {
        shown(tree, &[&self.own, QUARANTINE, &self.name])
    }

    fn unusable(&self, tree: &Tree<'_>, error: Errno) -> QuarantineError {
        unusable(tree, &[&self.own, QUARANTINE, &self.name], error)
    }
}

/// A run's folder, opened to move files in.
pub(super) struct Begun {
    pub(super) folder: RunFolder,
    pub(super) dir: OwnedFd,
    pub(super) notes: OwnedFd,
}

const NOTES_FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

const TRIES: u32 = 16;

/// How often, and how long each time, a restore waits for whoever empties a directory.
const WAITS: u32 = 100;
const WAIT: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 50 });

/// The folders of all runs, the oldest first.
pub(super) fn runs(tree: &Tree<'_>) -> Result<Vec<RunFolder>, QuarantineError> {
    let mut folders = Vec::new();
    for own in own_folder::all(tree)? {
        let Some(dir) = quarantine(tree, &own, Missing::Leave)? else { continue };
        let read = sys::dir::names(&dir, |name| folders.extend(RunFolder::parse(&own.name, name)));
        read.map_err(|error| unusable(tree, &[&own.name, QUARANTINE], error))?;
    }
    folders.sort_unstable_by(|a, b| (&a.name, &a.own).cmp(&(&b.name, &b.own)));
    Ok(folders)
}

/// One run's folder while it is read or emptied.
pub(super) struct OpenRun {
    pub(super) folder: RunFolder,
    parent: OwnedFd,
    pub(super) dir: OwnedFd,
    notes: Option<OwnedFd>,
    /// `None` when it was lost.
    pub(super) header: Option<Header>,
}

/// One thing in a run's folder.
pub(super) struct Entry {
    pub(super) item: Item,
    /// What was judged; `None` when its note was lost.
    pub(super) judged: Option<Judged>,
    /// It was looked at after its move, and is being emptied since.
    pub(super) is_being_emptied: bool,
}

impl OpenRun {
    /// Calls `each` for all that lies in it, in the order in which it was moved; what has no note comes last.
    pub(super) fn items(&self, each: &mut dyn FnMut(Item)) -> Result<(), QuarantineError> {
        self.read_all(&HashSet::new(), &mut |entry| each(entry.item))
    }

    /// As [`Self::items`], with what is known of each.
    pub(super) fn entries(&self, each: &mut dyn FnMut(Entry)) -> Result<(), QuarantineError> {
        let mut emptying = HashSet::new();
        self.lines(&mut |line| {
            if let Some(Mark::Emptying(number)) = note::mark(line) {
                emptying.insert(number);
            }
        })?;
        self.read_all(&emptying, each)
    }

    fn read_all(&self, emptying: &HashSet<u64>, each: &mut dyn FnMut(Entry)) -> Result<(), QuarantineError> {
        let mut there = numbers(&self.dir).map_err(|error| self.unusable(in_words(error)))?;
        // Of a number that was noted twice, the later note counts: what the earlier one speaks of did not move.
        let mut noted = HashMap::<u64, u32>::new();
        self.lines(&mut |line| {
            if let Some(number) = note::number(line).filter(|number| there.contains(number)) {
                *noted.entry(number).or_default() += 1;
            }
        })?;
        let keep_for = self.header.as_ref().map_or(Bounds::KEEP_FOR, Header::keep_for);
        self.lines(&mut |line| {
            let Some(left) = note::number(line).and_then(|number| noted.get_mut(&number)) else { return };
            *left = left.saturating_sub(1);
            if *left > 0 {
                return;
            }
            if let Some(note) = note::read(line).filter(|note| there.remove(&note.number)) {
                let item = Item {
                    run: self.folder.run.clone(),
                    policy: self.folder.policy.clone(),
                    number: note.number,
                    path: Some(note.path),
                    bytes: note.bytes,
                    at: note.at,
                    keep_for,
                    reason: Some(note.why),
                };
                // Of a file a mark can only be a mistake.
                let is_being_emptied =
                    emptying.contains(&item.number) && rename::is_directory(self.dir.as_fd(), &file_name(item.number));
                each(Entry { item, judged: Some(note.judged), is_being_emptied });
            }
        })?;
        let mut unknown: Vec<u64> = there.into_iter().collect();
        unknown.sort_unstable();
        for number in unknown {
            let Ok(meta) = Meta::of_entry(&self.dir, &file_name(number), entry::ALWAYS) else { continue };
            let item = Item {
                run: self.folder.run.clone(),
                policy: self.folder.policy.clone(),
                number,
                path: None,
                bytes: meta.allocated,
                // The move itself set it, and nobody can set it back.
                at: meta.identity().changed,
                keep_for,
                reason: None,
            };
            each(Entry { item, judged: None, is_being_emptied: false });
        }
        Ok(())
    }

    /// What is noted of the folders that files came from.
    pub(super) fn folders(&self) -> Result<Folders, QuarantineError> {
        let mut folders = Folders::new();
        // The later note counts: it was written for the later files.
        self.lines(&mut |line| folders.extend(note::folder(line)))?;
        Ok(folders)
    }

    /// Calls `each` for every line of its notes.
    fn lines(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), QuarantineError> {
        let Some(mut notes) = self.reader()? else { return Ok(()) };
        let mut line = Vec::new();
        while notes.read_until(b'\n', &mut line).map_err(|error| self.unusable(error.to_string()))? > 0 {
            each(&line);
            line.clear();
        }
        Ok(())
    }

    fn unusable(&self, error: String) -> QuarantineError {
        QuarantineError::Unusable { folder: Escaped(&self.folder.path()).to_string(), error }
    }

    /// What is not what was judged, and could not go back, by number; `None` when not everything was looked at after its
    /// move, as far as is known.
    pub(super) fn settled(&self) -> Option<Vec<u64>> {
        settled(&self.dir)
    }

    /// Keeps away, until this is dropped, whoever moves files in, purges, or restores a directory. `false` when somebody is
    /// at it already: then nothing in it is to be judged, because it may be half moved or half emptied.
    pub(super) fn lock_alone(&self) -> bool {
        // Where there are no locks, nobody can be kept away.
        self.notes
            .as_ref()
            .is_none_or(|notes| flock(notes, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK))
    }

    /// As [`Self::lock_alone`], but waits for a while.
    pub(super) fn wait_alone(&self) -> bool {
        (0..WAITS).any(|wait| {
            if wait > 0 {
                std::thread::sleep(WAIT);
            }
            self.lock_alone()
        })
    }

    /// Whether there were notes when it was opened. If not, there was nothing to lock, and whoever makes them now looks at
    /// what it moves in by itself.
    pub(super) fn has_notes(&self) -> bool {
        self.notes.is_some()
    }

    /// Adds a mark to its notes. What cannot be written costs another look later, and nothing else.
    pub(super) fn mark(&self, mark: &Mark) {
        // What went back has to be there after a power failure before the mark is: what came back into quarantine by that
        // would count as looked at.
        if let Err(error) = sync(&self.dir).and_then(|()| self.write_mark(mark)) {
            tracing::debug!("a quarantine could not be marked: {}", in_words(error));
        }
    }

    /// Marks that a directory is being emptied, and has that on the disk: of what is half gone nothing could be told.
    pub(super) fn mark_emptying(&self, number: u64) -> Result<(), Errno> {
        self.write_mark(&Mark::Emptying(number))?;
        self.notes.as_ref().map_or(Ok(()), sync)
    }

    fn write_mark(&self, mark: &Mark) -> Result<(), Errno> {
        let flags = NOTES_FLAGS | OFlags::WRONLY | OFlags::APPEND;
        let notes = rustix::fs::openat(&self.dir, NOTES, flags, Mode::empty())?;
        // The last line may not have its end; an empty one is passed over.
        let mut line = vec![b'\n'];
        note::write_line(&mut line, mark);
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&notes, &line))?;
        if written == line.len() { Ok(()) } else { Err(Errno::NOSPC) }
    }

    fn reader(&self) -> Result<Option<BufReader<File>>, QuarantineError> {
        // Not a duplicate: that would share the place in the file.
        let notes = notes_of(&self.dir).map_err(|error| self.unusable(in_words(error)))?;
        Ok(notes.map(|notes| BufReader::with_capacity(READ, notes)))
    }

    fn first(&self) -> Result<First, QuarantineError> {
        let Some(mut notes) = self.reader()? else { return Ok(First::Unknown) };
        let mut line = Vec::new();
        notes.read_until(b'\n', &mut line).map_err(|error| self.unusable(error.to_string()))?;
        Ok(note::first(&line))
    }

    /// Takes the folder away when nothing is left in it and nobody moves files into it.
    pub(super) fn tidy(self) {
        if !is_empty(&self.dir) {
            return;
        }
        if let Some(notes) = &self.notes {
            if flock(notes, FlockOperation::NonBlockingLockExclusive).is_err() {
                return;
            }
            // Asked again under the lock: somebody may have had it meanwhile.
            if !is_empty(&self.dir) {
                return;
            }
            // What was in it has to be back, or gone, on the disk before its notes are.
            if sync(&self.dir).is_err() {
                return;
            }
            rename::remove_probes(self.dir.as_fd());
            restore::remove_unfinished(self.dir.as_fd());
            // Whatever fails leaves an empty folder for the next time.
            let _ = rustix::fs::unlinkat(&self.dir, NOTES, AtFlags::empty());
        }
        let _ = rustix::fs::unlinkat(&self.parent, &self.folder.name, AtFlags::REMOVEDIR);
    }
}

/// `None` where there are none. What is there and cannot be opened may say anything.
fn notes_of(dir: &OwnedFd) -> Result<Option<File>, Errno> {
    match rustix::fs::openat(dir, NOTES, NOTES_FLAGS | OFlags::RDONLY, Mode::empty()) {
        Ok(notes) => Ok(Some(File::from(notes))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the last line of the notes says, if it is such a mark.
fn settled(dir: &OwnedFd) -> Option<Vec<u64>> {
    let notes = notes_of(dir).ok()??;
    let length = notes.metadata().ok()?.len();
    let read = length.min(TAIL);
    let mut tail = vec![0; usize::try_from(read).ok()?];
    notes.read_exact_at(&mut tail, length - read).ok()?;
    let line = tail.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
    match note::mark(line) {
        Some(Mark::Settled(numbers)) => Some(numbers),
        Some(Mark::Emptying(_)) | None => None,
    }
}

/// The highest number of which there is a note.
fn last_noted(dir: &OwnedFd) -> Result<Option<u64>, Errno> {
    let Some(notes) = notes_of(dir)? else { return Ok(None) };
    let (mut notes, mut line, mut last) = (BufReader::with_capacity(READ, notes), Vec::new(), None);
    while notes.read_until(b'\n', &mut line).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))? > 0 {
        last = last.max(note::number(&line));
        line.clear();
    }
    Ok(last)
}

/// How much of the notes is read at a time.
const READ: usize = 128 * 1024;

/// How much of the end of the notes is read. A mark that is longer is not understood: then everything is looked at.
const TAIL: u64 = 64 * 1024;

/// Whether nothing lies in a run's folder. What cannot be read may hold anything.
fn is_empty(dir: &OwnedFd) -> bool {
    let found = entry::open_dir(dir, c".").and_then(|dir| {
        sys::dir::read(dir.as_fd(), 0, &mut sys::dir::Buffer::default(), |entry| {
            if number_of(entry.name).is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    found == Ok(None)
}

fn number_of(name: &CStr) -> Option<u64> {
    name.to_str().ok()?.parse().ok()
}

/// The numbers of all that lies in a run's folder.
fn numbers(dir: &OwnedFd) -> Result<HashSet<u64>, Errno> {
    let mut numbers = HashSet::new();
    sys::dir::names(dir, |name| numbers.extend(number_of(name)))?;
    Ok(numbers)
}

/// The name of what has this number.
pub(super) fn file_name(number: u64) -> CString {
    CString::new(number.to_string()).expect("digits hold no NUL")
}
