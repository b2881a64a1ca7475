//! Codebooks: which entry is nearest, and how the entries are learned.

use super::{Kernels, same_dim};
use crate::accelerator::Request;
use crate::error::KernelError;
use crate::kmeans::{KMeans, KMeansCodes, KMeansCodesOptions, KMeansOptions};
use crate::kmeans_stream::KMeansStream;
use crate::quantize::{HierarchicalCodes, hierarchical_codes};
use crate::run::Run;
use crate::types::{Codebook, ConsensusCodebook, DeltaBatch, DenseView, Metric, Neighbor};

impl Kernels {
    /// The nearest entry of each row by the codebook's metric, ties to the lowest entry; `None` where
    /// the codebook is empty. [`residual`](crate::residual) is what the entry leaves over.
    ///
    /// Agreement: exact. Shape: `rows × dim`, `k × dim` → one entry a row. Cost: O(rows · k · dim).
    ///
    /// # Errors
    /// Dimensions that differ.
    pub fn quantize(
        &self,
        book: &Codebook,
        rows: DenseView<'_>,
    ) -> Result<Run<Vec<Option<Neighbor>>>, KernelError> {
        if rows.rows() > 0 && !book.is_empty() {
            same_dim(rows.dim(), book.dim())?;
        }
        Ok(self.run(|backend| backend.quantize(book, rows)))
    }

    /// The nearest entry of each delta by cosine or Euclidean distance, decided in integers, ties to
    /// the lowest entry; `None` where the codebook is empty.
    ///
    /// Agreement: exact. Shape: `rows` deltas, `k × dim` codes → one entry a delta. Cost: O(k · nnz).
    ///
    /// # Errors
    /// Dimensions that differ.
    pub fn quantize_deltas(
        &self,
        book: &ConsensusCodebook,
        deltas: &DeltaBatch,
        metric: Metric,
    ) -> Result<Run<Vec<Option<Neighbor>>>, KernelError> {
        if deltas.rows() > 0 && !book.is_empty() {
            same_dim(deltas.dim() as usize, book.dim() as usize)?;
        }
        Ok(self.run(|backend| backend.quantize_deltas(book, deltas, metric)))
    }

    /// Codes of several stages: each codebook quantises what the ones before it left over.
    ///
    /// Agreement: exact. Shape: `rows × dim` → one code a stage and row, and the last residuals.
    ///
    /// # Errors
    /// A codebook of another dimension or without entries; a residual that leaves the range of f32.
    pub fn hierarchical_codes(
        &self,
        books: &[Codebook],
        rows: DenseView<'_>,
    ) -> Result<Run<HierarchicalCodes>, KernelError> {
        self.run(|backend| hierarchical_codes(books, rows, |book, rows| backend.quantize(book, rows)))
            .transpose()
    }

    /// Greedy k-means++ (Arthur and Vassilvitskii 2007) and Lloyd's iteration on f32 rows.
    ///
    /// Agreement: exact: the same seed gives the same bytes everywhere. Shape: `rows × dim` → at most
    /// `k × dim` centroids and one assignment a row. Cost: O(rows · k · dim) an iteration.
    ///
    /// # Errors
    /// [`Metric::Dot`], under which a longer centroid is always nearer.
    pub fn kmeans(&self, rows: DenseView<'_>, options: &KMeansOptions) -> Result<Run<KMeans>, KernelError> {
        self.run(|backend| backend.kmeans(rows, options)).transpose()
    }

    /// Shows a batch to a codebook that learns as it goes, and gives the centroid that was nearest to each row
    /// before any moved; empty where the codebook is. [`KMeansStream`] has the formula.
    ///
    /// Agreement: exact: the same batches in the same order give the same bytes everywhere. Shape:
    /// `rows × dim` → one assignment a row. Cost: O(rows · k · dim).
    ///
    /// # Errors
    /// Dimensions that differ.
    pub fn kmeans_stream(
        &self,
        stream: &mut KMeansStream,
        batch: DenseView<'_>,
    ) -> Result<Run<Vec<u32>>, KernelError> {
        if batch.rows() > 0 && !stream.codebook().is_empty() {
            same_dim(batch.dim(), stream.codebook().dim())?;
        }
        self.run(|backend| stream.update(batch, |book, rows| backend.quantize(book, rows))).transpose()
    }

    /// [`kmeans`](Self::kmeans) on rows of signed bytes, in integers throughout: a codebook that nodes can agree on.
    ///
    /// Agreement: exact. Shape: `rows × dim` codes → at most `k × dim` codes. Cost: as [`kmeans`](Self::kmeans).
    ///
    /// # Errors
    /// As [`ConsensusCodebook::new`].
    pub fn kmeans_codes(
        &self,
        codes: &[i8],
        dim: u32,
        options: &KMeansCodesOptions,
    ) -> Result<Run<KMeansCodes>, KernelError> {
        self.run_accelerated(
            &Request::KMeansCodes(codes, dim, options),
            |accelerator| accelerator.kmeans_codes(codes, dim, options).map(Ok),
            || self.run(|backend| backend.kmeans_codes(codes, dim, options)),
        )
        .transpose()
    }
}
