//! Who computes: the oracle, or the CPU's vector units. Same inputs, same answers.

use std::fmt::Debug;
use std::ops::ControlFlow;

use crate::conflict_input::{ConflictInput, Job};
use crate::corpus::Corpus;
use crate::error::KernelError;
use crate::isa::{Isa, Level};
use crate::kmeans::{KMeans, KMeansCodes, KMeansCodesOptions, KMeansOptions};
use crate::types::{
    ClassMatrix, Codebook, ConflictCounts, ConflictList, ConflictPair, ConsensusCodebook, CosineRows,
    Decimal, DeltaBatch, DenseView, HalfKind, HalfRows, HalfView, Int8Rows, Measure, Metric, Neighbor,
    PairScores, Pairs, PreparedSparse, ScoredPair, SearchOptions, SearchRows, Similarity, SparseBatch,
    Thresholds,
};
use crate::{BackendKind, Explanation, scalar, simd};

/// A provider of every batch operation. Inputs are validated; outputs of `Exact` operations are
/// identical for every backend, level and number of threads. [`Kernels`](crate::Kernels) documents
/// each operation.
pub trait Backend: Send + Sync + Debug {
    /// Which kind this is.
    fn kind(&self) -> BackendKind;

    /// The instruction-set level it uses.
    fn isa(&self) -> Isa;

