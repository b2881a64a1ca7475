//! Three nodes, each a process with kernels of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tensor_client::blocking::Node as Client;
use tensor_client::{ClientConfig, wire};

use crate::{CHECKPOINT_EVERY, wrong_kernel};

const TOKEN: &str = "a token for tests alone";
/// Pause between two looks at a condition: the nodes need the processors.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// How long anything may take that no environment variable makes longer.
const DEADLINE: Duration = Duration::from_secs(90);

/// What a node runs on.
#[derive(Debug, Clone, Copy)]
pub enum Machine {
    /// The program, on a level of instructions; on the fastest where none is named.
    Level(Option<&'static str>),
    /// The program, with a graphics processor.
    #[cfg(feature = "gpu")]
    Gpu,
    /// This program, with a kernel that computes wrongly.
    Wrong,
}

impl Machine {
    pub const fn scalar() -> Self {
        Self::Level(Some("scalar"))
    }

    pub const fn fastest() -> Self {
        Self::Level(None)
    }

    pub const fn wrong() -> Self {
        Self::Wrong
    }

    /// A graphics processor, where there is one; else another level.
    #[cfg(feature = "gpu")]
    #[expect(
        clippy::panic,
        clippy::print_stderr,
        reason = "a check that is passed over has to say so, or fail"
    )]
    pub fn other() -> Self {
        let caps = Command::new(env!("CARGO_BIN_EXE_tensorchain")).args(["caps", "--device", "gpu"]).output();
        match caps.unwrap().status.code() {
            Some(0) => Self::Gpu,
            _ if std::env::var_os("REQUIRE_GPU").is_some() => panic!("there is no GPU"),
            _ => {
                eprintln!("SKIPPED: no GPU here, so none of the nodes has one");
                Self::Level(Some("avx2"))
            }
        }
    }

    /// A level between the slowest and the fastest, where there is one.
    #[cfg(not(feature = "gpu"))]
    pub fn other() -> Self {
        let avx2 = tensor_kernels::Isa::available().iter().any(|isa| isa.name() == "avx2");
        Self::Level(avx2.then_some("avx2"))
    }

    fn command(self, dir: &Path, ticket: Option<&str>) -> Command {
        let mut command = match self {
            Self::Wrong => return wrong_kernel::command(dir, ticket, TOKEN),
            _ => Command::new(env!("CARGO_BIN_EXE_tensorchain")),
        };
        command.args(["node", "--output", "json", "--listen-peer", "127.0.0.1:0"]);
        command.args(["--listen-http", "127.0.0.1:0", "--data-dir"]).arg(dir);
        command.args(ticket.iter().flat_map(|ticket| ["--join", ticket]));
        command.env("TENSORCHAIN_ADMIN_TOKEN", TOKEN).env("TENSORCHAIN_TIMING", "wan");
        command.env("TENSORCHAIN_CHECKPOINT_EVERY", CHECKPOINT_EVERY.to_string());
        match self {
            Self::Level(Some(level)) => _ = command.env("TENSORCHAIN_ISA", level),
            #[cfg(feature = "gpu")]
            Self::Gpu => _ = command.args(["--device", "gpu"]),
            _ => {}
        }
        command
    }
}

struct Node {
    dir: PathBuf,
    id: String,
    http: String,
    process: Child,
}

impl Node {
    /// Returns when it listens.
    fn start(machine: Machine, dir: PathBuf, ticket: Option<&str>) -> Self {
        let mut process = machine.command(&dir, ticket).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        while !said.ends_with("}\n") {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "the node ended: {said}");
        }
        // Nothing else comes that matters; the thread ends with the process.
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let said: Value = serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap();
        let text = |field: &str| said[field].as_str().unwrap().to_owned();
        Self { dir, id: text("node"), http: format!("http://{}", text("http_address")), process }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Voters of one cluster.
pub struct Nodes {
    nodes: Vec<Node>,
    _dir: TempDir,
}

impl Nodes {
    pub fn start(machines: [Machine; 3]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut nodes: Vec<Node> = Vec::new();
        for (n, machine) in machines.into_iter().enumerate() {
            let dir = dir.path().join(n.to_string());
            let Some(first) = nodes.first() else {
                nodes.push(Node::start(machine, dir, None));
                let first = client(&[nodes[0].http.clone()]);
                first.wait(first.client().admin(TOKEN).initialize()).unwrap();
                continue;
            };
            let first = client(std::slice::from_ref(&first.http));
            let admin = first.client().admin(TOKEN);
            let ticket = first.wait(admin.issue_ticket(60)).unwrap();
            let node = Node::start(machine, dir, Some(&ticket));
            await_that("the node is promoted", || first.wait(admin.promote(&node.id)).is_ok());
            nodes.push(node);
        }
        Self { nodes, _dir: dir }
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.http.clone()).collect()
    }

    /// The last entry that any node has applied.
    pub fn applied(&self) -> u64 {
        self.statuses().iter().filter_map(|status| status.applied).max().unwrap_or(0)
    }

    /// Waits until all nodes that run have the same tip and know the last checkpoint below it to be final. Returns its
    /// height.
    pub fn await_finality(&self) -> u64 {
        let mut last = None;
        await_that("the last checkpoint is final everywhere", || {
            let statuses = self.statuses();
            let seen = |status: &wire::Status| (status.tip_hash.clone(), status.finalized.clone());
            let same = statuses.windows(2).all(|two| seen(&two[0]) == seen(&two[1]));
            let tip = statuses[0].height / CHECKPOINT_EVERY * CHECKPOINT_EVERY;
            last = statuses[0].finalized.as_ref().map(|finalized| finalized.height);
            same && last == Some(tip)
        });
        last.unwrap()
    }

    /// The hash of a block in the words of every node that runs.
    pub fn blocks(&self, height: u64) -> Vec<String> {
        let ask = |node: &Node| {
            let client = client(std::slice::from_ref(&node.http));
            Some(client.wait(client.client().block(height)).ok()?.hash)
        };
        self.nodes.iter().filter_map(ask).collect()
    }

    /// Waits until a node has ended by itself, and returns its exit code.
    pub fn await_end(&mut self, node: usize) -> Option<i32> {
        let process = &mut self.nodes[node].process;
        let mut status = None;
        await_that("the node ends", || {
            status = process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }

    /// Runs the program itself on the directory of a node: its exit code and what it says.
    pub fn start_again(&self, node: usize) -> (Option<i32>, String) {
        let output = Machine::fastest().command(&self.nodes[node].dir, None).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Of the nodes that answer.
    fn statuses(&self) -> Vec<wire::Status> {
        let ask = |node: &Node| {
            let client = client(std::slice::from_ref(&node.http));
            client.wait(client.client().status()).ok()
        };
        self.nodes.iter().filter_map(ask).collect()
    }
}

/// A client that does not wait long for a node that is gone.
pub fn client(endpoints: &[String]) -> Client {
    let config = ClientConfig { attempt_timeout: Duration::from_secs(3), deadline: Duration::from_secs(10) };
    Client::new(endpoints, config).unwrap()
}

/// Waits for a condition by name.
pub fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    let deadline = DEADLINE + Duration::from_millis(50) * crate::entries() as u32;
    while !holds() {
        assert!(began.elapsed() < deadline, "waited in vain until {what}");
        thread::park_timeout(BETWEEN_LOOKS);
    }
}
