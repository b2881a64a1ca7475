//! The life of an embedding inside a transaction, as a typestate: first only the state *before* is known,
//! then the state *after* and with it the delta.
//!
//! Computing consumes the initial state, so an embedding cannot be computed twice: that is a compile
//! error, not a run-time one.
//!
//! ```compile_fail,E0382
//! # use tensor_chain::EmbeddingState;
//! let state = EmbeddingState::empty(3);
//! let first = state.compute_from_dense(&[1.0, 0.0, 0.0]);
//! let second = state.compute_from_dense(&[0.0, 1.0, 0.0]); // `state` was consumed
//! ```
//!
//! A computed state has no `compute` at all:
//!
//! ```compile_fail,E0599
//! # use tensor_chain::EmbeddingState;
//! let computed = EmbeddingState::empty(1).compute_from_dense(&[1.0]).unwrap();
//! computed.compute_from_dense(&[2.0]);
//! ```

use tensor_kernels::{KernelError, SparseVec};

/// Why an embedding could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EmbeddingError {
    /// The states before and after have different numbers of components.
    #[error("dimension mismatch: before has {before} components, after has {after}")]
    DimensionMismatch {
        /// Components before.
        before: u32,
        /// Components after.
        after: u32,
    },
    /// A threshold that is negative or not a number.
    #[error("threshold {got} is not a finite number at or above zero")]
    BadThreshold {
        /// The threshold as given.
        got: f32,
    },
    /// A state that is not a finite vector, or a difference that overflows.
    #[error(transparent)]
    Vector(#[from] KernelError),
}

/// Stage of an [`EmbeddingState`] that knows the state before only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Initial;

/// Stage of an [`EmbeddingState`] that knows the state after and the delta as well.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed {
    after: SparseVec,
    delta: SparseVec,
}

/// [`Initial`] or [`Computed`].
pub trait Stage: sealed::Sealed {
    /// The computed part, if this is that stage.
    fn computed(&self) -> Option<&Computed>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Initial {}
    impl Sealed for super::Computed {}
}

impl Stage for Initial {
    fn computed(&self) -> Option<&Computed> {
        None
    }
}

impl Stage for Computed {
    fn computed(&self) -> Option<&Computed> {
        Some(self)
    }
}

/// An embedding before a transaction and, once computed, after it: delta = after − before, each component
/// rounded to f32 once.
///
/// ```
/// use tensor_chain::EmbeddingState;
/// let state = EmbeddingState::from_dense(&[1.0, 2.0, 3.0])?;
/// assert!(state.delta().is_none());
/// let computed = state.compute_from_dense(&[1.5, 2.0, 3.5])?;
/// assert_eq!(computed.delta().map(|delta| delta.to_dense()), Some(vec![0.5, 0.0, 0.5]));
/// # Ok::<(), tensor_chain::EmbeddingError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingState<S = Initial> {
    before: SparseVec,
    stage: S,
}

impl EmbeddingState<Initial> {
    /// An embedding that is `before` when the transaction begins.
    #[must_use]
    pub const fn new(before: SparseVec) -> Self {
        Self { before, stage: Initial }
    }

    /// As [`new`](Self::new), from all components.
    ///
    /// # Errors
    /// A NaN or infinite component.
    pub fn from_dense(before: &[f32]) -> Result<Self, EmbeddingError> {
        Ok(Self::new(SparseVec::from_dense(before)?))
    }

    /// An embedding that is zero when the transaction begins.
    #[must_use]
    pub const fn empty(dim: u32) -> Self {
        Self::new(SparseVec::zero(dim))
    }

    /// Learns the state after, and keeps every difference.
    ///
    /// # Errors
    /// Another dimension than before; a difference that overflows f32. The initial state is gone either
    /// way; clone it first to try again.
    pub fn compute(self, after: SparseVec) -> Result<EmbeddingState<Computed>, EmbeddingError> {
        let delta = self.difference(&after)?;
        Ok(self.with(after, delta))
    }

    /// As [`compute`](Self::compute), from all components.
    ///
    /// # Errors
    /// As [`compute`](Self::compute), and a NaN or infinite component.
    pub fn compute_from_dense(self, after: &[f32]) -> Result<EmbeddingState<Computed>, EmbeddingError> {
        self.compute(SparseVec::from_dense(after)?)
    }

    /// As [`compute_from_dense`](Self::compute_from_dense), but only differences of magnitude greater than
    /// `threshold` are kept in the delta. The state after is kept as given.
    ///
    /// # Errors
    /// As [`compute_from_dense`](Self::compute_from_dense), and a threshold that is negative or not finite.
    pub fn compute_with_threshold(
        self,
        after: &[f32],
        threshold: f32,
    ) -> Result<EmbeddingState<Computed>, EmbeddingError> {
        if !(threshold.is_finite() && threshold >= 0.0) {
            return Err(EmbeddingError::BadThreshold { got: threshold });
        }
        let after = SparseVec::from_dense(after)?;
        let delta = self.difference(&after)?.prune(threshold);
        Ok(self.with(after, delta))
    }

    fn difference(&self, after: &SparseVec) -> Result<SparseVec, EmbeddingError> {
        let (before, after_dim) = (self.before.dim(), after.dim());
        if before != after_dim {
            return Err(EmbeddingError::DimensionMismatch { before, after: after_dim });
        }
        Ok(after.sub(&self.before)?)
    }

    fn with(self, after: SparseVec, delta: SparseVec) -> EmbeddingState<Computed> {
        EmbeddingState { before: self.before, stage: Computed { after, delta } }
    }
}

impl<S: Stage> EmbeddingState<S> {
    /// The state before the transaction.
    #[must_use]
    pub const fn before(&self) -> &SparseVec {
        &self.before
    }

    /// The state after it, once computed.
    #[must_use]
    pub fn after(&self) -> Option<&SparseVec> {
        self.stage.computed().map(|computed| &computed.after)
    }

    /// What changed, once computed.
    #[must_use]
    pub fn delta(&self) -> Option<&SparseVec> {
        self.stage.computed().map(|computed| &computed.delta)
    }

    /// What changed, or the zero vector while that is unknown.
    #[must_use]
    pub fn delta_or_zero(&self) -> SparseVec {
        self.delta().cloned().unwrap_or_else(|| SparseVec::zero(self.dimension()))
    }

    /// ‖delta‖, or 0 while it is unknown.
    #[must_use]
    pub fn delta_magnitude(&self) -> f64 {
        self.delta().map_or(0.0, SparseVec::magnitude)
    }

    /// Whether the state after is known.
    #[must_use]
    pub fn is_computed(&self) -> bool {
        self.stage.computed().is_some()
    }

    /// Number of components.
    #[must_use]
    pub const fn dimension(&self) -> u32 {
        self.before.dim()
    }
}
