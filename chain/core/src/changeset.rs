//! What one `commit` asks for: operations in order, what they were based on, and the delta that came with them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use tensor_kernels::DeltaVector;

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::hash::Hash;
use crate::ids::Height;
use crate::merkle;
use crate::transaction::{MAX_KEY_BYTES, Transaction, TransactionError};

/// Most operations of a block, and so of a changeset.
pub const MAX_BLOCK_TRANSACTIONS: usize = 1_000;
/// Most bytes that the changesets of a block encode to.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;

/// Operations that are applied together or not at all.
///
/// Fields are private: a changeset that exists is within every limit. Clones share what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changeset(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    begin_height: Option<Height>,
    reads: BTreeSet<String>,
    transactions: Vec<Transaction>,
    delta: Option<DeltaVector>,
    encoded_len: usize,
    /// Of the canonical bytes, once it has been asked for.
    digest: OnceLock<Hash>,
    /// What an encoder makes of the operations, where somebody has had it made.
    encoded_delta: OnceLock<DeltaVector>,
}

impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        // Length and digest follow from these, and what an encoder makes of them says nothing about them.
        self.begin_height == other.begin_height
            && self.reads == other.reads
            && self.transactions == other.transactions
            && self.delta == other.delta
    }
}

impl Eq for Parts {}

/// Operations that no block may hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangesetError {
    /// No operations, or too many.
    #[error("changeset of {got} operations: expected 1 to {MAX_BLOCK_TRANSACTIONS}")]
    TransactionCount {
        /// How many.
        got: usize,
    },
    /// More bytes than a block has room for.
    #[error("changeset of {got} bytes: at most {MAX_BLOCK_BYTES} fit a block")]
    TooLarge {
        /// Its encoded length.
        got: usize,
    },
    /// An operation, or a key that was read, that is out of range.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

impl Changeset {
    /// A changeset. `begin_height` is the height whose state the operations were based on, `None` where
    /// they are based on none; `reads` are keys looked at; `delta` is the caller's own delta vector.
    ///
    /// # Errors
    /// No or more than [`MAX_BLOCK_TRANSACTIONS`] operations, one that
    /// [`Transaction::check`] refuses, or more than [`MAX_BLOCK_BYTES`] in all.
    pub fn new(
        begin_height: Option<Height>,
        reads: BTreeSet<String>,
        transactions: Vec<Transaction>,
        delta: Option<DeltaVector>,
    ) -> Result<Self, ChangesetError> {
        let mut parts = Self::checked(begin_height, reads, transactions, delta)?;
        let bytes = parts.to_bytes();
        parts.encoded_len = bytes.len();
        // Whoever makes one means to commit it; this is not the time of the one thread that writes for all.
        parts.digest = merkle::leaf_hash(&bytes).into();
        Self::fitting(parts)
    }

    /// Everything but the length, which is still to be known.
    fn checked(
        begin_height: Option<Height>,
        reads: BTreeSet<String>,
        transactions: Vec<Transaction>,
        delta: Option<DeltaVector>,
    ) -> Result<Parts, ChangesetError> {
        if transactions.is_empty() || transactions.len() > MAX_BLOCK_TRANSACTIONS {
            return Err(ChangesetError::TransactionCount { got: transactions.len() });
        }
        transactions.iter().try_for_each(Transaction::check)?;
        if let Some(key) = reads.iter().find(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
            return Err(TransactionError::KeyLength { got: key.len() }.into());
        }
        let (digest, encoded_delta) = (OnceLock::new(), OnceLock::new());
        Ok(Parts { begin_height, reads, transactions, delta, encoded_len: 0, digest, encoded_delta })
    }

    fn fitting(parts: Parts) -> Result<Self, ChangesetError> {
        match parts.encoded_len {
            got if got > MAX_BLOCK_BYTES => Err(ChangesetError::TooLarge { got }),
            _ => Ok(Self(Arc::new(parts))),
        }
    }

    /// One operation that is based on no earlier state and is applied in the order it arrives.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn single(transaction: Transaction) -> Result<Self, ChangesetError> {
        Self::new(None, BTreeSet::new(), vec![transaction], None)
    }

    /// Height whose state the operations were based on; `None` for an auto-commit.
    #[must_use]
    pub fn begin_height(&self) -> Option<Height> {
        self.0.begin_height
    }

    /// Keys that were looked at, ascending.
    #[must_use]
    pub fn reads(&self) -> &BTreeSet<String> {
        &self.0.reads
    }

    /// Keys that the operations work on, ascending.
    #[must_use]
    pub fn writes(&self) -> BTreeSet<&str> {
        self.0.transactions.iter().map(Transaction::key).collect()
    }

    /// The operations, in order.
    #[must_use]
    pub fn transactions(&self) -> &[Transaction] {
        &self.0.transactions
    }

    /// The delta that the caller supplied. Without one the deterministic encoder supplies it, and a delta
    /// of the encoder never rejects anything.
    #[must_use]
    pub fn supplied_delta(&self) -> Option<&DeltaVector> {
        self.0.delta.as_ref()
    }

    /// Keeps what the encoder makes of the operations, for all clones.
    pub(crate) fn keep_encoded_delta(&self, delta: DeltaVector) {
        // What is there has been made of the same operations.
        let _ = self.0.encoded_delta.set(delta);
    }

    /// What an encoder makes of the operations, where it has been kept.
    pub(crate) fn encoded_delta(&self) -> Option<&DeltaVector> {
        self.0.encoded_delta.get()
    }

    /// Length of the canonical bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.0.encoded_len
    }

    /// As `encode`, and says where each operation ends.
    pub(crate) fn encode_noting(&self, writer: &mut Writer, note: &mut dyn FnMut(usize)) {
        self.0.encode_noting(writer, note);
    }

    /// The leaf that it is under a block's root of transactions. Computed once for all clones.
    #[must_use]
    pub(crate) fn digest(&self) -> Hash {
        *self.0.digest.get_or_init(|| merkle::leaf_hash(&self.to_bytes()))
    }
}

