//! What a block log could not do, told apart by what an operator must do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::MAX_PAYLOAD_BYTES;
use crate::atomic_io::AtomicIoError;
use crate::ids::Height;

/// A failure of the block log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A block whose height does not follow the last one's.
    #[error("block of height {got}: the next height is {expected}")]
    HeightOutOfOrder {
        /// Height that was to be appended.
        got: Height,
        /// The height that follows.
        expected: Height,
    },
    /// A payload that no frame may hold.
    #[error("block of {got} bytes: at most {MAX_PAYLOAD_BYTES} are allowed")]
    PayloadTooLarge {
        /// Its length in bytes.
        got: usize,
    },
    /// An offset where no block starts.
    #[error("no block starts at offset {offset}")]
    NoSuchOffset {
        /// The offset.
        offset: u64,
    },
    /// Bytes that are not what was once written.
    #[error("{} is corrupt at offset {offset}{}: {reason}", file.display(), at_height(*height))]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// Height of the block there, where it is known.
        height: Option<Height>,
        /// What is wrong.
        reason: Damage,
    },
    /// A log written by another version of this program.
    #[error("{} has format version {got}: this program reads version {expected}", file.display())]
    UnknownVersion {
        /// The file.
        file: PathBuf,
        /// Its version.
        got: u32,
        /// The version that is read here.
        expected: u32,
    },
    /// The medium could not promise that a block is durable. The log takes no more blocks.
    #[error("syncing {} failed: {source}", file.display())]
    Fsync {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The medium is full. The log takes no more blocks.
    #[error("no space left to write {}: {source}", file.display())]
    NoSpace {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write or sync failed; open the log anew.
    #[error("{} takes no more blocks: an earlier write failed", file.display())]
    Poisoned {
        /// The file.
        file: PathBuf,
    },
    /// Any other failure of the medium.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What is wrong with bytes of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file does not start as a log does, or its parameters do not have their checksum.
    #[error("damaged file header")]
    FileHeader,
    /// A frame's magic number or header checksum is wrong.
    #[error("damaged frame header")]
    FrameHeader,
    /// A payload does not have its checksum.
    #[error("damaged payload")]
    Payload,
    /// A sound frame whose height does not follow the one before.
    #[error("the block here has height {got}")]
    HeightOutOfOrder {
        /// The height that the frame states.
        got: Height,
    },
    /// The file ends inside a frame.
    #[error("the file ends inside a block")]
    Truncated,
    /// The file is not as long as when it was closed.
    #[error("the file has {got} bytes: it was closed with {expected}")]
    Length {
        /// Length of the file.
        got: u64,
        /// Length at closing.
        expected: u64,
    },
    /// The last block is not the one with which the log was closed.
    #[error("the last block is not the one with which the log was closed")]
    Tip,
    /// The file ends here or is not there at all, or has another block here, though the chain had more.
    #[error("blocks from here to height {tip} at least are lost")]
    Lost {
        /// Height of the last block that is known of.
        tip: Height,
    },
    /// The marker of a clean close does not have its checksum.
    #[error("damaged marker")]
    Marker,
}

fn at_height(height: Option<Height>) -> String {
    height.map(|height| format!(" (height {height})")).unwrap_or_default()
}

impl LogError {
    /// Tells a full medium from other failures.
    pub(super) fn io(file: &Path, source: io::Error) -> Self {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { file, source },
            _ => Self::Io { file, source },
        }
    }

    /// The same for a file that is replaced as a whole.
    pub(super) fn atomic(file: &Path, error: AtomicIoError) -> Self {
        match error {
            AtomicIoError::Io(source) => Self::io(file, source),
            AtomicIoError::Fsync(source) => Self::Fsync { file: file.to_owned(), source },
            AtomicIoError::NoParentDir(file) => Self::Io { file, source: io::ErrorKind::InvalidInput.into() },
        }
    }
}
