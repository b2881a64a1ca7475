//! Rows as signed bytes, with what was lost.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{GREATEST, TINY, U};
use crate::isa::Level;
use crate::simd::stream::prefetch;
use crate::simd::tile::{BytePanels, SIDE};

/// Components that are rounded side by side.
const LANES: usize = 16;
/// How far ahead rows are asked for: they come from memory.
const AHEAD: usize = 2048;
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

impl Terms {
    const EMPTY: Self =
        Self { scale: [0.0; SIDE], norm: [0.0; SIDE], square: [0.0; SIDE], residual: [0.0; SIDE] };
}

/// Rows of one task, as the panels of a product.
#[derive(Debug)]
pub(crate) struct BytePoints {
    panels: BytePanels,
    terms: Vec<Terms>,
}

impl BytePoints {
    /// Room for at most `rows` rows of `dim` components.
    pub(crate) fn with_room(rows: usize, dim: usize) -> Self {
        let panels = BytePanels::zeroed(rows, dim);
        let terms = vec![Terms::EMPTY; panels.panels()];
        Self { panels, terms }
    }

    /// The rows `rows`, rounded.
    pub(crate) fn round<'a>(
        level: Level,
        frame: &Frame,
        rows: Range<usize>,
        row: impl Fn(usize) -> &'a [f32],
    ) -> Self {
        let mut points = Self::with_room(rows.len(), frame.centre.len());
        points.refill(level, frame, rows, row);
        points
    }

    /// Rounds the rows `rows` in place of what was here; the room must suffice.
    pub(crate) fn refill<'a>(
        &mut self,
        level: Level,
        frame: &Frame,
        rows: Range<usize>,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        level.dispatch(Round { frame, rows, row, points: self });
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
    points: &'f mut BytePoints,
}

impl<'a, F: Fn(usize) -> &'a [f32]> WithSimd for Round<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { frame, rows, row, points } = self;
        let dim = frame.centre.len();
        let padded = dim.next_multiple_of(LANES);
        let mut centre = vec![0.0; padded];
        centre[..dim].copy_from_slice(&frame.centre);
        let mut values = vec![0.0; padded];
        let depth = points.panels.depth();
        // Codes behind the dimension stay zero.
        let mut codes = vec![0; SIDE * depth];
        for (panel, first) in rows.clone().step_by(SIDE).enumerate() {
            let len = (rows.end - first).min(SIDE);
            codes[len * depth..].fill(0);
            let mut sums = Sums::default();
            for lane in 0..len {
                let greatest = shift(frame.factors, row(first + lane), &centre, &mut values);
                round(&values, greatest, &mut codes[lane * depth..][..padded], lane, &mut sums);
            }
            points.terms[panel] = sums.terms(dim);
            points.panels.set_panel(panel, &codes);
        }
    }
}

/// `values` = σ·row − μ, each component rounded; returns the greatest magnitude.
#[inline(always)]
fn shift(factors: [f32; 2], row: &[f32], centre: &[f32], values: &mut [f32]) -> f32 {
    let mut greatest = [0u32; LANES];
    let ((rows, rest), (centres, _)) = (row.as_chunks::<LANES>(), centre.as_chunks::<LANES>());
    let (values, _) = values.as_chunks_mut::<LANES>();
    let mut padded = [0.0; LANES];
    padded[..rest.len()].copy_from_slice(rest);
    for (i, (values, centre)) in values.iter_mut().zip(centres).enumerate() {
        // Behind the last component the centre is zero too.
        let row = rows.get(i).unwrap_or(&padded);
        prefetch(row, AHEAD);
        for lane in 0..LANES {
            values[lane] = row[lane] * factors[0] * factors[1] - centre[lane];
            // Magnitudes order as their bits do; so does what is no number, behind all that are.
            greatest[lane] = greatest[lane].max(values[lane].to_bits() & 0x7fff_ffff);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            greatest[lane] = greatest[lane].max(greatest[lane + width]);
        }
        width /= 2;
    }
    f32::from_bits(greatest[0])
}

/// What is summed over each row of a panel.
#[derive(Default)]
struct Sums {
    scale: [f32; SIDE],
    /// Σ code².
    norm: [f32; SIDE],
    square: [f32; SIDE],
    /// Infinite where nothing is known.
    residual: [f32; SIDE],
}

impl Sums {
    /// What the bound needs of rows of `dim` components.
    ///
    /// A residual r = fma(−s, q, y) is rounded once, and y itself was rounded by u of itself: the norm of
    /// what both hide is below u‖r‖ + 1.1u(N + ‖r‖). The sums of squares are low by no more than γ of
    /// themselves for `dim` + 16 roundings, and γ is doubled here; where dimensions are so many that nothing
    /// is left of the sum, zero is no more than ‖y‖² either. The last conversion to f32 is off by at most u.
    #[inline(always)]
    fn terms(&self, dim: usize) -> Terms {
        let slack = 1.0 + 4.0 * U * (dim + 16) as f64;
        let mut terms = Terms { scale: self.scale, ..Terms::EMPTY };
        for lane in 0..SIDE {
            let norm = f64::from(self.norm[lane]).sqrt() * f64::from(self.scale[lane]) * slack;
            let residual = f64::from(self.residual[lane]).sqrt() * slack + 4.0 * U * norm + TINY;
            let square = (f64::from(self.square[lane]) * (2.0 - slack) - TINY).max(0.0);
            terms.norm[lane] = (norm * (1.0 + 4.0 * U)) as f32;
            terms.residual[lane] = (residual * (1.0 + 4.0 * U)) as f32;
            terms.square[lane] = (square * (1.0 - 4.0 * U)) as f32;
        }
        terms
    }
}

/// Rounds `values`, of which none exceeds `greatest`, to `codes` and sums what row `lane` of the panel needs.
#[inline(always)]
fn round(values: &[f32], greatest: f32, codes: &mut [i8], lane: usize, sums: &mut Sums) {
    let (values, _) = values.as_chunks::<LANES>();
    let (codes, _) = codes.as_chunks_mut::<LANES>();
    let ordinary = greatest <= GREATEST; // not so for NaN
    if !ordinary {
        codes.fill([0; LANES]);
        sums.residual[lane] = f32::INFINITY;
        return;
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
    sums.scale[lane] = scale;
    sums.norm[lane] = total(norms);
    sums.square[lane] = total(squares);
    sums.residual[lane] = total(residuals);
}

/// The sum of all lanes, by halves.
#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}
