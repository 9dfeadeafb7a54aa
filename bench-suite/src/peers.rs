//! Groups of replicas that run in one loop on one thread: our protocol cores, and the cores of
//! other libraries behind the same small interface.
//!
//! | module | what it holds |
//! |---|---|
//! | [`drive`] | the loop that loads a group, and the proof of what it did |
//! | [`ours`] | our protocols, and the state machine without any |
//! | `raft_rs`, `omnipaxos` | cores of other libraries (feature `consensus-peers`) |
//! | `openraft`, `hotstuff` | libraries that bring threads and tasks of their own (same feature) |
//!
//! What always holds: every system gets the same commands in the same order, keeps its log in
//! memory, passes messages as values, applies every command on every replica to the same state
//! machine, and hands every reply to the client, who checks it.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_smr::StateMachine;
use quorate_smr::machine::Checksum;

pub mod drive;
#[cfg(feature = "consensus-peers")]
pub mod hotstuff;
#[cfg(feature = "consensus-peers")]
pub mod omnipaxos;
#[cfg(feature = "consensus-peers")]
pub mod openraft;
pub mod ours;
#[cfg(feature = "consensus-peers")]
pub mod raft_rs;

/// Whether this build measures other libraries.
pub const COMPILED_IN: bool = cfg!(feature = "consensus-peers");
/// How a build that does is called.
pub const COMMAND: &str = "cargo compare-peers";

/// The crates whose versions a run keeps.
const CRATES: [&str; 4] = ["hotstuff_rs", "omnipaxos", "openraft", "raft"];

/// The versions of the libraries, as the lock file pins them; none when they are not part of this
/// build.
#[must_use]
pub fn versions() -> BTreeMap<String, String> {
    const LOCK: &str = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let after = LOCK.split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
        Some((name.to_owned(), after.split_once('"')?.0.to_owned()))
    };
    let crates: &[&str] = if COMPILED_IN { &CRATES } else { &[] };
    crates.iter().copied().filter_map(version).collect()
}

/// A group of replicas on one thread.
pub trait Group {
    /// Puts commands on their way, numbered from `first`: each in an entry of its own, or together,
    /// whichever the group was made for. Nothing is carried yet.
    ///
    /// # Errors
    /// When the leader refuses them, in words.
    fn propose(&mut self, first: u64, commands: &[Bytes]) -> Result<(), String>;

    /// Carries messages, stores and applies until nothing is left to do.
    ///
    /// # Errors
    /// When a replica refuses a message, in words.
    fn settle(&mut self) -> Result<(), String>;

    /// Lets time pass until the next timer of a replica, and settles.
    ///
    /// # Errors
    /// As [`Self::settle`].
    fn tick(&mut self) -> Result<(), String>;

    /// What the client received.
    fn inbox(&self) -> &Inbox;

    /// The state machine of each replica.
    fn machines(&self) -> Vec<Checksum>;

    /// Messages between replicas so far.
    fn messages(&self) -> u64;
}

/// The client's side: replies, which must come once for each command and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbox {
    answered: u64,
    digest: u64,
    error: Option<String>,
}

impl Inbox {
    /// Takes the reply to command `seq`.
    #[inline]
    pub fn deliver(&mut self, seq: u64, reply: &[u8]) {
        let value = reply.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
        match value {
            Some(value) if seq == self.answered + 1 => {
                self.answered = seq;
                self.digest = self.digest.rotate_left(1) ^ value;
            }
            _ => self.refuse(seq, reply.len()),
        }
    }

    #[cold]
    fn refuse(&mut self, seq: u64, bytes: usize) {
        let answered = self.answered;
        self.error.get_or_insert_with(|| {
            format!("reply {seq} of {bytes} bytes came where {} was expected", answered + 1)
        });
    }

    /// The number of commands answered.
    #[must_use]
    pub const fn answered(&self) -> u64 {
        self.answered
    }
}

/// What stands above one replica: the state machine and room for a reply.
#[derive(Clone, Debug, Default)]
pub struct Application {
    machine: Checksum,
    reply: Vec<u8>,
}

impl Application {
    /// Applies a command and returns its reply.
    #[inline]
    pub fn apply(&mut self, command: &[u8]) -> &[u8] {
        self.reply.clear();
        self.machine.apply(command, &mut self.reply);
        &self.reply
    }

    /// Replaces the state by the one in `image`.
    ///
    /// # Errors
    /// When it is not a state.
    pub fn restore(&mut self, image: &[u8]) -> Result<(), quorate_smr::machine::RestoreError> {
        self.machine.restore(image)
    }

    /// The state machine.
    #[must_use]
    pub const fn machine(&self) -> &Checksum {
        &self.machine
    }
}

/// Commands that are sent over and over.
#[derive(Clone, Debug)]
pub struct Script {
    commands: Vec<Bytes>,
}

impl Script {
    /// Commands in one round of the script: so many of 1 KiB stay in the cache of a core.
    pub const COMMANDS: usize = 4096;

    /// The writes of `workload`.
    #[must_use]
    pub fn new(workload: &crate::workload::Workload) -> Self {
        let operations = workload.operations(0, Self::COMMANDS);
        Self { commands: operations.into_iter().map(|operation| operation.command).collect() }
    }

    /// `count` commands, of which the first has number `first`. Numbers start at 1.
    ///
    /// # Panics
    /// When they run over the end of the script; `count` divides [`Self::COMMANDS`] everywhere.
    #[must_use]
    pub fn batch(&self, first: u64, count: usize) -> &[Bytes] {
        let start = ((first - 1) % Self::COMMANDS as u64) as usize;
        &self.commands[start..start + count]
    }

    /// What a client and a replica hold after the first `count` commands.
    #[must_use]
    pub fn replay(&self, count: u64) -> (Inbox, Checksum) {
        let (mut inbox, mut application) = (Inbox::default(), Application::default());
        for seq in 1..=count {
            let reply = application.apply(&self.batch(seq, 1)[0]);
            inbox.deliver(seq, reply);
        }
        (inbox, application.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::drive::{Sending, round};
    use super::*;
    use crate::workload::SMALL;

    /// So many commands that logs are compacted.
    const COMMANDS: u64 = 40_000;

    /// Loads `group` with a fixed number of commands, far above its compaction interval.
    pub(super) fn every_command_is_verified(group: &mut dyn Group, sending: Sending) {
        let script = Script::new(&SMALL);
        let mut sent = 0;
        while sent < COMMANDS {
            sent = round(group, &script, sending, sent).unwrap();
        }
        assert_eq!(drive::prove(group, &script, sent), Ok(()), "{sending:?}");
    }

    #[test]
    fn a_reply_out_of_turn_or_twice_is_noticed() {
        let reply = 7u64.to_le_bytes();
        for wrong in [0, 1, 3] {
            let mut inbox = Inbox::default();
            inbox.deliver(1, &reply);
            assert_eq!((inbox.answered(), &inbox.error), (1, &None));
            inbox.deliver(wrong, &reply);
            assert!(inbox.error.is_some(), "{wrong} after 1");
        }
    }

    #[test]
    fn a_replay_depends_on_every_command() {
        let script = Script::new(&SMALL);
        assert_eq!(script.replay(100), script.replay(100));
        assert_ne!(script.replay(100).0, script.replay(101).0);
        let wrapped = Script::COMMANDS as u64 + 1;
        assert_eq!(script.batch(wrapped, 1), script.batch(1, 1));
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let expected = if COMPILED_IN { CRATES.len() } else { 0 };
        assert_eq!(versions().len(), expected);
        assert!(versions().values().all(|version| version.contains('.')));
    }
}
