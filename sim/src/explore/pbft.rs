//! Explorations of PBFT, with one replica that lies.
//!
//! The liar is not a process: everything that it can say of its own accord (one slot, two batches,
//! two views, with its own valid proofs) is in the network from the start, for every receiver, and
//! the order of deliveries decides what it "did". New views it makes from whatever view changes
//! were sent so far. It says nothing about checkpoints and later slots. Messages that only speed
//! up recovery (status reports) are not carried.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use quorate_pbft::{
    Message, NewView, Pair, Pbft, PbftAuth, PbftConfig, Proposal, Sealed, SignatureMemo,
    SignedViewChange, View, ViewChange, Wire,
};
use quorate_smr::{Batch, Digest, ReplicaId, Slot, To};

use super::history::digest_of;
use super::protocol::{Bounds, Exploration, Explore, Milestone, Prelude, Timer};

/// The slot that the liar lies about.
const SLOT: Slot = Slot(1);
/// The view to which the group moves.
const NEXT: View = View(1);
/// View changes in a new view: `2f + 1` of four replicas.
const QUORUM: usize = 3;
/// Longer than any exploration.
const NEVER: Duration = Duration::from_secs(1 << 20);

impl Explore for Pbft {
    const SYMMETRIC: bool = false;
    // Backups pass a request on to the next primary; sessions make it exactly once.
    const COMMITTED_ONCE: bool = false;

    fn small_config() -> PbftConfig {
        PbftConfig {
            memo: Some(SignatureMemo::new()),
            client_auth: false,
            clients_max: 1,
            checkpoint_interval: 4,
            window: 8,
            batch_bytes_max: 1024,
            log_bytes_max: 8 * 1024,
            retransmit_interval: NEVER,
            status_interval: NEVER,
            ..PbftConfig::default()
        }
    }

    fn timer(&self) -> Option<Timer> {
        self.suspicion_deadline().map(|_| Timer::Timeout)
    }

    fn lies(auth: &PbftAuth, liar: ReplicaId, batches: &[Batch]) -> Vec<Sealed> {
        let proposals: Vec<Proposal> =
            batches.iter().take(2).filter_map(|batch| Proposal::new(batch.clone()).ok()).collect();
        let mut wires = Vec::new();
        for view in [View(0), NEXT] {
            for proposal in &proposals {
                let digest = proposal.digest();
                let primary = ReplicaId(view.0 as u8) == liar;
                wires.push(if primary {
                    let proposal = proposal.clone();
                    Message::PrePrepare { view, slot: SLOT, proposal }.into_wire()
                } else {
                    Wire::Prepare { view, slot: SLOT, digest }
                });
                wires.push(Wire::Commit { view, slot: SLOT, digest });
            }
        }
        let digests: Vec<Digest> = proposals.iter().map(Proposal::digest).collect();
        let changes = false_histories(&digests).into_iter().map(|(prepared, pre_prepared)| {
            let content = ViewChange {
                replica: liar,
                view: NEXT,
                stable: Slot::ZERO,
                certificate: None,
                prepared,
                pre_prepared,
            };
            Wire::ViewChange(Arc::new(auth.sign_view_change(content)))
        });
        wires.into_iter().chain(changes).map(|wire| auth.seal_wire(To::Others, wire)).collect()
    }

    fn feeds_lies(message: &Message) -> bool {
        matches!(message, Message::ViewChange(change) if change.content.view == NEXT)
    }

    fn lies_after(
        auth: &PbftAuth,
        liar: ReplicaId,
        messages: &[Message],
        batches: &[Batch],
    ) -> Vec<Vec<Sealed>> {
        if ReplicaId(NEXT.0 as u8) != liar {
            return Vec::new();
        }
        let mut quorums = quorums(messages);
        // Without any proof at all: believed only by who does not look.
        quorums.push(Vec::new());
        let mut choices = vec![Vec::new()];
        choices.extend(batches.iter().take(2).map(|batch| vec![digest_of(batch)]));
        let lie = |changes: &Vec<Arc<SignedViewChange>>, chosen: &Vec<Digest>| {
            let (changes, chosen) = (changes.clone(), chosen.clone());
            let content = NewView { view: NEXT, changes, base: Slot::ZERO, chosen };
            auth.seal_wire(To::Others, Wire::NewView(Arc::new(auth.sign_new_view(content))))
        };
        choices
            .iter()
            .map(|chosen| quorums.iter().map(|changes| lie(changes, chosen)).collect())
            .collect()
    }

