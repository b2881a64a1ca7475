//! Blocks: a signed header over a batch of changesets.
//!
//! The header's hash names the block. It covers every field, and through `tx_root`, `state_root` and
//! `prev_hash` the changesets, the whole state after them and all earlier blocks. The proposer's
//! signature covers what the proposer chose (changesets, their order and the time), not what everyone
//! derives from it. Where a replicated log carries the batch, some of it may be turned down when it is applied:
//! the block holds what stands, and of the rest the digests, without which the signature could not be checked.

use tensor_kernels::DeltaSum;

use crate::changeset::{Changeset, MAX_BLOCK_TRANSACTIONS};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::hash::{Domain, Hash};
use crate::identity::{Identity, PublicIdentity};
use crate::ids::{BlockHash, ChainId, Height, NodeId, StateRoot, TxRoot};
use crate::merkle;
use crate::transaction::Transaction;

/// Version of the block format, part of every header.
pub const BLOCK_VERSION: u16 = 3;

/// What a block's hash covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// Version of the format, [`BLOCK_VERSION`].
    pub version: u16,
    /// Blocks before this one; 0 for the genesis block.
    pub height: Height,
    /// Hash of the block before; for the genesis block the hash of the chain's parameters.
    pub prev_hash: BlockHash,
    /// Root of the Merkle tree over the changesets.
    pub tx_root: TxRoot,
    /// Number of changesets, the leaves under `tx_root`.
    pub tx_count: u32,
    /// Root of the state after this block.
    pub state_root: StateRoot,
    /// Exact sum of the changesets' deltas.
    pub delta: DeltaSum,
    /// The delta in the vocabulary of the codebook in force; empty without one.
    pub quantized_codes: Vec<u16>,
    /// Epoch of the codebook in force; 0 without one.
    pub codebook_epoch: u64,
    /// Milliseconds since 1970-01-01 UTC, never less than the block before.
    pub timestamp_ms: u64,
    /// The node that proposed the batch: the hash of `proposer_key`.
    pub proposer: NodeId,
    /// Its Ed25519 public key.
    pub proposer_key: [u8; 32],
    /// Its signature over chain id and batch digest.
    pub signature: [u8; 64],
}

/// A header and the changesets under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What the hash covers.
    pub header: BlockHeader,
    /// The changesets, in the order they are applied.
    pub changesets: Vec<Changeset>,
    /// What the proposer signed besides, and what was turned down, positions ascending. They never enter a hash.
    pub omitted: Vec<Omitted>,
    /// Room for validators' signatures over the hash, which they would not enter. Nobody makes or checks any yet, so a
    /// block that has some is refused.
    pub signatures: Vec<ValidatorSignature>,
}

/// A changeset of the proposed batch that is not part of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Omitted {
    /// Its position in the batch.
    pub position: u32,
    /// The leaf that it would have under `tx_root`.
    pub digest: Hash,
}

/// A validator's signature over a block hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSignature {
    /// Who signed.
    pub validator: NodeId,
    /// Ed25519 signature over the block hash.
    pub signature: [u8; 64],
}

/// What the proposer of a batch adds to it: when, who, and a signature over both and the changesets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: u64,
    /// The proposer: the hash of its key.
    pub proposer: NodeId,
    /// Its Ed25519 public key.
    pub proposer_key: [u8; 32],
    /// Its signature over chain id and batch digest.
    pub signature: [u8; 64],
}

const HEADER: Domain = Domain::new("header");
const BATCH: Domain = Domain::new("batch");
const BATCH_SIGNATURE: Domain = Domain::new("batch-signature");

impl Stamp {
    /// Signs a batch.
    #[must_use]
    pub fn sign(identity: &Identity, chain: ChainId, timestamp_ms: u64, changesets: &[Changeset]) -> Self {
        Self::sign_digests(identity, chain, timestamp_ms, &digests(changesets))
    }

    /// Signs the batch of these digests.
    pub(crate) fn sign_digests(
        identity: &Identity,
        chain: ChainId,
        timestamp_ms: u64,
        digests: &[Hash],
    ) -> Self {
        let message = signed_bytes(chain, timestamp_ms, digests);
        let signature = identity.sign(BATCH_SIGNATURE, &message);
        let (proposer, proposer_key) = (identity.node_id(), identity.public_key_bytes());
        Self { timestamp_ms, proposer, proposer_key, signature }
    }

