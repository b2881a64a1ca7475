//! What a chain is made with: parameters that never change, and the first block, which is bound to them.

use std::num::NonZeroU32;

use tensor_kernels::{Decimal, DeltaSum, Thresholds, ThresholdsBuilder};

use crate::block::{BLOCK_VERSION, Block, BlockHeader, Stamp, tx_root};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::hash::Domain;
use crate::ids::{BlockHash, ChainId, Height, StateRoot};

/// Most components of a chain's deltas.
pub const MAX_EMBEDDING_DIM: u32 = 1 << 16;

const PARAMS: Domain = Domain::new("chain-params");

/// What every verdict of a chain depends on. The genesis block names these parameters by their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainParams {
    /// Tells this chain from every other.
    pub chain_id: ChainId,
    /// Components of every delta, 1 to [`MAX_EMBEDDING_DIM`].
    pub embedding_dim: NonZeroU32,
    /// When two deltas conflict.
    pub thresholds: Thresholds,
}

impl ChainParams {
    /// What the genesis block has for a previous hash.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        BlockHash(PARAMS.hash(&[&self.to_bytes()]))
    }

    /// The first block: no changesets, an empty state.
    #[must_use]
    pub fn genesis(&self, stamp: Stamp) -> Block {
        let Stamp { timestamp_ms, proposer, proposer_key, signature } = stamp;
        let header = BlockHeader {
            version: BLOCK_VERSION,
            height: Height::GENESIS,
            prev_hash: self.hash(),
            tx_root: tx_root(&[]),
            tx_count: 0,
            state_root: StateRoot::default(), // of an empty tree: all zeros
            delta: DeltaSum::zero(self.embedding_dim.get()),
            quantized_codes: Vec::new(),
            codebook_epoch: 0,
            timestamp_ms,
            proposer,
            proposer_key,
            signature,
        };
        Block { header, changesets: Vec::new(), omitted: Vec::new(), signatures: Vec::new() }
    }
}

impl Encode for ChainParams {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(BLOCK_VERSION);
        self.chain_id.encode(writer);
        writer.u32(self.embedding_dim.get());
        let ThresholdsBuilder {
            orthogonal,
            conflict,
            identical,
            opposite,
            structural,
            identical_ratio,
            opposite_ratio,
            allow_key_overlap_merge,
        } = *self.thresholds;
        let decimals =
            [orthogonal, conflict, identical, opposite, structural, identical_ratio, opposite_ratio];
        decimals.iter().for_each(|decimal| writer.zigzag(decimal.ten_thousandths().into()));
        writer.bool(allow_key_overlap_merge);
    }
}

impl Decode for ChainParams {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u16()? != BLOCK_VERSION {
            return Err(DecodeError::Invalid { what: "block version" });
        }
        let chain_id = ChainId::decode(reader)?;
        let embedding_dim = NonZeroU32::new(reader.u32()?)
            .filter(|dim| dim.get() <= MAX_EMBEDDING_DIM)
            .ok_or(DecodeError::Invalid { what: "embedding dimension" })?;
        let mut decimal = || {
            let n = i32::try_from(reader.zigzag()?).map_err(|_| DecodeError::Varint)?;
            Ok::<_, DecodeError>(Decimal::from_ten_thousandths(n))
        };
        let thresholds = ThresholdsBuilder {
            orthogonal: decimal()?,
            conflict: decimal()?,
            identical: decimal()?,
            opposite: decimal()?,
            structural: decimal()?,
            identical_ratio: decimal()?,
            opposite_ratio: decimal()?,
            allow_key_overlap_merge: reader.bool()?,
        };
        Ok(Self { chain_id, embedding_dim, thresholds: thresholds.build()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> ChainParams {
        let embedding_dim = NonZeroU32::new(41).unwrap_or(NonZeroU32::MIN);
        ChainParams { chain_id: ChainId([3; 32]), embedding_dim, thresholds: Thresholds::default() }
    }

    #[test]
    fn parameters_come_back_and_others_are_refused() {
        let bytes = params().to_bytes();
        assert_eq!(ChainParams::from_bytes(&bytes).unwrap(), params());
        for length in 0..bytes.len() {
            assert!(ChainParams::from_bytes(&bytes[..length]).is_err());
        }
        let with_dim = |dim: u32| {
            let mut bytes = bytes.clone();
            bytes[34..38].copy_from_slice(&dim.to_le_bytes());
            ChainParams::from_bytes(&bytes)
        };
        assert!(with_dim(MAX_EMBEDDING_DIM).is_ok());
        assert!(with_dim(0).is_err());
        assert!(with_dim(MAX_EMBEDDING_DIM + 1).is_err());
    }

    #[test]
    fn every_parameter_is_bound_into_the_hash() {
        let hash = params().hash();
        assert_ne!(ChainParams { chain_id: ChainId([4; 32]), ..params() }.hash(), hash);
        assert_ne!(ChainParams { embedding_dim: NonZeroU32::MIN, ..params() }.hash(), hash);
        let conflict = Decimal::from_ten_thousandths(7_001);
        let thresholds = ThresholdsBuilder { conflict, ..ThresholdsBuilder::default() }.build().unwrap();
        assert_ne!(ChainParams { thresholds, ..params() }.hash(), hash);
    }
}
