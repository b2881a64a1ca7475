//! How a chain is made and run.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tensor_kernels::{Decimal, KernelError, Kernels, Thresholds, ThresholdsBuilder};

use crate::changeset::MAX_BLOCK_TRANSACTIONS;
use crate::encoder::DEFAULT_EMBEDDING_DIM;
use crate::ids::{ChainId, NodeId};

/// How a chain is made and run. Fields left out have their defaults.
///
/// ```
/// use tensor_chain::{AutoMergeConfig, ChainConfig};
/// let config = ChainConfig {
///     auto_merge: AutoMergeConfig { max_merge_batch: 10, ..AutoMergeConfig::default() },
///     ..ChainConfig::new("node1")
/// };
/// assert_eq!(config.max_txs_per_block, 1_000);
/// ```
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// What this node is called in its logs; its identity is the key that is kept with the data.
    pub node_name: String,
    /// The node that the key must belong to. Default: any.
    pub node_id: Option<NodeId>,
    /// Most operations of a block, 1 to [`MAX_BLOCK_TRANSACTIONS`]. Default 1,000.
    pub max_txs_per_block: usize,
    /// How commits that arrive together share a block.
    pub auto_merge: AutoMergeConfig,
    /// Where timestamps come from. Default: the system's clock.
    pub clock: Arc<dyn Clock>,
    /// Kernels to compute with. Default: the fastest of this machine.
    pub kernels: Option<Kernels>,

    /// Tells a new chain from every other. Default: drawn at random. This and the fields below are written
    /// into the genesis of a new chain; a chain that exists keeps its own.
    pub chain_id: Option<ChainId>,
    /// Components of every delta, at most 65,536. Default 128.
    pub embedding_dim: NonZeroU32,
    /// |cosine| at or above which two supplied deltas conflict. Default 0.7.
    pub conflict_threshold: Decimal,
    /// Jaccard index of their positions at or above which two supplied deltas conflict. Default 0.5.
    pub structural_threshold: Decimal,
}

impl Default for ChainConfig {
    fn default() -> Self {
        let ThresholdsBuilder { conflict, structural, .. } = ThresholdsBuilder::default();
        Self {
            node_name: String::new(),
            node_id: None,
            max_txs_per_block: MAX_BLOCK_TRANSACTIONS,
            auto_merge: AutoMergeConfig::default(),
            clock: Arc::new(SystemClock),
            kernels: None,
            chain_id: None,
            embedding_dim: DEFAULT_EMBEDDING_DIM,
            conflict_threshold: conflict,
            structural_threshold: structural,
        }
    }
}

impl ChainConfig {
    /// The defaults, for a node of this name.
    #[must_use]
    pub fn new(node_name: impl Into<String>) -> Self {
        Self { node_name: node_name.into(), ..Self::default() }
    }

    /// The thresholds of a new chain. Those that are not configured tell apart deltas on equal keys, which
    /// never come to be compared: the key rules decide about them first.
    ///
    /// # Errors
    /// Thresholds out of order.
    pub fn thresholds(&self) -> Result<Thresholds, KernelError> {
        ThresholdsBuilder {
            orthogonal: self.auto_merge.orthogonal_threshold,
            conflict: self.conflict_threshold,
            structural: self.structural_threshold,
            ..ThresholdsBuilder::default()
        }
        .build()
    }
}

/// How commits that arrive together share a block. Only commits that have been asked for are ever merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoMergeConfig {
    /// Whether they share blocks at all. Default true.
    pub enabled: bool,
    /// |cosine| below which two deltas are orthogonal; written into the genesis of a new chain. Default 0.1.
    pub orthogonal_threshold: Decimal,
    /// Most commits that share a block. Default 1,000.
    pub max_merge_batch: usize,
    /// How long a commit waits for others to join it. Default 0: it goes at once, and those that arrive while
    /// it is being written share the next block.
    pub merge_window_ms: u64,
}

impl Default for AutoMergeConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            orthogonal_threshold: ThresholdsBuilder::default().orthogonal,
            max_merge_batch: MAX_BLOCK_TRANSACTIONS,
            merge_window_ms: 0,
        }
    }
}

impl AutoMergeConfig {
    /// Every commit has a block of its own.
    #[must_use]
    pub fn disabled() -> Self {
        Self { enabled: false, ..Self::default() }
    }

    /// With at most this many commits a block.
    #[must_use]
    pub fn with_max_batch(self, max_merge_batch: usize) -> Self {
        Self { max_merge_batch, ..self }
    }

    /// With a wait for others to join.
    #[must_use]
    pub fn with_window(self, merge_window_ms: u64) -> Self {
        Self { merge_window_ms, ..self }
    }
}

/// Where timestamps come from.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> u64;
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A clock before 1970 or after the year 584,000,000 counts as 1970: blocks never go back in time anyway.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or_default()
    }
}
