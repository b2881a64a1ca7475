//! Exact search: every row is scored, then all are put in order.

use crate::exact::{Candidate, Judge};
use crate::types::{Neighbor, SearchOptions, SearchRows};

/// For each query the wanted rows of the corpus, nearest first, ties by the lower row.
/// Cost: queries × rows × dim.
pub(crate) fn search(
    corpus: SearchRows<'_>,
    queries: SearchRows<'_>,
    options: &SearchOptions<'_>,
) -> Vec<Vec<Neighbor>> {
    let (rows, asked) = (corpus.gather(0..corpus.rows()), queries.gather(0..queries.rows()));
    let (corpus, queries) = (corpus.view_of(&rows), queries.view_of(&asked));
    let answer = |query| {
        let judge = Judge::new(options.metric, corpus, query);
        #[expect(clippy::cast_possible_truncation, reason = "views have at most u32::MAX rows")]
        let rows = (0..corpus.rows() as u32).filter(|&row| options.allows(row as usize));
        let candidates: Vec<Candidate> = rows.map(|row| judge.candidate(row)).collect();
        judge.nearest(candidates, options.wanted)
    };
    queries.iter().map(answer).collect()
}
