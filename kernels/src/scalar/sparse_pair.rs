//! Scores of pairs of sparse rows: one merge of two index lists a pair.

use std::cmp::Ordering;

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
        score(measure, a, b, &intersect(a.0, b.0))
    };
    pairs.iter().map(one).collect()
}

/// Where two ascending lists meet.
pub(crate) fn intersect(a: &[u32], b: &[u32]) -> Matches {
    let (mut i, mut j) = (0, 0);
    let mut matches = Vec::new();
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                #[expect(clippy::cast_possible_truncation, reason = "a row has at most u32::MAX entries")]
                matches.push((i as u32, j as u32));
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    matches
}
