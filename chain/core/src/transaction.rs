//! One operation on one key: what a workspace collects and a block lists.

use std::borrow::Cow;

use tensor_kernels::DeltaVector;

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};

/// Longest key in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 4_096;
/// Longest value. It leaves 16 KiB of a block of 1 MiB for its key and a delta.
pub const MAX_VALUE_BYTES: usize = (1 << 20) - (16 << 10);
/// Most components of an embedded vector.
pub const MAX_EMBED_DIM: u32 = 1 << 20;

/// An operation on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// Writes a value, whether or not the key has one.
    Put {
        /// Key, 1 to 4,096 bytes.
        key: String,
        /// New value.
        data: Vec<u8>,
    },
    /// Removes a key; removing an absent key succeeds and changes nothing.
    Delete {
        /// Key, 1 to 4,096 bytes.
        key: String,
    },
    /// Writes a value where the key has one; fails where it has none.
    Update {
        /// Key, 1 to 4,096 bytes.
        key: String,
        /// New value.
        data: Vec<u8>,
    },
    /// Writes a vector as the key's value.
    Embed {
        /// Key, 1 to 4,096 bytes.
        key: String,
        /// New value.
        vector: DeltaVector,
    },
    /// Writes a value where the key's present value is the expected one; fails otherwise.
    CompareAndSwap {
        /// Key, 1 to 4,096 bytes.
        key: String,
        /// The value the key must have; `None` means that it must be absent.
        expected: Option<Vec<u8>>,
        /// New value.
        new: Vec<u8>,
    },
}

/// An operation that no block may hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// A key that is empty or too long.
    #[error("key of {got} bytes: expected 1 to {MAX_KEY_BYTES}")]
    KeyLength {
        /// Its length in bytes.
        got: usize,
    },
    /// A value, or an expected value, that is too long.
    #[error("value of {got} bytes: at most {MAX_VALUE_BYTES} are allowed")]
    ValueLength {
        /// Its length in bytes.
        got: usize,
    },
    /// An embedded vector of too many components.
    #[error("vector of {got} components: at most {MAX_EMBED_DIM} are allowed")]
    VectorDim {
        /// Its dimension.
        got: u32,
    },
}

impl Transaction {
    /// The key it works on.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. }
            | Self::Delete { key }
            | Self::Update { key, .. }
            | Self::Embed { key, .. }
            | Self::CompareAndSwap { key, .. } => key,
        }
    }

    /// The value the key has afterwards: an embedded vector as its canonical bytes, `None` for a deletion.
    #[must_use]
    pub fn written(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Put { data, .. } | Self::Update { data, .. } | Self::CompareAndSwap { new: data, .. } => {
                Some(Cow::Borrowed(data))
            }
            Self::Embed { vector, .. } => Some(Cow::Owned(vector.to_bytes())),
            Self::Delete { .. } => None,
        }
    }

    /// The name used in listings.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
            Self::Update { .. } => "update",
            Self::Embed { .. } => "embed",
            Self::CompareAndSwap { .. } => "compare_and_swap",
        }
    }

    /// Checks every length. Done where an operation enters: in a workspace and in a decoder.
    ///
    /// # Errors
    /// The first length that is out of range.
    pub fn check(&self) -> Result<(), TransactionError> {
        let key = self.key().len();
        if key == 0 || key > MAX_KEY_BYTES {
            return Err(TransactionError::KeyLength { got: key });
        }
        let value = |bytes: &[u8]| match bytes.len() {
            got if got > MAX_VALUE_BYTES => Err(TransactionError::ValueLength { got }),
            _ => Ok(()),
        };
        match self {
            Self::Put { data, .. } | Self::Update { data, .. } => value(data),
            Self::CompareAndSwap { expected, new, .. } => {
                value(new).and_then(|()| expected.as_deref().map_or(Ok(()), value))
            }
            Self::Embed { vector, .. } if vector.dim() > MAX_EMBED_DIM => {
                Err(TransactionError::VectorDim { got: vector.dim() })
            }
            Self::Embed { .. } | Self::Delete { .. } => Ok(()),
        }
    }
}

