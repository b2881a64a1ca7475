//! What a node and its clients say to each other, as JSON. One definition for both sides, so that neither can
//! drift from the other; the node's OpenAPI document is derived from these types as well.
//!
//! Values travel as they are where they are a whole body, and as [`Data`](crate::text::Data) inside JSON.

mod answers;
mod node;
mod problem;
mod requests;

pub use answers::{
    Begun, Block, BlockOperation, BlockSeen, Change, CodebookUsed, Drift, History, Keys, Near, Outcome,
    Outcomes, Proof, Receipt, Session, Similar,
};
pub use node::{Band, Check, Finalized, Health, IssuedTicket, Leader, Member, Peer, Status};
pub use problem::{Kind, Problem, ProblemBody, ProblemDetail};
pub use requests::{Batch, BatchError, Batches, Cas, Operation, OperationName, SimilarQuery, parse_vector};

/// Header of a write: the client id that a session was given.
pub const CLIENT_ID_HEADER: &str = "x-client-id";
/// Header of a write: its number in the session. A write with the number of an earlier one is answered with the
/// outcome of that one, and not applied again.
pub const SEQUENCE_HEADER: &str = "x-sequence";
/// Header of an answer: the height of the state that it speaks of, or of the block that holds the write.
pub const HEIGHT_HEADER: &str = "x-height";
/// Header of an answer: the last log entry that the node had applied.
pub const APPLIED_INDEX_HEADER: &str = "x-applied-index";
/// Header of an answer to a write: the log entry that holds it.
pub const LOG_INDEX_HEADER: &str = "x-log-index";
