//! A chain's data directory: who may use it, and what is where.
//!
//! ```text
//! LOCK           held, exclusively, while the directory is open
//! FORMAT         version of this layout
//! identity.key   the node's key pair, for its owner only
//! blocks.log     the chain; CLEAN beside it while it is cleanly closed
//! index/         rebuilt from blocks.log where missing or damaged
//! REPLICATED     in the directory of a cluster's node only, as are raft/ and snapshot/
//! QUARANTINE     there if its chain is not the cluster's: why it must not be used any more
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic_io::{AtomicIoError, atomic_write, settle_dir, sweep_orphans};
use crate::log::{LOG_FILE_NAME, MARKER_FILE_NAME};

/// Content of the file `FORMAT`.
const FORMAT: &str = "tensor-chain data directory, format 1\n";
const INDEX: &str = "index";

/// An open data directory. No other process, and nobody else in this one, can open it until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Somebody has it open.
    #[error("{} is in use by another process or another part of this one", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A layout that this program does not know.
    #[error("{} has the unknown format {got:?}", dir.display())]
    UnknownFormat {
        /// The directory.
        dir: PathBuf,
        /// Start of the content of its file `FORMAT`; empty where a directory with other files has none.
        got: String,
    },
    /// A failure of the medium.
    #[error("{}: {source}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What went wrong.
        source: AtomicIoError,
    },
}

impl DataDir {
    /// Opens a directory, or makes one. Temporary files that a crash left are removed.
    ///
    /// # Errors
    /// A directory that is in use, has an unknown format, or holds files of something else; a failure of the
    /// medium.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DirError> {
        let path = path.as_ref();
        let fail = |source| DirError::Io { dir: path.to_owned(), source };
        settle_dir(path).map_err(fail)?;
        let lock = lock(path)?;
        check_format(path)?;
        let removed = sweep_orphans(path).map_err(fail)?;
        if removed > 0 {
            tracing::warn!(dir = %path.display(), removed, "removed temporary files that a crash left");
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory: what the block log is opened with.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the key pair is.
    #[must_use]
    pub fn identity_path(&self) -> PathBuf {
        self.path.join("identity.key")
    }

    /// A file that is there if the chain is a cluster's.
    #[must_use]
    pub fn replicated_path(&self) -> PathBuf {
        self.path.join("REPLICATED")
    }

    /// A file that is there if the cluster's voters have signed another chain.
    #[must_use]
    pub fn quarantine_path(&self) -> PathBuf {
        self.path.join("QUARANTINE")
    }

    /// Where the index is.
    #[must_use]
    pub fn index_path(&self) -> PathBuf {
        self.path.join(INDEX)
    }
}

/// Whether a directory holds a chain, or something that is left of one: its log, the marker that it was closed, its index.
#[must_use]
pub fn holds_chain(path: impl AsRef<Path>) -> bool {
    [LOG_FILE_NAME, MARKER_FILE_NAME, INDEX].iter().any(|name| path.as_ref().join(name).exists())
}

fn lock(path: &Path) -> Result<File, DirError> {
    let fail = |error: io::Error| DirError::Io { dir: path.to_owned(), source: error.into() };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path.join("LOCK"));
    let file = file.map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DirError::Locked { dir: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(fail(error)),
    }
}

/// Reads `FORMAT`, or writes it where the directory holds nothing but the lock.
fn check_format(path: &Path) -> Result<(), DirError> {
    let fail = |source| DirError::Io { dir: path.to_owned(), source };
    let unknown = |got| Err(DirError::UnknownFormat { dir: path.to_owned(), got });
    let file = path.join("FORMAT");
    match fs::read(&file) {
        Ok(content) if content == FORMAT.as_bytes() => Ok(()),
        Ok(content) => unknown(String::from_utf8_lossy(&content).chars().take(80).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if holds_other_files(path).map_err(|error| fail(error.into()))? {
                return unknown(String::new());
            }
            atomic_write(&file, FORMAT.as_bytes()).map_err(fail)
        }
        Err(error) => Err(fail(error.into())),
    }
}

/// Whether anything but the lock and what a crash left of writing `FORMAT` is there.
fn holds_other_files(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != "LOCK" && !name.to_string_lossy().starts_with(".FORMAT.tmp.") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_opened_by_one_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(DirError::Locked { .. })));
        drop(dir);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn another_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        let sound = fs::read(dir.path().join("FORMAT")).unwrap();
        for position in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[position] ^= 1;
            fs::write(dir.path().join("FORMAT"), &flipped).unwrap();
            let got = String::from_utf8(flipped).unwrap();
            let refused = DataDir::open(dir.path()).unwrap_err();
            assert!(matches!(refused, DirError::UnknownFormat { got: named, .. } if named == got));
        }
    }

    #[test]
    fn a_directory_of_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), b"").unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DirError::UnknownFormat { .. })));
        assert!(!dir.path().join("FORMAT").exists());
    }

    #[test]
    fn what_a_crash_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        // The very first opening was cut short, and then a later one.
        let uuid = "6f8a3a46-9d0c-4c31-9f57-0d5b8e4c2a11";
        fs::write(dir.path().join(format!(".FORMAT.tmp.{uuid}")), b"tensor").unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        fs::write(dir.path().join(format!(".CLEAN.tmp.{uuid}")), b"half").unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["FORMAT", "LOCK"]);
    }
}
