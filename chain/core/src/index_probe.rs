//! An index for tests that counts what is read, and fails to write or waits with it when told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::index::{Change, Entry, Index, IndexError, IndexOp, Lookup, MemoryIndex, Space, Visit};

#[derive(Debug, Default)]
pub(crate) struct IndexProbe {
    index: MemoryIndex,
    pub(crate) reads: AtomicU64,
    pub(crate) fail_writes: AtomicBool,
    /// Nothing is written while a test holds it.
    pub(crate) hold_writes: Mutex<()>,
}

impl IndexProbe {
    fn count(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }
}

/// The store keeps one, the test another.
impl Lookup for std::sync::Arc<IndexProbe> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.count();
        self.index.get(space, key)
    }

    fn last(&self, space: Space, prefix: &[u8], at_most: Option<&[u8]>) -> Result<Option<Entry>, IndexError> {
        self.count();
        self.index.last(space, prefix, at_most)
    }
}

impl Index for std::sync::Arc<IndexProbe> {
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), IndexError> {
        self.count();
        self.index.scan(space, prefix, from, &mut |key, value| {
            self.count();
            visit(key, value)
        })
    }

    fn write(&self, ops: Vec<IndexOp>) -> Result<(), IndexError> {
        let _held = self.hold_writes.lock();
        if self.fail_writes.load(Ordering::Relaxed) {
            return Err(IndexError::Corrupt { space: Space::Meta, key: Vec::new() });
        }
        self.index.write(ops)
    }

    fn write_sorted(&self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), IndexError> {
        let op = |(space, key, value): Change<'_>| IndexOp {
            space,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        let ops: Vec<_> = changes.map(op).collect();
        assert!(ops.is_sorted_by(|a, b| (a.space, &a.key) < (b.space, &b.key)), "in no order");
        self.write(ops)
    }

    fn len(&self, space: Space) -> Result<u64, IndexError> {
        self.index.len(space)
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.index.clear()
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.index.flush()
    }
}
