//! The state: the value of every live key, and which operation wrote it.

use std::ops::ControlFlow;

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::hash::Hash;
use crate::ids::Height;
use crate::index::{Index, IndexOp, Lookup, Space};
use crate::state_tree::value_hash;
use crate::store::StoreError;
use crate::transaction::Transaction;

/// Which operation: the block's height and the ordinal of the operation among all of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) height: Height,
    pub(crate) position: u32,
}

/// A live key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// Whether `bytes` are the canonical encoding of an embedded vector.
    pub(crate) is_vector: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Value {
    /// A value of bytes.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self { is_vector: false, bytes: bytes.to_vec() }
    }

    /// The value that an operation leaves; `None` for a deletion.
    pub(crate) fn written_by(transaction: &Transaction) -> Option<Self> {
        let is_vector = matches!(transaction, Transaction::Embed { .. });
        transaction.written().map(|bytes| Self { is_vector, bytes: bytes.into_owned() })
    }

    /// What the state tree holds for a key: the value bound to the height that wrote it.
    pub(crate) fn hash(&self, height: Height) -> Hash {
        value_hash(height, &self.bytes)
    }
}

impl Encode for Entry {
    fn encode(&self, writer: &mut Writer) {
        writer.u64(self.place.height.0);
        writer.u32(self.place.position);
        writer.u8(u8::from(self.value.is_vector));
        writer.bytes(&self.value.bytes);
    }
}

impl Decode for Entry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let place = Place { height: Height(reader.u64()?), position: reader.u32()? };
        Ok(Self { place, value: Value { is_vector: reader.bool()?, bytes: reader.bytes()?.to_vec() } })
    }
}

/// The entry of a key, if it is live.
pub(crate) fn get(index: &dyn Lookup, key: &str) -> Result<Option<Entry>, StoreError> {
    let decode = |bytes: Vec<u8>| {
        Entry::from_bytes(&bytes).map_err(|source| StoreError::State { key: key.to_owned(), source })
    };
    index.get(Space::State, key.as_bytes())?.map(decode).transpose()
}

/// Live keys that start with `prefix`, ascending, at most `limit` of them, beginning after `after`.
pub(crate) fn list(
    index: &dyn Index,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let mut keys = Vec::new();
    // The least key above `after` is `after` and a zero byte.
    let from = after.map(|after| [after.as_bytes(), &[0]].concat());
    index.scan(Space::State, prefix.as_bytes(), from.as_deref(), &mut |key, _| {
        if keys.len() == limit {
            return ControlFlow::Break(());
        }
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    let text = |key: Vec<u8>| {
        String::from_utf8(key).map_err(|error| StoreError::State {
            key: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            source: DecodeError::NotUtf8,
        })
    };
    keys.into_iter().map(text).collect()
}

/// Writes an entry.
pub(crate) fn put(key: &str, entry: &Entry) -> IndexOp {
    IndexOp::put(Space::State, key.as_bytes().to_vec(), entry.to_bytes())
}

/// Removes an entry.
pub(crate) fn delete(key: &str) -> IndexOp {
    IndexOp::delete(Space::State, key.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::MemoryIndex;

    fn entry(bytes: &[u8]) -> Entry {
        let place = Place { height: Height(7), position: 3 };
        Entry { place, value: Value::from_bytes(bytes) }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let index = MemoryIndex::new();
        index.write(vec![put("k", &entry(b"v"))]).unwrap();
        assert_eq!(get(&index, "k").unwrap(), Some(entry(b"v")));
        index.write(vec![delete("k")]).unwrap();
        assert_eq!(get(&index, "k").unwrap(), None);
    }

    #[test]
    fn a_list_goes_on_after_its_last_key() {
        let index = MemoryIndex::new();
        index.write(["a", "b:", "b:1", "b:2", "c"].map(|key| put(key, &entry(b""))).to_vec()).unwrap();
        assert_eq!(list(&index, "b:", None, 2).unwrap(), ["b:", "b:1"]);
        assert_eq!(list(&index, "b:", Some("b:1"), 2).unwrap(), ["b:2"]);
        assert_eq!(list(&index, "", None, 9).unwrap().len(), 5);
        assert!(list(&index, "x", None, 9).unwrap().is_empty());
    }

    #[test]
    fn the_hash_binds_value_and_height() {
        let value = Value::from_bytes(b"v");
        assert_ne!(value.hash(Height(1)), value.hash(Height(2)));
        assert_ne!(value.hash(Height(1)), Value::from_bytes(b"w").hash(Height(1)));
    }
}
