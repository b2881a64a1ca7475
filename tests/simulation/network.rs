//! The network between machines, and between clients and machines: messages that take time, overtake each other, come
//! twice or not at all, and ordered streams that stall and break.
//!
//! A message is what happens when it arrives. Who waits for the answer to one that is lost is not told before the
//! connection is found to be dead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tensor_chain::NodeId;
use tensor_cluster::Replica;
use tensor_cluster::api::Peer;
use tensor_cluster::link::{Answers, Channel, LinkError, PeerLink};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::machine::Running;
use crate::random::Random;
use crate::trace::Trace;

/// Where clients are.
pub const OUTSIDE: usize = usize::MAX;

/// What happens when a message arrives, at a machine that runs or one that does not.
pub type Arrival = Box<dyn FnOnce(Option<&Running>) + Send>;

#[derive(Clone)]
pub struct Network(Arc<Mutex<Wires>>);

struct Wires {
    now: u64,
    next: u64,
    places: BTreeMap<NodeId, usize>,
    /// By the tick at which they are due, and in the order in which they were sent.
    under_way: BTreeMap<(u64, u64), Message>,
    streams: BTreeMap<u64, Stream>,
    /// From where to where nothing gets through.
    cut: BTreeSet<(usize, usize)>,
    weather: Weather,
    random: Random,
    trace: Trace,
}

enum Message {
    Single {
        from: usize,
        to: usize,
        arrival: Arrival,
    },
    /// The first of a stream.
    Streamed(u64),
    /// One that never arrives.
    Lost(Arrival),
}

/// Messages of which none overtakes another.
struct Stream {
    from: usize,
    to: usize,
    waiting: VecDeque<(u64, Arrival)>,
}

/// How the network is at the moment.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Ticks that a message takes.
    pub delay: Range<u64>,
    /// Per cent of messages that are lost; in a stream they come late.
    pub lost: u64,
    /// Per cent of messages that arrive twice.
    pub doubled: u64,
}

impl Weather {
    pub const FAIR: Self = Self { delay: 1..4, lost: 0, doubled: 0 };
}

/// How long a stream waits before it sends again what did not get through.
const AGAIN: Range<u64> = 20..200;
/// How long it takes to find a connection dead.
const DEAD: Range<u64> = 2_000..5_000;

impl Network {
    pub fn new(random: Random) -> Self {
        Self(Arc::new(Mutex::new(Wires {
            now: 0,
            next: 0,
            places: BTreeMap::new(),
            under_way: BTreeMap::new(),
            streams: BTreeMap::new(),
            cut: BTreeSet::new(),
            weather: Weather::FAIR,
            random,
            trace: Trace::default(),
        })))
    }

    pub fn link(&self, place: usize, node: NodeId) -> Link {
        self.wires().places.insert(node, place);
        Link { network: self.clone(), place, node }
    }

    pub fn place_of(&self, node: NodeId) -> Option<usize> {
        self.wires().places.get(&node).copied()
    }

    pub fn set_weather(&self, weather: Weather) {
        self.wires().weather = weather;
    }

    pub fn cut(&self, from: usize, to: usize) {
        self.wires().cut.insert((from, to));
    }

    pub fn heal(&self) {
        self.wires().cut.clear();
    }

    /// Breaks all streams of a machine.
    pub fn reset(&self, place: usize) {
        let mut wires = self.wires();
        let broken = wires.streams.extract_if(.., |_, stream| stream.from == place || stream.to == place);
        let broken: Vec<Stream> = broken.map(|(_, stream)| stream).collect();
        drop(wires);
        drop(broken); // tells who waits
    }

    pub fn line(&self, line: std::fmt::Arguments<'_>) {
        let mut wires = self.wires();
        let now = wires.now;
        wires.trace.line(now, line);
    }

    pub fn trace<T>(&self, of: impl FnOnce(&Trace) -> T) -> T {
        of(&self.wires().trace)
    }

    pub fn now(&self) -> u64 {
        self.wires().now
    }

