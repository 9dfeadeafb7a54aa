//! What replicas say to one another.
//!
//! What always holds: a message that passed [`Message::is_plausible`] carries no ballot or slot
//! near the end of its range, so plain arithmetic on them cannot overflow, and each list it carries
//! was allocated by the decoder, not by a number in it.

use quorate_smr::{Batch, GroupId, Slot};
use serde::{Deserialize, Serialize};

use crate::ballot::{Ballot, ROUND_MAX};

/// The largest slot that is ever used or believed.
pub const SLOT_MAX: Slot = Slot(1 << 60);

/// A value that an acceptor accepted and reports in its promise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acceptance {
    /// Where.
    pub slot: Slot,
    /// Under which ballot.
    pub ballot: Ballot,
    /// What.
    pub batch: Batch,
}

/// A message between replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Before an election: do you hear a live leader? Changes nothing at the receiver.
    Canvass {
        /// Which canvass of the sender, to match answers.
        canvass: u64,
    },
    /// Answer to [`Message::Canvass`].
    Canvassed {
        /// The canvass answered.
        canvass: u64,
        /// Whether the sender hears no live leader.
        free: bool,
        /// The sender's promise, so that the next ballot exceeds it.
        promised: Ballot,
        /// All slots up to here are decided and known to the sender.
        decided: Slot,
    },
    /// Phase 1a for every slot from `from` on (*Paxos Made Simple* §3: one prepare for all).
    Prepare {
        /// The candidate's ballot.
        ballot: Ballot,
        /// The first slot that the candidate does not know to be decided.
        from: Slot,
    },
    /// Phase 1b, one page of it.
    Promise {
        /// The ballot promised.
        ballot: Ballot,
        /// The `from` of the prepare that is answered.
        from: Slot,
        /// All slots up to here are decided and known to the sender; they are to be fetched.
        decided: Slot,
        /// What the sender accepted at slots from `from` on and above `decided`, in slot order.
        accepted: Vec<Acceptance>,
        /// Where the next page starts; `None` on the last one, which completes the promise.
        next: Option<Slot>,
    },
    /// The sender promised a higher ballot than the one it was addressed with.
    Refuse {
        /// The higher ballot.
        promised: Ballot,
    },
    /// Phase 2a. Leaves before it is durable at the leader. Only the round of the ballot is sent: its
    /// replica is the sender. That keeps every effect within 128 bytes, which are copied inline.
    Accept {
        /// The round of the leader's ballot.
        round: u64,
        /// The slot.
        slot: Slot,
        /// All slots up to here are decided.
        decided: Slot,
        /// The value.
        batch: Batch,
    },
    /// Phase 2b, cumulative: every slot up to `upto` is durably accepted under `ballot`, or known
    /// to be decided.
    Accepted {
        /// The leader's ballot.
        ballot: Ballot,
        /// The last of them.
        upto: Slot,
    },
    /// The leader has nothing else to send but news of decisions.
    Decide {
        /// The leader's ballot.
        ballot: Ballot,
        /// All slots up to here are decided.
        decided: Slot,
    },
    /// The leader is alive, and asks whether it still leads.
    Heartbeat {
        /// The leader's ballot.
        ballot: Ballot,
        /// All slots up to here are decided.
        decided: Slot,
        /// Counts the leader's questions.
        probe: u64,
    },
    /// The sender has promised nothing above `ballot`.
    HeartbeatAck {
        /// The leader's ballot.
        ballot: Ballot,
        /// The probe answered.
        probe: u64,
        /// As in [`Message::Accepted`].
        upto: Slot,
    },
    /// A learner asks for decided slots from `from` on.
    Fetch {
        /// The first slot wanted.
        from: Slot,
    },
    /// Decided values, one page.
    Decisions {
        /// The slot of the first.
        from: Slot,
        /// The values at `from`, `from + 1`, …
        batches: Vec<Batch>,
        /// All slots up to here are decided and known to the sender.
        decided: Slot,
    },
    /// Travels with a snapshot to a learner that asked for slots which the sender no longer holds.
    Snapshot {
        /// All slots up to here are decided and known to the sender.
        decided: Slot,
    },
    /// The leader under `ballot` asks the receiver to stand for election at once.
    TakeOver {
        /// The leader's ballot.
        ballot: Ballot,
    },
}

