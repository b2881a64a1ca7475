//! A replicated chain: Raft under the ledger, and how nodes reach each other.
//!
//! A [`Replica`] is one node. It asks others through a [`PeerLink`](link::PeerLink) and answers them through the
//! [`PeerService`](link::PeerService) that it hands out; what carries the bytes is chosen outside.
//!
//! ```
//! use std::sync::Arc;
//! use tensor_chain::{BlockHash, ChainConfig, Changeset, NodeId, Transaction};
//! use tensor_cluster::api::{Peer, Write};
//! use tensor_cluster::memory_link::MemoryNetwork;
//! use tensor_cluster::{Replica, ReplicaConfig};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A cluster of one: there is nobody to reach.
//! let dir = tempfile::tempdir()?;
//! let link = Arc::new(MemoryNetwork::default().link(NodeId::default()));
//! let replica = Replica::start(ReplicaConfig::new(dir.path(), ChainConfig::default()), link).await?;
//! let (peer_address, http_address) = ("127.0.0.1:7001".to_owned(), "127.0.0.1:8001".to_owned());
//! replica.initialize(vec![Peer { node: replica.node(), peer_address, http_address }]).await?;
//! replica.watch().until(|status| status.tip_hash != BlockHash::default()).await;
//!
//! let put = Transaction::Put { key: "key".to_owned(), data: b"value".to_vec() };
//! let committed = replica.submit(Write { changeset: Changeset::single(put)?, session: None }).await?;
//! assert!(replica.read_barrier().await? >= committed.log_index);
//! assert_eq!(replica.chain().get("key")?, Some(b"value".to_vec()));
//! replica.shutdown().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod api;
pub mod histogram;
pub mod link;
pub mod memory_link;
pub mod ticket;
pub mod transport;

mod raft;

#[cfg(feature = "simulation")]
pub use raft::simulation;
pub use raft::{
    Cluster, ClusterWatch, LIBRARY_TARGET, Replica, ReplicaConfig, ReplicaError, RestoreError, Restored,
    StatusWatch, Timing, check_export, restore,
};
