//! Dense rows to signed bytes and back in lanes.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::stream::{Stage, prefetch};
use crate::isa::Level;
use crate::types::{DenseView, Int8Mode, Int8Rows, Int8Scale, Mapping, scale_of};

/// Rows of one task. Fixed, so the work is cut the same for every number of threads.
const ROWS_PER_TASK: usize = 64;
/// Independent comparisons under way in [`extremes`], each waiting for the one before it.
const CHAINS: usize = 4;
/// Values that f32 arithmetic decides together, or leaves to f64 together.
const BLOCK: usize = 256;
/// Bytes between the values whose extremes are looked for and those that memory is asked for.
const AHEAD: usize = 3 << 10;

/// The codes of each row, into `out` of the same shape.
pub(crate) fn quantize(level: Level, rows: DenseView<'_>, out: &mut Int8Rows) {
    let (mode, dim) = (out.mode(), rows.dim().max(1));
    let (codes, scales) = out.parts_mut();
    let stage = || Stage::new(rows.rows() * rows.dim(), dim);
    let tasks = codes.par_chunks_mut(ROWS_PER_TASK * dim).zip(scales.par_chunks_mut(ROWS_PER_TASK));
    tasks.enumerate().for_each_init(stage, |stage, (task, (codes, scales))| {
        level.dispatch(Quantize { rows, first: task * ROWS_PER_TASK, mode, codes, scales, stage });
    });
}

/// The values of all codes, row-major, into as many.
pub(crate) fn dequantize(level: Level, rows: &Int8Rows, out: &mut [f32]) {
    let dim = rows.dim().max(1);
    let stage = || Stage::new(rows.codes().len(), dim);
    let codes = rows.codes().par_chunks(ROWS_PER_TASK * dim).zip(rows.scales().par_chunks(ROWS_PER_TASK));
    let tasks = out.par_chunks_mut(ROWS_PER_TASK * dim).zip(codes);
    tasks.for_each_init(stage, |stage, (out, (codes, scales))| {
        level.dispatch(Dequantize { mode: rows.mode(), dim, codes, scales, out, stage });
    });
}

/// Quantises the rows of one task.
struct Quantize<'a> {
    rows: DenseView<'a>,
    first: usize,
    mode: Int8Mode,
    codes: &'a mut [i8],
    scales: &'a mut [Int8Scale],
    stage: &'a mut Stage<i8>,
}

impl WithSimd for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, first, mode, codes, scales, stage } = self;
        let (dim, together) = (rows.dim().max(1), stage.rows());
        let end = first + scales.len();
        let mut next = Extremes::<S>::new(simd);
        next.widen(simd, rows.row(first));
        let groups = codes.chunks_mut(together * dim).zip(scales.chunks_mut(together));
        for (first, (codes, scales)) in (first..).step_by(together).zip(groups) {
            let room = stage.room(codes).chunks_exact_mut(dim);
            for ((row, codes), scale) in (first..).zip(room).zip(scales) {
                *scale = next.scale(simd, mode);
                next = Extremes::new(simd);
                let next_row = if row + 1 < end { rows.row(row + 1) } else { &[] };
                quantize_row(simd, mode, *scale, rows.row(row), codes, next_row, &mut next);
            }
            stage.send(codes);
        }
    }
}

/// The codes of `row`. Meanwhile the extremes of the next row are looked for, so that memory is never idle.
#[inline(always)]
fn quantize_row<S: Simd>(
    simd: S,
    mode: Int8Mode,
    scale: Int8Scale,
    row: &[f32],
    codes: &mut [i8],
    next_row: &[f32],
    next: &mut Extremes<S>,
) {
    let (mapping, filter) = (Mapping::new(mode, scale), Filter::new(mode, scale));
    let (blocks, tail) = row.as_chunks::<BLOCK>();
    let (out, out_tail) = codes.as_chunks_mut::<BLOCK>();
    let (next_blocks, next_tail) = next_row.as_chunks::<BLOCK>();
    for (at, (block, out)) in blocks.iter().zip(out).enumerate() {
        if let Some(next_block) = next_blocks.get(at) {
            next.widen(simd, next_block);
        }
        let sure = match filter {
            Some(filter) => filter.quantize(simd, block, out),
            None => false,
        };
        if !sure {
            quantize_exactly(mapping, block, out);
        }
    }
    next.widen(simd, next_tail);
    quantize_exactly(mapping, tail, out_tail);
}

#[inline(always)]
fn quantize_exactly(mapping: Mapping, values: &[f32], codes: &mut [i8]) {
    for (code, &x) in codes.iter_mut().zip(values) {
        *code = mapping.code_by_bits(mapping.position(x));
    }
}

/// Codes by f32 arithmetic, where it is sure of them.
///
/// The position that counts is P = (x − offset) / scale in f64; here it is p in f32. With u = 2⁻²⁴ the
/// difference, the rounded inverse and the product carry one factor 1 + δ, |δ| ≤ u, each, and the product
/// 2⁻¹⁵⁰ where it underflows; P itself is within 3 · 2⁻⁵³ of its real value, relatively. Positions lie below 256 in
/// magnitude, so |p − P| < 256 · 3.1u + 2⁻¹⁵⁰ < 2⁻¹⁴. Let r be the integer nearest to p: p − r is exact,
/// and where |p − r| < ½ − 2⁻¹⁴, P too is nearer to r than to any other integer.
#[derive(Clone, Copy)]
struct Filter {
    offset: f32,
    inverse: f32,
    /// At 1.5 · 2²³ the unit in the last place is 1, so a sum with it rounds to an integer, half to even, and
    /// holds that in its low bits; the code of position 0 is added.
    last_place_is_1: f32,
}

