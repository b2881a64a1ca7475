//! A delta vector together with the keys it writes and the transaction it belongs to: the unit that
//! conflict detection and merging work on.
//!
//! Values are f32 here because this is the analytic side, where deltas are averaged, scaled and projected.
//! What the chain stores is the integer [`DeltaVector`] of [`KeyedDelta::to_delta_vector`].

use std::collections::BTreeSet;

use tensor_kernels::{DeltaVector, KernelError, SparseVec};

/// A sparse delta, the keys its transaction writes, and the transaction's id (0 for a combined delta).
///
/// ```
/// use tensor_chain::KeyedDelta;
/// let a = KeyedDelta::new([1.0, 0.0, 0.0], ["users:1"], 1)?;
/// let b = KeyedDelta::new([0.0, 1.0, 0.0], ["users:2"], 2)?;
/// assert_eq!(a.add(&b)?.to_dense(), [1.0, 1.0, 0.0]);
/// assert!(!a.overlaps_with(&b));
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct KeyedDelta {
    vector: SparseVec,
    keys: BTreeSet<String>,
    tx_id: u64,
}

impl KeyedDelta {
    /// A delta from all its components.
    ///
    /// # Errors
    /// A NaN or infinite component.
    pub fn new(
        dense: impl AsRef<[f32]>,
        keys: impl IntoIterator<Item = impl Into<String>>,
        tx_id: u64,
    ) -> Result<Self, KernelError> {
        Ok(Self::from_sparse(SparseVec::from_dense(dense.as_ref())?, keys, tx_id))
    }