    /// Whether the proposer signed exactly the batch of these digests, in this order, at this time, for this chain.
    pub(crate) fn is_over(&self, chain: ChainId, digests: &[Hash]) -> bool {
        let message = signed_bytes(chain, self.timestamp_ms, digests);
        PublicIdentity::from_bytes(&self.proposer_key).is_ok_and(|key| {
            key.node_id() == self.proposer && key.verify(BATCH_SIGNATURE, &message, &self.signature).is_ok()
        })
    }
}

/// The leaf of each changeset under `tx_root`.
pub(crate) fn digests(changesets: &[Changeset]) -> Vec<Hash> {
    changesets.iter().map(Changeset::digest).collect()
}

/// Chain id, then the digest of the time and the changesets' digests.
fn signed_bytes(chain: ChainId, timestamp_ms: u64, digests: &[Hash]) -> Vec<u8> {
    [chain.0, BATCH.hash(&[&timestamp_ms.to_le_bytes(), digests.as_flattened()])].concat()
}

impl BlockHeader {
    /// SHA-256 of the tagged canonical bytes, the proposer's signature included.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        BlockHash(HEADER.hash(&[&self.to_bytes()]))
    }
}

impl Block {
    /// What its proposer added to the batch.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        let BlockHeader { timestamp_ms, proposer, proposer_key, signature, .. } = self.header;
        Stamp { timestamp_ms, proposer, proposer_key, signature }
    }

    /// The block's name.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.header.hash()
    }

    /// All operations, in the order they are applied.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.changesets.iter().flat_map(Changeset::transactions)
    }

    /// Bytes that the changesets encode to.
    pub(crate) fn changeset_bytes(&self) -> usize {
        self.changesets.iter().map(Changeset::encoded_len).sum()
    }

    /// As `to_bytes`, and where each operation ends in them.
    pub(crate) fn to_bytes_noting(&self) -> (Vec<u8>, Vec<u32>) {
        let mut writer = Writer::with_capacity(self.size_hint());
        let mut ends = Vec::with_capacity(self.changesets.len());
        // A block has little more than 1 MiB.
        self.encode_noting(&mut writer, &mut |end| ends.push(end as u32));
        (writer.into_bytes(), ends)
    }

    fn encode_noting(&self, writer: &mut Writer, note: &mut dyn FnMut(usize)) {
        self.header.encode(writer);
        writer.varint(self.changesets.len() as u64);
        self.changesets.iter().for_each(|changeset| changeset.encode_noting(writer, note));
        encode_list(&self.omitted, writer);
        encode_list(&self.signatures, writer);
    }

    /// Root of the Merkle tree whose leaves are the canonical changesets, as `tx_root` must be.
    #[must_use]
    pub fn compute_tx_root(&self) -> TxRoot {
        tx_root(&self.changesets)
    }

    /// Whether the proposer signed exactly these changesets and those that were left out of its batch, at this
    /// time, for this chain.
    #[must_use]
    pub fn is_signed(&self, chain: ChainId) -> bool {
        self.omits_in_order() && self.stamp().is_over(chain, &self.batch_digests())
    }

    /// Whether what was left out and what was not can be one batch: positions of it, ascending, and no more of both
    /// than a batch may hold.
    pub(crate) fn omits_in_order(&self) -> bool {
        let Some(last) = self.omitted.last() else { return true };
        let batch = self.changesets.len() + self.omitted.len();
        batch <= MAX_BLOCK_TRANSACTIONS
            && (last.position as usize) < batch
            && self.omitted.is_sorted_by(|a, b| a.position < b.position)
    }

    /// The digests of the batch in its order.
    fn batch_digests(&self) -> Vec<Hash> {
        let mut omitted = self.omitted.iter().peekable();
        let mut digests = Vec::with_capacity(self.changesets.len() + self.omitted.len());
        for changeset in &self.changesets {
            while let Some(next) = omitted.next_if(|next| next.position as usize == digests.len()) {
                digests.push(next.digest);
            }
            digests.push(changeset.digest());
        }
        digests.extend(omitted.map(|next| next.digest));
        digests
    }
}

