//! Elections: votes, pre-votes, old logs, old replies.

use quorate_sim::Inspect;
use quorate_sim::scene::{SceneBuilder, Step};

use crate::scenario;

/// A leader that is cut off is replaced, and follows its successor when it is back.
fn a_leader_is_replaced<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(1)?;
    scene.write(0, "a", b"1")?;
    scene.isolate(1);
    scene.elect(2)?;
    scene.write(0, "a", b"2")?;
    scene.mend_all();
    scene.run_until("the old leader follows", |scene| !scene.leads(1))?;
    scene.expect_no_leader_change(1_000)?;
    scene.settle()
}

scenario!(a_new_leader_hunted_down:
    raft(a_leader_is_replaced), paxos(a_leader_is_replaced), pbft(a_leader_is_replaced));
