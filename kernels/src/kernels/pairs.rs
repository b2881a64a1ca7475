//! Similarity of pairs: all of a batch, those listed, one with many, and two by themselves.

use super::{Kernels, same_dim};
use crate::accelerator::Request;
use crate::aligned::AlignedBuf;
use crate::error::KernelError;
use crate::run::Run;
use crate::simd::variant::Explanation;
use crate::types::{
    Decimal, Measure, PairScores, Pairs, PreparedSparse, ScoredPair, Similarity, SparseBatch, SparseVec,
};

impl Kernels {
    /// The pairs of sparse rows whose score is `at_least`, ascending, with their scores.
    ///
    /// Agreement: exact: membership is that of the real numbers; scores are f64 sums in ascending position.
    /// Shape: `rows × dim` sparse in, the pairs found out. Cost: one multiply-add per pair and shared
    /// position, or less where many rows use a dimension.
    ///
    /// ```
    /// use tensor_kernels::{Kernels, Pairs, Similarity, SparseBatch};
    /// let batch = SparseBatch::view(4, &[0, 2, 4, 6], &[0, 1, 0, 1, 2, 3], &[3.0, 4.0, 4.0, 3.0, 1.0, 1.0])?;
    /// let run = Kernels::detect()?.all_pairs(&Pairs::of(&batch), Similarity::Cosine, "0.5".parse()?)?;
    /// let found: Vec<_> = run.value.iter().map(|pair| (pair.left, pair.right, pair.score)).collect();
    /// assert_eq!(found, [(0, 1, 0.96)]);
    /// # Ok::<(), tensor_kernels::KernelError>(())
    /// ```
    ///
    /// # Errors
    /// A threshold outside 0.0001..=1: at 0 every pair would be listed.
    pub fn all_pairs(
        &self,
        pairs: &Pairs<'_>,
        similarity: Similarity,
        at_least: Decimal,
    ) -> Result<Run<Vec<ScoredPair>>, KernelError> {
        let (min, max) = (Decimal::from_ten_thousandths(1), Decimal::from_ten_thousandths(10_000));
        if !(min..=max).contains(&at_least) {
            return Err(KernelError::BadThreshold { name: "at_least", got: at_least, min, max });
        }
        Ok(self.run_accelerated(
            &Request::AllPairs(pairs, similarity, at_least),
            |accelerator| accelerator.all_pairs(pairs, similarity, at_least),
            || self.run_sized(pairs.size(), |backend| backend.all_pairs(pairs, similarity, at_least)),
        ))
    }

    /// The scores of all pairs of sparse rows, in f32, each at its [place](Pairs::place).
    ///
    /// Agreement: Jaccard indices are exact quotients rounded once; a cosine of rows that share s positions is
    /// within γ₍ₛ₊₄₎ = (s + 4)u / (1 − (s + 4)u), u = 2⁻²⁴, of the real one. Shape: `rows × dim` sparse in,
    /// [`Pairs::count`] scores out. Cost: as [`all_pairs`](Self::all_pairs).
    ///
    /// # Errors
    /// More pairs than memory can address.
    pub fn all_pairs_scores(
        &self,
        pairs: &Pairs<'_>,
        similarity: Similarity,
    ) -> Result<Run<AlignedBuf<f32>>, KernelError> {
        let limit = isize::MAX.unsigned_abs() / size_of::<f32>();
        let got = usize::try_from(pairs.count()).unwrap_or(usize::MAX);
        if got > limit {
            return Err(KernelError::TooLarge { what: "pairs", got, limit });
        }
        let mut scores = AlignedBuf::zeroed(got);
        let run =
            self.run_sized(pairs.size(), |backend| backend.all_pairs_scores(pairs, similarity, &mut scores));
        Ok(run.map(|()| scores))
    }

    /// [`all_pairs_scores`](Self::all_pairs_scores) into memory that the caller keeps.
    ///
    /// # Errors
    /// Another number of places than pairs.
    pub fn all_pairs_scores_into(
        &self,
        pairs: &Pairs<'_>,
        similarity: Similarity,
        scores: &mut [f32],
    ) -> Result<Run<()>, KernelError> {
        if scores.len() as u64 != pairs.count() {
            let expected = usize::try_from(pairs.count()).unwrap_or(usize::MAX);
            return Err(KernelError::LengthMismatch { what: "scores", got: scores.len(), expected });
        }
        Ok(self.run_sized(pairs.size(), |backend| backend.all_pairs_scores(pairs, similarity, scores)))
    }

