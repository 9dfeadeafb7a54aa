//! Requests that wait to be ordered, and those that were executed of late.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_smr::{Batch, BatchBuilder, ClientId, RequestSeq, Time};

use crate::config::Limits;

/// How many sequence numbers below a client's highest are remembered one by one.
const EXECUTED_WINDOW: u64 = 1024;
/// Clients of which executed requests are remembered.
const EXECUTED_CLIENTS_MAX: usize = 4096;

type RequestId = (ClientId, RequestSeq);

/// Batches that clients gave us and that have not been executed: at a backup, passed on to the
/// primary; at the primary, those that backups passed on. A request is known by (client, number).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    next: u64,
    batches: BTreeMap<u64, Waiting>,
    /// Which batch holds a request.
    index: BTreeMap<RequestId, u64>,
    /// Requests by client.
    clients: BTreeMap<ClientId, usize>,
    /// The batches with a command of a client that was blamed when they came.
    doubtful: BTreeSet<u64>,
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    batch: Batch,
    since: Time,
    /// Commands in it that were not executed.
    left: usize,
    /// How many primaries were given up while it waited.
    passed_over: usize,
}

/// What became of a batch that should wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// These commands are new here and wait now: the batch itself, or what is new of it.
    New(Batch),
    /// All of its commands wait already.
    Known,
    /// A limit is reached; nothing was taken up.
    Full,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest of them began to wait, doubtful ones left out.
    pub(crate) fn oldest(&self) -> Option<Time> {
        // Batches are numbered in the order in which they came.
        let believed = |(number, _): &(&u64, &Waiting)| !self.doubtful.contains(number);
        self.batches.iter().find(believed).map(|(_, waiting)| waiting.since)
    }

    /// When the oldest of the doubtful ones began to wait.
    pub(crate) fn oldest_doubtful(&self) -> Option<Time> {
        self.batches.get(self.doubtful.first()?).map(|waiting| waiting.since)
    }

    /// A primary is given up: notes that it passed over what waited long enough; those that
    /// `primaries_max` did, and doubtful ones that waited `longest`, are to be given up as well.
    pub(crate) fn pass_over(
        &mut self,
        primaries_max: usize,
        usual: impl Fn(Time) -> bool,
        longest: impl Fn(Time) -> bool,
    ) -> Vec<Batch> {
        let mut given_up = Vec::new();
        for (number, waiting) in &mut self.batches {
            let gone = if self.doubtful.contains(number) {
                longest(waiting.since)
            } else {
                waiting.passed_over += usize::from(usual(waiting.since));
                waiting.passed_over >= primaries_max
            };
            if gone {
                given_up.push(waiting.batch.clone());
            }
        }
        given_up
    }

    /// The batches, oldest first.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.batches.values().map(|waiting| &waiting.batch)
    }

    /// The oldest batches, as far as they have waited longer than `interval`.
    pub(crate) fn older_than(&self, now: Time, interval: Duration) -> impl Iterator<Item = &Batch> {
        let old = move |waiting: &&Waiting| now.since(waiting.since) >= interval;
        self.batches.values().take_while(old).map(|old| &old.batch)
    }

    /// The batches that hold a command which none of `others` holds.
    pub(crate) fn not_among(&self, others: &[Batch]) -> impl Iterator<Item = &Batch> {
        let held: BTreeSet<RequestId> = others.iter().flat_map(request_ids).collect();
        self.batches().filter(move |batch| request_ids(batch).iter().any(|id| !held.contains(id)))
    }

    /// Lets the commands of `batch` wait, except for those that do already.
    pub(crate) fn remember(
        &mut self,
        batch: &Batch,
        now: Time,
        limits: &Limits,
        is_blamed: impl Fn(ClientId) -> bool,
    ) -> Remembered {
        let Some(new) = self.only_new(batch) else { return Remembered::Full };
        if new.is_empty() {
            return Remembered::Known;
        }
        let ids = request_ids(&new);
        if self.index.len() + ids.len() > limits.pending_max
            || self.bytes + new.len() > limits.pending_bytes_max
        {
            return Remembered::Full;
        }
        let mut clients = BTreeMap::new();
        for (client, _) in &ids {
            *clients.entry(*client).or_insert(0) += 1;
        }
        let held = |client: &ClientId| self.clients.get(client).copied().unwrap_or(0);
        let too_many = |(client, more): (&ClientId, &usize)| {
            held(client) + *more > limits.pending_per_client_max
        };
        if clients.iter().any(too_many) {
            return Remembered::Full;
        }
        for (client, more) in clients {
            *self.clients.entry(client).or_insert(0) += more;
        }
        let number = self.next;
        self.next += 1;
        self.bytes += new.len();
        let left = ids.len();
        if ids.iter().any(|(client, _)| is_blamed(*client)) {
            self.doubtful.insert(number);
        }
        self.index.extend(ids.into_iter().map(|id| (id, number)));
        self.batches
            .insert(number, Waiting { batch: new.clone(), since: now, left, passed_over: 0 });
        Remembered::New(new)
    }

    /// Notes that a request was executed; it waits no more.
    pub(crate) fn executed(&mut self, client: ClientId, seq: RequestSeq) {
        let Some(number) = self.index.remove(&(client, seq)) else { return };
        if let Some(count) = self.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
        if let Some(waiting) = self.batches.get_mut(&number) {
            waiting.left -= 1;
            if waiting.left == 0 {
                self.bytes -= waiting.batch.len();
                self.batches.remove(&number);
                self.doubtful.remove(&number);
            }
        }
    }

    /// Lets none of the commands of `batch` wait any more.
    pub(crate) fn forget(&mut self, batch: &Batch) {
        for (client, seq) in request_ids(batch) {
            self.executed(client, seq);
        }
    }

    /// `batch` without the commands that wait already, and without repetitions inside it; `None`
    /// when it does not open.
    fn only_new(&self, batch: &Batch) -> Option<Batch> {
        let mut scratch = Vec::new();
        let body = batch.body(&mut scratch).ok()?;
        let mut seen = BTreeSet::new();
        let mut is_new = |id: RequestId| !self.index.contains_key(&id) && seen.insert(id);
        let fresh: Vec<bool> = body.commands().map(|c| is_new((c.client, c.seq))).collect();
        if fresh.iter().all(|fresh| *fresh) {
            return Some(batch.clone());
        }
        let mut builder = BatchBuilder::new(batch.header().group);
        let mut kept = body.commands().zip(&fresh).filter(|(_, fresh)| **fresh);
        kept.try_for_each(|(command, _)| builder.push(&command)).ok()?;
        Some(builder.seal(None))
    }
}

