//! What the activity column holds before anything is removed by it: whether its values are times at all, how many are
//! not, and whether the newest lies ahead.
//!
//! Only to say so. What keeps a row without a plausible time is the age test itself; so a leaf that cannot be looked at
//! (locked, dropped meanwhile, too slow) is left out here, and the sweep will meet it.

use cleanup_core::moment::Moment;
use cleanup_core::policy::SessionPolicy;

use super::fault::Fault;
use super::inspect::{Ground, Leaf};
use super::moment;
use super::session::{Session, cell, count, statement};
use crate::check::newest_ahead;
use crate::time::{Values, implausible_rows};

/// How many pages of a leaf are sampled: about a thousand rows of a kilobyte.
const SAMPLED_PAGES: f32 = 128.0;

/// Implausible values are counted up to here on each side: it is a number for people.
const AT_MOST: i64 = 10_000;

/// Up to this size a table without an index is read for its margins.
const SMALL_BYTES: u64 = 64 << 20;

/// What was seen of all leaves.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of the sample.
    pub(super) values: Values,
    pub(super) implausible: u64,
    /// Whether there may be more of them.
    at_least: bool,
    /// The newest plausible value, where finding it is cheap.
    newest: Option<Moment>,
}

pub(super) async fn look(session: &mut Session, ground: &Ground) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    for leaf in &ground.leaves {
        match look_at(session, ground, leaf, &mut seen).await {
            Ok(()) => {}
            Err(fault @ Fault::Away(_)) => return Err(fault),
            Err(fault) => tracing::debug!(table = %leaf.facts.name, ?fault, "not looked at"),
        }
    }
    Ok(seen)
}

async fn look_at(session: &mut Session, ground: &Ground, leaf: &Leaf, seen: &mut Seen) -> Result<(), Fault> {
    let pages = leaf.facts.bytes.div_ceil(ground.server.block_bytes).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let percent = (SAMPLED_PAGES / pages as f32 * 100.0).min(100.0);
    let sampling = statement(leaf.statements.sample.statement()).bind(percent);
    let row = session.ask_one(&ground.look, sampling).await?;
    let mut values = Values { known: count(&row, 0)?, plausible: count(&row, 1)?, as_unit: [0; 4] };
    for (index, plausible) in values.as_unit.iter_mut().enumerate() {
        *plausible = count(&row, 2 + index)?;
    }
    seen.values.add(values);

    if !leaf.facts.index && leaf.facts.bytes > SMALL_BYTES {
        seen.implausible += values.implausible();
        seen.at_least = true;
        return Ok(());
    }
    let row = session.ask_one(&ground.look, statement(leaf.statements.margins.statement()).bind(AT_MOST)).await?;
    let (early, late) = (count(&row, 0)?, count(&row, 1)?);
    seen.implausible += early + late;
    seen.at_least |= [early, late].iter().any(|rows| i64::try_from(*rows) == Ok(AT_MOST));
    seen.newest = seen.newest.max(cell::<Option<f64>>(&row, 2)?.map(moment));
    Ok(())
}

impl Seen {
    /// What is worth saying, in sentences.
    pub(super) fn notes(&self, policy: &SessionPolicy, now: Moment, column: &str) -> Vec<String> {
        let ahead = newest_ahead(self.newest, now, policy, column);
        ahead.into_iter().chain(implausible_rows(self.implausible, self.at_least, column)).collect()
    }
}
