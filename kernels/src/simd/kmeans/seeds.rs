//! Distances of all rows from the candidates of a seed, as far as they matter: where bytes prove that a
//! candidate is no nearer than what a row has, its distance stays infinite.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Rows;
use crate::kmeans::{BLOCK, DensePoints};
use crate::simd::nearest::{ByteCentroids, BytePoints, perhaps_nearer};

/// Chains of multiply-adds that run side by side, to hide the time each waits for its last step.
const CHAINS: usize = 16;
/// Differences that are made at a time.
const LANES: usize = 16;

/// The candidates of one seed.
pub(super) struct Seeds<'a> {
    rows: &'a Rows<'a>,
    candidates: &'a [usize],
    /// None where the rows have no bytes.
    bytes: Option<ByteCentroids>,
}

impl<'a> Seeds<'a> {
    pub(super) fn new(rows: &'a Rows<'a>, candidates: &'a [usize]) -> Self {
        let centroids = || candidates.iter().map(|&row| rows.points.row(row));
        let bytes = (!rows.bytes.is_empty()).then(|| ByteCentroids::round(&rows.frame, true, centroids()));
        Self { rows, candidates, bytes }
    }

    /// Fills the blocks `out` of the rows `rows`, whose bytes are `points` and which have `nearest` so far.
    pub(super) fn distances(
        &self,
        rows: Range<usize>,
        points: Option<&BytePoints>,
        nearest: &[f32],
        out: &mut [f32],
    ) {
        out.fill(f32::INFINITY);
        let mut near = Vec::new();
        if let (Some(points), Some(bytes)) = (points, &self.bytes) {
            let to_frame = DensePoints::unscaled_square();
            let squares: Vec<f32> = nearest.iter().map(|&square| square * to_frame).collect();
            perhaps_nearer(self.rows.level, points, bytes, &squares, &mut near);
        } else {
            let trials = 0..self.candidates.len() as u32;
            near.extend((0..rows.len() as u32).flat_map(|row| trials.clone().map(move |trial| (row, trial))));
        }
        self.rows.level.dispatch(Exact { seeds: self, first: rows.start, near: &near, out });
    }
}

/// Computes the distances of the pairs `near` of a row, counted from `first`, and a candidate.
struct Exact<'a> {
    seeds: &'a Seeds<'a>,
    first: usize,
    near: &'a [(u32, u32)],
    out: &'a mut [f32],
}

impl WithSimd for Exact<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { seeds, first, near, out } = self;
        let candidates = seeds.candidates;
        let sides = |&(row, trial): &(u32, u32)| {
            let (row, candidate) = (first + row as usize, candidates[trial as usize]);
            (seeds.rows.scaled_row(row), seeds.rows.scaled_row(candidate))
        };
        let slot = |&(row, trial): &(u32, u32)| {
            let (row, trial) = (row as usize, trial as usize);
            (row / BLOCK * candidates.len() + trial) * BLOCK + row % BLOCK
        };
        let (groups, rest) = near.as_chunks::<CHAINS>();
        for group in groups {
            let sums = chains(group.each_ref().map(sides));
            for (pair, sum) in group.iter().zip(sums) {
                out[slot(pair)] = sum;
            }
        }
        for pair in rest {
            let [sum] = chains([sides(pair)]);
            out[slot(pair)] = sum;
        }
    }
}

/// D² of each pair: one chain of fused multiply-adds of (x − c), in ascending dimension.
#[inline(always)]
fn chains<const N: usize>(pairs: [(&[f32], &[f32]); N]) -> [f32; N] {
    let dim = pairs[0].0.len();
    let mut sums = [0.0f32; N];
    let mut differences = [[0.0; LANES]; N];
    for first in (0..dim).step_by(LANES) {
        let len = (dim - first).min(LANES);
        for (differences, (x, c)) in differences.iter_mut().zip(pairs) {
            let (x, c) = (&x[first..first + len], &c[first..first + len]);
            for ((difference, &x), &c) in differences.iter_mut().zip(x).zip(c) {
                *difference = x - c;
            }
            // Zeros leave a sum as it is.
            differences[len..].fill(0.0);
        }
        for i in 0..LANES {
            for (sum, differences) in sums.iter_mut().zip(&differences) {
                *sum = differences[i].mul_add(differences[i], *sum);
            }
        }
    }
    sums
}
