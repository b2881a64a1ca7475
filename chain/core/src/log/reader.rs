//! Reads a log file from front to back and judges its end, without ever writing.
//!
//! A block is appended by one write that is synced before the next begins, so a crash can leave at most the last
//! block incomplete. Hence the rule: a bad piece with a sound frame header anywhere behind it is corruption; a
//! bad piece at the very end is a torn tail. Beside a marker of a clean close every bad byte is corruption.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{
    CRC_BYTES, FILE_PREFIX_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, VERSION, parse_file_prefix,
    start_of_part,
};
use super::{BlockBytes, CleanMarker, Damage, Frame, LogError};
use crate::ids::Height;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 18;
/// Bytes that are searched for a frame at a time.
const SEARCH_BYTES: usize = 1 << 18;

/// Name of the log file in its directory.
pub const FILE_NAME: &str = "blocks.log";

/// A log file opened for reading alone: needs no lock and changes nothing.
#[derive(Debug)]
pub struct LogReader {
    file: File,
    path: PathBuf,
    params: Vec<u8>,
    start: u64,
    end: u64,
    marker: Option<CleanMarker>,
    /// Bytes that are known to have been durable, where that is known.
    synced: Option<u64>,
}

/// The end of a log that was not closed: bytes behind the last sound block that are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Where the last sound block ends.
    pub offset: u64,
    /// Bytes behind it.
    pub bytes: u64,
}

impl LogReader {
    /// Opens the log in a directory at its present length.
    ///
    /// # Errors
    /// A damaged file header or marker; a marker without a log; a format version that is not read here; a failure of
    /// the medium.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Self, LogError> {
        let dir = dir.as_ref();
        let path = dir.join(FILE_NAME);
        let marker = CleanMarker::read(dir)?;
        let file = File::open(&path).map_err(|error| match marker {
            Some(CleanMarker { tip, .. }) if error.kind() == io::ErrorKind::NotFound => LogError::Corrupt {
                file: path.clone(),
                offset: 0,
                height: Some(Height::GENESIS),
                reason: Damage::Lost { tip },
            },
            _ => LogError::io(&path, error),
        })?;
        let end = file.metadata().map_err(|error| LogError::io(&path, error))?.len();
        let params = read_params(&file, &path)?;
        let start = (FILE_PREFIX_BYTES + params.len() + CRC_BYTES) as u64;
        Ok(Self { file, path, params, start, end, marker, synced: None })
    }

    /// The same log, of which it is known how much was synced: up to there all must be sound, and from the first frame
    /// behind it that is not, everything is tail. What was written without a sync may have reached the disk in any
    /// order, so there a sound frame after a broken one says nothing.
    #[must_use]
    pub(super) fn synced_up_to(self, synced: Option<u64>) -> Self {
        Self { synced, ..self }
    }

    /// The parameters given when the log was made.
    #[must_use]
    pub fn params(&self) -> &[u8] {
        &self.params
    }

    /// How the log was left, if it was closed and nothing was appended since.
    #[must_use]
    pub const fn marker(&self) -> Option<&CleanMarker> {
        self.marker.as_ref()
    }

    /// Where the first block starts, or would.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All blocks from the first on, every byte checked.
    #[must_use]
    pub fn frames(&self) -> Frames<'_> {
        let input = BufReader::with_capacity(READ_BYTES, FileFrom { file: &self.file, offset: self.start });
        Frames { log: self, input, offset: self.start, height: Height::GENESIS, tail: None, done: false }
    }

    fn corrupt(&self, offset: u64, height: Option<Height>, reason: Damage) -> LogError {
        LogError::Corrupt { file: self.path.clone(), offset, height, reason }
    }

    fn io(&self, error: io::Error) -> LogError {
        LogError::io(&self.path, error)
    }
}

impl BlockBytes for LogReader {
    fn read_part(&self, offset: u64, range: Range<u32>) -> Result<Vec<u8>, LogError> {
        let start = start_of_part(self.start..self.end, offset, &range);
        let start = start.ok_or(LogError::NoSuchOffset { offset })?;
        let mut bytes = vec![0; range.len()];
        self.file.read_exact_at(&mut bytes, start).map_err(|error| self.io(error))?;
        Ok(bytes)
    }
}

fn read_params(file: &File, path: &Path) -> Result<Vec<u8>, LogError> {
    let corrupt =
        || LogError::Corrupt { file: path.to_owned(), offset: 0, height: None, reason: Damage::FileHeader };
    let read = |buffer: &mut [u8], offset| {
        file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(),
            _ => LogError::io(path, error),
        })
    };
    let mut prefix = [0; FILE_PREFIX_BYTES];
    read(&mut prefix, 0)?;
    let (version, len) = parse_file_prefix(&prefix).ok_or_else(corrupt)?;
    let mut rest = vec![0; len + CRC_BYTES];
    read(&mut rest, FILE_PREFIX_BYTES as u64)?;
    let (params, crc) = rest.split_at(len);
    if crc32c::crc32c_append(crc32c::crc32c(&prefix), params).to_le_bytes() != crc {
        return Err(corrupt());
    }
    if version != VERSION {
        return Err(LogError::UnknownVersion { file: path.to_owned(), got: version, expected: VERSION });
    }
    rest.truncate(len);
    Ok(rest)
}

