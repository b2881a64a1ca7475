//! The published worked examples of conflict detection and merging, the nine rules one by one, and what
//! must hold for any deltas.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashSet;

use proptest::prelude::*;
use tensor_chain::{
    ConflictClass, ConflictClass::*, ConsensusConfig, ConsensusError, ConsensusManager, KeyedDelta,
    MergeAction,
};
use tensor_kernels::{Decimal, KernelError, Kernels, SparseVec};

fn manager() -> ConsensusManager {
    ConsensusManager::new(ConsensusConfig::default()).unwrap()
}

fn delta(dense: &[f32], keys: &[&str], tx_id: u64) -> KeyedDelta {
    KeyedDelta::new(dense, keys.iter().copied(), tx_id).unwrap()
}

#[test]
fn edits_of_different_positions_merge_by_addition() {
    let keys: HashSet<String> = HashSet::from(["users:1".to_owned()]);
    let first = KeyedDelta::new(vec![1.0, 0.0, 0.0], keys, 1).unwrap();
    let second = KeyedDelta::from_dense(vec![0.0, 1.0, 0.0], vec!["users:2".to_owned()], 2).unwrap();

    let conflict = manager().detect_conflict(&first, &second).unwrap();
    assert_eq!(conflict.class, Orthogonal);
    assert_eq!((conflict.similarity, conflict.structural_overlap), (0.0, 0.0));
    assert!(conflict.can_merge && conflict.overlapping_keys.is_empty());

    let merged = manager().merge(&first, &second).unwrap();
    assert!(merged.success && merged.error.is_none());
    assert_eq!((merged.action, merged.parent_ids), (MergeAction::VectorAdd, vec![1, 2]));
    let merged = merged.merged_delta.unwrap();
    assert_eq!(merged.to_dense(), [1.0, 1.0, 0.0]);
    assert_eq!(merged.affected_keys().iter().collect::<Vec<_>>(), ["users:1", "users:2"]);
    assert_eq!(merged.tx_id(), 0);
}

#[test]
fn the_same_direction_conflicts() {
    let conflict = manager()
        .detect_conflict(&delta(&[1.0, 0.0, 0.0], &["a"], 1), &delta(&[0.5, 0.0, 0.0], &["b"], 2))
        .unwrap();
    assert_eq!((conflict.class, conflict.similarity), (Conflicting, 1.0));
    assert_eq!((conflict.can_merge, conflict.action), (false, MergeAction::Reject));
}

#[test]
fn the_same_positions_conflict_whatever_the_direction() {
    let (a, b) = (delta(&[1.0, 0.0, 0.0], &["a"], 1), delta(&[-0.5, 0.0, 0.0], &["b"], 2));
    let conflict = manager().detect_conflict(&a, &b).unwrap();
    assert_eq!((conflict.class, conflict.structural_overlap), (Conflicting, 1.0));
    assert_eq!(conflict.rule.number(), 5);
    assert_eq!(conflict.similarity, -1.0);
}

/// Components and keys of a delta.
type Side<'a> = (&'a [f32], &'a [&'a str]);

