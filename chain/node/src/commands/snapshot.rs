//! `snapshot`: everything that a cluster's chain has come to as one file, and a new cluster from such a file.

use std::fmt;
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use tensor_chain::atomic_io::AtomicWriter;
use tensor_client::blocking::Node;
use tensor_client::{ClientConfig, ExportError};
use tensor_cluster::RestoreError;

use super::cluster;
use super::node::AddressArgs;
use crate::config::{Config, NodeConfig};
use crate::exit::{Exit, Failure};
use crate::node::restore::{of_snapshot, restore};
use crate::{device, output};

/// How long a node may take until it begins to send: it writes a snapshot first.
const PATIENCE: Duration = Duration::from_secs(90);

/// What can be done with the state of a whole cluster.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save all that a cluster's chain has come to: blocks, state and sessions, as of one moment.
    ///
    /// One node is asked, while the cluster goes on. The file holds no key and no address of any node: who has it can
    /// read the chain and begin another cluster with it, not join this one. Needs TENSORCHAIN_ADMIN_TOKEN.
    Save {
        /// The file to write.
        file: PathBuf,
        /// Take what this node has applied, without a quorum: for when there is none any more. Writes that only other
        /// nodes have are not in it.
        #[arg(long)]
        stale: bool,
    },
    /// Make the data directory of a new node, the first of a NEW cluster, from a snapshot.
    ///
    /// This is no way to repair a node of a cluster that lives: let a fresh one join instead. The new cluster has the
    /// old one's blocks, history, values and sessions, and an id, a key and members of its own; what the old one writes
    /// from then on is not in it. Every hash, link, signature, verdict and state root is checked before anything is
    /// put into --data-dir, which must be empty or not there. Start the node with the same addresses, then add others
    /// with `cluster ticket`.
    Restore {
        /// The file that `snapshot save` wrote.
        file: PathBuf,
        /// Where the node will listen: the new cluster has to know.
        #[command(flatten)]
        addresses: AddressArgs,
    },
}

#[derive(Serialize)]
struct Saved<'f> {
    file: &'f Path,
    bytes: u64,
    height: u64,
    tip_hash: String,
}

impl fmt::Display for Saved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, bytes, height, tip_hash } = self;
        write!(f, "saved to {}: {bytes} bytes, tip {height} {tip_hash}", file.display())
    }
}

#[derive(Serialize)]
struct RestoredNode<'d> {
    data_dir: &'d Path,
    node: String,
    cluster: String,
    height: u64,
}

impl fmt::Display for RestoredNode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_dir, node, cluster, height } = self;
        writeln!(f, "restored to {}: tip {height}", data_dir.display())?;
        writeln!(f, "node      {node}")?;
        write!(f, "cluster   {cluster}")
    }
}

pub(super) fn run(config: &Config, command: SnapshotCommand) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Save { file, stale } => save(config, &file, stale),
        SnapshotCommand::Restore { file, addresses } => restore_to(config, &file, addresses),
    }
}

fn save(config: &Config, file: &Path, stale: bool) -> Result<(), Failure> {
    let timeouts = ClientConfig { attempt_timeout: PATIENCE, deadline: PATIENCE };
    let node = Node::new(cluster::endpoints(config), timeouts)?;
    let admin = cluster::admin(config, &node)?;
    // A node that is not there is not waited for so long.
    cluster::seen(config)?;
    let mut writer =
        BufWriter::new(AtomicWriter::private(file).map_err(|error| Failure::of_file(file, &error))?);
    node.wait(admin.snapshot_to(stale, |part| writer.write_all(part)))?;
    let writer = writer.into_inner().map_err(IntoInnerError::into_error).map_err(ExportError::Io)?;
    writer.commit().map_err(|error| Failure::of_file(file, &error))?;
    let checked = tensor_cluster::check_export(file);
    if checked.is_err() {
        // A file that is no snapshot would only be found when it is needed.
        let _ = std::fs::remove_file(file);
    }
    let tip = checked.and_then(|header| header.tip.ok_or(RestoreError::NoChain));
    let tip = tip.map_err(|error| of_snapshot(file, error))?;
    let bytes = std::fs::metadata(file).map_err(ExportError::Io)?.len();
    let (height, tip_hash) = (tip.height.0, tip.hash.to_string());
    Ok(output::answer(config.output, &Saved { file, bytes, height, tip_hash })?)
}

fn restore_to(config: &Config, file: &Path, addresses: AddressArgs) -> Result<(), Failure> {
    let NodeConfig { listen_peer, listen_http, advertise_peer, advertise_http, .. } =
        addresses.over(&config.node);
    let peer = advertise_peer.unwrap_or_else(|| listen_peer.to_string());
    let http = advertise_http.unwrap_or_else(|| listen_http.to_string());
    let kernels = device::open(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    let (restored, cluster) = runtime.block_on(restore(file, &config.data_dir, kernels, (peer, http)))?;
    let answer = RestoredNode {
        data_dir: &config.data_dir,
        node: restored.node.to_string(),
        cluster: cluster.to_string(),
        height: restored.height.0,
    };
    Ok(output::answer(config.output, &answer)?)
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Client(error) => error.into(),
            error => Self::new(Exit::Failed, error),
        }
    }
}
