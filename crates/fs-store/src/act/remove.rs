//! A batch of files, and their removal.
//!
//! A file that was judged is looked at once more just before it is removed: identity, `mtime` and `ctime` must be as
//! judged (another of its names may be gone), or it stays. That look is the last thing before the `unlinkat` or the
//! rename, whatever else has to be found out or written down first (who uses it, its note), because that may take any
//! time. What is left in between is the time of one system call; what goes into quarantine is looked at there as well.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cleanup_core::candidate::{Candidate, Class, Identity, Name, Stamp};
use cleanup_core::policy::Dispose;
use cleanup_core::store::{Batch, Outcome, Removal};
use cleanup_core::verdict::Remove;
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::in_use::{Unused, Users};
use crate::quarantine::{MoveIn, Noted};
use crate::sys::entry::{FileId, Meta, in_words};
use crate::tree::Tree;

/// How what is due is removed.
#[derive(Debug, Default)]
pub(crate) struct Remover {
    /// Who uses what, with `skip_in_use`.
    pub(crate) users: Option<Users>,
    /// Where files go instead of being deleted.
    pub(crate) move_in: Option<MoveIn>,
    /// Files of which names are gone by our hand.
    pub(crate) unnamed: Unnamed,
    pub(crate) last_names: LastNames,
}

/// Who removes a file with several names looks how many it has, and two workers with two names of one file must not both
/// find that another one is left: then nobody would count what the last of them gave back. Locks are shared by inode, so
/// that workers seldom meet.
#[derive(Debug)]
pub(crate) struct LastNames([Mutex<()>; 64]);

impl Default for LastNames {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl LastNames {
    /// To be held from the last look at one of its names until that is gone. `None` for what has no other name.
    fn lock(&self, identity: &Identity) -> Option<MutexGuard<'_, ()>> {
        let index = usize::try_from(identity.inode % self.0.len() as u64).unwrap_or(0);
        (identity.links > 1).then(|| self.0[index].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Regular files that the policy names, of one directory or of several. Those of several share the wait for the disk to
/// have their notes.
pub(crate) struct Files<'a> {
    tree: &'a Tree<'a>,
    remover: &'a Remover,
    /// What a file's second look has to ask for.
    needs: StatxFlags,
    folders: Vec<Folder<'a>>,
    /// The places in quarantine of those whose notes are on the disk, by their index.
    noted: HashMap<usize, Noted>,
    /// Why there are no notes.
    not_noted: Option<String>,
    /// Whether notes were synced.
    pub(crate) has_waited: bool,
}

/// Those of one directory.
pub(crate) struct Folder<'a> {
    /// The directory.
    dir: BorrowedFd<'a>,
    /// Its path below the root.
    path: &'a [u8],
    files: &'a [File<'a>],
    /// The index of the first one.
    begin: usize,
    /// How many of them are gone, or would be.
    gone: usize,
    /// How many of them were asked for.
    asked: Cell<usize>,
}

impl Folder<'_> {
    /// How many of them are gone, or would be.
    pub(crate) fn gone(&self) -> usize {
        self.gone
    }

    /// How many of them the visitor has asked for.
    pub(crate) fn asked(&self) -> usize {
        self.asked.get()
    }
}

impl<'a> Files<'a> {
    pub(crate) fn new(tree: &'a Tree<'a>, remover: &'a Remover, needs: StatxFlags) -> Self {
        let (noted, not_noted, has_waited) = (HashMap::new(), None, false);
        Self { tree, remover, needs, folders: Vec::new(), noted, not_noted, has_waited }
    }

