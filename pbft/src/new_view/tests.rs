//! The choice of a new view, rule by rule (TOCS 2002 §4.5).

use proptest::prelude::*;
use quorate_smr::{ReplicaId, Seed, Setup};

use super::*;

fn group(replicas: usize) -> Group {
    Group::of(&Setup::new(ReplicaId(0), replicas, Seed(1), ())).unwrap()
}

const A: Digest = Digest([0xa; 32]);
const B: Digest = Digest([0xb; 32]);

fn pair(slot: u64, view: u64, digest: Digest) -> Pair {
    Pair { slot: Slot(slot), view: View(view), digest }
}

/// A view change to view 9 of a replica with these sets P and Q.
fn change(replica: u8, prepared: &[Pair], pre_prepared: &[Pair]) -> ViewChange {
    ViewChange {
        replica: ReplicaId(replica),
        view: View(9),
        stable: Slot::ZERO,
        certificate: None,
        prepared: prepared.to_vec(),
        pre_prepared: pre_prepared.to_vec(),
    }
}

/// A replica at which these batches prepared.
fn prepared(replica: u8, pairs: &[Pair]) -> ViewChange {
    change(replica, pairs, pairs)
}

fn silent(replica: u8) -> ViewChange {
    change(replica, &[], &[])
}

fn chosen(changes: &[ViewChange]) -> Option<Vec<Digest>> {
    let changes: Vec<&ViewChange> = changes.iter().collect();
    choose(&changes, &group(4)).map(|choice| choice.chosen)
}

#[test]
fn fewer_than_2f_plus_1_distinct_replicas_choose_nothing() {
    assert_eq!(chosen(&[]), None);
    assert_eq!(chosen(&[silent(0), silent(1)]), None);
    assert_eq!(chosen(&[silent(0), silent(1), silent(1)]), None);
    assert_eq!(chosen(&[silent(0), silent(1), silent(9)]), None);
    assert_eq!(chosen(&[silent(0), silent(1), silent(2), silent(2)]), None);
    assert_eq!(chosen(&[silent(0), silent(1), silent(2)]), Some(vec![]));
}

#[test]
fn what_prepared_at_one_and_was_seen_by_another_is_chosen() {
    let a = pair(1, 0, A);
    let set = [prepared(0, &[a]), change(1, &[], &[a]), silent(2)];
    assert_eq!(chosen(&set), Some(vec![A]));
}

#[test]
fn a2_a_claim_that_nobody_else_saw_is_not_chosen_and_waits_for_a_fourth() {
    let a = pair(1, 0, A);
    let mut set = vec![prepared(0, &[a]), silent(1), silent(2)];
    // Neither A2 (one replica has it in Q) nor B (two have no P): another view change is needed.
    assert_eq!(chosen(&set), None);
    set.push(silent(3));
    assert_eq!(chosen(&set), Some(vec![]), "three without P: nothing committed there");
}

#[test]
fn a2_counts_replicas_not_entries() {
    // Replica 0 has the digest in Q; its second entry must not count as a second replica.
    let liar = change(0, &[pair(1, 0, A)], &[pair(1, 0, A), pair(1, 1, B), pair(1, 2, A)]);
    assert_eq!(chosen(&[liar, silent(1), silent(2)]), None);
}

#[test]
fn a2_wants_support_in_the_same_view_or_later() {
    let late = pair(1, 5, A);
    let early = pair(1, 3, A);
    let set = |support: Pair| [prepared(0, &[late]), change(1, &[], &[support]), silent(2)];
    assert_eq!(chosen(&set(early)), None);
    assert_eq!(chosen(&set(late)), Some(vec![A]));
    assert_eq!(chosen(&set(pair(1, 7, A))), Some(vec![A]));
}

#[test]
fn a1_the_certificate_of_the_highest_view_wins_wherever_it_stands() {
    let (old, new) = (pair(1, 1, A), pair(1, 4, B));
    let both = [old, new];
    let members = [change(0, &[old], &both), change(1, &[new], &both), change(2, &[old], &[old])];
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]] {
        let set: Vec<ViewChange> = order.iter().map(|index| members[*index].clone()).collect();
        assert_eq!(chosen(&set), Some(vec![B]), "{order:?}");
    }
}

#[test]
fn an_unsupported_claim_of_a_high_view_does_not_mask_a_valid_one() {
    let (valid, bogus) = (pair(1, 1, A), pair(1, 8, B));
    let honest = [prepared(0, &[valid]), prepared(1, &[valid]), prepared(2, &[valid])];
    let liar = prepared(3, &[bogus]);
    let with_liar = [honest[0].clone(), honest[1].clone(), liar.clone()];
    assert_eq!(chosen(&with_liar), None, "two of three do not satisfy A1; wait, choose no null");
    let all = [honest[0].clone(), honest[1].clone(), honest[2].clone(), liar];
    assert_eq!(chosen(&all), Some(vec![A]));
}

