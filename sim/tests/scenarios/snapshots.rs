//! Snapshot installs that race with everything else that a lagging replica hears.

use quorate_sim::scene::{Rule, Scene, SceneBuilder, Step, WritePoint};

use crate::scenario;
use crate::subject::Subject;

/// Writes, so that a snapshot is taken and the log below it dropped.
fn fill<P: Subject>(scene: &mut Scene<P>, writes: u8) -> Step {
    for number in 0..writes {
        scene.write(0, "a", &[number])?;
    }
    Ok(())
}

/// The last replica was away for so long that it needs a snapshot, which is sent and held.
fn lagging<P: Subject>(scene: SceneBuilder<P>) -> Step<(Scene<P>, Rule, usize)> {
    let mut scene = scene.config(|config| P::snapshots_every(config, 4)).start()?;
    let last = scene.replicas() - 1;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.isolate(last);
    fill(&mut scene, 14)?;
    let snapshots =
        scene.hold_where(move |_, to, message| to == last && P::is_one_of(message, &["Snapshot"]));
    scene.rejoin(last);
    scene.run_until("a snapshot is on its way", |scene| scene.held(snapshots) > 0)?;
    Ok((scene, snapshots, last))
}

fn abreast<P: Subject>(scene: &mut Scene<P>, replica: usize) -> Step {
    scene.run_until("the lagging replica is abreast", |scene| {
        scene.snapshot(replica) > 0 && scene.applied(replica) == scene.decided()
    })
}

/// What follows the snapshot arrives before it and after it, and the snapshot a second time at last.
fn appends<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let (mut scene, snapshots, last) = lagging(scene)?;
    fill(&mut scene, 2)?;
    let again =
        scene.copy_where(move |_, to, message| to == last && P::is_one_of(message, &["Snapshot"]));
    scene.release_one(snapshots)?;
    fill(&mut scene, 1)?;
    scene.release(snapshots)?;
    abreast(&mut scene, last)?;
    fill(&mut scene, 1)?;
    scene.release(again)?;
    fill(&mut scene, 6)?;
    abreast(&mut scene, last)?;
    scene.settle()
}

/// The leader takes another snapshot while the first is on its way; they arrive the wrong way round.
fn second_snapshot<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let (mut scene, first, last) = lagging(scene)?;
    scene.stop(first);
    let base = scene.snapshot(0);
    fill(&mut scene, 10)?;
    scene.expect("the leader took a second snapshot", scene.snapshot(0) > base)?;
    scene.run_until("the second one is installed", |scene| scene.snapshot(last) > base)?;
    scene.release(first)?;
    scene.run_for(100)?;
    scene.expect("the older one replaces nothing", scene.snapshot(last) > base)?;
    abreast(&mut scene, last)?;
    scene.settle()
}

/// Another leader sends its snapshot; the old leader's arrives behind it, or before it.
fn newer_leader<P: Subject>(scene: SceneBuilder<P>, old_first: bool) -> Step {
    let (mut scene, old, last) = lagging(scene)?;
    scene.stop(old);
    let new = scene.hold_where(move |from, to, message| {
        from != 0 && to == last && P::is_one_of(message, &["Snapshot"])
    });
    scene.cut(0, last);
    scene.elect(1)?;
    fill(&mut scene, 6)?;
    scene.run_until("the new leader's is on its way", |scene| scene.held(new) > 0)?;
    if old_first {
        scene.release(old)?;
        scene.release(new)?;
    } else {
        scene.release(new)?;
        scene.release(old)?;
    }
    abreast(&mut scene, last)?;
    scene.mend_all();
    scene.settle()
}

fn newer_leader_last<P: Subject>(scene: SceneBuilder<P>) -> Step {
    newer_leader(scene, true)
}

fn newer_leader_first<P: Subject>(scene: SceneBuilder<P>) -> Step {
    newer_leader(scene, false)
}

fn either_order<P: Subject>(scene: SceneBuilder<P>) -> Step {
    newer_leader_last(scene.clone())?;
    newer_leader_first(scene)
}

/// The lagging replica crashes at one of the writes with which it installs, at each point of each.
fn crash_between_steps<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let points = (1..=3).flat_map(|nth| WritePoint::ALL.map(|point| (nth, point)));
    for ((nth, point), scene) in points.zip(std::iter::repeat_n(scene, 9)) {
        let (mut scene, snapshots, last) = lagging(scene)?;
        scene.crash_at_write(last, nth, point);
        scene.release(snapshots)?;
        fill(&mut scene, 6)?;
        scene.run_until("it crashed", |scene| !scene.is_up(last))?;
        scene.restart(last)?;
        abreast(&mut scene, last)?;
        scene.settle()?;
    }
    Ok(())
}

scenario!(snapshot_installs_racing_with_appends:
    raft(appends), paxos(appends), pbft(appends));
scenario!(snapshot_installs_racing_with_a_second_snapshot:
    raft(second_snapshot), paxos(second_snapshot), pbft(second_snapshot));
scenario!(snapshot_installs_racing_with_a_newer_leader:
    raft(either_order), paxos(either_order), pbft(either_order));
scenario!(snapshot_installs_racing_with_a_crash_between_steps:
    raft(crash_between_steps), paxos(crash_between_steps), pbft(crash_between_steps));
