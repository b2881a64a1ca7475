//! `conflict_matrix`: identical lists on every backend, and an oracle that big integers confirm.

use std::ops::ControlFlow;
use std::sync::Mutex;

use proptest::prelude::*;
use tensor_kernels::{
    ConflictClass, ConflictList, ConflictPair, DeltaBatch, DeltaVector, KernelError, Kernels, KeySets,
    SparseBatch, SparseVec, Thresholds, Vectors,
};
use tensor_tests::every_backend;

/// All pairs of one batch on every backend; all answers are equal, the first is returned.
fn agreed(vectors: Vectors<'_>, keys: Option<&KeySets>) -> ConflictList {
    let run =
        |kernels: &Kernels| kernels.conflict_matrix(vectors, keys, &Thresholds::default()).unwrap().value;
    let backends = every_backend().unwrap();
    let expected = run(&backends[0]);
    for kernels in &backends[1..] {
        assert_eq!(run(kernels), expected, "{kernels:?}");
    }
    expected
}

fn deltas(dim: u32, rows: &[SparseVec]) -> DeltaBatch {
    let deltas: Vec<_> = rows.iter().map(|row| DeltaVector::from_sparse(row).unwrap()).collect();
    DeltaBatch::pack(dim, &deltas).unwrap()
}

/// A sparse row of `dim` dimensions: values that meet thresholds often, at magnitudes far apart.
fn row(dim: u32, most: usize) -> impl Strategy<Value = SparseVec> {
    let value = prop_oneof![
        6 => prop_oneof![Just(1.0f32), Just(-1.0), Just(7.0), Just(-7.0), Just(3.0), Just(4.0), Just(9.0)],
        2 => -1.0f32..1.0,
    ];
    let scale = prop_oneof![Just(1.0f32), Just(1e-30), Just(1e4), Just(f32::from_bits(3))];
    let entries = proptest::collection::btree_map(0..dim, value, 0..=most);
    (entries, scale).prop_map(move |(entries, scale)| {
        let kept = entries.into_iter().map(|(i, v)| (i, v * scale)).filter(|(_, v)| *v != 0.0);
        let (indices, values) = kept.unzip();
        SparseVec::new(dim, indices, values).unwrap()
    })
}

fn batch() -> impl Strategy<Value = (u32, Vec<SparseVec>)> {
    prop_oneof![Just(1u32), Just(3), Just(31), Just(32), Just(33), Just(768), Just(65_536), Just(u32::MAX)]
        .prop_flat_map(|dim| {
            let most = (dim as usize).min(12);
            (Just(dim), proptest::collection::vec(row(dim, most), 0..40))
        })
}

proptest! {
    #[test]
    fn every_backend_lists_the_same_pairs(
        (dim, rows) in batch(),
        ids in proptest::collection::vec(proptest::collection::btree_set(0u32..6, 0..3), 40),
    ) {
        let ids: Vec<Vec<u32>> = ids.into_iter().take(rows.len()).map(|set| set.into_iter().collect()).collect();
        let keys = KeySets::new(ids.iter().map(Vec::as_slice)).unwrap();
        let sparse = SparseBatch::from_rows(dim, &rows).unwrap();
        let codes = deltas(dim, &rows);
        for keys in [None, Some(&keys)] {
            let listed = agreed((&sparse).into(), keys);
            prop_assert_eq!(ConflictClass::ALL.map(|class| listed.count(class)).iter().sum::<u64>(), listed.compared());
            // Deltas, and the same deltas as f32 rows: two judges, one verdict.
            let by_codes = agreed((&codes).into(), keys);
            let as_f32 = codes.to_sparse();
            prop_assert_eq!(by_codes, agreed((&as_f32).into(), keys));
        }
    }

    #[test]
    fn a_cross_comparison_is_the_off_diagonal_block_of_all_pairs((dim, rows) in batch(), cut in 0usize..40) {
        let cut = cut.min(rows.len());
        let all_ids: Vec<[u32; 1]> = (0..rows.len()).map(|row| [row as u32 % 5]).collect();
        let keys = |range: std::ops::Range<usize>| KeySets::new(all_ids[range].iter().map(|id| &id[..])).unwrap();
        let (left_keys, right_keys, all_keys) = (keys(0..cut), keys(cut..rows.len()), keys(0..rows.len()));
        let all = deltas(dim, &rows);
        let (left, right) = (deltas(dim, &rows[..cut]), deltas(dim, &rows[cut..]));
        let triangle = agreed((&all).into(), Some(&all_keys));
        for kernels in every_backend().unwrap() {
            let cross = kernels
                .conflict_cross((&left).into(), (&right).into(), Some((&left_keys, &right_keys)), &Thresholds::default())
                .unwrap()
                .value;
            prop_assert_eq!(cross.compared(), (cut * (rows.len() - cut)) as u64);
            for i in 0..cut {
                for j in cut..rows.len() {
                    prop_assert_eq!(cross.class_of(i, j - cut), triangle.class_of(i, j));
                }
            }
        }
    }
}

