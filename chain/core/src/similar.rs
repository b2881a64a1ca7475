//! Which past changes were most like a given one: exact search over the deltas of blocks and transactions.

use tensor_kernels::{DenseView, Kernels, Metric, SparseVec, Wanted};

use crate::chain::TensorChain;
use crate::error::ChainError;
use crate::ids::{BlockHash, Height};
use crate::kernel_span::kernel_span;

/// Most f32 values searched at once: 64 MiB, whatever the length of the chain and the dimension.
const MAX_VALUES_AT_ONCE: usize = 1 << 24;

/// A block whose delta is near a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarBlock {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Cosine of its delta and the query.
    pub score: f64,
}

/// A transaction whose delta is near a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimilarTransaction {
    /// Height of its block.
    pub height: Height,
    /// Its place among the changesets of that block.
    pub position: u32,
    /// Cosine of its delta and the query.
    pub score: f64,
}

impl TensorChain {
    /// The `k` blocks whose deltas have the greatest cosine with `query`, nearest first, ties by the lower
    /// height. Deltas are rounded once to f32; their order is exact. Reads every block once.
    ///
    /// # Errors
    /// A query of another dimension than the chain's; a chain that is not initialized or cannot be read.
    pub fn similar(&self, query: &SparseVec, k: usize) -> Result<Vec<SimilarBlock>, ChainError> {
        let rows = self.iter().map(|block| {
            let block = block?;
            Ok(((block.header.height, block.hash()), block.header.delta.to_sparse()?))
        });
        let found = nearest(self.ledger()?.rules().verdicts.kernels(), self.dense_query(query)?, rows, k)?;
        Ok(found.into_iter().map(|((height, hash), score)| SimilarBlock { height, hash, score }).collect())
    }

    /// The same over the deltas of single transactions: the caller's, or the encoder's where none was given.
    ///
    /// # Errors
    /// As [`similar`](Self::similar).
    pub fn similar_transactions(
        &self,
        query: &SparseVec,
        k: usize,
    ) -> Result<Vec<SimilarTransaction>, ChainError> {
        let rules = self.ledger()?.rules();
        let rows = self.iter().flat_map(|block| match block {
            Err(error) => vec![Err(error)],
            Ok(block) => (0..)
                .zip(&block.changesets)
                .map(|(position, changeset)| {
                    Ok(((block.header.height, position), rules.delta(changeset)?.to_sparse()))
                })
                .collect(),
        });
        let found = nearest(rules.verdicts.kernels(), self.dense_query(query)?, rows, k)?;
        let similar = |((height, position), score)| SimilarTransaction { height, position, score };
        Ok(found.into_iter().map(similar).collect())
    }

    fn dense_query(&self, query: &SparseVec) -> Result<Vec<f32>, ChainError> {
        // The algebra of vectors refuses another dimension.
        SparseVec::zero(self.ledger()?.embedding_dim()).dot(query)?;
        Ok(query.to_dense())
    }
}

/// The `k` rows nearest to `query` by cosine, with their scores. Rows are searched in parts of bounded size;
/// the winners of the parts meet in one last search, so the order is exact throughout.
fn nearest<P: Copy>(
    kernels: &Kernels,
    query: Vec<f32>,
    rows: impl Iterator<Item = Result<(P, SparseVec), ChainError>>,
    k: usize,
) -> Result<Vec<(P, f64)>, ChainError> {
    let dim = query.len();
    let rows_at_once = (MAX_VALUES_AT_ONCE / dim).max(1);
    let mut part = Part { dim, places: Vec::new(), values: Vec::new() };
    let mut winners = Part { dim, places: Vec::new(), values: Vec::new() };
    for row in rows {
        let (place, vector) = row?;
        part.push(place, &vector.to_dense());
        if part.places.len() == rows_at_once {
            part.move_winners(kernels, &query, k, &mut winners)?;
        }
    }
    part.move_winners(kernels, &query, k, &mut winners)?;
    Ok(winners
        .search(kernels, &query, k)?
        .into_iter()
        .map(|(row, score)| (winners.places[row], score))
        .collect())
}

/// Rows to be searched together.
struct Part<P> {
    dim: usize,
    places: Vec<P>,
    values: Vec<f32>,
}

impl<P: Copy> Part<P> {
    fn push(&mut self, place: P, values: &[f32]) {
        self.places.push(place);
        self.values.extend_from_slice(values);
    }

    /// The nearest rows and their scores, nearest first.
    fn search(&self, kernels: &Kernels, query: &[f32], k: usize) -> Result<Vec<(usize, f64)>, ChainError> {
        let corpus = DenseView::new(&self.values, self.places.len(), self.dim)?;
        let query = DenseView::new(query, 1, self.dim)?;
        let _span = kernel_span("search", corpus.rows());
        let found = kernels.search(corpus, query, Metric::Cosine, Wanted::Top(k))?.value;
        Ok(found.into_iter().flatten().map(|near| (near.row as usize, near.score)).collect())
    }

    /// Hands the nearest rows on, in the order they came, and empties the part.
    fn move_winners(
        &mut self,
        kernels: &Kernels,
        query: &[f32],
        k: usize,
        winners: &mut Self,
    ) -> Result<(), ChainError> {
        let mut found: Vec<usize> = self.search(kernels, query, k)?.into_iter().map(|(row, _)| row).collect();
        found.sort_unstable();
        for row in found {
            winners.push(self.places[row], &self.values[row * self.dim..(row + 1) * self.dim]);
        }
        self.places.clear();
        self.values.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(dense: &[f32]) -> SparseVec {
        SparseVec::from_dense(dense).unwrap()
    }

    #[test]
    fn parts_of_any_size_find_the_same_rows_in_the_same_order() {
        let kernels = Kernels::scalar().unwrap();
        let rows: Vec<SparseVec> =
            (0..50).map(|i| v(&[1.0, (i % 7) as f32, if i % 2 == 0 { 1.0 } else { -1.0 }])).collect();
        let all = || rows.iter().enumerate().map(|(place, row)| Ok((place, row.clone())));
        let whole = nearest(&kernels, vec![1.0, 2.0, 1.0], all(), 9).unwrap();
        assert_eq!(whole.len(), 9);
        assert!(whole.windows(2).all(|w| w[0].1 > w[1].1 || (w[0].1 == w[1].1 && w[0].0 < w[1].0)));
        for size in [1, 2, 7, 49, 50, 51] {
            let mut winners = Part { dim: 3, places: Vec::new(), values: Vec::new() };
            let mut part = Part { dim: 3, places: Vec::new(), values: Vec::new() };
            for (place, row) in rows.iter().enumerate() {
                part.push(place, &row.to_dense());
                if part.places.len() == size {
                    part.move_winners(&kernels, &[1.0, 2.0, 1.0], 9, &mut winners).unwrap();
                }
            }
            part.move_winners(&kernels, &[1.0, 2.0, 1.0], 9, &mut winners).unwrap();
            let found: Vec<(usize, f64)> = winners
                .search(&kernels, &[1.0, 2.0, 1.0], 9)
                .unwrap()
                .into_iter()
                .map(|(row, score)| (winners.places[row], score))
                .collect();
            assert_eq!(found, whole, "parts of {size}");
        }
    }
}
