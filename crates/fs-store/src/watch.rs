//! Learns of new files as they appear.
//!
//! What comes out are hints, never facts: a hint names a path that is worth a look, and the look is the store's own.
//! So nothing that somebody does to names and links meanwhile can make a hint dangerous, only useless.
//!
//! The kernel's `inotify` is used directly. A library would ask for every opening and reading of every file as well,
//! and would watch by path; here a folder is watched by its descriptor, opened as the walk opens it.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;

use cleanup_core::candidate::Name;
use rustix::fs::FileType;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::Store;
use crate::select::classify::open_folder;
use crate::sys::dir::{self, Buffer};
use crate::sys::entry::in_words;
use crate::tree::is_own_folder;

/// What is asked of the kernel: a file that is there or gone, or was written to its end. No reads, no single writes.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Room for what one read returns.
const BUFFER: usize = 64 * 1024;

/// File systems whose other users make no events here, by their `statfs` number.
const SILENT: [(u32, &str); 12] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x786f_4256, "VirtualBox"),
];

/// Watches the folders of one store.
#[derive(Debug)]
pub struct Watch {
    inotify: Arc<OwnedFd>,
    /// The path below the root of each watched folder.
    folders: HashMap<i32, Vec<u8>>,
    root: i32,
    buffer: Vec<MaybeUninit<u8>>,
}