    fn explorations() -> Vec<Exploration<Self>> {
        use Milestone::{Committed, SecondLeader};
        let run = |name, about| Exploration { lost: is_report, ..Exploration::new(name, about) };
        let no_view_change =
            |message: &Message| is_report(message) || matches!(message, Message::ViewChange(_));
        let bounds = |given: &str| given.parse::<Bounds>().unwrap_or_default();
        vec![
            Exploration {
                bounds: bounds("proposals=1,epochs=0"),
                expects: vec![Committed],
                gate: true,
                ..run("normal", "four honest replicas, one command, no view change")
            },
            Exploration {
                bounds: bounds("epochs=0"),
                lost: no_view_change,
                byzantine: Some(ReplicaId(0)),
                expects: vec![Committed],
                steps: NonZeroUsize::new(10),
                gate: true,
                ..run("equivocation", "the primary lies, no view change")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=1,epochs=1"),
                prelude: Some(COMMITTED_AT_ONE),
                expects: vec![Committed, SecondLeader],
                steps: NonZeroUsize::new(12),
                gate: true,
                ..run("view-change", "all honest; a batch committed at one, then one view change")
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=1,epochs=1"),
                byzantine: Some(ReplicaId(1)),
                prelude: Some(COMMITTED_AT_ONE),
                expects: vec![Committed],
                steps: NonZeroUsize::new(7),
                gate: true,
                ..run(
                    "lying-successor",
                    "the next primary lies; a batch committed at one, a view change",
                )
            },
            Exploration {
                bounds: bounds("timeouts=2,proposals=1,epochs=1"),
                byzantine: Some(ReplicaId(3)),
                prelude: Some(COMMITTED_AT_ONE),
                expects: vec![Committed, SecondLeader],
                steps: NonZeroUsize::new(7),
                gate: true,
                ..run("lying-backup", "a backup lies; a batch committed at one, a view change")
            },
        ]
    }
}

/// From where a view change must carry the batch over.
const COMMITTED_AT_ONE: Prelude<Message> = Prelude {
    about: "the first batch is prepared at every honest replica and committed at replica 0",
    stands: None,
    proposes: true,
    carried: |_, to, message| match message {
        Message::PrePrepare { view, .. } | Message::Prepare { view, .. } => *view == View(0),
        Message::Commit { view, .. } => *view == View(0) && to == ReplicaId(0),
        _ => false,
    },
};

/// What only speeds up recovery.
const fn is_report(message: &Message) -> bool {
    matches!(message, Message::Status(_))
}

/// What the liar may claim to have prepared and pre-prepared in view 0.
fn false_histories(digests: &[Digest]) -> Vec<(Vec<Pair>, Vec<Pair>)> {
    let pair = |digest: &Digest| Pair { slot: SLOT, view: View(0), digest: *digest };
    let one = |digest| (vec![pair(digest)], vec![pair(digest)]);
    let nothing = (Vec::new(), Vec::new());
    std::iter::once(nothing).chain(digests.iter().map(one)).collect()
}

/// Every set of three view changes of different replicas.
fn quorums(messages: &[Message]) -> Vec<Vec<Arc<SignedViewChange>>> {
    let mut found = Vec::new();
    extend(&[], messages, &mut found);
    found
}

fn extend(
    chosen: &[Arc<SignedViewChange>],
    rest: &[Message],
    found: &mut Vec<Vec<Arc<SignedViewChange>>>,
) {
    if chosen.len() == QUORUM {
        found.push(chosen.to_vec());
        return;
    }
    for (index, message) in rest.iter().enumerate() {
        let Message::ViewChange(change) = message else { continue };
        let author = change.content.replica;
        if chosen.iter().all(|other| other.content.replica != author) {
            let more: Vec<_> = chosen.iter().chain([&**change]).cloned().collect();
            extend(&more, &rest[index + 1..], found);
        }
    }
}
