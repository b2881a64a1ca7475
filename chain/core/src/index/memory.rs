//! The index of a chain that lives in memory: one ordered map a space, behind one lock.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Entry, Index, IndexError, IndexOp, Lookup, Space, Visit, bounds};

/// One map for each [`Space`], in the order of its variants.
type Spaces = [BTreeMap<Vec<u8>, Vec<u8>>; Space::ALL.len()];

/// An [`Index`] in memory. Never fails.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    spaces: RwLock<Spaces>,
}

impl MemoryIndex {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // Nothing that can panic runs under the write lock, so a poisoned lock says nothing about the maps.

    fn read(&self) -> RwLockReadGuard<'_, Spaces> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn modify(&self) -> RwLockWriteGuard<'_, Spaces> {
        self.spaces.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup for MemoryIndex {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.read()[space as usize].get(key).cloned())
    }

    fn last(&self, space: Space, prefix: &[u8], at_most: Option<&[u8]>) -> Result<Option<Entry>, IndexError> {
        let Some(bounds) = bounds(prefix, None, at_most) else { return Ok(None) };
        let spaces = self.read();
        let last = spaces[space as usize].range(bounds).next_back();
        Ok(last.map(|(key, value)| (key.clone(), value.clone())))
    }
}

impl Index for MemoryIndex {
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), IndexError> {
        let Some(bounds) = bounds(prefix, from, None) else { return Ok(()) };
        let spaces = self.read();
        for (key, value) in spaces[space as usize].range(bounds) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, ops: Vec<IndexOp>) -> Result<(), IndexError> {
        let mut spaces = self.modify();
        for IndexOp { space, key, value } in ops {
            match value {
                Some(value) => spaces[space as usize].insert(key, value),
                None => spaces[space as usize].remove(&key),
            };
        }
        Ok(())
    }

    fn len(&self, space: Space) -> Result<u64, IndexError> {
        Ok(self.read()[space as usize].len() as u64)
    }

    fn clear(&self) -> Result<(), IndexError> {
        *self.modify() = Spaces::default();
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
