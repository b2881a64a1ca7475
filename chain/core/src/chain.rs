//! The front door: a chain of blocks in a store, and the transactions that make it grow.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tensor_kernels::Kernels;

use crate::batch::BatchLimits;
use crate::changeset::{Changeset, MAX_BLOCK_TRANSACTIONS};
use crate::codebooks::{CodebookSetup, Codebooks};
use crate::codes;
use crate::committer::{CommitReceipt, Committer};
use crate::config::ChainConfig;
use crate::error::{ChainError, TransactionFailure};
use crate::genesis::ChainParams;
use crate::head::{Rules, Tip};
use crate::ids::{BlockHash, Height, StateRoot};
use crate::ledger::Ledger;
use crate::opening::{open_head, open_params};
use crate::shared_kernels::shared_kernels;
use crate::store::TensorStore;
use crate::transaction::Transaction;
use crate::transaction_manager::TransactionManager;
use crate::workspace::TransactionWorkspace;

/// A chain. Synchronous; share it between threads behind an [`Arc`].
///
/// ```
/// use tensor_chain::{TensorChain, TensorStore, Transaction};
/// let chain = TensorChain::new(TensorStore::new(), "node1");
/// chain.initialize()?;
/// let tx = chain.begin()?;
/// tx.add_operation(Transaction::Put { key: "users:123".into(), data: vec![1, 2, 3, 4] })?;
/// let receipt = chain.commit(tx)?;
/// assert_eq!(receipt.hash, chain.tip_hash());
/// assert_eq!(chain.get("users:123")?, Some(vec![1, 2, 3, 4]));
/// assert_eq!(chain.history("users:123")?.len(), 1);
/// # Ok::<(), tensor_chain::ChainError>(())
/// ```
#[derive(Debug)]
pub struct TensorChain {
    config: ChainConfig,
    setup: Option<CodebookSetup>,
    store: Arc<TensorStore>,
    running: OnceLock<Running>,
    initializing: Mutex<()>,
}

/// What exists once there is a genesis block.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) ledger: Arc<Ledger>,
    committer: Committer,
    transactions: TransactionManager,
    pub(crate) codebooks: Codebooks,
}

impl TensorChain {
    /// A chain over a store, with the defaults. The node's name is for its logs; its identity is the key that
    /// the store holds.
    #[must_use]
    pub fn new(store: TensorStore, node_name: impl Into<String>) -> Self {
        Self::with_config(store, ChainConfig::new(node_name))
    }

    /// A chain over a store. Nothing is read or written before [`initialize`](Self::initialize).
    #[must_use]
    pub fn with_config(store: TensorStore, config: ChainConfig) -> Self {
        Self::with_setup(store, config, None)
    }

    pub(crate) fn with_setup(store: TensorStore, config: ChainConfig, setup: Option<CodebookSetup>) -> Self {
        let (running, initializing) = (OnceLock::new(), Mutex::new(()));
        Self { config, setup, store: Arc::new(store), running, initializing }
    }

    /// Opens the chain that the store holds, or makes one: writes the genesis block where there is none, and
    /// brings the index up to the log. Calling it again changes nothing.
    ///
    /// # Errors
    /// A configuration that makes no sense or is another node's; a log that is damaged or that cannot be
    /// written; kernels that cannot be started.
    pub fn initialize(&self) -> Result<(), ChainError> {
        let _one_at_a_time = self.initializing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.running.get().is_none() {
            let running = self.open()?;
            let tip = running.ledger.tip();
            tracing::info!(node = self.config.node_name, height = tip.height.0, tip = %tip.hash, "chain open");
            self.running.get_or_init(|| running);
        }
        Ok(())
    }

    /// Begins a transaction that sees the state as it is now. Costs the same however large the chain is.
    ///
    /// # Errors
    /// A chain that is not initialized.
    pub fn begin(&self) -> Result<Arc<TransactionWorkspace>, ChainError> {
        let running = self.running()?;
        Ok(running.transactions.begin(&running.ledger))
    }

