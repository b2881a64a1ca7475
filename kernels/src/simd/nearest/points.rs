//! Rows as signed bytes, with what was lost.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{GREATEST, TINY, U};
use crate::isa::Level;
use crate::simd::tile::{BytePanels, SIDE};

/// Components that are rounded side by side.
const LANES: usize = 16;
/// Adding and subtracting it rounds a small f32 to an integer, half to even; between the two the low byte
/// of its bits is that integer.
const ROUNDER: f32 = 12_582_912.0; // 1.5 · 2^23

/// Where values lie: y = σx − μ.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// σ as a product of two powers of two, because one f32 cannot hold every quotient of two.
    factors: [f32; 2],
    /// μ.
    centre: Vec<f32>,
}

impl Frame {
    /// The frame of rows of `dim` components with σ = 2^`exponent`, limited to ±200, and the mean of `rows` as
    /// its centre; without rows the centre is zero.
    pub(crate) fn new<'a>(dim: usize, exponent: i32, rows: impl ExactSizeIterator<Item = &'a [f32]>) -> Self {
        let half = exponent.clamp(-200, 200) / 2;
        let power = |exponent: i32| libm::ldexpf(1.0, exponent);
        let factors = [power(half), power(exponent.clamp(-200, 200) - half)];
        let count = rows.len().max(1) as f64;
        let mut sums = vec![0.0; dim];
        for row in rows {
            for (sum, &x) in sums.iter_mut().zip(row) {
                *sum += f64::from(x);
            }
        }
        let sigma = f64::from(factors[0]) * f64::from(factors[1]);
        let centre = sums.iter().map(|sum| (sum / count * sigma) as f32).collect();
        Self { factors, centre }
    }

    /// σ.
    pub(super) fn sigma(&self) -> f64 {
        self.factors.iter().copied().map(f64::from).product()
    }

    pub(super) fn centre(&self) -> &[f32] {
        &self.centre
    }
}

/// The exponent that takes the greatest of `values` to [1, 2); 0 where all are zero.
pub(crate) fn unit_exponent(values: &[f32]) -> i32 {
    // Magnitudes order as their bits do; integers compare faster.
    let greatest = f32::from_bits(values.iter().fold(0, |greatest, x| greatest.max(x.abs().to_bits())));
    if greatest > 0.0 { -libm::ilogbf(greatest) } else { 0 }
}

/// What the bound needs of each row of a panel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// s.
    pub(super) scale: [f32; SIDE],
    /// No less than ‖ŷ‖.
    pub(super) norm: [f32; SIDE],
    /// No more than ‖y‖².
    pub(super) square: [f32; SIDE],
    /// No less than ‖y − ŷ‖; infinite where nothing is known.
    pub(super) residual: [f32; SIDE],
}

/// Rows of one task, as the panels of a product.
#[derive(Debug)]
pub(crate) struct BytePoints {
    panels: BytePanels,
    terms: Vec<Terms>,
}

impl BytePoints {
    /// Rounds the rows `rows`.
    pub(crate) fn round<'a>(
        level: Level,
        frame: &Frame,
        rows: Range<usize>,
        row: impl Fn(usize) -> &'a [f32],
    ) -> Self {
        level.dispatch(Round { frame, rows, row })
    }

    pub(crate) fn panels(&self) -> &BytePanels {
        &self.panels
    }

    pub(super) fn terms(&self, panel: usize) -> &Terms {
        &self.terms[panel]
    }
}

struct Round<'f, F> {
    frame: &'f Frame,
    rows: Range<usize>,
    row: F,
}

