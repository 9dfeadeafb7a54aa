//! Tests of placement and balancing against the closed-form expectations, averaged over seeds
//! where a single draw varies a lot.

use std::collections::BTreeMap;

use super::*;

const KEYS: u64 = 20_000;

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Keys on each shard.
fn loads(placement: &impl Placement) -> BTreeMap<ShardId, u64> {
    let mut loads = BTreeMap::new();
    for number in 0..KEYS {
        *loads.entry(placement.place(&key(number))).or_default() += 1;
    }
    loads
}

/// Standard deviation over mean.
fn variation(loads: impl IntoIterator<Item = f64>) -> f64 {
    let loads: Vec<_> = loads.into_iter().collect();
    let mean = loads.iter().sum::<f64>() / loads.len() as f64;
    let variance = loads.iter().map(|load| (load - mean).powi(2)).sum::<f64>();
    (variance / loads.len() as f64).sqrt() / mean
}

/// The share of keys that moved, having checked that each one that did came to `only_to` or
/// left `only_from`.
fn moved(
    before: &impl Placement,
    after: &impl Placement,
    only_to: Option<ShardId>,
    only_from: Option<ShardId>,
) -> f64 {
    let mut moved = 0;
    for number in 0..KEYS {
        let (old, new) = (before.place(&key(number)), after.place(&key(number)));
        if old != new {
            assert!(only_to.is_none_or(|shard| new == shard), "{number} went to {new}");
            assert!(only_from.is_none_or(|shard| old == shard), "{number} left {old}");
            moved += 1;
        }
    }
    f64::from(moved) / KEYS as f64
}

fn assert_near(measured: f64, expected: f64, tolerance: f64) {
    let ratio = measured / expected;
    assert!(
        (1.0 - tolerance..=1.0 + tolerance).contains(&ratio),
        "measured {measured:.4}, expected {expected:.4}"
    );
}

#[test]
fn placement_is_the_same_in_every_build() {
    // Golden values: if they change, every key of every existing cluster moves.
    let slots: Vec<_> = [&b""[..], b"a", b"user:17"].into_iter().map(KeyHash::slot_of).collect();
    assert_eq!(slots, GOLDEN_SLOTS);
    let table = KeyHash::new(5).unwrap();
    let owners: Vec<_> = (0..8).map(|slot| table.owner(slot).unwrap()).collect();
    assert_eq!(owners, GOLDEN_OWNERS);
}
const GOLDEN_SLOTS: [usize; 3] = [16_346, 4_512, 2_521];
const GOLDEN_OWNERS: [ShardId; 8] = [3, 4, 0, 1, 4, 2, 4, 4];

#[test]
fn slots_are_shared_evenly_whatever_comes_and_goes() {
    for shard_count in [1, 2, 3, 7, 10, 100, 1_000] {
        let mut table = KeyHash::new(shard_count).unwrap();
        for change in 0..6 {
            match change {
                0 | 2 | 3 => drop(table.add(2_000 + change)),
                4 => drop(table.remove(2_002)),
                _ => drop(table.remove(0)),
            }
            let counts: Vec<_> = table.slot_counts().map(|(_, count)| count).collect();
            assert_eq!(counts.iter().sum::<usize>(), SLOTS);
            let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
            assert!(spread <= 1, "{shard_count} shards, change {change}: spread {spread}");
            let mut counted: BTreeMap<ShardId, usize> = BTreeMap::new();
            for slot in 0..SLOTS {
                *counted.entry(table.owner(slot).unwrap()).or_default() += 1;
            }
            assert!(table.slot_counts().eq(counted), "the counts are those of the table");
        }
    }
}

#[test]
fn the_slot_table_spreads_keys_as_well_as_chance_allows() {
    for shard_count in [2, 5, 10, 50] {
        let table = KeyHash::new(shard_count).unwrap();
        let loads = loads(&table);
        assert_eq!(loads.len(), shard_count);
        let expected = ((shard_count - 1) as f64 / KEYS as f64).sqrt();
        // A chi-square over few shards varies; four sigma of it on the upper side.
        let sigmas = 1.0 + 4.0 / (2.0 * (shard_count - 1) as f64).sqrt();
        let measured = variation(loads.into_values().map(|load| load as f64));
        assert!(measured < expected * sigmas, "{measured} against {expected}");
    }
}

#[test]
fn the_slot_table_moves_only_what_it_must() {
    for shard_count in [1, 4, 9, 49] {
        let before = KeyHash::new(shard_count).unwrap();
        let mut after = before.clone();
        let slots = after.add(77).unwrap();
        assert_eq!(slots.len(), SLOTS / (shard_count + 1), "exactly the new share");
        assert_near(moved(&before, &after, Some(77), None), 1.0 / (shard_count + 1) as f64, 0.2);

        let before = after.clone();
        let slots = after.remove(77).unwrap();
        assert_eq!(slots.len(), SLOTS / (shard_count + 1));
        moved(&before, &after, None, Some(77));
        assert_eq!(after.version(), 2);
    }
}

#[test]
fn one_slot_can_be_moved_by_hand() {
    let mut table = KeyHash::new(2).unwrap();
    let slot = KeyHash::slot_of(b"hot");
    let other = 1 - table.place(b"hot");
    table.move_slot(slot, other).unwrap();
    assert_eq!(table.place(b"hot"), other);
    assert_eq!(table.slot_counts().map(|(_, count)| count).sum::<usize>(), SLOTS);
    assert_eq!(table.move_slot(SLOTS, 0), Err(PartitionError::NoSlot(SLOTS)));
    assert_eq!(table.move_slot(0, 5), Err(PartitionError::Absent(5)));
}

#[test]
fn impossible_tables_are_refused() {
    assert_eq!(KeyHash::new(0).unwrap_err(), PartitionError::None);
    assert_eq!(KeyHash::new(SHARDS_MAX + 1).unwrap_err(), PartitionError::TooMany);
    let mut table = KeyHash::new(1).unwrap();
    assert_eq!(table.remove(0), Err(PartitionError::None));
    assert_eq!(table.remove(1), Err(PartitionError::Absent(1)));
    assert_eq!(table.add(0), Err(PartitionError::Present(0)));
    assert_eq!(ConsistentHash::new(2, 0).unwrap_err(), PartitionError::Points);
    let mut ring = ConsistentHash::new(1, 1).unwrap();
    assert_eq!(ring.remove(0), Err(PartitionError::None));
    assert_eq!(ring.remove(1), Err(PartitionError::Absent(1)));
    assert_eq!(ring.add(0), Err(PartitionError::Present(0)));
    assert_eq!(RoundRobin::new(0).unwrap_err(), PartitionError::None);
}

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
fn round_robin_takes_turns() {
    let mut balancer = RoundRobin::new(3).unwrap();
    let picks: Vec<_> = (0..7).map(|_| balancer.pick()).collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn least_loaded_never_leaves_a_gap_above_one() {
    let mut balancer = LeastLoaded::new(5).unwrap();
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
    LeastLoaded::new(1).unwrap().completed(0);
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
