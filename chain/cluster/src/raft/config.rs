//! How a replica is run.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, ConfigError, SnapshotPolicy};
use tensor_chain::ChainConfig;

use super::network::INSTALL_TIMEOUT;
#[cfg(feature = "simulation")]
use super::simulation::{Planted, Simulated};

const CHECKPOINT_EVERY: NonZeroU64 = NonZeroU64::new(1_000).unwrap();

/// How a replica is run.
#[derive(Debug, Clone)]
pub struct ReplicaConfig {
    /// The directory of its data.
    pub dir: PathBuf,
    /// How the chain is run, and with what parameters it begins where this node begins it.
    pub chain: ChainConfig,
    /// When it takes others for dead.
    pub timing: Timing,
    /// Log entries after which a snapshot is made. Default 10,000.
    pub snapshot_every: u64,
    /// Log entries below a snapshot that are kept for followers that lag. Default 1,000.
    pub keep_entries: u64,
    /// Every node votes on the blocks at the heights that this divides; those that a quorum signs are final. Nodes that
    /// are run with different values have fewer in common. Default 1,000.
    pub checkpoint_every: NonZeroU64,
    /// From how full a disk on writes are refused, in percent of it. Default 95.
    pub disk_limit_percent: u8,
    /// How often a node looks at itself, and a leader at whether another voter should lead. A log is slow whose changes take
    /// half of this time to reach the disk. Default 1 s.
    pub look_every: Duration,
    /// How long a write may take before its outcome is called unknown. Default 10 s.
    pub write_timeout: Duration,
    /// How long a read may wait for a quorum. Default 5 s.
    pub read_timeout: Duration,
    /// What is replaced, and what is broken on purpose. Default: nothing.
    #[cfg(feature = "simulation")]
    pub simulated: Option<Simulated>,
}

impl ReplicaConfig {
    /// The defaults, for a replica in a directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, chain: ChainConfig) -> Self {
        Self {
            dir: dir.into(),
            chain,
            timing: Timing::default(),
            snapshot_every: 10_000,
            keep_entries: 1_000,
            checkpoint_every: CHECKPOINT_EVERY,
            disk_limit_percent: 95,
            look_every: Duration::from_secs(1),
            write_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(5),
            #[cfg(feature = "simulation")]
            simulated: None,
        }
    }

    pub(super) fn raft(&self) -> Result<Arc<Config>, ConfigError> {
        let Timing { election_min_ms, election_max_ms, heartbeat_ms } = self.timing;
        let config = Config {
            cluster_name: "tensor-chain".to_owned(),
            election_timeout_min: election_min_ms,
            election_timeout_max: election_max_ms,
            heartbeat_interval: heartbeat_ms,
            install_snapshot_timeout: INSTALL_TIMEOUT.as_millis() as u64, // an hour
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: self.keep_entries,
            // A leader that comes back must be elected anew: by its old vote alone it would answer reads without
            // knowing what had been committed before it went.
            enable_leader_restore: Some(false),
            // A node that was cut off asks before it raises its term, and so unseats nobody when it comes back.
            enable_pre_vote: Some(true),
            ..Config::default()
        };
        #[cfg(feature = "simulation")]
        let config = Config { enable_leader_restore: Some(self.planted(Planted::LeaderRestore)), ..config };
        config.validate().map(Arc::new)
    }
}

/// When a node takes the leader for dead, and how often the leader says that it is not. Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The least that a follower waits for the leader.
    pub election_min_ms: u64,
    /// The most that it waits; how long is drawn anew each time, so that two seldom stand at once.
    pub election_max_ms: u64,
    /// How often the leader lets itself be heard.
    pub heartbeat_ms: u64,
}

impl Default for Timing {
    /// 250 to 500, every 50.
    fn default() -> Self {
        Self { election_min_ms: 250, election_max_ms: 500, heartbeat_ms: 50 }
    }
}

impl Timing {
    /// For nodes of one room: 150 to 300, every 50.
    #[must_use]
    pub const fn lan() -> Self {
        Self { election_min_ms: 150, election_max_ms: 300, heartbeat_ms: 50 }
    }

    /// How long a node may be silent before it is not counted on.
    pub(super) const fn patience(&self) -> Duration {
        Duration::from_millis(self.election_max_ms.saturating_mul(2))
    }

    /// For nodes far apart: 1,500 to 3,000, every 500.
    #[must_use]
    pub const fn wan() -> Self {
        Self { election_min_ms: 1_500, election_max_ms: 3_000, heartbeat_ms: 500 }
    }
}
