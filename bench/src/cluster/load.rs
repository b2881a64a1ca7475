//! Clients outside the cluster that ask without pause: each sends its next request when the last one is answered.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use super::error::ClusterError;
use super::process;

/// Time before the clock starts: connections are opened and the nodes warm up.
const WARM_UP: Duration = Duration::from_millis(500);
/// Latencies that are kept of a load, evenly spread over all in their order.
const KEPT: usize = 1_000;

/// A connection to a cluster, ours or a peer's. One client uses it, or several in turns.
pub(super) trait Connection: Send + Sync {
    /// Writes keys and values in one request; returns when all are durable.
    fn write(&self, puts: Vec<(String, String)>) -> BoxFuture<'_, Result<(), ClusterError>>;

    /// The newest value of a key.
    fn read<'c>(&'c self, key: &'c str) -> BoxFuture<'c, Result<Option<Vec<u8>>, ClusterError>>;
}

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// New keys, so many in each request.
    Writes(u64),
    /// Linearizable reads of one key each, among so many written before.
    Reads(u64),
}

/// So many clients, for so long.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) asks: Asks,
    pub(super) clients: usize,
    pub(super) bytes: usize,
    /// With which all keys begin.
    pub(super) prefix: String,
    pub(super) time: Duration,
}

/// What a load came to, within its time.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// Seconds of each request, ascending; of many, evenly spread ones.
    pub(super) latency_s: Vec<f64>,
    /// Seconds in all.
    pub(super) seconds: f64,
    /// Requests answered.
    pub(super) requests: u64,
    /// Processor seconds of the nodes.
    pub(super) nodes_cpu_s: f64,
    /// Processor seconds of the clients.
    pub(super) clients_cpu_s: f64,
    /// Requests of each client that were answered, before and after the time too.
    pub(super) answered: Vec<u64>,
}

impl Load {
    /// The key of an item of a client's request.
    pub(super) fn key(&self, client: usize, request: u64, item: u64) -> String {
        let per_request = if let Asks::Writes(count) = self.asks { count } else { 1 };
        let Self { prefix, .. } = self;
        format!("{prefix}{client:04}-{:09}", request * per_request + item)
    }

    /// Asks until the time is over. `nodes` are the processes that answer.
    pub(super) async fn run(
        &self,
        connections: &[Arc<dyn Connection>],
        nodes: &[u32],
    ) -> Result<Came, ClusterError> {
        let begin = Instant::now() + WARM_UP;
        let window = (begin, begin + self.time);
        let mut clients = JoinSet::new();
        for client in 0..self.clients {
            let connection =
                connections.get(client % connections.len().max(1)).ok_or(ClusterError::Nobody)?;
            clients.spawn(ask(self.clone(), client, Arc::clone(connection), window));
        }
        let processors = || {
            let nodes = nodes.iter().map(|&pid| process::processor_s(pid)).sum::<Result<f64, _>>()?;
            Ok::<_, ClusterError>((nodes, process::processor_s(std::process::id())?))
        };
        tokio::time::sleep_until(window.0.into()).await;
        let before = processors()?;
        tokio::time::sleep_until(window.1.into()).await;
        let (nodes, own) = processors()?;
        let mut came = Came { seconds: self.time.as_secs_f64(), ..Came::default() };
        (came.nodes_cpu_s, came.clients_cpu_s) = (nodes - before.0, own - before.1);
        came.answered = vec![0; self.clients];
        while let Some(client) = clients.join_next().await {
            let (client, answered, latencies) = client.map_err(|_| ClusterError::Nobody)??;
            came.requests += latencies.len() as u64;
            came.latency_s.extend(latencies);
            if let Some(count) = came.answered.get_mut(client) {
                *count = answered;
            }
        }
        Ok(came)
    }
}

impl Came {
    /// Two rounds of the same load as one.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.latency_s.extend(other.latency_s);
        self.seconds += other.seconds;
        self.requests += other.requests;
        self.nodes_cpu_s += other.nodes_cpu_s;
        self.clients_cpu_s += other.clients_cpu_s;
        self
    }

    /// Latencies for the record.
    pub(super) fn kept(&self) -> Vec<f64> {
        let mut sorted = self.latency_s.clone();
        sorted.sort_by(f64::total_cmp);
        let kept = sorted.len().min(KEPT);
        (1..=kept).filter_map(|n| sorted.get(sorted.len() * n / kept - 1).copied()).collect()
    }
}

