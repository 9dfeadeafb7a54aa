//! Clients that prove their requests to some replicas only, and what that may cost.
//!
//! A request carries a MAC of its client for each replica. A faulty client can make it right for
//! the primary alone, which then assigns a slot that no backup prepares, or right for a backup
//! alone, which then waits for what the primary refuses. Nobody can tell from outside whether the
//! client or the primary is at fault, so each such request costs a view; and a client that repeats
//! itself keeps a group from getting anything done (the "big MAC attack" of Clement et al., NSDI
//! 2009, on PBFT's authenticators, TOCS 2002 §3.2.2). Signed requests would end it, at their price
//! for every honest request.
//!
//! Here a client pays instead. A replica blames the clients of what cost a view:
//!
//! - as primary, for an assignment that fewer than `f + 1` replicas vouched for when its view ended;
//! - as backup, for a request that `f + 1` primaries in a row passed over: one of them was honest.
//!
//! As primary it then orders the client's requests only when `2f` others vouch for each of them,
//! by passing that very command on: `f` of these are honest, and with the primary they are enough
//! for everyone to accept it. The primary asks for it, so this takes one round trip. As backup it
//! waits as long as it ever waits before such a request makes it suspect the primary.
//!
//! Blame is forgiven after a number of executed requests that doubles each time. It is one
//! replica's opinion, costs an honest client that was blamed by mistake a round trip, and decides
//! nothing about safety.

use std::collections::BTreeMap;

use quorate_smr::{
    Batch, BatchBuilder, ClientId, Command, Digest, ReplicaId, ReplicaSet, RequestSeq, Time, To,
};

use crate::message::{Message, Proposal};
use crate::replica::{Out, Pbft};

/// Executed requests after which a client is believed again: twice this at its first offence, and
/// twice as many at each further one.
const FORGIVEN_AFTER: u64 = 8;
/// Offences after which that number grows no more.
const OFFENCES_MAX: u32 = 16;
/// Requests of one blamed client for which a primary counts who vouches.
const UNCERTAIN_PER_CLIENT_MAX: usize = 16;

/// Whom this replica blames, and who vouches for what they ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Blame {
    clients: BTreeMap<ClientId, Standing>,
    /// Clients that owe something at present: most often none.
    blamed: usize,
}

/// What one replica thinks of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Standing {
    offences: u32,
    /// Requests to be executed before it is believed again.
    owed: u64,
    /// As primary: its requests, with who vouched for which content.
    uncertain: BTreeMap<RequestSeq, Uncertain>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Uncertain {
    /// Of the command alone: another proof is another command.
    digest: Digest,
    vouched: ReplicaSet,
    asked: Option<Time>,
    /// When enough did, and it went on to be ordered.
    ordered: Option<Time>,
}

impl Blame {
    pub(crate) fn is_empty(&self) -> bool {
        self.blamed == 0
    }

    pub(crate) fn is_blamed(&self, client: ClientId) -> bool {
        self.blamed > 0 && self.clients.get(&client).is_some_and(|standing| standing.owed > 0)
    }

    /// A request of `client` cost a view. The memory is bounded by the number of clients with keys:
    /// others do not get this far.
    pub(crate) fn blame(&mut self, client: ClientId) {
        let standing = self.clients.entry(client).or_default();
        self.blamed += usize::from(standing.owed == 0);
        standing.offences = (standing.offences + 1).min(OFFENCES_MAX);
        standing.owed = FORGIVEN_AFTER << standing.offences;
    }

    /// A request of `client` was executed.
    pub(crate) fn executed(&mut self, client: ClientId, seq: RequestSeq) {
        let Some(standing) = self.clients.get_mut(&client).filter(|it| it.owed > 0) else { return };
        standing.uncertain.remove(&seq);
        standing.owed -= 1;
        if standing.owed == 0 {
            standing.uncertain.clear();
            self.blamed -= 1;
        }
    }

    /// A view ended: who vouched for what no longer counts.
    pub(crate) fn forget_vouchers(&mut self) {
        self.clients.values_mut().for_each(|standing| standing.uncertain.clear());
    }

    /// What is known of a command of a blamed client.
    fn uncertain(&mut self, client: ClientId, seq: RequestSeq, digest: Digest) -> &mut Uncertain {
        let held = &mut self.clients.entry(client).or_default().uncertain;
        if held.len() >= UNCERTAIN_PER_CLIENT_MAX && !held.contains_key(&seq) {
            held.pop_first();
        }
        let fresh = || Uncertain { digest, vouched: ReplicaSet::EMPTY, asked: None, ordered: None };
        let uncertain = held.entry(seq).or_insert_with(fresh);
        if uncertain.digest != digest {
            *uncertain = fresh();
        }
        uncertain
    }
}

