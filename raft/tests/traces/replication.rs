//! Log replication: *Raft* §5.3, figure 7; commitment, §5.4.2 and figure 8; flow control.

use quorate_raft::{Entries, Entry, Message, Raft, RaftConfig, Term};
use quorate_smr::testing::{Pump, replicas};
use quorate_smr::{
    Batch, BatchBuilder, GroupId, Input, ReadId, Reason, Refused, ReplicaId, ReplicaSet, Role, Slot,
};

use crate::cluster::{Cluster, at, batch, r, records};

fn set(ids: &[u8]) -> ReplicaSet {
    ids.iter().map(|id| r(*id)).collect()
}

fn led_by_zero(config: &RaftConfig) -> Cluster {
    let mut cluster = Cluster::new(3, config);
    cluster.elect(r(0), set(&[0, 1, 2]));
    cluster.settle();
    cluster
}

/// How many entries are on their way to `id`, in how many messages.
fn on_their_way(cluster: &Cluster, id: ReplicaId) -> (usize, usize) {
    let to = cluster.wire.iter().filter(|letter| letter.to == id);
    let entries = to.filter_map(|letter| match &letter.message {
        Message::Append { entries, .. } => Some(entries.as_slice().len()),
        _ => None,
    });
    entries.fold((0, 0), |(sum, messages), entries| (sum + entries, messages + 1))
}

/// Elects `id` but stops before anything that it says as a leader is delivered.
fn elect_and_stop(cluster: &mut Cluster, id: ReplicaId, connected: ReplicaSet) {
    cluster.wire.clear();
    for _ in 0..10 {
        cluster.tick(id);
        while !cluster.wire.is_empty() && cluster.raft(id).role() != Role::Leader {
            cluster.wire.retain(|l| connected.contains(l.from) && connected.contains(l.to));
            if !cluster.wire.is_empty() {
                cluster.deliver(0);
            }
        }
        if cluster.raft(id).role() == Role::Leader {
            return cluster.wire.retain(|letter| letter.from == id);
        }
    }
    panic!("{id} was not elected");
}

#[test]
fn three_replicas_elect_a_leader_and_commit_on_all() {
    let mut pump = Pump::<Raft>::new(3, &RaftConfig::default());
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"x", b"y"]);
    pump.propose(leader, &[b"z"]);
    pump.settle();
    for id in replicas(3) {
        assert_eq!(pump.payloads(id), [b"x", b"y", b"z"]);
    }
    pump.assert_agreement();
}

#[test]
fn a_single_replica_leads_and_commits_alone() {
    let mut pump = Pump::<Raft>::new(1, &RaftConfig::default());
    let leader = pump.run_until_leader();
    pump.propose(leader, &[b"x"]);
    pump.read(leader, ReadId(1));
    assert_eq!(pump.payloads(ReplicaId(0)), [b"x"]);
    assert_eq!(pump.reads(leader), [(ReadId(1), Slot(2))]);
}

#[test]
fn figure_7_every_follower_is_brought_to_the_leaders_log() {
    let logs: [&[u64]; 7] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for window_entries in [1, 4096] {
        let journals = logs.iter().map(|terms| records(7, terms)).collect();
        let config = RaftConfig { window_entries, ..RaftConfig::default() };
        let mut cluster = Cluster::with_journals(journals, &config);
        cluster.elect(r(0), ReplicaSet::first(7));
        cluster.settle();
        assert_eq!(cluster.raft(r(0)).term(), Term(8));
        let leaders = cluster.terms(r(0));
        assert_eq!(leaders, [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]);
        for id in cluster.ids() {
            assert_eq!(cluster.terms(id), leaders, "{id}");
            assert_eq!(cluster.raft(id).committed(), Slot(11));
            // What was overwritten stays overwritten after a restart.
            cluster.crash(id);
            cluster.start(id);
            assert_eq!(cluster.terms(id), leaders, "{id} restarted");
        }
    }
}

