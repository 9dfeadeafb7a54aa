//! Phase 2: the leader proposes one value for each slot, many slots at a time.
//!
//! *Paxos Made Simple* §3; pipelining as in van Renesse and Altinbuken, *Paxos Made Moderately
//! Complex*, 2015 (WINDOW). An accept leaves at once, beside the leader's own disk write; the
//! leader's own acceptance counts once it is durable. Acknowledgements are cumulative, so a slot is
//! decided when a phase 2 quorum has acknowledged it.
//!
//! What always holds: one value for each (ballot, slot), in slot order without gaps; at most
//! `window_slots_max` slots are open beyond the values adopted in phase 1. A leader that hears from
//! no phase 2 quorum for `election_timeout_max` stops leading.

use std::collections::VecDeque;

use quorate_smr::{Admin, Batch, REPLICAS_MAX, Reason, Refused, ReplicaId, Slot, Time, To};

use crate::ballot::Ballot;
use crate::config::{PaxosConfig, planted};
use crate::log;
use crate::message::Message;
use crate::reads::PendingRead;
use crate::replica::{Mode, Out, Paxos};

/// Groups up to this size count their quorums in a small array.
const SMALL_GROUP: usize = 8;

/// Phase 2 under way, under the ballot that the own acceptor promised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leading {
    /// The last slot that holds a value adopted in phase 1.
    pub(crate) barrier: Slot,
    /// The last slot proposed.
    last: Slot,
    /// Indexed by replica; the own entry and those of strangers stay unused.
    peers: Vec<Progress>,
    /// When to speak next.
    heartbeat: Time,
    /// The last question whether this replica still leads.
    pub(crate) probe: u64,
    /// Reads that wait, in order of arrival.
    pub(crate) reads: VecDeque<PendingRead>,
    transfer: Option<Transfer>,
}

/// What the leader knows of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    /// It accepted everything up to here.
    upto: Slot,
    /// What `upto` was at the last heartbeat: no progress since means that something was lost.
    upto_before: Slot,
    /// When it was last heard.
    heard: Time,
    /// The last probe that it answered.
    pub(crate) probe: u64,
}

/// A handover under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Transfer {
    to: ReplicaId,
    deadline: Time,
}

impl Leading {
    pub(crate) fn new(
        now: Time,
        config: &PaxosConfig,
        id_bound: usize,
        decided: Slot,
        barrier: Slot,
    ) -> Self {
        let peer = Progress { upto: Slot::ZERO, upto_before: Slot::ZERO, heard: now, probe: 0 };
        Self {
            barrier,
            last: decided,
            peers: vec![peer; id_bound],
            heartbeat: now.after(config.heartbeat),
            probe: 0,
            reads: VecDeque::new(),
            transfer: None,
        }
    }

    pub(crate) fn next_due(&self) -> Time {
        self.transfer.map_or(self.heartbeat, |transfer| transfer.deadline.min(self.heartbeat))
    }
}

impl Paxos {
    /// A client's batch: takes the next slot, or says why not.
    #[inline]
    pub(crate) fn propose(&mut self, batch: Batch, effects: &mut Out) {
        let reason = if !matches!(self.mode, Mode::Leading(_)) {
            Some(Reason::NotLeader { leader: self.leader() })
        } else if batch.header().group != self.setup.group
            || log::cost(&batch) > self.config().log_bytes_max / 2
        {
            Some(Reason::Invalid)
        } else if self.is_full(&batch) {
            Some(Reason::Busy)
        } else {
            None
        };
        if let Some(reason) = reason {
            effects.refuse(Refused::Proposal(batch), reason);
            return;
        }
        let Mode::Leading(leading) = &self.mode else { return };
        let (slot, ballot) = (leading.last.next(), self.acceptor.promised);
        self.propose_at(slot, ballot, batch, effects);
    }

