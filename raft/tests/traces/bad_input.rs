//! What a peer sends is believed only as far as it can be true; nothing makes a replica panic.

use proptest::prelude::*;
use quorate_raft::{Entries, Entry, Message, Position, RaftConfig, TERM_JUMP_MAX, Term};
use quorate_smr::{Batch, Digest, GroupId, Input, Protocol, ReplicaSet, Role, Slot, SnapshotMeta};

use crate::cluster::{Cluster, at, batch, r};

fn led_by_zero() -> Cluster {
    let mut cluster = Cluster::new(3, &RaftConfig::default());
    cluster.elect(r(0), ReplicaSet::first(3));
    cluster.propose(r(0));
    cluster.settle();
    cluster
}

fn entries(list: &[(u64, Batch)]) -> Entries {
    list.iter().map(|(term, batch)| Entry { term: Term(*term), batch: batch.clone() }).collect()
}

/// Every kind of message with `term` and everything else at its largest.
fn largest(term: u64) -> Vec<Message> {
    let (term, end, max) = (Term(term), at(u64::MAX, u64::MAX), u64::MAX);
    let slot = Slot(max);
    let entries = entries(&[(max, batch(1)), (max, batch(2))]);
    vec![
        Message::Append { term, previous: end, committed: slot, entries: Entries::NONE },
        Message::Append { term, previous: end, committed: slot, entries: entries.clone() },
        Message::Append { term, previous: Position::ZERO, committed: slot, entries },
        Message::Appended { term, upto: slot },
        Message::Conflict { term, previous: slot, hint: end },
        Message::Commit { term, position: end },
        Message::Heartbeat { term, round: max, matched: end, committed: slot },
        Message::HeartbeatReply { term, round: max, received: slot },
        Message::VoteReply { term, granted: true, pre: true },
        Message::VoteReply { term, granted: true, pre: false },
        Message::Vote { term, last: end, pre: true, transfer: true },
        Message::Snapshot { term, position: end },
    ]
}

#[test]
fn absurd_terms_are_ignored() {
    for term in [u64::MAX, TERM_JUMP_MAX + 2] {
        for message in largest(term) {
            let mut cluster = led_by_zero();
            for id in [r(0), r(2)] {
                cluster.send(r(1), id, message.clone());
                let snapshot =
                    SnapshotMeta { slot: Slot(u64::MAX), digest: Digest::default(), bytes: 0 };
                let arrived =
                    Input::SnapshotArrived { from: r(1), message: message.clone(), snapshot };
                cluster.input(id, arrived);
                assert_eq!(cluster.raft(id).term(), Term(1), "{message:?}");
            }
            cluster.heal_and_progress();
        }
    }
}

#[test]
fn absurd_numbers_in_the_current_term_are_ignored() {
    for message in largest(1) {
        let mut cluster = led_by_zero();
        cluster.send(r(1), r(0), message.clone());
        cluster.send(r(0), r(2), message.clone());
        assert_eq!(cluster.raft(r(0)).role(), Role::Leader, "{message:?}");
        assert_eq!(cluster.raft(r(2)).committed(), Slot(2), "{message:?}");
        cluster.heal_and_progress();
    }
}

#[test]
fn strangers_and_oneself_are_not_heard() {
    let mut cluster = led_by_zero();
    let before = cluster.raft(r(2)).clone();
    for message in largest(2) {
        for from in [r(2), r(3), r(255)] {
            cluster.send(from, r(2), message.clone());
        }
    }
    assert_eq!(*cluster.raft(r(2)), before);
    assert!(cluster.wire.is_empty());
}

#[test]
fn entries_that_no_leader_can_have_are_not_taken_up() {
    let impossible = [
        (entries(&[(1, Batch::empty(GroupId(8)))]), "another group's batch"),
        (entries(&[(2, batch(5))]), "a later term than its leader's"),
        (entries(&[(1, batch(5)), (0, batch(6))]), "terms that go back"),
    ];
    for (entries, what) in impossible {
        let mut cluster = led_by_zero();
        let (term, committed) = (Term(1), Slot(9));
        let append = Message::Append { term, previous: at(2, 1), committed, entries };
        cluster.send(r(0), r(1), append);
        assert_eq!(cluster.raft(r(1)).status().last, Slot(2), "{what}");
    }
}

