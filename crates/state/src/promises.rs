//! Promises: what somebody was told would be kept.
//!
//! `promises.jsonl` is append-only, one line a promise, each with a checksum ([`line`]). A line counts once it is
//! flushed to the disk ([`file`]); only then is the promise given. Two processes never interleave: whoever reads to
//! repair, or appends, holds the guard `locks/promises.jsonl`. That file also says how many promises there were and the
//! number of the last line, so that a file that was deleted or shortened can be told from one that never held more: its
//! promises are [`Lost`], until somebody accepts that.
//!
//! A promise is forgotten only where it was released, or has expired under a clock that is trusted: a clock that
//! jumped a year ahead must not cost one.

mod error;
mod file;
mod line;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::path::Path;

use cleanup_core::moment::Moment;

pub use self::error::{Lost, PromisesError};

use self::file::{Files, Found, Guard, Remembered};
use self::line::{Entry, Record, Repair};
use crate::folder::Access;

/// Fewest lines at which the file is compacted.
const WORTH_COMPACTING: usize = 16;

/// A path that is kept, whatever its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The absolute path.
    pub path: Vec<u8>,
    /// Kept until then, to the millisecond.
    pub until: Moment,
    /// When it was made.
    pub made_at: Moment,
    /// Why, in the words of whoever made it.
    pub reason: Option<String>,
    /// Who asked for it, where that has a name.
    pub by: Option<String>,
}

/// A file that was given a time of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// The absolute path.
    pub path: Vec<u8>,
    /// When that time ends, to the millisecond.
    pub until: Moment,
    /// When it began, to the millisecond.
    pub made_at: Moment,
}

/// All promises of one state folder.
#[derive(Debug)]
pub struct Promises {
    files: Files,
    access: Access,
    held: BTreeMap<Vec<u8>, Hold>,
    ttls: BTreeMap<Vec<u8>, Ttl>,
    /// Lines in the file, dead ones included.
    lines: usize,
    /// The number of the last line.
    sequence: u64,
    /// What was promised and is no longer there.
    lost: Option<Lost>,
    /// What the file looked like when it was read; `None` before that, and when that failed.
    read: Option<Found>,
    /// What is still to be repaired.
    torn: Option<Repair>,
    notes: Vec<String>,
}

