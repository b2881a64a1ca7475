//! A machine: a disk, a wall clock, a runtime of its own whose time is virtual, and the replica that runs on it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tensor_chain::{ChainConfig, ChainId, Clock, Identity, NodeId};
use tensor_cluster::api::Peer;
use tensor_cluster::link::PeerService;
use tensor_cluster::simulation::{Planted, Simulated, seeded};
use tensor_cluster::{Replica, ReplicaConfig};
use tokio::runtime::{Builder, Runtime};

use crate::bug::Bug;
use crate::disk::SimulatedDisk;
use crate::network::Network;
use crate::random::Random;

/// A tick of the world: what every machine's time goes on by.
const TICK: Duration = Duration::from_millis(1);
/// How often a machine looks whether another should lead, ticks. Syncs of a sound disk take a tenth of it.
pub const LOOK: u64 = 30;
/// 2026-01-01, when every simulation begins.
const START_MS: u64 = 1_767_225_600_000;

/// The parts of the configuration that differ from run to run.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    pub snapshot_every: u64,
    pub keep_entries: u64,
    pub bug: Option<Bug>,
}

pub struct Machine {
    pub place: usize,
    pub node: NodeId,
    pub disk: SimulatedDisk,
    pub clock: Arc<WallClock>,
    pub running: Option<Running>,
    /// Ticks that have passed while it stood still; `None` while it does not.
    pub paused: Option<u64>,
    dir: PathBuf,
    random: Random,
    tuning: Tuning,
}

/// What a crash ends.
pub struct Running {
    pub replica: Replica,
    pub service: Arc<dyn PeerService>,
    seeds: AtomicU64,
    /// Last, so that tasks end when nobody asks them any more.
    runtime: Runtime,
}

#[derive(Debug)]
pub struct WallClock {
    ms: AtomicU64,
}

impl Clock for WallClock {
    fn now_ms(&self) -> u64 {
        self.ms.load(Ordering::Relaxed)
    }
}

impl WallClock {
    /// Steps to another time, which may lie before.
    pub fn step(&self, ms: i64) {
        let now = self.now_ms();
        self.ms.store(now.saturating_add_signed(ms), Ordering::Relaxed);
    }
}

impl Machine {
    /// A machine with a key and nothing else on its disk.
    pub fn new(place: usize, root: &Path, mut random: Random, tuning: Tuning) -> Self {
        let dir = root.join(format!("machine-{place}"));
        let mut secret = [0; 32];
        secret.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.number().to_le_bytes()));
        let identity = Identity::from_bytes(&secret);
        drop(tensor_chain::dir::DataDir::open(&dir).unwrap());
        let mut key = OpenOptions::new();
        let mut key = key.write(true).create_new(true).mode(0o600).open(dir.join("identity.key")).unwrap();
        key.write_all(&secret).unwrap();
        key.write_all(&identity.public_key_bytes()).unwrap();
        let bug = tuning.bug.and_then(|bug| bug.of_disk(place));
        let disk = SimulatedDisk::new(&dir, random.number(), bug);
        let clock = Arc::new(WallClock { ms: AtomicU64::new(START_MS + random.of(0..2_000)) });
        let (node, running, paused) = (identity.node_id(), None, None);
        Self { place, node, disk, clock, running, paused, dir, random, tuning }
    }

    pub fn peer(&self) -> Peer {
        let (peer_address, http_address) = (format!("peer-{}", self.place), format!("http-{}", self.place));
        Peer { node: self.node, peer_address, http_address }
    }

    pub fn start(&mut self, network: &Network) -> Result<(), String> {
        let config = ReplicaConfig {
            snapshot_every: self.tuning.snapshot_every,
            keep_entries: self.tuning.keep_entries,
            write_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(1),
            look_every: Duration::from_millis(LOOK),
            simulated: Some(Simulated {
                disk: Arc::new(self.disk.clone()),
                planted: self.tuning.bug.and_then(Bug::of_replica),
            }),
            ..ReplicaConfig::new(
                &self.dir,
                ChainConfig {
                    clock: Arc::<WallClock>::clone(&self.clock),
                    chain_id: Some(ChainId([7; 32])),
                    ..ChainConfig::default()
                },
            )
        };
        let runtime = runtime();
        let link = Arc::new(network.link(self.place, self.node));
        let replica = runtime.block_on(seeded(self.random.number(), Replica::start(config, link)));
        let replica = replica.map_err(|error| error.to_string())?;
        let (service, seeds) = (replica.service(), AtomicU64::new(self.random.number()));
        self.running = Some(Running { replica, service, seeds, runtime });
        Ok(())
    }

    /// Lets one tick pass.
    pub fn tick(&mut self) {
        self.clock.step(1);
        match (&mut self.paused, &self.running) {
            (Some(ticks), _) => *ticks += 1,
            (None, Some(running)) => pass(&running.runtime),
            (None, None) => {}
        }
    }

    /// Goes on after a pause: for whoever was stopped no time has passed, but the clocks say otherwise.
    pub fn resume(&mut self) {
        let (Some(ticks), Some(running)) = (self.paused.take(), &self.running) else { return };
        running.runtime.block_on(tokio::time::advance(TICK * u32::try_from(ticks).unwrap()));
    }

    /// Loses power, and what it had not synced. Returns what that was.
    pub fn crash(&mut self) -> String {
        self.paused = None;
        self.disk.power_off();
        self.running = None;
        self.disk.lose(&mut self.random)
    }

    /// Is shut down as an operator would.
    pub fn stop(&mut self) -> Result<(), String> {
        self.resume();
        let Some(running) = self.running.take() else { return Ok(()) };
        let stopped = running.runtime.block_on(seeded(self.random.number(), running.replica.shutdown()));
        // Whoever has the log open writes and syncs all of it before letting go.
        drop(running);
        self.disk.power_off();
        stopped.map_err(|error| error.to_string())
    }

    pub fn replica(&self) -> Option<&Replica> {
        self.running.as_ref().map(|running| &running.replica)
    }
}

/// A runtime with virtual time.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Lets a tick pass on a runtime.
pub fn pass(runtime: &Runtime) {
    runtime.block_on(async { tokio::time::sleep(TICK).await });
}

impl Running {
    /// Starts a task on the machine.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
        drop(self.runtime.spawn(seeded(seed, task)));
    }
}

impl Drop for Machine {
    /// Many runs leave many machines behind.
    fn drop(&mut self) {
        self.running = None;
        drop(fs::remove_dir_all(&self.dir));
    }
}

impl Bug {
    fn of_replica(self) -> Option<Planted> {
        match self {
            Self::ReadWithoutQuorum => Some(Planted::ReadWithoutQuorum),
            Self::LeaderRestore => Some(Planted::LeaderRestore),
            _ => None,
        }
    }
}
