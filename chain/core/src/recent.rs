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
