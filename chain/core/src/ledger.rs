//! The chain at work: its store, its rules and its head, and the one place where blocks are written.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::apply::{self, Applied};
use crate::batch::{self, BatchLimits};
use crate::block::{Block, BlockHeader, Stamp};
use crate::block_check;
use crate::changeset::Changeset;
use crate::committer::{CommitReceipt, Outcome, Writer};
use crate::config::Clock;
use crate::encoding::Encode;
use crate::error::{ChainError, TransactionFailure};
use crate::head::{Head, Rules, Tip};
use crate::history;
use crate::identity::IdentityError;
use crate::ids::Height;
use crate::index::{Entry, Index, IndexError, IndexOp, Lookup, Space};
use crate::rejection::Rejection;
use crate::replay;
use crate::state::{Place, Value};
use crate::state_tree::{self, PageCache, StateProof};
use crate::store::{StoreError, TensorStore};
use crate::transaction::Transaction;

/// A chain with at least its genesis block.
#[derive(Debug)]
pub(crate) struct Ledger {
    store: Arc<TensorStore>,
    rules: Rules,
    limits: BatchLimits,
    clock: Arc<dyn Clock>,
    /// What the next block is judged against: the last block that was linked, which may still be being written.
    head: Mutex<Head>,
    /// Held by whoever writes a block. It is locked while `head` is, so blocks are written in the order of their
    /// heights; `head` is released then, and one more block is judged while this one goes to disk.
    disk: Mutex<Disk>,
    /// What everyone else sees: moves when a block and its effects can be read.
    tip: RwLock<Tip>,
}

