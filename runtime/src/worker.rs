//! A worker thread: serves the stages placed on it, and sleeps when there is nothing to do.
//!
//! A round drains the inboxes in batches, feeds the protocols, and then settles every node that was
//! touched: propose what is due, write what must be durable (one sync for all of it), apply what is
//! committed. Then answers and messages leave in batches. Rounds repeat until nothing is left; then
//! the worker waits for its doorbell until the earliest deadline of a protocol.
//!
//! What always holds: a worker never blocks on another worker. While an executor is too far behind,
//! its replica takes no input from peers and clients, so that queues fill up and push back.

use std::time::Duration;

use quorate_mq::{Doorbell, Receiver};
use quorate_smr::{Effects, Executor, Protocol, StateMachine, Time};

use crate::apply::ExecutorStage;
use crate::journal::Journal;
use crate::message::{ClientMessage, Control, Hand, Internal, PeerMessage, Step, WorkerView};
use crate::node::ProtocolStage;
use crate::placement::{NodeIndex, Stage};
use crate::ports::Ports;
use crate::queues::Receiving;

/// Messages taken from one queue in one round.
const CLIENT_MESSAGES_PER_ROUND: usize = 64;
const PEER_MESSAGES_PER_ROUND: usize = 1024;
const INTERNAL_PER_ROUND: usize = 1024;
/// How often deadlines are looked at while there is other work.
const TICK_INTERVAL: Duration = Duration::from_micros(100);
/// How soon a full queue of another worker is tried again.
const RETRY_INTERVAL: Duration = Duration::from_micros(100);

/// The receiving ends of a worker's queues.
pub(crate) struct Inbox<P: Protocol, S> {
    pub(crate) clients: Receiving<ClientMessage>,
    pub(crate) peers: Receiving<PeerMessage<P>>,
    pub(crate) internal: Receiving<Internal<P>>,
    pub(crate) control: Receiver<Control<P, S>>,
    pub(crate) doorbell: Doorbell,
}

/// The journal of one node.
pub(crate) struct JournalStage<R> {
    pub(crate) journal: Box<dyn Journal<R>>,
    pub(crate) incarnation: u64,
}

/// Stages by node; `None` where another worker serves the stage.
pub(crate) type Stages<T> = Vec<Option<Box<T>>>;

pub(crate) struct Worker<P: Protocol, S: StateMachine> {
    index: usize,
    inbox: Inbox<P, S>,
    protocols: Stages<ProtocolStage<P>>,
    journals: Stages<JournalStage<P::Record>>,
    executors: Stages<ExecutorStage<P, S>>,
    /// Nodes whose protocol stage is here.
    hosted: Vec<usize>,
    ports: Ports<P>,
    effects: Effects<P::Message, P::Record>,
    dirty: Vec<usize>,
    /// Executors that may hold answers.
    answering: Vec<usize>,
    client_messages: Vec<ClientMessage>,
    peer_messages: Vec<PeerMessage<P>>,
    internal_messages: Vec<Internal<P>>,
    hands: Vec<Hand<P>>,
    now: Time,
    ticked_at: Time,
    all_sent: bool,
    wakeups: u64,
    stopped: bool,
}

impl<P: Protocol, S: StateMachine> Worker<P, S> {
    pub(crate) fn new(
        index: usize,
        inbox: Inbox<P, S>,
        ports: Ports<P>,
        protocols: Stages<ProtocolStage<P>>,
        journals: Stages<JournalStage<P::Record>>,
        executors: Stages<ExecutorStage<P, S>>,
    ) -> Self {
        let hosted = (0..protocols.len()).filter(|node| protocols[*node].is_some()).collect();
        Self {
            index,
            inbox,
            protocols,
            journals,
            executors,
            hosted,
            ports,
            effects: Effects::new(),
            dirty: Vec::new(),
            answering: Vec::new(),
            client_messages: Vec::new(),
            peer_messages: Vec::new(),
            internal_messages: Vec::new(),
            hands: Vec::new(),
            now: Time::ZERO,
            ticked_at: Time::ZERO,
            all_sent: true,
            wakeups: 0,
            stopped: false,
        }
    }

