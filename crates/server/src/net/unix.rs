//! A unix socket with a file of our own.
//!
//! The file is never more open than it shall be, not even for a moment, and the process's umask, which is shared by
//! all threads, is left alone: the socket gets its mode before it gets a name, and what the umask took away from the
//! name is given back afterwards, through a descriptor and not through the path.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, chmod, fchmod, fstat, open, statat, unlink};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as name, connect, listen, socket_with};

/// The owner and the group may connect.
const MODE: Mode = Mode::from_raw_mode(0o660);
const BACKLOG: i32 = 1024;

/// What is wrong with the path of a unix socket.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A live process listens there.
    #[error("another process listens there already, perhaps this service")]
    Live,
    /// A file of the user's, perhaps.
    #[error("a file that is not a socket is there; remove it or choose another path")]
    NoSocket,
    /// Longer than the kernel takes.
    #[error("the path is too long for a socket, which takes 107 bytes")]
    TooLong,
    /// Anything else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NAMETOOLONG => Self::TooLong,
            Errno::ADDRINUSE => Self::Live,
            _ => Self::Io(error.into()),
        }
    }
}

/// The file of a socket; removed when this is dropped, if it is still the same file.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Listens at `path`, with mode 0660; replaces a socket that a dead process left there.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), Problem> {
    let address = SocketAddrUnix::new(path)?;
    remove_stale(path, &address)?;
    let socket = new_socket()?;
    fchmod(&socket, MODE)?;
    name(&socket, &address)?;
    let file = SocketFile::made(path)?;
    listen(&socket, BACKLOG)?;
    Ok((UnixListener::from(socket), file))
}

fn new_socket() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), Problem> {
    let found = match look(path) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(Problem::NoSocket);
    }
    match connect(new_socket()?, address) {
        Err(Errno::CONNREFUSED) => {}
        // Taken, or its queue is full, or it is no stream: somebody is there.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => return Err(Problem::Live),
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if is_same(&look(path)?, &found) {
        tracing::debug!("removing the socket of a process that has ended");
        unlink(path)?;
    }
    Ok(())
}

fn look(path: &Path) -> rustix::io::Result<Stat> {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

impl SocketFile {
    /// Remembers which file was made, and gives it its whole mode.
    fn made(path: &Path) -> Result<Self, Problem> {
        let file = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let made = fstat(&file)?;
        if FileType::from_raw_mode(made.st_mode) != FileType::Socket {
            return Err(Problem::NoSocket);
        }
        if Mode::from_raw_mode(made.st_mode) != MODE {
            chmod(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()), MODE)?;
        }
        Ok(Self { path: path.to_owned(), device: made.st_dev, inode: made.st_ino })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = look(&self.path).is_ok_and(|found| (found.st_dev, found.st_ino) == (self.device, self.inode));
        if is_ours && let Err(error) = unlink(&self.path) {
            tracing::debug!("cannot remove the socket: {error}");
        }
    }
}
