//! `cosine_classes`: identical classes on every backend, and an oracle that conflict rules on sparse rows confirm.

use proptest::prelude::*;
use tensor_kernels::{
    ByteView, ClassMatrix, CosineRows, DeltaBatch, DenseView, Kernels, SparseBatch, SparseVec, Thresholds,
    ThresholdsBuilder,
};
use tensor_tests::every_backend;

/// Classes on every backend, as matrix and as list; all are equal, the matrix is returned.
fn agreed(rows: CosineRows<'_>, thresholds: &Thresholds) -> ClassMatrix {
    let backends = every_backend().unwrap();
    let expected = backends[0].cosine_classes(rows, thresholds).value;
    for kernels in backends {
        // Not `assert_eq`: nobody reads a list of all pairs.
        assert!(kernels.cosine_classes(rows, thresholds).value == expected, "{kernels:?}: classes");
        assert!(kernels.cosine_conflicts(rows, thresholds).value == expected.to_list(), "{kernels:?}: list");
    }
    expected
}

/// Rows whose pairs often lie exactly on a threshold or one unit beside it, at magnitudes far apart, among them
/// outliers that leave one digit to all other components.
fn rows() -> impl Strategy<Value = (usize, Vec<f32>)> {
    let dim = prop_oneof![Just(1usize), Just(2), Just(31), Just(33), Just(128), 1usize..200];
    let value = prop_oneof![
        8 => prop_oneof![Just(0.0f32), Just(1.0), Just(-1.0), Just(3.0), Just(4.0), Just(7.0), Just(-9.0)],
        4 => -1.0f32..1.0,
        1 => prop_oneof![Just(1e4f32), Just(-1e4), Just(1f32.next_up()), Just(-0.0)],
    ];
    let scale =
        prop_oneof![8 => Just(1.0f32), 1 => Just(1e-30), 1 => Just(1e-44), 1 => Just(1e33), 1 => Just(0.0)];
    (dim, 0usize..70).prop_flat_map(move |(dim, rows)| {
        let row = (proptest::collection::vec(value.clone(), dim), scale.clone());
        proptest::collection::vec(row, rows).prop_map(move |rows| {
            let scaled = rows.into_iter().flat_map(|(row, scale)| row.into_iter().map(move |x| x * scale));
            (dim, scaled.collect())
        })
    })
}

/// The rows as deltas, if all are within their range.
fn deltas(values: &[f32], dim: usize) -> Option<DeltaBatch> {
    let rows: Vec<_> = values.chunks(dim).map(|row| SparseVec::from_dense(row).unwrap()).collect();
    let batch = SparseBatch::from_rows(dim as u32, &rows).unwrap();
    Kernels::scalar().unwrap().delta(&batch).ok().map(|run| run.value)
}

proptest! {
    #[test]
    fn every_backend_finds_the_same_classes((dim, values) in rows()) {
        let view = DenseView::new(&values, values.len() / dim, dim).unwrap();
        let thresholds = Thresholds::default();
        let f32_classes = agreed(view.into(), &thresholds);
        // Values that deltas hold exactly have the same classes as deltas.
        let Some(deltas) = deltas(&values, dim) else { return Ok(()) };
        let delta_classes = agreed((&deltas).into(), &thresholds);
        let exact = deltas.to_sparse();
        let dense: Vec<f32> = (0..exact.rows()).flat_map(|row| {
            let mut dense = vec![0.0; dim];
            let (indices, values) = exact.row(row);
            for (&i, &v) in indices.iter().zip(values) {
                dense[i as usize] = v;
            }
            dense
        }).collect();
        let view = DenseView::new(&dense, exact.rows(), dim).unwrap();
        prop_assert_eq!(&agreed(view.into(), &thresholds), &delta_classes);
        prop_assert_eq!(f32_classes.rows(), delta_classes.rows());
    }

    #[test]
    fn bytes_have_the_classes_of_the_same_f32_rows(
        dim in 1usize..150, codes in proptest::collection::vec(prop_oneof![any::<i8>(), -3i8..4], 0..6_000),
    ) {
        let rows = (codes.len() / dim).min(100);
        let codes = &codes[..rows * dim];
        let values: Vec<f32> = codes.iter().map(|&code| f32::from(code)).collect();
        let thresholds =
            ThresholdsBuilder { orthogonal: "0.05".parse().unwrap(), ..Default::default() }.build().unwrap();
        let of_bytes = agreed(ByteView::new(codes, rows, dim).unwrap().into(), &thresholds);
        let of_values = agreed(DenseView::new(&values, rows, dim).unwrap().into(), &thresholds);
        prop_assert_eq!(of_bytes, of_values);
    }
}

#[test]
fn cosines_exactly_on_a_threshold() {
    // cos = 7 / √100: exactly 0.7, and one code to either side.
    let rows = [[7i8, 1, 1, 7], [0, 0, 0, 1], [7, 1, 2, 7], [7, 1, 0, 7]].concat();
    let classes = agreed(ByteView::new(&rows, 4, 4).unwrap().into(), &Thresholds::default());
    let of = |row| classes.class_of(1, row).unwrap().name();
    assert_eq!([of(0), of(2), of(3)], ["conflicting", "low_conflict", "conflicting"]);
}

#[test]
fn nothing_of_a_longer_strip_is_left_behind_the_last_row() {
    // Strips are 128 rows; every pair conflicts.
    for rows in [129, 150, 257, 290] {
        let codes = vec![1i8; rows * 2];
        agreed(ByteView::new(&codes, rows, 2).unwrap().into(), &Thresholds::default());
    }
}
