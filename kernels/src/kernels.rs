//! The front door: one handle that checks shapes, runs a backend on its threads and says what ran.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::accelerated::Accelerated;
use crate::accelerator::{Accelerator, Fallback, Request};
use crate::aligned::AlignedBuf;
use crate::backend::{Backend, ScalarBackend, SimdBackend};
use crate::conflict_input::ConflictInput;
use crate::corpus::Corpus;
use crate::error::KernelError;
use crate::isa::Isa;
use crate::kmeans::{KMeans, KMeansCodes, KMeansCodesOptions, KMeansOptions};
use crate::kmeans_stream::KMeansStream;
use crate::quantize::{HierarchicalCodes, hierarchical_codes};
use crate::run::{BackendKind, Run, RunInfo, Threads};
use crate::selector::{Both, Selector};
use crate::simd::pairs::is_small;
use crate::simd::variant::Explanation;
use crate::together::Like;
use crate::types::{
    ClassMatrix, Codebook, ConflictCounts, ConflictList, ConflictPair, ConsensusCodebook, CosineRows,
    Decimal, DeltaBatch, DenseView, HalfKind, HalfRows, HalfView, Int8Mode, Int8Rows, KeySets, Measure,
    Metric, Neighbor, PairScores, Pairs, PreparedSparse, ScoredPair, SearchOptions, SearchRows, Similarity,
    SparseBatch, SparseVec, Thresholds, Vectors, Wanted,
};

/// A backend and its worker threads. Cheap to clone; share one for the whole program.
///
/// ```
/// use tensor_kernels::{ConflictClass, Kernels, SparseBatch, Thresholds};
/// let kernels = Kernels::detect()?;
/// let batch = SparseBatch::view(4, &[0, 2, 4, 6], &[0, 1, 0, 1, 2, 3], &[3.0, 4.0, 4.0, 3.0, 1.0, 1.0])?;
/// let run = kernels.conflict_matrix((&batch).into(), None, &Thresholds::default())?;
/// assert_eq!(run.value.class_of(0, 1), Some(ConflictClass::Conflicting)); // cos = 0.96
/// assert_eq!(run.value.count(ConflictClass::Orthogonal), 2);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Clone)]
pub struct Kernels {
    backend: Arc<dyn Backend>,
    pool: Arc<rayon::ThreadPool>,
    accelerated: Option<Accelerated>,
}

impl Kernels {
    /// The fastest level of this machine, or the one that `TENSORCHAIN_ISA` forces, on all cores.
    ///
    /// # Errors
    /// A forced level that does not exist or that this machine lacks; threads that cannot be started.
    pub fn detect() -> Result<Self, KernelError> {
        Self::new(Isa::from_env()?.unwrap_or_else(Isa::best), Threads::Auto)
    }

