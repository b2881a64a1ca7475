//! Questions to a chain: its blocks, and the values and history of its keys.

use tensor_kernels::DeltaVector;

use crate::block::Block;
use crate::chain::TensorChain;
use crate::changeset::{MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS};
use crate::encoding::Decode;
use crate::error::ChainError;
use crate::history;
use crate::ids::Height;
use crate::ledger::Ledger;
use crate::state;
use crate::store::StoreError;
use crate::transaction::Transaction;

/// Most blocks that [`TensorChain::get_blocks`] returns at once.
pub const MAX_BLOCKS_PER_CALL: u64 = 1_000;
/// Operations after which [`TensorChain::history_page`] begins no further block.
pub const MAX_HISTORY_PER_CALL: usize = 1_000;

impl TensorChain {
    /// The block at a height; `None` above the tip.
    ///
    /// # Errors
    /// A chain that is not initialized; storage that cannot be read.
    pub fn get_block(&self, height: Height) -> Result<Option<Block>, ChainError> {
        let ledger = self.ledger()?;
        if height > ledger.tip().height {
            return Ok(None);
        }
        Ok(ledger.store().block(height)?)
    }

    /// The last block.
    ///
    /// # Errors
    /// As [`get_block`](Self::get_block).
    pub fn get_tip(&self) -> Result<Option<Block>, ChainError> {
        self.get_block(self.ledger()?.tip().height)
    }

    /// The first block.
    ///
    /// # Errors
    /// As [`get_block`](Self::get_block).
    pub fn get_genesis(&self) -> Result<Option<Block>, ChainError> {
        self.get_block(Height::GENESIS)
    }

    /// The blocks from `start` to `end`, both included, as far as they exist: none where `start` is above `end`,
    /// and never more than [`MAX_BLOCKS_PER_CALL`].
    ///
    /// # Errors
    /// As [`get_block`](Self::get_block).
    pub fn get_blocks(&self, start: Height, end: Height) -> Result<Vec<Block>, ChainError> {
        let last =
            end.0.min(self.ledger()?.tip().height.0).min(start.0.saturating_add(MAX_BLOCKS_PER_CALL - 1));
        let blocks = (start.0..=last).map(|height| self.get_block(Height(height)).transpose());
        blocks.flatten().collect()
    }

    /// All blocks from genesis to the present tip; none before the chain is initialized.
    #[must_use]
    pub fn iter(&self) -> ChainIterator<'_> {
        let ledger = self.ledger().ok().map(AsRef::as_ref);
        ChainIterator { ledger, heights: 0..ledger.map_or(0, |ledger| ledger.tip().height.0 + 1) }
    }

    /// The value of a key, if it has one. A vector written by [`Transaction::Embed`] reads as its canonical
    /// bytes; see [`get_embedding`](Self::get_embedding).
    ///
    /// # Errors
    /// A chain that is not initialized; storage that cannot be read.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ChainError> {
        let entry = self.ledger()?.store().state()?.get(key)?;
        Ok(entry.map(|entry| entry.value.bytes))
    }

    /// The vector that a key holds, if an [`Transaction::Embed`] wrote it last.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_embedding(&self, key: &str) -> Result<Option<DeltaVector>, ChainError> {
        let entry = self.ledger()?.store().state()?.get(key)?;
        let vector = entry
            .filter(|entry| entry.value.is_vector)
            .map(|entry| DeltaVector::from_bytes(&entry.value.bytes));
        let vector = vector.transpose();
        Ok(vector.map_err(|source| StoreError::State { key: key.to_owned(), source })?)
    }

    /// The value that a key had when the block at `height` had been written.
    ///
    /// # Errors
    /// A height above the tip; otherwise as [`get`](Self::get).
    pub fn get_at(&self, key: &str, height: Height) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.ledger()?.value_at(key, height)?.map(|value| value.bytes))
    }

    /// Keys with a value that start with `prefix`, ascending: at most `limit` of them, above `after`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, ChainError> {
        Ok(state::list(self.ledger()?.store().index(), prefix, after, limit)?)
    }

    /// Every operation on a key with the height of its block, in order. What this costs follows the key's own
    /// history, not the length of the chain.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn history(&self, key: &str) -> Result<Vec<(Height, Transaction)>, ChainError> {
        let ledger = self.ledger()?;
        let places = history::of_key(ledger.store().index(), key)?;
        let mut changes = Vec::with_capacity(places.len());
        for in_block in places.chunk_by(|a, b| a.height == b.height) {
            let Some(height) = in_block.first().map(|place| place.height) else { continue };
            let operations = ledger.operations(height, in_block)?;
            changes.extend(operations.into_iter().map(|operation| (height, operation)));
        }
        Ok(changes)
    }

    /// The history of a key from the block at `from` on, in parts of bounded size: whole blocks, and no further one
    /// once [`MAX_HISTORY_PER_CALL`] operations or [`MAX_BLOCK_BYTES`] of values are reached.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn history_page(&self, key: &str, from: Height) -> Result<HistoryPage, ChainError> {
        let ledger = self.ledger()?;
        // A block may reach the limit alone; the place after it tells whether there is more.
        let most = MAX_HISTORY_PER_CALL + MAX_BLOCK_TRANSACTIONS + 1;
        let places = history::of_key_from(ledger.store().index(), key, from, most)?;
        let (mut changes, mut bytes) = (Vec::new(), 0);
        for in_block in places.chunk_by(|a, b| a.height == b.height) {
            let Some(height) = in_block.first().map(|place| place.height) else { continue };
            if changes.len() >= MAX_HISTORY_PER_CALL || bytes >= MAX_BLOCK_BYTES {
                return Ok(HistoryPage { changes, next: Some(height) });
            }
            for operation in ledger.operations(height, in_block)? {
                bytes += operation.written().map_or(0, |value| value.len());
                changes.push((height, operation));
            }
        }
        Ok(HistoryPage { changes, next: None })
    }
}