    /// Serves until stopped, or until the cluster's handle is gone.
    pub(crate) fn run(mut self) {
        while !self.stopped {
            if self.round(false) {
                continue;
            }
            let ticket = self.inbox.doorbell.listen();
            if self.round(true) || self.stopped {
                continue;
            }
            let deadline = self.deadline().map(|time| self.ports.shared.clock.instant(time));
            self.inbox.doorbell.wait(ticket, deadline);
            self.wakeups += 1;
        }
    }

    /// One round; true when there was something to do. `idle`: the last one had nothing.
    fn round(&mut self, idle: bool) -> bool {
        self.now = self.ports.shared.clock.now();
        let mut worked = self.take_control();
        worked |= self.take_internal();
        if !self.is_behind() {
            worked |= self.take_peers();
            worked |= self.take_clients();
        }
        if idle || self.now.since(self.ticked_at) >= TICK_INTERVAL {
            worked |= self.tick();
        }
        self.settle_all();
        self.flush();
        worked || !self.dirty.is_empty() || !self.ports.local.is_empty()
    }

    fn take_control(&mut self) -> bool {
        let Ok(control) = self.inbox.control.try_recv() else {
            self.stopped |= self.inbox.control.is_closed();
            return false;
        };
        match control {
            Control::Crash { nodes, done } => {
                nodes.into_iter().for_each(|node| self.crash(node));
                let _ = done.try_send(());
            }
            Control::Reopen { node, done } => {
                if let Some(stage) = &mut self.journals[node.at()] {
                    let _ = done.try_send(stage.journal.reopen());
                }
            }
            Control::StartJournal { node, incarnation, done } => {
                if let Some(stage) = &mut self.journals[node.at()] {
                    stage.incarnation = incarnation;
                }
                let _ = done.try_send(());
            }
            Control::StartExecutor { node, incarnation, executor, done } => {
                self.start_executor(node, incarnation, executor);
                let _ = done.try_send(());
            }
            Control::StartProtocol { node, incarnation, protocol, snapshot, done } => {
                if let Some(stage) = &mut self.protocols[node.at()] {
                    stage.start(incarnation, protocol, snapshot);
                }
                let _ = done.try_send(());
            }
            Control::Status { done } => drop(done.try_send(self.view(false))),
            Control::Admin { node, admin, done } => {
                if let Some(stage) = &mut self.protocols[node.at()] {
                    let answer = stage.admin(self.now, admin, &mut self.effects, &mut self.ports);
                    let _ = done.try_send(answer);
                    self.dirty.push(node.at());
                }
            }
            Control::Stop { done } => {
                let _ = done.try_send(self.view(true));
                self.stopped = true;
            }
        }
        true
    }

    fn start_executor(&mut self, node: NodeIndex, incarnation: u64, executor: Box<Executor<S>>) {
        if let Some(stage) = &mut self.executors[node.at()] {
            stage.start(incarnation, executor);
        }
    }

    fn crash(&mut self, node: NodeIndex) {
        if let Some(stage) = &mut self.protocols[node.at()] {
            stage.crash();
        }
        if let Some(stage) = &mut self.journals[node.at()] {
            stage.incarnation = 0;
        }
        if let Some(stage) = &mut self.executors[node.at()] {
            stage.crash();
        }
    }

    fn take_internal(&mut self) -> bool {
        let mut messages = std::mem::take(&mut self.internal_messages);
        let _ = self.inbox.internal.try_recv_batch(&mut messages, INTERNAL_PER_ROUND);
        let worked = !messages.is_empty();
        for message in messages.drain(..) {
            self.hear(message);
        }
        self.internal_messages = messages;
        worked
    }

