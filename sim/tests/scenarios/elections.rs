//! Elections: votes, pre-votes, old logs, old replies.

use quorate_paxos::Paxos;
use quorate_pbft::Pbft;
use quorate_raft::{Message, Raft};
use quorate_sim::scene::{ReadMode, Scene, SceneBuilder, Step};
use quorate_sim::{Inspect, invariants};
use quorate_smr::Role;

use crate::subject::Subject;
use crate::{scenario, sees};

/// Makes `replica` stand for election, and stops its timers as soon as it does.
fn stand<P: Inspect>(scene: &mut Scene<P>, replica: usize) -> Step {
    scene.start_timers(replica);
    scene.run_until(&format!("r{replica} stands"), |scene| {
        scene.status(replica).is_some_and(|status| status.role == Role::Candidate)
    })?;
    scene.stop_timers(replica);
    Ok(())
}

fn stop_all_timers<P: Inspect>(scene: &mut Scene<P>) {
    for replica in 0..scene.replicas() {
        scene.stop_timers(replica);
    }
}

/// r1 and r2 stand in one term. r1 wins; the voters hear it, and become followers within the term
/// in which they voted. The request of r2 comes late, to a log that its own is equal to.
fn vote_survives(scene: SceneBuilder<Raft>) -> Step {
    let calm = |config: &mut quorate_raft::RaftConfig| {
        config.pre_vote = false;
        config.check_quorum = false;
    };
    let mut scene = scene.config(calm).start()?;
    stop_all_timers(&mut scene);
    let late = scene.hold_where(|from, to, message| {
        matches!(message, Message::Vote { .. }) && (from == 2 || to == 2)
    });
    // Entries of r1 would make the voters' logs longer than r2's, which alone would protect them.
    let entries =
        scene.lose_where(|from, _, message| from == 1 && matches!(message, Message::Append { .. }));
    scene.cut(1, 2);
    stand(&mut scene, 2)?;
    stand(&mut scene, 1)?;
    let terms = (scene.status(1).map(|it| it.epoch), scene.status(2).map(|it| it.epoch));
    scene.expect_eq("r1 and r2 stand in one term", &terms.0, &terms.1)?;
    scene.run_until("r1 leads", |scene| scene.leads(1))?;
    scene.start_timers(1);
    let voters = scene.replicas() - 1;
    scene.run_until("the voters follow r1", |scene| scene.followers(1) >= voters)?;
    scene.release(late)?;
    scene.run_for(100)?;
    scene.stop(entries);
    for replica in 0..scene.replicas() {
        scene.start_timers(replica);
    }
    scene.settle()
}

scenario!(vote_survives_a_step_down_in_the_same_term: raft(vote_survives));

#[test]
fn the_scenario_sees_a_vote_that_a_step_down_clears() {
    let plant = |config: &mut quorate_raft::RaftConfig| {
        config.defect = Some(quorate_raft::Defect::VoteClearedOnStepDown);
    };
    sees(3, vote_survives, plant, &[invariants::ELECTION_SAFETY, invariants::TOLD_IS_REMEMBERED]);
    sees(5, vote_survives, plant, &[invariants::ELECTION_SAFETY, invariants::TOLD_IS_REMEMBERED]);
}

/// As above, but the voters crash between the two requests.
fn vote_survives_a_crash(scene: SceneBuilder<Raft>) -> Step {
    let mut scene = scene.config(|config| config.pre_vote = false).start()?;
    stop_all_timers(&mut scene);
    let late = scene.hold_where(|from, to, message| {
        matches!(message, Message::Vote { .. }) && (from == 2 || to == 2)
    });
    let entries =
        scene.lose_where(|from, _, message| from == 1 && matches!(message, Message::Append { .. }));
    scene.cut(1, 2);
    stand(&mut scene, 2)?;
    stand(&mut scene, 1)?;
    scene.run_until("r1 leads", |scene| scene.leads(1))?;
    for voter in (0..scene.replicas()).filter(|it| ![1, 2].contains(it)) {
        scene.crash(voter)?;
        scene.restart(voter)?;
    }
    scene.release(late)?;
    scene.run_for(100)?;
    scene.stop(entries);
    scene.settle()
}

