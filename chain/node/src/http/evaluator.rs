//! What makes a node healthy: values that are watched, and the bands they lie in.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tensor_client::wire::{Band, Check, Health};
use tensor_cluster::api::{ReplicaStatistics, ReplicaStatus};
use tensor_cluster::histogram::Distribution;
use tensor_kernels::Fallback;

use super::metrics::Fallbacks;

/// A member that has not answered the leader for so long is called silent: longer than any election takes.
pub(crate) const SILENT: Duration = Duration::from_secs(5);
/// How long slow writes are held against a node, at least.
const MEMORY: Duration = Duration::from_secs(60);

/// A value that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    QuorumMissing,
    ReplicationQueueDepth,
    QuorumAcked,
    MembersSilent,
    FollowerLag,
    CommitP99,
    LogSyncP99,
    WriteQueue,
    EntriesSinceSnapshot,
    WalSize,
    HttpConnections,
    KernelFaults,
}

/// In order of importance.
const MEASURES: [Measure; 12] = [
    Measure::QuorumMissing,
    Measure::ReplicationQueueDepth,
    Measure::QuorumAcked,
    Measure::MembersSilent,
    Measure::FollowerLag,
    Measure::CommitP99,
    Measure::LogSyncP99,
    Measure::WriteQueue,
    Measure::EntriesSinceSnapshot,
    Measure::WalSize,
    Measure::HttpConnections,
    Measure::KernelFaults,
];

/// What is known of a node when it is judged.
#[derive(Debug)]
pub(super) struct Seen<'s> {
    pub(super) status: &'s ReplicaStatus,
    pub(super) statistics: &'s ReplicaStatistics,
    /// Seconds that commits took lately.
    pub(super) commits: Distribution,
    /// Seconds that changes of the log took lately to reach the disk.
    pub(super) log_sync: Distribution,
    /// Share of the connections that may be open.
    pub(super) connections: f64,
    pub(super) fallbacks: &'s Fallbacks,
}

impl Measure {
    const fn name(self) -> &'static str {
        match self {
            Self::QuorumMissing => "quorum_missing",
            Self::ReplicationQueueDepth => "replication_queue_depth",
            Self::QuorumAcked => "quorum_acked_seconds",
            Self::MembersSilent => "members_silent",
            Self::FollowerLag => "follower_lag_entries",
            Self::CommitP99 => "commit_p99_seconds",
            Self::LogSyncP99 => "log_sync_p99_seconds",
            Self::WriteQueue => "write_queue_ratio",
            Self::EntriesSinceSnapshot => "entries_since_snapshot",
            Self::WalSize => "wal_size_bytes",
            Self::HttpConnections => "http_connections_ratio",
            Self::KernelFaults => "kernel_faults",
        }
    }

    const fn says(self) -> &'static str {
        match self {
            Self::QuorumMissing => "this node knows no leader",
            Self::ReplicationQueueDepth => "entries that are committed and not applied here",
            Self::QuorumAcked => "since a quorum confirmed that this node leads",
            Self::MembersSilent => "members that have not answered the leader for 5 s",
            Self::FollowerLag => "entries that a member is not known to have",
            Self::CommitP99 => "time in which 99 % of the latest writes were done",
            Self::LogSyncP99 => "time in which 99 % of the latest changes of the log were on disk",
            Self::WriteQueue => "share of the room for waiting writes that is taken",
            Self::EntriesSinceSnapshot => "entries to be applied again after a restart",
            Self::WalSize => "bytes of the log's files",
            Self::HttpConnections => "share of the connections that may be open",
            Self::KernelFaults => "times that a fault of the device made the CPU compute",
        }
    }

    /// Where the bands begin, unless the configuration says otherwise.
    const fn bounds(self) -> Bounds {
        let (warning, critical) = match self {
            Self::QuorumMissing => (1.0, 1.0),
            Self::ReplicationQueueDepth => (1_000.0, 100_000.0),
            Self::QuorumAcked => (5.0, 15.0),
            Self::MembersSilent | Self::KernelFaults => (1.0, f64::INFINITY),
            Self::FollowerLag => (10_000.0, f64::INFINITY),
            Self::CommitP99 => (1.0, 10.0),
            Self::LogSyncP99 => (0.5, 5.0),
            Self::WriteQueue => (0.5, 0.99),
            Self::EntriesSinceSnapshot => (100_000.0, f64::INFINITY),
            Self::WalSize => (8_589_934_592.0, f64::INFINITY), // 8 GiB
            Self::HttpConnections => (0.8, 1.0),
        };
        Bounds { warning, critical }
    }

    /// The value; `None` where there is none at the moment.
    fn value(self, seen: &Seen<'_>) -> Option<f64> {
        let Seen { status, statistics, .. } = seen;
        let followers = &statistics.followers;
        let behind = |from: Option<u64>, to: Option<u64>| to.unwrap_or(0).saturating_sub(from.unwrap_or(0));
        match self {
            Self::QuorumMissing => Some(f64::from(u8::from(status.leader.is_none()))),
            Self::ReplicationQueueDepth => Some(behind(status.applied, status.committed) as f64),
            // A cluster of one asks nobody.
            Self::QuorumAcked if followers.is_empty() => None,
            Self::QuorumAcked => statistics.quorum_acked.map(|acked| acked.as_secs_f64()),
            Self::MembersSilent => {
                let silent = |last: Option<Duration>| last.is_none_or(|last| last > SILENT);
                Some(followers.iter().filter(|follower| silent(follower.last_contact)).count() as f64)
            }
            Self::FollowerLag => followers.iter().map(|follower| follower.lag as f64).reduce(f64::max),
            Self::CommitP99 => seen.commits.quantile(0.99),
            Self::LogSyncP99 => seen.log_sync.quantile(0.99),
            Self::WriteQueue => Some(statistics.write_room_used),
            Self::EntriesSinceSnapshot => Some(behind(statistics.snapshot, status.last_log) as f64),
            Self::WalSize => Some(statistics.log_bytes as f64),
            Self::HttpConnections => Some(seen.connections),
            Self::KernelFaults => Some(faults(seen.fallbacks) as f64),
        }
    }
}

