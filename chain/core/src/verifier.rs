//! Takes the blocks of a chain in order and holds each against the one before it.
//!
//! What can be said of a block by itself, its signature above all, is checked by all cores for many blocks at
//! once; what depends on the block before follows in order. The first fault is the same as if all were checked
//! one by one.

use std::thread;

use crate::block::Block;
use crate::block_check::{self, BlockFault};
use crate::block_places;
use crate::error::ChainError;
use crate::genesis::ChainParams;
use crate::head::{Head, Rules, Tip};
use crate::ids::Height;
use crate::index::{Index, MemoryIndex};
use crate::log::{BlockBytes, Tail};
use crate::replay::{self, ReplayError};
use crate::state::State;
use crate::store::StoreError;
use crate::verify::{VerifyDepth, VerifyReport};

/// Blocks that are checked at once.
const BLOCKS_AT_ONCE: usize = 256;
/// Bytes of changesets after which fewer blocks than that are enough.
const BYTES_AT_ONCE: usize = 16 << 20;

pub(crate) struct Verifier<'l> {
    rules: Rules,
    tip: Option<Tip>,
    replica: Option<Replica<'l>>,
    transactions: u64,
}

/// A second chain that is built while the first is verified, over the same log.
struct Replica<'l> {
    index: MemoryIndex,
    blocks: &'l dyn BlockBytes,
    head: Option<Head>,
}

/// A block, and where it is in the log.
pub(crate) type Placed = (u64, Block);

impl<'l> Verifier<'l> {
    /// Verifies the chain whose blocks are in `blocks`.
    pub(crate) fn new(rules: Rules, depth: VerifyDepth, blocks: &'l dyn BlockBytes) -> Self {
        let replica = || Replica { index: MemoryIndex::new(), blocks, head: None };
        let replica = (depth == VerifyDepth::Full).then(replica);
        Self { rules, tip: None, replica, transactions: 0 }
    }

    /// Verifies blocks, the first of which follows the last one taken before.
    ///
    /// # Errors
    /// The first block that is wrong or cannot be read.
    pub(crate) fn take(
        &mut self,
        mut blocks: impl Iterator<Item = Result<Placed, StoreError>>,
    ) -> Result<(), ChainError> {
        loop {
            let (chunk, end) = next_chunk(&mut blocks);
            let faults = check_contents(&chunk, &self.rules.params);
            for ((offset, block), fault) in chunk.iter().zip(faults) {
                self.push(block, *offset, fault)?;
            }
            match end {
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(())) => return Ok(()),
                None => {}
            }
        }
    }

    /// Verifies the next block, of which it is known what is wrong with its contents.
    fn push(
        &mut self,
        block: &Block,
        offset: u64,
        contents: Result<(), BlockFault>,
    ) -> Result<(), ChainError> {
        let next = self.tip.map_or(Some(Height::GENESIS), |tip| tip.height.next());
        let height = next.unwrap_or(block.header.height);
        let fault = |fault| ChainError::ValidationFailed { height, fault };
        block_check::check_place(block, self.tip.as_ref(), &self.rules.params).map_err(fault)?;
        contents.map_err(fault)?;
        let tip = Tip::of(block);
        if let Some(replica) = &mut self.replica {
            replica.push(&self.rules, block, offset, tip).map_err(|error| error.at(height))?;
        }
        self.tip = Some(tip);
        self.transactions += block.transactions().count() as u64;
        Ok(())
    }

    pub(crate) fn finish(self, torn_tail: Option<Tail>) -> Result<VerifyReport, ChainError> {
        let tip = self.tip.ok_or(ChainError::EmptyChain)?;
        Ok(VerifyReport {
            blocks: tip.height.0.saturating_add(1),
            transactions: self.transactions,
            height: tip.height,
            tip_hash: tip.hash,
            torn_tail,
        })
    }
}

impl Replica<'_> {
    fn push(&mut self, rules: &Rules, block: &Block, offset: u64, tip: Tip) -> Result<(), ReplayError> {
        self.index.write(vec![block_places::put(tip.height, offset)])?;
        match &mut self.head {
            None => {
                replay::check_genesis(rules, block)?;
                self.head = Some(Head::genesis(block));
            }
            Some(head) => {
                let applied =
                    replay::replay(rules, head, State { index: &self.index, blocks: self.blocks }, block)?;
                self.index.write(applied.ops)?;
                head.advance(block, tip, applied.tree);
            }
        }
        Ok(())
    }
}

/// As many blocks as are checked at once, and how the blocks end where they do.
fn next_chunk(
    blocks: &mut impl Iterator<Item = Result<Placed, StoreError>>,
) -> (Vec<Placed>, Option<Result<(), StoreError>>) {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < BLOCKS_AT_ONCE && bytes < BYTES_AT_ONCE {
        match blocks.next() {
            Some(Ok(placed)) => {
                bytes += placed.1.changeset_bytes();
                chunk.push(placed);
            }
            Some(Err(error)) => return (chunk, Some(Err(error))),
            None => return (chunk, Some(Ok(()))),
        }
    }
    (chunk, None)
}

/// What is wrong with the contents of each block, in order.
fn check_contents(blocks: &[Placed], params: &ChainParams) -> Vec<Result<(), BlockFault>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let each = blocks.len().div_ceil(threads).max(1);
    let check = |part: &[Placed]| -> Vec<_> {
        part.iter().map(|(_, block)| block_check::check_contents(block, params)).collect()
    };
    thread::scope(|scope| {
        let parts: Vec<_> =
            blocks.chunks(each).map(|part| (part, scope.spawn(move || check(part)))).collect();
        // A thread that panicked, which none does, would have its part done again here.
        parts.into_iter().flat_map(|(part, thread)| thread.join().unwrap_or_else(|_| check(part))).collect()
    })
}
