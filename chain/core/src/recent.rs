//! The deltas that callers supplied in the last blocks: what an open workspace may still clash with.

use std::collections::VecDeque;

use tensor_kernels::DeltaVector;

use crate::block::Block;
use crate::changeset::Changeset;
use crate::ids::Height;

/// How many blocks a workspace may be behind the tip when it commits.
pub const BEGIN_WINDOW: u64 = 1_024;

/// Supplied deltas by block, oldest first; blocks without any take no room.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecentDeltas {
    blocks: VecDeque<(Height, Vec<DeltaVector>)>,
}

impl RecentDeltas {
    /// Takes note of a block at the tip and forgets what no workspace can begin before any more.
    pub(crate) fn push(&mut self, block: &Block) {
        let height = block.header.height;
        let oldest = height.0.saturating_sub(BEGIN_WINDOW);
        while self.blocks.front().is_some_and(|(height, _)| height.0 <= oldest) {
            self.blocks.pop_front();
        }
        let supplied: Vec<_> =
            block.changesets.iter().filter_map(Changeset::supplied_delta).cloned().collect();
        if !supplied.is_empty() {
            self.blocks.push_back((height, supplied));
        }
    }

    /// Deltas of all blocks above `begin`, oldest first.
    pub(crate) fn since(&self, begin: Height) -> impl Iterator<Item = (Height, &DeltaVector)> {
        let start = self.blocks.partition_point(|(height, _)| *height <= begin);
        self.blocks.range(start..).flat_map(|(height, deltas)| deltas.iter().map(|delta| (*height, delta)))
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

    fn block(height: u64, delta: Option<DeltaVector>) -> Block {
        let params = ChainParams {
            chain_id: ChainId::default(),
            embedding_dim: 4.try_into().unwrap(),
            thresholds: Thresholds::default(),
        };
        let mut block = params.genesis(Stamp::sign(&Identity::from_bytes(&[1; 32]), params.chain_id, 0, &[]));
        block.header.height = Height(height);
        let delete = Transaction::Delete { key: "k".to_owned() };
        block.changesets = vec![Changeset::new(None, [].into(), vec![delete], delta).unwrap()];
        block
    }

    #[test]
    fn what_no_workspace_can_have_begun_before_is_forgotten() {
        let mut recent = RecentDeltas::default();
        for height in 1..=2_000 {
            // Every second block has a supplied delta.
            recent.push(&block(height, (height % 2 == 0).then(|| DeltaVector::zero(4))));
        }
        let heights = |begin| recent.since(Height(begin)).map(|(height, _)| height.0).collect::<Vec<_>>();
        assert_eq!(heights(1_994), [1_996, 1_998, 2_000]);
        assert_eq!(heights(2_000), [0; 0]);
        // The oldest workspace that may commit began at 976 and can clash with whatever came after.
        assert_eq!(heights(2_000 - BEGIN_WINDOW).first(), Some(&978));
        assert_eq!(heights(0).first(), Some(&978));
    }
}
