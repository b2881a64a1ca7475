//! Nodes as processes of their own: started, killed, paused, cut off, and started again.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tensor_chain::ChainId;
use tensor_client::ClientConfig;
use tensor_client::blocking::Node as Client;

use crate::proxy::Network;

pub const TOKEN: &str = "a token for tests alone";
/// Pause between two looks at a condition: the nodes need the processors.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// How long anything may take here. Two busy cores have to serve three nodes.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the nodes of a cluster have in common.
#[derive(Clone, Default)]
pub struct Setup {
    /// Settings besides those of every test.
    pub env: Vec<(&'static str, &'static str)>,
    /// Flags besides those of every test.
    pub flags: &'static [&'static str],
    /// Whether nodes reach each other through proxies whose links can be cut.
    pub proxied: bool,
}

/// A few nodes.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub network: Network,
    setup: Setup,
    dir: TempDir,
}

pub struct Node {
    pub dir: PathBuf,
    pub id: String,
    pub peer: String,
    pub http: String,
    process: Option<Child>,
    /// What it says on stderr, and where this run's part of that begins.
    log: PathBuf,
    log_start: u64,
}

/// How a node came to its end.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// What it had said on stderr since it was started.
    pub said: String,
}

impl Cluster {
    /// Three voters that agree.
    pub fn of_three() -> Self {
        Self::of(3, Setup::default())
    }

    /// Voters that agree.
    pub fn of(count: usize, setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self { nodes: Vec::new(), network: Network::new(), setup, dir };
        cluster.launch(None);
        cluster.run(&["cluster", "init"]);
        for n in 1..count {
            let ticket = cluster.run(&["cluster", "ticket"]);
            cluster.launch(Some(ticket.trim()));
            let id = cluster.nodes[n].id.clone();
            let promoted = || cluster.try_run(&["cluster", "promote", &id]).is_ok();
            await_that("the node is let in and promoted", promoted);
        }
        cluster.await_same_state();
        cluster
    }

    /// A node alone whose data are in a directory that only programs see which are run through another.
    pub fn of_one_through(through: &[String], data_dir: &Path, setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self { nodes: Vec::new(), network: Network::new(), setup, dir };
        let command = cluster.command(data_dir, "127.0.0.1:0", "127.0.0.1:0");
        let node =
            Node::launch(&mut through_program(command, through), data_dir, &cluster.log_of(0)).unwrap();
        cluster.nodes.push(node);
        cluster.run(&["cluster", "init"]);
        cluster
    }

    /// Has one more node join, which does not vote yet. Returns which it is.
    pub fn join(&mut self) -> usize {
        let ticket = self.run(&["cluster", "ticket"]);
        let node = self.launch(Some(ticket.trim()));
        let id = self.nodes[node].id.clone();
        let is_member = |member: &Value| member["node"].as_str() == Some(id.as_str());
        await_that("the node is let in", || {
            let statuses = self.statuses();
            statuses
                .iter()
                .any(|status| status["members"].as_array().is_some_and(|all| all.iter().any(is_member)))
        });
        node
    }