/// One row for each way through the rules; small integers put cosines exactly at the thresholds.
#[test]
fn the_nine_rules() {
    let (k, l, kl) = (&["k"][..], &["l"][..], &["k", "l"][..]);
    let rules: &[(Side<'_>, Side<'_>, ConflictClass, u8)] = &[
        // 1: a zero delta is judged by keys alone.
        ((&[0., 0.], k), (&[1., 0.], l), Orthogonal, 1),
        ((&[0., 0.], k), (&[0., 0.], k), Identical, 1),
        ((&[0., 0.], &[]), (&[0., 0.], &[]), Orthogonal, 1),
        ((&[0., 0.], k), (&[1., 0.], k), Ambiguous, 1),
        ((&[0., 0.], k), (&[0., 0.], kl), Ambiguous, 1),
        // 2 and 3: the same keys, positions and size, in the same or the opposite direction.
        ((&[1., 2.], k), (&[1., 2.], k), Identical, 2),
        ((&[1., 2.], k), (&[-1., -2.], k), Opposite, 3),
        // Size counts: neither is a duplicate nor an undoing.
        ((&[1., 2.], k), (&[5., 10.], k), Conflicting, 4),
        ((&[1., 2.], k), (&[-5., -10.], k), Conflicting, 5),
        // So do keys, even their absence.
        ((&[1., 2.], k), (&[1., 2.], l), Conflicting, 4),
        ((&[1., 2.], &[]), (&[1., 2.], &[]), Conflicting, 4),
        // 4: cosine exactly 0.7 conflicts, a little less does not. (7·1 over √100 · 1)
        ((&[1., 1., 7., 7.], k), (&[0., 0., 0., 1.], l), Conflicting, 4),
        ((&[1., 2., 7., 7.], k), (&[0., 0., 0., 1.], l), LowConflict, 9),
        // 5: exactly half of the positions.
        ((&[1., 9., 0., 9.], k), (&[1., -9., 1., 0.], l), Conflicting, 5),
        // 6: cosine below 0.1, whatever the keys; exactly 0.1 is not below.
        ((&[9., 3., 4., 1.], k), (&[0., 0., 0., 1.], k), Orthogonal, 6),
        ((&[9., 3., 3., 1.], k), (&[0., 0., 0., 1.], l), LowConflict, 9),
        ((&[9., 3., 3., -1.], k), (&[0., 0., 0., 1.], l), LowConflict, 9),
        // 7: the mirror of 4.
        ((&[1., 1., 7., -7.], k), (&[0., 0., 0., 1.], l), Conflicting, 7),
        // 8 and 9: in between, keys decide.
        ((&[1., 2., 7., 7.], k), (&[0., 0., 0., 1.], kl), Ambiguous, 8),
        ((&[1., 2., 7., -7.], k), (&[0., 0., 0., 1.], l), LowConflict, 9),
    ];
    for &((a, a_keys), (b, b_keys), class, rule) in rules {
        let found = manager().detect_conflict(&delta(a, a_keys, 1), &delta(b, b_keys, 2)).unwrap();
        assert_eq!(
            (found.class, found.rule.number()),
            (class, rule),
            "{a:?} {a_keys:?} and {b:?} {b_keys:?}"
        );
        assert_eq!(found.can_merge, class.can_merge());
    }
}

#[test]
fn overlapping_keys_may_be_allowed() {
    let config = ConsensusConfig { allow_key_overlap_merge: true, ..ConsensusConfig::default() };
    let (a, b) = (delta(&[1., 2., 7., 7.], &["k", "m"], 1), delta(&[0., 0., 0., 1.], &["k", "n"], 2));
    let conflict = manager().detect_conflict(&a, &b).unwrap();
    assert_eq!((conflict.class, conflict.overlapping_keys), (Ambiguous, vec!["k".to_owned()]));
    let allowing = ConsensusManager::new(config).unwrap();
    assert_eq!(allowing.detect_conflict(&a, &b).unwrap().class, LowConflict);
}

#[test]
fn a_low_conflict_merge_keeps_what_one_delta_holds_alone() {
    let (a, b) = (delta(&[1., 2., 7., 7., 0.], &["k"], 1), delta(&[0., 0., 0., 1., 1.], &["l"], 2));
    let merged = manager().merge(&a, &b).unwrap();
    assert_eq!(merged.action, MergeAction::WeightedAverage { weight1: 0.5, weight2: 0.5 });
    assert_eq!(merged.merged_delta.unwrap().to_dense(), [1., 2., 7., 4., 1.]);
    // The plain average halves it.
    assert_eq!(a.weighted_average(&b, 0.5, 0.5).unwrap().to_dense(), [0.5, 1., 3.5, 4., 0.5]);
}

#[test]
fn identical_deltas_count_once_and_the_earlier_transaction_stands() {
    let (late, early) = (delta(&[1., 2.], &["k"], 9), delta(&[1., 2.005], &["k"], 4));
    for (a, b) in [(&late, &early), (&early, &late)] {
        let merged = manager().merge(a, b).unwrap();
        assert_eq!((merged.action, merged.merged_delta.as_ref()), (MergeAction::Deduplicate, Some(&early)));
    }
}

