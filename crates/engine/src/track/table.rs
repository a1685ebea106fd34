//! The table of one tracked policy: its files by path, in memory, with an index by deadline.
//!
//! The disk is authoritative, and the table is a copy: a row has the verdict of the last scan of its file. A row never
//! causes a removal; it only says when to check.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use cleanup_core::moment::Moment;
use cleanup_core::policy::FilePolicy;
use cleanup_core::registration::{Registration, Registrations};
use cleanup_core::verdict::{Keep, Verdict};

/// How long a hold is assumed to last: another process may release it, without any event.
const HELD_FOR: Duration = Duration::from_hours(1);

/// All files of one policy that match its patterns.
#[derive(Debug, Default)]
pub(crate) struct Table {
    files: BTreeMap<Arc<[u8]>, Entry>,
    due: BTreeSet<(Moment, Arc<[u8]>)>,
    /// The index summed up by minute, so that a forecast of a day costs the same for any number of files.
    by_minute: BTreeMap<i64, Sum>,
    bytes: u64,
    /// Incremented by every full scan, so that it can tell which files it did not see.
    round: u32,
}

/// The row of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Allocated bytes.
    pub(crate) bytes: u64,
    /// The start of its age.
    pub(crate) stamp: Moment,
    /// What the file's own timestamps do not show.
    pub(crate) registration: Option<Registration>,
    pub(crate) next: Next,
    /// Whether a client registered it.
    pub(crate) told: bool,
    pub(crate) round: u32,
}

impl Entry {
    /// When the file will be removed, as far as it is known.
    pub(crate) fn due_at(&self) -> Option<Moment> {
        match self.next {
            Next::Due(at) => Some(at),
            Next::Held { .. } | Next::Look(_) | Next::Never => None,
        }
    }
}

/// How many files, and their allocated bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    files: u64,
    bytes: u64,
}

/// When to check a file again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is due then.
    Due(Moment),
    /// It is held until then, but checked earlier too, because the hold may be released.
    Held { until: Moment, again: Moment },
    /// Something else keeps it until then.
    Look(Moment),
    /// Time does not change its verdict: an archive.
    Never,
}

impl Next {
    /// What follows from a verdict at `now`.
    pub(crate) fn of(verdict: &Verdict, now: Moment) -> Self {
        match (verdict, verdict.holds_until(now)) {
            (_, None) => Self::Never,
            (Verdict::Keep(Keep::Held { .. }), Some(until)) => {
                Self::Held { until, again: until.min(now.plus(HELD_FOR)) }
            }
            (Verdict::Keep(Keep::Future { .. } | Keep::Settling { .. }), Some(at)) => Self::Look(at),
            (_, Some(at)) => Self::Due(at),
        }
    }

