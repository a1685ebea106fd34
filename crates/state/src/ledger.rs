//! The ledger: one SQLite database, opened when first needed, replaced when it is broken, never in the way.
//!
//! Every operation goes through [`Ledger::run`], which decides what a failure means. A *broken* or *newer* database is
//! set aside under another name and the operation is tried once more on a new one. A database that is *away* (locked
//! too long, on a full disk, unreadable, another program's) is left where it is, and for the rest of this run nothing
//! more is asked of it: one wait, one note.
//!
//! SQLite must not lose its file while it has it open: a process that closes last deletes the write-ahead log *by
//! name*. So everybody who has the database open holds a shared `flock` on its guard file, and to migrate it or to set
//! it aside takes that lock alone.

mod clock;
mod fault;
mod observe;
mod open;
mod own_folders;
mod past;
mod policies;
mod runs;
mod schema;
mod stops;
#[cfg(test)]
mod tests;
mod tracked;

use std::path::{Path, PathBuf};

use sqlx::SqliteConnection;

pub use self::clock::ClockReading;
pub use self::observe::{Observation, Observed, Sample};
pub use self::past::{LastSweep, Runs, RunsQuery, TrendPoint};
pub use self::policies::PolicyMemory;
pub use self::runs::{AmbiguousRun, LastRun, RunSummary};
pub use self::stops::{Stop, StoppedAt};
pub use self::tracked::TrackedChange;

use self::fault::Fault;
use self::open::{Glance, Opened, Remedy};
use crate::folder::Access;

/// How often a read is tried again when the database changes during it.
const GLANCES: u32 = 3;

#[derive(Debug)]
pub(crate) struct Ledger {
    place: Place,
    access: Access,
    link: Link,
    /// The inode that was opened last, so that only this one is ever set aside.
    tried: u64,
    notes: Vec<String>,
}

/// Where the database is.
#[derive(Debug)]
struct Place {
    database: PathBuf,
    guard: PathBuf,
    /// Whether it lies in our own folder, where whatever has its name is ours to set aside.
    at_home: bool,
}

#[derive(Debug)]
enum Link {
    Closed,
    Open(Opened),
    /// It failed in this run; asked again in the next.
    GivenUp,
}

impl Ledger {
    /// Opens nothing yet.
    pub(crate) fn new(folder: &Path, database: Option<&Path>, access: Access) -> Self {
        let place = match database {
            None => Place::at_home(folder),
            Some(path) => Place::elsewhere(folder, path),
        };
        Self { place, access, link: Link::Closed, tried: 0, notes: Vec::new() }
    }

    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Closes the database until the next operation.
    pub(crate) fn rest(&mut self) {
        self.link = Link::Closed;
    }

    /// Ends a run: a database that was away is asked again in the next one.
    fn end_of_run(&mut self) {
        if matches!(self.link, Link::GivenUp) {
            self.link = Link::Closed;
        }
    }

    /// Runs one operation. `None` when the database could not do it; a note then says why.
    fn run<T>(&mut self, operation: &impl AsyncFn(&mut SqliteConnection) -> Result<T, sqlx::Error>) -> Option<T> {
        match self.access {
            Access::Look => self.glance(operation),
            Access::Keep => self.keep(operation),
        }
    }

    /// As [`Ledger::run`], for what changes the database: whoever only looks changes nothing.
    fn change<T>(&mut self, operation: &impl AsyncFn(&mut SqliteConnection) -> Result<T, sqlx::Error>) -> Option<T> {
        match self.access {
            Access::Look => None,
            Access::Keep => self.keep(operation),
        }
    }

    fn keep<T>(&mut self, operation: &impl AsyncFn(&mut SqliteConnection) -> Result<T, sqlx::Error>) -> Option<T> {
        // The second time is on a new database.
        for again in [false, true] {
            match self.try_keep(operation, again) {
                Ok(done) => return done,
                Err(fault) => {
                    self.link = Link::GivenUp;
                    let remedy = match &fault {
                        Fault::Broken(_) | Fault::Newer if !again => self.place.set_aside(&fault, self.tried),
                        _ => Remedy::None(String::new()),
                    };
                    let database = self.place.shown();
                    match remedy {
                        Remedy::None(why) => {
                            self.note(format!("{database}{fault}{why}; no state is kept this time"));
                            return None;
                        }
                        Remedy::SetAside(aside) => self.note(format!(
                            "{database}{fault}; it was set aside as {}, and starting a new one, without the history \
                             of earlier runs",
                            aside.display(),
                        )),
                        Remedy::AlreadyDone => {}
                    }
                    self.link = Link::Closed;
                }
            }
        }
        None
    }

    fn try_keep<T>(
        &mut self,
        operation: &impl AsyncFn(&mut SqliteConnection) -> Result<T, sqlx::Error>,
        again: bool,
    ) -> Result<Option<T>, Fault> {
        if matches!(self.link, Link::Closed) {
            let (opened, note) = self.place.open(&mut self.tried)?;
            // After one was set aside, that it is gone is no news.
            self.notes.extend(note.filter(|_| !again));
            self.link = Link::Open(opened);
        }
        match &mut self.link {
            Link::Open(opened) => opened.run(operation).map(Some),
            Link::Closed | Link::GivenUp => Ok(None),
        }
    }

    /// Looks without changing anything, once more when the database changed under the look.
    fn glance<T>(&mut self, operation: &impl AsyncFn(&mut SqliteConnection) -> Result<T, sqlx::Error>) -> Option<T> {
        if matches!(self.link, Link::GivenUp) {
            return None;
        }
        let mut last = None;
        for _ in 0..GLANCES {
            match self.place.glance(operation) {
                Ok(Glance::Nothing) => return None,
                Ok(Glance::Steady(found)) => return Some(found),
                Ok(Glance::Changed(found)) => last = Some(Ok(found)),
                Err(fault) => last = Some(Err(fault)),
            }
        }
        match last? {
            Ok(found) => Some(found),
            Err(fault) => {
                self.link = Link::GivenUp;
                self.note(format!("{}{fault}; continuing without state", self.place.shown()));
                None
            }
        }
    }

    fn note(&mut self, note: String) {
        tracing::debug!("{note}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
