//! Phase 1: one prepare for all open slots.
//!
//! *Paxos Made Simple* §3: a new leader runs phase 1 once for infinitely many slots; an acceptor
//! answers with what it accepted in any of them. *§2.2* (P2c): for each slot the leader proposes
//! the value of the highest ballot among the promises, and is free only where none was accepted;
//! slots that stay empty below a filled one get a no-op. Slots that some promise reports as decided
//! are not proposed again but fetched, so a candidate that is far behind can win.
//!
//! What always holds: a promise counts only when its last page has arrived, the candidate's own
//! only when it is durable; nothing is proposed before a phase 1 quorum promised and every slot
//! that it reports as decided is known here.

use std::collections::BTreeMap;

use quorate_smr::{Batch, Lsn, ReplicaId, ReplicaSet, Slot, Time, To};

use crate::ballot::Ballot;
use crate::config::{PaxosConfig, planted};
use crate::leader::Leading;
use crate::log;
use crate::message::{Acceptance, Message};
use crate::replica::{Mode, Out, Paxos};

/// Phase 1 under way, under the ballot that the own acceptor promised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Preparing {
    /// The first slot that was not known to be decided.
    from: Slot,
    /// The durable step that records the own promise.
    own_lsn: Lsn,
    /// Peers whose promise is complete.
    promised: ReplicaSet,
    /// The next page wanted from peers whose promise is not.
    pages: BTreeMap<ReplicaId, Slot>,
    /// The end of the longest decided prefix among the promises, and who has it.
    decided: Slot,
    source: Option<ReplicaId>,
    /// For each open slot, the value of the highest ballot.
    adopted: BTreeMap<Slot, (Ballot, Batch)>,
    adopted_bytes: usize,
    /// When to repeat what may have been lost.
    resend: Time,
    /// When to give up.
    deadline: Time,
}

impl Preparing {
    pub(crate) fn next_due(&self) -> Time {
        self.resend.min(self.deadline)
    }

    pub(crate) const fn adopted_bytes(&self) -> usize {
        self.adopted_bytes
    }

    /// Something was learned on the way: no reason to give up yet.
    pub(crate) fn progress(&mut self, now: Time, config: &PaxosConfig) {
        self.deadline = now.after(config.election_timeout_max);
    }

    /// Keeps the value of the higher ballot (P2c).
    fn adopt(&mut self, slot: Slot, ballot: Ballot, batch: Batch, config: &PaxosConfig) {
        let known = self.adopted.get(&slot).map(|(known, held)| (*known, log::cost(held)));
        let lowest_wins = planted!(config, AdoptLowestBallot);
        if known.is_some_and(|(known, _)| (known >= ballot) != lowest_wins) {
            return;
        }
        self.adopted_bytes += log::cost(&batch);
        self.adopted_bytes -= known.map_or(0, |(_, cost)| cost);
        self.adopted.insert(slot, (ballot, batch));
    }
}

impl Paxos {
    /// Takes a new ballot and asks all acceptors for their promise.
    pub(crate) fn prepare(&mut self, now: Time, effects: &mut Out) {
        let highest = self.election.seen().max(self.acceptor.promised);
        let Some(ballot) = highest.next_of(self.me(), self.setup.members) else {
            // No ballot is left: this replica can follow but never lead again.
            self.stand_down(now, effects);
            return;
        };
        let own_lsn = self.promise(ballot, effects);
        self.election.yield_to(now);
        let from = self.acceptor.log.decided().next();
        self.mode = Mode::Preparing(Preparing {
            from,
            own_lsn,
            promised: ReplicaSet::EMPTY,
            pages: BTreeMap::new(),
            decided: self.acceptor.log.decided(),
            source: None,
            adopted: BTreeMap::new(),
            adopted_bytes: 0,
            resend: now.after(self.config().heartbeat),
            deadline: now.after(self.draw_timeout()),
        });
        // Waits for the own promise: after a crash this ballot must not be taken again.
        effects.send(To::Others, Message::Prepare { ballot, from });
        self.lead_if_prepared(now, effects);
    }

