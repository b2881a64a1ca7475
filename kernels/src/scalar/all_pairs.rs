//! Pairs of sparse rows above a threshold: one merge of two index lists a pair.

use super::sparse_pair::intersect;
use crate::exact::{FloatPair, PairView, SquaredNorm, jaccard_at_least};
use crate::sparse_score::score;
use crate::types::{Decimal, Pairs, ScoredPair, Similarity};

/// The pairs whose score is `at_least`. Cost: pairs × nnz.
pub(crate) fn all_pairs(pairs: &Pairs<'_>, similarity: Similarity, at_least: Decimal) -> Vec<ScoredPair> {
    let (left, right) = (pairs.left(), pairs.right());
    let mut found = Vec::new();
    for i in 0..left.rows() {
        for j in pairs.first_partner(i)..right.rows() {
            let (a, b) = (left.row(i), right.row(j));
            let matches = intersect(a.0, b.0);
            let listed = match similarity {
                _ if a.0.is_empty() || b.0.is_empty() => {
                    // Two zero rows have the Jaccard index 1; any other score of a zero row is 0.
                    similarity == Similarity::Jaccard && a.0.len() == b.0.len()
                }
                Similarity::Cosine => {
                    let product =
                        |(x, y): (u32, u32)| f64::from(a.1[x as usize]) * f64::from(b.1[y as usize]);
                    let dot = matches.clone().map(product).fold(0.0, |sum, product| sum + product);
                    let norms = (SquaredNorm::of_values(a.1), SquaredNorm::of_values(b.1));
                    FloatPair::new(dot, norms, a, b).cosine_at_least(at_least)
                }
                Similarity::Jaccard => {
                    let shared = matches.clone().count() as u64;
                    jaccard_at_least(shared, (a.0.len() + b.0.len()) as u64 - shared, at_least)
                }
            };
            if listed {
                #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
                let (left, right) = (i as u32, j as u32);
                found.push(ScoredPair { left, right, score: score(similarity.into(), a, b, matches) });
            }
        }
    }
    found
}
