//! Blocks from elsewhere: proposing one, and appending one that somebody proposed.

use crate::block::Block;
use crate::chain::TensorChain;
use crate::changeset::Changeset;
use crate::committer::CommitReceipt;
use crate::error::ChainError;

/// Collects changesets for a block on top of the tip.
#[derive(Debug)]
pub struct BlockBuilder<'c> {
    chain: &'c TensorChain,
    changesets: Vec<Changeset>,
}

impl TensorChain {
    /// A block on top of the tip, to be given to [`append_block`](Self::append_block) of this chain or of a copy of it.
    #[must_use]
    pub const fn new_block(&self) -> BlockBuilder<'_> {
        BlockBuilder { chain: self, changesets: Vec::new() }
    }

    /// Appends a block after checking everything about it: height, previous hash, sizes, transaction root, time,
    /// signature, every verdict, state root, delta and codes.
    ///
    /// # Errors
    /// [`ValidationFailed`](ChainError::ValidationFailed), naming what is wrong;
    /// [`StorageError`](ChainError::StorageError).
    pub fn append_block(&self, block: &Block) -> Result<CommitReceipt, ChainError> {
        self.refuse_replicated()?;
        self.ledger()?.append(block)
    }
}

impl BlockBuilder<'_> {
    /// Adds a changeset, to be applied after those added before.
    #[must_use]
    pub fn changeset(mut self, changeset: Changeset) -> Self {
        self.changesets.push(changeset);
        self
    }

    /// Judges the changesets on top of the tip and signs them as this node. Writes nothing.
    ///
    /// # Errors
    /// The first changeset that does not stand, as [`TensorChain::commit`] would answer it;
    /// [`ValidationFailed`](ChainError::ValidationFailed) where there are none, or more than a block may hold.
    pub fn build(self) -> Result<Block, ChainError> {
        self.chain.ledger()?.propose(self.changesets)
    }
}
