//! Conflict classes of all pairs: one merge of two index lists a pair.

use std::ops::ControlFlow;

use super::sparse_pair::intersect;
use crate::Thresholds;
use crate::exact::{Comparison, JudgedRows, classify};
use crate::types::{ConflictClass, ConflictCounts, ConflictList, ConflictPair};

/// The pairs that are not orthogonal. Cost: pairs × nnz.
pub(crate) fn conflict_matrix<B: JudgedRows>(
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
) -> ConflictList {
    let pairs = rows(job, thresholds).flatten().collect();
    job.list(pairs)
}

/// How many pairs there are of each class and rule.
pub(crate) fn conflict_counts<B: JudgedRows>(
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
) -> ConflictCounts {
    let mut counts = ConflictCounts::new(job.pairs());
    rows(job, thresholds).for_each(|pairs| counts.extend(&pairs));
    counts
}

/// Hands on the pairs that are not orthogonal, row by row, until the sink breaks off.
pub(crate) fn conflict_rows<B: JudgedRows>(
    job: &Comparison<'_, B>,
    thresholds: &Thresholds,
    sink: &(dyn Fn(&[ConflictPair]) -> ControlFlow<()> + Sync),
) -> ControlFlow<()> {
    rows(job, thresholds).filter(|pairs| !pairs.is_empty()).try_for_each(|pairs| sink(&pairs))
}

/// The pairs of each left row that are not orthogonal.
fn rows<'a, B: JudgedRows>(
    job: &'a Comparison<'a, B>,
    thresholds: &'a Thresholds,
) -> impl Iterator<Item = Vec<ConflictPair>> + use<'a, B> {
    let judge = PairJudge::new(job, thresholds);
    (0..job.left.rows()).map(move |i| {
        let first = if job.triangle { i + 1 } else { 0 };
        (first..job.right.rows()).filter_map(|j| judge.verdict(i, j)).collect()
    })
}

/// Decides one pair at a time, exactly.
pub(crate) struct PairJudge<'a, B: JudgedRows> {
    job: &'a Comparison<'a, B>,
    thresholds: &'a Thresholds,
    left_norms: Vec<B::Norm>,
    right_norms: Vec<B::Norm>,
}

impl<'a, B: JudgedRows> PairJudge<'a, B> {
    pub(crate) fn new(job: &'a Comparison<'a, B>, thresholds: &'a Thresholds) -> Self {
        let norms = |batch: &B| (0..batch.rows()).map(|row| batch.norm(row)).collect();
        Self { job, thresholds, left_norms: norms(job.left), right_norms: norms(job.right) }
    }

    /// The pair of left row i and right row j, unless it is orthogonal.
    pub(crate) fn verdict(&self, i: usize, j: usize) -> Option<ConflictPair> {
        let (job, left, right) = (self.job, self.job.left, self.job.right);
        let shared = intersect(left.row_indices(i), right.row_indices(j)).count() as u64;
        let dot = left.dot(i, right, j);
        let pair = left.pair((i, self.left_norms[i]), right, (j, self.right_norms[j]), dot);
        let counts = (left.row_len(i), right.row_len(j), shared);
        let (class, rule) = classify(counts, &pair, || job.key_relation(i, j), self.thresholds);
        #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX rows")]
        let (left, right) = (i as u32, j as u32);
        (class != ConflictClass::Orthogonal).then_some(ConflictPair { left, right, class, rule })
    }
}
