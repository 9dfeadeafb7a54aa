//! Messages and records as bytes: what is sent reads back, what is damaged is refused.

use quorate_raft::{Entries, Entry, Message, Position, Record, Term};
use quorate_smr::wire::{decode, encode};
use quorate_smr::{ClusterId, GroupId, Slot};

use crate::cluster::{at, batch, r, records};

const OURS: ClusterId = ClusterId(5);

fn frame<M: serde::Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(OURS, GroupId(0), r(1), message, &mut bytes).expect("within the frame limit");
    bytes
}

fn every_kind() -> Vec<Message> {
    let (term, slot, position) = (Term(7), Slot(9), at(9, 6));
    let entry = |number| Entry { term, batch: batch(number) };
    let append = |entries| Message::Append { term, previous: position, committed: slot, entries };
    vec![
        append(Entries::NONE),
        append(Entries::one(entry(1))),
        append((1..5).map(entry).collect()),
        Message::Appended { term, upto: slot },
        Message::Conflict { term, previous: slot, hint: Position::ZERO },
        Message::Commit { term, position },
        Message::Heartbeat { term, round: 3, matched: position, committed: slot },
        Message::HeartbeatReply { term, round: 3, received: slot },
        Message::Vote { term, last: position, pre: true, transfer: false },
        Message::VoteReply { term, granted: true, pre: false },
        Message::NewerTerm { term },
        Message::TimeoutNow { term },
        Message::Snapshot { term, position },
    ]
}

#[test]
fn every_message_reads_back() {
    for message in every_kind() {
        let (_, read) = decode::<Message>(&frame(&message), OURS).unwrap();
        assert_eq!(read, message);
    }
}

#[test]
fn every_record_reads_back() {
    let base = Record::Base { position: at(3, 2) };
    for record in records(4, &[1, 2, 3]).into_iter().chain([base]) {
        let (_, read) = decode::<Record>(&frame(&record), OURS).unwrap();
        assert_eq!(read, record);
    }
}

#[test]
fn a_message_stays_small_enough_to_move_by_value() {
    // Hosts move messages through queues; see `Entries` for what this buys.
    assert!(size_of::<Message>() <= 56, "{} bytes", size_of::<Message>());
}
