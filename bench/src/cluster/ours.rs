//! Three nodes of ours: processes of the release binary on loopback, TLS between them, every write on the disks of a
//! majority before it is acknowledged.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tempfile::TempDir;
use tensor_client::text::Data;
use tensor_client::wire::{Batch, Kind, Operation, Status};
use tensor_client::{Admin, Client, ClientConfig};

use super::error::ClusterError;
use super::load::Connection;
use super::process::Process;
use super::system::System;

/// How long the nodes may take to come to anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// A request of 64 writes among those of a thousand clients may wait for long, and no write may be of unknown outcome.
const PATIENT: ClientConfig = ClientConfig { attempt_timeout: PATIENCE, deadline: PATIENCE };
/// Pause between two looks at a node.
const PAUSE: Duration = Duration::from_millis(5);
/// Keys whose history is looked at.
const LOOKED_AT: usize = 50;
/// Known to this process and its nodes alone.
const TOKEN: &str = "of this measurement alone";

/// Three nodes that vote.
#[derive(Debug)]
pub(super) struct Nodes {
    program: PathBuf,
    // Before the folder, which goes only when nobody writes to it any more.
    nodes: Vec<Node>,
    folder: TempDir,
}

#[derive(Debug)]
struct Node {
    /// Nothing while it is down.
    process: Option<Process>,
    said: Said,
}

/// What a node says when it listens.
#[derive(Debug, Clone, Deserialize)]
struct Said {
    node: String,
    peer_address: String,
    http_address: String,
}

impl Nodes {
    /// Starts them and waits until all three vote.
    pub(super) async fn start(program: &Path) -> Result<Self, ClusterError> {
        let mut nodes = Self { program: program.to_owned(), folder: tempfile::tempdir()?, nodes: Vec::new() };
        nodes.nodes.push(nodes.launch(0, "127.0.0.1:0", "127.0.0.1:0", None)?);
        nodes.admin()?.initialize().await?;
        for number in 1..3 {
            let ticket = nodes.admin()?.issue_ticket(PATIENCE.as_secs()).await?;
            let node = nodes.launch(number, "127.0.0.1:0", "127.0.0.1:0", Some(&ticket))?;
            let began = Instant::now();
            // It has a vote once it has been let in.
            while nodes.admin()?.promote(&node.said.node).await.is_err() {
                pause(began, "a node is let in").await?;
            }
            nodes.nodes.push(node);
        }
        nodes.leader().await?;
        Ok(nodes)
    }

    /// Starts a process and waits until it listens.
    fn launch(
        &self,
        number: usize,
        peer: &str,
        http: &str,
        ticket: Option<&str>,
    ) -> Result<Node, ClusterError> {
        let mut command = Command::new(&self.program);
        command.args(["node", "-q", "--output", "json", "--listen-peer", peer, "--listen-http", http]);
        command.arg("--data-dir").arg(self.folder.path().join(number.to_string()));
        command.args(ticket.iter().flat_map(|ticket| ["--join", ticket]));
        // Nothing of the user's own settings: what is measured are the defaults.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TENSORCHAIN_"))
        {
            command.env_remove(name);
        }
        command.env("TENSORCHAIN_ADMIN_TOKEN", TOKEN).stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let mut lines = BufReader::new(process.child().stdout.take().ok_or(ClusterError::Nobody)?);
        let mut text = String::new();
        while !text.ends_with("}\n") {
            if lines.read_line(&mut text)? == 0 {
                return Err(ClusterError::NotListening(text));
            }
        }
        // It says no more; the pipe stays open until it ends.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let said = serde_json::from_str(&text).map_err(|_| ClusterError::NotListening(text))?;
        Ok(Node { process: Some(process), said })
    }

    /// Ends a node at once.
    pub(super) fn kill(&mut self, node: usize) -> Result<(), ClusterError> {
        let process = self.nodes.get_mut(node).and_then(|node| node.process.take());
        process.ok_or(ClusterError::Nobody)?.kill()
    }

    /// Starts a node again that was ended.
    pub(super) fn restart(&mut self, node: usize) -> Result<(), ClusterError> {
        let Said { peer_address, http_address, .. } =
            self.nodes.get(node).ok_or(ClusterError::Nobody)?.said.clone();
        let again = self.launch(node, &peer_address, &http_address, None)?;
        *self.nodes.get_mut(node).ok_or(ClusterError::Nobody)? = again;
        Ok(())
    }

    fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("http://{}", node.said.http_address)).collect()
    }

    /// A client of all nodes that have ever been started.
    pub(super) fn client(&self) -> Result<Client, ClusterError> {
        Ok(Client::with_config(self.endpoints(), PATIENT)?)
    }

    pub(super) fn admin(&self) -> Result<Admin, ClusterError> {
        Ok(self.client()?.admin(TOKEN))
    }

    /// What a node says of itself; nothing where it does not answer.
    pub(super) async fn status(&self, node: usize) -> Option<Status> {
        let config = ClientConfig { attempt_timeout: PAUSE * 100, deadline: PAUSE * 100 };
        Client::with_config([self.endpoints().get(node)?], config).ok()?.status().await.ok()
    }

    /// The node that leads, once all that answer agree on it.
    pub(super) async fn leader(&self) -> Result<usize, ClusterError> {
        let began = Instant::now();
        loop {
            let mut named = Vec::new();
            for node in 0..self.nodes.len() {
                if let Some(status) = self.status(node).await {
                    named.push(status.leader.map(|leader| leader.node));
                }
            }
            if let Some(Some(leader)) = named.first()
                && named.len() >= 2
                && named.iter().all(|name| name.as_ref() == Some(leader))
                && let Some(position) = self.nodes.iter().position(|node| node.said.node == *leader)
            {
                return Ok(position);
            }
            pause(began, "the nodes agree who leads").await?;
        }
    }

    /// The last entry of the log that a node has applied.
    pub(super) async fn applied(&self, node: usize) -> Option<u64> {
        self.status(node).await?.applied
    }

    /// Waits until a node has applied an entry.
    pub(super) async fn catches_up(&self, node: usize, index: u64) -> Result<(), ClusterError> {
        let began = Instant::now();
        while self.applied(node).await < Some(index) {
            pause(began, "a node has caught up").await?;
        }
        Ok(())
    }
}

/// Waits a little; fails where that has been going on for too long.
async fn pause(began: Instant, until: &'static str) -> Result<(), ClusterError> {
    if began.elapsed() > PATIENCE {
        return Err(ClusterError::Waited(until));
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

impl System for Nodes {
    fn name(&self) -> String {
        super::OURS.to_owned()
    }

    fn processes(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(|node| Some(node.process.as_ref()?.id())).collect()
    }

    /// One client, which keeps a connection for each request that is under way; it follows the leader.
    fn connections(&self, _clients: usize) -> BoxFuture<'_, Result<Vec<Arc<dyn Connection>>, ClusterError>> {
        async { Ok(vec![Arc::new(self.client()?) as Arc<dyn Connection>]) }.boxed()
    }

    fn keys_written_once(&self, prefix: String) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        async move {
            let (client, mut keys) = (self.client()?, Vec::<String>::new());
            loop {
                let page = client.list(&prefix, keys.last().map(String::as_str)).await?;
                keys.extend(page.keys);
                if !page.more {
                    break;
                }
            }
            let step = (keys.len() / LOOKED_AT).max(1);
            for key in keys.iter().step_by(step) {
                if client.history(key, 0).await?.changes.len() != 1 {
                    return Err(ClusterError::OtherValue { key: key.clone() });
                }
            }
            Ok(keys)
        }
        .boxed()
    }
}

impl Connection for Client {
    fn write(&self, mut puts: Vec<(String, String)>) -> BoxFuture<'_, Result<(), ClusterError>> {
        async move {
            if puts.len() == 1
                && let Some((key, value)) = puts.pop()
            {
                self.put(&key, value).await?;
                return Ok(());
            }
            let batch = |(key, value)| Batch {
                begin_height: None,
                reads: Vec::new(),
                ops: vec![Operation::Put { key, value: Data::Text(value) }],
                embedding: None,
            };
            let mut batches: Vec<Batch> = puts.into_iter().map(batch).collect();
            while !batches.is_empty() {
                let outcomes = self.commit_many(batches.clone()).await?;
                let mut again = Vec::new();
                for (batch, outcome) in batches.into_iter().zip(outcomes) {
                    match outcome {
                        Ok(_) => {}
                        Err(problem) if problem.kind() == Kind::NothingDone => again.push(batch),
                        Err(problem) => return Err(ClusterError::Peer(problem.to_string())),
                    }
                }
                batches = again;
            }
            Ok(())
        }
        .boxed()
    }

    fn read<'c>(&'c self, key: &'c str) -> BoxFuture<'c, Result<Option<Vec<u8>>, ClusterError>> {
        async move { Ok(self.get(key).await?.value) }.boxed()
    }
}
