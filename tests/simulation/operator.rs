//! An operator who adds, promotes and removes nodes, hands over the leadership and asks for snapshots while clients are
//! at work.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tensor_cluster::Replica;
use tensor_cluster::api::{AdminError, Member, Peer};
use tokio::time::{sleep, timeout};

use crate::client::Outside;
use crate::random::Random;

const PATIENCE: Duration = Duration::from_millis(2_500);

/// What was done, by name.
#[derive(Clone, Default)]
pub struct Deeds(Arc<Mutex<Vec<&'static str>>>);

impl Deeds {
    pub fn add(&self, deed: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(deed);
    }

    pub fn list(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub struct Operator {
    pub outside: Outside,
    pub random: Random,
    pub peers: Vec<Peer>,
    pub deeds: Deeds,
    /// Machines whose nodes were removed; they never come back.
    pub removed: Arc<Mutex<BTreeSet<usize>>>,
}

impl Operator {
    pub async fn run(mut self) {
        while !self.outside.is_over() {
            sleep(Duration::from_millis(self.random.of(200..1_200))).await;
            let any = self.random.index(self.peers.len());
            let look = |replica: Replica| async move { replica.status() };
            let Ok(Some(status)) = timeout(PATIENCE, self.outside.network.ask(any, "status", look)).await
            else {
                continue;
            };
            let Some(leader) = self.outside.place_of(status.leader.as_ref()) else { continue };
            self.act(leader, &status.members).await;
        }
    }

    async fn act(&mut self, leader: usize, members: &[Member]) {
        let voters: Vec<_> =
            members.iter().filter(|member| member.voter).map(|member| member.peer.node).collect();
        let learners: Vec<_> =
            members.iter().filter(|member| !member.voter).map(|member| member.peer.node).collect();
        let gone = self.removed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let spare: Vec<_> = (0..self.peers.len())
            .filter(|place| !gone.contains(place))
            .map(|place| self.peers[place].clone())
            .filter(|peer| members.iter().all(|member| member.peer.node != peer.node))
            .collect();
        let Some(voter) = self.random.pick(&voters) else { return };
        match self.random.of(0..6) {
            0 => {
                let Some(peer) = self.random.pick(&spare) else { return };
                let ask = |replica: Replica| async move { replica.add_learner(peer).await };
                self.ask(leader, "add a learner", ask).await;
            }
            1 => {
                let Some(node) = self.random.pick(&learners) else { return };
                let ask = move |replica: Replica| async move { replica.promote(node).await };
                self.ask(leader, "promote", ask).await;
            }
            2 if voters.len() > 3 => {
                let ask = move |replica: Replica| async move { replica.remove(voter).await };
                if self.ask(leader, "remove", ask).await {
                    let place = self.outside.network.place_of(voter);
                    self.removed.lock().unwrap_or_else(PoisonError::into_inner).extend(place);
                }
            }
            3 | 4 => {
                let ask = move |replica: Replica| async move { replica.transfer_leader(voter).await };
                self.ask(leader, "transfer", ask).await;
            }
            _ => {
                let any = self.random.index(self.peers.len());
                let ask = |replica: Replica| async move { replica.snapshot().await };
                self.ask(any, "snapshot", ask).await;
            }
        }
    }

    /// Whether it was done for certain.
    async fn ask<F>(
        &self,
        place: usize,
        what: &'static str,
        question: impl FnOnce(Replica) -> F + Send + 'static,
    ) -> bool
    where
        F: Future<Output = Result<(), AdminError>> + Send + 'static,
    {
        let answer = timeout(PATIENCE, self.outside.network.ask(place, what, question)).await;
        self.outside.network.line(format_args!("operator: {what} at machine {place}: {answer:?}"));
        let done = matches!(answer, Ok(Some(Ok(()))));
        if done {
            self.deeds.add(what);
        }
        done
    }
}
