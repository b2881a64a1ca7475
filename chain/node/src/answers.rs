//! Questions to a chain, answered in the words of the HTTP API. The command line on a directory and a node's HTTP
//! API both ask here, so they cannot answer differently.

use tensor_chain::encoding::Encode;
use tensor_chain::{Block, ChainError, CommitReceipt, GlobalCodebook, Height, TensorChain, Transaction};
use tensor_client::text::{Data, hex};
use tensor_client::wire::{self, BlockOperation, Change, CodebookUsed, Near, OperationName};
use tensor_kernels::SparseVec;

/// Where a write went.
#[must_use]
pub fn receipt(receipt: CommitReceipt) -> wire::Receipt {
    wire::Receipt { height: receipt.height.0, hash: receipt.hash.to_string() }
}

/// Keys that have a value, start with `prefix` and are above `after`: at most `limit` of them.
///
/// # Errors
/// Storage that cannot be read.
pub fn keys(
    chain: &TensorChain,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<wire::Keys, ChainError> {
    let height = chain.height().0;
    let mut keys = chain.list(prefix, after, limit.saturating_add(1))?;
    let more = keys.len() > limit;
    keys.truncate(limit);
    Ok(wire::Keys { height, keys, more })
}

/// A part of a key's history, from a height on.
///
/// # Errors
/// Storage that cannot be read.
pub fn history(chain: &TensorChain, key: &str, from: Height) -> Result<wire::History, ChainError> {
    let page = chain.history_page(key, from)?;
    let changes = page.changes.iter().map(|(height, transaction)| {
        let (operation, value) = OperationName::of(transaction);
        Change { height: height.0, operation, value: value.map(Data::of) }
    });
    let next = page.next.map(|height| height.0);
    Ok(wire::History { key: key.to_owned(), changes: changes.collect(), next })
}

/// A proof of what the state at the tip says of a key.
///
/// # Errors
/// Storage that cannot be read.
pub fn proof(chain: &TensorChain, key: &str) -> Result<wire::Proof, ChainError> {
    let proof = chain.prove(key)?;
    let block_hash = proof.header().hash().to_string();
    Ok(wire::Proof { key: key.to_owned(), block_hash, proof: hex(&proof.to_bytes()) })
}

/// The `k` blocks whose change was most like a vector.
///
/// # Errors
/// A vector of another dimension than the chain's; storage that cannot be read.
pub fn similar_to_vector(
    chain: &TensorChain,
    vector: &SparseVec,
    k: usize,
) -> Result<wire::Similar, ChainError> {
    near(chain, vector, k, None)
}

/// The `k` blocks, other than itself, whose change was most like that of a block.
///
/// # Errors
/// A height above the tip; storage that cannot be read.
pub fn similar_to_block(chain: &TensorChain, height: Height, k: usize) -> Result<wire::Similar, ChainError> {
    let block = chain.get_block(height)?.ok_or(ChainError::BlockNotFound(height))?;
    near(chain, &block.header.delta.to_sparse()?, k, Some(height))
}

fn near(
    chain: &TensorChain,
    vector: &SparseVec,
    k: usize,
    itself: Option<Height>,
) -> Result<wire::Similar, ChainError> {
    // The block itself is always nearest; ask for one more and leave it out.
    let found = chain.similar(vector, k.saturating_add(usize::from(itself.is_some())))?;
    let others = found.into_iter().filter(|near| Some(near.height) != itself).take(k);
    let near = |near: tensor_chain::SimilarBlock| Near {
        height: near.height.0,
        hash: near.hash.to_string(),
        cosine: near.score,
    };
    Ok(wire::Similar { blocks: others.map(near).collect() })
}

/// How much the codebook misses of the changes of a range of blocks: the chain's own, or one that was trained. Without
/// bounds the range is the whole chain.
///
/// # Errors
/// A height above the tip; a codebook that does not fit the chain; storage that cannot be read.
pub fn drift(
    chain: &TensorChain,
    from: Option<u64>,
    to: Option<u64>,
    trained: Option<&GlobalCodebook>,
) -> Result<wire::Drift, ChainError> {
    let (from, to) = (Height(from.unwrap_or(0)), to.map_or(chain.height(), Height));
    let (codebook, drift) = match trained {
        None => (CodebookUsed::Chain, chain.drift(from, to)?),
        Some(trained) => (CodebookUsed::Trained, chain.drift_from(trained, from, to)?),
    };
    Ok(wire::Drift {
        from: from.0,
        to: to.0,
        codebook,
        blocks: drift.blocks.len(),
        total: drift.total,
        mean: drift.mean,
        max: drift.max,
        slope: drift.slope,
    })
}

/// A block with its operations and what they wrote.
#[must_use]
pub fn block(block: &Block) -> wire::Block {
    let header = &block.header;
    wire::Block {
        height: header.height.0,
        hash: block.hash().to_string(),
        prev_hash: header.prev_hash.to_string(),
        tx_root: header.tx_root.to_string(),
        state_root: header.state_root.to_string(),
        timestamp_ms: header.timestamp_ms,
        proposer: header.proposer.to_string(),
        codebook_epoch: header.codebook_epoch,
        changesets: block.changesets.len(),
        operations: block.transactions().map(|transaction| operation(transaction, true)).collect(),
    }
}

/// A block as it is announced: with its keys and without what was written.
#[must_use]
pub fn block_seen(block: &Block) -> wire::BlockSeen {
    wire::BlockSeen {
        height: block.header.height.0,
        hash: block.hash().to_string(),
        operations: block.transactions().map(|transaction| operation(transaction, false)).collect(),
    }
}

fn operation(transaction: &Transaction, with_value: bool) -> BlockOperation {
    let (operation, value) = OperationName::of(transaction);
    let value = value.filter(|_| with_value).map(Data::of);
    BlockOperation { key: transaction.key().to_owned(), operation, value }
}
