//! What the activity column holds before anything is removed by it: whether its values are times at all, how many are
//! not, and whether the newest lies ahead.
//!
//! Only to say so. What keeps a row without a plausible time is the age test itself; so a leaf that cannot be looked at
//! (locked, dropped meanwhile, too slow) is left out here, and the sweep will meet it.

use cleanup_core::moment::Moment;
use cleanup_core::policy::SessionPolicy;
use sqlx::postgres::PgRow;

use super::fault::Fault;
use super::inspect::{Ground, Leaf};
use super::moment;
use super::session::{Bound, Session, cell, count, statement};
use crate::rule::clocks::newest_ahead;
use crate::rule::time::{Values, implausible_rows};

/// How many pages of a leaf are sampled: about a thousand rows of a kilobyte.
const SAMPLED_PAGES: f32 = 128.0;

/// So few values of a sample say nothing: most pages of the table are empty.
const ENOUGH: u64 = 200;

/// More is sampled where an index cannot help, up to so many pages where it can.
const MOST_PAGES: f32 = 8192.0;

/// How many of the newest values are asked for where even that finds too few.
const NEWEST: i64 = 1000;

/// Implausible values are counted up to here on each side: it is a number for people.
const AT_MOST: i64 = 10_000;

/// Up to this size a table without an index is read for its margins.
const SMALL_BYTES: u64 = 64 << 20;

/// What was seen of all leaves.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Of the sample.
    pub(super) values: Values,
    pub(super) implausible: u64,
    /// Whether there may be more of them.
    at_least: bool,
    /// The newest plausible value, where finding it is cheap.
    newest: Option<Moment>,
}

pub(super) async fn look(session: &mut Session, ground: &Ground) -> Result<Looked, Fault> {
    let mut looked = Looked::default();
    for leaf in &ground.leaves {
        match look_at(session, ground, leaf, &mut looked).await {
            Ok(()) => {}
            Err(fault @ Fault::Away(_)) => return Err(fault),
            Err(fault) => tracing::debug!(table = %leaf.facts.name, ?fault, "not looked at"),
        }
    }
    Ok(looked)
}

async fn look_at(session: &mut Session, ground: &Ground, leaf: &Leaf, looked: &mut Looked) -> Result<(), Fault> {
    let share = share_of(leaf, ground, SAMPLED_PAGES);
    if !leaf.facts.index && leaf.facts.bytes > SMALL_BYTES {
        let values = sample(session, ground, leaf, share, None).await?;
        looked.values.add(values);
        looked.implausible += values.implausible();
        looked.at_least = true;
        return Ok(());
    }
    // Both at once: in most tables the first sample says enough.
    let margins = statement(leaf.statements.margins.statement());
    let asked = vec![sampling(leaf, share), leaf.statements.with_values(margins.bind(AT_MOST))];
    let answers = session.look(&ground.look, asked).await?;
    let [sampled, margins] = &answers[..] else { return Err(empty()) };
    let (sampled, row) = (sampled.first().ok_or_else(empty)?, margins.first().ok_or_else(empty)?);
    looked.values.add(sample(session, ground, leaf, share, Some(values(sampled)?)).await?);
    let (early, late) = (count(row, 0)?, count(row, 1)?);
    looked.implausible += early + late;
    looked.at_least |= [early, late].iter().any(|rows| i64::try_from(*rows) == Ok(AT_MOST));
    looked.newest = looked.newest.max(cell::<Option<f64>>(row, 2)?.map(moment));
    Ok(())
}

fn empty() -> Fault {
    Fault::Final("an empty answer".to_owned())
}

/// So many pages of a leaf, in percent.
#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share_of(leaf: &Leaf, ground: &Ground, wanted: f32) -> f32 {
    let pages = leaf.facts.bytes.div_ceil(ground.server.block_bytes).max(1);
    (wanted / pages as f32 * 100.0).min(100.0)
}

fn sampling(leaf: &Leaf, percent: f32) -> Bound {
    statement(leaf.statements.sample.statement()).bind(percent)
}

/// Some pages, and more of them where they are nearly all empty, as if it were the whole leaf. What the first percentage
/// comes to may be known.
async fn sample(
    session: &mut Session,
    ground: &Ground,
    leaf: &Leaf,
    mut percent: f32,
    mut known: Option<Values>,
) -> Result<Values, Fault> {
    let most = if leaf.facts.index { share_of(leaf, ground, MOST_PAGES) } else { 100.0 };
    loop {
        let sampled = match known.take() {
            Some(values) => values,
            None => values(&session.ask_one(&ground.look, sampling(leaf, percent)).await?)?,
        };
        if sampled.known >= ENOUGH || percent >= 100.0 {
            return Ok(sampled.scaled(100.0 / f64::from(percent)));
        }
        if percent >= most {
            let newest = statement(leaf.statements.newest_sample.statement()).bind(NEWEST);
            return values(&session.ask_one(&ground.look, newest).await?);
        }
        percent = (percent * 8.0).min(most);
    }
}

fn values(row: &PgRow) -> Result<Values, Fault> {
    let mut values =
        Values { known: count(row, 0)?, plausible: count(row, 1)?, sentinels: count(row, 2)?, ..Values::default() };
    for (index, plausible) in values.as_unit.iter_mut().enumerate() {
        *plausible = count(row, 3 + index)?;
    }
    Ok(values)
}

impl Looked {
    /// What is worth saying, in sentences.
    pub(super) fn notes(&self, policy: &SessionPolicy, now: Moment, column: &str) -> Vec<String> {
        let ahead = newest_ahead(self.newest, now, policy, column);
        ahead.into_iter().chain(implausible_rows(self.implausible, self.at_least, column)).collect()
    }
}