#[test]
fn opposite_deltas_cancel_to_their_exact_sum() {
    let a = delta(&[1., 2.], &["k"], 1);
    let merged = manager().merge(&a, &delta(&[-1., -2.], &["k"], 2)).unwrap();
    assert_eq!(merged.action, MergeAction::Cancel);
    assert!(merged.merged_delta.unwrap().vector().is_zero());
    // What does not cancel stays, unless it is at or below the sparsity threshold.
    let rest = manager().merge(&a, &delta(&[-1.0625, -2.0000002], &["k"], 2)).unwrap();
    assert_eq!(rest.merged_delta.unwrap().to_dense(), [-0.0625, 0.0]);
}

#[test]
fn a_rejected_merge_says_why() {
    let rejected = manager().merge(&delta(&[1.0], &["a"], 7), &delta(&[0.5], &["b"], 8)).unwrap();
    assert!(!rejected.success && rejected.merged_delta.is_none());
    assert_eq!(rejected.action, MergeAction::Reject);
    let error = rejected.error.unwrap();
    assert_eq!((error.pairs[0].class, error.pairs[0].similarity), (Conflicting, 1.0));
    assert_eq!(error.to_string(), "cannot merge transactions 7 and 8: conflicting (cosine 1.000)");
}

#[test]
fn merging_many() {
    let manager = manager();
    let unit = |position: usize, tx_id: u64| {
        let mut dense = [0.0; 4];
        dense[position] = 1.0;
        delta(&dense, &[&format!("key:{position}")], tx_id)
    };
    let nothing = manager.merge_all(&[]).unwrap();
    assert!(nothing.success && nothing.merged_delta.is_none());

    let one = manager.merge_all(&[unit(0, 5)]).unwrap();
    assert_eq!(one.merged_delta, Some(unit(0, 5)));

    let three = manager.merge_all(&[unit(2, 3), unit(0, 1), unit(1, 2)]).unwrap();
    assert_eq!(three.parent_ids, [1, 2, 3]);
    assert_eq!(three.merged_delta.unwrap().to_dense(), [1.0, 1.0, 1.0, 0.0]);

    let doubled = manager.merge_all(&[unit(0, 1), unit(0, 2), unit(1, 3)]).unwrap();
    assert_eq!(doubled.merged_delta.unwrap().to_dense(), [1.0, 1.0, 0.0, 0.0], "a duplicate counts once");

    let clashing = [
        unit(0, 4),
        delta(&[2.0, 0.0, 0.0, 0.0], &["x"], 2),
        unit(1, 3),
        delta(&[0.0, 3.0, 0.0, 0.0], &["y"], 1),
    ];
    let rejected = manager.merge_all(&clashing).unwrap().error.unwrap();
    let named: Vec<_> = rejected.pairs.iter().map(|pair| (pair.tx_a, pair.tx_b)).collect();
    assert_eq!(named, [(1, 3), (2, 4)], "every pair in the way is named");
}

#[test]
fn a_batch_lists_every_pair_that_is_not_orthogonal() {
    let deltas = [
        delta(&[1.0, 0.0, 0.0], &["a"], 10),
        delta(&[0.0, 1.0, 0.0], &["b"], 11),
        delta(&[2.0, 0.0, 0.0], &["c"], 12),
        delta(&[0.0, -1.0, 0.0], &["b"], 13),
    ];
    let conflicts = manager().batch_detect_conflicts(&deltas).unwrap();
    let listed: Vec<_> = conflicts
        .iter()
        .map(|found| (found.index_a, found.index_b, found.tx_a, found.tx_b, found.result.class))
        .collect();
    assert_eq!(listed, [(0, 2, 10, 12, Conflicting), (1, 3, 11, 13, Opposite)]);
    for found in conflicts {
        let alone = manager().detect_conflict(&deltas[found.index_a], &deltas[found.index_b]).unwrap();
        assert_eq!(found.result, alone);
    }
    assert_eq!(manager().find_orthogonal_set(&deltas).unwrap(), [0, 1], "the lower transaction id stays");
    let renumbered = [
        delta(&[1.0, 0.0, 0.0], &["a"], 5),
        delta(&[0.0, 1.0, 0.0], &["b"], 4),
        delta(&[2.0, 0.0, 0.0], &["c"], 3),
    ];
    assert_eq!(manager().find_orthogonal_set(&renumbered).unwrap(), [1, 2]);
    assert_eq!(manager().batch_detect_conflicts(&[]).unwrap(), []);
}

