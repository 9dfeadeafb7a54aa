//! Phase 1: promises, the values that they carry, and what a new leader does with them.
//! Lamport, *Paxos Made Simple* (2001), §2.2 and §3.

use quorate_paxos::{Acceptance, Ballot, Message, PaxosConfig, Record};
use quorate_smr::testing::{plain_batch, replicas};
use quorate_smr::{Batch, GroupId, Input, Protocol, Role, Slot, To};

use crate::{Solo, accept, ballot, batch, prepare, pump, r};

fn solo() -> Solo {
    Solo::new(3, PaxosConfig::default())
}

fn promise(under: Ballot, from: u64, accepted: Vec<Acceptance>) -> Message {
    Message::Promise { ballot: under, from: Slot(from), decided: Slot::ZERO, accepted, next: None }
}

fn acceptance(slot: u64, under: Ballot, text: &str) -> Acceptance {
    Acceptance { slot: Slot(slot), ballot: under, batch: batch(text) }
}

/// The (slot, batch) pairs of the accepts among `sent`.
fn proposals(sent: &[(To, Message)]) -> Vec<(u64, Batch)> {
    let proposal = |(_, message): &(To, Message)| match message {
        Message::Accept { slot, batch, .. } => Some((slot.0, batch.clone())),
        _ => None,
    };
    sent.iter().filter_map(proposal).collect()
}

/// §2.2 phase 1 (b): a prepare below the promise is refused, and the promise said.
#[test]
fn an_acceptor_refuses_a_prepare_below_its_promise() {
    let mut solo = solo();
    solo.hear(r(2), prepare(ballot(5, 2), 1));
    let sent = solo.hear(r(1), prepare(ballot(4, 1), 1));
    assert_eq!(sent, [(To::One(r(1)), Message::Refuse { promised: ballot(5, 2) })]);
    assert_eq!(solo.replica.promised(), ballot(5, 2));
}

/// §2.2 P1a: an acceptor accepts unless it has answered a prepare with a greater number.
#[test]
fn an_acceptor_refuses_an_accept_below_its_promise() {
    let mut solo = solo();
    solo.hear(r(2), prepare(ballot(5, 2), 1));
    let sent = solo.hear(r(1), accept(ballot(4, 1), 1, 0, "late"));
    assert_eq!(sent, [(To::One(r(1)), Message::Refuse { promised: ballot(5, 2) })]);
    assert!(solo.accepted().is_empty());
}

/// §2.2: an accept above the promise is accepted, and promises its ballot.
#[test]
fn accepting_under_a_higher_ballot_promises_it() {
    let mut solo = solo();
    solo.hear(r(1), accept(ballot(4, 1), 1, 0, "v"));
    assert_eq!(solo.replica.promised(), ballot(4, 1));
    assert_eq!(solo.accepted(), [(1, ballot(4, 1), batch("v"))]);
}

/// §2.2 phase 1 (b): the promise reports the highest-numbered acceptance of each slot.
#[test]
fn a_promise_reports_the_last_acceptance_of_every_open_slot() {
    let mut solo = solo();
    solo.hear(r(1), accept(ballot(4, 1), 1, 0, "old"));
    solo.hear(r(1), accept(ballot(4, 1), 3, 0, "c"));
    solo.hear(r(2), accept(ballot(5, 2), 1, 0, "new"));
    let sent = solo.hear(r(1), prepare(ballot(7, 1), 1));
    let accepted = vec![acceptance(1, ballot(5, 2), "new"), acceptance(3, ballot(4, 1), "c")];
    assert_eq!(sent, [(To::One(r(1)), promise(ballot(7, 1), 1, accepted))]);
}

