//! Messages with a right form, a right proof, and values that cannot be.

use quorate_paxos::{Acceptance, Ballot, Paxos};
use quorate_pbft::{CLAIMS_MAX, Pbft, StatusReport, View, ViewChange, Wire};
use quorate_raft::{Entries, Entry, Position, Raft, Term};
use quorate_sim::Inspect;
use quorate_sim::inspect::Sealed;
use quorate_sim::scene::Scene;
use quorate_smr::{Batch, Digest, GroupId, ReplicaId, ReplicaSet, Slot, To};

/// Numbers at the ends of their range.
const NUMBERS: [u64; 7] = [0, 1, 1 << 32, 1 << 60, i64::MAX as u64, u64::MAX - 1, u64::MAX];
/// Entries in one message.
const MILLION: usize = 1_000_000;

/// A protocol with messages that cannot be.
pub(crate) trait Absurd: Inspect {
    /// Such messages of the replica `liar`.
    fn absurd(scene: &Scene<Self>, liar: usize) -> Vec<Sealed<Self>>;
    /// Messages with a million entries.
    fn million(scene: &Scene<Self>, liar: usize) -> Vec<Sealed<Self>>;
}

fn batch() -> Batch {
    Batch::empty(GroupId(0))
}

impl Absurd for Raft {
    fn absurd(scene: &Scene<Self>, _liar: usize) -> Vec<Sealed<Self>> {
        use quorate_raft::Message as M;
        let present = scene.status(1).map_or(0, |status| status.epoch);
        let mut all = Vec::new();
        for term in [present, u64::MAX - 1, u64::MAX].map(Term) {
            for number in NUMBERS {
                let slot = Slot(number);
                for position in [Position { term, slot }, Position { term: Term(number), slot }] {
                    let entries = Entries::one(Entry { term: Term(u64::MAX), batch: batch() });
                    let (previous, committed) = (position, Slot(u64::MAX));
                    all.extend([
                        M::Append { term, previous, committed, entries },
                        M::Append { term, previous, committed, entries: Entries::NONE },
                        M::Conflict { term, previous: slot, hint: position },
                        M::Commit { term, position },
                        M::Heartbeat { term, round: number, matched: position, committed },
                        M::Vote { term, last: position, pre: true, transfer: false },
                        M::Snapshot { term, position },
                    ]);
                }
                all.extend([
                    M::Appended { term, upto: slot },
                    M::HeartbeatReply { term, round: number, received: slot },
                    M::VoteReply { term, granted: true, pre: number == 0 },
                ]);
            }
            all.push(M::NewerTerm { term });
        }
        all
    }

    fn million(_scene: &Scene<Self>, _liar: usize) -> Vec<Sealed<Self>> {
        let entry = |_| Entry { term: Term(u64::MAX), batch: batch() };
        let entries: Entries = (0..MILLION).map(entry).collect();
        let (term, committed) = (Term(u64::MAX), Slot(u64::MAX));
        vec![quorate_raft::Message::Append { term, previous: Position::ZERO, committed, entries }]
    }
}

impl Absurd for Paxos {
    fn absurd(scene: &Scene<Self>, liar: usize) -> Vec<Sealed<Self>> {
        use quorate_paxos::Message as M;
        let replica = ReplicaId(liar as u8);
        let present = scene.status(1).map_or(0, |status| status.epoch);
        let mut all = Vec::new();
        for round in [0, present, 1 << 48, (1 << 48) + 1, u64::MAX] {
            for number in NUMBERS {
                let (ballot, slot) = (Ballot { round, replica }, Slot(number));
                let accepted = vec![Acceptance { slot, ballot, batch: batch() }];
                let (decided, upto, next) = (slot, slot, Some(slot));
                // What claims a decision is believed: only slots that cannot be reached claim one.
                let far = Slot(number.max(1 << 50));
                all.extend([
                    M::Canvassed { canvass: number, free: true, promised: ballot, decided },
                    M::Promise { ballot, from: slot, decided, accepted, next },
                    M::Refuse { promised: Ballot { round: u64::MAX, replica } },
                    M::Accept { round: u64::MAX, slot, decided, batch: batch() },
                    M::Accept { round: 0, slot, decided, batch: batch() },
                    M::Accepted { ballot, upto },
                    M::HeartbeatAck { ballot, probe: number, upto },
                    M::Fetch { from: slot },
                    M::Decisions { from: far, batches: vec![batch()], decided: far },
                    M::Snapshot { decided },
                ]);
            }
        }
        all
    }

    fn million(_scene: &Scene<Self>, _liar: usize) -> Vec<Sealed<Self>> {
        let (from, decided) = (Slot(1 << 50), Slot(1 << 60));
        vec![quorate_paxos::Message::Decisions { from, batches: vec![batch(); MILLION], decided }]
    }
}

impl Absurd for Pbft {
    fn absurd(scene: &Scene<Self>, liar: usize) -> Vec<Sealed<Self>> {
        let auth = scene.authenticator(liar);
        let (replica, digest) = (ReplicaId(liar as u8), Digest::of(b"absurd"));
        let mut wires = Vec::new();
        for number in NUMBERS {
            for other in [0, u64::MAX] {
                let (view, slot) = (View(number), Slot(other));
                let heard = ReplicaSet::first(4);
                let changing = other == 0;
                let report =
                    StatusReport { view, changing, stable: slot, committed: Slot(number), heard };
                let change = auth.sign_view_change(ViewChange {
                    replica,
                    view,
                    stable: slot,
                    certificate: None,
                    prepared: Vec::new(),
                    pre_prepared: Vec::new(),
                });
                wires.extend([
                    Wire::PrePrepare { view, slot, digest, batch: batch() },
                    Wire::Prepare { view, slot, digest },
                    Wire::Commit { view, slot, digest },
                    Wire::Checkpoint(auth.sign_checkpoint(Slot(number), digest)),
                    Wire::ViewChange(std::sync::Arc::new(change)),
                    Wire::Status(report),
                    Wire::Claims { first: Slot(number), digests: vec![digest; CLAIMS_MAX] },
                    Wire::Fetch { slot: Slot(number), digest },
                    Wire::FetchState { slot: Slot(number) },
                    Wire::Body { slot: Slot(number), digest, batch: batch() },
                ]);
            }
        }
        wires.into_iter().map(|wire| auth.seal_wire(To::Others, wire)).collect()
    }

    fn million(scene: &Scene<Self>, liar: usize) -> Vec<Sealed<Self>> {
        let auth = scene.authenticator(liar);
        let digest = Digest::of(b"absurd");
        let claims = |count| Wire::Claims { first: Slot(1), digests: vec![digest; count] };
        [CLAIMS_MAX - 1, CLAIMS_MAX, CLAIMS_MAX + 1, MILLION]
            .into_iter()
            .map(|count| auth.seal_wire(To::Others, claims(count)))
            .collect()
    }
}
