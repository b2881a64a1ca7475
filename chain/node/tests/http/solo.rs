//! A cluster of one in memory: a chain behind the trait that the API asks, with sessions, and with switches for what
//! a real cluster would refuse.

use std::collections::HashMap;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tensor_chain::{
    ChainError, Height, NodeId, Rejection, StateRoot, TensorChain, TensorStore, TransactionFailure,
};
use tensor_cluster::api::{
    AdminError, ClientId, Committed, Export, Member, Peer, ReadError, ReplicaStatistics, ReplicaStatus, Role,
    SubmitError, Write,
};
use tensor_node::http::ledger::{AdminRequest, Ledger};
use tokio::sync::watch;

/// What the ledger does with writes and linearizable reads.
#[derive(Debug, Clone, Default)]
pub enum Mood {
    /// Serves them.
    #[default]
    Leads,
    /// Names someone else.
    Follows(Peer),
    /// Knows no leader.
    Leaderless,
    /// Commits writes and then says that it does not know.
    Forgets,
    /// Has too much to do.
    Busy,
    /// Never answers.
    Hangs,
}

type Outcome = Result<Committed, SubmitError>;

#[derive(Debug)]
pub struct Solo {
    chain: Arc<TensorChain>,
    heights: watch::Sender<Height>,
    mood: Mutex<Mood>,
    sessions: Mutex<HashMap<(ClientId, u64), Outcome>>,
    next_client: AtomicU64,
    applied: AtomicU64,
    /// Writes that came here, repeated ones included.
    submissions: watch::Sender<u64>,
    pub admin: Mutex<Vec<AdminRequest>>,
    /// Which node it is, and the members of its cluster.
    members: Mutex<(NodeId, Vec<Member>)>,
}

impl Solo {
    pub fn new() -> Arc<Self> {
        let chain = TensorChain::new(TensorStore::new(), "solo");
        chain.initialize().unwrap();
        Arc::new(Self {
            chain: Arc::new(chain),
            heights: watch::Sender::new(Height::GENESIS),
            mood: Mutex::default(),
            sessions: Mutex::default(),
            next_client: AtomicU64::new(1),
            applied: AtomicU64::new(0),
            submissions: watch::Sender::new(0),
            admin: Mutex::default(),
            members: Mutex::new((NodeId([7; 32]), vec![Member { peer: peer("127.0.0.1:2"), voter: true }])),
        })
    }

    pub fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Is one of these voters, by the addresses where they serve clients and numbered from 1, or none of them.
    pub fn set_members(&self, number: u8, http_addresses: &[String]) {
        let member = |(number, address): (u8, &String)| Member {
            peer: Peer { node: NodeId([number; 32]), ..peer(address) },
            voter: true,
        };
        let members = (1..).zip(http_addresses).map(member).collect();
        *self.members.lock().unwrap() = (NodeId([number; 32]), members);
    }

    /// Knows none of the sessions any more that it has opened.
    pub fn forget_sessions(&self) {
        self.next_client.store(0, Ordering::SeqCst);
    }

    pub fn the_chain(&self) -> &TensorChain {
        &self.chain
    }

    pub fn submissions(&self) -> u64 {
        *self.submissions.borrow()
    }

    /// Waits until so many writes have come here.
    pub async fn submitted(&self, count: u64) {
        self.submissions.subscribe().wait_for(|so_far| *so_far >= count).await.unwrap();
    }

    fn mood(&self) -> Mood {
        self.mood.lock().unwrap().clone()
    }

    fn commit(&self, Write { changeset, session }: Write) -> Outcome {
        if let Some(session) = session {
            if session.0.0 >= self.next_client.load(Ordering::SeqCst) {
                return Err(SubmitError::SessionExpired);
            }
            if let Some(outcome) = self.sessions.lock().unwrap().get(&session) {
                return outcome.clone();
            }
        }
        let log_index = self.applied.fetch_add(1, Ordering::SeqCst) + 1;
        let outcome = match self.chain.commit_changeset(changeset) {
            Ok(receipt) => {
                self.heights.send_replace(receipt.height);
                Ok(Committed { height: receipt.height, block_hash: receipt.hash, log_index })
            }
            Err(error) => Err(rejected(error)),
        };
        if let Some(session) = session {
            self.sessions.lock().unwrap().insert(session, outcome.clone());
        }
        outcome
    }
}

