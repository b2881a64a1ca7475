//! Group commit: writes that wait together share one log entry, and so one sync on each node.
//!
//! One task takes whoever waits, has the chain choose those that may share a batch, and hands the batch to the log
//! without waiting for the one before; only so many are under way at once, so that under load batches grow. Everyone
//! gets an outcome of their own when the entry is applied.

use std::collections::VecDeque;
use std::sync::Arc;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader};
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use tensor_chain::Changeset;
use tensor_chain::replicated::{
    EntryOutcome, ProposedWrite, ReplicatedChain, ReplicatedEntry, SessionRequest, WriteOutcome,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::state_machine::StateMachine;
use super::types::{Command, TypeConfig, peer};
use crate::api::{ClientId, Committed, Peer, SubmitError, Write};

/// Entries that are under way at once: enough that one is applied while the next is on its way to disk. More would only
/// make each of them smaller, and what an entry costs by itself (signature, syncs, messages) is paid for each.
pub(super) const ENTRIES_UNDER_WAY: usize = 3;
/// Writes that are looked at for one batch; no more fit a block.
const CONSIDERED: usize = 1_000;
/// Bytes of writes that may wait or be under way.
const WAITING_BYTES: usize = 64 << 20;
/// What a write takes besides its changeset.
const OVERHEAD_BYTES: usize = 256;
/// Writes that may wait.
const WAITING: usize = 65_536;

type Outcome = Result<Committed, SubmitError>;

/// Where writes wait.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: mpsc::Sender<Waiting>,
    /// What is left of the bytes that may wait.
    room: Arc<Semaphore>,
}

/// A write that waits for its outcome.
#[derive(Debug)]
struct Waiting {
    write: ProposedWrite,
    answer: oneshot::Sender<Outcome>,
    _room: OwnedSemaphorePermit,
}

impl Queue {
    /// The queue and its end, for [`run`].
    pub(super) fn new() -> (Self, QueueEnd) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender, room: Arc::new(Semaphore::new(WAITING_BYTES)) }, QueueEnd(receiver))
    }

    /// Lets a write wait. The receiver fails only when the node stops.
    pub(super) fn push(&self, write: Write) -> Result<oneshot::Receiver<Outcome>, SubmitError> {
        let Write { changeset, session } = write;
        // A changeset has at most 1 MiB.
        let bytes = (changeset.encoded_len() + OVERHEAD_BYTES) as u32;
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| SubmitError::Busy)?;
        let session = session.map(|(ClientId(client), sequence)| SessionRequest { client, sequence });
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting { write: ProposedWrite { changeset, session }, answer, _room: room };
        match self.sender.try_send(waiting) {
            Ok(()) => Ok(outcome),
            Err(mpsc::error::TrySendError::Full(_)) => Err(SubmitError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(SubmitError::Stopped),
        }
    }

    /// How many writes wait to be proposed.
    pub(super) fn waiting(&self) -> u64 {
        (self.sender.max_capacity() - self.sender.capacity()) as u64
    }

    /// Share of the bytes that writes may take while they wait or are under way.
    pub(super) fn room_used(&self) -> f64 {
        1.0 - self.room.available_permits() as f64 / WAITING_BYTES as f64
    }
}

/// Where writes are taken from.
#[derive(Debug)]
pub(super) struct QueueEnd(mpsc::Receiver<Waiting>);

/// Proposes what waits, until the queue is closed.
pub(super) async fn run(
    QueueEnd(mut queue): QueueEnd,
    raft: Raft<TypeConfig, StateMachine>,
    chain: Arc<ReplicatedChain>,
) {
    let under_way = Arc::new(Semaphore::new(ENTRIES_UNDER_WAY));
    let mut waiting = VecDeque::new();
    // Times of this node's batches never go back, though the one before may not be applied yet.
    let mut last_ms = 0;
    loop {
        if waiting.is_empty() {
            match queue.recv().await {
                Some(write) => waiting.push_back(write),
                None => return,
            }
        }
        let Ok(slot) = Arc::clone(&under_way).acquire_owned().await else { return };
        // Those who arrived while all entries were under way join.
        while waiting.len() < CONSIDERED {
            match queue.try_recv() {
                Ok(write) => waiting.push_back(write),
                Err(_) => break,
            }
        }
        if let Some(leader) = other_leader(&raft) {
            // Spared the signature of a batch that the log would not take.
            turn_away(&mut waiting, &SubmitError::NotLeader { leader: Some(leader) });
            continue;
        }
        let batch = match take_batch(&mut waiting, &chain) {
            Ok(batch) => batch,
            Err(error) => {
                // Before the chain begins there is nothing to propose to.
                tracing::debug!(%error, "no batch was made");
                turn_away(&mut waiting, &SubmitError::Retry);
                continue;
            }
        };
        let (writes, callers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.write, (waiting.answer, waiting._room))).unzip();
        let (responder, result) = ProgressResponder::complete_only();
        let refused = match chain.propose(writes, last_ms) {
            Ok(Some(batch)) => {
                last_ms = batch.stamp().timestamp_ms;
                let command = Command::new(ReplicatedEntry::Batch(batch));
                raft.client_write_ff(command, Some(responder)).await.err().map(|_| SubmitError::Stopped)
            }
            // What was chosen fits a block; a chain that can choose can sign.
            _ => Some(SubmitError::Retry),
        };
        if let Some(error) = refused {
            callers.into_iter().for_each(|(answer, _)| drop(answer.send(Err(error.clone()))));
            continue;
        }
        tokio::spawn(async move {
            let outcomes = outcomes(result.await.ok(), callers.len());
            drop(slot);
            for ((answer, _), outcome) in callers.into_iter().zip(outcomes) {
                // Whoever has given up waiting does not hear it.
                drop(answer.send(outcome));
            }
        });
    }
}

