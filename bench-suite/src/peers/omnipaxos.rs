//! `omnipaxos` as three replicas on one thread.
//!
//! Set up as its documentation says for speed: `batch_size` as large as the batches, its own
//! in-memory storage, outgoing messages taken in bulk and decided entries read as a range. The log
//! is trimmed every few thousand entries.
//!
//! Not the same as ours: entries are values under a reference count instead of checksummed bytes,
//! and no client or sequence number travels with a command; both are in its favour. Entries that
//! wait in the outbox are merged into one message even when `batch_size` is 1. With `packed` the
//! application puts the commands of a batch into one entry.

use std::collections::VecDeque;
use std::sync::Arc;

use ::omnipaxos::messages::Message;
use ::omnipaxos::storage::{Entry, NoSnapshot};
use ::omnipaxos::util::LogEntry;
use ::omnipaxos::{ClusterConfig, OmniPaxos, ServerConfig};
use bytes::Bytes;
use omnipaxos_storage::memory_storage::MemoryStorage;
use quorate_smr::machine::Checksum;

use crate::error::BenchError;
use crate::peers::{Application, Group, Inbox};

/// Replicas of the group.
const REPLICAS: u64 = 3;
/// Entries after which the log is trimmed.
const TRIM_INTERVAL: usize = 8192;
/// Ticks within which a leader must be elected.
const TICKS_MAX: usize = 1000;

/// What one entry holds.
#[derive(Clone, Debug)]
pub enum Commands {
    /// A command.
    One(Bytes),
    /// Commands that left together.
    Packed(Arc<[Bytes]>),
}

impl Entry for Commands {
    type Snapshot = NoSnapshot;
}

struct Replica {
    node: OmniPaxos<Commands, MemoryStorage<Commands>>,
    application: Application,
    applied: usize,
}

/// Three replicas.
pub struct OmniPaxosGroup {
    replicas: Vec<Replica>,
    wire: VecDeque<Message<Commands>>,
    outbox: Vec<Message<Commands>>,
    leader: usize,
    packed: bool,
    trimmed: usize,
    inbox: Inbox,
    messages: u64,
}

impl OmniPaxosGroup {
    /// A fresh group with a leader. `batch_size` is the library's setting; with `packed` the
    /// commands of a proposal become one entry.
    ///
    /// # Errors
    /// When the library refuses the setup or elects no leader.
    pub fn new(batch_size: usize, packed: bool) -> Result<Self, BenchError> {
        let nodes: Vec<u64> = (1..=REPLICAS).collect();
        let mut replicas = Vec::new();
        for pid in nodes.iter().copied() {
            let cluster =
                ClusterConfig { configuration_id: 1, nodes: nodes.clone(), flexible_quorum: None };
            let server = ServerConfig { pid, batch_size, ..ServerConfig::default() };
            let node = cluster
                .build_for_server(server, MemoryStorage::default())
                .map_err(|error| BenchError::setup("omnipaxos", &format!("{error:?}")))?;
            replicas.push(Replica { node, application: Application::default(), applied: 0 });
        }
        let mut this = Self {
            replicas,
            wire: VecDeque::new(),
            outbox: Vec::new(),
            leader: 0,
            packed,
            trimmed: 0,
            inbox: Inbox::default(),
            messages: 0,
        };
        this.elect()?;
        Ok(this)
    }

    fn elect(&mut self) -> Result<(), BenchError> {
        let failed = |reason: &dyn std::fmt::Display| BenchError::setup("omnipaxos", &reason);
        for _ in 0..TICKS_MAX {
            self.tick().map_err(|error| failed(&error))?;
            let agreed = self.replicas.iter().map(|one| one.node.get_current_leader());
            let agreed: Option<Vec<(u64, bool)>> = agreed.collect();
            if let Some([(leader, true), rest @ ..]) = agreed.as_deref()
                && rest.iter().all(|one| *one == (*leader, true))
            {
                self.leader = *leader as usize - 1;
                return Ok(());
            }
        }
        Err(failed(&format!("no leader after {TICKS_MAX} ticks")))
    }

