//! The chain as the consensus library drives it: committed entries in, answers out.
//!
//! An entry is applied without a sync; the log is the truth until a snapshot has made everything up to its index
//! durable, and the log is purged only below a snapshot. An error here is no verdict on an entry: it stops the node.

use std::io;
use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder, Snapshot};
use tensor_chain::replicated::{EntryOutcome, ReplicatedChain};

use super::blocking::blocking;
use super::snapshots::{Draft, SnapshotFiles, Snapshots};
use super::types::{Answer, Entry, LogId, Membership, Payload, SnapshotMeta, TypeConfig, log_id, position};

pub(super) type ChainSnapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotFiles>;

/// The chain and its snapshots.
#[derive(Debug, Clone)]
pub(super) struct StateMachine {
    chain: Arc<ReplicatedChain>,
    snapshots: Arc<Snapshots>,
}

impl StateMachine {
    pub(super) const fn new(chain: Arc<ReplicatedChain>, snapshots: Arc<Snapshots>) -> Self {
        Self { chain, snapshots }
    }

    fn apply_entry(&self, entry: Entry) -> io::Result<Option<EntryOutcome>> {
        let position = position(&entry.log_id);
        match entry.payload {
            Payload::Blank => self.chain.advance(position, None).map(|()| None),
            Payload::Normal(command) => self.chain.apply(position, command.entry()).map(Some),
            Payload::Membership(membership) => {
                let stored = Membership::new(Some(entry.log_id), membership);
                let bytes = postcard::to_stdvec(&stored).map_err(io::Error::other)?;
                self.chain.advance(position, Some(bytes)).map(|()| None)
            }
        }
        .map_err(io::Error::other)
    }
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
            let answer = Answer { outcome: self.apply_entry(entry)? };
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
        Builder { chain: Arc::clone(&self.chain), draft: Some(draft) }
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, snapshot: SnapshotFiles) -> io::Result<()> {
        let (chain, snapshots) = (Arc::clone(&self.chain), Arc::clone(&self.snapshots));
        blocking(move || snapshots.install(&chain, snapshot)).await?
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<ChainSnapshot>> {
        self.snapshots.current()?.map(describe).transpose()
    }
}

/// Finishes a snapshot while entries are applied again.
#[derive(Debug)]
pub(super) struct Builder {
    chain: Arc<ReplicatedChain>,
    draft: Option<io::Result<Draft>>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFiles;

    async fn build_snapshot(&mut self) -> io::Result<ChainSnapshot> {
        let draft = self.draft.take().unwrap_or_else(|| Err(io::Error::other("built already")))?;
        let chain = Arc::clone(&self.chain);
        let finish = move || {
            // The blocks that it stands on, and all that the log may forget once it exists.
            chain.sync().map_err(io::Error::other)?;
            draft.finish()
        };
        describe(blocking(finish).await??)
    }
}

/// A snapshot with what the library wants to know of it.
pub(super) fn describe(files: SnapshotFiles) -> io::Result<ChainSnapshot> {
    let last_membership = decode_membership(&files.header.membership)?;
    let meta = SnapshotMeta { last_log_id: files.header.position.map(log_id), last_membership };
    Ok(Snapshot { meta, snapshot: files })
}
