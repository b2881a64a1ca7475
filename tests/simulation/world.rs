//! One run: machines, network, clients, an operator and faults, a millisecond of virtual time after the other, and at
//! the end what must have come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tensor_chain::{BlockHash, Height, TensorChain};
use tensor_cluster::api::{ReplicaStatus, Role};
use tokio::runtime::Runtime;

use crate::bug::Bug;
use crate::client::{Client, Outside};
use crate::disk::SYNC_MS;
use crate::faults::{Event, Faults};
use crate::history::{Action, History, Operation, Outcome};
use crate::invariants::{CALM, Invariants};
use crate::linearizable;
use crate::machine::{Machine, Tuning, pass, runtime};
use crate::network::{Network, OUTSIDE, Weather};
use crate::operator::{Deeds, Operator};
use crate::random::Random;

/// Ticks with faults.
pub const TICKS: u64 = 10_000;
/// Ticks within which a write succeeds once the faults are over: ten of the longest election timeouts.
const LIVE_WITHIN: u64 = 10 * 500;
/// Ticks that nodes then have to catch up with each other, and clients to finish.
const SETTLED_WITHIN: u64 = 20_000;
/// A run with fewer acknowledged writes has shown nothing.
const FEWEST_WRITES: usize = 10;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    pub trace: String,
    pub acknowledged: usize,
    pub reads: usize,
    pub unknown: usize,
    /// How often each fault took effect and each deed was done.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs a seed; the error says what does not hold, with the last events before.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<Report, String> {
    run_as(seed, bug, World::live)
}

/// Runs a seed in which nothing goes wrong, but for the disk of the leader that becomes slow, or the disks of all.
pub fn run_on_slow_disks(seed: u64, all: bool) -> Result<Report, String> {
    run_as(seed, None, |world| world.live_on_slow_disks(all))
}

fn run_as(
    seed: u64,
    bug: Option<Bug>,
    live: impl FnOnce(&mut World) -> Result<(), String>,
) -> Result<Report, String> {
    let root = tempfile::tempdir_in(root()).unwrap();
    let mut world = World::new(seed, bug, root.path());
    let result = catch_unwind(AssertUnwindSafe(|| live(&mut world)));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        Err(format!("panic: {text}"))
    });
    let report = world.report();
    result.map(|()| report).map_err(|violation| {
        let lines = world.network.trace(|trace| trace.lines());
        format!("{lines}seed {seed} after {} ticks: {violation}", world.now)
    })
}

/// Memory where there is a file system in it: what is lost in a crash is simulated, so nothing has to be synced.
fn root() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

struct World {
    now: u64,
    network: Network,
    history: History,
    machines: Vec<Machine>,
    faults: Faults,
    invariants: Invariants,
    counts: BTreeMap<&'static str, u64>,
    deeds: Deeds,
    over: Arc<AtomicBool>,
    removed: Arc<Mutex<BTreeSet<usize>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    outside: Runtime,
}

impl World {
    fn new(seed: u64, bug: Option<Bug>, root: &Path) -> Self {
        let mut random = Random::new(seed);
        let network = Network::new(random.fork());
        let voters = if random.percent(70) { 3 } else { 5 };
        let count = voters + random.index(3);
        let tuning = Tuning { snapshot_every: random.of(30..300), keep_entries: random.of(0..40), bug };
        let machines: Vec<_> =
            (0..count).map(|place| Machine::new(place, root, random.fork(), tuning)).collect();
        let outside = runtime();
        let mut world = Self {
            now: 0,
            network,
            history: History::default(),
            faults: Faults::new(random.fork(), count),
            machines,
            invariants: Invariants::default(),
            counts: BTreeMap::new(),
            deeds: Deeds::default(),
            over: Arc::default(),
            removed: Arc::default(),
            tasks: Vec::new(),
            outside,
        };
        world.found(voters, &mut random);
        world
    }

