//! The transport over real sockets, and a single connection against peers that keep to no rule.

mod admission;
mod conduct;
mod exchanges;
mod faults;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tensor_chain::{ChainId, Identity, NodeId};
use tensor_tests::allocation::Counting;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{KnownNodes, Transport, TransportConfig};
use crate::api::Peer;
use crate::link::{Channel, LinkError, PeerLink, PeerService};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CLUSTER: ChainId = ChainId([0xc1; 32]);
const ANYWHERE: &str = "127.0.0.1:0";

/// Answers every frame with itself, except those that say `no`.
struct Echo;

impl PeerService for Echo {
    fn call(&self, _: NodeId, request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        Box::pin(async move { (request != "no").then_some(request) })
    }

    fn stream(&self, _: NodeId, requests: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
        use futures_util::StreamExt;
        requests.take_while(|request| std::future::ready(*request != "no")).boxed()
    }
}

/// Never answers, never reads a stream, and counts what it is at.
#[derive(Default)]
struct Stuck(Arc<watch::Sender<usize>>);

/// Counts as long as it exists.
struct Busy(Arc<watch::Sender<usize>>);

impl Busy {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Stuck {
    async fn until(&self, count: usize) {
        self.0.subscribe().wait_for(|now| *now == count).await.unwrap();
    }
}

impl PeerService for Stuck {
    fn call(&self, _: NodeId, _: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let busy = Busy::new(&self.0);
        Box::pin(async move {
            let _busy = busy;
            std::future::pending().await
        })
    }

    fn stream(&self, _: NodeId, requests: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
        let busy = Busy::new(&self.0);
        Box::pin(futures_util::stream::once(async move {
            let (_busy, _requests) = (busy, requests);
            std::future::pending().await
        }))
    }
}

/// A node that listens.
struct Node {
    transport: Transport,
    known: KnownNodes,
    peer: Peer,
}

fn identity(number: u8) -> Arc<Identity> {
    Arc::new(Identity::from_bytes(&[number; 32]))
}

fn id(number: u8) -> NodeId {
    identity(number).node_id()
}

fn peer(number: u8, address: SocketAddr) -> Peer {
    Peer { node: id(number), peer_address: address.to_string(), http_address: String::new() }
}

impl Node {
    /// A node that lets the others in.
    async fn start(number: u8, others: &[u8], service: impl PeerService) -> Self {
        Self::start_with(number, others, service, ANYWHERE, CLUSTER, TransportConfig::default()).await
    }

    async fn start_with(
        number: u8,
        others: &[u8],
        service: impl PeerService,
        address: &str,
        cluster: ChainId,
        config: TransportConfig,
    ) -> Self {
        let known = KnownNodes::new(others.iter().map(|&other| id(other)));
        let listener = TcpListener::bind(address).await.unwrap();
        let peer = peer(number, listener.local_addr().unwrap());
        let transport = Transport::new(identity(number), cluster, known.clone(), config);
        transport.listen(listener, Arc::new(service)).unwrap();
        Self { transport, known, peer }
    }

    async fn call(&self, to: &Peer, request: &'static str) -> Result<Bytes, LinkError> {
        self.transport.call(to, Channel::Urgent, Bytes::from(request)).await
    }
}

/// Fails a test that would otherwise wait for ever.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("not within a minute")
}

fn noise(len: usize, seed: u64) -> Bytes {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}
