//! Proofs that a chain says something of a key, for whoever knows nothing but a block hash.

use crate::block::BlockHeader;
use crate::chain::TensorChain;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::error::ChainError;
use crate::ids::{BlockHash, Height};
use crate::state_tree::{ProofError, StateProof};

/// The header of a block, and what the state after it says of one key.
///
/// ```
/// use tensor_chain::{TensorChain, TensorStore};
/// let chain = TensorChain::new(TensorStore::new(), "node1");
/// chain.initialize()?;
/// let receipt = chain.put("k", "value")?;
/// let proof = chain.prove("k")?;
/// assert_eq!(proof.verify(&receipt.hash, "k")?, Some((receipt.height, &b"value"[..])));
/// assert_eq!(chain.prove("absent")?.verify(&receipt.hash, "absent")?, None);
/// assert!(proof.verify(&receipt.hash, "absent").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProof {
    header: BlockHeader,
    state: StateProof,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyProofError {
    /// The proof is about another block.
    #[error("the proof is about block {got}, expected {expected}")]
    OtherBlock {
        /// The block it is about.
        got: BlockHash,
        /// The block it was checked against.
        expected: BlockHash,
    },
    /// The state of that block says something else.
    #[error(transparent)]
    State(#[from] ProofError),
}

impl TensorChain {
    /// Proves what the state at the tip says of a key: its value, or that it has none.
    ///
    /// # Errors
    /// A chain that is not initialized; storage that cannot be read.
    pub fn prove(&self, key: &str) -> Result<KeyProof, ChainError> {
        let (header, state) = self.ledger()?.prove(key)?;
        Ok(KeyProof { header, state })
    }
}

impl KeyProof {
    /// The header of the block whose state this speaks of.
    #[must_use]
    pub const fn header(&self) -> &BlockHeader {
        &self.header
    }

    /// What the state after the block `hash` says of a key: the height that wrote its value and the value, or
    /// `None` where it has none.
    ///
    /// # Errors
    /// A proof of another block or key, or one that was tampered with.
    pub fn verify(&self, hash: &BlockHash, key: &str) -> Result<Option<(Height, &[u8])>, KeyProofError> {
        let (got, expected) = (self.header.hash(), *hash);
        if got != expected {
            return Err(KeyProofError::OtherBlock { got, expected });
        }
        Ok(self.state.verify(&self.header.state_root, key.as_bytes())?)
    }
}

impl Encode for KeyProof {
    fn encode(&self, writer: &mut Writer) {
        self.header.encode(writer);
        self.state.encode(writer);
    }
}

impl Decode for KeyProof {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { header: BlockHeader::decode(reader)?, state: StateProof::decode(reader)? })
    }
}
