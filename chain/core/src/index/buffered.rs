//! An index whose writes are collected in memory and handed on many blocks at a time.
//!
//! The block log is the truth and an index may lag behind it, so nothing has to reach the disk with every
//! block. Records that change with every block, such as the upper branches of the state tree, are then written
//! once instead of a hundred times. What is handed on is one atomic batch: the index below always stands at
//! the end of some block.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Entry, Index, IndexError, IndexOp, Lookup, Space, Visit, bounds};

/// Bytes of keys and values that are collected before they are handed on.
const MOST_BYTES: usize = 4 << 20;

/// An [`Index`] over another one.
#[derive(Debug)]
pub struct BufferedIndex<I: Index> {
    below: I,
    pending: RwLock<Pending>,
}

/// Changes that the index below does not have yet; `None` removes.
#[derive(Debug, Default)]
struct Pending {
    spaces: [BTreeMap<Vec<u8>, Option<Vec<u8>>>; Space::ALL.len()],
    bytes: usize,
}

impl<I: Index> BufferedIndex<I> {
    /// Collects the writes to an index.
    #[must_use]
    pub fn new(below: I) -> Self {
        Self { below, pending: RwLock::default() }
    }

    // Nothing that can panic runs under the write lock, so a poisoned lock says nothing about the maps.

    fn read(&self) -> RwLockReadGuard<'_, Pending> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn modify(&self) -> RwLockWriteGuard<'_, Pending> {
        self.pending.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands everything on. Where that fails, it stays.
    fn hand_on(&self, pending: &mut Pending) -> Result<(), IndexError> {
        if pending.bytes == 0 {
            return Ok(());
        }
        let spaces = Space::ALL.into_iter().zip(&pending.spaces);
        let mut changes = spaces.flat_map(|(space, changes)| {
            changes.iter().map(move |(key, value)| (space, key.as_slice(), value.as_deref()))
        });
        self.below.write_sorted(&mut changes)?;
        *pending = Pending::default();
        Ok(())
    }
}

impl<I: Index> Lookup for BufferedIndex<I> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let pending = self.read();
        match pending.spaces[space as usize].get(key) {
            Some(change) => Ok(change.clone()),
            None => self.below.get(space, key),
        }
    }

    fn last(&self, space: Space, prefix: &[u8], at_most: Option<&[u8]>) -> Result<Option<Entry>, IndexError> {
        let Some(range) = bounds(prefix, None, at_most) else { return Ok(None) };
        let mut pending = self.modify();
        let changes = &pending.spaces[space as usize];
        let below = self.below.last(space, prefix, at_most)?;
        if below.as_ref().is_some_and(|(key, _)| changes.get(key) == Some(&None)) {
            // What was last there has been removed; which one comes before it only the index below knows.
            self.hand_on(&mut pending)?;
            return self.below.last(space, prefix, at_most);
        }
        let newest = changes.range(range).rev().find_map(|(key, value)| Some((key.clone(), value.clone()?)));
        // Of the same key the pending value is the newer one.
        Ok(match (newest, below) {
            (Some(newest), Some(below)) => Some(if newest.0 >= below.0 { newest } else { below }),
            (newest, below) => newest.or(below),
        })
    }
}

impl<I: Index> Index for BufferedIndex<I> {
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), IndexError> {
        // Scans are questions of people, writes are work: the pending changes go first.
        let mut pending = self.modify();
        self.hand_on(&mut pending)?;
        drop(pending);
        self.below.scan(space, prefix, from, visit)
    }

    fn write(&self, ops: Vec<IndexOp>) -> Result<(), IndexError> {
        let mut pending = self.modify();
        for IndexOp { space, key, value } in ops {
            let Pending { spaces, bytes } = &mut *pending;
            let len = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
            let key_bytes = 1 + key.len();
            *bytes += key_bytes + len(&value);
            if let Some(replaced) = spaces[space as usize].insert(key, value) {
                *bytes -= key_bytes + len(&replaced); // counted when it was written
            }
        }
        if pending.bytes < MOST_BYTES {
            return Ok(());
        }
        self.hand_on(&mut pending)
    }

    fn len(&self, space: Space) -> Result<u64, IndexError> {
        let mut pending = self.modify();
        self.hand_on(&mut pending)?;
        self.below.len(space)
    }

    fn clear(&self) -> Result<(), IndexError> {
        let mut pending = self.modify();
        *pending = Pending::default();
        self.below.clear()
    }

    fn flush(&self) -> Result<(), IndexError> {
        let mut pending = self.modify();
        self.hand_on(&mut pending)?;
        self.below.flush()
    }
}

impl<I: Index> Drop for BufferedIndex<I> {
    /// Spares the next open the replay of the last blocks; where it fails, they are replayed.
    fn drop(&mut self) {
        let mut pending = std::mem::take(&mut *self.modify());
        if let Err(error) = self.hand_on(&mut pending) {
            tracing::warn!(%error, "the index lags behind the block log and will be brought up to date");
        }
    }
}
