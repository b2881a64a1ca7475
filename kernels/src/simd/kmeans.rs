//! k-means on f32 rows, in parallel over fixed tasks of rows.
//!
//! Rows are rounded to bytes once and meet the centroids of every round in tile products, which leave most
//! of them one possible centroid (`assign`). What bytes cannot tell is left to f32 distances (`float`) and
//! to the exact comparison, so the answer is that of the scalar loop.

mod assign;
mod float;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use self::assign::Assign;
use self::float::{TILE, fill_panel, tile_distances, tiles};
use super::nearest::{BytePoints, Frame};
use crate::error::KernelError;
use crate::isa::Level;
use crate::kmeans::{BLOCK, Clusters, DensePoints, KMeans, KMeansOptions, Points, train_dense};
use crate::types::DenseView;

/// Rows of one task: whole panels of either kind.
const ROWS_PER_TASK: usize = 1024;
/// Rows from which the centre is taken, at least.
const SAMPLE: usize = 1024;

/// Clusters the rows of `view`: the answer of the scalar `kmeans`.
///
/// # Errors
/// As [`DensePoints::new`].
pub(crate) fn kmeans(
    level: Level,
    view: &DenseView<'_>,
    options: &KMeansOptions,
) -> Result<KMeans, KernelError> {
    train_dense(&Rows::pack(level, DensePoints::new(*view, options.metric)?), view.dim(), options)
}

struct Rows<'a> {
    level: Level,
    points: DensePoints<'a>,
    frame: Frame,
    /// The rows of each task as bytes.
    bytes: Vec<BytePoints>,
    /// Scaled rows, `[panel][dimension][lane]`; lanes behind the last row are zero.
    panels: Vec<[f32; BLOCK]>,
}

impl<'a> Rows<'a> {
    fn pack(level: Level, points: DensePoints<'a>) -> Self {
        let (rows, dim) = (points.rows(), points.dim());
        let sample = (0..rows).step_by((rows / SAMPLE).max(1)).map(|row| points.row(row));
        let frame = Frame::new(dim, points.unit_exponent(), sample);
        let tasks = (0..rows).into_par_iter().step_by(ROWS_PER_TASK);
        let bytes = tasks
            .map(|first| {
                let task = first..(first + ROWS_PER_TASK).min(rows);
                BytePoints::round(level, &frame, task, |row| points.row(row))
            })
            .collect();
        let mut panels = vec![[0.0; BLOCK]; rows.div_ceil(BLOCK) * dim];
        panels.par_chunks_exact_mut(dim.max(1)).enumerate().for_each(|(panel, out)| {
            fill_panel(&points, (panel * BLOCK..rows).take(BLOCK), out);
        });
        Self { level, points, frame, bytes, panels }
    }
}

impl Points for Rows<'_> {
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
        let tiles = tiles(&self.points, candidates.iter().map(|&row| self.row(row)));
        let panels = self.panels.par_chunks(ROWS_PER_TASK / BLOCK * dim);
        let out = out.par_chunks_mut(ROWS_PER_TASK * candidates.len());
        panels.zip(out).for_each(|(panels, out)| {
            self.level.dispatch(Distances { dim, panels, tiles: &tiles, candidates: candidates.len(), out });
        });
    }

    fn assign(&self, centroids: &[f32]) -> Vec<u32> {
        let assign = Assign::new(self.level, &self.points, &self.frame, centroids);
        let mut assignments = vec![0; self.rows()];
        let tasks = assignments.par_chunks_mut(ROWS_PER_TASK).zip(&self.bytes).enumerate();
        tasks.for_each(|(task, (out, bytes))| assign.rows(task * ROWS_PER_TASK, bytes, out));
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
    use crate::kmeans::nearest;
    use crate::types::Metric;
    use proptest::prelude::*;

    /// Calls `check` with `data` packed for every level of this machine.
    fn packed(data: &[f32], dim: usize, check: impl Fn(Isa, &Rows<'_>)) {
        for level in Isa::available().into_iter().filter_map(Level::open) {
            let view = DenseView::new(data, data.len() / dim, dim).unwrap();
            check(level.isa(), &Rows::pack(level, DensePoints::new(view, Metric::L2).unwrap()));
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
                let expected: Vec<u32> = (0..20).map(|row| nearest(panels.row(row), &data, 0..20)).collect();
                assert_eq!(panels.assign(&data), expected, "{isa}");
            });
        }
    }
}
