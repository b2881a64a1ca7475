//! A new cluster from the state of an old one.
//!
//! What was exported is the state of a snapshot with the blocks behind it. Everything is checked on the way: the digest
//! of the state, and of each block its hash, link, signature, verdicts and state root, because it is applied again.
//! The log of the new cluster goes on behind the index of the old one, so clients keep their sessions and no client id
//! is issued twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use openraft::storage::RaftLogStorage;
use openraft::vote::RaftLeaderId;
use tensor_chain::log::LOG_FILE_NAME;
use tensor_chain::replicated::{ReplicatedChain, SnapshotError, SnapshotHeader};
use tensor_chain::{ChainConfig, ChainError, Height, NodeId, TensorStore};

use super::failure::FirstFailure;
use super::log_store::LogStore;
use super::snapshots::Snapshots;
use super::state_machine::membership_change;
use super::types::{Addresses, Membership, RaftNode, TypeConfig, Vote, log_id};
use crate::api::Peer;

/// Where the blocks wait until they have been checked.
const RECEIVED: &str = "received";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The node of the new directory, with a key of its own: the only voter of the new cluster.
    pub node: NodeId,
    /// Height of the tip.
    pub height: Height,
    /// Index of the last log entry that the state reflects.
    pub log_index: u64,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What the file says does not hold.
    #[error("the snapshot does not hold: {0}")]
    Snapshot(SnapshotError),
    /// The file ends too early.
    #[error("this is no snapshot, or one that is cut short")]
    CutShort,
    /// The file has other bytes behind the state than the header says.
    #[error("the snapshot has {got} bytes of blocks, expected {expected}")]
    Length {
        /// As the header says.
        expected: u64,
        /// As many as there are, or one more than expected.
        got: u64,
    },
    /// It is of a chain that has not begun.
    #[error("the snapshot holds no chain")]
    NoChain,
    /// The directory could not be written.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The file could not be read, or the directory not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<SnapshotError> for RestoreError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => Self::CutShort,
            SnapshotError::Io(error) => Self::Io(error),
            error => Self::Snapshot(error),
        }
    }
}

/// Checks the state and the length of an export, without looking at the blocks.
///
/// # Errors
/// A file that is damaged, cut short or too long.
pub fn check_export(file: &Path) -> Result<SnapshotHeader, RestoreError> {
    let mut input = BufReader::new(File::open(file)?);
    let header = SnapshotHeader::check(&mut input)?;
    let expected = header.tip.ok_or(RestoreError::NoChain)?.log_len;
    match io::copy(&mut input.take(expected.saturating_add(1)), &mut io::sink())? {
        got if got == expected => Ok(header),
        got => Err(RestoreError::Length { expected, got }),
    }
}

/// Makes the data of a new node in an empty directory: the only voter of a cluster that goes on where the exported
/// one was. `at` are its addresses, for a given id. Where this fails, the directory is of no use.
///
/// # Errors
/// An export that does not hold; a directory that cannot be written.
pub async fn restore(
    file: &Path,
    dir: &Path,
    chain: ChainConfig,
    at: impl FnOnce(NodeId) -> Peer + Send + 'static,
) -> Result<Restored, RestoreError> {
    let (from, into) = (file.to_owned(), dir.to_owned());
    let rebuild = move || rebuild(&from, &into, chain, at);
    let (restored, vote) = tokio::task::spawn_blocking(rebuild).await.map_err(io::Error::other)??;
    let mut log = LogStore::open(&dir.join("raft"), Arc::default(), FirstFailure::default())?;
    log.save_vote(&vote).await?;
    let hold = log.hold();
    drop(log);
    hold.released().await;
    Ok(restored)
}

/// Chain, membership and snapshot; the vote is still to be written.
fn rebuild(
    file: &Path,
    dir: &Path,
    chain: ChainConfig,
    at: impl FnOnce(NodeId) -> Peer,
) -> Result<(Restored, Vote), RestoreError> {
    let header = check_export(file)?;
    let (position, tip) = header.position.zip(header.tip).ok_or(RestoreError::NoChain)?;
    let store = TensorStore::open_replicated(dir, 0).map_err(ChainError::from)?;
    let node = store.identity().map_err(ChainError::from)?.node_id();
    let chain = ReplicatedChain::open(store, chain)?;

    let received = dir.join(RECEIVED);
    fs::create_dir(&received)?;
    let mut input = BufReader::new(File::open(file)?);
    SnapshotHeader::check(&mut input)?;
    io::copy(&mut input, &mut File::create(received.join(LOG_FILE_NAME))?)?;
    chain.install_snapshot(BufReader::new(File::open(file)?), Some(&received))?;
    fs::remove_dir_all(&received)?;

    let me = RaftNode::from(node);
    let members = openraft::Membership::new(
        vec![BTreeSet::from([me])],
        BTreeMap::from([(me, Addresses::from(&at(node)))]),
    );
    let members = Membership::new(Some(log_id(position)), members.map_err(io::Error::other)?);
    chain.advance(position, Some(membership_change(members)?))?;
    chain.sync()?;
    Snapshots::open(dir, &chain)?.draft(&chain)?.finish()?;
    chain.close()?;

    let leader_id = <TypeConfig as openraft::RaftTypeConfig>::LeaderId::new(position.term, me);
    let restored = Restored { node, height: tip.height, log_index: position.index };
    Ok((restored, Vote { leader_id, committed: false }))
}