    /// Classes of all pairs.
    fn conflict_matrix(&self, input: &ConflictInput<'_>, thresholds: &Thresholds) -> ConflictList;

    /// Classes of all pairs by direction alone, one byte a pair.
    fn cosine_classes(&self, rows: CosineRows<'_>, thresholds: &Thresholds, out: &mut ClassMatrix);

    /// The same, only the pairs that are not orthogonal.
    fn cosine_conflicts(&self, rows: CosineRows<'_>, thresholds: &Thresholds) -> ConflictList;

    /// Numbers of pairs of each class.
    fn conflict_counts(&self, input: &ConflictInput<'_>, thresholds: &Thresholds) -> ConflictCounts;

    /// Hands on the pairs that are not orthogonal, in portions, until the sink breaks off.
    fn conflict_rows(
        &self,
        input: &ConflictInput<'_>,
        thresholds: &Thresholds,
        sink: &(dyn Fn(&[ConflictPair]) -> ControlFlow<()> + Sync),
    ) -> ControlFlow<()>;

    /// Pairs of sparse rows whose score is `at_least`, ascending.
    fn all_pairs(&self, pairs: &Pairs<'_>, similarity: Similarity, at_least: Decimal) -> Vec<ScoredPair>;

    /// Scores of all pairs of sparse rows, each at its place.
    fn all_pairs_scores(&self, pairs: &Pairs<'_>, similarity: Similarity, scores: &mut [f32]);

    /// How pairs would be found; `None` where there is but one way.
    fn explain_all_pairs(&self, _pairs: &Pairs<'_>, _similarity: Similarity) -> Option<Explanation> {
        None
    }

    /// How classes would be found; `None` where there is but one way.
    fn explain_conflicts(&self, _input: &ConflictInput<'_>) -> Option<Explanation> {
        None
    }

    /// Nearest deltas of f32 rows.
    ///
    /// # Errors
    /// As [`DeltaVector::from_sparse`](crate::DeltaVector::from_sparse), for the first row refused.
    fn delta(&self, rows: &SparseBatch<'_>) -> Result<DeltaBatch, KernelError>;

    /// Scores of listed pairs.
    fn sparse_pair(
        &self,
        left: &SparseBatch<'_>,
        right: &SparseBatch<'_>,
        pairs: &[(u32, u32)],
        measure: Measure,
    ) -> Vec<f64>;

    /// Scores of two prepared vectors of one dimension.
    fn prepared_pair(&self, left: &PreparedSparse, right: &PreparedSparse) -> PairScores;

    /// Scores of one prepared vector with each of many.
    fn prepared_one_to_many(&self, query: &PreparedSparse, rows: &[PreparedSparse]) -> Vec<PairScores>;

    /// Dense rows to signed bytes; `out` has the shape of the rows.
    fn int8_quantize(&self, rows: DenseView<'_>, out: &mut Int8Rows);

    /// Signed bytes to dense rows; `out` is as long as the rows.
    fn int8_dequantize(&self, rows: &Int8Rows, out: &mut [f32]);

    /// Values of 16-bit rows; `out` is as long as the rows.
    fn half_widen(&self, rows: HalfView<'_>, out: &mut [f32]);

    /// Dense rows to the nearest 16-bit values.
    ///
    /// # Errors
    /// A component beyond the format's range.
    fn half_narrow(&self, rows: DenseView<'_>, kind: HalfKind) -> Result<HalfRows, KernelError>;

    /// Rows made ready to be searched many times.
    fn corpus<'a>(&self, rows: SearchRows<'a>) -> Corpus<'a>;

    /// Nearest rows of each query.
    fn search(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Vec<Vec<Neighbor>>;

    /// Nearest entry of each row; `None` where the codebook is empty.
    fn quantize(&self, book: &Codebook, rows: DenseView<'_>) -> Vec<Option<Neighbor>>;

    /// Nearest entry of each delta, decided in integers; `None` where the codebook is empty.
    fn quantize_deltas(
        &self,
        book: &ConsensusCodebook,
        deltas: &DeltaBatch,
        metric: Metric,
    ) -> Vec<Option<Neighbor>>;

    /// Clusters f32 rows.
    ///
    /// # Errors
    /// A metric that k-means does not have.
    fn kmeans(&self, rows: DenseView<'_>, options: &KMeansOptions) -> Result<KMeans, KernelError>;

    /// Clusters rows of signed bytes in integers.
    ///
    /// # Errors
    /// As [`ConsensusCodebook::new`].
    fn kmeans_codes(
        &self,
        codes: &[i8],
        dim: u32,
        options: &KMeansCodesOptions,
    ) -> Result<KMeansCodes, KernelError>;
}

/// The oracle: plain loops on one thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScalarBackend;

/// The CPU's vector units, all threads of the current rayon pool.
#[derive(Debug, Clone, Copy)]
pub struct SimdBackend {
    level: Level,
}

impl SimdBackend {
    /// The fastest level of this machine, or `None` where it has none.
    #[must_use]
    pub fn detect() -> Option<Self> {
        Self::open(Isa::best())
    }

    /// One particular level, or `None` where this machine lacks it (`Isa::Scalar` is no SIMD level).
    #[must_use]
    pub fn open(isa: Isa) -> Option<Self> {
        Level::open(isa).map(|level| Self { level })
    }
}

impl Backend for ScalarBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Scalar
    }

    fn isa(&self) -> Isa {
        Isa::Scalar
    }

    fn conflict_matrix(&self, input: &ConflictInput<'_>, thresholds: &Thresholds) -> ConflictList {
        match &input.0 {
            Job::Sparse(job) => scalar::conflict_matrix::conflict_matrix(job, thresholds),
            Job::Deltas(job) => scalar::conflict_matrix::conflict_matrix(job, thresholds),
        }
    }

    fn cosine_classes(&self, rows: CosineRows<'_>, thresholds: &Thresholds, out: &mut ClassMatrix) {
        scalar::cosine_classes::cosine_classes(rows, thresholds, out);
    }

    fn cosine_conflicts(&self, rows: CosineRows<'_>, thresholds: &Thresholds) -> ConflictList {
        let mut matrix = ClassMatrix::of(rows.rows());
        self.cosine_classes(rows, thresholds, &mut matrix);
        matrix.to_list()
    }

    fn conflict_counts(&self, input: &ConflictInput<'_>, thresholds: &Thresholds) -> ConflictCounts {
        match &input.0 {
            Job::Sparse(job) => scalar::conflict_matrix::conflict_counts(job, thresholds),
            Job::Deltas(job) => scalar::conflict_matrix::conflict_counts(job, thresholds),
        }
    }

    fn conflict_rows(
        &self,
        input: &ConflictInput<'_>,
        thresholds: &Thresholds,
        sink: &(dyn Fn(&[ConflictPair]) -> ControlFlow<()> + Sync),
    ) -> ControlFlow<()> {
        match &input.0 {
            Job::Sparse(job) => scalar::conflict_matrix::conflict_rows(job, thresholds, sink),
            Job::Deltas(job) => scalar::conflict_matrix::conflict_rows(job, thresholds, sink),
        }
    }

    fn all_pairs(&self, pairs: &Pairs<'_>, similarity: Similarity, at_least: Decimal) -> Vec<ScoredPair> {
        scalar::all_pairs::all_pairs(pairs, similarity, at_least)
    }

    fn all_pairs_scores(&self, pairs: &Pairs<'_>, similarity: Similarity, scores: &mut [f32]) {
        scalar::all_pairs_scores::all_pairs_scores(pairs, similarity, scores);
    }

    fn delta(&self, rows: &SparseBatch<'_>) -> Result<DeltaBatch, KernelError> {
        scalar::delta::delta(rows)
    }

    fn sparse_pair(
        &self,
        left: &SparseBatch<'_>,
        right: &SparseBatch<'_>,
        pairs: &[(u32, u32)],
        measure: Measure,
    ) -> Vec<f64> {
        scalar::sparse_pair::sparse_pair(left, right, pairs, measure)
    }

    fn prepared_pair(&self, left: &PreparedSparse, right: &PreparedSparse) -> PairScores {
        scalar::prepared_pair::prepared_pair(left, right)
    }

    fn prepared_one_to_many(&self, query: &PreparedSparse, rows: &[PreparedSparse]) -> Vec<PairScores> {
        rows.iter().map(|row| scalar::prepared_pair::prepared_pair(query, row)).collect()
    }

    fn int8_quantize(&self, rows: DenseView<'_>, out: &mut Int8Rows) {
        scalar::int8::quantize(rows, out);
    }

    fn int8_dequantize(&self, rows: &Int8Rows, out: &mut [f32]) {
        scalar::int8::dequantize(rows, out);
    }

    fn half_widen(&self, rows: HalfView<'_>, out: &mut [f32]) {
        scalar::half::widen(rows, out);
    }

    fn half_narrow(&self, rows: DenseView<'_>, kind: HalfKind) -> Result<HalfRows, KernelError> {
        scalar::half::narrow(rows, kind)
    }

    fn corpus<'a>(&self, rows: SearchRows<'a>) -> Corpus<'a> {
        Corpus::unpacked(rows)
    }

    fn search(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Vec<Vec<Neighbor>> {
        scalar::search::search(corpus.rows(), queries, options)
    }

    fn quantize(&self, book: &Codebook, rows: DenseView<'_>) -> Vec<Option<Neighbor>> {
        scalar::quantize::quantize(book, rows)
    }

    fn quantize_deltas(
        &self,
        book: &ConsensusCodebook,
        deltas: &DeltaBatch,
        metric: Metric,
    ) -> Vec<Option<Neighbor>> {
        scalar::quantize::quantize_deltas(book, deltas, metric)
    }

    fn kmeans(&self, rows: DenseView<'_>, options: &KMeansOptions) -> Result<KMeans, KernelError> {
        scalar::kmeans::kmeans(&rows, options)
    }

    fn kmeans_codes(
        &self,
        codes: &[i8],
        dim: u32,
        options: &KMeansCodesOptions,
    ) -> Result<KMeansCodes, KernelError> {
        scalar::kmeans_codes::kmeans_codes(codes, dim, options)
    }
}

impl Backend for SimdBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Simd
    }

    fn isa(&self) -> Isa {
        self.level.isa()
    }

    fn conflict_matrix(&self, input: &ConflictInput<'_>, thresholds: &Thresholds) -> ConflictList {
        match &input.0 {
            Job::Sparse(job) => simd::conflict_matrix::conflict_matrix(self.level, job, thresholds),
            Job::Deltas(job) => simd::conflict_matrix::conflict_matrix(self.level, job, thresholds),
        }
    }

    fn cosine_classes(&self, rows: CosineRows<'_>, thresholds: &Thresholds, out: &mut ClassMatrix) {
        simd::cosine_classes::cosine_classes(self.level, rows, thresholds, out);
    }

    fn cosine_conflicts(&self, rows: CosineRows<'_>, thresholds: &Thresholds) -> ConflictList {
        simd::cosine_classes::cosine_conflicts(self.level, rows, thresholds)
    }

    fn conflict_counts(&self, input: &ConflictInput<'_>, thresholds: &Thresholds) -> ConflictCounts {
        match &input.0 {
            Job::Sparse(job) => simd::conflict_matrix::conflict_counts(self.level, job, thresholds),
            Job::Deltas(job) => simd::conflict_matrix::conflict_counts(self.level, job, thresholds),
        }
    }

    fn conflict_rows(
        &self,
        input: &ConflictInput<'_>,
        thresholds: &Thresholds,
        sink: &(dyn Fn(&[ConflictPair]) -> ControlFlow<()> + Sync),
    ) -> ControlFlow<()> {
        match &input.0 {
            Job::Sparse(job) => simd::conflict_matrix::conflict_rows(self.level, job, thresholds, sink),
            Job::Deltas(job) => simd::conflict_matrix::conflict_rows(self.level, job, thresholds, sink),
        }
    }

    fn all_pairs(&self, pairs: &Pairs<'_>, similarity: Similarity, at_least: Decimal) -> Vec<ScoredPair> {
        simd::all_pairs::all_pairs(self.level, pairs, similarity, at_least)
    }

    fn all_pairs_scores(&self, pairs: &Pairs<'_>, similarity: Similarity, scores: &mut [f32]) {
        simd::all_pairs_scores::all_pairs_scores(self.level, pairs, similarity, scores);
    }

    fn explain_all_pairs(&self, pairs: &Pairs<'_>, similarity: Similarity) -> Option<Explanation> {
        Some(simd::all_pairs::explain(self.level, pairs, similarity))
    }

    fn explain_conflicts(&self, input: &ConflictInput<'_>) -> Option<Explanation> {
        Some(match &input.0 {
            Job::Sparse(job) => simd::conflict_matrix::explain(self.level, job),
            Job::Deltas(job) => simd::conflict_matrix::explain(self.level, job),
        })
    }

    fn delta(&self, rows: &SparseBatch<'_>) -> Result<DeltaBatch, KernelError> {
        simd::delta::delta(self.level, rows)
    }

    fn sparse_pair(
        &self,
        left: &SparseBatch<'_>,
        right: &SparseBatch<'_>,
        pairs: &[(u32, u32)],
        measure: Measure,
    ) -> Vec<f64> {
        simd::sparse_pair::sparse_pair(self.level, left, right, pairs, measure)
    }

    fn prepared_pair(&self, left: &PreparedSparse, right: &PreparedSparse) -> PairScores {
        simd::prepared_pair::prepared_pair(self.level, left, right)
    }

    fn prepared_one_to_many(&self, query: &PreparedSparse, rows: &[PreparedSparse]) -> Vec<PairScores> {
        simd::prepared_pair::prepared_one_to_many(self.level, query, rows)
    }

    fn int8_quantize(&self, rows: DenseView<'_>, out: &mut Int8Rows) {
        simd::int8::quantize(self.level, rows, out);
    }

    fn int8_dequantize(&self, rows: &Int8Rows, out: &mut [f32]) {
        simd::int8::dequantize(self.level, rows, out);
    }

    fn half_widen(&self, rows: HalfView<'_>, out: &mut [f32]) {
        simd::half::widen(self.level, rows, out);
    }

    fn half_narrow(&self, rows: DenseView<'_>, kind: HalfKind) -> Result<HalfRows, KernelError> {
        simd::half::narrow(self.level, rows, kind)
    }

    fn corpus<'a>(&self, rows: SearchRows<'a>) -> Corpus<'a> {
        simd::search::corpus(self.level, rows)
    }

    fn search(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Vec<Vec<Neighbor>> {
        simd::search::search(self.level, corpus, queries, options)
    }

    fn quantize(&self, book: &Codebook, rows: DenseView<'_>) -> Vec<Option<Neighbor>> {
        simd::quantize::quantize(self.level, book, rows)
    }

    fn quantize_deltas(
        &self,
        book: &ConsensusCodebook,
        deltas: &DeltaBatch,
        metric: Metric,
    ) -> Vec<Option<Neighbor>> {
        simd::quantize::quantize_deltas(self.level, book, deltas, metric)
    }

    fn kmeans(&self, rows: DenseView<'_>, options: &KMeansOptions) -> Result<KMeans, KernelError> {
        simd::kmeans::kmeans(self.level, &rows, options)
    }

    fn kmeans_codes(
        &self,
        codes: &[i8],
        dim: u32,
        options: &KMeansCodesOptions,
    ) -> Result<KMeansCodes, KernelError> {
        simd::kmeans_codes::kmeans_codes(self.level, codes, dim, options)
    }
}