impl Filter {
    /// `None` where the inverse of the scale is no normal f32.
    fn new(mode: Int8Mode, scale: Int8Scale) -> Option<Self> {
        let last_place_is_1 = match mode {
            Int8Mode::Symmetric => 12_582_912.0,
            Int8Mode::MinMax => 12_582_912.0 - 128.0,
        };
        let inverse = (1.0 / f64::from(scale.scale)) as f32;
        inverse.is_normal().then_some(Self { offset: scale.offset, inverse, last_place_is_1 })
    }

    /// Writes the codes of a block; false where they are not all sure.
    #[inline(always)]
    fn quantize<S: Simd>(self, simd: S, block: &[f32; BLOCK], codes: &mut [i8; BLOCK]) -> bool {
        const SURE: f32 = 0.5 - 1.0 / 16_384.0;
        let (offset, inverse) = (simd.splat_f32s(self.offset), simd.splat_f32s(self.inverse));
        let rounder = simd.splat_f32s(self.last_place_is_1);
        let mut rounded = [0.0; BLOCK];
        let mut farthest = simd.splat_f32s(0.0);
        for (rounded, &x) in S::as_mut_simd_f32s(&mut rounded).0.iter_mut().zip(S::as_simd_f32s(block).0) {
            let position = simd.mul_f32s(simd.sub_f32s(x, offset), inverse);
            *rounded = simd.add_f32s(position, rounder);
            let off = simd.sub_f32s(position, simd.sub_f32s(*rounded, rounder));
            farthest = simd.max_f32s(farthest, simd.abs_f32s(off));
        }
        for (code, rounded) in codes.iter_mut().zip(rounded) {
            *code = rounded.to_bits() as i8;
        }
        simd.reduce_max_f32s(farthest) < SURE
    }
}

/// Dequantises the rows of one task.
struct Dequantize<'a> {
    mode: Int8Mode,
    dim: usize,
    codes: &'a [i8],
    scales: &'a [Int8Scale],
    out: &'a mut [f32],
    stage: &'a mut Stage<f32>,
}

impl WithSimd for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { mode, dim, codes, scales, out, stage } = self;
        let together = stage.rows();
        let groups = codes.chunks(together * dim).zip(scales.chunks(together));
        for (out, (codes, scales)) in out.chunks_mut(together * dim).zip(groups) {
            let room = stage.room(out).chunks_exact_mut(dim);
            for ((out, codes), &scale) in room.zip(codes.chunks_exact(dim)).zip(scales) {
                dequantize_row(Mapping::new(mode, scale), codes, out);
            }
            stage.send(out);
        }
    }
}

#[inline(always)]
fn dequantize_row(mapping: Mapping, codes: &[i8], out: &mut [f32]) {
    match mapping.in_f32() {
        Some((scale, offset, least)) => {
            for (value, &code) in out.iter_mut().zip(codes) {
                *value = (f32::from(code) - least).mul_add(scale, offset);
            }
        }
        None => {
            for (value, &code) in out.iter_mut().zip(codes) {
                *value = mapping.value(code);
            }
        }
    }
}

/// The least and the greatest value of a row so far, in lanes; none at first.
struct Extremes<S: Simd> {
    least: [S::f32s; CHAINS],
    greatest: [S::f32s; CHAINS],
}

impl<S: Simd> Extremes<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let (least, greatest) = (simd.splat_f32s(f32::INFINITY), simd.splat_f32s(f32::NEG_INFINITY));
        Self { least: [least; CHAINS], greatest: [greatest; CHAINS] }
    }

    #[inline(always)]
    fn widen(&mut self, simd: S, values: &[f32]) {
        let (lanes, tail) = S::as_simd_f32s(values);
        let (groups, rest) = lanes.as_chunks::<CHAINS>();
        for group in groups {
            for ((least, greatest), x) in self.least.iter_mut().zip(&mut self.greatest).zip(group) {
                prefetch(x, AHEAD);
                *least = simd.min_f32s(*least, *x);
                *greatest = simd.max_f32s(*greatest, *x);
            }
        }
        for &x in rest {
            self.add(simd, x);
        }
        for &x in tail {
            self.add(simd, simd.splat_f32s(x));
        }
    }

    #[inline(always)]
    fn add(&mut self, simd: S, x: S::f32s) {
        self.least[0] = simd.min_f32s(self.least[0], x);
        self.greatest[0] = simd.max_f32s(self.greatest[0], x);
    }

    /// The scale that fits. Zeros become +0, so the order of comparisons cannot be seen.
    #[inline(always)]
    fn scale(&self, simd: S, mode: Int8Mode) -> Int8Scale {
        let (mut least, mut greatest) = (self.least[0], self.greatest[0]);
        for chain in 1..CHAINS {
            least = simd.min_f32s(least, self.least[chain]);
            greatest = simd.max_f32s(greatest, self.greatest[chain]);
        }
        scale_of(mode, simd.reduce_min_f32s(least) + 0.0, simd.reduce_max_f32s(greatest) + 0.0)
    }
}

#[cfg(test)]
mod tests;