/// Nothing of what waits is proposed.
fn turn_away(waiting: &mut VecDeque<Waiting>, error: &SubmitError) {
    // Whoever has given up waiting does not hear it.
    waiting.drain(..).for_each(|write| drop(write.answer.send(Err(error.clone()))));
}

/// Takes those that go next out of those that wait.
fn take_batch(
    waiting: &mut VecDeque<Waiting>,
    chain: &ReplicatedChain,
) -> Result<Vec<Waiting>, tensor_chain::ChainError> {
    let changesets: Vec<&Changeset> = waiting.iter().map(|waiting| &waiting.write.changeset).collect();
    let chosen = chain.choose(&changesets)?;
    let (batch, left): (VecDeque<_>, VecDeque<_>) =
        (0..).zip(waiting.drain(..)).partition(|(row, _)| chosen.binary_search(row).is_ok());
    *waiting = left.into_iter().map(|(_, write)| write).collect();
    Ok(batch.into_iter().map(|(_, write)| write).collect())
}

/// Who leads instead of this node.
fn other_leader(raft: &Raft<TypeConfig, StateMachine>) -> Option<Peer> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let leader = metrics.current_leader.filter(|leader| *leader != metrics.id)?;
    Some(peer(leader, metrics.membership_config.membership().get_node(&leader)?))
}

/// What each writer of an entry is told.
fn outcomes(result: Option<ClientWriteResult<TypeConfig>>, count: usize) -> Vec<Outcome> {
    match result {
        Some(Ok(response)) => match response.data.outcome {
            Some(EntryOutcome::Writes(outcomes)) => outcomes.into_iter().map(outcome).collect(),
            _ => vec![Err(SubmitError::Unknown); count],
        },
        Some(Err(error)) => vec![Err(submit_error(error)); count],
        // The node stopped with the entry under way.
        None => vec![Err(SubmitError::Unknown); count],
    }
}

fn outcome(outcome: WriteOutcome) -> Outcome {
    match outcome {
        WriteOutcome::Committed { receipt, log_index } => {
            Ok(Committed { height: receipt.height, block_hash: receipt.hash, log_index })
        }
        WriteOutcome::Rejected(rejection) => Err(SubmitError::Rejected(rejection)),
        WriteOutcome::SessionExpired => Err(SubmitError::SessionExpired),
        WriteOutcome::SequenceTooOld { oldest } => Err(SubmitError::SequenceTooOld { oldest }),
        // A new leader whose clock is behind stamped it before it had applied everything: nothing was changed.
        WriteOutcome::BadStamp => Err(SubmitError::Retry),
    }
}

/// What an error of the consensus library says about a write.
pub(super) fn submit_error(error: ClientWriteError<TypeConfig>) -> SubmitError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => forwarded(forward),
        // The entry was in the log of a leader that was replaced: it may have been kept.
        _ => SubmitError::Unknown,
    }
}

/// A leader that is not ready says to go nowhere: it must be asked again.
fn forwarded(ForwardToLeader { leader_id, leader_node, reason }: ForwardToLeader<TypeConfig>) -> SubmitError {
    match (leader_id.zip(leader_node), reason) {
        (None, ForwardReason::LeaseExpired | ForwardReason::LeadershipTransfer) => SubmitError::Retry,
        (leader, _) => SubmitError::NotLeader { leader: leader.map(|(node, at)| peer(node, &at)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::{Addresses, RaftNode};

    #[test]
    fn a_leader_that_is_not_ready_is_asked_again_and_another_leader_is_named() {
        let forward = |reason| ForwardToLeader::empty().with_reason(reason);
        let told = |forward| submit_error(ClientWriteError::ForwardToLeader(forward));
        assert_eq!(told(forward(ForwardReason::LeaseExpired)), SubmitError::Retry);
        assert_eq!(told(forward(ForwardReason::LeadershipTransfer)), SubmitError::Retry);
        assert_eq!(told(forward(ForwardReason::NotLeader)), SubmitError::NotLeader { leader: None });
        let (node, at) = (RaftNode([7; 32]), Addresses { peer: "a:1".to_owned(), http: "a:2".to_owned() });
        let leader = Some(peer(node, &at));
        assert_eq!(told(ForwardToLeader::new(node, at)), SubmitError::NotLeader { leader });
    }

    #[test]
    fn an_entry_that_was_discarded_has_an_unknown_outcome() {
        let discarded = ClientWriteError::LogEntryDiscarded(ForwardToLeader::empty());
        assert_eq!(submit_error(discarded), SubmitError::Unknown);
    }

    #[test]
    fn who_waits_takes_room_until_there_is_none() {
        let (queue, end) = Queue::new();
        let write = || {
            let data = vec![0; 1_000_000];
            let put = tensor_chain::Transaction::Put { key: "k".to_owned(), data };
            Write { changeset: Changeset::single(put).unwrap(), session: None }
        };
        let mut waiting = Vec::new();
        let refused = loop {
            match queue.push(write()) {
                Ok(outcome) => waiting.push(outcome),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, SubmitError::Busy);
        assert_eq!(waiting.len(), WAITING_BYTES / 1_000_300);
        drop(end);
        assert_eq!(queue.push(write()).unwrap_err(), SubmitError::Stopped);
    }
}
