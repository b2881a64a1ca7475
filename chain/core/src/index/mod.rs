//! The index: ordered key-value spaces that can always be rebuilt from the block log.
//!
//! Nothing here is the truth, so nothing here is synced to disk on a write. What is promised is atomicity: a
//! batch is there entirely or not at all, and a batch is there only if all earlier ones are. A chain writes
//! each block's effects together with its height as one batch, and reads off where the index stands.

mod buffered;
mod disk;
mod memory;
mod seal;

use std::fmt::Debug;
use std::ops::{Bound, ControlFlow};

pub use buffered::BufferedIndex;
pub use disk::DiskIndex;
pub use memory::MemoryIndex;

/// A key space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Where the index stands, and other single facts.
    Meta,
    /// Present values by key.
    State,
    /// Which block wrote which key.
    History,
    /// Where blocks are in the log.
    Blocks,
    /// Nodes of the state tree.
    Tree,
    /// What clients of a replicated chain were answered.
    Sessions,
}

impl Space {
    /// Every space, in the order of their numbers.
    const ALL: [Self; 6] = [Self::Meta, Self::State, Self::History, Self::Blocks, Self::Tree, Self::Sessions];
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexOp {
    /// Where.
    pub space: Space,
    /// Key in that space.
    pub key: Vec<u8>,
    /// The new value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

impl IndexOp {
    /// Writes a value.
    #[must_use]
    pub const fn put(space: Space, key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { space, key, value: Some(value) }
    }

    /// Removes a key; removing an absent one changes nothing.
    #[must_use]
    pub const fn delete(space: Space, key: Vec<u8>) -> Self {
        Self { space, key, value: None }
    }
}

/// An [`IndexOp`] that belongs to someone else: where, key, and value or removal.
pub type Change<'c> = (Space, &'c [u8], Option<&'c [u8]>);

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// What a scan calls with each key and value until it breaks.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// What an index could not do.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A stored value does not have its checksum. The index must be rebuilt.
    #[error("the index entry {space:?}/{key:02x?} is corrupt")]
    Corrupt {
        /// Where.
        space: Space,
        /// Key of the entry.
        key: Vec<u8>,
    },
    /// A key that the medium cannot hold.
    #[error("index key of {got} bytes")]
    KeyTooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// The files of the index are damaged. The index must be rebuilt.
    #[error("the index files are damaged: {0}")]
    Damaged(fjall::Error),
    /// The files of the index are not as they were when it was closed. The index must be rebuilt.
    #[error("the index files were changed since the index was closed")]
    NotAsClosed,
    /// The medium is full.
    #[error("no space left to write the index: {0}")]
    NoSpace(fjall::Error),
    /// The medium fails: it could not promise that the index is durable.
    #[error("the disk under the index fails: {0}")]
    Fsync(fjall::Error),
    /// Any other failure of the medium.
    #[error("index: {0}")]
    Storage(fjall::Error),
}

impl IndexError {
    /// Whether rebuilding the index from the log is the remedy.
    #[must_use]
    pub const fn needs_rebuild(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Damaged(_) | Self::NotAsClosed)
    }
}

/// What single entries are looked up in. Keys compare as byte strings.
pub trait Lookup: Debug + Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// A corrupt entry; a failure of the medium.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// The greatest entry whose key starts with `prefix` and is not above `at_most`.
    ///
    /// # Errors
    /// A corrupt entry; a failure of the medium.
    fn last(&self, space: Space, prefix: &[u8], at_most: Option<&[u8]>) -> Result<Option<Entry>, IndexError>;
}

/// Ordered key-value spaces with atomic batches.
pub trait Index: Lookup {
    /// Visits the entries whose keys start with `prefix` and are not below `from`, in ascending order, until
    /// `visit` breaks. The entries are those of one moment. `visit` must not use the index itself.
    ///
    /// # Errors
    /// A corrupt entry; a failure of the medium. Entries before it have been visited.
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), IndexError>;

    /// Makes all changes, in order, or none. Not synced to disk: see [`flush`](Self::flush).
    ///
    /// # Errors
    /// A failure of the medium.
    fn write(&self, ops: Vec<IndexOp>) -> Result<(), IndexError>;

    /// As [`write`](Self::write), for changes that are sorted by space and key, no key twice, and stay where they are.
    ///
    /// # Errors
    /// A failure of the medium.
    fn write_sorted(&self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), IndexError> {
        let op = |(space, key, value): Change<'_>| IndexOp {
            space,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        self.write(changes.map(op).collect())
    }

    /// Number of entries of a space. Counts them, which takes time in proportion.
    ///
    /// # Errors
    /// A failure of the medium.
    fn len(&self, space: Space) -> Result<u64, IndexError>;

    /// Removes all entries of all spaces.
    ///
    /// # Errors
    /// A failure of the medium.
    fn clear(&self) -> Result<(), IndexError>;

    /// Syncs everything written so far to disk.
    ///
    /// # Errors
    /// A failure of the medium.
    fn flush(&self) -> Result<(), IndexError>;
}

type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The bounds of the keys that start with `prefix` and are not below `from` nor above `at_most`; `None` where no
/// key can be. At most one of `from` and `at_most` may be given.
fn bounds(prefix: &[u8], from: Option<&[u8]>, at_most: Option<&[u8]>) -> Option<KeyRange> {
    let lower = match from {
        Some(key) if key <= prefix => prefix,
        Some(key) if key.starts_with(prefix) => key,
        Some(_) => return None,
        None => prefix,
    };
    let upper = match at_most {
        Some(key) if key < prefix => return None,
        Some(key) if key.starts_with(prefix) => Bound::Included(key.to_vec()),
        _ => end_of_prefix(prefix),
    };
    Some((Bound::Included(lower.to_vec()), upper))
}

