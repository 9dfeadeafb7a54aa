//! `raft` (raft-rs, the library under `TiKV`) as three replicas on one thread.
//!
//! Set up as its documentation and `TiKV` do for speed: a `Ready` is handled for all messages that
//! wait, the leader sends before it stores, messages of up to 1 MiB (the default of zero bytes
//! would send every entry alone), `batch_append` where batching is measured, and no message that
//! carries nothing but a commit index: the next append, or a heartbeat, brings it. Its own
//! in-memory storage, compacted every few thousand entries.
//!
//! Not the same as ours: commands go in by reference count instead of being copied, no checksum
//! guards an entry, and no client or sequence number travels with a command; all of that is in its
//! favour. With [`Gathering::Packed`] the application packs the commands of a batch into one entry.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use quorate_smr::machine::Checksum;
use raft::eraftpb::{Entry, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

use crate::error::BenchError;
use crate::peers::{Application, Group, Inbox};

/// Replicas of the group.
const REPLICAS: u64 = 3;
/// The largest append message, in bytes.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Append messages on their way to one follower: no fewer than commands in flight anywhere here.
const IN_FLIGHT_MAX: usize = 1024;
/// Entries after which the log is compacted.
const COMPACTION_INTERVAL: u64 = 8192;
/// The length in front of each command of a packed entry, in bytes.
const LENGTH_BYTES: usize = 4;

/// How commands become entries and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathering {
    /// Every command is an entry, and every entry a message.
    Apart,
    /// Every command is an entry; entries travel together (`batch_append`).
    Library,
    /// The application packs commands that leave together into one entry.
    Packed,
}

struct Replica {
    node: RawNode<MemStorage>,
    application: Application,
    compacted: u64,
}

/// Three replicas.
pub struct RaftRs {
    replicas: Vec<Replica>,
    wire: VecDeque<Message>,
    gathering: Gathering,
    inbox: Inbox,
    messages: u64,
    buffer: BytesMut,
}

impl RaftRs {
    /// A fresh group, led by its first replica.
    ///
    /// # Errors
    /// When the library refuses the setup or elects no leader.
    pub fn new(gathering: Gathering) -> Result<Self, BenchError> {
        let failed = |error: &dyn std::fmt::Display| BenchError::setup("raft-rs", &error);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let voters: Vec<u64> = (1..=REPLICAS).collect();
        let mut replicas = Vec::new();
        for id in voters.iter().copied() {
            let config = Config {
                id,
                max_size_per_msg: MESSAGE_BYTES_MAX,
                max_inflight_msgs: IN_FLIGHT_MAX,
                batch_append: gathering == Gathering::Library,
                skip_bcast_commit: true,
                ..Config::default()
            };
            let storage = MemStorage::new_with_conf_state((voters.clone(), vec![]));
            let node = RawNode::new(&config, storage, &logger).map_err(|error| failed(&error))?;
            replicas.push(Replica { node, application: Application::default(), compacted: 0 });
        }
        let mut this = Self {
            replicas,
            wire: VecDeque::new(),
            gathering,
            inbox: Inbox::default(),
            messages: 0,
            buffer: BytesMut::new(),
        };
        this.replicas[0].node.campaign().map_err(|error| failed(&error))?;
        this.settle().map_err(|error| failed(&error))?;
        if this.replicas[0].node.raft.state != StateRole::Leader {
            return Err(failed(&"the first replica was not elected"));
        }
        Ok(this)
    }

    fn propose_entries(&mut self, data: impl Iterator<Item = Bytes>) -> Result<(), String> {
        let entry = |data| Entry { data, ..Entry::default() };
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = 1;
        message.set_entries(data.map(entry).collect::<Vec<_>>().into());
        self.replicas[0].node.step(message).map_err(|error| error.to_string())
    }

    fn pack(&mut self, commands: &[Bytes]) -> Bytes {
        let bytes: usize = commands.iter().map(|command| LENGTH_BYTES + command.len()).sum();
        self.buffer.reserve(bytes);
        for command in commands {
            self.buffer.put_u32_le(command.len() as u32);
            self.buffer.put_slice(command);
        }
        self.buffer.split().freeze()
    }