    /// Adds those of a directory, by its path below the root.
    pub(crate) fn add(&mut self, dir: BorrowedFd<'a>, path: &'a [u8], files: &'a [File<'a>]) {
        let (begin, gone, asked) = (self.len(), 0, Cell::default());
        self.folders.push(Folder { dir, path, files, begin, gone, asked });
    }

    /// The directories, as they were added.
    pub(crate) fn folders(&self) -> &[Folder<'a>] {
        &self.folders
    }

    /// In which directory the file with this index is.
    fn folder_of(&self, index: usize) -> usize {
        self.folders.partition_point(|folder| folder.begin <= index) - 1
    }

    fn file(&self, index: usize) -> (&Folder<'a>, &'a File<'a>) {
        let folder = &self.folders[self.folder_of(index)];
        (folder, &folder.files[index - folder.begin])
    }

    /// Does with a file what the policy says, if it is still what was judged.
    fn dispose(&mut self, index: usize, why: &Remove) -> Result<Removal, Outcome> {
        let (&Folder { dir, path, .. }, file) = self.file(index);
        // Held until the name is gone.
        let _unused = self.unused(dir, file)?;
        match (&self.tree.policy.dispose, &self.remover.move_in) {
            (Dispose::Delete, _) => {
                let _no_other = self.remover.last_names.lock(&file.identity);
                let meta = self.look_again(dir, file)?;
                let outcome = unlink(dir, file.name, AtFlags::empty());
                let is_freed = outcome == Outcome::Removed && meta.identity().links <= 1;
                Ok(Removal { outcome, freed: if is_freed { meta.allocated } else { 0 } })
            }
            (Dispose::Quarantine(_), Some(move_in)) => {
                if let Some(error) = &self.not_noted {
                    return Err(Outcome::Failed(error.clone()));
                }
                let noted = if let Some(noted) = self.noted.remove(&index) {
                    noted
                } else {
                    // Whoever acts did not say so beforehand.
                    let noted = move_in.note_files(self.tree, &[(path, file, why)]);
                    noted.map_err(Outcome::Failed)?.remove(0)
                };
                Ok(move_in.take(dir, file, noted, &|| self.look_again(dir, file).map(drop)).into())
            }
            // Never deleted instead.
            (Dispose::Quarantine(_), None) => Err(Outcome::Failed("its quarantine was not opened".to_owned())),
        }
    }

    /// Makes sure that nobody is seen to use a file, where the policy asks for that.
    fn unused(&self, dir: BorrowedFd<'_>, file: &File<'_>) -> Result<Option<Unused>, Outcome> {
        let Some(users) = &self.remover.users else { return Ok(None) };
        // Nobody has to be looked for on account of a file that is not the same anyway.
        self.look_again(dir, file)?;
        users.unused(dir, file.name, &file.identity).map(Some).ok_or(Outcome::InUse)
    }

    /// Whether the name still leads to the file that was judged, and that has not changed.
    fn look_again(&self, dir: BorrowedFd<'_>, file: &File<'_>) -> Result<Meta, Outcome> {
        match Meta::of_entry(dir, file.name, self.needs) {
            Ok(meta) if file.identity.is_still(&meta.identity()) && meta.is_plain_file() => Ok(meta),
            Ok(_) => Err(Outcome::Changed),
            Err(Errno::NOENT) => Err(Outcome::Vanished),
            Err(error) => Err(Outcome::Failed(in_words(error))),
        }
    }
}

/// One regular file.
pub(crate) struct File<'a> {
    pub(crate) name: &'a CStr,
    pub(crate) class: Class,
    pub(crate) bytes: u64,
    pub(crate) stamp: Stamp,
    pub(crate) arrival: Stamp,
    pub(crate) identity: Identity,
}

impl File<'_> {
    fn candidate<'a>(&'a self, folder: &'a [u8]) -> Candidate<'a> {
        let Self { name, class, bytes, stamp, arrival, identity } = *self;
        let name = Name { folder, last: name.to_bytes() };
        Candidate { name, class, bytes, stamp, arrival, identity: Some(identity) }
    }
}

impl Batch for Files<'_> {
    fn len(&self) -> usize {
        self.folders.last().map_or(0, |last| last.begin + last.files.len())
    }

    fn candidate(&self, index: usize) -> Candidate<'_> {
        let (folder, file) = self.file(index);
        folder.asked.set(folder.asked.get().max(index - folder.begin + 1));
        file.candidate(folder.path)
    }

    fn prepare(&mut self, is_due: &dyn Fn(&Candidate<'_>) -> Option<Remove>) {
        let (Some(move_in), Dispose::Quarantine(_)) = (&self.remover.move_in, &self.tree.policy.dispose) else {
            return;
        };
        let (mut indexes, mut due) = (Vec::new(), Vec::new());
        for Folder { path, files, begin, .. } in &self.folders {
            for (index, file) in files.iter().enumerate() {
                if let Some(why) = is_due(&file.candidate(path)) {
                    indexes.push(begin + index);
                    due.push((*path, file, why));
                }
            }
        }
        if due.is_empty() {
            return;
        }
        self.has_waited = true;
        let due: Vec<_> = due.iter().map(|(path, file, why)| (*path, *file, why)).collect();
        match move_in.note_files(self.tree, &due) {
            Ok(noted) => self.noted = indexes.into_iter().zip(noted).collect(),
            Err(error) => self.not_noted = Some(error),
        }
    }

    fn remove(&mut self, index: usize, why: &Remove) -> Removal {
        let removal = self.dispose(index, why).unwrap_or_else(Removal::from);
        let is_gone = removal.outcome.is_gone();
        if is_gone {
            self.remover.unnamed.note(self.file(index).1);
        }
        let folder = self.folder_of(index);
        self.folders[folder].gone += usize::from(is_gone || removal.outcome == Outcome::Vanished);
        removal
    }

    fn pretend(&mut self, index: usize) {
        let folder = self.folder_of(index);
        self.folders[folder].gone += 1;
    }
}

/// A directory in which nothing is left.
pub(crate) struct EmptyDirectory<'a> {
    /// The directory that it lies in.
    pub(crate) parent: BorrowedFd<'a>,
    /// The parent's path below the root.
    pub(crate) folder: &'a [u8],
    pub(crate) name: &'a CStr,
    pub(crate) identity: Identity,
    /// Its stamp from before anything below it was removed: removals would make it young.
    pub(crate) stamp: Stamp,
    /// Likewise.
    pub(crate) arrival: Stamp,
    pub(crate) gone: bool,
}

