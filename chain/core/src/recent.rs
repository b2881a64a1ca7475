//! The deltas that callers supplied in the last blocks: what an open workspace may still clash with.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::OnceLock;

use tensor_kernels::{DeltaBatch, DeltaVector, KernelError};

use crate::block::Block;
use crate::changeset::Changeset;
use crate::ids::Height;

/// How many blocks a workspace may be behind the tip when it commits.
pub const BEGIN_WINDOW: u64 = 1_024;

/// Deltas after which a stretch is full.
const STRETCH: usize = 4_096;

/// Supplied deltas, oldest first, in stretches; blocks without any take no room.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentDeltas {
    stretches: VecDeque<Stretch>,
    /// No workspace can begin before this height any more.
    oldest: Height,
}

/// Deltas of consecutive blocks, each with the height of its own.
#[derive(Debug, Clone, Default)]
struct Stretch {
    deltas: Vec<(Height, DeltaVector)>,
    /// The same as a batch, once the full stretch has been compared: it is packed, and sent to a device, only once.
    packed: OnceLock<DeltaBatch>,
}

impl RecentDeltas {
    /// Takes note of a block at the tip and forgets what no workspace can begin before any more.
    pub(crate) fn push(&mut self, block: &Block) {
        let height = block.header.height;
        self.oldest = Height(height.0.saturating_sub(BEGIN_WINDOW));
        while self.stretches.front().is_some_and(|stretch| stretch.after(self.oldest).is_empty()) {
            self.stretches.pop_front();
        }
        let supplied = block.changesets.iter().filter_map(Changeset::supplied_delta);
        let mut supplied = supplied.map(|delta| (height, delta.clone())).peekable();
        if supplied.peek().is_some() {
            match self.stretches.back_mut().filter(|stretch| !stretch.is_full()) {
                Some(stretch) => stretch.deltas.extend(supplied),
                None => {
                    self.stretches.push_back(Stretch { deltas: supplied.collect(), ..Stretch::default() })
                }
            }
        }
    }

    /// Deltas of all blocks above `begin`, oldest first.
    pub(crate) fn since(&self, begin: Height) -> impl DoubleEndedIterator<Item = Portion<'_>> {
        let begin = begin.max(self.oldest);
        let portion = move |stretch| Portion { stretch, deltas: Stretch::after(stretch, begin) };
        self.stretches.iter().map(portion).filter(|portion| !portion.deltas.is_empty())
    }
}

impl Stretch {
    fn is_full(&self) -> bool {
        self.deltas.len() >= STRETCH
    }

    /// Those of blocks above a height.
    fn after(&self, height: Height) -> &[(Height, DeltaVector)] {
        &self.deltas[self.deltas.partition_point(|(own, _)| *own <= height)..]
    }
}

/// A stretch, or its end.
pub(crate) struct Portion<'r> {
    stretch: &'r Stretch,
    pub(crate) deltas: &'r [(Height, DeltaVector)],
}

impl<'r> Portion<'r> {
    /// The deltas as a batch.
    ///
    /// # Errors
    /// None for the dimension of the chain, which every block was judged by.
    pub(crate) fn packed(&self, dim: u32) -> Result<Cow<'r, DeltaBatch>, KernelError> {
        let Stretch { deltas, packed } = self.stretch;
        let pack = || DeltaBatch::pack(dim, self.deltas.iter().map(|(_, delta)| delta));
        match packed.get() {
            _ if self.deltas.len() < deltas.len() || !self.stretch.is_full() => pack().map(Cow::Owned),
            Some(packed) => Ok(Cow::Borrowed(packed)),
            None => {
                let batch = pack()?;
                Ok(Cow::Borrowed(packed.get_or_init(|| batch)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Stamp;
    use crate::genesis::ChainParams;
    use crate::identity::Identity;
    use crate::ids::ChainId;
    use crate::transaction::Transaction;
    use tensor_kernels::Thresholds;

    fn block_of(height: u64, deltas: impl IntoIterator<Item = DeltaVector>) -> Block {
        let params = ChainParams {
            chain_id: ChainId::default(),
            embedding_dim: 4.try_into().unwrap(),
            thresholds: Thresholds::default(),
        };
        let mut block = params.genesis(Stamp::sign(&Identity::from_bytes(&[1; 32]), params.chain_id, 0, &[]));
        block.header.height = Height(height);
        let delete = Transaction::Delete { key: "k".to_owned() };
        let changeset = |delta| Changeset::new(None, [].into(), vec![delete.clone()], Some(delta)).unwrap();
        block.changesets = deltas.into_iter().map(changeset).collect();
        block
    }

    #[test]
    fn what_no_workspace_can_have_begun_before_is_forgotten() {
        let mut recent = RecentDeltas::default();
        for height in 1..=2_000 {
            // Every second block has a supplied delta.
            recent.push(&block_of(height, (height % 2 == 0).then(|| DeltaVector::zero(4))));
        }
        let heights = |begin| {
            let portions = recent.since(Height(begin));
            portions.flat_map(|portion| portion.deltas).map(|(height, _)| height.0).collect::<Vec<_>>()
        };
        assert_eq!(heights(1_994), [1_996, 1_998, 2_000]);
        assert_eq!(heights(2_000), [0; 0]);
        // The oldest workspace that may commit began at 976 and can clash with whatever came after.
        assert_eq!(heights(2_000 - BEGIN_WINDOW).first(), Some(&978));
        assert_eq!(heights(0).first(), Some(&978));
    }
    #[test]
    fn full_stretches_are_packed_once_and_their_ends_anew() {
        let mut recent = RecentDeltas::default();
        let deltas = |count: usize| vec![DeltaVector::zero(4); count];
        for (height, count) in [(1, 4_000), (2, 200), (3, 5)] {
            recent.push(&block_of(height, deltas(count)));
        }
        let portions = |begin| recent.since(Height(begin)).collect::<Vec<_>>();
        let rows = |begin| {
            portions(begin).iter().map(|portion| portion.packed(4).unwrap().rows()).collect::<Vec<_>>()
        };
        assert_eq!((rows(0), rows(1), rows(2), rows(3)), (vec![4_200, 5], vec![200, 5], vec![5], vec![]));
        let is_kept = |portion: &Portion<'_>| matches!(portion.packed(4), Ok(Cow::Borrowed(_)));
        assert_eq!(portions(0).iter().map(is_kept).collect::<Vec<_>>(), [true, false]);
        assert_eq!(portions(1).iter().map(is_kept).collect::<Vec<_>>(), [false, false]);
    }
}