    /// Whether the window or the log has no room for `batch`, or leadership is being handed over.
    #[inline]
    fn is_full(&self, batch: &Batch) -> bool {
        let Mode::Leading(leading) = &self.mode else { return true };
        let (config, log) = (self.config(), &self.acceptor.log);
        let open_slots = leading.last.0 - log.decided().0;
        let cost = log::cost(batch);
        let window_full = open_slots >= config.window_slots_max
            || (open_slots > 0 && log.open_bytes() + cost > config.window_bytes_max);
        window_full || leading.transfer.is_some() || log.bytes() + cost > config.log_bytes_max
    }

    /// Phase 2a for one slot, the one after the last.
    #[inline]
    pub(crate) fn propose_at(
        &mut self,
        slot: Slot,
        ballot: Ballot,
        batch: Batch,
        effects: &mut Out,
    ) {
        let Mode::Leading(leading) = &mut self.mode else { return };
        assert!(slot == leading.last.next(), "one value for each slot, in order");
        leading.last = slot;
        let decided = self.acceptor.log.decided();
        let message = Message::Accept { round: ballot.round, slot, decided, batch: batch.clone() };
        effects.send_immediately(To::Others, message);
        self.record_acceptance(slot, ballot, batch, effects);
    }

    /// A peer acknowledged acceptances (phase 2b), a probe, or both.
    #[inline]
    pub(crate) fn on_accepted(
        &mut self,
        now: Time,
        from: ReplicaId,
        ballot: Ballot,
        upto: Slot,
        probe: Option<u64>,
        effects: &mut Out,
    ) {
        if ballot != self.acceptor.promised {
            return;
        }
        let decided = self.acceptor.log.decided();
        let Mode::Leading(leading) = &mut self.mode else { return };
        let (last, asked) = (leading.last, leading.probe);
        let Some(peer) = leading.peers.get_mut(from.0 as usize) else { return };
        peer.heard = now;
        let upto = upto.min(last);
        let news = upto > peer.upto;
        peer.upto = peer.upto.max(upto);
        if let Some(probe) = probe.filter(|probe| *probe <= asked) {
            peer.probe = peer.probe.max(probe);
            self.release_reads(now, effects);
        }
        if news && upto > decided {
            self.decide(now, effects);
        }
        if news {
            self.hand_over_if_ready(effects);
        }
    }

    /// The largest value that `count` of the members, this one with `own`, have reached.
    pub(crate) fn reached_by(&self, count: usize, own: u64, of: fn(&Progress) -> u64) -> u64 {
        let Mode::Leading(leading) = &self.mode else { return 0 };
        let one = |id: ReplicaId| {
            let peer = &leading.peers[id.0 as usize];
            if id == self.me() { own } else { of(peer) }
        };
        // The array lives on the stack; a small one is cheaper to clear.
        if self.setup.members.len() <= SMALL_GROUP {
            nth_largest(&mut [0; SMALL_GROUP], self.setup.members.iter().map(one), count)
        } else {
            nth_largest(&mut [0; REPLICAS_MAX], self.setup.members.iter().map(one), count)
        }
    }

    /// Decides every slot that a phase 2 quorum accepted.
    #[inline]
    pub(crate) fn decide(&mut self, now: Time, effects: &mut Out) {
        let mut needed = self.rule.phase2();
        if planted!(self.config(), DecideBelowQuorum) {
            needed = needed.saturating_sub(1).max(1);
        }
        let before = self.acceptor.log.decided();
        let upto = Slot(self.reached_by(needed, self.acceptor.stable.0, |peer| peer.upto.0));
        if upto <= before {
            return;
        }
        let ballot = self.acceptor.promised;
        self.learn(ballot, upto, effects);
        self.acceptor.advance_stable(self.cursor.durable());
        let decided = self.acceptor.log.decided();
        assert!(decided == upto, "a leader holds every value that it proposed");
        let Mode::Leading(leading) = &self.mode else { return };
        if leading.last == decided && !self.setup.peers().is_empty() {
            // No accept is about to carry the news.
            effects.send_immediately(To::Others, Message::Decide { ballot, decided });
        }
        if before < leading.barrier {
            self.release_reads(now, effects);
        }
    }

