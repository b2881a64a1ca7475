//! Rows as signed bytes under one scale each, with what the bytes leave out measured: the side of a certified
//! scan that is packed once.
//!
//! A row x is `scale · codes + rest`; the norm of the rest is kept, rounded up. It is all that the scan needs to
//! know to say how far an integer product can be from the true one.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{bounds, dots};
use crate::isa::Level;
use crate::simd::tile::{BytePanels, ByteRows, SIDE};
use crate::types::{DenseView, Metric};

/// 1.5 · 2²³: adding it to a magnitude below 2²² rounds to an integer, half to even, and leaves that integer's two's
/// complement in the low bits.
const LAST_PLACE_IS_1: f32 = 12_582_912.0;
/// Values coded at once.
const LANES: usize = 16;

/// What is known of a coded row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Coded {
    /// What one code step is worth.
    pub(super) scale: f32,
    /// No less than ‖x − scale · codes‖; infinite where the row is not ordinary (see [`bounds`]).
    pub(super) residual: f32,
    /// ‖x‖² as computed in lanes.
    pub(super) square: f32,
}

/// A corpus as panels of bytes.
#[derive(Debug)]
pub(crate) struct CodedPanels {
    pub(super) panels: BytePanels,
    /// By panel.
    pub(super) coded: Vec<[Coded; SIDE]>,
}

impl CodedPanels {
    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.panels.panels() * self.panels.panel_bytes() + size_of_val(&self.coded[..])
    }

    /// Packs the rows of `range`; they become rows 0, 1, …
    pub(super) fn pack(level: Level, rows: DenseView<'_>, range: Range<usize>) -> Self {
        let first = range.start;
        let (panels, coded) = BytePanels::pack_panels(range.len(), rows.dim(), |panel, codes, depth| {
            let mut coded = [Coded::default(); SIDE];
            let range = first + panel.start..first + panel.end;
            level.dispatch(Encode { rows, range, codes, depth, coded: &mut coded });
            coded
        });
        Self { panels, coded }
    }
}

/// Queries as blocks of bytes.
#[derive(Debug)]
pub(super) struct CodedRows {
    pub(super) rows: ByteRows,
    pub(super) coded: Vec<Coded>,
    /// ‖scale · codes‖, not rounded up.
    pub(super) norms: Vec<f64>,
}

impl CodedRows {
    pub(super) fn pack(level: Level, rows: DenseView<'_>) -> Self {
        let dim = rows.dim();
        let mut packed = ByteRows::zeroed(rows.rows(), dim);
        let mut codes = vec![0i8; dim];
        let mut all = Vec::with_capacity(rows.rows());
        let mut norms = Vec::with_capacity(rows.rows());
        for row in 0..rows.rows() {
            let mut coded = [Coded::default()];
            let range = row..row + 1;
            level.dispatch(Encode { rows, range, codes: &mut codes, depth: dim.max(1), coded: &mut coded });
            packed.set(row, &codes);
            let square: i64 = codes.iter().map(|&code| i64::from(code).pow(2)).sum();
            all.extend(coded);
            norms.push(f64::from(coded[0].scale) * libm::sqrt(square as f64));
        }
        Self { rows: packed, coded: all, norms }
    }
}

/// Codes some rows.
struct Encode<'a> {
    rows: DenseView<'a>,
    range: Range<usize>,
    /// `depth` bytes a row.
    codes: &'a mut [i8],
    depth: usize,
    coded: &'a mut [Coded],
}

impl WithSimd for Encode<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, range, codes, depth, coded } = self;
        for ((row, codes), coded) in range.zip(codes.chunks_exact_mut(depth)).zip(coded) {
            let row = rows.row(row);
            *coded = encode(simd, row, &mut codes[..row.len()]);
        }
    }
}

