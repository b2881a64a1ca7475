//! Which nodes this node lets in.
//!
//! This is the membership as the transport sees it: whoever is not in it is turned away during the handshake, and
//! whoever leaves it loses the connections it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use tensor_chain::NodeId;
use tokio::sync::{Notify, watch};

/// The nodes that may connect to this one. Clones share one set.
#[derive(Debug, Clone, Default)]
pub struct KnownNodes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    nodes: watch::Sender<BTreeSet<NodeId>>,
    turned_away: Notify,
}

impl KnownNodes {
    /// These nodes.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let known = Self::default();
        known.set(nodes);
        known
    }

    /// From now on these nodes.
    pub fn set(&self, nodes: impl IntoIterator<Item = NodeId>) {
        self.0.nodes.send_replace(nodes.into_iter().collect());
    }

    /// Whether the node may connect.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.0.nodes.borrow().contains(&node)
    }

    /// Whether a node that asks for it may connect; if not, [`turned_away`](Self::turned_away) tells of it.
    pub(super) fn admit(&self, node: NodeId) -> bool {
        let known = self.contains(node);
        if !known {
            self.0.turned_away.notify_one();
        }
        known
    }

    /// Waits until somebody is turned away, since this returned last. It may be anybody, or a member that this node has
    /// not heard of yet.
    pub async fn turned_away(&self) {
        self.0.turned_away.notified().await;
    }

    /// Waits until the node is known and then no longer is: one that was dialled may become known only later.
    pub(super) async fn departed(&self, node: NodeId) {
        let mut nodes = self.0.nodes.subscribe();
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

    #[tokio::test]
    async fn who_is_turned_away_is_told_of_once() {
        let [node, other] = [1, 2].map(|byte| NodeId([byte; 32]));
        let known = KnownNodes::new([node]);
        assert!(known.admit(node));
        assert!(futures_util::poll!(pin!(known.turned_away())).is_pending());
        assert!(!known.clone().admit(other));
        known.turned_away().await;
        assert!(futures_util::poll!(pin!(known.turned_away())).is_pending());
    }
}
