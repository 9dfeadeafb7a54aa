//! The ring: its spread as its points foretell, and what it moves.

use super::*;

/// The share of the circle that each node owns: what the keys' spread tends to.
fn arcs(ring: &ConsistentHash, node_count: usize) -> Vec<f64> {
    let mut arcs = vec![0.0; node_count];
    let points = ring.points();
    let mut last = points.last().unwrap().0;
    for (point, node) in points {
        arcs[usize::from(*node)] += point.wrapping_sub(last) as f64;
        last = *point;
    }
    arcs
}

#[test]
fn the_ring_spreads_as_its_points_foretell() {
    const SEEDS: u64 = 200;
    for (node_count, points_each) in [(5, 10), (10, 1), (10, 20), (10, 100)] {
        // The root of the mean square, over seeds: sqrt((N - 1) / (N V + 1)).
        let squares: f64 = (0..SEEDS)
            .map(|seed| {
                let ring = ConsistentHash::with_seed(node_count, points_each, seed).unwrap();
                variation(arcs(&ring, node_count)).powi(2)
            })
            .sum();
        let points = (node_count * points_each + 1) as f64;
        let expected = ((node_count - 1) as f64 / points).sqrt();
        assert_near((squares / SEEDS as f64).sqrt(), expected, 0.1);
    }
}

#[test]
fn the_ring_places_keys_as_its_arcs_say() {
    let ring = ConsistentHash::new(4, 50).unwrap();
    let arcs = arcs(&ring, 4);
    let circle: f64 = arcs.iter().sum();
    for (node, load) in loads(&ring) {
        let share = arcs[usize::from(node)] / circle;
        let sigma = (share * (1.0 - share) * KEYS as f64).sqrt();
        assert!((load as f64 - share * KEYS as f64).abs() < 5.0 * sigma);
    }
}

#[test]
fn the_ring_moves_keys_to_the_new_node_or_from_the_old_one_only() {
    const SEEDS: u64 = 30;
    let mut to_new = 0.0;
    let mut from_old = 0.0;
    for seed in 0..SEEDS {
        let before = ConsistentHash::with_seed(10, 40, seed).unwrap();
        let mut after = before.clone();
        after.add(10).unwrap();
        assert_eq!(after.shard_count(), 11);
        to_new += moved(&before, &after, Some(10), None) / SEEDS as f64;
        after.remove(10).unwrap();
        assert_eq!(after, before, "adding and removing leaves no trace");
        after.remove(3).unwrap();
        from_old += moved(&before, &after, None, Some(3)) / SEEDS as f64;
    }
    assert_near(to_new, 1.0 / 11.0, 0.15);
    assert_near(from_old, 1.0 / 10.0, 0.15);
}

#[test]
fn four_times_the_points_halve_the_spread() {
    const SEEDS: u64 = 200;
    let spread = |points_each| {
        let squares = (0..SEEDS).map(|seed| {
            let ring = ConsistentHash::with_seed(10, points_each, seed).unwrap();
            variation(arcs(&ring, 10)).powi(2)
        });
        (squares.sum::<f64>() / SEEDS as f64).sqrt()
    };
    let spreads = [16, 64, 256].map(spread);
    // sqrt((N - 1) / (N V + 1)): in proportion to one over the root of V.
    assert_near(spreads[0] / spreads[1], 2.0, 0.1);
    assert_near(spreads[1] / spreads[2], 2.0, 0.1);
}

/// Assigns all keys; the loads, and how many keys are not where the ring alone would have them.
fn bounded(ring: &ConsistentHash, slack_percent: u32) -> (BoundedRing, f64) {
    let mut bounded = BoundedRing::new(ring.clone(), slack_percent).unwrap();
    let mut spilled = 0;
    for number in 0..KEYS {
        let bound = bounded.bound();
        let shard = bounded.assign(&key(number));
        assert!(bounded.load(shard) <= bound, "key {number}");
        spilled += u64::from(shard != ring.place(&key(number)));
    }
    (bounded, spilled as f64 / KEYS as f64)
}

#[test]
fn bounded_loads_are_never_above_the_mean_and_the_slack() {
    const SEEDS: u64 = 10;
    let mut spilled_before = 1.0;
    for slack_percent in [5, 10, 25, 100] {
        let mut spilled = 0.0;
        for seed in 0..SEEDS {
            let ring = ConsistentHash::with_seed(10, 100, seed).unwrap();
            let (bounded, spilled_here) = bounded(&ring, slack_percent);
            let mean = KEYS as f64 / 10.0;
            let bound = (mean * (1.0 + f64::from(slack_percent) / 100.0)).ceil();
            for shard in 0..10 {
                assert!(bounded.load(shard) as f64 <= bound);
            }
            spilled += spilled_here / SEEDS as f64;
        }
        assert!(spilled < spilled_before, "more slack, less that spills: {spilled}");
        spilled_before = spilled;
    }
    assert!(
        spilled_before < 0.01,
        "with a slack of 100 per cent hardly anything: {spilled_before}"
    );
}

#[test]
fn a_hot_key_is_spread_over_as_many_shards_as_the_bound_asks_for() {
    let mut ring = BoundedRing::new(ConsistentHash::new(10, 100).unwrap(), 25).unwrap();
    for _ in 0..1_000 {
        ring.assign(b"hot");
    }
    let loads: Vec<_> = (0..10).map(|shard| ring.load(shard)).collect();
    assert_eq!(loads.iter().max(), Some(&125));
    assert!(loads.iter().filter(|load| **load > 0).count() <= 10);
    let first = ConsistentHash::new(10, 100).unwrap().place(b"hot");
    assert_eq!(ring.load(first), 125, "its own shard is full");
}

#[test]
fn a_bounded_ring_moves_little_more_than_the_ring_when_a_shard_joins() {
    const SEEDS: u64 = 10;
    let mut share = 0.0;
    for seed in 0..SEEDS {
        let before = ConsistentHash::with_seed(10, 100, seed).unwrap();
        let mut after = before.clone();
        after.add(10).unwrap();
        let mut old = BoundedRing::new(before, 25).unwrap();
        let mut new = BoundedRing::new(after, 25).unwrap();
        let moved = (0..KEYS).filter(|n| old.assign(&key(*n)) != new.assign(&key(*n))).count();
        share += moved as f64 / KEYS as f64 / SEEDS as f64;
    }
    // The newcomer's share, and what its neighbours' loads push on.
    assert!((1.0 / 11.0 * 0.9..1.0 / 11.0 * 1.5).contains(&share), "{share}");
}

#[test]
fn releasing_makes_room_and_leaving_takes_the_load_along() {
    let mut ring = BoundedRing::new(ConsistentHash::new(2, 50).unwrap(), 10).unwrap();
    let assigned = [(); 4].map(|()| ring.assign(b"k"));
    let (first, second) = (assigned[0], 1 - assigned[0]);
    assert_eq!(assigned, [first, first, second, first], "bounds of 1, 2, 2 and 3");
    assert_eq!(ring.assign(b"k"), second, "its own is full");
    ring.release(first);
    assert_eq!(ring.assign(b"k"), first, "its own has room");
    ring.add(7).unwrap();
    ring.remove(second).unwrap();
    assert_eq!((ring.load(second), ring.load(first), ring.shard_count()), (0, 3, 2));
    assert_eq!(ring.bound(), 3, "1.1 times four requests on two shards, rounded up");
}

#[test]
#[should_panic(expected = "has a request outstanding")]
fn releasing_what_was_not_assigned_is_a_broken_invariant() {
    BoundedRing::new(ConsistentHash::new(2, 2).unwrap(), 10).unwrap().release(1);
}