    /// Which way [`all_pairs`](Self::all_pairs) would go about its task, and why; `None` where there is but one.
    ///
    /// ```
    /// use tensor_kernels::{Kernels, Pairs, Similarity, SparseBatch};
    /// let batch = SparseBatch::view(4, &[0, 2, 3], &[0, 1, 0], &[3.0, 4.0, 1.0])?;
    /// if let Some(why) = Kernels::detect()?.explain_all_pairs(&Pairs::of(&batch), Similarity::Cosine) {
    ///     println!("{why}"); // e.g. touched lists: 1 pairs share 1.000 positions on average; …
    /// }
    /// # Ok::<(), tensor_kernels::KernelError>(())
    /// ```
    #[must_use]
    pub fn explain_all_pairs(&self, pairs: &Pairs<'_>, similarity: Similarity) -> Option<Explanation> {
        self.backend.explain_all_pairs(pairs, similarity)
    }

    /// A measure of each listed pair of a row of `left` and a row of `right`.
    ///
    /// Agreement: exact: f64 sums in ascending position. Shape: p pairs in, p scores out. Cost: O(nnz) a pair.
    /// For two vectors by themselves there are methods on [`SparseVec`](crate::SparseVec).
    ///
    /// # Errors
    /// Dimensions that differ; a pair that names a row that is not there.
    pub fn sparse_pair(
        &self,
        left: &SparseBatch<'_>,
        right: &SparseBatch<'_>,
        pairs: &[(u32, u32)],
        measure: Measure,
    ) -> Result<Run<Vec<f64>>, KernelError> {
        same_dim(right.dim() as usize, left.dim() as usize)?;
        for &(i, j) in pairs {
            for (row, rows) in [(i as usize, left.rows()), (j as usize, right.rows())] {
                if row >= rows {
                    return Err(KernelError::NoSuchRow { row, rows });
                }
            }
        }
        Ok(self.run(|backend| backend.sparse_pair(left, right, pairs, measure)))
    }

    /// A measure of one vector against every row of a batch; otherwise as [`sparse_pair`](Self::sparse_pair).
    ///
    /// # Errors
    /// Dimensions that differ.
    pub fn sparse_one_to_many(
        &self,
        query: &SparseVec,
        rows: &SparseBatch<'_>,
        measure: Measure,
    ) -> Result<Run<Vec<f64>>, KernelError> {
        let left = SparseBatch::from_rows(query.dim(), [query])?;
        let pairs: Vec<_> = (0..).take(rows.rows()).map(|row| (0, row)).collect();
        self.sparse_pair(&left, rows, &pairs, measure)
    }

    /// Dot, cosine and Jaccard of two prepared vectors, within tens of nanoseconds: on the caller's thread and
    /// without a [`Run`], which would take longer than the pair.
    ///
    /// Agreement: exact: what [`sparse_pair`](Self::sparse_pair) gives. Cost: O(dim / 64) and what they share;
    /// O(nnz) where the dimension is large beside it.
    ///
    /// ```
    /// use tensor_kernels::{Kernels, PreparedSparse, SparseVec};
    /// let kernels = Kernels::detect()?;
    /// let a = PreparedSparse::new(SparseVec::new(768, vec![3, 64, 700], vec![1.0, 2.0, 2.0])?);
    /// let b = PreparedSparse::new(SparseVec::new(768, vec![64, 701], vec![3.0, 4.0])?);
    /// let scores = kernels.prepared_pair(&a, &b)?;
    /// assert_eq!((scores.shared, scores.cosine, scores.jaccard), (1, 0.4, 0.25));
    /// # Ok::<(), tensor_kernels::KernelError>(())
    /// ```
    ///
    /// # Errors
    /// Dimensions that differ.
    pub fn prepared_pair(
        &self,
        left: &PreparedSparse,
        right: &PreparedSparse,
    ) -> Result<PairScores, KernelError> {
        same_dim(right.vector().dim() as usize, left.vector().dim() as usize)?;
        Ok(self.backend.prepared_pair(left, right))
    }

    /// The same of one prepared vector with each of many.
    ///
    /// # Errors
    /// As [`prepared_pair`](Self::prepared_pair).
    pub fn prepared_one_to_many(
        &self,
        query: &PreparedSparse,
        rows: &[PreparedSparse],
    ) -> Result<Run<Vec<PairScores>>, KernelError> {
        for row in rows {
            same_dim(row.vector().dim() as usize, query.vector().dim() as usize)?;
        }
        Ok(self.run(|backend| backend.prepared_one_to_many(query, rows)))
    }
}