    /// A hand-off from another worker, unless it is from before a crash.
    fn hear(&mut self, message: Internal<P>) {
        let Internal { node, incarnation, hand } = message;
        let at = node.at();
        match hand {
            Hand::Write(mut steps) => {
                let Some(stage) = &mut self.journals[at] else { return };
                if stage.incarnation != incarnation {
                    return;
                }
                let answer = match stage.write(&mut steps) {
                    Ok(upto) => Hand::Durable(upto),
                    Err(error) => Hand::JournalFailed(error),
                };
                self.ports.hand((node, Stage::Protocol), incarnation, answer);
            }
            Hand::Apply(work) => {
                let Some(stage) = &mut self.executors[at] else { return };
                if stage.incarnation != incarnation {
                    return;
                }
                stage.run(work.into_iter(), &mut self.hands);
                self.answering.push(at);
                for hand in self.hands.drain(..) {
                    self.ports.hand((node, Stage::Protocol), incarnation, hand);
                }
            }
            hand => {
                let Some(stage) = &mut self.protocols[at] else { return };
                if stage.incarnation == incarnation {
                    stage.hear(self.now, hand, &mut self.effects, &mut self.ports);
                    self.dirty.push(at);
                }
            }
        }
    }

    fn is_behind(&self) -> bool {
        let behind = |node: &usize| self.protocols[*node].as_ref().is_some_and(|s| s.is_behind());
        self.hosted.iter().any(behind)
    }

    fn take_peers(&mut self) -> bool {
        let mut messages = std::mem::take(&mut self.peer_messages);
        let _ = self.inbox.peers.try_recv_batch(&mut messages, PEER_MESSAGES_PER_ROUND);
        let worked = !messages.is_empty();
        for message in messages.drain(..) {
            self.receive(message);
        }
        self.peer_messages = messages;
        worked
    }

    #[inline]
    fn receive(&mut self, message: PeerMessage<P>) {
        let at = message.to.at();
        let Some(stage) = &mut self.protocols[at] else { return };
        let was_dirty = stage.dirty;
        stage.receive(self.now, message, &mut self.effects, &mut self.ports);
        if !was_dirty && stage.dirty {
            self.dirty.push(at);
        }
    }

    fn take_clients(&mut self) -> bool {
        let mut messages = std::mem::take(&mut self.client_messages);
        let _ = self.inbox.clients.try_recv_batch(&mut messages, CLIENT_MESSAGES_PER_ROUND);
        let worked = !messages.is_empty();
        for message in messages.drain(..) {
            let (ClientMessage::Requests { node, .. } | ClientMessage::Read { node, .. }) =
                &message;
            let at = node.at();
            let Some(stage) = &mut self.protocols[at] else { continue };
            match message {
                ClientMessage::Requests { chunk, .. } => stage.offer(chunk, &self.ports),
                ClientMessage::Read { query, .. } => stage.query(query, &self.ports),
            }
            self.dirty.push(at);
        }
        self.client_messages = messages;
        worked
    }

    fn tick(&mut self) -> bool {
        self.ticked_at = self.now;
        let mut worked = false;
        for node in &self.hosted {
            let Some(stage) = &mut self.protocols[*node] else { continue };
            if stage.tick(self.now, &mut self.effects, &mut self.ports) {
                self.dirty.push(*node);
                worked = true;
            }
        }
        worked
    }

    /// Delivers what nodes here say to one another, then settles all that were touched: one sync
    /// for all that came in. What that causes is for the next round, so that answers leave early.
    fn settle_all(&mut self) {
        while let Some(message) = self.ports.local.pop_front() {
            self.receive(message);
        }
        let mut touched = std::mem::take(&mut self.dirty);
        for node in touched.drain(..) {
            self.settle(node);
        }
        // Keeps the capacity of both lists.
        touched.append(&mut self.dirty);
        self.dirty = touched;
    }

