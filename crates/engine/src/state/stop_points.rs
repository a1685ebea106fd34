//! Where the last run of a policy stopped, in the form of its store.

use cleanup_core::policy::{FilePolicy, SessionPolicy};
use cleanup_fs_store::{FileId, Place, ResumePoint};
use cleanup_pg_sessions::RowPlace;
use cleanup_state::{Stop, StoppedAt};

use super::last_run::row_key;
use super::run_state::RunState;

impl RunState {
    /// Where a run of a policy continues; `None` if the last one finished, the rule has changed, or the root is another
    /// folder.
    pub(crate) fn stopped_at(&mut self, policy: &FilePolicy, root: FileId) -> Vec<ResumePoint> {
        if policy.brakes.max_runtime.is_none() {
            return Vec::new();
        }
        let (key, rule) = (self.key(policy), self.rule(policy));
        let stop = self.state.as_mut().and_then(|state| state.stop(&key));
        let stop = stop.filter(|stop| stop.rule == rule && stop.root == shown(root));
        let position = |StoppedAt { folder, entry }| ResumePoint {
            folder,
            place: entry.map(|(name, cookie)| Place { name, cookie }),
        };
        stop.map(|stop| stop.next.into_iter().map(position).collect()).unwrap_or_default()
    }

    /// Records where a run of a policy stopped, or that it finished. Returns whether that succeeded.
    pub(crate) fn remember_stop(&mut self, policy: &FilePolicy, root: FileId, next: &[ResumePoint]) -> bool {
        let (key, rule) = (self.key(policy), self.rule(policy));
        let stopped_at = |ResumePoint { folder, place }: &ResumePoint| StoppedAt {
            folder: folder.clone(),
            entry: place.as_ref().map(|place| (place.name.clone(), place.cookie)),
        };
        let stop = Stop { rule, root: shown(root), next: next.iter().map(stopped_at).collect() };
        let stop = Some(&stop).filter(|stop| !stop.next.is_empty());
        self.state.as_mut().is_some_and(|state| state.remember_stop(&key, stop))
    }

    /// Where a run of a session policy continues; `None` if the last one finished or the rule has changed.
    pub(crate) fn rows_stopped_at(&mut self, policy: &SessionPolicy) -> Option<RowPlace> {
        policy.brakes.max_runtime?;
        let stop = self.state.as_mut()?.stop(&row_key(policy))?;
        let StoppedAt { folder, entry } = stop.next.into_iter().next()?;
        let is_the_same = stop.rule == policy.fingerprint().to_string();
        let place = RowPlace { table: String::from_utf8(folder).ok()?, page: entry.map_or(0, |(_, page)| page) };
        Some(place).filter(|_| is_the_same)
    }

    /// Records where a run of a session policy stopped, or that it finished.
    pub(crate) fn remember_rows_stop(&mut self, policy: &SessionPolicy, place: Option<&RowPlace>) {
        let stop = place.map(|RowPlace { table, page }| Stop {
            rule: policy.fingerprint().to_string(),
            root: String::new(),
            next: vec![StoppedAt { folder: table.clone().into_bytes(), entry: Some((Vec::new(), *page)) }],
        });
        if let Some(state) = self.state.as_mut() {
            // Where that does not succeed, the next run begins at the beginning.
            state.remember_stop(&row_key(policy), stop.as_ref());
        }
    }

    /// The rule, with the overrides of the request.
    fn rule(&self, policy: &FilePolicy) -> String {
        format!("{}\n{:?}", self.fingerprint(policy), policy.rule)
    }
}

fn shown(root: FileId) -> String {
    let (major, minor) = root.device();
    format!("{major}:{minor} {}", root.inode())
}