/// How often the CPU computed because something went wrong, not because it was the better choice.
fn faults(fallbacks: &Fallbacks) -> u64 {
    let chosen = |reason: &Fallback| {
        use Fallback::{Absent, NoVersion, NotReady, Slower, TooFew, TooWide};
        matches!(reason, NoVersion | TooWide | TooFew | Slower | NotReady | Absent)
    };
    let faults = fallbacks.iter().filter(|((_, reason), _)| reason.as_ref().is_some_and(|r| !chosen(r)));
    faults.map(|(_, count)| count).sum()
}

/// Where the two worse bands of a value begin.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bounds {
    warning: f64,
    critical: f64,
}

impl Bounds {
    /// A value at a bound is in the worse band.
    fn band(self, value: f64) -> Band {
        match value {
            value if value >= self.critical => Band::Critical,
            value if value >= self.warning => Band::Warning,
            _ => Band::Healthy,
        }
    }
}

/// What makes a node healthy, as the operator wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthLimits([Bounds; MEASURES.len()]);

impl Default for HealthLimits {
    fn default() -> Self {
        Self(MEASURES.map(Measure::bounds))
    }
}

impl FromStr for HealthLimits {
    /// What is wrong.
    type Err = String;

    /// Reads `NAME=WARNING:CRITICAL`, several with commas; `never` is a bound that nothing reaches.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("{part:?} is not NAME=WARNING:CRITICAL");
            let (name, bounds) = part.split_once('=').ok_or_else(wrong)?;
            let (warning, critical) = bounds.split_once(':').ok_or_else(wrong)?;
            let bound = |text: &str| match text {
                "never" => Ok(f64::INFINITY),
                text => text.parse().ok().filter(|bound| *bound >= 0.0).ok_or_else(wrong),
            };
            let place = MEASURES.iter().position(|measure| measure.name() == name);
            let unknown =
                || format!("no value {name:?}: there are {}", MEASURES.map(Measure::name).join(", "));
            let place = limits.0.get_mut(place.ok_or_else(unknown)?).ok_or_else(wrong)?;
            *place = Bounds { warning: bound(warning)?, critical: bound(critical)? };
            if place.warning > place.critical {
                return Err(format!("{part:?}: the warning comes after the worst"));
            }
        }
        Ok(limits)
    }
}

