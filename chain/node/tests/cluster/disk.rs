//! Disks that fail or are full under a node: it ends with the code that says so, and loses nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor_client::blocking::Node as Client;
use tensor_client::wire::Problem;
use tensor_client::{AttemptError, ClientConfig, ClientError};
use tensor_tests::faults::dose;

use crate::load::{self, Load};
use crate::process::{Cluster, Ended, Setup, TOKEN, await_that, client, seed};
use crate::strace::{Fault, SYNCS, WRITES, can_trace, injecting};

/// Elections of a node alone need not wait for anybody.
fn alone() -> Setup {
    Setup { env: vec![("TENSORCHAIN_TIMING", "lan")], ..Setup::default() }
}

/// Whether a node may end like this when it meets a fault.
fn is_answer_to(fault: Fault, status: ExitStatus) -> bool {
    match fault {
        Fault::Eio => status.code() == Some(21),
        Fault::Enospc => status.code() == Some(22),
        Fault::Kill => status.signal() == Some(9),
    }
}

fn assert_named(fault: Fault, what: &str, ended: &Ended) {
    assert!(is_answer_to(fault, ended.status), "{what}: {ended:?}");
    assert!(!ended.said.contains("panicked"), "{what}: {ended:?}");
    assert!(fault == Fault::Kill || ended.said.contains("tensorchain: "), "{what} is not named: {ended:?}");
}

/// The files below a directory.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

/// What was written to a node alone, key by key, and is there ever after.
#[derive(Default)]
struct Written {
    keys: Vec<String>,
    asked: usize,
}

impl Written {
    /// Writes until the node ends, at most so often; with a snapshot on the way.
    fn write(&mut self, cluster: &mut Cluster, at_most: u32) {
        let node = hasty(&cluster.endpoint(0));
        for n in 0..at_most {
            if cluster.has_ended(0) {
                return;
            }
            if n == at_most / 2 {
                // Whatever comes of it: it writes the files of a snapshot.
                let _ = node.wait(node.client().admin(TOKEN).snapshot());
            }
            // A key that was not acknowledged may be there or not, and is not asked for again.
            self.asked += 1;
            let key = format!("key-{}", self.asked);
            if node.wait(node.client().put(&key, key.as_str())).is_ok() {
                self.keys.push(key);
            }
        }
    }

    /// Every key that was acknowledged, from number `first` on, has its value.
    fn check_from(&self, first: usize, cluster: &Cluster, what: &str) {
        let node = client(&cluster.endpoints());
        for key in &self.keys[first..] {
            let found = node.wait(node.client().get(key)).unwrap();
            assert_eq!(found.value.as_deref(), Some(key.as_bytes()), "{what}: {key} was acknowledged");
        }
    }
}

/// A client that does not wait for a node that has ended.
fn hasty(endpoint: &str) -> Client {
    let timeout = Duration::from_millis(300);
    Client::new([endpoint], ClientConfig { attempt_timeout: timeout, deadline: timeout }).unwrap()
}

/// One fault after the other in a node alone, each in another call. CLUSTER_SYSCALLS says in how many of the first ones.
#[test]
fn a_node_alone_survives_a_fault_in_any_system_call() {
    if !can_trace() {
        return;
    }
    let calls = dose("CLUSTER_SYSCALLS", 16);
    let mut cluster = Cluster::of(1, alone());
    let mut written = Written::default();
    let mut took_effect = BTreeMap::from([Fault::Eio, Fault::Enospc, Fault::Kill].map(|fault| (fault, 0)));
    for nth in 1..=calls {
        for (fault, which) in [(Fault::Eio, SYNCS), (Fault::Enospc, WRITES), (Fault::Kill, SYNCS)] {
            let what = format!("{fault:?} in call {nth} of {which}");
            let first = written.keys.len();
            cluster.terminate(0);
            let dir = cluster.nodes[0].dir.clone();
            let files = if which == WRITES { files_below(&dir) } else { Vec::new() };
            match cluster.try_start(0, &injecting(fault, which, nth, &files)) {
                Ok(()) => {
                    written.write(&mut cluster, nth + 20);
                    if !cluster.has_ended(0) {
                        cluster.signal(0, "TERM");
                    }
                    let ended = cluster.await_end(0);
                    // What closing leaves undone for the next start may fail without harm.
                    if ended.status.code() != Some(0) {
                        assert_named(fault, &what, &ended);
                        *took_effect.entry(fault).or_default() += 1;
                    }
                }
                Err(ended) => {
                    assert_named(fault, &what, &ended);
                    *took_effect.entry(fault).or_default() += 1;
                }
            }
            cluster.start(0);
            written.check_from(first, &cluster, &what);
        }
    }
    assert!(took_effect.values().all(|&times| times * 2 > calls), "{took_effect:?} of {calls} each");
    written.check_from(0, &cluster, "all faults");
    assert!(written.keys.len() > 100, "only {} writes", written.keys.len());
}