/// Where blocks go.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Why a block could not be written: no other is then.
    failure: Option<ChainError>,
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
        Self { store, rules, limits, clock, head: Mutex::new(head), disk: Mutex::default(), tip }
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
        let present = self.store.state()?.get(key)?;
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
        let disk = self.lock_disk();
        let height = self.tip().height;
        let tip = self.store.block(height)?.ok_or(StoreError::Misplaced { height })?;
        let present = self.store.state()?.get(key)?.map(|entry| (entry.place.height, entry.value.bytes));
        let proof = state_tree::prove(self.store.index(), key.as_bytes(), present)?;
        drop(disk);
        Ok((tip.header, proof))
    }

    /// Writes a block that another node has proposed, after checking everything about it.
    pub(crate) fn append(&self, block: &Block) -> Outcome {
        let mut head = self.lock_head();
        let disk = self.writable_disk()?;
        let Applied { ops, tree, .. } = self.check_and_replay(&mut head, block)?;
        let tip = Tip::of(block);
        head.advance(block, tip, tree);
        self.write_block(disk, &block.to_bytes(), tip, ops)
    }

    /// As [`append`](Self::append) for a block that a replicated log has led to elsewhere: it is durable only after
    /// the next sync, and what the log says besides is the caller's to write.
    pub(crate) fn append_replicated(&self, block: &Block) -> Result<(), ChainError> {
        let mut head = self.lock_head();
        let _disk = self.writable_disk()?;
        let Applied { ops, tree, .. } = self.check_and_replay(&mut head, block)?;
        let tip = Tip::of(block);
        self.store.append_replicated(&block.to_bytes(), tip, ops)?;
        self.advance(&mut head, block, tip, tree);
        Ok(())
    }

    /// What a block from elsewhere does, if everything about it is right. Nothing is being written meanwhile.
    fn check_and_replay(&self, head: &mut Head, block: &Block) -> Result<Applied, ChainError> {
        let height = block.header.height;
        block_check::check(block, Some(&head.tip), &self.rules.params)
            .map_err(|fault| ChainError::ValidationFailed { height, fault })?;
        replay::replay(&self.rules, head, self.store.state()?, block).map_err(|error| error.at(height))
    }

    /// The block that a batch would become, without writing it.
    pub(crate) fn propose(&self, batch: Vec<Changeset>) -> Result<Block, ChainError> {
        let head = self.lock_head();
        let disk = self.writable_disk()?;
        let judged = apply::judge(&self.rules, &head, self.store.state()?, batch)?;
        if let Some((_, rejection)) = judged.first_rejection() {
            return Err(rejection.clone().into());
        }
        let stamp = self.sign(&head, &judged.accepted)?;
        let nothing_at_hand = PageCache::default(); // what is at hand stays with the head: nothing is written
        let linked = apply::link(&self.rules, &head, self.store.index(), judged, stamp, nothing_at_hand)?;
        drop(disk);
        // What nobody would append is not handed out either.
        let block = linked.block;
        let height = block.header.height;
        block_check::check_contents(&block, &self.rules.params)
            .map_err(|fault| ChainError::ValidationFailed { height, fault })?;
        Ok(block)
    }

    /// Judges a batch and writes the block of those that stand; no block where none does. `pass_turn` is called when
    /// the next batch can be judged.
    fn write_batch(
        &self,
        batch: Vec<Changeset>,
        pass_turn: &mut dyn FnMut(),
    ) -> Result<Vec<Outcome>, ChainError> {
        let mut head = self.lock_head();
        let index = Settled { ledger: self };
        let mut judged = apply::judge(&self.rules, &head, self.store.state_through(&index)?, batch)?;
        let verdicts = std::mem::take(&mut judged.verdicts);
        if judged.accepted.is_empty() {
            return Ok(verdicts
                .into_iter()
                .filter_map(Result::err)
                .map(|rejection| Err(rejection.into()))
                .collect());
        }
        let stamp = self.sign(&head, &judged.accepted)?;
        let tree = std::mem::take(&mut head.tree);
        let Applied { block, bytes, ops, tree } =
            apply::link(&self.rules, &head, &index, judged, stamp, tree)?;
        let disk = self.writable_disk()?;
        let tip = Tip::of(&block);
        head.advance(&block, tip, tree);
        drop(head);
        pass_turn();
        let written = self.write_block(disk, &bytes, tip, ops);
        let answer =
            |verdict: Result<(), Rejection>| verdict.map_err(Into::into).and_then(|()| written.clone());
        Ok(verdicts.into_iter().map(answer).collect())
    }

    /// Time never goes back, whatever the clock does.
    fn sign(&self, head: &Head, changesets: &[Changeset]) -> Result<Stamp, IdentityError> {
        let timestamp_ms = self.clock.now_ms().max(head.tip.timestamp_ms);
        Ok(Stamp::sign(self.store.identity()?, self.rules.params.chain_id, timestamp_ms, changesets))
    }

    /// Writes a block to log and index, and shows it. Where that fails, the log may hold the block or not: no other is
    /// written until the chain is opened again.
    fn write_block(
        &self,
        mut disk: MutexGuard<'_, Disk>,
        block: &[u8],
        tip: Tip,
        ops: Vec<IndexOp>,
    ) -> Outcome {
        // Said beforehand, in case this does not come to an end.
        disk.failure = Some(TransactionFailure::WriterLost.into());
        let written = self.store.append(block, tip, ops).map_err(ChainError::from);
        disk.failure = written.as_ref().err().cloned();
        written?;
        self.show(tip);
        Ok(CommitReceipt { height: tip.height, hash: tip.hash })
    }

    /// Moves on to a block that has been written.
    pub(crate) fn advance(&self, head: &mut Head, block: &Block, tip: Tip, tree: PageCache) {
        head.advance(block, tip, tree);
        self.show(tip);
    }

    /// From now on the tip is this one for everyone.
    fn show(&self, tip: Tip) {
        *self.tip.write().unwrap_or_else(PoisonError::into_inner) = tip;
    }

    /// Leaves the store in good order. Nothing is being written then.
    pub(crate) fn close(&self) -> Result<(), ChainError> {
        let _disk = self.writable_disk()?;
        Ok(self.store.close(self.tip().hash)?)
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
    pub(crate) fn lock_head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no block is being written. A failure is noted before it can poison the lock.
    fn lock_disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`lock_disk`](Self::lock_disk), unless nothing may be written any more.
    pub(crate) fn writable_disk(&self) -> Result<MutexGuard<'_, Disk>, ChainError> {
        let disk = self.lock_disk();
        disk.failure.clone().map_or(Ok(disk), Err)
    }
}

/// The index as it is when the last block has been written: whoever asks it waits for that.
///
/// Pages of the state tree are not waited for. Those of the last block are at hand with the head, and where nothing is,
/// the root is asked for first.
#[derive(Debug)]
struct Settled<'l> {
    ledger: &'l Ledger,
}

impl Settled<'_> {
    fn index(&self) -> &dyn Index {
        drop(self.ledger.lock_disk());
        self.ledger.store.index()
    }
}

