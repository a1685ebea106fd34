//! The cheapest program that could keep these deadlines: no look, no judge, no memory, nobody to tell.
//!
//! It sleeps half a second, takes in the names that the kernel tells of, and unlinks what is due by a directory that it
//! has open. Nobody should run it: what is written again, held, or replaced goes all the same. It says how much of what
//! the service spends is due to what the service is for.

use std::collections::VecDeque;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::super::super::fixture::named;
use super::thread_time;

/// How often it wakes, as often as the service for deadlines.
const BEAT: Duration = Duration::from_millis(500);

/// Room for what one read returns.
const BUFFER: usize = 64 * 1024;

/// What it has done.
pub(super) struct Floor {
    /// The processor time of its thread.
    pub(super) spent: Duration,
    pub(super) removed: u64,
}

/// Keeps the deadlines of the first `live` files, which come due one after the other from now on, and of whatever
/// appears, until `stop`.
pub(super) fn keep(root: &OwnedFd, live: u64, per_second: f64, stop: &AtomicBool) -> Result<Floor> {
    let start = Instant::now();
    let due_at = |index: u64| start + Duration::from_secs_f64(index as f64 / per_second);
    let mut due = VecDeque::with_capacity(usize::try_from(live)?);
    for index in 0..live {
        due.push_back((due_at(index), CString::new(named(index))?));
    }
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&inotify, format!("/proc/self/fd/{}", root.as_raw_fd()), WatchFlags::MOVED_TO)?;
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    let (age, mut removed) = (due_at(live) - start, 0);
    let before = thread_time();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(BEAT);
        let now = Instant::now();
        let mut reader = inotify::Reader::new(&inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => due.extend(event.file_name().map(|name| (now + age, name.to_owned()))),
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        while let Some((_, name)) = due.pop_front_if(|(at, _)| *at <= now) {
            unlinkat(root, &name, AtFlags::empty())?;
            removed += 1;
        }
    }
    Ok(Floor { spent: thread_time().saturating_sub(before), removed })
}
