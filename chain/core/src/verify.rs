//! Verification: every block of a log against the one before it, and on request against a replay of the whole
//! chain from nothing.
//!
//! Reads the log alone. Nothing here writes, or trusts the index.

use std::ops::ControlFlow;
use std::path::Path;

use crate::block::Block;
use crate::block_check;
use crate::chain::TensorChain;
use crate::encoding::Decode;
use crate::error::ChainError;
use crate::genesis::ChainParams;
use crate::head::{Head, Rules, Tip};
use crate::ids::{BlockHash, Height};
use crate::index::{Index, MemoryIndex};
use crate::log::{Damage, LogError, LogReader, Tail};
use crate::replay::{self, ReplayError};
use crate::shared_kernels::shared_kernels;
use crate::store::{self, StoreError};

/// What is held against what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyDepth {
    /// Links, hashes, transaction roots, times and signatures.
    #[default]
    Links,
    /// All that, and every verdict, state root, delta sum and code, by applying all blocks to an empty state.
    Full,
}

/// What was verified, and found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Number of blocks.
    pub blocks: u64,
    /// Number of operations in them.
    pub transactions: u64,
    /// Height of the last block.
    pub height: Height,
    /// Hash of the last block: what to compare with a hash from elsewhere.
    pub tip_hash: BlockHash,
    /// Bytes behind the last block that a crash left there; the next open takes them away.
    pub torn_tail: Option<Tail>,
}

impl TensorChain {
    /// Verifies links, hashes, transaction roots, times and signatures of every block.
    ///
    /// # Errors
    /// The first block that is wrong, and what about it; a log that is damaged or cannot be read.
    pub fn verify(&self) -> Result<VerifyReport, ChainError> {
        self.verify_to(VerifyDepth::Links)
    }

    /// As [`verify`](Self::verify), and applies every block to an empty state in memory: every verdict, state
    /// root, delta sum and code must come out as the headers say.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_full(&self) -> Result<VerifyReport, ChainError> {
        self.verify_to(VerifyDepth::Full)
    }

    fn verify_to(&self, depth: VerifyDepth) -> Result<VerifyReport, ChainError> {
        let ledger = self.ledger()?;
        let tip = ledger.tip();
        let mut verifier = Verifier::new(ledger.rules().clone(), depth);
        for block in self.store().blocks().take_while(|block| !is_above(block, tip.height)) {
            verifier.push(&block?.1)?;
        }
        let report = verifier.finish(None)?;
        match report.tip_hash == tip.hash {
            true => Ok(report),
            false => Err(StoreError::OtherTip { expected: tip.hash, actual: report.tip_hash }.into()),
        }
    }
}

/// Blocks written after verification began are left out.
fn is_above(block: &Result<(u64, Block), StoreError>, tip: Height) -> bool {
    block.as_ref().is_ok_and(|(_, block)| block.header.height > tip)
}

/// Verifies the chain in a data directory without opening it: needs no lock, writes nothing.
///
/// # Errors
/// As [`TensorChain::verify`]; a log that is not as it was when the chain was closed.
pub fn verify_dir(dir: impl AsRef<Path>, depth: VerifyDepth) -> Result<VerifyReport, ChainError> {
    let log = LogReader::open_read_only(dir).map_err(StoreError::from)?;
    let params = ChainParams::from_bytes(log.params()).map_err(StoreError::Params)?;
    let mut verifier = Verifier::new(Rules::new(params, shared_kernels()?), depth);
    let mut frames = log.frames();
    let mut last_offset = log.start();
    for frame in &mut frames {
        let frame = frame.map_err(StoreError::from)?;
        last_offset = frame.offset;
        verifier.push(&store::decode(&frame)?)?;
    }
    let report = verifier.finish(frames.tail())?;
    match log.marker() {
        Some(marker) if marker.tip_hash != report.tip_hash => {
            let (file, height) = (log.path().to_owned(), Some(report.height));
            let corrupt = LogError::Corrupt { file, offset: last_offset, height, reason: Damage::Tip };
            Err(StoreError::from(corrupt).into())
        }
        _ => Ok(report),
    }
}

/// Visits the blocks of the chain in a data directory, in order, until `visit` breaks, without opening the chain:
/// needs no lock, writes nothing. A torn tail is left out.
///
/// # Errors
/// A log that is not there or is damaged; the blocks before the damage have been visited.
pub fn dump_dir(
    dir: impl AsRef<Path>,
    mut visit: impl FnMut(Block) -> ControlFlow<()>,
) -> Result<(), ChainError> {
    let log = LogReader::open_read_only(dir).map_err(StoreError::from)?;
    for frame in log.frames() {
        if visit(store::decode(&frame.map_err(StoreError::from)?)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Takes the blocks of a chain in order, from genesis on.
struct Verifier {
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
    fn new(rules: Rules, depth: VerifyDepth) -> Self {
        let replica = (depth == VerifyDepth::Full).then(Replica::default);
        Self { rules, tip: None, replica, transactions: 0 }
    }

    fn push(&mut self, block: &Block) -> Result<(), ChainError> {
        let height =
            self.tip.map_or(Some(Height::GENESIS), |tip| tip.height.next()).unwrap_or(block.header.height);
        let fault = |fault| ChainError::ValidationFailed { height, fault };
        block_check::check(block, self.tip.as_ref(), &self.rules.params).map_err(fault)?;
        let tip = Tip::of(block);
        if let Some(replica) = &mut self.replica {
            replica.push(&self.rules, block, tip).map_err(|error| match error {
                ReplayError::Fault(found) => fault(found),
                ReplayError::Failed(error) => error.into(),
            })?;
        }
        self.tip = Some(tip);
        self.transactions += block.transactions().count() as u64;
        Ok(())
    }

    fn finish(self, torn_tail: Option<Tail>) -> Result<VerifyReport, ChainError> {
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
                head.advance(block, tip);
            }
        }
        Ok(())
    }
}
