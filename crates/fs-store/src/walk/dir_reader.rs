//! Reads one directory: names first, then facts, then batches.
//!
//! The order is what makes it fast: `getdents64` gives names and types without touching an inode; the name filter
//! runs on bytes; only what it lets through costs a `statx`. Names wait in one buffer that is used again for every
//! directory, and are handed on [`BATCH`] at a time: memory grows neither with the number of files nor with depth.

use std::cell::Cell;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use cleanup_core::candidate::{Class, Name};
use cleanup_core::owner::{Claim, Ground};
use cleanup_core::policy::Depth;
use cleanup_core::store::{Fault, Seen};
use rustix::fs::{FileType, RawDir, SeekFrom, StatxFlags};
use rustix::io::Errno;

use crate::act::remove::{File, Files};
use crate::rivals::Meeting;
use crate::sys::entry::{Meta, in_words, needs};
use crate::sys::name_buffer::Names;
use crate::walk::resume::Place;
use crate::walk::worker_pool::{Hand, Split};
use crate::{OWN_FOLDER, Store};

/// How many names are looked at, judged and acted on together. More would only be more to wait for at the end.
const BATCH: usize = 1024;

/// Where somebody has nothing to do, so many are worth handing over.
const FEW: usize = 64;

/// After so many names that no pattern means, somebody is told of them.
const PASSED_OVER: u64 = 8192;

/// Room for what one `getdents64` returns: larger is no faster.
const BUFFER: usize = 256 * 1024;

/// What one directory turned out to hold.
pub(crate) struct Contents {
    /// Directories to be walked.
    pub(crate) folders: Names,
    /// Whether anything stays in it, walked directories left aside.
    pub(crate) survivors: bool,
    /// What was left when it was stopped.
    pub(crate) unread: Option<Unread>,
}

/// With which of its entries a directory is begun.
pub(crate) enum Onset {
    /// With its first.
    Anew,
    /// An earlier walk did what comes before this one, but for its folders.
    At(Place),
    /// An earlier walk did all but some of its folders.
    Below,
}

/// What was left of a directory when it was stopped.
pub(crate) struct Unread {
    /// What the reader itself would have looked at next; `None` when it came to the end.
    place: Option<Place>,
    /// What was handed to other workers. Only when they have ended it is known what they have left.
    split: Option<Arc<Split>>,
}

impl Unread {
    /// The first of it; `None` when nothing was left after all.
    pub(crate) fn first(&self) -> Option<Place> {
        self.split.as_ref().and_then(|split| split.left()).or_else(|| self.place.clone())
    }
}

/// Reads directories, one at a time.
pub(crate) struct Reader<'scope, 'env> {
    hand: Hand<'scope, 'env>,
    buffer: Vec<MaybeUninit<u8>>,
}

/// Some names of one directory, for another worker to look at.
pub(crate) struct Batch {
    dir: Arc<OwnedFd>,
    folder: Arc<[u8]>,
    names: Names,
    classes: Vec<Class>,
    cookies: Vec<u64>,
    split: Arc<Split>,
    /// Its number among those that were handed over of this directory.
    number: usize,
}

impl Batch {
    /// Looks at the names, and says so to whoever waits for them.
    pub(crate) fn run(self, hand: Hand<'_, '_>) {
        let Self { dir, folder, names, classes, cookies, split, number } = self;
        let visited = visit(hand, dir.as_fd(), &folder, &names, &classes, &cookies, Seen::default());
        split.settle(hand.crew, number, visited);
    }
}

impl<'scope, 'env> Reader<'scope, 'env> {
    pub(crate) fn new(hand: Hand<'scope, 'env>) -> Self {
        Self { hand, buffer: Vec::new() }
    }

    /// Reads one directory to its end and hands its files on. `below` counts from 1, the root's own entries.
    pub(crate) fn read(
        &mut self,
        dir: &Arc<OwnedFd>,
        folder: &[u8],
        below: Depth,
        ground: &Ground,
        onset: Onset,
    ) -> Contents {
        self.buffer.resize(BUFFER, MaybeUninit::uninit());
        let mut reading = Reading {
            hand: self.hand,
            dir,
            folder,
            ground,
            meeting: Meeting::default(),
            descend: below < self.hand.store.policy.depth,
            seen: Seen::default(),
            names: Names::default(),
            classes: Vec::new(),
            cookies: Vec::new(),
            handed: None,
            broken_at: None,
            // Of what was not looked at, nobody knows that it is gone.
            contents: Contents { folders: Names::default(), survivors: !matches!(onset, Onset::Anew), unread: None },
            part: match onset {
                Onset::Anew => Part::All,
                Onset::At(place) => Part::From(place),
                Onset::Below => Part::Folders,
            },
        };
        reading.all(&mut self.buffer);
        self.hand.store.meet(&mut reading.meeting);
        reading.contents
    }
}

