//! Nodes as processes of their own, started, killed and started again.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tensor_client::ClientConfig;
use tensor_client::blocking::Node as Client;

const TOKEN: &str = "a token for tests alone";
/// Pause between two looks at a condition: the nodes need the processors.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// How long anything may take here. Two busy cores have to serve three nodes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Three nodes.
pub struct Cluster {
    dir: TempDir,
    nodes: Vec<Node>,
}

/// A node that runs, or has run.
pub struct Node {
    dir: PathBuf,
    /// Its id.
    pub id: String,
    peer: String,
    /// Where it listens for clients.
    pub http: String,
    process: Option<Child>,
}

impl Cluster {
    /// Three voters that agree.
    pub fn of_three() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self { nodes: vec![Node::start(&dir.path().join("0"), None)], dir };
        cluster.run(&["cluster", "init"]);
        for n in 1..3 {
            let ticket = cluster.run(&["cluster", "ticket"]);
            let node = Node::start(&cluster.dir.path().join(n.to_string()), Some(ticket.trim()));
            let id = node.id.clone();
            cluster.nodes.push(node);
            let promoted = || cluster.try_run(&["cluster", "promote", &id]).is_ok();
            await_that("the node is let in and promoted", promoted);
        }
        cluster.await_same_state();
        cluster
    }

    /// Where a node listens for clients.
    pub fn endpoint(&self, node: usize) -> String {
        format!("http://{}", self.nodes[node].http)
    }

    /// Where all do.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.nodes.len()).map(|node| self.endpoint(node)).collect()
    }

    /// Stops a node at once.
    pub fn kill(&mut self, node: usize) {
        let mut process = self.nodes[node].process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Asks a node to stop, which it does in good order.
    pub fn terminate(&mut self, node: usize) {
        let mut process = self.nodes[node].process.take().unwrap();
        let status = Command::new("kill").arg(process.id().to_string()).status().unwrap();
        assert!(status.success());
        assert_eq!(process.wait().unwrap().code(), Some(0), "node {node} did not stop in good order");
    }

    /// Starts a node again.
    pub fn start(&mut self, node: usize) {
        let Node { dir, id, peer, http, .. } = &self.nodes[node];
        let again = Node::start_at(dir, peer, http, None);
        assert_eq!((&again.id, &again.http), (id, http));
        self.nodes[node] = again;
    }

    /// Exit code of `cluster status`, asked of all.
    pub fn status_code(&self) -> Option<i32> {
        let endpoints = self.endpoints().join(",");
        let status = tensorchain(&["cluster", "status", "--endpoint", &endpoints]).output().unwrap();
        status.status.code()
    }

    /// The one that leads, once those that run agree on it.
    pub fn leader(&self) -> usize {
        let mut leader = None;
        await_that("a leader", || {
            let named: Vec<_> =
                self.statuses().iter().map(|status| status["leader"]["node"].clone()).collect();
            let first = named.first().and_then(Value::as_str);
            leader =
                self.nodes.iter().position(|node| Some(node.id.as_str()) == first && node.process.is_some());
            leader.is_some() && named.iter().all(|name| name == &named[0])
        });
        leader.unwrap()
    }

    /// The highest entry that any node knows to be committed.
    pub fn committed(&self) -> u64 {
        self.statuses().iter().filter_map(|status| status["committed"].as_u64()).max().unwrap_or(0)
    }

    /// Waits until every node has applied the same entry and says the same of the state.
    pub fn await_same_state(&self) {
        await_that("the same state everywhere", || {
            let statuses = self.statuses();
            let of = |field: &str| statuses.iter().map(|status| status[field].clone()).collect::<Vec<_>>();
            let same = |field: &str| of(field).windows(2).all(|pair| pair[0] == pair[1]);
            statuses.len() == self.nodes.len()
                && same("applied")
                && same("tip_hash")
                && same("state_hash")
                && of("members").iter().all(|members| {
                    members.as_array().is_some_and(|all| all.len() == 3 || self.nodes.len() < 3)
                })
        });
    }

    /// What each node that answers says of itself.
    fn statuses(&self) -> Vec<Value> {
        let timeout = Duration::from_millis(500);
        let ask = |http: &str| {
            let config = ClientConfig { attempt_timeout: timeout, deadline: timeout };
            let node = Client::new([format!("http://{http}")], config).unwrap();
            serde_json::to_value(node.wait(node.client().status()).ok()?).ok()
        };
        self.nodes.iter().filter(|node| node.process.is_some()).filter_map(|node| ask(&node.http)).collect()
    }

    /// What a command answers that is asked of the first node.
    pub fn run(&self, args: &[&str]) -> String {
        self.try_run(args).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    fn try_run(&self, args: &[&str]) -> Result<String, String> {
        let output = tensorchain(args).args(["--endpoint", &self.endpoint(0)]).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Node {
    fn start(dir: &Path, ticket: Option<&str>) -> Self {
        Self::start_at(dir, "127.0.0.1:0", "127.0.0.1:0", ticket)
    }

    /// Returns when the node listens.
    pub fn start_at(dir: &Path, peer: &str, http: &str, ticket: Option<&str>) -> Self {
        let mut command =
            tensorchain(&["node", "--output", "json", "--listen-peer", peer, "--listen-http", http]);
        command.arg("--data-dir").arg(dir).stdout(Stdio::piped());
        if let Some(ticket) = ticket {
            command.args(["--join", ticket]);
        }
        let mut process = command.spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        while !said.ends_with("}\n") {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "the node ended: {said}");
        }
        // Nothing else comes; the thread ends with the process.
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let said: Value = serde_json::from_str(&said).unwrap();
        let text = |field: &str| said[field].as_str().unwrap().to_owned();
        Self {
            dir: dir.to_owned(),
            id: text("node"),
            peer: text("peer_address"),
            http: text("http_address"),
            process: Some(process),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The binary with arguments, and the token of these tests.
pub fn tensorchain(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
    command.args(args).env("TENSORCHAIN_ADMIN_TOKEN", TOKEN);
    // Elections that a busy machine does not start.
    command.env("TENSORCHAIN_TIMING", "wan");
    // Nor is it ill for being slow.
    command.env("TENSORCHAIN_HEALTH", "commit_p99_seconds=60:never,log_sync_p99_seconds=60:never");
    command
}

/// A client that has time.
pub fn client(endpoints: &[String]) -> Client {
    let config = ClientConfig { attempt_timeout: Duration::from_secs(3), deadline: Duration::from_secs(20) };
    Client::new(endpoints, config).unwrap()
}

/// Waits for a condition by name.
pub fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::park_timeout(BETWEEN_LOOKS);
    }
}

/// Where the random choices begin: CLUSTER_SEED, or a fresh one, which is printed.
#[expect(clippy::print_stderr, reason = "whoever reads of a failure has to be able to repeat it")]
pub fn seed() -> u64 {
    let given = std::env::var("CLUSTER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0));
    eprintln!("CLUSTER_SEED={seed}");
    seed
}
