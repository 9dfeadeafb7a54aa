//! Reads: none returns what a later leader has overwritten, however it is asked for.

use quorate_paxos::Paxos;
use quorate_raft::Raft;
use quorate_sim::invariants;
use quorate_sim::scene::{ReadMode, SceneBuilder, Step};

use crate::subject::Subject;
use crate::{scenario, sees};

/// What a stale read breaks.
const STALE: [&str; 2] = [invariants::LINEARIZABLE, invariants::READ_SEES_DECIDED];

/// A leader is cut off from its group but not from a client, while its successor serves a write.
fn at_an_old_leader<P: Subject>(scene: SceneBuilder<P>, mode: ReadMode) -> Step {
    let mut scene = scene.config(P::stubborn).start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"old")?;
    scene.isolate(0);
    scene.elect(1)?;
    let write = scene.begin_write(1, "a", b"new", 1)?;
    scene.finish(write)?;
    // A primary cannot help noticing: it hears no answer to what clients asked of it.
    let notices = P::reply_quorum(scene.replicas()) > 1;
    scene.expect("the old leader takes itself for the leader", notices || scene.leads(0))?;
    let read = scene.begin_read(0, "a", 0, mode)?;
    scene.run_for(200)?;
    let early = scene.answer(read).cloned();
    scene.settle()?;
    scene.expect_eq("what the old leader answers while it is cut off", &early, &None)
}

fn indexed_at_an_old_leader<P: Subject>(scene: SceneBuilder<P>) -> Step {
    at_an_old_leader(scene, ReadMode::Indexed)
}

fn ordered_at_an_old_leader<P: Subject>(scene: SceneBuilder<P>) -> Step {
    at_an_old_leader(scene, ReadMode::Ordered)
}

scenario!(a_read_at_an_isolated_old_leader_by_read_index:
    raft(indexed_at_an_old_leader), paxos(indexed_at_an_old_leader));
scenario!(a_read_at_an_isolated_old_leader_ordered:
    raft(ordered_at_an_old_leader), paxos(ordered_at_an_old_leader), pbft(ordered_at_an_old_leader));

#[test]
fn the_scenario_sees_a_deposed_leader_that_serves_reads() {
    let plant = |config: &mut quorate_raft::RaftConfig| {
        config.defect = Some(quorate_raft::Defect::ReadWithoutQuorum);
    };
    sees::<Raft>(3, indexed_at_an_old_leader, plant, &STALE);
    sees::<Raft>(5, indexed_at_an_old_leader, plant, &STALE);
    let plant = |config: &mut quorate_paxos::PaxosConfig| {
        config.defect = Some(quorate_paxos::Defect::ReadWithoutQuorum);
    };
    sees::<Paxos>(3, indexed_at_an_old_leader, plant, &STALE);
    sees::<Paxos>(5, indexed_at_an_old_leader, plant, &STALE);
}

/// A leader answers a write and is lost before the others know that it is committed. Its successor is
/// asked for the value before it could commit anything.
fn before_the_first_commit<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"old")?;
    scene.run_for(500)?;
    let news = scene.lose_where(|_, to, message| to != 0 && P::is_one_of(message, P::NEWS));
    let write = scene.begin_write(1, "a", b"new", 0)?;
    scene.run_until("the write is answered", |scene| scene.answer(write).is_some())?;
    scene.crash(0)?;
    scene.run_for(10)?;
    scene.stop(news);
    let values = scene.lose_where(|from, _, message| from == 1 && P::has_values(message));
    scene.elect(1)?;
    let read = scene.begin_read(2, "a", 1, ReadMode::Indexed)?;
    scene.run_for(200)?;
    let early = scene.answer(read).cloned();
    scene.stop(values);
    scene.settle()?;
    scene.expect_eq("what the new leader answers at first", &early, &None)
}

scenario!(a_read_before_the_new_leaders_first_commit:
    raft(before_the_first_commit), paxos(before_the_first_commit));

#[test]
fn the_scenario_sees_a_leader_that_reads_before_it_commits() {
    let plant = |config: &mut quorate_raft::RaftConfig| {
        config.defect = Some(quorate_raft::Defect::ReadBeforeOwnCommit);
    };
    sees::<Raft>(3, before_the_first_commit, plant, &STALE);
    let plant = |config: &mut quorate_paxos::PaxosConfig| {
        config.defect = Some(quorate_paxos::Defect::ReadBeforeAdoptedDecided);
    };
    sees::<Paxos>(3, before_the_first_commit, plant, &STALE);
}
