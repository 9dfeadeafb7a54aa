//! Clients that ask again: each request is applied at most once, and answered alike.

use std::sync::Arc;

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::Raft;
use quorate_sim::scene::{Heard, Operation, Scene, SceneBuilder, Step};
use quorate_sim::{Inspect, invariants};
use quorate_smr::session::ReplyStatus;
use quorate_smr::{Defect, Reason};

use crate::subject::Subject;
use crate::{scenario, sees_in};

/// The value of a key, read through the log or a quorum by a client that has nothing else to do.
fn value<P: Inspect>(scene: &mut Scene<P>, client: usize, key: &str) -> Step<String> {
    scene.write(client, "z", b"a later write")?;
    let leader = scene.leader().unwrap_or(0);
    let value = scene.read(client, key, leader)?;
    Ok(String::from_utf8_lossy(&value.unwrap_or_default()).into_owned())
}

/// An append of client 0 is applied at every replica that can be reached, and no reply arrives.
fn unheard<P: Inspect>(scene: &mut Scene<P>) -> Step<Operation> {
    scene.deafen(0);
    let leader = scene.leader().unwrap_or(0);
    let slot = scene.applied(leader) + 1;
    let append = scene.begin_append(0, "a", b"x", leader)?;
    scene.run_until("the append is applied", |scene| scene.applied(leader) >= slot)?;
    scene.run_for(200)?;
    scene.hear_again(0);
    scene.expect("the client heard nothing", scene.answer(append).is_none())?;
    Ok(append)
}

/// Client 3 reads that the append took place once.
fn once<P: Inspect>(scene: &mut Scene<P>) -> Step {
    let found = value(scene, 3, "a")?;
    scene.expect_eq("the value", &found, &"x".to_owned())
}

fn lost_reply<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    let append = unheard(&mut scene)?;
    scene.retry_everywhere(0);
    scene.finish(append)?;
    once(&mut scene)?;
    scene.settle()
}

fn leader_change<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    let append = unheard(&mut scene)?;
    scene.isolate(0);
    scene.elect(1)?;
    scene.finish(append)?;
    once(&mut scene)?;
    scene.mend_all();
    scene.settle()
}

/// The last replica was away, and knows of the append by a snapshot only; it leads when the client
/// asks again.
fn snapshot_install<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.config(|config| P::snapshots_every(config, 4)).start()?;
    let last = scene.replicas() - 1;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.isolate(last);
    let append = unheard(&mut scene)?;
    for number in 0..12_u8 {
        scene.write(1, "b", &[number])?;
    }
    scene.rejoin(last);
    scene.run_until("the last replica has a snapshot and is abreast", |scene| {
        scene.snapshot(last) > 0 && scene.applied(last) == scene.decided()
    })?;
    scene.elect(last)?;
    scene.retry_everywhere(0);
    scene.finish(append)?;
    once(&mut scene)?;
    scene.settle()
}

/// So many others open sessions that the client's expires. What it asks again is not applied again.
fn session_expiry<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.plan(|plan| plan.load.sessions_max = 2).start()?;
    scene.elect(0)?;
    scene.open_session(0)?;
    unheard(&mut scene)?;
    for client in 1..4 {
        scene.open_session(client)?;
        scene.write(client, "b", b"1")?;
    }
    scene.retry(0, 0);
    scene.run_until("the client hears that its session expired", |scene| {
        scene.heard(0) == Some(Heard::Applied(ReplyStatus::Expired))
    })?;
    once(&mut scene)?;
    scene.settle()
}

scenario!(a_retry_after_a_lost_reply: raft(lost_reply), paxos(lost_reply), pbft(lost_reply));
scenario!(a_retry_across_a_leader_change:
    raft(leader_change), paxos(leader_change), pbft(leader_change));
scenario!(a_retry_across_a_snapshot_install:
    raft(snapshot_install), paxos(snapshot_install), pbft(snapshot_install));
scenario!(a_retry_across_a_session_expiry: raft(session_expiry), paxos(session_expiry));

/// Plants a mistake in the session table of every replica.
fn with<P: Inspect>(defect: Defect) -> impl Fn(SceneBuilder<P>) -> SceneBuilder<P> {
    move |scene| scene.tamper(Arc::new(move |_, executor| executor.plant(defect)))
}

#[test]
fn the_scenarios_see_a_retried_command_that_is_applied_twice() {
    let once =
        [invariants::APPLIED_AT_MOST_ONCE, invariants::SAME_ANSWER, invariants::STATE_AGREEMENT];
    let twice = Defect::RetryAppliedTwice;
    sees_in::<Raft>(3, lost_reply, with(twice), &once);
    sees_in::<Paxos>(3, lost_reply, with(twice), &once);
    sees_in::<Pbft>(4, lost_reply, with(twice), &once);
    sees_in::<Raft>(5, leader_change, with(twice), &once);
    sees_in::<Paxos>(5, leader_change, with(twice), &once);
    let lost = Defect::SessionsNotRestored;
    sees_in::<Raft>(3, snapshot_install, with(lost), &once);
    sees_in::<Paxos>(3, snapshot_install, with(lost), &once);
    let revived = Defect::ExpiredSessionRevived;
    sees_in::<Raft>(3, session_expiry, with(revived), &once);
}

/// Proposals at a leader, at a follower, at a leader that is cut off: committed, refused, unknown.
fn every_proposal_ends<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.config(P::stubborn).start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    let committed = scene.begin_append(0, "a", b"c", 0)?;
    scene.finish(committed)?;
    if P::reply_quorum(scene.replicas()) == 1 {
        scene.begin_append(0, "a", b"r", 1)?;
        scene.run_for(50)?;
        let elsewhere = |heard| matches!(heard, Some(Heard::Refused(Reason::NotLeader { .. })));
        scene.expect("a follower refuses", elsewhere(scene.heard(0)))?;
        scene.give_up(0);
    }
    // One unknown proposal that only the old leader holds, and one that everyone holds.
    scene.deafen(1);
    let decided = scene.begin_append(1, "a", b"u", 0)?;
    scene.run_for(200)?;
    scene.isolate(0);
    scene.begin_append(2, "a", b"v", 0)?;
    scene.run_for(50)?;
    scene.expect("nothing was heard of either", scene.answer(decided).is_none())?;
    scene.give_up(1);
    scene.give_up(2);
    scene.elect(1)?;
    scene.mend_all();
    scene.run_until("r0 follows", |scene| !scene.leads(0))?;
    let found = value(&mut scene, 3, "a")?;
    let count = |token: char| found.chars().filter(|it| *it == token).count();
    scene.expect_eq("the committed one appears", &count('c'), &1)?;
    scene.expect_eq("the refused one does not", &count('r'), &0)?;
    scene.expect_eq("the one that everyone held appears", &count('u'), &1)?;
    scene.expect("an unknown one appears at most once", count('v') <= 1)?;
    scene.settle()
}

scenario!(every_proposal_ends_as_committed_refused_or_unknown:
    raft(every_proposal_ends), paxos(every_proposal_ends), pbft(every_proposal_ends));
