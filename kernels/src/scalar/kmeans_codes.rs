//! k-means on integer codes: one row and one centroid at a time.

use crate::error::KernelError;
use crate::kmeans::{
    BLOCK, Clusters, CodePoints, KMeansCodes, KMeansCodesOptions, Points, TASK, nearest_code, potentials,
    squared_distance, train_codes,
};

/// Clusters the rows of `dim` codes each. Cost: as `kmeans`.
///
/// # Errors
/// As [`CodePoints::new`].
pub(crate) fn kmeans_codes(
    codes: &[i8],
    dim: u32,
    options: &KMeansCodesOptions,
) -> Result<KMeansCodes, KernelError> {
    train_codes(&Rows(CodePoints::new(codes, dim, options)?), dim, options)
}

struct Rows<'a>(CodePoints<'a>);

impl Points for Rows<'_> {
    type Value = i8;
    type Weight = u32;
    type Deviation = u32;

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn row(&self, row: usize) -> &[i8] {
        self.0.row(row)
    }

    fn distances(&self, candidates: &[usize], nearest: &[u32], out: &mut [u32], sums: &mut [u64]) {
        for row in 0..self.rows() {
            for (trial, &candidate) in candidates.iter().enumerate() {
                let slot = (row / BLOCK * candidates.len() + trial) * BLOCK + row % BLOCK;
                out[slot] = squared_distance(self.row(row), self.row(candidate));
            }
        }
        let trials = candidates.len();
        let tasks = nearest.chunks(TASK).zip(out.chunks(TASK * trials)).zip(sums.chunks_exact_mut(trials));
        for ((nearest, distances), sums) in tasks {
            potentials(nearest, distances, sums);
        }
    }

    fn assign(&self, centroids: &[i8]) -> Vec<u32> {
        (0..self.rows()).map(|row| nearest_code(self.row(row), centroids)).collect()
    }

    fn update(&self, clusters: &Clusters, changed: &[bool], centroids: &mut [i8]) {
        let mut sums = vec![0; self.0.dim()];
        for (id, centroid) in
            centroids.chunks_exact_mut(self.0.dim()).enumerate().filter(|&(id, _)| changed[id])
        {
            self.0.mean(clusters.members(id), &mut sums, centroid);
        }
    }

    fn deviations(&self, centroids: &[i8], assignments: &[u32]) -> Vec<u32> {
        assignments.iter().enumerate().map(|(row, &id)| self.0.deviation(row, id, centroids)).collect()
    }
}
