//! Client sessions: each request is applied at most once, and answered alike however often asked.
//!
//! A session remembers the answers to its newest [`SessionLimits::window`] sequence numbers. A
//! request inside the window that was applied before gets its remembered answer; one below the
//! window is answered [`ReplyStatus::Stale`] (it *may* have been applied, its answer is gone); a
//! client keeps fewer than `window` requests in flight and never meets that. Requests of one
//! session may arrive out of order, as they do when they are pipelined.
//!
//! A session is opened through the log: [`ClientId::NONE`] asks, the answer carries a fresh
//! identity that no duplicate of the request can share (Ongaro, *Consensus: Bridging Theory and
//! Practice*, §6.3). When there are too many, the one unused for longest expires, at the same slot
//! on every replica; its later requests are answered [`ReplyStatus::Expired`] and not applied.
//! Identities fixed by configuration (PBFT's clients, which own keys) are opened at the start and
//! never expire.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

#[cfg(feature = "planted-defects")]
use crate::defect::Defect;
use crate::ids::{ClientId, RequestSeq};
use crate::machine::RestoreError;

/// The first identity handed out; smaller ones are for identities fixed by configuration.
pub const CLIENT_ID_FIRST: u64 = 1 << 32;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ReplyStatus {
    /// Applied; the payload is the state machine's answer.
    Applied = 0,
    /// A session was opened; the payload is its identity (eight bytes, little endian).
    Opened = 1,
    /// Older than the session's window: whether it was applied is not known any more.
    Stale = 2,
    /// The session is unknown or expired; the request was not applied. Open another.
    Expired = 3,
}

impl ReplyStatus {
    /// The status of its wire number.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Applied),
            1 => Some(Self::Opened),
            2 => Some(Self::Stale),
            3 => Some(Self::Expired),
            _ => None,
        }
    }
}

/// Limits of the session table. All replicas of a group must agree on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionLimits {
    /// Sessions opened through the log; the one unused for longest makes room.
    pub clients_max: usize,
    /// Answers remembered for each session; a client keeps fewer requests in flight.
    pub window: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { clients_max: 4096, window: 8192 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// `None`: nothing is remembered here. No number stands for that: clients may use all of them.
    seq: Option<u64>,
    reply: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    highest: u64,
    /// Indexed by sequence number modulo the window; grows on demand.
    answers: Vec<Remembered>,
    /// Used since the expiry scan last passed (second chance).
    used: bool,
    fixed: bool,
}

/// Whether a request is new.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<'a> {
    /// Not applied before: apply it and write the answer here.
    New(&'a mut Vec<u8>),
    /// Applied before, with this answer.
    Repeated(&'a [u8]),
    /// Too old to tell.
    Stale,
    /// No such session.
    Unknown,
}

/// The table of sessions; part of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    limits: SessionLimits,
    next_client: u64,
    table: BTreeMap<ClientId, usize>,
    slots: Vec<Session>,
    free: Vec<usize>,
    /// Order in which the expiry scan visits sessions that can expire.
    scan: VecDeque<ClientId>,
    /// The session looked up last: requests of one client come in runs.
    last: Option<(ClientId, usize)>,
}

/// The canonical image of the table.
#[derive(Serialize, Deserialize)]
struct Image {
    limits: SessionLimits,
    next_client: u64,
    scan: VecDeque<ClientId>,
    sessions: Vec<(ClientId, Session)>,
}

impl Sessions {
    /// An empty table, with the sessions of `fixed` clients open for ever.
    #[must_use]
    pub fn new(limits: SessionLimits, fixed: &[ClientId]) -> Self {
        let mut sessions = Self {
            limits,
            next_client: CLIENT_ID_FIRST,
            table: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            scan: VecDeque::new(),
            last: None,
        };
        for client in fixed {
            sessions.insert(*client, Session { fixed: true, ..Session::default() });
        }
        sessions
    }

    /// How many sessions are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no session is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Opens a session, expiring the one unused for longest when there are too many.
    pub fn open(&mut self) -> ClientId {
        while self.scan.len() >= self.limits.clients_max.max(1) {
            self.expire_one();
        }
        let client = ClientId(self.next_client);
        self.next_client += 1;
        self.insert(client, Session::default());
        self.scan.push_back(client);
        client
    }

