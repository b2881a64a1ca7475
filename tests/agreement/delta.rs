//! `delta`: identical codes on every backend, for values of every magnitude.

use proptest::prelude::*;
use tensor_kernels::{DeltaVector, KernelError, MAX_EXPONENT, SparseBatch, SparseVec};
use tensor_tests::every_backend;

/// Any f32 that a delta can hold: every exponent, denormals, and exact halves of codes.
fn value() -> impl Strategy<Value = f32> {
    let bits = any::<u32>().prop_map(f32::from_bits);
    let halves = (-65_279i32..65_279, -64i32..10).prop_map(|(n, e)| (n as f32) * 2f32.powi(e - 1));
    prop_oneof![bits, halves].prop_filter("in range", |v| *v != 0.0 && v.abs() <= 2_139_029_504.0)
}

proptest! {
    #[test]
    fn every_backend_encodes_alike(rows in proptest::collection::vec(proptest::collection::vec(value(), 0..40), 0..12)) {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|values| SparseVec::new(64, (0..values.len() as u32).collect(), values).unwrap())
            .collect();
        let batch = SparseBatch::from_rows(64, &rows).unwrap();
        for kernels in every_backend().unwrap() {
            let encoded = kernels.delta(&batch).unwrap().value;
            for (row, x) in rows.iter().enumerate() {
                prop_assert_eq!(encoded.delta(row), Some(DeltaVector::from_sparse(x).unwrap()), "{:?}", kernels);
            }
            prop_assert_eq!(kernels.delta(&encoded.to_sparse()).unwrap().value, encoded);
        }
    }
}

#[test]
fn a_magnitude_out_of_range_is_an_error_on_every_backend() {
    // More rows than a task; of two that are out of range, in different tasks, the first is named.
    let mut rows = vec![SparseVec::from_dense(&[1.0, 2.0]).unwrap(); 600];
    rows[300] = SparseVec::from_dense(&[1.0, 3e9]).unwrap();
    rows[599] = SparseVec::from_dense(&[4e9, 1.0]).unwrap();
    let batch = SparseBatch::from_rows(2, &rows).unwrap();
    let limit = f32::from(DeltaVector::MAX_CODE) * 2f32.powi(MAX_EXPONENT.into());
    for kernels in every_backend().unwrap() {
        let expected = KernelError::MagnitudeOutOfRange { position: 601, got: 3e9, limit };
        assert_eq!(kernels.delta(&batch).unwrap_err(), expected, "{kernels:?}");
    }
}
