//! What `apply` reads besides the index: the rules of the chain, fixed at genesis, and its head, which moves
//! with every block.

use std::borrow::Cow;
use std::sync::Arc;

use tensor_kernels::{DeltaVector, KernelError, Kernels};

use crate::block::{Block, BlockHeader};
use crate::changeset::Changeset;
use crate::codes::{self, Vocabulary};
use crate::encoder::OperationEncoder;
use crate::genesis::ChainParams;
use crate::ids::{BlockHash, Height, StateRoot};
use crate::recent::RecentDeltas;
use crate::state_tree::PageCache;
use crate::transaction::Transaction;
use crate::verdicts::Verdicts;

/// What never changes during the life of a chain.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) params: ChainParams,
    pub(crate) verdicts: Verdicts,
    encoder: OperationEncoder,
}

impl Rules {
    /// The rules of a chain with these parameters.
    pub(crate) fn new(params: ChainParams, kernels: Kernels) -> Self {
        let ChainParams { embedding_dim, thresholds, .. } = params;
        let verdicts = Verdicts::new(kernels, thresholds, embedding_dim.get());
        Self { params, verdicts, encoder: OperationEncoder::new(embedding_dim) }
    }

    /// The delta of a changeset: the caller's, or else the encoder's.
    pub(crate) fn delta<'c>(&self, changeset: &'c Changeset) -> Result<Cow<'c, DeltaVector>, KernelError> {
        // What was kept may be of another chain.
        let kept = || changeset.encoded_delta().filter(|delta| delta.dim() == self.encoder.dim());
        match changeset.supplied_delta().or_else(kept) {
            Some(delta) => Ok(Cow::Borrowed(delta)),
            None => self.encode(changeset).map(Cow::Owned),
        }
    }

    /// Makes the delta of a changeset that has none, which is better done by the thread of each caller than by the one
    /// that writes for all of them.
    pub(crate) fn prepare(&self, changeset: &Changeset) -> Result<(), KernelError> {
        if changeset.supplied_delta().is_none() {
            changeset.keep_encoded_delta(self.encode(changeset)?);
        }
        Ok(())
    }

    fn encode(&self, changeset: &Changeset) -> Result<DeltaVector, KernelError> {
        let operations = changeset.transactions();
        let written: Vec<_> = operations.iter().map(|op| op.written().unwrap_or_default()).collect();
        let keys = operations.iter().map(Transaction::key);
        self.encoder.encode(keys.zip(written.iter().map(AsRef::as_ref)))
    }
}

/// The tip of the chain; all zeros before the chain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tip {
    /// Height of the block.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Root of the state after it.
    pub state_root: StateRoot,
    /// When it was proposed, in milliseconds since 1970.
    pub timestamp_ms: u64,
}

impl Tip {
    /// A block as the tip.
    pub(crate) fn of(block: &Block) -> Self {
        let BlockHeader { height, state_root, timestamp_ms, .. } = block.header;
        Self { height, hash: block.hash(), state_root, timestamp_ms }
    }
}

/// The tip and what `apply` remembers of the blocks up to it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) tip: Tip,
    pub(crate) recent: RecentDeltas,
    pub(crate) codebook: Option<Arc<Vocabulary>>,
    /// What is at hand of the state tree of the tip. Whoever applies a block takes it, and brings it back only when
    /// the block has been written.
    pub(crate) tree: PageCache,
}

impl Head {
    /// The head of a chain of one block.
    pub(crate) fn genesis(block: &Block) -> Self {
        Self {
            tip: Tip::of(block),
            recent: RecentDeltas::default(),
            codebook: None,
            tree: PageCache::default(),
        }
    }

    /// Moves on to the next block, whose tip the caller has computed and whose effects the index has.
    pub(crate) fn advance(&mut self, block: &Block, tip: Tip, tree: PageCache) {
        self.tip = tip;
        self.tree = tree;
        self.recent.push(block);
        if let Some(codebook) = codes::last_codebook(block) {
            self.codebook = Some(Arc::new(codebook));
        }
    }
}
