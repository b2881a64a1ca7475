//! `quantize`: the same entries from every backend, on f32 codebooks and on integer ones.

use proptest::prelude::*;
use tensor_kernels::{
    Codebook, ConsensusCodebook, DeltaBatch, DeltaVector, DenseView, Metric, SparseVec, residual,
};
use tensor_tests::every_backend;

proptest! {
    #[test]
    fn the_same_entries_and_the_nearest_ones(
        (dim, entries, rows) in (1usize..34).prop_flat_map(|dim| {
            let value = prop_oneof![-1f32..1.0, Just(0.5), Just(0.0)];
            (Just(dim), proptest::collection::vec(value.clone(), dim * 9), proptest::collection::vec(value, dim * 5))
        }),
    ) {
        let view = DenseView::new(&rows, 5, dim).unwrap();
        for metric in [Metric::L2, Metric::Cosine] {
            let book = Codebook::new(metric, 9, dim, entries.clone()).unwrap();
            let backends = every_backend().unwrap();
            let expected = backends[0].quantize(&book, view).unwrap().value;
            let codes = backends[0].hierarchical_codes(&[book.clone(), book.clone()], view).unwrap().value;
            for kernels in &backends[1..] {
                prop_assert_eq!(&kernels.quantize(&book, view).unwrap().value, &expected, "{:?}", kernels);
                let again = kernels.hierarchical_codes(&[book.clone(), book.clone()], view).unwrap().value;
                prop_assert_eq!(&again, &codes, "{:?}", kernels);
            }
            for (row, found) in expected.iter().enumerate() {
                let found = found.unwrap();
                prop_assert_eq!(codes.codes(row)[0], found.row);
                if metric == Metric::L2 {
                    let rest = residual(&book, found.row as usize, view.row(row)).unwrap();
                    let length = rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
                    prop_assert!((length - found.score).abs() <= 1e-5);
                }
            }
        }
    }

    #[test]
    fn the_same_integer_entries(
        (dim, codes, rows) in (1usize..34).prop_flat_map(|dim| (
            Just(dim),
            proptest::collection::vec(-127i8..=127, dim * 9),
            proptest::collection::vec(prop_oneof![Just(0f32), -2f32..2.0, Just(1e-9), Just(3e8)], dim * 5),
        )),
        exponent in -12i8..3,
    ) {
        let book = ConsensusCodebook::new(dim as u32, exponent, codes, 0).unwrap();
        let deltas: Vec<_> = rows
            .chunks(dim)
            .map(|row| DeltaVector::from_sparse(&SparseVec::from_dense(row).unwrap()).unwrap())
            .collect();
        let deltas = DeltaBatch::pack(dim as u32, &deltas).unwrap();
        for metric in [Metric::L2, Metric::Cosine] {
            let backends = every_backend().unwrap();
            let expected = backends[0].quantize_deltas(&book, &deltas, metric).unwrap().value;
            for kernels in &backends[1..] {
                prop_assert_eq!(&kernels.quantize_deltas(&book, &deltas, metric).unwrap().value, &expected, "{:?}", kernels);
            }
        }
    }
}
