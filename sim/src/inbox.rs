//! The inbox of a replica that needs time for each input: what arrives while it is busy waits here.
//!
//! Two lanes, each with its limit, so that clients cannot crowd out peers (and with them the
//! heartbeats that keep a leader in office), nor peers the clients. A message that finds its lane
//! full is dropped, as a socket's buffer would; a request is refused with a reason.

use std::collections::VecDeque;

use quorate_smr::Reason;

use crate::client::{Answer, Request};
use crate::event::Event;
use crate::fault::FaultKind;
use crate::inspect::Inspect;
use crate::violation::Check;
use crate::world::{Phase, World};

/// Messages of peers that wait at a busy replica.
pub(crate) const PEER_INBOX_MAX: usize = 128;
/// Requests of clients that wait at a busy replica.
pub(crate) const CLIENT_INBOX_MAX: usize = 16;
/// Events that wait at a process that stands still; further messages and requests are dropped.
pub(crate) const PAUSED_EVENTS_MAX: usize = 4096;
/// Inputs of peers that are taken before a client's turn comes, while both wait.
const PEER_TURNS: u32 = 4;

/// What waits at a busy replica. Empty, and without cost, where inputs take no time.
pub(crate) struct Inbox<E> {
    busy: bool,
    peers: VecDeque<E>,
    clients: VecDeque<E>,
    turns: u32,
}

impl<E> Default for Inbox<E> {
    fn default() -> Self {
        Self { busy: false, peers: VecDeque::new(), clients: VecDeque::new(), turns: 0 }
    }
}

impl<E> Inbox<E> {
    /// Messages and requests that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.peers.len(), self.clients.len())
    }

    /// Takes what comes next: peers first, but a client after every few of them.
    fn next(&mut self) -> Option<E> {
        let client_first = self.turns >= PEER_TURNS && !self.clients.is_empty();
        if !client_first && let Some(event) = self.peers.pop_front() {
            self.turns += 1;
            return Some(event);
        }
        self.turns = 0;
        self.clients.pop_front()
    }

    /// Lets `event` wait; gives it back when its lane is full.
    fn put(&mut self, event: E, from_peer: bool) -> Result<(), E> {
        let (lane, most) = if from_peer {
            (&mut self.peers, PEER_INBOX_MAX)
        } else {
            (&mut self.clients, CLIENT_INBOX_MAX)
        };
        if lane.len() >= most {
            return Err(event);
        }
        lane.push_back(event);
        Ok(())
    }
}

impl<P: Inspect> World<P> {
    /// The time that node `index` needs for an input, in nanoseconds.
    fn service_ns(&self, index: usize) -> u64 {
        let rough = &self.plan.turbulence;
        let slow = match rough.slow_replica {
            Some(slow) if self.is_slow(index) => slow.service_ns,
            _ => 0,
        };
        rough.service_ns + slow
    }

    /// Whether node `index` hosts the replica that is slower than the others, at present.
    pub(crate) fn is_slow(&self, index: usize) -> bool {
        let slow = self.plan.turbulence.slow_replica;
        self.phase == Phase::Faults
            && slow.is_some_and(|slow| slow.replica == self.nodes[index].id.0)
    }

    /// Passes an input on to `self.admit`, or lets it wait if the replica is busy.
    pub(crate) fn arrive(&mut self, index: usize, event: Event<P>) -> Check {
        let service_ns = self.service_ns(index);
        let Some(running) = &mut self.nodes[index].running else { return Ok(()) };
        if !running.lanes.busy {
            if service_ns > 0 {
                self.occupy(index, service_ns);
            }
            return self.admit(event);
        }
        self.faults.note(FaultKind::Busy);
        let from_peer = matches!(event, Event::Deliver { .. });
        if let Err(event) = running.lanes.put(event, from_peer) {
            self.faults.note(FaultKind::InboxFull);
            self.turn_away(index, event);
        }
        Ok(())
    }

    fn occupy(&mut self, index: usize, service_ns: u64) {
        let node = &mut self.nodes[index];
        let incarnation = node.incarnation;
        let Some(running) = &mut node.running else { return };
        running.lanes.busy = true;
        self.queue.push(self.now_ns + service_ns, Event::Free { node: index, incarnation });
    }

    /// A replica has handled its input: the next one, if one waits.
    pub(crate) fn free(&mut self, index: usize, incarnation: u32) -> Check {
        let service_ns = self.service_ns(index);
        let node = &mut self.nodes[index];
        if node.incarnation != incarnation {
            return Ok(());
        }
        let Some(running) = &mut node.running else { return Ok(()) };
        running.lanes.busy = false;
        let Some(event) = running.lanes.next() else { return Ok(()) };
        self.occupy(index, service_ns.max(1));
        self.admit(event)
    }

    /// Says to a client that there is no room; what a peer said is simply gone.
    fn turn_away(&mut self, index: usize, event: Event<P>) {
        if let Event::Request { request, .. } = event {
            self.refuse_busy(index, &request);
        }
    }

    /// Tells a client to come back later.
    pub(crate) fn refuse_busy(&mut self, index: usize, request: &Request) {
        self.counters.refused_busy += 1;
        let Request { client, id, seq, .. } = *request;
        self.reply(index, client, id, seq, Answer::Refused(Reason::Busy));
    }

    /// Keeps an event for a process that stands still; messages and requests beyond its buffers are
    /// lost.
    pub(crate) fn wait_for_resume(&mut self, index: usize, event: Event<P>) {
        let Some(waiting) = &mut self.nodes[index].paused else { return };
        let droppable = matches!(event, Event::Deliver { .. } | Event::Request { .. });
        if droppable && waiting.len() >= PAUSED_EVENTS_MAX {
            self.faults.note(FaultKind::InboxFull);
        } else {
            waiting.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_is_full_takes_nothing_and_the_other_still_does() {
        let mut inbox = Inbox::default();
        for number in 0..PEER_INBOX_MAX {
            assert_eq!(inbox.put(number, true), Ok(()));
        }
        assert_eq!(inbox.put(7, true), Err(7));
        assert_eq!(inbox.put(8, false), Ok(()));
        assert_eq!(inbox.waiting(), (PEER_INBOX_MAX, 1));
    }

    #[test]
    fn a_client_gets_its_turn_between_peers() {
        let mut inbox = Inbox::default();
        for number in 0..6 {
            inbox.put(number, true).unwrap();
        }
        inbox.put(100, false).unwrap();
        inbox.put(101, false).unwrap();
        let order: Vec<_> = std::iter::from_fn(|| inbox.next()).collect();
        assert_eq!(order, [0, 1, 2, 3, 100, 4, 5, 101]);
    }
}
