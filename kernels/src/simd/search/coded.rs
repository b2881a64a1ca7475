//! Rows as signed bytes under one scale each, with what the bytes leave out measured: the side of a certified
//! scan that is packed once.
//!
//! A row x is `scale · codes + rest`; the norm of the rest is kept, rounded up. It is all that the scan needs to
//! know to say how far an integer product can be from the true one.

use std::ops::Range;
use std::sync::OnceLock;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::terms::PanelTerms;
use super::{bounds, dots};
use crate::isa::Level;
use crate::simd::half::widen_block;
use crate::simd::tile::{BytePanels, ByteRows, SIDE};
use crate::types::{DenseView, Metric, SearchRows};

/// 1.5 · 2²³: adding it to a magnitude below 2²² rounds to an integer, half to even, and leaves that integer's two's
/// complement in the low bits.
const LAST_PLACE_IS_1: f32 = 12_582_912.0;
/// Values coded at once.
const LANES: usize = 16;
/// Fewer lanes than any level has: sums over more lanes are shallower.
const LEAST_LANES: usize = 4;

/// The ε of [`bounds`] for sums of this file and all later roundings of a scan, on every level.
pub(super) fn epsilon(dim: usize) -> f32 {
    bounds::epsilon(dim, dots::depth(dim, LEAST_LANES))
}

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
    /// By metric and panel, from the first search by a metric on.
    terms: [OnceLock<Vec<PanelTerms>>; 3],
}

impl CodedPanels {
    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.panels.panels() * self.panels.panel_bytes() + size_of_val(&self.coded[..])
    }

    /// What each panel adds to every pair.
    pub(super) fn terms(&self, metric: Metric) -> &[PanelTerms] {
        let slot = match metric {
            Metric::Dot => &self.terms[0],
            Metric::Cosine => &self.terms[1],
            Metric::L2 => &self.terms[2],
        };
        let epsilon = epsilon(self.panels.dim());
        let terms = |coded| PanelTerms::new(metric, epsilon, coded);
        slot.get_or_init(|| self.coded.par_iter().map(terms).collect())
    }

    /// Packs the rows of `range`; they become rows 0, 1, …
    pub(super) fn pack(level: Level, rows: SearchRows<'_>, range: Range<usize>) -> Self {
        let first = range.start;
        let (panels, coded) = BytePanels::pack_panels(range.len(), rows.dim(), |panel, codes, depth| {
            let mut coded = [Coded::default(); SIDE];
            code(level, rows, first + panel.start..first + panel.end, codes, depth, &mut coded);
            coded
        });
        Self { panels, coded, terms: Default::default() }
    }
}

/// Codes some rows, `depth` bytes apart.
fn code(
    level: Level,
    rows: SearchRows<'_>,
    range: Range<usize>,
    codes: &mut [i8],
    depth: usize,
    coded: &mut [Coded],
) {
    match rows {
        SearchRows::F32(rows) => level.dispatch(Encode { rows, range, codes, depth, coded }),
        SearchRows::Half(half) => {
            let mut values = vec![0f32; range.len() * half.dim()];
            let bits = &half.bits()[range.start * half.dim()..range.end * half.dim()];
            widen_block(level, half.kind(), bits, &mut values);
            let (rows, range) = (rows.view_of(&values), 0..range.len());
            level.dispatch(Encode { rows, range, codes, depth, coded });
        }
        SearchRows::Bytes(rows) => {
            for ((row, codes), coded) in range.zip(codes.chunks_exact_mut(depth)).zip(coded) {
                codes[..rows.dim()].copy_from_slice(rows.row(row));
                #[expect(clippy::cast_precision_loss, reason = "a rounding that the bound allows for")]
                let square = square(rows.row(row)) as f32;
                *coded = Coded { scale: 1.0, residual: 0.0, square };
            }
        }
    }
}

/// Σ code².
fn square(codes: &[i8]) -> i64 {
    codes.iter().map(|&code| i64::from(code).pow(2)).sum()
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
    pub(super) fn pack(level: Level, rows: SearchRows<'_>) -> Self {
        let dim = rows.dim();
        let mut packed = ByteRows::zeroed(rows.rows(), dim);
        let mut codes = vec![0i8; dim];
        let mut all = Vec::with_capacity(rows.rows());
        let mut norms = Vec::with_capacity(rows.rows());
        for row in 0..rows.rows() {
            let mut coded = [Coded::default()];
            code(level, rows, row..row + 1, &mut codes, dim.max(1), &mut coded);
            packed.set(row, &codes);
            all.extend(coded);
            #[expect(clippy::cast_precision_loss, reason = "below 2^31")]
            norms.push(f64::from(coded[0].scale) * libm::sqrt(square(&codes) as f64));
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
#[expect(clippy::cast_possible_truncation, reason = "the low byte is the code")]
const fn low_byte(shifted: f32) -> i8 {
    shifted.to_bits() as i8
}
