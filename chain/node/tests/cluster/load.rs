//! Clients that write and read a few keys for as long as they are let, and note what they saw.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor_client::ClientError;
use tensor_client::blocking::Node as Client;
use tensor_client::text::Data;
use tensor_client::wire::Problem;
use tensor_tests::register::{Effect, Operation, Value};

use crate::history::{Done, History};
use crate::process::{Cluster, client};

const CLIENTS: u64 = 4;
const KEYS: u64 = 6;

pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<History>>,
    pub clock: Clock,
}

/// One moment for all, and numbers that are written once.
#[derive(Clone)]
pub struct Clock {
    start: Instant,
    next: Arc<AtomicU64>,
}

impl Clock {
    pub fn next_value(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Does something and says when it began and ended, in nanoseconds.
    pub fn time<T>(&self, action: impl FnOnce() -> T) -> (T, Range<u64>) {
        let begun = self.now();
        let outcome = action();
        (outcome, begun..self.now())
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

impl Load {
    /// Lets the clients loose on a cluster.
    pub fn on(cluster: &Cluster, random: &mut ChaCha8Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clock = Clock { start: Instant::now(), next: Arc::new(AtomicU64::new(1)) };
        let clients = (0..CLIENTS as usize).map(|n| {
            let mut endpoints = cluster.endpoints();
            let count = endpoints.len();
            endpoints.rotate_left(n % count);
            let (stop, clock) = (Arc::clone(&stop), clock.clone());
            let random = ChaCha8Rng::seed_from_u64(random.next_u64());
            thread::spawn(move || work(&client(&endpoints), &stop, &clock, random))
        });
        Self { clients: clients.collect(), stop, clock }
    }

    /// Ends it, and says what was done. Too little would prove nothing.
    pub fn finish(self, at_least: usize) -> History {
        self.stop.store(true, Ordering::Relaxed);
        let mut history = History::default();
        self.clients.into_iter().for_each(|client| history.merge(client.join().unwrap()));
        assert!(history.acknowledged() >= at_least, "only {} writes", history.acknowledged());
        history
    }
}

/// Whether every key has the changes that were acknowledged, in an order that explains what was read.
pub fn check(cluster: &Cluster, history: History) {
    let node = client(&cluster.endpoints());
    history.check(|key| changes(&node, key));
}

fn changes(node: &Client, key: &str) -> Vec<(u64, u64)> {
    let (mut changes, mut from) = (Vec::new(), Some(0));
    while let Some(height) = from {
        let page = node.wait(node.client().history(key, height)).unwrap();
        changes.extend(page.changes.into_iter().map(|change| match change.value {
            Some(Data::Text(text)) => (change.height, text.parse::<u64>().unwrap()),
            other => panic!("{key}: {other:?}"),
        }));
        from = page.next;
    }
    changes
}

fn work(node: &Client, stop: &AtomicBool, clock: &Clock, mut random: ChaCha8Rng) -> History {
    let session = loop {
        match node.wait(node.client().session()) {
            Ok(session) => break session,
            Err(_) if !stop.load(Ordering::Relaxed) => {}
            Err(_) => return History::default(),
        }
    };
    let (mut history, mut last_seen) = (History::default(), None);
    while !stop.load(Ordering::Relaxed) {
        let key = format!("key-{}", random.next_u64() % KEYS);
        let done = match random.next_u32() % 10 {
            0..4 => {
                read(node, clock, &key).inspect(|done| last_seen = Some((key.clone(), done.operation.effect)))
            }
            4..6 if last_seen.as_ref().is_some_and(|(seen, _)| *seen == key) => {
                let Some((_, Effect::Read(expected))) = last_seen else { continue };
                let new = clock.next_value();
                let (found, new_text) = (expected.map(|value| value.to_string()), new.to_string());
                let swap = session.cas(&key, found.as_deref().map(str::as_bytes), new_text.as_bytes());
                let (outcome, time) = clock.time(|| node.wait(swap));
                written(Effect::Swap { expected, new }, outcome.map(|receipt| receipt.height), time)
            }
            _ => {
                let new = clock.next_value();
                let (outcome, time) = clock.time(|| node.wait(session.put(&key, new.to_string())));
                written(Effect::Write(Some(new)), outcome.map(|receipt| receipt.height), time)
            }
        };
        done.into_iter().for_each(|done| history.push(&key, done));
    }
    history
}

/// A linearizable read; `None` where no node answered.
pub fn read(node: &Client, clock: &Clock, key: &str) -> Option<Done> {
    let (found, time) = clock.time(|| node.wait(node.client().get(key)));
    let value = found.ok()?.value.map(|bytes| String::from_utf8(bytes).unwrap().parse().unwrap());
    Some(known(Effect::Read(value), time, None))
}

/// What is known of a write. Nothing was done where no node could; a swap that found something else read it.
fn written(effect: Effect, outcome: Result<u64, ClientError>, time: Range<u64>) -> Option<Done> {
    match outcome {
        Ok(height) => Some(known(effect, time, Some(height))),
        Err(ClientError::Unavailable { .. }) => None,
        Err(ClientError::Unknown { .. }) => {
            Some(Done { operation: Operation { effect, begun: time.start, ended: None }, height: None })
        }
        Err(ClientError::Refused(Problem::ValueDiffers { found, .. })) => {
            Some(known(Effect::Read(found.map(number)), time, None))
        }
        Err(error) => panic!("{effect:?}: {error}"),
    }
}

fn known(effect: Effect, time: Range<u64>, height: Option<u64>) -> Done {
    Done { operation: Operation { effect, begun: time.start, ended: Some(time.end) }, height }
}

fn number(data: Data) -> u64 {
    match data {
        Data::Text(text) => text.parse().unwrap(),
        Data::Hex(hex) => panic!("{hex}"),
    }
}

/// What a read saw.
pub fn seen(done: &Done) -> Value {
    match done.operation.effect {
        Effect::Read(seen) => seen,
        Effect::Write(_) | Effect::Swap { .. } => None,
    }
}
