//! One file a command: what it asks of the chain and what it answers.

mod backup;
mod caps;
mod cluster;
mod cluster_status;
mod completions;
mod config_show;
mod conflicts;
mod data;
mod demo;
mod man;
mod node;
mod prove;
mod read;
mod ready;
mod search;
mod snapshot;
mod source;
mod verify;
mod write;

pub use cluster::ClusterCommand;
pub use conflicts::ConflictsArgs;
pub use demo::DemoArgs;
pub use node::{AddressArgs, NodeArgs};
pub use ready::ReadyArgs;
pub use snapshot::SnapshotCommand;

use crate::cli::{Command, ConfigCommand, DataCommand};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use tensor_kernels::{KernelError, SparseVec};

/// Runs one command.
///
/// # Errors
/// Why it failed, with the exit code that says so.
pub fn run(command: Command, config: &Config) -> Result<(), Failure> {
    refuse_other_source(&command, config)?;
    match command {
        Command::Demo(args) => demo::run(config, args),
        Command::Node(args) => node::run(config, args),
        Command::Cluster(command) => cluster::run(config, command),
        Command::Ready(args) => ready::run(config, &args),
        Command::Snapshot(command) => snapshot::run(config, command),
        Command::Put { key, value, file, embedding } => {
            write::put(config, key, value, file.as_deref(), embedding.as_deref())
        }
        Command::Get { key, at, freshness } => read::get(config, key, at, freshness),
        Command::Delete { key } => write::delete(config, key),
        Command::Cas { key, expected, new } => write::cas(config, key, expected, new),
        Command::List { prefix, freshness } => read::list(config, &prefix, freshness),
        Command::History { key, freshness } => read::history(config, &key, freshness),
        Command::Prove { key } => prove::prove(config, &key),
        Command::VerifyProof { file, block_hash } => {
            prove::verify_proof(config, &file, block_hash.as_deref())
        }
        Command::Similar { vector, block, k, freshness } => {
            search::similar(config, vector, block, k, freshness)
        }
        Command::Drift { from, to, train, freshness } => search::drift(config, from, to, train, freshness),
        Command::Verify { dir, full } => verify::verify(config, dir.as_deref(), full),
        Command::Dump { dir } => verify::dump(config, dir.as_deref()),
        Command::Backup { to } => backup::run(config, &to),
        Command::Conflicts(args) => conflicts::run(config, &args),
        Command::Data(DataCommand::Fetch { names, .. }) => data::fetch_sets(config, &names),
        Command::Data(DataCommand::List) => data::list(config),
        Command::Data(DataCommand::Verify { names }) => data::verify(config, &names),
        Command::Caps => caps::run(config),
        Command::Config(ConfigCommand::Show { origin }) => config_show::run(config, origin),
        Command::Completions { shell } => completions::run(shell),
        Command::Man => man::run(),
    }
}

/// Refuses to ask a cluster what only a directory can answer, and a directory what only makes sense of a cluster:
/// another chain than the one meant must not be read.
fn refuse_other_source(command: &Command, config: &Config) -> Result<(), Failure> {
    let needs_dir = match command {
        Command::Verify { dir, .. } | Command::Dump { dir } => dir.is_none(),
        Command::Backup { .. } | Command::Conflicts(_) => true,
        Command::Drift { train, .. } => train.is_some(),
        _ => false,
    };
    let is_stale = match command {
        Command::Get { freshness, .. }
        | Command::List { freshness, .. }
        | Command::History { freshness, .. }
        | Command::Similar { freshness, .. }
        | Command::Drift { freshness, .. } => freshness.stale,
        _ => false,
    };
    let message = match config.endpoints.is_empty() {
        false if needs_dir => "this needs the chain's directory: --data-dir instead of --endpoint",
        true if is_stale => "--stale is for a cluster, named by --endpoint: a directory is never behind",
        _ => return Ok(()),
    };
    Err(Failure::new(Exit::Usage, message))
}

/// A vector that was given as a JSON array of numbers, and why one was refused.
#[derive(Debug, thiserror::Error)]
enum VectorError {
    #[error("expected a JSON array of numbers: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Vector(#[from] KernelError),
}

fn parse_vector(text: &str) -> Result<SparseVec, VectorError> {
    let dense: Vec<f32> = serde_json::from_str(text)?;
    Ok(SparseVec::from_dense(&dense)?)
}
