//! The state: the value of every live key, and which operation wrote it.

use std::ops::{ControlFlow, Range};

use crate::block_places;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::ids::Height;
use crate::index::{Index, IndexOp, Lookup, Space};
use crate::log::BlockBytes;
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
    /// The value that an operation leaves; `None` for a deletion.
    pub(crate) fn written_by(transaction: &Transaction) -> Option<Self> {
        let is_vector = is_vector(transaction);
        transaction.written().map(|bytes| Self { is_vector, bytes: bytes.into_owned() })
    }
}

fn is_vector(transaction: &Transaction) -> bool {
    matches!(transaction, Transaction::Embed { .. })
}

/// Longest value that is kept beside its key. A longer one stays where it is anyway: in the block that wrote it.
const MOST_BYTES_HERE: usize = 128;

/// What the index keeps of a live key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    place: Place,
    is_vector: bool,
    value: Kept,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    /// The value.
    Here(Vec<u8>),
    /// Which of the block's bytes are the value, and their CRC-32C.
    InBlock { range: Range<u32>, crc: u32 },
}

impl Encode for Record {
    fn encode(&self, writer: &mut Writer) {
        writer.u64(self.place.height.0);
        writer.u32(self.place.position);
        writer.bool(self.is_vector);
        match &self.value {
            Kept::Here(bytes) => {
                writer.u8(0);
                writer.bytes(bytes);
            }
            Kept::InBlock { range, crc } => {
                writer.u8(1);
                writer.u32(range.start);
                writer.u32(range.end);
                writer.u32(*crc);
            }
        }
    }
}

impl Decode for Record {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let place = Place { height: Height(reader.u64()?), position: reader.u32()? };
        let is_vector = reader.bool()?;
        let value = match reader.u8()? {
            0 => Kept::Here(reader.bytes()?.to_vec()),
            1 => Kept::InBlock { range: reader.u32()?..reader.u32()?, crc: reader.u32()? },
            got => return Err(DecodeError::UnknownTag { what: "value of a key", got }),
        };
        Ok(Self { place, is_vector, value })
    }
}

/// The state: what the index keeps of it, and the blocks with the values that it does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State<'s> {
    pub(crate) index: &'s dyn Lookup,
    pub(crate) blocks: &'s dyn BlockBytes,
}

impl State<'_> {
    /// Whether a key is live.
    pub(crate) fn has(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.index.get(Space::State, key.as_bytes())?.is_some())
    }

    /// The entry of a key, if it is live.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let Some(bytes) = self.index.get(Space::State, key.as_bytes())? else { return Ok(None) };
        let record = Record::from_bytes(&bytes);
        let record = record.map_err(|source| StoreError::State { key: key.to_owned(), source })?;
        let Record { place, is_vector, value } = record;
        let bytes = match value {
            Kept::Here(bytes) => bytes,
            Kept::InBlock { range, crc } => self.read(key, place.height, range, crc)?,
        };
        Ok(Some(Entry { place, value: Value { is_vector, bytes } }))
    }

    fn read(&self, key: &str, height: Height, range: Range<u32>, crc: u32) -> Result<Vec<u8>, StoreError> {
        let offset = block_places::get(self.index, height)?.ok_or(StoreError::Misplaced { height })?;
        let bytes = self.blocks.read_part(offset, range)?;
        match crc32c::crc32c(&bytes) == crc {
            true => Ok(bytes),
            false => Err(StoreError::Value { key: key.to_owned(), height }),
        }
    }
}

