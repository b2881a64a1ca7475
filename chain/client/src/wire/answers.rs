//! What a chain answers: the same for a node's clients and for the command line on a directory.
//! `Serialize` is for programs, `Display` for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::problem::ProblemBody;
use super::requests::OperationName;
use crate::text::Data;

/// Where a write went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// Height of the block that holds it.
    pub height: u64,
    /// Hash of that block.
    pub hash: String,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} {}", self.height, self.hash)
    }
}

/// What became of each of several batches, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Outcomes {
    /// The outcomes.
    pub outcomes: Vec<Outcome>,
}

/// What became of one of several batches: as the whole answer says it of a single one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Outcome {
    /// It is durable.
    Durable(Receipt),
    /// It was refused, or its outcome is unknown.
    Refused(ProblemBody),
}

/// A new client session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// Goes into the `x-client-id` header of the session's writes.
    pub client_id: String,
}

/// Where a transaction begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Begun {
    /// Height whose state its reads see: `?at=` of each, and `begin_height` of its batch.
    pub height: u64,
}

/// Keys that have a value, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Keys {
    /// Height of the state.
    pub height: u64,
    /// The keys.
    pub keys: Vec<String>,
    /// Whether there are more: ask again with `after` set to the last of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.iter().try_for_each(|key| writeln!(f, "{}", Data::of(key.as_bytes())))
    }
}

/// Operations on a key, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct History {
    /// The key.
    pub key: String,
    /// The operations.
    pub changes: Vec<Change>,
    /// Height to ask on `from`, where there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One operation on a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// Height of its block.
    pub height: u64,
    /// What it did.
    pub operation: OperationName,
    /// What it wrote, unless that is a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Data>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Change { height, operation, value } in &self.changes {
            write!(f, "{height:>8}  {operation:<7}")?;
            match value {
                Some(value) => writeln!(f, " {value}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// A proof of what the state says of a key, as `tensorchain verify-proof` reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proof {
    /// The key it speaks of.
    pub key: String,
    /// The block whose state it speaks of; compare it with a hash you trust.
    pub block_hash: String,
    /// Canonical bytes of header and path, in hexadecimal.
    pub proof: String,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proof is for a file: the same JSON in every format.
        f.write_str(&serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?)
    }
}

/// Blocks whose change was most alike, nearest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Similar {
    /// The blocks.
    pub blocks: Vec<Near>,
}

/// One block of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Near {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: String,
    /// Cosine of its change and the one that was asked about.
    pub cosine: f64,
}

impl fmt::Display for Similar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.blocks
            .iter()
            .try_for_each(|Near { height, hash, cosine }| writeln!(f, "{height:>8} {hash} {cosine:>8.4}"))
    }
}

/// How much a codebook misses of the changes of a range of blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Drift {
    /// First block of the range.
    pub from: u64,
    /// Last block of the range.
    pub to: u64,
    /// Which codebook.
    pub codebook: CodebookUsed,
    /// Blocks of the range that have a change and a code.
    pub blocks: usize,
    /// Sum of their errors, each relative to the length of the change.
    pub total: f64,
    /// Mean error.
    pub mean: f64,
    /// Greatest error.
    pub max: f64,
    /// Growth of the error per block.
    pub slope: f64,
}

/// Which codebook a drift was measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CodebookUsed {
    /// Those in force when the blocks were written.
    #[serde(rename = "of the chain")]
    Chain,
    /// One trained for the purpose.
    #[serde(rename = "trained on the range")]
    Trained,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, codebook, blocks, total, mean, max, slope } = self;
        let codebook = match codebook {
            CodebookUsed::Chain => "of the chain",
            CodebookUsed::Trained => "trained on the range",
        };
        writeln!(f, "blocks {from} to {to}, codebook {codebook}: {blocks} blocks with a change and a code")?;
        if *blocks == 0 {
            return write!(f, "nothing to measure; --train K fits a codebook to the range");
        }
        write!(f, "error mean {mean:.4}, max {max:.4}, total {total:.4}, slope {slope:+.3e} a block")
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Block {
    /// Blocks before it.
    pub height: u64,
    /// Its name: the hash of its header.
    pub hash: String,
    /// Hash of the block before.
    pub prev_hash: String,
    /// Root over its changesets.
    pub tx_root: String,
    /// Root of the state after it.
    pub state_root: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: u64,
    /// The node that proposed it.
    pub proposer: String,
    /// Epoch of the codebook in force; 0 without one.
    pub codebook_epoch: u64,
    /// Commits in it.
    pub changesets: usize,
    /// Their operations, in order.
    pub operations: Vec<BlockOperation>,
}

/// One operation of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockOperation {
    /// The key.
    pub key: String,
    /// What was done with it.
    pub operation: OperationName,
    /// What was written, unless that is a vector; in a watched block always left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Data>,
}

/// A block as `GET /v1/watch` announces it: which keys it wrote, not what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockSeen {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: String,
    /// Its operations, in order.
    pub operations: Vec<BlockOperation>,
}
