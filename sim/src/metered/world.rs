//! The metered world: events in virtual time, hosts that are busy, clients in closed loops.
//!
//! A host's core serves in rounds, like a worker of the runtime: it takes what has arrived, feeds
//! the protocols, then settles every group that was touched (propose what is due, make durable,
//! apply, answer). Each piece of work moves the core's own clock by what it costs; what leaves the
//! host leaves at that clock. What arrives meanwhile waits for the next round.

use std::rc::Rc;

use bytes::Bytes;
use quorate_smr::auth::{Authenticator, ClientAuthenticator};
use quorate_smr::protocol::{Effects, Protocol};
use quorate_smr::{ClientId, ReplicaId, RequestSeq, Role};

use super::clients::{Client, Done};
use super::intake::Request;
use super::links::Links;
use super::node::{Host, Item, Node, session};
use super::plan::{MS, Plan};
use super::proof::Placed;
use super::tape::Tape;
use crate::dice::Dice;
use crate::queue::EventQueue;

/// The most events of a run.
const EVENTS_MAX: u64 = 100_000_000;
/// How often the world looks whether leaders are elected, and whether all is done.
const LOOK_NS: u64 = MS;
/// How long elections, and how long the end, may take, in nanoseconds of virtual time.
const PATIENCE_NS: u64 = 60_000 * MS;
/// Bytes of a client's message around its requests, and of each request around its payload.
const CHUNK_BYTES: usize = 24;
const REQUEST_BYTES: usize = 6;
/// The part of the seed that jitter is drawn from.
const PART_JITTER: u64 = 1;

type ClientSide<P> = <<P as Protocol>::Auth as Authenticator<<P as Protocol>::Message>>::Client;

/// What happens.
pub(super) enum Event<P: Protocol> {
    Arrive { host: usize, item: Item<P> },
    Round { host: usize },
    Tick { node: usize },
    Answers { client: usize, from: ReplicaId, answers: Vec<(RequestSeq, u64)> },
    Look,
    Begin,
    End,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Elections,
    WarmUp,
    Measured,
    Draining { since_ns: u64 },
    Done,
}

/// What was counted in the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) messages: u64,
    pub(super) message_bytes: u64,
    pub(super) batches: super::intake::BatchCounts,
}

pub(super) struct World<P: Protocol> {
    pub(super) plan: Plan,
    pub(super) now_ns: u64,
    pub(super) queue: EventQueue<Event<P>>,
    pub(super) links: Links,
    pub(super) hosts: Vec<Host<P>>,
    pub(super) nodes: Vec<Node<P>>,
    pub(super) clients: Vec<Client>,
    /// By group, its clients in the order of their sessions.
    pub(super) members: Vec<Vec<usize>>,
    /// By client, its session.
    sessions: Vec<ClientId>,
    sides: Vec<ClientSide<P>>,
    pub(super) done: Vec<Done>,
    /// By group, the commands in the order in which its first replica applied them.
    pub(super) order: Vec<Vec<Placed>>,
    pub(super) phase: Phase,
    pub(super) measured_from_ns: u64,
    pub(super) counters: Counters,
    pub(super) effects: Effects<P::Message, P::Record>,
    pub(super) tape: Option<Tape<P>>,
}

