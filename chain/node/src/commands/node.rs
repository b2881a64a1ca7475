//! `node`: a node of a cluster, until it is told to stop.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tensor_cluster::ticket::Ticket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::config::{Config, NodeConfig};
use crate::device;
use crate::exit::{Exit, Failure};
use crate::node::{Node, NodeOptions, service_manager};
use crate::output;

/// How long a node may take to stop.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(20);
/// How long work that nobody waits for any more may hold up the end of the process.
const LINGER: Duration = Duration::from_secs(1);

/// Arguments of `node`. Each but `--join` can also be set in the environment or the configuration file.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Where it listens.
    #[command(flatten)]
    pub addresses: AddressArgs,
    /// Join the cluster that issued this ticket: see `cluster ticket`.
    #[arg(long, value_name = "TICKET")]
    pub join: Option<String>,
}

/// Where a node listens and is reached.
#[derive(Debug, Args)]
pub struct AddressArgs {
    /// Where to listen for other nodes [default: 127.0.0.1:7080].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_peer: Option<SocketAddr>,
    /// Where to listen for clients, on this machine only [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_http: Option<SocketAddr>,
    /// Where other nodes reach this one, where that is not the address it listens on.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_peer: Option<String>,
    /// Where clients reach this one, where that is not the address it listens on: the outside of a tunnel or proxy.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_http: Option<String>,
}

impl AddressArgs {
    /// The configuration with these in place of what it says.
    pub(super) fn over(self, node: &NodeConfig) -> NodeConfig {
        let node = node.clone();
        NodeConfig {
            listen_peer: self.listen_peer.unwrap_or(node.listen_peer),
            listen_http: self.listen_http.unwrap_or(node.listen_http),
            advertise_peer: self.advertise_peer.or(node.advertise_peer),
            advertise_http: self.advertise_http.or(node.advertise_http),
            ..node
        }
    }
}

/// What a node says when it listens.
#[derive(Serialize)]
struct Listening {
    node: String,
    cluster: String,
    peer_address: String,
    http_address: String,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "node      {}", self.node)?;
        writeln!(f, "cluster   {}", self.cluster)?;
        writeln!(f, "peers     {}", self.peer_address)?;
        write!(f, "clients   http://{}", self.http_address)
    }
}

pub(super) fn run(config: &Config, args: NodeArgs) -> Result<(), Failure> {
    let ticket = |text: &str| Ticket::decode(text).map_err(|error| Failure::new(Exit::Usage, error));
    let kernels = device::open(config)?;
    let measuring = device::measure_in_background(&kernels);
    let join = args.join.as_deref().map(ticket).transpose()?;
    let NodeConfig {
        listen_peer,
        listen_http,
        advertise_peer,
        advertise_http,
        health,
        admin_token,
        timing,
        checkpoint_every,
        disk_limit_percent,
    } = args.addresses.over(&config.node);
    let options = NodeOptions {
        data_dir: config.data_dir.clone(),
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
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    let ended = runtime.block_on(serve(config, options));
    if let Some(measuring) = measuring {
        // A measurement that panicked has measured nothing.
        let _ = measuring.join();
    }
    // What is still running may not hold up the end: whatever was acknowledged is on disk.
    runtime.shutdown_timeout(LINGER);
    ended
}

async fn serve(config: &Config, options: NodeOptions) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Failed, format!("cannot watch for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let node = Node::start(options).await?;
    let me = node.me();
    output::answer(
        config.output,
        &Listening {
            node: me.node.to_string(),
            cluster: node.cluster().to_string(),
            peer_address: me.peer_address.clone(),
            http_address: me.http_address.clone(),
        },
    )?;
    service_manager::ready(&format!("clients at http://{}", me.http_address));
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failure = node.failed() => Err(failure),
        never = service_manager::keep_alive() => never,
    };
    service_manager::stopping();
    tracing::info!("stopping");
    let closed = tokio::select! {
        closed = timeout(SHUTDOWN_DEADLINE, node.shutdown()) => closed.unwrap_or_else(|_| {
            let late = format!("did not stop within {SHUTDOWN_DEADLINE:?}; what was acknowledged is on disk");
            Err(Failure::new(Exit::Failed, late))
        }),
        // Whoever asks twice does not want to wait.
        _ = interrupt.recv() => Err(Failure::silent(Exit::Interrupted)),
    };
    ended.and(closed)
}
