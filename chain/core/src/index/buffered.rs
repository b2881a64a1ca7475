//! An index whose writes are collected in memory and handed on many blocks at a time.
//!
//! The block log is the truth and an index may lag behind it, so nothing has to reach the disk with every
//! block. Records that change with every block, such as the upper branches of the state tree, are then written
//! once instead of a hundred times. What is handed on is one atomic batch: the index below always stands at
//! the end of some block. It is handed on by a thread of its own, while the next writes are collected.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

use super::{Entry, Index, IndexError, IndexOp, Lookup, Space, Visit, bounds};

/// Bytes that changes take in memory before they are handed on. As many again may be on their way. Few in
/// tests, so that they see them go.
const MOST_BYTES: usize = if cfg!(test) { 64 } else { 16 << 20 };

/// What a change takes in memory besides the bytes of its key and value, about.
const OVERHEAD_BYTES: usize = if cfg!(test) { 0 } else { 80 };

/// An [`Index`] over another one.
#[derive(Debug)]
pub struct BufferedIndex<I: Index + 'static> {
    below: Arc<I>,
    pending: RwLock<Pending>,
    courier: Option<Courier>,
}

/// Changes that the index below need not have yet, the newest first.
#[derive(Debug, Default)]
struct Pending {
    newest: Changes,
    older: Arc<Changes>,
    /// Whether the courier has the older ones.
    on_their_way: bool,
}

/// A thread that hands changes on, one lot after the other. One for all of them: what each of many threads allocates in
/// the index below would stay with the allocator's arena for that thread.
#[derive(Debug)]
struct Courier {
    lots: Sender<Arc<Changes>>,
    results: Mutex<Receiver<Result<(), IndexError>>>,
    thread: JoinHandle<()>,
}

impl Courier {
    /// `None` where no thread can be had.
    fn start(below: Arc<impl Index + 'static>) -> Option<Self> {
        let (lots, waiting) = mpsc::channel::<Arc<Changes>>();
        let (done, results) = mpsc::channel();
        let work = move || {
            for changes in waiting {
                let written = changes.write_to(&*below);
                drop(changes);
                if done.send(written).is_err() {
                    return; // nobody asks any more
                }
            }
        };
        let thread = thread::Builder::new().name("index".to_owned()).spawn(work).ok()?;
        Some(Self { lots, results: Mutex::new(results), thread })
    }

    /// What became of the lot before; `None` where the thread has panicked.
    fn result(&self) -> Option<Result<(), IndexError>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// Returns when the thread is gone, and with it its share of the index below.
    fn end(self) {
        drop(self.lots);
        // Whether it has panicked says nothing any more.
        drop(self.thread.join());
    }
}

/// The value that a key has got; `None` where it was removed.
type NewValue = Option<Vec<u8>>;

/// Changes by space and key.
#[derive(Debug)]
struct Changes {
    spaces: [OfSpace; Space::ALL.len()],
    bytes: usize,
}

/// The changes of a space.
#[derive(Debug)]
enum OfSpace {
    /// Of history, which is asked for the last key of a range.
    Sorted(BTreeMap<Vec<u8>, NewValue>),
    /// Of all else, where keys are asked for by themselves and order is dear.
    Unsorted(HashMap<Vec<u8>, NewValue>),
}

impl OfSpace {
    fn new(space: Space) -> Self {
        match space {
            Space::History => Self::Sorted(BTreeMap::new()),
            _ => Self::Unsorted(HashMap::new()),
        }
    }

    fn get(&self, key: &[u8]) -> Option<&NewValue> {
        match self {
            Self::Sorted(changes) => changes.get(key),
            Self::Unsorted(changes) => changes.get(key),
        }
    }

    fn insert(&mut self, key: Vec<u8>, value: NewValue) -> Option<NewValue> {
        match self {
            Self::Sorted(changes) => changes.insert(key, value),
            Self::Unsorted(changes) => changes.insert(key, value),
        }
    }

    fn sorted(&self) -> Vec<(&Vec<u8>, &NewValue)> {
        match self {
            Self::Sorted(changes) => changes.iter().collect(),
            Self::Unsorted(changes) => {
                let mut sorted: Vec<_> = changes.iter().collect();
                sorted.sort_unstable_by_key(|(key, _)| *key);
                sorted
            }
        }
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self { spaces: Space::ALL.map(OfSpace::new), bytes: 0 }
    }
}

impl Changes {
    fn of(&self, space: Space) -> &OfSpace {
        &self.spaces[space as usize]
    }

    fn add(&mut self, IndexOp { space, key, value }: IndexOp) {
        let len = |value: &NewValue| value.as_ref().map_or(0, Vec::len);
        let key_bytes = OVERHEAD_BYTES + 1 + key.len();
        self.bytes += key_bytes + len(&value);
        if let Some(replaced) = self.spaces[space as usize].insert(key, value) {
            self.bytes -= key_bytes + len(&replaced); // counted when it was written
        }
    }

