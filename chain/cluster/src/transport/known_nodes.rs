//! Which nodes this node lets in.
//!
//! This is the membership as the transport sees it: whoever is not in it is turned away during the handshake, and
//! whoever leaves it loses the connections it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use tensor_chain::NodeId;
use tokio::sync::watch;

/// The nodes that may connect to this one. Clones share one set.
#[derive(Debug, Clone, Default)]
pub struct KnownNodes(Arc<watch::Sender<BTreeSet<NodeId>>>);

impl KnownNodes {
    /// These nodes.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self(Arc::new(watch::Sender::new(nodes.into_iter().collect())))
    }

    /// From now on these nodes.
    pub fn set(&self, nodes: impl IntoIterator<Item = NodeId>) {
        self.0.send_replace(nodes.into_iter().collect());
    }

    /// Whether the node may connect.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.0.borrow().contains(&node)
    }

    /// Waits until the node is known and then no longer is: one that was dialled may become known only later.
    pub(super) async fn departed(&self, node: NodeId) {
        let mut nodes = self.0.subscribe();
        // These fail only without a sender, and `self` has it.
        let _ = nodes.wait_for(|nodes| nodes.contains(&node)).await;
        let _ = nodes.wait_for(|nodes| !nodes.contains(&node)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_node_departs_after_it_was_known() {
        let node = NodeId([1; 32]);
        let known = KnownNodes::default();
        let mut departed = pin!(known.departed(node));
        assert!(futures_util::poll!(&mut departed).is_pending());
        known.clone().set([node]);
        assert!(known.contains(node));
        assert!(futures_util::poll!(&mut departed).is_pending());
        known.set([]);
        departed.await;
    }
}