/// What the log has and the chain has not is applied before a node listens: a disk that is full by then is named as well.
#[test]
fn a_disk_that_is_full_at_the_start_is_named() {
    if !can_trace() {
        return;
    }
    let mut cluster = Cluster::of(1, alone());
    let put = |cluster: &Cluster, n: u8| {
        let node = client(&cluster.endpoints());
        node.wait(node.client().put(&format!("key-{n}"), vec![n])).unwrap();
    };
    put(&cluster, 0);
    cluster.terminate(0);
    let dir = cluster.nodes[0].dir.clone();
    let before: Vec<_> =
        files_of_the_chain(&dir).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect();
    cluster.start(0);
    (1..20).for_each(|n| put(&cluster, n));
    cluster.kill(0);
    // As after a power loss: the log was synced, the chain was not.
    files_of_the_chain(&dir).iter().for_each(|file| fs::remove_file(file).unwrap());
    before.iter().for_each(|(content, file)| fs::write(file, content).unwrap());
    let full = injecting(Fault::Enospc, WRITES, 1, &[dir.join("blocks.log")]);
    let ended = cluster.try_start(0, &full).expect_err("what the log has is applied before the node listens");
    assert_named(Fault::Enospc, "the first write of a block", &ended);
    cluster.start(0);
    let node = client(&cluster.endpoints());
    for n in 0..20 {
        let found = node.wait(node.client().get(&format!("key-{n}"))).unwrap();
        assert_eq!(found.value, Some(vec![n]));
    }
}

/// The files of a data directory that are of the chain, and not of the log that it is made from.
fn files_of_the_chain(dir: &Path) -> Vec<PathBuf> {
    let is_of_it =
        |file: &PathBuf| ["blocks.log", "CLEAN", "index"].iter().any(|name| file.starts_with(dir.join(name)));
    files_below(dir).into_iter().filter(is_of_it).collect()
}

