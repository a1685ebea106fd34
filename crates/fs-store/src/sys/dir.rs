//! The one loop over `getdents64`.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, RawDir, SeekFrom, StatxFlags};
use rustix::io::Errno;

use super::entry::{Meta, open_dir};

/// Room for what one `getdents64` returns. It is allocated with the first use.
#[derive(Default)]
pub(crate) struct Buffer(Vec<MaybeUninit<u8>>);

impl Buffer {
    /// Larger is no faster.
    const ROOM: usize = 256 * 1024;

    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        self.0.resize(Self::ROOM, MaybeUninit::uninit());
        &mut self.0
    }
}

/// An entry of a directory, as it was read.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a CStr,
    pub(crate) inode: u64,
    /// Where in the directory it is: seeking there and reading on gives this entry again, on most file systems.
    pub(crate) cookie: u64,
    kind: FileType,
    dir: BorrowedFd<'a>,
}

impl Entry<'_> {
    /// What it is; the kernel is asked where the file system does not tell while it is read.
    pub(crate) fn kind(&self) -> FileType {
        match self.kind {
            FileType::Unknown => {
                Meta::of_entry(self.dir, self.name, StatxFlags::TYPE).map_or(FileType::Unknown, |meta| meta.kind())
            }
            kind => kind,
        }
    }
}

/// Reads on from where the descriptor is, which is `cookie`, and calls `each` for every entry but `.` and `..` until it
/// breaks. A directory that was removed meanwhile is empty.
pub(crate) fn read<B>(
    dir: BorrowedFd<'_>,
    mut cookie: u64,
    buffer: &mut Buffer,
    mut each: impl FnMut(Entry<'_>) -> ControlFlow<B>,
) -> Result<Option<B>, Errno> {
    let mut entries = RawDir::new(dir, buffer.room());
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Errno::NOENT) => break,
            Err(error) => return Err(error),
        };
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            let entry = Entry { name, inode: entry.ino(), cookie, kind: entry.file_type(), dir };
            if let ControlFlow::Break(result) = each(entry) {
                return Ok(Some(result));
            }
        }
        cookie = entry.next_entry_cookie();
    }
    Ok(None)
}

/// Calls `each` for every name in a directory, from its beginning, wherever its descriptor is.
pub(crate) fn names(dir: &OwnedFd, mut each: impl FnMut(&CStr)) -> Result<(), Errno> {
    let dir = open_dir(dir, c".")?;
    let read = read(dir.as_fd(), 0, &mut Buffer::default(), |entry| {
        each(entry.name);
        ControlFlow::<()>::Continue(())
    });
    read.map(drop)
}

/// Moves a descriptor to a place in its directory, or to the beginning where that is no place of it; says where it is.
pub(crate) fn seek(dir: impl AsFd, cookie: u64) -> u64 {
    let seek = |cookie| rustix::fs::seek(&dir, SeekFrom::Start(cookie)).map(|_| cookie);
    // Back to the beginning every file system goes.
    seek(cookie).or_else(|_| seek(0)).unwrap_or(0)
}
