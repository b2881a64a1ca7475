//! What an entry of the replicated log says, and its canonical bytes.

use super::checkpoint::CheckpointVote;
use crate::block::{Stamp, decode_list, encode_list};
use crate::changeset::{Changeset, MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::genesis::ChainParams;
use crate::hash::Hash;
use crate::identity::Identity;
use crate::ids::ChainId;

/// Where an entry stands in the replicated log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Term of the leader that proposed it.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// Which request of which client: applied once however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionRequest {
    /// Number of the client, issued by [`ReplicatedEntry::Session`].
    pub client: u64,
    /// Number of the request, chosen by the client, ascending.
    pub sequence: u64,
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedWrite {
    /// Operations that are applied together or not at all.
    pub changeset: Changeset,
    /// Which request of which client it is, where it is to be applied exactly once.
    pub session: Option<SessionRequest>,
}

/// Writes in the order they are to be judged, signed by the leader that proposed them. Fields are private: a batch
/// that exists fits a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicatedBatch {
    stamp: Stamp,
    writes: Vec<ProposedWrite>,
}

/// One entry of the replicated log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicatedEntry {
    /// Begins the chain. Once it has begun, another such entry changes nothing.
    Genesis {
        /// The chain's parameters.
        params: ChainParams,
        /// Who begins it, and when.
        stamp: Stamp,
    },
    /// Issues a client number.
    Session,
    /// Writes.
    Batch(ReplicatedBatch),
    /// What a voter says about a block. It makes no block itself.
    Vote(CheckpointVote),
}

impl ReplicatedBatch {
    /// Signs a batch. `None` where it does not fit a block: no writes, or more operations or bytes than a block
    /// may hold.
    #[must_use]
    pub fn sign(
        identity: &Identity,
        chain: ChainId,
        timestamp_ms: u64,
        writes: Vec<ProposedWrite>,
    ) -> Option<Self> {
        let stamp = Stamp::sign_digests(identity, chain, timestamp_ms, &digests(&writes));
        fits_a_block(&writes).then_some(Self { stamp, writes })
    }

    /// What the proposer added.
    #[must_use]
    pub const fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The writes, in order.
    #[must_use]
    pub fn writes(&self) -> &[ProposedWrite] {
        &self.writes
    }

    /// The leaf of each changeset under a block's root of transactions.
    pub(super) fn digests(&self) -> Vec<Hash> {
        digests(&self.writes)
    }
}

fn digests(writes: &[ProposedWrite]) -> Vec<Hash> {
    writes.iter().map(|write| write.changeset.digest()).collect()
}

fn fits_a_block(writes: &[ProposedWrite]) -> bool {
    // A changeset is at most 1,000 operations and 1 MiB; a batch that decodes at all is within memory.
    let operations: usize = writes.iter().map(|write| write.changeset.transactions().len()).sum();
    let bytes: usize = writes.iter().map(|write| write.changeset.encoded_len()).sum();
    !writes.is_empty() && operations <= MAX_BLOCK_TRANSACTIONS && bytes <= MAX_BLOCK_BYTES
}

impl Encode for LogPosition {
    fn encode(&self, writer: &mut Writer) {
        writer.u64(self.term);
        writer.u64(self.index);
    }
}

impl Decode for LogPosition {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { term: reader.u64()?, index: reader.u64()? })
    }
}

impl Encode for ProposedWrite {
    fn encode(&self, writer: &mut Writer) {
        writer.bool(self.session.is_some());
        if let Some(SessionRequest { client, sequence }) = self.session {
            writer.varint(client);
            writer.varint(sequence);
        }
        self.changeset.encode(writer);
    }
}

impl Decode for ProposedWrite {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let session = match reader.bool()? {
            true => Some(SessionRequest { client: reader.varint()?, sequence: reader.varint()? }),
            false => None,
        };
        Ok(Self { session, changeset: Changeset::decode(reader)? })
    }
}

const GENESIS: u8 = 0;
const SESSION: u8 = 1;
const BATCH: u8 = 2;
const VOTE: u8 = 3;

impl Encode for ReplicatedEntry {
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Genesis { params, stamp } => {
                writer.u8(GENESIS);
                params.encode(writer);
                stamp.encode(writer);
            }
            Self::Session => writer.u8(SESSION),
            Self::Batch(ReplicatedBatch { stamp, writes }) => {
                writer.u8(BATCH);
                stamp.encode(writer);
                encode_list(writes, writer);
            }
            Self::Vote(vote) => {
                writer.u8(VOTE);
                vote.encode(writer);
            }
        }
    }

    fn size_hint(&self) -> usize {
        match self {
            Self::Batch(ReplicatedBatch { stamp, writes }) => {
                // Flag, client and sequence number of a session.
                let write = |write: &ProposedWrite| 24 + write.changeset.encoded_len();
                size_of_val(stamp) + writes.iter().map(write).sum::<usize>()
            }
            Self::Genesis { .. } | Self::Session | Self::Vote(_) => 0,
        }
    }
}

impl Decode for ReplicatedEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            GENESIS => {
                Ok(Self::Genesis { params: ChainParams::decode(reader)?, stamp: Stamp::decode(reader)? })
            }
            SESSION => Ok(Self::Session),
            BATCH => {
                let (stamp, writes) = (Stamp::decode(reader)?, decode_list(reader)?);
                match fits_a_block(&writes) {
                    true => Ok(Self::Batch(ReplicatedBatch { stamp, writes })),
                    false => Err(DecodeError::Invalid { what: "batch" }),
                }
            }
            VOTE => CheckpointVote::decode(reader).map(Self::Vote),
            got => Err(DecodeError::UnknownTag { what: "entry", got }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::tests::any_transaction;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_comes_back_from_its_bytes(
            writes in proptest::collection::vec(
                (any_transaction(), proptest::option::of(any::<(u64, u64)>())), 1..6,
            ),
        ) {
            let write = |(transaction, session): (_, Option<(u64, u64)>)| ProposedWrite {
                changeset: Changeset::single(transaction).unwrap(),
                session: session.map(|(client, sequence)| SessionRequest { client, sequence }),
            };
            let identity = Identity::from_bytes(&[1; 32]);
            let writes = writes.into_iter().map(write).collect();
            let batch = ReplicatedBatch::sign(&identity, ChainId::default(), 7, writes).unwrap();
            prop_assert!(batch.stamp.is_over(ChainId::default(), &batch.digests()));
            let entry = ReplicatedEntry::Batch(batch);
            prop_assert_eq!(ReplicatedEntry::from_bytes(&entry.to_bytes()).unwrap(), entry);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(entry) = ReplicatedEntry::from_bytes(&bytes) {
                prop_assert_eq!(entry.to_bytes(), bytes);
            }
        }
    }
}
