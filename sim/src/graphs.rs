//! Graphs of partial connectivity that are known to be hard: which directed links are cut.
//!
//! Sources: Ng, Haridi, Carbone, *Omni-Paxos: Breaking the Barriers of Partial Connectivity*
//! (EuroSys 2023, §2: quorum loss, constrained election, chained); Howard and Abraham on the outage
//! at Cloudflare of 2 November 2020 (five replicas, of which two hear one other each).

/// A graph of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Graph {
    /// Every replica talks with the hub only. The leader is one of the others: it lost its quorum,
    /// and the hub, which alone has one, still hears it.
    QuorumLoss,
    /// As [`Graph::QuorumLoss`], with the leader cut off from everybody: only the hub can be
    /// elected, and its log may be behind.
    ConstrainedElection,
    /// A line: each replica talks with its neighbours only.
    Chained,
    /// The leader sends to everybody and hears nobody.
    LeaderDeaf,
    /// The leader hears everybody and is heard by nobody.
    LeaderVoiceless,
    /// Replicas 0, 1, 2 talk with one another, 3 only with 1, 4 only with 2 (and 5, 6 with 0).
    FiveNodes,
}

impl Graph {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::QuorumLoss,
        Self::ConstrainedElection,
        Self::Chained,
        Self::LeaderDeaf,
        Self::LeaderVoiceless,
        Self::FiveNodes,
    ];

    /// The directed links, sender and receiver, that are cut among `replicas` when `leader` leads.
    /// `hub` is the replica in the middle; another one is taken when it is the leader.
    #[must_use]
    pub fn cuts(self, replicas: usize, leader: usize, hub: usize) -> Vec<(usize, usize)> {
        let hub = if hub == leader { (hub + 1) % replicas } else { hub };
        let mut cuts = Vec::new();
        for from in 0..replicas {
            for to in (0..replicas).filter(|to| *to != from) {
                if !self.has(from, to, replicas, leader, hub) {
                    cuts.push((from, to));
                }
            }
        }
        cuts
    }

    fn has(self, from: usize, to: usize, replicas: usize, leader: usize, hub: usize) -> bool {
        let either = |replica| from == replica || to == replica;
        match self {
            Self::QuorumLoss => either(hub),
            Self::ConstrainedElection => either(hub) && !either(leader),
            Self::Chained => {
                // The line begins with the leader.
                let place = |replica: usize| (replica + replicas - leader) % replicas;
                place(from).abs_diff(place(to)) == 1
            }
            Self::LeaderDeaf => to != leader,
            Self::LeaderVoiceless => from != leader,
            Self::FiveNodes => {
                let (low, high) = (from.min(to), from.max(to));
                match high {
                    0..=2 => true,
                    3 => low == 1,
                    4 => low == 2,
                    _ => low == 0,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(graph: Graph, replicas: usize) -> impl Fn(usize, usize) -> bool {
        let cuts = graph.cuts(replicas, 2, 0);
        move |from, to| cuts.contains(&(from, to))
    }

    #[test]
    fn in_a_quorum_loss_all_links_lead_to_the_hub() {
        let cut = cut(Graph::QuorumLoss, 5);
        assert!(!cut(2, 0) && !cut(0, 2) && !cut(0, 4));
        assert!(cut(2, 1) && cut(1, 2) && cut(3, 4));
    }

    #[test]
    fn in_a_constrained_election_the_leader_is_alone() {
        let cut = cut(Graph::ConstrainedElection, 5);
        assert!((0..5).all(|other| other == 2 || cut(2, other) && cut(other, 2)));
        assert!(!cut(0, 1) && cut(1, 3));
    }

    #[test]
    fn a_chain_begins_with_the_leader() {
        let cut = cut(Graph::Chained, 3);
        assert!(!cut(2, 0) && !cut(0, 2) && !cut(0, 1) && cut(2, 1) && cut(1, 2));
    }

    #[test]
    fn a_leader_may_be_deaf_or_voiceless_but_the_others_are_not() {
        let (deaf, voiceless) = (cut(Graph::LeaderDeaf, 3), cut(Graph::LeaderVoiceless, 3));
        assert!(deaf(0, 2) && !deaf(2, 0) && !deaf(0, 1));
        assert!(voiceless(2, 0) && !voiceless(0, 2) && !voiceless(1, 0));
    }

    #[test]
    fn in_the_graph_of_five_two_replicas_have_one_neighbour_each() {
        let cut = cut(Graph::FiveNodes, 5);
        let degree = |of| (0..5).filter(|other| *other != of && !cut(of, *other)).count();
        assert_eq!([degree(0), degree(1), degree(2), degree(3), degree(4)], [2, 3, 3, 1, 1]);
    }

    #[test]
    fn the_hub_is_never_the_leader() {
        for graph in [Graph::QuorumLoss, Graph::ConstrainedElection] {
            assert_eq!(graph.cuts(3, 0, 0), graph.cuts(3, 0, 1));
        }
    }
}