#[test]
fn a_conflict_skips_a_whole_term_at_once() {
    // Follower (f) of figure 7, with its two wrong terms fifty entries long.
    let wrong: Vec<u64> = [1, 1, 1].into_iter().chain([2; 50]).chain([3; 50]).collect();
    let right: Vec<u64> = [1, 1, 1].into_iter().chain([4; 100]).collect();
    let journals = vec![records(4, &right), records(4, &wrong), records(4, &right)];
    let mut cluster = Cluster::with_journals(journals, &RaftConfig::default());
    elect_and_stop(&mut cluster, r(0), set(&[0, 2]));
    let mut conflicts = 0;
    while !cluster.wire.is_empty() {
        conflicts += usize::from(matches!(cluster.wire[0].message, Message::Conflict { .. }));
        cluster.deliver(0);
    }
    assert_eq!(cluster.terms(r(1)), cluster.terms(r(0)));
    assert!(conflicts <= 2, "one round trip per term, not per entry: {conflicts}");
}

#[test]
fn figure_8_an_older_entry_is_not_committed_by_counting() {
    // (b): S1 replicated its entry of term 2 to S2; S5 has one of term 3 at the same slot.
    let journals = || {
        let journal = |terms| records(3, terms);
        vec![journal(&[1, 2]), journal(&[1, 2]), journal(&[1]), journal(&[1]), journal(&[1, 3])]
    };
    // The leader sends one entry at a time, so that the trace can stop between them.
    let config = RaftConfig { max_append_bytes: 1, ..RaftConfig::default() };
    let mut cluster = Cluster::with_journals(journals(), &config);
    // (c): S1 leads term 4 and copies the entry of term 2 to S3, a majority, and nothing more.
    elect_and_stop(&mut cluster, r(0), set(&[0, 1, 2]));
    assert_eq!((cluster.raft(r(0)).term(), cluster.terms(r(0))), (Term(4), vec![1, 2, 4]));
    while cluster.terms(r(2)) != [1, 2] {
        cluster.wire.retain(|l| set(&[0, 2]).contains(l.from) && set(&[0, 2]).contains(l.to));
        cluster.deliver(0);
    }
    cluster.wire.retain(|letter| letter.to == r(0));
    while !cluster.wire.is_empty() {
        cluster.deliver(0);
        cluster.wire.retain(|letter| letter.to == r(0));
    }
    let on_majority = [r(0), r(1), r(2)].iter().all(|id| cluster.terms(*id)[1] == 2);
    assert!(on_majority && cluster.raft(r(0)).committed() == Slot(0), "§5.4.2");
    // (d): S5 may still win, with the votes of S2, S3 and S4, and overwrite it.
    cluster.crash(r(0));
    cluster.elect(r(4), set(&[1, 2, 3, 4]));
    cluster.settle_among(set(&[1, 2, 3, 4]));
    assert_eq!(cluster.decided.len(), 3);
    assert_eq!(cluster.terms(r(1))[..2], [1, 3]);

    // (e): had S1 copied its entry of term 4 to a majority, S5 could not win any more.
    let mut cluster = Cluster::with_journals(journals(), &config);
    cluster.elect(r(0), set(&[0, 1, 2]));
    assert_eq!(cluster.raft(r(0)).committed(), Slot(3), "committed with the entry of term 4");
    cluster.crash(r(0));
    for _ in 0..10 {
        cluster.tick(r(4));
        cluster.settle_among(set(&[1, 2, 3, 4]));
        assert_ne!(cluster.raft(r(4)).role(), Role::Leader);
    }
}