    /// Commits a transaction: its operations become part of a block together, or none does. Transactions
    /// that are committed at the same time share a block where they may; each has its own outcome. Without
    /// operations this changes nothing and answers with the tip.
    ///
    /// # Errors
    /// [`ConflictDetected`](ChainError::ConflictDetected) where another commit came first;
    /// [`TransactionFailed`](ChainError::TransactionFailed) where the operations cannot be applied;
    /// [`InvalidTransition`](ChainError::InvalidTransition) where the codebook does not know the states;
    /// [`StorageError`](ChainError::StorageError) where the block could not be written.
    pub fn commit(&self, workspace: Arc<TransactionWorkspace>) -> Result<CommitReceipt, ChainError> {
        let running = self.running()?;
        workspace.start_commit(&running.ledger)?;
        let outcome = self.commit_started(running, &workspace);
        workspace.end_commit(outcome.is_ok());
        outcome
    }

    /// Discards a transaction. Nothing that others see was ever touched by it.
    ///
    /// # Errors
    /// A transaction that has been committed or rolled back already.
    pub fn rollback(&self, workspace: Arc<TransactionWorkspace>) -> Result<(), ChainError> {
        workspace.roll_back()
    }

    /// Commits one operation that is based on no earlier state: operations on one key are applied in the order
    /// they arrive, and none is refused for another.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), without conflicts.
    pub fn auto_commit(&self, transaction: Transaction) -> Result<CommitReceipt, ChainError> {
        self.submit(self.running()?, Changeset::single(transaction)?)
    }

