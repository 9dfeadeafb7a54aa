//! Links that are cut here and there, flap, or stop one by one; clocks and processes out of step.
//!
//! What must recover while the fault lasts is stated with each scenario, in longest waits
//! ([`Scene::longest_wait_ms`]: the longest election timeout or two). What must not is only watched
//! for safety, and must recover once the links are back: no protocol here claims more.

use quorate_sim::graphs::Graph;
use quorate_sim::plan::MS;
use quorate_sim::scene::{Scene, SceneBuilder, Step};
use quorate_sim::{FaultKind, Inspect};

use crate::scenario;

/// Within how many longest waits a cluster that can recover has done so.
const WAITS_MAX: u64 = 10;

/// How many replicas must be connected with one another.
fn quorum<P: Inspect>(replicas: usize) -> usize {
    if P::BYZANTINE { replicas - P::faults(replicas) } else { replicas / 2 + 1 }
}

/// Something is committed within [`WAITS_MAX`] longest waits.
fn recovers<P: Inspect>(scene: &mut Scene<P>) -> Step {
    let begin = scene.now_ms();
    scene.write(0, "a", b"recovered")?;
    let waits = (scene.now_ms() - begin).div_ceil(scene.longest_wait_ms());
    scene.expect(&format!("it took {waits} waits, at most {WAITS_MAX}"), waits <= WAITS_MAX)
}

/// Nothing can be committed while it lasts, and nothing bad happens; afterwards all goes on.
fn stays_safe<P: Inspect>(scene: &mut Scene<P>) -> Step {
    let decided = scene.decided();
    let leader = scene.leader().unwrap_or(0);
    let pending = scene.begin_write(0, "a", b"pending", leader)?;
    scene.run_for(WAITS_MAX * scene.longest_wait_ms())?;
    scene.expect_eq("decided in a graph without a quorum", &scene.decided(), &decided)?;
    scene.mend_all();
    scene
        .run_until("the pending request is done", |scene| {
            scene.answer(pending).is_some() || scene.decided() > decided
        })
        .or_else(|_| recovers(scene))
}

fn with_graph<P: Inspect>(
    scene: SceneBuilder<P>,
    graph: Graph,
    after: impl Fn(&mut Scene<P>) -> Step,
) -> Step {
    let mut scene = scene.start()?;
    scene.elect(1)?;
    scene.write(0, "a", b"before")?;
    scene.shape(graph, 1, 0);
    after(&mut scene)?;
    scene.settle()
}

/// The hub alone has a quorum: it must take over although it hears the old leader.
fn quorum_loss<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    with_graph(scene, Graph::QuorumLoss, recovers)
}

/// Three of four (five of seven) replicas that all talk with one another do not exist.
fn without_a_quorum<P: Inspect>(scene: SceneBuilder<P>, graph: Graph) -> Step {
    with_graph(scene, graph, stays_safe)
}

fn quorum_loss_without_a_quorum<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    without_a_quorum(scene, Graph::QuorumLoss)
}

scenario!(quorum_loss_of_the_leader:
    raft(quorum_loss), paxos(quorum_loss), pbft(quorum_loss_without_a_quorum));

/// The only replica with a quorum has a log that is behind, and the leader is gone.
fn constrained<P: Inspect>(scene: SceneBuilder<P>, after: impl Fn(&mut Scene<P>) -> Step) -> Step {
    let mut scene = scene.start()?;
    scene.elect(1)?;
    scene.write(0, "a", b"before")?;
    // The hub misses what the others decide now.
    scene.isolate(0);
    for number in 0..3u8 {
        scene.write(0, "b", &[number])?;
    }
    scene.shape(Graph::ConstrainedElection, 1, 0);
    after(&mut scene)?;
    scene.settle()
}

/// Paxos: the candidate learns in phase 1 what it lacks.
fn constrained_election<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    constrained(scene, recovers)
}

/// Raft: only a log that is complete may win (§5.4.1). In a group of three the other replica with
/// the complete log has a quorum with the hub; in a group of five nobody has both.
fn constrained_election_for_logs<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    if scene.replicas() <= 3 {
        constrained(scene, recovers)
    } else {
        constrained(scene, stays_safe)
    }
}

