//! Registers files: checks the path, records the promise, and only then applies it.
//!
//! A time to live is on the disk before the request is answered. The start of a file's age is written to the database,
//! which is disposable: what cannot be written now is kept for the next time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::MaxAge;
use cleanup_core::registration;
use cleanup_fs_store::Classified;
use cleanup_state::TrackedChange;

use super::table::locked;
use super::{Inner, Tracked};
use crate::clock;
use crate::responses::track::{RegisterError, Registration};

/// The longest relative path that can be registered, in bytes: the kernel's limit.
const MAX_PATH: usize = 4096;

/// How many changes are kept while the database is unavailable.
const MAX_PENDING: usize = 100_000;

impl Inner {
    pub(super) fn register(
        &self,
        policy: &str,
        path: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Registration, RegisterError> {
        let Some(tracked) = self.find(policy) else {
            let is_known = self.engine.config().rules().any(|rule| rule.name == policy);
            let why = if is_known { RegisterError::NotTracked } else { RegisterError::UnknownPolicy };
            return Err(why(policy.to_owned()));
        };
        if self.is_stopping() {
            // Whoever comes next has read already what is remembered.
            return Err(RegisterError::Unavailable(
                "the service is stopping or reloading its configuration".to_owned(),
            ));
        }
        let path = &*plain_path(path)?;
        let ttl = match ttl.map(MaxAge::new) {
            Some(None) => return Err(RegisterError::Refused("the ttl is zero".to_owned())),
            ttl => ttl.flatten(),
        };
        let store = self.store(tracked).map_err(|_| {
            RegisterError::Unavailable("the root of the policy cannot be opened; see /readyz".to_owned())
        })?;
        match store.classify(path) {
            Classified::Candidate(_) => {}
            Classified::Unreadable(_) => return Err(RegisterError::Refused("it cannot be inspected".to_owned())),
            look => return Err(RegisterError::Refused(look.to_string())),
        }

        // What the kernel tells later, of a file that had the name before, must not take back what is promised now.
        self.catch_up(tracked);
        let known = locked(&tracked.table).get(path).copied();
        if known.is_none() && self.files.load(Ordering::Relaxed) >= self.max_files {
            return Err(RegisterError::TooMany(self.max_files));
        }
        let at = in_millis(clock::now());
        match ttl {
            Some(ttl) => self.promise(tracked, path, at, at.plus(ttl.get())),
            None => self.forget_promises(tracked, &[path.into()]),
        }
        .map_err(RegisterError::Unavailable)?;
        let registration = registration::Registration { at, ttl };
        self.scan_registered(tracked, &store, path, registration);

        let Some(entry) = locked(&tracked.table).get(path).copied() else {
            return Err(RegisterError::Refused(Classified::Missing.to_string()));
        };
        Ok(Registration { file: tracked.file(path, &entry), is_new: known.is_none_or(|known| !known.told) })
    }

    /// Records a file's own time to live.
    fn promise(&self, tracked: &Tracked, path: &[u8], at: Moment, until: Moment) -> Result<(), String> {
        let mut state = self.state.lock();
        let Some(promises) = state.promises()? else { return Ok(()) };
        promises.give_ttl(&tracked.absolute(path), until, at).map_err(|error| error.to_string())
    }

    /// Cancels the times to live of files that have one.
    pub(super) fn forget_promises(&self, tracked: &Tracked, paths: &[Arc<[u8]>]) -> Result<(), String> {
        let has_ttl = |path: &&Arc<[u8]>| {
            let table = locked(&tracked.table);
            table.get(path).is_none_or(|entry| entry.registration.is_some_and(|known| known.ttl.is_some()))
        };
        let paths: Vec<Vec<u8>> = paths.iter().filter(has_ttl).map(|path| tracked.absolute(path)).collect();
        if paths.is_empty() {
            return Ok(());
        }
        let paths: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
        self.state.lock().forget_ttls(&paths, clock::now())
    }

    /// Records the start of files' ages if their timestamps do not show it. What cannot be written now is kept for the
    /// next time.
    pub(super) fn remember(&self, tracked: &Tracked, changes: Vec<TrackedChange>) {
        let mut pending = locked(&tracked.pending);
        pending.extend(changes);
        if pending.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        state.begin();
        if state.remember_tracked(&pending) {
            pending.clear();
        } else {
            // More than this is not kept for a database that stays away.
            pending.truncate(MAX_PENDING);
        }
        state.rest();
        let notes = state.take_notes();
        drop((state, pending));
        self.note(tracked, notes);
    }
}

/// The path below a root as the table knows it: without `.` parts. Refuses what is no such path; what it leads to is for
/// the store to find out.
fn plain_path(path: &[u8]) -> Result<Vec<u8>, RegisterError> {
    let refuse = |why: &str| Err(RegisterError::Refused(why.to_owned()));
    if path.is_empty() || path.len() > MAX_PATH || path.contains(&0) {
        return refuse("a path must have 1 to 4096 bytes, none of them NUL");
    }
    if path.starts_with(b"/") {
        return refuse("the path must be relative to the root");
    }
    let mut names: Vec<&[u8]> = Vec::new();
    let mut climbs = false;
    let mut depth = 0_usize;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" => return refuse("the path has an empty component: remove the extra `/`"),
            b"." => {}
            b".." => {
                let Some(above) = depth.checked_sub(1) else { return refuse("the path leaves its root") };
                (climbs, depth) = (true, above);
            }
            name => {
                depth += 1;
                names.push(name);
            }
        }
    }
    if climbs {
        return refuse("the path must not contain `..`");
    }
    if names.is_empty() || path.ends_with(b"/.") {
        return refuse("the path names a folder, not a file");
    }
    Ok(names.join(&b'/'))
}

/// To whole milliseconds, rounded up, because promises have millisecond precision and must not be shortened.
fn in_millis(at: Moment) -> Moment {
    let nanos = at.subsec_nanos();
    let rest = nanos % 1_000_000;
    if rest == 0 { at } else { at.plus(Duration::from_nanos(u64::from(1_000_000 - rest))) }
}
