//! The block log: an append-only list of blocks, the one truth of a chain.
//!
//! A log starts with the parameters its chain was made with and holds one frame a block, heights ascending by
//! one from genesis. What a frame holds is opaque here. On disk every byte is covered by a checksum.

#[cfg(test)]
mod damage_tests;
mod error;
#[cfg(test)]
mod failure_tests;
mod file;
mod frame;
mod marker;
mod memory;
mod reader;

use std::fmt::Debug;
use std::ops::Range;

pub use error::{Damage, LogError};
pub use file::{FileLog, TornTail};
pub use marker::CleanMarker;
pub(crate) use marker::FILE_NAME as MARKER_FILE_NAME;
pub use memory::MemoryLog;
pub use reader::{FILE_NAME as LOG_FILE_NAME, Frames, LogReader, Tail};

use crate::ids::{BlockHash, Height};

/// Most bytes of one payload.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// Most bytes of a chain's parameters.
pub const MAX_PARAMS_BYTES: usize = 64 << 10;

/// One block of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where it starts: the name by which [`BlockLog::read`] finds it.
    pub offset: u64,
    /// Where the next one starts.
    pub end: u64,
    /// Its height.
    pub height: Height,
    /// The block's canonical bytes.
    pub payload: Vec<u8>,
}

/// Blocks of which parts can be read.
pub trait BlockBytes: Debug + Send + Sync {
    /// Bytes of the payload of the block at an offset. They are not held against the block's checksum: whoever asks
    /// for a part knows the checksum of that.
    ///
    /// # Errors
    /// A range that is not in the log; a failure of the medium.
    fn read_part(&self, offset: u64, range: Range<u32>) -> Result<Vec<u8>, LogError>;
}

/// An append-only list of blocks. Reading and appending may happen at once.
pub trait BlockLog: BlockBytes {
    /// The parameters given when the log was made.
    fn params(&self) -> &[u8];

    /// Appends a block and returns its offset. When this returns, the block is durable as far as the medium
    /// can promise. After a failed write or sync the log takes no more blocks: nothing is retried.
    ///
    /// # Errors
    /// A height that does not follow, a payload over [`MAX_PAYLOAD_BYTES`], a failure of the medium. Where
    /// this fails the block is not part of the log.
    fn append(&self, height: Height, payload: &[u8]) -> Result<u64, LogError>;

    /// As [`append`](Self::append), but the block is durable only after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn append_unsynced(&self, height: Height, payload: &[u8]) -> Result<u64, LogError>;

    /// Makes every block durable that was appended so far.
    ///
    /// # Errors
    /// An earlier failed write; a failure of the medium, after which the log takes no more blocks.
    fn sync(&self) -> Result<(), LogError>;

    /// The block at an offset.
    ///
    /// # Errors
    /// An offset where no block starts; corruption; a failure of the medium.
    fn read(&self, offset: u64) -> Result<Frame, LogError>;

    /// Where the first block starts, or would.
    fn start(&self) -> u64;

    /// Where the next block will start. On disk: the length of the log in bytes.
    fn end(&self) -> u64;

    /// Height of the last block; `None` before genesis.
    fn tip(&self) -> Option<Height>;

    /// Notes that the log was left in good order, with the hash of its last block. The next append takes the
    /// note back.
    ///
    /// # Errors
    /// An earlier failed append; a failure of the medium.
    fn close(&self, tip_hash: BlockHash) -> Result<(), LogError>;
}

/// The blocks of a log from an offset on, up to the end the log had when this was made. Ends after an error.
#[derive(Debug)]
pub struct Scan<'l> {
    log: &'l dyn BlockLog,
    next: u64,
    end: u64,
}

impl<'l> Scan<'l> {
    /// The blocks from `from` on, where a block must start.
    #[must_use]
    pub fn new(log: &'l dyn BlockLog, from: u64) -> Self {
        Self { log, next: from, end: log.end() }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Frame, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let frame = self.log.read(self.next);
        self.next = frame.as_ref().map_or(self.end, |frame| frame.end);
        Some(frame)
    }
}
