//! Promises: holds, times to live, and the start of the ages of tracked files.

use std::path::Path;

use cleanup_core::hold::Holds;
use cleanup_core::moment::Moment;
use cleanup_core::policy::{FilePolicy, MaxAge};
use cleanup_core::registration::{Registration, Registrations};
use cleanup_core::report::FindingCode;
use cleanup_state::{Promises, State, TrackedChange};

use super::run_state::{Access, RunState};
use crate::place;

impl RunState {
    /// With `--force`, lost promises no longer hold anything back. Damaged ones still do, because the file can be
    /// repaired.
    pub(crate) fn accept_lost_promises(&mut self, access: Access) {
        self.accepts_loss = true;
        let Some(state) = self.state.as_mut().filter(|_| access == Access::Run) else { return };
        // One that cannot be read holds the policies back, and says why there.
        let Ok(promises) = state.promises() else { return };
        if promises.lost().is_some()
            && let Err(error) = promises.accept_loss()
        {
            self.note(format!("the loss of promises is accepted for this run only: {error}"));
        }
    }

    /// The holds below a root. An error is the reason why the promises cannot be trusted.
    pub(crate) fn holds(&mut self, root: &Path, now: Moment) -> Result<Holds, String> {
        if let Some(why) = &self.unreadable {
            self.promises = Some((FindingCode::PromisesDamaged, why.clone()));
            return Err(why.clone());
        }
        let mut holds = Holds::default();
        let Some(state) = &mut self.state else { return Ok(holds) };
        let promises = state.promises().map_err(|error| error.to_string());
        let promises = promises.inspect_err(|why| self.promises = Some((FindingCode::PromisesDamaged, why.clone())))?;
        if let Some(lost) = promises.lost().filter(|_| !self.accepts_loss) {
            self.promises = Some((FindingCode::PromisesLost, lost.to_string()));
            return Err(lost.to_string());
        }
        let mut held = promises.holds(now).peekable();
        // To find out where a root really is takes a call for each part of its path: only where something is held.
        let roots = if held.peek().is_some() { place::spellings(root) } else { Vec::new() };
        for hold in held {
            // Every reading of either path counts: a hold too many keeps a file, one too few loses it.
            for path in place::spellings(&place::path_of(&hold.path)) {
                for root in &roots {
                    if root.starts_with(&path) {
                        holds.add(Vec::new(), hold.until);
                    } else if let Ok(below) = path.strip_prefix(root) {
                        holds.add(below.as_os_str().as_encoded_bytes().to_owned(), hold.until);
                    }
                }
            }
        }
        Ok(holds)
    }

    /// The registrations below a root. [`RunState::holds`] reports promises that cannot be read.
    pub(crate) fn registrations(&mut self, policy: &FilePolicy) -> Registrations {
        let key = self.key(policy);
        let Some(state) = &mut self.state else { return Registrations::default() };
        let tracked = if policy.track { state.tracked(&key) } else { Vec::new() };
        let mut all: Registrations =
            tracked.into_iter().map(|(path, at)| (path, Registration { at, ttl: None })).collect();
        for (path, registration) in ttls_below(state, &policy.root) {
            all.add(path, registration);
        }
        all
    }

    /// Adds the times to live of some files of a policy, set by any policy. An error is the reason why they are
    /// unknown.
    pub(crate) fn add_ttls(
        &mut self,
        policy: &FilePolicy,
        paths: &[&[u8]],
        registrations: &mut Registrations,
    ) -> Result<(), String> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let promises = state.promises().map_err(|error| error.to_string())?;
        if promises.ttls().next().is_none() {
            return Ok(());
        }
        for root in place::spellings(&policy.root) {
            for path in paths {
                let absolute = root.join(place::path_of(path)).into_os_string().into_encoded_bytes();
                if let Some(registration) = promises.ttl(&absolute).and_then(registration_of) {
                    registrations.add(path.to_vec(), registration);
                }
            }
        }
        Ok(())
    }

    /// The promises, for additions; `None` if the configuration disables the state. An error is the reason why none can
    /// be made.
    pub(crate) fn promises(&mut self) -> Result<Option<&mut Promises>, String> {
        match (&mut self.state, &self.missing) {
            (None, None) => Ok(None),
            (_, Some(missing)) => Err(missing.clone()),
            (Some(state), None) => state.promises().map(Some).map_err(|error| error.to_string()),
        }
    }

    /// Cancels the times to live of files that have one. Without promises, there is nothing to cancel.
    pub(crate) fn forget_ttls(&mut self, paths: &[&[u8]], now: Moment) -> Result<(), String> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let forgotten = state.promises().and_then(|promises| promises.forget_ttls(paths, now));
        forgotten.map_err(|error| error.to_string())
    }

    /// Cancels the times to live of files, unless they have been set again since.
    pub(crate) fn forget_ttls_given(&mut self, given: &[(Vec<u8>, Registration)], now: Moment) -> Result<(), String> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let promises = state.promises().map_err(|error| error.to_string())?;
        let is_same = |path: &[u8], given: &Registration| promises.ttl(path).is_some_and(|ttl| ttl.made_at == given.at);
        let same = given.iter().filter(|(path, given)| is_same(path, given));
        let paths: Vec<&[u8]> = same.map(|(path, _)| path.as_slice()).collect();
        promises.forget_ttls(&paths, now).map_err(|error| error.to_string())
    }

    /// Records the start of the ages of tracked files. Returns whether that succeeded, or is disabled.
    pub(crate) fn remember_tracked(&mut self, changes: &[TrackedChange]) -> bool {
        match &mut self.state {
            None => self.missing.is_none(),
            Some(state) => state.remember_tracked(changes),
        }
    }
}

/// The times to live of files below a root, by relative path.
fn ttls_below(state: &mut State, root: &Path) -> Vec<(Vec<u8>, Registration)> {
    let Ok(promises) = state.promises() else { return Vec::new() };
    if promises.ttls().next().is_none() {
        return Vec::new();
    }
    let roots: Vec<Vec<u8>> =
        place::spellings(root).into_iter().map(|root| root.into_os_string().into_encoded_bytes()).collect();
    let below = |ttl: &cleanup_state::Ttl| {
        let path = roots.iter().find_map(|root| ttl.path.strip_prefix(root.as_slice())?.strip_prefix(b"/"))?;
        Some((path.to_owned(), registration_of(ttl)?))
    };
    promises.ttls().filter_map(below).collect()
}

fn registration_of(ttl: &cleanup_state::Ttl) -> Option<Registration> {
    let span = MaxAge::new(ttl.until.since(ttl.made_at)?)?;
    Some(Registration { at: ttl.made_at, ttl: Some(span) })
}
