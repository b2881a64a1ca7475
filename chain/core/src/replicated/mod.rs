//! A chain whose blocks come out of a replicated log instead of a local commit.
//!
//! The log carries batches as they were proposed; every node applies the same entries in the same order and comes to
//! the same blocks, the same verdicts and the same memory of what each client was answered. Nothing here knows how
//! the log is agreed on. An applied entry is not synced to disk: whoever keeps the log keeps it until
//! [`ReplicatedChain::sync`] has made its effects durable.

mod apply;
mod chain;
mod checkpoint;
mod entry;
mod finality;
mod outcome;
mod rejection_encoding;
mod sessions;
mod snapshot;

pub use chain::{MembershipChange, ReplicatedChain};
pub use checkpoint::{Checkpoint, CheckpointVote};
pub use entry::{LogPosition, ProposedWrite, ReplicatedBatch, ReplicatedEntry, SessionRequest};
pub use finality::{Electorate, Finality};
pub use outcome::{EntryOutcome, WriteOutcome};
pub use sessions::{MAX_SESSIONS, REMEMBERED_PER_SESSION};
pub use snapshot::{SNAPSHOT_DIGEST_BYTES, SnapshotError, SnapshotHeader, SnapshotTip};