/// Codes one row: code = round(x · 127 / max|x|).
///
/// Each rest x − scale·code is one fused operation, so it is off by at most u of itself; the sum of their squares is
/// off by a relative γ as in [`bounds`], and by no more than dim·2⁻¹⁴⁹ where squares vanish. Twice `dim` roundings and
/// 2⁻⁷⁴·√dim, with dim below 2¹⁷, hold both.
#[inline(always)]
fn encode<S: Simd>(simd: S, row: &[f32], codes: &mut [i8]) -> Coded {
    let square = dots::squared_norm(simd, row);
    if !bounds::is_ordinary(square) {
        codes.fill(0);
        let is_zero = square == 0.0 && row.iter().all(|&x| x == 0.0);
        return Coded { residual: if is_zero { 0.0 } else { f32::INFINITY }, ..Coded::default() };
    }
    let mut lanes = [0f32; LANES];
    let (blocks, tail) = row.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            let x = block[lane].abs();
            lanes[lane] = if x > lanes[lane] { x } else { lanes[lane] };
        }
    }
    let greatest = lanes.iter().chain(tail).fold(0f32, |greatest, x| greatest.max(x.abs()));
    let (scale, inverse) = (greatest / 127.0, 127.0 / greatest);

    let mut rests = [0f32; LANES];
    let (coded, coded_tail) = codes.as_chunks_mut::<LANES>();
    for (block, codes) in blocks.iter().zip(coded) {
        for lane in 0..LANES {
            let shifted = block[lane].mul_add(inverse, LAST_PLACE_IS_1);
            codes[lane] = low_byte(shifted);
            let rest = (LAST_PLACE_IS_1 - shifted).mul_add(scale, block[lane]);
            rests[lane] = rest.mul_add(rest, rests[lane]);
        }
    }
    let mut sum: f32 = rests.iter().sum();
    for (&x, code) in tail.iter().zip(coded_tail) {
        let shifted = x.mul_add(inverse, LAST_PLACE_IS_1);
        *code = low_byte(shifted);
        let rest = (LAST_PLACE_IS_1 - shifted).mul_add(scale, x);
        sum = rest.mul_add(rest, sum);
    }
    let dim = row.len() as f32;
    let residual = sum.sqrt() * (1.0 + (dim + 32.0) * f32::EPSILON) + dim.sqrt() / (1u128 << 74) as f32;
    Coded { scale, residual: residual.next_up(), square }
}

/// The integer that [`LAST_PLACE_IS_1`] was added to.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "the low byte is the code")]
const fn low_byte(shifted: f32) -> i8 {
    shifted.to_bits() as i8
}

/// What a row adds to the estimate and error of every query, in the units of a key ([`bounds`]).
#[derive(Debug, Clone, Copy)]
pub(super) struct CodedTerms {
    /// Times the integer product and the query's scale …
    pub(super) scale: f32,
    /// … plus this is an estimate of the key that rounding of ‖x‖² has not made smaller.
    pub(super) offset: f32,
    /// Times ‖q̂‖: the error of the row's codes.
    pub(super) residual: f32,
    /// Times the error of the query's codes.
    pub(super) norm: f32,
    /// How much of the offset may be rounding.
    pub(super) slack: f32,
}

impl CodedTerms {
    pub(super) fn new(metric: Metric, epsilon: f32, row: Coded) -> Self {
        if !row.residual.is_finite() {
            let unknown = f32::NAN;
            return Self {
                scale: unknown,
                offset: unknown,
                residual: unknown,
                norm: unknown,
                slack: unknown,
            };
        }
        let norm = row.square.sqrt() * (1.0 + epsilon);
        let half = row.square / 2.0;
        match metric {
            Metric::Dot => Self { scale: row.scale, offset: 0.0, residual: row.residual, norm, slack: 0.0 },
            Metric::L2 => Self {
                scale: row.scale,
                offset: -half * (1.0 - epsilon),
                residual: row.residual,
                norm,
                slack: 3.0 * epsilon * half,
            },
            Metric::Cosine => {
                let inverse = if norm == 0.0 { 0.0 } else { 1.0 / row.square.sqrt() };
                let residual = row.residual * inverse * (1.0 + epsilon);
                Self { scale: row.scale * inverse, offset: 0.0, residual, norm: norm * inverse, slack: 0.0 }
            }
        }
    }
}
