//! Durability: what crashes leave of writes, and disks that lie, rot, fill up or belong to others.

use quorate_sim::plan::{Cut, DiskFault, MS};
use quorate_sim::scene::{Scene, SceneBuilder, Step};
use quorate_sim::{FaultKind, invariants};
use quorate_smr::journal::JournalError;

use crate::subject::Subject;
use crate::{scenario, sees_in};

/// Disks hold bytes, and a sync takes as long as several messages, so that steps share one.
fn bytes<P: Subject>(scene: SceneBuilder<P>) -> SceneBuilder<P> {
    scene.plan(|plan| {
        plan.durability.bytes = true;
        plan.disk.sync_min_ns = 2 * MS;
    })
}

/// A replica that does not lead.
fn follower<P: Subject>(scene: &Scene<P>) -> usize {
    let leader = scene.leader().unwrap_or(0);
    (leader + 1) % scene.replicas()
}

/// Writes a few values; a replica that crashed meanwhile is restarted after each.
fn write_some<P: Subject>(scene: &mut Scene<P>, first: u32, count: u32) -> Step {
    for value in first..first + count {
        scene.write(value as usize % 2, "key", &value.to_le_bytes())?;
        for replica in 0..scene.replicas() {
            if !scene.is_up(replica) && scene.refused(replica).is_none() {
                scene.restart(replica)?;
            }
        }
    }
    scene.run_for(30)
}

/// Crashes one replica at one step of its disk's life, at one point of the write; then the group
/// goes on. Whether the replica came to that step.
fn crash_once<P: Subject>(
    scene: SceneBuilder<P>,
    victim: usize,
    step: u64,
    cut: Cut,
) -> Step<bool> {
    let snapshots = |config: &mut P::Config| P::snapshots_every(config, 2);
    let mut scene = bytes(scene.config(snapshots)).start()?;
    scene.crash_at_step(victim, step, cut);
    write_some(&mut scene, 1, 5)?;
    let struck = scene.crashes_to_come(victim) == 0;
    scene.settle()?;
    Ok(struck)
}

/// Every write of a replica that leads and of one that does not, from the first to the last of a
/// run with elections, appends and compactions; for each, every point at which power can go.
fn every_write_point<P: Subject>(scene: &SceneBuilder<P>) -> Step {
    for victim in [0, 1] {
        for cut in Cut::POINTS {
            let mut step = 0;
            while crash_once(scene.clone(), victim, step, cut)? {
                // Signatures make a large group slow; a third of its writes then.
                step += if P::BYZANTINE { 3 } else { 1 };
            }
            assert!(step > 4, "a run has more writes than {step}");
        }
    }
    Ok(())
}

scenario!(crash_at_every_write_point: raft(|scene| every_write_point(&scene)), paxos(|scene| every_write_point(&scene)), pbft(|scene| every_write_point(&scene)));

/// A follower's disk says that a sync was durable, and drops it; later writes are kept. It is found
/// out when the replica starts: its journal has a gap.
fn lost_fsync<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = bytes(scene).start()?;
    write_some(&mut scene, 1, 2)?;
    let liar = follower(&scene);
    scene.lose_next_sync(liar);
    write_some(&mut scene, 3, 3)?;
    scene.expect("later writes were kept", scene.has_gap(liar))?;
    scene.crash(liar)?;
    scene.lost_disk(liar, DiskFault::LostSync);
    scene.restart(liar)?;
    let gap = matches!(scene.refused(liar), Some(JournalError::Gap { .. }));
    scene.expect("the gap is found, and the replica refused", gap && !scene.is_up(liar))?;
    write_some(&mut scene, 6, 2)?;
    scene.settle()
}

scenario!(lost_fsync_on_one_replica: raft(lost_fsync), paxos(lost_fsync), pbft(lost_fsync));

