//! The end of a Raft log whose last write a power loss cut short.
//!
//! A disk writes sectors in any order, so of a write that was never confirmed the end can be there and the middle not.
//! The library takes away a record that is cut short, or of which nothing is there, and calls all else damage. What tells
//! the two apart is that a sector that never came is all zeros. The first of them lies in the first bad record, and nothing
//! behind it was ever confirmed: a sync covers all that was written before. Zeros elsewhere are somebody's value, so a
//! damaged record is taken for a torn one only where it holds a whole sector of them itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use raft_log::codeq::Span;
use raft_log::{ChunkId, Config, Dump, DumpApi};

use super::log_record::{HEAD_BYTES, Head};
use super::log_store::LogTypes;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Zeros that an entry begins with: of its kind. A vote, whose kind is 0, may have those of its term besides.
const ZEROS_OF_AN_ENTRY: usize = 3;
const ZEROS_OF_A_VOTE: usize = 4 + 7;
/// What the library writes before the payload of an entry, kind and place, and behind it, a checksum.
const BEFORE_PAYLOAD: usize = 4 + 16;
const AFTER_PAYLOAD: usize = 8;
/// Most bytes of a record that is no entry's: a vote, a place, the state.
const SMALL_RECORD: usize = 128;

/// Takes a torn tail away from a log that could not be opened. Whether there was one.
///
/// # Errors
/// A medium that fails.
pub(super) fn cut(config: &Arc<Config>) -> io::Result<bool> {
    let mut newest = None;
    let mut bad: Option<(ChunkId, u64)> = None;
    let mut end = 0;
    Dump::<LogTypes>::new(Arc::clone(config))?.write_with(|chunk, _, record| {
        if newest != Some(chunk) {
            (newest, end) = (Some(chunk), 0);
        }
        match record {
            Ok((segment, _)) => end = segment.end().0,
            Err(_) => bad = bad.or(Some((chunk, end))),
        }
        Ok(())
    })?;
    // What lies in front of another file was synced before that was begun.
    let Some((chunk, start)) = bad.filter(|(chunk, _)| newest == Some(*chunk)) else { return Ok(false) };
    let file = OpenOptions::new().read(true).write(true).open(config.wal.chunk_path(chunk))?;
    if !has_hole(&file, start)? {
        return Ok(false);
    }
    file.set_len(start)?;
    file.sync_all()?;
    Ok(true)
}

/// Whether a sector was never written, of those in which the record is that begins here.
fn has_hole(file: &File, start: u64) -> io::Result<bool> {
    let (record, zeros) = match entry_len(file, start)? {
        Some(entry) => (entry, ZEROS_OF_AN_ENTRY),
        None => (SMALL_RECORD, ZEROS_OF_A_VOTE),
    };
    let len = file.metadata()?.len();
    let end = len.min(start + record as u64);
    let (mut at, mut sector) = (start, [0; SECTOR]);
    while at < end {
        let piece = (SECTOR as u64 - at % SECTOR as u64).min(len - at) as usize;
        file.read_exact_at(&mut sector[..piece], at)?;
        let says_something = at > start || piece > zeros;
        if says_something && sector[..piece].iter().all(|&byte| byte == 0) {
            return Ok(true);
        }
        at += piece as u64;
    }
    Ok(false)
}

/// Length of the entry that begins here, as its head says; `None` where there is no sound head.
fn entry_len(file: &File, start: u64) -> io::Result<Option<usize>> {
    let mut head = [0; HEAD_BYTES];
    let head = match file.read_exact_at(&mut head, start + BEFORE_PAYLOAD as u64) {
        Ok(()) => Head::read(&head)?,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Err(error) => return Err(error),
    };
    Ok(head.map(|head| BEFORE_PAYLOAD + HEAD_BYTES + head.len + AFTER_PAYLOAD))
}