    /// The oracle on one thread.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn scalar() -> Result<Self, KernelError> {
        Self::new(Isa::Scalar, Threads::from_count(1))
    }

    /// A particular level and number of threads. `Isa::Scalar` is the oracle.
    ///
    /// # Errors
    /// [`KernelError::IsaUnavailable`] where this machine lacks the level; never another level instead.
    pub fn new(isa: Isa, threads: Threads) -> Result<Self, KernelError> {
        let backend: Arc<dyn Backend> = match SimdBackend::open(isa) {
            Some(simd) => Arc::new(simd),
            None if isa == Isa::Scalar => Arc::new(ScalarBackend),
            None => return Err(KernelError::IsaUnavailable { wanted: isa, available: Isa::available() }),
        };
        Self::with_backend(backend, threads)
    }

    /// A backend of the caller's own, as tests use to record or to fail.
    ///
    /// # Errors
    /// [`KernelError::Threads`] where the threads cannot be started.
    pub fn with_backend(backend: Arc<dyn Backend>, threads: Threads) -> Result<Self, KernelError> {
        let threads = threads.count();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| KernelError::Threads { threads, reason: error.to_string() })?;
        Ok(Self { backend, pool: Arc::new(pool), accelerated: None })
    }

    /// The same kernels with an accelerator, which is asked first where it has a version of the operation. Each
    /// [`RunInfo`] says who computed.
    #[must_use]
    pub fn with_accelerator(self, accelerator: Arc<dyn Accelerator>) -> Self {
        Self { accelerated: Some(Accelerated::new(accelerator)), ..self }
    }

    /// From now on the accelerator is asked only where it is expected to be faster, which the selector knows, or measures
    /// when that is worth it. Nothing where there is no accelerator.
    #[must_use]
    pub fn with_selector(mut self, selector: Selector) -> Self {
        if let Some(accelerated) = &mut self.accelerated {
            accelerated.selector = Some(Arc::new(selector));
        }
        self
    }

    /// Who decides whether the accelerator is asked, if anyone does.
    #[must_use]
    pub fn selector(&self) -> Option<&Selector> {
        self.accelerated.as_ref()?.selector.as_deref()
    }

    /// Opens the accelerator and measures it beside the CPU now, as far as that has not happened, instead of when it is
    /// first worth it. Takes about 0.1 s, and as long as its driver compiles kernels. Nothing without a selector.
    ///
    /// # Errors
    /// Why there is nothing to measure: mostly [`Fallback::Absent`], whose reason is the accelerator's
    /// [name](Accelerator::name).
    pub fn calibrate(&self) -> Result<(), Fallback> {
        match &self.accelerated {
            Some(Accelerated { accelerator, selector: Some(selector), .. }) => {
                selector.measure_all(self.both(&**accelerator))
            }
            _ => Ok(()),
        }
    }

    /// The accelerator, if there is one.
    #[must_use]
    pub fn accelerator(&self) -> Option<&dyn Accelerator> {
        self.accelerated.as_ref().map(|accelerated| &*accelerated.accelerator)
    }

    /// How often each operation went to the accelerator (`None`) or stayed on the CPU, and why.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<(&'static str, Option<Fallback>), u64> {
        self.accelerated.as_ref().map(Accelerated::asked).unwrap_or_default()
    }

    /// Which kind of backend this runs on the CPU.
    #[must_use]
    pub fn kind(&self) -> BackendKind {
        self.backend.kind()
    }

    /// The instruction-set level this runs.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.backend.isa()
    }

    /// Number of worker threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Classes of all pairs i < j of one batch, by the nine rules of
    /// [`ConflictClass`](crate::ConflictClass). `keys: None` means that no two rows share a key.
    ///
    /// Agreement: exact. Shape: `rows` sparse rows in, the pairs that are not orthogonal out. Cost:
    /// one multiply-add per pair and shared position.
    ///
    /// # Errors
    /// Key sets for another number of rows.
    pub fn conflict_matrix(
        &self,
        vectors: Vectors<'_>,
        keys: Option<&KeySets>,
        thresholds: &Thresholds,
    ) -> Result<Run<ConflictList>, KernelError> {
        Ok(self.run_conflict_matrix(&ConflictInput::all_pairs(vectors, keys)?, thresholds))
    }

    /// Classes of all pairs of a row of `left` and a row of `right`; otherwise as
    /// [`conflict_matrix`](Self::conflict_matrix).
    ///
    /// # Errors
    /// As [`ConflictInput::cross`].
    pub fn conflict_cross(
        &self,
        left: Vectors<'_>,
        right: Vectors<'_>,
        keys: Option<(&KeySets, &KeySets)>,
        thresholds: &Thresholds,
    ) -> Result<Run<ConflictList>, KernelError> {
        Ok(self.run_conflict_matrix(&ConflictInput::cross(left, right, keys)?, thresholds))
    }

    /// Several conflict matrices asked at once, as the deltas of a block among themselves and beside earlier ones:
    /// one list for each, and on a device one submission. Otherwise as [`conflict_matrix`](Self::conflict_matrix).
    ///
    /// ```
    /// use tensor_kernels::{ConflictInput, DeltaBatch, DeltaVector, Kernels, SparseVec, Thresholds};
    /// let delta = |x, y| DeltaVector::from_sparse(&SparseVec::from_dense(&[x, y])?);
    /// let block = DeltaBatch::pack(2, &[delta(1.0, 0.0)?, delta(0.0, 1.0)?])?;
    /// let earlier = DeltaBatch::pack(2, &[delta(3.0, 0.0)?])?;
    /// let inputs = [
    ///     ConflictInput::all_pairs((&block).into(), None)?,
    ///     ConflictInput::cross((&block).into(), (&earlier).into(), None)?,
    /// ];
    /// let lists = Kernels::detect()?.conflict_matrices(&inputs, &Thresholds::default()).value;
    /// assert_eq!(lists.iter().map(|list| list.pairs().len()).collect::<Vec<_>>(), [0, 1]);
    /// # Ok::<(), tensor_kernels::KernelError>(())
    /// ```
    #[must_use]
    pub fn conflict_matrices(
        &self,
        inputs: &[ConflictInput<'_>],
        thresholds: &Thresholds,
    ) -> Run<Vec<ConflictList>> {
        let on_cpu = || {
            let start = Instant::now();
            let list = |input: &ConflictInput<'_>| {
                self.run_sized(input.size(), |backend| backend.conflict_matrix(input, thresholds)).value
            };
            let lists = inputs.iter().map(list).collect();
            self.ran(lists, start)
        };
        self.run_accelerated(
            &Request::ConflictMatrices(inputs, thresholds),
            |accelerator| {
                let lists = accelerator.conflict_matrices(inputs, thresholds)?;
                if lists.len() == inputs.len() { Ok(lists) } else { Err(Fallback::Mismatch) }
            },
            on_cpu,
        )
    }

    /// How many pairs there are of each class and rule, without listing them; otherwise as
    /// [`conflict_matrix`](Self::conflict_matrix). For batches whose list would not fit.
    ///
    /// # Errors
    /// Key sets for another number of rows.
    pub fn conflict_counts(
        &self,
        vectors: Vectors<'_>,
        keys: Option<&KeySets>,
        thresholds: &Thresholds,
    ) -> Result<Run<ConflictCounts>, KernelError> {
        let input = ConflictInput::all_pairs(vectors, keys)?;
        Ok(self.run_sized(input.size(), |backend| backend.conflict_counts(&input, thresholds)))
    }

    /// Hands the pairs that are not orthogonal to `sink` in portions as they are found; otherwise as
    /// [`conflict_matrix`](Self::conflict_matrix).
    ///
    /// A portion ascends by (left, right) and no pair is in two of them; portions come from several threads in any
    /// order. Memory is proportional to a portion. `sink` ends the walk by breaking off: the result then is
    /// `Break`, and calls that had begun still end.
    ///
    /// # Errors
    /// Key sets for another number of rows.
    pub fn conflict_rows(
        &self,
        vectors: Vectors<'_>,
        keys: Option<&KeySets>,
        thresholds: &Thresholds,
        sink: &(dyn Fn(&[ConflictPair]) -> ControlFlow<()> + Sync),
    ) -> Result<Run<ControlFlow<()>>, KernelError> {
        let input = ConflictInput::all_pairs(vectors, keys)?;
        Ok(self.run_sized(input.size(), |backend| backend.conflict_rows(&input, thresholds, sink)))
    }

    /// As [`conflict_matrix`](Self::conflict_matrix), but refuses to list more than `limit` pairs.
    ///
    /// # Errors
    /// Key sets for another number of rows; [`KernelError::TooLarge`] with `limit + 1` as soon as there are more.
    pub fn conflict_matrix_within(
        &self,
        vectors: Vectors<'_>,
        keys: Option<&KeySets>,
        thresholds: &Thresholds,
        limit: usize,
    ) -> Result<Run<ConflictList>, KernelError> {
        let listed = Mutex::new(Vec::new());
        let sink = |pairs: &[ConflictPair]| {
            let mut listed = listed.lock().unwrap_or_else(PoisonError::into_inner);
            if pairs.len() > limit.saturating_sub(listed.len()) {
                return ControlFlow::Break(());
            }
            listed.extend_from_slice(pairs);
            ControlFlow::Continue(())
        };
        let run = self.conflict_rows(vectors, keys, thresholds, &sink)?;
        if run.value.is_break() {
            let (what, got) = ("pairs that are not orthogonal", limit.saturating_add(1));
            return Err(KernelError::TooLarge { what, got, limit });
        }
        let mut pairs = listed.into_inner().unwrap_or_else(PoisonError::into_inner);
        pairs.sort_unstable();
        Ok(run.map(|_| ConflictList::triangle(vectors.rows(), pairs)))
    }

    /// Classes of all pairs i < j of dense rows by direction alone: rules 4, 6, 7 and 9 of
    /// [`ConflictClass`](crate::ConflictClass), and orthogonal where a row is zero. Dense rows use every position and
    /// name no keys, so the structural rules and those of keys do not apply.
    ///
    /// Agreement: exact. Shape: `rows × dim` in, one byte a pair out. Cost: O(rows² · dim / 2).
    ///
    /// ```
    /// use tensor_kernels::{ConflictClass, DenseView, Kernels, Thresholds};
    /// let rows = DenseView::new(&[1.0, 0.0, 0.6, 0.8, -2.0, 0.0], 3, 2)?;
    /// let classes = Kernels::detect()?.cosine_classes(rows, &Thresholds::default()).value;
    /// assert_eq!(classes.class_of(0, 1), Some(ConflictClass::LowConflict)); // cos = 0.6
    /// assert_eq!(classes.class_of(0, 2), Some(ConflictClass::Conflicting)); // cos = -1
    /// # Ok::<(), tensor_kernels::KernelError>(())
    /// ```
    #[must_use]
    pub fn cosine_classes<'a>(
        &self,
        rows: impl Into<CosineRows<'a>>,
        thresholds: &Thresholds,
    ) -> Run<ClassMatrix> {
        let rows = rows.into();
        let mut matrix = ClassMatrix::of(rows.rows());
        self.run(|backend| backend.cosine_classes(rows, thresholds, &mut matrix)).map(|()| matrix)
    }

    /// [`cosine_classes`](Self::cosine_classes) into memory that the caller keeps: memory that was written before
    /// costs no page faults.
    ///
    /// # Errors
    /// `out` of another number of rows.
    pub fn cosine_classes_into<'a>(
        &self,
        rows: impl Into<CosineRows<'a>>,
        thresholds: &Thresholds,
        out: &mut ClassMatrix,
    ) -> Result<Run<()>, KernelError> {
        let rows = rows.into();
        same_len("out", out.rows(), rows.rows())?;
        Ok(self.run(|backend| backend.cosine_classes(rows, thresholds, out)))
    }

    /// The pairs of [`cosine_classes`](Self::cosine_classes) that are not orthogonal: less memory where they are few.
    #[must_use]
    pub fn cosine_conflicts<'a>(
        &self,
        rows: impl Into<CosineRows<'a>>,
        thresholds: &Thresholds,
    ) -> Run<ConflictList> {
        let rows = rows.into();
        self.run_accelerated(
            &Request::CosineConflicts(rows, thresholds),
            |accelerator| accelerator.cosine_conflicts(rows, thresholds),
            || self.run(|backend| backend.cosine_conflicts(rows, thresholds)),
        )
    }

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

    /// The same for [`conflict_matrix`](Self::conflict_matrix).
    #[must_use]
    pub fn explain_conflicts(&self, vectors: Vectors<'_>) -> Option<Explanation> {
        self.backend.explain_conflicts(&ConflictInput::triangle(vectors, None))
    }

    /// The nearest delta of each f32 row: codes rounded half to even under the smallest exponent that
    /// fits, never to zero. `‖x − x̂‖ ≤ √nnz · ‖x‖∞ / 16,319` where the exponent is above −64.
    ///
    /// Agreement: exact. Shape: `rows × dim` sparse in, the same positions out. Cost: O(nnz).
    /// [`DeltaBatch::to_sparse`] is the exact way back, [`DeltaSum::of`](crate::DeltaSum::of) the exact sum.
    ///
    /// # Errors
    /// As [`DeltaVector::from_sparse`](crate::DeltaVector::from_sparse), for the first row refused.
    pub fn delta(&self, rows: &SparseBatch<'_>) -> Result<Run<DeltaBatch>, KernelError> {
        self.run(|backend| backend.delta(rows)).transpose()
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

    /// Dense rows to signed bytes, one scale a row. [`Int8Rows`] states the error bound.
    ///
    /// Agreement: exact: quotients in f64, rounded half to even. Shape: `rows × dim`. Cost: O(rows · dim).
    #[must_use]
    pub fn int8_quantize(&self, rows: DenseView<'_>, mode: Int8Mode) -> Run<Int8Rows> {
        let mut out = Int8Rows::zeroed_like(mode, rows.rows(), rows.dim());
        self.run(|backend| backend.int8_quantize(rows, &mut out)).map(|()| out)
    }

    /// [`int8_quantize`](Self::int8_quantize) into memory that the caller keeps, in the mode of `out`. Memory
    /// that was written before costs no page faults: for large batches that is most of the time.
    ///
    /// # Errors
    /// `out` of another shape than `rows`.
    pub fn int8_quantize_into(
        &self,
        rows: DenseView<'_>,
        out: &mut Int8Rows,
    ) -> Result<Run<()>, KernelError> {
        same_dim(out.dim(), rows.dim())?;
        same_len("out", out.rows(), rows.rows())?;
        Ok(self.run(|backend| backend.int8_quantize(rows, out)))
    }

    /// The values of signed bytes, row-major; each is one f64 product and sum, rounded once.
    ///
    /// Agreement: exact. Shape: `rows × dim`. Cost: O(rows · dim).
    #[must_use]
    pub fn int8_dequantize(&self, rows: &Int8Rows) -> Run<AlignedBuf<f32>> {
        let mut values = AlignedBuf::zeroed(rows.codes().len());
        self.run(|backend| backend.int8_dequantize(rows, &mut values)).map(|()| values)
    }

    /// [`int8_dequantize`](Self::int8_dequantize) into memory that the caller keeps.
    ///
    /// # Errors
    /// `out` of another length than the codes.
    pub fn int8_dequantize_into(&self, rows: &Int8Rows, out: &mut [f32]) -> Result<Run<()>, KernelError> {
        same_len("out", out.len(), rows.codes().len())?;
        Ok(self.run(|backend| backend.int8_dequantize(rows, out)))
    }

    /// The values of f16 or bf16 rows, row-major; every one is exact.
    ///
    /// Agreement: exact. Shape: `rows × dim`. Cost: O(rows · dim).
    #[must_use]
    pub fn half_widen(&self, rows: HalfView<'_>) -> Run<AlignedBuf<f32>> {
        let mut values = AlignedBuf::zeroed(rows.bits().len());
        self.run(|backend| backend.half_widen(rows, &mut values)).map(|()| values)
    }

    /// [`half_widen`](Self::half_widen) into the caller's memory.
    ///
    /// # Errors
    /// `out` of another length than the rows.
    pub fn half_widen_into(&self, rows: HalfView<'_>, out: &mut [f32]) -> Result<Run<()>, KernelError> {
        same_len("out", out.len(), rows.bits().len())?;
        Ok(self.run(|backend| backend.half_widen(rows, out)))
    }

    /// The nearest f16 or bf16 of each component, half to even: within 2⁻¹² (f16) or 2⁻⁹ (bf16) of its
    /// magnitude, or within 2⁻²⁵ (f16) or 2⁻¹³⁴ (bf16) where the result is denormal.
    ///
    /// Agreement: exact. Shape: `rows × dim`. Cost: O(rows · dim).
    ///
    /// # Errors
    /// [`KernelError::MagnitudeOutOfRange`] for the first component that would become infinite, as from
    /// 65,520 on in f16.
    pub fn half_narrow(&self, rows: DenseView<'_>, kind: HalfKind) -> Result<Run<HalfRows>, KernelError> {
        self.run(|backend| backend.half_narrow(rows, kind)).transpose()
    }

    /// The nearest rows of `corpus` for each query, nearest first, ties by the lower row.
    ///
    /// Agreement: exact: the order is that of the real numbers; scores are f64 sums in ascending
    /// dimension. Shape: `queries × dim`, `rows × dim` → one list a query. Cost: O(queries · rows · dim).
    /// Rows and queries may be f32, f16, bf16 or signed bytes, each meaning exactly the numbers it holds.
    ///
    /// # Errors
    /// Dimensions that differ (an empty corpus or no queries fit any dimension).
    pub fn search<'a>(
        &self,
        corpus: impl Into<SearchRows<'a>>,
        queries: impl Into<SearchRows<'a>>,
        metric: Metric,
        wanted: Wanted,
    ) -> Result<Run<Vec<Vec<Neighbor>>>, KernelError> {
        self.search_corpus(&Corpus::unpacked(corpus), queries, &SearchOptions::new(metric, wanted))
    }

    /// Rows made ready for many searches: read once now, a quarter of their bytes each time after. Pays from
    /// the second search on.
    #[must_use]
    pub fn corpus<'a>(&self, rows: impl Into<SearchRows<'a>>) -> Run<Corpus<'a>> {
        let rows = rows.into();
        self.run(|backend| backend.corpus(rows))
    }

    /// [`search`](Self::search) in a corpus that is kept, or among some of its rows.
    ///
    /// ```
    /// use tensor_kernels::{DenseView, Kernels, Metric, RowMask, SearchOptions, Wanted};
    /// let kernels = Kernels::detect()?;
    /// let rows = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
    /// let corpus = kernels.corpus(DenseView::new(&rows, 3, 2)?).value;
    /// let query = DenseView::new(&[0.0, 2.0], 1, 2)?;
    /// let nearest = SearchOptions::new(Metric::Cosine, Wanted::Top(1));
    /// assert_eq!(kernels.search_corpus(&corpus, query, &nearest)?.value[0][0].row, 1);
    /// let not_1 = RowMask::from_fn(3, |row| row != 1);
    /// assert_eq!(kernels.search_corpus(&corpus, query, &nearest.only(&not_1))?.value[0][0].row, 2);
    /// # Ok::<(), tensor_kernels::KernelError>(())
    /// ```
    ///
    /// With an accelerator, small searches of several threads in one corpus wait for each other, no longer than a
    /// millisecond, and are answered together; a lone one goes at once.
    ///
    /// # Errors
    /// As [`search`](Self::search), and a mask for another number of rows.
    pub fn search_corpus<'a>(
        &self,
        corpus: &Corpus<'_>,
        queries: impl Into<SearchRows<'a>>,
        options: &SearchOptions<'_>,
    ) -> Result<Run<Vec<Vec<Neighbor>>>, KernelError> {
        let (rows, queries) = (corpus.rows(), queries.into());
        if rows.rows() > 0 && queries.rows() > 0 {
            same_dim(queries.dim(), rows.dim())?;
        }
        match options.only {
            Some(mask) if mask.rows() != rows.rows() => {
                Err(KernelError::LengthMismatch { what: "row mask", got: mask.rows(), expected: rows.rows() })
            }
            _ => Ok(self.search_together(corpus, queries, options)),
        }
    }

    /// A search that may be asked of an accelerator, with those of other callers.
    fn search_together(
        &self,
        corpus: &Corpus<'_>,
        queries: SearchRows<'_>,
        options: &SearchOptions<'_>,
    ) -> Run<Vec<Vec<Neighbor>>> {
        let search = |queries: SearchRows<'_>| {
            self.run_accelerated(
                &Request::Search(corpus, queries, options),
                |accelerator| accelerator.search(corpus, queries, options),
                || self.run(|backend| backend.search(corpus, queries, options)),
            )
        };
        match &self.accelerated {
            Some(accelerated)
                if accelerated.may_be_asked() && corpus.coded().is_some() && options.only.is_none() =>
            {
                let SearchOptions { metric, wanted, .. } = *options;
                let like = Like { accelerator: accelerated.id(), dim: queries.dim(), metric, wanted };
                corpus.together().search(like, queries, search)
            }
            _ => search(queries),
        }
    }

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

    fn run_conflict_matrix(&self, input: &ConflictInput<'_>, thresholds: &Thresholds) -> Run<ConflictList> {
        self.run_accelerated(
            &Request::ConflictMatrices(std::slice::from_ref(input), thresholds),
            |accelerator| {
                let mut lists = accelerator.conflict_matrices(std::slice::from_ref(input), thresholds)?;
                lists.pop().ok_or(Fallback::Mismatch)
            },
            || self.run_sized(input.size(), |backend| backend.conflict_matrix(input, thresholds)),
        )
    }

    /// Runs one operation on the accelerator, if there is one that does it, else on the CPU.
    fn run_accelerated<T: Send>(
        &self,
        request: &Request<'_>,
        on_device: impl FnOnce(&dyn Accelerator) -> Result<T, Fallback> + Send,
        on_cpu: impl FnOnce() -> Run<T>,
    ) -> Run<T> {
        match &self.accelerated {
            Some(accelerated) => accelerated.run(self, request, on_device, on_cpu),
            None => on_cpu(),
        }
    }

    /// Both sides, to be measured.
    pub(crate) fn both<'a>(&'a self, accelerator: &'a dyn Accelerator) -> Both<'a> {
        Both { accelerator, backend: &*self.backend, pool: &self.pool }
    }

    /// Runs something on the worker threads.
    pub(crate) fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// As [`run`](Self::run), but on the caller's thread where the rows are so few that the operation asks for no other.
    fn run_sized<T: Send>(
        &self,
        (left_rows, entries): (usize, usize),
        operation: impl FnOnce(&dyn Backend) -> T + Send,
    ) -> Run<T> {
        if !is_small(left_rows, entries) {
            return self.run(operation);
        }
        let start = Instant::now();
        let value = operation(&*self.backend);
        self.ran(value, start)
    }

    /// Runs one operation on the pool and notes what ran.
    fn run<T: Send>(&self, operation: impl FnOnce(&dyn Backend) -> T + Send) -> Run<T> {
        let start = Instant::now();
        let value = self.pool.install(|| operation(&*self.backend));
        self.ran(value, start)
    }

    pub(crate) fn ran<T>(&self, value: T, start: Instant) -> Run<T> {
        let info = RunInfo {
            backend: self.kind(),
            fallback: self.accelerated.as_ref().map(|_| Fallback::NoVersion),
            choice: None,
            isa: self.isa(),
            threads: self.threads(),
            elapsed: start.elapsed(),
        };
        Run { value, info }
    }
}

fn same_dim(got: usize, expected: usize) -> Result<(), KernelError> {
    if got == expected { Ok(()) } else { Err(KernelError::DimensionMismatch { got, expected }) }
}

fn same_len(what: &'static str, got: usize, expected: usize) -> Result<(), KernelError> {
    if got == expected { Ok(()) } else { Err(KernelError::LengthMismatch { what, got, expected }) }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernels({}, {}, {} threads", self.kind(), self.isa(), self.threads())?;
        if let Some(accelerator) = self.accelerator() {
            write!(f, ", {}", accelerator.name())?;
        }
        f.write_str(")")
    }
}