/// One directory while it is read.
struct Reading<'a, 'scope, 'env> {
    hand: Hand<'scope, 'env>,
    dir: &'a Arc<OwnedFd>,
    folder: &'a [u8],
    /// The other policies in whose roots it lies.
    ground: &'a Ground,
    /// What was met of their files.
    meeting: Meeting,
    descend: bool,
    seen: Seen,
    names: Names,
    classes: Vec<Class>,
    /// Where each of the names is, as [`Place::cookie`] has it.
    cookies: Vec<u64>,
    /// What was handed to other workers, and the folder as they know it.
    handed: Option<(Arc<Split>, Arc<[u8]>)>,
    /// Where the visitor has stopped.
    broken_at: Option<Place>,
    part: Part,
    contents: Contents,
}

/// Which entries are looked at.
enum Part {
    /// All.
    All,
    /// Folders, and from this one on all.
    From(Place),
    /// Folders.
    Folders,
    /// All but folders.
    Files,
}

impl Reading<'_, '_, '_> {
    fn all(&mut self, buffer: &mut [MaybeUninit<u8>]) {
        let is_whole = match &self.part {
            Part::From(place) => self.from(&place.clone(), buffer),
            Part::All | Part::Folders | Part::Files => self.pass(0, buffer),
        };
        if is_whole && !matches!(self.part, Part::Folders) {
            self.look();
            let split = self.handed.take().map(|(split, _)| split);
            self.contents.survivors |= split.as_ref().is_some_and(|split| self.hand.settle(split));
            if self.hand.crew.is_over() {
                self.contents.unread = Some(Unread { place: self.broken_at.take(), split });
            }
        }
    }

    /// Reads what an earlier walk has left. Whether it came to the end.
    fn from(&mut self, place: &Place, buffer: &mut [MaybeUninit<u8>]) -> bool {
        let cookie = place.cookie;
        if !self.descend && self.is_at(place, buffer) {
            self.part = Part::All;
            return self.pass(self.go_to(cookie), buffer);
        }
        let is_whole = self.pass(self.go_to(0), buffer);
        if is_whole && matches!(self.part, Part::From(_)) {
            // It is gone, and the folders are known by now: on with what came after it.
            self.part = Part::Files;
            self.seen = Seen::default();
            return self.pass(self.go_to(cookie), buffer);
        }
        is_whole
    }

    /// Whether an entry is where it was.
    fn is_at(&self, place: &Place, buffer: &mut [MaybeUninit<u8>]) -> bool {
        let found = self.go_to(place.cookie);
        let mut entries = RawDir::new(self.dir, buffer);
        found == place.cookie
            && entries.next().is_some_and(|entry| entry.is_ok_and(|entry| entry.file_name().to_bytes() == place.name))
    }

    /// Reads on from there, or from the beginning where that is no place of this directory; says from where.
    fn go_to(&self, cookie: u64) -> u64 {
        let seek = |cookie| rustix::fs::seek(self.dir, SeekFrom::Start(cookie)).map(|_| cookie);
        // Back to the beginning every file system goes.
        seek(cookie).or_else(|_| seek(0)).unwrap_or(0)
    }

    /// Reads on from where the descriptor is. Whether it came to the end.
    fn pass(&mut self, mut here: u64, buffer: &mut [MaybeUninit<u8>]) -> bool {
        let mut entries = RawDir::new(self.dir, buffer);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    if matches!(&self.part, Part::From(place) if place.name == entry.file_name().to_bytes()) {
                        self.part = Part::All;
                        self.seen = Seen::default();
                    }
                    self.sort(entry.file_name(), entry.file_type(), entry.ino());
                    self.cookies.resize(self.classes.len(), here);
                    here = entry.next_entry_cookie();
                }
                // The directory itself was removed: it is empty.
                Err(Errno::NOENT) => break,
                Err(error) => {
                    self.contents.survivors = true;
                    let name = Name { folder: b"", last: self.folder };
                    self.hand.visitor.fault(Fault { name, error: &in_words(error) });
                    break;
                }
            }
            if self.classes.len() >= BATCH {
                self.hand.start();
                if self.hand.crew.has_room() { self.hand_over() } else { self.look() }
            } else if self.classes.len() >= FEW && self.hand.crew.is_hungry() {
                self.hand_over();
            } else if self.seen.scanned >= PASSED_OVER {
                // With the few that were meant: whoever stops here has got somewhere.
                if self.is_looking() {
                    self.look();
                } else {
                    self.seen = Seen::default();
                }
                if self.hand.visitor.wants_to_stop() {
                    self.hand.crew.end();
                }
            }
            if self.hand.crew.is_over() {
                self.contents.unread = Some(self.unread(&mut entries, here));
                return false;
            }
        }
        true
    }

    /// What is left, where it was stopped.
    fn unread(&mut self, entries: &mut RawDir<'_, &Arc<OwnedFd>>, here: u64) -> Unread {
        let split = self.handed.take().map(|(split, _)| split);
        let place = match (&self.part, self.broken_at.take()) {
            (Part::From(place), _) => Some(place.clone()),
            (_, Some(place)) => Some(place),
            (_, None) => self.gathered().or_else(|| following(entries, here)),
        };
        Unread { place, split }
    }

    /// The first of the names gathered so far.
    fn gathered(&self) -> Option<Place> {
        let name = self.names.iter().next()?;
        Some(Place { name: name.to_bytes().to_owned(), cookie: *self.cookies.first()? })
    }

    /// Whether files are looked at here.
    fn is_looking(&self) -> bool {
        matches!(self.part, Part::All | Part::Files)
    }

    /// Decides by name and type alone what an entry is to this policy.
    fn sort(&mut self, name: &CStr, kind: FileType, inode: u64) {
        if matches!(name.to_bytes(), b"." | b"..") {
            return;
        }
        self.seen.scanned += 1;
        let kind = match kind {
            FileType::Unknown => Meta::of_entry(self.dir, name, StatxFlags::TYPE).map_or(kind, |meta| meta.kind()),
            kind => kind,
        };
        if kind == FileType::Directory {
            return self.sort_folder(name);
        }
        if !self.is_looking() {
            return;
        }
        let is_file = kind == FileType::RegularFile;
        let Some(class) = self.class(name) else {
            let is_left = is_file && self.hand.store.policy.patterns.leaves_dotfile(self.named(name));
            self.seen.dotfiles += u64::from(is_left);
            self.contents.survivors = true;
            return;
        };
        if !self.ground.is_empty() && self.is_claimed(name, is_file || kind == FileType::Unknown) {
            self.contents.survivors = true;
            return;
        }
        if is_file && let Some(bytes) = self.hand.store.recall(inode, name.to_bytes(), class) {
            self.seen.indexed += 1;
            self.seen.indexed_bytes += bytes;
            self.contents.survivors = true;
        } else if is_file || kind == FileType::Unknown {
            self.names.push(name);
            self.classes.push(class);
        } else {
            self.leave_alone();
        }
    }

    /// Whether a name is none of this policy's because of another one. Files are counted for that.
    fn is_claimed(&mut self, name: &CStr, is_file: bool) -> bool {
        let claim = self.hand.store.claim(self.ground, self.named(name));
        match claim {
            Claim::Own => return false,
            Claim::Other { .. } => self.seen.owned_by_others += u64::from(is_file),
            // What is no file stays anyway, and is counted as that.
            Claim::Disputed { .. } if !is_file => return false,
            Claim::Disputed { .. } => self.seen.disputed += 1,
        }
        if is_file {
            self.meeting.note(claim);
        }
        true
    }

    fn sort_folder(&mut self, name: &CStr) {
        if matches!(self.part, Part::Files) {
            return;
        }
        if name.to_bytes() == OWN_FOLDER {
            self.leave_alone();
        } else if self.descend && !self.hand.store.policy.patterns.excludes_folder(self.named(name)) {
            if self.folder.is_empty() && self.hand.store.root.has_lost_and_found(name) {
                return self.leave_alone();
            }
            self.contents.folders.push(name);
        } else {
            self.contents.survivors = true;
        }
    }

    /// Looks at the names gathered so far and hands those that are candidates to the visitor.
    fn look(&mut self) {
        let Self { hand, dir, folder, names, classes, cookies, .. } = self;
        let seen = std::mem::take(&mut self.seen);
        let visited = visit(*hand, dir.as_fd(), folder, names, classes, cookies, seen);
        self.contents.survivors |= visited.survivors;
        self.broken_at = visited.broken_at;
        // Used again: a directory of a million names fills these many times over.
        self.names.clear();
        self.classes.clear();
        self.cookies.clear();
    }

    /// Leaves the names gathered so far to somebody else.
    fn hand_over(&mut self) {
        let Some(first) = self.gathered().filter(|_| self.hand.crew.has_begun()) else { return self.look() };
        self.hand.visitor.seen(std::mem::take(&mut self.seen));
        let (split, folder) = self.handed.get_or_insert_with(|| (Arc::default(), self.folder.into()));
        let number = split.begin(first);
        self.hand.crew.hand_names(Batch {
            dir: Arc::clone(self.dir),
            folder: Arc::clone(folder),
            names: std::mem::take(&mut self.names),
            classes: std::mem::take(&mut self.classes),
            cookies: std::mem::take(&mut self.cookies),
            split: Arc::clone(split),
            number,
        });
    }

    fn leave_alone(&mut self) {
        self.seen.left_alone += 1;
        self.contents.survivors = true;
    }

    fn class(&self, name: &CStr) -> Option<Class> {
        self.hand.store.policy.patterns.class(self.named(name))
    }

    fn named<'n>(&'n self, name: &'n CStr) -> Name<'n> {
        Name { folder: self.folder, last: name.to_bytes() }
    }
}