/// A leader is cut off and replaced; the others crash and come back. It reaches them again, before
/// it knows of its successor, and proposes where they decided already.
fn promise_survives_a_crash<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.config(P::stubborn).start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    scene.isolate(0);
    scene.elect(1)?;
    let write = scene.begin_write(1, "a", b"1", 1)?;
    scene.finish(write)?;
    for voter in 2..scene.replicas() {
        scene.crash(voter)?;
        scene.restart(voter)?;
        scene.stop_timers(voter);
    }
    scene.expect("the old leader takes itself for the leader", scene.leads(0))?;
    scene.isolate(1);
    for voter in 2..scene.replicas() {
        scene.mend(0, voter);
        scene.mend(voter, 0);
    }
    scene.begin_write(2, "a", b"2", 0)?;
    scene.run_for(100)?;
    scene.settle()
}

scenario!(what_was_promised_survives_a_crash:
    raft(vote_survives_a_crash), paxos(promise_survives_a_crash));

#[test]
fn the_scenario_sees_a_promise_that_a_crash_takes_away() {
    let broken = [
        invariants::TOLD_IS_REMEMBERED,
        invariants::ELECTION_SAFETY,
        invariants::SLOT_AGREEMENT,
        invariants::NEVER_BELOW_PROMISE,
    ];
    let plant = |config: &mut quorate_raft::RaftConfig| {
        config.defect = Some(quorate_raft::Defect::VoteNotPersisted);
    };
    sees(3, vote_survives_a_crash, plant, &broken);
    let plant = |config: &mut quorate_paxos::PaxosConfig| {
        config.defect = Some(quorate_paxos::Defect::PromiseForgottenOnCrash);
    };
    sees::<Paxos>(3, promise_survives_a_crash, plant, &broken);
}

/// A leader decides a value, and is lost before anybody else knows that it is decided.
/// What is `late` never arrives.
fn chosen_is_kept_without<P: Subject>(
    scene: SceneBuilder<P>,
    late: fn(&P::Message) -> bool,
) -> Step {
    let mut scene = scene.start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    scene.run_for(500)?;
    let slot = scene.committed(0) + 1;
    let last = scene.replicas() - 1;
    let news = scene.lose_where(|_, to, message| to != 0 && P::is_one_of(message, P::NEWS));
    // The one who is to lead next has no copy where a quorum can do without.
    let faults = P::faults(scene.replicas());
    let without = scene.lose_where(move |from, to, message| {
        from == 0 && to > last - faults && P::has_values(message) && faults > 1
    });
    scene.lose_where(move |_, to, message| to != 0 && late(message));
    let write = scene.begin_write(1, "a", b"1", 0)?;
    scene.run_until("r0 commits", |scene| scene.committed(0) >= slot)?;
    scene.isolate(0);
    scene.run_for(10)?;
    scene.stop(news);
    scene.elect(1)?;
    scene.stop(without);
    scene.finish(write)?;
    scene.write(2, "b", b"2")?;
    scene.settle()
}

fn chosen_is_kept<P: Subject>(scene: SceneBuilder<P>) -> Step {
    chosen_is_kept_without(scene, |_| false)
}

/// Commits of the first view are lost for good, or the backups would go on exchanging them.
fn prepared_is_kept(scene: SceneBuilder<Pbft>) -> Step {
    use quorate_pbft::{Message, View};
    chosen_is_kept_without(
        scene,
        |message| matches!(message, Message::Commit { view: View(0), slot, .. } if slot.0 > 1),
    )
}

scenario!(a_chosen_value_is_what_every_later_leader_proposes:
    raft(chosen_is_kept), paxos(chosen_is_kept), pbft(prepared_is_kept));

#[test]
fn the_scenario_sees_a_chosen_value_that_is_replaced() {
    let broken = [invariants::CHOSEN_IS_PROPOSED, invariants::SLOT_AGREEMENT];
    let plant = |config: &mut quorate_paxos::PaxosConfig| {
        config.defect = Some(quorate_paxos::Defect::IgnoreLowerBallotValue);
    };
    sees::<Paxos>(3, chosen_is_kept, plant, &broken);
    sees::<Paxos>(5, chosen_is_kept, plant, &broken);
}

