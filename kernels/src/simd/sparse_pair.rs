//! Scores of pairs of sparse rows; `intersect.rs` finds where two rows meet.

use rayon::prelude::*;

use super::intersect::{Matches, PositionTable, by_windows};
use crate::isa::Level;
use crate::sparse_score::score;
use crate::types::{Measure, SparseBatch};

/// Pairs of one task. Fixed, so the work is cut the same for every number of threads.
const PAIRS_PER_TASK: usize = 1_024;
/// The largest dimension for which a task keeps a table of positions: 256 KiB, a share of one core's cache.
const MAX_TABLE_DIM: usize = 65_536;
/// Components of the table that each pair of the task pays for with the time it saves.
const TABLE_DIM_PER_PAIR: usize = 64;

/// The score of each listed pair of a row of `left` and a row of `right`.
pub(crate) fn sparse_pair(
    level: Level,
    left: &SparseBatch<'_>,
    right: &SparseBatch<'_>,
    pairs: &[(u32, u32)],
    measure: Measure,
) -> Vec<f64> {
    let task = |pairs: &[(u32, u32)]| level.dispatch(Score { left, right, pairs, measure });
    pairs.par_chunks(PAIRS_PER_TASK).map(task).collect::<Vec<_>>().concat()
}

/// Scores the pairs of one task.
struct Score<'a> {
    left: &'a SparseBatch<'a>,
    right: &'a SparseBatch<'a>,
    pairs: &'a [(u32, u32)],
    measure: Measure,
}

impl pulp::WithSimd for Score<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Vec<f64> {
        let Self { left, right, pairs, measure } = self;
        let mut matches = Matches::default();
        let mut scores = Vec::with_capacity(pairs.len());
        if left.dim() as usize <= MAX_TABLE_DIM.min(pairs.len() * TABLE_DIM_PER_PAIR) {
            let mut table = PositionTable::new(left.dim());
            // Pairs of one row follow each other in a one-to-many call: the table then stays as it is.
            for pairs in pairs.chunk_by(|p, q| p.0 == q.0) {
                let a = left.row(pairs[0].0 as usize);
                table.enter(a.0);
                for &(_, j) in pairs {
                    let b = right.row(j as usize);
                    scores.push(score(measure, a, b, table.meet(b.0, &mut matches).iter().copied()));
                }
                table.leave(a.0);
            }
        } else {
            for &(i, j) in pairs {
                let (a, b) = (left.row(i as usize), right.row(j as usize));
                scores.push(score(measure, a, b, by_windows(a.0, b.0, &mut matches).iter().copied()));
            }
        }
        scores
    }
}
