//! Drift: how much of each block's delta its codebook entry misses, and whether that grows.
//!
//! For a block with delta x ≠ 0 and nearest entry c, e = ‖x − s·c‖ / ‖x‖. A codebook that looks up by distance is
//! held to its entries' lengths (s = 1); one that looks up by cosine knows directions only, so there s·c is the
//! multiple of c nearest to x, and e is the sine of the angle between the two.

use std::collections::BTreeMap;

use crate::block::Block;
use crate::chain::TensorChain;
use crate::codebook::GlobalCodebook;
use crate::codes::{self, CODEBOOK_KEY, Vocabulary};
use crate::error::ChainError;
use crate::ids::Height;

/// What the codebook misses of one block's delta.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockDrift {
    /// The block.
    pub height: Height,
    /// e, relative to the length of the delta.
    pub error: f64,
}

/// Drift over a range of blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Every block of the range that has a delta and a code, ascending.
    pub blocks: Vec<BlockDrift>,
    /// Sum of their errors.
    pub total: f64,
    /// Mean error; 0 without blocks.
    pub mean: f64,
    /// Greatest error; 0 without blocks.
    pub max: f64,
    /// Slope of the least-squares line of the error over the height: growth of the error per block.
    pub slope: f64,
}

impl TensorChain {
    /// Drift of the blocks from `start` to `end`, both included, by the codes in their headers: of none where `start`
    /// is above `end`. Blocks from before there was a codebook have no codes and are left out.
    ///
    /// # Errors
    /// [`BlockNotFound`](ChainError::BlockNotFound) where either is above the tip; storage that cannot be read.
    pub fn drift(&self, start: Height, end: Height) -> Result<Drift, ChainError> {
        let mut epochs = BTreeMap::new();
        for (_, transaction) in self.history(CODEBOOK_KEY)? {
            let vocabulary = codes::read(&transaction).and_then(|book| Vocabulary::of(&book.ok()?).ok());
            epochs.extend(vocabulary.map(|vocabulary| (vocabulary.epoch(), vocabulary)));
        }
        self.drift_by(start, end, |block| {
            let code = block.header.quantized_codes.first().copied();
            Ok(epochs.get(&block.header.codebook_epoch).zip(code))
        })
    }

    /// As [`drift`](Self::drift), with codes of any codebook instead of those in the headers.
    ///
    /// # Errors
    /// As [`drift`](Self::drift); a codebook of another dimension or without an integer form.
    pub fn drift_from(
        &self,
        codebook: &GlobalCodebook,
        start: Height,
        end: Height,
    ) -> Result<Drift, ChainError> {
        let vocabulary = Vocabulary::of(codebook)?;
        let kernels = self.kernels()?;
        self.drift_by(start, end, |block| {
            Ok(vocabulary.quantize(kernels, &block.header.delta)?.map(|code| (&vocabulary, code)))
        })
    }

    fn drift_by<'v>(
        &self,
        start: Height,
        end: Height,
        code: impl Fn(&Block) -> Result<Option<(&'v Vocabulary, u16)>, ChainError>,
    ) -> Result<Drift, ChainError> {
        let tip = self.ledger()?.tip().height;
        if let Some(above) = [start, end].into_iter().find(|height| *height > tip) {
            return Err(ChainError::BlockNotFound(above));
        }
        let mut blocks = Vec::new();
        for height in (start.0..=end.0).map(Height) {
            let block = self.get_block(height)?.ok_or(ChainError::BlockNotFound(height))?;
            if let Some((vocabulary, code)) = code(&block)? {
                let error = vocabulary.error(code, &block.header.delta);
                blocks.extend(error.map(|error| BlockDrift { height, error }));
            }
        }
        Ok(Drift::of(blocks))
    }
}

impl Drift {
    /// Sums in ascending height.
    #[expect(clippy::cast_precision_loss, reason = "heights and counts far below 2^53")]
    fn of(blocks: Vec<BlockDrift>) -> Self {
        let count = blocks.len().max(1) as f64;
        let total = blocks.iter().fold(0.0, |total, block| total + block.error); // `sum` of nothing is -0
        let mean = total / count;
        let max = blocks.iter().map(|block| block.error).fold(0.0, f64::max);
        let mean_height = blocks.iter().map(|block| block.height.0 as f64).sum::<f64>() / count;
        let (mut covariance, mut variance) = (0.0, 0.0);
        for block in &blocks {
            let distance = block.height.0 as f64 - mean_height;
            covariance += distance * (block.error - mean);
            variance += distance * distance;
        }
        let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
        Self { blocks, total, mean, max, slope }
    }
}
