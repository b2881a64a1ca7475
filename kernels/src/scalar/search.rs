//! Exact search: every row is scored, then all are put in order.

use crate::exact::{Candidate, Judge};
use crate::types::{DenseView, Metric, Neighbor, Wanted};

/// For each query the wanted rows of the corpus, nearest first, ties by the lower row.
/// Cost: queries × rows × dim.
pub(crate) fn search(
    corpus: DenseView<'_>,
    queries: DenseView<'_>,
    metric: Metric,
    wanted: Wanted,
) -> Vec<Vec<Neighbor>> {
    let answer = |query| {
        let judge = Judge::new(metric, corpus, query);
        #[expect(clippy::cast_possible_truncation, reason = "views have at most u32::MAX rows")]
        let candidates: Vec<Candidate> = (0..corpus.rows() as u32).map(|row| judge.candidate(row)).collect();
        judge.nearest(candidates, wanted)
    };
    queries.iter().map(answer).collect()
}
