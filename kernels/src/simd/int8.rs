//! Dense rows to signed bytes and back in lanes.

use rayon::prelude::*;

use crate::isa::Level;
use crate::types::{DenseView, Int8Mode, Int8Rows, Int8Scale, Mapping, scale_of};

/// Rows of one task. Fixed, so the work is cut the same for every number of threads.
const ROWS_PER_TASK: usize = 64;
/// Values that [`extremes`] compares at once.
const LANES: usize = 16;

/// The codes of each row.
pub(crate) fn quantize(level: Level, rows: DenseView<'_>, mode: Int8Mode) -> Int8Rows {
    let dim = rows.dim();
    let mut codes = vec![0; rows.rows() * dim];
    let mut scales = vec![Int8Scale { scale: 0.0, offset: 0.0 }; rows.rows()];
    codes
        .par_chunks_mut(ROWS_PER_TASK * dim.max(1))
        .zip(scales.par_chunks_mut(ROWS_PER_TASK))
        .enumerate()
        .for_each(|(task, (codes, scales))| {
            level.dispatch(Quantize { rows, first: task * ROWS_PER_TASK, mode, codes, scales });
        });
    Int8Rows::from_checked(mode, dim, codes, scales)
}

/// The values of all codes, row-major.
pub(crate) fn dequantize(level: Level, rows: &Int8Rows) -> Vec<f32> {
    let task = ROWS_PER_TASK * rows.dim().max(1);
    let mut values = vec![0.0; rows.codes().len()];
    values
        .par_chunks_mut(task)
        .zip(rows.codes().par_chunks(task))
        .zip(rows.scales().par_chunks(ROWS_PER_TASK))
        .for_each(|((values, codes), scales)| level.dispatch(Dequantize { rows, codes, scales, values }));
    values
}

/// Quantises the rows of one task.
struct Quantize<'a> {
    rows: DenseView<'a>,
    first: usize,
    mode: Int8Mode,
    codes: &'a mut [i8],
    scales: &'a mut [Int8Scale],
}

impl pulp::WithSimd for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let dim = self.rows.dim().max(1);
        for ((row, codes), scale) in (self.first..).zip(self.codes.chunks_exact_mut(dim)).zip(self.scales) {
            let row = self.rows.row(row);
            let (min, max) = extremes(row);
            *scale = scale_of(self.mode, min, max);
            let mapping = Mapping::new(self.mode, *scale);
            for (code, &x) in codes.iter_mut().zip(row) {
                *code = mapping.code_by_bits(mapping.position(x));
            }
        }
    }
}

/// Dequantises the rows of one task.
struct Dequantize<'a> {
    rows: &'a Int8Rows,
    codes: &'a [i8],
    scales: &'a [Int8Scale],
    values: &'a mut [f32],
}

impl pulp::WithSimd for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let dim = self.rows.dim().max(1);
        let rows = self.values.chunks_exact_mut(dim).zip(self.codes.chunks_exact(dim));
        for ((values, codes), &scale) in rows.zip(self.scales) {
            let mapping = Mapping::new(self.rows.mode(), scale);
            for (value, &code) in values.iter_mut().zip(codes) {
                *value = mapping.value(code);
            }
        }
    }
}

/// The least and the greatest value of a row; zeros for an empty one. Zeros are +0, so the order of
/// comparisons cannot be seen.
#[inline(always)]
fn extremes(row: &[f32]) -> (f32, f32) {
    let first = row.first().copied().unwrap_or(0.0);
    let (mut least, mut greatest) = ([first; LANES], [first; LANES]);
    let (blocks, tail) = row.as_chunks::<LANES>();
    let mut widen = |lane: usize, x: f32| {
        least[lane] = if x < least[lane] { x } else { least[lane] };
        greatest[lane] = if x > greatest[lane] { x } else { greatest[lane] };
    };
    for block in blocks {
        for (lane, &x) in block.iter().enumerate() {
            widen(lane, x);
        }
    }
    for (lane, &x) in tail.iter().enumerate() {
        widen(lane, x);
    }
    (least.into_iter().fold(first, f32::min) + 0.0, greatest.into_iter().fold(first, f32::max) + 0.0)
}
