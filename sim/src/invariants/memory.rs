//! What a replica told others it still knows after a crash.
//!
//! When a message leaves that had to wait for the disk, what the replica had promised by then is
//! noted. After a restart the recovered replica must have promised at least that.

use std::collections::VecDeque;

use quorate_smr::{Lsn, ReplicaId};

use crate::inspect::Inspect;
use crate::violation::{Check, broken};

/// A vote, a promise, a view that others heard of survives a crash.
pub const TOLD_IS_REMEMBERED: &str = "what was told is remembered";

/// What one replica told others, over all its incarnations.
#[derive(Debug)]
pub(crate) struct Told<P: Inspect> {
    heard: Option<P::Memory>,
    /// What messages that still wait for the disk will tell.
    waiting: VecDeque<(Lsn, P::Memory)>,
}

impl<P: Inspect> Default for Told<P> {
    fn default() -> Self {
        Self { heard: None, waiting: VecDeque::new() }
    }
}

impl<P: Inspect> Told<P> {
    /// A message that promises left at once, whatever the disk holds.
    pub(crate) fn spoke(&mut self, memory: P::Memory) {
        self.heard = Some(memory);
    }

    /// A message asked to leave once `after` is durable; `durable` is at present.
    pub(crate) fn offer(&mut self, memory: P::Memory, after: Lsn, durable: Lsn) {
        if after <= durable {
            self.heard = Some(memory);
            return;
        }
        match self.waiting.back_mut() {
            Some((last, waiting)) if *last == after => *waiting = memory,
            _ => self.waiting.push_back((after, memory)),
        }
    }

    /// All messages that waited for steps up to `durable` leave.
    pub(crate) fn release(&mut self, durable: Lsn) {
        while self.waiting.front().is_some_and(|(after, _)| *after <= durable) {
            self.heard = self.waiting.pop_front().map(|(_, memory)| memory);
        }
    }

    /// The replica crashed: what waited was never heard.
    pub(crate) fn crash(&mut self) {
        self.waiting.clear();
    }

    /// `protocol` was recovered from the journal.
    pub(crate) fn recovered(&self, replica: ReplicaId, protocol: &P) -> Check {
        let Some(heard) = &self.heard else { return Ok(()) };
        let now = protocol.memory();
        P::still_knows(heard, &now).map_err(|what| {
            let detail = format!("{replica} forgot {what}: told {heard:?}, recovered {now:?}");
            broken(TOLD_IS_REMEMBERED, detail)
        })
    }
}