    pub(crate) fn at(self) -> Option<Moment> {
        match self {
            Self::Due(at) | Self::Held { again: at, .. } | Self::Look(at) => Some(at),
            Self::Never => None,
        }
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Allocated bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files have a moment at which they must be checked.
    pub(crate) fn with_deadline(&self) -> usize {
        self.due.len()
    }

    pub(crate) fn get(&self, path: &[u8]) -> Option<&Entry> {
        self.files.get(path)
    }

    pub(crate) fn round(&self) -> u32 {
        self.round
    }

    /// Inserts or updates the row of a file.
    pub(crate) fn put(&mut self, path: &[u8], entry: Entry) {
        let path = match self.files.get_key_value(path) {
            Some((path, known)) => {
                let path = Arc::clone(path);
                let known = *known;
                self.remove_moment(&path, &known);
                self.bytes -= known.bytes;
                path
            }
            None => path.into(),
        };
        if let Some(at) = entry.next.at() {
            self.due.insert((at, Arc::clone(&path)));
            let sum = self.by_minute.entry(minute(at)).or_default();
            sum.files += 1;
            sum.bytes += entry.bytes;
        }
        self.bytes += entry.bytes;
        self.files.insert(path, entry);
    }

    /// Sets when to check a file again, if it is still known.
    pub(crate) fn look_again(&mut self, path: &[u8], at: Moment) {
        if let Some(entry) = self.files.get(path).copied() {
            self.put(path, Entry { next: Next::Look(at), ..entry });
        }
    }

    pub(crate) fn forget(&mut self, path: &[u8]) -> Option<Entry> {
        let (path, entry) = self.files.remove_entry(path)?;
        self.remove_moment(&path, &entry);
        self.bytes -= entry.bytes;
        Some(entry)
    }

    /// Forgets a file, unless its row has changed. Returns whether it did.
    pub(crate) fn forget_known(&mut self, path: &[u8], known: &Entry) -> bool {
        self.files.get(path) == Some(known) && self.forget(path).is_some()
    }

    fn remove_moment(&mut self, path: &Arc<[u8]>, entry: &Entry) {
        let Some(at) = entry.next.at() else { return };
        self.due.remove(&(at, Arc::clone(path)));
        if let Some(sum) = self.by_minute.get_mut(&minute(at)) {
            sum.files -= 1;
            sum.bytes -= entry.bytes;
            if sum.files == 0 {
                self.by_minute.remove(&minute(at));
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { round: self.round, ..Self::default() };
    }

    /// The paths of all files in a folder, at any depth.
    pub(crate) fn below(&self, folder: &[u8]) -> Vec<Arc<[u8]>> {
        let start = [folder, b"/"].concat();
        let range = (Bound::Included(start.as_slice()), Bound::Unbounded);
        let below = self.files.range::<[u8], _>(range).take_while(|(path, _)| path.starts_with(&start));
        below.map(|(path, _)| Arc::clone(path)).collect()
    }

    /// The earliest moment at which any file must be checked.
    pub(crate) fn earliest(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The first `most` files whose moment has come, earliest first.
    pub(crate) fn come(&self, now: Moment, most: usize) -> Vec<Arc<[u8]>> {
        self.due.iter().take_while(|(at, _)| *at <= now).take(most).map(|(_, path)| Arc::clone(path)).collect()
    }

    /// Number and allocated bytes of the files that are due between two moments, the first included.
    pub(crate) fn due_between(&self, from: Moment, to: Moment) -> (u64, u64) {
        let (first, last) = (minute(from), minute(to));
        if first >= last {
            return self.sum_of(from, to);
        }
        let start = self.sum_of(from, Moment::from_unix((first + 1) * MINUTE, 0));
        let end = self.sum_of(Moment::from_unix(last * MINUTE, 0), to);
        let whole = self.by_minute.range(first + 1..last).map(|(_, sum)| (sum.files, sum.bytes));
        whole.chain([start, end]).fold((0, 0), |(files, bytes), sum| (files + sum.0, bytes + sum.1))
    }

    /// The same, file by file.
    fn sum_of(&self, from: Moment, to: Moment) -> (u64, u64) {
        if from >= to {
            return (0, 0);
        }
        let range = self.due.range((from, [].into())..(to, [].into()));
        range.fold((0, 0), |(files, bytes), (_, path)| {
            let entry = self.files.get(path);
            (files + 1, bytes + entry.map_or(0, |entry| entry.bytes))
        })
    }

    /// The files to check next, and when, earliest first.
    pub(crate) fn earliest_files(&self, most: usize) -> impl Iterator<Item = (&Arc<[u8]>, &Entry)> {
        let is_due = |(_, entry): &(&Arc<[u8]>, &Entry)| matches!(entry.next, Next::Due(_));
        let entries = self.due.iter().filter_map(|(_, path)| self.files.get_key_value(path));
        entries.filter(is_due).take(most)
    }

    /// How many files' moment has come.
    pub(crate) fn overdue(&self, now: Moment) -> usize {
        self.due.iter().take_while(|(at, _)| *at <= now).count()
    }

    /// Files in the order of their paths, after one of them.
    pub(crate) fn after<'a>(&'a self, path: Option<&[u8]>) -> impl Iterator<Item = (&'a Arc<[u8]>, &'a Entry)> {
        let start = path.map_or(Bound::Unbounded, Bound::Excluded);
        self.files.range::<[u8], _>((start, Bound::Unbounded))
    }

    /// Starts a full scan.
    pub(crate) fn begin_round(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// The files that the full scan did not see.
    pub(crate) fn unseen(&self) -> Vec<Arc<[u8]>> {
        self.files.iter().filter(|(_, entry)| entry.round != self.round).map(|(path, _)| Arc::clone(path)).collect()
    }

    fn registrations(&self) -> Registrations {
        let registered = |(path, entry): (&Arc<[u8]>, &Entry)| Some((path.to_vec(), entry.registration?));
        self.files.iter().filter_map(registered).collect()
    }
}

/// Is informed of rows that a sweep removed from a table.
pub(crate) trait Keeper: std::fmt::Debug + Send + Sync {
    /// These files were removed, and `before` was the earliest moment in the table before.
    fn swept(&self, gone: &[(Vec<u8>, Entry)], before: Option<Moment>);
}

/// The table of one policy, and its observer.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) table: Arc<Mutex<Table>>,
    /// `None` if the remover updates the table itself.
    pub(crate) keeper: Option<Arc<dyn Keeper>>,
}

impl Known {
    /// Reports the rows that a sweep removed, and the earliest moment before.
    pub(crate) fn tell(&self, gone: &[(Vec<u8>, Entry)], before: Option<Moment>) {
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !gone.is_empty()) {
            keeper.swept(gone, before);
        }
    }
}

const MINUTE: i64 = 60;

fn minute(at: Moment) -> i64 {
    at.unix_seconds().div_euclid(MINUTE)
}

/// The tables of all tracked policies, for sweeps.
#[derive(Debug, Default)]
pub(crate) struct Tables(RwLock<HashMap<String, Known>>);

impl Tables {
    /// The registered files; none for a policy that is not tracked here.
    pub(crate) fn registrations(&self, policy: &FilePolicy) -> Registrations {
        self.get(policy).map(|known| locked(&known.table).registrations()).unwrap_or_default()
    }

    pub(crate) fn get(&self, policy: &FilePolicy) -> Option<Known> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(&policy.rule.name).cloned()
    }

    pub(crate) fn add(&self, policy: &str, known: Known) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.insert(policy.to_owned(), known);
    }

