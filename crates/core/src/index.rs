//! The due index: what the previous sweep recorded of young files.
//!
//! An unchanged file becomes due at a known moment, and a write only makes it younger. So later sweeps can skip the
//! file until that moment, which is recorded by inode and name, without a `stat`. An index never says that something is
//! due: unknown files are scanned and judged as usual. It cannot notice that a timestamp was set back, so its owner
//! rebuilds it periodically.
//!
//! Like the whole crate, it is pure: other code stores the index between sweeps.

use std::sync::atomic::{AtomicU32, Ordering};

use twox_hash::XxHash3_64;

use crate::candidate::Class;
use crate::moment::Moment;
use crate::sweep::Judged;

/// What `statx` counts allocated space in.
const BLOCK: u64 = 512;

/// The bit of [`Slot::blocks`] that says that the file was seen again.
const RECALLED: u32 = 1 << 31;

/// The record of one file, with the fields of an entry on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Hash of inode and name; never 0.
    pub key: u64,
    /// Unix time in seconds before which it cannot be due.
    pub until: u32,
    /// Its allocated space in units of 512 bytes; less than 2³¹.
    pub blocks: u32,
}

impl Entry {
    /// The record of a file that was just judged; `None` if its future is unknown.
    pub fn of(judged: &Judged<'_>, seed: u64) -> Option<Self> {
        let candidate = &judged.candidate;
        let until = judged.verdict.kept_until().filter(|_| candidate.class != Class::EmptyDirectory)?;
        let seconds = until.unix_seconds().min(u32::MAX.into());
        Some(Self {
            key: key(seed, candidate.identity?.inode, candidate.name.last),
            until: u32::try_from(seconds).ok()?,
            blocks: u32::try_from(candidate.bytes / BLOCK).ok().filter(|blocks| blocks & RECALLED == 0)?,
        })
    }
}

/// The records of the last sweep.
#[derive(Debug)]
pub struct Index {
    seed: u64,
    now: Moment,
    slots: Vec<Slot>,
    len: usize,
}

/// Room for an entry, in the order of keys as far as there is room; a free one has the key 0.
#[derive(Debug, Default)]
struct Slot {
    key: u64,
    until: u32,
    blocks: AtomicU32,
}

impl Index {
    /// An empty index with room for `capacity` entries of 20 bytes each, to be queried at `now`. The seed is the one that
    /// the keys of the entries were made with.
    pub fn with_room_for(entries: usize, seed: u64, now: Moment) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(entries + entries / 4 + 1, Slot::default);
        Self { seed, now, slots, len: 0 }
    }

    /// The seed of its keys.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry, unless its moment has passed. Of two entries with the same key, the earlier moment counts. An
    /// entry without room is dropped, which costs one scan of that file.
    pub fn add(&mut self, entry: Entry) {
        let is_young = i64::from(entry.until) > self.now.unix_seconds();
        if !is_young || entry.key == 0 || entry.blocks & RECALLED != 0 {
            return;
        }
        let at = self.find(entry.key);
        let has_room = self.len + 1 < self.slots.len();
        let slot = &mut self.slots[at];
        if slot.key == entry.key {
            slot.until = slot.until.min(entry.until);
        } else if has_room {
            *slot = Slot { key: entry.key, until: entry.until, blocks: AtomicU32::new(entry.blocks) };
            self.len += 1;
        }
    }

    /// The allocated bytes of a file that cannot be due yet, and marks it as present; `None` if it must be scanned.
    pub fn recall(&self, inode: u64, name: &[u8]) -> Option<u64> {
        let key = key(self.seed, inode, name);
        let slot = &self.slots[self.find(key)];
        let blocks = (slot.key == key).then(|| slot.blocks.fetch_or(RECALLED, Ordering::Relaxed))?;
        Some(u64::from(blocks & !RECALLED) * BLOCK)
    }

    /// Until when a file is skipped, if it is.
    pub fn passes_by_until(&self, inode: u64, name: &[u8]) -> Option<Moment> {
        let key = key(self.seed, inode, name);
        let slot = &self.slots[self.find(key)];
        (slot.key == key).then(|| Moment::from_unix(slot.until.into(), 0))
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.slots.iter().filter(|slot| slot.key != 0).map(Slot::entry)
    }

    /// The entries of files that were seen again.
    pub fn recalled(&self) -> impl Iterator<Item = Entry> {
        let is_recalled = |slot: &&Slot| slot.blocks.load(Ordering::Relaxed) & RECALLED != 0;
        self.slots.iter().filter(is_recalled).map(Slot::entry)
    }

    /// Where a key is, or would be: at its place in the order, or behind it.
    fn find(&self, key: u64) -> usize {
        let len = self.slots.len() as u128;
        let first = usize::try_from((u128::from(key) * len) >> u64::BITS).expect("less than the number of slots");
        let (before, behind) = self.slots.split_at(first);
        let is_it = |slot: &Slot| slot.key == key || slot.key == 0;
        let found = behind.iter().position(is_it).map(|place| first + place);
        found.or_else(|| before.iter().position(is_it)).expect("one slot is always free")
    }
}