/// The entry that comes after those that were read. One that cannot be read has none after it.
fn following(entries: &mut RawDir<'_, &Arc<OwnedFd>>, mut here: u64) -> Option<Place> {
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            return Some(Place { name: name.to_owned(), cookie: here });
        }
        here = entry.next_entry_cookie();
    }
    None
}

/// What came of some names of one directory.
pub(crate) struct Visited {
    /// Whether anything stays of them.
    pub(crate) survivors: bool,
    /// The first one that the visitor did not come to any more.
    pub(crate) broken_at: Option<Place>,
}

/// Looks at names of one directory and hands those that are candidates to the visitor.
fn visit(
    hand: Hand<'_, '_>,
    dir: BorrowedFd<'_>,
    folder: &[u8],
    names: &Names,
    classes: &[Class],
    cookies: &[u64],
    mut seen: Seen,
) -> Visited {
    let Hand { store, visitor, crew, .. } = hand;
    if classes.is_empty() {
        visitor.seen(seen);
        crew.begin();
        return Visited { survivors: false, broken_at: None };
    }
    let needs = needs(store.policy);
    let visited = hand.timed(|| {
        let mut visited = Visited { survivors: false, broken_at: None };
        let mut files = Vec::with_capacity(classes.len());
        let mut places = Vec::with_capacity(classes.len());
        for ((name, class), cookie) in names.iter().zip(classes).zip(cookies) {
            match look_at(store, dir, name, *class, needs) {
                Looked::Candidate(file) => {
                    files.push(file);
                    places.push(*cookie);
                }
                Looked::Vanished => seen.vanished += 1,
                Looked::LeftAlone => {
                    seen.left_alone += 1;
                    visited.survivors = true;
                }
                Looked::Unknown(error) => {
                    visited.survivors = true;
                    visitor.fault(Fault { name: Name { folder, last: name.to_bytes() }, error: &error });
                }
            }
        }
        visitor.seen(seen);
        let mut calls = classes.len();
        if !files.is_empty() {
            let mut batch = Files { store, dir, folder, needs, entries: &files, gone: 0, asked: Cell::default() };
            if visitor.batch(&mut batch) == ControlFlow::Break(()) {
                let asked = batch.asked.get();
                let next = files.get(asked).zip(places.get(asked));
                visited.broken_at =
                    next.map(|(file, cookie)| Place { name: file.name.to_bytes().to_owned(), cookie: *cookie });
                crew.end();
            }
            visited.survivors |= batch.gone < files.len();
            calls += 2 * batch.gone;
        }
        (visited, calls as u64)
    });
    crew.begin();
    visited
}