/// A sync fails. The replica stops, at once and without another attempt; it comes back from what is
/// on its disk.
fn fsync_error<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = bytes(scene).start()?;
    write_some(&mut scene, 1, 2)?;
    for of_leader in [false, true] {
        let leader = scene.leader().unwrap_or(0);
        let victim = if of_leader { leader } else { follower(&scene) };
        let errors = scene.faults(FaultKind::SyncError);
        let operation = scene.begin_write(2, "other", b"value", leader)?;
        scene.fail_next_sync(victim);
        scene.run_until("the sync fails", |scene| !scene.is_up(victim))?;
        scene.expect_eq("failed syncs", &scene.faults(FaultKind::SyncError), &(errors + 1))?;
        scene.run_for(200)?;
        scene.expect("nothing brings it back but a restart", !scene.is_up(victim))?;
        scene.restart(victim)?;
        if scene.answer(operation).is_none() {
            scene.give_up(2);
        }
        write_some(&mut scene, 10, 2)?;
    }
    scene.settle()
}

scenario!(fsync_error: raft(fsync_error), paxos(fsync_error), pbft(fsync_error));

/// A disk has no space for the next record. The replica stops rather than go on without it; while
/// the disk is full it may start and stops again; with space it takes part again.
fn disk_full<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = bytes(scene).start()?;
    write_some(&mut scene, 1, 2)?;
    for of_leader in [false, true] {
        let victim = if of_leader { scene.leader().unwrap_or(0) } else { follower(&scene) };
        scene.fill_disk(victim, 20);
        let stopped = scene.faults(FaultKind::StoppedFull);
        scene.write(0, "key", b"while it fills up")?;
        scene.run_until("the replica stops", |scene| !scene.is_up(victim))?;
        scene.expect(
            "it stopped for want of space",
            scene.faults(FaultKind::StoppedFull) > stopped,
        )?;
        scene.restart(victim)?;
        scene.expect("a full disk can be read", scene.is_up(victim))?;
        scene.write(1, "key", b"while it is full")?;
        scene.run_for(500)?;
        scene.make_space(victim);
        if !scene.is_up(victim) {
            scene.restart(victim)?;
        }
        write_some(&mut scene, 20, 2)?;
    }
    scene.settle()
}

scenario!(disk_full: raft(disk_full), paxos(disk_full), pbft(disk_full));

/// A torn last record is dropped and the replica goes on; rot in the middle, and rot in the last
/// record, are refused.
fn torn_or_rotten<P: Subject>(scene: &SceneBuilder<P>) -> Step {
    for cut in [Cut::Torn, Cut::Garbled] {
        let mut scene = bytes(scene.clone()).start()?;
        write_some(&mut scene, 1, 3)?;
        let victim = follower(&scene);
        scene.crash_at_step(victim, scene.durable_steps(victim), cut);
        write_some(&mut scene, 4, 3)?;
        scene.expect("the record was torn", scene.crashes_to_come(victim) == 0)?;
        scene.expect("the replica is back", scene.is_up(victim))?;
        scene.settle()?;
    }
    for fault in [DiskFault::RotMiddle, DiskFault::RotLast] {
        let is_rot = |error: &JournalError| matches!(error, JournalError::Rot { .. });
        is_refused(scene.clone(), fault, is_rot)?;
    }
    Ok(())
}

/// A follower comes back to a damaged disk: it is refused, for that reason, and the others go on.
fn is_refused<P: Subject>(
    scene: SceneBuilder<P>,
    fault: DiskFault,
    reason: impl Fn(&JournalError) -> bool,
) -> Step {
    let mut scene = bytes(scene).start()?;
    write_some(&mut scene, 1, 4)?;
    let victim = follower(&scene);
    let other = (victim + 1) % scene.replicas();
    scene.crash(victim)?;
    scene.damage(victim, fault, other)?;
    scene.restart(victim)?;
    scene.expect("the replica does not start", !scene.is_up(victim))?;
    let text = format!("{fault:?} is named: {:?}", scene.refused(victim));
    scene.expect(&text, scene.refused(victim).is_some_and(reason))?;
    write_some(&mut scene, 5, 2)?;
    scene.settle()
}

scenario!(torn_tail_against_bit_rot: raft(|scene| torn_or_rotten(&scene)), paxos(|scene| torn_or_rotten(&scene)), pbft(|scene| torn_or_rotten(&scene)));

