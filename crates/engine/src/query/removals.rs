//! What was removed, by path, policy or run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cleanup_core::moment::Moment;
use cleanup_core::pattern::{Dotfiles, PatternError, Patterns};
use cleanup_core::report::{FORMAT_VERSION, json_path};
use cleanup_state::{Action, PathQuery, Position, Removal, RemovalsQuery as Wanted};

use crate::engine::Engine;
use crate::place;
use crate::query::explain::name_of;
use crate::query::history::MemoryError;
use crate::responses::{RemovalAction, RemovalEntry, Removals};
use crate::state::run_state::Access;

/// The length of a whole run id.
const RUN_ID: usize = 26;

/// What is asked of the log of removals; the default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovalsQuery {
    /// Of which path. Where it holds `*`, `?`, `[` or `{` it is a pattern as in `include`, matched against the absolute
    /// path. Without a `/` it is a name, or a pattern of names, in any folder. Another relative path is relative to the
    /// working directory.
    pub path: Option<PathBuf>,
    /// By this policy alone.
    pub policy: Option<String>,
    /// By the run whose id begins so.
    pub run: Option<String>,
    /// Not before this moment.
    pub since: Option<Moment>,
    /// At most so many.
    pub limit: usize,
    /// Where an earlier page ended ([`Removals::next`]).
    pub before: Option<String>,
}

/// Why the log has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemovalsError {
    /// The memory has none.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The configuration keeps no log.
    #[error("no log of removals is kept: `removals_for` in `[state]` is zero")]
    Off,
    /// The path is a pattern, and an invalid one.
    #[error("invalid pattern {pattern:?}: {error}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        error: PatternError,
    },
    /// The path is a pattern, and not UTF-8.
    #[error("a pattern has to be UTF-8")]
    NotText,
    /// No page ended so.
    #[error("{0:?} is not the end of a page; use `next` of an earlier answer")]
    Before(String),
}

impl Engine {
    /// What was removed, the newest first.
    pub fn removals(&self, query: &RemovalsQuery) -> Result<Removals, RemovalsError> {
        let before = query.before.as_deref().map(position).transpose()?;
        let run = query.run.as_deref().map(|run| self.whole_id(run)).transpose()?;
        let (mut paths, mut above, mut patterns) = (Vec::new(), Vec::new(), None);
        let asked = query.path.as_deref();
        let is_anywhere = asked.is_some_and(|path| !path.as_os_str().as_encoded_bytes().contains(&b'/'));
        match asked {
            Some(path) if is_pattern(path) => patterns = Some(compiled(path)?),
            Some(path) if !is_anywhere => (paths, above) = self.recorded(path),
            Some(_) | None => {}
        }
        let name = asked.map(|path| path.as_os_str().as_encoded_bytes()).unwrap_or_default();
        let is_named = |path: &[u8]| name_of(path).last == name;
        let matches = |path: &[u8]| {
            (is_anywhere && is_named(path)) || patterns.as_ref().is_some_and(|patterns| is_meant(patterns, path))
        };
        let path = match asked {
            None => PathQuery::Any,
            Some(_) if is_anywhere || patterns.is_some() => PathQuery::Matching(&matches),
            Some(_) => PathQuery::Exact { paths: &paths, above: &above },
        };
        let wanted = Wanted {
            path,
            policy: query.policy.as_deref(),
            run: run.as_deref(),
            since: query.since,
            limit: query.limit,
            before,
        };
        self.look_up(&wanted)
    }

    /// Everything that is known of one path, the newest first, and of folders that went whole and that it lay in.
    pub(super) fn removals_of(&self, path: &Path, limit: usize) -> Result<Vec<RemovalEntry>, RemovalsError> {
        let (paths, above) = self.recorded(path);
        let path = PathQuery::Exact { paths: &paths, above: &above };
        Ok(self.look_up(&Wanted { path, policy: None, run: None, since: None, limit, before: None })?.removals)
    }