/// A tag byte, the key, then the fields of the variant.
impl Encode for Transaction {
    fn encode(&self, writer: &mut Writer) {
        let mut start = |tag: u8| {
            writer.u8(tag);
            writer.str(self.key());
        };
        match self {
            Self::Put { data, .. } => {
                start(0);
                writer.bytes(data);
            }
            Self::Delete { .. } => start(1),
            Self::Update { data, .. } => {
                start(2);
                writer.bytes(data);
            }
            Self::Embed { vector, .. } => {
                start(3);
                vector.encode(writer);
            }
            Self::CompareAndSwap { expected, new, .. } => {
                start(4);
                writer.bool(expected.is_some());
                if let Some(expected) = expected {
                    writer.bytes(expected);
                }
                writer.bytes(new);
            }
        }
    }

    fn size_hint(&self) -> usize {
        let value = match self {
            Self::Put { data, .. } | Self::Update { data, .. } => data.len(),
            Self::Delete { .. } => 0,
            Self::Embed { vector, .. } => 4 * vector.nnz(), // a short gap and a code
            Self::CompareAndSwap { expected, new, .. } => expected.as_ref().map_or(0, Vec::len) + new.len(),
        };
        16 + self.key().len() + value // with tag and lengths
    }
}

impl Decode for Transaction {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = reader.u8()?;
        let key = reader.str()?.to_owned();
        let transaction = match tag {
            0 => Self::Put { key, data: reader.bytes()?.to_vec() },
            1 => Self::Delete { key },
            2 => Self::Update { key, data: reader.bytes()?.to_vec() },
            3 => Self::Embed { key, vector: DeltaVector::decode(reader)? },
            4 => {
                let expected = match reader.bool()? {
                    true => Some(reader.bytes()?.to_vec()),
                    false => None,
                };
                Self::CompareAndSwap { key, expected, new: reader.bytes()?.to_vec() }
            }
            got => return Err(DecodeError::UnknownTag { what: "operation", got }),
        };
        Ok(transaction)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use tensor_kernels::SparseVec;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..40)
    }

    /// Any operation that passes [`Transaction::check`].
    pub(crate) fn any_transaction() -> impl Strategy<Value = Transaction> {
        let vector = proptest::collection::vec(-9f32..9.0, 0..6)
            .prop_map(|dense| DeltaVector::from_sparse(&SparseVec::from_dense(&dense).unwrap()).unwrap());
        (".{1,12}", bytes(), bytes(), vector, 0..6).prop_map(|(key, data, other, vector, kind)| match kind {
            0 => Transaction::Put { key, data },
            1 => Transaction::Delete { key },
            2 => Transaction::Update { key, data },
            3 => Transaction::Embed { key, vector },
            4 => Transaction::CompareAndSwap { key, expected: None, new: data },
            _ => Transaction::CompareAndSwap { key, expected: Some(other), new: data },
        })
    }

    proptest! {
        #[test]
        fn an_operation_comes_back_from_its_bytes(transaction in any_transaction()) {
            prop_assert!(transaction.check().is_ok());
            prop_assert_eq!(Transaction::from_bytes(&transaction.to_bytes()).unwrap(), transaction);
        }

        #[test]
        fn no_bytes_panic_and_what_decodes_has_no_other_encoding(bytes in bytes()) {
            if let Ok(transaction) = Transaction::from_bytes(&bytes) {
                prop_assert_eq!(transaction.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn lengths_are_checked_at_both_ends() {
        let put = |key: usize, value: usize| {
            Transaction::Put { key: "k".repeat(key), data: vec![0; value] }.check()
        };
        assert_eq!(put(0, 0), Err(TransactionError::KeyLength { got: 0 }));
        assert_eq!(put(1, MAX_VALUE_BYTES), Ok(()));
        assert_eq!(
            put(MAX_KEY_BYTES, MAX_VALUE_BYTES + 1),
            Err(TransactionError::ValueLength { got: MAX_VALUE_BYTES + 1 })
        );
        assert_eq!(put(MAX_KEY_BYTES + 1, 0), Err(TransactionError::KeyLength { got: MAX_KEY_BYTES + 1 }));
        let expected = Some(vec![0; MAX_VALUE_BYTES + 1]);
        let swap = Transaction::CompareAndSwap { key: "k".to_owned(), expected, new: Vec::new() };
        assert!(swap.check().is_err());
        let embed = |dim| Transaction::Embed { key: "k".to_owned(), vector: DeltaVector::zero(dim) }.check();
        assert_eq!(
            (embed(MAX_EMBED_DIM), embed(u32::MAX)),
            (Ok(()), Err(TransactionError::VectorDim { got: u32::MAX }))
        );
    }
}