/// The blocks of a log file in order. Ends after the first error; after the last block, [`tail`](Self::tail)
/// says what is behind it.
#[derive(Debug)]
pub struct Frames<'r> {
    log: &'r LogReader,
    input: BufReader<FileFrom<'r>>,
    offset: u64,
    height: Height,
    tail: Option<Tail>,
    done: bool,
}

impl Frames<'_> {
    /// What is behind the last block. Known once the iterator has ended.
    #[must_use]
    pub const fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Height that the next block must have: the number of blocks read so far.
    #[must_use]
    pub const fn next_height(&self) -> Height {
        self.height
    }

    fn read_frame(&mut self) -> Result<Option<Frame>, LogError> {
        let (offset, height, left) = (self.offset, self.height, self.log.end - self.offset);
        if left == 0 {
            return self.check_end().map(|()| None);
        }
        if left < FRAME_HEADER_BYTES as u64 {
            return self.bad_piece(Damage::Truncated, self.log.end);
        }
        let mut header = [0; FRAME_HEADER_BYTES];
        self.input.read_exact(&mut header).map_err(|error| self.log.io(error))?;
        let Some(header) = FrameHeader::parse(&header) else {
            return self.bad_piece(Damage::FrameHeader, offset + 1);
        };
        if header.height != height {
            let reason = Damage::HeightOutOfOrder { got: header.height };
            return Err(self.log.corrupt(offset, Some(height), reason));
        }
        if header.frame_len() > left {
            return self.bad_piece(Damage::Truncated, self.log.end);
        }
        let mut payload = vec![0; header.payload_len];
        self.input.read_exact(&mut payload).map_err(|error| self.log.io(error))?;
        let end = offset + header.frame_len();
        if !header.fits(&payload) {
            return self.bad_piece(Damage::Payload, end);
        }
        self.offset = end;
        self.height = Height(height.0 + 1); // a file has fewer frames than u64 numbers
        Ok(Some(Frame { offset, end, height, payload }))
    }

    /// The file ends where a block ends: is it the end with which it was closed?
    fn check_end(&self) -> Result<(), LogError> {
        if let Some(expected) = self.log.synced.filter(|&synced| self.log.end < synced) {
            let reason = Damage::Length { got: self.log.end, expected };
            return Err(self.log.corrupt(self.log.end, self.height.previous(), reason));
        }
        let Some(marker) = self.log.marker else { return Ok(()) };
        let tip = self.height.previous();
        if marker.log_len != self.log.end {
            let reason = Damage::Length { got: self.log.end, expected: marker.log_len };
            return Err(self.log.corrupt(self.log.end.min(marker.log_len), tip, reason));
        }
        if tip != Some(marker.tip) {
            return Err(self.log.corrupt(self.log.end, tip, Damage::Tip));
        }
        Ok(())
    }

    /// Decides whether what starts here is a torn tail, given where later frames could start.
    fn bad_piece(&mut self, reason: Damage, search_from: u64) -> Result<Option<Frame>, LogError> {
        let is_tail = match (self.log.marker, self.log.synced) {
            (Some(_), _) => false,
            (None, Some(synced)) => self.offset >= synced,
            (None, None) => !self.finds_frame(search_from)?,
        };
        if !is_tail {
            return Err(self.log.corrupt(self.offset, Some(self.height), reason));
        }
        self.tail = Some(Tail { offset: self.offset, bytes: self.log.end - self.offset });
        Ok(None)
    }

    /// Whether a sound frame header stands anywhere from `from` on, of a height that could follow.
    fn finds_frame(&self, from: u64) -> Result<bool, LogError> {
        let LogReader { file, end, .. } = self.log;
        let highest = self.height.0.saturating_add((end - self.offset) / FRAME_HEADER_BYTES as u64);
        let is_frame = |bytes: &[u8]| {
            let header = bytes.first_chunk().filter(|header| header.starts_with(&FRAME_MAGIC));
            let header = header.and_then(FrameHeader::parse);
            header.is_some_and(|header| (self.height.0..=highest).contains(&header.height.0))
        };
        let mut chunk = vec![0; SEARCH_BYTES];
        let mut offset = from;
        while end.saturating_sub(offset) >= FRAME_HEADER_BYTES as u64 {
            let len = (end - offset).min(SEARCH_BYTES as u64);
            let read = &mut chunk[..len as usize]; // at most SEARCH_BYTES
            file.read_exact_at(read, offset).map_err(|error| self.log.io(error))?;
            if read.windows(FRAME_HEADER_BYTES).any(is_frame) {
                return Ok(true);
            }
            // The next chunk starts where the last header that fits this one did not.
            offset += len - (FRAME_HEADER_BYTES as u64 - 1);
        }
        Ok(false)
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.read_frame().transpose();
        self.done = !matches!(frame, Some(Ok(_)));
        frame
    }
}

/// Reads a file from an offset on without moving the file's own position.
#[derive(Debug)]
struct FileFrom<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for FileFrom<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