impl Message {
    /// Whether a correct replica of `group` can have said this.
    #[must_use]
    pub fn is_plausible(&self, group: GroupId) -> bool {
        let slot = |slot: &Slot| *slot <= SLOT_MAX;
        match self {
            Self::Canvass { .. } => true,
            Self::Canvassed { promised, decided, .. } => promised.is_plausible() && slot(decided),
            Self::Prepare { ballot, from } => ballot.is_plausible() && slot(from) && from.0 > 0,
            Self::Promise { ballot, from, decided, accepted, next } => {
                let ours = |a: &Acceptance| {
                    a.slot >= *from && slot(&a.slot) && a.batch.header().group == group
                };
                let ordered = accepted.windows(2).all(|pair| pair[0].slot < pair[1].slot);
                let end = accepted.last().map_or(*from, |last| last.slot);
                ballot.is_plausible()
                    && slot(from)
                    && slot(decided)
                    && ordered
                    && accepted.iter().all(|a| ours(a) && a.ballot < *ballot)
                    && next.is_none_or(|next| next > end && slot(&next))
            }
            Self::Refuse { promised } => promised.is_plausible(),
            Self::Accept { round, slot: at, decided, batch } => {
                *round <= ROUND_MAX
                    && slot(at)
                    && at.0 > 0
                    && slot(decided)
                    && batch.header().group == group
            }
            Self::Accepted { ballot, upto } | Self::HeartbeatAck { ballot, upto, .. } => {
                ballot.is_plausible() && slot(upto)
            }
            Self::Decide { ballot, decided } | Self::Heartbeat { ballot, decided, .. } => {
                ballot.is_plausible() && slot(decided)
            }
            Self::Fetch { from } => slot(from) && from.0 > 0,
            Self::Decisions { from, batches, decided } => {
                slot(from)
                    && from.0 > 0
                    && slot(decided)
                    && batches.iter().all(|batch| batch.header().group == group)
            }
            Self::Snapshot { decided } => slot(decided),
            Self::TakeOver { ballot } => ballot.is_plausible(),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_smr::{ClusterId, ReplicaId, wire};

    use super::*;

    /// The hot effects are copied inline up to this size; see [`Message::Accept`].
    const EFFECT_BYTES_MAX: usize = 128;

    #[test]
    fn an_effect_stays_within_the_size_that_is_copied_inline() {
        type Effect = quorate_smr::Effect<Message, crate::Record>;
        assert!(size_of::<Effect>() <= EFFECT_BYTES_MAX, "{}", size_of::<Effect>());
    }

    #[test]
    fn every_message_survives_encoding() {
        let ballot = Ballot { round: 7, replica: ReplicaId(2) };
        let batch = Batch::empty(GroupId(3));
        let accepted = vec![Acceptance { slot: Slot(4), ballot, batch: batch.clone() }];
        let (from, decided, next) = (Slot(4), Slot(3), Some(Slot(9)));
        let messages = [
            Message::Promise { ballot, from, decided, accepted, next },
            Message::Accept { round: 7, slot: Slot(4), decided, batch: batch.clone() },
            Message::Decisions { from, batches: vec![batch], decided },
        ];
        for message in messages {
            let cluster = ClusterId(5);
            let mut frame = Vec::new();
            wire::encode(cluster, GroupId(3), ReplicaId(2), &message, &mut frame).unwrap();
            let (_, again): (_, Message) = wire::decode(&frame, cluster).unwrap();
            assert_eq!(again, message);
        }
    }
}