#[test]
fn a_follower_commits_no_further_than_the_request_verified() {
    // Its slots 2 and 3 are leftovers of a leader of term 1; the leader of term 2 committed others.
    let journals = vec![records(1, &[1, 1, 1]), Vec::new(), Vec::new()];
    let append = |committed, entries| {
        let previous = at(1, 1);
        Message::Append { term: Term(2), previous, committed: Slot(committed), entries }
    };
    let mut cluster = Cluster::with_journals(journals, &RaftConfig::default());
    cluster.send(r(1), r(0), append(3, Entries::NONE));
    assert_eq!(cluster.raft(r(0)).committed(), Slot(1), "figure 2, AppendEntries 5");
    let heartbeat =
        Message::Heartbeat { term: Term(2), round: 1, matched: at(1, 1), committed: Slot(3) };
    cluster.send(r(1), r(0), heartbeat);
    assert_eq!(cluster.raft(r(0)).committed(), Slot(1));
    cluster.send(r(1), r(0), Message::Commit { term: Term(2), position: at(3, 2) });
    assert_eq!(cluster.raft(r(0)).committed(), Slot(1), "it has no such entry");
    let entry = Entry { term: Term(2), batch: batch(77) };
    cluster.send(r(1), r(0), append(3, Entries::one(entry)));
    assert_eq!(cluster.raft(r(0)).committed(), Slot(2));
    assert_eq!(cluster.terms(r(0)), [1, 2], "the rest was truncated");
}

#[test]
fn an_entry_leaves_beside_the_leaders_disk_and_counts_there_when_durable() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.node(r(0)).disk_held = true;
    cluster.propose(r(0));
    assert_eq!(on_their_way(&cluster, r(1)), (1, 1), "thesis §10.2.1");
    cluster.settle_among(set(&[0, 1]));
    assert_eq!(cluster.raft(r(0)).committed(), Slot(1), "one durable copy of three");
    cluster.sync(r(0));
    assert_eq!(cluster.raft(r(0)).committed(), Slot(2));
}

#[test]
fn two_followers_commit_without_the_leaders_disk() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.node(r(0)).disk_held = true;
    cluster.propose(r(0));
    cluster.settle();
    assert!(cluster.running().all(|raft| raft.committed() == Slot(2)));
}

#[test]
fn an_acknowledgement_waits_for_the_followers_disk() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.node(r(1)).disk_held = true;
    cluster.propose(r(0));
    cluster.settle_among(set(&[0, 1]));
    assert_eq!(cluster.raft(r(0)).committed(), Slot(1));
    cluster.sync(r(1));
    cluster.settle_among(set(&[0, 1]));
    assert_eq!(cluster.raft(r(0)).committed(), Slot(2));
}

#[test]
fn followers_learn_the_commit_without_waiting_for_a_heartbeat() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    let before = cluster.now;
    cluster.propose(r(0));
    cluster.settle();
    assert!(cluster.running().all(|raft| raft.committed() == Slot(2)));
    assert_eq!(cluster.now, before);
}

#[test]
fn whatever_was_lost_is_sent_again_after_a_heartbeat() {
    type IsLost = fn(&Message) -> bool;
    let kinds: [IsLost; 3] = [
        |message| matches!(message, Message::Append { .. }),
        |message| matches!(message, Message::Appended { .. }),
        |message| matches!(message, Message::Commit { .. }),
    ];
    for lost in kinds {
        let mut cluster = led_by_zero(&RaftConfig::default());
        for _ in 0..5 {
            cluster.propose(r(0));
        }
        while !cluster.wire.is_empty() {
            cluster.wire.retain(|letter| !lost(&letter.message));
            if !cluster.wire.is_empty() {
                cluster.deliver(0);
            }
        }
        for _ in 0..2 {
            cluster.tick(r(0));
            cluster.settle();
        }
        assert!(cluster.running().all(|raft| raft.committed() == Slot(6)));
    }
}

#[test]
fn reordered_and_repeated_entries_do_no_harm() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    for _ in 0..6 {
        cluster.propose(r(0));
    }
    let copies = cluster.wire.clone();
    cluster.wire.reverse();
    cluster.wire.extend(copies);
    cluster.settle();
    assert!(cluster.running().all(|raft| raft.committed() == Slot(7)));
    assert_eq!(
        cluster.node(r(1)).journal.records.len(),
        cluster.raft(r(1)).log_entries().count() + 2
    );
}

