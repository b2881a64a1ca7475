//! k-means on integer codes: the scalar loops, compiled for the level, in parallel over blocks of rows.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::error::KernelError;
use crate::isa::Level;
use crate::kmeans::{
    BLOCK, Clusters, CodePoints, KMeansCodes, KMeansCodesOptions, Points, nearest_code, squared_distance,
    train_codes,
};

/// Rows of one task.
const ROWS_PER_TASK: usize = 64 * BLOCK;

/// Clusters the rows of `dim` codes each: the answer of the scalar `kmeans_codes`.
///
/// # Errors
/// As [`CodePoints::new`].
pub(crate) fn kmeans_codes(
    level: Level,
    codes: &[i8],
    dim: u32,
    options: &KMeansCodesOptions,
) -> Result<KMeansCodes, KernelError> {
    train_codes(&Rows { level, points: CodePoints::new(codes, dim, options)? }, dim, options)
}

struct Rows<'a> {
    level: Level,
    points: CodePoints<'a>,
}

impl Points for Rows<'_> {
    type Value = i8;
    type Weight = u32;
    type Deviation = u32;

    fn rows(&self) -> usize {
        self.points.rows()
    }

    fn row(&self, row: usize) -> &[i8] {
        self.points.row(row)
    }

    fn distances(&self, candidates: &[usize], out: &mut [u32]) {
        let tasks = out.par_chunks_mut(ROWS_PER_TASK * candidates.len()).enumerate();
        tasks.for_each(|(task, out)| {
            self.level.dispatch(Distances {
                points: &self.points,
                candidates,
                first: task * ROWS_PER_TASK,
                out,
            });
        });
    }

    fn assign(&self, centroids: &[i8]) -> Vec<u32> {
        let mut assignments = vec![0; self.rows()];
        let tasks = assignments.par_chunks_mut(ROWS_PER_TASK).enumerate();
        tasks.for_each(|(task, out)| {
            self.level.dispatch(Assign { points: &self.points, centroids, first: task * ROWS_PER_TASK, out });
        });
        assignments
    }

    fn update(&self, clusters: &Clusters, centroids: &mut [i8]) {
        let dim = self.points.dim();
        centroids.par_chunks_exact_mut(dim).enumerate().for_each_init(
            || vec![0; dim],
            |sums, (id, centroid)| {
                let members = clusters.members(id);
                self.level.dispatch(Mean { points: &self.points, members, sums, centroid });
            },
        );
    }

    fn deviations(&self, centroids: &[i8], assignments: &[u32]) -> Vec<u32> {
        let rows = assignments.par_iter().enumerate();
        rows.map(|(row, &id)| self.points.deviation(row, id, centroids)).collect()
    }
}

struct Distances<'a> {
    points: &'a CodePoints<'a>,
    candidates: &'a [usize],
    first: usize,
    out: &'a mut [u32],
}

impl WithSimd for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.first..self.points.rows();
        for (block, out) in self.out.chunks_exact_mut(BLOCK * self.candidates.len()).enumerate() {
            for (&candidate, out) in self.candidates.iter().zip(out.chunks_exact_mut(BLOCK)) {
                let candidate = self.points.row(candidate);
                for (row, out) in rows.clone().skip(block * BLOCK).zip(out) {
                    *out = squared_distance(self.points.row(row), candidate);
                }
            }
        }
    }
}

struct Assign<'a> {
    points: &'a CodePoints<'a>,
    centroids: &'a [i8],
    first: usize,
    out: &'a mut [u32],
}

impl WithSimd for Assign<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, out) in (self.first..).zip(self.out) {
            *out = nearest_code(self.points.row(row), self.centroids);
        }
    }
}

struct Mean<'a> {
    points: &'a CodePoints<'a>,
    members: &'a [u32],
    sums: &'a mut [i64],
    centroid: &'a mut [i8],
}

impl WithSimd for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.points.mean(self.members, self.sums, self.centroid);
    }
}
