//! A node of a cluster in this process: its data, its connections to the others and its API, from start to shutdown.

mod cluster_id;
mod ledger;
mod membership;
mod open_files;
mod tickets;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensor_chain::dir::DataDir;
use tensor_chain::{ChainConfig, ChainId, Identity, NodeId, StoreError};
use tensor_cluster::api::{Peer, Role};
use tensor_cluster::ticket::Ticket;
use tensor_cluster::transport::{KnownNodes, Transport, TransportConfig};
use tensor_cluster::{Replica, ReplicaConfig, Timing};
use tensor_kernels::Kernels;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::chain_dir;
use crate::exit::{Exit, Failure};
use crate::http::server::Server;
use crate::http::{HttpConfig, Token};
use ledger::ReplicaLedger;

/// What a node is started with.
#[derive(Debug)]
pub struct NodeOptions {
    /// The directory of its data, which is made where there is none.
    pub data_dir: PathBuf,
    /// Where it listens for other nodes.
    pub listen_peer: SocketAddr,
    /// Where it listens for clients; a loopback address.
    pub listen_http: SocketAddr,
    /// Where other nodes reach it, where that is not the address it listens on.
    pub advertise_peer: Option<String>,
    /// The cluster that it is to be part of.
    pub join: Option<Ticket>,
    /// Token of the requests that change the cluster.
    pub admin_token: Option<Token>,
    /// When it takes others for dead.
    pub timing: Timing,
    /// From how full a disk on it refuses writes, in percent.
    pub disk_limit_percent: u8,
    /// What computes.
    pub kernels: Kernels,
}

/// A node that runs.
#[derive(Debug)]
pub struct Node {
    me: Peer,
    cluster: ChainId,
    replica: Replica,
    transport: Transport,
    stop_http: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Node {
    /// Opens the data and begins to listen.
    ///
    /// # Errors
    /// Exit codes of storage and configuration; an address that is taken.
    pub async fn start(options: NodeOptions) -> Result<Self, Failure> {
        let NodeOptions {
            data_dir,
            listen_peer,
            listen_http,
            advertise_peer,
            join,
            admin_token,
            timing,
            disk_limit_percent,
            kernels,
        } = options;
        let (cluster, identity) = prepare(&data_dir, join.as_ref())?;
        let isa = kernels.isa();
        let defaults = HttpConfig::default();
        let max_connections = open_files::connections(defaults.max_connections);
        let http_config = HttpConfig { listen: listen_http, admin_token, isa, max_connections, ..defaults };
        let http = Server::bind(http_config).await.map_err(|error| Failure::new(Exit::Failed, error))?;
        let listener =
            TcpListener::bind(listen_peer).await.map_err(|error| cannot_listen(listen_peer, &error))?;
        let bound = listener.local_addr().map_err(|error| cannot_listen(listen_peer, &error))?;
        let me = Peer {
            node: identity.node_id(),
            peer_address: advertise_peer.unwrap_or_else(|| bound.to_string()),
            http_address: http.address().to_string(),
        };

        let hosts: Vec<NodeId> = join.iter().flat_map(|ticket| &ticket.peers).map(|peer| peer.node).collect();
        let known = KnownNodes::new(hosts);
        let transport = Transport::new(identity, cluster, known.clone(), TransportConfig::default());
        let chain = ChainConfig {
            chain_id: Some(cluster),
            kernels: Some(kernels),
            ..ChainConfig::new("tensorchain")
        };
        let config = ReplicaConfig { timing, disk_limit_percent, ..ReplicaConfig::new(data_dir, chain) };
        let replica = Replica::start(config, Arc::new(transport.clone())).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(membership::follow(replica.watch(), known));
        transport.listen(listener, replica.service()).map_err(|error| Failure::new(Exit::Failed, error))?;

        let (stop_http, stop) = watch::channel(false);
        let ledger = Arc::new(ReplicaLedger::new(replica.clone(), me.clone(), cluster));
        tasks.spawn(ledger::show_heights(Arc::clone(&ledger)));
        tasks.spawn(http.serve(ledger, stop));
        if let Some(ticket) = join {
            tasks.spawn(membership::join(replica.watch(), me.clone(), ticket));
        }
        Ok(Self { me, cluster, replica, transport, stop_http, tasks })
    }

    /// The node and where it listens.
    #[must_use]
    pub const fn me(&self) -> &Peer {
        &self.me
    }

    /// The cluster that it is part of or waits to be.
    #[must_use]
    pub const fn cluster(&self) -> ChainId {
        self.cluster
    }

    /// Returns when the node has stopped by itself, because it cannot go on.
    pub async fn failed(&self) -> Failure {
        self.replica.watch().until(|status| status.role == Role::Stopped).await;
        let stopped = || Failure::new(Exit::Failed, "the node stopped: what it last logged says why");
        self.replica.failure().map_or_else(stopped, Failure::of_replica)
    }

    /// Lets requests end, then takes part no more and leaves the data in good order.
    ///
    /// # Errors
    /// Data that cannot be written; what was acknowledged is durable all the same.
    pub async fn shutdown(mut self) -> Result<(), Failure> {
        self.stop_http.send_replace(true);
        let closed = self.replica.shutdown().await;
        self.transport.shutdown().await;
        // The API ends by itself; the others watch a replica that has stopped.
        while self.tasks.join_next().await.is_some() {}
        Ok(closed?)
    }
}

/// The cluster and the identity of the node whose data are in a directory.
fn prepare(dir: &Path, ticket: Option<&Ticket>) -> Result<(ChainId, Arc<Identity>), Failure> {
    let data_dir = DataDir::open(dir).map_err(StoreError::from)?;
    // Refused before anything of the cluster is put beside it.
    if chain_dir::has_chain(dir) && !data_dir.replicated_path().exists() {
        return Err(StoreError::NotReplicated { dir: dir.to_owned() }.into());
    }
    let (cluster, identity) = cluster_id::of(&data_dir, ticket.map(|ticket| ticket.cluster))?;
    Ok((cluster, Arc::new(identity)))
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot listen on {address}: {error}"))
}