    /// A page of a promise for the current ballot arrived.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(crate) fn on_promise(
        &mut self,
        now: Time,
        peer: ReplicaId,
        from: Slot,
        decided: Slot,
        accepted: Vec<Acceptance>,
        next: Option<Slot>,
        effects: &mut Out,
    ) {
        let ballot = self.acceptor.promised;
        let config = &self.setup.config;
        let Mode::Preparing(preparing) = &mut self.mode else { return };
        let expected = preparing.pages.get(&peer).copied().unwrap_or(preparing.from);
        if preparing.promised.contains(peer) || from != expected {
            return;
        }
        let bytes: usize = accepted.iter().map(|value| log::cost(&value.batch)).sum();
        let end = decided.max(preparing.decided).0 + config.accept_slots_max();
        let too_far = accepted.last().is_some_and(|value| value.slot.0 > end);
        let held = self.acceptor.log.bytes() + preparing.adopted_bytes;
        if too_far || held + bytes > config.held_bytes_max() {
            return;
        }
        for Acceptance { slot, ballot, batch } in accepted {
            preparing.adopt(slot, ballot, batch, config);
        }
        if decided > preparing.decided {
            preparing.decided = decided;
            preparing.source = Some(peer);
        }
        if let Some(next) = next.filter(|_| !planted!(config, FirstPageIsWholePromise)) {
            preparing.pages.insert(peer, next);
            preparing.progress(now, config);
            self.election.yield_to(now);
            effects.send(To::One(peer), Message::Prepare { ballot, from: next });
        } else {
            preparing.pages.remove(&peer);
            preparing.promised.insert(peer);
            self.lead_if_prepared(now, effects);
        }
    }

    /// Becomes the leader once a quorum promised and all that it reports as decided is known.
    pub(crate) fn lead_if_prepared(&mut self, now: Time, effects: &mut Out) {
        let Mode::Preparing(preparing) = &self.mode else { return };
        let own = usize::from(self.cursor.durable() >= preparing.own_lsn);
        if preparing.promised.len() + own < self.rule.phase1() {
            return;
        }
        let behind = preparing.decided > self.acceptor.log.decided();
        if behind && !planted!(self.config(), LeadBehindDecided) {
            self.fetch_missing(effects);
        } else if !self.snapshots.is_installing() {
            self.lead(now, effects);
        }
    }

    /// Phase 1 is complete but decided slots are missing: asks who has them.
    fn fetch_missing(&self, effects: &mut Out) {
        let Mode::Preparing(preparing) = &self.mode else { return };
        if let Some(source) = preparing.source {
            self.fetch(source, effects);
        }
    }

    /// Time passed during phase 1: repeats what was lost, or gives up and asks again later.
    pub(crate) fn tick_preparing(&mut self, now: Time, effects: &mut Out) {
        let heartbeat = self.config().heartbeat;
        let ballot = self.acceptor.promised;
        let members = self.setup.members;
        let Mode::Preparing(preparing) = &mut self.mode else { return };
        if now >= preparing.deadline {
            self.canvass(now, effects);
            return;
        }
        if now < preparing.resend {
            return;
        }
        preparing.resend = now.after(heartbeat);
        let silent = members.difference(preparing.promised);
        let whole = silent.iter().filter(|peer| !preparing.pages.contains_key(peer)).collect();
        let from = preparing.from;
        effects.send(To::Set(whole), Message::Prepare { ballot, from });
        for (peer, page) in &preparing.pages {
            effects.send(To::One(*peer), Message::Prepare { ballot, from: *page });
        }
        if preparing.decided > self.acceptor.log.decided() {
            self.fetch_missing(effects);
        }
    }

    /// Starts to lead: proposes the adopted values and fills the gaps between them.
    fn lead(&mut self, now: Time, effects: &mut Out) {
        let ballot = self.acceptor.promised;
        let log = &self.acceptor.log;
        let decided = log.decided();
        let Mode::Preparing(preparing) = &mut self.mode else { return };
        for (slot, under, batch) in log.values(decided.next()) {
            preparing.adopt(slot, under, batch.clone(), &self.setup.config);
        }
        let mut adopted = std::mem::take(&mut preparing.adopted);
        if planted!(self.setup.config, IgnoreLowerBallotValue) {
            adopted.clear();
        }
        let last = adopted.last_key_value().map_or(decided, |(slot, _)| (*slot).max(decided));
        let id_bound = self.setup.members.iter().last().map_or(0, |id| id.0 as usize + 1);
        self.mode = Mode::Leading(Leading::new(now, &self.setup.config, id_bound, decided, last));
        self.election.leader = None;
        self.send_heartbeat(now, effects);
        let mut slot = decided;
        while slot < last {
            slot = slot.next();
            let value = adopted.remove(&slot).map(|(_, batch)| batch);
            let batch = value.unwrap_or_else(|| Batch::empty(self.setup.group));
            self.propose_at(slot, ballot, batch, effects);
        }
        self.decide(now, effects);
    }
}