#[test]
fn merge_order_takes_the_most_independent_next() {
    let deltas = [
        delta(&[1.0, 0.0, 0.0], &["a"], 1),
        delta(&[1.0, 0.1, 0.0], &["b"], 2),
        delta(&[0.2, 0.5, 1.0], &["c"], 3),
        delta(&[0.0, 1.0, 0.0], &["d"], 4),
    ];
    // After 0 and 3, index 2 is nearer to 3 than index 1 is, but index 1 is almost 0 itself.
    assert_eq!(manager().find_merge_order(&deltas).unwrap(), [0, 3, 2, 1]);
    assert_eq!(manager().find_merge_order(&[]).unwrap(), [0usize; 0]);
}

#[test]
fn operations_on_one_delta() {
    let (a, b) = (delta(&[3.0, 4.0, 0.0], &["k", "l"], 1), delta(&[0.0, 4.0, 3.0], &["l", "m"], 2));
    assert_eq!(a.magnitude(), 5.0);
    assert_eq!(a.cosine_similarity(&b).unwrap(), 0.64);
    assert_eq!(a.structural_similarity(&b).unwrap(), 1.0 / 3.0);
    assert_eq!(a.scale(0.5).unwrap().to_dense(), [1.5, 2.0, 0.0]);
    assert_eq!((a.scale(0.5).unwrap().tx_id(), a.add(&b).unwrap().tx_id()), (1, 0));
    assert_eq!(a.overlapping_keys(&b), ["l"]);
    assert!(a.overlaps_with(&b) && a.overlaps_indices(&b));
    assert!(!a.overlaps_indices(&delta(&[0.0, 0.0, 1.0], &[], 3)));

    let direction = SparseVec::from_dense(&[0.0, 2.0, 0.0]).unwrap();
    assert_eq!(a.project_non_conflicting(&direction).unwrap().to_dense(), [3.0, 0.0, 0.0]);
    assert_eq!(a.project_non_conflicting(&SparseVec::zero(3)).unwrap(), a);

    assert!(a.weighted_average(&b, 1.0, -1.0).is_err(), "weights that cancel have no average");

    let states = KeyedDelta::from_states([1.0, 2.0], [1.5, 2.0], ["k"], 3).unwrap();
    assert_eq!(states.to_dense(), [0.5, 0.0]);
    let coarse = KeyedDelta::from_states_with_threshold([1.0, 2.0], [1.5, 2.001], ["k"], 3, 0.01).unwrap();
    assert_eq!(coarse.vector().indices(), [0]);
    assert_eq!(a.to_delta_vector().unwrap().to_sparse().to_dense(), [3.0, 4.0, 0.0]);
    assert!(KeyedDelta::zero(3).vector().is_zero());
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let (a, b) = (delta(&[1.0], &["k"], 1), delta(&[1.0, 0.0], &["k"], 2));
    let mismatch = ConsensusError::Kernel(KernelError::DimensionMismatch { got: 2, expected: 1 });
    assert_eq!(manager().detect_conflict(&a, &b), Err(mismatch.clone()));
    assert_eq!(manager().merge(&a, &b), Err(mismatch.clone()));
    assert_eq!(manager().merge_all(&[a.clone(), b.clone()]), Err(mismatch));
    assert!(a.add(&b).is_err() && a.cosine_similarity(&b).is_err());
    assert!(KeyedDelta::new([f32::NAN], ["k"], 1).is_err());
    assert!(a.scale(f64::INFINITY).is_err());

    // Orthogonal, but position 0 overflows.
    let huge = |alone: std::ops::Range<usize>| {
        let mut dense = [0.0; 21];
        dense[0] = f32::MAX;
        dense[alone].fill(f32::MAX);
        delta(&dense, &[], 1)
    };
    let overflow = manager().merge(&huge(1..11), &huge(11..21));
    assert!(matches!(overflow, Err(ConsensusError::Kernel(_))), "{overflow:?}");
    assert!(manager().merge_all(&[huge(1..11), huge(11..21)]).is_err());
}

#[test]
fn a_configuration_out_of_order_is_an_error() {
    let orthogonal_above_conflict = ConsensusConfig {
        orthogonal_threshold: Decimal::from_ten_thousandths(8_000),
        ..ConsensusConfig::default()
    };
    assert!(matches!(
        ConsensusManager::new(orthogonal_above_conflict),
        Err(ConsensusError::Kernel(KernelError::BadThreshold { name: "orthogonal", .. }))
    ));
    let not_a_number = ConsensusConfig { sparsity_threshold: f32::NAN, ..ConsensusConfig::default() };
    assert!(matches!(ConsensusManager::new(not_a_number), Err(ConsensusError::BadSparsityThreshold { .. })));
}

