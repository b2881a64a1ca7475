//! Centroids as signed bytes, with what was lost.

use super::points::{Frame, Terms};
use super::{GREATEST, TINY, U};
use crate::simd::tile::{ByteRows, SIDE};

/// Centroids, as the rows of a product.
#[derive(Debug)]
pub(crate) struct ByteCentroids {
    rows: ByteRows,
    /// β of each; −∞ behind the last.
    offsets: Vec<f32>,
    /// t.
    scale: f32,
    /// E = `by_norm`·N + `by_residual`·R + `fixed`, the greatest of all centroids.
    by_norm: f64,
    by_residual: f64,
    fixed: f64,
}

/// For each row of a panel s·t, and the key up to which a centroid is not near.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) scales: [f32; SIDE],
    pub(super) limits: [f32; SIDE],
}

impl ByteCentroids {
    /// Rounds centroids in the frame of their rows. `euclidean` says whether β = −‖a‖²/2; otherwise it is 0.
    pub(crate) fn round<'a>(
        frame: &Frame,
        euclidean: bool,
        centroids: impl ExactSizeIterator<Item = &'a [f32]> + Clone,
    ) -> Self {
        let dim = frame.centre().len();
        let sigma = frame.sigma();
        let in_frame = |x: f32, centre: f32| f64::from(x) * sigma - f64::from(centre);
        let mut greatest = 0.0f64;
        for centroid in centroids.clone() {
            for (&x, &centre) in centroid.iter().zip(frame.centre()) {
                greatest = greatest.max(in_frame(x, centre).abs());
            }
        }
        let scale = (greatest / 127.0) as f32;
        let ordinary = greatest <= f64::from(GREATEST);
        let inverse = if ordinary && scale > 1e-30 { 1.0 / f64::from(scale) } else { 0.0 };
        let mut rows = ByteRows::zeroed(centroids.len(), dim);
        let mut offsets = vec![f32::NEG_INFINITY; centroids.len().next_multiple_of(SIDE)];
        let (mut codes, mut norm, mut residual) = (vec![0; dim], 0.0f64, 0.0f64);
        for (id, centroid) in centroids.enumerate() {
            let (mut square, mut lost) = (0.0, 0.0);
            for ((code, &x), &centre) in codes.iter_mut().zip(centroid).zip(frame.centre()) {
                let a = in_frame(x, centre);
                let rounded = (a * inverse).round_ties_even().clamp(-127.0, 127.0);
                *code = rounded as i8;
                let rest = a - rounded * f64::from(scale);
                square += a * a;
                lost += rest * rest;
            }
            rows.set(id, &codes);
            offsets[id] = if euclidean && ordinary { (-square / 2.0) as f32 } else { 0.0 };
            norm = norm.max(square.sqrt());
            residual = residual.max(lost.sqrt());
        }
        // f64 sums of at most 2^17 terms: what they lost is far less.
        let raise = 1.0 + 1.0 / f64::from(1 << 20);
        let (norm, residual) = (norm * raise + TINY, residual * raise + TINY);
        let fixed = if euclidean { 8.0 * U * norm * norm / 2.0 } else { 0.0 };
        Self {
            rows,
            offsets,
            scale: if ordinary { scale } else { 0.0 },
            by_norm: residual + 8.0 * U * (norm + residual),
            by_residual: norm,
            fixed: if ordinary { fixed + TINY } else { f64::INFINITY },
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.rows()
    }

    pub(super) fn rows(&self) -> &ByteRows {
        &self.rows
    }

    /// β of the centroids of a block.
    pub(super) fn offsets(&self, block: usize) -> &[f32] {
        &self.offsets[block * SIDE..][..SIDE]
    }

    /// For each row of a panel s·t and 2E.
    #[inline(always)] // so that it is compiled for the level of the caller
    pub(super) fn row_terms(&self, terms: &Terms) -> ([f32; SIDE], [f32; SIDE]) {
        let (mut scales, mut slacks) = ([0.0; SIDE], [0.0; SIDE]);
        let raise = 1.0 + 1.0 / f64::from(1 << 20);
        for lane in 0..SIDE {
            scales[lane] = terms.scale[lane] * self.scale;
            slacks[lane] = (2.0 * raise * self.error(terms, lane)) as f32;
        }
        (scales, slacks)
    }

    /// E.
    #[inline(always)]
    fn error(&self, terms: &Terms, lane: usize) -> f64 {
        let (norm, residual) = (f64::from(terms.norm[lane]), f64::from(terms.residual[lane]));
        self.by_norm * norm + self.by_residual * residual + self.fixed
    }

    /// The keys up to which a centroid is surely no nearer than `squares`, the squared distances that f32 sums of
    /// `dim` terms gave.
    ///
    /// K = (‖y‖² − D) / 2 for the real squared distance D, so D ≥ d where v ≤ (‖y‖² − d) / 2 − E. An f32 sum
    /// is at least D(1 − γ) less what underflowed, so it is no less than `square` where D ≥ d = square · (1
    /// + 2γ) + tiny.
    #[inline(always)] // so that it is compiled for the level of the caller
    pub(super) fn farther_than(&self, terms: &Terms, squares: &[f32; SIDE]) -> Limits {
        let (mut scales, mut limits) = ([0.0; SIDE], [0.0; SIDE]);
        let mu = (self.rows.dim() as f64 + 8.0) * U;
        let raise = 1.0 + 1.0 / f64::from(1 << 20);
        for lane in 0..SIDE {
            let distance = f64::from(squares[lane]) * (1.0 + 2.0 * mu / (1.0 - mu)) + TINY;
            let key = (f64::from(terms.square[lane]) - distance) / 2.0 - raise * self.error(terms, lane);
            scales[lane] = terms.scale[lane] * self.scale;
            // Times the neighbour of 1 on the far side: a rounded key would not be safe.
            limits[lane] = (key - key.abs() * f64::from(f32::EPSILON)) as f32;
        }
        Limits { scales, limits }
    }
}
