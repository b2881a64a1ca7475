//! Semantic conflict detection: how concurrent deltas stand to each other.
//!
//! Every class comes from the kernels, which decide the nine rules of [`ConflictClass`] exactly; nothing
//! here compares a float against a threshold. Cosines and overlaps in results are for people to read.

use std::collections::HashMap;

use tensor_kernels::{
    ConflictClass, ConflictList, ConflictPair, KernelError, Kernels, KeySets, Rule, SparseBatch, Thresholds,
    independent_set,
};

use crate::consensus_config::ConsensusConfig;
use crate::kernel_span::kernel_span;
use crate::keyed_delta::KeyedDelta;
use crate::shared_kernels::shared_kernels;

/// Why deltas could not be compared or merged at all. A *rejected* merge is not an error but a result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConsensusError {
    /// Deltas of different dimension, sums that overflow, thresholds out of order.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A sparsity threshold that is negative or not a number.
    #[error("sparsity threshold {got} is not a finite number at or above zero")]
    BadSparsityThreshold {
        /// The threshold as given.
        got: f32,
    },
}

/// What merging does with two deltas of a class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MergeAction {
    /// Orthogonal: the sum.
    VectorAdd,
    /// Low conflict: positions that one delta holds alone are kept whole, shared ones averaged.
    WeightedAverage {
        /// Weight of the first delta where both hold a position.
        weight1: f64,
        /// Weight of the second.
        weight2: f64,
    },
    /// Identical: the delta of the lower transaction id stands for both.
    Deduplicate,
    /// Opposite: the sum, of which little is left.
    Cancel,
    /// Ambiguous or conflicting: nothing is merged.
    Reject,
}

impl From<ConflictClass> for MergeAction {
    fn from(class: ConflictClass) -> Self {
        match class {
            ConflictClass::Orthogonal => Self::VectorAdd,
            ConflictClass::LowConflict => Self::WeightedAverage { weight1: 0.5, weight2: 0.5 },
            ConflictClass::Identical => Self::Deduplicate,
            ConflictClass::Opposite => Self::Cancel,
            ConflictClass::Ambiguous | ConflictClass::Conflicting => Self::Reject,
        }
    }
}

/// How two deltas stand to each other.
#[derive(Debug, Clone, PartialEq)]
pub struct ConflictResult {
    /// The class, decided exactly.
    pub class: ConflictClass,
    /// The rule that decided it.
    pub rule: Rule,
    /// Cosine of the angle between the deltas, for people to read.
    pub similarity: f64,
    /// Jaccard index of the positions they change, for people to read.
    pub structural_overlap: f64,
    /// The keys that both transactions write, ascending.
    pub overlapping_keys: Vec<String>,
    /// Whether the deltas may be merged.
    pub can_merge: bool,
    /// What merging them does.
    pub action: MergeAction,
}

/// Two deltas of a batch that are not orthogonal.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchConflict {
    /// Index of the first delta, the lower one.
    pub index_a: usize,
    /// Index of the second delta.
    pub index_b: usize,
    /// Transaction of the first delta.
    pub tx_a: u64,
    /// Transaction of the second delta.
    pub tx_b: u64,
    /// How they stand to each other.
    pub result: ConflictResult,
}

/// Detects conflicts between deltas and merges those that allow it.
///
/// ```
/// use tensor_chain::{ConflictClass, ConsensusConfig, ConsensusManager, KeyedDelta};
/// let manager = ConsensusManager::new(ConsensusConfig::default())?;
/// let a = KeyedDelta::new([1.0, 0.0, 0.0], ["users:1"], 1)?;
/// let b = KeyedDelta::new([0.0, 1.0, 0.0], ["users:2"], 2)?;
/// assert_eq!(manager.detect_conflict(&a, &b)?.class, ConflictClass::Orthogonal);
/// let merged = manager.merge(&a, &b)?.merged_delta;
/// assert_eq!(merged.map(|delta| delta.to_dense()), Some(vec![1.0, 1.0, 0.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ConsensusManager {
    kernels: Kernels,
    thresholds: Thresholds,
    pub(crate) sparsity_threshold: f32,
}

impl ConsensusManager {
    /// A manager on the program's shared kernels.
    ///
    /// # Errors
    /// Thresholds out of order; kernels that cannot be started.
    pub fn new(config: ConsensusConfig) -> Result<Self, ConsensusError> {
        Self::with_kernels(config, shared_kernels()?)
    }

    /// A manager on particular kernels. Which ones never changes a result.
    ///
    /// # Errors
    /// Thresholds out of order.
    pub fn with_kernels(config: ConsensusConfig, kernels: Kernels) -> Result<Self, ConsensusError> {
        let got = config.sparsity_threshold;
        if !(got.is_finite() && got >= 0.0) {
            return Err(ConsensusError::BadSparsityThreshold { got });
        }
        Ok(Self { kernels, thresholds: config.thresholds()?, sparsity_threshold: got })
    }

