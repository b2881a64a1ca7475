//! Links inside one process, which can be cut: for tests and simulations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use tensor_chain::NodeId;

use crate::api::Peer;
use crate::link::{Answers, Channel, LinkError, PeerLink, PeerService};

/// Nodes of one process and the ways between them.
#[derive(Clone, Default)]
pub struct MemoryNetwork(Arc<Mutex<Ways>>);

#[derive(Default)]
struct Ways {
    nodes: BTreeMap<NodeId, Arc<dyn PeerService>>,
    /// From whom to whom nothing gets through, answers included.
    cut: BTreeSet<(NodeId, NodeId)>,
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.lock();
        f.debug_struct("MemoryNetwork").field("nodes", &ways.nodes.keys()).field("cut", &ways.cut).finish()
    }
}

impl MemoryNetwork {
    /// Puts a node where others reach it, or replaces it.
    pub fn attach(&self, node: NodeId, service: Arc<dyn PeerService>) {
        self.lock().nodes.insert(node, service);
    }

    /// Takes a node away.
    pub fn detach(&self, node: NodeId) {
        self.lock().nodes.remove(&node);
    }

    /// Lets nothing through between two nodes.
    pub fn cut(&self, a: NodeId, b: NodeId) {
        self.lock().cut.extend([(a, b), (b, a)]);
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.lock().cut.clear();
    }

    /// The link by which a node reaches the others.
    #[must_use]
    pub fn link(&self, node: NodeId) -> MemoryLink {
        MemoryLink { network: self.clone(), node }
    }

    fn find(&self, from: NodeId, to: NodeId) -> Option<Arc<dyn PeerService>> {
        let ways = self.lock();
        ways.nodes.get(&to).filter(|_| !ways.cut.contains(&(from, to))).cloned()
    }

    /// Nothing that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Ways> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one node of a [`MemoryNetwork`] reaches the others.
#[derive(Debug, Clone)]
pub struct MemoryLink {
    network: MemoryNetwork,
    node: NodeId,
}

impl PeerLink for MemoryLink {
    fn call(&self, to: &Peer, _: Channel, request: Bytes) -> BoxFuture<'static, Result<Bytes, LinkError>> {
        let (network, from, to) = (self.network.clone(), self.node, to.node);
        Box::pin(async move {
            let service = network.find(from, to).ok_or_else(|| unreachable(to))?;
            let answer = service.call(from, request).await;
            network.find(from, to).ok_or_else(|| lost(to))?;
            answer.ok_or(LinkError::Refused { node: to })
        })
    }

    fn stream(
        &self,
        to: &Peer,
        _: Channel,
        requests: BoxStream<'static, Bytes>,
    ) -> BoxFuture<'static, Result<Answers, LinkError>> {
        let (network, from, to) = (self.network.clone(), self.node, to.node);
        Box::pin(async move {
            let service = network.find(from, to).ok_or_else(|| unreachable(to))?;
            let there = network.clone();
            let arriving =
                requests.take_while(move |_| std::future::ready(there.find(from, to).is_some())).boxed();
            let answers = service.stream(from, arriving);
            let back = move |answer| network.find(from, to).map(|_| answer).ok_or_else(|| lost(to));
            Ok(answers.map(back).boxed())
        })
    }
}

fn unreachable(node: NodeId) -> LinkError {
    LinkError::Unreachable { node, reason: "not there".to_owned() }
}

fn lost(node: NodeId) -> LinkError {
    LinkError::Lost { node, reason: "cut".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    /// Answers every frame with itself.
    struct Echo;

    impl PeerService for Echo {
        fn call(&self, _: NodeId, request: Bytes) -> BoxFuture<'static, Option<Bytes>> {
            Box::pin(async move { Some(request) })
        }

        fn stream(&self, _: NodeId, requests: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
            requests
        }
    }

    fn peer(node: NodeId) -> Peer {
        Peer { node, peer_address: String::new(), http_address: String::new() }
    }

    #[tokio::test]
    async fn what_is_cut_gets_nothing_through_and_what_is_healed_does() {
        let (network, [a, b]) = (MemoryNetwork::default(), [1, 2].map(|byte| NodeId([byte; 32])));
        network.attach(b, Arc::new(Echo));
        let link = network.link(a);
        let call = || link.call(&peer(b), Channel::Urgent, Bytes::from_static(b"x"));
        assert_eq!(call().await, Ok(Bytes::from_static(b"x")));
        network.cut(b, a);
        assert_eq!(call().await, Err(unreachable(b)));
        network.heal();
        assert_eq!(call().await, Ok(Bytes::from_static(b"x")));
        network.detach(b);
        assert_eq!(call().await, Err(unreachable(b)));
    }

    #[tokio::test]
    async fn a_stream_of_answers_ends_with_the_requests() {
        let (network, [a, b]) = (MemoryNetwork::default(), [1, 2].map(|byte| NodeId([byte; 32])));
        network.attach(b, Arc::new(Echo));
        let frames = [b"x", b"y", b"z"].map(|frame| Bytes::from_static(frame));
        let link = network.link(a);
        let answers =
            link.stream(&peer(b), Channel::Urgent, stream::iter(frames.clone()).boxed()).await.unwrap();
        assert_eq!(answers.map(Result::unwrap).collect::<Vec<_>>().await, frames);
    }
}
