//! Waiting for what becomes of a replica. The library tells of every step of the log, some six times an entry; who
//! follows for as long as the replica runs is woken only by what concerns it.

use std::fmt;

use futures_util::stream::{self, BoxStream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use tensor_chain::Height;

use super::replica::{Metrics, Replica, members_of};
use super::types::TypeConfig;
use crate::api::{Member, ReplicaStatus};

type Receiver<T> = openraft::alias::WatchReceiverOf<TypeConfig, T>;

impl Replica {
    /// The height whenever entries have been applied, until the replica stops.
    #[must_use]
    pub fn heights(&self) -> BoxStream<'static, Height> {
        let following = (self.raft().watch_apply_progress(), self.chain());
        stream::unfold(following, |(mut applied, chain)| async move {
            applied.changed().await.ok()?;
            Some((chain.height(), (applied, chain)))
        })
        .boxed()
    }

    /// Follows the term and who takes part.
    #[must_use]
    pub fn watch_cluster(&self) -> ClusterWatch {
        ClusterWatch { metrics: self.raft().server_metrics() }
    }

    /// Returns when the replica has stopped.
    pub async fn stopped(&self) {
        let mut cluster = self.watch_cluster();
        while cluster.changed().await.is_some() {}
    }

    /// Follows the status, of which something changes with every step of the log: to wait for one thing, not for ever.
    #[must_use]
    pub fn watch(&self) -> StatusWatch {
        StatusWatch { replica: self.clone(), metrics: self.raft().metrics() }
    }
}

/// A cluster as the log of one of its nodes has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The term of Raft.
    pub term: u64,
    /// Who takes part.
    pub members: Vec<Member>,
}

/// Follows the term and who takes part.
pub struct ClusterWatch {
    metrics: Receiver<RaftServerMetrics<TypeConfig>>,
}

impl fmt::Debug for ClusterWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterWatch").finish_non_exhaustive()
    }
}

impl ClusterWatch {
    /// The cluster at the moment.
    pub fn now(&mut self) -> Cluster {
        let metrics = self.metrics.borrow_and_update();
        Cluster {
            term: metrics.vote.leader_id.term,
            members: members_of(metrics.membership_config.membership()),
        }
    }

    /// Waits until the cluster has changed since this watch told of it last. `None` when the replica has stopped.
    pub async fn changed(&mut self) -> Option<Cluster> {
        self.metrics.changed().await.ok()?;
        Some(self.now())
    }
}

/// Follows the status of a replica.
pub struct StatusWatch {
    replica: Replica,
    metrics: Receiver<Metrics>,
}

impl fmt::Debug for StatusWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusWatch").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl StatusWatch {
    /// Waits until the status has changed since this was called last. `None` when the replica has stopped.
    pub async fn changed(&mut self) -> Option<ReplicaStatus> {
        self.metrics.changed().await.ok()?;
        let metrics = self.metrics.borrow_and_update().clone();
        Some(self.replica.status_of(&metrics))
    }

    /// Waits until the status is as asked; returns at once where it is already. `None` when the replica has stopped
    /// before.
    pub async fn until(&mut self, is: impl Fn(&ReplicaStatus) -> bool) -> Option<ReplicaStatus> {
        let mut status = self.replica.status();
        while !is(&status) {
            status = self.changed().await?;
        }
        Some(status)
    }
}
