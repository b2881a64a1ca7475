//! k-means on f32 rows: one row and one centroid at a time.

use crate::error::KernelError;
use crate::kmeans::{
    BLOCK, Clusters, DensePoints, KMeans, KMeansOptions, Points, TASK, nearest, potentials, train_dense,
};
use crate::types::DenseView;

/// Clusters the rows of `view`. Cost: `rows × k × dim` multiply-adds a move, and as many per trial to seed.
///
/// # Errors
/// As [`DensePoints::new`].
pub(crate) fn kmeans(view: &DenseView<'_>, options: &KMeansOptions) -> Result<KMeans, KernelError> {
    train_dense(&Rows(DensePoints::new(*view, options.metric)?), view.dim(), options)
}

struct Rows<'a>(DensePoints<'a>);

impl Points for Rows<'_> {
    type Value = f32;
    type Weight = f32;
    type Deviation = f64;

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn row(&self, row: usize) -> &[f32] {
        self.0.row(row)
    }

    fn distances(&self, candidates: &[usize], nearest: &[f32], out: &mut [f32], sums: &mut [f64]) {
        for row in 0..self.rows() {
            for (trial, &candidate) in candidates.iter().enumerate() {
                let slot = (row / BLOCK * candidates.len() + trial) * BLOCK + row % BLOCK;
                out[slot] = self.fused_squared_distance(row, candidate);
            }
        }
        let trials = candidates.len();
        let tasks = nearest.chunks(TASK).zip(out.chunks(TASK * trials)).zip(sums.chunks_exact_mut(trials));
        for ((nearest, distances), sums) in tasks {
            potentials(nearest, distances, sums);
        }
    }

    fn assign(&self, centroids: &[f32]) -> Vec<u32> {
        let ids = || (0..).take(centroids.len() / self.0.dim());
        (0..self.rows()).map(|row| nearest(self.row(row), centroids, ids())).collect()
    }

    fn update(&self, clusters: &Clusters, changed: &[bool], centroids: &mut [f32]) {
        let mut sums = vec![0.0; self.0.dim()];
        for (id, centroid) in
            centroids.chunks_exact_mut(self.0.dim()).enumerate().filter(|&(id, _)| changed[id])
        {
            self.0.mean(clusters.members(id), &mut sums, centroid);
        }
    }

    fn deviations(&self, centroids: &[f32], assignments: &[u32]) -> Vec<f64> {
        assignments.iter().enumerate().map(|(row, &id)| self.0.deviation(row, id, centroids)).collect()
    }
}

impl Rows<'_> {
    /// D² in f32: one chain of fused multiply-adds of (x − c), in ascending dimension.
    fn fused_squared_distance(&self, row: usize, candidate: usize) -> f32 {
        self.row(row).iter().zip(self.row(candidate)).fold(0.0, |sum, (&x, &c)| {
            let difference = self.0.scaled(x) - self.0.scaled(c);
            difference.mul_add(difference, sum)
        })
    }
}