/// Begin height (or its absence), reads, operations, delta (or its absence).
impl Encode for Changeset {
    fn encode(&self, writer: &mut Writer) {
        self.0.encode(writer);
    }

    fn size_hint(&self) -> usize {
        self.encoded_len()
    }
}

impl Encode for Parts {
    fn encode(&self, writer: &mut Writer) {
        self.encode_noting(writer, &mut |_| ());
    }

    fn size_hint(&self) -> usize {
        self.transactions.iter().map(Transaction::size_hint).sum()
    }
}

impl Parts {
    fn encode_noting(&self, writer: &mut Writer, note: &mut dyn FnMut(usize)) {
        writer.bool(self.begin_height.is_some());
        if let Some(height) = self.begin_height {
            height.encode(writer);
        }
        writer.varint(self.reads.len() as u64);
        self.reads.iter().for_each(|key| writer.str(key));
        writer.varint(self.transactions.len() as u64);
        for transaction in &self.transactions {
            transaction.encode(writer);
            note(writer.as_bytes().len());
        }
        writer.bool(self.delta.is_some());
        if let Some(delta) = &self.delta {
            delta.encode(writer);
        }
    }
}

impl Decode for Changeset {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let before = reader.remaining();
        let begin_height = match reader.bool()? {
            true => Some(Height::decode(reader)?),
            false => None,
        };
        let mut reads = BTreeSet::new();
        for _ in 0..reader.count(1)? {
            let key = reader.str()?.to_owned();
            if reads.last().is_some_and(|last| *last >= key) {
                return Err(DecodeError::Invalid { what: "order of the keys read" });
            }
            reads.insert(key);
        }
        let count = reader.count(2)?;
        let transactions = (0..count).map(|_| Transaction::decode(reader)).collect::<Result<_, _>>()?;
        let delta = match reader.bool()? {
            true => Some(DeltaVector::decode(reader)?),
            false => None,
        };
        let changeset = Self::checked(begin_height, reads, transactions, delta).and_then(|parts| {
            // Every changeset has one encoding: this one.
            Self::fitting(Parts { encoded_len: before - reader.remaining(), ..parts })
        });
        changeset.map_err(|_| DecodeError::Invalid { what: "changeset" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::tests::any_transaction;
    use proptest::prelude::*;
    use tensor_kernels::SparseVec;

    proptest! {
        #[test]
        fn a_changeset_comes_back_from_its_bytes(
            begin in proptest::option::of(any::<u64>()),
            reads in proptest::collection::btree_set(".{1,8}", 0..5),
            transactions in proptest::collection::vec(any_transaction(), 1..6),
            delta in proptest::option::of(proptest::collection::vec(-9f32..9.0, 4)),
        ) {
            let delta = delta.map(|dense| DeltaVector::from_sparse(&SparseVec::from_dense(&dense).unwrap()).unwrap());
            let changeset = Changeset::new(begin.map(Height), reads, transactions, delta).unwrap();
            let bytes = changeset.to_bytes();
            prop_assert_eq!(bytes.len(), changeset.encoded_len());
            let back = Changeset::from_bytes(&bytes).unwrap();
            prop_assert_eq!((back.encoded_len(), back.digest()), (bytes.len(), merkle::leaf_hash(&bytes)));
            prop_assert_eq!(back, changeset);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(changeset) = Changeset::from_bytes(&bytes) {
                prop_assert_eq!(changeset.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn keys_read_are_ascending_and_occur_once() {
        let encode = |reads: &[&str]| {
            let mut writer = Writer::new();
            writer.bool(false);
            writer.varint(reads.len() as u64);
            reads.iter().for_each(|key| writer.str(key));
            writer.varint(1);
            Transaction::Delete { key: "k".to_owned() }.encode(&mut writer);
            writer.bool(false);
            Changeset::from_bytes(writer.as_bytes())
        };
        assert!(encode(&["a", "b"]).is_ok());
        assert!(encode(&["b", "a"]).is_err());
        assert!(encode(&["a", "a"]).is_err());
        assert!(encode(&[""]).is_err());
    }

    #[test]
    fn counts_and_sizes_have_limits() {
        let delete = |n: usize| vec![Transaction::Delete { key: "k".to_owned() }; n];
        let new = |transactions| Changeset::new(None, BTreeSet::new(), transactions, None);
        assert_eq!(new(delete(0)), Err(ChangesetError::TransactionCount { got: 0 }));
        assert!(new(delete(1_000)).is_ok());
        assert_eq!(new(delete(1_001)), Err(ChangesetError::TransactionCount { got: 1_001 }));
        let put = |len| Transaction::Put { key: "k".to_owned(), data: vec![0; len] };
        let room = MAX_BLOCK_BYTES - new(vec![put(500_000), put(500_000)]).unwrap().encoded_len();
        assert!(new(vec![put(500_000), put(500_000 + room)]).is_ok());
        let over = new(vec![put(500_000), put(500_000 + room + 1)]);
        assert_eq!(over, Err(ChangesetError::TooLarge { got: MAX_BLOCK_BYTES + 1 }));
    }
}
