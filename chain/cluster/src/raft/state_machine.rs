//! The chain as the consensus library drives it: committed entries in, answers out.
//!
//! An entry is applied without a sync; the log is the truth until a snapshot has made everything up to its index
//! durable, and the log is purged only below a snapshot. An error here is no verdict on an entry: it stops the node.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder, Snapshot};
use tensor_chain::replicated::{
    Electorate, EntryOutcome, MembershipChange, ReplicatedChain, ReplicatedEntry,
};

use super::blocking::blocking;
use super::durable::Durable;
use super::failure::{FirstFailure, ReplicaError};
use super::snapshots::{Draft, SnapshotFiles, Snapshots};
use super::statistics::Counted;
use super::types::{
    Answer, Entry, LogId, Membership, Payload, RaftNode, SnapshotMeta, TypeConfig, log_id, position,
};

pub(super) type ChainSnapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotFiles>;

/// The chain and its snapshots.
#[derive(Debug, Clone)]
pub(super) struct StateMachine {
    chain: Arc<ReplicatedChain>,
    snapshots: Arc<Snapshots>,
    /// How much of the log is on disk.
    durable: Durable,
    counted: Arc<Counted>,
    failure: FirstFailure,
}

impl StateMachine {
    pub(super) const fn new(
        chain: Arc<ReplicatedChain>,
        snapshots: Arc<Snapshots>,
        durable: Durable,
        counted: Arc<Counted>,
        failure: FirstFailure,
    ) -> Self {
        Self { chain, snapshots, durable, counted, failure }
    }

    fn snapshot_failed(&self, error: io::Error) -> io::Error {
        self.failure.keep(ReplicaError::Snapshot(error))
    }

    fn apply_entry(&self, entry: Entry) -> io::Result<Option<EntryOutcome>> {
        if let Payload::Normal(command) = &entry.payload
            && let ReplicatedEntry::Batch(batch) = command.entry()
        {
            self.counted.batch_writes.count(batch.writes().len() as u64);
        }
        let position = position(&entry.log_id);
        match entry.payload {
            Payload::Blank => self.chain.advance(position, None).map(|()| None),
            Payload::Normal(command) => self.chain.apply(position, command.entry()).map(Some),
            Payload::Membership(membership) => {
                let change = membership_change(Membership::new(Some(entry.log_id), membership))?;
                self.chain.advance(position, Some(change)).map(|()| None)
            }
        }
        .map_err(|error| self.failure.keep(error.into()))
    }
}

/// A membership as the chain keeps it.
pub(super) fn membership_change(stored: Membership) -> io::Result<MembershipChange> {
    let record = postcard::to_stdvec(&stored).map_err(io::Error::other)?;
    let ids = |set: &BTreeSet<RaftNode>| set.iter().map(|&node| node.into()).collect();
    let sets = stored.membership().get_joint_config().iter().map(ids).collect();
    Ok(MembershipChange { record, electorate: Electorate::new(sets) })
}

/// A membership from the bytes that the chain keeps.
pub(super) fn decode_membership(bytes: &[u8]) -> io::Result<Membership> {
    match bytes {
        [] => Ok(Membership::default()),
        bytes => postcard::from_bytes(bytes).map_err(io::Error::other),
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFiles;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        let applied = self.chain.applied().map_err(io::Error::other)?;
        let membership = self.chain.membership().map_err(io::Error::other)?;
        Ok((applied.map(log_id), decode_membership(&membership.unwrap_or_default())?))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            self.durable.reach(entry.log_id.index(), &self.failure).await?;
            let began = Instant::now();
            let answer = Answer { outcome: self.apply_entry(entry)? };
            self.counted.apply.took(began.elapsed());
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        // What a snapshot is of is fixed here: no entry is applied until this returns.
        let (chain, snapshots) = (Arc::clone(&self.chain), Arc::clone(&self.snapshots));
        let draft = blocking(move || snapshots.draft(&chain)).await;
        let draft = draft.unwrap_or_else(|error| Err(io::Error::other(error)));
        Builder { machine: self.clone(), draft: Some(draft) }
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, snapshot: SnapshotFiles) -> io::Result<()> {
        let (chain, snapshots) = (Arc::clone(&self.chain), Arc::clone(&self.snapshots));
        let installed = blocking(move || snapshots.install(&chain, snapshot)).await?;
        installed.map_err(|error| self.snapshot_failed(error))
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<ChainSnapshot>> {
        let current = self.snapshots.current().and_then(|files| files.map(describe).transpose());
        current.map_err(|error| self.snapshot_failed(error))
    }
}

/// Finishes a snapshot while entries are applied again.
#[derive(Debug)]
pub(super) struct Builder {
    machine: StateMachine,
    draft: Option<io::Result<Draft>>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFiles;

    async fn build_snapshot(&mut self) -> io::Result<ChainSnapshot> {
        let draft = self.draft.take().unwrap_or_else(|| Err(io::Error::other("built already")));
        let draft = draft.map_err(|error| self.machine.snapshot_failed(error))?;
        let chain = Arc::clone(&self.machine.chain);
        let finish = move || {
            // The blocks that it stands on, and all that the log may forget once it exists.
            chain.sync().map_err(io::Error::other)?;
            draft.finish()
        };
        let finished = blocking(finish).await?.and_then(describe);
        finished.map_err(|error| self.machine.snapshot_failed(error))
    }
}

/// A snapshot with what the library wants to know of it.
pub(super) fn describe(files: SnapshotFiles) -> io::Result<ChainSnapshot> {
    let last_membership = decode_membership(&files.header.membership)?;
    let meta = SnapshotMeta { last_log_id: files.header.position.map(log_id), last_membership };
    Ok(Snapshot { meta, snapshot: files })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor_chain::{ChainConfig, TensorStore};

    #[tokio::test]
    async fn a_snapshot_that_could_not_be_begun_is_known_as_what_ended_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let store = TensorStore::open_replicated(dir.path(), 0).unwrap();
        let chain = Arc::new(ReplicatedChain::open(store, ChainConfig::default()).unwrap());
        let snapshots = Arc::new(Snapshots::open(dir.path(), &chain).unwrap());
        let failure = FirstFailure::default();
        let machine =
            StateMachine::new(chain, snapshots, Durable::default(), Arc::default(), failure.clone());
        let full = io::Error::from(io::ErrorKind::StorageFull);
        Builder { machine, draft: Some(Err(full)) }.build_snapshot().await.unwrap_err();
        assert!(matches!(
            failure.get(),
            Some(ReplicaError::Snapshot(error)) if error.kind() == io::ErrorKind::StorageFull
        ));
    }
}
