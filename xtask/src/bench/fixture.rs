//! Trees to sweep: the same names and the same shares of due files every time, so that all contenders get equal ones.
//!
//! Files are empty, since no sweep reads them, and named as applications name them. A due file was written two days
//! ago; everything else now, except what no pattern names: that is old too, and must survive all the same.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, mknodat, utimensat};
use walkdir::WalkDir;

/// What a sweep is told to remove: this pattern, when older than this.
pub(crate) const PATTERN: &str = "formal_*-*-*-*-*.svg";
/// See [`PATTERN`].
pub(crate) const MAX_AGE: Duration = Duration::from_hours(24);

/// How old a due file is, and a file that no pattern names.
const OLD: Duration = Duration::from_hours(48);

/// The shape of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixture {
    pub(crate) folders: Folders,
    pub(crate) files: u64,
    pub(crate) due: Due,
    pub(crate) named: Named,
}

/// Where the files lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Folders {
    /// All in the root.
    Flat,
    /// Evenly in this many folders below the root.
    Below(u64),
}

/// Which of the files that the pattern names are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Due {
    None,
    All,
    EveryOther,
}

/// Which files the pattern names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Named {
    All,
    OneInAHundred,
}

impl Fixture {
    /// Makes the tree, and waits until the file system has it.
    pub(crate) fn make(&self, root: &Path) -> Result<()> {
        fs::create_dir(root).with_context(|| format!("cannot make {}", root.display()))?;
        let mut folder = open(root)?;
        for index in 0..self.files {
            if let Folders::Below(count) = self.folders {
                let each = self.files.div_ceil(count);
                if index.is_multiple_of(each) {
                    let path = root.join(format!("day_{:05}", index / each));
                    fs::create_dir(&path)?;
                    folder = open(&path)?;
                }
            }
            self.make_file(&folder, index)?;
        }
        rustix::fs::syncfs(open(root)?)?;
        Ok(())
    }

    /// Checks that exactly the due files are gone.
    pub(crate) fn check_swept(&self, root: &Path) -> Result<()> {
        let mut left = 0;
        let now = SystemTime::now();
        for entry in WalkDir::new(root) {
            let entry = entry?;
            if !entry.file_type().is_file() {
                continue;
            }
            left += 1;
            let named = entry.file_name().as_encoded_bytes().starts_with(b"formal_");
            let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
            ensure!(!named || age <= MAX_AGE, "a due file was left: {}", entry.path().display());
        }
        // Nothing due is left, so the right number left means that nothing else was taken.
        let wanted = (0..self.files).filter(|&index| !self.is_due(index)).count();
        ensure!(left == wanted, "{wanted} files should be left, and {left} are");
        Ok(())
    }

    pub(crate) fn due_files(&self) -> u64 {
        (0..self.files).map(|index| u64::from(self.is_due(index))).sum()
    }

    fn make_file(&self, folder: &OwnedFd, index: u64) -> Result<()> {
        let name = if self.is_named(index) { named(index) } else { format!("upload_{}.png", uuid(index)) };
        make_empty(folder, &name)?;
        if self.is_due(index) || !self.is_named(index) {
            backdate(folder, &name, SystemTime::now() - OLD)?;
        }
        Ok(())
    }

    fn is_due(&self, index: u64) -> bool {
        self.is_named(index)
            && match self.due {
                Due::None => false,
                Due::All => true,
                Due::EveryOther => index.is_multiple_of(2),
            }
    }

    fn is_named(&self, index: u64) -> bool {
        match self.named {
            Named::All => true,
            Named::OneInAHundred => index.is_multiple_of(100),
        }
    }
}

/// A name that [`PATTERN`] matches.
pub(crate) fn named(index: u64) -> String {
    format!("formal_{}.svg", uuid(index))
}

/// Makes an empty file.
pub(crate) fn make_empty(folder: &OwnedFd, name: &str) -> Result<()> {
    mknodat(folder, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)
        .with_context(|| format!("cannot make {name}"))
}

/// Makes a file as old as if it had last been written then.
pub(crate) fn backdate(folder: &OwnedFd, name: &str, written: SystemTime) -> Result<()> {
    let written = written.duration_since(UNIX_EPOCH)?;
    let stamp = Timespec { tv_sec: i64::try_from(written.as_secs())?, tv_nsec: written.subsec_nanos().into() };
    let stamps = Timestamps { last_access: stamp, last_modification: stamp };
    Ok(utimensat(folder, name, &stamps, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// The folder, to make files in it.
pub(crate) fn open(folder: &Path) -> Result<OwnedFd> {
    Ok(rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Looks random, as a real one does to the directory's hash tree, and is the same every time (splitmix64).
fn uuid(index: u64) -> String {
    let high = mixed(2 * index);
    let low = mixed(2 * index + 1);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        0x8000 | low >> 48 & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

fn mixed(index: u64) -> u64 {
    let z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::{Due, Fixture, Folders, Named, uuid};

    const SMALL: Fixture =
        Fixture { folders: Folders::Below(7), files: 100, due: Due::EveryOther, named: Named::OneInAHundred };

    #[test]
    fn a_tree_that_nobody_swept_does_not_pass() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        SMALL.make(&root).unwrap();
        SMALL.check_swept(&root).unwrap_err();
        let due = walkdir::WalkDir::new(&root).into_iter().flatten().find(|entry| is_svg(entry.path())).unwrap();
        std::fs::remove_file(due.path()).unwrap();
        SMALL.check_swept(&root).unwrap();
    }

    #[test]
    fn a_tree_that_lost_too_much_does_not_pass() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        SMALL.make(&root).unwrap();
        for entry in walkdir::WalkDir::new(&root).into_iter().flatten().filter(|entry| is_svg(entry.path())) {
            std::fs::remove_file(entry.path()).unwrap();
        }
        let other = walkdir::WalkDir::new(&root).into_iter().flatten().find(|entry| entry.file_type().is_file());
        std::fs::remove_file(other.unwrap().path()).unwrap();
        SMALL.check_swept(&root).unwrap_err();
    }

    #[test]
    fn names_are_random_to_the_eye_and_the_same_every_time() {
        assert_eq!(uuid(0), uuid(0));
        assert_ne!(uuid(0), uuid(1));
        assert_eq!(uuid(1).len(), 36);
    }

    fn is_svg(path: &std::path::Path) -> bool {
        path.extension().is_some_and(|extension| extension == "svg")
    }
}
