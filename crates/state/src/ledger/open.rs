//! Opens the database, brings it up to date, sets it aside.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD};
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::runtime::{Handle, Runtime};

use super::Place;
use super::fault::Fault;
use super::schema::{self, Version};
use crate::folder;
use crate::lock::{Share, guard};

/// How long SQLite waits for another's lock. Ours are held for milliseconds.
const BUSY: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };

/// How many broken databases stay beside the good one; the oldest goes first.
const ASIDE: u32 = 3;

/// How every SQLite database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Where the header of a database says how it is to be written and read: a byte each.
const HEADER_VERSIONS: usize = 18;

/// Not through a write-ahead log.
const ROLLBACK_JOURNAL: u8 = 1;

/// An open connection, and what drives it.
#[derive(Debug)]
pub(super) struct Opened {
    /// `None` only while it is being dropped.
    parts: Option<Parts>,
    /// Held, shared, until the connection is closed. A look holds none: it must not change anything.
    _guard: Option<File>,
}

type Parts = (SqliteConnection, Runtime);

/// What was done about a database that cannot be used.
pub(super) enum Remedy {
    /// It has this name now, and a new one may be started.
    SetAside(PathBuf),
    /// Somebody else was first.
    AlreadyDone,
    /// Nothing, for this reason.
    None(String),
}

/// What came of a look.
pub(super) enum Glance<T> {
    /// There is no database, or nothing in it.
    Nothing,
    /// The database stayed as it was meanwhile.
    Steady(T),
    /// It did not.
    Changed(T),
}

impl Place {
    pub(super) fn at_home(folder: &Path) -> Self {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self { database: folder.join("state.db"), guard: folder::locks(&folder).join("state.db"), at_home: true }
    }

    /// A database that several folders may share has its guard beside itself.
    pub(super) fn elsewhere(folder: &Path, database: &Path) -> Self {
        let database = std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
        let home = Self::at_home(folder);
        if database == home.database {
            return home;
        }
        Self { guard: with_suffix(&database, ".lock"), database, at_home: false }
    }

    pub(super) fn shown(&self) -> String {
        format!("the database {}", self.database.display())
    }

    /// Opens it for reading and writing. The note says that an earlier one is gone.
    ///
    /// The file is never opened past SQLite, not even to look whether it may be written: to close any descriptor of it
    /// would drop the locks that other connections of this process have on it.
    pub(super) fn open(&self, tried: &mut u64) -> Result<(Opened, Option<String>), Fault> {
        let (guard_file, _) = folder::open_or_create(&self.guard)?;
        let mut note = None;
        for _ in 0..2 {
            guard(&guard_file, Share::Shared).map_err(busy)?;
            *tried = self.inode()?;
            if *tried != 0 {
                self.trust()?;
                self.may_write()?;
                let mut opened = Opened::new(&self.for_keeping(), Some(guard_file.try_clone()?))?;
                if self.check(opened.run(&schema::version)?)? == Version::Current {
                    return Ok((opened, note));
                }
            }
            // Alone, and from the start: others may have been first.
            guard(&guard_file, Share::Alone).map_err(busy)?;
            let created = self.create()?;
            *tried = self.inode()?;
            let mut opened = Opened::new(&self.for_making(), Some(guard_file.try_clone()?))?;
            let version = self.check(opened.run(&schema::version)?)?;
            if version == Version::Empty && guard_file.metadata()?.len() > 0 {
                let what = if created { "gone" } else { "empty" };
                note = Some(format!(
                    "{} is {what}; starting a new one, without the history of earlier runs",
                    self.shown()
                ));
            }
            opened.run(&schema::migrate)?;
            // Remembers that there was one. Without it, one that is lost later goes unnoticed.
            let _ = guard_file.write_all_at(b"1\n", 0);
        }
        Err(Fault::Broken("it does not become current".to_owned()))
    }

