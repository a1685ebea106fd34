//! What a run could not take, by what keeps it: a reference, a lock, a trigger, row security.
//!
//! Counting must not cost more than removing did. After a sweep of a backlog the index is full of dead entries, each of
//! which would be looked up; so heap order counts range by range, right after the range, while its pages are at
//! hand, and only where something can be left. Index order counts once at its end.

use super::fault::Fault;
use super::heap_order::tid;
use super::inspect::Leaf;
use super::session::{Bound, Frame, Session, count, statement};
use crate::report::ledger::Ledger;
use crate::report::obstacle::Stop;
use crate::report::plural;
use crate::rule::names::Sql;

/// What index order leaves is counted up to here: it is a number for people.
const AT_MOST: i64 = 10_000;

/// After so many rows in index order, looking for the few that somebody has locked costs more than knowing is worth.
pub(super) const TOO_MANY_TO_LOOK: u64 = 50_000;

/// What was found in one leaf so far.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    referred: u64,
    /// By a trigger or by row security.
    kept: u64,
    locked: u64,
    capped: bool,
    uncounted: bool,
    /// Those that a trigger has put back.
    back: u64,
}

/// How to count in a run: what is older than `idle` seconds as of the moment when the run began.
pub(super) struct Look<'a> {
    pub(super) frame: &'a Frame,
    pub(super) idle: f64,
    pub(super) started: &'a str,
    /// Rows that are counted already.
    pub(super) aside: &'a [String],
    /// What was written since this transaction is counted as put back.
    pub(super) since: Option<&'a str>,
}

impl Leftovers {
    /// Whether the database itself may keep rows of this leaf.
    pub(super) fn possible(leaf: &Leaf) -> bool {
        leaf.referenced || leaf.facts.triggers || leaf.facts.row_security
    }

    /// Counts the rows that a trigger has put back since a transaction of ours; they may be anywhere. They were counted
    /// as gone, and some again as left behind.
    pub(super) async fn look_back(&mut self, session: &mut Session, look: &Look<'_>, leaf: &Leaf) -> Result<(), Stop> {
        let Some(since) = look.since else { return Ok(()) };
        let counting = statement(leaf.statements.put_back.statement()).bind(look.idle);
        let counting = counting.bind(look.started.to_owned()).bind(since.to_owned());
        let counting = leaf.statements.with_values(counting);
        match session.ask_one(look.frame, counting).await {
            Ok(row) => self.back = count(&row, 0)?,
            Err(fault @ (Fault::Away(_) | Fault::Missing(_))) => return Err(fault.into()),
            Err(_) => self.uncounted = true,
        }
        Ok(())
    }

    /// Counts in a range of pages, or everywhere.
    pub(super) async fn look(
        &mut self,
        session: &mut Session,
        look: &Look<'_>,
        leaf: &Leaf,
        pages: Option<(u64, u64)>,
    ) -> Result<(), Stop> {
        let sql = &leaf.statements;
        let (all, unlocked) = match pages {
            Some(_) => (&sql.left_in_range, &sql.left_unlocked_in_range),
            None => (&sql.left, &sql.left_unlocked),
        };
        let bind = |sql: &Sql| -> Bound {
            let bound = statement(sql.statement())
                .bind(look.idle)
                .bind(look.started.to_owned())
                .bind(AT_MOST)
                .bind(look.aside.to_vec());
            let bound = match pages {
                Some((page, end)) => bound.bind(tid(page)).bind(tid(end)),
                None => bound,
            };
            leaf.statements.with_values(bound.bind(look.since.map(ToOwned::to_owned)))
        };
        let row = match session.ask_one(look.frame, bind(all)).await {
            Ok(row) => row,
            Err(fault @ (Fault::Away(_) | Fault::Missing(_))) => return Err(fault.into()),
            Err(_) => {
                self.uncounted = true;
                return Ok(());
            }
        };
        let (rows, referred) = (count(&row, 0)?, count(&row, 1)?);
        self.capped |= i64::try_from(rows) == Ok(AT_MOST);
        self.referred += referred;
        let rest = rows - referred;
        let kept = if rest == 0 {
            0
        } else if leaf.facts.row_security {
            rest
        } else if leaf.facts.triggers {
            match session.ask_one(look.frame, bind(unlocked)).await {
                Ok(row) => count(&row, 0)?.min(rest),
                Err(fault @ (Fault::Away(_) | Fault::Missing(_))) => return Err(fault.into()),
                Err(_) => rest,
            }
        } else {
            0
        };
        self.kept += kept;
        self.locked += rest - kept;
        Ok(())
    }

    /// Writes it down, once for a leaf.
    pub(super) fn write(self, leaf: &Leaf, ledger: &mut Ledger) {
        let name = leaf.facts.name.to_string();
        ledger.put_back(self.back);
        ledger.failed(&name, self.back, "a trigger restores them");
        ledger.referenced(self.referred);
        if ledger.is_over() {
            // Most of what is left was not even tried.
            return;
        }
        ledger.failed(&name, self.kept, "a trigger or row security keeps them");
        if !ledger.gave_up {
            ledger.in_use(self.locked);
        } else if self.locked > 0 {
            ledger.note(format!("{} in {name} left for the next run", plural(self.locked, "expired row")));
        }
        if self.capped {
            ledger.note(format!("only the first {AT_MOST} remaining rows in {name} are counted"));
        }
        if self.uncounted {
            ledger.note(format!("the remaining rows in {name} were not counted: they are locked or too many"));
        }
    }
}
