//! Clients: each has a session, asks one thing after the other, and asks again with the same number until it knows the
//! outcome or loses patience. Some writes go without a session; those are never sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tensor_chain::{ChainError, Changeset, Rejection, Transaction};
use tensor_cluster::Replica;
use tensor_cluster::api::{ClientId, Peer, ReadError, SubmitError, Write};
use tokio::time::{sleep, timeout};

use crate::history::{Action, History, Outcome, Value};
use crate::network::Network;
use crate::random::Random;

/// How long a client waits for an answer before it asks elsewhere.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How often it asks for one and the same thing.
const ATTEMPTS: usize = 12;
const KEYS: u64 = 6;

/// What clients of one run share.
#[derive(Clone)]
pub struct Outside {
    pub network: Network,
    pub history: History,
    pub machines: usize,
    /// Set when they shall begin nothing new.
    pub over: Arc<AtomicBool>,
}

impl Outside {
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The machine of whom an answer names.
    pub fn place_of(&self, leader: Option<&Peer>) -> Option<usize> {
        leader.and_then(|leader| self.network.place_of(leader.node))
    }
}

pub struct Client {
    number: u64,
    outside: Outside,
    random: Random,
    /// Whom it asks first.
    place: usize,
    session: Option<ClientId>,
    /// Number of its last write.
    sequence: u64,
    /// What it knows of each key.
    known: Vec<Value>,
    /// How far the chain was that it has seen.
    height: u64,
    think_ms: u64,
}

impl Client {
    pub fn new(number: u64, outside: Outside, mut random: Random) -> Self {
        let (place, think_ms) = (random.index(outside.machines), random.of(5..40));
        let known = vec![None; KEYS as usize];
        let (session, sequence, height) = (None, 0, 0);
        Self { number, outside, random, place, session, sequence, known, height, think_ms }
    }

    pub async fn run(mut self) {
        while !self.outside.is_over() {
            sleep(Duration::from_millis(self.random.of(1..2 * self.think_ms))).await;
            let key = self.random.index(KEYS as usize);
            match self.random.of(0..100) {
                _ if self.session.is_none() => self.open_session().await,
                0..35 => {
                    let value = self.value();
                    self.write(key, Action::Put(value)).await;
                }
                35..50 => {
                    let (expected, new) = (self.known[key].clone(), self.value());
                    self.write(key, Action::Swap { expected, new }).await;
                }
                50..60 => self.write(key, Action::Delete).await,
                60..90 => self.read(key).await,
                _ => self.read_stale(key).await,
            }
        }
    }

    /// A value that nobody writes again.
    fn value(&mut self) -> Vec<u8> {
        self.sequence += 1;
        format!("{}.{}", self.number, self.sequence).into_bytes()
    }

    async fn open_session(&mut self) {
        let open = |replica: Replica| async move { replica.open_session().await };
        match timeout(PATIENCE, self.outside.network.ask(self.place, "session", open)).await {
            Ok(Some(Ok(client))) => self.session = Some(client),
            Ok(Some(Err(SubmitError::NotLeader { leader }))) => self.go_to(leader.as_ref()).await,
            _ => self.go_to(None).await,
        }
    }

