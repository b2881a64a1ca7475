//! The open transactions of a chain.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tensor_kernels::{Decimal, DeltaVector, KernelError, SparseVec};

use crate::ledger::Ledger;
use crate::verdicts::similarity;
use crate::workspace::{TransactionWorkspace, WorkspaceState};

/// Knows every open workspace of one chain, without keeping any alive.
#[derive(Debug, Default)]
pub struct TransactionManager {
    next_id: AtomicU64,
    open: Arc<OpenWorkspaces>,
}

/// Open workspaces by id. A workspace takes itself out when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct OpenWorkspaces {
    by_id: Mutex<BTreeMap<u64, Weak<TransactionWorkspace>>>,
}

/// An open transaction whose delta is nearly orthogonal to another's.
#[derive(Debug, Clone)]
pub struct MergeCandidate {
    /// The transaction.
    pub workspace: Arc<TransactionWorkspace>,
    /// Cosine of the two deltas.
    pub similarity: f64,
}

impl TransactionManager {
    pub(crate) fn begin(&self, ledger: &Arc<Ledger>) -> Arc<TransactionWorkspace> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let workspace = TransactionWorkspace::new(id, Arc::clone(ledger), Arc::clone(&self.open));
        let workspace = Arc::new(workspace);
        self.open.lock().insert(id, Arc::downgrade(&workspace));
        workspace
    }

    /// All open transactions, oldest first.
    #[must_use]
    pub fn active(&self) -> Vec<Arc<TransactionWorkspace>> {
        let open: Vec<_> = self.open.lock().values().filter_map(Weak::upgrade).collect();
        open.into_iter().filter(|workspace| workspace.state() == WorkspaceState::Active).collect()
    }

    /// Open transactions with a known delta other than zero whose |cosine| with this one's is below
    /// `threshold`, decided exactly, the most orthogonal first. Nothing is merged before its own client commits it;
    /// this is a look at what could share a block.
    ///
    /// # Errors
    /// A transaction of a chain whose deltas have another dimension.
    pub fn find_merge_candidates(
        &self,
        workspace: &TransactionWorkspace,
        threshold: Decimal,
    ) -> Result<Vec<MergeCandidate>, KernelError> {
        let Some(delta) = known_delta(workspace) else { return Ok(Vec::new()) };
        let mut candidates = Vec::new();
        for workspace in self.active().into_iter().filter(|other| other.id() != workspace.id()) {
            let Some(other) = known_delta(&workspace) else { continue };
            if delta.cosine_magnitude_below(&other, threshold)? {
                candidates.push(MergeCandidate { workspace, similarity: similarity(&delta, &other) });
            }
        }
        candidates.sort_by(|a, b| a.similarity.abs().total_cmp(&b.similarity.abs()));
        Ok(candidates)
    }
}

/// The delta as the chain would hold it, unless it is unknown, zero or out of range.
fn known_delta(workspace: &TransactionWorkspace) -> Option<DeltaVector> {
    let delta = workspace.delta().filter(|delta: &SparseVec| !delta.is_zero())?;
    DeltaVector::from_sparse(&delta).ok()
}

impl OpenWorkspaces {
    pub(crate) fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<TransactionWorkspace>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::TensorChain;
    use crate::config::ChainConfig;
    use crate::store::TensorStore;

    #[test]
    fn a_delta_at_the_threshold_is_no_candidate() {
        let chain = TensorChain::with_config(
            TensorStore::new(),
            ChainConfig { embedding_dim: 4.try_into().unwrap(), ..ChainConfig::default() },
        );
        chain.initialize().unwrap();
        let begin = |dense: [f32; 4]| {
            let workspace = chain.begin().unwrap();
            workspace.compute_delta(dense).unwrap();
            workspace
        };
        // The cosine is 1/√(2 · 50) = 0.1. By roots in f64 it is 0.09999999999999998.
        let (a, _b) = (begin([0.0, 0.0, 1.0, 1.0]), begin([0.0, 7.0, 0.0, 1.0]));
        let manager = chain.transaction_manager().unwrap();
        let found =
            |threshold: &str| manager.find_merge_candidates(&a, threshold.parse().unwrap()).unwrap().len();
        assert_eq!((found("0.1"), found("0.1001")), (0, 1));
    }

    #[test]
    fn a_workspace_that_is_forgotten_takes_no_room() {
        let chain = TensorChain::new(TensorStore::new(), "test");
        chain.initialize().unwrap();
        let kept = chain.begin().unwrap();
        for _ in 0..100 {
            chain.begin().unwrap();
        }
        let manager = chain.transaction_manager().unwrap();
        assert_eq!(manager.open.lock().keys().copied().collect::<Vec<_>>(), [kept.id()]);
    }
}
