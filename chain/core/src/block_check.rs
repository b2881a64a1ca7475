//! What can be checked about a block without any state: its place, its roots, its time and its signature.

use crate::block::{BLOCK_VERSION, Block};
use crate::changeset::{MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS};
use crate::genesis::ChainParams;
use crate::head::Tip;
use crate::ids::{BlockHash, Height, NodeId, StateRoot, TxRoot};
use crate::rejection::Rejection;

/// What is wrong with a block.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BlockFault {
    /// Another format.
    #[error("version {got}, expected {BLOCK_VERSION}")]
    Version {
        /// The block's version.
        got: u16,
    },
    /// Not the height that follows.
    #[error("height {got}, expected {expected}")]
    Height {
        /// The block's height.
        got: Height,
        /// The height that follows.
        expected: Height,
    },
    /// Not linked to the block before, or genesis not bound to the chain's parameters.
    #[error("previous hash {actual}, expected {expected}")]
    InvalidHash {
        /// The hash it should name.
        expected: BlockHash,
        /// The hash it names.
        actual: BlockHash,
    },
    /// The changesets are not those the header names.
    #[error("transaction root {actual}, expected {expected}")]
    TxRoot {
        /// The root of the changesets.
        expected: TxRoot,
        /// The root in the header.
        actual: TxRoot,
    },
    /// Another number of changesets than the header names.
    #[error("{got} changesets, the header says {stated}")]
    TxCount {
        /// How many there are.
        got: usize,
        /// How many the header says.
        stated: u32,
    },
    /// No changesets, or more than a block may hold.
    #[error("{changesets} changesets of {transactions} operations and {bytes} bytes")]
    Size {
        /// Number of changesets.
        changesets: usize,
        /// Number of operations in them.
        transactions: usize,
        /// Bytes they encode to.
        bytes: usize,
    },
    /// Older than the block before.
    #[error("time {got} ms, the block before has {parent} ms")]
    Timestamp {
        /// The block's time.
        got: u64,
        /// The time of the block before.
        parent: u64,
    },
    /// The signature is not the proposer's over these changesets.
    #[error("the signature is not that of proposer {proposer} over these changesets")]
    Signature {
        /// The proposer that the header names.
        proposer: NodeId,
    },
    /// Changesets are said to have been left out at places that no batch has.
    #[error("{omitted} changesets left out of a batch with {changesets} others: too many, or out of order")]
    Omitted {
        /// Number of changesets in the block.
        changesets: usize,
        /// Number of those that were left out.
        omitted: usize,
    },
    /// Signatures of validators, which nobody can check yet.
    #[error("{got} signatures of validators: there are none yet that could be checked")]
    ValidatorSignatures {
        /// How many.
        got: usize,
    },
    /// A changeset that does not stand.
    #[error("changeset {position}: {rejection}")]
    Rejected {
        /// Its position in the block.
        position: usize,
        /// The verdict against it.
        rejection: Rejection,
    },
    /// Not the state that the changesets lead to.
    #[error("state root {actual}, expected {expected}")]
    StateRoot {
        /// The root that the changesets lead to.
        expected: StateRoot,
        /// The root in the header.
        actual: StateRoot,
    },
    /// Not the sum of the changesets' deltas.
    #[error("the delta is not the sum of the changesets' deltas")]
    Delta,
    /// Not the codes of the delta in the codebook in force, or another codebook.
    #[error(
        "quantized codes {actual:?} of epoch {actual_epoch}, expected {expected:?} of epoch {expected_epoch}"
    )]
    Codes {
        /// Codes by the codebook in force.
        expected: Vec<u16>,
        /// Its epoch.
        expected_epoch: u64,
        /// Codes in the header.
        actual: Vec<u16>,
        /// Epoch in the header.
        actual_epoch: u64,
    },
}

/// Checks a block against the one before it; `None` before genesis.
pub(crate) fn check(block: &Block, parent: Option<&Tip>, params: &ChainParams) -> Result<(), BlockFault> {
    check_place(block, parent, params)?;
    check_contents(block, params)
}

/// Version, height, link and time.
pub(crate) fn check_place(
    block: &Block,
    parent: Option<&Tip>,
    params: &ChainParams,
) -> Result<(), BlockFault> {
    let header = &block.header;
    let (height, hash, parent_ms) = match parent {
        None => (Some(Height::GENESIS), params.hash(), 0),
        Some(tip) => (tip.height.next(), tip.hash, tip.timestamp_ms),
    };
    let (got, actual) = (header.height, header.prev_hash);
    if header.version != BLOCK_VERSION {
        return Err(BlockFault::Version { got: header.version });
    }
    if height != Some(got) {
        return Err(BlockFault::Height { got, expected: height.unwrap_or(Height(u64::MAX)) });
    }
    if hash != actual {
        return Err(BlockFault::InvalidHash { expected: hash, actual });
    }
    if header.timestamp_ms < parent_ms {
        return Err(BlockFault::Timestamp { got: header.timestamp_ms, parent: parent_ms });
    }
    Ok(())
}

/// Sizes, count, transaction root and signature: what needs no other block. Genesis has no changesets, every other
/// block has some.
pub(crate) fn check_contents(block: &Block, params: &ChainParams) -> Result<(), BlockFault> {
    let changesets = block.changesets.len();
    let transactions = block.transactions().count();
    let bytes = block.changeset_bytes();
    let genesis = block.header.height == Height::GENESIS;
    if genesis != (changesets == 0) || transactions > MAX_BLOCK_TRANSACTIONS || bytes > MAX_BLOCK_BYTES {
        return Err(BlockFault::Size { changesets, transactions, bytes });
    }
    let stated = block.header.tx_count;
    if u32::try_from(changesets) != Ok(stated) {
        return Err(BlockFault::TxCount { got: changesets, stated });
    }
    if !block.omits_in_order() {
        return Err(BlockFault::Omitted { changesets, omitted: block.omitted.len() });
    }
    let (expected, actual) = (block.compute_tx_root(), block.header.tx_root);
    if expected != actual {
        return Err(BlockFault::TxRoot { expected, actual });
    }
    match block.signatures.len() {
        0 if block.is_signed(params.chain_id) => Ok(()),
        0 => Err(BlockFault::Signature { proposer: block.header.proposer }),
        got => Err(BlockFault::ValidatorSignatures { got }),
    }
}
