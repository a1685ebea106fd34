//! Index order on one leaf, and the count of what it leaves.

use super::batch::{Batcher, OnLeaf};
use super::inspect::Leaf;
use super::leftovers::{Leftovers, TOO_MANY_TO_LOOK};
use super::session::Session;
use crate::report::obstacle::Stop;
use crate::run::index_order;

pub(super) async fn run(session: &mut Session, batcher: &mut Batcher<'_>, leaf: &Leaf) -> Result<(), Stop> {
    let mut on_leaf = OnLeaf { session, batcher, leaf };
    let gone = index_order::run(&mut on_leaf, leaf.statements.beginning).await?;
    let mut left = Leftovers::default();
    batcher.look_back(session, &mut left, leaf).await?;
    if Leftovers::possible(leaf) || gone <= TOO_MANY_TO_LOOK {
        batcher.look_left(session, &mut left, leaf, None).await?;
    }
    left.write(leaf, batcher.progress.ledger);
    Ok(())
}