    /// Where a node's stderr goes.
    fn log_of(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("{node}.log"))
    }

    /// Starts one more node. Returns which it is.
    pub fn launch(&mut self, ticket: Option<&str>) -> usize {
        let n = self.nodes.len();
        let mut command = self.command(&self.dir.path().join(n.to_string()), "127.0.0.1:0", "127.0.0.1:0");
        let advertised = self.setup.proxied.then(|| self.network.listen());
        command.args(advertised.iter().flat_map(|address| ["--advertise-peer", address]));
        command.args(ticket.iter().flat_map(|ticket| ["--join", ticket]));
        let mut node =
            Node::launch(&mut command, &self.dir.path().join(n.to_string()), &self.log_of(n)).unwrap();
        if let Some(advertised) = &advertised {
            // It says what it advertises; where it listens is what the proxy has to know.
            node.peer = listening_besides(node.pid(), &node.http);
            self.network.attach(advertised, &node.peer, n);
        }
        self.network.is_run_by(n, node.pid());
        self.nodes.push(node);
        n
    }

    /// A node in a directory, of this cluster's settings.
    fn command(&self, dir: &Path, peer: &str, http: &str) -> Command {
        let mut command = tensorchain(&["node", "--output", "json", "--listen-peer", peer]);
        command.args(["--listen-http", http, "--data-dir"]).arg(dir);
        command.args(self.setup.flags).envs(self.setup.env.iter().copied());
        command
    }

    /// Where a node listens for clients.
    pub fn endpoint(&self, node: usize) -> String {
        format!("http://{}", self.nodes[node].http)
    }

    /// The cluster that they are part of.
    pub fn id(&self) -> ChainId {
        let file = std::fs::read_to_string(self.nodes[0].dir.join("cluster")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// Where all do.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.nodes.len()).map(|node| self.endpoint(node)).collect()
    }

    /// The nodes that run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| self.nodes[node].process.is_some()).collect()
    }

    /// Stops a node at once.
    pub fn kill(&mut self, node: usize) {
        let mut process = self.nodes[node].process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Sends a node a signal by its name.
    pub fn signal(&self, node: usize, name: &str) {
        let pid = self.nodes[node].pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Asks a node to stop, which it does in good order.
    pub fn terminate(&mut self, node: usize) {
        self.signal(node, "TERM");
        let ended = self.await_end(node);
        assert_eq!(ended.status.code(), Some(0), "node {node} did not stop in good order: {}", ended.said);
    }

    /// Waits until a node ends by itself.
    pub fn await_end(&mut self, node: usize) -> Ended {
        await_that("the node ends", || self.has_ended(node));
        let mut process = self.nodes[node].process.take().unwrap();
        Ended { status: process.wait().unwrap(), said: self.nodes[node].said() }
    }

    /// Whether a node that was running has ended.
    pub fn has_ended(&mut self, node: usize) -> bool {
        self.nodes[node].process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_some())
    }

    /// Starts a node again.
    pub fn start(&mut self, node: usize) {
        self.try_start(node, &[]).unwrap_or_else(|ended| panic!("node {node} does not start: {ended:?}"));
    }

    /// Starts a node again, by way of another program, and returns when it listens or has ended.
    pub fn try_start(&mut self, node: usize, through: &[String]) -> Result<(), Ended> {
        let Node { dir, id, peer, http, .. } = &self.nodes[node];
        let mut command = through_program(self.command(dir, peer, http), through);
        let advertised = self.network.advertised(node);
        command.args(advertised.iter().flat_map(|address| ["--advertise-peer", address]));
        let mut again = Node::launch(&mut command, dir, &self.log_of(node))?;
        assert_eq!((&again.id, &again.http), (id, http));
        again.peer.clone_from(peer);
        self.network.is_run_by(node, again.pid());
        self.nodes[node] = again;
        Ok(())
    }

    /// Starts a node again and kills it a moment later, wherever it is then.
    pub fn start_and_kill(&mut self, node: usize, moment: Duration) {
        let Node { dir, peer, http, .. } = &self.nodes[node];
        let mut process =
            self.command(dir, peer, http).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        thread::park_timeout(moment);
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Exit code of `cluster status`, asked of all.
    pub fn status_code(&self) -> Option<i32> {
        let endpoints = self.endpoints().join(",");
        let status = tensorchain(&["cluster", "status", "--endpoint", &endpoints]).output().unwrap();
        status.status.code()
    }

    /// The one that leads, once those that answer agree on it.
    pub fn leader(&self) -> usize {
        let mut leader = None;
        await_that("a leader", || {
            leader = self.leader_now();
            leader.is_some()
        });
        leader.unwrap()
    }

    /// The one that leads, if those that answer agree on one of them.
    pub fn leader_now(&self) -> Option<usize> {
        let statuses = self.statuses();
        let named: Vec<_> = statuses.iter().map(|status| &status["leader"]["node"]).collect();
        let leader = named.first()?.as_str()?;
        let agreed = named.iter().all(|name| name.as_str() == Some(leader));
        let answers = statuses.iter().any(|status| status["node"].as_str() == Some(leader));
        self.nodes.iter().position(|node| node.id == leader).filter(|_| agreed && answers)
    }

    /// The highest entry that any node knows to be committed.
    pub fn committed(&self) -> u64 {
        self.statuses().iter().filter_map(|status| status["committed"].as_u64()).max().unwrap_or(0)
    }

    /// The entry that a node has applied last, if it answers.
    pub fn applied(&self, node: usize) -> Option<u64> {
        let id = self.nodes[node].id.as_str();
        self.statuses().iter().find(|status| status["node"].as_str() == Some(id))?["applied"].as_u64()
    }

    /// Waits until so many more entries are committed.
    pub fn await_progress(&self, entries: u64) {
        let before = self.committed();
        await_that("a majority takes writes", || self.committed() > before + entries);
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
                && of("members")
                    .iter()
                    .all(|members| members.as_array().is_some_and(|all| all.len() == self.nodes.len()))
        });
    }

    /// What each node that answers says of itself.
    pub fn statuses(&self) -> Vec<Value> {
        let timeout = Duration::from_millis(500);
        let ask = |node: usize| {
            let config = ClientConfig { attempt_timeout: timeout, deadline: timeout };
            let client = Client::new([self.endpoint(node)], config).unwrap();
            serde_json::to_value(client.wait(client.client().status()).ok()?).ok()
        };
        self.running().into_iter().filter_map(ask).collect()
    }

    /// What a command answers that is asked of all nodes in turn.
    pub fn run(&self, args: &[&str]) -> String {
        self.try_run(args).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }

    pub fn try_run(&self, args: &[&str]) -> Result<String, String> {
        let output = tensorchain(args).args(["--endpoint", &self.endpoints().join(",")]).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// Whoever reads of a failure wants to know what the nodes said last.
impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "it goes with the failure")]
    fn drop(&mut self) {
        if thread::panicking() {
            for (n, node) in self.nodes.iter().enumerate() {
                let said = node.said();
                let lines: Vec<_> = said.lines().rev().take(20).collect();
                eprintln!("--- node {n} said last:");
                lines.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

impl Node {
    /// A node that belongs to no [`Cluster`] of these tests. Returns when it listens.
    pub fn start_at(dir: &Path, peer: &str, http: &str, ticket: Option<&str>) -> Self {
        let mut command =
            tensorchain(&["node", "--output", "json", "--listen-peer", peer, "--listen-http", http]);
        command.arg("--data-dir").arg(dir);
        command.args(ticket.iter().flat_map(|ticket| ["--join", ticket]));
        Self::launch(&mut command, dir, &dir.with_added_extension("log")).unwrap()
    }

    /// Returns when the node listens, or has ended.
    fn launch(command: &mut Command, dir: &Path, log_path: &Path) -> Result<Self, Ended> {
        let log = OpenOptions::new().create(true).append(true).open(log_path).unwrap();
        let log_start = log.metadata().unwrap().len();
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let stdout = process.stdout.take().unwrap();
        let mut node = Self {
            dir: dir.to_owned(),
            id: String::new(),
            peer: String::new(),
            http: String::new(),
            process: None,
            log: log_path.to_owned(),
            log_start,
        };
        let (mut said, mut lines) = (String::new(), BufReader::new(stdout));
        while !said.ends_with("}\n") {
            if lines.read_line(&mut said).unwrap() == 0 {
                return Err(Ended { status: process.wait().unwrap(), said: node.said() });
            }
        }
        // Nothing else comes; the thread ends with the process.
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let said: Value = serde_json::from_str(&said).unwrap();
        let text = |field: &str| said[field].as_str().unwrap().to_owned();
        (node.id, node.peer, node.http) = (text("node"), text("peer_address"), text("http_address"));
        node.process = Some(process);
        Ok(node)
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// What it has said on stderr since it was started.
    pub fn said(&self) -> String {
        let mut bytes = Vec::new();
        File::open(&self.log).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[self.log_start as usize..]).into_owned()
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

/// The other address at which a process listens.
fn listening_besides(pid: u32, http: &str) -> String {
    let addresses = crate::proxy::listened_to(pid);
    addresses.into_iter().map(|address| address.to_string()).find(|address| address != http).unwrap()
}

/// The same command, run by another program.
fn through_program(command: Command, through: &[String]) -> Command {
    let Some((program, args)) = through.split_first() else { return command };
    let mut outer = Command::new(program);
    outer.args(args).arg(command.get_program()).args(command.get_args());
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer
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
pub fn await_that(what: &str, holds: impl FnMut() -> bool) {
    await_within(DEADLINE, what, holds);
}

/// As [`await_that`], for what takes its time.
pub fn await_within(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < deadline, "waited in vain until {what}");
        thread::park_timeout(BETWEEN_LOOKS);
    }
}

/// Where the random choices begin.
pub fn seed() -> u64 {
    tensor_tests::faults::seed("CLUSTER_SEED")
}
