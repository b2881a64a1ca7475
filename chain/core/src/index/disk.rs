//! The index on disk: one fjall keyspace for all spaces.
//!
//! One, because fjall recovers each keyspace by itself: after a power loss one could be ahead of another, and a
//! batch half there. Within a keyspace what is lost is a tail of whole batches, which the chain then replays from
//! the block log. For the same reason nothing is synced on a write.
//!
//! Keys start with a byte for their space; values end with a CRC-32C of the key and the value, so that an entry
//! that was damaged, or came to stand under another key, is noticed when it is read.

use std::fmt;
use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable};

use super::seal::{self, SealOnDrop, Verdict};
use super::{Change, Entry, Index, IndexError, IndexOp, Lookup, Space, Visit, bounds};

/// Bytes of blocks of the index that are kept in memory.
const CACHE_BYTES: u64 = 32 << 20;
/// Bytes of writes that are collected in memory before they become a file.
const MEMTABLE_BYTES: u64 = 32 << 20;
/// Bytes of journal before old parts are dropped: the least that fjall allows.
const JOURNAL_BYTES: u64 = 64 << 20;
/// Longest key that fjall takes, the byte of the space included.
const MAX_STORED_KEY_BYTES: usize = u16::MAX as usize;
/// What the system says of a disk that fails; the library has no name for it.
const EIO: i32 = 5;
/// Bytes of the checksum behind each value.
const CRC_BYTES: usize = 4;

/// An [`Index`] in a directory of its own.
pub struct DiskIndex {
    // Dropped in this order: the files are sealed when fjall is through with them.
    entries: Keyspace,
    db: Database,
    _seal: SealOnDrop,
}

impl DiskIndex {
    /// Opens the index in a directory, or makes an empty one.
    ///
    /// # Errors
    /// Damaged files, see [`IndexError::needs_rebuild`]; a failure of the medium.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, IndexError> {
        let path = path.as_ref();
        let files = path.join("fjall");
        let seal = path.join("SEAL");
        let io_error = |error: io::Error| classify(error.into());
        match seal::check(&files, &seal).map_err(io_error)? {
            Verdict::Broken => return Err(IndexError::NotAsClosed),
            Verdict::Intact => seal::remove(&seal).map_err(io_error)?,
            Verdict::Unsealed => {}
        }
        let database = Database::builder(&files)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1);
        // After a crash there is no seal, and fjall trusts lengths in its journal: what it panics at is damage.
        let opened = panic::catch_unwind(AssertUnwindSafe(|| database.open()));
        let db = opened.unwrap_or(Err(fjall::Error::Unrecoverable)).map_err(classify)?;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        };
        let entries = db.keyspace("entries", options).map_err(classify)?;
        Ok(Self { entries, db, _seal: SealOnDrop { files, seal } })
    }

    /// Removes what is in a directory, readable or not, and makes an empty index there.
    ///
    /// # Errors
    /// A failure of the medium.
    pub fn create_anew(path: impl AsRef<Path>) -> Result<Self, IndexError> {
        match fs::remove_dir_all(path.as_ref()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(classify(error.into())),
            _ => Self::open(path),
        }
    }
}

impl fmt::Debug for DiskIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskIndex").field("path", &self.entries.path()).finish_non_exhaustive()
    }
}

impl Lookup for DiskIndex {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let stored_key = stored_key(space, key);
        let stored = self.entries.get(&stored_key).map_err(classify)?;
        stored.map(|stored| checked(space, &stored_key, &stored).map(<[u8]>::to_vec)).transpose()
    }

    fn last(&self, space: Space, prefix: &[u8], at_most: Option<&[u8]>) -> Result<Option<Entry>, IndexError> {
        let at_most = at_most.map(|key| stored_key(space, key));
        let Some(range) = bounds(&stored_key(space, prefix), None, at_most.as_deref()) else {
            return Ok(None);
        };
        let Some(last) = self.db.snapshot().range(&self.entries, range).next_back() else { return Ok(None) };
        let (key, stored) = last.into_inner().map_err(classify)?;
        let value = checked(space, &key, &stored)?;
        Ok(Some((without_space(&key).to_vec(), value.to_vec())))
    }
}

