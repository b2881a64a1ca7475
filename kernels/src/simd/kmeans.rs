//! k-means on f32 rows: one lane is one row, eight centroids at a time, in parallel over blocks of rows.
//!
//! Rows are packed once into panels of [`BLOCK`] rows, dimension by dimension, so that a lane runs through
//! its row's chain of multiply-adds in ascending dimension and needs no horizontal sum: the same additions
//! in the same order as the scalar loop, hence the same bytes. Assignment uses these distances as a
//! filter, and rows that they cannot decide are decided exactly.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::error::KernelError;
use crate::isa::Level;
use crate::kmeans::{BLOCK, Clusters, DensePoints, KMeans, KMeansOptions, Points, nearest, train_dense};
use crate::types::DenseView;

/// Centroids whose sums stay in registers while a panel passes.
const TILE: usize = 8;
/// Panels of one task.
const PANELS_PER_TASK: usize = 64;

/// Clusters the rows of `view`: the answer of the scalar `kmeans`.
///
/// # Errors
/// As [`DensePoints::new`].
pub(crate) fn kmeans(
    level: Level,
    view: &DenseView<'_>,
    options: &KMeansOptions,
) -> Result<KMeans, KernelError> {
    train_dense(&Panels::pack(level, DensePoints::new(*view, options.metric)?), view.dim(), options)
}

struct Panels<'a> {
    level: Level,
    points: DensePoints<'a>,
    /// Scaled rows, `[panel][dimension][lane]`; lanes behind the last row are zero.
    panels: Vec<[f32; BLOCK]>,
}

impl<'a> Panels<'a> {
    fn pack(level: Level, points: DensePoints<'a>) -> Self {
        let (rows, dim) = (points.rows(), points.dim());
        let mut panels = vec![[0.0; BLOCK]; rows.div_ceil(BLOCK) * dim];
        panels.par_chunks_exact_mut(dim.max(1)).enumerate().for_each(|(panel, out)| {
            for (lane, row) in (panel * BLOCK..rows).take(BLOCK).enumerate() {
                for (out, &x) in out.iter_mut().zip(points.row(row)) {
                    out[lane] = points.scaled(x);
                }
            }
        });
        Self { level, points, panels }
    }

    /// Scaled centroids, `[tile][dimension][centroid]`; the last tile is filled up with infinity, which is
    /// infinitely far from every row.
    fn tiles<'c>(&self, centroids: impl ExactSizeIterator<Item = &'c [f32]>) -> Vec<[f32; TILE]> {
        let dim = self.points.dim();
        let mut tiles = vec![[f32::INFINITY; TILE]; centroids.len().div_ceil(TILE) * dim];
        for (id, centroid) in centroids.enumerate() {
            for (tile, &c) in tiles[id / TILE * dim..].iter_mut().zip(centroid) {
                tile[id % TILE] = self.points.scaled(c);
            }
        }
        tiles
    }
}

impl Points for Panels<'_> {
    type Value = f32;
    type Weight = f32;
    type Deviation = f64;

    fn rows(&self) -> usize {
        self.points.rows()
    }

    fn row(&self, row: usize) -> &[f32] {
        self.points.row(row)
    }

    fn distances(&self, candidates: &[usize], out: &mut [f32]) {
        let dim = self.points.dim();
        let tiles = self.tiles(candidates.iter().map(|&row| self.row(row)));
        let panels = self.panels.par_chunks(PANELS_PER_TASK * dim);
        let out = out.par_chunks_mut(PANELS_PER_TASK * BLOCK * candidates.len());
        panels.zip(out).for_each(|(panels, out)| {
            self.level.dispatch(Distances { dim, panels, tiles: &tiles, candidates: candidates.len(), out });
        });
    }

    fn assign(&self, centroids: &[f32]) -> Vec<u32> {
        let dim = self.points.dim();
        let tiles = self.tiles(centroids.chunks_exact(dim));
        let mut assignments = vec![0; self.rows()];
        let panels = self.panels.par_chunks(PANELS_PER_TASK * dim).enumerate();
        let out = assignments.par_chunks_mut(PANELS_PER_TASK * BLOCK);
        panels.zip(out).for_each(|((task, panels), out)| {
            let first = task * PANELS_PER_TASK * BLOCK;
            self.level.dispatch(Assign {
                points: &self.points,
                first,
                panels,
                tiles: &tiles,
                centroids,
                out,
            });
        });
        assignments
    }

    fn update(&self, clusters: &Clusters, centroids: &mut [f32]) {
        let dim = self.points.dim();
        centroids.par_chunks_exact_mut(dim).enumerate().for_each_init(
            || vec![0.0; dim],
            |sums, (id, centroid)| {
                let members = clusters.members(id);
                self.level.dispatch(Mean { points: &self.points, members, sums, centroid });
            },
        );
    }

    fn deviations(&self, centroids: &[f32], assignments: &[u32]) -> Vec<f64> {
        let rows = assignments.par_iter().enumerate();
        rows.map(|(row, &id)| self.points.deviation(row, id, centroids)).collect()
    }
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

