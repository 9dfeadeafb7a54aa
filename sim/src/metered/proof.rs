//! Whether a metered run did what it claims: checked after every run, from what replicas hold and
//! clients saw.
//!
//! 1. All replicas of a group stand at one slot, with equal histories and equal states.
//! 2. Each applied exactly the commands that clients sent, each once.
//! 3. Every answer is the one that the state machine gave at the command's place in the order. The
//!    machine chains its answers, so that an answer depends on everything before it.
//! 4. The order agrees with real time: nothing stands before a command that had been answered
//!    before it was asked for. With 3 that makes the history linearizable.

use std::collections::BTreeMap;

use quorate_smr::protocol::Protocol;

use super::clients::Done;
use super::world::World;

/// One command in the order of a group: client, number, answer.
pub(super) type Placed = (usize, u64, u64);

impl<P: Protocol> World<P> {
    /// Checks the whole run.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) fn prove(&self) -> Result<(), String> {
        let mut done: BTreeMap<(usize, u64), &Done> = BTreeMap::new();
        for answered in &self.done {
            if done.insert((answered.client, answered.seq), answered).is_some() {
                return Err("a request was answered twice".into());
            }
        }
        for group in 0..self.plan.groups {
            self.prove_agreement(group)?;
            let clients = self.clients.iter().filter(|client| client.plan.group == group);
            let sent: u64 = clients.map(super::clients::Client::sent).sum();
            prove_order(&self.order[group], &done, sent)
                .map_err(|reason| format!("group {group}: {reason}"))?;
        }
        Ok(())
    }

    fn prove_agreement(&self, group: usize) -> Result<(), String> {
        let hosts = self.plan.hosts.len();
        let nodes = &self.nodes[group * hosts..(group + 1) * hosts];
        let first = &nodes[0].executor;
        let digest = first.state_digest();
        for node in &nodes[1..] {
            let other = &node.executor;
            let same = other.applied() == first.applied()
                && other.history() == first.history()
                && other.commands() == first.commands()
                && other.state_digest() == digest;
            if !same {
                let (id, slot) = (node.id(), other.applied());
                return Err(format!("group {group}: {id} at {slot} differs from the leader"));
            }
        }
        Ok(())
    }
}

fn prove_order(
    order: &[Placed],
    done: &BTreeMap<(usize, u64), &Done>,
    sent: u64,
) -> Result<(), String> {
    if order.len() as u64 != sent {
        return Err(format!("{} commands were applied where {sent} were sent", order.len()));
    }
    let mut called_latest = 0;
    let mut seen = std::collections::BTreeSet::new();
    for (client, seq, answer) in order {
        if !seen.insert((client, seq)) {
            return Err(format!("request {seq} of client {client} was applied twice"));
        }
        let Some(answered) = done.get(&(*client, *seq)) else {
            return Err(format!("request {seq} of client {client} was never answered"));
        };
        if answered.answer != *answer {
            return Err(format!("request {seq} of client {client} got another's answer"));
        }
        if answered.returned_ns < called_latest {
            return Err(format!("request {seq} of client {client} stands behind a later one"));
        }
        called_latest = called_latest.max(answered.called_ns);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(order: &[Placed], times: &[(u64, u64)], sent: u64) -> Result<(), String> {
        let done: Vec<Done> = (1..)
            .zip(times)
            .map(|(seq, (called_ns, returned_ns))| Done {
                client: 0,
                seq,
                called_ns: *called_ns,
                returned_ns: *returned_ns,
                answer: seq * 10,
            })
            .collect();
        let by_request = done.iter().map(|done| ((0, done.seq), done)).collect();
        prove_order(order, &by_request, sent)
    }

    #[test]
    fn an_order_is_refused_for_each_thing_that_can_be_wrong_with_it() {
        let good = [(0, 1, 10), (0, 2, 20)];
        assert_eq!(check(&good, &[(0, 5), (6, 9)], 2), Ok(()));
        assert_eq!(check(&[(0, 2, 20), (0, 1, 10)], &[(0, 7), (6, 9)], 2), Ok(()), "they overlap");
        let wrong = |order: &[Placed], times: &[(u64, u64)], sent| {
            check(order, times, sent).expect_err("this order is wrong")
        };
        let times = [(0, 5), (6, 9)];
        assert!(wrong(&good, &times, 3).contains("where 3 were sent"));
        assert!(wrong(&[good[0], good[0]], &times, 2).contains("twice"));
        assert!(wrong(&good, &times[..1], 2).contains("never answered"));
        assert!(wrong(&[good[0], (0, 2, 21)], &times, 2).contains("another's answer"));
        assert!(wrong(&[good[1], good[0]], &times, 2).contains("behind a later one"));
    }
}