#[test]
fn gaps_become_null_requests_and_the_end_is_not_padded() {
    let (second, fourth) = (pair(2, 0, A), pair(4, 0, B));
    let holder = |replica| prepared(replica, &[second, fourth]);
    let null = group(4).null;
    let set = [holder(0), holder(1), holder(2)];
    assert_eq!(chosen(&set), Some(vec![null, A, null, B]));
    let far = pair(4000, 0, B);
    let set = [prepared(0, &[second]), prepared(1, &[second]), silent(2), prepared(3, &[far])];
    assert_eq!(chosen(&set), Some(vec![null, A]), "an unsupported far claim pads nothing");
}

#[test]
fn a_null_request_that_prepared_stays() {
    let null = group(4).null;
    let pairs = [pair(1, 3, null)];
    let set = [prepared(0, &pairs), prepared(1, &pairs), silent(2)];
    assert_eq!(chosen(&set), Some(vec![null]));
}

#[test]
fn the_highest_proven_checkpoint_is_the_base_and_slots_below_are_not_chosen() {
    let low = prepared(0, &[pair(3, 0, A), pair(9, 0, B)]);
    let low_too = prepared(1, &[pair(9, 0, B)]);
    let high = ViewChange { stable: Slot(8), ..silent(2) };
    let set = [&low, &low_too, &high];
    let choice = choose(&set, &group(4)).unwrap();
    assert_eq!((choice.base, choice.chosen), (Slot(8), vec![B]));
}

/// One slot of a group in which up to f members lie in their view changes: what the honest ones
/// prepared and pre-prepared in a real history of views, and what the liars claim.
#[derive(Clone, Debug)]
struct History {
    /// For each view: the digest that its primary proposed, who pre-prepared, who prepared of
    /// those if a quorum pre-prepared.
    views: Vec<(u8, u16, u16)>,
    lies: Vec<(u8, u64, bool)>,
    heard: u16,
}

fn history(members: u16) -> impl Strategy<Value = History> {
    let mask = 0u16..(1 << members);
    let view = (1u8..4, mask.clone(), mask.clone());
    let lie = (1u8..5, 0u64..6, any::<bool>());
    (proptest::collection::vec(view, 1..5), proptest::collection::vec(lie, 2), mask)
        .prop_map(|(views, lies, heard)| History { views, lies, heard })
}

impl History {
    /// Plays the history with honest members `faults..members`; the faulty ones pre-prepare and
    /// prepare whatever helps. Gives the view changes and the digest that committed, if one did.
    fn play(&self, group: &Group) -> (Vec<ViewChange>, Option<Digest>) {
        let (members, faults) = (group.replicas(), group.rule.faults());
        let mut p: Vec<Option<Pair>> = vec![None; members];
        let mut q: Vec<Vec<Pair>> = vec![Vec::new(); members];
        let mut committed: Option<Digest> = None;
        for (view, (digest, accepted, seen)) in self.views.iter().enumerate() {
            // A new view is bound to what committed: the very property that `choose` gives.
            let digest = committed.unwrap_or(Digest([*digest; 32]));
            let one = pair(1, view as u64, digest);
            let takes = |mask: u16, member: usize| member < faults || mask & (1 << member) != 0;
            let accepts: Vec<usize> = (0..members).filter(|m| takes(*accepted, *m)).collect();
            for member in &accepts {
                q[*member].retain(|held| held.digest != digest);
                q[*member].push(one);
            }
            if accepts.len() < group.quorum() {
                continue;
            }
            let prepares: Vec<usize> = accepts.into_iter().filter(|m| takes(*seen, *m)).collect();
            for member in &prepares {
                p[*member] = Some(one);
            }
            if prepares.len() >= group.quorum() {
                committed = Some(digest);
            }
        }
        let says = |member: usize| {
            let honest = change(member as u8, p[member].as_slice(), &q[member]);
            match self.lies.get(member).filter(|_| member < faults) {
                None => honest,
                Some((_, _, true)) => silent(member as u8),
                Some((digest, view, false)) => {
                    prepared(member as u8, &[pair(1, *view, Digest([*digest; 32]))])
                }
            }
        };
        ((0..members).map(says).collect(), committed)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_committed_is_chosen_from_any_quorum_whatever_f_liars_say(
        (members, history) in prop_oneof![Just(4u16), Just(7)]
            .prop_flat_map(|members| (Just(members), history(members)))
    ) {
        let group = group(members as usize);
        let (changes, committed) = history.play(&group);
        let heard = |c: &&ViewChange| history.heard & (1 << c.replica.0) != 0;
        let set: Vec<&ViewChange> = changes.iter().filter(heard).collect();
        if let (Some(choice), Some(committed)) = (choose(&set, &group), committed) {
            prop_assert_eq!(choice.chosen, vec![committed]);
        }
        // With everyone heard there is always a choice: a view change cannot be blocked.
        let all: Vec<&ViewChange> = changes.iter().collect();
        let choice = choose(&all, &group);
        prop_assert!(choice.is_some(), "{:?}", changes);
        // The order in which view changes came does not matter.
        let mut turned = all.clone();
        turned.reverse();
        prop_assert_eq!(choose(&turned, &group), choice);
    }
}
