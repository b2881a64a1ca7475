//! A transaction while it is open: what was read, what is to be written, and how the embedding moved.
//!
//! A workspace belongs to its client. Beginning and rolling back touch nothing that others see; only
//! `commit` does. Reads see the state as it was when the workspace began, and the workspace's own writes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tensor_kernels::{DeltaVector, SparseVec};

use crate::changeset::{Changeset, ChangesetError};
use crate::embedding::{Computed, EmbeddingError, EmbeddingState, Initial};
use crate::error::{ChainError, TransactionFailure};
use crate::ids::Height;
use crate::keyed_delta::KeyedDelta;
use crate::ledger::Ledger;
use crate::transaction::Transaction;
use crate::transaction_manager::OpenWorkspaces;

/// Where a workspace stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkspaceState {
    /// Takes operations.
    Active,
    /// Waits for its outcome.
    Committing,
    /// In a block.
    Committed,
    /// Discarded.
    RolledBack,
    /// Turned down.
    Failed,
}

impl fmt::Display for WorkspaceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Committing => "committing",
            Self::Committed => "committed",
            Self::RolledBack => "rolled back",
            Self::Failed => "failed",
        })
    }
}

/// An open transaction. Shared freely between threads.
#[derive(Debug)]
pub struct TransactionWorkspace {
    id: u64,
    begin: Height,
    ledger: Arc<Ledger>,
    open: Arc<OpenWorkspaces>,
    contents: Mutex<Contents>,
}

impl Drop for TransactionWorkspace {
    fn drop(&mut self) {
        self.open.remove(self.id);
    }
}

#[derive(Debug)]
struct Contents {
    state: WorkspaceState,
    reads: BTreeSet<String>,
    transactions: Vec<Transaction>,
    embedding: WorkspaceEmbedding,
}

/// How the embedding moves during a transaction.
#[derive(Debug, Clone, Default)]
enum WorkspaceEmbedding {
    /// Nothing was said: the deterministic encoder will supply a delta.
    #[default]
    Unknown,
    /// The state before is known.
    Initial(EmbeddingState<Initial>),
    /// The states before and after are known.
    Computed(EmbeddingState<Computed>),
    /// The caller brought the delta itself.
    Delta(DeltaVector),
}

impl TransactionWorkspace {
    pub(crate) fn new(id: u64, ledger: Arc<Ledger>, open: Arc<OpenWorkspaces>) -> Self {
        let contents = Contents {
            state: WorkspaceState::Active,
            reads: BTreeSet::new(),
            transactions: Vec::new(),
            embedding: WorkspaceEmbedding::Unknown,
        };
        let begin = ledger.tip().height;
        Self { id, begin, ledger, open, contents: Mutex::new(contents) }
    }

    /// Tells it from other workspaces of this chain.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The height whose state it sees.
    #[must_use]
    pub const fn begin_height(&self) -> Height {
        self.begin
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> WorkspaceState {
        self.lock().state
    }

    /// Adds an operation, to be applied in order with the others when the workspace is committed.
    ///
    /// # Errors
    /// A workspace that is not active, an operation that no block may hold.
    pub fn add_operation(&self, transaction: Transaction) -> Result<(), ChainError> {
        transaction.check().map_err(ChangesetError::from).map_err(ChainError::from)?;
        self.active()?.transactions.push(transaction);
        Ok(())
    }

    /// The value a key has in this workspace: as its own operations leave it, or else as it was when the
    /// workspace began. A key looked up in the chain is part of the read set: if someone writes it before this
    /// workspace commits, the commit is refused.
    ///
    /// # Errors
    /// A workspace that is not active; storage that cannot be read.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ChainError> {
        {
            let mut contents = self.active()?;
            if let Some(own) = contents.transactions.iter().rev().find(|transaction| transaction.key() == key)
            {
                return Ok(own.written().map(Cow::into_owned));
            }
            contents.reads.insert(key.to_owned());
        }
        Ok(self.ledger.value_at(key, self.begin)?.map(|value| value.bytes))
    }

    /// The keys its operations work on, ascending.
    #[must_use]
    pub fn affected_keys(&self) -> BTreeSet<String> {
        self.lock().transactions.iter().map(|transaction| transaction.key().to_owned()).collect()
    }

    /// The operations so far.
    #[must_use]
    pub fn operations(&self) -> Vec<Transaction> {
        self.lock().transactions.clone()
    }

    /// Says what the embedding is before the transaction. Forgets what was said before.
    ///
    /// # Errors
    /// A workspace that is not active; a NaN or infinite component; another dimension than the chain's.
    pub fn set_before_embedding(&self, before: impl AsRef<[f32]>) -> Result<(), ChainError> {
        let before = self.vector(before.as_ref())?;
        self.active()?.embedding = WorkspaceEmbedding::Initial(EmbeddingState::new(before));
        Ok(())
    }

    /// Says what the embedding is after the transaction, which makes the delta known. Where nothing was said
    /// about the state before, it is zero.
    ///
    /// # Errors
    /// As [`set_before_embedding`](Self::set_before_embedding).
    pub fn set_after_embedding(&self, after: impl AsRef<[f32]>) -> Result<(), ChainError> {
        self.compute_delta(after).map(drop)
    }