    /// Starts all machines, makes some of them a cluster, and lets clients and operator begin.
    fn found(&mut self, voters: usize, random: &mut Random) {
        for machine in &mut self.machines {
            machine.start(&self.network).unwrap();
        }
        let peers: Vec<_> = self.machines.iter().map(Machine::peer).collect();
        let members = peers[..voters].to_vec();
        if let Some(running) = &self.machines[0].running {
            let replica = running.replica.clone();
            running.spawn(async move { replica.initialize(members).await.unwrap() });
        }
        let (network, history) = (self.network.clone(), self.history.clone());
        let outside =
            Outside { network, history, machines: self.machines.len(), over: Arc::clone(&self.over) };
        for number in 0..random.of(3..7) {
            let client = Client::new(number, outside.clone(), random.fork());
            self.tasks.push(self.outside.spawn(client.run()));
        }
        let (deeds, removed) = (self.deeds.clone(), Arc::clone(&self.removed));
        let operator = Operator { outside, random: random.fork(), peers, deeds, removed };
        self.tasks.push(self.outside.spawn(operator.run()));
    }

    fn live(&mut self) -> Result<(), String> {
        for _ in 0..TICKS {
            let leader = self.leader();
            for event in self.faults.at(self.now, leader) {
                self.happen(event)?;
            }
            self.tick()?;
        }
        self.end()
    }

    /// The faults are over, everybody comes to an end, and it is judged what came of it all.
    fn end(&mut self) -> Result<(), String> {
        self.calm()?;
        let calm = self.now;
        self.until(LIVE_WITHIN, "Liveness: no write was acknowledged", |world| {
            world.history.acknowledged_since(calm) > 0
        })?;
        self.over.store(true, Ordering::Relaxed);
        self.until(SETTLED_WITHIN, "Liveness: clients wait for ever", |world| {
            world.tasks.iter().all(tokio::task::JoinHandle::is_finished)
        })?;
        self.until(SETTLED_WITHIN, "Liveness: nodes do not catch up", Self::settled)?;
        self.judge()
    }

    fn live_on_slow_disks(&mut self, all: bool) -> Result<(), String> {
        // The last to be let in was the operator: who leads is not for him to say.
        self.tasks.pop().ok_or("no operator")?.abort();
        let leads = |world: &Self| world.leader().is_some();
        self.until(LIVE_WITHIN, "Liveness: nobody leads", leads)?;
        self.pass(2 * CALM)?;
        let leader = self.leader().ok_or("nobody leads")?;
        let sick: Vec<usize> = if all { (0..self.machines.len()).collect() } else { vec![leader] };
        for place in sick {
            self.happen(Event::SlowDisk(place, 200))?;
        }
        if !all {
            let moved = |world: &Self| world.leader().is_some_and(|place| place != leader);
            self.until(CALM, "the leader with the slow disk leads on", moved)?;
        }
        let leader = self.leader();
        self.pass(4 * CALM)?;
        if self.leader() != leader {
            return Err(format!("the leadership went on from {leader:?} to {:?}", self.leader()));
        }
        self.end()
    }

    fn pass(&mut self, ticks: u64) -> Result<(), String> {
        (0..ticks).try_for_each(|_| self.tick())
    }

    fn tick(&mut self) -> Result<(), String> {
        self.now += 1;
        for (place, arrival) in self.network.arrivals(self.now) {
            arrival(if place == OUTSIDE { None } else { self.machines[place].running.as_ref() });
        }
        for machine in &mut self.machines {
            machine.tick();
        }
        pass(&self.outside);
        self.retire();
        self.invariants.check(&self.machines, &self.network)?;
        self.history.first_wrong().map_or(Ok(()), Err)
    }

