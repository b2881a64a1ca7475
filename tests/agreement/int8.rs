//! `int8`: identical codes and values on every backend, within the stated bound, at every magnitude.

use proptest::prelude::*;
use tensor_kernels::{DenseView, Int8Mode, Int8Rows, Kernels};
use tensor_tests::every_backend;

const MODES: [Int8Mode; 2] = [Int8Mode::Symmetric, Int8Mode::MinMax];

/// Codes and values on every backend are equal; the oracle's are returned.
fn agreed(view: DenseView<'_>, mode: Int8Mode) -> (Int8Rows, Vec<f32>) {
    let run = |kernels: &Kernels| {
        let codes = kernels.int8_quantize(view, mode).value;
        let values = kernels.int8_dequantize(&codes).value;
        (codes, values.to_vec())
    };
    let backends = every_backend().unwrap();
    let expected = run(&backends[0]);
    for kernels in &backends[1..] {
        let (codes, values) = run(kernels);
        assert_eq!(codes, expected.0, "{mode:?} on {kernels:?}");
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let offsets = |rows: &Int8Rows| bits(&rows.scales().iter().map(|s| s.offset).collect::<Vec<_>>());
        assert_eq!(offsets(&codes), offsets(&expected.0), "{mode:?} on {kernels:?}");
        assert_eq!(bits(&values), bits(&expected.1), "{mode:?} on {kernels:?}");
    }
    expected
}

/// Every value comes back within range/254 or range/510 plus one unit in the last place.
fn assert_bound(row: &[f32], back: &[f32], mode: Int8Mode) {
    let (min, max) = row.iter().fold((f64::MAX, f64::MIN), |(a, b), &x| (a.min(x.into()), b.max(x.into())));
    let greatest = min.abs().max(max.abs());
    let ulp = f64::from((greatest as f32).next_up()) - greatest;
    let ulp = if ulp.is_finite() { ulp } else { 2f64.powi(104) };
    let bound = ulp
        + match mode {
            Int8Mode::Symmetric => greatest / 254.0,
            Int8Mode::MinMax => (max - min) / 510.0,
        };
    for (&x, &y) in row.iter().zip(back) {
        let error = (f64::from(x) - f64::from(y)).abs();
        assert!(error <= bound, "{mode:?}: {x:e} came back as {y:e}, off by {error:e} > {bound:e}");
    }
}

proptest! {
    #[test]
    fn any_finite_rows_agree_and_keep_the_bound(
        (dim, values) in (1usize..70).prop_flat_map(|dim| {
            let finite = any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite());
            let tame = -2f32..2.0;
            let tiny = (0u32..400).prop_map(f32::from_bits);
            let value = prop_oneof![2 => tame, 1 => finite, 1 => tiny];
            (Just(dim), proptest::collection::vec(value, dim * 3))
        }),
    ) {
        let view = DenseView::new(&values, 3, dim).unwrap();
        for mode in MODES {
            let (_, back) = agreed(view, mode);
            for (row, back) in view.iter().zip(back.chunks(dim)) {
                assert_bound(row, back, mode);
            }
        }
    }

    #[test]
    fn rows_of_denormals_keep_the_bound(values in proptest::collection::vec((0u32..400).prop_map(f32::from_bits), 31)) {
        for mode in MODES {
            let (_, back) = agreed(DenseView::new(&values, 1, 31).unwrap(), mode);
            assert_bound(&values, &back, mode);
        }
    }
}

#[test]
fn rows_without_extent_and_rows_of_full_extent() {
    for row in [[0.0f32; 4], [0.0, -0.0, -0.0, 1.0], [7.5; 4], [-3e-45; 4], [f32::MAX, -f32::MAX, 0.0, 1.0]] {
        for mode in MODES {
            let (_, back) = agreed(DenseView::new(&row, 1, 4).unwrap(), mode);
            assert_bound(&row, &back, mode);
        }
    }
    let (codes, values) = agreed(DenseView::new(&[], 0, 5).unwrap(), Int8Mode::MinMax);
    assert!(codes.rows() == 0 && values.is_empty());
}

#[test]
fn the_angle_drifts_by_less_than_a_thousandth_at_768_dimensions() {
    // Sums of twelve uniform draws: close to normal, as the components of an embedding are.
    let mut seed = 7u64;
    let mut uniform = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f32 / (1u32 << 24) as f32
    };
    let rows: Vec<f32> = (0..100 * 768).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect();
    let view = DenseView::new(&rows, 100, 768).unwrap();
    for mode in MODES {
        let (_, back) = agreed(view, mode);
        for (row, back) in view.iter().zip(back.chunks(768)) {
            let dot = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>()
            };
            let cosine = dot(row, back) / (dot(row, row) * dot(back, back)).sqrt();
            assert!(1.0 - cosine <= 1e-3, "{mode:?}: {cosine}");
        }
    }
}
