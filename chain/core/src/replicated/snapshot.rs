//! The part of the state that no block holds, as a stream of bytes; with the blocks it is everything `apply` reads.
//!
//! ```text
//! header   format, position in the log, membership, what is final, tip
//! rows     each: length of the key, length of the value, key, value      (two u32 and the bytes)
//! end      a row without a key
//! digest   SHA-256 of all before it
//! ```
//!
//! Blocks are not copied: they are immutable, so the length of the block log at that moment stands for them.
//! Installing replays those that are missing. It may be cut short at any point and begun again.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::apply::applied_op;
use super::chain::{MEMBERSHIP, ReplicatedChain};
use super::entry::LogPosition;
use super::finality::Finality;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::error::ChainError;
use crate::ids::{BlockHash, Height};
use crate::index::{IndexOp, Space};
use crate::log::{LogError, LogReader};
use crate::store::{self, StoreError};

const FORMAT: u16 = 3;
/// Bytes of the digest with which a snapshot ends: no two snapshots have the same.
pub const SNAPSHOT_DIGEST_BYTES: usize = 32;
/// Most bytes of a header, a key or a value.
const MAX_PART_BYTES: u32 = 1 << 20;
/// Rows that are written to the index at once.
const ROWS_AT_ONCE: usize = 4_096;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The entry that was applied last; `None` before the first.
    pub position: Option<LogPosition>,
    /// The membership that was applied last.
    pub membership: Vec<u8>,
    /// What the voters have signed.
    pub finality: Finality,
    /// The tip; `None` before the chain begins.
    pub tip: Option<SnapshotTip>,
}

/// The tip of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotTip {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Length of the block log with the tip as its last block.
    pub log_len: u64,
}