#[test]
fn stale_replies_change_nothing() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.propose(r(0));
    cluster.settle();
    let before = cluster.raft(r(0)).clone();
    let term = before.term();
    let stale = [
        Message::Appended { term: Term(0), upto: Slot(2) },
        Message::Appended { term, upto: Slot(1) },
        Message::Appended { term, upto: Slot(99) },
        Message::Conflict { term, previous: Slot(1), hint: at(0, 0) },
        Message::Conflict { term, previous: Slot(2), hint: at(0, 0) },
        Message::Conflict { term, previous: Slot(u64::MAX), hint: at(u64::MAX, u64::MAX) },
        Message::VoteReply { term, granted: true, pre: false },
        Message::VoteReply { term, granted: true, pre: true },
    ];
    for message in stale {
        cluster.send(r(1), r(0), message);
        assert_eq!(*cluster.raft(r(0)), before);
        assert!(cluster.wire.is_empty());
    }
}

#[test]
fn a_deposed_leader_learns_of_the_new_term_from_its_own_messages() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    cluster.now = cluster.now.after(RaftConfig::default().election_timeout);
    cluster.elect(r(1), set(&[1, 2]));
    let lost = cluster.propose(r(0));
    cluster.settle();
    let old = cluster.raft(r(0));
    assert_eq!((old.role(), old.term()), (Role::Follower, Term(2)));
    cluster.heal_and_progress();
    assert!(cluster.decided.values().all(|batch| *batch != lost));
}

#[test]
fn a_follower_that_does_not_answer_gets_no_more_than_the_window() {
    let entries = |window_entries| RaftConfig { window_entries, ..RaftConfig::default() };
    let mut cluster = led_by_zero(&entries(5));
    for _ in 0..20 {
        cluster.propose(r(0));
    }
    assert_eq!(on_their_way(&cluster, r(1)), (5, 5));
    // Every acknowledgement lets one more through.
    let first = cluster.wire.iter().position(|letter| letter.to == r(1)).unwrap();
    cluster.deliver(first);
    cluster.deliver(cluster.wire.len() - 1);
    assert_eq!(on_their_way(&cluster, r(1)), (5, 5));
    cluster.settle();
    assert_eq!(cluster.raft(r(1)).committed(), Slot(21));
}

#[test]
fn the_window_is_bounded_in_bytes_too() {
    let config = RaftConfig { window_bytes: 500, ..RaftConfig::default() };
    let mut cluster = led_by_zero(&config);
    for _ in 0..20 {
        cluster.propose(r(0));
    }
    let entry = batch(1).len() + quorate_raft::ENTRY_OVERHEAD_BYTES;
    let (entries, _) = on_their_way(&cluster, r(1));
    assert_eq!(entries, 500_usize.div_ceil(entry), "the last one sent may reach over the limit");
    cluster.settle();
    assert_eq!(cluster.raft(r(1)).committed(), Slot(21));
}

#[test]
fn a_message_carries_no_more_than_its_limit() {
    let config = RaftConfig { max_append_bytes: 600, ..RaftConfig::default() };
    let journals = vec![records(1, &[1; 40]), Vec::new(), records(1, &[1; 40])];
    let mut cluster = Cluster::with_journals(journals, &config);
    elect_and_stop(&mut cluster, r(0), set(&[0, 2]));
    let mut carried = Vec::new();
    while !cluster.wire.is_empty() {
        if let Message::Append { entries, .. } = &cluster.wire[0].message {
            carried.push(entries.as_slice().iter().map(|entry| entry.batch.len() + 96).sum());
        }
        cluster.deliver(0);
    }
    assert_eq!(cluster.raft(r(1)).committed(), Slot(41));
    assert!(carried.iter().all(|bytes: &usize| *bytes <= 600), "{carried:?}");
    assert!(carried.iter().any(|bytes| *bytes > 300), "entries share messages: {carried:?}");
}

