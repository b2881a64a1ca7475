//! `sparse_pair`: identical scores on every backend, for rows that meet in every way.

use proptest::prelude::*;
use tensor_kernels::{Measure, SparseBatch, SparseVec};
use tensor_tests::every_backend;

/// Scores of all pairs on every backend, bit for bit, and as single vectors.
fn agree(rows: &[SparseVec]) {
    let batch = SparseBatch::from_rows(rows[0].dim(), rows).unwrap();
    let count = rows.len() as u32;
    let pairs: Vec<_> = (0..count).flat_map(|i| (0..count).map(move |j| (i, j))).collect();
    for measure in Measure::ALL {
        let single: Vec<u64> = pairs
            .iter()
            .map(|&(i, j)| rows[i as usize].measure(&rows[j as usize], measure).unwrap().to_bits())
            .collect();
        for kernels in every_backend().unwrap() {
            let scores = kernels.sparse_pair(&batch, &batch, &pairs, measure).unwrap().value;
            let bits: Vec<u64> = scores.iter().map(|score| score.to_bits()).collect();
            assert_eq!(bits, single, "{measure} on {kernels:?}");
            let first = kernels.sparse_one_to_many(&rows[0], &batch, measure).unwrap().value;
            assert_eq!(first, scores[..rows.len()], "{measure} one to many on {kernels:?}");
        }
    }
}

#[test]
fn seeds_over_lengths_and_tails() {
    // Empty, disjoint, nested, equal, one element, all overlap at the end; lengths around lane counts.
    for length in [0usize, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65] {
        let row = |start: u32, step: u32| {
            let indices: Vec<u32> = (0..length as u32).map(|k| start + k * step).collect();
            let values = indices.iter().map(|&i| (i % 7) as f32 - 3.5).collect();
            SparseVec::new(1_000_000, indices, values).unwrap()
        };
        let single = SparseVec::new(1_000_000, vec![length as u32 / 2], vec![-2.0]).unwrap();
        let long = SparseVec::new(1_000_000, (0..5_000).collect(), vec![0.5; 5_000]).unwrap();
        agree(&[row(0, 1), row(0, 2), row(1, 2), row(900_000, 1), row(length as u32, 1), single, long]);
    }
}

/// Tame values, and every other that a row may hold: denormals, tiny and huge ones.
fn value() -> impl Strategy<Value = f32> {
    let any_bits =
        any::<u32>().prop_map(f32::from_bits).prop_filter("stored", |x| x.is_finite() && *x != 0.0);
    prop_oneof![-9f32..-1e-30, 1e-30f32..9.0, any_bits, (1u32..400).prop_map(f32::from_bits)]
}

proptest! {
    #[test]
    fn random_rows(
        rows in proptest::collection::vec(proptest::collection::btree_map(0u32..200, value(), 0..80), 1..6),
    ) {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|entries| {
                let (indices, values) = entries.into_iter().unzip();
                SparseVec::new(200, indices, values).unwrap()
            })
            .collect();
        agree(&rows);
    }
}