/// Figure 2 of *Protocol-Aware Recovery*: one replica that holds the entries rots, the others that
/// hold them go down, and the rest lags. A rotten replica that cut its log would now lead the
/// lagging ones and lose what was acknowledged. It is refused; the rest waits.
fn rot_while_the_majority_lags<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = bytes(scene).start()?;
    scene.elect(0)?;
    write_some(&mut scene, 1, 1)?;
    let replicas = scene.replicas();
    let holders = replicas - P::faults(replicas);
    for lagging in holders..replicas {
        scene.isolate(lagging);
    }
    write_some(&mut scene, 2, 3)?;
    let decided = scene.decided();
    for holder in 0..holders {
        scene.crash(holder)?;
    }
    scene.damage(0, DiskFault::RotMiddle, 1)?;
    scene.mend_all();
    scene.restart(0)?;
    let rot = matches!(scene.refused(0), Some(JournalError::Rot { .. }));
    scene.expect("the rotten replica is refused", rot)?;
    scene.run_for(3_000)?;
    scene.expect_eq("what is decided while the holders are down", &scene.decided(), &decided)?;
    for holder in 1..holders {
        scene.restart(holder)?;
    }
    write_some(&mut scene, 5, 2)?;
    scene.settle()
}

scenario!(rot_on_one_replica_while_the_majority_lags: raft(rot_while_the_majority_lags), paxos(rot_while_the_majority_lags), pbft(rot_while_the_majority_lags));

/// A record was written over another: sound bytes at a place that is not theirs.
fn wrong_place<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let is_astray = |error: &JournalError| matches!(error, JournalError::Misplaced { .. });
    is_refused(scene, DiskFault::Misplaced, is_astray)
}

scenario!(a_record_at_the_wrong_place: raft(wrong_place), paxos(wrong_place), pbft(wrong_place));

/// The record of the first term and vote (ballot, view) rots: refused, for a replica without it
/// might vote twice. One damaged copy of the journal's identity is mended; two are refused.
fn metadata<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let is_rot = |error: &JournalError| matches!(error, JournalError::Rot { .. });
    is_refused(scene.clone(), DiskFault::RotFirst, is_rot)?;
    let both = |error: &JournalError| *error == JournalError::IdentityDamaged;
    is_refused(scene.clone(), DiskFault::Identity, both)?;
    let mut scene = bytes(scene).start()?;
    write_some(&mut scene, 1, 3)?;
    let victim = follower(&scene);
    for _ in 0..4 {
        scene.crash(victim)?;
        scene.damage_mendable(victim);
        scene.restart(victim)?;
        scene.expect("what can be mended is mended", scene.is_up(victim))?;
        write_some(&mut scene, 4, 1)?;
    }
    scene.settle()
}

scenario!(term_or_vote_metadata_damaged: raft(metadata), paxos(metadata), pbft(metadata));

/// A replica comes back under its old identity with an empty disk, or with another replica's. It is
/// refused: neither is a first start.
fn swapped_or_emptied<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let empty = |error: &JournalError| *error == JournalError::Unformatted;
    is_refused(scene.clone(), DiskFault::Emptied, empty)?;
    let others = |error: &JournalError| matches!(error, JournalError::WrongDisk { .. });
    is_refused(scene, DiskFault::Swapped, others)
}

scenario!(a_disk_swapped_or_emptied_under_an_old_identity: raft(swapped_or_emptied), paxos(swapped_or_emptied), pbft(swapped_or_emptied));

/// A disk forgets what it said was durable, and nothing is there to show it: outside the
/// crash-fault model, and nobody's defect but the disk's. The invariants see it.
fn forgets<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = bytes(scene).start()?;
    scene.elect(0)?;
    write_some(&mut scene, 1, 1)?;
    scene.isolate(2);
    write_some(&mut scene, 2, 3)?;
    scene.crash(0)?;
    scene.crash(1)?;
    let forgotten = scene.forget_tail(1, 4);
    scene.expect("there was something to forget", forgotten > 0)?;
    scene.mend_all();
    scene.restart(1)?;
    scene.write(2, "key", b"in the place of what was acknowledged")?;
    scene.settle()
}

#[test]
fn the_harness_sees_a_disk_that_forgets() {
    sees_in::<quorate_raft::Raft>(3, forgets, |scene| scene, invariants::ALL);
    sees_in::<quorate_paxos::Paxos>(3, forgets, |scene| scene, invariants::ALL);
}