/// Two replicas ask whether they could win, and everyone says yes to both. The yeses arrive twice,
/// the second time while real votes are counted.
fn pre_vote(scene: SceneBuilder<Raft>) -> Step {
    let mut scene = scene.start()?;
    stop_all_timers(&mut scene);
    let is_yes = |message: &Message| matches!(message, Message::VoteReply { pre: true, .. });
    let yeses = scene.hold_where(move |_, _, message| is_yes(message));
    stand(&mut scene, 1)?;
    stand(&mut scene, 2)?;
    scene.run_until("everyone has answered", |scene| {
        scene.held(yeses) == 2 * (scene.replicas() - 1)
    })?;
    let again = scene.copy_where(move |_, _, message| is_yes(message));
    let votes =
        scene.hold_where(|_, _, message| matches!(message, Message::VoteReply { pre: false, .. }));
    scene.release(yeses)?;
    scene.run_for(20)?;
    let both = [1, 2].map(|it| scene.status(it).is_some_and(|it| it.epoch == 1));
    scene.expect_eq("both stand in term 1", &both, &[true, true])?;
    scene.release(again)?;
    scene.run_for(20)?;
    scene.expect_eq("nobody leads by pre-votes", &scene.leader(), &None)?;
    scene.release(votes)?;
    scene.run_for(100)?;
    scene.expect("one at most leads term 1", scene.epochs_led() <= 1)?;
    scene.settle()
}

/// The same with canvasses, which name no ballot: both may prepare, and one ballot is above.
fn canvass(scene: SceneBuilder<Paxos>) -> Step {
    use quorate_paxos::Message;
    let mut scene = scene.start()?;
    stop_all_timers(&mut scene);
    let is_yes = |message: &Message| matches!(message, Message::Canvassed { .. });
    let yeses = scene.hold_where(move |_, _, message| is_yes(message));
    for replica in [1, 2] {
        scene.start_timers(replica);
        let count = scene.replicas() - 1;
        let wanted = scene.held(yeses) + count;
        scene.run_until("everyone has answered", |scene| scene.held(yeses) >= wanted)?;
        scene.stop_timers(replica);
    }
    let promises = scene.hold_where(|_, _, message| matches!(message, Message::Promise { .. }));
    scene.release(yeses)?;
    scene.run_for(20)?;
    scene.expect_eq("nobody leads by canvassing", &scene.leader(), &None)?;
    scene.release(promises)?;
    scene.run_for(100)?;
    let leaders = (0..scene.replicas()).filter(|it| scene.leads(*it)).count();
    scene.expect("one at most leads", leaders <= 1)?;
    scene.settle()
}

scenario!(pre_vote_cannot_make_two_leaders: raft(pre_vote), paxos(canvass));

/// Figure 8 (c) and (d) of the Raft paper: an entry of an old term comes to a majority, which does
/// not commit it, and is overwritten. S1 is r0, S5 the last, S3 gets the entry in the later term.
fn figure_8(scene: SceneBuilder<Raft>) -> Step {
    let one_entry_at_a_time = |config: &mut quorate_raft::RaftConfig| {
        config.max_append_bytes = 1;
        config.window_entries = 1;
    };
    let mut scene = scene.config(one_entry_at_a_time).start()?;
    let last = scene.replicas() - 1;
    let third = last / 2;
    // (a) S1 leads and replicates an entry to S2 (in the larger group) only.
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    scene.run_for(200)?;
    let slot = scene.committed(0) + 1;
    let term = scene.status(0).map_or(0, |it| it.epoch);
    let entries = scene.lose_where(move |from, to, message| {
        let to_second = to == 1 && third != 1;
        from == 0 && !to_second && matches!(message, Message::Append { .. })
    });
    scene.begin_write(1, "a", b"1", 0)?;
    scene.run_for(20)?;
    scene.crash(0)?;
    scene.stop(entries);
    // (b) S5 is elected by the others, writes another entry at that slot, and crashes.
    let unheard =
        scene.lose_where(move |from, _, message| from == last && Raft::has_values(message));
    scene.elect(last)?;
    scene.crash(last)?;
    scene.stop(unheard);
    // (c) S1 is elected again, and brings its old entry to S3: a majority holds it now.
    scene.restart(0)?;
    let probe = scene.hold_where(move |from, to, message| {
        (from, to) == (third, 0) && matches!(message, Message::Conflict { .. })
    });
    let not_third = scene
        .lose_where(move |from, to, message| from == 0 && to != third && Raft::has_values(message));
    scene.elect(0)?;
    scene.run_until("S3 lacks the entry", |scene| scene.held(probe) > 0)?;
    let own_term = scene.lose_where(move |_, _, message| match message {
        Message::Append { entries, .. } => {
            entries.as_slice().iter().any(|entry| entry.term.0 > term)
        }
        _ => false,
    });
    scene.release(probe)?;
    scene.run_until("S3 holds the old entry", |scene| {
        scene.status(third).is_some_and(|status| status.last.0 >= slot)
    })?;
    scene.run_for(100)?;
    scene.crash(0)?;
    scene.stop(own_term);
    scene.stop(not_third);
    // (d) S5 is elected, because its log ends in a later term, and overwrites the entry.
    scene.restart(last)?;
    scene.elect(last)?;
    scene.run_until("S5 commits its own entry", |scene| scene.committed(last) >= slot)?;
    scene.settle()
}

