//! Writes the log, seals it, and forgets what is too old or too much.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cleanup_core::moment::Moment;
use rustix::fs::{FlockOperation, flock};

use super::reason::Reason;
use super::record::{self, Encoder};
use super::segment::{self, Foot, Index, Keys};
use super::{LONGEST_WRITTEN, MOST_RECORDS, OLDEST_WAITING, Removal, Segment, folder_of, frame, segments};
use crate::folder;

/// A log with so many bytes is sealed, however few entries that are.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Longest path and reason of an entry, in bytes. A longer one is not written: paths of that length exist, since folders
/// can be entered one by one.
const LONGEST: usize = 64 * 1024;

/// Into how many parts the waiting entries are divided.
const PARTS: usize = 8;

/// Threads that have added an entry so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The part of this thread. Any number will do, so nothing has to be ordered.
    static PART: usize = THREADS.fetch_add(1, Ordering::Relaxed) % PARTS;
}

/// How many logs of other processes are tried before a new one is begun.
const TRIED: usize = 8;

/// The log as one process writes it. Opens nothing before the first frame is full.
#[derive(Debug)]
pub struct RemovalLog {
    /// The state folder.
    state: PathBuf,
    /// Threads are spread over these, so that workers of a sweep do not wait for each other.
    waiting: [Mutex<Waiting>; PARTS],
    log: Mutex<Option<Log>>,
    failure: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Encoder,
    keys: Keys,
    /// The moment of the first of them.
    since: Option<Moment>,
}

/// Entries for one frame.
struct Batch {
    entries: Vec<u8>,
    count: u32,
    keys: Keys,
}

/// The log that this process appends to, locked as long as it is open.
#[derive(Debug)]
struct Log {
    segment: Segment,
    file: File,
    len: u64,
    /// Those that this process has written.
    records: u64,
    begun_at: Option<Moment>,
    /// Of all its frames, where this process has written them and none is small: then nothing has to be read to seal it.
    index: Option<Index>,
}

impl RemovalLog {
    /// A log in a state folder.
    pub fn new(state: &Path) -> Self {
        let state = state.to_owned();
        Self { state, waiting: Default::default(), log: Mutex::default(), failure: Mutex::default() }
    }

    /// Adds an entry. It is written when there are enough of them, when it is 100 ms younger than the first that waits, or
    /// by [`RemovalLog::flush`].
    pub fn add(&self, removal: &Removal<'_>) {
        let words = match &removal.reason {
            Some(Reason::Words(words)) => words.len(),
            Some(Reason::Judged(_)) | None => 0,
        };
        let longest = removal.path.as_deref().map_or(0, <[u8]>::len).max(words);
        if longest > LONGEST {
            self.fail(&"a path is longer than an entry can be");
            return;
        }
        let full = {
            let mut waiting = locked(&self.waiting[PART.with(|part| *part)]);
            let since = *waiting.since.get_or_insert(removal.at);
            waiting.entries.add(removal);
            waiting.keys.add(removal);
            (waiting.entries.len() >= frame::FULL || is_over(since, removal.at)).then(|| waiting.take())
        };
        if let Some(batch) = full {
            self.write(batch, removal.at);
        }
    }

    /// Writes what has waited long enough at `now`: for long stretches in which nothing is removed.
    pub fn tick(&self, now: Moment) {
        for part in &self.waiting {
            // Whoever holds it adds an entry, and sees for itself how old the first is.
            let Ok(mut waiting) = part.try_lock() else { continue };
            let old = waiting.since.is_some_and(|since| is_over(since, now)).then(|| waiting.take());
            drop(waiting);
            if let Some(batch) = old {
                self.write(batch, now);
            }
        }
    }

    /// Writes all that waits.
    pub fn flush(&self) {
        for part in &self.waiting {
            let (batch, since) = {
                let mut waiting = locked(part);
                let since = waiting.since;
                (waiting.take(), since)
            };
            if let Some(since) = since {
                self.write(batch, since);
            }
        }
    }

    /// Why entries are missing, said once.
    pub fn take_failure(&self) -> Option<String> {
        let why = locked(&self.failure).take()?;
        Some(format!("the log of removals in {} lacks entries: {why}", folder_of(&self.state).display()))
    }

    fn fail(&self, why: &dyn std::fmt::Display) {
        *locked(&self.failure) = Some(why.to_string());
    }