impl HealthLimits {
    /// The checks, and the worst of them.
    pub(super) fn evaluate(&self, seen: &Seen<'_>) -> Health {
        let check = |(measure, bounds): (Measure, Bounds)| {
            let value = measure.value(seen)?;
            Some(Check {
                name: measure.name().to_owned(),
                what: measure.says().to_owned(),
                value,
                band: bounds.band(value),
                warning: Some(bounds.warning).filter(|bound| bound.is_finite()),
                critical: Some(bounds.critical).filter(|bound| bound.is_finite()),
            })
        };
        let checks: Vec<_> = MEASURES.into_iter().zip(self.0).filter_map(check).collect();
        let status = checks.iter().map(|check| check.band).max().unwrap_or(Band::Healthy);
        Health { status, checks }
    }
}

/// Tells what happened lately from what has happened since the start.
#[derive(Debug)]
pub(super) struct Lately(Mutex<[(Instant, Distribution); 2]>);

impl Lately {
    pub(super) fn new() -> Self {
        let nothing = || (Instant::now(), Distribution::default());
        Self(Mutex::new([nothing(), nothing()]))
    }

    /// What was counted in the last minute at least, and since the question before the last at most.
    pub(super) fn of(&self, all: Distribution) -> Distribution {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [older, newer] = &mut *marks;
        if newer.0.elapsed() >= MEMORY {
            *older = std::mem::replace(newer, (Instant::now(), all.clone()));
        }
        all.since(&older.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each value, and the band it is in, with the bounds that are the default.
    #[test]
    fn a_value_at_its_bound_is_in_the_worse_band() {
        use Band::{Critical, Healthy, Warning};
        let table: [(Measure, &[(f64, Band)]); 12] = [
            (Measure::QuorumMissing, &[(0.0, Healthy), (1.0, Critical)]),
            (
                Measure::ReplicationQueueDepth,
                &[(999.0, Healthy), (1_000.0, Warning), (99_999.0, Warning), (100_000.0, Critical)],
            ),
            (Measure::QuorumAcked, &[(4.9, Healthy), (5.0, Warning), (15.0, Critical)]),
            (Measure::MembersSilent, &[(0.0, Healthy), (1.0, Warning), (9.0, Warning)]),
            (Measure::FollowerLag, &[(9_999.0, Healthy), (10_000.0, Warning), (1e9, Warning)]),
            (Measure::CommitP99, &[(0.9, Healthy), (1.0, Warning), (10.0, Critical)]),
            (Measure::LogSyncP99, &[(0.4, Healthy), (0.5, Warning), (5.0, Critical)]),
            (Measure::WriteQueue, &[(0.4, Healthy), (0.5, Warning), (1.0, Critical)]),
            (Measure::EntriesSinceSnapshot, &[(99_999.0, Healthy), (1e5, Warning), (1e9, Warning)]),
            (Measure::WalSize, &[(1e9, Healthy), (8_589_934_592.0, Warning), (1e15, Warning)]),
            (Measure::HttpConnections, &[(0.7, Healthy), (0.8, Warning), (1.0, Critical)]),
            (Measure::KernelFaults, &[(0.0, Healthy), (1.0, Warning)]),
        ];
        for ((measure, cases), expected) in table.iter().zip(MEASURES) {
            assert_eq!(*measure, expected, "each measure has its line");
            for &(value, band) in *cases {
                assert_eq!(measure.bounds().band(value), band, "{} = {value}", measure.name());
            }
        }
    }

    #[test]
    fn bounds_are_read_and_wrong_ones_are_named() {
        let limits: HealthLimits = "members_silent=2:3, wal_size_bytes=never:never".parse().unwrap();
        assert_eq!(limits.0[3], Bounds { warning: 2.0, critical: 3.0 });
        assert_eq!(limits.0[9], Bounds { warning: f64::INFINITY, critical: f64::INFINITY });
        assert_eq!(limits.0[0], Measure::QuorumMissing.bounds());
        assert_eq!("".parse(), Ok(HealthLimits::default()));
        for (wrong, says) in [
            ("members_silent", "is not NAME=WARNING:CRITICAL"),
            ("members_silent=1", "is not NAME=WARNING:CRITICAL"),
            ("members_silent=-1:2", "is not NAME=WARNING:CRITICAL"),
            ("members_silent=NaN:2", "is not NAME=WARNING:CRITICAL"),
            ("members=1:2", "no value \"members\": there are quorum_missing"),
            ("members_silent=3:2", "the warning comes after the worst"),
        ] {
            let error = HealthLimits::from_str(wrong).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
