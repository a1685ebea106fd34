//! Which session tables a database has, and the policy that fits each: for `init --from-env`.
//!
//! A framework is told by the columns of its table, not by the table's name alone: the `sessions` of Laravel, Symfony and
//! Rails have nothing in common. What the columns cannot say is taken from their values: what a number counts, and whether
//! a text names its offset from UTC. Nothing is changed, and no value of a row is ever shown.

mod frameworks;
mod propose;

use std::path::Path;

pub(crate) use self::propose::{Column, Dialect, Holds, Sample, Table, Wanted, table_name};
use crate::database::{self, Target};
use crate::report::obstacle::Stop;
use crate::{postgres, sqlite};

/// What a database has of session tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Tables of known frameworks, each with the policy that fits.
    pub found: Vec<Proposal>,
    /// Other tables that look like sessions; what they are for is for a person to say.
    pub likely: Vec<Proposal>,
    /// Tables of known frameworks for which no policy can be written, and why, in sentences.
    pub refused: Vec<String>,
    /// Every table that was looked at, as the key `table` names it.
    pub tables: Vec<String>,
}

/// A policy that fits a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The framework that makes such a table; `None` of one that only looks like sessions.
    pub framework: Option<&'static str>,
    /// The keys of the policy beside `url`, in the order in which they are written.
    pub keys: Vec<(&'static str, String)>,
    /// What whoever reads the policy has to know, in sentences.
    pub remarks: Vec<&'static str>,
}

impl Proposal {
    /// The table, as the key `table` names it.
    pub fn table(&self) -> &str {
        self.keys.iter().find(|(key, _)| *key == "table").map_or("", |(_, table)| table)
    }
}

/// Why a database could not be looked at. Never quotes its URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DiscoverError(String);

/// Looks at the tables of the database that a URL leads to. `base` is the folder that a relative SQLite file is relative
/// to.
///
/// # Errors
/// The URL cannot be read, or the database does not answer.
pub async fn discover(url: &str, base: &Path) -> Result<Discovery, DiscoverError> {
    let looked = match database::parse(url, base).map_err(|error| DiscoverError(error.to_string()))? {
        Target::Postgres(server) => postgres::tables(&server).await,
        Target::Sqlite(file) => sqlite::tables(&file).await,
    };
    looked.map_err(|stop| {
        DiscoverError(match stop {
            Stop::Unset(variable) => format!("{variable} is not set"),
            Stop::Busy => "a table is locked by another connection".to_owned(),
            Stop::AnotherNode => "another node is already sweeping".to_owned(),
            Stop::Away(why) | Stop::Missing(why) | Stop::GaveUp(why) | Stop::Held(why) | Stop::Failed(why) => why,
        })
    })
}

impl Discovery {
    /// Takes up what is said of a table.
    pub(crate) fn take(&mut self, wanted: &Wanted<'_>, sample: &Sample) {
        match wanted.proposal(sample) {
            Ok(proposal) if proposal.framework.is_some() => self.found.push(proposal),
            Ok(proposal) => self.likely.push(proposal),
            Err(why) if wanted.is_known() => self.refused.push(why),
            Err(_) => {}
        }
    }
}
