//! What becomes of a log whose medium fails: told apart by cause, poisoned, and nothing acknowledged lost.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use super::file::Medium;
use super::reader::FILE_NAME;
use super::{BlockLog, FileLog, LogError};
use crate::ids::{BlockHash, Height};

/// A file whose next operation of one kind fails; a failing write leaves half of its bytes.
#[derive(Debug)]
struct Failing {
    file: File,
    write: Option<io::ErrorKind>,
    sync: Option<io::ErrorKind>,
}

impl Medium for Failing {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(&self.file, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let len = if self.write.is_some() { bytes.len() / 2 } else { bytes.len() };
        FileExt::write_all_at(&self.file, &bytes[..len], offset)?;
        self.write.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

/// Appends to a log of one block on a failing medium, checks that the log is poisoned and that the block is
/// not part of it, and returns the error.
fn failed_append(write: Option<io::ErrorKind>, sync: Option<io::ErrorKind>) -> (LogError, u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = FileLog::create(dir.path(), b"").unwrap();
    let first = log.append(Height(0), b"first").unwrap();
    let path = dir.path().join(FILE_NAME);
    let end = log.end();
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    log.medium = Box::new(Failing { file, write, sync });
    let error = log.append(Height(1), &[1; 500]).unwrap_err();

    assert!(matches!(log.append(Height(1), b"x"), Err(LogError::Poisoned { .. })), "nothing is retried");
    assert!(matches!(log.close(BlockHash([7; 32])), Err(LogError::Poisoned { .. })), "no clean close");
    assert_eq!((log.end(), log.tip()), (end, Some(Height(0))));
    assert_eq!(log.read(first).unwrap().payload, b"first", "what was acknowledged is still there");
    drop(log);
    let left_over = fs::metadata(&path).unwrap().len() - end;
    assert!(FileLog::open(dir.path()).unwrap().0.tip() >= Some(Height(0)));
    (error, left_over)
}

#[test]
fn a_full_medium_is_told_apart_and_leaves_no_partial_block() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        let (error, left_over) = failed_append(Some(kind), None);
        assert!(matches!(error, LogError::NoSpace { .. }), "{error}");
        assert_eq!(left_over, 0);
    }
}

#[test]
fn a_failed_write_leaves_no_partial_block() {
    let (error, left_over) = failed_append(Some(io::ErrorKind::Other), None);
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    assert_eq!(left_over, 0);
}

#[test]
fn a_failed_sync_is_told_apart_even_when_the_medium_is_full() {
    for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
        let (error, _) = failed_append(None, Some(kind));
        assert!(matches!(error, LogError::Fsync { .. }), "{error}");
    }
}