/// What an operation leaves of a key, for the index. `end` is where the operation ends in its block's canonical bytes.
pub(crate) fn effect(transaction: &Transaction, place: Place, end: u32) -> IndexOp {
    let key = transaction.key();
    let Some(bytes) = transaction.written() else { return delete(key) };
    // The value is the last that an operation encodes to.
    let value = match bytes.len() {
        len if len <= MOST_BYTES_HERE => Kept::Here(bytes.into_owned()),
        len => Kept::InBlock { range: end.saturating_sub(len as u32)..end, crc: crc32c::crc32c(&bytes) },
    };
    let record = Record { place, is_vector: is_vector(transaction), value };
    IndexOp::put(Space::State, key.as_bytes().to_vec(), record.to_bytes())
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

/// Removes an entry.
fn delete(key: &str) -> IndexOp {
    IndexOp::delete(Space::State, key.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changeset::Changeset;
    use crate::index::MemoryIndex;
    use crate::log::{BlockLog, MemoryLog};
    use proptest::prelude::*;
    use tensor_kernels::{DeltaVector, SparseVec};

    const HEIGHT: Height = Height(0);

    /// The bytes of a block, and the index after it. Keys must be different.
    fn written(transactions: Vec<Transaction>) -> (Vec<u8>, MemoryIndex) {
        let (mut writer, mut ends) = (Writer::new(), Vec::new());
        writer.raw(&[7; 5]);
        let changeset = Changeset::new(None, [].into(), transactions, None).unwrap();
        changeset.encode_noting(&mut writer, &mut |end| ends.push(end as u32));
        let index = MemoryIndex::new();
        index.write(vec![block_places::put(HEIGHT, 0)]).unwrap();
        for ((position, end), transaction) in (0..).zip(ends).zip(changeset.transactions()) {
            index.write(vec![effect(transaction, Place { height: HEIGHT, position }, end)]).unwrap();
        }
        (writer.into_bytes(), index)
    }

    fn log(payload: &[u8]) -> MemoryLog {
        let log = MemoryLog::new(Vec::new());
        log.append(HEIGHT, payload).unwrap();
        log
    }

    fn put(key: &str, data: Vec<u8>) -> Transaction {
        Transaction::Put { key: key.to_owned(), data }
    }

    proptest! {
        #[test]
        fn what_was_written_last_is_read_wherever_it_is_kept(
            kinds in proptest::collection::vec((0..5, 0_usize..3 * MOST_BYTES_HERE), 1..8),
        ) {
            let transaction = |(n, (kind, len)): (usize, (i32, usize))| {
                let (key, data) = (format!("key-{n}"), (0..len).map(|byte| (byte * 31 + n) as u8).collect());
                let dense: Vec<f32> = (1..=len.max(1)).map(|n| n as f32).collect();
                match kind {
                    0 => Transaction::Put { key, data },
                    1 => Transaction::Update { key, data },
                    2 => Transaction::Delete { key },
                    3 => Transaction::CompareAndSwap { key, expected: Some(vec![1; n]), new: data },
                    _ => {
                        let vector = SparseVec::from_dense(&dense).unwrap();
                        Transaction::Embed { key, vector: DeltaVector::from_sparse(&vector).unwrap() }
                    }
                }
            };
            let transactions: Vec<_> = kinds.into_iter().enumerate().map(transaction).collect();
            let (payload, index) = written(transactions.clone());
            let state = State { index: &index, blocks: &log(&payload) };
            for (transaction, position) in transactions.iter().zip(0..) {
                let (place, value) = (Place { height: HEIGHT, position }, Value::written_by(transaction));
                prop_assert_eq!(state.has(transaction.key()).unwrap(), value.is_some());
                prop_assert_eq!(state.get(transaction.key()).unwrap(), value.map(|value| Entry { place, value }));
            }
        }
    }

    #[test]
    fn only_long_values_are_left_in_the_block() {
        let longest_here = vec![1; MOST_BYTES_HERE];
        let (_, index) =
            written(vec![put("short", longest_here.clone()), put("long", vec![1; MOST_BYTES_HERE + 1])]);
        let state = State { index: &index, blocks: &log(&[]) };
        assert_eq!(state.get("short").unwrap().unwrap().value.bytes, longest_here);
        assert!(matches!(state.get("long"), Err(StoreError::Log(_))));
    }

    #[test]
    fn a_value_that_is_not_the_one_that_was_written_is_an_error() {
        let (mut payload, index) = written(vec![put("k", vec![1; 500])]);
        let last = payload.len() - 2; // behind it is only that there is no delta
        payload[last] ^= 2;
        let found = State { index: &index, blocks: &log(&payload) }.get("k");
        assert!(matches!(found, Err(StoreError::Value { key, height: HEIGHT }) if key == "k"));
    }

    #[test]
    fn a_list_goes_on_after_its_last_key() {
        let (_, index) = written(["a", "b:", "b:1", "b:2", "c"].map(|key| put(key, Vec::new())).to_vec());
        assert_eq!(list(&index, "b:", None, 2).unwrap(), ["b:", "b:1"]);
        assert_eq!(list(&index, "b:", Some("b:1"), 2).unwrap(), ["b:2"]);
        assert_eq!(list(&index, "", None, 9).unwrap().len(), 5);
        assert!(list(&index, "x", None, 9).unwrap().is_empty());
    }
}
