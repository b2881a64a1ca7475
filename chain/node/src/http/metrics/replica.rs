//! What the replica says of itself, as metrics.

use std::fmt::Error;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use tensor_cluster::api::{ReplicaStatistics, ReplicaStatus, Role};
use tensor_cluster::histogram::Distribution;

use super::collected::Writer;
use super::{Fallbacks, role_name};

#[derive(Debug, EncodeLabelSet)]
struct RoleLabels {
    role: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
}

#[derive(Debug, EncodeLabelSet)]
struct OperationLabels {
    op: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct FallbackLabels {
    op: &'static str,
    reason: &'static str,
}

/// All of it at one moment.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) status: ReplicaStatus,
    pub(super) statistics: ReplicaStatistics,
    pub(super) commits: Distribution,
    pub(super) fallbacks: Fallbacks,
}

impl Collector for Replica {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Writer(encoder);
        self.raft(&mut out)?;
        self.writes(&mut out)?;
        self.storage(&mut out)?;
        let reasons = self.fallbacks.iter().filter_map(|((op, reason), count)| {
            Some((FallbackLabels { op, reason: reason.as_ref()?.name() }, *count))
        });
        out.counters(("kernel_fallback", "Times that the CPU computed instead of the device"), reasons)?;
        let computed = self.fallbacks.iter().filter(|((_, reason), _)| reason.is_none());
        out.counters(
            ("kernel_accelerated", "Times that the device computed"),
            computed.map(|((op, _), count)| (OperationLabels { op }, *count)),
        )
    }
}

impl Replica {
    fn raft(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        let Self { status, statistics, .. } = self;
        let roles = [Role::Leader, Role::Follower, Role::Candidate, Role::Learner, Role::Stopped];
        let has = |role| (RoleLabels { role: role_name(role) }, u64::from(role == status.role));
        out.gauges(("raft_role", "1 for the role that the node has"), roles.map(has))?;
        out.gauge(("raft_term", "Term of the node"), status.term)?;
        out.gauge(
            ("raft_leader_known", "1 while the node knows who leads"),
            u64::from(status.leader.is_some()),
        )?;
        out.counter(
            ("raft_leader_changes", "Times that the node saw another leader than before"),
            statistics.leader_changes,
        )?;
        out.counter(
            (
                "raft_leadership_handovers",
                "Times that the node, leading and not well, asked a better voter to lead",
            ),
            statistics.handovers,
        )?;
        out.gauge(("raft_members", "Members of the cluster, learners included"), status.members.len())?;
        out.gauge(("raft_last_log_index", "Last entry of the node's log"), index(status.last_log))?;
        out.gauge(
            ("raft_commit_index", "Last log entry known to be on the disks of a majority"),
            index(status.committed),
        )?;
        out.gauge(("raft_applied_index", "Last log entry applied"), index(status.applied))?;
        out.gauge_if(
            ("raft_quorum_acked_seconds", "On the leader: since a quorum confirmed that it leads"),
            statistics.quorum_acked.map(|acked| acked.as_secs_f64()),
        )?;
        let peer = |follower: &tensor_cluster::api::Follower| PeerLabels { peer: follower.node.to_string() };
        out.gauges(
            ("raft_follower_lag_entries", "On the leader: entries that a member is not known to have"),
            statistics.followers.iter().map(|follower| (peer(follower), follower.lag)),
        )?;
        let contact = |follower| Some((peer(follower), follower.last_contact?.as_secs_f64()));
        out.gauges(
            ("raft_last_contact_seconds", "On the leader: since a member answered"),
            statistics.followers.iter().filter_map(contact),
        )
    }

    fn writes(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        let Self { statistics, commits, .. } = self;
        out.gauge(("writes_waiting", "Writes that wait to be proposed"), statistics.writes_waiting)?;
        out.gauge(
            ("write_queue_ratio", "Share of the bytes taken that writes may take until they are done"),
            statistics.write_room_used,
        )?;
        out.histogram(("batch_writes", "Writes of one log entry"), &statistics.batch_writes)?;
        out.histogram(
            ("block_commit_duration_seconds", "From a write's arrival until it is durable and applied"),
            commits,
        )?;
        out.histogram(
            ("entry_apply_duration_seconds", "Time to judge and apply one log entry"),
            &statistics.apply,
        )
    }

    fn storage(&self, out: &mut Writer<'_>) -> Result<(), Error> {
        let Self { status, statistics, .. } = self;
        out.gauge(("chain_height", "Height of the tip"), status.height.0)?;
        out.gauge(
            ("chain_finalized_height", "Highest block that a quorum of the voters has signed"),
            status.finalized.map_or(0, |finalized| finalized.height.0),
        )?;
        out.histogram(
            ("wal_sync_duration_seconds", "From a change of the log until fsync returned, queueing included"),
            &statistics.log_sync,
        )?;
        out.counter(("wal_fsyncs", "Times that the log was synced"), statistics.log_syncs)?;
        out.gauge(("wal_size_bytes", "Bytes of the log's files"), statistics.log_bytes)?;
        out.gauge(("wal_purged_index", "Last entry that the log has forgotten"), index(statistics.purged))?;
        out.gauge(
            ("snapshot_index", "Log entry that the newest snapshot reaches to"),
            index(statistics.snapshot),
        )?;
        out.gauge_if(
            ("snapshot_age_seconds", "Since the newest snapshot was made"),
            statistics.snapshot_age.as_ref().map(Duration::as_secs_f64),
        )
    }
}

/// Indices begin at 0, and so do the gauges of nodes that have none yet.
fn index(index: Option<u64>) -> u64 {
    index.unwrap_or(0)
}
