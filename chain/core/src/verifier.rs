//! Takes the blocks of a chain in order and holds each against the one before it.
//!
//! What can be said of a block by itself, its signature above all, is checked by all cores for many blocks at
//! once; what depends on the block before follows in order. The first fault is the same as if all were checked
//! one by one.

use std::thread;

use crate::block::Block;
use crate::block_check::{self, BlockFault};
use crate::error::ChainError;
use crate::genesis::ChainParams;
use crate::head::{Head, Rules, Tip};
use crate::ids::Height;
use crate::index::{Index, MemoryIndex};
use crate::log::Tail;
use crate::replay::{self, ReplayError};
use crate::store::StoreError;
use crate::verify::{VerifyDepth, VerifyReport};

/// Blocks that are checked at once.
const BLOCKS_AT_ONCE: usize = 256;
/// Bytes of changesets after which fewer blocks than that are enough.
const BYTES_AT_ONCE: usize = 16 << 20;

pub(crate) struct Verifier {
    rules: Rules,
    tip: Option<Tip>,
    replica: Option<Replica>,
    transactions: u64,
}

/// A second chain that is built while the first is verified.
#[derive(Default)]
struct Replica {
    index: MemoryIndex,
    head: Option<Head>,
}

impl Verifier {
    pub(crate) fn new(rules: Rules, depth: VerifyDepth) -> Self {
        let replica = (depth == VerifyDepth::Full).then(Replica::default);
        Self { rules, tip: None, replica, transactions: 0 }
    }

    /// Verifies blocks, the first of which follows the last one taken before.
    ///
    /// # Errors
    /// The first block that is wrong or cannot be read.
    pub(crate) fn take(
        &mut self,
        mut blocks: impl Iterator<Item = Result<Block, StoreError>>,
    ) -> Result<(), ChainError> {
        loop {
            let (chunk, end) = next_chunk(&mut blocks);
            let faults = check_contents(&chunk, &self.rules.params);
            for (block, fault) in chunk.iter().zip(faults) {
                self.push(block, fault)?;
            }
            match end {
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(())) => return Ok(()),
                None => {}
            }
        }
    }

    /// Verifies the next block, of which it is known what is wrong with its contents.
    fn push(&mut self, block: &Block, contents: Result<(), BlockFault>) -> Result<(), ChainError> {
        let next = self.tip.map_or(Some(Height::GENESIS), |tip| tip.height.next());
        let height = next.unwrap_or(block.header.height);
        let fault = |fault| ChainError::ValidationFailed { height, fault };
        block_check::check_place(block, self.tip.as_ref(), &self.rules.params).map_err(fault)?;
        contents.map_err(fault)?;
        let tip = Tip::of(block);
        if let Some(replica) = &mut self.replica {
            replica.push(&self.rules, block, tip).map_err(|error| error.at(height))?;
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

impl Replica {
    fn push(&mut self, rules: &Rules, block: &Block, tip: Tip) -> Result<(), ReplayError> {
        match &mut self.head {
            None => {
                replay::check_genesis(rules, block)?;
                self.head = Some(Head::genesis(block));
            }
            Some(head) => {
                let applied = replay::replay(rules, head, &self.index, block)?;
                self.index.write(applied.ops)?;
                head.advance(block, tip, applied.tree);
            }
        }
        Ok(())
    }
}

/// As many blocks as are checked at once, and how the blocks end where they do.
fn next_chunk(
    blocks: &mut impl Iterator<Item = Result<Block, StoreError>>,
) -> (Vec<Block>, Option<Result<(), StoreError>>) {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < BLOCKS_AT_ONCE && bytes < BYTES_AT_ONCE {
        match blocks.next() {
            Some(Ok(block)) => {
                bytes += block_check::changeset_bytes(&block);
                chunk.push(block);
            }
            Some(Err(error)) => return (chunk, Some(Err(error))),
            None => return (chunk, Some(Ok(()))),
        }
    }
    (chunk, None)
}

/// What is wrong with the contents of each block, in order.
fn check_contents(blocks: &[Block], params: &ChainParams) -> Vec<Result<(), BlockFault>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let each = blocks.len().div_ceil(threads).max(1);
    let check = |part: &[Block]| -> Vec<_> {
        part.iter().map(|block| block_check::check_contents(block, params)).collect()
    };
    thread::scope(|scope| {
        let parts: Vec<_> =
            blocks.chunks(each).map(|part| (part, scope.spawn(move || check(part)))).collect();
        // A thread that panicked, which none does, would have its part done again here.
        parts.into_iter().flat_map(|(part, thread)| thread.join().unwrap_or_else(|_| check(part))).collect()
    })
}
