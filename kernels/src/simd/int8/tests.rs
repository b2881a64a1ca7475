//! Codes and values of every level against the oracle's, on both sides of the size from which outputs stream.

use proptest::prelude::*;

use super::{dequantize, quantize};
use crate::isa::{Isa, Level};
use crate::scalar;
use crate::types::{DenseView, Int8Mode, Int8Rows, Int8Scale};

const MODES: [Int8Mode; 2] = [Int8Mode::Symmetric, Int8Mode::MinMax];

fn levels() -> impl Iterator<Item = Level> {
    Isa::available().into_iter().filter_map(Level::open)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Checks that every level gives the oracle's codes and values, and returns the codes.
fn agreed(view: DenseView<'_>, mode: Int8Mode) -> Int8Rows {
    let mut expected = Int8Rows::zeroed_like(mode, view.rows(), view.dim());
    scalar::int8::quantize(view, &mut expected);
    for level in levels() {
        let mut got = Int8Rows::zeroed_like(mode, view.rows(), view.dim());
        quantize(level, view, &mut got);
        assert_eq!(got, expected, "{mode:?} on {}", level.isa());
    }
    assert_values_agree(&expected);
    expected
}

fn assert_values_agree(rows: &Int8Rows) {
    let mut expected = vec![f32::NAN; rows.codes().len()];
    scalar::int8::dequantize(rows, &mut expected);
    for level in levels() {
        let mut got = vec![f32::NAN; rows.codes().len()];
        dequantize(level, rows, &mut got);
        assert_eq!(bits(&got), bits(&expected), "{:?} on {}", rows.mode(), level.isa());
    }
}

/// A row on which f32 arithmetic is often unsure: middles between codes, and their neighbours.
fn middles(dim: usize) -> impl Strategy<Value = Vec<f32>> {
    let step = prop_oneof![1e-3f32..1e3, Just(1.0f32), 1e-40f32..1e-36, 1e34f32..1e36];
    let value = (-127i16..127, -2i32..=2, prop::bool::weighted(0.7));
    (step, prop::collection::vec(value, dim)).prop_map(|(step, values)| {
        let top = [127.0 * step, -127.0 * step];
        let middle = |(code, ulps, halfway): (i16, i32, bool)| {
            let x = (f32::from(code) + if halfway { 0.5 } else { 0.1 }) * step;
            if x == 0.0 { x } else { f32::from_bits(x.to_bits().wrapping_add_signed(ulps)) }
        };
        let mut row: Vec<f32> = values.into_iter().map(middle).collect();
        for (x, top) in row.iter_mut().zip(top) {
            *x = top;
        }
        row
    })
}

proptest! {
    #[test]
    fn values_in_the_middle_of_two_codes_are_decided_in_f64(
        rows in (1usize..1_100).prop_flat_map(|dim| prop::collection::vec(middles(dim), 1..4)),
    ) {
        let (count, dim) = (rows.len(), rows[0].len());
        let data = rows.concat();
        for mode in MODES {
            agreed(DenseView::new(&data, count, dim).unwrap(), mode);
        }
    }

    #[test]
    fn any_scale_and_offset_give_the_value_of_the_formula(
        scales in prop::collection::vec(
            (any::<u32>(), any::<u32>(), -30i32..30).prop_map(|(scale, offset, near)| {
                let scale = f32::from_bits(scale & 0x7fff_ffff);
                let offset = f32::from_bits(offset);
                // Half of the offsets have about the magnitude of the scale.
                let offset = if near % 2 == 0 { offset } else { scale * (offset % 1.0) * 2f32.powi(near) };
                let finite = |x: f32| if x.is_finite() { x } else { 1.0 };
                Int8Scale { scale: finite(scale), offset: finite(offset) }
            }),
            1..20,
        ),
        codes in prop::collection::vec(any::<i8>(), 33),
    ) {
        let repeated = codes.repeat(scales.len());
        assert_values_agree(&Int8Rows::new(Int8Mode::MinMax, 33, &repeated, scales.clone()).unwrap());
        let symmetric: Vec<_> = scales.into_iter().map(|s| Int8Scale { offset: 0.0, ..s }).collect();
        let codes: Vec<_> = repeated.into_iter().map(|code| code.max(-127)).collect();
        assert_values_agree(&Int8Rows::new(Int8Mode::Symmetric, 33, &codes, symmetric).unwrap());
    }
}

#[test]
fn rows_of_every_length_with_and_without_a_gap() {
    let data: Vec<f32> = (0u32..200_000).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 - 8e6).collect();
    for dim in (0..130).chain([255, 256, 257, 511, 512, 513, 768, 5_000]) {
        for rows in [1, 3, 65] {
            let rows = rows.min(data.len() / (dim + 3));
            for stride in [dim, dim + 3] {
                let view =
                    DenseView::with_stride(&data, if dim == 0 { 0 } else { rows }, dim, stride).unwrap();
                for mode in MODES {
                    agreed(view, mode);
                }
            }
        }
    }
}

#[test]
fn values_land_wherever_the_output_starts_in_a_line() {
    let rows = Int8Rows::new(
        Int8Mode::Symmetric,
        100,
        &[1, -2, 3, -4].repeat(25 * 41),
        vec![Int8Scale { scale: 0.5, offset: 0.0 }; 41],
    )
    .unwrap();
    for level in levels() {
        for start in 0..20 {
            let mut out = vec![f32::NAN; start + 4_100 + 1];
            dequantize(level, &rows, &mut out[start..start + 4_100]);
            assert_eq!(out[start..start + 4_100], [0.5, -1.0, 1.5, -2.0].repeat(1_025));
            assert!(out[..start].iter().chain(&out[start + 4_100..]).all(|x| x.is_nan()));
        }
    }
}
