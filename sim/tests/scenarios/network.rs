//! Frames and links: lost, twice, late, damaged, cut in one direction.

use quorate_sim::scene::{Heard, Scene, SceneBuilder, Step};
use quorate_sim::{FaultKind, Inspect};

use crate::scenario;

/// A network that does everything at once, while clients write.
fn bad_network<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene
        .plan(|plan| {
            let network = &mut plan.network;
            network.frames = true;
            network.loss_ppm = 50_000;
            network.duplicate_ppm = 100_000;
            network.reorder_ppm = 100_000;
            network.reorder_ns = 30_000_000;
            network.corrupt_ppm = 50_000;
        })
        .start()?;
    scene.elect(0)?;
    for number in 0..20 {
        scene.append(number % 4, "a", b"x")?;
    }
    scene.cut_both(0, 1);
    for number in 0..10 {
        scene.append(number % 4, "b", b"y")?;
    }
    for kind in [
        FaultKind::Loss,
        FaultKind::Duplicate,
        FaultKind::Reorder,
        FaultKind::Corruption,
        FaultKind::Cut,
    ] {
        scene.expect(&format!("this happened: {kind}"), scene.faults(kind) > 0)?;
    }
    scene.expect("damaged frames were refused", scene.refused_at_the_edge() > 0)?;
    scene.settle()
}

scenario!(frames_lost_duplicated_reordered_corrupted_cut:
    raft(bad_network), paxos(bad_network), pbft(bad_network));

/// The group serves, whoever leads.
fn serves<P: Inspect>(scene: &mut Scene<P>, round: u8) -> Step {
    for client in 0..3 {
        scene.write(client, "a", &[round, client as u8])?;
    }
    Ok(())
}

/// Nothing that a leader says arrives; then nothing arrives at a leader; then the same with a
/// follower, which must not disturb the others.
fn one_way<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    let others = |scene: &Scene<P>, replica: usize| {
        (0..scene.replicas()).filter(|it| *it != replica).collect::<Vec<_>>()
    };
    for round in 0..2 {
        let leader = usize::from(round);
        scene.elect(leader)?;
        serves(&mut scene, round)?;
        for other in others(&scene, leader) {
            if round == 0 {
                scene.cut(leader, other);
            } else {
                scene.cut(other, leader);
            }
        }
        scene.begin_write(3, "b", &[round], leader)?;
        scene.retry_everywhere(3);
        serves(&mut scene, 10 + round)?;
        if matches!(scene.heard(3), None | Some(Heard::Refused(_))) {
            scene.give_up(3);
        }
        // A primary that hears nobody can still propose, and its backups need no more of it.
        let another = scene.leader().is_some_and(|it| it != leader);
        let primaries = P::reply_quorum(scene.replicas()) > 1;
        scene.expect("another leads", another || primaries)?;
        scene.mend_all();
        scene.run_until("a quorum follows one leader", |scene| {
            scene.leader().is_some_and(|it| scene.followers(it) > scene.replicas() / 2)
        })?;
    }
    for round in 0..2 {
        scene.elect(0)?;
        let last = scene.replicas() - 1;
        for other in others(&scene, last) {
            if round == 0 {
                scene.cut(last, other);
            } else {
                scene.cut(other, last);
            }
        }
        serves(&mut scene, 20 + round)?;
        scene.expect_no_leader_change(3_000)?;
        scene.mend_all();
        scene.expect_no_leader_change(1_000)?;
    }
    scene.settle()
}

scenario!(asymmetric_partitions_in_both_directions:
    raft(one_way), paxos(one_way), pbft(one_way));