fn constrained_without_a_quorum<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    constrained(scene, stays_safe)
}

scenario!(constrained_election_of_the_hub: raft(constrained_election_for_logs),
    paxos(constrained_election), pbft(constrained_without_a_quorum));

/// A leader and its neighbours have a quorum: no leader is deposed for ever, and writes go on.
fn chained<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    with_graph(scene, Graph::Chained, |scene| {
        recovers(scene)?;
        scene.run_for(2 * scene.longest_wait_ms())?;
        let led = scene.epochs_led();
        for number in 0..5u8 {
            scene.write(1, "b", &[number])?;
            scene.run_for(2 * scene.longest_wait_ms())?;
        }
        scene.expect_eq("leaders in ten longest waits", &scene.epochs_led(), &led)
    })
}

fn chained_without_a_quorum<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    without_a_quorum(scene, Graph::Chained)
}

scenario!(chained_replicas:
    raft(chained), paxos(chained), pbft(chained_without_a_quorum));

/// Howard and Abraham's five: a leader holds for twenty longest waits.
fn five_nodes<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let replicas = scene.replicas();
    with_graph(scene, Graph::FiveNodes, |scene| {
        let connected = if replicas < 4 { replicas } else { 3 };
        if quorum::<P>(replicas) > connected {
            return stays_safe(scene);
        }
        recovers(scene)?;
        scene.run_for(WAITS_MAX * scene.longest_wait_ms())?;
        let wait = 20 * scene.longest_wait_ms();
        scene.expect_no_leader_change(wait)?;
        recovers(scene)
    })
}

scenario!(two_replicas_with_one_neighbour_each:
    raft(five_nodes), paxos(five_nodes), pbft(five_nodes));

/// The leader sends and hears nobody: it is replaced, and acknowledges nothing. (PBFT: a primary only
/// proposes, the others agree without it; who asks it directly is served and sees no change.)
fn deaf_leader<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    with_graph(scene, Graph::LeaderDeaf, |scene| {
        let stale = scene.begin_write(1, "a", b"stale", 1)?;
        recovers(scene)?;
        let answered = scene.answer(stale).is_some();
        if P::BYZANTINE {
            return scene.expect("the backups agree without their primary", answered);
        }
        scene.expect("another replica leads", scene.leader() != Some(1))?;
        scene.expect("the deaf leader acknowledged nothing", !answered)
    })
}

scenario!(a_leader_that_can_send_but_not_hear:
    raft(deaf_leader), paxos(deaf_leader), pbft(deaf_leader));

fn voiceless_leader<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    with_graph(scene, Graph::LeaderVoiceless, |scene| {
        recovers(scene)?;
        scene.expect("another replica leads", scene.leader() != Some(1))
    })
}

scenario!(a_leader_that_can_hear_but_not_send:
    raft(voiceless_leader), paxos(voiceless_leader), pbft(voiceless_leader));

/// Every link of the leader goes down and up again, faster and slower than any timeout.
fn flapping<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(1)?;
    scene.write(0, "a", b"before")?;
    let longest = scene.longest_wait_ms();
    for down_ms in [5, 50, longest / 4, longest, 2 * longest] {
        for _ in 0..4 {
            scene.isolate(1);
            scene.run_for(down_ms)?;
            scene.rejoin(1);
            scene.run_for(down_ms)?;
        }
        recovers(&mut scene)?;
    }
    scene.settle()
}

scenario!(flapping_links: raft(flapping), paxos(flapping), pbft(flapping));

