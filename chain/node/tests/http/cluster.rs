//! Three real replicas, each behind an API of its own: clients need to know nothing of which of them leads.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tensor_chain::{BlockHash, ChainConfig, TensorStore};
use tensor_client::{Client, ClientConfig, Consistency};
use tensor_cluster::api::{Peer, Role};
use tensor_cluster::memory_link::MemoryNetwork;
use tensor_cluster::{Replica, ReplicaConfig, Timing};
use tensor_node::http::HttpConfig;
use tensor_node::http::replica::ReplicaLedger;
use tensor_node::http::server::Server;
use tokio::sync::watch::Sender;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Member {
    replica: Replica,
    peer: Peer,
    stop: Sender<bool>,
    _dir: TempDir,
}

impl Member {
    async fn start(network: &MemoryNetwork) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(HttpConfig { listen, ..HttpConfig::default() }).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let node = TensorStore::open_replicated(&data).unwrap().identity().unwrap().node_id();
        let peer =
            Peer { node, peer_address: "memory".to_owned(), http_address: server.address().to_string() };
        let timing = Timing { election_min_ms: 500, election_max_ms: 1_000, heartbeat_ms: 100 };
        let config = ReplicaConfig { timing, ..ReplicaConfig::new(data, ChainConfig::default()) };
        let replica = Replica::start(config, Arc::new(network.link(node))).await.unwrap();
        network.attach(node, replica.service());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(server.serve(Arc::new(ReplicaLedger::new(replica.clone())), stopped));
        Self { replica, peer, stop, _dir: dir }
    }

    fn url(&self) -> String {
        format!("http://{}", self.peer.http_address)
    }
}

#[test]
fn a_client_goes_on_when_the_leader_is_gone() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let network = MemoryNetwork::default();
        let mut members = Vec::new();
        for _ in 0..3 {
            members.push(Member::start(&network).await);
        }
        let peers = members.iter().map(|member| member.peer.clone()).collect();
        members[0].replica.initialize(peers).await.unwrap();
        for member in &members {
            let mut status = member.replica.watch();
            let begun =
                status.until(|status| status.leader.is_some() && status.tip_hash != BlockHash::default());
            timeout(PATIENCE, begun).await.unwrap().unwrap();
        }
        let leads = |member: &Member| member.replica.status().role == Role::Leader;
        // A follower first: it sends the client on.
        members.sort_by_key(leads);
        let config = ClientConfig { attempt_timeout: Duration::from_secs(10), deadline: PATIENCE };
        let client = Client::with_config(members.iter().map(Member::url), config).unwrap();
        let session = client.session().await.unwrap();
        let first = session.put("k", "one").await.unwrap();
        let mut watch = client.watch(first.height);
        assert_eq!(watch.next().await.unwrap().hash, first.hash);

        // Each member alone, asked for a fresh value: it knows, or asks the leader by itself.
        for member in &members {
            let alone = Client::with_config([member.url()], config).unwrap();
            assert_eq!(alone.get("k").await.unwrap().value, Some(b"one".to_vec()));
        }

        let leader = members.pop().unwrap();
        leader.stop.send_replace(true);
        network.detach(leader.peer.node);
        leader.replica.shutdown().await.unwrap();
        let second = session.put("k", "two").await.unwrap();
        assert!(second.height > first.height);
        assert_eq!(client.get("k").await.unwrap().value, Some(b"two".to_vec()));
        let mut transaction = client.begin().await.unwrap();
        assert_eq!(transaction.get("k").await.unwrap(), Some(b"two".to_vec()));
        transaction.put("k", "three");
        let third = transaction.commit_in(&session).await.unwrap();
        for height in first.height + 1..=third.height {
            let seen = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
            assert_eq!(seen.height, height);
            assert_eq!(seen.hash == third.hash, height == third.height);
        }
        let stale = client.get_with("k", Some(first.height), Consistency::Stale).await.unwrap();
        assert_eq!(stale.value, Some(b"one".to_vec()));
        for member in &members {
            member.stop.send_replace(true);
            member.replica.shutdown().await.unwrap();
        }
    });
}
