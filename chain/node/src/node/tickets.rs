//! Tickets that this node has issued and that have admitted nobody yet. They are kept in memory alone: a node that was
//! restarted has issued none.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tensor_chain::{ChainId, NodeId};
use tensor_cluster::api::Peer;
use tensor_cluster::ticket::{MAX_TICKET_PEERS, Ticket, TicketError};

/// Most tickets at a time. The ones that would expire first make room.
const MOST: usize = 1_024;

/// By secret.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    issued: Mutex<BTreeMap<[u8; 16], Issued>>,
}

#[derive(Debug)]
struct Issued {
    /// When it ceases to be accepted.
    expires_unix_s: u64,
    /// The node that showed it first. It may show it again, as it may not have heard what became of its attempt; no other
    /// may.
    shown_by: Option<NodeId>,
}

impl Tickets {
    /// A new ticket that names these nodes.
    pub(super) fn issue(
        &self,
        cluster: ChainId,
        mut peers: Vec<Peer>,
        valid_for: Duration,
    ) -> Result<String, TicketError> {
        peers.truncate(MAX_TICKET_PEERS);
        let expires_unix_s = now_s().saturating_add(valid_for.as_secs());
        let ticket = Ticket::issue(cluster, peers, expires_unix_s)?;
        let text = ticket.encode()?;
        let mut issued = self.lock();
        if issued.len() == MOST {
            let first = issued.iter().min_by_key(|(_, issued)| issued.expires_unix_s);
            first.map(|(secret, _)| *secret).map(|secret| issued.remove(&secret));
        }
        issued.insert(ticket.secret, Issued { expires_unix_s, shown_by: None });
        Ok(text)
    }

    /// Whether the ticket admits this node.
    pub(super) fn show(&self, ticket: &Ticket, node: NodeId) -> bool {
        let mut issued = self.lock();
        let valid = issued.get_mut(&ticket.secret).filter(|issued| now_s() < issued.expires_unix_s);
        valid.is_some_and(|issued| *issued.shown_by.get_or_insert(node) == node)
    }

    /// The ticket has admitted its node, and admits nobody any more.
    pub(super) fn spend(&self, ticket: &Ticket) {
        self.lock().remove(&ticket.secret);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 16], Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([7; 32]);

    fn peer() -> Peer {
        Peer { node: NodeId([1; 32]), peer_address: "a:1".to_owned(), http_address: "b:1".to_owned() }
    }

    #[test]
    fn a_ticket_admits_one_node_in_time() {
        let tickets = Tickets::default();
        let issue = |seconds| {
            let text = tickets.issue(ChainId([2; 32]), vec![peer()], Duration::from_secs(seconds)).unwrap();
            Ticket::decode(&text).unwrap()
        };
        let (ticket, expired) = (issue(60), issue(0));
        assert!(tickets.show(&ticket, NODE));
        assert!(!tickets.show(&ticket, NodeId([8; 32])), "another has shown it");
        assert!(tickets.show(&ticket, NODE), "its first attempt may have been lost");
        tickets.spend(&ticket);
        assert!(!tickets.show(&ticket, NODE));
        assert!(!tickets.show(&expired, NODE));
        // What the text says of the time is not what counts.
        assert!(!tickets.show(&Ticket { expires_unix_s: u64::MAX, ..expired }, NODE));
        assert!(!tickets.show(&Ticket::issue(ChainId([2; 32]), vec![peer()], u64::MAX).unwrap(), NODE));
    }

    #[test]
    fn the_ticket_that_would_expire_first_makes_room() {
        let tickets = Tickets::default();
        let issue = |seconds| {
            let text = tickets.issue(ChainId([2; 32]), vec![peer()], Duration::from_secs(seconds)).unwrap();
            Ticket::decode(&text).unwrap()
        };
        let (short, long) = (issue(100), issue(2_000_000));
        (0..MOST as u64 - 1).for_each(|n| drop(issue(1_000 + n)));
        assert!(!tickets.show(&short, NODE));
        assert!(tickets.show(&long, NODE));
    }
}