impl Index for DiskIndex {
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), IndexError> {
        let from = from.map(|key| stored_key(space, key));
        let Some(range) = bounds(&stored_key(space, prefix), from.as_deref(), None) else { return Ok(()) };
        for entry in self.db.snapshot().range(&self.entries, range) {
            let (key, stored) = entry.into_inner().map_err(classify)?;
            let value = checked(space, &key, &stored)?;
            if visit(without_space(&key), value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, mut ops: Vec<IndexOp>) -> Result<(), IndexError> {
        // All entries of a fjall batch count as simultaneous, so only the last change of a key may be in it.
        ops.reverse();
        ops.sort_by(|a, b| (a.space, &a.key).cmp(&(b.space, &b.key)));
        ops.dedup_by(|earlier, last| (earlier.space, &earlier.key) == (last.space, &last.key));

        self.write_sorted(&mut ops.iter().map(|op| (op.space, op.key.as_slice(), op.value.as_deref())))
    }

    fn write_sorted(&self, changes: &mut dyn Iterator<Item = Change<'_>>) -> Result<(), IndexError> {
        let mut batch = self.db.batch();
        for (space, key, value) in changes {
            if key.len() >= MAX_STORED_KEY_BYTES {
                return Err(IndexError::KeyTooLong { got: key.len() });
            }
            let key = stored_key(space, key);
            match value {
                Some(value) => {
                    let crc = checksum(&key, value);
                    batch.insert(&self.entries, key, [value, &crc].concat());
                }
                None => batch.remove(&self.entries, key),
            }
        }
        batch.commit().map_err(classify)
    }

    fn len(&self, space: Space) -> Result<u64, IndexError> {
        let mut count = 0;
        for entry in self.db.snapshot().prefix(&self.entries, stored_key(space, &[])) {
            entry.key().map_err(classify)?;
            count += 1;
        }
        Ok(count)
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.entries.clear().map_err(classify)
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.db.persist(PersistMode::SyncAll).map_err(|error| match classify(error) {
            IndexError::Storage(error) => IndexError::Fsync(error),
            other => other,
        })
    }
}

fn stored_key(space: Space, key: &[u8]) -> Vec<u8> {
    [&[space as u8], key].concat()
}

fn without_space(stored_key: &[u8]) -> &[u8] {
    stored_key.get(1..).unwrap_or_default()
}

fn checksum(stored_key: &[u8], value: &[u8]) -> [u8; CRC_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(stored_key), value).to_le_bytes()
}

/// The value that was stored under a key, if its checksum says so.
fn checked<'v>(space: Space, stored_key: &[u8], stored: &'v [u8]) -> Result<&'v [u8], IndexError> {
    match stored.split_last_chunk() {
        Some((value, crc)) if *crc == checksum(stored_key, value) => Ok(value),
        _ => Err(IndexError::Corrupt { space, key: without_space(stored_key).to_vec() }),
    }
}

