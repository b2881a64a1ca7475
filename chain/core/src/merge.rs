//! Merging deltas that do not conflict, two at a time by their class or many at once by their sum.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tensor_kernels::{ConflictClass, KernelError, SparseVec};

use crate::consensus::{ConsensusError, ConsensusManager, MergeAction};
use crate::keyed_delta::KeyedDelta;

/// What came of a merge.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeResult {
    /// Whether the deltas could be merged.
    pub success: bool,
    /// The merged delta; none where the merge was rejected or nothing was given.
    pub merged_delta: Option<KeyedDelta>,
    /// Transactions that were to be merged: in the order given for two, ascending for many.
    pub parent_ids: Vec<u64>,
    /// How they were merged.
    pub action: MergeAction,
    /// Why they were not.
    pub error: Option<MergeRejection>,
}

/// The pairs that stand in the way of a merge, ascending by transaction.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("cannot merge {}", list(pairs))]
pub struct MergeRejection {
    /// Every ambiguous or conflicting pair; never empty.
    pub pairs: Vec<RejectedPair>,
}

/// Two deltas that cannot be merged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RejectedPair {
    /// Transaction of one delta.
    pub tx_a: u64,
    /// Transaction of the other.
    pub tx_b: u64,
    /// `Ambiguous` or `Conflicting`.
    pub class: ConflictClass,
    /// Cosine of the angle between them, for people to read.
    pub similarity: f64,
}

impl fmt::Display for RejectedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tx_a, tx_b, class, similarity } = self;
        write!(f, "transactions {tx_a} and {tx_b}: {class} (cosine {similarity:.3})")
    }
}