#[test]
fn committed_entries_are_never_replaced() {
    let mut cluster = led_by_zero();
    let before: Vec<_> = cluster.raft(r(1)).log_entries().map(|(_, _, b)| b.clone()).collect();
    let entries = entries(&[(2, batch(5)), (2, batch(6))]);
    let term = Term(2);
    let append = Message::Append { term, previous: Position::ZERO, committed: Slot(2), entries };
    cluster.now = cluster.now.after(RaftConfig::default().election_timeout);
    cluster.send(r(2), r(1), append);
    let after: Vec<_> = cluster.raft(r(1)).log_entries().map(|(_, _, b)| b.clone()).collect();
    assert_eq!(before, after);
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0u64..6, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1), 1 => Just(1 << 62)]
}

fn position() -> impl Strategy<Value = Position> {
    (number(), number()).prop_map(|(slot, term)| at(slot, term))
}

fn some_entries() -> impl Strategy<Value = Entries> {
    proptest::collection::vec((0u64..5, 0u64..9), 0..4).prop_map(|list| {
        list.into_iter().map(|(t, b)| Entry { term: Term(t), batch: batch(b) }).collect()
    })
}

fn message() -> impl Strategy<Value = Message> {
    let term = || number().prop_map(Term);
    let slot = || number().prop_map(Slot);
    prop_oneof![
        4 => (term(), position(), slot(), some_entries()).prop_map(
            |(term, previous, committed, entries)| {
                Message::Append { term, previous, committed, entries }
            }
        ),
        2 => (term(), slot()).prop_map(|(term, upto)| Message::Appended { term, upto }),
        2 => (term(), slot(), position())
            .prop_map(|(term, previous, hint)| Message::Conflict { term, previous, hint }),
        1 => (term(), position()).prop_map(|(term, position)| Message::Commit { term, position }),
        1 => (term(), number(), position(), slot()).prop_map(
            |(term, round, matched, committed)| {
                Message::Heartbeat { term, round, matched, committed }
            }
        ),
        1 => (term(), number(), slot()).prop_map(|(term, round, received)| {
            Message::HeartbeatReply { term, round, received }
        }),
        2 => (term(), position(), any::<bool>(), any::<bool>())
            .prop_map(|(term, last, pre, transfer)| Message::Vote { term, last, pre, transfer }),
        2 => (term(), any::<bool>(), any::<bool>())
            .prop_map(|(term, granted, pre)| Message::VoteReply { term, granted, pre }),
        1 => term().prop_map(|term| Message::NewerTerm { term }),
        1 => term().prop_map(|term| Message::TimeoutNow { term }),
        2 => (term(), position())
            .prop_map(|(term, position)| Message::Snapshot { term, position }),
    ]
}

proptest! {
    /// Alone against peers that say anything: no panic, no term runs away, memory stays bounded.
    #[test]
    fn no_sequence_of_messages_makes_a_replica_panic(
        steps in proptest::collection::vec((0u8..4, message(), 0u8..8), 0..150),
    ) {
        let config = RaftConfig { snapshot_interval: 4, trailing_slots: 1, ..RaftConfig::default() };
        let setup = quorate_smr::Setup::new(r(0), 3, quorate_smr::Seed(3), config);
        let mut raft =
            quorate_raft::Raft::recover(setup, Default::default(), quorate_smr::Time::ZERO).unwrap();
        let mut effects = quorate_smr::Effects::new();
        let (mut now, mut appended) = (quorate_smr::Time::ZERO, 0);
        for (from, message, what) in steps {
            let input = match (what, &message) {
                (0, _) => {
                    now = raft.deadline().unwrap().max(now);
                    Input::Tick
                }
                (1, _) => Input::Propose { batch: batch(message.term().0) },
                (2, _) => Input::Durable { upto: quorate_smr::Lsn(appended) },
                (_, Message::Snapshot { position, .. }) => {
                    let slot = position.slot;
                    let snapshot = SnapshotMeta { slot, digest: Digest::default(), bytes: 0 };
                    Input::SnapshotArrived { from: r(from), message, snapshot }
                }
                _ => Input::Message { from: r(from), message },
            };
            raft.handle(now, input, &mut effects);
            for effect in effects.drain() {
                use quorate_smr::Effect::{Append, Compact, InstallSnapshot};
                let durable = matches!(effect, Append { .. } | Compact { .. } | InstallSnapshot { .. });
                appended += u64::from(durable);
            }
            let status = raft.status();
            prop_assert!(status.held_bytes <= status.held_bytes_max);
            prop_assert!(raft.term().0 < 1 << 40);
        }
    }
}