#[test]
fn an_unknown_follower_is_probed_with_one_message() {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    elect_and_stop(&mut cluster, r(0), set(&[0, 2]));
    for _ in 0..10 {
        cluster.propose(r(0));
    }
    assert_eq!(on_their_way(&cluster, r(1)), (1, 1));
    cluster.settle();
    assert_eq!(cluster.raft(r(1)).committed(), Slot(11));
}

#[test]
fn proposals_beyond_the_uncommitted_window_are_refused() {
    let config = RaftConfig { uncommitted_entries_max: 4, ..RaftConfig::default() };
    let mut cluster = led_by_zero(&config);
    for _ in 0..4 {
        cluster.propose(r(0));
    }
    let fifth = cluster.propose(r(0));
    assert_eq!(cluster.node(r(0)).refused, [(Refused::Proposal(fifth), Reason::Busy)]);
    cluster.settle();
    cluster.propose(r(0));
    assert_eq!(cluster.node(r(0)).refused.len(), 1, "and taken again once there is room");
}

#[test]
fn a_leader_with_a_slow_disk_pushes_back_although_the_others_commit() {
    let config = RaftConfig { uncommitted_entries_max: 4, ..RaftConfig::default() };
    let mut cluster = led_by_zero(&config);
    cluster.node(r(0)).disk_held = true;
    for _ in 0..10 {
        cluster.propose(r(0));
        cluster.settle();
    }
    assert_eq!(cluster.raft(r(0)).committed(), Slot(5));
    assert_eq!(cluster.node(r(0)).refused.len(), 6);
}

#[test]
fn what_makes_no_sense_here_is_refused_as_invalid() {
    let config = RaftConfig { uncommitted_bytes_max: 2048, ..RaftConfig::default() };
    let mut cluster = led_by_zero(&config);
    let large: Batch = {
        let mut builder = BatchBuilder::new(GroupId(0));
        let command = quorate_smr::Command {
            client: quorate_smr::ClientId(1),
            seq: quorate_smr::RequestSeq(1),
            payload: &[0; 4096],
            auth: &[],
        };
        builder.push(&command).unwrap();
        builder.seal(None)
    };
    for batch in [Batch::empty(GroupId(5)), large] {
        cluster.input(r(0), Input::Propose { batch: batch.clone() });
        let refused = cluster.node(r(0)).refused.pop();
        assert_eq!(refused, Some((Refused::Proposal(batch), Reason::Invalid)));
    }
}

#[test]
fn a_follower_refuses_proposals_and_names_the_leader() {
    let mut cluster = led_by_zero(&RaftConfig::default());
    let batch = cluster.propose(r(2));
    let reason = Reason::NotLeader { leader: Some(r(0)) };
    assert_eq!(cluster.node(r(2)).refused, [(Refused::Proposal(batch), reason)]);
}

/// Found by random histories: the report of the disk came while the follower asked for pre-votes,
/// and the acknowledgement was owed for ever.
#[test]
fn an_acknowledgement_that_fell_due_during_a_pre_vote_is_given_to_the_same_leader() {
    let config = RaftConfig { check_quorum: false, ..RaftConfig::default() };
    let mut pump: Pump<Raft> = Pump::new(3, &config);
    let leader = pump.run_until_leader();
    pump.advance(config.heartbeat_interval);
    let [follower, away] =
        [0, 1].map(|n| replicas(3).filter(|id| *id != leader).nth(n).expect("two others"));
    pump.isolate(away);
    pump.hold_disk(follower);
    pump.propose(leader, &[b"owed"]);
    pump.settle();
    pump.isolate(follower);
    pump.advance(config.election_timeout + config.election_spread);
    assert_eq!(pump.replica(follower).role(), Role::Candidate);
    pump.sync(follower);
    pump.heal();
    pump.isolate(away);
    pump.advance(config.heartbeat_interval * 3);
    assert_eq!(pump.payloads(leader), [b"owed".to_vec()]);
    assert_eq!(pump.payloads(follower), [b"owed".to_vec()]);
}
