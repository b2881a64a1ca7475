//! The chain at work: its store, its rules and its head, and the one place where blocks are written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::apply;
use crate::batch::{self, BatchLimits};
use crate::block::{Block, BlockHeader, Stamp};
use crate::block_check;
use crate::changeset::Changeset;
use crate::committer::{CommitReceipt, Outcome, Writer};
use crate::config::Clock;
use crate::error::ChainError;
use crate::head::{Head, Rules, Tip};
use crate::history;
use crate::identity::IdentityError;
use crate::ids::Height;
use crate::index::IndexOp;
use crate::rejection::Rejection;
use crate::replay::{self, ReplayError};
use crate::state::{self, Place, Value};
use crate::state_tree::{self, StateProof};
use crate::store::{StoreError, TensorStore};
use crate::transaction::Transaction;

/// A chain with at least its genesis block.
#[derive(Debug)]
pub(crate) struct Ledger {
    store: Arc<TensorStore>,
    rules: Rules,
    limits: BatchLimits,
    clock: Arc<dyn Clock>,
    /// Held by whoever writes a block.
    head: Mutex<Head>,
    /// What everyone else sees: moves when a block and its effects can be read.
    tip: RwLock<Tip>,
}

impl Ledger {
    pub(crate) fn new(
        store: Arc<TensorStore>,
        rules: Rules,
        head: Head,
        limits: BatchLimits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let tip = RwLock::new(head.tip);
        Self { store, rules, limits, clock, head: Mutex::new(head), tip }
    }

