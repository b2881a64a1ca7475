//! Scores of all pairs of sparse rows: one merge of two index lists a pair.

use super::sparse_pair::intersect;
use crate::sparse_score::score;
use crate::types::{Pairs, Similarity};

/// Writes the score of every pair to its place. Cost: pairs × nnz.
pub(crate) fn all_pairs_scores(pairs: &Pairs<'_>, similarity: Similarity, scores: &mut [f32]) {
    let (left, right) = (pairs.left(), pairs.right());
    let partners = |i| (pairs.first_partner(i)..right.rows()).map(move |j| (i, j));
    for ((i, j), place) in (0..left.rows()).flat_map(partners).zip(scores) {
        let (a, b) = (left.row(i), right.row(j));
        #[expect(clippy::cast_possible_truncation, reason = "rounded once")]
        let rounded = score(similarity.into(), a, b, intersect(a.0, b.0)) as f32;
        *place = rounded;
    }
}
