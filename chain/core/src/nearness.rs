//! How near an earlier state lies to that of the tip, by the direction of what was committed lately. No verdict.

use tensor_kernels::DeltaSum;

use crate::chain::TensorChain;
use crate::error::ChainError;
use crate::ids::Height;

/// Supplied deltas that are looked back on: no block is judged meanwhile.
const LATEST: usize = 1_024;

impl TensorChain {
    /// How near the state at a height lies to that at the tip, in 0..=1: (cos + 1) / 2 of the angle between the sums of
    /// the latest deltas that callers supplied, up to that height and up to the tip. 0.5 where one of the sums is zero.
    ///
    /// # Errors
    /// A chain that is not initialized.
    pub fn nearness(&self, height: Height) -> Result<f64, ChainError> {
        let ledger = self.ledger()?;
        let dim = ledger.embedding_dim();
        let (there, here) = {
            let head = ledger.lock_head();
            let portions = head.recent.since(Height::GENESIS).rev();
            let latest = portions.flat_map(|portion| portion.deltas.iter().rev()).take(LATEST);
            let latest: Vec<_> = latest.collect();
            let up_to = |height| latest.iter().filter(move |(at, _)| *at <= height).map(|(_, delta)| delta);
            (DeltaSum::of(dim, up_to(height))?, DeltaSum::of(dim, up_to(head.tip.height))?)
        };
        Ok((there.to_sparse()?.cosine_similarity(&here.to_sparse()?)? + 1.0) / 2.0)
    }
}