/// All links stop one by one, in one direction after the other, and come back in another order; the
/// same with links that hold their messages until they come back.
fn swizzled<P: Inspect>(scene: SceneBuilder<P>, clogs: bool) -> Step {
    let mut scene = scene.plan(|plan| plan.turbulence.clog_messages_max = 64).start()?;
    scene.elect(1)?;
    scene.write(0, "a", b"before")?;
    let count = scene.replicas();
    let mut links: Vec<(usize, usize)> = (0..count)
        .flat_map(|from| (0..count).map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
        .collect();
    let step_ms = 2 * scene.longest_wait_ms() / links.len() as u64;
    let whole_ms = 2 * step_ms * links.len() as u64;
    for (number, (from, to)) in links.iter().enumerate() {
        if clogs {
            // The first to stop is the first to come back, the others in a mixed order.
            let mixed = (number * 7 % links.len()) as u64;
            scene.clog(*from, *to, whole_ms / 2 + mixed * step_ms);
        } else {
            scene.cut(*from, *to);
        }
        scene.run_for(step_ms)?;
    }
    links.sort_by_key(|(from, to)| (to * 5 + from * 3) % 11);
    for (from, to) in links {
        scene.mend(from, to);
        scene.run_for(step_ms)?;
    }
    if clogs {
        scene.run_for(whole_ms)?;
        scene.expect("links held messages", scene.faults(FaultKind::ClogHeld) > 0)?;
    }
    recovers(&mut scene)?;
    scene.settle()
}

fn stopped_links<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    swizzled(scene, false)
}

fn clogged_links<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    swizzled(scene, true)
}

scenario!(links_stopped_one_by_one:
    raft(stopped_links), paxos(stopped_links), pbft(stopped_links));
scenario!(links_clogged_one_by_one:
    raft(clogged_links), paxos(clogged_links), pbft(clogged_links));

/// The leader stands still while it is replaced, then goes on with the time that it read before: it
/// must serve no read and acknowledge no write of its old reign.
fn old_clock<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(1)?;
    scene.write(0, "a", b"old")?;
    scene.pause(1);
    let stale = scene.begin_write(1, "a", b"stale", 1)?;
    let read = scene.begin_read(2, "a", 1, quorate_sim::scene::ReadMode::Indexed)?;
    scene.run_for(4 * scene.longest_wait_ms())?;
    recovers(&mut scene)?;
    scene.resume_with_old_clock(1);
    scene.run_for(4 * scene.longest_wait_ms())?;
    scene.expect("the paused leader follows", !scene.leads(1))?;
    // Whatever was answered, the history must have an order: settling checks it.
    let _ = (scene.answer(stale), scene.answer(read));
    scene.settle()
}

scenario!(a_leader_paused_and_resumed_with_its_old_clock:
    raft(old_clock), paxos(old_clock), pbft(old_clock));

/// Clocks start up to a second apart and run up to five percent fast or slow: nobody is deposed.
fn drifting<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.plan(|plan| plan.nemesis.drift_ppm = 50_000).start()?;
    scene.elect(1)?;
    for number in 0..10u8 {
        scene.write(0, "a", &[number])?;
        scene.expect_no_leader_change(scene.longest_wait_ms())?;
    }
    scene.expect("clocks drift", scene.faults(FaultKind::Drift) > 0)?;
    scene.settle()
}

scenario!(clocks_that_are_skewed_and_drift:
    raft(drifting), paxos(drifting), pbft(drifting));

/// Clocks jump forward, the leader's as well: at worst there is an election.
fn stepping<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(1)?;
    for (replica, ms) in [(1, 30), (0, 400), (1, 5_000), (2, 3_600_000)] {
        scene.step_clock(replica, ms);
        recovers(&mut scene)?;
        scene.run_for(scene.longest_wait_ms())?;
    }
    scene.settle()
}

scenario!(clocks_that_step: raft(stepping), paxos(stepping), pbft(stepping));

/// Delays far apart on the two directions of a link do not depose anybody.
fn asymmetric_delays<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let slow = |plan: &mut quorate_sim::Plan| {
        plan.network.delay_min_ns = 2 * MS;
        plan.turbulence.uphill_percent = 800;
    };
    let mut scene = scene.plan(slow).start()?;
    scene.elect(1)?;
    recovers(&mut scene)?;
    let wait = WAITS_MAX * scene.longest_wait_ms();
    scene.expect_no_leader_change(wait)?;
    scene.settle()
}

scenario!(links_slow_in_one_direction:
    raft(asymmetric_delays), paxos(asymmetric_delays), pbft(asymmetric_delays));
