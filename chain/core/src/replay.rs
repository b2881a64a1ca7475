//! Applies blocks that exist already and holds every field of theirs against what comes out: for blocks from
//! elsewhere, for rebuilding an index, and for verification in full.

use crate::apply::{self, Applied, ApplyError};
use crate::block::{Block, BlockHeader};
use crate::block_check::BlockFault;
use crate::error::ChainError;
use crate::head::{Head, Rules};
use crate::ids::Height;
use crate::state::State;

/// Why a block cannot be applied.
#[derive(Debug)]
pub(crate) enum ReplayError {
    /// The block is wrong.
    Fault(BlockFault),
    /// The block could not be judged.
    Failed(ApplyError),
}

impl ReplayError {
    /// The same of the block at a height.
    pub(crate) fn at(self, height: Height) -> ChainError {
        match self {
            Self::Fault(fault) => ChainError::ValidationFailed { height, fault },
            Self::Failed(error) => error.into(),
        }
    }
}

impl From<BlockFault> for ReplayError {
    fn from(fault: BlockFault) -> Self {
        Self::Fault(fault)
    }
}

impl<E: Into<ApplyError>> From<E> for ReplayError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The effects of a block on top of the head; any block but genesis. Its place and contents are the caller's to
/// check, as far as it wants to: see [`block_check`](crate::block_check). Takes what the head has at hand of the state
/// tree; it is part of what comes out.
pub(crate) fn replay(
    rules: &Rules,
    head: &mut Head,
    state: State<'_>,
    block: &Block,
) -> Result<Applied, ReplayError> {
    let tree = std::mem::take(&mut head.tree);
    let judged = apply::judge(rules, head, state, block.changesets.clone())?;
    if let Some((position, rejection)) = judged.first_rejection() {
        return Err(BlockFault::Rejected { position, rejection: rejection.clone() }.into());
    }
    let applied = apply::link(rules, head, state.index, judged, block.stamp(), tree)?;
    compare(block, &applied.block)?;
    Ok(applied)
}

/// Checks that a genesis block says of an empty state what there is to say.
pub(crate) fn check_genesis(rules: &Rules, block: &Block) -> Result<(), BlockFault> {
    compare(block, &rules.params.genesis(block.stamp()))
}

/// The first derived field of a header in which two blocks of the same changesets differ.
fn compare(actual: &Block, expected: &Block) -> Result<(), BlockFault> {
    let (actual, expected) = (&actual.header, &expected.header);
    if actual.state_root != expected.state_root {
        return Err(BlockFault::StateRoot { expected: expected.state_root, actual: actual.state_root });
    }
    if actual.delta != expected.delta {
        return Err(BlockFault::Delta);
    }
    let codes = |header: &BlockHeader| (header.quantized_codes.clone(), header.codebook_epoch);
    let ((actual, actual_epoch), (expected, expected_epoch)) = (codes(actual), codes(expected));
    if (&actual, actual_epoch) != (&expected, expected_epoch) {
        return Err(BlockFault::Codes { expected, expected_epoch, actual, actual_epoch });
    }
    Ok(())
}
