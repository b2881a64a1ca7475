//! A node alone, its cluster begun, written to, a snapshot made, killed, started again, stopped; with power losses all along.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tensor_client::ClientConfig;
use tensor_client::blocking::Node as Client;

use crate::crash::{FATES, Fate, below, write_image};
use crate::disk::{Op, Syncs};
use crate::recording::{Recording, tracing};
use crate::{can_trace, dose, moment_of, random, tensorchain, verify};

const TOKEN: &str = "a token for tests alone";

/// A node that runs.
struct Node {
    /// It, or the program that traces it.
    process: Child,
    http: String,
    id: String,
    log: PathBuf,
}

impl Node {
    /// Returns when it listens; what it said where it ended before that.
    fn start(through: Option<Command>, root: &Path, log: PathBuf) -> Result<Self, String> {
        let mut command = tensorchain(through, root);
        command.args(["node", "--output", "json"]);
        command.args(["--listen-peer", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"]);
        command.env("TENSORCHAIN_ADMIN_TOKEN", TOKEN).env("TENSORCHAIN_TIMING", "lan");
        let stderr = File::create(&log).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let (mut said, mut lines) = (String::new(), BufReader::new(process.stdout.take().unwrap()));
        while !said.ends_with("}\n") {
            if lines.read_line(&mut said).unwrap() == 0 {
                let status = process.wait().unwrap();
                return Err(format!("the node ended with {status}: {}", fs::read_to_string(log).unwrap()));
            }
        }
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let text = |field: &str| said[field].as_str().unwrap().to_owned();
        Ok(Self { process, http: format!("http://{}", text("http_address")), id: text("node"), log })
    }

    fn client(&self) -> Client {
        let config =
            ClientConfig { attempt_timeout: Duration::from_secs(5), deadline: Duration::from_secs(30) };
        Client::new([&self.http], config).unwrap()
    }

    /// Asks it to stop, which it does in good order, and returns when it and what traces it have ended.
    fn stop(mut self) -> Result<(), String> {
        self.signal("TERM");
        let status = self.process.wait().unwrap();
        match status.success() {
            true => Ok(()),
            false => Err(format!("the node ended with {status}: {}", fs::read_to_string(&self.log).unwrap())),
        }
    }

    /// Ends it at once. What traces it ends by itself.
    fn kill(mut self) {
        self.signal("KILL");
        self.process.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id();
        // Where it is traced, it is the child of what traces it.
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let node = children.split_whitespace().next().map_or(pid.to_string(), str::to_owned);
        assert!(Command::new("kill").args(["-s", name, &node]).status().unwrap().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A key that was written, and where in the recording that was acknowledged.
struct Written {
    key: String,
    value: Vec<u8>,
    acknowledged: usize,
}

/// What a node did, from nothing to its end.
struct Life {
    recording: Recording,
    /// In the order of the writes, each of which was sent when the one before was acknowledged.
    written: Vec<Written>,
    id: String,
}

/// How many writes come before a snapshot, then before the node is killed, then before it is stopped; bytes of a value.
struct Load {
    snapshot: usize,
    kill: usize,
    end: usize,
    bytes: usize,
}

impl Life {
    fn live(load: &Load, syncs: Syncs, random: &mut ChaCha8Rng) -> Self {
        let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let trace = scratch.path().join("trace");
        let mut recording = Recording::of(root.path(), syncs);
        let start = || Node::start(Some(tracing(&trace)), root.path(), scratch.path().join("log")).unwrap();
        let mut node = start();
        let mut client = node.client();
        client.wait(client.client().admin(TOKEN).initialize()).unwrap();
        let mut receipts = Vec::new();
        for n in 0..load.snapshot + load.kill + load.end {
            if n == load.snapshot {
                client.wait(client.client().admin(TOKEN).snapshot()).unwrap();
            }
            if n == load.snapshot + load.kill {
                node.kill();
                recording.add(&fs::read_to_string(&trace).unwrap());
                node = start();
                client = node.client();
            }
            // Some within a sector, some over several.
            let len = if below(random, 4) == 0 { load.bytes } else { load.bytes / 10 };
            let (key, value) = (format!("key-{}", below(random, 100)), format!("{n}.").repeat(len / 4 + 1));
            let receipt = client.wait(client.client().put(&key, value.as_str())).unwrap();
            receipts.push((key, value.into_bytes(), receipt.hash));
        }
        let id = node.id.clone();
        node.stop().unwrap();
        recording.add(&fs::read_to_string(&trace).unwrap());

        // The answer to a write names its block.
        let (mut written, mut said) = (Vec::new(), recording.ops.iter().enumerate());
        for (key, value, hash) in receipts {
            let names_it = |op: &Op| matches!(op, Op::Said(text) if text.windows(hash.len()).any(|part| part == hash.as_bytes()));
            let (acknowledged, _) = said.find(|(_, op)| names_it(op)).unwrap();
            written.push(Written { key, value, acknowledged });
        }
        drop(said);
        Self { recording, written, id }
    }

    /// Starts a node on what a power loss left, and says what is wrong with it.
    fn check(&self, root: &Path, moment: usize, scratch: &TempDir) -> Result<(), String> {
        let acknowledged = self.written.iter().filter(|written| written.acknowledged < moment).count();
        let node = Node::start(None, root, scratch.path().join("log"))?;
        if acknowledged > 0 {
            if node.id != self.id {
                return Err(format!("it is another node: {} instead of {}", node.id, self.id));
            }
            let client = node.client();
            let mut keys: Vec<_> = self.written.iter().map(|written| &written.key).collect();
            keys.sort_unstable();
            keys.dedup();
            let value_after = |count: usize, key: &String| {
                self.written[..count]
                    .iter()
                    .rev()
                    .find(|written| written.key == *key)
                    .map(|written| &written.value)
            };
            // The write that was under way may have been done.
            let may_be = [acknowledged, (acknowledged + 1).min(self.written.len())];
            let mut could_be = may_be.map(|_| true);
            for key in keys {
                let found =
                    client.wait(client.client().get(key)).map_err(|error| format!("{key}: {error}"))?;
                for (count, could_be) in may_be.iter().zip(&mut could_be) {
                    *could_be &= found.value.as_ref() == value_after(*count, key);
                }
                if could_be == [false, false] {
                    let shown = |value: Option<&Vec<u8>>| {
                        value.map(|value| format!("{:.8}[{}]", String::from_utf8_lossy(value), value.len()))
                    };
                    return Err(format!(
                        "after {acknowledged} acknowledged writes {key} is {:?}, expected {:?}",
                        shown(found.value.as_ref()),
                        shown(value_after(acknowledged, key))
                    ));
                }
            }
            client.wait(client.client().put("after", "all")).map_err(|error| format!("a write: {error}"))?;
        }
        node.stop()?;
        verify(root, &["--full"])
    }
}

/// Losses of power in the life of a node. What was lost by the first that lost something.
fn lose_power(
    images: usize,
    load: &Load,
    syncs: Syncs,
    fates: &[Fate],
    random: &mut ChaCha8Rng,
) -> Result<(), String> {
    let life = Life::live(load, syncs, random);
    for _ in 0..images {
        let (moment, fate) = (moment_of(&life.recording, random), fates[below(random, fates.len())]);
        let (image, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_image(&life.recording.disk_at(moment), fate, random, image.path());
        life.check(image.path(), moment, &scratch).map_err(|error| {
            format!("{moment} of {} operations, {fate:?}: {error}", life.recording.ops.len())
        })?;
    }
    Ok(())
}

/// POWER_NODE_IMAGES says of how many moments; POWER_NODE_WRITES and POWER_NODE_BYTES how much is written before the
/// snapshot: with 2,400 and 200,000 files of the Raft log are begun and removed.
#[test]
fn no_power_loss_takes_an_acknowledged_write_of_a_node() {
    if can_trace() {
        let (snapshot, bytes) = (dose("POWER_NODE_WRITES", 1_200), dose("POWER_NODE_BYTES", 3_000));
        let load = Load { snapshot, kill: 50, end: 50, bytes };
        lose_power(dose("POWER_NODE_IMAGES", 24), &load, Syncs::Honest, &FATES, &mut random()).unwrap();
    }
}

/// A test of the test.
#[test]
fn on_a_disk_whose_syncs_do_nothing_a_node_misses_acknowledged_writes() {
    if can_trace() {
        let load = Load { snapshot: 20, kill: 20, end: 20, bytes: 3_000 };
        let lost = lose_power(20, &load, Syncs::Lie, &[Fate::Lost], &mut random());
        assert!(lost.is_err());
    }
}