    /// Commits a changeset that was put together elsewhere, as by a client that began at a height it was told.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_changeset(&self, changeset: Changeset) -> Result<CommitReceipt, ChainError> {
        self.submit(self.running()?, changeset)
    }

    /// Commits a [`Transaction::Put`].
    ///
    /// # Errors
    /// As [`auto_commit`](Self::auto_commit).
    pub fn put(&self, key: impl Into<String>, data: impl Into<Vec<u8>>) -> Result<CommitReceipt, ChainError> {
        self.auto_commit(Transaction::Put { key: key.into(), data: data.into() })
    }

    /// Commits a [`Transaction::Delete`].
    ///
    /// # Errors
    /// As [`auto_commit`](Self::auto_commit).
    pub fn delete(&self, key: impl Into<String>) -> Result<CommitReceipt, ChainError> {
        self.auto_commit(Transaction::Delete { key: key.into() })
    }

    /// Commits a [`Transaction::Update`].
    ///
    /// # Errors
    /// As [`auto_commit`](Self::auto_commit); fails where the key is absent.
    pub fn update(
        &self,
        key: impl Into<String>,
        data: impl Into<Vec<u8>>,
    ) -> Result<CommitReceipt, ChainError> {
        self.auto_commit(Transaction::Update { key: key.into(), data: data.into() })
    }

    /// Commits a [`Transaction::CompareAndSwap`].
    ///
    /// # Errors
    /// As [`auto_commit`](Self::auto_commit); fails, naming what was found, where the key does not have the
    /// expected value.
    pub fn compare_and_swap(
        &self,
        key: impl Into<String>,
        expected: Option<Vec<u8>>,
        new: impl Into<Vec<u8>>,
    ) -> Result<CommitReceipt, ChainError> {
        self.auto_commit(Transaction::CompareAndSwap { key: key.into(), expected, new: new.into() })
    }

    /// Ends the use of a chain. In a directory this leaves a note of the tip, so that the next open and every
    /// verification notice if anything is changed or lost in between. A chain that is dropped instead loses
    /// nothing either, but its last block could be taken for one that a crash cut off.
    ///
    /// # Errors
    /// Storage that cannot be written.
    pub fn close(self) -> Result<(), ChainError> {
        self.running.get().map_or(Ok(()), |running| running.ledger.close())
    }

    /// The tip, all of it at one moment.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.running.get().map_or_else(Tip::default, |running| running.ledger.tip())
    }

    /// Height of the tip; 0 before the chain is initialized.
    #[must_use]
    pub fn height(&self) -> Height {
        self.tip().height
    }

    /// Hash of the tip; all zeros before the chain is initialized.
    #[must_use]
    pub fn tip_hash(&self) -> BlockHash {
        self.tip().hash
    }

    /// Root of the state after the tip; all zeros before the chain is initialized.
    #[must_use]
    pub fn state_root(&self) -> StateRoot {
        self.tip().state_root
    }

    /// The parameters that the chain was made with.
    ///
    /// # Errors
    /// A chain that is not initialized.
    pub fn params(&self) -> Result<&ChainParams, ChainError> {
        Ok(&self.running()?.ledger.rules().params)
    }

    /// The kernels that it computes with.
    ///
    /// # Errors
    /// A chain that is not initialized.
    pub fn kernels(&self) -> Result<&Kernels, ChainError> {
        Ok(self.ledger()?.rules().verdicts.kernels())
    }

    /// Open transactions.
    ///
    /// # Errors
    /// A chain that is not initialized.
    pub fn transaction_manager(&self) -> Result<&TransactionManager, ChainError> {
        Ok(&self.running()?.transactions)
    }

    /// Number of open transactions.
    #[must_use]
    pub fn active_transactions(&self) -> usize {
        self.running.get().map_or(0, |running| running.transactions.active().len())
    }

    /// Where the chain lives.
    #[must_use]
    pub fn store(&self) -> &TensorStore {
        &self.store
    }

    /// A chain of a cluster takes no writes but the cluster's.
    pub(crate) fn refuse_replicated(&self) -> Result<(), ChainError> {
        if self.store.is_replicated() { Err(ChainError::Replicated) } else { Ok(()) }
    }

    pub(crate) fn running(&self) -> Result<&Running, ChainError> {
        self.running.get().ok_or(ChainError::NotInitialized)
    }

    pub(crate) fn ledger(&self) -> Result<&Arc<Ledger>, ChainError> {
        Ok(&self.running()?.ledger)
    }

    fn commit_started(
        &self,
        running: &Running,
        workspace: &TransactionWorkspace,
    ) -> Result<CommitReceipt, ChainError> {
        let Some(changeset) = workspace.changeset()? else {
            return Ok(running.ledger.receipt()); // nothing to commit, no block
        };
        if let Some((before, after)) = workspace.transition() {
            running.codebooks.check(&before, &after)?;
        }
        self.submit(running, changeset)
    }

    fn submit(&self, running: &Running, changeset: Changeset) -> Result<CommitReceipt, ChainError> {
        self.refuse_replicated()?;
        let (got, limit) = (changeset.transactions().len(), self.config.max_txs_per_block);
        if got > limit {
            return Err(TransactionFailure::TooManyOperations { got, limit }.into());
        }
        running.ledger.rules().prepare(&changeset)?;
        running.committer.commit(changeset, &*running.ledger)
    }

    fn open(&self) -> Result<Running, ChainError> {
        // A block of more would be refused by everyone else.
        let transactions = self.config.max_txs_per_block;
        if !(1..=MAX_BLOCK_TRANSACTIONS).contains(&transactions) {
            return Err(ChainError::BlockLimit { got: transactions });
        }
        let node_id = self.store.identity()?.node_id();
        if let Some(expected) = self.config.node_id.filter(|expected| *expected != node_id) {
            return Err(ChainError::NodeIdMismatch { expected, actual: node_id });
        }
        let kernels = match &self.config.kernels {
            Some(kernels) => kernels.clone(),
            None => shared_kernels()?,
        };
        let rules = Rules::new(open_params(&self.store, &self.config)?, kernels);
        let head = open_head(&self.store, &rules)?;
        let stored = codes::stored_codebook(self.store.state()?)?;
        let codebooks = Codebooks::open(self.setup.as_ref(), stored, rules.params.embedding_dim.get())?;
        let merge = &self.config.auto_merge;
        let most = if merge.enabled { merge.max_merge_batch.max(1) } else { 1 };
        let limits = BatchLimits { changesets: most, transactions };
        let clock = Arc::clone(&self.config.clock);
        let ledger = Ledger::new(Arc::clone(&self.store), rules, head, limits, clock);
        Ok(Running {
            ledger: Arc::new(ledger),
            committer: Committer::new(Duration::from_millis(merge.merge_window_ms), most),
            transactions: TransactionManager::default(),
            codebooks,
        })
    }
}