fn list(pairs: &[RejectedPair]) -> String {
    pairs.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ConsensusManager {
    /// Merges two deltas as their class says:
    ///
    /// | class | result |
    /// |---|---|
    /// | orthogonal | the sum |
    /// | low conflict | a position that one delta holds alone keeps its value; a shared one becomes `(w1·a + w2·b) / (w1 + w2)` |
    /// | identical | the delta of the lower transaction id |
    /// | opposite | the sum, without what is at or below the sparsity threshold |
    /// | ambiguous, conflicting | rejected |
    ///
    /// # Errors
    /// Deltas of different dimension; a sum that overflows. A rejection is no error: `success` is false.
    pub fn merge(&self, a: &KeyedDelta, b: &KeyedDelta) -> Result<MergeResult, ConsensusError> {
        let conflict = self.detect_conflict(a, b)?;
        let parent_ids = vec![a.tx_id(), b.tx_id()];
        let merged = match conflict.action {
            MergeAction::VectorAdd => a.add(b)?,
            MergeAction::WeightedAverage { weight1, weight2 } => {
                overlap_weighted_sum(a, b, weight1, weight2)?
            }
            MergeAction::Deduplicate if b.tx_id() < a.tx_id() => b.clone(),
            MergeAction::Deduplicate => a.clone(),
            MergeAction::Cancel => a.add(b)?.prune(self.sparsity_threshold),
            MergeAction::Reject => {
                let (class, similarity) = (conflict.class, conflict.similarity);
                let pair = RejectedPair { tx_a: a.tx_id(), tx_b: b.tx_id(), class, similarity };
                return Ok(MergeResult::rejected(parent_ids, vec![pair]));
            }
        };
        Ok(MergeResult::merged(parent_ids, Some(merged), conflict.action))
    }

    /// Merges any number of deltas, or rejects naming every pair that stands in the way.
    ///
    /// The result is the sum of all deltas in f64, each component rounded to f32 once, where of identical
    /// deltas only the one of the lowest transaction id counts. The sum is taken in ascending transaction
    /// id, so the order of `deltas` does not matter. A low-conflict pair is summed too: averaging pairs
    /// within many would depend on which are averaged first. Nothing merges into nothing, and one delta
    /// into itself.
    ///
    /// # Errors
    /// Deltas of different dimension; a sum that overflows. A rejection is no error: `success` is false.
    pub fn merge_all(&self, deltas: &[KeyedDelta]) -> Result<MergeResult, ConsensusError> {
        let mut rows: Vec<_> = deltas.iter().collect();
        rows.sort_by(|a, b| canonical_order(a, b));
        let parent_ids: Vec<_> = rows.iter().map(|delta| delta.tx_id()).collect();
        if let [] | [_] = rows[..] {
            return Ok(MergeResult::merged(parent_ids, deltas.first().cloned(), MergeAction::VectorAdd));
        }

        let list = self.conflict_list(&rows)?;
        let mut rejected = Vec::new();
        let mut duplicate = vec![false; rows.len()];
        for pair in list.pairs() {
            let (a, b) = (pair.left as usize, pair.right as usize);
            if pair.class.should_reject() {
                let (tx_a, tx_b) = (rows[a].tx_id(), rows[b].tx_id());
                let similarity = rows[a].cosine_similarity(rows[b])?;
                rejected.push(RejectedPair { tx_a, tx_b, class: pair.class, similarity });
            }
            // Pairs ascend, so whether `a` is itself a duplicate is known by now.
            duplicate[b] |= pair.class == ConflictClass::Identical && !duplicate[a];
        }
        if !rejected.is_empty() {
            return Ok(MergeResult::rejected(parent_ids, rejected));
        }
        let kept = rows.iter().zip(&duplicate).filter(|&(_, &duplicate)| !duplicate).map(|(delta, _)| *delta);
        Ok(MergeResult::merged(parent_ids, Some(sum(kept)?), MergeAction::VectorAdd))
    }
}

impl MergeResult {
    fn merged(parent_ids: Vec<u64>, merged_delta: Option<KeyedDelta>, action: MergeAction) -> Self {
        Self { success: true, merged_delta, parent_ids, action, error: None }
    }

    fn rejected(parent_ids: Vec<u64>, pairs: Vec<RejectedPair>) -> Self {
        let error = Some(MergeRejection { pairs });
        Self { success: false, merged_delta: None, parent_ids, action: MergeAction::Reject, error }
    }
}

/// Positions that one delta holds alone keep their value; shared ones become `(w1·a + w2·b) / (w1 + w2)`.
fn overlap_weighted_sum(a: &KeyedDelta, b: &KeyedDelta, w1: f64, w2: f64) -> Result<KeyedDelta, KernelError> {
    let mut components: BTreeMap<_, _> = a.vector().iter().map(|(i, value)| (i, f64::from(value))).collect();
    for (index, value) in b.vector().iter() {
        let value = f64::from(value);
        components
            .entry(index)
            .and_modify(|held| *held = (w1 * *held + w2 * value) / (w1 + w2))
            .or_insert(value);
    }
    Ok(a.combined(b, rounded(a.dim(), components)?))
}

/// The sum of deltas of one dimension in the order given, keys united.
fn sum<'a>(deltas: impl Iterator<Item = &'a KeyedDelta>) -> Result<KeyedDelta, KernelError> {
    let (mut dim, mut components, mut keys) = (0, BTreeMap::new(), BTreeSet::new());
    for delta in deltas {
        dim = delta.dim();
        keys.extend(delta.affected_keys().iter().cloned());
        for (index, value) in delta.vector().iter() {
            *components.entry(index).or_default() += f64::from(value);
        }
    }
    Ok(KeyedDelta::from_sparse(rounded(dim, components)?, keys, 0))
}

/// The vector of these components, each rounded to f32; those that round to zero are left out.
fn rounded(dim: u32, components: BTreeMap<u32, f64>) -> Result<SparseVec, KernelError> {
    let values = components.into_iter().map(|(index, value)| (index, value as f32));
    let (indices, values) = values.filter(|&(_, value)| value != 0.0).unzip();
    SparseVec::new(dim, indices, values)
}

/// Ascending transaction id; equal ids by their components, so that no order of the input shows.
fn canonical_order(a: &KeyedDelta, b: &KeyedDelta) -> Ordering {
    let bits =
        |delta: &KeyedDelta| delta.vector().values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    a.tx_id()
        .cmp(&b.tx_id())
        .then_with(|| a.vector().indices().cmp(b.vector().indices()))
        .then_with(|| bits(a).cmp(&bits(b)))
}