/// A part of a key's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// Operations with the heights of their blocks, in order.
    pub changes: Vec<(Height, Transaction)>,
    /// Where the next part begins, if there is one.
    pub next: Option<Height>,
}

/// Blocks of a chain in order, up to the tip it had when this was made.
#[derive(Debug, Clone)]
pub struct ChainIterator<'c> {
    ledger: Option<&'c Ledger>,
    heights: std::ops::Range<u64>,
}

impl Iterator for ChainIterator<'_> {
    type Item = Result<Block, ChainError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (ledger, height) = (self.ledger?, Height(self.heights.next()?));
        let block =
            ledger.store().block(height).and_then(|block| block.ok_or(StoreError::Misplaced { height }));
        Some(block.map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_probe::IndexProbe;
    use crate::store::TensorStore;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    /// Index reads of each question about `watched`, which was written twice, in a chain of `length` blocks.
    fn costs(length: u32) -> [u64; 4] {
        let probe = Arc::new(IndexProbe::default());
        let chain = TensorChain::new(TensorStore::in_memory(Box::new(Arc::clone(&probe))), "test");
        chain.initialize().unwrap();
        chain.put("watched", "first").unwrap();
        for n in 0..length {
            chain.put(format!("other{}", n % 10), n.to_le_bytes()).unwrap();
        }
        chain.put("watched", "second").unwrap();
        let cost = |question: &dyn Fn()| {
            let before = probe.reads.load(Ordering::Relaxed);
            question();
            probe.reads.load(Ordering::Relaxed) - before
        };
        [
            cost(&|| assert_eq!(chain.history("watched").unwrap().len(), 2)),
            cost(&|| assert_eq!(chain.get_at("watched", Height(1)).unwrap(), Some(b"first".to_vec()))),
            cost(&|| assert_eq!(chain.get("watched").unwrap(), Some(b"second".to_vec()))),
            cost(&|| assert!(chain.put("watched", "third").is_ok())),
        ]
    }

    #[test]
    fn a_block_is_read_once_for_all_that_it_did_to_a_key() {
        let probe = Arc::new(IndexProbe::default());
        let chain = TensorChain::new(TensorStore::in_memory(Box::new(Arc::clone(&probe))), "test");
        chain.initialize().unwrap();
        for block in 0..2 {
            let workspace = chain.begin().unwrap();
            for n in 0..100_u8 {
                workspace
                    .add_operation(Transaction::Put { key: "k".to_owned(), data: vec![block, n] })
                    .unwrap();
            }
            chain.commit(workspace).unwrap();
        }
        let before = probe.reads.load(Ordering::Relaxed);
        let history = chain.history("k").unwrap();
        // The scan and its 200 rows, and where each block is.
        assert_eq!(probe.reads.load(Ordering::Relaxed) - before, 1 + 200 + 2);
        let expected =
            (0..2).flat_map(|block| (0..100).map(move |n| (Height(1 + u64::from(block)), vec![block, n])));
        let found = history.into_iter().map(|(height, put)| (height, put.written().unwrap().into_owned()));
        assert!(found.eq(expected));
    }

    #[test]
    fn a_history_in_parts_is_the_whole_history() {
        let chain = TensorChain::new(TensorStore::new(), "test");
        chain.initialize().unwrap();
        for n in 0..5_u8 {
            chain.put("large", vec![n; 400_000]).unwrap();
            chain.put("other", "").unwrap();
        }
        let (mut parts, mut from) = (Vec::new(), Some(Height::GENESIS));
        while let Some(height) = from {
            let page = chain.history_page("large", height).unwrap();
            parts.push(page.changes.len());
            from = page.next;
        }
        assert_eq!(parts, [3, 2]);
        let all = chain.history("large").unwrap();
        assert_eq!(chain.history_page("large", Height(1)).unwrap().changes, all[..3]);
        assert_eq!(chain.history_page("large", Height(4)).unwrap().changes, all[2..]);
        assert_eq!(chain.history_page("large", Height(99)).unwrap().changes, []);
    }

    #[test]
    fn what_a_question_costs_follows_the_key_and_not_the_chain() {
        assert_eq!(costs(20), costs(2_000));
    }
}
