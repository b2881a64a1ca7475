//! Numbers the dimensions that occur in a batch, so that a dimension of four billion costs nothing.

use std::borrow::Cow;

/// Directly where the dimension is small beside the entries, else by rank.
pub(super) enum Columns {
    Direct(usize),
    Ranked(Vec<u32>),
}

/// The number of a dimension that does not occur.
pub(super) const NOWHERE: u32 = u32::MAX;

impl Columns {
    pub(super) fn new(dim: u32, indices: &[u32]) -> Self {
        let dim = dim as usize;
        if dim <= 4 * indices.len() + 1_024 {
            return Self::Direct(dim);
        }
        let mut used = indices.to_vec();
        used.sort_unstable();
        used.dedup();
        Self::Ranked(used)
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Direct(count) => *count,
            Self::Ranked(used) => used.len(),
        }
    }

    /// The number of each entry's dimension, or [`NOWHERE`].
    pub(super) fn of<'a>(&self, indices: &'a [u32]) -> Cow<'a, [u32]> {
        match self {
            Self::Direct(_) => Cow::Borrowed(indices),
            Self::Ranked(used) => {
                #[expect(clippy::cast_possible_truncation, reason = "batches have at most u32::MAX entries")]
                let rank = |index| used.binary_search(index).map_or(NOWHERE, |rank| rank as u32);
                Cow::Owned(indices.iter().map(rank).collect())
            }
        }
    }
}
