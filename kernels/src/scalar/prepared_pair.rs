//! Scores of two prepared sparse vectors: one merge of two index lists.

use super::sparse_pair::intersect;
use crate::sparse_score::{Meeting, scores};
use crate::types::{PairScores, PreparedSparse};

/// The scores of a pair.
pub(crate) fn prepared_pair(a: &PreparedSparse, b: &PreparedSparse) -> PairScores {
    let mut meeting = Meeting::default();
    for (i, j) in intersect(a.vector().indices(), b.vector().indices()) {
        meeting.add(a.vector().values()[i as usize], b.vector().values()[j as usize]);
    }
    scores(a, b, meeting)
}
