//! A batch of one directory's entries, and their removal.
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

/// Regular files of one directory that the policy names.
pub(crate) struct Files<'a> {
    pub(crate) tree: &'a Tree<'a>,
    pub(crate) remover: &'a Remover,
    /// The directory.
    pub(crate) dir: BorrowedFd<'a>,
    /// Its path below the root.
    pub(crate) folder: &'a [u8],
    /// What a file's second look has to ask for.
    pub(crate) needs: StatxFlags,
    /// The files.
    pub(crate) entries: &'a [File<'a>],
    /// How many of them are gone, or would be.
    pub(crate) gone: usize,
    /// How many of them were asked for.
    pub(crate) asked: Cell<usize>,
    /// The places in quarantine of those whose notes are on the disk, by their index.
    pub(crate) noted: HashMap<usize, Noted>,
    /// Why there are no notes.
    pub(crate) not_noted: Option<String>,
    /// Whether notes were synced.
    pub(crate) has_waited: bool,
}

impl<'a> Files<'a> {
    pub(crate) fn new(
        tree: &'a Tree<'a>,
        remover: &'a Remover,
        dir: BorrowedFd<'a>,
        folder: &'a [u8],
        needs: StatxFlags,
        entries: &'a [File<'a>],
    ) -> Self {
        let (gone, asked) = (0, Cell::default());
        Self {
            tree,
            remover,
            dir,
            folder,
            needs,
            entries,
            gone,
            asked,
            noted: HashMap::new(),
            not_noted: None,
            has_waited: false,
        }
    }

    /// Does with a file what the policy says, if it is still what was judged.
    fn dispose(&mut self, index: usize, why: &Remove) -> Result<Removal, Outcome> {
        let file = &self.entries[index];
        // Held until the name is gone.
        let _unused = self.unused(file)?;
        match (&self.tree.policy.dispose, &self.remover.move_in) {
            (Dispose::Delete, _) => {
                let _no_other = self.remover.last_names.lock(&file.identity);
                let meta = self.look_again(file)?;
                let outcome = unlink(self.dir, file.name, AtFlags::empty());
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
                    let noted = move_in.note_files(self.tree, self.folder, [(file, why)]);
                    noted.map_err(Outcome::Failed)?.remove(0)
                };
                Ok(move_in.take(self.dir, file, noted, &|| self.look_again(file).map(drop)).into())
            }
            // Never deleted instead.
            (Dispose::Quarantine(_), None) => Err(Outcome::Failed("its quarantine was not opened".to_owned())),
        }
    }

    /// Makes sure that nobody is seen to use a file, where the policy asks for that.
    fn unused(&self, file: &File<'_>) -> Result<Option<Unused>, Outcome> {
        let Some(users) = &self.remover.users else { return Ok(None) };
        // Nobody has to be looked for on account of a file that is not the same anyway.
        self.look_again(file)?;
        users.unused(self.dir, file.name, &file.identity).map(Some).ok_or(Outcome::InUse)
    }

    /// Whether the name still leads to the file that was judged, and that has not changed.
    fn look_again(&self, file: &File<'_>) -> Result<Meta, Outcome> {
        match Meta::of_entry(self.dir, file.name, self.needs) {
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

impl<'a> Batch for Files<'a> {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn candidate(&self, index: usize) -> Candidate<'_> {
        self.asked.set(self.asked.get().max(index + 1));
        self.entries[index].candidate(self.folder)
    }

    fn prepare(&mut self, is_due: &dyn Fn(&Candidate<'_>) -> Option<Remove>) {
        let (Some(move_in), Dispose::Quarantine(_)) = (&self.remover.move_in, &self.tree.policy.dispose) else {
            return;
        };
        let due = |(index, file): (usize, &'a File<'a>)| Some((index, file, is_due(&file.candidate(self.folder))?));
        let due: Vec<_> = self.entries.iter().enumerate().filter_map(due).collect();
        if due.is_empty() {
            return;
        }
        self.has_waited = true;
        match move_in.note_files(self.tree, self.folder, due.iter().map(|(_, file, why)| (*file, why))) {
            Ok(noted) => self.noted = due.iter().map(|(index, ..)| *index).zip(noted).collect(),
            Err(error) => self.not_noted = Some(error),
        }
    }

    fn remove(&mut self, index: usize, why: &Remove) -> Removal {
        let removal = self.dispose(index, why).unwrap_or_else(Removal::from);
        let is_gone = removal.outcome.is_gone();
        if is_gone {
            self.remover.unnamed.note(&self.entries[index]);
        }
        self.gone += usize::from(is_gone || removal.outcome == Outcome::Vanished);
        removal
    }

    fn pretend(&mut self, _: usize) {
        self.gone += 1;
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
                sweep(&store.pick(&[b"f1"]), &policy.rule, &run, Mode::Apply, &())
            } else {
                sweep(&store, &policy.rule, &run, Mode::Apply, &())
            };
            assert_eq!((tally.counts.due, tally.counts.changed, tally.errors_total), (1, 1, 0), "{dispose}");
            assert_eq!(fs::read_to_string(&due).unwrap(), "young", "{dispose}");
        }
    }
}