impl Slot {
    fn entry(&self) -> Entry {
        Entry { key: self.key, until: self.until, blocks: self.blocks.load(Ordering::Relaxed) & !RECALLED }
    }
}

/// By a hash that is the same in all versions and on all machines.
fn key(seed: u64, inode: u64, name: &[u8]) -> u64 {
    // An odd factor: each inode has a seed of its own.
    let seed = seed ^ inode.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    XxHash3_64::oneshot_with_seed(seed, name).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_unix(1_000, 500);

    fn index(entries: &[(u64, &str, u32)]) -> Index {
        let mut index = Index::with_room_for(entries.len(), 7, NOW);
        for (inode, name, until) in entries {
            index.add(Entry { key: key(7, *inode, name.as_bytes()), until: *until, blocks: 8 });
        }
        index
    }

    #[test]
    fn only_what_is_young_is_recalled() {
        let index = index(&[(1, "young", 1_001), (2, "now", 1_000), (3, "old", 999)]);
        assert_eq!(index.recall(1, b"young"), Some(4_096));
        assert_eq!(index.recall(1, b"young"), Some(4_096), "again");
        assert_eq!(index.passes_by_until(1, b"young"), Some(Moment::from_unix(1_001, 0)));
        for (inode, name) in [(2, "now"), (3, "old"), (9, "young"), (1, "younger"), (1, "")] {
            assert_eq!(index.recall(inode, name.as_bytes()), None, "{inode} {name}");
            assert_eq!(index.passes_by_until(inode, name.as_bytes()), None, "{inode} {name}");
        }
    }

    #[test]
    fn of_two_files_that_look_alike_the_earlier_moment_counts() {
        for (first, second) in [(2_000, 3_000), (3_000, 2_000)] {
            let index = index(&[(1, "a", first), (1, "a", second)]);
            assert_eq!(index.entries().map(|entry| entry.until).collect::<Vec<_>>(), [2_000]);
        }
    }

    #[test]
    fn what_was_not_seen_again_is_not_handed_on() {
        let index = index(&[(1, "a", 2_000), (2, "b", 2_000), (3, "c", 2_000)]);
        index.recall(2, b"b");
        let expected = Entry { key: key(7, 2, b"b"), until: 2_000, blocks: 8 };
        assert_eq!(index.recalled().collect::<Vec<_>>(), [expected]);
        assert_eq!(index.entries().count(), 3);
    }

    #[test]
    fn many_entries_are_all_found_and_no_others() {
        let names: Vec<String> = (0..5_000).map(|number| format!("formal_{number}.svg")).collect();
        let mut index = Index::with_room_for(names.len(), 1, NOW);
        for (inode, name) in (0..).zip(&names) {
            index.add(Entry { key: key(1, inode, name.as_bytes()), until: 5_000, blocks: 1 });
        }
        assert_eq!(index.len(), names.len());
        for (inode, name) in (0..).zip(&names) {
            assert_eq!(index.recall(inode, name.as_bytes()), Some(512));
            assert_eq!(index.recall(inode + 1, name.as_bytes()), None);
        }
    }

    #[test]
    fn more_than_there_is_room_for_is_forgotten() {
        let mut index = Index::with_room_for(4, 1, NOW);
        for key in 1..=100 {
            index.add(Entry { key: key << 57, until: 5_000, blocks: 1 });
        }
        assert!(index.len() >= 4 && index.entries().count() == index.len());
        assert_eq!(Index::with_room_for(0, 1, NOW).recall(1, b"a"), None);
    }

    #[test]
    fn keys_do_not_change_between_versions() {
        assert_eq!(key(0, 0, b""), 0x2d06_8005_38d3_94c2);
    }
}
