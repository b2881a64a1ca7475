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

use pulp::{Simd, WithSimd};

use super::tile::{self, Dots, SIDE};
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

/// The candidates of one panel of rows.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Whether only one centroid is left of each row, by bits.
    decided: u32,
    /// That one.
    only: [u32; SIDE],
    /// How many are left of each of the other rows.
    counts: [u32; SIDE],
    /// Row of the panel and centroid for all of those, ascending by centroid.
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
    #[inline(always)]
    pub(crate) fn of(&self, lane: usize) -> Found {
        if self.decided >> lane & 1 != 0 {
            Found::Decided(self.only[lane])
        } else {
            Found::OneOf(self.counts[lane])
        }
    }

    /// The centroids left for a row that is not decided, ascending.
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
            self.all.push((lane as u8, id)); // below 32
        }
    }
}

/// The filter of one list of centroids, with its scratch, for one thread.
pub(crate) struct Filter<'a> {
    level: Level,
    centroids: &'a ByteCentroids,
    keys: Vec<[f32; SIDE]>,
    found: Candidates,
    /// What multiplying blocks needs.
    _tiles: tile::Prepared,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(level: Level, centroids: &'a ByteCentroids) -> Self {
        let keys = vec![[0.0; SIDE]; centroids.rows().blocks() * SIDE];
        Self { level, centroids, keys, found: Candidates::default(), _tiles: tile::prepare(level) }
    }

    /// The candidates of the rows of panel `panel`.
    pub(crate) fn candidates(&mut self, points: &BytePoints, panel: usize) -> &Candidates {
        self.level.dispatch(Sift { filter: self, points, panel });
        &self.found
    }
}

struct Sift<'f, 'a> {
    filter: &'f mut Filter<'a>,
    points: &'f BytePoints,
    panel: usize,
}

impl WithSimd for Sift<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Filter { level, centroids, ref mut keys, ref mut found, .. } = *self.filter;
        let (scales, slacks) = centroids.row_terms(self.points.terms(self.panel));
        let panel = self.points.panels().panel(self.panel);
        let mut two = GreatestTwo::default();
        let mut dots = tile::Aligned::default();
        for (block, keys) in keys.as_chunks_mut().0.iter_mut().enumerate() {
            centroids.rows().block(block).times(level, panel, &mut dots.0);
            two.take(&dots.0, &scales, centroids.offsets(block), (block * SIDE) as u32, keys);
        }

        // Only the greatest key of a decided row reaches the threshold.
        let mut thresholds = [f32::INFINITY; SIDE];
        found.decided = 0;
        for lane in 0..SIDE {
            let threshold = two.greatest[lane] - slacks[lane];
            let decided = two.second[lane] < threshold;
            found.decided |= u32::from(decided) << lane;
            thresholds[lane] = if decided { f32::INFINITY } else { threshold };
        }
        found.only = two.ids;
        found.all.clear();
        found.counts = [0; SIDE];
        if found.decided == u32::MAX {
            return;
        }
        for (id, keys) in keys[..centroids.len()].iter().enumerate() {
            let mut reached = false;
            for lane in 0..SIDE {
                reached |= keys[lane] >= thresholds[lane];
            }
            if reached {
                found.note(id as u32, keys, &thresholds);
            }
        }
    }
}

/// The greatest key of each row of a panel and whose it is, and the second greatest.
struct GreatestTwo {
    greatest: [f32; SIDE],
    second: [f32; SIDE],
    ids: [u32; SIDE],
}

impl Default for GreatestTwo {
    fn default() -> Self {
        let least = [f32::NEG_INFINITY; SIDE];
        Self { greatest: least, second: least, ids: [0; SIDE] }
    }
}

impl GreatestTwo {
    /// Turns the products of a block, whose centroids begin with `first`, into `keys` and takes them into account.
    #[inline(always)]
    fn take(
        &mut self,
        dots: &Dots,
        scales: &[f32; SIDE],
        offsets: &[f32],
        first: u32,
        keys: &mut [[f32; SIDE]; SIDE],
    ) {
        let (mut greatest, mut second, mut ids) = (self.greatest, self.second, self.ids);
        for (((id, &offset), dots), keys) in (first..).zip(offsets).zip(dots).zip(keys) {
            for lane in 0..SIDE {
                let key = (dots[lane] as f32).mul_add(scales[lane], offset);
                keys[lane] = key;
                let greater = key > greatest[lane];
                let lesser = if greater { greatest[lane] } else { key };
                second[lane] = if lesser > second[lane] { lesser } else { second[lane] };
                greatest[lane] = if greater { key } else { greatest[lane] };
                ids[lane] = if greater { id } else { ids[lane] };
            }
        }
        (self.greatest, self.second, self.ids) = (greatest, second, ids);
    }
}

#[cfg(test)]
mod tests;
