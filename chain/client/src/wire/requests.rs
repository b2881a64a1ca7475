//! What a client asks for.

use serde::{Deserialize, Serialize};
use tensor_chain::{Changeset, ChangesetError, Height, Transaction};
use tensor_kernels::{DeltaVector, KernelError, SparseVec};

use crate::text::{Data, NotHex};

/// Operations that are applied together or not at all: what `POST /v1/batch` takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Height that `begin` gave. The batch is refused if a key of it, or a key that was read, was written since.
    /// Left out, the batch is based on no earlier state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_height: Option<u64>,
    /// Keys that were looked at, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// The operations, in order.
    pub ops: Vec<Operation>,
    /// The change as a vector, as many components as the chain's deltas have. Left out, an encoder supplies one
    /// that never conflicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Vec<f32>>,
}

/// Batches that have nothing to do with each other but their way: what `POST /v1/batches` takes. Each is applied or
/// refused by itself; those on the same keys are applied in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Batches {
    /// The batches, 1 to 1,000. In a session the first has the number in the header, and each of the others the next.
    pub batches: Vec<Batch>,
}

/// One operation of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Writes a value, whether or not the key has one.
    Put {
        /// The key.
        key: String,
        /// Its new value.
        value: Data,
    },
    /// Writes a value where the key has one; fails where it has none.
    Update {
        /// The key.
        key: String,
        /// Its new value.
        value: Data,
    },
    /// Removes a key; removing an absent key succeeds.
    Delete {
        /// The key.
        key: String,
    },
    /// Writes a value where the present one is as expected; fails otherwise.
    Cas {
        /// The key.
        key: String,
        /// The value it must have; left out, it must have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<Data>,
        /// Its new value.
        new: Data,
    },
    /// Writes a vector as the key's value.
    Embed {
        /// The key.
        key: String,
        /// Its components.
        vector: Vec<f32>,
    },
}

/// What `POST /v1/kv/{key}/cas` takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Cas {
    /// The value the key must have; left out, it must have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Data>,
    /// Its new value.
    pub new: Data,
}

/// What `POST /v1/similar` takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SimilarQuery {
    /// A change, as many components as the chain's deltas have.
    pub vector: Vec<f32>,
    /// How many blocks are wanted. Default 10.
    #[serde(default = "ten")]
    pub k: usize,
}

const fn ten() -> usize {
    10
}

/// A batch that no block can hold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// A value in hexadecimal that is none.
    #[error(transparent)]
    NotHex(#[from] NotHex),
    /// A vector with a component that is not finite, or that is too long.
    #[error(transparent)]
    Vector(#[from] KernelError),
    /// Sizes and counts out of range.
    #[error(transparent)]
    Changeset(#[from] ChangesetError),
}

/// The vector of a list of numbers.
///
/// # Errors
/// A component that is not finite; more components than a vector may have.
pub fn parse_vector(components: &[f32]) -> Result<DeltaVector, KernelError> {
    DeltaVector::from_sparse(&SparseVec::from_dense(components)?)
}

impl Operation {
    /// The key it works on.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. }
            | Self::Update { key, .. }
            | Self::Delete { key }
            | Self::Cas { key, .. }
            | Self::Embed { key, .. } => key,
        }
    }

    /// The operation as a block holds it.
    ///
    /// # Errors
    /// As [`Batch::into_changeset`].
    pub fn into_transaction(self) -> Result<Transaction, BatchError> {
        Ok(match self {
            Self::Put { key, value } => Transaction::Put { key, data: value.into_bytes()? },
            Self::Update { key, value } => Transaction::Update { key, data: value.into_bytes()? },
            Self::Delete { key } => Transaction::Delete { key },
            Self::Cas { key, expected, new } => Transaction::CompareAndSwap {
                key,
                expected: expected.map(Data::into_bytes).transpose()?,
                new: new.into_bytes()?,
            },
            Self::Embed { key, vector } => Transaction::Embed { key, vector: parse_vector(&vector)? },
        })
    }
}