    /// Looks without a lock, and without leaving a trace.
    ///
    /// With a write-ahead log beside it, the database is read through that, as SQLite's own locks have it; both files
    /// are there already, so none is made. Without one it is complete in itself and is read as immutable: otherwise
    /// SQLite would make the log, or refuse where it may not. A writer that comes and goes meanwhile shows in the
    /// file's stamp.
    pub(super) fn glance<T>(
        &self,
        operation: &impl AsyncFn(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<Glance<T>, Fault> {
        let Some(before) = stamp(&self.database)? else { return Ok(Glance::Nothing) };
        self.trust()?;
        let log = stamp(&with_suffix(&self.database, "-wal"))?.is_some_and(|(_, size, ..)| size > 0);
        let through_log = log && with_suffix(&self.database, "-shm").exists();
        let options = plain(&self.database).read_only(true).immutable(!through_log);
        let mut opened = Opened::new(&options, None)?;
        match self.check(opened.run(&schema::version)?)? {
            Version::Current => {}
            Version::Newer => return Err(Fault::Newer),
            Version::Older => opened = opened.copy_up_to_date()?,
            Version::Empty | Version::Foreign => return Ok(Glance::Nothing),
        }
        let found = opened.run(operation)?;
        Ok(if stamp(&self.database)? == Some(before) { Glance::Steady(found) } else { Glance::Changed(found) })
    }

    /// Gives the broken or newer database of that inode another name.
    pub(super) fn set_aside(&self, fault: &Fault, inode: u64) -> Remedy {
        match self.try_set_aside(fault, inode) {
            Ok(Some(aside)) => Remedy::SetAside(aside),
            Ok(None) => Remedy::AlreadyDone,
            Err(error) => Remedy::None(format!(", and could not be set aside: {error}")),
        }
    }

    fn try_set_aside(&self, fault: &Fault, inode: u64) -> io::Result<Option<PathBuf>> {
        let kind = if matches!(fault, Fault::Newer) { "newer" } else { "broken" };
        let (guard_file, _) = folder::open_or_create(&self.guard)?;
        guard(&guard_file, Share::Alone)
            .map_err(|error| io::Error::new(error.kind(), "another process is using it"))?;
        if self.inode()? != inode {
            return Ok(None);
        }
        if !self.at_home && !self.has_magic()? {
            return Err(io::Error::other("it may be something else; name another file"));
        }
        let numbers = self.numbers_aside(kind)?;
        let number = numbers.iter().max().map_or(1, |newest| newest.saturating_add(1));
        let aside = with_suffix(&self.database, &format!(".{kind}-{number}"));
        fs::rename(&self.database, &aside)?;
        for part in ["-wal", "-shm"] {
            match fs::rename(with_suffix(&self.database, part), with_suffix(&aside, part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        for old in numbers.into_iter().filter(|old| kind == "broken" && old.saturating_add(ASIDE) <= number) {
            let old = with_suffix(&self.database, &format!(".{kind}-{old}"));
            for part in ["", "-wal", "-shm"] {
                // What stays is only a file too many.
                let _ = fs::remove_file(with_suffix(&old, part));
            }
        }
        Ok(Some(aside))
    }

    /// Whether it begins as a database does. Only while nobody has it open: see [`Place::open`].
    fn has_magic(&self) -> io::Result<bool> {
        let mut start = [0; MAGIC.len()];
        let length = File::open(&self.database)?.read_at(&mut start, 0)?;
        Ok(start[..length] == *MAGIC)
    }

    fn numbers_aside(&self, kind: &str) -> io::Result<Vec<u32>> {
        let (Some(folder), Some(name)) = (self.database.parent(), self.database.file_name()) else {
            return Ok(Vec::new());
        };
        let start = format!("{}.{kind}-", name.to_string_lossy());
        let names = fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_prefix(&start)?.parse().ok()).collect())
    }

    /// Makes an empty file for its owner alone; SQLite gives the log the same mode. Says whether it was missing.
    fn create(&self) -> Result<bool, Fault> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.database) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        self.trust()?;
        Ok(false)
    }

    /// A file that a stranger put there is neither believed nor touched.
    fn trust(&self) -> Result<(), Fault> {
        let metadata = self.metadata()?;
        if let Some(uid) = folder::stranger(&metadata) {
            return Err(Fault::Away(format!("it belongs to another user (uid {uid})")));
        }
        if !metadata.is_file() {
            return Err(Fault::Away("it is not a regular file".to_owned()));
        }
        if self.database.parent().is_some_and(|folder| folder.metadata().is_ok_and(|folder| folder.mode() & 0o002 != 0))
        {
            return Err(Fault::Away("everyone can write to its folder".to_owned()));
        }
        Ok(())
    }

    /// Whether this user may write it: then what SQLite will not write is broken.
    fn may_write(&self) -> Result<(), Fault> {
        rustix::fs::accessat(CWD, &self.database, Access::WRITE_OK, AtFlags::EACCESS)
            .map_err(|error| io::Error::from(error).into())
    }

    fn check(&self, version: Version) -> Result<Version, Fault> {
        match version {
            Version::Newer => Err(Fault::Newer),
            // At home nobody else has a database: it is ours with a damaged header.
            Version::Foreign if self.at_home => Err(Fault::Broken("its header is damaged".to_owned())),
            Version::Foreign => Err(Fault::Away("it is the database of another program".to_owned())),
            version => Ok(version),
        }
    }

    fn metadata(&self) -> io::Result<Metadata> {
        if self.at_home { self.database.symlink_metadata() } else { self.database.metadata() }
    }

    /// 0 when it is missing.
    fn inode(&self) -> io::Result<u64> {
        match self.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            metadata => Ok(metadata?.ino()),
        }
    }

