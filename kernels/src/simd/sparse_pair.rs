//! Scores of pairs of sparse rows: each index of the shorter row is compared with a whole window of
//! the longer one at once.

use rayon::prelude::*;

use crate::isa::Level;
use crate::sparse_score::{Matches, score};
use crate::types::{Measure, SparseBatch};

/// Indices compared at once; one 512-bit register, two of 256 bits.
const WINDOW: usize = 16;
/// Pairs of one task. Fixed, so the work is cut the same for every number of threads.
const PAIRS_PER_TASK: usize = 1_024;
/// From this ratio of lengths on, windows of the longer row are found by galloping.
const GALLOP_RATIO: usize = 32;

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
        let mut matches = Matches::new();
        let mut scores = Vec::with_capacity(self.pairs.len());
        for &(i, j) in self.pairs {
            let (a, b) = (self.left.row(i as usize), self.right.row(j as usize));
            matches.clear();
            if a.0.len() <= b.0.len() {
                intersect(a.0, b.0, |i, j| matches.push((i, j)));
            } else {
                intersect(b.0, a.0, |j, i| matches.push((i, j)));
            }
            scores.push(score(self.measure, a, b, &matches));
        }
        scores
    }
}

/// Calls `meet(entry of short, entry of long)` wherever two ascending lists meet, ascending.
#[inline(always)]
fn intersect(short: &[u32], long: &[u32], mut meet: impl FnMut(u32, u32)) {
    let (windows, tail) = long.as_chunks::<WINDOW>();
    let gallops = long.len() > short.len() * GALLOP_RATIO;
    let (mut window, mut at) = (0, 0);
    for (entry, &index) in (0u32..).zip(short) {
        let before = |window: &[u32; WINDOW]| window[WINDOW - 1] < index;
        if gallops {
            window += gallop(windows.len() - window, |ahead| before(&windows[window + ahead]));
        } else {
            while window < windows.len() && before(&windows[window]) {
                window += 1;
            }
        }
        let found = if let Some(window_of) = windows.get(window) {
            let equal =
                (0..WINDOW).fold(0u32, |mask, lane| mask | u32::from(window_of[lane] == index) << lane);
            (equal != 0).then_some(window * WINDOW + equal.trailing_zeros() as usize)
        } else {
            while at < tail.len() && tail[at] < index {
                at += 1;
            }
            (tail.get(at) == Some(&index)).then_some(windows.len() * WINDOW + at)
        };
        if let Some(found) = found {
            #[expect(clippy::cast_possible_truncation, reason = "a row has at most u32::MAX entries")]
            meet(entry, found as u32);
        }
    }
}

/// The first of `0..end` for which `before` is false, or `end`; `before` is true, then false.
#[inline(always)]
fn gallop(end: usize, before: impl Fn(usize) -> bool) -> usize {
    let mut step = 1;
    let mut low = 0;
    while low + step <= end && before(low + step - 1) {
        low += step;
        step *= 2;
    }
    let mut high = (low + step).min(end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::gallop;

    #[test]
    fn galloping_finds_every_boundary() {
        for end in 0..70 {
            for boundary in 0..=end {
                assert_eq!(gallop(end, |at| at < boundary), boundary, "of {end}");
            }
        }
    }
}
