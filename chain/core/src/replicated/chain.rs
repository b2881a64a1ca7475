//! The face that a replicated log sees of a chain.

use std::sync::Arc;

use super::apply::{APPLIED, applied_op, apply_batch};
use super::entry::{LogPosition, ProposedWrite, ReplicatedBatch, ReplicatedEntry};
use super::outcome::{EntryOutcome, WriteOutcome};
use super::sessions;
use crate::block::Stamp;
use crate::chain::TensorChain;
use crate::changeset::Changeset;
use crate::committer::Writer;
use crate::config::ChainConfig;
use crate::encoding::Decode;
use crate::error::ChainError;
use crate::genesis::ChainParams;
use crate::index::{IndexOp, Space};
use crate::opening::new_params;
use crate::store::{StoreError, TensorStore};

/// The key of the record of who takes part, whose bytes are the caller's business.
pub(super) const MEMBERSHIP: &[u8] = b"membership";

/// A chain that grows by applying the entries of a replicated log. Entries are applied one at a time, by one caller.
#[derive(Debug)]
pub struct ReplicatedChain {
    chain: Arc<TensorChain>,
    config: ChainConfig,
}

impl ReplicatedChain {
    /// Opens the chain in a store that was opened for it, see [`TensorStore::open_replicated`]. Where the chain has
    /// not begun yet, it begins with the entry that says so.
    ///
    /// # Errors
    /// As [`TensorChain::initialize`].
    pub fn open(store: TensorStore, config: ChainConfig) -> Result<Self, ChainError> {
        let chain = Arc::new(TensorChain::with_config(store, config.clone()));
        match chain.initialize() {
            Ok(()) | Err(ChainError::NotInitialized) => Ok(Self { chain, config }),
            Err(error) => Err(error),
        }
    }

    /// The chain, for reading. It takes no writes of its own.
    #[must_use]
    pub const fn chain(&self) -> &Arc<TensorChain> {
        &self.chain
    }

    /// Whether the chain has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.chain.running().is_ok()
    }

    /// The entry that was applied last.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn applied(&self) -> Result<Option<LogPosition>, ChainError> {
        let record = self.chain.store().index().get(Space::Meta, APPLIED)?;
        let position = record.map(|bytes| LogPosition::from_bytes(&bytes)).transpose();
        Ok(position.map_err(StoreError::Applied)?)
    }

    /// The membership that was applied last.
    ///
    /// # Errors
    /// An index that cannot be read.
    pub fn membership(&self) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.chain.store().index().get(Space::Meta, MEMBERSHIP)?)
    }

    /// Notes an entry that concerns only those who keep the log, and the membership where it changes that.
    ///
    /// # Errors
    /// An index that cannot be written.
    pub fn advance(&self, position: LogPosition, membership: Option<Vec<u8>>) -> Result<(), ChainError> {
        let membership = membership.map(|bytes| IndexOp::put(Space::Meta, MEMBERSHIP.to_vec(), bytes));
        Ok(self.chain.store().write([applied_op(position)].into_iter().chain(membership).collect())?)
    }

    /// Applies an entry. Verdicts against single writes are part of the outcome.
    ///
    /// # Errors
    /// The entry could not be applied: the node must stop, because it cannot go on to the next one.
    pub fn apply(&self, position: LogPosition, entry: &ReplicatedEntry) -> Result<EntryOutcome, ChainError> {
        match entry {
            ReplicatedEntry::Genesis { params, stamp } => {
                if !self.has_begun() && stamp.is_over(params.chain_id, &[]) {
                    self.begin(params, stamp)?;
                }
                self.advance(position, None)?;
                Ok(EntryOutcome::Begun)
            }
            ReplicatedEntry::Session => {
                let store = self.chain.store();
                let mut ops = sessions::open(store.index(), position.index)?;
                ops.push(applied_op(position));
                store.write(ops)?;
                Ok(EntryOutcome::Session { client: position.index })
            }
            ReplicatedEntry::Batch(batch) => match self.chain.ledger() {
                Ok(ledger) => apply_batch(ledger, position, batch).map(EntryOutcome::Writes),
                Err(_) => {
                    self.advance(position, None)?;
                    Ok(EntryOutcome::Writes(vec![WriteOutcome::BadStamp; batch.writes().len()]))
                }
            },
        }
    }

    /// Makes the genesis block durable and opens the chain on it.
    pub(super) fn begin(&self, params: &ChainParams, stamp: &Stamp) -> Result<(), ChainError> {
        self.chain.store().begin_log(params, stamp)?;
        self.chain.initialize()
    }

    /// The entry with which this node would begin the chain: the configured parameters, signed by it.
    ///
    /// # Errors
    /// Parameters that make no sense; no identity.
    pub fn genesis_entry(&self) -> Result<ReplicatedEntry, ChainError> {
        let params = new_params(&self.config)?;
        let identity = self.chain.store().identity()?;
        let stamp = Stamp::sign(identity, params.chain_id, self.config.clock.now_ms(), &[]);
        Ok(ReplicatedEntry::Genesis { params, stamp })
    }

    /// Which of the waiting writes may share the next batch: positions, ascending, the first always among them.
    ///
    /// # Errors
    /// A chain that has not begun; kernels that fail.
    pub fn choose(&self, waiting: &[&Changeset]) -> Result<Vec<usize>, ChainError> {
        self.chain.ledger()?.choose(waiting)
    }

    /// A batch of writes signed by this node, not earlier than `not_before_ms` nor than the tip: a leader passes the
    /// time of its batch before, which may not be applied yet. `None` where the writes do not fit a block.
    ///
    /// # Errors
    /// A chain that has not begun; no identity.
    pub fn propose(
        &self,
        writes: Vec<ProposedWrite>,
        not_before_ms: u64,
    ) -> Result<Option<ReplicatedBatch>, ChainError> {
        let ledger = self.chain.ledger()?;
        let now_ms = self.config.clock.now_ms().max(not_before_ms).max(ledger.tip().timestamp_ms);
        let chain_id = ledger.rules().params.chain_id;
        Ok(ReplicatedBatch::sign(self.chain.store().identity()?, chain_id, now_ms, writes))
    }

    /// Makes everything durable that was applied so far.
    ///
    /// # Errors
    /// A medium that cannot promise it; the node must stop.
    pub fn sync(&self) -> Result<(), ChainError> {
        Ok(self.chain.store().sync()?)
    }

    /// Leaves everything durable and in good order. Entries must not be applied any more.
    ///
    /// # Errors
    /// A medium that cannot be written.
    pub fn close(&self) -> Result<(), ChainError> {
        self.sync()?;
        self.chain.ledger().map_or(Ok(()), |ledger| ledger.close())
    }
}