/// One client: its number, how many of its requests were answered, and the seconds of those answered in the window.
async fn ask(
    load: Load,
    client: usize,
    connection: Arc<dyn Connection>,
    window: (Instant, Instant),
) -> Result<(usize, u64, Vec<f64>), ClusterError> {
    let (mut answered, mut latencies) = (0, Vec::new());
    loop {
        let request = Request::make(&load, client, answered);
        let began = Instant::now();
        if began >= window.1 {
            return Ok((client, answered, latencies));
        }
        request.send(&*connection).await?;
        let ended = Instant::now();
        answered += 1;
        if ended >= window.0 && ended < window.1 {
            latencies.push((ended - began).as_secs_f64());
        }
    }
}

/// A request, made before its clock starts.
enum Request {
    Write(Vec<(String, String)>),
    /// A key, and what it has to hold.
    Read(String, String),
}

impl Request {
    fn make(load: &Load, client: usize, number: u64) -> Self {
        match load.asks {
            Asks::Writes(count) => {
                let put = |item| {
                    let key = load.key(client, number, item);
                    let value = value(&key, load.bytes);
                    (key, value)
                };
                Self::Write((0..count).map(put).collect())
            }
            Asks::Reads(keys) => {
                // Far apart, and not the same for any two clients.
                let key = load.key(0, (number * 7_919 + client as u64 * 104_729) % keys, 0);
                let value = value(&key, load.bytes);
                Self::Read(key, value)
            }
        }
    }

    async fn send(self, connection: &dyn Connection) -> Result<(), ClusterError> {
        match self {
            Self::Write(puts) => connection.write(puts).await,
            Self::Read(key, expected) => match connection.read(&key).await? {
                Some(found) if found == expected.as_bytes() => Ok(()),
                _ => Err(ClusterError::OtherValue { key }),
            },
        }
    }
}

/// The value of a key: text that looks random, so that nothing can compress it, and is the same whenever it is asked for.
pub(super) fn value(key: &str, bytes: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // FNV-1a for the seed, xorshift64* for the rest.
    let seed = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let (mut state, mut text) = (seed | 1, String::with_capacity(bytes + 8));
    while text.len() < bytes {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let random = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        for shift in [4, 10, 16, 22, 28, 34, 40, 46, 52, 58] {
            text.push(char::from(ALPHABET[(random >> shift & 63) as usize]));
        }
    }
    text.truncate(bytes);
    text
}

/// Writes as many keys as there are to read, and waits until they are written.
pub(super) async fn fill(load: &Load, connection: &dyn Connection) -> Result<(), ClusterError> {
    let Asks::Reads(keys) = load.asks else { return Ok(()) };
    let put = |number| {
        let key = load.key(0, number, 0);
        let value = value(&key, load.bytes);
        (key, value)
    };
    let mut next = 0;
    while next < keys {
        let end = keys.min(next + 64);
        connection.write((next..end).map(put).collect()).await?;
        next = end;
    }
    Ok(())
}

/// The name of a load in tables and records.
pub(super) fn name(asks: Asks, clients: usize, bytes: usize) -> String {
    let mut name = format!("{clients} client{}", if clients == 1 { "" } else { "s" });
    let _ = match asks {
        Asks::Writes(1) => write!(name, ", {bytes} B"),
        Asks::Writes(count) => write!(name, ", {count} x {bytes} B a request"),
        Asks::Reads(_) => write!(name, ", {bytes} B"),
    };
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_theirs_alone_and_always_the_same() {
        let (a, b) = (value("a", 1_024), value("b", 1_024));
        assert_eq!((a.len(), b.len()), (1_024, 1_024));
        assert_eq!(a, value("a", 1_024));
        assert!(a.bytes().zip(b.bytes()).filter(|(a, b)| a == b).count() < 64);
        assert_eq!(value("a", 0), "");
        let mut seen = a.bytes().collect::<Vec<_>>();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 50, "{} letters", seen.len());
    }

    #[test]
    fn what_is_kept_stands_for_all() {
        let came = Came { latency_s: (0..100_000).rev().map(f64::from).collect(), ..Came::default() };
        let kept = came.kept();
        assert_eq!((kept.len(), kept[0], kept[989], kept[999]), (1_000, 99.0, 98_999.0, 99_999.0));
        assert_eq!(Came { latency_s: vec![2.0, 1.0], ..Came::default() }.kept(), [1.0, 2.0]);
        assert!(Came::default().kept().is_empty());
    }
}