impl Lookup for Settled<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match space {
            Space::Tree if !key.is_empty() => self.ledger.store.index().get(space, key),
            _ => self.index().get(space, key),
        }
    }

    fn last(&self, space: Space, prefix: &[u8], at_most: Option<&[u8]>) -> Result<Option<Entry>, IndexError> {
        self.index().last(space, prefix, at_most)
    }
}

impl Writer for Ledger {
    fn choose(&self, waiting: &[&Changeset]) -> Result<Vec<usize>, ChainError> {
        Ok(batch::choose(waiting, self.limits, &self.rules.verdicts)?)
    }

    fn write(&self, batch: Vec<Changeset>, pass_turn: &mut dyn FnMut()) -> Vec<Outcome> {
        let count = batch.len();
        self.write_batch(batch, pass_turn)
            .unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::chain::TensorChain;
    use crate::config::{AutoMergeConfig, ChainConfig};
    use crate::error::ChainError;
    use crate::ids::Height;
    use crate::index_probe::IndexProbe;
    use crate::state_tree::PageCache;
    use crate::store::TensorStore;
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
        // The log holds a block that the index does not know: no other may follow it.
        probe.fail_writes.store(false, Ordering::Relaxed);
        assert!(commit_three().iter().all(is_storage));
        assert_eq!(chain.height(), Height(1));
        assert_eq!(chain.get("a").unwrap(), Some(Vec::new()));
    }

    /// Returns once a batch is being judged.
    fn await_judging(chain: &TensorChain) {
        let ledger = chain.ledger().unwrap();
        while ledger.head.try_lock().is_ok() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_batch_is_judged_against_the_block_that_is_being_written() {
        let probe = Arc::new(IndexProbe::default());
        let chain = &TensorChain::new(TensorStore::in_memory(Box::new(Arc::clone(&probe))), "node1");
        chain.initialize().unwrap();
        for n in 0..50 {
            let (key, held) = (format!("key-{n}"), probe.hold_writes.lock().unwrap());
            thread::scope(|scope| {
                let put = scope.spawn(|| chain.put(key.as_str(), "first").unwrap().height);
                while chain.ledger().unwrap().disk.try_lock().is_ok() {
                    thread::yield_now();
                }
                // As where a block could not be linked: then the tree is read from the index, block and all.
                chain.ledger().unwrap().lock_head().tree = PageCache::default();
                // Nobody sees the block before it is written, but who comes after it.
                assert_eq!(chain.get(&key).unwrap(), None);
                let next = scope.spawn(move || match n % 2 {
                    0 => chain.update(format!("key-{n}"), "second").unwrap().height,
                    _ => chain.put(format!("other-{n}"), "").unwrap().height,
                });
                await_judging(chain);
                drop(held);
                assert_eq!(put.join().unwrap().next(), Some(next.join().unwrap()));
            });
            let expected: &[u8] = if n % 2 == 0 { b"second" } else { b"first" };
            assert_eq!(chain.get(&key).unwrap().as_deref(), Some(expected));
        }
        chain.verify_full().unwrap();
    }

    #[test]
    fn nothing_is_written_after_a_block_that_failed_even_where_it_was_judged_before() {
        let probe = Arc::new(IndexProbe::default());
        let chain = TensorChain::new(TensorStore::in_memory(Box::new(Arc::clone(&probe))), "node1");
        chain.initialize().unwrap();
        chain.put("a", "first").unwrap();
        let held = probe.hold_writes.lock().unwrap();
        probe.fail_writes.store(true, Ordering::Relaxed);
        thread::scope(|scope| {
            let fails = scope.spawn(|| chain.put("a", "second"));
            while chain.ledger().unwrap().disk.try_lock().is_ok() {
                thread::yield_now();
            }
            let follows = scope.spawn(|| chain.put("b", ""));
            await_judging(&chain);
            drop(held);
            for outcome in [fails, follows].map(|commit| commit.join().unwrap()) {
                assert!(matches!(outcome, Err(ChainError::StorageError(_))), "{outcome:?}");
            }
        });
        assert_eq!(chain.height(), Height(1));
        assert_eq!(chain.get("a").unwrap(), Some(b"first".to_vec()));
        assert_eq!(chain.prove("a").unwrap().header().height, Height(1));
        assert!(chain.close().is_err());
    }
}