    /// Proposes, writes and applies what waits at one node.
    fn settle(&mut self, at: usize) {
        let Some(stage) = &mut self.protocols[at] else { return };
        stage.dirty = false;
        stage.propose(self.now, &mut self.effects, &mut self.ports);
        let node = NodeIndex(at as u32);
        self.write(at, node);
        self.apply(at, node);
        if self.protocols[at].as_ref().is_some_and(|stage| stage.dirty) {
            self.dirty.push(at);
        }
    }

    fn write(&mut self, at: usize, node: NodeIndex) {
        let Some(stage) = &mut self.protocols[at] else { return };
        let incarnation = stage.incarnation;
        let is_local = self.journals[at].is_some();
        let Some(steps) = stage.take_steps(is_local) else { return };
        let Some(journal) = &mut self.journals[at] else {
            self.ports.hand(
                (node, Stage::Journal),
                incarnation,
                Hand::Write(std::mem::take(steps)),
            );
            return;
        };
        match journal.write(steps) {
            Ok(upto) => stage.durable(self.now, upto, &mut self.effects, &mut self.ports),
            Err(error) => stage.fail(error.to_string()),
        }
    }

    fn apply(&mut self, at: usize, node: NodeIndex) {
        let Some(stage) = &mut self.protocols[at] else { return };
        let incarnation = stage.incarnation;
        let Some(work) = stage.take_applies() else { return };
        let Some(executor) = &mut self.executors[at] else {
            self.ports.hand(
                (node, Stage::Executor),
                incarnation,
                Hand::Apply(std::mem::take(work)),
            );
            return;
        };
        executor.run(work.drain(..), &mut self.hands);
        self.answering.push(at);
        for hand in self.hands.drain(..) {
            stage.hear(self.now, hand, &mut self.effects, &mut self.ports);
        }
    }

    fn flush(&mut self) {
        let registry = &self.ports.shared.registry;
        for at in self.answering.drain(..) {
            if let Some(stage) = &mut self.executors[at] {
                stage.flush(registry);
            }
        }
        self.all_sent = self.ports.flush();
    }

    /// Until when the worker may sleep.
    fn deadline(&self) -> Option<Time> {
        let stages = self.hosted.iter().filter_map(|node| self.protocols[*node].as_ref());
        let ticks = stages.filter_map(|stage| stage.deadline()).min();
        if self.all_sent {
            return ticks;
        }
        let retry = self.now.after(RETRY_INTERVAL);
        Some(ticks.map_or(retry, |tick| tick.min(retry)))
    }

    fn view(&self, with_digest: bool) -> WorkerView {
        let node = |at: usize| NodeIndex(at as u32);
        let journals = self.journals.iter().enumerate();
        let executors = self.executors.iter().enumerate();
        WorkerView {
            worker: self.index,
            wakeups: self.wakeups,
            handed_over: self.ports.handed_over,
            account: thread_account(),
            protocols: self.protocols.iter().flatten().map(|stage| stage.view()).collect(),
            journals: journals
                .filter_map(|(at, stage)| Some((node(at), stage.as_ref()?.journal.counters())))
                .collect(),
            executors: executors
                .filter_map(|(at, stage)| Some((node(at), stage.as_ref()?.report(with_digest)?)))
                .collect(),
        }
    }
}

impl<R> JournalStage<R> {
    /// Writes `steps` and makes them durable.
    fn write(
        &mut self,
        steps: &mut Vec<Step<R>>,
    ) -> Result<quorate_smr::Lsn, crate::journal::JournalError> {
        for step in steps.drain(..) {
            match step {
                Step::Append(record) => self.journal.append(record),
                Step::Replace(snapshot, records) => self.journal.replace(snapshot, records),
            }
        }
        self.journal.sync()
    }
}

/// What the Linux scheduler says about the calling thread: time on a core, and time that it was
/// ready to run and waited for one, in nanoseconds.
fn thread_account() -> Option<(u64, u64)> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut numbers = account.split_whitespace().map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