/// §2.2: "An acceptor must remember this information even if it fails and then restarts."
#[test]
fn a_promise_and_an_acknowledgement_wait_for_the_disk() {
    let mut solo = solo();
    solo.disk_held = true;
    assert!(solo.hear(r(2), prepare(ballot(5, 2), 1)).is_empty(), "nothing before the disk");
    solo.sent.clear();
    solo.sync();
    assert_eq!(solo.sent, [(To::One(r(2)), promise(ballot(5, 2), 1, vec![]))]);

    solo.disk_held = true;
    assert!(solo.hear(r(2), accept(ballot(5, 2), 1, 0, "v")).is_empty());
    solo.sent.clear();
    solo.sync();
    let acknowledged = Message::Accepted { ballot: ballot(5, 2), upto: Slot(1) };
    assert_eq!(solo.sent, [(To::One(r(2)), acknowledged)]);
}

/// A candidate that crashed must not find its ballot unused again: it may have proposed under it.
#[test]
fn a_prepare_waits_for_the_candidates_own_promise() {
    let mut solo = solo();
    solo.disk_held = true;
    let under = solo.stand(3);
    assert!(!solo.sent.iter().any(|(_, m)| matches!(m, Message::Prepare { .. })));
    solo.sent.clear();
    solo.sync();
    assert!(solo.journal.contains(&Record::Promised { ballot: under }));
    assert_eq!(solo.sent, [(To::Others, prepare(under, 1))]);
}

/// §2.2 P2c: the value of the highest-numbered proposal among the promises is proposed.
#[test]
fn the_value_of_the_highest_ballot_is_adopted() {
    let mut solo = Solo::new(5, PaxosConfig::default());
    solo.hear(r(1), accept(ballot(1, 1), 1, 0, "own, lowest"));
    let under = solo.stand(5);
    solo.hear(r(1), promise(under, 1, vec![acceptance(1, ballot(3, 3), "highest")]));
    let sent = solo.hear(r(2), promise(under, 1, vec![acceptance(1, ballot(2, 2), "middle")]));
    assert_eq!(proposals(&sent), [(1, batch("highest"))]);
    assert_eq!(solo.accepted(), [(1, under, batch("highest"))]);
}

/// §2.2 P2c, the other half: the candidate's own acceptance counts like anyone's.
#[test]
fn the_candidates_own_acceptance_is_adopted_too() {
    let mut solo = solo();
    solo.hear(r(2), accept(ballot(2, 2), 1, 0, "own, highest"));
    let under = solo.stand(3);
    let sent = solo.hear(r(1), promise(under, 1, vec![acceptance(1, ballot(1, 1), "lower")]));
    assert_eq!(proposals(&sent), [(1, batch("own, highest"))]);
}

/// §3: slots 135 to 137 and 140 of the paper's example: what was proposed is proposed again, the
/// gaps between are filled with no-ops, and one phase 1 served them all.
#[test]
fn one_phase_1_covers_all_open_slots_and_gaps_get_no_ops() {
    let mut solo = solo();
    let under = solo.stand(3);
    let reported = vec![
        acceptance(2, ballot(1, 1), "two"),
        acceptance(3, ballot(2, 2), "three"),
        acceptance(6, ballot(1, 1), "six"),
    ];
    let sent = solo.hear(r(1), promise(under, 1, reported));
    let no_op = Batch::empty(GroupId(0));
    let expected = vec![
        (1, no_op.clone()),
        (2, batch("two")),
        (3, batch("three")),
        (4, no_op.clone()),
        (5, no_op),
        (6, batch("six")),
    ];
    assert_eq!(proposals(&sent), expected);
    solo.sent.clear();
    solo.input(Input::Propose { batch: batch("seven") });
    assert_eq!(proposals(&solo.sent), [(7, batch("seven"))]);
    let prepares = solo.sent.iter().filter(|(_, m)| matches!(m, Message::Prepare { .. }));
    assert_eq!(prepares.count(), 0, "no second phase 1");
}