    /// As [`set_after_embedding`](Self::set_after_embedding), and returns the delta.
    ///
    /// # Errors
    /// As [`set_before_embedding`](Self::set_before_embedding).
    pub fn compute_delta(&self, after: impl AsRef<[f32]>) -> Result<SparseVec, ChainError> {
        let after = self.vector(after.as_ref())?;
        let mut contents = self.active()?;
        let initial = match &contents.embedding {
            WorkspaceEmbedding::Initial(initial) => initial.clone(),
            WorkspaceEmbedding::Computed(computed) => EmbeddingState::new(computed.before().clone()),
            WorkspaceEmbedding::Unknown | WorkspaceEmbedding::Delta(_) => EmbeddingState::empty(after.dim()),
        };
        let computed = initial.compute(after)?;
        let delta = computed.delta_or_zero();
        contents.embedding = WorkspaceEmbedding::Computed(computed);
        Ok(delta)
    }

    /// Brings the delta itself.
    ///
    /// # Errors
    /// A workspace that is not active; another dimension than the chain's.
    pub fn set_delta(&self, delta: DeltaVector) -> Result<(), ChainError> {
        self.check_dim(delta.dim())?;
        self.active()?.embedding = WorkspaceEmbedding::Delta(delta);
        Ok(())
    }

    /// Whether the caller has made the delta known.
    #[must_use]
    pub fn has_delta(&self) -> bool {
        matches!(self.lock().embedding, WorkspaceEmbedding::Computed(_) | WorkspaceEmbedding::Delta(_))
    }

    /// The delta, once known.
    #[must_use]
    pub fn delta(&self) -> Option<SparseVec> {
        match &self.lock().embedding {
            WorkspaceEmbedding::Computed(computed) => computed.delta().cloned(),
            WorkspaceEmbedding::Delta(delta) => Some(delta.to_sparse()),
            WorkspaceEmbedding::Unknown | WorkspaceEmbedding::Initial(_) => None,
        }
    }

    /// The delta with the keys it belongs to and this workspace's id; zero while it is unknown.
    #[must_use]
    pub fn to_delta_vector(&self) -> KeyedDelta {
        let delta = self.delta().unwrap_or_else(|| SparseVec::zero(self.ledger.embedding_dim()));
        KeyedDelta::from_sparse(delta, self.affected_keys(), self.id)
    }

    /// The embeddings before and after, once both are known.
    pub(crate) fn transition(&self) -> Option<(SparseVec, SparseVec)> {
        match &self.lock().embedding {
            WorkspaceEmbedding::Computed(computed) => {
                Some((computed.before().clone(), computed.after()?.clone()))
            }
            _ => None,
        }
    }

    /// Closes the workspace for operations: it is this workspace's one commit.
    pub(crate) fn start_commit(&self, ledger: &Arc<Ledger>) -> Result<(), ChainError> {
        if !Arc::ptr_eq(&self.ledger, ledger) {
            return Err(TransactionFailure::OtherChain.into());
        }
        self.active()?.state = WorkspaceState::Committing;
        Ok(())
    }

    /// What is to be committed; `None` where there is nothing.
    pub(crate) fn changeset(&self) -> Result<Option<Changeset>, ChainError> {
        let contents = self.lock();
        if contents.transactions.is_empty() {
            return Ok(None);
        }
        let delta = match &contents.embedding {
            WorkspaceEmbedding::Computed(computed) => {
                Some(DeltaVector::from_sparse(&computed.delta_or_zero()).map_err(EmbeddingError::from)?)
            }
            WorkspaceEmbedding::Delta(delta) => Some(delta.clone()),
            WorkspaceEmbedding::Unknown | WorkspaceEmbedding::Initial(_) => None,
        };
        let (reads, transactions) = (contents.reads.clone(), contents.transactions.clone());
        Ok(Some(Changeset::new(Some(self.begin), reads, transactions, delta)?))
    }

    /// Notes how the commit ended.
    pub(crate) fn end_commit(&self, committed: bool) {
        self.lock().state = if committed { WorkspaceState::Committed } else { WorkspaceState::Failed };
    }

    /// Discards everything.
    pub(crate) fn roll_back(&self) -> Result<(), ChainError> {
        self.active()?.state = WorkspaceState::RolledBack;
        Ok(())
    }

    fn vector(&self, dense: &[f32]) -> Result<SparseVec, ChainError> {
        let vector = SparseVec::from_dense(dense).map_err(EmbeddingError::from)?;
        self.check_dim(vector.dim())?;
        Ok(vector)
    }

    fn check_dim(&self, got: u32) -> Result<(), ChainError> {
        let expected = self.ledger.embedding_dim();
        match got == expected {
            true => Ok(()),
            false => Err(EmbeddingError::DimensionMismatch { before: expected, after: got }.into()),
        }
    }

    fn active(&self) -> Result<MutexGuard<'_, Contents>, ChainError> {
        let contents = self.lock();
        match contents.state {
            WorkspaceState::Active => Ok(contents),
            state => Err(TransactionFailure::NotActive { state }.into()),
        }
    }

    /// Every method leaves the contents consistent, so a poisoned lock says nothing.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
