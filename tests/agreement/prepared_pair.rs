//! `prepared_pair`: what `sparse_pair` gives, bit for bit, on every backend and in every layout.

use proptest::prelude::*;
use tensor_kernels::{KernelError, Measure, PreparedSparse, SparseVec};
use tensor_tests::every_backend;

/// Checks all pairs of some vectors of one dimension.
fn agree(vectors: &[SparseVec]) {
    let prepared: Vec<_> = vectors.iter().cloned().map(PreparedSparse::new).collect();
    for kernels in every_backend().unwrap() {
        for (a, query) in vectors.iter().zip(&prepared) {
            let many = kernels.prepared_one_to_many(query, &prepared).unwrap().value;
            assert_eq!(many.len(), vectors.len());
            for ((b, row), many) in vectors.iter().zip(&prepared).zip(many) {
                let scores = kernels.prepared_pair(query, row).unwrap();
                assert_eq!(scores, many, "{kernels:?}");
                let expected =
                    [Measure::Dot, Measure::Cosine, Measure::Jaccard].map(|m| a.measure(b, m).unwrap());
                let got = [scores.dot, scores.cosine, scores.jaccard];
                assert_eq!(got.map(f64::to_bits), expected.map(f64::to_bits), "{kernels:?}: {a:?} {b:?}");
                let overlap = scores.shared as f64 / a.nnz().min(b.nnz()).max(1) as f64;
                assert!(a.nnz() + b.nnz() == 0 || overlap == a.measure(b, Measure::Overlap).unwrap());
            }
        }
    }
}

fn value() -> impl Strategy<Value = f32> {
    let any_bits =
        any::<u32>().prop_map(f32::from_bits).prop_filter("stored", |x| x.is_finite() && *x != 0.0);
    prop_oneof![-9f32..-1e-30, 1e-30f32..9.0, any_bits, (1u32..400).prop_map(f32::from_bits)]
}

proptest! {
    #[test]
    fn random_vectors_of_narrow_and_wide_dimensions(
        (dim, rows) in prop_oneof![Just(1u32), 2u32..70, Just(511u32), Just(512), Just(513), Just(768), Just(4_096),
            Just(4_097), Just(100_000), Just(u32::MAX)]
            .prop_flat_map(|dim| {
                // Positions crowd at either end, so that vectors meet however wide they are.
                let low = 0..dim.min(150);
                let high = dim.saturating_sub(90)..dim;
                let position = prop_oneof![3 => low, 1 => high];
                (Just(dim), prop::collection::vec(prop::collection::btree_map(position, value(), 0..100), 1..5))
            }),
    ) {
        let vectors: Vec<_> = rows
            .into_iter()
            .map(|entries| {
                let (indices, values) = entries.into_iter().unzip();
                SparseVec::new(dim, indices, values).unwrap()
            })
            .collect();
        agree(&vectors);
    }
}

#[test]
fn full_empty_and_disjoint_vectors() {
    for dim in [1u32, 64, 65, 512, 513, 1_024, 5_000] {
        let full = SparseVec::new(dim, (0..dim).collect(), vec![0.5; dim as usize]).unwrap();
        let of = |parity: u32| {
            let indices: Vec<u32> = (0..dim).filter(|i| i % 2 == parity).collect();
            let values = indices.iter().map(|&i| i as f32 - 7.5).collect();
            SparseVec::new(dim, indices, values).unwrap()
        };
        let last = SparseVec::new(dim, vec![dim - 1], vec![-3.0]).unwrap();
        agree(&[full, of(0), of(1), last, SparseVec::zero(dim)]);
    }
    agree(&[SparseVec::zero(0)]);
}

#[test]
fn dimensions_that_differ_are_refused() {
    let [a, b] = [3, 4].map(|dim| PreparedSparse::new(SparseVec::zero(dim)));
    for kernels in every_backend().unwrap() {
        let expected = KernelError::DimensionMismatch { got: 4, expected: 3 };
        assert_eq!(kernels.prepared_pair(&a, &b), Err(expected.clone()));
        assert_eq!(kernels.prepared_one_to_many(&a, std::slice::from_ref(&b)).unwrap_err(), expected);
    }
}
