//! Which centroids can be the nearest of a row: a certified filter in signed bytes.
//!
//! Rows and centroids are rounded to bytes, all products are made by tiles, and what rounding can have hidden
//! is bounded per row. Most rows are left with one centroid, which then is the nearest; the caller
//! decides among the few of the others exactly. So the answer is exact at the speed of bytes.
//!
//! # The bound
//! A row counts as y = σx − μ and a centroid as a = σc − μ, with a power of two σ and a common centre μ,
//! neither of which changes what is nearest. The nearest centroid has the greatest key K = y·a + β, with β
//! = −‖a‖²/2 for Euclidean distance and β = 0 where only directions count (a then has norm 1). With the
//! rounded vectors ŷ = s·q and â = t·p (q and p of bytes, s of the row, t of all centroids):
//!
//! |y·a − ŷ·â| = |ŷ·(a − â) + (y − ŷ)·a| ≤ N·ρ + R·A, where N = ‖ŷ‖, R ≥ ‖y − ŷ‖, ρ ≥ ‖a − â‖, A ≥ ‖a‖.
//!
//! The computed key is v = fma(q·p, s·t, β), with u = 2^-24: q·p is exact as an integer and rounded once, so
//! are s·t, β and v, together at most 4.2u·N(A + ρ) + 2.1u·B with B ≥ |β|. A threshold v − 2E is rounded
//! once more, by u(N(A + ρ) + B + 2E). So E = N·(ρ + 8u(A + ρ)) + R·A + 8u·B, raised by 2^-20 of itself for
//! the roundings of its own computation, and v ≥ max v − 2E holds for every centroid that can be nearest.
//!
//! All values lie within 2^52 of zero, so that squares of norms stay below 2^122 and nothing overflows; what
//! is lost below 2^-126 is far less than 2^-60, which is added to R and E. A row or centroid outside that
//! range makes E infinite: then nothing is ruled out.

mod centroids;
mod farther;
mod points;

use std::ops::Range;

use pulp::Simd;

use super::tile::{self, Dots, SIDE, Sink};
use crate::isa::Level;
pub(crate) use centroids::ByteCentroids;
pub(crate) use farther::perhaps_nearer;
pub(crate) use points::{BytePoints, Frame, unit_exponent};

/// Unit roundoff of f32.
const U: f64 = f32::EPSILON as f64 / 2.0;
/// Beside values of 1 this is nothing; it covers whatever underflowed.
const TINY: f64 = 1.0 / (1u64 << 60) as f64;
/// Greatest component that is taken part in the filter, after scaling.
const GREATEST: f32 = (1u64 << 52) as f32;
/// Centroids whose keys are kept for one panel of rows: 64 KiB.
const KEYS: usize = 512;

/// The candidates of one panel of rows.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// How many each row has.
    counts: [u32; SIDE],
    /// The last one of each row.
    last: [u32; SIDE],
    /// Row of the panel and centroid, ascending by centroid.
    all: Vec<(u8, u32)>,
}

/// What is known of the nearest centroid of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It can only be this one.
    Decided(u32),
    /// It is one of so many.
    OneOf(u32),
}

impl Candidates {
    /// What is known of row `lane` of the panel.
    pub(crate) fn of(&self, lane: usize) -> Found {
        match self.counts[lane] {
            1 => Found::Decided(self.last[lane]),
            many => Found::OneOf(many),
        }
    }

    /// The centroids left for a row, ascending.
    pub(crate) fn ids(&self, lane: usize) -> impl Iterator<Item = u32> {
        self.all.iter().filter(move |&&(of, _)| usize::from(of) == lane).map(|&(_, id)| id)
    }

    #[inline(always)]
    fn note(&mut self, id: u32, keys: &[f32; SIDE], thresholds: &[f32; SIDE]) {
        let mut reached = 0u32;
        for lane in 0..SIDE {
            reached |= u32::from(keys[lane] >= thresholds[lane]) << lane;
        }
        while reached != 0 {
            let lane = reached.trailing_zeros();
            reached &= reached - 1;
            self.counts[lane as usize] += 1;
            self.last[lane as usize] = id;
            self.all.push((lane as u8, id)); // below 32
        }
    }
}

/// The filter of one list of centroids, with its scratch.
pub(crate) struct Filter<'a> {
    level: Level,
    centroids: &'a ByteCentroids,
    keys: Vec<[f32; SIDE]>,
    found: Candidates,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(level: Level, centroids: &'a ByteCentroids) -> Self {
        let keys = vec![[0.0; SIDE]; KEYS.min(centroids.len().next_multiple_of(SIDE))];
        Self { level, centroids, keys, found: Candidates::default() }
    }

    /// The candidates of the rows of panel `panel`.
    pub(crate) fn candidates(&mut self, points: &BytePoints, panel: usize) -> &Candidates {
        let Self { level, centroids, ref mut keys, ref mut found } = *self;
        found.counts = [0; SIDE];
        found.all.clear();
        let (scales, slacks) = centroids.row_terms(points.terms(panel));
        let mut best = [f32::NEG_INFINITY; SIDE];
        for blocks in centroids.blocks(KEYS / SIDE) {
            let mut sink = Keys { first: blocks.start, centroids, scales, best, keys };
            let panels = panel..panel + 1;
            tile::products(level, centroids.rows(), blocks.clone(), points.panels(), panels, &mut sink);
            best = sink.best;
            let ids = blocks.start * SIDE..(blocks.end * SIDE).min(centroids.len());
            level.dispatch(Pick { ids, best, slacks, keys, found });
        }
        found
    }
}

/// Turns products into keys and keeps the greatest of each row.
struct Keys<'a> {
    /// First block of centroids.
    first: usize,
    centroids: &'a ByteCentroids,
    scales: [f32; SIDE],
    best: [f32; SIDE],
    keys: &'a mut [[f32; SIDE]],
}

impl Sink for Keys<'_> {
    #[inline(always)]
    fn take<S: Simd>(&mut self, _: S, block: usize, _: usize, dots: &Dots) {
        let offsets = self.centroids.offsets(block);
        let keys = &mut self.keys[(block - self.first) * SIDE..][..SIDE];
        let (mut best, scales) = (self.best, self.scales);
        for ((dots, keys), &offset) in dots.iter().zip(keys).zip(offsets) {
            for lane in 0..SIDE {
                let key = (dots[lane] as f32).mul_add(scales[lane], offset);
                keys[lane] = key;
                best[lane] = if key > best[lane] { key } else { best[lane] };
            }
        }
        self.best = best;
    }
}

/// Notes the centroids whose keys reach the threshold.
struct Pick<'a> {
    ids: Range<usize>,
    best: [f32; SIDE],
    slacks: [f32; SIDE],
    keys: &'a [[f32; SIDE]],
    found: &'a mut Candidates,
}

impl pulp::WithSimd for Pick<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut thresholds = self.best;
        for (threshold, slack) in thresholds.iter_mut().zip(self.slacks) {
            *threshold -= slack;
        }
        for (id, keys) in self.ids.zip(self.keys) {
            let mut reached = false;
            for lane in 0..SIDE {
                reached |= keys[lane] >= thresholds[lane];
            }
            if reached {
                self.found.note(id as u32, keys, &thresholds);
            }
        }
    }
}

#[cfg(test)]
mod tests;