    fn write_to(&self, index: &impl Index) -> Result<(), IndexError> {
        let spaces = Space::ALL.into_iter().zip(&self.spaces);
        let mut changes = spaces.flat_map(|(space, changes)| {
            let sorted = changes.sorted().into_iter();
            sorted.map(move |(key, value)| (space, key.as_slice(), value.as_deref()))
        });
        index.write_sorted(&mut changes)
    }
}

impl Pending {
    /// What has become of a key; `None` where only the index below knows.
    fn change(&self, space: Space, key: &[u8]) -> Option<&NewValue> {
        self.newest.of(space).get(key).or_else(|| self.older.of(space).get(key))
    }

    /// The changes of a space that is sorted, the newest and the older ones.
    fn sorted(&self, space: Space) -> Option<[&BTreeMap<Vec<u8>, NewValue>; 2]> {
        match (self.newest.of(space), self.older.of(space)) {
            (OfSpace::Sorted(newest), OfSpace::Sorted(older)) => Some([newest, older]),
            _ => None,
        }
    }
}

/// The greatest key of a range with a value.
fn last_of(
    [newest, older]: [&BTreeMap<Vec<u8>, NewValue>; 2],
    range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
) -> Option<Entry> {
    let last_newest = newest.range(range.clone()).rev().find_map(|(key, value)| Some((key, value.as_ref()?)));
    let older = older.range(range).rev().filter(|(key, _)| !newest.contains_key(*key));
    let last_older = older.into_iter().find_map(|(key, value)| Some((key, value.as_ref()?)));
    last_newest.max(last_older).map(|(key, value)| (key.clone(), value.clone()))
}

impl<I: Index + 'static> BufferedIndex<I> {
    /// Collects the writes to an index.
    #[must_use]
    pub fn new(below: I) -> Self {
        let below = Arc::new(below);
        let courier = Courier::start(Arc::clone(&below));
        Self { below, pending: RwLock::default(), courier }
    }

    // Nothing that can panic runs under the write lock, so a poisoned lock says nothing about the maps.

    fn read(&self) -> RwLockReadGuard<'_, Pending> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn modify(&self) -> RwLockWriteGuard<'_, Pending> {
        self.pending.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the index below has the older changes. Where that fails they stay, and are handed on again.
    fn settle(&self, pending: &mut Pending) -> Result<(), IndexError> {
        let on_their_way = std::mem::take(&mut pending.on_their_way);
        match self.courier.as_ref().filter(|_| on_their_way).and_then(Courier::result) {
            Some(written) => written?,
            None if pending.older.bytes > 0 => pending.older.write_to(&*self.below)?,
            None => {}
        }
        pending.older = Arc::default();
        Ok(())
    }

    /// Returns when the index below has everything.
    fn settle_all(&self, pending: &mut Pending) -> Result<(), IndexError> {
        self.settle(pending)?;
        pending.older = Arc::new(std::mem::take(&mut pending.newest));
        self.settle(pending)
    }

    /// Gives the courier what was collected, once it is through with what it had.
    fn hand_on(&self, pending: &mut Pending) -> Result<(), IndexError> {
        self.settle(pending)?;
        pending.older = Arc::new(std::mem::take(&mut pending.newest));
        let lot = Arc::clone(&pending.older);
        pending.on_their_way = self.courier.as_ref().is_some_and(|courier| courier.lots.send(lot).is_ok());
        if pending.on_their_way { Ok(()) } else { self.settle(pending) }
    }
}

impl<I: Index + 'static> Lookup for BufferedIndex<I> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let pending = self.read();
        match pending.change(space, key) {
            Some(change) => Ok(change.clone()),
            None => self.below.get(space, key),
        }
    }

    fn last(&self, space: Space, prefix: &[u8], at_most: Option<&[u8]>) -> Result<Option<Entry>, IndexError> {
        let Some(range) = bounds(prefix, None, at_most) else { return Ok(None) };
        let mut pending = self.modify();
        let below = self.below.last(space, prefix, at_most)?;
        let is_gone = below.as_ref().is_some_and(|(key, _)| pending.change(space, key) == Some(&None));
        let Some(sorted) = pending.sorted(space).filter(|_| !is_gone) else {
            // Nothing is in order here, or what was last below has been removed, and which one comes before it only the
            // index below knows.
            self.settle_all(&mut pending)?;
            return self.below.last(space, prefix, at_most);
        };
        // Of the same key the pending value is the newer one.
        Ok(match (last_of(sorted, range), below) {
            (Some(pending), Some(below)) => Some(if pending.0 >= below.0 { pending } else { below }),
            (pending, below) => pending.or(below),
        })
    }
}