/// Client and number of each command.
fn request_ids(batch: &Batch) -> Vec<RequestId> {
    let mut scratch = Vec::new();
    match batch.body(&mut scratch) {
        Ok(body) => body.commands().map(|command| (command.client, command.seq)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Which requests were executed of late, by client. Decides only what is worth waiting for and
/// ordering again; exactly-once execution is the sessions' work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Executed {
    clients: BTreeMap<ClientId, Box<Recent>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Recent {
    highest: u64,
    bits: [u64; (EXECUTED_WINDOW / 64) as usize],
}

impl Executed {
    /// Notes the commands of a batch. Cost: a few ns for each, one map look-up for each run of
    /// commands of one client.
    pub(crate) fn note(&mut self, requests: impl Iterator<Item = RequestId>) {
        let mut requests = requests.peekable();
        while let Some((client, seq)) = requests.next() {
            let full = self.clients.len() >= EXECUTED_CLIENTS_MAX;
            if full && !self.clients.contains_key(&client) {
                continue;
            }
            let new = || Box::new(Recent { highest: 0, bits: [0; 16] });
            let recent = self.clients.entry(client).or_insert_with(new);
            recent.note(seq.0);
            while let Some((_, seq)) = requests.next_if(|(next, _)| *next == client) {
                recent.note(seq.0);
            }
        }
    }

    /// Whether a request was executed, or is so old that it no longer matters.
    pub(crate) fn contains(&self, client: ClientId, seq: RequestSeq) -> bool {
        self.clients.get(&client).is_some_and(|recent| recent.contains(seq.0))
    }

    /// Whether every command of `batch` was executed.
    pub(crate) fn contains_all(&self, batch: &Batch) -> bool {
        request_ids(batch).iter().all(|(client, seq)| self.contains(*client, *seq))
    }
}

impl Recent {
    fn note(&mut self, seq: u64) {
        if seq > self.highest {
            let skipped = (seq - self.highest).min(EXECUTED_WINDOW);
            for offset in 0..skipped {
                self.clear(seq - offset);
            }
            self.highest = seq;
        }
        if self.highest - seq < EXECUTED_WINDOW {
            self.bits[place(seq)] |= 1 << (seq % 64);
        }
    }

    fn clear(&mut self, seq: u64) {
        self.bits[place(seq)] &= !(1 << (seq % 64));
    }

    fn contains(&self, seq: u64) -> bool {
        if seq > self.highest {
            return false;
        }
        self.highest - seq >= EXECUTED_WINDOW || self.bits[place(seq)] & (1 << (seq % 64)) != 0
    }
}

/// The word that holds the bit of `seq`.
const fn place(seq: u64) -> usize {
    (seq / 64 % (EXECUTED_WINDOW / 64)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_smr::GroupId;
    use quorate_smr::testing::{PUMP_CLIENT, plain_batch};

    use super::*;
    use crate::config::PbftConfig;

    fn limits() -> Limits {
        PbftConfig::default().limits()
    }

    fn believed(_: ClientId) -> bool {
        false
    }

    #[test]
    fn what_enough_primaries_passed_over_is_given_up_and_doubtful_ones_hurry_nobody() {
        let mut pending = Pending::default();
        let (one, two) = (plain_batch(GroupId(0), 1, &[b"a"]), plain_batch(GroupId(0), 2, &[b"b"]));
        let _ = pending.remember(&one, Time(5), &limits(), |_| true);
        assert_eq!((pending.oldest(), pending.oldest_doubtful()), (None, Some(Time(5))));
        let _ = pending.remember(&two, Time(6), &limits(), believed);
        assert_eq!((pending.oldest(), pending.oldest_doubtful()), (Some(Time(6)), Some(Time(5))));
        assert_eq!(pending.pass_over(2, |_| true, |_| false), []);
        assert_eq!(pending.pass_over(2, |_| false, |_| false), [], "it had not waited long enough");
        assert_eq!(pending.pass_over(2, |_| true, |_| true), [one.clone(), two]);
        pending.forget(&one);
        assert_eq!(pending.oldest_doubtful(), None);
    }

    #[test]
    fn a_request_waits_once_and_leaves_when_executed() {
        let mut pending = Pending::default();
        let both = plain_batch(GroupId(0), 1, &[b"a", b"b"]);
        let more = plain_batch(GroupId(0), 2, &[b"b", b"c"]);
        assert_eq!(
            pending.remember(&both, Time(5), &limits(), believed),
            Remembered::New(both.clone())
        );
        assert_eq!(pending.remember(&both, Time(6), &limits(), believed), Remembered::Known);
        let Remembered::New(rest) = pending.remember(&more, Time(7), &limits(), believed) else {
            panic!("one command is new")
        };
        assert_eq!(rest, plain_batch(GroupId(0), 3, &[b"c"]));
        pending.executed(PUMP_CLIENT, RequestSeq(1));
        assert_eq!(pending.oldest(), Some(Time(5)));
        pending.executed(PUMP_CLIENT, RequestSeq(2));
        pending.executed(PUMP_CLIENT, RequestSeq(2));
        assert_eq!(pending.oldest(), Some(Time(7)));
        pending.executed(PUMP_CLIENT, RequestSeq(3));
        assert_eq!(pending, Pending { next: 2, ..Pending::default() });
    }

    #[test]
    fn every_limit_holds() {
        let batch = plain_batch(GroupId(0), 1, &[b"a", b"b", b"c"]);
        let tight = [
            Limits { pending_max: 2, ..limits() },
            Limits { pending_bytes_max: batch.len() - 1, ..limits() },
            Limits { pending_per_client_max: 2, ..limits() },
        ];
        for limits in tight {
            let mut pending = Pending::default();
            assert_eq!(pending.remember(&batch, Time(0), &limits, believed), Remembered::Full);
            assert_eq!(pending, Pending::default());
        }
    }

    proptest! {
        #[test]
        fn recent_requests_are_told_apart(seqs in proptest::collection::vec(1u64..3000, 1..200)) {
            let mut executed = Executed::default();
            executed.note(seqs.iter().map(|seq| (PUMP_CLIENT, RequestSeq(*seq))));
            let highest = *seqs.iter().max().unwrap();
            for seq in 1..3100 {
                let expected = seqs.contains(&seq) || seq + EXECUTED_WINDOW <= highest;
                prop_assert_eq!(executed.contains(PUMP_CLIENT, RequestSeq(seq)), expected, "{}", seq);
            }
        }
    }

    #[test]
    fn absurd_numbers_are_harmless() {
        let mut executed = Executed::default();
        executed
            .note([u64::MAX, 0, u64::MAX - 1].map(|s| (PUMP_CLIENT, RequestSeq(s))).into_iter());
        assert!(executed.contains(PUMP_CLIENT, RequestSeq(u64::MAX)));
        assert!(!executed.contains(PUMP_CLIENT, RequestSeq(u64::MAX - 2)));
    }
}