    fn write(&self, batch: Batch, at: Moment) {
        // Compressed before the log is locked: other workers go on meanwhile.
        let frame = frame::encode(&batch.entries, batch.count);
        let mut log = locked(&self.log);
        if let Err(error) = self.append(&mut log, &frame, batch, at) {
            *log = None;
            self.fail(&error);
        }
    }

    fn append(&self, open: &mut Option<Log>, frame: &[u8], batch: Batch, at: Moment) -> io::Result<()> {
        let folder = folder_of(&self.state);
        // Whoever empties the folder while it is open takes the log away: what is written then is found by nobody.
        if open.as_ref().is_some_and(|log| !is_at(&log.file, &log.segment.path(&folder))) {
            *open = None;
        }
        if open.is_none() {
            *open = Some(self.open(&folder)?);
        }
        let Some(log) = open else { return Ok(()) };
        if let Err(error) = log.file.write_all_at(frame, log.len) {
            // Half a frame would end the log for whoever appends to it.
            log.file.set_len(log.len)?;
            return Err(error);
        }
        log.len += frame.len() as u64;
        log.records += u64::from(batch.count);
        log.index.take_if(|_| segment::is_small(batch.entries.len()));
        if let Some(index) = &mut log.index {
            index.add(frame.len(), batch.keys);
        }
        let begun_at = *log.begun_at.get_or_insert(at);
        let is_old = at.since(begun_at).is_some_and(|age| age >= LONGEST_WRITTEN);
        if (log.records >= MOST_RECORDS || log.len >= MOST_BYTES || is_old)
            && let Some(log) = open.take()
            && let Err(error) = log.seal(&folder)
        {
            // What is in it is found all the same, only more slowly.
            tracing::debug!("a log of removals is not sealed: {error}");
        }
        Ok(())
    }

