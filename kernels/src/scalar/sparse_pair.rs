//! Scores of pairs of sparse rows: one merge of two index lists a pair.

use crate::sparse_score::{Matches, score};
use crate::types::{Measure, SparseBatch};

/// The score of each listed pair of a row of `left` and a row of `right`.
pub(crate) fn sparse_pair(
    left: &SparseBatch<'_>,
    right: &SparseBatch<'_>,
    pairs: &[(u32, u32)],
    measure: Measure,
) -> Vec<f64> {
    let one = |&(i, j): &(u32, u32)| {
        let (a, b) = (left.row(i as usize), right.row(j as usize));
        score(measure, a, b, intersect(a.0, b.0))
    };
    pairs.iter().map(one).collect()
}

/// Where two ascending lists meet.
#[inline(always)]
pub(crate) fn intersect(a: &[u32], b: &[u32]) -> impl Matches {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
            let at = (i, j);
            i += usize::from(x <= y);
            j += usize::from(y <= x);
            if x == y {
                #[expect(clippy::cast_possible_truncation, reason = "a row has at most u32::MAX entries")]
                return Some((at.0 as u32, at.1 as u32));
            }
        }
        None
    })
}
