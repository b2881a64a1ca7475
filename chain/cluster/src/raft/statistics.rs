//! What a replica counts, and what its parts say of themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, Raft};
use tensor_chain::NodeId;

use super::log_store::LogFigures;
use super::replica::{Metrics, Replica};
use super::state_machine::StateMachine;
use super::types::{RaftNode, TypeConfig};
use crate::api::{Follower, ReplicaStatistics};
use crate::histogram::Histogram;

/// What is counted as it happens, shared by those who see it happen.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) log_sync: Histogram,
    pub(super) apply: Histogram,
    pub(super) batch_writes: Histogram,
    leader_changes: AtomicU64,
    pub(super) handovers: AtomicU64,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            log_sync: Histogram::of_durations(),
            apply: Histogram::of_durations(),
            batch_writes: Histogram::of_numbers(),
            leader_changes: AtomicU64::new(0),
            handovers: AtomicU64::new(0),
        }
    }
}

/// Logs who leads, and counts every leader that is another than the one before, until the replica stops.
pub(super) async fn count_leaders(raft: Raft<TypeConfig, StateMachine>, counted: Arc<Counted>) {
    let (mut metrics, mut known, mut last) = (raft.server_metrics(), None, None);
    loop {
        let (leader, term) = {
            let now = metrics.borrow_and_update();
            (now.current_leader.map(NodeId::from), now.vote.leader_id.term)
        };
        match leader {
            _ if leader == known => {}
            None => tracing::warn!(term, "no leader is known"),
            Some(leader) => {
                tracing::info!(%leader, term, "the cluster has a leader");
                if last.replace(leader).is_some_and(|last| last != leader) {
                    counted.leader_changes.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        known = leader;
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

impl Replica {
    /// What this replica has counted since it started, and how its parts do at the moment.
    #[must_use]
    pub fn statistics(&self) -> ReplicaStatistics {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let (counted, queue) = (self.counted(), self.queue());
        let LogFigures { bytes: log_bytes, syncs: log_syncs } = self.log_figures();
        ReplicaStatistics {
            leader_changes: counted.leader_changes.load(Ordering::Relaxed),
            handovers: counted.handovers.load(Ordering::Relaxed),
            writes_waiting: queue.waiting(),
            write_room_used: queue.room_used(),
            batch_writes: counted.batch_writes.distribution(),
            log_sync: counted.log_sync.distribution(),
            log_syncs,
            log_bytes,
            apply: counted.apply.distribution(),
            snapshot: metrics.snapshot.as_ref().map(|id| id.index()),
            snapshot_age: self.snapshots().age(),
            purged: metrics.purged.as_ref().map(|id| id.index()),
            quorum_acked: metrics.last_quorum_acked.map(|acked| acked.elapsed()),
            followers: followers(&metrics, RaftNode::from(self.node())),
        }
    }
}

/// The other members, where this node leads.
fn followers(metrics: &Metrics, me: RaftNode) -> Vec<Follower> {
    let last = metrics.last_log_index.map_or(0, |last| last + 1);
    let contact = |node: &RaftNode| -> Option<Duration> {
        Some(metrics.heartbeat.as_ref()?.get(node)?.as_ref()?.elapsed())
    };
    let replication = metrics.replication.iter().flatten().filter(|(node, _)| **node != me);
    replication
        .map(|(node, matched)| Follower {
            node: NodeId::from(*node),
            lag: last.saturating_sub(matched.as_ref().map_or(0, |matched| matched.index() + 1)),
            last_contact: contact(node),
        })
        .collect()
}
