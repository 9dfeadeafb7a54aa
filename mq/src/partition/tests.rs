//! Tests of placement and balancing against the closed-form expectations, averaged over seeds
//! where a single draw varies a lot.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

mod balancers;
mod ring;
mod slots;
mod spread;

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
    let slots: Vec<_> = [&b""[..], b"a", b"user:17"].into_iter().map(SlotTable::slot_of).collect();
    assert_eq!(slots, GOLDEN_SLOTS);
    let table = SlotTable::new(5).unwrap();
    let owners: Vec<_> = (0..8).map(|slot| table.owner(slot).unwrap()).collect();
    assert_eq!(owners, GOLDEN_OWNERS);
}
const GOLDEN_SLOTS: [usize; 3] = [16_346, 4_512, 2_521];
const GOLDEN_OWNERS: [ShardId; 8] = [3, 4, 0, 1, 4, 2, 4, 4];

#[test]
fn impossible_tables_are_refused() {
    assert_eq!(SlotTable::new(0).unwrap_err(), PartitionError::None);
    assert_eq!(SlotTable::new(SHARDS_MAX + 1).unwrap_err(), PartitionError::TooMany);
    let mut table = SlotTable::new(1).unwrap();
    assert_eq!(table.remove(0), Err(PartitionError::None));
    assert_eq!(table.remove(1), Err(PartitionError::Absent(1)));
    assert_eq!(table.add(0), Err(PartitionError::Present(0)));
    assert_eq!(ConsistentHash::new(2, 0).unwrap_err(), PartitionError::Points);
    let mut ring = ConsistentHash::new(1, 1).unwrap();
    assert_eq!(ring.remove(0), Err(PartitionError::None));
    assert_eq!(ring.remove(1), Err(PartitionError::Absent(1)));
    assert_eq!(ring.add(0), Err(PartitionError::Present(0)));
    assert_eq!(RoundRobin::new(0).unwrap_err(), PartitionError::None);
    assert_eq!(Rendezvous::new(0).unwrap_err(), PartitionError::None);
    assert_eq!(Rendezvous::new(1).unwrap().remove(0), Err(PartitionError::None));
    assert_eq!(Rendezvous::new(1).unwrap().remove(1), Err(PartitionError::Absent(1)));
    assert_eq!(Rendezvous::new(1).unwrap().add(0), Err(PartitionError::Present(0)));
    assert_eq!(JumpHash::new(SHARDS_MAX + 1).unwrap_err(), PartitionError::TooMany);
    assert_eq!(Modulo::new(0).unwrap_err(), PartitionError::None);
    for slack in [0, SLACK_PERCENT_MAX + 1] {
        let ring = ConsistentHash::new(2, 2).unwrap();
        assert_eq!(BoundedRing::new(ring, slack).unwrap_err(), PartitionError::Slack(slack));
    }
    for weight in [0, WEIGHT_MAX + 1] {
        let refused = Err(PartitionError::Weight(weight));
        assert_eq!(SmoothWeighted::new(&[1, weight]).map(drop), refused);
        assert_eq!(SlotTable::with_weights([(0, weight)]).map(drop), refused);
        assert_eq!(SlotTable::new(2).unwrap().set_weight(1, weight).map(drop), refused);
    }
    let twice = SlotTable::with_weights([(3, 1), (3, 1)]);
    assert_eq!(twice.map(drop), Err(PartitionError::Present(3)));
}
