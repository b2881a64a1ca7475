//! Conflict classes: of all pairs of sparse rows, and by direction alone of dense ones.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{Kernels, same_len};
use crate::accelerator::{Fallback, Request};
use crate::conflict_input::ConflictInput;
use crate::error::KernelError;
use crate::run::Run;
use crate::simd::variant::Explanation;
use crate::types::{
    ClassMatrix, ConflictCounts, ConflictList, ConflictPair, CosineRows, KeySets, Thresholds, Vectors,
};

impl Kernels {
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

    /// Which way [`conflict_matrix`](Self::conflict_matrix) would go about its task, and why; `None` where there is but
    /// one.
    #[must_use]
    pub fn explain_conflicts(&self, vectors: Vectors<'_>) -> Option<Explanation> {
        self.backend.explain_conflicts(&ConflictInput::triangle(vectors, None))
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
}