    /// Nodes that were removed are switched off some time or other.
    fn retire(&mut self) {
        let removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for place in removed.into_iter().filter(|_| self.now.is_multiple_of(512)) {
            if self.machines[place].running.is_some() {
                self.network.line(format_args!("machine {place} is retired"));
                self.machines[place].crash();
                self.invariants.crashed(place);
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        let retired = self.removed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let name = event.name();
        self.network.line(format_args!("{event:?}"));
        let took_effect = match event {
            Event::Cut(pairs) => {
                pairs.iter().for_each(|&(from, to)| self.network.cut(from, to));
                !pairs.is_empty()
            }
            Event::Heal => {
                self.network.heal();
                true
            }
            Event::Crash(place) => {
                let runs = self.machines[place].running.is_some();
                if runs {
                    let lost = self.machines[place].crash();
                    self.invariants.crashed(place);
                    self.network.line(format_args!("machine {place} {lost}"));
                }
                runs
            }
            Event::Stop(place) => {
                let runs = self.machines[place].running.is_some();
                self.machines[place].stop()?;
                self.invariants.crashed(place);
                runs
            }
            Event::Start(place) => {
                if self.machines[place].running.is_none() && !retired.contains(&place) {
                    self.start(place)?;
                }
                true
            }
            Event::Pause(place) => {
                let runs = self.machines[place].running.is_some();
                if runs && self.machines[place].paused.is_none() {
                    self.machines[place].paused = Some(0);
                }
                runs
            }
            Event::Resume(place) => {
                self.machines[place].resume();
                true
            }
            Event::Clock(place, ms) => {
                self.machines[place].clock.step(ms);
                true
            }
            Event::Weather(delay, lost, doubled) => {
                self.network.set_weather(Event::weather(delay, lost, doubled));
                true
            }
            Event::Fair => {
                self.network.set_weather(Weather::FAIR);
                true
            }
            Event::SlowDisk(place, ms) => {
                self.machines[place].disk.set_sync_ms(ms / 2..ms + 1);
                true
            }
            Event::FastDisk(place) => {
                self.machines[place].disk.set_sync_ms(SYNC_MS);
                true
            }
            Event::Reset(place) => {
                self.network.reset(place);
                true
            }
        };
        if let (Some(name), true) = (name, took_effect) {
            *self.counts.entry(name).or_default() += 1;
        }
        Ok(())
    }

    fn start(&mut self, place: usize) -> Result<(), String> {
        let started = self.machines[place].start(&self.network);
        started.map_err(|error| format!("Recovery: machine {place} does not start: {error}"))
    }

    /// The faults are over.
    fn calm(&mut self) -> Result<(), String> {
        self.network.line(format_args!("the faults are over"));
        self.network.heal();
        self.network.set_weather(Weather::FAIR);
        for place in 0..self.machines.len() {
            self.happen(Event::FastDisk(place))?;
            self.happen(Event::Resume(place))?;
            self.happen(Event::Start(place))?;
        }
        Ok(())
    }

    fn until(&mut self, ticks: u64, otherwise: &str, is: impl Fn(&Self) -> bool) -> Result<(), String> {
        for _ in 0..ticks {
            if is(self) {
                return Ok(());
            }
            self.tick()?;
        }
        let status = |machine: &Machine| machine.replica().map(|replica| format!("\n{:?}", replica.status()));
        let nodes: String = self.machines.iter().filter_map(status).collect();
        Err(format!("{otherwise} within {ticks} ticks{nodes}"))
    }

    fn leader(&self) -> Option<usize> {
        let leads = |machine: &&Machine| {
            machine.paused.is_none()
                && machine.replica().is_some_and(|replica| replica.status().role == Role::Leader)
        };
        self.machines.iter().find(leads).map(|machine| machine.place)
    }

    /// Whether every member has applied all that is committed.
    fn settled(&self) -> bool {
        let Some(leader) = self.leader().and_then(|place| self.machines[place].replica()) else {
            return false;
        };
        let goal = leader.status();
        goal.applied == goal.last_log
            && goal.members.iter().all(|member| {
                let machine = self.machines.iter().find(|machine| machine.node == member.peer.node);
                let status = machine.and_then(Machine::replica).map(tensor_cluster::Replica::status);
                status.is_some_and(|status| status.applied == goal.applied)
            })
    }

    /// What must have come of it all.
    fn judge(&self) -> Result<(), String> {
        let leader = self.leader().and_then(|place| self.machines[place].replica()).ok_or("no leader")?;
        let (chain, goal) = (leader.chain(), leader.status());
        chain.verify_full().map_err(|error| format!("the chain is not sound: {error}"))?;
        let operations = self.history.operations();
        exactly_once(&chain, &operations)?;
        for member in &goal.members {
            let machine = self.machines.iter().find(|machine| machine.node == member.peer.node);
            let machine = machine.ok_or("a member is no machine")?;
            let replica = machine.replica().ok_or("a member does not run")?;
            let status = replica.status();
            let end = |status: &ReplicaStatus| (status.height, status.tip_hash, status.state_hash);
            if end(&status) != end(&goal) {
                let (place, here, there) = (machine.place, end(&status), end(&goal));
                return Err(format!(
                    "EqualState: after the same entries machine {place} is at {here:?}, the leader at {there:?}"
                ));
            }
            acknowledged_stays(&replica.chain(), &operations)?;
        }
        reads_are_of_their_height(&chain, &operations)?;
        linearizable::check(&operations).map_err(|why| format!("Linearizable: {why}"))?;
        let acknowledged = self.report().acknowledged;
        match acknowledged < FEWEST_WRITES {
            true => {
                Err(format!("inconclusive: {acknowledged} writes were acknowledged, {FEWEST_WRITES} wanted"))
            }
            false => Ok(()),
        }
    }

    fn report(&self) -> Report {
        let operations = self.history.operations();
        let count =
            |is: &dyn Fn(&Operation) -> bool| operations.iter().filter(|operation| is(operation)).count();
        let mut counts = self.counts.clone();
        for deed in self.deeds.list() {
            *counts.entry(deed).or_default() += 1;
        }
        counts.insert("snapshot installed", self.invariants.installed);
        counts.insert("hand-over", self.invariants.handovers);
        let is_write = |operation: &Operation| !matches!(operation.action, Action::Read | Action::StaleRead);
        Report {
            trace: self.network.trace(|trace| trace.hash()),
            acknowledged: count(&|operation| matches!(operation.outcome, Outcome::Committed(_))),
            reads: count(&|operation| matches!(operation.outcome, Outcome::Read { .. })),
            unknown: count(&|operation| operation.outcome == Outcome::Unknown && is_write(operation)),
            counts,
        }
    }
}

/// No write is in the chain twice, whatever the client was told and however often it asked.
fn exactly_once(chain: &TensorChain, operations: &[Operation]) -> Result<(), String> {
    let mut found = BTreeMap::<Vec<u8>, Height>::new();
    for block in chain.iter() {
        let block = block.map_err(|error| error.to_string())?;
        let height = block.header.height;
        for transaction in block.changesets.iter().flat_map(|changeset| changeset.transactions()) {
            let Some(value) = transaction.written() else { continue };
            if let Some(before) = found.insert(value.to_vec(), height) {
                let value = String::from_utf8_lossy(&value).into_owned();
                return Err(format!("ExactlyOnce: {value} was written at heights {before} and {height}"));
            }
        }
    }
    for operation in operations {
        let Some(Some(value)) = operation.written() else { continue };
        let got = found.get(&value);
        let fits = match &operation.outcome {
            Outcome::Committed(committed) => got == Some(&committed.height),
            Outcome::Failed | Outcome::Found(_) => got.is_none(),
            Outcome::Unknown | Outcome::Read { .. } => true,
        };
        if !fits {
            return Err(format!("ExactlyOnce: the chain has {got:?} of {operation:?}"));
        }
    }
    Ok(())
}

/// What was acknowledged is in the very block that the client was told.
fn acknowledged_stays(chain: &TensorChain, operations: &[Operation]) -> Result<(), String> {
    let mut hashes = BTreeMap::<Height, Option<BlockHash>>::new();
    for operation in operations {
        let Outcome::Committed(committed) = operation.outcome else { continue };
        let hash = match hashes.get(&committed.height) {
            Some(hash) => *hash,
            None => {
                let block = chain.get_block(committed.height).map_err(|error| error.to_string())?;
                let hash = block.map(|block| block.hash());
                hashes.insert(committed.height, hash);
                hash
            }
        };
        if hash != Some(committed.block_hash) {
            return Err(format!("AcknowledgedStays: the chain has {hash:?} for {operation:?}"));
        }
    }
    Ok(())
}

/// Every read, stale ones too, shows the state of the height that it names.
fn reads_are_of_their_height(chain: &TensorChain, operations: &[Operation]) -> Result<(), String> {
    for operation in operations {
        let Outcome::Read { value, height } = &operation.outcome else { continue };
        let was = chain.get_at(&operation.key, Height(*height)).map_err(|error| error.to_string())?;
        if was != *value {
            return Err(format!("ReadOfItsHeight: the chain has {was:?} for {operation:?}"));
        }
    }
    Ok(())
}