    /// Opens a log that nobody writes to, or begins one.
    fn open(&self, folder: &Path) -> io::Result<Log> {
        folder::prepare(&self.state).map_err(|error| io::Error::other(error.to_string()))?;
        folder::make(folder)?;
        let segments = segments(folder)?;
        for segment in segments.iter().rev().filter(|segment| !segment.is_sealed).take(TRIED) {
            match reopen(folder, *segment) {
                Ok(Some(log)) => return Ok(log),
                Ok(None) => {}
                Err(error) => tracing::debug!("{}: {error}", segment.path(folder).display()),
            }
        }
        let mut number = segments.last().map_or(1, |last| last.number + 1);
        loop {
            let segment = Segment { number, is_sealed: false };
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600).custom_flags(folder::no_follow());
            match options.open(segment.path(folder)) {
                // Whoever looks for one to append to may have found it before it was locked.
                Ok(file) if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() => {
                    let index = Some(Index::default());
                    return Ok(Log { segment, file, len: 0, records: 0, begun_at: None, index });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            number += 1;
        }
    }
}

impl Drop for RemovalLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Waiting {
    fn take(&mut self) -> Batch {
        self.since = None;
        let (entries, count) = self.entries.take();
        Batch { entries, count, keys: std::mem::take(&mut self.keys) }
    }
}

impl Log {
    /// Seals it. Where its index is known, that is appended, and the log has a new name; a process that is killed in
    /// between leaves a log that ends with something else than a frame, which is sealed by whoever comes next.
    fn seal(self, folder: &Path) -> io::Result<()> {
        let Self { segment, file, len, index, .. } = self;
        let Some(index) = index.and_then(Index::finish) else { return seal(folder, segment, &file) };
        if let Err(error) = file.write_all_at(&index, len) {
            file.set_len(len)?;
            return Err(error);
        }
        fs::rename(segment.path(folder), Segment { is_sealed: true, ..segment }.path(folder))
    }
}

/// Opens a log that another process has left. `None` when it is in use, or nothing can be appended to it.
fn reopen(folder: &Path, segment: Segment) -> io::Result<Option<Log>> {
    let Some((file, len)) = lock(folder, segment)? else { return Ok(None) };
    if !frame::ends_whole(&file, len)? {
        // Cut off, or damaged: what can be read of it is saved, and another one begun.
        seal(folder, segment, &file)?;
        return Ok(None);
    }
    let begun_at = first_moment(&file, len)?;
    Ok(Some(Log { segment, file, len, records: 0, begun_at, index: None }))
}

/// Opens and locks a log, with its length. `None` when it is in use, sealed by now, or not ours.
fn lock(folder: &Path, segment: Segment) -> io::Result<Option<(File, u64)>> {
    let path = segment.path(folder);
    let file = OpenOptions::new().read(true).write(true).custom_flags(folder::no_follow()).open(&path)?;
    let metadata = file.metadata()?;
    let is_ours = metadata.is_file() && folder::stranger(&metadata).is_none();
    if !is_ours || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let is_sealed = Segment { is_sealed: true, ..segment }.path(folder).symlink_metadata().is_ok();
    if is_sealed {
        // By a process that was killed before it removed this one.
        fs::remove_file(&path)?;
    }
    // Its length once more: somebody may have appended to it until it was locked.
    let len = file.metadata()?.len();
    Ok((!is_sealed && is_at(&file, &path)).then_some((file, len)))
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(found)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (open.dev(), open.ino()) == (found.dev(), found.ino())
}

fn first_moment(file: &File, len: u64) -> io::Result<Option<Moment>> {
    let mut bytes = vec![0; usize::try_from(len.min(2 * frame::FULL as u64)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    let mut first = None;
    if let Some(entries) = frame::decode(&bytes) {
        let _ = record::decode(&entries, &mut |removal| first = first.or(Some(removal.at)));
    }
    Ok(first)
}

/// Makes a sealed segment of a log that is locked. A log in which nothing can be read stays: a later version of this
/// program may have written it.
fn seal(folder: &Path, log: Segment, file: &File) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut file = file.try_clone()?;
    io::Seek::rewind(&mut file)?;
    file.read_to_end(&mut bytes)?;
    let Some(sealed) = segment::seal(&bytes) else { return Ok(()) };
    let new = folder.join(format!("{:08}.new", log.number));
    let written = write_new(&new, &sealed);
    let path = Segment { is_sealed: true, ..log }.path(folder);
    if let Err(error) = written.and_then(|()| fs::rename(&new, path)) {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    fs::remove_file(log.path(folder))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(folder::no_follow());
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    // The log is removed next: a power failure must not find the one gone and the other not there.
    file.sync_data()
}

/// Forgets entries that are older than `keep`, roughly: a segment goes when its last entry is. So do the oldest segments
/// while all of them have more than `most_bytes`.
pub(crate) fn forget(state: &Path, keep: Duration, most_bytes: u64, now: Moment) -> io::Result<()> {
    let folder = folder_of(state);
    let mut kept = Vec::new();
    let mut total = 0_u64;
    for segment in segments(&folder)? {
        let Some((last, bytes)) = standing(&folder, segment, now) else { continue };
        if now.since(last).is_some_and(|age| age > keep) && remove(&folder, segment) {
            continue;
        }
        total += bytes;
        kept.push((segment, bytes));
    }
    for (segment, bytes) in kept {
        if total <= most_bytes {
            break;
        }
        if remove(&folder, segment) {
            total -= bytes;
        }
    }
    Ok(())
}

/// The moment of the last entry and the bytes of a segment. A log that nobody has written to for long is sealed.
fn standing(folder: &Path, segment: Segment, now: Moment) -> Option<(Moment, u64)> {
    let path = segment.path(folder);
    let file = OpenOptions::new().read(true).custom_flags(folder::no_follow()).open(&path).ok()?;
    let metadata = file.metadata().ok()?;
    let written_at = Moment::from_unix(metadata.mtime(), 0);
    if segment.is_sealed {
        let foot = Foot::read(&file, metadata.len()).ok().flatten();
        return Some((foot.map_or(written_at, |foot| Moment::from_unix(foot.last, 0)), metadata.len()));
    }
    if now.since(written_at).is_some_and(|age| age >= LONGEST_WRITTEN)
        && let Ok(Some((file, _))) = lock(folder, segment)
        && let Err(error) = seal(folder, segment, &file)
    {
        tracing::debug!("{} is not sealed: {error}", path.display());
    }
    Some((written_at, metadata.len()))
}

/// Removes a segment, unless somebody writes to it.
fn remove(folder: &Path, segment: Segment) -> bool {
    let locked = if segment.is_sealed { None } else { lock(folder, segment).ok().flatten() };
    let is_free = segment.is_sealed || locked.is_some();
    is_free && fs::remove_file(segment.path(folder)).is_ok()
}

fn is_over(since: Moment, now: Moment) -> bool {
    // Before `since`, the clock was set back: nobody knows for how long it has waited.
    now.since(since).is_none_or(|waited| waited >= OLDEST_WAITING)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
