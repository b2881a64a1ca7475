//! `half`: identical bits and values on every backend, nearest by definition, at every magnitude.

use proptest::prelude::*;
use tensor_kernels::{DenseView, HalfKind, HalfView, KernelError, bf16, f16};
use tensor_tests::every_backend;

/// What narrowing gives on every backend: the bits, or the error.
fn narrowed(rows: DenseView<'_>, kind: HalfKind) -> Result<Vec<u16>, KernelError> {
    let run = |kernels: &tensor_kernels::Kernels| {
        kernels.half_narrow(rows, kind).map(|run| run.value.view().bits().to_vec())
    };
    let backends = every_backend().unwrap();
    let expected = run(&backends[0]);
    for kernels in &backends[1..] {
        assert_eq!(run(kernels), expected, "{kind} on {kernels:?}");
    }
    expected
}

/// The values on every backend.
fn widened(view: HalfView<'_>) -> Vec<f32> {
    let backends = every_backend().unwrap();
    let expected = backends[0].half_widen(view).value;
    for kernels in &backends[1..] {
        let mut values = vec![f32::NAN; expected.len()];
        kernels.half_widen_into(view, &mut values).unwrap();
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&values), bits(&expected), "{} on {kernels:?}", view.kind());
    }
    expected.to_vec()
}

/// Whether no value of the format lies nearer to `x` than the one of `bits`, and an odd one not as near.
fn is_nearest(x: f32, bits: u16, kind: HalfKind) -> bool {
    let value = |bits: u16| match kind {
        HalfKind::F16 => f64::from(f16::from_bits(bits)),
        HalfKind::Bf16 => f64::from(bf16::from_bits(bits)),
    };
    let distance = |bits: u16| (value(bits) - f64::from(x)).abs();
    let sign_kept = (bits >> 15 == 1) == x.is_sign_negative();
    // Neighbours of one sign; there is none below zero. An infinite neighbour is infinitely far.
    let neighbours = [bits.wrapping_sub(u16::from(bits & 0x7fff != 0)), bits + 1];
    sign_kept
        && neighbours.into_iter().filter(|&other| other != bits).all(|other| {
            distance(bits) < distance(other) || (distance(bits) <= distance(other) && bits.is_multiple_of(2))
        })
}

proptest! {
    #[test]
    fn any_finite_rows_agree_and_are_nearest(
        (dim, values) in (1usize..70).prop_flat_map(|dim| {
            let finite = any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite());
            let f16_range = (0x3280_0000u32..0x477f_f000).prop_map(f32::from_bits);
            let value = prop_oneof![-2f32..2.0, f16_range, (0u32..0x2_0000).prop_map(f32::from_bits), finite];
            (Just(dim), proptest::collection::vec(value, dim * 3))
        }),
        kind in prop::sample::select(&HalfKind::ALL[..]),
    ) {
        // Beyond the greatest value by less than half a step, numbers still round to it.
        let top = f64::from(kind.greatest()) * (1.0 + 2f64.powi(if kind == HalfKind::F16 { -12 } else { -9 }));
        let first_too_great = values.iter().position(|x| f64::from(x.abs()) >= top);
        let tame: Vec<f32> = values.iter().map(|&x| if f64::from(x.abs()) < top { x } else { -x / 1e35 }).collect();
        let rows = DenseView::new(&values, 3, dim).unwrap();
        match (narrowed(rows, kind), first_too_great) {
            (Err(error), Some(position)) => {
                let (got, limit) = (values[position].abs(), kind.greatest());
                prop_assert_eq!(error, KernelError::MagnitudeOutOfRange { position, got, limit });
            }
            (Ok(_), None) => {}
            other => prop_assert!(false, "{other:?}"),
        }
        let tame = DenseView::new(&tame, 3, dim).unwrap();
        let bits = narrowed(tame, kind).unwrap();
        for (&x, &bits) in tame.iter().flatten().zip(&bits) {
            prop_assert!(is_nearest(x, bits, kind), "{kind}: {x:e} became {bits:#x}");
        }
        let view = HalfView::from_bits(kind, &bits, 3, dim).unwrap();
        let values = widened(view);
        prop_assert_eq!(narrowed(DenseView::new(&values, 3, dim).unwrap(), kind).unwrap(), bits);
    }
}

#[test]
fn rows_with_a_stride_and_rows_of_more_than_one_task() {
    let data: Vec<f32> = (0..3 * 70_000).map(|i| (i % 4_099) as f32 / 7.0 - 300.0).collect();
    for (rows, dim, stride) in [(3, 70_000, 70_000), (200, 768, 1_000), (70_000, 1, 3), (0, 5, 5), (0, 0, 5)]
    {
        let view = DenseView::with_stride(&data, rows, dim, stride).unwrap();
        for kind in HalfKind::ALL {
            let bits = narrowed(view, kind).unwrap();
            assert_eq!(bits.len(), rows * dim);
            assert_eq!(widened(HalfView::from_bits(kind, &bits, rows, dim).unwrap()).len(), rows * dim);
        }
    }
    let gap_is_not_read = DenseView::with_stride(&[1.0, 2.0, f32::MAX, 3.0, f32::MAX], 2, 2, 3).unwrap();
    for kind in HalfKind::ALL {
        let error = narrowed(gap_is_not_read, kind).unwrap_err();
        let (position, got, limit) = (4, f32::MAX, kind.greatest());
        assert_eq!(error, KernelError::MagnitudeOutOfRange { position, got, limit });
    }
}

#[test]
fn memory_of_another_length_is_refused() {
    let stored = [f16::ONE; 6];
    let view = HalfView::f16(&stored, 2, 3).unwrap();
    for kernels in every_backend().unwrap() {
        assert!(matches!(
            kernels.half_widen_into(view, &mut [0.0; 5]),
            Err(KernelError::LengthMismatch { got: 5, expected: 6, .. })
        ));
    }
}