impl Batch for EmptyDirectory<'_> {
    fn len(&self) -> usize {
        1
    }

    fn candidate(&self, _: usize) -> Candidate<'_> {
        let name = Name { folder: self.folder, last: self.name.to_bytes() };
        Candidate {
            name,
            class: Class::EmptyDirectory,
            bytes: 0,
            stamp: self.stamp,
            arrival: self.arrival,
            identity: Some(self.identity),
        }
    }

    fn remove(&mut self, _: usize, _: &Remove) -> Removal {
        let outcome = match Meta::of_entry(self.parent, self.name, StatxFlags::TYPE | StatxFlags::INO) {
            Ok(meta) if meta.id == FileId::from(&self.identity) && meta.is_dir() => {
                unlink(self.parent, self.name, AtFlags::REMOVEDIR)
            }
            Ok(_) => Outcome::Changed,
            Err(Errno::NOENT) => Outcome::Vanished,
            Err(error) => Outcome::Failed(in_words(error)),
        };
        self.gone = matches!(outcome, Outcome::Removed | Outcome::Vanished);
        outcome.into()
    }

    fn pretend(&mut self, _: usize) {
        self.gone = true;
    }
}

/// Files with several names of which this sweep has taken some. That changes the `ctime` of the others, which would
/// then seem to have just arrived.
#[derive(Debug, Default)]
pub(crate) struct Unnamed {
    has_any: AtomicBool,
    files: Mutex<HashMap<FileId, (Identity, Stamp)>>,
}

impl Unnamed {
    /// Beyond so many, names that are left stay for `min_age`.
    const MOST: usize = 100_000;

    fn note(&self, file: &File<'_>) {
        if file.identity.links < 2 {
            return;
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() < Self::MOST {
            files.insert(FileId::from(&file.identity), (file.identity, file.arrival));
            self.has_any.store(true, Ordering::Relaxed);
        }
    }

    /// When a file arrived, names that this sweep has taken left out.
    pub(crate) fn arrival(&self, meta: &Meta) -> Stamp {
        if !self.has_any.load(Ordering::Relaxed) {
            return meta.arrival();
        }
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((before, arrival)) = files.get(&meta.id) else { return meta.arrival() };
        let now = meta.identity();
        let is_untouched =
            now.links <= before.links && *before == Identity { changed: before.changed, links: before.links, ..now };
        if is_untouched { *arrival } else { meta.arrival() }
    }
}

fn unlink(dir: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Outcome {
    match rustix::fs::unlinkat(dir, name, flags) {
        Ok(()) => Outcome::Removed,
        Err(Errno::NOENT) => Outcome::Vanished,
        // Only `rmdir` says this: it was filled again.
        Err(Errno::NOTEMPTY | Errno::EXIST) => Outcome::Changed,
        Err(error) => Outcome::Failed(in_words(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, FileTimes};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use cleanup_core::config::{Config, Source};
    use cleanup_core::judge::Run;
    use cleanup_core::moment::Moment;
    use cleanup_core::sweep::{Mode, sweep};

    use crate::{QuarantineRun, Store};

    #[test]
    fn a_file_that_is_replaced_while_it_is_found_out_who_uses_it_stays() {
        for (dispose, is_planned) in [("delete", false), ("delete", true), ("quarantine", false), ("quarantine", true)]
        {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("r")).unwrap();
            let (due, young) = (folder.path().join("r/f1"), folder.path().join("new"));
            fs::write(&due, "old").unwrap();
            let long_ago = SystemTime::now() - Duration::from_hours(72);
            File::options().write(true).open(&due).unwrap().set_times(FileTimes::new().set_modified(long_ago)).unwrap();
            fs::write(&young, "young").unwrap();
            let text = format!(
                "[files.p]\nroot = \"r\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nskip_in_use = true\ndispose = \"{dispose}\"\n"
            );
            let source = Source { name: "cleanup.toml", text: &text, folder: folder.path() };
            let config = Config::load(&source, &|_| None).unwrap();
            let policy = &config.files[0];
            let now = Moment::from_unix(
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed(),
                0,
            );

            let mut store = Store::open(policy, Vec::new()).unwrap();
            if dispose == "quarantine" {
                store = store.into_quarantine(Arc::new(QuarantineRun::new("R1".to_owned())), now).unwrap();
            }
            let replaced = due.clone();
            let act = Box::new(move || fs::rename(young, replaced).unwrap());
            *store.remover.users.as_ref().unwrap().meanwhile.0.lock().unwrap() = Some(act);
            let run = Run::at(now);
            let tally = if is_planned {
                sweep(&store.select(&[b"f1"]), &policy.rule, &run, Mode::Apply, &())
            } else {
                sweep(&store, &policy.rule, &run, Mode::Apply, &())
            };
            assert_eq!((tally.counts.due, tally.counts.changed, tally.errors_total), (1, 1, 0), "{dispose}");
            assert_eq!(fs::read_to_string(&due).unwrap(), "young", "{dispose}");
        }
    }
}
