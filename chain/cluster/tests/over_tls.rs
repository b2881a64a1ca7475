//! Replicas over real sockets: what holds over a link in memory holds over this one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tempfile::TempDir;
use tensor_chain::{BlockHash, ChainConfig, ChainId, Changeset, Identity, NodeId, TensorStore, Transaction};
use tensor_cluster::api::{Peer, ReplicaStatus, Role, Write};
use tensor_cluster::transport::{KnownNodes, Transport, TransportConfig};
use tensor_cluster::{Replica, ReplicaConfig, Timing};
use tokio::net::TcpListener;

const CLUSTER: ChainId = ChainId([7; 32]);
/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

struct Node {
    replica: Replica,
    transport: Transport,
}

impl Node {
    async fn start(dir: PathBuf, listener: TcpListener, known: Vec<NodeId>) -> Self {
        let identity = Arc::new(Identity::load_or_create(dir.join("identity.key")).unwrap());
        let transport = Transport::new(identity, CLUSTER, KnownNodes::new(known), TransportConfig::default());
        let config = ReplicaConfig {
            timing: Timing { election_min_ms: 500, election_max_ms: 1_000, heartbeat_ms: 100 },
            ..ReplicaConfig::new(dir, ChainConfig::default())
        };
        let replica = Replica::start(config, Arc::new(transport.clone())).await.unwrap();
        transport.listen(listener, replica.service()).unwrap();
        Self { replica, transport }
    }

    async fn stop(self) {
        self.transport.shutdown().await;
        self.replica.shutdown().await.unwrap();
    }

    async fn until(&self, is: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
        let mut watch = self.replica.watch();
        match tokio::time::timeout(DEADLINE, watch.until(is)).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("never came to be as asked: {:?}", self.replica.status()),
        }
    }
}

/// Waits until one of the nodes leads and takes writes.
async fn leader(nodes: &BTreeMap<usize, Node>) -> usize {
    let mut leads: Vec<_> = nodes
        .iter()
        .map(|(&index, node)| {
            Box::pin(async move {
                let begun = |status: &ReplicaStatus| status.tip_hash != BlockHash::default();
                node.until(|status| status.role == Role::Leader && begun(status)).await;
                node.replica.read_barrier().await.is_ok().then_some(index)
            })
        })
        .collect();
    loop {
        let (leader, _, rest) = select_all(leads).await;
        match leader {
            Some(leader) => return leader,
            None => leads = rest,
        }
    }
}

fn put(key: &str, value: &str) -> Write {
    let transaction = Transaction::Put { key: key.to_owned(), data: value.into() };
    Write { changeset: Changeset::single(transaction).unwrap(), session: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_replicate_fail_over_and_catch_up() {
    let dirs: Vec<TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let dir = |index: usize| dirs[index].path().join("data");
    let mut peers = Vec::new();
    let mut listeners = Vec::new();
    for index in 0..3 {
        let node = TensorStore::open_replicated(dir(index), 0).unwrap().identity().unwrap().node_id();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer_address = listener.local_addr().unwrap().to_string();
        peers.push(Peer { node, peer_address, http_address: format!("http-{index}") });
        listeners.push(listener);
    }
    let known: Vec<NodeId> = peers.iter().map(|peer| peer.node).collect();
    let mut nodes = BTreeMap::new();
    for (index, listener) in listeners.into_iter().enumerate() {
        nodes.insert(index, Node::start(dir(index), listener, known.clone()).await);
    }
    nodes[&0].replica.initialize(peers.clone()).await.unwrap();

    let first = leader(&nodes).await;
    let writes = (0..200).map(|n| put(&format!("key-{n}"), &"before".repeat(100))).collect();
    for outcome in nodes[&first].replica.submit_many(writes).await {
        outcome.unwrap();
    }
    let follower = (first + 1) % 3;
    nodes[&follower].replica.read_barrier().await.unwrap(); // through the leader
    assert!(nodes[&follower].replica.chain().get("key-199").unwrap().is_some());

    nodes.remove(&first).unwrap().stop().await;
    let second = leader(&nodes).await;
    nodes[&second].replica.submit(put("key-0", "after")).await.unwrap();

    let listener = TcpListener::bind(&peers[first].peer_address).await.unwrap();
    nodes.insert(first, Node::start(dir(first), listener, known).await);
    let applied = nodes[&leader(&nodes).await].replica.read_barrier().await.unwrap();
    let mut states = Vec::new();
    for node in nodes.values() {
        let status = node.until(|status| status.applied >= Some(applied)).await;
        states.push((status.height, status.tip_hash, status.state_hash));
    }
    states.dedup();
    assert_eq!(states.len(), 1, "{states:?}");
    assert_eq!(nodes[&first].replica.chain().get("key-0").unwrap(), Some(b"after".into()));
    for (_, node) in nodes {
        node.stop().await;
    }
}