impl Pbft {
    /// As primary: what of `proposal` may be ordered at once. Commands of blamed clients are held
    /// back until enough others vouch; `from` does, if it is another replica.
    pub(crate) fn screen(
        &mut self,
        now: Time,
        from: Option<ReplicaId>,
        proposal: Proposal,
        out: &mut Out,
    ) -> Option<Proposal> {
        if self.blame.is_empty() {
            return Some(proposal);
        }
        let mut scratch = Vec::new();
        let Ok(body) = proposal.batch().body(&mut scratch) else { return None };
        if !body.commands().any(|command| self.blame.is_blamed(command.client)) {
            return Some(proposal);
        }
        let mut believed = BatchBuilder::new(self.group.id);
        for command in body.commands() {
            let certain =
                !self.blame.is_blamed(command.client) || self.is_vouched(now, from, &command, out);
            if certain {
                // A part of a batch fits where the whole did.
                believed.push(&command).ok()?;
            }
        }
        if believed.is_empty() { None } else { Proposal::new(believed.seal(None)).ok() }
    }

    /// Counts who vouches for a command of a blamed client, and asks the others.
    fn is_vouched(
        &mut self,
        now: Time,
        from: Option<ReplicaId>,
        command: &Command<'_>,
        out: &mut Out,
    ) -> bool {
        let Some(alone) = self.alone(command) else { return false };
        let (interval, patience) = (self.limits.retransmit_interval, self.timers.timeout);
        let needed = 2 * (self.group.weak() - 1);
        let uncertain = self.blame.uncertain(command.client, command.seq, alone.digest());
        if let Some(from) = from {
            uncertain.vouched.insert(from);
        }
        // What went on may still be dropped, where the log or the queue is full; nobody else would
        // ask for it, because the others wait long for blamed clients.
        if uncertain.ordered.is_some_and(|ordered| now.since(ordered) < patience) {
            return false;
        }
        if uncertain.vouched.len() >= needed {
            uncertain.ordered = Some(now);
            self.pending.executed(command.client, command.seq);
            return true;
        }
        if uncertain.asked.is_none_or(|asked| now.since(asked) >= interval) {
            uncertain.asked = Some(now);
            out.send_immediately(To::Others, Message::Request(alone));
        }
        // What waits here since an earlier view would count as known, and never be ordered.
        self.pending.executed(command.client, command.seq);
        false
    }

    /// A batch of this command only.
    fn alone(&self, command: &Command<'_>) -> Option<Proposal> {
        let mut builder = BatchBuilder::new(self.group.id);
        builder.push(command).ok()?;
        Proposal::new(builder.seal(None)).ok()
    }

    /// Blames every client with a command in `batch`.
    pub(crate) fn blame_clients(&mut self, batch: &Batch) {
        if !self.limits.client_auth {
            return;
        }
        let mut scratch = Vec::new();
        let Ok(body) = batch.body(&mut scratch) else { return };
        let mut last = None;
        for command in body.commands() {
            if last != Some(command.client) {
                self.blame.blame(command.client);
                last = Some(command.client);
            }
        }
    }

    /// As backup, when the primary is given up: requests that `f + 1` primaries passed over, or
    /// that a blamed client made, are given up too.
    pub(crate) fn blame_for_waiting(&mut self, now: Time) {
        if !self.limits.client_auth {
            return;
        }
        let entered = self.timers.entered();
        let usual = |since: Time| now >= since.max(entered).after(self.timers.timeout);
        let longest = |since: Time| now >= since.max(entered).after(self.limits.timeout_max);
        let given_up = self.pending.pass_over(self.group.weak(), usual, longest);
        for batch in &given_up {
            self.blame_clients(batch);
            self.pending.forget(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_believed_again_after_twice_as_many_requests_each_time() {
        let (client, mut blame) = (ClientId(3), Blame::default());
        for offence in 1..4 {
            blame.blame(client);
            for seq in 0..FORGIVEN_AFTER << offence {
                assert!(blame.is_blamed(client));
                blame.executed(client, RequestSeq(seq));
            }
            assert!(!blame.is_blamed(client) && blame.is_empty());
        }
    }

    #[test]
    fn vouchers_for_another_content_do_not_count_and_their_number_is_bounded() {
        let (client, mut blame) = (ClientId(3), Blame::default());
        blame.blame(client);
        let (one, other) = (Digest([1; 32]), Digest([2; 32]));
        blame.uncertain(client, RequestSeq(1), one).vouched.insert(ReplicaId(2));
        assert_eq!(blame.uncertain(client, RequestSeq(1), one).vouched.len(), 1);
        assert_eq!(blame.uncertain(client, RequestSeq(1), other).vouched.len(), 0);
        for seq in 2..100 {
            blame.uncertain(client, RequestSeq(seq), one);
        }
        assert_eq!(blame.clients[&client].uncertain.len(), UNCERTAIN_PER_CLIENT_MAX);
    }
}
