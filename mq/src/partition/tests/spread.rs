//! All placements against the closed forms: spread, and keys that move.

use super::*;

/// Keys that are drawn anew for each seed.
fn seeded_key(seed: u64, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

/// The mean over seeds of the variance of the shards' loads.
fn mean_variance(placement: &impl Placement, keys: u64, seeds: u64) -> f64 {
    let shards = placement.shard_count();
    let mean = keys as f64 / shards as f64;
    let mut sum = 0.0;
    for seed in 0..seeds {
        let mut loads = vec![0u64; shards];
        for number in 0..keys {
            loads[usize::from(placement.place(&seeded_key(seed, number)))] += 1;
        }
        assert_eq!(loads.iter().sum::<u64>(), keys, "so the mean is exactly keys over shards");
        sum += loads.iter().map(|load| (*load as f64 - mean).powi(2)).sum::<f64>() / shards as f64;
    }
    sum / seeds as f64
}

#[test]
fn loads_vary_as_those_of_independent_throws() {
    const SEEDS: u64 = 300;
    const KEYS: u64 = 2_000;
    for shards in [2, 10, 32] {
        // n/m (1 - 1/m); the mean over seeds has a relative deviation of
        // sqrt(2 / ((m - 1) seeds)): four of them are allowed.
        let m = shards as f64;
        let expected = KEYS as f64 / m * (1.0 - 1.0 / m);
        let tolerance = 4.0 * (2.0 / ((m - 1.0) * SEEDS as f64)).sqrt();
        let near = |measured| assert_near(measured, expected, tolerance);
        near(mean_variance(&Modulo::new(shards).unwrap(), KEYS, SEEDS));
        near(mean_variance(&JumpHash::new(shards).unwrap(), KEYS, SEEDS));
        near(mean_variance(&Rendezvous::new(shards).unwrap(), KEYS, SEEDS));
        near(mean_variance(&SlotTable::new(shards).unwrap(), KEYS, SEEDS));
    }
}

/// Four deviations of the share `p` among `KEYS` keys, relative to it.
fn four_sigma(p: f64) -> f64 {
    4.0 * ((1.0 - p) / (p * KEYS as f64)).sqrt()
}

#[test]
fn minimal_movers_move_the_newcomers_share_and_modulo_all_but_it() {
    for shards in [1usize, 4, 9, 49] {
        let share = 1.0 / (shards + 1) as f64;
        let new = shards as ShardId;
        let near = |measured| assert_near(measured, share, four_sigma(share));
        let jump = [shards, shards + 1].map(|count| JumpHash::new(count).unwrap());
        near(moved(&jump[0], &jump[1], Some(new), None));
        let rendezvous = Rendezvous::new(shards).unwrap();
        let mut more = rendezvous.clone();
        more.add(new).unwrap();
        near(moved(&rendezvous, &more, Some(new), None));
        let table = SlotTable::new(shards).unwrap();
        let mut more = table.clone();
        more.add(new).unwrap();
        near(moved(&table, &more, Some(new), None));
        // A key stays with probability 1/(m + 1): m and m + 1 share no factor.
        let modulo = [shards, shards + 1].map(|count| Modulo::new(count).unwrap());
        let all_but = 1.0 - share;
        assert_near(moved(&modulo[0], &modulo[1], None, None), all_but, four_sigma(all_but));
    }
}

#[test]
fn minimal_movers_move_only_the_keys_of_a_shard_that_leaves() {
    const SHARDS: usize = 10;
    let share = 1.0 / SHARDS as f64;
    let near = |measured| assert_near(measured, share, four_sigma(share));
    let jump = [SHARDS, SHARDS - 1].map(|count| JumpHash::new(count).unwrap());
    near(moved(&jump[0], &jump[1], None, Some(SHARDS as ShardId - 1)));
    let rendezvous = Rendezvous::new(SHARDS).unwrap();
    let mut fewer = rendezvous.clone();
    fewer.remove(3).unwrap();
    near(moved(&rendezvous, &fewer, None, Some(3)));
    let table = SlotTable::new(SHARDS).unwrap();
    let mut fewer = table.clone();
    fewer.remove(3).unwrap();
    near(moved(&table, &fewer, None, Some(3)));
}

#[test]
fn what_computes_the_shard_is_the_same_in_every_build() {
    // Golden values: if they change, keys move.
    let keys = [&b""[..], b"a", b"user:17", b"user:18"];
    let places = |placement: &dyn Placement| keys.map(|key| placement.place(key));
    let shards = 1_000;
    let measured = [
        places(&JumpHash::new(shards).unwrap()),
        places(&Rendezvous::new(shards).unwrap()),
        places(&Modulo::new(shards).unwrap()),
        places(&ConsistentHash::new(shards, 10).unwrap()),
    ];
    assert_eq!(measured, GOLDEN_PLACES);
}
const GOLDEN_PLACES: [[ShardId; 4]; 4] =
    [[285, 83, 206, 585], [698, 194, 69, 686], [864, 194, 539, 494], [718, 299, 20, 702]];
