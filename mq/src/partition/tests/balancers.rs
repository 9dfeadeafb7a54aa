//! Balancers: proportions, loads, and answers as queueing theory foretells them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

#[test]
fn round_robin_takes_turns() {
    let mut balancer = RoundRobin::new(3).unwrap();
    let picks: Vec<_> = (0..7).map(|_| balancer.pick()).collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn least_outstanding_never_leaves_a_gap_above_one() {
    let mut balancer = LeastOutstanding::new(5).unwrap();
    for round in 0..1_000 {
        balancer.pick();
        let loads: Vec<_> = (0..5).map(|worker| balancer.outstanding(worker)).collect();
        assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{round}");
    }
    for _ in 0..50 {
        balancer.completed(2);
    }
    assert!((0..50).all(|_| balancer.pick() == 2), "the emptied worker fills up first");
}

#[test]
#[should_panic(expected = "has a request outstanding")]
fn completing_a_request_that_was_never_sent_is_a_broken_invariant() {
    LeastOutstanding::new(1).unwrap().completed(0);
}

#[test]
fn two_choices_keep_the_highest_load_near_the_mean() {
    const WORKERS: usize = 100;
    const EACH: u64 = 100;
    const SEEDS: u64 = 20;
    let mut gap_two = 0.0;
    let mut gap_one = 0.0;
    for seed in 0..SEEDS {
        let mut balancer = PowerOfTwo::new(WORKERS, seed).unwrap();
        let mut random = [0u64; WORKERS];
        for request in 0..EACH * WORKERS as u64 {
            balancer.pick();
            random[scale(mix(seed, request, 1), WORKERS)] += 1;
        }
        let highest = (0..WORKERS).map(|worker| balancer.outstanding(worker)).max().unwrap();
        gap_two += (highest - EACH) as f64 / SEEDS as f64;
        gap_one += (*random.iter().max().unwrap() - EACH) as f64 / SEEDS as f64;
    }
    // One choice: about sqrt(2 m/n ln n) above the mean. Two: log2(ln n) and a constant,
    // however many requests (Berenbrink et al., 2000).
    let n = WORKERS as f64;
    assert_near(gap_one, (2.0 * EACH as f64 * n.ln()).sqrt(), 0.25);
    assert!(gap_two <= n.ln().log2() + 1.0, "measured {gap_two}");
}

#[test]
fn the_same_seed_draws_the_same_workers() {
    let picks = |seed| {
        let mut balancer = PowerOfTwo::new(7, seed).unwrap();
        (0..50).map(|_| balancer.pick()).collect::<Vec<_>>()
    };
    assert_eq!(picks(1), picks(1));
    assert_ne!(picks(1), picks(2));
    let mut alone = PowerOfTwo::new(1, 0).unwrap();
    assert_eq!((alone.pick(), alone.pick()), (0, 0));
}

/// The highest of the loads after as many requests as workers, averaged over seeds: with two
/// choices, and with one.
fn highest_loads(workers: usize, seeds: u64) -> (f64, f64) {
    let (mut two, mut one) = (0, 0);
    for seed in 0..seeds {
        let mut balancer = PowerOfTwo::new(workers, seed).unwrap();
        let mut random = vec![0u64; workers];
        for request in 0..workers as u64 {
            balancer.pick();
            random[scale(mix(seed, request, 1), workers)] += 1;
        }
        two += (0..workers).map(|worker| balancer.outstanding(worker)).max().unwrap();
        one += random.iter().max().unwrap();
    }
    (two as f64 / seeds as f64, one as f64 / seeds as f64)
}

#[test]
fn two_choices_of_n_workers_leave_the_highest_load_at_the_logarithm_of_the_logarithm() {
    const SEEDS: u64 = 40;
    for workers in [64, 256, 1_024] {
        let (two, one) = highest_loads(workers, SEEDS);
        let n = workers as f64;
        // Azar, Broder, Karlin, Upfal, 1999: ln ln n / ln 2 + O(1); for one choice the known
        // ln n / ln ln n is the leading term, which the measured value exceeds at such n.
        let expected = n.ln().ln() / 2f64.ln();
        assert!((expected - 0.5..expected + 1.5).contains(&two), "{workers}: {two}, {expected}");
        assert!(one >= n.ln() / n.ln().ln(), "{workers}: {one}");
        assert!(one > two + 1.0, "{workers}: {one} against {two}");
    }
}

fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

proptest! {
    #[test]
    fn smooth_weights_are_exact_in_each_period(weights in prop::collection::vec(1u32..40, 1..9)) {
        let common = weights.iter().copied().fold(0, divisor);
        let period = weights.iter().sum::<u32>() / common;
        let fresh = SmoothWeighted::new(&weights).unwrap();
        let mut balancer = fresh.clone();
        for round in 0..3 {
            let mut counts = vec![0; weights.len()];
            for _ in 0..period {
                counts[balancer.pick()] += 1;
            }
            let exact: Vec<_> = weights.iter().map(|weight| weight / common).collect();
            prop_assert_eq!(counts, exact, "round {}", round);
            prop_assert_eq!(&balancer, &fresh, "and it begins anew");
        }
    }

    #[test]
    fn equal_weights_take_turns(workers in 1usize..20) {
        let mut smooth = SmoothWeighted::new(&vec![3; workers]).unwrap();
        let mut turns = RoundRobin::new(workers).unwrap();
        for _ in 0..3 * workers {
            prop_assert_eq!(smooth.pick(), turns.pick());
        }
    }
}

#[test]
fn smooth_weights_never_send_a_burst() {
    let mut balancer = SmoothWeighted::new(&[4, 2, 1, 1]).unwrap();
    let picks: Vec<_> = (0..16).map(|_| balancer.pick()).collect();
    let longest = picks.chunk_by(|a, b| a == b).map(<[_]>::len).max();
    assert_eq!(longest, Some(2), "at half of all requests, twice in a row at the seams: {picks:?}");
}

/// One choice at random: what the others are compared with.
struct Random {
    workers: usize,
    draws: u64,
}

impl Balancer for Random {
    fn pick(&mut self) -> usize {
        self.draws += 1;
        scale(mix(7, self.draws, 7), self.workers)
    }

    fn completed(&mut self, _worker: usize) {}

    fn worker_count(&self) -> usize {
        self.workers
    }
}

/// An exponential variable of mean 1.
fn exponential(draw: u64, stream: u64) -> f64 {
    -((mix(draw, stream, 3) >> 11) as f64 + 0.5).log(std::f64::consts::E)
        + (53.0 * std::f64::consts::LN_2)
}

/// The mean time to answer in units of the mean service time, first come first served: requests
/// come at random at `load` times what the workers can do; worker 0 works at `speed`.
fn response(balancer: &mut dyn Balancer, load: f64, requests: u64, speed: f64) -> f64 {
    let workers = balancer.worker_count();
    let mut free_at = vec![0.0f64; workers];
    // Bits of positive floats are ordered as the floats are.
    let mut completions = BinaryHeap::new();
    let (mut now, mut sum, mut counted) = (0.0, 0.0, 0);
    for request in 0..requests {
        now += exponential(request, 1) / (load * workers as f64);
        while let Some(Reverse((time, worker))) = completions.peek().copied() {
            if f64::from_bits(time) > now {
                break;
            }
            completions.pop();
            balancer.completed(worker);
        }
        let worker = balancer.pick();
        let service = exponential(request, 2) / if worker == 0 { speed } else { 1.0 };
        let done = free_at[worker].max(now) + service;
        free_at[worker] = done;
        completions.push(Reverse((done.to_bits(), worker)));
        // The first fifth fills the queues.
        if request >= requests / 5 {
            sum += done - now;
            counted += 1;
        }
    }
    sum / f64::from(counted)
}

#[test]
fn requests_wait_as_queueing_theory_foretells() {
    const WORKERS: usize = 200;
    const REQUESTS: u64 = 250_000;
    let load = 0.8f64;
    let run = |balancer: &mut dyn Balancer| response(balancer, load, REQUESTS, 1.0);
    let random = run(&mut Random { workers: WORKERS, draws: 0 });
    let turns = run(&mut RoundRobin::new(WORKERS).unwrap());
    let two = run(&mut PowerOfTwo::new(WORKERS, 1).unwrap());
    let least = run(&mut LeastOutstanding::new(WORKERS).unwrap());
    // One choice: N queues M/M/1, 1/(1 - rho). Two: the supermarket model, the sum of
    // rho^(2^i - 2) (Mitzenmacher 1996; Vvedenskaya et al. 1996).
    assert_near(random, 1.0 / (1.0 - load), 0.1);
    let supermarket: f64 = (1..6).map(|i| load.powi(2i32.pow(i) - 2)).sum();
    assert_near(two, supermarket, 0.05);
    assert!(random > turns && turns > two && two > least, "{random} {turns} {two} {least}");
    assert_near(least, 1.0, 0.05);
}

#[test]
fn those_that_count_live_with_a_slow_worker_and_round_robin_does_not() {
    const WORKERS: usize = 10;
    let run = |balancer: &mut dyn Balancer| response(balancer, 0.8, 50_000, 0.5);
    let turns = run(&mut RoundRobin::new(WORKERS).unwrap());
    let mut weights = [2; WORKERS];
    weights[0] = 1;
    let weighted = run(&mut SmoothWeighted::new(&weights).unwrap());
    let two = run(&mut PowerOfTwo::new(WORKERS, 1).unwrap());
    let least = run(&mut LeastOutstanding::new(WORKERS).unwrap());
    assert!(turns > 50.0, "the slow worker's queue grows without end: {turns}");
    assert!(weighted < 5.0 && two < 3.5 && least < 2.0, "{weighted} {two} {least}");
}
