//! Tickets that this node has issued and that nobody has used yet. They are kept in memory alone: a node that was
//! restarted has issued none.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tensor_chain::ChainId;
use tensor_cluster::api::Peer;
use tensor_cluster::ticket::{MAX_TICKET_PEERS, Ticket, TicketError};

/// Most tickets at a time. The ones that would expire first make room.
const MOST: usize = 1_024;

/// Secrets, and when they cease to be accepted.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    issued: Mutex<BTreeMap<[u8; 16], u64>>,
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
        let expires = now_s().saturating_add(valid_for.as_secs());
        let ticket = Ticket::issue(cluster, peers, expires)?;
        let text = ticket.encode()?;
        let mut issued = self.lock();
        if issued.len() == MOST {
            let first = issued.iter().min_by_key(|(_, expires)| **expires).map(|(secret, _)| *secret);
            first.map(|secret| issued.remove(&secret));
        }
        issued.insert(ticket.secret, expires);
        Ok(text)
    }

    /// Whether the ticket admits; it does so once.
    pub(super) fn redeem(&self, ticket: &Ticket) -> bool {
        self.lock().remove(&ticket.secret).is_some_and(|expires| now_s() < expires)
    }

    /// Lets a ticket be used again that was redeemed for nothing.
    pub(super) fn give_back(&self, ticket: &Ticket) {
        self.lock().insert(ticket.secret, ticket.expires_unix_s);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 16], u64>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor_chain::NodeId;

    fn peer() -> Peer {
        Peer { node: NodeId([1; 32]), peer_address: "a:1".to_owned(), http_address: "b:1".to_owned() }
    }

    #[test]
    fn a_ticket_admits_once_and_in_time() {
        let tickets = Tickets::default();
        let issue = |seconds| {
            let text = tickets.issue(ChainId([2; 32]), vec![peer()], Duration::from_secs(seconds)).unwrap();
            Ticket::decode(&text).unwrap()
        };
        let ticket = issue(60);
        assert!(tickets.redeem(&ticket));
        assert!(!tickets.redeem(&ticket));
        tickets.give_back(&ticket);
        assert!(tickets.redeem(&ticket));
        assert!(!tickets.redeem(&issue(0)));
        assert!(!tickets.redeem(&Ticket::issue(ChainId([2; 32]), vec![peer()], u64::MAX).unwrap()));
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
        assert!(!tickets.redeem(&short));
        assert!(tickets.redeem(&long));
    }
}
