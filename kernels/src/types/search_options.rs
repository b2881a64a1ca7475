//! What a search is asked for.

use super::{Metric, RowMask, Wanted};

/// How near is measured, which rows are wanted, and among which.
#[derive(Debug, Clone, Copy)]
pub struct SearchOptions<'a> {
    /// How near two vectors are.
    pub metric: Metric,
    /// Which rows are wanted for each query.
    pub wanted: Wanted,
    /// Restricts the search to these rows: one bit for every row of the corpus.
    pub only: Option<&'a RowMask>,
}

impl<'a> SearchOptions<'a> {
    /// A search among all rows.
    #[must_use]
    pub const fn new(metric: Metric, wanted: Wanted) -> Self {
        Self { metric, wanted, only: None }
    }

    /// The same among some rows.
    #[must_use]
    pub const fn only(self, rows: &'a RowMask) -> Self {
        Self { only: Some(rows), ..self }
    }

    /// Whether the row may be found.
    pub(crate) fn allows(&self, row: usize) -> bool {
        self.only.is_none_or(|mask| mask.allows(row))
    }
}
