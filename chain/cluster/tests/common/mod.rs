//! A cluster of replicas in one process, on disk, over links that can be cut.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tensor_chain::{BlockHash, ChainConfig, Changeset, NodeId, Transaction};
use tensor_cluster::api::{ClientId, Committed, Peer, ReplicaStatus, Role, SubmitError, Write};
use tensor_cluster::memory_link::MemoryNetwork;
use tensor_cluster::{Replica, ReplicaConfig, Timing};

/// Longer than anything here takes on a busy machine; whoever waits for it has found a fault.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Heights that are voted on.
pub const CHECKPOINT_EVERY: u64 = 10;

/// Pause between two looks at what no status tells.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

pub struct Cluster {
    pub network: MemoryNetwork,
    dirs: Vec<TempDir>,
    /// `None` while a node is stopped.
    nodes: Vec<Option<Replica>>,
    peers: Vec<Peer>,
    pub snapshot_every: u64,
}

impl Cluster {
    /// Voters of a new cluster whose chain has begun everywhere.
    pub async fn of(count: usize) -> Self {
        let mut cluster = Self::empty();
        for _ in 0..count {
            cluster.add().await;
        }
        cluster.node(0).initialize(cluster.peers.clone()).await.unwrap();
        cluster.leader().await;
        for index in 0..count {
            cluster.until(index, |status| status.tip_hash != BlockHash::default()).await;
        }
        cluster
    }

    pub fn empty() -> Self {
        let (network, snapshot_every) = (MemoryNetwork::default(), 10_000);
        Self { network, dirs: Vec::new(), nodes: Vec::new(), peers: Vec::new(), snapshot_every }
    }

    /// Starts one more node, which is no member yet.
    pub async fn add(&mut self) -> usize {
        let index = self.nodes.len();
        self.dirs.push(tempfile::tempdir().unwrap());
        self.nodes.push(None);
        let store = tensor_chain::TensorStore::open_replicated(self.dir(index), 0).unwrap();
        let node = store.identity().unwrap().node_id();
        drop(store);
        let address = |what: &str| format!("{what}-{index}");
        self.peers.push(Peer { node, peer_address: address("peer"), http_address: address("http") });
        self.start(index).await;
        index
    }

    pub async fn start(&mut self, index: usize) {
        let config = ReplicaConfig {
            // A busy machine lets a node wait for longer than a real one would.
            timing: Timing { election_min_ms: 500, election_max_ms: 1_000, heartbeat_ms: 100 },
            snapshot_every: self.snapshot_every,
            keep_entries: 0,
            checkpoint_every: CHECKPOINT_EVERY.try_into().unwrap(),
            ..ReplicaConfig::new(self.dir(index), ChainConfig::default())
        };
        let link = Arc::new(self.network.link(self.id(index)));
        let replica = Replica::start(config, link).await.unwrap();
        self.network.attach(replica.node(), replica.service());
        self.nodes[index] = Some(replica);
    }

    pub async fn stop(&mut self, index: usize) {
        let replica = self.nodes[index].take().unwrap();
        self.network.detach(replica.node());
        replica.shutdown().await.unwrap();
    }

    pub async fn restart_all_with_snapshots_every(&mut self, entries: u64) {
        self.snapshot_every = entries;
        for index in self.running() {
            self.stop(index).await;
            self.start(index).await;
        }
    }

    pub fn dir(&self, index: usize) -> PathBuf {
        self.dirs[index].path().join("data")
    }

    pub fn peer(&self, index: usize) -> Peer {
        self.peers[index].clone()
    }

    pub fn id(&self, index: usize) -> NodeId {
        self.peers[index].node
    }

    pub fn node(&self, index: usize) -> &Replica {
        self.nodes[index].as_ref().unwrap()
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&index| self.nodes[index].is_some()).collect()
    }

    /// Lets nothing through between a node and all others.
    pub fn isolate(&self, index: usize) {
        for other in (0..self.peers.len()).filter(|&other| other != index) {
            self.network.cut(self.id(index), self.id(other));
        }
    }

    /// Waits until a node's status is as asked.
    pub async fn until(&self, index: usize, is: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
        let mut watch = self.node(index).watch();
        match tokio::time::timeout(DEADLINE, watch.until(is)).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("node {index} never came to be as asked: {:?}", self.node(index).status()),
        }
    }

    /// Makes a voter of a learner, as soon as that has caught up.
    pub async fn promote(&self, index: usize) {
        until_async("the learner is promoted", async || {
            self.node(self.leader().await).promote(self.id(index)).await.is_ok()
        })
        .await;
    }

    /// Waits until a running node leads, has begun the chain, and takes writes.
    pub async fn leader(&self) -> usize {
        let leads = self.running().into_iter().map(|index| {
            Box::pin(async move {
                self.until(index, |status| status.role == Role::Leader).await;
                self.node(index).read_barrier().await.is_ok().then_some(index)
            })
        });
        let mut leads: Vec<_> = leads.collect();
        loop {
            let (leader, _, rest) = futures_util::future::select_all(leads).await;
            match leader {
                Some(leader) => return leader,
                None => leads = rest,
            }
        }
    }

    /// Writes through whoever leads, asking again as long as the answer says that nothing was appended.
    pub async fn put(&self, key: &str, value: &str, session: Option<(ClientId, u64)>) -> Committed {
        let write = put(key, value, session);
        let writing = async {
            let mut at = self.running()[0];
            loop {
                match self.node(at).submit(write.clone()).await {
                    Ok(committed) => return committed,
                    Err(SubmitError::NotLeader { leader: Some(leader) }) => {
                        at = self.peers.iter().position(|peer| *peer == leader).unwrap();
                        if self.nodes[at].is_none() {
                            at = self.leader().await;
                        }
                    }
                    Err(SubmitError::NotLeader { leader: None } | SubmitError::Retry) => {
                        at = self.leader().await;
                    }
                    Err(SubmitError::Unknown) if session.is_some() => at = self.leader().await,
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        tokio::time::timeout(DEADLINE, writing).await.unwrap()
    }

    /// Waits until all running nodes have applied as much as the leader, and compares them.
    pub async fn assert_equal(&self) -> ReplicaStatus {
        let leader = self.leader().await;
        let applied = self.node(leader).read_barrier().await.unwrap();
        let expected = self.until(leader, |status| status.applied >= Some(applied)).await;
        for index in self.running() {
            let status = self.until(index, |status| status.applied >= Some(applied)).await;
            assert_eq!(
                (status.height, status.tip_hash, status.state_hash),
                (expected.height, expected.tip_hash, expected.state_hash),
                "node {index}"
            );
        }
        expected
    }

    pub fn get(&self, index: usize, key: &str) -> Option<Vec<u8>> {
        self.node(index).chain().get(key).unwrap()
    }
}

/// Waits for a condition by name.
pub async fn until_async(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(BETWEEN_LOOKS);
    let holding = async {
        while !holds().await {
            looks.tick().await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, holding).await.is_ok(), "waited in vain until {what}");
}

pub fn put(key: &str, value: &str, session: Option<(ClientId, u64)>) -> Write {
    let transaction = Transaction::Put { key: key.to_owned(), data: value.into() };
    Write { changeset: Changeset::single(transaction).unwrap(), session }
}
