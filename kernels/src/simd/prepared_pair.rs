//! Scores of prepared sparse vectors: presence bits are ANDed eight words at a time, and the few positions
//! that remain are looked up by rank.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::intersect::windows_of_longer;
use crate::isa::Level;
use crate::sparse_score::{Meeting, scores};
use crate::types::{GROUP, PairScores, PreparedSparse};

/// Pairs of one task. Fixed, so the work is cut the same for every number of threads.
const PAIRS_PER_TASK: usize = 1_024;

/// The scores of a pair.
pub(crate) fn prepared_pair(level: Level, a: &PreparedSparse, b: &PreparedSparse) -> PairScores {
    level.dispatch(Score { a, b })
}

/// The scores of one vector with each of many.
pub(crate) fn prepared_one_to_many(
    level: Level,
    query: &PreparedSparse,
    rows: &[PreparedSparse],
) -> Vec<PairScores> {
    let task = |rows: &[PreparedSparse]| level.dispatch(ScoreMany { query, rows });
    rows.par_chunks(PAIRS_PER_TASK).map(task).collect::<Vec<_>>().concat()
}

struct Score<'a> {
    a: &'a PreparedSparse,
    b: &'a PreparedSparse,
}

impl WithSimd for Score<'_> {
    type Output = PairScores;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> PairScores {
        score(self.a, self.b)
    }
}

struct ScoreMany<'a> {
    query: &'a PreparedSparse,
    rows: &'a [PreparedSparse],
}

impl WithSimd for ScoreMany<'_> {
    type Output = Vec<PairScores>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<PairScores> {
        let mut scored = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            scored.push(score(self.query, row));
        }
        scored
    }
}

#[inline(always)]
fn score(a: &PreparedSparse, b: &PreparedSparse) -> PairScores {
    let ((a_bits, a_before), (b_bits, b_before)) = (a.ranks(), b.ranks());
    let (x, y) = (a.vector().values(), b.vector().values());
    let mut meeting = Meeting::default();
    if a_bits.len() == b_bits.len() && !a_bits.is_empty() {
        let groups = a_bits.iter().zip(a_before).zip(b_bits.iter().zip(b_before));
        for ((a_bits, a_before), (b_bits, b_before)) in groups {
            let mut meets = 0u32;
            for word in 0..GROUP {
                meets |= u32::from(a_bits[word] & b_bits[word] != 0) << word;
            }
            while meets != 0 {
                let word = meets.trailing_zeros() as usize % GROUP;
                meets &= meets - 1;
                let mut both = a_bits[word] & b_bits[word];
                while both != 0 {
                    let below = (both & both.wrapping_neg()) - 1;
                    both &= both - 1;
                    let rank = |bits: u64, before: u32| (before + (bits & below).count_ones()) as usize;
                    meeting.add(x[rank(a_bits[word], a_before[word])], y[rank(b_bits[word], b_before[word])]);
                }
            }
        }
    } else {
        let (i, j) = (a.vector().indices(), b.vector().indices());
        if i.len() <= j.len() {
            windows_of_longer(i, j, |i, j| meeting.add(x[i as usize], y[j as usize]));
        } else {
            windows_of_longer(j, i, |j, i| meeting.add(x[i as usize], y[j as usize]));
        }
    }
    scores(a, b, meeting)
}