fn rejected(error: ChainError) -> SubmitError {
    match error {
        ChainError::ConflictDetected { cause, with } => {
            SubmitError::Rejected(Rejection::Conflict { cause, with })
        }
        ChainError::TransactionFailed(TransactionFailure::Rejected(rejection)) => {
            SubmitError::Rejected(rejection)
        }
        other => panic!("{other}"),
    }
}

pub fn peer(http_address: &str) -> Peer {
    Peer {
        node: NodeId([7; 32]),
        peer_address: "127.0.0.1:1".to_owned(),
        http_address: http_address.to_owned(),
    }
}

impl Ledger for Solo {
    fn submit(&self, write: Write) -> BoxFuture<'_, Outcome> {
        let mood = self.mood();
        self.submissions.send_modify(|count| *count += 1);
        let outcome = match mood {
            Mood::Leads => self.commit(write),
            Mood::Follows(leader) => Err(SubmitError::NotLeader { leader: Some(leader) }),
            Mood::Leaderless => Err(SubmitError::NotLeader { leader: None }),
            Mood::Forgets => self.commit(write).and(Err(SubmitError::Unknown)),
            Mood::Busy => Err(SubmitError::Busy),
            Mood::Hangs => return std::future::pending().boxed(),
        };
        ready(outcome).boxed()
    }

    fn submit_many(&self, writes: Vec<Write>) -> BoxFuture<'_, Vec<Outcome>> {
        let submitted: Vec<_> = writes.into_iter().map(|write| self.submit(write)).collect();
        futures_util::future::join_all(submitted).boxed()
    }

    fn open_session(&self) -> BoxFuture<'_, Result<ClientId, SubmitError>> {
        ready(Ok(ClientId(self.next_client.fetch_add(1, Ordering::SeqCst)))).boxed()
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        let outcome = match self.mood() {
            Mood::Follows(leader) => Err(ReadError::NotLeader { leader: Some(leader) }),
            Mood::Leaderless => Err(ReadError::NoQuorum),
            _ => Ok(self.applied.load(Ordering::SeqCst)),
        };
        ready(outcome).boxed()
    }

    fn chain(&self) -> Arc<TensorChain> {
        Arc::clone(&self.chain)
    }

    fn status(&self) -> ReplicaStatus {
        let leader = match self.mood() {
            Mood::Leaderless => None,
            Mood::Follows(leader) => Some(leader),
            _ => Some(peer("127.0.0.1:2")),
        };
        let applied = Some(self.applied.load(Ordering::SeqCst));
        let (node, members) = self.members.lock().unwrap().clone();
        ReplicaStatus {
            node,
            role: Role::Leader,
            term: 3,
            leader,
            last_log: applied,
            committed: applied,
            applied,
            height: self.chain.height(),
            tip_hash: self.chain.tip_hash(),
            state_hash: StateRoot::default(),
            finalized: None,
            members,
        }
    }

    fn statistics(&self) -> ReplicaStatistics {
        ReplicaStatistics { handovers: 2, ..ReplicaStatistics::default() }
    }

    fn heights(&self) -> watch::Receiver<Height> {
        self.heights.subscribe()
    }

    fn issue_ticket(&self, _: Duration) -> Result<String, AdminError> {
        Ok("a ticket".to_owned())
    }

    fn export(&self) -> BoxFuture<'_, Result<Export, AdminError>> {
        let bytes: &'static [u8] = b"exported";
        let (len, height) = (bytes.len() as u64, self.chain.height());
        ready(Ok(Export { log_index: 9, height, len, bytes: Box::new(bytes) })).boxed()
    }

    fn administer(&self, change: AdminRequest) -> BoxFuture<'_, Result<(), AdminError>> {
        let outcome = match &change {
            AdminRequest::Promote { node, force: false } => {
                Err(AdminError::LearnerLagging { node: *node, lag: 250, limit: 100 })
            }
            _ => Ok(()),
        };
        self.admin.lock().unwrap().push(change);
        ready(outcome).boxed()
    }
}
