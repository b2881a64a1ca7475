//! Checkpoints, and what voters sign about them.
//!
//! A node's id is the hash of its key, so a vote brings its key along and whoever knows the voters can check it.

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::hash::Domain;
use crate::identity::{Identity, PublicIdentity};
use crate::ids::{BlockHash, ChainId, Height, NodeId};

const CHECKPOINT_VOTE: Domain = Domain::new("checkpoint-vote");

/// A block, and with it the state after it, as named by those who sign it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Height of the block.
    pub height: Height,
    /// Its hash, which holds the root of the state.
    pub block_hash: BlockHash,
    /// Who votes on it: index of the log entry that made them voters.
    pub epoch: u64,
}

/// A voter's word that its chain has this block at that height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointVote {
    checkpoint: Checkpoint,
    signer_key: [u8; 32],
    signature: [u8; 64],
}

impl CheckpointVote {
    /// Signs a checkpoint of a chain.
    #[must_use]
    pub fn sign(identity: &Identity, chain: ChainId, checkpoint: Checkpoint) -> Self {
        let signature = identity.sign(CHECKPOINT_VOTE, &message(chain, checkpoint));
        Self { checkpoint, signer_key: identity.public_key_bytes(), signature }
    }

    /// What is signed.
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Who signed it for this chain; `None` where the signature is not over the checkpoint.
    #[must_use]
    pub fn signer(&self, chain: ChainId) -> Option<NodeId> {
        let key = PublicIdentity::from_bytes(&self.signer_key).ok()?;
        key.verify(CHECKPOINT_VOTE, &message(chain, self.checkpoint), &self.signature).ok()?;
        Some(key.node_id())
    }

    /// Who says to have signed it. The signature may be anything.
    #[must_use]
    pub fn claimed_signer(&self) -> Option<NodeId> {
        PublicIdentity::from_bytes(&self.signer_key).ok().map(|key| key.node_id())
    }
}

fn message(chain: ChainId, checkpoint: Checkpoint) -> Vec<u8> {
    let mut writer = Writer::new();
    chain.encode(&mut writer);
    checkpoint.encode(&mut writer);
    writer.into_bytes()
}

impl Encode for Checkpoint {
    fn encode(&self, writer: &mut Writer) {
        self.height.encode(writer);
        self.block_hash.encode(writer);
        writer.varint(self.epoch);
    }
}

impl Decode for Checkpoint {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (height, block_hash) = (Height::decode(reader)?, BlockHash::decode(reader)?);
        Ok(Self { height, block_hash, epoch: reader.varint()? })
    }
}

impl Encode for CheckpointVote {
    fn encode(&self, writer: &mut Writer) {
        self.checkpoint.encode(writer);
        writer.raw(&self.signer_key);
        writer.raw(&self.signature);
    }
}

impl Decode for CheckpointVote {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let checkpoint = Checkpoint::decode(reader)?;
        Ok(Self { checkpoint, signer_key: reader.array()?, signature: reader.array()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_is_of_one_voter_chain_and_checkpoint() {
        let identity = Identity::from_bytes(&[1; 32]);
        let (chain, other) = (ChainId([1; 32]), ChainId([2; 32]));
        let checkpoint = Checkpoint { height: Height(1_000), block_hash: BlockHash([3; 32]), epoch: 7 };
        let vote = CheckpointVote::sign(&identity, chain, checkpoint);
        assert_eq!(vote.signer(chain), Some(identity.node_id()));
        assert_eq!(vote.signer(other), None);
        let bytes = vote.to_bytes();
        assert_eq!(CheckpointVote::from_bytes(&bytes).unwrap(), vote);
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let signer = CheckpointVote::from_bytes(&flipped).ok().and_then(|vote| vote.signer(chain));
            assert_eq!(signer, None, "bit {bit}");
        }
    }
}