    /// What arrives at this tick, in order, and where.
    pub fn arrivals(&self, now: u64) -> Vec<(usize, Arrival)> {
        let mut wires = self.wires();
        wires.now = now;
        let (mut arrivals, mut lost) = (Vec::new(), Vec::new());
        while let Some(entry) = wires.under_way.first_entry()
            && entry.key().0 <= now
        {
            match entry.remove() {
                Message::Single { from, to, arrival } if wires.cut.contains(&(from, to)) => {
                    wires.lose_or_hold(from, to, arrival);
                }
                Message::Single { to, arrival, .. } => arrivals.push((to, arrival)),
                Message::Streamed(id) => arrivals.extend(wires.next_of_stream(id)),
                Message::Lost(arrival) => lost.push(arrival),
            }
        }
        drop(wires);
        drop(lost); // tells who waits
        arrivals
    }

    fn send(&self, from: usize, to: usize, what: &[u8], arrival: Arrival) {
        self.wires().send(from, to, what, arrival);
    }

    fn doubles(&self) -> bool {
        let mut wires = self.wires();
        let doubled = wires.weather.doubled;
        doubled > 0 && wires.random.percent(doubled)
    }

    fn open_stream(&self, from: usize, to: usize) -> u64 {
        let mut wires = self.wires();
        let id = wires.number();
        wires.streams.insert(id, Stream { from, to, waiting: VecDeque::new() });
        id
    }

    /// False where the stream is broken.
    fn send_in(&self, id: u64, what: &[u8], arrival: Arrival) -> bool {
        let mut wires = self.wires();
        wires.trace.bytes(what);
        let (mut due, lost) = (wires.now + wires.delay(), wires.weather.lost);
        if lost > 0 && wires.random.percent(lost) {
            due += wires.random.of(AGAIN);
        }
        let Some(stream) = wires.streams.get_mut(&id) else { return false };
        stream.waiting.push_back((due, arrival));
        if stream.waiting.len() == 1 {
            let number = wires.number();
            wires.under_way.insert((due, number), Message::Streamed(id));
        }
        true
    }

