//! The floor of `cargo xtask bench sweep`: the system calls that any sweep must make, and nothing else.
//!
//! `floor ROOT MAX_AGE_SECONDS THREADS` removes below ROOT every regular file named `formal_*.svg` whose modification
//! time is older. Names come from `getdents64` with a large buffer, the name decides before any `statx`, and files are
//! removed by descriptor. No second look, no reports, no limits, no safety: a measure, not a tool.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx, unlinkat};

const BUFFER_BYTES: usize = 256 * 1024;
const BATCH_BYTES: usize = 64 * 1024;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, root, max_age, threads] = args.as_slice() else {
        anyhow::bail!("usage: floor ROOT MAX_AGE_SECONDS THREADS");
    };
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let cutoff = now - max_age.parse::<i64>()?;
    let workers = threads.parse::<usize>()?.saturating_sub(1);
    if workers == 0 {
        return walk(Path::new(root), cutoff, None);
    }
    let (sender, receiver) = sync_channel(4 * workers);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(&receiver, cutoff))).collect();
        let walked = walk(Path::new(root), cutoff, Some(&sender));
        drop(sender);
        for hand in hands {
            hand.join().expect("no worker panics")?;
        }
        walked
    })
}

/// Names of one directory, each with its closing NUL.
struct Batch {
    folder: Arc<OwnedFd>,
    names: Vec<u8>,
}

/// Reads every directory below `root`; hands batches out, and works itself when nobody is free.
fn walk(root: &Path, cutoff: i64, workers: Option<&SyncSender<Batch>>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut waiting: Vec<(Option<Arc<OwnedFd>>, CString)> =
        vec![(None, CString::new(root.as_os_str().as_encoded_bytes())?)];
    while let Some((parent, name)) = waiting.pop() {
        let folder = match &parent {
            Some(parent) => openat(parent, &name, flags, Mode::empty()),
            None => openat(CWD, &name, flags, Mode::empty()),
        };
        let folder = Arc::new(folder.with_context(|| format!("cannot open {}", name.to_string_lossy()))?);
        let mut names = Vec::with_capacity(BATCH_BYTES);
        let mut entries = RawDir::new(&*folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            match entry.file_type() {
                FileType::RegularFile if is_named(name) => names.extend_from_slice(name.to_bytes_with_nul()),
                FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                    waiting.push((Some(Arc::clone(&folder)), name.to_owned()));
                }
                _ => {}
            }
            if names.len() > BATCH_BYTES - 256 {
                hand_out(Batch { folder: Arc::clone(&folder), names: std::mem::take(&mut names) }, cutoff, workers)?;
            }
        }
        hand_out(Batch { folder, names }, cutoff, workers)?;
    }
    Ok(())
}

fn hand_out(batch: Batch, cutoff: i64, workers: Option<&SyncSender<Batch>>) -> Result<()> {
    if batch.names.is_empty() {
        return Ok(());
    }
    let Some(workers) = workers else { return remove_due(&batch, cutoff) };
    match workers.try_send(batch) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => remove_due(&batch, cutoff),
    }
}

fn work(batches: &Mutex<Receiver<Batch>>, cutoff: i64) -> Result<()> {
    loop {
        let next = batches.lock().expect("no worker panics").recv();
        let Ok(batch) = next else { return Ok(()) };
        remove_due(&batch, cutoff)?;
    }
}

fn remove_due(batch: &Batch, cutoff: i64) -> Result<()> {
    for name in batch.names.split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name)?;
        let stat = statx(&batch.folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE | StatxFlags::MTIME)?;
        if stat.stx_mtime.tv_sec < cutoff {
            unlinkat(&batch.folder, name, AtFlags::empty())?;
        }
    }
    Ok(())
}

fn is_named(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.starts_with(b"formal_") && name.ends_with(b".svg")
}
