//! Clients in closed loops: each keeps its window full, believes an answer once enough replicas
//! gave it, and remembers when it asked and when it believed.

use std::collections::VecDeque;

use quorate_smr::{ReplicaId, ReplicaSet, RequestSeq};

use super::plan::ClientPlan;

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) client: usize,
    pub(super) seq: u64,
    pub(super) called_ns: u64,
    pub(super) returned_ns: u64,
    /// The state machine's answer.
    pub(super) answer: u64,
}

/// A request that is not answered yet, with what replicas said.
struct Open {
    called_ns: u64,
    said: Vec<(u64, ReplicaSet)>,
    answered: bool,
}

/// One client.
pub(super) struct Client {
    pub(super) plan: ClientPlan,
    quorum: usize,
    /// The number of the first request in `open`.
    first: u64,
    open: VecDeque<Open>,
    unanswered: usize,
}

impl Client {
    pub(super) const fn new(plan: ClientPlan, quorum: usize) -> Self {
        Self { plan, quorum, first: 1, open: VecDeque::new(), unanswered: 0 }
    }

    /// Requests sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.first - 1 + self.open.len() as u64
    }

    pub(super) const fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Fills the window: the numbers of the first new request and how many there are.
    pub(super) fn fill(&mut self, now_ns: u64) -> (u64, usize) {
        let (next, room) = (self.sent() + 1, self.plan.window.saturating_sub(self.unanswered));
        let open = || Open { called_ns: now_ns, said: Vec::new(), answered: false };
        self.open.extend(std::iter::repeat_with(open).take(room));
        self.unanswered += room;
        (next, room)
    }

    /// A replica answered; the request once enough of them said the same.
    pub(super) fn hear(
        &mut self,
        client: usize,
        from: ReplicaId,
        (seq, answer): (RequestSeq, u64),
        now_ns: u64,
    ) -> Option<Done> {
        let place = usize::try_from(seq.0.checked_sub(self.first)?).ok()?;
        let open = self.open.get_mut(place).filter(|open| !open.answered)?;
        let said = match open.said.iter_mut().find(|(other, _)| *other == answer) {
            Some((_, said)) => said,
            None => {
                open.said.push((answer, ReplicaSet::EMPTY));
                &mut open.said.last_mut()?.1
            }
        };
        said.insert(from);
        if said.len() < self.quorum {
            return None;
        }
        open.answered = true;
        let called_ns = open.called_ns;
        self.unanswered -= 1;
        while self.open.front().is_some_and(|open| open.answered) {
            self.open.pop_front();
            self.first += 1;
        }
        Some(Done { client, seq: seq.0, called_ns, returned_ns: now_ns, answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_enough_replicas_said_the_same() {
        let plan = ClientPlan { place: 0, group: 0, window: 2 };
        let mut client = Client::new(plan, 2);
        assert_eq!(client.fill(10), (1, 2));
        assert_eq!(client.fill(10), (3, 0));
        let mut hear = |from, answer, at| {
            client.hear(0, ReplicaId(from), (RequestSeq(2), answer), at).map(|done| done.answer)
        };
        assert_eq!(hear(1, 7, 20), None);
        assert_eq!(hear(1, 7, 21), None, "the same replica again");
        assert_eq!(hear(2, 8, 22), None, "another answer");
        assert_eq!(hear(3, 7, 23), Some(7));
        assert_eq!(hear(2, 7, 24), None, "it is answered already");
        assert_eq!(client.fill(30), (3, 1));
    }
}
