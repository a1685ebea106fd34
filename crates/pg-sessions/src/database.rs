//! What a database has to bring, and the course of a call that is the same for all of them.
//!
//! [`Database`] is all there is to write for one more. Which one a URL leads to is an enum, so that choosing stays a match
//! that the compiler knows to be complete, and no future has to be boxed.

use std::path::Path;

use cleanup_core::policy::{Database as Named, SessionPolicy};
use cleanup_core::sweep::Observer;

use crate::postgres::{self, Server};
use crate::report::finding::{Finding, first_problem, may_begin};
use crate::report::ledger::Ledger;
use crate::report::obstacle::Stop;
use crate::rule::clocks::Clock;
use crate::rule::names::Sql;
use crate::sqlite::{self, File};
use crate::url::{UrlError, Variable, split_scheme};
use crate::{Examination, Rows, SessionStats, Strategy, TableFacts};

/// How often a table is looked at whose partitions are dropped under the look.
const LOOKS: u32 = 3;

/// What a URL leads to.
pub(crate) enum Target {
    Postgres(Box<Server>),
    Sqlite(File),
}

/// One database, and what it does for a policy over one connection. Futures are `Send`: callers may spawn a run.
pub(crate) trait Database: Sync {
    type Session: Send;
    /// What is known of the table once it was found; everything after that stands on it.
    type Ground: Send + Sync;

    fn open(&self, policy: &SessionPolicy, access: Access) -> impl Future<Output = Result<Self::Session, Stop>> + Send;

    /// Asks for everything that would make a sweep fail, wait or surprise.
    fn inspect(
        &self,
        session: &mut Self::Session,
        policy: &SessionPolicy,
        clock: &Clock,
    ) -> impl Future<Output = Result<Inspected<Self::Ground>, Stop>> + Send;

    /// Removes what is due. What was committed is in the ledger, however it ends.
    fn sweep(
        &self,
        session: &mut Self::Session,
        ground: &Self::Ground,
        run: Run<'_>,
    ) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Counts what a sweep would take, exactly, in one snapshot, `ahead` seconds from now.
    fn plan(
        &self,
        session: &mut Self::Session,
        ground: &Self::Ground,
        policy: &SessionPolicy,
        ahead: f64,
        ledger: &mut Ledger,
    ) -> impl Future<Output = Result<(), Stop>> + Send;

    fn stats(
        &self,
        session: &mut Self::Session,
        ground: &Self::Ground,
        policy: &SessionPolicy,
        seen: Seen,
    ) -> impl Future<Output = Result<SessionStats, Stop>> + Send;

    /// How a sweep would go about the table.
    fn facts(
        &self,
        session: &mut Self::Session,
        ground: &Self::Ground,
        policy: &SessionPolicy,
        seen: Seen,
    ) -> impl Future<Output = Result<TableFacts, Stop>> + Send;

    /// The rows with a key, each with what a sweep would make of it.
    fn explain(
        &self,
        session: &mut Self::Session,
        ground: &Self::Ground,
        policy: &SessionPolicy,
        clock: &Clock,
        key: &str,
    ) -> impl Future<Output = Result<Rows, Stop>> + Send;

    /// Hands on what the operator's own query answers.
    fn references(
        &self,
        session: &mut Self::Session,
        policy: &SessionPolicy,
        query: &Sql,
        each: &mut (dyn FnMut(&[u8]) + Send),
    ) -> impl Future<Output = Result<(), Stop>> + Send;

    fn close(&self, session: Self::Session) -> impl Future<Output = ()> + Send;
}

/// Whether a connection may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Look,
    Change,
}

/// What a look at a policy's table came to.
pub(crate) struct Inspected<G> {
    /// `None` when there is no such table or column; the findings say so.
    pub(crate) ground: Option<G>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) seen: Seen,
}

impl<G> Inspected<G> {
    /// The table cannot be used at all.
    pub(crate) fn nothing(findings: Vec<Finding>) -> Self {
        Self { ground: None, findings, seen: Seen::default() }
    }
}

/// What the values of the activity column look like.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Rows that have no plausible time, as far as they were come across.
    pub(crate) implausible: u64,
    /// What looks wrong, in sentences.
    pub(crate) notes: Vec<String>,
    /// Whether nothing may be removed because most values are no times.
    pub(crate) is_refused: bool,
    /// Seconds by which the database's clock is ahead of this machine's; `None` where it has none of its own.
    pub(crate) clock_ahead_seconds: Option<f64>,
}

impl Seen {
    /// Takes down what is wrong with the values: they are refused altogether, or some are worth a word.
    pub(crate) fn take_down(&mut self, refusal: Option<String>, notes: Vec<String>, findings: &mut Vec<Finding>) {
        if let Some(refusal) = refusal {
            self.is_refused = true;
            self.notes.push(refusal.clone());
            findings.push(Finding::problem(refusal));
        } else {
            findings.extend(notes.iter().cloned().map(Finding::warning));
            self.notes.extend(notes);
        }
    }
}

/// What a sweep is given.
pub(crate) struct Run<'a> {
    pub(crate) policy: &'a SessionPolicy,
    /// `None` leaves the choice to the database's own estimate.
    pub(crate) strategy: Option<Strategy>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) ledger: &'a mut Ledger,
}

/// What is done with the rows that are due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    /// They are counted, as of so many seconds from now.
    Plan { ahead: f64 },
    /// They are removed.
    Apply { strategy: Option<Strategy> },
}

