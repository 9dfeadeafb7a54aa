//! Runs in which a healed group once did not serve its clients. Each stays mended.

use quorate_pbft::Pbft;
use quorate_sim::{Options, simulate};

fn assert_served(replicas: usize, seeds: &[u64]) {
    for seed in seeds {
        let outcome = simulate(&Options::<Pbft>::new(replicas), *seed);
        assert_eq!(outcome.violation, None, "pbft, {replicas} replicas, seed {seed}");
    }
}

#[test]
fn large_batches_do_not_fill_the_log_before_a_checkpoint() {
    assert_served(4, &[4198, 5988, 6450]);
}

#[test]
fn clients_that_prove_their_requests_to_some_replicas_only_do_not_stop_the_group() {
    assert_served(4, &[958, 4041, 6396, 9021]);
}

/// In 402 the primary asked nobody; in the others it had what was vouched for waiting since an earlier
/// view, and took it for ordered, or sent it on into a log that was full (4942).
#[test]
fn honest_clients_that_were_blamed_by_mistake_are_served() {
    assert_served(4, &[194, 402, 781, 1539, 4942]);
}

/// Votes dropped by full inboxes: one that was ahead lacked those for slots that the others lacked.
#[test]
fn those_behind_get_the_votes_of_those_ahead() {
    assert_served(7, &[2415]);
}