impl Promises {
    /// Reads nothing yet.
    pub(crate) fn new(folder: &Path, access: Access) -> Self {
        Self {
            files: Files::new(folder),
            access,
            held: BTreeMap::new(),
            ttls: BTreeMap::new(),
            lines: 0,
            sequence: 0,
            lost: None,
            read: None,
            torn: None,
            notes: Vec::new(),
        }
    }

    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// What was promised and is no longer in the file. Whoever deletes in spite of it may delete what was promised.
    pub fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }

    /// Accepts that promises are lost: from now on the file counts as complete.
    pub fn accept_loss(&mut self) -> Result<(), PromisesError> {
        let guard = self.guard()?;
        self.read(&guard)?;
        if self.lost.is_some() {
            let lines = u64::try_from(self.lines).unwrap_or(u64::MAX);
            self.append(&guard, &[Entry::Checkpoint { lines }])?;
        }
        Ok(())
    }

    /// The holds that are in force, in order of their paths' bytes.
    pub fn holds(&self, now: Moment) -> impl Iterator<Item = &Hold> {
        self.held.values().filter(move |hold| hold.until > now)
    }

    /// Keeps an absolute path until then; a later call for the same path replaces the earlier. When this returns, the
    /// promise is on the disk.
    pub fn hold(&mut self, path: &[u8], until: Moment, now: Moment) -> Result<(), PromisesError> {
        self.hold_because(path, until, None, now)
    }

    /// As [`Promises::hold`], with the name of whoever asked for it.
    pub fn hold_by(&mut self, path: &[u8], until: Moment, by: Option<&str>, now: Moment) -> Result<(), PromisesError> {
        let by = by.map(str::to_owned);
        self.add_hold(Hold { path: path.to_owned(), until, made_at: now, reason: None, by })
    }

    /// As [`Promises::hold`], with the reason why.
    pub fn hold_because(
        &mut self,
        path: &[u8],
        until: Moment,
        reason: Option<&str>,
        now: Moment,
    ) -> Result<(), PromisesError> {
        let reason = reason.map(str::to_owned);
        self.add_hold(Hold { path: path.to_owned(), until, made_at: now, reason, by: None })
    }

    fn add_hold(&mut self, hold: Hold) -> Result<(), PromisesError> {
        if !hold.path.starts_with(b"/") || hold.path.contains(&0) {
            return Err(PromisesError::NotAbsolute { path: hold.path });
        }
        let guard = self.guard()?;
        self.read(&guard)?;
        self.append(&guard, &[Entry::Hold(hold)])?;
        self.compact_if_worth_it(&guard, None);
        Ok(())
    }

    /// Keeps many absolute paths until then, all with one write; one that is kept longer already stays so. When this
    /// returns, all of them are promises on the disk.
    pub fn hold_all(
        &mut self,
        paths: &[Vec<u8>],
        until: Moment,
        by: Option<&str>,
        now: Moment,
    ) -> Result<(), PromisesError> {
        if let Some(path) = paths.iter().find(|path| !path.starts_with(b"/") || path.contains(&0)) {
            return Err(PromisesError::NotAbsolute { path: path.clone() });
        }
        let guard = self.guard()?;
        self.read(&guard)?;
        let is_shorter = |path: &&Vec<u8>| self.held.get(*path).is_none_or(|hold| hold.until < until);
        let hold = |path: &Vec<u8>| {
            Entry::Hold(Hold { path: path.clone(), until, made_at: now, reason: None, by: by.map(str::to_owned) })
        };
        let entries: Vec<_> = paths.iter().filter(is_shorter).map(hold).collect();
        if !entries.is_empty() {
            self.append(&guard, &entries)?;
            self.compact_if_worth_it(&guard, None);
        }
        Ok(())
    }

    /// Releases a path. Says whether it was held.
    pub fn release(&mut self, path: &[u8], now: Moment) -> Result<bool, PromisesError> {
        let guard = self.guard()?;
        self.read(&guard)?;
        if self.held.get(path).is_none_or(|hold| hold.until <= now) {
            return Ok(false);
        }
        self.append(&guard, &[Entry::Release { path: path.to_owned(), at: now }])?;
        self.compact_if_worth_it(&guard, None);
        Ok(true)
    }

    /// The times that were given to files, those that are over included, in order of their paths' bytes.
    pub fn ttls(&self) -> impl Iterator<Item = &Ttl> {
        self.ttls.values()
    }

    /// The time that was given to the file with this absolute path.
    pub fn ttl(&self, path: &[u8]) -> Option<&Ttl> {
        self.ttls.get(path)
    }

    /// Gives a file, by its absolute path, a time of its own until then; a later call replaces the earlier. When this
    /// returns, the promise is on the disk.
    pub fn give_ttl(&mut self, path: &[u8], until: Moment, now: Moment) -> Result<(), PromisesError> {
        if !path.starts_with(b"/") || path.contains(&0) {
            return Err(PromisesError::NotAbsolute { path: path.to_owned() });
        }
        let guard = self.guard()?;
        self.read(&guard)?;
        self.append(&guard, &[Entry::Ttl(Ttl { path: path.to_owned(), until, made_at: now })])?;
        self.compact_if_worth_it(&guard, None);
        Ok(())
    }

    /// Takes back the times of files that are gone, or that count by their policy again.
    pub fn forget_ttls(&mut self, paths: &[&[u8]], now: Moment) -> Result<(), PromisesError> {
        if !paths.iter().any(|path| self.ttls.contains_key(*path)) {
            return Ok(());
        }
        let guard = self.guard()?;
        self.read(&guard)?;
        let known = paths.iter().filter(|path| self.ttls.contains_key(**path));
        let entries: Vec<_> = known.map(|path| Entry::Forget { path: path.to_vec(), at: now }).collect();
        self.append(&guard, &entries)?;
        self.compact_if_worth_it(&guard, None);
        Ok(())
    }

    /// Reads the file, if it is not as it was when it was last read.
    pub(crate) fn refresh(&mut self) -> Result<(), PromisesError> {
        if self.is_current()? {
            return Ok(());
        }
        let guard = match self.access {
            Access::Keep => match self.files.guard() {
                Ok(guard) => Some(guard),
                // On a full disk there may be no guard yet; then nobody else can make one to append under either.
                Err(PromisesError::Unreadable { .. }) => None,
                Err(error) => return Err(error),
            },
            Access::Look => self.files.guard_to_look()?,
        };
        self.take_in(guard.as_ref())?;
        if self.access == Access::Keep && guard.is_some() {
            // It is understood as it is: a repair that fails is tried again before the next promise is written.
            if let Err(error) = self.mend() {
                self.notes.push(error.to_string());
            }
        }
        Ok(())
    }

    /// Lets go of what has expired, where the file is worth rewriting. Only under a trusted clock.
    pub(crate) fn forget_expired(&mut self, now: Moment) {
        // What was never read, or cannot be trusted, is left alone.
        if self.access == Access::Look || self.read.is_none() || !self.is_worth_compacting(Some(now)) {
            return;
        }
        let forgotten = self.guard().and_then(|guard| {
            self.read(&guard)?;
            Ok(guard)
        });
        match forgotten {
            Ok(guard) => self.compact_if_worth_it(&guard, Some(now)),
            Err(error) => self.notes.push(error.to_string()),
        }
    }

    /// Whether the file is as it was when it was read. Where lines are lost, that does not suffice: the folder may have been
    /// lost since, and with it the number that told of them.
    fn is_current(&self) -> Result<bool, PromisesError> {
        Ok(self.lost.is_none() && self.read == Some(self.files.look()?))
    }

    fn guard(&self) -> Result<Guard, PromisesError> {
        match self.access {
            Access::Keep => self.files.guard(),
            Access::Look => {
                let error = io::Error::new(io::ErrorKind::Unsupported, "the state folder was opened to look only");
                Err(self.files.unwritable(error))
            }
        }
    }

    /// Makes sure that the file is known as it is now, and may be appended to.
    fn read(&mut self, guard: &Guard) -> Result<(), PromisesError> {
        if !self.is_current()? {
            self.take_in(Some(guard))?;
        }
        self.mend()
    }

    /// Takes in what the file says.
    fn take_in(&mut self, guard: Option<&Guard>) -> Result<(), PromisesError> {
        // Forgotten until it succeeds: nothing of an earlier reading may be believed after a failure.
        self.read = None;
        self.torn = None;
        self.held.clear();
        self.ttls.clear();
        self.lines = 0;
        self.sequence = 0;
        let known = self.lost.take();
        let remembered = guard.map(|guard| guard.remembered(&self.files)).transpose()?.unwrap_or_default();
        let Some((file, found)) = self.files.open()? else {
            self.read = Some(Found::Missing);
            self.note_loss(Lost::gone(self.files.promises(), remembered.count), known.as_ref());
            return Ok(());
        };
        let content = line::parse(BufReader::new(file)).map_err(|error| self.files.unreadable(error))?;
        let content = content.map_err(|flaw| self.files.untrusted(flaw))?;
        self.notes.extend(content.repair.map(|repair| repair.note(self.files.promises())));
        for entry in content.entries {
            self.apply(entry);
        }
        self.sequence = content.sequence;
        if content.has_gap || self.is_short_of(remembered) {
            self.note_loss(
                Some(Lost::shortened(self.files.promises(), self.count(), remembered.count)),
                known.as_ref(),
            );
        }
        self.read = Some(found);
        self.torn = content.repair;
        Ok(())
    }

    /// Whether the guard knows of lines, or of promises, that are not there. Where nothing was in force, nothing is lost
    /// with them.
    fn is_short_of(&self, remembered: Remembered) -> bool {
        match remembered.sequence.map(|sequence| self.sequence.cmp(&sequence)) {
            // Written, and killed before it was remembered.
            Some(Ordering::Greater) => false,
            // With a line that took something back, something is in force that no longer was.
            Some(Ordering::Less) => remembered.count > 0 || self.count() > 0,
            // Lines that were rewritten have no numbers: one of them may be there twice, in the place of another.
            Some(Ordering::Equal) | None => self.count() < remembered.count,
        }
    }

    /// Says what is lost, unless that was known already.
    fn note_loss(&mut self, lost: Option<Lost>, known: Option<&Lost>) {
        self.notes.extend(lost.as_ref().filter(|lost| known != Some(*lost)).map(ToString::to_string));
        self.lost = lost;
    }

    /// Repairs the end of the file, if it was torn.
    fn mend(&mut self) -> Result<(), PromisesError> {
        if let Some(repair) = &self.torn {
            self.files.repair(repair)?;
            self.torn = None;
            self.read = Some(self.files.look()?);
        }
        Ok(())
    }

    fn append(&mut self, guard: &Guard, entries: &[Entry]) -> Result<(), PromisesError> {
        // Where lines are lost, the next one leaves a gap behind them: so the loss is known until it is accepted.
        let lost = if self.lost.is_some() {
            guard.remembered(&self.files)?.sequence.unwrap_or(0).max(self.sequence + 1)
        } else {
            0
        };
        let mut sequence = self.sequence.max(lost);
        let mut records: Vec<Record> = Vec::with_capacity(entries.len());
        for entry in entries {
            sequence += 1;
            records.push(line::encode(Some(sequence), entry));
        }
        if records.iter().any(|record| line::is_longer(record.text.len() as u64)) {
            return Err(self.files.unwritable(io::Error::new(io::ErrorKind::InvalidInput, "it is too long")));
        }
        let text: String = records.iter().map(|record| record.text.as_str()).collect();
        // Until a checkpoint accepts it, what was lost is not to be forgotten because little is promised by now.
        let is_accepted = entries.iter().any(|entry| matches!(entry, Entry::Checkpoint { .. }));
        let open = self.lost.as_ref().filter(|_| !is_accepted).map_or(0, Lost::remembered);
        let count = self.count_after(entries).max(open);
        self.files.append(text.as_bytes(), || guard.remember(count, sequence))?;
        for record in records {
            if let Entry::Checkpoint { .. } = record.entry {
                self.lost = None;
            }
            self.apply(record.entry);
        }
        self.sequence = sequence;
        self.read = Some(self.files.look()?);
        Ok(())
    }

    fn count(&self) -> usize {
        self.held.len() + self.ttls.len()
    }

    /// How many promises there will be with these.
    fn count_after(&self, entries: &[Entry]) -> usize {
        // Whether each of the paths that they name is held, or has a time, in the end.
        let mut held: BTreeMap<&[u8], bool> = BTreeMap::new();
        let mut timed: BTreeMap<&[u8], bool> = BTreeMap::new();
        for entry in entries {
            match entry {
                Entry::Hold(Hold { path, .. }) => held.insert(path, true),
                Entry::Release { path, .. } => held.insert(path, false),
                Entry::Ttl(Ttl { path, .. }) => timed.insert(path, true),
                Entry::Forget { path, .. } => timed.insert(path, false),
                Entry::Checkpoint { .. } => None,
            };
        }
        let untouched = self.held.keys().filter(|path| !held.contains_key(path.as_slice())).count()
            + self.ttls.keys().filter(|path| !timed.contains_key(path.as_slice())).count();
        untouched + held.values().chain(timed.values()).filter(|there| **there).count()
    }

    fn apply(&mut self, entry: Entry) {
        self.lines += 1;
        match entry {
            Entry::Hold(hold) => {
                self.held.insert(hold.path.clone(), hold);
            }
            Entry::Release { path, .. } => {
                self.held.remove(&path);
            }
            Entry::Ttl(ttl) => {
                self.ttls.insert(ttl.path.clone(), ttl);
            }
            Entry::Forget { path, .. } => {
                self.ttls.remove(&path);
            }
            Entry::Checkpoint { .. } => {}
        }
    }

    /// Whether more than half of the lines are dead. Only with a trusted `now` are expired ones.
    fn is_worth_compacting(&self, now: Option<Moment>) -> bool {
        let lives = |until: Moment| now.is_none_or(|now| until > now);
        let live = self.held.values().filter(|hold| lives(hold.until)).count()
            + self.ttls.values().filter(|ttl| lives(ttl.until)).count();
        self.lines >= WORTH_COMPACTING && live * 2 < self.lines
    }

    /// Rewrites the file with what is alive. A failure costs nothing but room: the old file stays.
    fn compact_if_worth_it(&mut self, guard: &Guard, now: Option<Moment>) {
        // What was lost stays known: a new file would look complete.
        if self.lost.is_some() || !self.is_worth_compacting(now) {
            return;
        }
        let lives = |until: Moment| now.is_none_or(|now| until > now);
        let (mut held, mut ttls) = (self.held.clone(), self.ttls.clone());
        held.retain(|_, hold| lives(hold.until));
        ttls.retain(|_, ttl| lives(ttl.until));
        let entries = held.values().cloned().map(Entry::Hold).chain(ttls.values().cloned().map(Entry::Ttl));
        let mut text: String = entries.map(|entry| line::encode(None, &entry).text).collect();
        let count = held.len() + ttls.len();
        let checkpoint = Entry::Checkpoint { lines: u64::try_from(count).unwrap_or(u64::MAX) };
        text.push_str(&line::encode(Some(self.sequence), &checkpoint).text);
        // Remembered first: whoever is killed in between leaves more than is remembered, which is no loss.
        let remembered = guard.remember(count, self.sequence).map_err(|not| not.error);
        let replaced = remembered.and_then(|()| self.files.replace(text.as_bytes()));
        match replaced {
            Ok(found) => {
                self.lines = count + 1;
                (self.held, self.ttls) = (held, ttls);
                self.read = Some(found);
            }
            Err(error) => {
                // Whether it was replaced is found out when it is read the next time.
                self.read = None;
                self.notes.push(format!("{} could not be compacted: {error}", self.files.promises().display()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
