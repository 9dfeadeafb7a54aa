//! Linearizable reads that are not ordered.
//!
//! A leader may not simply answer: it may have been deposed without knowing. It notes its decided
//! prefix, asks a phase 2 quorum whether anybody promised a higher ballot, and serves the read at
//! the noted slot once the quorum, *asked after the read arrived*, has said no. Any later leader's
//! phase 1 quorum shares an acceptor with it, so that leader decided nothing before the read began.
//! (Chandra, Griesemer, Redstone, *Paxos Made Live*, §5.2: why a local copy alone may not answer.)
//! What a leader's predecessors decided is among the values adopted in its phase 1, so a read also
//! waits until these are decided.
//!
//! What always holds: at most `reads_max` reads wait; each ends as ready or refused.

use quorate_smr::{Effect, ReadId, Reason, Refused, Slot, Time};

use crate::config::planted;
use crate::replica::{Mode, Out, Paxos};

/// A read that waits for its leader to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PendingRead {
    id: ReadId,
    /// It is served once this slot is applied.
    slot: Slot,
    /// The first probe sent after it arrived.
    probe: u64,
}

impl Paxos {
    /// A read arrived.
    pub(crate) fn read(&mut self, now: Time, id: ReadId, effects: &mut Out) {
        let leader = self.leader();
        let decided = self.acceptor.log.decided();
        let config = &self.setup.config;
        let (unconfirmed, unbarred) =
            (planted!(config, ReadWithoutQuorum), planted!(config, ReadBeforeAdoptedDecided));
        let Mode::Leading(leading) = &mut self.mode else {
            effects.refuse(Refused::Read(id), Reason::NotLeader { leader });
            return;
        };
        if leading.reads.len() >= config.reads_max {
            effects.refuse(Refused::Read(id), Reason::Busy);
            return;
        }
        let slot = if unbarred { decided } else { decided.max(leading.barrier) };
        let probe = if unconfirmed { 0 } else { leading.probe + 1 };
        leading.reads.push_back(PendingRead { id, slot, probe });
        self.release_reads(now, effects);
    }

    /// Serves the reads that a quorum has confirmed, and asks again for those that came since.
    pub(crate) fn release_reads(&mut self, now: Time, effects: &mut Out) {
        let Mode::Leading(leading) = &self.mode else { return };
        if leading.reads.is_empty() {
            return;
        }
        let mut confirmed = self.confirmed_probe();
        let asked = leading.probe;
        let waiting_for_next = leading.reads.back().is_some_and(|read| read.probe > asked);
        // One question at a time: reads that arrive meanwhile share the next one.
        if waiting_for_next && confirmed == asked {
            self.send_heartbeat(now, effects);
            confirmed = self.confirmed_probe();
        }
        let decided = self.acceptor.log.decided();
        let Mode::Leading(leading) = &mut self.mode else { return };
        while let Some(read) = leading.reads.front() {
            if read.probe > confirmed || read.slot > decided {
                return;
            }
            effects.push(Effect::ReadReady { id: read.id, slot: read.slot });
            leading.reads.pop_front();
        }
    }

    /// The last probe that a phase 2 quorum answered.
    fn confirmed_probe(&self) -> u64 {
        let Mode::Leading(leading) = &self.mode else { return 0 };
        self.reached_by(self.rule.phase2(), leading.probe, |peer| peer.probe)
    }

    /// Gives up the reads that wait, because this replica no longer leads.
    pub(crate) fn refuse_reads(&mut self, effects: &mut Out) {
        let Mode::Leading(leading) = &mut self.mode else { return };
        for read in leading.reads.drain(..) {
            effects.refuse(Refused::Read(read.id), Reason::NotLeader { leader: None });
        }
    }
}