    /// Looks up a request. For [`Admission::New`] the answer must be written before the next call.
    #[inline]
    pub fn admit(&mut self, client: ClientId, seq: RequestSeq) -> Admission<'_> {
        let index = match self.last {
            Some((last, index)) if last == client => index,
            _ => match self.table.get(&client) {
                Some(index) => {
                    self.last = Some((client, *index));
                    *index
                }
                None => return Admission::Unknown,
            },
        };
        let window = self.limits.window.max(1) as u64;
        let session = &mut self.slots[index];
        session.used = true;
        if session.highest.checked_sub(seq.0).is_some_and(|behind| behind >= window) {
            return Admission::Stale;
        }
        let place = (seq.0 % window) as usize;
        if place >= session.answers.len() {
            session.answers.resize_with(place + 1, Remembered::default);
        }
        session.highest = session.highest.max(seq.0);
        let answer = &mut session.answers[place];
        if answer.seq == Some(seq.0) {
            return Admission::Repeated(&answer.reply);
        }
        answer.seq = Some(seq.0);
        answer.reply.clear();
        Admission::New(&mut answer.reply)
    }

    /// Makes `defect` happen to the request that is about to be admitted.
    #[cfg(feature = "planted-defects")]
    pub(crate) fn misremember(&mut self, defect: Defect, client: ClientId, seq: RequestSeq) {
        if defect == Defect::ExpiredSessionRevived && !self.table.contains_key(&client) {
            self.insert(client, Session::default());
            self.scan.push_back(client);
        }
        let window = self.limits.window.max(1) as u64;
        let Some(index) = self.table.get(&client) else { return };
        let session = &mut self.slots[*index];
        let newest = session.answers.get((session.highest % window) as usize).cloned();
        let Some(answer) = session.answers.get_mut((seq.0 % window) as usize) else { return };
        if answer.seq != Some(seq.0) {
            return;
        }
        match (defect, newest) {
            (Defect::RetryAppliedTwice, _) => answer.seq = None,
            (Defect::AnswerOfAnother, Some(newest)) => answer.reply = newest.reply,
            _ => {}
        }
    }

    /// Forgets every answer, but not which sessions are open.
    #[cfg(feature = "planted-defects")]
    pub(crate) fn forget_answers(&mut self) {
        for session in &mut self.slots {
            session.answers.clear();
            session.highest = 0;
        }
    }

    /// Appends the canonical image of the table.
    ///
    /// # Panics
    /// Never in practice: encoding into memory does not fail.
    pub fn snapshot(&self, image: &mut Vec<u8>) {
        let sessions = self
            .table
            .iter()
            .map(|(client, index)| (*client, self.slots[*index].clone()))
            .collect();
        let value = Image {
            limits: self.limits,
            next_client: self.next_client,
            scan: self.scan.clone(),
            sessions,
        };
        let bytes = postcard::to_stdvec(&value).expect("encoding into memory does not fail");
        image.extend_from_slice(&bytes);
    }

    /// Replaces the table by the one in `image`.
    ///
    /// # Errors
    /// When `image` is not a table's image; the table is unchanged then.
    pub fn restore(&mut self, image: &[u8]) -> Result<(), RestoreError> {
        let image: Image = postcard::from_bytes(image)
            .map_err(|error| RestoreError::Malformed(format!("sessions: {error}")))?;
        let mut restored = Self::new(image.limits, &[]);
        restored.next_client = image.next_client;
        for (client, session) in image.sessions {
            restored.insert(client, session);
        }
        let known = |client: &ClientId| restored.table.contains_key(client);
        if !image.scan.iter().all(known) {
            return Err(RestoreError::Malformed("sessions: expiry order names strangers".into()));
        }
        restored.scan = image.scan;
        *self = restored;
        Ok(())
    }

    fn insert(&mut self, client: ClientId, session: Session) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Session::default());
            self.slots.len() - 1
        });
        self.slots[index] = session;
        self.table.insert(client, index);
    }

    /// Second chance: a session used since the last visit goes to the back, the first one unused
    /// expires. Ends after one round at the latest, because a visit clears the mark.
    fn expire_one(&mut self) {
        while let Some(client) = self.scan.pop_front() {
            let index = self.table[&client];
            if std::mem::take(&mut self.slots[index].used) {
                self.scan.push_back(client);
                continue;
            }
            self.table.remove(&client);
            self.slots[index] = Session::default();
            self.free.push(index);
            self.last = None;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sessions: &mut Sessions, client: ClientId, seq: u64, reply: &[u8]) {
        match sessions.admit(client, RequestSeq(seq)) {
            Admission::New(slot) => slot.extend_from_slice(reply),
            other => panic!("expected a new request, got {other:?}"),
        }
    }

    #[test]
    fn a_repeated_request_gets_the_first_answer() {
        let mut sessions = Sessions::new(SessionLimits::default(), &[]);
        let client = sessions.open();
        answer(&mut sessions, client, 5, b"five");
        answer(&mut sessions, client, 3, b"three");
        assert_eq!(sessions.admit(client, RequestSeq(5)), Admission::Repeated(b"five"));
        assert_eq!(sessions.admit(client, RequestSeq(3)), Admission::Repeated(b"three"));
    }

    #[test]
    fn below_the_window_is_stale_and_never_applied_again() {
        let mut sessions = Sessions::new(SessionLimits { clients_max: 4, window: 8 }, &[]);
        let client = sessions.open();
        for seq in 0..20 {
            answer(&mut sessions, client, seq, b"x");
        }
        assert_eq!(sessions.admit(client, RequestSeq(11)), Admission::Stale);
        assert_eq!(sessions.admit(client, RequestSeq(12)), Admission::Repeated(b"x"));
    }

    #[test]
    fn the_largest_number_is_a_number_like_any_other() {
        let mut sessions = Sessions::new(SessionLimits { clients_max: 4, window: 8 }, &[]);
        let client = sessions.open();
        for seq in [u64::MAX, u64::MAX - 7, 0, u64::MAX - 1] {
            if seq == 0 {
                assert_eq!(sessions.admit(client, RequestSeq(seq)), Admission::Stale);
                continue;
            }
            answer(&mut sessions, client, seq, b"x");
            let again = sessions.admit(client, RequestSeq(seq));
            assert_eq!(again, Admission::Repeated(b"x"), "{seq}");
        }
        assert_eq!(sessions.admit(client, RequestSeq(u64::MAX - 8)), Admission::Stale);
    }

    #[test]
    fn the_session_unused_for_longest_expires_and_fixed_ones_stay() {
        let limits = SessionLimits { clients_max: 2, window: 8 };
        let mut sessions = Sessions::new(limits, &[ClientId(9)]);
        let (first, second) = (sessions.open(), sessions.open());
        answer(&mut sessions, first, 1, b"x");
        let third = sessions.open();
        assert_eq!(sessions.admit(second, RequestSeq(1)), Admission::Unknown);
        assert!(matches!(sessions.admit(first, RequestSeq(1)), Admission::Repeated(_)));
        assert!(matches!(sessions.admit(third, RequestSeq(1)), Admission::New(_)));
        assert!(matches!(sessions.admit(ClientId(9), RequestSeq(1)), Admission::New(_)));
        assert_eq!(sessions.len(), 3);
    }

    #[test]
    fn an_image_restores_the_same_table_and_damaged_images_are_refused() {
        let mut sessions = Sessions::new(SessionLimits::default(), &[ClientId(1)]);
        let client = sessions.open();
        answer(&mut sessions, client, 1, b"one");
        let mut image = Vec::new();
        sessions.snapshot(&mut image);
        let mut other = Sessions::new(SessionLimits::default(), &[]);
        other.restore(&image).unwrap();
        let mut again = Vec::new();
        other.snapshot(&mut again);
        assert_eq!(image, again);
        assert_eq!(other.admit(client, RequestSeq(1)), Admission::Repeated(b"one"));
        for end in 0..image.len() {
            assert!(other.restore(&image[..end]).is_err(), "cut at {end}");
        }
    }
}