struct Distances<'a> {
    dim: usize,
    panels: &'a [[f32; BLOCK]],
    tiles: &'a [[f32; TILE]],
    candidates: usize,
    out: &'a mut [f32],
}

impl WithSimd for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let blocks = self.out.chunks_exact_mut(BLOCK * self.candidates);
        for (panel, block) in self.panels.chunks_exact(self.dim).zip(blocks) {
            let (block, _) = block.as_chunks_mut::<BLOCK>();
            for (tile, out) in self.tiles.chunks_exact(self.dim).zip(block.chunks_mut(TILE)) {
                for part in 0..BLOCK / S::F32_LANES {
                    for (out, distances) in out.iter_mut().zip(tile_distances(simd, panel, part, tile)) {
                        S::as_mut_simd_f32s(out).0[part] = distances;
                    }
                }
            }
        }
    }
}

struct Assign<'a> {
    points: &'a DensePoints<'a>,
    /// First row of the task.
    first: usize,
    panels: &'a [[f32; BLOCK]],
    tiles: &'a [[f32; TILE]],
    centroids: &'a [f32],
    out: &'a mut [u32],
}

impl WithSimd for Assign<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let dim = self.points.dim();
        let bound = Bound::new(dim);
        let blocks = self.out.chunks_mut(BLOCK);
        for (panel, (first, out)) in
            self.panels.chunks_exact(dim).zip((self.first..).step_by(BLOCK).zip(blocks))
        {
            let mut two = NearestTwo::default();
            for part in 0..BLOCK / S::F32_LANES {
                two.find(simd, panel, part, self.tiles);
            }
            for (lane, out) in out.iter_mut().enumerate() {
                *out = if bound.surely_less(two.least[lane], two.second[lane]) {
                    two.id[lane]
                } else {
                    nearest(self.points.row(first + lane), self.centroids)
                };
            }
        }
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

struct Mean<'a> {
    points: &'a DensePoints<'a>,
    members: &'a [u32],
    sums: &'a mut [f64],
    centroid: &'a mut [f32],
}

impl WithSimd for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.points.mean(self.members, self.sums, self.centroid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::types::Metric;
    use proptest::prelude::*;

    /// Calls `check` with `data` packed for every level of this machine.
    fn packed(data: &[f32], dim: usize, check: impl Fn(Isa, &Panels<'_>)) {
        for level in Isa::available().into_iter().filter_map(Level::open) {
            let view = DenseView::new(data, data.len() / dim, dim).unwrap();
            check(level.isa(), &Panels::pack(level, DensePoints::new(view, Metric::L2).unwrap()));
        }
    }

    fn rows(dim: usize, rows: usize) -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(
            prop_oneof![-1.0f32..1.0, (-9i8..9).prop_map(|n| 1.0 + f32::from(n) * 1e-4)],
            dim * rows,
        )
    }

    proptest! {
        #[test]
        fn distances_are_one_fused_chain((dim, data) in (1usize..70).prop_flat_map(|dim| (Just(dim), rows(dim, 20)))) {
            packed(&data, dim, |isa, panels| {
                let candidates = [3, 0, 19, 3, 7, 8, 9, 10, 11];
                let mut out = vec![0.0; 32 * candidates.len()];
                panels.distances(&candidates, &mut out);
                for row in 0..20 {
                    for (trial, &candidate) in candidates.iter().enumerate() {
                        let chain = panels.row(row).iter().zip(panels.row(candidate)).fold(0.0f32, |sum, (&x, &c)| {
                            let difference = panels.points.scaled(x) - panels.points.scaled(c);
                            difference.mul_add(difference, sum)
                        });
                        let slot = (row / BLOCK * candidates.len() + trial) * BLOCK + row % BLOCK;
                        assert_eq!(out[slot].to_bits(), chain.to_bits(), "{isa}: row {row}, candidate {candidate}");
                    }
                }
            });
        }

        #[test]
        fn rows_halfway_between_centroids_are_decided_exactly(
            (dim, data) in (1usize..70).prop_flat_map(|dim| (Just(dim), rows(dim, 20))),
        ) {
            // Row i becomes the middle of rows i − 1 and i − 2, but for rounding: closer than f32 sums can
            // tell.
            let mut halfway = data.clone();
            for i in 2 * dim..data.len() {
                halfway[i] = (data[i - dim] + data[i - 2 * dim]) / 2.0;
            }
            packed(&halfway, dim, |isa, panels| {
                let expected: Vec<u32> = (0..20).map(|row| nearest(panels.row(row), &data)).collect();
                assert_eq!(panels.assign(&data), expected, "{isa}");
            });
        }
    }
}