impl<'a, F: Fn(usize) -> &'a [f32]> WithSimd for Round<'_, F> {
    type Output = BytePoints;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> BytePoints {
        let dim = self.frame.centre.len();
        let padded = dim.next_multiple_of(LANES);
        let mut panels = BytePanels::zeroed(self.rows.len(), dim);
        let zeros = [0.0; SIDE];
        let empty = Terms { scale: zeros, norm: zeros, square: zeros, residual: zeros };
        let mut terms = vec![empty; panels.panels()];
        let mut centre = vec![0.0; padded];
        centre[..dim].copy_from_slice(&self.frame.centre);
        let mut values = vec![0.0; padded];
        let depth = panels.depth();
        // Codes behind the dimension stay zero.
        let mut codes = vec![0; SIDE * depth];
        for (panel, terms) in terms.iter_mut().enumerate() {
            let rows = self.rows.clone().skip(panel * SIDE).take(SIDE);
            codes[rows.len() * depth..].fill(0);
            for (lane, row) in rows.enumerate() {
                shift(self.frame.factors, (self.row)(row), &centre, &mut values);
                let row = round(&values, dim, &mut codes[lane * depth..][..padded]);
                terms.scale[lane] = row.scale;
                terms.norm[lane] = row.norm;
                terms.square[lane] = row.square;
                terms.residual[lane] = row.residual;
            }
            panels.set_panel(panel, &codes);
        }
        BytePoints { panels, terms }
    }
}

/// `values` = σ·row − μ, each component rounded.
#[inline(always)]
fn shift(factors: [f32; 2], row: &[f32], centre: &[f32], values: &mut [f32]) {
    for ((value, &x), &centre) in values.iter_mut().zip(row).zip(centre) {
        *value = x * factors[0] * factors[1] - centre;
    }
}

struct Rounded {
    scale: f32,
    norm: f32,
    square: f32,
    residual: f32,
}

/// Rounds the first `dim` of `values`, of which the rest are zero, to `codes`.
///
/// A residual r = fma(−s, q, y) is rounded once, and y itself was rounded by u of itself: the norm of
/// what both hide is below u‖r‖ + 1.1u(N + ‖r‖). The sums of squares are low by no more than γ of themselves
/// for `dim` + 16 roundings, and γ is doubled here; where dimensions are so many that nothing is left of the
/// sum, zero is no more than ‖y‖² either.
#[inline(always)]
fn round(values: &[f32], dim: usize, codes: &mut [i8]) -> Rounded {
    let mut greatest = [0u32; LANES];
    let (values, _) = values.as_chunks::<LANES>();
    let (codes, _) = codes.as_chunks_mut::<LANES>();
    for values in values {
        for lane in 0..LANES {
            greatest[lane] = greatest[lane].max(values[lane].to_bits() & 0x7fff_ffff);
        }
    }
    let greatest = f32::from_bits(greatest.into_iter().fold(0, u32::max));
    let ordinary = greatest <= GREATEST; // not so for NaN
    if !ordinary {
        codes.fill([0; LANES]);
        return Rounded { scale: 0.0, norm: 0.0, square: 0.0, residual: f32::INFINITY };
    }
    let scale = greatest / 127.0;
    // Where the quotient would overflow the codes are zeros and the row is its own residual.
    let inverse = if greatest > 1e-30 { 127.0 / greatest } else { 0.0 };
    let (mut norms, mut squares, mut residuals) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    for (values, codes) in values.iter().zip(codes) {
        for lane in 0..LANES {
            let shifted = values[lane].mul_add(inverse, ROUNDER);
            let code = shifted - ROUNDER;
            codes[lane] = shifted.to_bits() as i8; // −127..=127
            let residual = (-scale).mul_add(code, values[lane]);
            squares[lane] = values[lane].mul_add(values[lane], squares[lane]);
            norms[lane] = code.mul_add(code, norms[lane]);
            residuals[lane] = residual.mul_add(residual, residuals[lane]);
        }
    }
    let total = |sums: [f32; LANES]| f64::from(sums.into_iter().fold(0.0, |sum, x| sum + x));
    let slack = 1.0 + 4.0 * U * (dim + 16) as f64;
    let norm = total(norms).sqrt() * f64::from(scale) * slack;
    let residual = total(residuals).sqrt() * slack + 4.0 * U * norm + TINY;
    let square = total(squares) * (2.0 - slack) - TINY;
    let square = (square as f32).next_down().max(0.0);
    Rounded { scale, square, norm: (norm as f32).next_up(), residual: (residual as f32).next_up() }
}
