//! The slot table: shares, moves, versions.

use super::*;

#[test]
fn slots_are_shared_evenly_whatever_comes_and_goes() {
    for shard_count in [1, 2, 3, 7, 10, 100, 1_000] {
        let mut table = SlotTable::new(shard_count).unwrap();
        for change in 0..6 {
            match change {
                0 | 2 | 3 => drop(table.add(2_000 + change).unwrap()),
                4 => drop(table.remove(2_002).unwrap()),
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
        let table = SlotTable::new(shard_count).unwrap();
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
        let before = SlotTable::new(shard_count).unwrap();
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
    let mut table = SlotTable::new(2).unwrap();
    let slot = SlotTable::slot_of(b"hot");
    let other = 1 - table.place(b"hot");
    table.move_slot(slot, other).unwrap();
    assert_eq!(table.place(b"hot"), other);
    assert_eq!(table.slot_counts().map(|(_, count)| count).sum::<usize>(), SLOTS);
    assert_eq!(table.move_slot(SLOTS, 0), Err(PartitionError::NoSlot(SLOTS)));
    assert_eq!(table.move_slot(0, 5), Err(PartitionError::Absent(5)));
}

/// How many slots have to move at least, so that each shard's count is its exact share rounded up
/// or down: what is too much somewhere must go, what is too little somewhere must come.
fn moves_at_least(before: &SlotTable, after: &SlotTable) -> usize {
    let total: u64 = after.slot_counts().map(|(id, _)| u64::from(after.weight(id).unwrap())).sum();
    let held: BTreeMap<ShardId, usize> = before.slot_counts().collect();
    let (mut go, mut come) = (0, 0);
    for (shard, _) in after.slot_counts() {
        let share = SLOTS as u64 * u64::from(after.weight(shard).unwrap());
        let (floor, ceil) = ((share / total) as usize, share.div_ceil(total) as usize);
        let held = held.get(&shard).copied().unwrap_or_default();
        go += held.saturating_sub(ceil);
        come += floor.saturating_sub(held);
    }
    let left = before.slot_counts().filter(|(shard, _)| after.weight(*shard).is_err());
    go += left.map(|(_, slots)| slots).sum::<usize>();
    go.max(come)
}

/// Checks the shares, the moves and the versions after a change.
fn check(before: &SlotTable, after: &SlotTable, moves: &[Move]) {
    let total: u64 = after.slot_counts().map(|(id, _)| u64::from(after.weight(id).unwrap())).sum();
    for (shard, slots) in after.slot_counts() {
        let share = SLOTS as u64 * u64::from(after.weight(shard).unwrap());
        assert!(slots as u64 == share / total || slots as u64 == share.div_ceil(total));
        let owned = (0..SLOTS).filter(|slot| after.owner(*slot) == Ok(shard)).count();
        assert_eq!(owned, slots);
    }
    let changed: Vec<_> = (0..SLOTS)
        .map(|slot| (slot, before.owner(slot).unwrap(), after.owner(slot).unwrap()))
        .filter(|(_, from, to)| from != to)
        .map(|(slot, from, to)| Move { slot, from, to })
        .collect();
    assert_eq!(changed, moves, "the moves are told, in order");
    assert_eq!(moves.len(), moves_at_least(before, after));
    assert_eq!(after.version(), before.version() + 1);
    let learned: Vec<_> = after.moved_since(before.version()).collect();
    assert!(moves.iter().map(|moved| (moved.slot, moved.to)).eq(learned));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_history_of_weighted_shards_keeps_the_shares_and_moves_the_least(
        weights in prop::collection::vec(1u32..20, 1..6),
        changes in prop::collection::vec((0u8..3, 0u16..9, 1u32..20), 1..8),
    ) {
        let shards = weights.into_iter().enumerate().map(|(id, weight)| (id as ShardId, weight));
        let first = SlotTable::with_weights(shards).unwrap();
        let mut table = first.clone();
        for (kind, shard, weight) in changes {
            let before = table.clone();
            let moves = match kind {
                0 => table.add_with_weight(shard, weight),
                1 => table.remove(shard),
                _ => table.set_weight(shard, weight),
            };
            match moves {
                Ok(moves) => check(&before, &table, &moves),
                Err(_) => prop_assert_eq!(&before, &table, "a refusal changes nothing"),
            }
        }
        // A router that slept through everything learns each slot that is not where it was.
        let learned: BTreeMap<usize, ShardId> = table.moved_since(first.version()).collect();
        for slot in 0..SLOTS {
            let now = table.owner(slot).unwrap();
            let known = learned.get(&slot).copied().unwrap_or(first.owner(slot).unwrap());
            prop_assert_eq!(known, now);
        }
    }
}

#[test]
fn shards_have_slots_in_proportion_to_their_weights() {
    let table = SlotTable::with_weights([(1, 1), (2, 2), (5, 5)]).unwrap();
    let counts: Vec<_> = table.slot_counts().collect();
    assert_eq!(counts, [(1, SLOTS / 8), (2, SLOTS / 4), (5, SLOTS * 5 / 8)]);
}

#[test]
fn a_shard_that_comes_back_gets_most_of_its_slots_again() {
    // Rendezvous draws decide who gets what, so histories that end alike have much in common.
    let before = SlotTable::new(5).unwrap();
    let mut after = before.clone();
    after.remove(2).unwrap();
    after.add(2).unwrap();
    let same = (0..SLOTS).filter(|slot| before.owner(*slot) == after.owner(*slot)).count();
    assert!(same > SLOTS * 3 / 4, "{same}");
}

#[test]
fn a_weight_that_grows_draws_slots_to_its_shard_only() {
    let mut table = SlotTable::new(4).unwrap();
    let moves = table.set_weight(1, 3).unwrap();
    assert_eq!(moves.len(), SLOTS / 2 - SLOTS / 4);
    assert!(moves.iter().all(|moved| moved.to == 1 && moved.from != 1));
    let back = table.set_weight(1, 1).unwrap();
    assert!(back.iter().all(|moved| moved.from == 1 && moved.to != 1));
    assert_eq!(back.len(), moves.len());
}
