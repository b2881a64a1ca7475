//! What all connections of a node share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tensor_chain::{ChainId, Identity, NodeId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::TransportConfig;
use super::connection::Bindings;
use super::frame::Binding;
use super::known_nodes::KnownNodes;
use super::pace::Pace;

pub(super) struct Context {
    pub(super) identity: Arc<Identity>,
    pub(super) node: NodeId,
    pub(super) cluster: ChainId,
    pub(super) known: KnownNodes,
    pub(super) config: TransportConfig,
    /// Everything that runs for the transport.
    pub(super) tasks: TaskTracker,
    /// Says that the transport shuts down.
    pub(super) closing: CancellationToken,
    paces: Mutex<BTreeMap<NodeId, Arc<Pace>>>,
}

impl Context {
    pub(super) fn new(
        identity: Arc<Identity>,
        cluster: ChainId,
        known: KnownNodes,
        config: TransportConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            node: identity.node_id(),
            identity,
            cluster,
            known,
            config,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            paces: Mutex::default(),
        })
    }

    /// The pace of a peer, one for all its connections.
    pub(super) fn pace(&self, peer: NodeId) -> Arc<Pace> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(paces.entry(peer).or_insert_with(|| Arc::new(Pace::new(&self.config))))
    }

    /// The bindings of frames between this node and a peer.
    pub(super) fn bindings(&self, peer: NodeId) -> Bindings {
        Bindings {
            outgoing: Binding::new(self.cluster, self.node, peer),
            incoming: Binding::new(self.cluster, peer, self.node),
        }
    }
}