/// Root of the Merkle tree whose leaves are the canonical changesets.
pub(crate) fn tx_root(changesets: &[Changeset]) -> TxRoot {
    TxRoot(merkle::root_of_hashes(digests(changesets)))
}

/// The fields in the order of their declaration.
impl Encode for BlockHeader {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(self.version);
        self.height.encode(writer);
        self.prev_hash.encode(writer);
        self.tx_root.encode(writer);
        writer.u32(self.tx_count);
        self.state_root.encode(writer);
        self.delta.encode(writer);
        writer.varint(self.quantized_codes.len() as u64);
        self.quantized_codes.iter().for_each(|&code| writer.u16(code));
        writer.varint(self.codebook_epoch);
        writer.u64(self.timestamp_ms);
        self.proposer.encode(writer);
        writer.raw(&self.proposer_key);
        writer.raw(&self.signature);
    }

    fn size_hint(&self) -> usize {
        // A component of the delta is rarely longer than 8 bytes.
        size_of::<Self>() + 8 * self.delta.indices().len() + 2 * self.quantized_codes.len()
    }
}

impl Decode for BlockHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u16()?;
        if version != BLOCK_VERSION {
            return Err(DecodeError::Invalid { what: "block version" });
        }
        Ok(Self {
            version,
            height: Height::decode(reader)?,
            prev_hash: BlockHash::decode(reader)?,
            tx_root: TxRoot::decode(reader)?,
            tx_count: reader.u32()?,
            state_root: StateRoot::decode(reader)?,
            delta: DeltaSum::decode(reader)?,
            quantized_codes: (0..reader.count(2)?).map(|_| reader.u16()).collect::<Result<_, _>>()?,
            codebook_epoch: reader.varint()?,
            timestamp_ms: reader.u64()?,
            proposer: NodeId::decode(reader)?,
            proposer_key: reader.array()?,
            signature: reader.array()?,
        })
    }
}

impl Encode for Block {
    fn encode(&self, writer: &mut Writer) {
        self.encode_noting(writer, &mut |_| ());
    }

    fn size_hint(&self) -> usize {
        let lists = size_of_val(&self.omitted[..]) + size_of_val(&self.signatures[..]);
        self.header.size_hint() + self.changeset_bytes() + lists + 16
    }
}

impl Decode for Block {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let block = Self {
            header: BlockHeader::decode(reader)?,
            changesets: decode_list(reader)?,
            omitted: decode_list(reader)?,
            signatures: decode_list(reader)?,
        };
        match block.omits_in_order() {
            true => Ok(block),
            false => Err(DecodeError::Invalid { what: "omitted changesets" }),
        }
    }
}

impl Encode for Omitted {
    fn encode(&self, writer: &mut Writer) {
        writer.u32(self.position);
        writer.raw(&self.digest);
    }
}

impl Decode for Omitted {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { position: reader.u32()?, digest: reader.array()? })
    }
}

/// The fields in the order of their declaration.
impl Encode for Stamp {
    fn encode(&self, writer: &mut Writer) {
        writer.u64(self.timestamp_ms);
        self.proposer.encode(writer);
        writer.raw(&self.proposer_key);
        writer.raw(&self.signature);
    }
}

impl Decode for Stamp {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            timestamp_ms: reader.u64()?,
            proposer: NodeId::decode(reader)?,
            proposer_key: reader.array()?,
            signature: reader.array()?,
        })
    }
}

impl Encode for ValidatorSignature {
    fn encode(&self, writer: &mut Writer) {
        self.validator.encode(writer);
        writer.raw(&self.signature);
    }
}

impl Decode for ValidatorSignature {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { validator: NodeId::decode(reader)?, signature: reader.array()? })
    }
}

pub(crate) fn encode_list<T: Encode>(items: &[T], writer: &mut Writer) {
    writer.varint(items.len() as u64);
    items.iter().for_each(|item| item.encode(writer));
}

pub(crate) fn decode_list<T: Decode>(reader: &mut Reader<'_>) -> Result<Vec<T>, DecodeError> {
    (0..reader.count(1)?).map(|_| T::decode(reader)).collect()
}
