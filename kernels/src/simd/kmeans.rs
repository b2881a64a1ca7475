//! k-means on f32 rows, in parallel over fixed tasks of rows.
//!
//! Rows are rounded to bytes once and meet the centroids of every round in tile products, which leave most
//! of them one possible centroid (`assign`). What bytes cannot tell is left to f32 distances (`float`) and
//! to the exact comparison, so the answer is that of the scalar loop. Seeding asks bytes which rows a
//! candidate may come nearer to, and computes only their distances (`seeds`).

mod assign;
mod float;
mod seeds;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use self::assign::Assign;
use self::seeds::Seeds;
use super::nearest::{BytePoints, Frame};
use super::tile::DIM_LIMIT;
use crate::error::KernelError;
use crate::isa::Level;
use crate::kmeans::{
    Clusters, DensePoints, KMeans, KMeansOptions, Points, TASK, Weight, potentials, train_dense,
};
use crate::types::DenseView;

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
    /// The rows of each task as bytes; none where a dot product of bytes might not fit 32 bits.
    bytes: Vec<BytePoints>,
}

impl<'a> Rows<'a> {
    fn pack(level: Level, points: DensePoints<'a>) -> Self {
        let (rows, dim) = (points.rows(), points.dim());
        let sample = (0..rows).step_by((rows / SAMPLE).max(1)).map(|row| points.row(row));
        let frame = Frame::new(dim, points.unit_exponent(), sample);
        let tasks = if dim < DIM_LIMIT { rows.div_ceil(TASK) } else { 0 };
        let bytes = (0..tasks).into_par_iter().map(|task| {
            let first = task * TASK;
            let rows = first..(first + TASK).min(rows);
            BytePoints::round(level, &frame, rows, |row| points.row(row))
        });
        let bytes = bytes.collect();
        Self { level, points, frame, bytes }
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

    fn distances(&self, candidates: &[usize], nearest: &[f32], out: &mut [f32], sums: &mut [f64]) {
        let seeds = Seeds::new(self, candidates);
        let trials = candidates.len();
        let tasks = nearest.par_chunks(TASK).zip(out.par_chunks_mut(TASK * trials));
        let tasks = tasks.zip(sums.par_chunks_exact_mut(trials)).enumerate();
        tasks.for_each(|(task, ((nearest, out), sums))| {
            let first = task * TASK;
            let rows = first..(first + TASK).min(self.rows());
            seeds.distances(rows.clone(), self.bytes.get(task), &nearest[..rows.len()], out);
            self.level.dispatch(Potentials { nearest, distances: out, sums });
        });
    }

    fn assign(&self, centroids: &[f32]) -> Vec<u32> {
        let assign = Assign::new(self.level, &self.points, &self.frame, centroids);
        let mut assignments = vec![0; self.rows()];
        let tasks = assignments.par_chunks_mut(TASK).enumerate();
        tasks.for_each(|(task, out)| assign.rows(task * TASK, self.bytes.get(task), out));
        assignments
    }

    fn update(&self, clusters: &Clusters, changed: &[bool], centroids: &mut [f32]) {
        let dim = self.points.dim();
        let centroids = centroids.par_chunks_exact_mut(dim).enumerate();
        centroids.filter(|&(id, _)| changed[id]).for_each_init(
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

/// Sums what the rows of one task would have for each candidate.
pub(super) struct Potentials<'a, W: Weight> {
    pub(super) nearest: &'a [W],
    pub(super) distances: &'a [W],
    pub(super) sums: &'a mut [W::Sum],
}

impl<W: Weight> WithSimd for Potentials<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        potentials(self.nearest, self.distances, self.sums);
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
    use crate::kmeans::{BLOCK, nearest};
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
        fn distances_that_matter_are_one_fused_chain(
            (dim, data) in (1usize..70).prop_flat_map(|dim| (Just(dim), rows(dim, 40))),
            limits in proptest::collection::vec(prop_oneof![Just(f32::INFINITY), Just(0.0), 0.0f32..2.0], 48),
        ) {
            packed(&data, dim, |isa, rows| {
                let candidates = [3, 0, 39, 3, 7, 8, 9, 10, 11];
                let chain = |row: usize, candidate: usize| {
                    rows.row(row).iter().zip(rows.row(candidate)).fold(0.0f32, |sum, (&x, &c)| {
                        let difference = rows.points.scaled(x) - rows.points.scaled(c);
                        difference.mul_add(difference, sum)
                    })
                };
                // What a row has: nothing yet, itself, or near its least distance.
                let has = |row: usize| {
                    let least = candidates.map(|c| chain(row, c)).into_iter().fold(f32::INFINITY, f32::min);
                    if limits[row] < 2.0 { limits[row] * least } else { f32::INFINITY }
                };
                let nearest: Vec<f32> = (0..48).map(|row| if row < 40 { has(row) } else { 0.0 }).collect();
                let mut out = vec![0.0; 48 * candidates.len()];
                rows.distances(&candidates, &nearest, &mut out, &mut [0.0; 9]);
                for (row, &nearest) in nearest[..40].iter().enumerate() {
                    for (trial, &candidate) in candidates.iter().enumerate() {
                        let slot = (row / BLOCK * candidates.len() + trial) * BLOCK + row % BLOCK;
                        let (got, expected) = (out[slot].min(nearest), chain(row, candidate).min(nearest));
                        assert_eq!(got.to_bits(), expected.to_bits(), "{isa}: row {row}, candidate {candidate}");
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
            packed(&halfway, dim, |isa, rows| {
                let expected: Vec<u32> = (0..20).map(|row| nearest(rows.row(row), &data, 0..20)).collect();
                assert_eq!(rows.assign(&data), expected, "{isa}");
            });
        }
    }
}
