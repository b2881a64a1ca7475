//! The face that a replicated log sees of a chain.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::apply::{APPLIED, applied_op, apply_batch};
use super::checkpoint::{Checkpoint, CheckpointVote};
use super::entry::{LogPosition, ProposedWrite, ReplicatedBatch, ReplicatedEntry};
use super::finality::{Electorate, Finality, MAX_CHECKPOINTS};
use super::outcome::{EntryOutcome, WriteOutcome};
use super::sessions;
use crate::block::Stamp;
use crate::chain::TensorChain;
use crate::changeset::Changeset;
use crate::committer::Writer;
use crate::config::ChainConfig;
use crate::encoding::{Decode, Encode};
use crate::error::{ChainError, TransactionFailure};
use crate::genesis::ChainParams;
use crate::ids::Height;
use crate::index::{IndexOp, Space};
use crate::opening::new_params;
use crate::quarantine::Divergence;
use crate::store::{StoreError, TensorStore};

/// The key of the record of who takes part, whose bytes are the caller's business.
pub(super) const MEMBERSHIP: &[u8] = b"membership";
/// The key of the record of what is final.
const FINALITY: &[u8] = b"finality";

/// Who takes part from an entry on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipChange {
    /// The record of it, whose bytes are the caller's business.
    pub record: Vec<u8>,
    /// Those whose votes make blocks final.
    pub electorate: Electorate,
}

/// A chain that grows by applying the entries of a replicated log. Entries are applied one at a time, by one caller.
#[derive(Debug)]
pub struct ReplicatedChain {
    chain: Arc<TensorChain>,
    config: ChainConfig,
    /// As the index has it.
    finality: Mutex<Finality>,
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
            Ok(()) | Err(ChainError::NotInitialized) => {}
            Err(error) => return Err(error),
        }
        let record = chain.store().index().get(Space::Meta, FINALITY)?;
        let finality = record.map(|bytes| Finality::from_bytes(&bytes)).transpose();
        let finality = finality.map_err(StoreError::Finality)?.unwrap_or_default();
        Ok(Self { chain, config, finality: Mutex::new(finality) })
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

    /// The highest block that a quorum of the voters has signed.
    #[must_use]
    pub fn finalized(&self) -> Option<Checkpoint> {
        self.lock_finality().finalized()
    }

    /// Notes an entry that concerns only those who keep the log, and the membership where it changes that.
    ///
    /// # Errors
    /// An index that cannot be written.
    pub fn advance(
        &self,
        position: LogPosition,
        membership: Option<MembershipChange>,
    ) -> Result<(), ChainError> {
        let Some(MembershipChange { record, electorate }) = membership else {
            return Ok(self.chain.store().write(vec![applied_op(position)])?);
        };
        let from = match self.chain.ledger() {
            Ok(ledger) => ledger.tip().height.next().ok_or(TransactionFailure::HeightExhausted)?,
            Err(_) => Height::GENESIS,
        };
        let mut finality = self.finality();
        finality.begin_epoch(position.index, from, electorate);
        let record = IndexOp::put(Space::Meta, MEMBERSHIP.to_vec(), record);
        self.write_finality(finality, vec![applied_op(position), record])
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
            ReplicatedEntry::Vote(vote) => self.count(position, vote).map(|()| EntryOutcome::Vote),
            ReplicatedEntry::Batch(batch) => match self.chain.ledger() {
                Ok(ledger) => apply_batch(ledger, position, batch).map(EntryOutcome::Writes),
                Err(_) => {
                    self.advance(position, None)?;
                    Ok(EntryOutcome::Writes(vec![WriteOutcome::BadStamp; batch.writes().len()]))
                }
            },
        }
    }

    /// Counts a vote. Where it makes a block final that this node does not have, this node is put out of use.
    fn count(&self, position: LogPosition, vote: &CheckpointVote) -> Result<(), ChainError> {
        let Ok(ledger) = self.chain.ledger() else { return self.advance(position, None) };
        let mut finality = self.finality();
        if let Some(checkpoint) = finality.count(ledger.rules().params.chain_id, vote) {
            self.compare(checkpoint)?;
            tracing::info!(height = checkpoint.height.0, block = %checkpoint.block_hash, "finalized");
        }
        self.write_finality(finality, vec![applied_op(position)])
    }

    /// Compares what a quorum has signed with what is here.
    ///
    /// # Errors
    /// [`Diverged`](ChainError::Diverged) where another block is here, or none: every voter had applied no more of the
    /// log than this node has now. The store is put out of use before this returns.
    pub(super) fn compare(
        &self,
        Checkpoint { height, block_hash, .. }: Checkpoint,
    ) -> Result<(), ChainError> {
        let here = self.chain.store().block(height)?.map(|block| block.hash());
        if here == Some(block_hash) {
            return Ok(());
        }
        let divergence = Divergence { height, signed: block_hash, here };
        self.chain.store().quarantine(divergence)?;
        Err(divergence.into())
    }

    /// This node's vote on the lowest checkpoint above a height that it has not voted on; `None` where there is none, or
    /// where it is no voter. Checkpoints are the heights that `every` divides.
    ///
    /// # Errors
    /// A chain that cannot be read.
    pub fn next_vote(&self, every: NonZeroU64, above: Height) -> Result<Option<CheckpointVote>, ChainError> {
        let Ok(ledger) = self.chain.ledger() else { return Ok(None) };
        let (tip, store) = (ledger.tip().height.0, self.chain.store());
        let identity = store.identity()?;
        let node = identity.node_id();
        let due = || {
            let finality = self.lock_finality();
            let above = finality.finalized().map_or(above, |finalized| finalized.height.max(above));
            let last = tip / every;
            // Of those that lie further back no votes are kept.
            let first =
                (above.0 / every).saturating_add(1).max(last.saturating_sub(MAX_CHECKPOINTS as u64 - 1));
            (first..=last).map(|n| Height(n * every.get())).find_map(|height| {
                let epoch = finality.epoch_of_voter(height, node)?;
                (!finality.has_voted(node, height)).then_some((height, epoch))
            })
        };
        let Some((height, epoch)) = due() else { return Ok(None) };
        let block_hash = store.block(height)?.ok_or(StoreError::Misplaced { height })?.hash();
        let checkpoint = Checkpoint { height, block_hash, epoch };
        Ok(Some(CheckpointVote::sign(identity, ledger.rules().params.chain_id, checkpoint)))
    }

    /// The votes and what they came to.
    pub(super) fn finality(&self) -> Finality {
        self.lock_finality().clone()
    }

    /// Writes what is final, together with what else an entry changes.
    pub(super) fn write_finality(&self, finality: Finality, mut ops: Vec<IndexOp>) -> Result<(), ChainError> {
        ops.push(IndexOp::put(Space::Meta, FINALITY.to_vec(), finality.to_bytes()));
        self.chain.store().write(ops)?;
        *self.lock_finality() = finality;
        Ok(())
    }

    fn lock_finality(&self) -> MutexGuard<'_, Finality> {
        self.finality.lock().unwrap_or_else(PoisonError::into_inner)
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