    fn append(&mut self, entry: Commands) -> Result<(), String> {
        let appended = self.replicas[self.leader].node.append(entry);
        appended.map_err(|_| "the leader refused a command".to_owned())
    }

    /// Applies what replica `index` has decided; whether that was anything.
    fn apply(&mut self, index: usize) -> Result<bool, String> {
        let Self { replicas, inbox, leader, .. } = self;
        let Replica { node, application, applied } = &mut replicas[index];
        let decided = node.get_decided_idx();
        if decided == *applied {
            return Ok(false);
        }
        let entries = node.read_entries(*applied..decided).ok_or("a decided entry is missing")?;
        // The leader answers in the order of its log, which is the order of proposals.
        let mut apply = |command: &[u8]| {
            let seq = application.machine().applied() + 1;
            let reply = application.apply(command);
            if index == *leader {
                inbox.deliver(seq, reply);
            }
        };
        for entry in entries {
            match entry {
                LogEntry::Decided(Commands::One(command)) => apply(&command),
                LogEntry::Decided(Commands::Packed(commands)) => {
                    commands.iter().for_each(|command| apply(command));
                }
                _ => return Err("an entry below the decided index is not decided".into()),
            }
        }
        *applied = decided;
        Ok(true)
    }

    /// Trims what every replica has applied, long after.
    fn trim(&mut self) -> Result<(), String> {
        let applied = self.replicas.iter().map(|replica| replica.applied).min().unwrap_or(0);
        if applied < self.trimmed + TRIM_INTERVAL {
            return Ok(());
        }
        self.trimmed = applied;
        let trimmed = self.replicas[self.leader].node.trim(Some(applied));
        trimmed.map_err(|error| format!("the log is not trimmed: {error:?}"))
    }
}

impl Group for OmniPaxosGroup {
    fn propose(&mut self, _first: u64, commands: &[Bytes]) -> Result<(), String> {
        if self.packed {
            return self.append(Commands::Packed(commands.into()));
        }
        commands.iter().try_for_each(|command| self.append(Commands::One(command.clone())))
    }

    fn settle(&mut self) -> Result<(), String> {
        loop {
            let mut idle = true;
            for index in 0..self.replicas.len() {
                self.replicas[index].node.take_outgoing_messages(&mut self.outbox);
                self.messages += self.outbox.len() as u64;
                self.wire.extend(self.outbox.drain(..));
                idle &= !self.apply(index)?;
            }
            while let Some(message) = self.wire.pop_front() {
                idle = false;
                let target = message.get_receiver() as usize - 1;
                self.replicas[target].node.handle_incoming(message);
            }
            if idle {
                return self.trim();
            }
        }
    }

    fn tick(&mut self) -> Result<(), String> {
        self.replicas.iter_mut().for_each(|replica| replica.node.tick());
        self.settle()
    }

    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn machines(&self) -> Vec<Checksum> {
        self.replicas.iter().map(|replica| replica.application.machine().clone()).collect()
    }

    fn messages(&self) -> u64 {
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::drive::Sending;
    use crate::peers::tests::every_command_is_verified;

    #[test]
    fn every_way_of_gathering_orders_and_answers_every_command() {
        let alone = Sending { batch: 1, in_flight: 1 };
        let batches = Sending { batch: 64, in_flight: 512 };
        for (batch_size, packed, sending) in
            [(1, false, alone), (1, false, batches), (64, false, batches), (1, true, batches)]
        {
            let mut group = OmniPaxosGroup::new(batch_size, packed).unwrap();
            every_command_is_verified(&mut group, sending);
        }
    }

    #[test]
    fn the_log_is_trimmed() {
        let mut group = OmniPaxosGroup::new(512, false).unwrap();
        every_command_is_verified(&mut group, Sending { batch: 512, in_flight: 512 });
        assert!(group.replicas.iter().all(|replica| replica.node.get_compacted_idx() > 0));
    }
}