/// Figure 8 (e): with an entry of its own term on a majority, everything before it is committed, and
/// S5 cannot be elected.
fn figure_8_e(scene: SceneBuilder<Raft>) -> Step {
    let mut scene = scene.start()?;
    let last = scene.replicas() - 1;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    let alone = scene.lose_where(|from, _, message| from == 0 && Raft::has_values(message));
    let write = scene.begin_write(1, "a", b"1", 0)?;
    scene.run_for(20)?;
    scene.crash(0)?;
    scene.stop(alone);
    let unheard =
        scene.lose_where(move |from, _, message| from == last && Raft::has_values(message));
    scene.elect(last)?;
    scene.crash(last)?;
    scene.stop(unheard);
    scene.restart(0)?;
    scene.elect(0)?;
    let slot = scene.status(0).map_or(0, |status| status.last.0);
    scene.run_until("the old entry is committed under a newer one", |scene| {
        scene.committed(0) >= slot
    })?;
    scene.crash(0)?;
    scene.restart(last)?;
    scene.start_timers(last);
    scene.run_until("someone else leads", |scene| {
        scene.leader().is_some_and(|leader| leader != last)
    })?;
    scene.finish(write)?;
    scene.settle()
}

/// The same trap for acceptors: a value is held by a majority, but accepted under different ballots.
/// r0 gets it accepted by itself (and one more in the larger group), the last replica accepts another
/// under a higher ballot, r0 comes back under a still higher one and gets one more acceptance.
fn figure_8_of_ballots(scene: SceneBuilder<Paxos>) -> Step {
    use quorate_paxos::Message;
    let is_accept = |message: &Message| matches!(message, Message::Accept { .. });
    let mut scene = scene.start()?;
    let last = scene.replicas() - 1;
    let third = last / 2;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    scene.run_for(200)?;
    let slot = scene.committed(0) + 1;
    let accepts = scene.lose_where(move |from, to, message| {
        let to_second = to == 1 && third != 1;
        from == 0 && !to_second && is_accept(message)
    });
    scene.begin_write(1, "a", b"1", 0)?;
    scene.run_for(20)?;
    scene.crash(0)?;
    scene.stop(accepts);
    // The last replica learns nothing of it from the majority without r0 and r1, and proposes.
    let without = scene.lose_where(move |from, to, message| {
        let second = third != 1 && (from == 1 || to == 1);
        second || (from == last && is_accept(message))
    });
    if third == 1 {
        scene.stop(without);
    }
    let unheard = scene.lose_where(move |from, _, message| from == last && is_accept(message));
    scene.elect(last)?;
    scene.begin_write(2, "a", b"2", last)?;
    scene.run_for(20)?;
    scene.crash(last)?;
    scene.stop(unheard);
    scene.stop(without);
    // r0 adopts its own value; its disk stalls before it accepts it anew, and one other accepts it.
    scene.restart(0)?;
    let promises =
        scene.hold_where(|_, to, message| to == 0 && matches!(message, Message::Promise { .. }));
    let not_third =
        scene.lose_where(move |from, to, message| from == 0 && to != third && is_accept(message));
    scene.start_timers(0);
    for replica in 1..last {
        scene.stop_timers(replica);
    }
    scene.run_until("r0 was promised enough", |scene| {
        scene.held(promises) >= scene.replicas() / 2
    })?;
    scene.stall_disk(0);
    scene.release(promises)?;
    scene.run_for(100)?;
    scene.expect("the value is not decided", scene.committed(0) < slot)?;
    scene.crash(0)?;
    scene.resume_disk(0);
    scene.stop(not_third);
    for replica in 1..last {
        scene.start_timers(replica);
    }
    // r0 and the last replica elect the last, which must go on.
    scene.restart(0)?;
    scene.restart(last)?;
    scene.isolate(third);
    scene.elect(last)?;
    scene.run_until("the slot is decided", |scene| scene.committed(last) >= slot)?;
    scene.mend_all();
    scene.settle()
}

