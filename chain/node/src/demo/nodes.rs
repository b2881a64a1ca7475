//! `demo --nodes N`: the same rates through a cluster of processes of this program on this machine.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tensor_chain::ChainId;
use tensor_client::blocking::Node as Client;
use tensor_client::text::Data;
use tensor_client::{ClientConfig, ClientError, wire};
use tensor_datasets::EcbFx;

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::progress::Progress;

/// How long the nodes may take to agree on something.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// What a cluster has made of the rates.
#[derive(Debug, Serialize)]
pub struct ClusterDemo {
    /// Business days, each a transaction of its rates with its log returns as the delta.
    days: usize,
    /// Height of the chain.
    height: u64,
    /// Root of the state, the same on every node.
    state_hash: String,
    /// Where the nodes listen for clients, the leader first.
    endpoints: Vec<String>,
    /// Seconds from the first transaction to the last.
    replay_s: f64,
}

impl fmt::Display for ClusterDemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { days, height, state_hash, endpoints, replay_s } = self;
        writeln!(
            f,
            "replayed  {days} days in {height} blocks, each on the disks of a majority  [{replay_s:.2} s]"
        )?;
        writeln!(f, "state     {state_hash} on all {} nodes", endpoints.len())?;
        for (n, endpoint) in endpoints.iter().enumerate() {
            writeln!(f, "{}{endpoint}", if n == 0 { "leader    " } else { "follower  " })?;
        }
        let first = endpoints.first().map_or("", String::as_str);
        writeln!(f, "try       tensorchain get CHF --endpoint {first}")?;
        writeln!(f, "          tensorchain cluster status --endpoint {first}")?;
        write!(f, "Ctrl-C ends the nodes and removes what they wrote.")
    }
}

/// Starts the nodes, replays the rates, answers, and waits for Ctrl-C.
///
/// # Errors
/// Nodes that cannot be started or do not agree in time.
pub fn run(config: &Config, nodes: usize, threshold: f64) -> Result<(), Failure> {
    let (interrupt, interrupted) = mpsc::channel();
    ctrlc::set_handler(move || _ = interrupt.send(()))
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot watch for Ctrl-C: {error}")))?;
    let folder = Folder::new()?;
    // Known to this process and its nodes alone.
    let token = ChainId::random().map_err(|error| Failure::new(Exit::Failed, error))?.to_string();
    let nodes = start(&folder.0, nodes, &token)?;
    let endpoints: Vec<String> =
        nodes.iter().map(|node| format!("http://{}", node.said.http_address)).collect();
    let client = Client::new(&endpoints, ClientConfig::default())?;
    let fx = EcbFx::embedded()?;
    let (began, progress) = (Instant::now(), Progress::new(config, "chain", fx.dates().len()));
    for day in 0..fx.dates().len() {
        if interrupted.try_recv().is_ok() {
            return Err(Failure::silent(Exit::Interrupted));
        }
        client.wait(client.client().commit(&transaction(&fx, day, threshold)?))?;
        progress.step();
    }
    let replay_s = began.elapsed().as_secs_f64();
    drop(progress);
    let mut answer = agreement(&endpoints)?;
    (answer.days, answer.replay_s) = (fx.dates().len(), super::round(replay_s, 1e3));
    output::answer(config.output, &answer)?;
    let _ = interrupted.recv();
    Ok(())
}

/// A day's rates as writes, and its log returns as the delta.
fn transaction(fx: &EcbFx, day: usize, threshold: f64) -> Result<wire::Batch, Failure> {
    let (operations, delta) = super::ledger::content(fx, day, threshold)?;
    let put = |operation: tensor_chain::Transaction| {
        let value = operation.written().unwrap_or_default();
        wire::Operation::Put { key: operation.key().to_owned(), value: Data::of(&value) }
    };
    let mut embedding = delta.to_sparse().to_dense();
    embedding.resize(tensor_chain::ChainConfig::new("demo").embedding_dim.get() as usize, 0.0);
    let ops = operations.into_iter().map(put).collect();
    Ok(wire::Batch { begin_height: None, reads: Vec::new(), ops, embedding: Some(embedding) })
}