/// One fault after the other in one node of three while clients write. CLUSTER_FAULTS says how often.
#[test]
fn a_fault_in_one_of_three_costs_no_write() {
    if !can_trace() {
        return;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let mut cluster = Cluster::of_three();
    let load = Load::on(&cluster, &mut random);
    let faults = [(Fault::Eio, SYNCS), (Fault::Enospc, WRITES), (Fault::Kill, SYNCS)];
    let faults_to_inject = dose("CLUSTER_FAULTS", 12) as usize;
    let mut without_effect = Vec::new();
    for turn in 0..faults_to_inject {
        let (fault, which) = faults[turn % faults.len()];
        let nth = 1 + random.next_u32() % 40;
        let what = format!("{fault:?} in call {nth} of {which}");
        let victim = random.next_u32() as usize % 3;
        cluster.kill(victim);
        let files = if which == WRITES { files_below(&cluster.nodes[victim].dir) } else { Vec::new() };
        let ended = match cluster.try_start(victim, &injecting(fault, which, nth, &files)) {
            Err(ended) => Some(ended),
            Ok(()) => {
                // Entries that come many at once, because it was behind, cost one call together. Files that are made
                // meanwhile are not among those that fail.
                let (mut before, mut calls) = (u64::MAX, 0);
                let is_over = || {
                    let applied = cluster.applied(victim).unwrap_or(before);
                    calls += applied.saturating_sub(before).min(10);
                    before = applied;
                    cluster.has_ended(victim) || calls > 400
                };
                await_that("the fault takes effect, or cannot", is_over);
                cluster.has_ended(victim).then(|| cluster.await_end(victim))
            }
        };
        match ended {
            Some(ended) => assert_named(fault, &what, &ended),
            None => {
                cluster.kill(victim);
                without_effect.push(what);
            }
        }
        cluster.start(victim);
        cluster.await_progress(10);
    }
    assert!(without_effect.len() * 3 <= faults_to_inject, "without effect: {without_effect:#?}");
    let history = load.finish(100);
    cluster.await_same_state();
    load::check(&cluster, history);
}

/// A file system of a few megabytes that lasts as long as this, in which programs can be run.
struct SmallDisk {
    holder: Child,
    mounted: PathBuf,
}

impl SmallDisk {
    /// `None` where this machine does not let one be mounted.
    #[expect(clippy::print_stderr, reason = "a skipped check says so")]
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let script =
            format!("mount -t tmpfs -o size={megabytes}m none {} && echo mounted && cat", at.display());
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut holder = holder.ok()?;
        let mut said = [0; 8];
        if holder.stdout.as_mut()?.read_exact(&mut said).is_err() {
            eprintln!("SKIPPED: no file system can be mounted here; no disk was filled");
            return None;
        }
        let mounted = PathBuf::from(format!("/proc/{}/root{}", holder.id(), at.display()));
        Some(Self { holder, mounted })
    }

    /// The program to start a node through so that it sees the file system.
    fn inside(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        let words = ["nsenter", "--user", "--mount", "--preserve-credentials", "--target", &pid];
        words.map(str::to_owned).into()
    }

    /// Takes room until so many kibibytes are left.
    fn fill(&self, left_kib: u64) {
        let disk = rustix::fs::statvfs(&self.mounted).unwrap();
        let kib = (disk.f_bavail * disk.f_frsize / 1024).checked_sub(left_kib).unwrap();
        fs::write(self.mounted.join("ballast"), vec![1; kib as usize * 1024]).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.mounted.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What a node says to a write.
fn refusal(node: &Client, key: &str, value: Vec<u8>) -> Option<Problem> {
    match node.wait(node.client().put(key, value)) {
        Ok(_) => None,
        Err(ClientError::Unavailable { last: AttemptError::Problem { problem, .. } }) => Some(problem),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_disk_that_fills_up_refuses_writes_answers_reads_and_recovers_by_itself() {
    let parent = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&parent.path().join("disk"), 64) else { return };
    let mut cluster = Cluster::of_one_through(&disk.inside(), &parent.path().join("disk/node"), alone());
    let node = hasty(&cluster.endpoint(0));
    await_that("a write", || node.wait(node.client().put("key", "before")).is_ok());

    disk.fill(2_000); // of 64 MiB: 97 % are in use
    let is_full =
        |problem| matches!(problem, Some(Problem::DiskFull { used_percent: 95.., limit_percent: 95 }));
    await_that("writes are refused", || is_full(refusal(&node, "another", b"refused".to_vec())));
    assert_eq!(node.wait(node.client().get("key")).unwrap().value.as_deref(), Some(&b"before"[..]));
    disk.make_room();
    await_that("writes are taken again", || refusal(&node, "key", b"after".to_vec()).is_none());
    assert_eq!(node.wait(node.client().get("key")).unwrap().value.as_deref(), Some(&b"after"[..]));

    // All of them are let in before anybody looks: the log itself meets the end of the disk.
    disk.fill(4_000); // 94 %
    let put = |n| {
        let node = hasty(&cluster.endpoint(0));
        move || node.wait(node.client().put(&format!("large-{n}"), vec![7; 1_000_000])).is_ok()
    };
    let puts: Vec<_> = (0..8).map(|n| (n, thread::spawn(put(n)))).collect();
    let acknowledged: Vec<_> =
        puts.into_iter().filter_map(|(n, put)| put.join().unwrap().then_some(n)).collect();
    let ended = cluster.await_end(0);
    assert_named(Fault::Enospc, "a full disk", &ended);
    disk.make_room();
    cluster.try_start(0, &disk.inside()).unwrap();
    let node = client(&cluster.endpoints());
    for n in acknowledged {
        let found = node.wait(node.client().get(&format!("large-{n}"))).unwrap().value;
        assert_eq!(found, Some(vec![7; 1_000_000]), "large-{n} was acknowledged");
    }
    assert_eq!(node.wait(node.client().get("key")).unwrap().value.as_deref(), Some(&b"after"[..]));
    node.wait(node.client().put("key", "at last")).unwrap();
}
