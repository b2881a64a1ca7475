//! A node of a cluster in this process: its data, its connections to the others and its API, from start to shutdown.

mod cluster_id;
mod ledger;
mod membership;
mod open_files;
pub mod restore;
pub mod service_manager;
mod supervisor;
mod tickets;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tensor_chain::dir::{DataDir, holds_chain};
use tensor_chain::{ChainConfig, ChainId, Identity, NodeId, StoreError};
use tensor_cluster::api::{Peer, Role};
use tensor_cluster::ticket::Ticket;
use tensor_cluster::transport::{KnownNodes, Transport, TransportConfig};
use tensor_cluster::{Replica, ReplicaConfig, Timing};
use tensor_kernels::Kernels;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::http::server::{BindError, Server};
use crate::http::{HealthLimits, HttpConfig, Token};
use crate::logging;
use ledger::ReplicaLedger;
use supervisor::Supervisor;

/// How long another node may take to take over the leadership of one that stops.
const HAND_OVER: Duration = Duration::from_secs(1);

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
    /// Where clients reach it, where that is not the address it listens on.
    pub advertise_http: Option<String>,
    /// What makes it healthy.
    pub health: HealthLimits,
    /// The cluster that it is to be part of.
    pub join: Option<Ticket>,
    /// Token of the requests that change the cluster.
    pub admin_token: Option<Token>,
    /// When it takes others for dead.
    pub timing: Timing,
    /// Which heights it votes on.
    pub checkpoint_every: NonZeroU64,
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
    tasks: Supervisor,
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
            advertise_http,
            health,
            join,
            admin_token,
            timing,
            checkpoint_every,
            disk_limit_percent,
            kernels,
        } = options;
        let (cluster, identity) = prepare(&data_dir, join.as_ref())?;
        let defaults = HttpConfig::default();
        let mut http_config = HttpConfig {
            listen: listen_http,
            admin_token,
            kernels: Some(kernels.clone()),
            health,
            max_connections: open_files::connections(defaults.max_connections),
            ..defaults
        };
        let http =
            Server::bind(http_config.clone()).await.map_err(|error| Failure::new(Exit::Failed, error))?;
        let listener =
            TcpListener::bind(listen_peer).await.map_err(|error| cannot_listen(listen_peer, &error))?;
        let bound = listener.local_addr().map_err(|error| cannot_listen(listen_peer, &error))?;
        let me = Peer {
            node: identity.node_id(),
            peer_address: advertise_peer.unwrap_or_else(|| bound.to_string()),
            http_address: advertise_http.unwrap_or_else(|| http.address().to_string()),
        };
        http_config.listen = http.address();
        logging::of_node(me.node);

        let hosts: Vec<NodeId> = join.iter().flat_map(|ticket| &ticket.peers).map(|peer| peer.node).collect();
        let known = KnownNodes::new(hosts);
        let transport = Transport::new(identity, cluster, known.clone(), TransportConfig::default());
        let chain = ChainConfig {
            chain_id: Some(cluster),
            kernels: Some(kernels),
            ..ChainConfig::new("tensorchain")
        };
        let config = ReplicaConfig {
            timing,
            checkpoint_every,
            disk_limit_percent,
            ..ReplicaConfig::new(data_dir, chain)
        };
        let replica = Replica::start(config, Arc::new(transport.clone())).await?;
        let mut tasks = Supervisor::new();
        let watching = replica.clone();
        tasks.run("membership", move || {
            membership::follow(watching.clone(), known.clone()).map(Ok::<_, Infallible>)
        });
        let reporting = replica.clone();
        tasks.run("silence", move || membership::report_silence(reporting.clone()).map(Ok::<_, Infallible>));
        transport.listen(listener, replica.service()).map_err(|error| Failure::new(Exit::Failed, error))?;

        let (stop_http, stop) = watch::channel(false);
        let ledger = Arc::new(ReplicaLedger::new(replica.clone(), me.clone(), cluster));
        let shown = Arc::clone(&ledger);
        tasks.run("heights", move || ledger::show_heights(Arc::clone(&shown)).map(Ok::<_, Infallible>));
        let mut bound = Some(http);
        tasks.run("http", move || {
            let (bound, config) = (bound.take(), http_config.clone());
            let (ledger, stop) = (Arc::clone(&ledger), stop.clone());
            async move {
                let server = match bound {
                    Some(server) => server,
                    None => Server::bind(config).await?,
                };
                server.serve(ledger, stop).await;
                Ok::<_, BindError>(())
            }
        });
        if let Some(ticket) = join {
            let (asking, me) = (replica.clone(), me.clone());
            tasks.run("join", move || membership::join(asking.watch(), me.clone(), ticket.clone()));
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
        let why = tokio::select! {
            () = self.replica.stopped() => {
                if let Some(divergence) = self.replica.chain().store().divergence() {
                    return Failure::new(Exit::Divergence, format!("this node has another chain: {divergence}"));
                }
                if let Some(failure) = self.replica.failure() {
                    return Failure::of_replica(failure);
                }
                "the node stopped: what it last logged says why".to_owned()
            }
            why = self.tasks.given_up() => why,
        };
        Failure::new(Exit::Failed, why)
    }

    /// Lets another node lead before this one goes, so that the cluster need not wait until the leader is missed.
    async fn hand_over(&self) {
        let status = self.replica.status();
        if status.role != Role::Leader {
            return;
        }
        let votes = |node| status.members.iter().any(|member| member.voter && member.peer.node == node);
        let answers = |last: Option<Duration>| last.is_some_and(|last| last < HAND_OVER);
        let followers = self.replica.statistics().followers;
        let heirs = followers.into_iter().filter(|heir| votes(heir.node) && answers(heir.last_contact));
        let Some(heir) = heirs.min_by_key(|heir| heir.lag) else { return };
        if self.replica.transfer_leader(heir.node).await.is_ok() {
            let mut status = self.replica.watch();
            // If nobody has taken over by then, the others elect one.
            let _ = timeout(HAND_OVER, status.until(|status| status.role != Role::Leader)).await;
        }
    }

    /// Hands on the leadership, lets requests end, then takes part no more and leaves the data in good order.
    ///
    /// # Errors
    /// Data that cannot be written; what was acknowledged is durable all the same.
    pub async fn shutdown(self) -> Result<(), Failure> {
        self.hand_over().await;
        self.stop_http.send_replace(true);
        let closed = self.replica.shutdown().await;
        self.transport.shutdown().await;
        // The API ends by itself; the others watch a replica that has stopped.
        self.tasks.ended().await;
        Ok(closed?)
    }
}

/// The cluster and the identity of the node whose data are in a directory.
fn prepare(dir: &Path, ticket: Option<&Ticket>) -> Result<(ChainId, Arc<Identity>), Failure> {
    let data_dir = DataDir::open(dir).map_err(StoreError::from)?;
    // Refused before anything of the cluster is put beside it.
    if holds_chain(dir) && !data_dir.replicated_path().exists() {
        return Err(StoreError::NotReplicated { dir: dir.to_owned() }.into());
    }
    let (cluster, identity) = cluster_id::of(&data_dir, ticket.map(|ticket| ticket.cluster))?;
    Ok((cluster, Arc::new(identity)))
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot listen on {address}: {error}"))
}
