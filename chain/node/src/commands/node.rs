//! `node`: a node of a cluster, until it is told to stop.

use std::fmt;
use std::net::SocketAddr;

use clap::Args;
use serde::Serialize;
use tensor_cluster::ticket::Ticket;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::device;
use crate::exit::{Exit, Failure};
use crate::node::{Node, NodeOptions};
use crate::output;

/// Arguments of `node`. Each but `--join` can also be set in the environment or the configuration file.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Where to listen for other nodes [default: 127.0.0.1:7080].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_peer: Option<SocketAddr>,
    /// Where to listen for clients, on this machine only [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    pub listen_http: Option<SocketAddr>,
    /// Where other nodes reach this one, where that is not the address it listens on.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_peer: Option<String>,
    /// Join the cluster that issued this ticket: see `cluster ticket`.
    #[arg(long, value_name = "TICKET")]
    pub join: Option<String>,
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
    let options = NodeOptions {
        data_dir: config.data_dir.clone(),
        listen_peer: args.listen_peer.unwrap_or(config.node.listen_peer),
        listen_http: args.listen_http.unwrap_or(config.node.listen_http),
        advertise_peer: args.advertise_peer.or_else(|| config.node.advertise_peer.clone()),
        join: args.join.as_deref().map(ticket).transpose()?,
        admin_token: config.node.admin_token.clone(),
        timing: config.node.timing,
        disk_limit_percent: config.node.disk_limit_percent,
        kernels: device::open(config)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(serve(config, options))
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
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failure = node.failed() => Err(failure),
    };
    tracing::info!("stopping");
    let closed = node.shutdown().await;
    ended.and(closed)
}
