//! The note `CLEAN` beside a log file: how the log was left at a clean close.
//!
//! While it is there, every byte of the log must be as it was; without it, the last block may have been cut
//! short by a crash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Damage, LogError};
use crate::atomic_io::{AtomicIoError, atomic_write, sync_dir};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::ids::{BlockHash, Height};

/// How a log was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanMarker {
    /// Length of the log file in bytes.
    pub log_len: u64,
    /// Height of the last block.
    pub tip: Height,
    /// Hash of the last block.
    pub tip_hash: BlockHash,
}

pub const FILE_NAME: &str = "CLEAN";
const MAGIC: [u8; 8] = *b"TCCLEAN\n";

/// magic, log length, height, hash, crc32c of all before.
impl Encode for CleanMarker {
    fn encode(&self, writer: &mut Writer) {
        writer.raw(&MAGIC);
        writer.u64(self.log_len);
        writer.u64(self.tip.0);
        self.tip_hash.encode(writer);
        writer.u32(crc32c::crc32c(writer.as_bytes()));
    }
}

impl CleanMarker {
    fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.array()?;
        let marker = Self {
            log_len: reader.u64()?,
            tip: Height(reader.u64()?),
            tip_hash: BlockHash::decode(&mut reader)?,
        };
        reader.u32()?;
        reader.finish()?;
        // One encoding per marker: the checksum and the magic are right if and only if the bytes come back.
        if magic != MAGIC || marker.to_bytes() != bytes {
            return Err(DecodeError::Invalid { what: "marker" });
        }
        Ok(marker)
    }

    /// The marker of a log in `dir`; `None` where there is none.
    ///
    /// # Errors
    /// A damaged marker; a failure of the medium.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, LogError> {
        let file = path(dir);
        match fs::read(&file) {
            Ok(bytes) => match Self::parse(&bytes) {
                Ok(marker) => Ok(Some(marker)),
                Err(_) => Err(LogError::Corrupt { file, offset: 0, height: None, reason: Damage::Marker }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io(&file, error)),
        }
    }

    /// Leaves the marker in `dir`, durably.
    ///
    /// # Errors
    /// A failure of the medium.
    pub(super) fn write(&self, dir: &Path) -> Result<(), LogError> {
        let file = path(dir);
        atomic_write(&file, &self.to_bytes()).map_err(|error| LogError::atomic(&file, error))
    }

    /// Takes the marker away, durably.
    ///
    /// # Errors
    /// A failure of the medium.
    pub(super) fn remove(dir: &Path) -> Result<(), LogError> {
        let file = path(dir);
        let removed = fs::remove_file(&file).map_err(AtomicIoError::from);
        removed.and_then(|()| sync_dir(dir)).map_err(|error| LogError::atomic(&file, error))
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}