scenario!(the_figure_8_history_of_the_raft_paper:
    raft(figure_8), paxos(figure_8_of_ballots));
scenario!(figure_8_with_an_entry_of_its_own_term: raft(figure_8_e));

#[test]
fn the_scenario_sees_an_older_term_committed_by_counting() {
    let plant = |config: &mut quorate_raft::RaftConfig| {
        config.defect = Some(quorate_raft::Defect::CommitOlderTermByCounting);
    };
    let broken = [
        invariants::COMMIT_UNDER_OWN_EPOCH,
        invariants::LEADER_COMPLETENESS,
        invariants::SLOT_AGREEMENT,
        invariants::CHOSEN_STAYS_CHOSEN,
    ];
    sees(3, figure_8, plant, &broken);
    sees(5, figure_8, plant, &broken);
}

/// r0 leads, holds a value that nobody else has, and is cut off; the others decide other values
/// there. Then r0 hears how far they are, but not what they decided.
fn commits_what_is_verified<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    scene.run_for(500)?;
    let slot = scene.committed(0);
    scene.isolate(0);
    scene.begin_write(1, "a", b"never", 0)?;
    scene.run_for(20)?;
    scene.elect(1)?;
    for value in [b"1", b"2", b"3"] {
        scene.write(2, "a", value)?;
    }
    let values = scene.lose_where(|_, to, message| to == 0 && P::has_values(message));
    scene.rejoin(0);
    scene.run_for(1_000)?;
    scene.expect_eq("how far r0 commits", &scene.committed(0), &slot)?;
    scene.stop(values);
    scene.settle()
}

scenario!(a_follower_commits_no_further_than_the_request_verified:
    raft(commits_what_is_verified), paxos(commits_what_is_verified), pbft(commits_what_is_verified));

#[test]
fn the_scenario_sees_a_commit_beyond_what_was_verified() {
    let agreement = [invariants::SLOT_AGREEMENT];
    let plant = |config: &mut quorate_raft::RaftConfig| {
        config.defect = Some(quorate_raft::Defect::FollowerCommitsBeyondVerified);
    };
    sees::<Raft>(3, commits_what_is_verified, plant, &agreement);
    sees::<Raft>(5, commits_what_is_verified, plant, &agreement);
    let plant = |config: &mut quorate_paxos::PaxosConfig| {
        config.defect = Some(quorate_paxos::Defect::LearnFromAnyBallot);
    };
    sees::<Paxos>(3, commits_what_is_verified, plant, &agreement);
}

/// Confirmations of an earlier reign arrive in a later one of the same leader, which is cut off by
/// then: they must not confirm a read.
fn stale_confirmations<P: Subject>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.config(P::stubborn).start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    let stale = scene.copy_where(|_, to, message| to == 0 && P::is_one_of(message, &[P::CONFIRMS]));
    scene.run_for(2_000)?;
    scene.stop(stale);
    scene.elect(1)?;
    scene.elect(0)?;
    scene.isolate(0);
    scene.elect(1)?;
    let write = scene.begin_write(1, "a", b"1", 1)?;
    scene.finish(write)?;
    scene.expect("r0 takes itself for the leader", scene.leads(0))?;
    let read = scene.begin_read(0, "a", 0, ReadMode::Indexed)?;
    scene.run_for(20)?;
    scene.release(stale)?;
    scene.run_for(100)?;
    let early = scene.answer(read).cloned();
    scene.settle()?;
    scene.expect_eq("an old confirmation serves no read", &early, &None)
}