    /// How two deltas stand to each other.
    ///
    /// # Errors
    /// Deltas of different dimension.
    pub fn detect_conflict(&self, a: &KeyedDelta, b: &KeyedDelta) -> Result<ConflictResult, ConsensusError> {
        let list = self.conflict_list(&[a, b])?;
        let either_zero = a.vector().is_zero() || b.vector().is_zero();
        let orthogonal = if either_zero { Rule::ZERO } else { Rule::ORTHOGONAL };
        let (class, rule) = list
            .pairs()
            .first()
            .map_or((ConflictClass::Orthogonal, orthogonal), |pair| (pair.class, pair.rule));
        ConflictResult::new(a, b, class, rule)
    }

    /// All pairs that are not orthogonal, ascending by (index_a, index_b).
    ///
    /// # Errors
    /// Deltas of different dimension.
    pub fn batch_detect_conflicts(
        &self,
        deltas: &[KeyedDelta],
    ) -> Result<Vec<BatchConflict>, ConsensusError> {
        let conflict = |pair: &ConflictPair| {
            let (index_a, index_b) = (pair.left as usize, pair.right as usize);
            let (a, b) = (&deltas[index_a], &deltas[index_b]);
            let result = ConflictResult::new(a, b, pair.class, pair.rule)?;
            Ok(BatchConflict { index_a, index_b, tx_a: a.tx_id(), tx_b: b.tx_id(), result })
        };
        let rows: Vec<_> = deltas.iter().collect();
        self.conflict_list(&rows)?.pairs().iter().map(conflict).collect()
    }

    /// Ascending indices of a maximal set of pairwise orthogonal deltas: none of the others could be added.
    ///
    /// Deltas are taken greedily by ascending (number of deltas they are not orthogonal to, transaction
    /// id), so the set does not depend on the order of `deltas` where transaction ids differ.
    ///
    /// # Errors
    /// Deltas of different dimension.
    pub fn find_orthogonal_set(&self, deltas: &[KeyedDelta]) -> Result<Vec<usize>, ConsensusError> {
        let mut by_id: Vec<usize> = (0..deltas.len()).collect();
        by_id.sort_by_key(|&index| deltas[index].tx_id());
        let rows: Vec<_> = by_id.iter().map(|&index| &deltas[index]).collect();
        let list = self.conflict_list(&rows)?;
        let edges: Vec<_> = list.pairs().iter().map(|pair| (pair.left, pair.right)).collect();
        // `conflict_list` has refused more rows than u32 counts.
        let taken = independent_set(rows.len() as u32, &edges);
        let mut indices: Vec<_> = taken.into_iter().map(|row| by_id[row as usize]).collect();
        indices.sort_unstable();
        Ok(indices)
    }

    /// An order that merges what has least in common first: from index 0, always the delta whose greatest
    /// |cosine| to those before it is least, ties to the lower index.
    ///
    /// # Errors
    /// Deltas of different dimension.
    pub fn find_merge_order(&self, deltas: &[KeyedDelta]) -> Result<Vec<usize>, ConsensusError> {
        let mut order = Vec::with_capacity(deltas.len());
        // (greatest |cosine| to the deltas in `order`, index)
        let mut left: Vec<(f64, usize)> = (0..deltas.len()).map(|index| (0.0, index)).collect();
        while let Some(next) = (0..left.len()).min_by(|&i, &j| left[i].0.total_cmp(&left[j].0)) {
            let (_, taken) = left.remove(next);
            for (greatest, index) in &mut left {
                *greatest = greatest.max(deltas[*index].cosine_similarity(&deltas[taken])?.abs());
            }
            order.push(taken);
        }
        Ok(order)
    }

    /// One kernel call for the classes of all pairs.
    pub(crate) fn conflict_list(&self, deltas: &[&KeyedDelta]) -> Result<ConflictList, KernelError> {
        let dim = deltas.first().map_or(0, |delta| delta.dim());
        let batch = SparseBatch::from_rows(dim, deltas.iter().map(|delta| delta.vector()))?;
        let keys = key_sets(deltas)?;
        let _span = kernel_span("conflict_matrix", batch.rows());
        Ok(self.kernels.conflict_matrix((&batch).into(), Some(&keys), &self.thresholds)?.value)
    }
}

impl ConflictResult {
    fn new(a: &KeyedDelta, b: &KeyedDelta, class: ConflictClass, rule: Rule) -> Result<Self, ConsensusError> {
        Ok(Self {
            class,
            rule,
            similarity: a.cosine_similarity(b)?,
            structural_overlap: a.structural_similarity(b)?,
            overlapping_keys: a.overlapping_keys(b),
            can_merge: class.can_merge(),
            action: class.into(),
        })
    }
}

/// The deltas' keys as numbers, equal numbers for equal keys.
fn key_sets(deltas: &[&KeyedDelta]) -> Result<KeySets, KernelError> {
    let mut numbers = HashMap::new();
    let mut number_of = |key| {
        let next = numbers.len();
        *numbers.entry(key).or_insert(next)
    };
    let mut rows = Vec::with_capacity(deltas.len());
    for delta in deltas {
        let number = |key| {
            let got = number_of(key);
            let limit = u32::MAX as usize;
            u32::try_from(got).map_err(|_| KernelError::TooLarge { what: "distinct keys", got, limit })
        };
        let mut row = delta.affected_keys().iter().map(number).collect::<Result<Vec<u32>, _>>()?;
        row.sort_unstable();
        rows.push(row);
    }
    KeySets::new(rows.iter().map(Vec::as_slice))
}
