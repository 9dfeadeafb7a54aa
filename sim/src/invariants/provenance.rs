//! Nothing is applied that no client sent.

use std::collections::{BTreeMap, BTreeSet};

use quorate_smr::{ClientId, Command, RequestSeq, Slot};

use crate::violation::{Check, broken};

/// Nothing is decided that no client sent.
pub const NOTHING_INVENTED: &str = "nothing is decided that no client sent";

/// Every request that a client sent.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    sent: BTreeMap<(ClientId, RequestSeq), Vec<u8>>,
    /// Identities of misbehaving clients, which may have sent anything.
    anything: BTreeSet<ClientId>,
}

impl Issued {
    /// A client sends a request.
    pub(crate) fn issue(&mut self, client: ClientId, seq: RequestSeq, payload: &[u8]) {
        self.sent.entry((client, seq)).or_insert_with(|| payload.to_vec());
    }

    /// Whoever speaks as `client` may say anything.
    pub(crate) fn anything_of(&mut self, client: ClientId) {
        self.anything.insert(client);
    }

    /// `slot` decides `command`.
    pub(crate) fn decided(&self, slot: Slot, command: &Command<'_>) -> Check {
        if self.anything.contains(&command.client) {
            return Ok(());
        }
        let sent = self.sent.get(&(command.client, command.seq));
        if sent.is_some_and(|payload| payload == command.payload) {
            return Ok(());
        }
        let why = if sent.is_some() { "with another content" } else { "at all" };
        let detail = format!("{slot}: {} {} was not sent {why}", command.client, command.seq);
        Err(broken(NOTHING_INVENTED, detail))
    }
}
