//! Proofs of what the state says of a key, checked against a state root alone.

use super::node::{MAX_DEPTH, Node, bit, branch_hash};
use super::value_hash;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::hash::{Hash, sha256};
use crate::ids::{Height, StateRoot};

/// Proof that a key has a value, or that it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateProof {
    end: End,
    /// From the root down: the hash of what stands beside the way.
    siblings: Vec<Hash>,
}

/// What stands at the end of the way to the key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// Nothing: the key is absent.
    Empty,
    /// Another key, alone in a subtree where this one would be: the key is absent.
    OtherKey { key_hash: Hash, value_hash: Hash },
    /// The key's value and the height of the block that wrote it.
    Value { written_at: Height, value: Vec<u8> },
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The proof leads to another root.
    #[error("the proof leads to state root {got}: expected {expected}")]
    Root {
        /// Root that follows from the proof.
        got: StateRoot,
        /// The root it was checked against.
        expected: StateRoot,
    },
    /// What the proof shows as another key in the place of this one is this one.
    #[error("the proof of absence shows the key itself")]
    SameKey,
}

impl StateProof {
    /// A proof from the node at the end of the way; `None` where the node does not fit the value.
    pub(super) fn new(
        node: Node,
        key: Hash,
        present: Option<(Height, Vec<u8>)>,
        siblings: Vec<Hash>,
    ) -> Option<Self> {
        let end = match (node, present) {
            (Node::Empty, None) => End::Empty,
            (Node::Leaf { key_hash, value_hash }, None) if key_hash != key => {
                End::OtherKey { key_hash, value_hash }
            }
            (Node::Leaf { key_hash, value_hash: hash }, Some((written_at, value)))
                if key_hash == key && hash == value_hash(written_at, &value) =>
            {
                End::Value { written_at, value }
            }
            _ => return None,
        };
        Some(Self { end, siblings })
    }

    /// What the state with this root says of a key: its value and the height of the block that wrote it, or
    /// `None` where it has none.
    ///
    /// # Errors
    /// A proof that was made for another root or key, or was tampered with.
    pub fn verify(&self, root: &StateRoot, key: &[u8]) -> Result<Option<(Height, &[u8])>, ProofError> {
        let key_hash = sha256(&[key]);
        let (node, value) = match &self.end {
            End::Empty => (Node::Empty, None),
            &End::OtherKey { key_hash: other, value_hash } => {
                if other == key_hash {
                    return Err(ProofError::SameKey);
                }
                (Node::Leaf { key_hash: other, value_hash }, None)
            }
            End::Value { written_at, value } => {
                let value_hash = value_hash(*written_at, value);
                (Node::Leaf { key_hash, value_hash }, Some((*written_at, value.as_slice())))
            }
        };
        // Each sibling is at the depth of its bit of the key's hash; there are at most MAX_DEPTH.
        let upwards = self.siblings.iter().enumerate().rev();
        let got = upwards.fold(node.hash(), |hash, (depth, sibling)| {
            if bit(&key_hash, depth) { branch_hash(sibling, &hash) } else { branch_hash(&hash, sibling) }
        });
        if got != root.0 {
            return Err(ProofError::Root { got: StateRoot(got), expected: *root });
        }
        Ok(value)
    }
}

/// What stands at the end, then the siblings from the root down.
impl Encode for StateProof {
    fn encode(&self, writer: &mut Writer) {
        match &self.end {
            End::Empty => writer.u8(0),
            End::OtherKey { key_hash, value_hash } => {
                writer.u8(1);
                writer.raw(key_hash);
                writer.raw(value_hash);
            }
            End::Value { written_at, value } => {
                writer.u8(2);
                written_at.encode(writer);
                writer.bytes(value);
            }
        }
        writer.varint(self.siblings.len() as u64);
        self.siblings.iter().for_each(|sibling| writer.raw(sibling));
    }
}

impl Decode for StateProof {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let end = match reader.u8()? {
            0 => End::Empty,
            1 => End::OtherKey { key_hash: reader.array()?, value_hash: reader.array()? },
            2 => End::Value { written_at: Height::decode(reader)?, value: reader.bytes()?.to_vec() },
            got => return Err(DecodeError::UnknownTag { what: "state proof", got }),
        };
        let count = reader.count(size_of::<Hash>())?;
        if count > MAX_DEPTH {
            return Err(DecodeError::Invalid { what: "number of siblings" });
        }
        let siblings = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
        Ok(Self { end, siblings })
    }
}