/// Something that is worth a look. Paths are below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint<'a> {
    /// A file is there that was not there before under this name, or is another one.
    Appeared(&'a [u8]),
    /// A file was written to its end.
    Written(&'a [u8]),
    /// A file is gone.
    Gone(&'a [u8]),
    /// A folder is there that was not there before; what is in it made no events.
    Folder(&'a [u8]),
    /// A folder is gone, and everything in it.
    FolderGone(&'a [u8]),
    /// Anything may have happened: everything has to be looked at again.
    Anything,
    /// The root itself was moved or removed: it has to be opened again. A removed one is told of when no store has it
    /// open any more.
    RootGone,
}

/// Why there will be no hints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The file system makes no events for what others do to it.
    #[error("{0} does not report changes by others")]
    Silent(&'static str),
    /// The user's share of watches is used up.
    #[error("there are more folders than this user can watch; raise fs.inotify.max_user_watches")]
    TooMany,
    /// The user's share of watchers is used up.
    #[error("this user has too many watchers; raise fs.inotify.max_user_instances")]
    TooManyInstances,
    /// The path led elsewhere by the time that the watch was armed: the root has to be opened again.
    #[error("the root was replaced while the watch was being set up")]
    RootMoved,
    /// The kernel refuses for another reason.
    #[error("the root cannot be watched: {0}")]
    Refused(String),
}

impl Watch {
    /// Begins to watch everything that the walk would come to. What appears while this runs is either hinted at
    /// afterwards, or was there before: whoever looks at everything once now misses nothing.
    pub fn open(store: &Store<'_>) -> Result<Self, WatchError> {
        if let Some((_, name)) = SILENT.iter().find(|(magic, _)| store.tree.root.is_on(*magic)) {
            return Err(WatchError::Silent(name));
        }
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| match error {
            Errno::MFILE => WatchError::TooManyInstances,
            error => WatchError::Refused(in_words(error)),
        })?;
        let inotify = Arc::new(inotify);
        let mut watch =
            Self { inotify, folders: HashMap::new(), root: -1, buffer: vec![MaybeUninit::uninit(); BUFFER] };
        watch.add(store, b"")?;
        watch.root = watch.folders.keys().copied().next().unwrap_or(-1);
        // Of a move that came before the watch, the kernel tells nothing; of one that comes from here on, it does.
        if !store.is_at_its_path() {
            return Err(WatchError::RootMoved);
        }
        watch.add_below(store, b"", &mut |_| {})?;
        Ok(watch)
    }

    /// Watches a folder and all below it, and names what is in them already; for [`Hint::Folder`]. A folder that is
    /// gone again is no error.
    pub fn add_tree(
        &mut self,
        store: &Store<'_>,
        folder: &[u8],
        mut each: impl FnMut(Hint<'_>),
    ) -> Result<(), WatchError> {
        if !has_depth(store, folder, 0) {
            return Ok(());
        }
        self.add(store, folder)?;
        self.add_below(store, folder, &mut |path| each(Hint::Appeared(path)))
    }

    /// Passes on what has happened since the last call, and returns at once when nothing has.
    pub fn read(&mut self, mut each: impl FnMut(Hint<'_>)) -> Result<(), WatchError> {
        let mut path = Vec::new();
        let mut reader = inotify::Reader::new(&self.inotify, &mut self.buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(WatchError::Refused(in_words(error))),
            };
            let (happened, watch) = (event.events(), event.wd());
            if happened.contains(ReadFlags::QUEUE_OVERFLOW) {
                each(Hint::Anything);
                continue;
            }
            let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
            if happened.intersects(gone) {
                if watch == self.root {
                    each(Hint::RootGone);
                } else if happened.contains(ReadFlags::IGNORED) {
                    self.folders.remove(&watch);
                }
                continue;
            }
            let (Some(folder), Some(name)) = (self.folders.get(&watch), event.file_name()) else { continue };
            path.clear();
            path.extend_from_slice(folder);
            if !folder.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            let is_there = happened.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            if happened.contains(ReadFlags::ISDIR) {
                if happened.contains(ReadFlags::MOVED_FROM) {
                    // Its watches would go on under a name that another folder may have by now. If it is still below
                    // the root, it gets new ones when it is added.
                    drop_below(&self.inotify, &mut self.folders, &path);
                }
                each(if is_there { Hint::Folder(&path) } else { Hint::FolderGone(&path) });
            } else if is_there {
                each(Hint::Appeared(&path));
            } else if happened.contains(ReadFlags::CLOSE_WRITE) {
                each(Hint::Written(&path));
            } else {
                each(Hint::Gone(&path));
            }
        }
    }

    /// What becomes readable when something has happened; to be waited for by whoever leaves the watch to others.
    pub fn readable(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inotify)
    }

    fn add_below(&mut self, store: &Store<'_>, folder: &[u8], file: &mut dyn FnMut(&[u8])) -> Result<(), WatchError> {
        let mut folders = vec![folder.to_owned()];
        let mut buffer = Buffer::default();
        while let Some(folder) = folders.pop() {
            let Ok((dir, _)) = open_folder(&store.tree, &folder) else { continue };
            let (descend, mut below) = (has_depth(store, &folder, 1), Vec::new());
            // What cannot be read is found by the sweeps.
            let _ = dir::read(dir.as_fd(), 0, &mut buffer, |entry| {
                let last = entry.name.to_bytes();
                if !is_own_folder(last) {
                    let path = Name { folder: &folder, last }.to_bytes();
                    if entry.kind() != FileType::Directory {
                        file(&path);
                    } else if descend {
                        below.push(path);
                    }
                }
                ControlFlow::<()>::Continue(())
            });
            for path in below {
                self.add(store, &path)?;
                folders.push(path);
            }
        }
        Ok(())
    }

    /// Watches one folder, by its descriptor. One that is not entered, or is gone, is passed over.
    fn add(&mut self, store: &Store<'_>, folder: &[u8]) -> Result<(), WatchError> {
        let Ok((dir, _)) = open_folder(&store.tree, folder) else { return Ok(()) };
        let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
        match inotify::add_watch(&self.inotify, path, EVENTS) {
            Ok(watch) => {
                self.folders.insert(watch, folder.to_owned());
                Ok(())
            }
            Err(Errno::NOSPC) => Err(WatchError::TooMany),
            Err(Errno::NOTDIR) => Ok(()),
            Err(error) => Err(WatchError::Refused(in_words(error))),
        }
    }
}

/// Stops watching a folder and all below it.
fn drop_below(inotify: &OwnedFd, folders: &mut HashMap<i32, Vec<u8>>, folder: &[u8]) {
    let is_below = |path: &[u8]| path.strip_prefix(folder).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
    folders.retain(|watch, path| {
        if is_below(path) {
            // It may be gone already, and its watch with it.
            let _ = inotify::remove_watch(inotify, *watch);
        }
        !is_below(path)
    });
}

/// Whether files so many levels below this folder can be candidates.
fn has_depth(store: &Store<'_>, folder: &[u8], below: usize) -> bool {
    let depth = folder.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count();
    u32::try_from(depth + below).is_ok_and(|depth| depth < store.tree.policy.depth.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cleanup_core::config::{Config, Source};

    use super::*;

    #[test]
    fn a_root_that_was_replaced_before_the_watch_was_armed_is_no_root() {
        let folder = tempfile::tempdir().unwrap();
        let (root, away) = (folder.path().join("r"), folder.path().join("away"));
        fs::create_dir(&root).unwrap();
        let text = "[files.p]\nroot = \"r\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n";
        let source = Source { name: "cleanup.toml", text, folder: folder.path() };
        let config = Config::load(&source, &|_| None).unwrap();
        let store = Store::open(&config.files[0], Vec::new()).unwrap();
        fs::rename(&root, &away).unwrap();
        assert_eq!(Watch::open(&store).err(), Some(WatchError::RootMoved), "nothing is there");
        fs::create_dir(&root).unwrap();
        assert_eq!(Watch::open(&store).err(), Some(WatchError::RootMoved), "another folder is there");
        fs::remove_dir(&root).unwrap();
        fs::rename(&away, &root).unwrap();
        let mut watch = Watch::open(&store).unwrap();
        fs::rename(&root, &away).unwrap();
        let mut is_told = false;
        watch.read(|hint| is_told |= hint == Hint::RootGone).unwrap();
        assert!(is_told, "of what comes after it the kernel tells");
    }
}
