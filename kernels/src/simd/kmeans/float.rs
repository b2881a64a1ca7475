//! Squared distances in f32 as a filter: one lane is one row, eight centroids at a time.
//!
//! Rows lie in panels of [`BLOCK`] rows, dimension by dimension, so that no sum crosses lanes. What the two
//! least distances of a row cannot decide is decided exactly.

use pulp::{Simd, WithSimd};

use crate::kmeans::{BLOCK, DensePoints, nearest};

/// Centroids whose sums stay in registers while a panel passes.
pub(super) const TILE: usize = 8;

/// Writes scaled rows, at most [`BLOCK`] of them, as a panel `[dimension][lane]`.
#[inline(always)]
fn fill_panel(points: &DensePoints<'_>, rows: impl Iterator<Item = usize>, panel: &mut [[f32; BLOCK]]) {
    for (lane, row) in rows.enumerate() {
        for (out, &x) in panel.iter_mut().zip(points.row(row)) {
            out[lane] = points.scaled(x);
        }
    }
}

/// Scaled centroids, `[tile][dimension][centroid]`; the last tile is filled up with infinity, which is infinitely
/// far from every row.
pub(super) fn tiles<'c>(
    points: &DensePoints<'_>,
    centroids: impl ExactSizeIterator<Item = &'c [f32]>,
) -> Vec<[f32; TILE]> {
    let dim = points.dim();
    let mut tiles = vec![[f32::INFINITY; TILE]; centroids.len().div_ceil(TILE) * dim];
    for (id, centroid) in centroids.enumerate() {
        for (tile, &c) in tiles[id / TILE * dim..].iter_mut().zip(centroid) {
            tile[id % TILE] = points.scaled(c);
        }
    }
    tiles
}

/// Squared distances of some rows of one panel, its `part`-th vector of lanes, from the centroids of one
/// tile.
#[inline(always)]
fn tile_distances<S: Simd>(
    simd: S,
    panel: &[[f32; BLOCK]],
    part: usize,
    tile: &[[f32; TILE]],
) -> [S::f32s; TILE] {
    let mut sums = [simd.splat_f32s(0.0); TILE];
    for (x, c) in panel.iter().zip(tile) {
        let x = S::as_simd_f32s(x).0[part];
        for (sum, &c) in sums.iter_mut().zip(c) {
            let difference = simd.sub_f32s(x, simd.splat_f32s(c));
            *sum = simd.mul_add_f32s(difference, difference, *sum);
        }
    }
    sums
}

/// Assigns at most [`BLOCK`] rows, gathered into a panel.
pub(super) struct AssignPanel<'a> {
    pub(super) points: &'a DensePoints<'a>,
    pub(super) rows: &'a [usize],
    pub(super) panel: &'a mut [[f32; BLOCK]],
    pub(super) tiles: &'a [[f32; TILE]],
    pub(super) centroids: &'a [f32],
}

impl WithSimd for AssignPanel<'_> {
    type Output = [u32; BLOCK];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let dim = self.points.dim();
        let bound = Bound::new(dim);
        fill_panel(self.points, self.rows.iter().copied(), self.panel);
        let mut two = NearestTwo::default();
        for part in 0..BLOCK / S::F32_LANES {
            two.find(simd, self.panel, part, self.tiles);
        }
        for (lane, &row) in self.rows.iter().enumerate() {
            if !bound.surely_less(two.least[lane], two.second[lane]) {
                let ids = (0..).take(self.centroids.len() / dim);
                two.id[lane] = nearest(self.points.row(row), self.centroids, ids);
            }
        }
        two.id
    }
}

/// The two least distances of each lane, and the centroid of the least.
struct NearestTwo {
    least: [f32; BLOCK],
    second: [f32; BLOCK],
    id: [u32; BLOCK],
}

impl Default for NearestTwo {
    fn default() -> Self {
        Self { least: [f32::INFINITY; BLOCK], second: [f32::INFINITY; BLOCK], id: [0; BLOCK] }
    }
}

impl NearestTwo {
    #[inline(always)]
    fn find<S: Simd>(&mut self, simd: S, panel: &[[f32; BLOCK]], part: usize, tiles: &[[f32; TILE]]) {
        let (mut least, mut second) = (simd.splat_f32s(f32::INFINITY), simd.splat_f32s(f32::INFINITY));
        let mut nearest = simd.splat_u32s(0);
        let mut ids = 0..;
        for tile in tiles.chunks_exact(panel.len()) {
            for (distance, id) in tile_distances(simd, panel, part, tile).into_iter().zip(ids.by_ref()) {
                let nearer = simd.less_than_f32s(distance, least);
                nearest = simd.select_u32s(nearer, simd.splat_u32s(id), nearest);
                second = simd.min_f32s(second, simd.max_f32s(least, distance));
                least = simd.min_f32s(least, distance);
            }
        }
        S::as_mut_simd_f32s(&mut self.least).0[part] = least;
        S::as_mut_simd_f32s(&mut self.second).0[part] = second;
        S::as_mut_simd_u32s(&mut self.id).0[part] = nearest;
    }
}

/// How far a filter distance s can be from the real squared distance D of the scaled row and centroid:
/// |s − D| ≤ γD + a.
///
/// With u = 2^-24, a difference carries one factor 1 + δ, |δ| ≤ u, and never underflows; its square
/// enters the sum with one more such factor and, where the sum is subnormal, an error of 2^-150. All
/// terms are non-negative, so |s − D'| ≤ γ₍ₙ₊₂₎ D' + 2n · 2^-150 with γₘ = mu / (1 − mu).
///
/// D' is D but for components that scaling rounded, each by at most 2^-150. Components are below 2^57
/// (those of a centroid of norm 1 may exceed all of its rows', √dim-fold at most), so |D' − D| ≤ n ·
/// 2^-89. Together a = n · 2^-80 is ample, and beside components of 2^40 it is nothing. γ₍ₙ₊₄₎ leaves room
/// for the f64 roundings of the comparison.
struct Bound {
    relative: f64,
    absolute: f64,
}

impl Bound {
    fn new(dim: usize) -> Self {
        let mu = (dim as f64 + 4.0) * f64::from(f32::EPSILON / 2.0);
        // From 2^23 dimensions on nothing is ever sure.
        let relative = if mu < 0.5 { mu / (1.0 - mu) } else { 1.0 };
        Self { relative, absolute: libm::ldexp(dim as f64, -80) }
    }

    /// Whether the real distance behind `a` is less than the one behind `b`: D_a ≤ (a + abs) / (1 − γ) and
    /// (b − abs) / (1 + γ) ≤ D_b.
    #[inline(always)]
    fn surely_less(&self, a: f32, b: f32) -> bool {
        (f64::from(a) + self.absolute) * (1.0 + self.relative)
            < (f64::from(b) - self.absolute) * (1.0 - self.relative)
    }
}