impl<P: Protocol> World<P> {
    /// # Errors
    /// When the protocol refuses the configuration, or a client that the plan has.
    pub(super) fn new(config: &P::Config, plan: &Plan, seed: u64) -> Result<Self, String> {
        let hosts = plan.hosts.len();
        let place = |index: usize| (index / hosts, index % hosts);
        let (mut members, mut sessions) = (vec![Vec::new(); plan.groups], Vec::new());
        for (index, client) in plan.clients.iter().enumerate() {
            let of_group: &mut Vec<usize> = &mut members[client.group];
            sessions.push(session(of_group.len()));
            of_group.push(index);
        }
        let node = |index: usize| {
            let (group, replica) = place(index);
            Node::new(plan, config, (group, replica), (members[group].len(), seed))
        };
        let nodes: Vec<Node<P>> =
            (0..plan.groups * hosts).map(node).collect::<Result<_, String>>()?;
        let side = |index: usize| {
            let group = plan.clients[index].group;
            let auth = nodes.get(group * hosts).and_then(|node| node.auth.client(sessions[index]));
            auth.ok_or_else(|| format!("client {index} is unknown to group {group}"))
        };
        let sides = (0..plan.clients.len()).map(side).collect::<Result<_, String>>()?;
        let quorum = P::reply_quorum(hosts);
        Ok(Self {
            now_ns: 0,
            queue: EventQueue::default(),
            links: Links::new(plan, Dice::new(seed, PART_JITTER)),
            hosts: (0..hosts).map(|_| Host::default()).collect(),
            clients: plan.clients.iter().map(|client| Client::new(*client, quorum)).collect(),
            members,
            sides,
            sessions,
            done: Vec::new(),
            order: vec![Vec::new(); plan.groups],
            phase: Phase::Elections,
            measured_from_ns: 0,
            counters: Counters::default(),
            effects: Effects::new(),
            tape: None,
            nodes,
            plan: plan.clone(),
        })
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// When it does not come to an end, or a replica asks for what this world does not have.
    pub(super) fn run(&mut self) -> Result<(), String> {
        (0..self.nodes.len()).for_each(|node| self.plan_tick(node));
        self.queue.push(0, Event::Look);
        for _ in 0..EVENTS_MAX {
            if self.phase == Phase::Done {
                return Ok(());
            }
            let Some((at_ns, event)) = self.queue.pop() else {
                return Err("nothing is left to happen".into());
            };
            self.now_ns = at_ns;
            self.take(event)?;
        }
        Err(format!("{EVENTS_MAX} events were not enough"))
    }

    fn take(&mut self, event: Event<P>) -> Result<(), String> {
        match event {
            Event::Arrive { host, item } => self.arrive(host, item),
            Event::Round { host } => self.round(host)?,
            Event::Tick { node } => {
                if self.nodes[node].tick_at_ns <= self.now_ns {
                    self.nodes[node].tick_at_ns = u64::MAX;
                    self.arrive(self.nodes[node].host, Item::Tick { node });
                }
            }
            Event::Answers { client, from, answers } => self.hear(client, from, &answers),
            Event::Look => self.look()?,
            Event::Begin => {
                self.phase = Phase::Measured;
                self.measured_from_ns = self.now_ns;
                self.queue.push(self.now_ns + self.plan.measured_ns, Event::End);
            }
            Event::End => {
                self.phase = Phase::Draining { since_ns: self.now_ns };
                self.queue.push(self.now_ns, Event::Look);
            }
        }
        Ok(())
    }

    pub(super) const fn is_measured(&self) -> bool {
        matches!(self.phase, Phase::Measured)
    }

    fn arrive(&mut self, host: usize, item: Item<P>) {
        let Host { inbox, awaits_round, free_at_ps, .. } = &mut self.hosts[host];
        inbox.push_back(item);
        if !*awaits_round {
            *awaits_round = true;
            let at_ns = self.now_ns.max(free_at_ps.div_ceil(1000));
            self.queue.push(at_ns, Event::Round { host });
        }
    }

    /// Makes sure that a tick comes at the node's deadline. Until those who shall lead do, time
    /// passes for nobody else.
    pub(super) fn plan_tick(&mut self, node: usize) {
        if self.phase == Phase::Elections && !self.nodes[node].leads() {
            return;
        }
        let Some(deadline_ns) = self.nodes[node].deadline_ns() else { return };
        let at_ns = deadline_ns.max(self.now_ns);
        if at_ns < self.nodes[node].tick_at_ns {
            self.nodes[node].tick_at_ns = at_ns;
            self.queue.push(at_ns, Event::Tick { node });
        }
    }

    fn look(&mut self) -> Result<(), String> {
        match self.phase {
            Phase::Elections if self.all_lead() => {
                self.phase = Phase::WarmUp;
                (0..self.nodes.len()).for_each(|node| self.plan_tick(node));
                (0..self.clients.len()).for_each(|client| self.ask(client));
                self.queue.push(self.now_ns + self.plan.warm_up_ns, Event::Begin);
                return Ok(());
            }
            Phase::Elections if self.now_ns > PATIENCE_NS => {
                return Err("not all groups are led by the replica that should".into());
            }
            Phase::Draining { since_ns } => {
                if self.is_settled() {
                    self.phase = Phase::Done;
                    return Ok(());
                }
                if self.now_ns - since_ns > PATIENCE_NS {
                    return Err("the replicas did not come to the same slot in time".into());
                }
            }
            Phase::WarmUp | Phase::Measured | Phase::Done => return Ok(()),
            Phase::Elections => {}
        }
        self.queue.push(self.now_ns + LOOK_NS, Event::Look);
        Ok(())
    }

    fn all_lead(&self) -> bool {
        self.nodes.iter().all(|node| {
            let status = node.protocol.status();
            let first = status.leader == Some(ReplicaId(0));
            first && (!node.leads() || status.role == Role::Leader)
        })
    }

    fn is_settled(&self) -> bool {
        let idle = |node: &Node<P>| node.intake.as_ref().is_none_or(super::intake::Intake::is_idle);
        let mut groups = self.nodes.chunks(self.plan.hosts.len());
        self.clients.iter().all(|client| client.unanswered() == 0)
            && self.nodes.iter().all(idle)
            && groups.all(|group| {
                let applied = group[0].executor.applied();
                group.iter().all(|node| node.executor.applied() == applied)
            })
    }

    /// Fills a client's window; its new requests leave in one message.
    fn ask(&mut self, client: usize) {
        let (first, count) = self.clients[client].fill(self.now_ns);
        if count == 0 {
            return;
        }
        let mut bytes = CHUNK_BYTES;
        let requests: Vec<Request> = (first..first + count as u64)
            .map(|seq| {
                let request = self.request(client, seq);
                bytes += REQUEST_BYTES + request.payload.len() + request.proof.len();
                request
            })
            .collect();
        let plan = self.clients[client].plan;
        let node = plan.group * self.plan.hosts.len();
        let host = self.nodes[node].host;
        let at_ns = self.links.request(plan.place, host, self.now_ns);
        let item = Item::Requests { node, requests, bytes };
        self.queue.push(at_ns, Event::Arrive { host, item });
    }

    fn request(&self, client: usize, seq: u64) -> Request {
        let payloads = &self.plan.payloads;
        let place = (client as u64 * 7919 + seq) % payloads.len() as u64;
        let payload: Bytes = payloads[place as usize].clone();
        let (id, seq) = (self.sessions[client], RequestSeq(seq));
        let mut proof = Vec::new();
        self.sides[client].sign(id, seq, &payload, &mut proof);
        Request { client: id, seq, payload, proof }
    }

    fn hear(&mut self, client: usize, from: ReplicaId, answers: &[(RequestSeq, u64)]) {
        for answer in answers {
            self.done.extend(self.clients[client].hear(client, from, *answer, self.now_ns));
        }
        if !matches!(self.phase, Phase::Draining { .. }) {
            self.ask(client);
        }
    }

    /// Sends a message to a host, at the moment to which its sender's core has come.
    pub(super) fn send(
        &mut self,
        (from, to): (usize, usize),
        ready_ps: u64,
        (bytes, id, sealed): (usize, ReplicaId, Rc<super::node::Sealed<P>>),
    ) {
        let host = self.nodes[to].host;
        let at_ns = self.links.peer((from, host), ready_ps, bytes);
        let item = Item::Parcel { node: to, from: id, bytes, sealed };
        self.queue.push(at_ns, Event::Arrive { host, item });
        if self.is_measured() {
            self.counters.messages += 1;
            self.counters.message_bytes += bytes as u64;
        }
    }
}