#[test]
fn pairs_built_on_each_threshold_and_one_code_beside_it() {
    // Rows with exactly rational cosines against e₀: (7,7,1,1) → 0.7, (1,9,3,3) → 0.1, (−7,…) → −0.7.
    let unit = [1.0f32, 0.0, 0.0, 0.0, 0.0];
    let cases: [([f32; 5], ConflictClass); 8] = [
        ([7.0, 7.0, 1.0, 1.0, 0.0], ConflictClass::Conflicting),
        ([7.0, 7.0, 1.0, 2.0, 0.0], ConflictClass::LowConflict),
        ([-7.0, 7.0, 1.0, 1.0, 0.0], ConflictClass::Conflicting),
        ([-7.0, 7.0, 1.0, 2.0, 0.0], ConflictClass::LowConflict),
        ([1.0, 9.0, 3.0, 3.0, 0.0], ConflictClass::LowConflict),
        ([1.0, 9.0, 3.0, 4.0, 0.0], ConflictClass::Orthogonal),
        ([-1.0, 9.0, 3.0, 3.0, 0.0], ConflictClass::LowConflict),
        ([7.0, 7.0, 1.0, 1.0f32.next_up(), 0.0], ConflictClass::LowConflict),
    ];
    for (dense, expected) in cases {
        let rows = [SparseVec::from_dense(&unit).unwrap(), SparseVec::from_dense(&dense).unwrap()];
        let sparse = SparseBatch::from_rows(5, &rows).unwrap();
        assert_eq!(agreed((&sparse).into(), None).class_of(0, 1), Some(expected), "{dense:?}");
    }
}

#[test]
fn a_wide_batch_takes_the_sweep_and_a_thin_one_the_touched_list() {
    // 300 rows over few dimensions meet everywhere; the same over many dimensions meet rarely.
    for (dim, entries) in [(40u32, 12u32), (60_000, 6)] {
        let rows: Vec<_> = (0..300u32)
            .map(|row| {
                let mut indices: Vec<u32> =
                    (0..entries).map(|k| (row * 7919 + k * k * 104_729) % dim).collect();
                indices.sort_unstable();
                indices.dedup();
                let values = indices.iter().map(|&i| f32::from((i % 19) as u16) - 9.5).collect();
                SparseVec::new(dim, indices, values).unwrap()
            })
            .collect();
        let sparse = SparseBatch::from_rows(dim, &rows).unwrap();
        let listed = agreed((&sparse).into(), None);
        assert!(listed.count(ConflictClass::LowConflict) > 0 && listed.count(ConflictClass::Orthogonal) > 0);
        agreed((&deltas(dim, &rows)).into(), None);
    }
}

/// Counts, portions and a bounded list tell the same as the list, on every backend.
fn check_counts(vectors: Vectors<'_>, keys: Option<&KeySets>) {
    let list = agreed(vectors, keys);
    let thresholds = Thresholds::default();
    for kernels in every_backend().unwrap() {
        let counts = kernels.conflict_counts(vectors, keys, &thresholds).unwrap().value;
        assert_eq!(counts, list.counts(), "{kernels:?}");
        let portions = Mutex::new(Vec::new());
        let sink = |pairs: &[ConflictPair]| {
            assert!(pairs.is_sorted() && !pairs.is_empty());
            portions.lock().unwrap().extend_from_slice(pairs);
            ControlFlow::Continue(())
        };
        assert!(kernels.conflict_rows(vectors, keys, &thresholds, &sink).unwrap().value.is_continue());
        let mut pairs = portions.into_inner().unwrap();
        pairs.sort_unstable();
        assert_eq!(pairs, list.pairs(), "{kernels:?}");
        let within = |limit| kernels.conflict_matrix_within(vectors, keys, &thresholds, limit);
        assert_eq!(within(list.pairs().len()).unwrap().value, list);
        if let Some(limit) = list.pairs().len().checked_sub(1) {
            let (what, got) = ("pairs that are not orthogonal", limit + 1);
            assert_eq!(within(limit).unwrap_err(), KernelError::TooLarge { what, got, limit });
        }
    }
}

proptest! {
    #[test]
    fn counts_and_portions_agree_with_the_list(
        (dim, rows) in crate::all_pairs::batch(),
        ids in proptest::collection::vec(proptest::collection::btree_set(0u32..6, 0..3), 40),
    ) {
        let ids: Vec<Vec<u32>> = ids.into_iter().take(rows.len()).map(|set| set.into_iter().collect()).collect();
        let keys = KeySets::new(ids.iter().map(Vec::as_slice)).unwrap();
        let sparse = SparseBatch::from_rows(dim, &rows).unwrap();
        for keys in [None, Some(&keys)] {
            check_counts((&sparse).into(), keys);
        }
    }
}

#[test]
fn counts_of_more_rows_than_a_task_in_every_variant() {
    for (rows, dim, entries) in [(300, 40, 20), (300, 5_000, 30), (700, 60_000, 6), (60, 100, 30)] {
        let batch = crate::all_pairs::skewed(rows, dim, entries);
        check_counts((&batch).into(), None);
    }
}

#[test]
fn a_sink_that_breaks_off_ends_the_walk() {
    let batch = crate::all_pairs::skewed(300, 40, 20);
    for kernels in every_backend().unwrap() {
        let run =
            kernels.conflict_rows((&batch).into(), None, &Thresholds::default(), &|_| ControlFlow::Break(()));
        assert!(run.unwrap().value.is_break());
    }
}
