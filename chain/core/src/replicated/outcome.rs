//! What applying an entry answers, and the part of it that is remembered for a client that asks again.

use crate::committer::CommitReceipt;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::ids::Height;
use crate::rejection::Rejection;

/// What an entry came to.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryOutcome {
    /// The chain has begun, now or earlier.
    Begun,
    /// A client number was issued.
    Session {
        /// The number.
        client: u64,
    },
    /// One outcome for each write of the batch, in its order.
    Writes(Vec<WriteOutcome>),
    /// A vote was looked at; it counted if it was a voter's.
    Vote,
}

/// What became of one write.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOutcome {
    /// It is part of a block.
    Committed {
        /// The block.
        receipt: CommitReceipt,
        /// Index of the entry that it was applied with; of an earlier one where the client had asked before.
        log_index: u64,
    },
    /// It was turned down, now or when the client asked first.
    Rejected(Rejection),
    /// Its client number was never issued or is no longer known.
    SessionExpired,
    /// Its outcome, if there ever was one, is no longer known.
    SequenceTooOld {
        /// The lowest sequence number that is still accepted.
        oldest: u64,
    },
    /// The proposer's signature is not over this batch, its time lies before the tip's, or the chain has not begun:
    /// the whole batch changes nothing.
    BadStamp,
}

/// The outcome of a request, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Remembered {
    Committed { height: Height, log_index: u64 },
    Rejected(Rejection),
}

impl Encode for Remembered {
    fn encode(&self, writer: &mut Writer) {
        writer.bool(matches!(self, Self::Committed { .. }));
        match self {
            Self::Committed { height, log_index } => {
                height.encode(writer);
                writer.varint(*log_index);
            }
            Self::Rejected(rejection) => rejection.encode(writer),
        }
    }
}

impl Decode for Remembered {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.bool()? {
            true => Ok(Self::Committed { height: Height::decode(reader)?, log_index: reader.varint()? }),
            false => Rejection::decode(reader).map(Self::Rejected),
        }
    }
}