    /// Handles what replica `index` has ready: store, send, apply.
    fn ready(&mut self, index: usize) -> Result<(), String> {
        let failed = |error: raft::Error| error.to_string();
        let node = &mut self.replicas[index].node;
        let mut ready = node.ready();
        let mut sent = ready.take_messages();
        let mut committed = ready.take_committed_entries();
        {
            let mut store = node.mut_store().wl();
            store.append(ready.entries()).map_err(failed)?;
            if let Some(state) = ready.hs() {
                store.set_hardstate(state.clone());
            }
        }
        sent.append(&mut ready.take_persisted_messages());
        let mut light = node.advance(ready);
        if let Some(commit) = light.commit_index() {
            node.mut_store().wl().mut_hard_state().set_commit(commit);
        }
        sent.append(&mut light.take_messages());
        committed.append(&mut light.take_committed_entries());
        node.advance_apply();
        self.messages += sent.len() as u64;
        self.wire.extend(sent);
        self.apply(index, &committed)
    }

    fn apply(&mut self, index: usize, committed: &[Entry]) -> Result<(), String> {
        let Self { replicas, inbox, gathering, .. } = self;
        let Replica { node, application, compacted } = &mut replicas[index];
        // The leader answers in the order of its log, which is the order of proposals.
        let mut apply = |command: &[u8]| {
            let seq = application.machine().applied() + 1;
            let reply = application.apply(command);
            if index == 0 {
                inbox.deliver(seq, reply);
            }
        };
        for entry in committed.iter().filter(|entry| !entry.data.is_empty()) {
            if *gathering == Gathering::Packed {
                unpack(&entry.data, &mut apply).ok_or("a packed entry is cut short")?;
            } else {
                apply(&entry.data);
            }
        }
        let applied = node.raft.raft_log.applied;
        if applied >= *compacted + 2 * COMPACTION_INTERVAL {
            // The younger half stays, for followers that are behind.
            *compacted = applied - COMPACTION_INTERVAL;
            node.mut_store().wl().compact(*compacted).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Hands the commands of a packed entry over; `None` when it is not one.
fn unpack(mut entry: &[u8], apply: &mut impl FnMut(&[u8])) -> Option<()> {
    while !entry.is_empty() {
        let (length, rest) = entry.split_first_chunk::<LENGTH_BYTES>()?;
        let (command, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        apply(command);
        entry = rest;
    }
    Some(())
}

impl Group for RaftRs {
    fn propose(&mut self, _first: u64, commands: &[Bytes]) -> Result<(), String> {
        match self.gathering {
            Gathering::Packed => {
                let packed = self.pack(commands);
                self.propose_entries(std::iter::once(packed))
            }
            _ => self.propose_entries(commands.iter().cloned()),
        }
    }

    fn settle(&mut self) -> Result<(), String> {
        loop {
            let mut idle = true;
            for index in 0..self.replicas.len() {
                if self.replicas[index].node.has_ready() {
                    idle = false;
                    self.ready(index)?;
                }
            }
            while let Some(message) = self.wire.pop_front() {
                let target = &mut self.replicas[message.to as usize - 1].node;
                target.step(message).map_err(|error| error.to_string())?;
            }
            if idle {
                return Ok(());
            }
        }
    }

    fn tick(&mut self) -> Result<(), String> {
        self.replicas.iter_mut().for_each(|replica| _ = replica.node.tick());
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
        for gathering in [Gathering::Apart, Gathering::Library, Gathering::Packed] {
            for sending in
                [Sending { batch: 1, in_flight: 1 }, Sending { batch: 64, in_flight: 512 }]
            {
                every_command_is_verified(&mut RaftRs::new(gathering).unwrap(), sending);
            }
        }
    }

    #[test]
    fn the_log_is_compacted() {
        let mut group = RaftRs::new(Gathering::Library).unwrap();
        every_command_is_verified(&mut group, Sending { batch: 512, in_flight: 512 });
        assert!(group.replicas.iter().all(|replica| replica.compacted > 0));
    }

    #[test]
    fn a_packed_entry_that_is_cut_short_is_noticed() {
        let mut group = RaftRs::new(Gathering::Packed).unwrap();
        let packed = group.pack(&[Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        let mut seen = Vec::new();
        assert!(unpack(&packed, &mut |command: &[u8]| seen.push(command.to_vec())).is_some());
        assert_eq!(seen, [b"one", b"two"]);
        assert!(unpack(&packed[..packed.len() - 1], &mut |_: &[u8]| ()).is_none());
    }
}