impl<I: Index + 'static> Index for BufferedIndex<I> {
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), IndexError> {
        // Scans are questions of people, writes are work: the pending changes go first.
        self.settle_all(&mut self.modify())?;
        self.below.scan(space, prefix, from, visit)
    }

    fn write(&self, ops: Vec<IndexOp>) -> Result<(), IndexError> {
        let mut pending = self.modify();
        ops.into_iter().for_each(|op| pending.newest.add(op));
        if pending.newest.bytes < MOST_BYTES {
            return Ok(());
        }
        self.hand_on(&mut pending)
    }

    fn len(&self, space: Space) -> Result<u64, IndexError> {
        self.settle_all(&mut self.modify())?;
        self.below.len(space)
    }

    fn clear(&self) -> Result<(), IndexError> {
        let mut pending = self.modify();
        // Whether or not that goes well, nothing comes after the index below has been cleared.
        drop(self.settle(&mut pending));
        *pending = Pending::default();
        self.below.clear()
    }

    fn flush(&self) -> Result<(), IndexError> {
        let mut pending = self.modify();
        self.settle_all(&mut pending)?;
        self.below.flush()
    }
}

impl<I: Index + 'static> Drop for BufferedIndex<I> {
    /// Spares the next open the replay of the last blocks; where it fails, they are replayed.
    fn drop(&mut self) {
        if let Err(error) = self.settle_all(&mut self.modify()) {
            tracing::warn!(%error, "the index lags behind the block log and will be brought up to date");
        }
        self.courier.take().into_iter().for_each(Courier::end);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::index_probe::IndexProbe;

    /// Sorted, so that nothing has to be handed on for an answer.
    const SPACE: Space = Space::History;

    fn put(key: &[u8], bytes: usize) -> IndexOp {
        IndexOp::put(SPACE, key.to_vec(), vec![1; bytes])
    }

    fn last_key(index: &impl Index) -> Option<Vec<u8>> {
        index.last(SPACE, b"", None).unwrap().map(|(key, _)| key)
    }

    #[test]
    fn what_is_on_its_way_is_seen_and_what_came_later_counts() {
        let probe = Arc::new(IndexProbe::default());
        let index = BufferedIndex::new(Arc::clone(&probe));
        let held = probe.hold_writes.lock().unwrap();
        index.write(vec![put(b"a", MOST_BYTES), put(b"b", 1), put(b"c", 1)]).unwrap();
        index.write(vec![IndexOp::delete(SPACE, b"b".to_vec()), put(b"c", 2)]).unwrap();
        index.write(vec![IndexOp::delete(SPACE, b"d".to_vec())]).unwrap();
        assert_eq!(probe.get(SPACE, b"a").unwrap(), None);
        let agrees = || {
            let len = |key| index.get(SPACE, key).unwrap().map(|value| value.len());
            assert_eq!([len(b"a"), len(b"b"), len(b"c"), len(b"d")], [Some(MOST_BYTES), None, Some(2), None]);
            assert_eq!(last_key(&index), Some(b"c".to_vec()));
            let before_c = index.last(SPACE, b"", Some(b"bb")).unwrap();
            assert_eq!(before_c.map(|(key, _)| key), Some(b"a".to_vec()));
        };
        agrees();
        drop(held);
        agrees();
        assert_eq!(index.len(SPACE).unwrap(), 2);
        agrees();
    }

    #[test]
    fn what_is_handed_on_is_in_order() {
        let probe = Arc::new(IndexProbe::default());
        let index = BufferedIndex::new(Arc::clone(&probe));
        let changes =
            (0..100_u8).flat_map(|n| [Space::Tree, Space::Meta].map(|space| (space, n.wrapping_mul(37))));
        let put = |(space, key)| IndexOp::put(space, vec![key], Vec::new());
        index.write(changes.map(put).collect()).unwrap();
        index.flush().unwrap();
        assert_eq!(probe.len(Space::Tree).unwrap(), 100);
    }

    #[test]
    fn what_could_not_be_handed_on_is_reported_and_stays() {
        let probe = Arc::new(IndexProbe::default());
        let index = BufferedIndex::new(Arc::clone(&probe));
        probe.fail_writes.store(true, Ordering::Relaxed);
        index.write(vec![put(b"a", MOST_BYTES)]).unwrap();
        assert!(index.write(vec![put(b"b", MOST_BYTES)]).is_err());
        assert!(index.flush().is_err());
        assert_eq!(last_key(&index), Some(b"b".to_vec()));
        assert!(index.get(SPACE, b"a").unwrap().is_some());
        probe.fail_writes.store(false, Ordering::Relaxed);
        index.flush().unwrap();
        assert_eq!(probe.len(SPACE).unwrap(), 2);
    }
}
