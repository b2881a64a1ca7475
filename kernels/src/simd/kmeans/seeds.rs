//! Distances of all rows from the candidates of a seed, as far as they matter: where bytes prove that a
//! candidate is no nearer than what a row has, its distance stays infinite.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Rows;
use crate::kmeans::{BLOCK, DensePoints};
use crate::simd::lanes::{DEPTH, Pairs, Parts, ROWS, transposed};
use crate::simd::nearest::{ByteCentroids, BytePoints, perhaps_nearer};
use crate::simd::stream::prefetch;

/// Lines of a row that are asked for; the processor sees by itself that more are wanted.
const LINES: usize = 16;
/// Values of a cache line.
const LINE: usize = 16;

/// The candidates of one seed.
pub(super) struct Seeds<'a> {
    rows: &'a Rows<'a>,
    trials: usize,
    /// The candidates, scaled.
    scaled: Vec<f32>,
    /// None where the rows have no bytes.
    bytes: Option<ByteCentroids>,
}

impl<'a> Seeds<'a> {
    pub(super) fn new(rows: &'a Rows<'a>, candidates: &'a [usize]) -> Self {
        let centroids = || candidates.iter().map(|&row| rows.points.row(row));
        let bytes = (!rows.bytes.is_empty()).then(|| ByteCentroids::round(&rows.frame, true, centroids()));
        let scaled = centroids().flatten().map(|&c| rows.points.scaled(c)).collect();
        Self { rows, trials: candidates.len(), scaled, bytes }
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
            let trials = 0..self.trials as u32;
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
        let Seeds { rows, trials, .. } = *seeds;
        let dim = rows.points.dim();
        let row = |&(row, _): &(u32, u32)| rows.points.row(first + row as usize);
        let candidate = |&(_, trial): &(u32, u32)| &seeds.scaled[trial as usize * dim..][..dim];
        let slot = |&(row, trial): &(u32, u32)| {
            let (row, trial) = (row as usize, trial as usize);
            (row / BLOCK * trials + trial) * BLOCK + row % BLOCK
        };
        for (group, next) in near.chunks(ROWS).zip(near.chunks(ROWS).skip(1).chain([&[][..]])) {
            // Rows lie far apart: the next ones are asked for in time.
            for pair in next {
                for line in row(pair).chunks(LINE).take(LINES) {
                    prefetch(&line[0], 0);
                }
            }
            // Behind the last pair it again.
            let pairs = std::array::from_fn(|lane| {
                let pair = &group[lane.min(group.len() - 1)];
                (row(pair), candidate(pair))
            });
            for (pair, square) in group.iter().zip(squares(rows, &pairs)) {
                out[slot(pair)] = square;
            }
        }
    }
}

/// D² of each pair of a row and a scaled candidate: one chain of fused multiply-adds of (x − c), in ascending
/// dimension. Zeros leave it as it is.
#[inline(always)]
fn squares(rows: &Rows<'_>, pairs: &Pairs<'_>) -> [f32; ROWS] {
    let mut sums = [0.0f32; ROWS];
    let parts = Parts::new(pairs);
    for part in 0..parts.len() {
        let [x, c] = parts.get(part);
        let mut differences = [[0.0; DEPTH]; ROWS];
        for row in 0..ROWS {
            for i in 0..DEPTH {
                differences[row][i] = rows.points.scaled(x[row][i]) - c[row][i];
            }
        }
        for differences in transposed(rows.level, differences.each_ref()) {
            for (sum, difference) in sums.iter_mut().zip(differences) {
                *sum = difference.mul_add(difference, *sum);
            }
        }
    }
    sums
}