/// r0 replicates entries to r1 alone, whose acknowledgement is long under way; r2 leads without them
/// and replaces them; r0 leads again, with a write that only the last replica gets. Then the old
/// acknowledgement arrives. In a group of three, r0 and r1 are a majority: nothing is replaced, and
/// the acknowledgement is of what a majority has.
fn stale_acknowledgement(scene: SceneBuilder<Raft>) -> Step {
    let mut scene = scene.start()?;
    let last = scene.replicas() - 1;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    scene.run_for(500)?;
    let only_r1 =
        scene.lose_where(|from, to, message| from == 0 && to != 1 && Raft::has_values(message));
    let stale = scene.hold_where(|from, to, message| {
        (from, to) == (1, 0) && matches!(message, Message::Appended { .. })
    });
    for client in 0..4 {
        scene.begin_write(client, "a", b"old", 0)?;
    }
    scene.run_for(200)?;
    scene.stop(stale);
    scene.stop(only_r1);
    let next = if last == 2 { 1 } else { 2 };
    if last > 2 {
        scene.split(&[0, 1], &[2, 3, 4]);
    }
    scene.elect(next)?;
    scene.run_until("its entry is committed", |scene| {
        scene.status(next).is_some_and(|it| it.committed == it.last)
    })?;
    scene.mend_all();
    scene.run_for(500)?;
    scene.elect(0)?;
    scene.run_for(200)?;
    let only_last = scene
        .lose_where(move |from, to, message| from == 0 && to != last && Raft::has_values(message));
    for client in 0..4 {
        scene.retry(client, 0);
    }
    scene.run_for(20)?;
    let before = scene.committed(0);
    scene.release(stale)?;
    scene.run_for(20)?;
    let after = scene.committed(0);
    scene.crash(0)?;
    scene.stop(only_last);
    if last > 2 {
        scene.crash(last)?;
        scene.elect(1)?;
    }
    scene.settle()?;
    scene.expect("r0 committed nothing by it", last == 2 || before == after)
}

scenario!(stale_replies_about_entries_that_were_replaced: raft(stale_acknowledgement));

/// Votes that a replica got before it crashed arrive when it stands again.
fn stale_votes<P: Inspect>(scene: SceneBuilder<P>, is_vote: fn(&P::Message) -> bool) -> Step {
    let mut scene = scene.start()?;
    stop_all_timers(&mut scene);
    let old = scene.hold_where(move |_, to, message| to == 0 && is_vote(message));
    scene.start_timers(0);
    scene.run_until("all voted for r0", |scene| scene.held(old) == scene.replicas() - 1)?;
    scene.stop(old);
    scene.crash(0)?;
    let new = scene.hold_where(move |_, to, message| to == 0 && is_vote(message));
    scene.restart(0)?;
    scene.run_until("r0 was voted for again", |scene| scene.held(new) >= scene.replicas() / 2)?;
    scene.stop_timers(0);
    scene.release(old)?;
    scene.run_for(50)?;
    scene.expect("votes of the old incarnation elect nobody", !scene.leads(0))?;
    scene.release(new)?;
    scene.run_until("votes of this incarnation do", |scene| scene.leads(0))?;
    scene.settle()
}

fn stale_votes_of_raft(scene: SceneBuilder<Raft>) -> Step {
    stale_votes(scene, |message| {
        matches!(message, Message::VoteReply { granted: true, pre: false, .. })
    })
}

fn stale_votes_of_paxos(scene: SceneBuilder<Paxos>) -> Step {
    stale_votes(scene, |message| matches!(message, quorate_paxos::Message::Promise { .. }))
}

scenario!(stale_replies_from_an_old_term:
    raft(stale_confirmations), paxos(stale_confirmations));
scenario!(stale_replies_from_an_old_incarnation:
    raft(stale_votes_of_raft), paxos(stale_votes_of_paxos));

/// A leader that is cut off soon after its election is replaced, again and again.
fn hunted<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    for round in 0..4 {
        let leader = round % scene.replicas();
        scene.elect(leader)?;
        scene.open_sessions()?;
        scene.begin_write(0, "a", &[round as u8], leader)?;
        scene.isolate(leader);
        scene.give_up(0);
        scene.elect((leader + 1) % scene.replicas())?;
        scene.write(1, "a", &[round as u8, 1])?;
        scene.mend_all();
        scene.run_until("the old leader follows", |scene| !scene.leads(leader))?;
    }
    scene.settle()
}

scenario!(a_new_leader_hunted_down: raft(hunted), paxos(hunted), pbft(hunted));

/// An operator moves the leadership around; a target that is cut off does not get it.
fn transfer<P: Inspect>(scene: SceneBuilder<P>) -> Step {
    let mut scene = scene.start()?;
    scene.elect(0)?;
    scene.open_sessions()?;
    scene.write(0, "a", b"0")?;
    scene.transfer(0, 1)?;
    scene.run_until("r1 leads", |scene| scene.leads(1))?;
    scene.write(1, "a", b"1")?;
    scene.isolate(2);
    scene.transfer(1, 2)?;
    scene.expect_no_leader_change(1_000)?;
    scene.write(1, "a", b"2")?;
    scene.settle()
}

scenario!(leadership_transfer: raft(transfer), paxos(transfer));