/// What the nodes say, once all say the same.
fn agreement(endpoints: &[String]) -> Result<ClusterDemo, Failure> {
    let began = Instant::now();
    loop {
        let ask = |endpoint: &String| -> Result<wire::Status, ClientError> {
            let node = Client::new([endpoint], ClientConfig::default())?;
            node.wait(node.client().status())
        };
        let statuses = endpoints.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
        let same = statuses
            .windows(2)
            .all(|two| two[0].applied == two[1].applied && two[0].state_hash == two[1].state_hash);
        if let (true, Some(first)) = (same, statuses.first()) {
            let mut endpoints = endpoints.to_vec();
            let leader = statuses.iter().position(|status| status.role == "leader").unwrap_or(0);
            endpoints.swap(0, leader);
            let (height, state_hash) = (first.height, first.state_hash.clone());
            return Ok(ClusterDemo { days: 0, height, state_hash, endpoints, replay_s: 0.0 });
        }
        in_time(began, "the nodes do not agree")?;
    }
}

/// What a node says when it listens.
#[derive(Debug, Deserialize)]
struct Said {
    node: String,
    http_address: String,
}

/// A node of the demo. It ends with this.
struct Node {
    process: Child,
    said: Said,
}

impl Node {
    fn start(dir: &Path, token: &str, ticket: Option<&str>) -> Result<Self, Failure> {
        let failed =
            |error: &dyn fmt::Display| Failure::new(Exit::Failed, format!("cannot start a node: {error}"));
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut command = Command::new(program);
        command.args(["node", "-q", "--output", "json", "--listen-peer", "127.0.0.1:0"]);
        command.args(["--listen-http", "127.0.0.1:0", "--data-dir"]).arg(dir);
        command.args(ticket.iter().flat_map(|ticket| ["--join", ticket]));
        command.env("TENSORCHAIN_ADMIN_TOKEN", token).env_remove("TENSORCHAIN_ENDPOINT");
        let mut process = command.stdout(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
        let mut lines = process.stdout.take().map(BufReader::new);
        let mut text = String::new();
        while let Some(lines) = lines.as_mut().filter(|_| !text.ends_with("}\n")) {
            match lines.read_line(&mut text) {
                Ok(0) => return Err(failed(&"it ended at once")),
                Ok(_) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        // It says no more; the pipe stays open until it ends.
        std::thread::spawn(move || lines.map(|mut lines| lines.read_to_end(&mut Vec::new())));
        let said = serde_json::from_str(&text).map_err(|error| failed(&error))?;
        Ok(Self { process, said })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nodes that vote, of a cluster of theirs.
fn start(folder: &Path, count: usize, token: &str) -> Result<Vec<Node>, Failure> {
    let first = Node::start(&folder.join("1"), token, None)?;
    let client = Client::new([format!("http://{}", first.said.http_address)], ClientConfig::default())?;
    let admin = client.client().admin(token);
    client.wait(admin.initialize())?;
    let mut nodes = vec![first];
    while nodes.len() < count {
        let ticket = client.wait(admin.issue_ticket(PATIENCE.as_secs()))?;
        let node = Node::start(&folder.join((nodes.len() + 1).to_string()), token, Some(&ticket))?;
        let began = Instant::now();
        // It has a vote once it has been let in.
        while client.wait(admin.promote(&node.said.node)).is_err() {
            in_time(began, "a node was not let in")?;
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// Waits a little; fails where that has been going on for too long.
fn in_time(began: Instant, what: &str) -> Result<(), Failure> {
    if began.elapsed() > PATIENCE {
        return Err(Failure::new(Exit::Failed, format!("{what} within {} s", PATIENCE.as_secs())));
    }
    std::thread::park_timeout(PAUSE);
    Ok(())
}

/// A folder that goes when this does.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("tensorchain-demo-{}", std::process::id()));
        let failed = |error| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "cannot remove {}", self.0.display());
        }
    }
}