/// A promise that does not fit one message comes in pages, and counts when the last has arrived.
#[test]
fn a_long_promise_is_paged_and_counts_only_when_complete() {
    let config = PaxosConfig { page_slots_max: 2, ..PaxosConfig::default() };
    let mut acceptor = Solo::new(3, config);
    for slot in 1..=5 {
        acceptor.hear(r(1), accept(ballot(1, 1), slot, 0, "v"));
    }
    let mut candidate = solo();
    let under = candidate.stand(3);
    let mut from = 1;
    let mut pages = 0;
    loop {
        let asked = Message::Prepare { ballot: ballot(under.round, 2), from: Slot(from) };
        let answer = acceptor.hear(r(2), asked).pop().expect("a promise").1;
        let Message::Promise { decided, accepted, next, .. } = answer else { panic!("a promise") };
        assert!(accepted.len() <= 2);
        pages += 1;
        let page = Message::Promise { ballot: under, from: Slot(from), decided, accepted, next };
        let sent = candidate.hear(r(1), page);
        let Some(next) = next else {
            assert_eq!(proposals(&sent).len(), 5, "all pages adopted");
            break;
        };
        assert_eq!(sent, [(To::One(r(1)), prepare(under, next.0))], "asks for the next page");
        from = next.0;
    }
    assert_eq!(pages, 3);
}

/// A phase 1 of many pages may last far longer than an election timeout: each page is progress, for
/// the candidate and for those that promised. (Two candidates took turns for ever, each outbidding
/// the other's half-read promises.)
#[test]
fn a_promise_of_many_pages_is_not_outbid_while_it_is_read() {
    let config = PaxosConfig { page_slots_max: 1, ..PaxosConfig::default() };
    let (step, timeout) = (config.election_timeout_min / 2, config.election_timeout_max);
    let mut acceptor = Solo::new(3, config);
    for slot in 1..=20 {
        acceptor.hear(r(1), accept(ballot(1, 1), slot, 0, "v"));
    }
    let mut candidate = solo();
    let under = candidate.stand(3);
    for from in 1..=20 {
        let asked = Message::Prepare { ballot: ballot(under.round, 2), from: Slot(from) };
        let answer = acceptor.hear(r(2), asked).pop().expect("a page").1;
        let Message::Promise { decided, accepted, next, .. } = answer else { panic!("a page") };
        let page = Message::Promise { ballot: under, from: Slot(from), decided, accepted, next };
        candidate.hear(r(1), page);
        for solo in [&mut acceptor, &mut candidate] {
            solo.now = solo.now.after(step);
            solo.input(Input::Tick);
            let said = solo.hear(r(1), Message::Canvass { canvass: 9 });
            let free = said.iter().any(|(_, m)| matches!(m, Message::Canvassed { free: true, .. }));
            assert!(!free, "page {from}: nobody helps another candidate");
        }
        let canvassed = acceptor.sent.iter().any(|(_, m)| matches!(m, Message::Canvass { .. }));
        assert!(!canvassed, "page {from}: the acceptor waits");
    }
    assert!(step * 20 > 2 * timeout, "it took longer than anybody waits for a leader");
    assert_eq!(candidate.replica.status().role, Role::Leader);
}

/// The same replica promising twice is one promise (a quorum is of distinct acceptors).
#[test]
fn a_repeated_promise_counts_once() {
    let mut solo = Solo::new(5, PaxosConfig::default());
    let under = solo.stand(5);
    for _ in 0..5 {
        assert!(solo.hear(r(1), promise(under, 1, vec![])).is_empty());
    }
    let sent = solo.hear(r(4), promise(under, 1, vec![]));
    assert!(matches!(sent[..], [(To::Others, Message::Heartbeat { .. })]), "{sent:?}");
}

/// A stale candidate wins: what its quorum knows to be decided is fetched before it leads.
#[test]
fn a_candidate_fetches_what_is_decided_before_it_leads() {
    let mut solo = solo();
    let under = solo.stand(3);
    let accepted = vec![acceptance(3, ballot(1, 1), "open")];
    let decided = Slot(2);
    let answer = Message::Promise { ballot: under, from: Slot(1), decided, accepted, next: None };
    let sent = solo.hear(r(1), answer);
    assert_eq!(sent, [(To::One(r(1)), Message::Fetch { from: Slot(1) })]);
    let batches = vec![batch("one"), batch("two")];
    let sent = solo.hear(r(1), Message::Decisions { from: Slot(1), batches, decided });
    assert_eq!(proposals(&sent), [(3, batch("open"))], "decided slots are not proposed again");
    assert_eq!(solo.commits, [(Slot(1), batch("one")), (Slot(2), batch("two"))]);
}