    /// Another name for [`new`](Self::new), beside [`from_sparse`](Self::from_sparse).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_dense(
        dense: impl AsRef<[f32]>,
        keys: impl IntoIterator<Item = impl Into<String>>,
        tx_id: u64,
    ) -> Result<Self, KernelError> {
        Self::new(dense, keys, tx_id)
    }

    /// A delta from its non-zero components.
    pub fn from_sparse(
        vector: SparseVec,
        keys: impl IntoIterator<Item = impl Into<String>>,
        tx_id: u64,
    ) -> Self {
        Self { vector, keys: keys.into_iter().map(Into::into).collect(), tx_id }
    }

    /// The difference `after − before`, each component rounded to f32 once.
    ///
    /// # Errors
    /// States of different dimension, a NaN or infinite component, a difference that overflows.
    pub fn from_states(
        before: impl AsRef<[f32]>,
        after: impl AsRef<[f32]>,
        keys: impl IntoIterator<Item = impl Into<String>>,
        tx_id: u64,
    ) -> Result<Self, KernelError> {
        Self::from_states_with_threshold(before, after, keys, tx_id, 0.0)
    }

    /// As [`from_states`](Self::from_states), keeping only differences of magnitude greater than `threshold`.
    ///
    /// # Errors
    /// As [`from_states`](Self::from_states).
    pub fn from_states_with_threshold(
        before: impl AsRef<[f32]>,
        after: impl AsRef<[f32]>,
        keys: impl IntoIterator<Item = impl Into<String>>,
        tx_id: u64,
        threshold: f32,
    ) -> Result<Self, KernelError> {
        let delta = SparseVec::from_diff(before.as_ref(), after.as_ref(), threshold)?;
        Ok(Self::from_sparse(delta, keys, tx_id))
    }

    /// The delta that changes nothing and writes no key.
    #[must_use]
    pub const fn zero(dim: u32) -> Self {
        Self { vector: SparseVec::zero(dim), keys: BTreeSet::new(), tx_id: 0 }
    }

    /// The delta's components.
    #[must_use]
    pub const fn vector(&self) -> &SparseVec {
        &self.vector
    }

    /// The keys that the transaction writes, ascending.
    #[must_use]
    pub const fn affected_keys(&self) -> &BTreeSet<String> {
        &self.keys
    }

    /// The transaction this delta belongs to; 0 for a combination of several.
    #[must_use]
    pub const fn tx_id(&self) -> u64 {
        self.tx_id
    }

    /// Number of components, stored or not.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.vector.dim()
    }

    /// Both deltas applied: `self + other`, keys united, transaction id 0.
    ///
    /// # Errors
    /// Another dimension; a sum that overflows.
    pub fn add(&self, other: &Self) -> Result<Self, KernelError> {
        Ok(self.combined(other, self.vector.add(&other.vector)?))
    }

    /// `(w1·self + w2·other) / (w1 + w2)`, keys united, transaction id 0.
    ///
    /// This is the literal average: a component that one delta holds alone is scaled down too. Merging
    /// keeps such components whole (see [`ConsensusManager::merge`](crate::ConsensusManager::merge)).
    ///
    /// # Errors
    /// Another dimension; weights that are not finite or add up to zero; an average that overflows.
    pub fn weighted_average(&self, other: &Self, w1: f64, w2: f64) -> Result<Self, KernelError> {
        Ok(self.combined(other, self.vector.weighted_average(&other.vector, w1, w2)?))
    }

    /// What is left of the delta after removing its part along `direction`; unchanged where `direction`
    /// is zero. Keys and transaction id stay.
    ///
    /// # Errors
    /// Another dimension; a result that overflows.
    pub fn project_non_conflicting(&self, direction: &SparseVec) -> Result<Self, KernelError> {
        Ok(self.replaced(self.vector.project_orthogonal(direction)?))
    }

    /// Every component times `factor`. Keys and transaction id stay.
    ///
    /// # Errors
    /// A factor that is not finite; a product that overflows.
    pub fn scale(&self, factor: f64) -> Result<Self, KernelError> {
        Ok(self.replaced(self.vector.scale(factor)?))
    }

    /// Only the components of magnitude greater than `threshold`. Keys and transaction id stay.
    #[must_use]
    pub fn prune(&self, threshold: f32) -> Self {
        self.replaced(self.vector.prune(threshold))
    }

    /// Cosine of the angle between the deltas; 0 where either is zero.
    ///
    /// # Errors
    /// Another dimension.
    pub fn cosine_similarity(&self, other: &Self) -> Result<f64, KernelError> {
        self.vector.cosine_similarity(&other.vector)
    }

    /// Jaccard index of the positions the deltas change; 1 where neither changes any.
    ///
    /// # Errors
    /// Another dimension.
    pub fn structural_similarity(&self, other: &Self) -> Result<f64, KernelError> {
        self.vector.jaccard_index(&other.vector)
    }

    /// ‖delta‖.
    #[must_use]
    pub fn magnitude(&self) -> f64 {
        self.vector.magnitude()
    }

    /// Whether the transactions write a common key.
    #[must_use]
    pub fn overlaps_with(&self, other: &Self) -> bool {
        !self.keys.is_disjoint(&other.keys)
    }

    /// The keys that both transactions write, ascending.
    #[must_use]
    pub fn overlapping_keys(&self, other: &Self) -> Vec<String> {
        self.keys.intersection(&other.keys).cloned().collect()
    }

    /// Whether the deltas change a common position.
    #[must_use]
    pub fn overlaps_indices(&self, other: &Self) -> bool {
        let (mut left, mut right) = (self.vector.indices(), other.vector.indices());
        while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => left = left_rest,
                std::cmp::Ordering::Greater => right = right_rest,
                std::cmp::Ordering::Equal => return true,
            }
        }
        false
    }

    /// All components.
    #[must_use]
    pub fn to_dense(&self) -> Vec<f32> {
        self.vector.to_dense()
    }

    /// The integer delta that a chain stores: lossy within the bound of [`DeltaVector::from_sparse`], same
    /// positions.
    ///
    /// # Errors
    /// More components, or greater ones, than a [`DeltaVector`] holds.
    pub fn to_delta_vector(&self) -> Result<DeltaVector, KernelError> {
        DeltaVector::from_sparse(&self.vector)
    }

    /// A delta of both transactions.
    pub(crate) fn combined(&self, other: &Self, vector: SparseVec) -> Self {
        Self { vector, keys: &self.keys | &other.keys, tx_id: 0 }
    }

    fn replaced(&self, vector: SparseVec) -> Self {
        Self { vector, keys: self.keys.clone(), tx_id: self.tx_id }
    }
}