    /// Asks a replica something, as a client does. `None` where no answer can come any more.
    pub async fn ask<F>(
        &self,
        to: usize,
        what: &str,
        question: impl FnOnce(Replica) -> F + Send + 'static,
    ) -> Option<F::Output>
    where
        F: Future<Output: Debug + Send> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let network = self.clone();
        let arrival: Arrival = Box::new(move |running| {
            let Some(running) = running else { return };
            let asked = question(running.replica.clone());
            running.spawn(async move {
                let answer = asked.await;
                let text = format!("{answer:?}");
                network.send(to, OUTSIDE, text.as_bytes(), Box::new(move |_| drop(reply.send(answer))));
            });
        });
        self.send(OUTSIDE, to, what.as_bytes(), arrival);
        answer.await.ok()
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wires {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn delay(&mut self) -> u64 {
        let delay = self.weather.delay.clone();
        // Most are fast, and some take as long as any does.
        if self.random.percent(80) { delay.start } else { self.random.of(delay) }
    }

    fn send(&mut self, from: usize, to: usize, what: &[u8], arrival: Arrival) {
        self.trace.bytes(&(from as u64).to_le_bytes());
        self.trace.bytes(what);
        let lost = self.weather.lost;
        if lost > 0 && self.random.percent(lost) {
            self.lose(arrival);
            return;
        }
        let key = (self.now + self.delay(), self.number());
        self.under_way.insert(key, Message::Single { from, to, arrival });
    }

    fn lose(&mut self, arrival: Arrival) {
        let key = (self.now + self.random.of(DEAD), self.number());
        self.under_way.insert(key, Message::Lost(arrival));
    }

    /// Where nothing gets through, some messages are lost and others come late, when they are not expected any more.
    fn lose_or_hold(&mut self, from: usize, to: usize, arrival: Arrival) {
        if self.random.percent(50) {
            self.lose(arrival);
        } else {
            let key = (self.now + self.random.of(20..1_500), self.number());
            self.under_way.insert(key, Message::Single { from, to, arrival });
        }
    }

    fn next_of_stream(&mut self, id: u64) -> Option<(usize, Arrival)> {
        let stream = self.streams.get_mut(&id)?;
        let blocked = self.cut.contains(&(stream.from, stream.to));
        let arrival = if blocked { None } else { stream.waiting.pop_front() };
        let to = stream.to;
        let next = stream.waiting.front().map(|(due, _)| *due);
        if let Some(due) = next {
            let again = if blocked { self.now + self.random.of(AGAIN) } else { due.max(self.now) };
            let number = self.number();
            self.under_way.insert((again, number), Message::Streamed(id));
        }
        arrival.map(|(_, arrival)| (to, arrival))
    }
}

/// How one machine reaches the others.
pub struct Link {
    network: Network,
    place: usize,
    node: NodeId,
}

impl Link {
    fn place_of(&self, peer: &Peer) -> Result<usize, LinkError> {
        let unknown = || LinkError::Unreachable { node: peer.node, reason: "no such node".to_owned() };
        self.network.place_of(peer.node).ok_or_else(unknown)
    }
}

impl PeerLink for Link {
    fn call(&self, to: &Peer, _: Channel, request: Bytes) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let (network, from, origin, node) = (self.network.clone(), self.place, self.node, to.node);
        let place = self.place_of(to);
        Box::pin(async move {
            let to = place?;
            let (reply, answer) = oneshot::channel();
            let ask = |reply| call(network.clone(), origin, (from, to), request.clone(), reply);
            if network.doubles() {
                network.send(from, to, &request, ask(None));
            }
            network.send(from, to, &request, ask(Some(reply)));
            match answer.await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => Err(LinkError::Refused { node }),
                Err(_) => Err(LinkError::Lost { node, reason: "reset".to_owned() }),
            }
        })
    }

    fn stream(
        &self,
        to: &Peer,
        _: Channel,
        mut requests: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Answers, LinkError>> {
        let (network, from, origin, node) = (self.network.clone(), self.place, self.node, to.node);
        let place = self.place_of(to);
        Box::pin(async move {
            let to = place?;
            let (frames, arriving) = mpsc::unbounded_channel::<Bytes>();
            let (answers, coming) = mpsc::unbounded_channel::<Option<Bytes>>();
            let (there, back) = (network.open_stream(from, to), network.open_stream(to, from));
            network.send_in(there, b"open", serve(network.clone(), origin, back, arriving, answers));
            let mut pump = JoinSet::new();
            pump.spawn(async move {
                while let Some(frame) = requests.next().await {
                    let (frames, bytes) = (frames.clone(), frame.clone());
                    let arrival: Arrival = Box::new(move |_| drop(frames.send(bytes)));
                    if !network.send_in(there, &frame, arrival) {
                        break;
                    }
                }
            });
            // Whoever gives up the answers takes back the requests.
            let answers = stream::unfold(Some((coming, pump)), move |state| async move {
                let (mut coming, pump) = state?;
                match coming.recv().await {
                    Some(Some(answer)) => Some((Ok(answer), Some((coming, pump)))),
                    Some(None) => None,
                    None => Some((Err(LinkError::Lost { node, reason: "reset".to_owned() }), None)),
                }
            });
            Ok(answers.boxed())
        })
    }
}

/// A request arrives: the machine answers it, and the answer goes back.
fn call(
    network: Network,
    origin: NodeId,
    (from, to): (usize, usize),
    request: Bytes,
    reply: Option<oneshot::Sender<Option<Bytes>>>,
) -> Arrival {
    Box::new(move |running| {
        let Some(running) = running else { return };
        let answer = running.service.call(origin, request);
        running.spawn(async move {
            let answer = answer.await;
            let Some(reply) = reply else { return };
            let what = answer.clone().unwrap_or_default();
            network.send(to, from, &what, Box::new(move |_| drop(reply.send(answer))));
        });
    })
}

/// A stream arrives: the machine answers its frames, and the answers go back in a stream of their own.
fn serve(
    network: Network,
    origin: NodeId,
    back: u64,
    mut arriving: mpsc::UnboundedReceiver<Bytes>,
    answers: mpsc::UnboundedSender<Option<Bytes>>,
) -> Arrival {
    Box::new(move |running| {
        let Some(running) = running else { return };
        let frames = stream::poll_fn(move |context| arriving.poll_recv(context)).boxed();
        let service = Arc::clone(&running.service);
        running.spawn(async move {
            let mut answering = service.stream(origin, frames);
            loop {
                let answer = answering.next().await;
                let (what, last) = (answer.clone().unwrap_or_default(), answer.is_none());
                let answers = answers.clone();
                let arrival: Arrival = Box::new(move |_| drop(answers.send(answer)));
                if !network.send_in(back, &what, arrival) || last {
                    break;
                }
            }
        });
    })
}