/// Why a snapshot could not be written or installed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The chain could not be read, written or extended by the snapshot's blocks.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The snapshot could not be read or written.
    #[error("snapshot: {0}")]
    Io(#[from] io::Error),
    /// Its header cannot be read.
    #[error("header of the snapshot: {0}")]
    Header(#[from] DecodeError),
    /// A part of it is longer than any can be.
    #[error("a part of the snapshot has {got} bytes, at most {MAX_PART_BYTES} are allowed")]
    TooLong {
        /// Its stated length.
        got: u32,
    },
    /// Its bytes do not have its digest.
    #[error("the snapshot does not have its digest")]
    Digest,
    /// The blocks that came with it do not lead to its tip.
    #[error("the blocks lead to {got:?}, the snapshot is of {expected}")]
    Tip {
        /// The tip of the snapshot.
        expected: BlockHash,
        /// The block at its height.
        got: Option<BlockHash>,
    },
}

impl From<StoreError> for SnapshotError {
    fn from(error: StoreError) -> Self {
        Self::Chain(error.into())
    }
}

impl From<LogError> for SnapshotError {
    fn from(error: LogError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<crate::index::IndexError> for SnapshotError {
    fn from(error: crate::index::IndexError) -> Self {
        StoreError::from(error).into()
    }
}

impl SnapshotHeader {
    /// Reads the header from the start of a snapshot.
    ///
    /// # Errors
    /// Bytes that are no header; a reader that fails.
    pub fn read(mut snapshot: impl Read) -> Result<Self, SnapshotError> {
        Ok(Self::from_bytes(&read_part(&mut snapshot)?)?)
    }

    /// Reads a whole snapshot and nothing behind it, checks its digest, and returns its header.
    ///
    /// # Errors
    /// Bytes that are no snapshot; a reader that fails.
    pub fn check(snapshot: impl Read) -> Result<Self, SnapshotError> {
        let mut snapshot = Digesting { inner: snapshot, digest: Sha256::new() };
        let header = Self::read(&mut snapshot)?;
        read_rows(snapshot, |_, _| Ok(()))?;
        Ok(header)
    }
}

impl SnapshotTip {
    /// Checks that the block log in a directory is whole, has this length, and has this tip as its last block.
    ///
    /// # Errors
    /// A log that is damaged, longer or shorter, or ends with another block.
    pub fn check_blocks(&self, dir: &Path) -> Result<(), SnapshotError> {
        let log = LogReader::open_read_only(dir)?;
        let (mut frames, mut last) = (log.frames(), None);
        for frame in &mut frames {
            last = Some(frame?);
        }
        let hash = last.as_ref().map(store::decode).transpose()?.map(|block| block.hash());
        let end = last.as_ref().map(|frame| (frame.height, frame.end));
        match (hash == Some(self.hash) && end == Some((self.height, self.log_len)), frames.tail()) {
            (true, None) => Ok(()),
            _ => Err(SnapshotError::Tip { expected: self.hash, got: hash }),
        }
    }
}

impl ReplicatedChain {
    /// Writes what the entries applied so far have led to, without the blocks. No entry is applied meanwhile.
    ///
    /// # Errors
    /// A chain that cannot be read; a writer that fails.
    pub fn write_snapshot(&self, out: impl Write) -> Result<SnapshotHeader, SnapshotError> {
        let store = self.chain().store();
        let position = self.applied()?;
        let tip = self.chain().ledger().ok().map(|ledger| ledger.tip());
        let tip = tip.map(|tip| {
            let log_len = store.end_of(tip.height)?;
            Ok::<_, StoreError>(SnapshotTip { height: tip.height, hash: tip.hash, log_len })
        });
        let membership = self.membership()?.unwrap_or_default();
        let header =
            SnapshotHeader { position, membership, finality: self.finality(), tip: tip.transpose()? };
        let mut out = Digesting { inner: out, digest: Sha256::new() };
        write_part(&mut out, &header.to_bytes())?;
        let mut written = Ok(());
        store.index().scan(Space::Sessions, &[], None, &mut |key, value| {
            written = write_part(&mut out, key).and_then(|()| write_part(&mut out, value));
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written?;
        write_part(&mut out, &[])?;
        let Digesting { mut inner, digest } = out;
        inner.write_all(&digest.finalize())?;
        inner.flush()?;
        Ok(header)
    }

    /// Brings the chain to the state of a snapshot that lies ahead of it. `blocks` is a directory with a block log
    /// that reaches at least to the snapshot's tip; without it the chain's own log must. When this returns, the state
    /// is durable.
    ///
    /// # Errors
    /// A snapshot or a block that is damaged or does not follow from the chain. Calling this again with a sound
    /// snapshot goes on where it ended; until then no entry may be applied.
    pub fn install_snapshot(
        &self,
        snapshot: impl Read,
        blocks: Option<&Path>,
    ) -> Result<SnapshotHeader, SnapshotError> {
        let mut snapshot = Digesting { inner: snapshot, digest: Sha256::new() };
        let header = SnapshotHeader::read(&mut snapshot)?;
        if let Some(tip) = header.tip {
            self.compare_with(&header)?;
            self.replay_to(tip, blocks)?;
        }
        let store = self.chain().store();
        store.clear_space(Space::Sessions)?;
        let mut ops = Vec::new();
        read_rows(snapshot, |key, value| {
            ops.push(IndexOp::put(Space::Sessions, key, value));
            match ops.len() {
                ..ROWS_AT_ONCE => Ok(()),
                _ => Ok(store.write(std::mem::take(&mut ops))?),
            }
        })?;
        ops.push(IndexOp::put(Space::Meta, MEMBERSHIP.to_vec(), header.membership.clone()));
        ops.extend(header.position.map(applied_op));
        self.write_finality(header.finality.clone(), ops)?;
        self.sync()?;
        Ok(header)
    }

    /// Whether what is final already is what is here, as far as the chain goes: a chain that is another one must not
    /// be continued.
    fn compare_with(&self, header: &SnapshotHeader) -> Result<(), ChainError> {
        let Some(finalized) = header.finality.finalized() else { return Ok(()) };
        match self.chain().ledger() {
            Ok(ledger) if ledger.tip().height >= finalized.height => self.compare(finalized),
            _ => Ok(()),
        }
    }

    /// Appends the blocks above the present tip up to the given one.
    fn replay_to(&self, tip: SnapshotTip, blocks: Option<&Path>) -> Result<(), SnapshotError> {
        match blocks {
            Some(dir) => {
                let log = LogReader::open_read_only(dir)?;
                let params = Decode::from_bytes(log.params()).map_err(StoreError::Params)?;
                let mut frames = log.frames();
                for frame in &mut frames {
                    let block = store::decode(&frame?)?;
                    if block.header.height > tip.height {
                        break;
                    }
                    match self.chain().ledger() {
                        Err(_) => self.begin(&params, &block.stamp())?,
                        Ok(ledger) if block.header.height > ledger.tip().height => {
                            ledger.append_replicated(&block)?;
                        }
                        Ok(_) => {}
                    }
                }
            }
            None => {
                let ledger = self.chain().ledger()?;
                let next = self.chain().store().end_of(ledger.tip().height)?;
                for block in self.chain().store().blocks_from(next) {
                    let (_, block) = block?;
                    if block.header.height > tip.height {
                        break;
                    }
                    ledger.append_replicated(&block)?;
                }
            }
        }
        let block = self.chain().store().block(tip.height)?;
        match block.map(|block| block.hash()) {
            Some(hash) if hash == tip.hash => Ok(()),
            got => Err(SnapshotError::Tip { expected: tip.hash, got }),
        }
    }
}

/// A reader or writer whose bytes are digested on the way.
struct Digesting<T> {
    inner: T,
    digest: Sha256,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

/// Reads what follows the header: the rows, and the digest, which must be that of all before it.
fn read_rows(
    mut snapshot: Digesting<impl Read>,
    mut each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    loop {
        let key = read_part(&mut snapshot)?;
        if key.is_empty() {
            break;
        }
        let value = read_part(&mut snapshot)?;
        each(key, value)?;
    }
    let Digesting { mut inner, digest } = snapshot;
    let mut stated = [0; SNAPSHOT_DIGEST_BYTES];
    inner.read_exact(&mut stated)?;
    match stated == <[u8; SNAPSHOT_DIGEST_BYTES]>::from(digest.finalize()) {
        true => Ok(()),
        false => Err(SnapshotError::Digest),
    }
}

fn write_part(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    // What could not be read again must not replace what can.
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= MAX_PART_BYTES);
    let len = len.ok_or_else(|| io::Error::other(format!("a part of {} bytes", bytes.len())))?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(bytes)
}

fn read_part(from: &mut impl Read) -> Result<Vec<u8>, SnapshotError> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let got = u32::from_le_bytes(len);
    if got > MAX_PART_BYTES {
        return Err(SnapshotError::TooLong { got });
    }
    let mut bytes = vec![0; got as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Encode for SnapshotHeader {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(FORMAT);
        writer.bool(self.position.is_some());
        if let Some(position) = self.position {
            position.encode(writer);
        }
        writer.bytes(&self.membership);
        self.finality.encode(writer);
        writer.bool(self.tip.is_some());
        if let Some(SnapshotTip { height, hash, log_len }) = self.tip {
            height.encode(writer);
            hash.encode(writer);
            writer.varint(log_len);
        }
    }
}

impl Decode for SnapshotHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u16()? != FORMAT {
            return Err(DecodeError::Invalid { what: "snapshot format: it is another version's" });
        }
        let position = match reader.bool()? {
            true => Some(LogPosition::decode(reader)?),
            false => None,
        };
        let membership = reader.bytes()?.to_vec();
        let finality = Finality::decode(reader)?;
        let tip = match reader.bool()? {
            true => Some(SnapshotTip {
                height: Height::decode(reader)?,
                hash: BlockHash::decode(reader)?,
                log_len: reader.varint()?,
            }),
            false => None,
        };
        Ok(Self { position, membership, finality, tip })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_that_could_not_be_read_again() {
        let longest = vec![7; MAX_PART_BYTES as usize];
        let mut written = Vec::new();
        write_part(&mut written, &longest).unwrap();
        assert_eq!(read_part(&mut written.as_slice()).unwrap(), longest);
        write_part(&mut written, &[&longest[..], &[7]].concat()).unwrap_err();
        assert_eq!(written.len(), 4 + longest.len());
    }
}