/// Deltas with few positions, keys and values, so that every class comes up.
fn any_deltas() -> impl Strategy<Value = Vec<KeyedDelta>> {
    let component = prop_oneof![3 => Just(0.0f32), 2 => -3.0f32..3.0, 1 => Just(1.0f32), 1 => Just(-1.0f32)];
    let one = (prop::collection::vec(component, 12), prop::collection::btree_set("[a-f]", 0..3), 0u64..20);
    let one = one.prop_map(|(dense, keys, tx_id)| KeyedDelta::new(dense, keys, tx_id).unwrap());
    prop::collection::vec(one, 0..9)
}

proptest! {
    #[test]
    fn merging_many_does_not_depend_on_their_order(
        (deltas, shuffled) in any_deltas().prop_flat_map(|deltas| (Just(deltas.clone()), Just(deltas).prop_shuffle())),
    ) {
        prop_assume!(deltas.len() > 1);
        let manager = manager();
        prop_assert_eq!(manager.merge_all(&deltas).unwrap(), manager.merge_all(&shuffled).unwrap());
    }

    /// Sums of which f64 keeps more or less in another order: 1e8 + 1e-9 − 1e8.
    #[test]
    fn sums_do_not_depend_on_order(
        shared in prop::collection::vec(prop_oneof![Just(1e8f32), Just(-1e8f32), 1e-9f32..1e-6], 8),
        same_id in any::<bool>(),
        turn in 1usize..8,
    ) {
        let mut deltas: Vec<_> = (1..)
            .zip(&shared)
            .map(|(row, &value)| {
                let mut dense = vec![0.0; 28];
                dense[0] = value;
                dense[3 * row..3 * row + 3].fill(1e10); // so that all are orthogonal
                delta(&dense, &[&format!("key:{row}")], if same_id { 7 } else { row as u64 })
            })
            .collect();
        let merged = manager().merge_all(&deltas).unwrap();
        prop_assert!(merged.success);
        deltas.rotate_left(turn);
        prop_assert_eq!(merged, manager().merge_all(&deltas).unwrap());
    }

    #[test]
    fn the_orthogonal_set_is_maximal(deltas in any_deltas()) {
        let manager = manager();
        let set = manager.find_orthogonal_set(&deltas).unwrap();
        let orthogonal = |a: usize, b: usize| manager.detect_conflict(&deltas[a], &deltas[b]).unwrap().class == Orthogonal;
        for (position, &a) in set.iter().enumerate() {
            prop_assert!(set[position + 1..].iter().all(|&b| orthogonal(a, b)));
        }
        for outside in (0..deltas.len()).filter(|index| !set.contains(index)) {
            prop_assert!(set.iter().any(|&member| !orthogonal(outside, member)), "{} could be added", outside);
        }
    }

    #[test]
    fn the_same_direction_at_another_size_is_never_a_duplicate(
        dense in prop::collection::vec(-9i8..9, 1..20), factor in prop_oneof![0.01f64..0.97, 1.04f64..100.0],
    ) {
        let dense: Vec<f32> = dense.into_iter().map(f32::from).collect();
        let a = delta(&dense, &["k"], 1);
        prop_assume!(!a.vector().is_zero());
        for factor in [factor, -factor * 1.1] {
            let b = a.scale(factor).unwrap();
            let conflict = manager().detect_conflict(&a, &b).unwrap();
            prop_assert!(conflict.class != Identical, "{}", factor);
            prop_assert!(conflict.class != Opposite || (0.94..1.07).contains(&-factor), "{}", factor);
        }
    }

    #[test]
    fn which_kernels_run_changes_nothing(deltas in any_deltas()) {
        let scalar =
            ConsensusManager::with_kernels(ConsensusConfig::default(), Kernels::scalar().unwrap()).unwrap();
        prop_assert_eq!(
            scalar.batch_detect_conflicts(&deltas).unwrap(),
            manager().batch_detect_conflicts(&deltas).unwrap()
        );
    }
}