    fn for_keeping(&self) -> SqliteConnectOptions {
        // With a log this loses, at worst, the last runs before a power cut, and never the database.
        plain(&self.database).synchronous(SqliteSynchronous::Normal)
    }

    /// What is set once and stays. Alone, because SQLite does not wait for others when it changes to a log.
    fn for_making(&self) -> SqliteConnectOptions {
        self.for_keeping().auto_vacuum(SqliteAutoVacuum::Incremental).journal_mode(SqliteJournalMode::Wal)
    }
}

impl Opened {
    fn new(options: &SqliteConnectOptions, guard: Option<File>) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let connection = runtime.block_on(options.connect())?;
        Ok(Self { parts: Some((connection, runtime)), _guard: guard })
    }

    /// A copy in memory that has all migrations: after an upgrade a look knows what the first run will know, and still
    /// changes nothing.
    fn copy_up_to_date(mut self) -> Result<Self, Fault> {
        let mut image = self.run(&async |connection| connection.serialize(None).await)?;
        // The header says that there is a log beside the file; memory has none.
        image.iter_mut().skip(HEADER_VERSIONS).take(2).for_each(|version| *version = ROLLBACK_JOURNAL);
        let image = Cell::new(Some(image));
        let mut copy = Self::new(&plain(Path::new(":memory:")), None)?;
        copy.run(&async |connection| match image.take() {
            Some(image) => connection.deserialize(None, image, false).await,
            None => Ok(()),
        })?;
        copy.run(&schema::migrate)?;
        Ok(copy)
    }

    pub(super) fn run<T>(
        &mut self,
        operation: &impl AsyncFn(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let Some((connection, runtime)) = &mut self.parts else {
            return Err(Fault::Away("it is closed".to_owned()));
        };
        Ok(runtime.block_on(operation(connection))?)
    }
}

/// Waits until SQLite has closed the file: only then may the guard go. Within another runtime that is done on a thread of
/// its own, because a runtime must neither be used nor dropped on a thread that another one is running on. Where there is
/// no thread to be had, SQLite closes the file by itself, and nobody waits for it.
impl Drop for Opened {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        let close = |(connection, runtime): Parts| runtime.block_on(connection.close()).is_ok();
        let is_closed = if Handle::try_current().is_err() {
            close(parts)
        } else {
            // Taken back from here where no thread takes it.
            let parts = Arc::new(Mutex::new(Some(parts)));
            let take = |parts: &Mutex<Option<Parts>>| parts.lock().unwrap_or_else(PoisonError::into_inner).take();
            let theirs = Arc::clone(&parts);
            let closing = move || take(&theirs).is_some_and(close);
            if let Ok(thread) = std::thread::Builder::new().name("closing".to_owned()).spawn(closing) {
                matches!(thread.join(), Ok(true))
            } else {
                if let Some((connection, runtime)) = take(&parts) {
                    drop(connection);
                    runtime.shutdown_background();
                }
                false
            }
        };
        if !is_closed {
            tracing::debug!("the state database did not close cleanly");
        }
    }
}

fn plain(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .busy_timeout(BUSY)
        // A damaged file is to be found out, not believed.
        .pragma("cell_size_check", "on")
        .pragma("trusted_schema", "off")
        .disable_statement_logging()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

/// What changes when a database does: inode, size, times.
type Stamp = (u64, u64, i64, i64, i64, i64);

fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match path.metadata() {
        Ok(m) => Ok(Some((m.ino(), m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn busy(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::WouldBlock => Fault::Away("another process is repairing it".to_owned()),
        _ => error.into(),
    }
}
