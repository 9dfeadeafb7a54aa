//! Bad input: whatever a peer, a client or an operator says, a replica neither panics nor grows.

use proptest::prelude::*;
use quorate_paxos::{Acceptance, Ballot, Message, PaxosConfig};
use quorate_smr::{
    Admin, Batch, GroupId, Input, Protocol, ReadId, ReplicaId, ReplicaSet, Slot, SnapshotMeta,
};

use crate::{Solo, accept, ballot, batch, r};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..6,
        Just(1 << 48),
        Just((1 << 48) + 1),
        Just(1 << 60),
        Just(u64::MAX),
        any::<u64>()
    ]
}

fn any_ballot() -> impl Strategy<Value = Ballot> {
    (number(), 0u8..5).prop_map(|(round, replica)| ballot(round, replica))
}

fn any_batch() -> impl Strategy<Value = Batch> {
    prop_oneof![
        Just(batch("v")),
        Just(batch("w")),
        Just(Batch::empty(GroupId(0))),
        Just(Batch::empty(GroupId(9)))
    ]
}

fn slot() -> impl Strategy<Value = Slot> {
    number().prop_map(Slot)
}

fn acceptances() -> impl Strategy<Value = Vec<Acceptance>> {
    let one = (slot(), any_ballot(), any_batch()).prop_map(|(slot, ballot, batch)| Acceptance {
        slot,
        ballot,
        batch,
    });
    proptest::collection::vec(one, 0..4)
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        number().prop_map(|canvass| Message::Canvass { canvass }),
        (number(), any::<bool>(), any_ballot(), slot()).prop_map(
            |(canvass, free, promised, decided)| {
                Message::Canvassed { canvass, free, promised, decided }
            }
        ),
        (any_ballot(), slot()).prop_map(|(ballot, from)| Message::Prepare { ballot, from }),
        (any_ballot(), slot(), slot(), acceptances(), proptest::option::of(slot())).prop_map(
            |(ballot, from, decided, accepted, next)| {
                Message::Promise { ballot, from, decided, accepted, next }
            }
        ),
        any_ballot().prop_map(|promised| Message::Refuse { promised }),
        (number(), slot(), slot(), any_batch()).prop_map(|(round, slot, decided, batch)| {
            Message::Accept { round, slot, decided, batch }
        }),
        (any_ballot(), slot()).prop_map(|(ballot, upto)| Message::Accepted { ballot, upto }),
        (any_ballot(), slot()).prop_map(|(ballot, decided)| Message::Decide { ballot, decided }),
        (any_ballot(), slot(), number())
            .prop_map(|(ballot, decided, probe)| { Message::Heartbeat { ballot, decided, probe } }),
        (any_ballot(), number(), slot())
            .prop_map(|(ballot, probe, upto)| { Message::HeartbeatAck { ballot, probe, upto } }),
        slot().prop_map(|from| Message::Fetch { from }),
        (slot(), proptest::collection::vec(any_batch(), 0..4), slot())
            .prop_map(|(from, batches, decided)| Message::Decisions { from, batches, decided }),
        slot().prop_map(|decided| Message::Snapshot { decided }),
        any_ballot().prop_map(|ballot| Message::TakeOver { ballot }),
    ]
}

fn input() -> impl Strategy<Value = Input<Message>> {
    let snapshot = |slot| SnapshotMeta { slot, digest: Default::default(), bytes: 1 };
    prop_oneof![
        20 => (0u8..5, message()).prop_map(|(from, message)| {
            Input::Message { from: ReplicaId(from), message }
        }),
        3 => Just(Input::Tick),
        2 => any_batch().prop_map(|batch| Input::Propose { batch }),
        1 => number().prop_map(|id| Input::Read { id: ReadId(id) }),
        1 => (0u8..200).prop_map(|to| Input::Admin(Admin::TransferLeadership { to: ReplicaId(to) })),
        1 => Just(Input::Admin(Admin::ChangeMembership { members: ReplicaSet::EMPTY })),
        1 => slot().prop_map(move |slot| Input::SnapshotTaken { snapshot: snapshot(slot) }),
        1 => slot().prop_map(|slot| Input::SnapshotInstalled { slot }),
        1 => (0u8..5, message(), slot()).prop_map(move |(from, message, slot)| {
            Input::SnapshotArrived { from: ReplicaId(from), message, snapshot: snapshot(slot) }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_anybody_says_makes_a_replica_panic(
        inputs in proptest::collection::vec(input(), 0..60),
        lead in any::<bool>(),
    ) {
        let config = PaxosConfig {
            window_slots_max: 8,
            window_bytes_max: 4096,
            log_bytes_max: 64 << 10,
            ..PaxosConfig::default()
        };
        let mut solo = Solo::new(3, config);
        if lead {
            let under = solo.stand(3);
            let decided = Slot::ZERO;
            let accepted = Vec::new();
            let from = Slot(1);
            solo.hear(r(1), Message::Promise { ballot: under, from, decided, accepted, next: None });
            assert!(solo.replica.ballot().is_some());
        }
        let mut promised = solo.replica.promised();
        for input in inputs {
            if input == Input::Tick {
                solo.now = solo.now.max(solo.replica.deadline().unwrap());
            }
            solo.input(input);
            let status = solo.replica.status();
            prop_assert!(status.held_bytes <= status.held_bytes_max);
            prop_assert!(status.committed <= status.last);
            prop_assert!(solo.replica.promised() >= promised, "promises only grow");
            promised = solo.replica.promised();
            prop_assert!(solo.replica.accepted().count() < 64, "the log stays within its window");
        }
    }
}

#[test]
fn strangers_are_ignored() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    assert!(solo.hear(r(7), accept(ballot(1, 7), 1, 0, "v")).is_empty());
    assert!(solo.hear(r(0), accept(ballot(1, 0), 1, 0, "v")).is_empty(), "from itself");
    let decided = Slot(1);
    let not_its_ballot = Message::Decide { ballot: ballot(1, 2), decided };
    assert!(solo.hear(r(1), not_its_ballot).is_empty());
    assert_eq!(solo.replica.promised(), Ballot::ZERO);
    assert!(solo.accepted().is_empty());
}

#[test]
fn an_accept_far_ahead_is_not_stored() {
    let mut solo = Solo::new(3, PaxosConfig::default());
    let beyond = 2 * PaxosConfig::default().window_slots_max + 1;
    solo.hear(r(1), accept(ballot(1, 1), beyond, 0, "v"));
    assert!(solo.accepted().is_empty());
    solo.hear(r(1), accept(ballot(1, 1), beyond - 1, 0, "v"));
    assert_eq!(solo.accepted().len(), 1);
}