/// End to end: a value that reached one acceptor survives its leader; a slot that reached none is
/// filled.
#[test]
fn a_new_leader_completes_what_its_predecessor_left_open() {
    let mut pump = pump(3);
    let first = pump.run_until_leader();
    let heir = replicas(3).find(|id| *id != first).unwrap();
    for (slot, payload) in [(1u64, b"one"), (2, b"two"), (3, b"tri")] {
        pump.propose(first, &[payload]);
        let lost = |message: &Message| matches!(message, Message::Accept { slot: at, .. } if at.0 == slot && slot == 2);
        pump.lose_where(|envelope| envelope.to != heir || lost(&envelope.sealed));
    }
    pump.crash(first);
    pump.settle();
    pump.cut(first, heir);
    pump.run_until_leader();
    pump.settle();
    for id in replicas(3).filter(|id| *id != first) {
        assert_eq!(pump.payloads(id), [b"one", b"tri"], "{id}");
        assert!(pump.committed(id)[1].1.is_empty(), "slot 2 holds a no-op");
    }
    pump.assert_agreement();
}

/// Found by a client with huge requests: each replacement was counted on top of what it replaced.
#[test]
fn a_large_value_gives_way_to_that_of_a_higher_ballot() {
    let config = PaxosConfig {
        log_bytes_max: 64 << 10,
        window_bytes_max: 16 << 10,
        ..PaxosConfig::default()
    };
    let mut solo = Solo::new(3, config);
    for (round, seq) in [(1, 1), (2, 2), (4, 3), (5, 4)] {
        let batch = plain_batch(GroupId(0), seq, &[&[0; 20 << 10]]);
        let (slot, decided) = (Slot(1), Slot::ZERO);
        let ballot = Ballot { round, replica: r((round % 3) as u8) };
        let accept = Message::Accept { round, slot, decided, batch: batch.clone() };
        solo.hear(ballot.replica, accept);
        assert_eq!(solo.accepted(), [(1, ballot, batch)]);
    }
}

/// Found by the same: with many pages nobody ever came to the end of phase 1.
#[test]
fn a_promise_of_many_pages_may_take_longer_than_an_election() {
    let config = PaxosConfig::default();
    let pause = config.election_timeout_min / 2;
    let mut solo = Solo::new(3, config.clone());
    let ballot = solo.stand(3);
    for slot in 1..=20 {
        solo.now = solo.now.after(pause);
        solo.input(Input::Tick);
        let batch = plain_batch(GroupId(0), slot, &[b"adopted"]);
        let under = Ballot { round: 1, replica: r(1) };
        let accepted = vec![Acceptance { slot: Slot(slot), ballot: under, batch }];
        let (from, decided, next) = (Slot(slot), Slot::ZERO, Some(Slot(slot + 1)));
        let next = next.filter(|_| slot < 20);
        solo.hear(r(1), Message::Promise { ballot, from, decided, accepted, next });
        assert_eq!(solo.replica.ballot(), Some(ballot), "page {slot}");
    }
    assert_eq!(solo.accepted().len(), 20);
    // The acceptor does not stand while the candidate reads its promise.
    let mut acceptor = Solo::new(3, config);
    let ballot = Ballot { round: 1, replica: r(1) };
    for slot in 1..=20 {
        acceptor.hear(r(1), Message::Prepare { ballot, from: Slot(slot) });
        acceptor.now = acceptor.now.after(pause);
        acceptor.input(Input::Tick);
        assert_eq!(acceptor.replica.status().role, Role::Follower, "page {slot}");
    }
}