    pub(crate) fn store(&self) -> &TensorStore {
        &self.store
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn embedding_dim(&self) -> u32 {
        self.rules.params.embedding_dim.get()
    }

    pub(crate) fn tip(&self) -> Tip {
        *self.tip.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tip as an answer to a commit.
    pub(crate) fn receipt(&self) -> CommitReceipt {
        let Tip { height, hash, .. } = self.tip();
        CommitReceipt { height, hash }
    }

    /// The value a key had when the block at `height` had been written.
    pub(crate) fn value_at(&self, key: &str, height: Height) -> Result<Option<Value>, ChainError> {
        if height > self.tip().height {
            return Err(ChainError::BlockNotFound(height));
        }
        // The present value, if that has not been written since.
        let present = state::get(self.store.index(), key)?;
        if let Some(entry) = present.filter(|entry| entry.place.height <= height) {
            return Ok(Some(entry.value));
        }
        match history::last_at(self.store.index(), key, height)? {
            Some(place) => Ok(Value::written_by(&self.operation(place)?)),
            None => Ok(None),
        }
    }

    /// The header of the tip, and a proof of what the state says of a key. No block is written meanwhile, because
    /// the tree of the tip is the only one there is.
    pub(crate) fn prove(&self, key: &str) -> Result<(BlockHeader, StateProof), ChainError> {
        let head = self.lock();
        let height = head.tip.height;
        let tip = self.store.block(height)?.ok_or(StoreError::Misplaced { height })?;
        let present =
            state::get(self.store.index(), key)?.map(|entry| (entry.place.height, entry.value.bytes));
        let proof = state_tree::prove(self.store.index(), key.as_bytes(), present)?;
        drop(head);
        Ok((tip.header, proof))
    }

    /// Writes a block that another node has proposed, after checking everything about it.
    pub(crate) fn append(&self, block: &Block) -> Outcome {
        let mut head = self.lock();
        let fault = |fault| ChainError::ValidationFailed { height: block.header.height, fault };
        block_check::check(block, Some(&head.tip), &self.rules.params).map_err(fault)?;
        match replay::replay(&self.rules, &head, self.store.index(), block) {
            Ok(applied) => self.store_block(&mut head, block, applied.ops),
            Err(ReplayError::Fault(found)) => Err(fault(found)),
            Err(ReplayError::Failed(error)) => Err(error.into()),
        }
    }

    /// The block that a batch would become, without writing it.
    pub(crate) fn propose(&self, batch: Vec<Changeset>) -> Result<Block, ChainError> {
        let head = self.lock();
        let judged = apply::judge(&self.rules, &head, self.store.index(), batch)?;
        if let Some((_, rejection)) = judged.first_rejection() {
            return Err(rejection.clone().into());
        }
        let stamp = self.sign(&head, &judged.accepted)?;
        Ok(apply::link(&self.rules, &head, self.store.index(), judged, stamp)?.block)
    }

    /// Judges a batch and writes the block of those that stand; no block where none does.
    fn write_batch(&self, batch: Vec<Changeset>) -> Result<Vec<Outcome>, ChainError> {
        let mut head = self.lock();
        let mut judged = apply::judge(&self.rules, &head, self.store.index(), batch)?;
        let verdicts = std::mem::take(&mut judged.verdicts);
        if judged.accepted.is_empty() {
            return Ok(verdicts
                .into_iter()
                .filter_map(Result::err)
                .map(|rejection| Err(rejection.into()))
                .collect());
        }
        let stamp = self.sign(&head, &judged.accepted)?;
        let applied = apply::link(&self.rules, &head, self.store.index(), judged, stamp)?;
        let written = self.store_block(&mut head, &applied.block, applied.ops);
        let answer =
            |verdict: Result<(), Rejection>| verdict.map_err(Into::into).and_then(|()| written.clone());
        Ok(verdicts.into_iter().map(answer).collect())
    }

    /// Time never goes back, whatever the clock does.
    fn sign(&self, head: &Head, changesets: &[Changeset]) -> Result<Stamp, IdentityError> {
        let timestamp_ms = self.clock.now_ms().max(head.tip.timestamp_ms);
        Ok(Stamp::sign(self.store.identity()?, self.rules.params.chain_id, timestamp_ms, changesets))
    }

    /// Writes a block to log and index and moves the head. Where that fails the head stays, and the log, which
    /// may hold the block, takes no other at its height.
    fn store_block(&self, head: &mut Head, block: &Block, ops: Vec<IndexOp>) -> Outcome {
        let tip = Tip::of(block);
        self.store.append(block, tip, ops)?;
        head.advance(block, tip);
        *self.tip.write().unwrap_or_else(PoisonError::into_inner) = tip;
        Ok(CommitReceipt { height: tip.height, hash: tip.hash })
    }

    /// Leaves the store in good order. Nothing is being written then.
    pub(crate) fn close(&self) -> Result<(), ChainError> {
        let head = self.lock();
        Ok(self.store.close(head.tip.hash)?)
    }

    /// The operation at a place that the history index names.
    pub(crate) fn operation(&self, place: Place) -> Result<Transaction, ChainError> {
        let misplaced = || StoreError::Misplaced { height: place.height };
        self.operations(place.height, &[place])?.pop().ok_or_else(|| misplaced().into())
    }

    /// The operations at places of one block, ascending. The block is read once.
    pub(crate) fn operations(
        &self,
        height: Height,
        places: &[Place],
    ) -> Result<Vec<Transaction>, ChainError> {
        let misplaced = || StoreError::Misplaced { height };
        let block = self.store.block(height)?.ok_or_else(misplaced)?;
        let mut operations = block.transactions().zip(0..);
        let found = places.iter().map(|place| {
            let operation = operations.find(|(_, position)| *position == place.position);
            operation.map(|(operation, _)| operation.clone()).ok_or_else(|| misplaced().into())
        });
        found.collect()
    }

    /// The head is replaced only after everything that can fail: a poisoned lock says nothing about it.
    fn lock(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer for Ledger {
    fn choose(&self, waiting: &[&Changeset]) -> Result<Vec<usize>, ChainError> {
        Ok(batch::choose(waiting, self.limits, &self.rules.verdicts)?)
    }

    fn write(&self, batch: Vec<Changeset>) -> Vec<Outcome> {
        let count = batch.len();
        self.write_batch(batch).unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::TensorChain;
    use crate::config::{AutoMergeConfig, ChainConfig};
    use crate::error::ChainError;
    use crate::ids::Height;
    use crate::index_probe::IndexProbe;
    use crate::log::LogError;
    use crate::store::{StoreError, TensorStore};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::thread;

    #[test]
    fn when_a_batch_cannot_be_written_everyone_in_it_is_told_and_nothing_follows_it() {
        let probe = Arc::new(IndexProbe::default());
        let auto_merge = AutoMergeConfig::default().with_window(60_000).with_max_batch(3);
        let store = TensorStore::in_memory(Box::new(Arc::clone(&probe)));
        let chain = TensorChain::with_config(store, ChainConfig { auto_merge, ..ChainConfig::default() });
        chain.initialize().unwrap();
        let commit_three = || {
            thread::scope(|scope| {
                let chain = &chain;
                let commits = ["a", "b", "c"]
                    .map(|key| scope.spawn(move || chain.put(key, "").map(|receipt| receipt.height)));
                commits.map(|commit| commit.join().unwrap())
            })
        };
        assert!(commit_three().iter().all(|outcome| matches!(outcome, Ok(Height(1)))));

        probe.fail_writes.store(true, Ordering::Relaxed);
        let is_storage = |outcome: &Result<_, _>| matches!(outcome, Err(ChainError::StorageError(_)));
        assert!(commit_three().iter().all(is_storage));
        // The log holds a block that the index does not know: no other may take its place.
        probe.fail_writes.store(false, Ordering::Relaxed);
        for outcome in commit_three() {
            let Err(ChainError::StorageError(error)) = outcome else { panic!("{outcome:?}") };
            assert!(matches!(*error, StoreError::Log(LogError::HeightOutOfOrder { .. })), "{error}");
        }
        assert_eq!(chain.height(), Height(1));
        assert_eq!(chain.get("a").unwrap(), Some(Vec::new()));
    }
}
