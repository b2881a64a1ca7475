//! Conflict classes of all pairs: one merge of two index lists a pair.

use crate::Thresholds;
use crate::exact::{Comparison, JudgedRows, classify, shared_values};
use crate::types::{ConflictClass, ConflictList, ConflictPair};

/// The pairs that are not orthogonal. Cost: pairs × nnz.
pub(crate) fn conflict_matrix<B: JudgedRows>(
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
) -> ConflictList {
    let (left, right) = (job.left, job.right);
    let (left_values, right_values) = (left.scaled_values(), right.scaled_values());
    let row = |batch: &B, row: usize| batch.indptr()[row]..batch.indptr()[row + 1];
    let left_norms: Vec<_> = (0..left.rows()).map(|i| left.norm(i)).collect();
    let right_norms: Vec<_> = (0..right.rows()).map(|j| right.norm(j)).collect();

    let mut pairs = Vec::new();
    for i in 0..left.rows() {
        for j in if job.triangle { i + 1 } else { 0 }..right.rows() {
            let a = (left.row_indices(i), &left_values[row(left, i)]);
            let b = (right.row_indices(j), &right_values[row(right, j)]);
            let (mut dot, mut shared) = (0.0, 0);
            for (x, y) in shared_values(a, b) {
                dot += f64::from(x) * f64::from(y);
                shared += 1;
            }
            let pair = left.pair((i, left_norms[i]), right, (j, right_norms[j]), dot);
            let counts = (a.0.len(), b.0.len(), shared);
            let (class, rule) = classify(counts, &pair, || job.key_relation(i, j), thresholds);
            if class != ConflictClass::Orthogonal {
                #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
                pairs.push(ConflictPair { left: i as u32, right: j as u32, class, rule });
            }
        }
    }
    ConflictList::new(left.rows(), right.rows(), job.pairs(), pairs)
}