    fn look_up(&self, wanted: &Wanted<'_>) -> Result<Removals, RemovalsError> {
        if self.config().removals.is_none() {
            return Err(RemovalsError::Off);
        }
        let mut run_state = self.setup.state(Access::Look);
        let state = run_state.state().map_err(MemoryError::None)?;
        let unreadable = |error| MemoryError::None(format!("the log of removals cannot be read: {error}"));
        let page = state.removals(wanted).map_err(unreadable)?;
        let mut removals: Vec<RemovalEntry> = page.removals.iter().map(entry).collect();
        if matches!(wanted.path, PathQuery::Exact { .. }) {
            // Few, and people read the first: the order in which several programs have written them is chance.
            removals.sort_by_key(|removal| std::cmp::Reverse(removal.at));
        }
        let next = page.next.map(|Position { segment, entry }| format!("{segment}-{entry}"));
        Ok(Removals { format_version: FORMAT_VERSION, removals, next })
    }

    /// The paths by which a file may have been written down, and those of the folders above it: as it is asked for, as
    /// it really is, and below each root as the configuration spells it.
    fn recorded(&self, path: &Path) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut paths = BTreeSet::new();
        for path in place::spellings(&absolute) {
            for policy in &self.config().files {
                let roots = place::spellings(&policy.root);
                let below = roots.iter().find_map(|root| path.strip_prefix(root).ok());
                paths.extend(below.map(|below| policy.root.join(below)));
            }
            paths.insert(path);
        }
        let above: BTreeSet<&Path> = paths.iter().flat_map(|path| path.ancestors().skip(1)).collect();
        let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_owned();
        (paths.iter().map(|path| bytes(path)).collect(), above.into_iter().map(bytes).collect())
    }

    fn whole_id(&self, run: &str) -> Result<String, MemoryError> {
        if run.len() == RUN_ID { Ok(run.to_ascii_uppercase()) } else { Ok(self.past_run(run)?.run_id) }
    }
}

/// Whether a path asked for is a pattern.
pub fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte))
}

fn compiled(pattern: &Path) -> Result<Patterns, RemovalsError> {
    let pattern = pattern.to_str().ok_or(RemovalsError::NotText)?;
    let below_the_root_of_all = pattern.strip_prefix('/').unwrap_or(pattern);
    let patterns = Patterns::new(&[below_the_root_of_all], &[], &[]);
    let refused = |(_, _, error)| RemovalsError::Pattern { pattern: pattern.to_owned(), error };
    Ok(patterns.map_err(refused)?.with_dotfiles(Dotfiles::Match))
}

/// Whether a pattern means a path; a path that looks like a pattern is meant by itself.
fn is_meant(patterns: &Patterns, path: &[u8]) -> bool {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let [include, ..] = patterns.texts();
    patterns.class(name_of(path)).is_some() || include.iter().any(|text| text.as_bytes() == path)
}

fn position(text: &str) -> Result<Position, RemovalsError> {
    let parsed = || {
        let (segment, entry) = text.split_once('-')?;
        Some(Position { segment: segment.parse().ok()?, entry: entry.parse().ok()? })
    };
    parsed().ok_or_else(|| RemovalsError::Before(text.to_owned()))
}

fn entry(removal: &Removal<'_>) -> RemovalEntry {
    let Removal { at, run, trigger, asked_by, policy, action, path, count, bytes, inode, reason } = removal;
    let (path, path_bytes) = path.as_deref().map(json_path).unzip();
    RemovalEntry {
        at: *at,
        action: match action {
            Action::Removed | Action::RemovedWhole => RemovalAction::Removed,
            Action::Quarantined | Action::QuarantinedWhole => RemovalAction::Quarantined,
            Action::Purged => RemovalAction::Purged,
            Action::Restored => RemovalAction::Restored,
        },
        path,
        path_bytes: path_bytes.flatten(),
        whole_directory: action.is_of_whole_directory(),
        count: *count,
        bytes: *bytes,
        inode: *inode,
        policy: policy.to_string(),
        run_id: run.to_string(),
        trigger: *trigger,
        asked_by: asked_by.as_ref().map(ToString::to_string),
        reason: reason.as_ref().map(ToString::to_string),
    }
}