/// Tells what a rebuild cures from a full medium and from other failures.
fn classify(error: fjall::Error) -> IndexError {
    use fjall::Error;
    match &error {
        Error::Io(io) | Error::Storage(LsmError::Io(io)) => match io.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IndexError::NoSpace(error),
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                IndexError::Damaged(error)
            }
            // A place in a file that no file has: it was read from the files.
            io::ErrorKind::InvalidInput => IndexError::Damaged(error),
            // A crash left some of its files when it was made, and it is about to make them again.
            io::ErrorKind::AlreadyExists => IndexError::Damaged(error),
            _ if io.raw_os_error() == Some(EIO) => IndexError::Fsync(error),
            _ => IndexError::Storage(error),
        },
        Error::Poisoned | Error::KeyspaceDeleted | Error::Locked => IndexError::Storage(error),
        _ => IndexError::Damaged(error),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;

    use super::*;

    const KEYS: u16 = 400;

    fn value(key: u16) -> Vec<u8> {
        vec![key as u8; usize::from(key % 50)]
    }

    fn fill(index: &DiskIndex) {
        for key in 0..KEYS {
            let key_bytes = key.to_be_bytes().to_vec();
            index.write(vec![IndexOp::put(Space::State, key_bytes, value(key))]).unwrap();
        }
    }

    fn all(index: &DiskIndex, space: Space) -> Result<Vec<Entry>, IndexError> {
        let mut entries = Vec::new();
        index.scan(space, &[], None, &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    fn expected() -> Vec<Entry> {
        (0..KEYS).map(|key| (key.to_be_bytes().to_vec(), value(key))).collect()
    }

    #[test]
    fn what_only_damage_brings_about_is_cured_by_a_rebuild() {
        const EINVAL: i32 = 22;
        let rebuilds = |error: io::Error| classify(error.into()).needs_rebuild();
        assert!(rebuilds(io::Error::from_raw_os_error(EINVAL)));
        assert!(rebuilds(io::ErrorKind::UnexpectedEof.into()));
        for other in [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied] {
            assert!(!rebuilds(other.into()));
        }
        assert!(!rebuilds(io::Error::from_raw_os_error(EIO)));
    }

    #[test]
    fn entries_are_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let index = DiskIndex::open(dir.path()).unwrap();
        fill(&index);
        index.flush().unwrap();
        drop(index);
        let index = DiskIndex::open(dir.path()).unwrap();
        assert_eq!(all(&index, Space::State).unwrap(), expected());
        index.clear().unwrap();
        index.write(vec![IndexOp::put(Space::Meta, vec![], vec![1])]).unwrap();
        drop(index);
        let index = DiskIndex::open(dir.path()).unwrap();
        assert_eq!(all(&index, Space::State).unwrap(), []);
        assert_eq!(index.get(Space::Meta, &[]).unwrap(), Some(vec![1]));
    }

    #[test]
    fn an_index_made_anew_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        fill(&DiskIndex::create_anew(&path).unwrap());
        let index = DiskIndex::create_anew(&path).unwrap();
        assert_eq!(all(&index, Space::State).unwrap(), []);
    }

    #[test]
    fn a_key_too_long_for_fjall_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let index = DiskIndex::open(dir.path()).unwrap();
        let long = |len| vec![IndexOp::put(Space::Meta, vec![0; len], vec![])];
        index.write(long(MAX_STORED_KEY_BYTES - 1)).unwrap();
        let refused = index.write(long(MAX_STORED_KEY_BYTES));
        assert!(matches!(refused, Err(IndexError::KeyTooLong { got }) if got == MAX_STORED_KEY_BYTES));
    }

    #[test]
    fn a_value_without_its_checksum_is_corrupt() {
        let dir = tempfile::tempdir().unwrap();
        let index = DiskIndex::open(dir.path()).unwrap();
        fill(&index);
        let key = stored_key(Space::State, &7_u16.to_be_bytes());
        let sound = index.entries.get(&key).unwrap().unwrap().to_vec();
        let elsewhere = index.entries.get(stored_key(Space::State, &8_u16.to_be_bytes())).unwrap().unwrap();
        let flips = (0..sound.len()).map(|position| {
            let mut flipped = sound.clone();
            flipped[position] ^= 4;
            flipped
        });
        let cuts = (0..sound.len()).map(|len| sound[..len].to_vec());
        for bad in flips.chain(cuts).chain([elsewhere.to_vec()]) {
            index.entries.insert(&key, bad).unwrap();
            let is_named = |error| matches!(error, IndexError::Corrupt { space: Space::State, key } if key == 7_u16.to_be_bytes());
            assert!(index.get(Space::State, &7_u16.to_be_bytes()).is_err_and(is_named));
            assert!(all(&index, Space::State).is_err_and(is_named));
            assert!(index.last(Space::State, &7_u16.to_be_bytes(), None).is_err_and(is_named));
        }
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
        }
        files
    }

    fn flip(path: &Path, position: u64) {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, position).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], position).unwrap();
    }

    /// A few positions all over a file, or the start of it.
    fn sample(file: &Path) -> impl Iterator<Item = u64> + use<> {
        let len = fs::metadata(file).unwrap().len().min(10_000);
        (0..len).step_by((len as usize / 8).max(1))
    }

    fn read_everything(path: &Path) -> Result<(), IndexError> {
        let index = DiskIndex::open(path)?;
        assert_eq!(all(&index, Space::State)?, expected());
        for (key, value) in expected() {
            assert_eq!(index.get(Space::State, &key)?, Some(value));
        }
        Ok(())
    }

    #[test]
    fn a_flipped_byte_of_a_closed_index_is_noticed_and_a_rebuild_cures_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let index = DiskIndex::open(&path).unwrap();
        fill(&index);
        index.entries.rotate_memtable_and_wait().unwrap(); // so that there is a table
        drop(index);
        let is_table = |file: &PathBuf| file.parent().unwrap().ends_with("tables");
        let (tables, own): (Vec<_>, Vec<_>) = files(&path).into_iter().partition(is_table);
        assert!(!tables.is_empty());
        for file in own {
            for position in sample(&file) {
                flip(&file, position);
                assert!(matches!(read_everything(&path), Err(IndexError::NotAsClosed)), "{}", file.display());
                flip(&file, position);
            }
        }
        // Some bytes of a table mean nothing; `read_everything` sees to it that no wrong value is returned.
        let mut noticed = 0;
        for file in tables {
            for position in sample(&file) {
                flip(&file, position);
                if let Err(error) = read_everything(&path) {
                    assert!(error.needs_rebuild(), "{error}");
                    noticed += 1;
                }
                flip(&file, position);
            }
        }
        assert!(noticed > 0);
        read_everything(&path).unwrap();
        flip(&path.join("fjall/version"), 0);
        read_everything(&path).unwrap_err();
        fill(&DiskIndex::create_anew(&path).unwrap());
        read_everything(&path).unwrap();
    }

    #[test]
    fn an_index_of_which_a_crash_left_some_files_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        drop(DiskIndex::open(&whole).unwrap());
        for file in ["lock", "0.jnl", "version", "keyspaces/0/v0", "keyspaces/0/current"] {
            let path = dir.path().join("index");
            let left = path.join("fjall").join(file);
            fs::create_dir_all(left.parent().unwrap()).unwrap();
            fs::copy(whole.join("fjall").join(file), left).unwrap();
            match DiskIndex::open(&path) {
                Ok(index) => assert_eq!(all(&index, Space::State).unwrap(), [], "{file}"),
                Err(error) => {
                    assert!(error.needs_rebuild(), "{file}: {error}");
                    fill(&DiskIndex::create_anew(&path).unwrap());
                }
            }
            fs::remove_dir_all(path).unwrap();
        }
    }

    #[test]
    fn an_index_that_was_not_closed_is_recovered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let index = DiskIndex::open(&path).unwrap();
        fill(&index);
        // What a crash leaves: the files as they are now, and no seal.
        let crashed = dir.path().join("crashed");
        for file in files(&path) {
            let copy = crashed.join(file.strip_prefix(&path).unwrap());
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(&file, copy).unwrap();
        }
        assert!(!crashed.join("SEAL").exists());
        read_everything(&crashed).unwrap();
    }
}