    pub(crate) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A poisoned lock is still usable, because its content is replaced as a whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_unix(seconds, 0)
    }

    fn entry(bytes: u64, next: Next) -> Entry {
        Entry { bytes, stamp: at(0), registration: None, next, told: false, round: 0 }
    }

    #[test]
    fn the_index_follows_the_files() {
        let mut table = Table::default();
        table.put(b"b", entry(1, Next::Due(at(20))));
        table.put(b"a", entry(2, Next::Due(at(10))));
        table.put(b"z", entry(4, Next::Never));
        assert_eq!((table.len(), table.with_deadline(), table.bytes()), (3, 2, 7));
        assert_eq!(table.earliest(), Some(at(10)));
        assert!(table.come(at(9), 9).is_empty());
        assert_eq!(table.come(at(30), 9), [Arc::from(&b"a"[..]), Arc::from(&b"b"[..])]);
        assert_eq!(table.due_between(at(10), at(20)), (1, 2));

        table.put(b"a", entry(8, Next::Due(at(40))));
        assert_eq!((table.earliest(), table.bytes()), (Some(at(20)), 13));
        table.look_again(b"b", at(50));
        table.look_again(b"unknown", at(1));
        assert_eq!(table.earliest(), Some(at(40)));
        assert_eq!(table.forget(b"a").unwrap().bytes, 8);
        assert_eq!(table.forget(b"a"), None);
        assert_eq!((table.earliest(), table.len(), table.bytes()), (Some(at(50)), 2, 5));
    }

    #[test]
    fn what_comes_due_is_summed_up_to_the_second_whatever_minutes_it_crosses() {
        let mut table = Table::default();
        for (second, name) in (-130..400_i64).zip(0_u32..) {
            table.put(&name.to_be_bytes(), entry(10, Next::Due(at(second))));
        }
        for (from, to) in [(-130, 400), (-61, -60), (0, 60), (1, 59), (59, 61), (-200, 0), (7, 333), (120, 180), (5, 5)]
        {
            let files = u64::try_from(to.min(400) - from.max(-130)).unwrap();
            assert_eq!(table.due_between(at(from), at(to)), (files, files * 10), "{from}..{to}");
        }
        for name in 0_u32..530 {
            table.forget(&name.to_be_bytes());
        }
        assert!(table.by_minute.is_empty());
    }

    #[test]
    fn files_below_a_folder_are_told_from_its_namesakes() {
        let mut table = Table::default();
        for path in [&b"a/x"[..], b"a/b/y", b"a-b/z", b"a", b"ab/z"] {
            table.put(path, entry(1, Next::Never));
        }
        assert_eq!(table.below(b"a"), [Arc::from(&b"a/b/y"[..]), Arc::from(&b"a/x"[..])]);
        table.begin_round();
        assert_eq!(table.unseen().len(), 5);
        let seen = Entry { round: table.round(), ..entry(1, Next::Never) };
        table.put(b"a", seen);
        assert_eq!(table.unseen().len(), 4);
        assert_eq!(table.after(Some(b"a/x")).count(), 1, "only ab/z lies behind");
    }
}
