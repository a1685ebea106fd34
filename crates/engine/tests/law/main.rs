//! Every way in which files are removed passes the same gates and leaves the same traces: the law, as one table.
//!
//! `table` has what is expected and each exception with its reason, `gates` brings about what stands in the way, `ways`
//! goes each way, `traces` looks at what is left behind.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod gates;
mod table;
mod traces;
mod ways;

use self::table::{Gate, Way};

#[test]
fn every_way_passes_the_same_gates_and_leaves_the_same_traces() {
    let here = Way::ALL.iter().copied().filter(|way| *way != Way::Http);
    let cells: Vec<_> = std::thread::scope(|scope| {
        let tries = here.map(|way| {
            scope.spawn(move || {
                let go = |world: &gates::World| ways::go(way, world).expect("it begins here");
                Gate::ALL.iter().flat_map(|gate| traces::try_gate(way, *gate, &go)).collect::<Vec<_>>()
            })
        });
        let tries: Vec<_> = tries.collect();
        tries.into_iter().flat_map(|tried| tried.join().unwrap()).collect()
    });
    traces::judge(&cells);
}