/// What became of looking at one name that a pattern means.
pub(crate) enum Looked<'n> {
    Candidate(File<'n>),
    Vanished,
    /// It is nothing that is ever removed.
    LeftAlone,
    /// It could not be looked at, or not be judged; in words.
    Unknown(String),
}

/// Looks at one name in an open directory.
pub(crate) fn look_at<'n>(
    store: &Store<'_>,
    dir: BorrowedFd<'_>,
    name: &'n CStr,
    class: Class,
    needs: StatxFlags,
) -> Looked<'n> {
    let meta = match Meta::of_entry(dir, name, needs) {
        Ok(meta) => meta,
        Err(Errno::NOENT) => return Looked::Vanished,
        Err(error) => return Looked::Unknown(in_words(error)),
    };
    if !meta.is_plain_file() || store.spared.contains(&meta.id) {
        return Looked::LeftAlone;
    }
    match meta.stamp(store.policy.stamp) {
        Some(stamp) => {
            let (arrival, identity) = (store.unnamed.arrival(&meta), meta.identity());
            Looked::Candidate(File { name, class, bytes: meta.allocated, stamp, arrival, identity })
        }
        None => Looked::Unknown(NO_STAMP.to_owned()),
    }
}

/// What is said of a file whose file system does not record the policy's stamp.
pub(crate) const NO_STAMP: &str = "the file system does not record this stamp; choose another `stamp`";