    /// Speaks to all peers, and asks whether this replica still leads.
    pub(crate) fn send_heartbeat(&mut self, now: Time, effects: &mut Out) {
        let (ballot, decided) = (self.acceptor.promised, self.acceptor.log.decided());
        let interval = self.config().heartbeat;
        let Mode::Leading(leading) = &mut self.mode else { return };
        leading.probe += 1;
        leading.heartbeat = now.after(interval);
        let probe = leading.probe;
        effects.send_immediately(To::Others, Message::Heartbeat { ballot, decided, probe });
    }

    /// Time passed while leading.
    pub(crate) fn tick_leading(&mut self, now: Time, effects: &mut Out) {
        let Mode::Leading(leading) = &mut self.mode else { return };
        if leading.transfer.is_some_and(|transfer| now >= transfer.deadline) {
            leading.transfer = None;
        }
        if now < leading.heartbeat {
            return;
        }
        if !self.hears_quorum(now) {
            self.stand_down(now, effects);
            return;
        }
        self.send_heartbeat(now, effects);
        self.record_decided(effects);
        self.retransmit(effects);
        self.hand_over_if_ready(effects);
    }

    /// Whether a phase 2 quorum, this replica included, was heard lately.
    fn hears_quorum(&self, now: Time) -> bool {
        let Mode::Leading(leading) = &self.mode else { return false };
        let limit = self.config().election_timeout_max;
        let heard = |id: &ReplicaId| now.since(leading.peers[id.0 as usize].heard) < limit;
        1 + self.setup.peers().iter().filter(heard).count() >= self.rule.phase2()
    }

    /// Sends accepts again to peers that made no progress since the last heartbeat. What is
    /// decided already they fetch themselves.
    fn retransmit(&mut self, effects: &mut Out) {
        let peers = self.setup.peers();
        let config = &self.setup.config;
        let (ballot, log) = (self.acceptor.promised, &self.acceptor.log);
        let decided = log.decided();
        let Mode::Leading(leading) = &mut self.mode else { return };
        for id in peers.iter() {
            let peer = &mut leading.peers[id.0 as usize];
            let stuck = peer.upto < leading.last && peer.upto == peer.upto_before;
            peer.upto_before = peer.upto;
            if !stuck {
                continue;
            }
            let mut bytes = 0;
            let open = log.values(peer.upto.max(decided).next());
            for (slot, _, batch) in open.take(config.page_slots_max) {
                bytes += batch.len();
                let message =
                    Message::Accept { round: ballot.round, slot, decided, batch: batch.clone() };
                effects.send_immediately(To::One(id), message);
                if bytes >= config.page_bytes_max {
                    break;
                }
            }
        }
    }

    /// An operator wants `to` to lead.
    pub(crate) fn transfer(&mut self, now: Time, to: ReplicaId, effects: &mut Out) {
        let request = Refused::Admin(Admin::TransferLeadership { to });
        let deadline = now.after(self.config().election_timeout_max);
        let leader = self.leader();
        if !self.setup.members.contains(to) {
            effects.refuse(request, Reason::Invalid);
            return;
        }
        let me = self.me();
        let Mode::Leading(leading) = &mut self.mode else {
            effects.refuse(request, Reason::NotLeader { leader });
            return;
        };
        if to != me {
            leading.transfer = Some(Transfer { to, deadline });
            self.hand_over_if_ready(effects);
        }
    }

    /// Asks the successor to stand once it has accepted everything.
    fn hand_over_if_ready(&self, effects: &mut Out) {
        let Mode::Leading(leading) = &self.mode else { return };
        let Some(transfer) = leading.transfer else { return };
        if leading.peers[transfer.to.0 as usize].upto == leading.last {
            let ballot = self.acceptor.promised;
            effects.send_immediately(To::One(transfer.to), Message::TakeOver { ballot });
        }
    }
}

/// The `count`-th largest of `values`, using `scratch`.
#[inline]
fn nth_largest(scratch: &mut [u64], values: impl Iterator<Item = u64>, count: usize) -> u64 {
    let mut filled = 0;
    for value in values {
        scratch[filled] = value;
        filled += 1;
    }
    let filled = &mut scratch[..filled];
    filled.sort_unstable_by(|a, b| b.cmp(a));
    filled[count - 1]
}
