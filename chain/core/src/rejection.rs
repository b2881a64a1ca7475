//! Why `apply` turned a changeset down. Part of the outcome that every node computes alike.

use crate::encoding::DecodeError;
use crate::ids::Height;
use crate::recent::BEGIN_WINDOW;

/// A verdict against one changeset; the rest of its batch is not concerned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Someone else's commit since it began cannot stand together with it.
    #[error("conflict with the block at height {with}: {cause}")]
    Conflict {
        /// What the two have in common.
        cause: ConflictCause,
        /// The block that holds the other commit.
        with: Height,
    },
    /// It began too long ago to be judged.
    #[error("transaction began at height {begin}, more than {BEGIN_WINDOW} blocks below the tip {tip}")]
    BeginTooOld {
        /// Where it began.
        begin: Height,
        /// The tip.
        tip: Height,
    },
    /// It claims to have begun at a height that does not exist yet.
    #[error("transaction began at height {begin}, above the tip {tip}")]
    BeginAboveTip {
        /// Where it claims to have begun.
        begin: Height,
        /// The tip.
        tip: Height,
    },
    /// An `Update` of a key that has no value.
    #[error("update of key {key:?}, which is absent")]
    KeyAbsent {
        /// The key.
        key: String,
    },
    /// A `CompareAndSwap` that found another value.
    #[error("key {key:?} holds {}, expected {}", describe(found), describe(expected))]
    ValueDiffers {
        /// The key.
        key: String,
        /// The value it should have; `None` means absent.
        expected: Option<Vec<u8>>,
        /// The value it has.
        found: Option<Vec<u8>>,
    },
    /// A write to the codebook's key that puts no codebook in force.
    #[error("codebook: {0}")]
    Codebook(CodebookFault),
    /// Its delta has another dimension than the chain's deltas.
    #[error("delta of {got} components: this chain has {expected}")]
    DeltaDimension {
        /// Components of the delta.
        got: u32,
        /// Components of the chain's deltas.
        expected: u32,
    },
    /// What a client is told that asks again after the details, which were long, have been forgotten.
    #[error("it was turned down before; the details were too long to be remembered")]
    DetailsForgotten,
}

/// What a rejected changeset has in common with one that stands.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConflictCause {
    /// A key that the rejected one read or wrote was written.
    #[error("key {key:?} was written since the transaction began")]
    Key {
        /// The key.
        key: String,
    },
    /// Their deltas are too close.
    #[error("the deltas conflict (similarity {similarity:.4})")]
    Delta {
        /// Cosine of the two deltas; deltas that occupy the same positions conflict at any cosine.
        similarity: f64,
    },
}

/// Why a write to the codebook's key puts no codebook in force.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CodebookFault {
    /// An operation other than `Put`.
    #[error("only a put may write it")]
    NotAPut,
    /// Bytes that are no codebook.
    #[error(transparent)]
    Record(DecodeError),
    /// Entries of another dimension than the chain's deltas.
    #[error("entries of {got} components: this chain has {expected}")]
    Dimension {
        /// Components of the entries.
        got: usize,
        /// Components of the chain's deltas.
        expected: usize,
    },
    /// Not the epoch after the one in force.
    #[error("epoch {got} does not follow {in_force}")]
    Epoch {
        /// Epoch of the codebook.
        got: u64,
        /// Epoch in force, 0 without a codebook.
        in_force: u64,
    },
    /// Entries beyond the range of deltas, or a metric that has no nearest entry.
    #[error("it has no integer form to agree on")]
    NotForConsensus,
}

/// Short values in hex, long ones by their length.
fn describe(value: &Option<Vec<u8>>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(bytes) if bytes.len() <= 16 => {
            format!("0x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        Some(bytes) => format!("{} bytes", bytes.len()),
    }
}