impl Batch {
    /// The batch as the chain takes it.
    ///
    /// # Errors
    /// The first thing in it that is out of range.
    pub fn into_changeset(self) -> Result<Changeset, BatchError> {
        let operations = self.ops.into_iter().map(Operation::into_transaction);
        let transactions = operations.collect::<Result<_, _>>()?;
        let delta = self.embedding.as_deref().map(parse_vector).transpose()?;
        let reads = self.reads.into_iter().collect();
        Ok(Changeset::new(self.begin_height.map(Height), reads, transactions, delta)?)
    }
}

/// The name of an operation in listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperationName {
    /// Any value was overwritten.
    Put,
    /// A present value was overwritten.
    Update,
    /// An expected value was overwritten.
    Cas,
    /// A vector was written.
    Embed,
    /// The key was removed.
    Delete,
}

impl OperationName {
    /// The name of an operation of a block, and the value it wrote; vectors are not shown.
    #[must_use]
    pub fn of(transaction: &Transaction) -> (Self, Option<&[u8]>) {
        match transaction {
            Transaction::Put { data, .. } => (Self::Put, Some(data)),
            Transaction::Update { data, .. } => (Self::Update, Some(data)),
            Transaction::CompareAndSwap { new, .. } => (Self::Cas, Some(new)),
            Transaction::Embed { .. } => (Self::Embed, None),
            Transaction::Delete { .. } => (Self::Delete, None),
        }
    }
}

impl std::fmt::Display for OperationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Put => "put",
            Self::Update => "update",
            Self::Cas => "cas",
            Self::Embed => "embed",
            Self::Delete => "delete",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_in_json_is_a_changeset() {
        let text = r#"{"begin_height": 7, "reads": ["b", "a"], "embedding": [0.5, 0],
            "ops": [{"op": "put", "key": "k", "value": {"hex": "00ff"}}, {"op": "cas", "key": "l", "new": {"text": "n"}}]}"#;
        let changeset = serde_json::from_str::<Batch>(text).unwrap().into_changeset().unwrap();
        assert_eq!(changeset.begin_height(), Some(Height(7)));
        assert_eq!(changeset.reads().iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            changeset.transactions(),
            [
                Transaction::Put { key: "k".into(), data: vec![0, 255] },
                Transaction::CompareAndSwap { key: "l".into(), expected: None, new: b"n".to_vec() }
            ]
        );
        assert_eq!(changeset.supplied_delta().map(DeltaVector::dim), Some(2));
    }

    #[test]
    fn what_is_misspelt_or_not_finite_is_refused() {
        for text in [
            r#"{"ops": [], "read": []}"#,
            r#"{"ops": [{"op": "put", "key": "k", "value": {"text": "v"}, "ttl": 3}]}"#,
            r#"{"ops": [{"op": "put", "key": "k", "key": "l", "value": {"text": "v"}}]}"#,
            r#"{"ops": [{"op": "drop", "key": "k"}]}"#,
            r#"{"ops": [], "embedding": [NaN]}"#,
            r#"{"ops": [], "embedding": [1e400]}"#,
            r#"{"ops": [], "embedding": [1e39]}"#,
        ] {
            assert!(serde_json::from_str::<Batch>(text).is_err(), "{text}");
        }
        let mut batch: Batch = serde_json::from_str(r#"{"ops": [{"op": "delete", "key": "k"}]}"#).unwrap();
        batch.embedding = Some(vec![f32::INFINITY]);
        assert!(matches!(batch.into_changeset(), Err(BatchError::Vector(_))));
        let not_hex = Operation::Put { key: "k".into(), value: Data::Hex("0".into()) };
        assert_eq!(not_hex.into_transaction(), Err(BatchError::NotHex(NotHex)));
    }
}