/// Takes a URL apart, and asks the environment for what it leaves open. A relative SQLite file is relative to `base`.
pub(crate) fn parse(url: &str, base: &Path) -> Result<Target, UrlError> {
    parse_with(url, base, &|variable| std::env::var(variable).ok())
}

/// What can be said of a URL by its text alone.
pub(crate) fn check_url(url: &str) -> Result<(), UrlError> {
    parse_with(url, Path::new("/"), &|_| None).map(drop)
}

pub(crate) fn parse_with(url: &str, base: &Path, variable: Variable<'_>) -> Result<Target, UrlError> {
    let (scheme, rest) = split_scheme(url)?;
    match scheme.split('+').next().unwrap_or_default() {
        "postgres" | "postgresql" => {
            let rest = rest.strip_prefix("//").ok_or(UrlError::NoUrl)?;
            postgres::parse_url(rest, variable).map(|server| Target::Postgres(Box::new(server)))
        }
        "sqlite" => sqlite::parse_url(rest, base).map(Target::Sqlite),
        _ if rest.starts_with("//") => Err(UrlError::Scheme(scheme)),
        _ => Err(UrlError::NoUrl),
    }
}

/// Where a policy's rows are.
pub(crate) fn target(policy: &SessionPolicy, base: &Path) -> Result<Target, Stop> {
    match &policy.database {
        Named::Unset { variable } => Err(Stop::Unset(variable.clone())),
        Named::Url(text) => parse(text, base).map_err(|error| Stop::Failed(error.to_string())),
    }
}

/// Sweeps, or counts what a sweep would take.
pub(crate) async fn run<D: Database>(
    database: &D,
    policy: &SessionPolicy,
    clock: &Clock,
    job: Job,
    observer: &dyn Observer,
    ledger: &mut Ledger,
) -> Result<(), Stop> {
    match job {
        Job::Plan { ahead } => {
            let mut session = database.open(policy, Access::Look).await?;
            for again in 1.. {
                let (ground, seen) = stand(database, &mut session, policy, clock).await?;
                seen.notes.into_iter().for_each(|note| ledger.note(note));
                match database.plan(&mut session, &ground, policy, ahead, ledger).await {
                    Err(Stop::Missing(_)) if again < LOOKS => {}
                    done => {
                        done?;
                        break;
                    }
                }
            }
            database.close(session).await;
        }
        Job::Apply { strategy } => {
            let mut session = database.open(policy, Access::Change).await?;
            let (ground, seen) = stand(database, &mut session, policy, clock).await?;
            seen.notes.into_iter().for_each(|note| ledger.note(note));
            ledger.implausible(seen.implausible);
            database.sweep(&mut session, &ground, Run { policy, strategy, observer, ledger }).await?;
            database.close(session).await;
        }
    }
    Ok(())
}

pub(crate) async fn stats<D: Database>(
    database: &D,
    policy: &SessionPolicy,
    clock: &Clock,
) -> Result<SessionStats, Stop> {
    let mut session = database.open(policy, Access::Look).await?;
    let mut again = 1;
    let stats = loop {
        let Inspected { ground, findings, seen } = database.inspect(&mut session, policy, clock).await?;
        let Some(ground) = ground else {
            first_problem(&findings)?;
            return Err(no_ground());
        };
        match database.stats(&mut session, &ground, policy, seen).await {
            Err(Stop::Missing(_)) if again < LOOKS => again += 1,
            done => break done?,
        }
    };
    database.close(session).await;
    Ok(stats)
}

pub(crate) async fn examine<D: Database>(
    database: &D,
    policy: &SessionPolicy,
    clock: &Clock,
) -> Result<Examination, Stop> {
    let mut session = database.open(policy, Access::Look).await?;
    let Inspected { ground, findings, seen } = database.inspect(&mut session, policy, clock).await?;
    let facts = match &ground {
        // A role that may not even look has its finding already.
        Some(ground) => database.facts(&mut session, ground, policy, seen).await.ok(),
        None => None,
    };
    database.close(session).await;
    Ok(Examination { findings, facts })
}

pub(crate) async fn explain<D: Database>(
    database: &D,
    policy: &SessionPolicy,
    clock: &Clock,
    key: &str,
) -> Result<Rows, Stop> {
    let mut session = database.open(policy, Access::Look).await?;
    let Inspected { ground, findings, seen: _ } = database.inspect(&mut session, policy, clock).await?;
    let Some(ground) = ground else {
        first_problem(&findings)?;
        return Err(no_ground());
    };
    let rows = database.explain(&mut session, &ground, policy, clock, key).await?;
    database.close(session).await;
    let obstacle = findings.iter().find(|finding| finding.stops(clock)).map(ToString::to_string);
    Ok(Rows { obstacle, ..rows })
}

pub(crate) async fn references<D: Database>(
    database: &D,
    policy: &SessionPolicy,
    query: &Sql,
    each: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<(), Stop> {
    let mut session = database.open(policy, Access::Look).await?;
    database.references(&mut session, policy, query, each).await?;
    database.close(session).await;
    Ok(())
}

/// Looks at the table, and stops before anything is done to it where a finding stands in the way.
async fn stand<D: Database>(
    database: &D,
    session: &mut D::Session,
    policy: &SessionPolicy,
    clock: &Clock,
) -> Result<(D::Ground, Seen), Stop> {
    let Inspected { ground, findings, seen } = database.inspect(session, policy, clock).await?;
    may_begin(&findings, clock)?;
    Ok((ground.ok_or_else(no_ground)?, seen))
}

fn no_ground() -> Stop {
    Stop::Failed("the table cannot be inspected".to_owned())
}
