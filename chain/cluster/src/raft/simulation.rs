//! What the simulator replaces (disk, random numbers, threads) and what it inspects.
//!
//! A build with the feature `simulation` does on the spot what else goes to another thread, takes the library's random
//! numbers from a seed (see [`seeded`]), and has a [`Disk`] say when a sync ends. All else is the code that is shipped.

use std::fmt::Debug;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures_util::future::BoxFuture;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::codeq::Encode;
use raft_log::{Callback, RaftLog};
use tensor_chain::NodeId;
use tensor_chain::index::Index;
use tensor_chain::replicated::LogPosition;

use super::config::ReplicaConfig;
use super::log_record::{PayloadRecord, VoteRecord};
use super::log_store::{LogTypes, Synced};
use super::replica::Replica;
use super::types::Runtime;
use crate::api::Role;

/// The disk of a simulated node.
pub trait Disk: Debug + Send + Sync + 'static {
    /// The index of the chain, as it was left.
    fn index(&self) -> Box<dyn Index>;

    /// The Raft log was opened and says this; it is durable.
    fn log_opened(&self, mark: LogMark);

    /// The Raft log was written and says this now. The future ends when that is durable.
    fn sync_log(&self, mark: LogMark) -> BoxFuture<'static, ()>;
}

/// What a Raft log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogMark {
    /// Its last entry, or the last one that it has forgotten.
    pub last: Option<LogPosition>,
    /// The last entry that it has forgotten.
    pub purged: Option<LogPosition>,
    /// The term of the node's vote, for whom it is, and whether a quorum has given that one theirs.
    pub vote: Option<(u64, NodeId, bool)>,
}

/// A bug that is put in to see it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A node that thinks it leads answers reads without asking the others.
    ReadWithoutQuorum,
    /// A leader that comes back leads on without an election.
    LeaderRestore,
}

/// What is replaced in a replica, and what is broken.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// What its data is on.
    pub disk: Arc<dyn Disk>,
    /// What is broken.
    pub planted: Option<Planted>,
}

/// Runs a future and the tasks that the library starts for it with random numbers from a seed. Whatever is asked of a
/// replica or of its service has to be asked inside one.
pub fn seeded<F: Future>(seed: u64, future: F) -> impl Future<Output = F::Output> {
    Runtime::scope(seed, future)
}

impl ReplicaConfig {
    pub(super) fn planted(&self, bug: Planted) -> bool {
        self.simulated.as_ref().is_some_and(|simulated| simulated.planted == Some(bug))
    }
}

impl Replica {
    /// What its Raft log says; nothing once the replica has stopped.
    #[must_use]
    pub fn log_mark(&self) -> LogMark {
        let log = self.log().0.upgrade();
        log.map(|log| mark(&log.lock().unwrap_or_else(PoisonError::into_inner))).unwrap_or_default()
    }

    /// The entries of its Raft log from an index on, each with its bytes.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub fn log_entries(&self, from: u64) -> io::Result<Vec<(LogPosition, Vec<u8>)>> {
        let Some(log) = self.log().0.upgrade() else { return Ok(Vec::new()) };
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |record: io::Result<(_, PayloadRecord)>| {
            let (_, record) = record?;
            let mut bytes = Vec::new();
            record.encode(&mut bytes)?;
            Ok((record.place.0, bytes))
        };
        log.read(from, u64::MAX).map(bytes).collect()
    }

    /// How often it has handed the leadership over by itself.
    #[must_use]
    pub fn handovers(&self) -> u64 {
        self.counted().handovers.load(Ordering::Relaxed)
    }

    pub(super) fn index_without_quorum(&self) -> Option<u64> {
        let status = self.status();
        let wrong = self.config().planted(Planted::ReadWithoutQuorum) && status.role == Role::Leader;
        wrong.then_some(status.applied?)
    }
}

pub(super) fn mark(log: &RaftLog<LogTypes>) -> LogMark {
    let state = log.log_state();
    LogMark {
        last: state.last().map(|place| place.0),
        purged: state.purged().map(|place| place.0),
        vote: state
            .vote()
            .map(|VoteRecord(vote)| (vote.leader_id.term, vote.leader_id.voted_for.into(), vote.committed)),
    }
}

/// As a flush of the log, but a sync ends when the disk says so.
pub(super) fn flush(log: &mut RaftLog<LogTypes>, synced: Option<Synced>, disk: &dyn Disk) -> io::Result<()> {
    log.flush(synced.is_some(), None)?;
    let Some(synced) = synced else { return Ok(()) };
    log.wait_worker_idle()?;
    let durable = disk.sync_log(mark(log));
    tokio::spawn(async move {
        durable.await;
        synced.send(Ok(()));
    });
    Ok(())
}