/// The least key above all that start with `prefix`: the prefix without trailing 0xff, its last byte one higher.
fn end_of_prefix(prefix: &[u8]) -> Bound<Vec<u8>> {
    let Some(last) = prefix.iter().rposition(|&byte| byte != u8::MAX) else { return Bound::Unbounded };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Bound::Excluded(end)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// Few different bytes, extremes among them, so that prefixes and neighbours occur.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(254), Just(255)], 0..4)
    }

    fn space() -> impl Strategy<Value = Space> {
        prop_oneof![Just(Space::Meta), Just(Space::History), Just(Space::Tree)]
    }

    fn batches() -> impl Strategy<Value = Vec<Vec<IndexOp>>> {
        let value = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..9));
        let op = (space(), key(), value).prop_map(|(space, key, value)| IndexOp { space, key, value });
        proptest::collection::vec(proptest::collection::vec(op, 0..8), 0..8)
    }

    /// The index says of every question what a plain sorted map says.
    fn agrees_with_a_map(
        index: &dyn Index,
        batches: Vec<Vec<IndexOp>>,
        space: Space,
        prefix: &[u8],
        key: &[u8],
    ) -> Result<(), TestCaseError> {
        index.clear().unwrap();
        let mut map = BTreeMap::new();
        for batch in batches {
            for op in &batch {
                match &op.value {
                    Some(value) => map.insert((op.space, op.key.clone()), value.clone()),
                    None => map.remove(&(op.space, op.key.clone())),
                };
            }
            index.write(batch).unwrap();
        }
        let of_space: Vec<Entry> = map
            .into_iter()
            .filter_map(|((owner, key), value)| (owner == space).then_some((key, value)))
            .collect();
        let with_prefix: Vec<&Entry> = of_space.iter().filter(|(key, _)| key.starts_with(prefix)).collect();

        prop_assert_eq!(index.len(space).unwrap(), of_space.len() as u64);
        let value = of_space.iter().find(|entry| entry.0 == key).map(|entry| entry.1.clone());
        prop_assert_eq!(index.get(space, key).unwrap(), value);
        for from in [None, Some(key)] {
            let expected = with_prefix.iter().filter(|entry| Some(entry.0.as_slice()) >= from);
            let expected: Vec<Entry> = expected.map(|&entry| entry.clone()).collect();
            for stop_after in [1, 2, usize::MAX] {
                let mut visited = Vec::new();
                let mut visit = |key: &[u8], value: &[u8]| {
                    visited.push((key.to_vec(), value.to_vec()));
                    if visited.len() == stop_after {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                };
                index.scan(space, prefix, from, &mut visit).unwrap();
                prop_assert_eq!(&visited[..], &expected[..stop_after.min(expected.len())]);
            }
        }
        let last = with_prefix.last().map(|&entry| entry.clone());
        prop_assert_eq!(index.last(space, prefix, None).unwrap(), last);
        let last = with_prefix.iter().rfind(|entry| entry.0.as_slice() <= key).map(|&entry| entry.clone());
        prop_assert_eq!(index.last(space, prefix, Some(key)).unwrap(), last);
        Ok(())
    }

    /// Opening one takes longer than all questions to it; every case clears it first.
    fn shared_disk_index() -> &'static DiskIndex {
        static INDEX: LazyLock<(TempDir, DiskIndex)> = LazyLock::new(|| {
            let dir = tempfile::tempdir().unwrap();
            let index = DiskIndex::open(dir.path()).unwrap();
            (dir, index)
        });
        &INDEX.1
    }

    proptest! {
        #[test]
        fn the_memory_index_agrees_with_a_map(
            batches in batches(), space in space(), prefix in key(), key in key()
        ) {
            agrees_with_a_map(&MemoryIndex::new(), batches, space, &prefix, &key)?;
        }

        #[test]
        fn the_disk_index_agrees_with_a_map(
            batches in batches(), space in space(), prefix in key(), key in key()
        ) {
            agrees_with_a_map(shared_disk_index(), batches, space, &prefix, &key)?;
        }

        #[test]
        fn a_buffered_index_agrees_with_a_map_and_so_does_what_it_hands_on(
            early in batches(), late in batches(), space in space(), prefix in key(), key in key()
        ) {
            let index = BufferedIndex::new(MemoryIndex::new());
            agrees_with_a_map(&index, early.clone(), space, &prefix, &key)?;
            // Some of it below, the rest pending: the same answers as all of it in one place.
            let whole = MemoryIndex::new();
            let split = BufferedIndex::new(MemoryIndex::new());
            for batch in early {
                whole.write(batch.clone()).unwrap();
                split.write(batch).unwrap();
            }
            split.flush().unwrap();
            for batch in late {
                whole.write(batch.clone()).unwrap();
                split.write(batch).unwrap();
            }
            prop_assert_eq!(split.get(space, &key).unwrap(), whole.get(space, &key).unwrap());
            for at_most in [None, Some(key.as_slice())] {
                let last = whole.last(space, &prefix, at_most).unwrap();
                prop_assert_eq!(split.last(space, &prefix, at_most).unwrap(), last);
            }
            prop_assert_eq!(split.len(space).unwrap(), whole.len(space).unwrap());
        }
    }
}
