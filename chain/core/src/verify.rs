//! Verification: every block of a log against the one before it, and on request against a replay of the whole
//! chain from nothing.
//!
//! Reads the log alone. Nothing here writes, or trusts the index.

use std::ops::ControlFlow;
use std::path::Path;

use tensor_kernels::Kernels;

use crate::block::Block;
use crate::chain::TensorChain;
use crate::encoding::Decode;
use crate::error::ChainError;
use crate::genesis::ChainParams;
use crate::head::Rules;
use crate::ids::{BlockHash, Height};
use crate::log::{Damage, LogError, LogReader, Tail};
use crate::shared_kernels::shared_kernels;
use crate::store::{self, StoreError};
use crate::verifier::Verifier;

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
        let mut verifier = Verifier::new(ledger.rules().clone(), depth, self.store().state()?.blocks);
        let blocks = self.store().blocks().take_while(|block| !is_above(block, tip.height));
        verifier.take(blocks)?;
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
    verify_dir_with(dir, depth, shared_kernels()?)
}

/// As [`verify_dir`], on particular kernels. Which kernels never changes the outcome.
///
/// # Errors
/// As [`verify_dir`].
pub fn verify_dir_with(
    dir: impl AsRef<Path>,
    depth: VerifyDepth,
    kernels: Kernels,
) -> Result<VerifyReport, ChainError> {
    let log = LogReader::open_read_only(dir).map_err(StoreError::from)?;
    let params = ChainParams::from_bytes(log.params()).map_err(StoreError::Params)?;
    let mut verifier = Verifier::new(Rules::new(params, kernels), depth, &log);
    let mut frames = log.frames();
    let mut last_offset = log.start();
    verifier.take((&mut frames).map(|frame| {
        let frame = frame?;
        last_offset = frame.offset;
        Ok((frame.offset, store::decode(&frame)?))
    }))?;
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