    async fn write(&mut self, key: usize, action: Action) {
        if action == Action::Delete {
            self.sequence += 1;
        }
        let session = self.session.filter(|_| self.random.percent(85)).map(|id| (id, self.sequence));
        let operation = self.begin(key, action.clone());
        let write = Write { changeset: changeset(&name(key), &action), session };
        let (mut outcome, mut may_have_happened) = (None, false);
        for _ in 0..ATTEMPTS {
            let asked = write.clone();
            let submit = |replica: Replica| async move { replica.submit(asked).await };
            match timeout(PATIENCE, self.outside.network.ask(self.place, "write", submit)).await {
                Ok(Some(Ok(committed))) => outcome = Some(Outcome::Committed(committed)),
                Ok(Some(Err(SubmitError::Rejected(Rejection::ValueDiffers { found, .. })))) => {
                    outcome = Some(Outcome::Found(found));
                }
                Ok(Some(Err(SubmitError::NotLeader { leader }))) => self.go_to(leader.as_ref()).await,
                // It will lead soon, or is no member at all.
                Ok(Some(Err(SubmitError::Retry | SubmitError::Busy))) => match self.random.percent(70) {
                    true => self.wait().await,
                    false => self.go_to(None).await,
                },
                Ok(Some(Err(SubmitError::Unknown | SubmitError::Stopped)) | None) | Err(_) => {
                    may_have_happened = true;
                    if session.is_none() {
                        break;
                    }
                    self.go_to(None).await;
                }
                Ok(Some(Err(wrong))) => {
                    let who = format!("client {}, session {session:?}", self.number);
                    self.outside.history.wrong(format!("ExactlyOnce: {who} was told: {wrong}"));
                    break;
                }
            }
            if outcome.is_some() {
                break;
            }
        }
        let unfinished = if may_have_happened { Outcome::Unknown } else { Outcome::Failed };
        let outcome = outcome.unwrap_or(unfinished);
        match &outcome {
            Outcome::Committed(_) => self.known[key] = written(&action),
            Outcome::Found(value) => self.known[key].clone_from(value),
            _ => {}
        }
        self.outside.history.end(operation, outcome);
    }

    async fn read(&mut self, key: usize) {
        let operation = self.begin(key, Action::Read);
        // Any node answers; most clients go where they last were.
        let place =
            if self.random.percent(30) { self.random.index(self.outside.machines) } else { self.place };
        let look = move |replica: Replica| async move {
            replica.read_barrier().await?;
            let chain = replica.chain();
            Ok::<_, ReadError>((chain.get(&name(key)), chain.height().0))
        };
        let outcome = match timeout(PATIENCE, self.outside.network.ask(place, "read", look)).await {
            Ok(Some(Ok((Ok(value), height)))) => {
                if height < self.height {
                    let who = format!("client {} at machine {place}", self.number);
                    let what = format!("MonotoneReads: {who} read at height {height} after {}", self.height);
                    self.outside.history.wrong(what);
                }
                self.height = height;
                self.known[key].clone_from(&value);
                Outcome::Read { value, height }
            }
            Ok(Some(Ok((Err(ChainError::NotInitialized), _)))) => Outcome::Failed,
            Ok(Some(Ok((Err(error), _)))) => {
                self.outside.history.wrong(format!("a read failed: {error}"));
                Outcome::Failed
            }
            _ => {
                self.go_to(None).await;
                Outcome::Failed
            }
        };
        self.outside.history.end(operation, outcome);
    }

    async fn read_stale(&mut self, key: usize) {
        let operation = self.begin(key, Action::StaleRead);
        let place = self.random.index(self.outside.machines);
        let look = move |replica: Replica| async move {
            let chain = replica.chain();
            (chain.get(&name(key)), chain.height().0)
        };
        let outcome = match timeout(PATIENCE, self.outside.network.ask(place, "stale read", look)).await {
            // A node that has heard nothing of the cluster yet has no chain.
            Ok(Some((Ok(value), height))) => Outcome::Read { value, height },
            _ => Outcome::Failed,
        };
        self.outside.history.end(operation, outcome);
    }

    fn begin(&self, key: usize, action: Action) -> usize {
        self.outside.history.begin(self.number, &name(key), action, self.outside.network.now())
    }

    /// Asks there next, or anywhere.
    async fn go_to(&mut self, leader: Option<&Peer>) {
        let anywhere = self.random.index(self.outside.machines);
        self.place = self.outside.place_of(leader).unwrap_or(anywhere);
        self.wait().await;
    }

    async fn wait(&mut self) {
        sleep(Duration::from_millis(self.random.of(5..120))).await;
    }
}

pub fn name(key: usize) -> String {
    format!("key-{key}")
}

fn written(action: &Action) -> Value {
    match action {
        Action::Put(value) | Action::Swap { new: value, .. } => Some(value.clone()),
        _ => None,
    }
}

fn changeset(key: &str, action: &Action) -> Changeset {
    let key = key.to_owned();
    let transaction = match action.clone() {
        Action::Put(data) => Transaction::Put { key, data },
        Action::Swap { expected, new } => Transaction::CompareAndSwap { key, expected, new },
        _ => Transaction::Delete { key },
    };
    Changeset::single(transaction).unwrap()
}
