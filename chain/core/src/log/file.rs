//! The log on disk: one write and, unless the caller puts it off, one `fdatasync` a block.
//!
//! After a failed write or sync the log is poisoned. A sync that failed may report success when repeated though
//! the data is lost, so nothing is retried: the log must be opened anew, from what the disk really holds.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frame::{FRAME_HEADER_BYTES, FrameHeader, file_header, start_of_part};
use super::reader::{FILE_NAME, LogReader, Tail};
use super::{
    BlockBytes, BlockLog, CleanMarker, Damage, Frame, LogError, MAX_PARAMS_BYTES, MAX_PAYLOAD_BYTES,
};
use crate::atomic_io::AtomicWriter;
use crate::ids::{BlockHash, Height};

/// The [`BlockLog`] in a directory. Whoever opens it holds the directory's lock.
#[derive(Debug)]
pub struct FileLog {
    /// Replaced in tests that let it fail.
    pub(super) medium: Box<dyn Medium>,
    dir: PathBuf,
    path: PathBuf,
    params: Vec<u8>,
    start: u64,
    end: AtomicU64,
    blocks: AtomicU64,
    writer: Mutex<WriterState>,
}

/// What only the one who appends needs.
#[derive(Debug)]
struct WriterState {
    poisoned: bool,
    marker: Option<CleanMarker>,
    /// Reused, so that a block costs no allocation.
    frame: Vec<u8>,
}

/// Bytes that a crash left behind the last block, and that opening the log took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// Where they were.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// The file that keeps them.
    pub saved_to: PathBuf,
}

/// The file operations of a log, so that tests can let each of them fail.
pub(super) trait Medium: Debug + Send + Sync {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
}

impl Medium for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }
}

impl FileLog {
    /// Makes a log without blocks in a directory.
    ///
    /// # Errors
    /// A log that is there already; parameters over [`MAX_PARAMS_BYTES`]; a failure of the medium.
    pub fn create(dir: impl AsRef<Path>, params: &[u8]) -> Result<Self, LogError> {
        Self::create_with(dir, params, std::iter::empty())
    }

    /// Makes a log that holds the given blocks, in a directory. All or nothing: one sync at the end.
    ///
    /// # Errors
    /// As [`create`](Self::create); the first error of `frames`; heights that do not ascend from genesis.
    pub fn create_with(
        dir: impl AsRef<Path>,
        params: &[u8],
        frames: impl IntoIterator<Item = Result<Frame, LogError>>,
    ) -> Result<Self, LogError> {
        let dir = dir.as_ref();
        let path = dir.join(FILE_NAME);
        if path.exists() {
            let source = io::ErrorKind::AlreadyExists.into();
            return Err(LogError::Io { file: path, source });
        }
        if params.len() > MAX_PARAMS_BYTES {
            return Err(LogError::PayloadTooLarge { got: params.len() });
        }
        let mut writer = AtomicWriter::new(&path).map_err(|error| LogError::atomic(&path, error))?;
        let mut write = |bytes: &[u8]| writer.write_all(bytes).map_err(|error| LogError::io(&path, error));
        write(&file_header(params))?;
        let mut expected = Height::GENESIS;
        for frame in frames {
            let Frame { height, payload, .. } = frame?;
            check_block(height, expected, &payload)?;
            write(&FrameHeader::new(height, &payload).to_bytes())?;
            write(&payload)?;
            expected = Height(expected.0 + 1);
        }
        writer.commit().map_err(|error| LogError::atomic(&path, error))?;
        let (log, _) = Self::open(dir)?;
        Ok(log)
    }

    /// Opens the log in a directory and checks every byte of it. A torn tail is taken away: copied to
    /// `blocks.log.torn-<offset>` first, reported, and warned of.
    ///
    /// # Errors
    /// Corruption; a format version that is not read here; a failure of the medium.
    pub fn open(dir: impl AsRef<Path>) -> Result<(Self, Option<TornTail>), LogError> {
        Self::open_synced_up_to(dir, None)
    }

    /// As [`open`](Self::open) for a log that was not synced with every block, but up to a known length: only damage
    /// below it is corruption.
    ///
    /// # Errors
    /// As [`open`](Self::open), and a log that is shorter.
    pub fn open_synced_up_to(
        dir: impl AsRef<Path>,
        synced: Option<u64>,
    ) -> Result<(Self, Option<TornTail>), LogError> {
        let dir = dir.as_ref();
        let reader = LogReader::open_read_only(dir)?.synced_up_to(synced);
        let path = reader.path().to_owned();
        let fail = |error| LogError::io(&path, error);
        let medium = OpenOptions::new().read(true).write(true).open(&path).map_err(fail)?;

        let mut frames = reader.frames();
        let mut end = reader.start();
        for frame in &mut frames {
            end = frame?.end;
        }
        let torn = frames.tail().map(|tail| save_tail(&path, tail)).transpose()?;
        if torn.is_some() {
            medium.set_len(end).map_err(fail)?;
        }
        let marker = reader.marker().copied();
        if marker.is_none() {
            // A process that was killed may have left blocks that are read as if they were on disk.
            medium.sync_all().map_err(|source| LogError::Fsync { file: path.clone(), source })?;
        }
        let log = Self {
            medium: Box::new(medium),
            dir: dir.to_owned(),
            params: reader.params().to_vec(),
            start: reader.start(),
            end: AtomicU64::new(end),
            blocks: AtomicU64::new(frames.next_height().0),
            writer: Mutex::new(WriterState { poisoned: false, marker, frame: Vec::new() }),
            path,
        };
        Ok((log, torn))
    }

    /// How the log was left, if it was closed and nothing was appended since.
    #[must_use]
    pub fn marker(&self) -> Option<CleanMarker> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).marker
    }
}

/// Copies a torn tail to a file of its own, durably.
fn save_tail(path: &Path, tail: Tail) -> Result<TornTail, LogError> {
    let saved_to = free_name(path, tail.offset);
    let save = |from: &Path, to: &Path| {
        let mut source = File::open(from)?;
        source.seek(SeekFrom::Start(tail.offset))?;
        let mut copy = AtomicWriter::new(to)?;
        io::copy(&mut source.take(tail.bytes), &mut copy)?;
        copy.commit()
    };
    save(path, &saved_to).map_err(|error| LogError::atomic(&saved_to, error))?;
    tracing::warn!(
        log = %path.display(), offset = tail.offset, bytes = tail.bytes, saved_to = %saved_to.display(),
        "TORN TAIL: the log was not closed and its last bytes are no block; they were taken away"
    );
    Ok(TornTail { offset: tail.offset, bytes: tail.bytes, saved_to })
}

/// `<log>.torn-<offset>`, with a number behind it where an earlier crash left one there.
fn free_name(path: &Path, offset: u64) -> PathBuf {
    let plain = format!("{}.torn-{offset}", path.display());
    let numbered = (2..).map(|number: u64| format!("{plain}.{number}"));
    let mut names = std::iter::once(plain.clone()).chain(numbered).map(PathBuf::from);
    names.find(|name| !name.exists()).unwrap_or_else(|| plain.into())
}

fn check_block(height: Height, expected: Height, payload: &[u8]) -> Result<(), LogError> {
    if height != expected {
        return Err(LogError::HeightOutOfOrder { got: height, expected });
    }
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(LogError::PayloadTooLarge { got: payload.len() });
    }
    Ok(())
}

impl FileLog {
    fn write_frame(&self, height: Height, payload: &[u8], state: &mut WriterState) -> Result<u64, LogError> {
        let offset = self.end();
        if state.marker.is_some() {
            CleanMarker::remove(&self.dir)?;
            state.marker = None;
        }
        state.frame.clear();
        state.frame.extend_from_slice(&FrameHeader::new(height, payload).to_bytes());
        state.frame.extend_from_slice(payload);
        if let Err(error) = self.medium.write_all_at(&state.frame, offset) {
            // Best effort: should this fail too, the next opening takes the partial frame for a torn tail.
            let _ = self.medium.set_len(offset);
            return Err(LogError::io(&self.path, error));
        }
        Ok(offset)
    }

    fn sync_file(&self) -> Result<(), LogError> {
        self.medium.sync_data().map_err(|source| LogError::Fsync { file: self.path.clone(), source })
    }

    /// Appends a block, which becomes part of the log when it has been written and, where that is asked, synced.
    fn append_block(&self, height: Height, payload: &[u8], synced: bool) -> Result<u64, LogError> {
        let mut state = self.writing()?;
        check_block(height, Height(self.blocks.load(Ordering::Acquire)), payload)?;
        let written = self.write_frame(height, payload, &mut state).and_then(|offset| {
            if synced {
                self.sync_file()?;
            }
            Ok(offset)
        });
        let offset = written.inspect_err(|_| state.poisoned = true)?;
        self.end.store(offset + state.frame.len() as u64, Ordering::Release);
        self.blocks.store(height.0 + 1, Ordering::Release);
        Ok(offset)
    }

    /// The right to write, unless an earlier write failed.
    fn writing(&self) -> Result<MutexGuard<'_, WriterState>, LogError> {
        let state = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match state.poisoned {
            true => Err(LogError::Poisoned { file: self.path.clone() }),
            false => Ok(state),
        }
    }

    fn corrupt(&self, offset: u64, height: Option<Height>, reason: Damage) -> LogError {
        LogError::Corrupt { file: self.path.clone(), offset, height, reason }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), LogError> {
        self.medium.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.corrupt(offset, None, Damage::Truncated),
            _ => LogError::io(&self.path, error),
        })
    }
}

impl BlockBytes for FileLog {
    fn read_part(&self, offset: u64, range: Range<u32>) -> Result<Vec<u8>, LogError> {
        let start = start_of_part(self.start..self.end(), offset, &range);
        let start = start.ok_or(LogError::NoSuchOffset { offset })?;
        let mut bytes = vec![0; range.len()];
        self.read_at(&mut bytes, start)?;
        Ok(bytes)
    }
}

impl BlockLog for FileLog {
    fn params(&self) -> &[u8] {
        &self.params
    }

    fn append(&self, height: Height, payload: &[u8]) -> Result<u64, LogError> {
        self.append_block(height, payload, true)
    }

    fn append_unsynced(&self, height: Height, payload: &[u8]) -> Result<u64, LogError> {
        self.append_block(height, payload, false)
    }

    fn sync(&self) -> Result<(), LogError> {
        let mut state = self.writing()?;
        self.sync_file().inspect_err(|_| state.poisoned = true)
    }

    fn read(&self, offset: u64) -> Result<Frame, LogError> {
        let left = self.end().saturating_sub(offset);
        if offset < self.start || left == 0 {
            return Err(LogError::NoSuchOffset { offset });
        }
        let mut header = [0; FRAME_HEADER_BYTES];
        self.read_at(&mut header, offset)?;
        let header = FrameHeader::parse(&header).filter(|header| header.frame_len() <= left);
        let header = header.ok_or_else(|| self.corrupt(offset, None, Damage::FrameHeader))?;
        let mut payload = vec![0; header.payload_len];
        self.read_at(&mut payload, offset + FRAME_HEADER_BYTES as u64)?;
        if !header.fits(&payload) {
            return Err(self.corrupt(offset, Some(header.height), Damage::Payload));
        }
        Ok(Frame { offset, end: offset + header.frame_len(), height: header.height, payload })
    }

    fn start(&self) -> u64 {
        self.start
    }

    fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    fn tip(&self) -> Option<Height> {
        Height(self.blocks.load(Ordering::Acquire)).previous()
    }

    /// Leaves the marker `CLEAN`; a log without blocks has nothing to mark.
    fn close(&self, tip_hash: BlockHash) -> Result<(), LogError> {
        let mut state = self.writing()?;
        let Some(tip) = self.tip() else { return Ok(()) };
        let marker = CleanMarker { log_len: self.end(), tip, tip_hash };
        if state.marker != Some(marker) {
            marker.write(&self.dir).inspect_err(|_| state.poisoned = true)?;
            state.marker = Some(marker);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::Scan;

    const TIP_HASH: BlockHash = BlockHash([7; 32]);

    #[test]
    fn blocks_come_back_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let log = FileLog::create(dir.path(), b"params").unwrap();
        assert_eq!((log.params(), log.tip(), log.end()), (b"params".as_slice(), None, log.start()));
        for height in 0..20_u8 {
            let offset = log.append(Height(height.into()), &vec![height; 100 * usize::from(height)]).unwrap();
            assert_eq!(log.read(offset).unwrap().payload.len(), 100 * usize::from(height));
            assert_eq!(log.read_part(offset, 0..u32::from(height)).unwrap(), vec![height; height.into()]);
            let beyond = u32::from(height) * 100 + 1;
            for range in [0..beyond, beyond..beyond + 1, Range { start: 2, end: 1 }, 0..u32::MAX] {
                assert!(matches!(log.read_part(offset, range), Err(LogError::NoSuchOffset { .. })));
            }
        }
        assert!(log.read_part(u64::MAX, 0..1).is_err() && log.read_part(0, 0..1).is_err());
        drop(log);

        let (log, torn) = FileLog::open(dir.path()).unwrap();
        assert_eq!((torn, log.tip(), log.params()), (None, Some(Height(19)), b"params".as_slice()));
        for (height, frame) in (0..20_u8).zip(Scan::new(&log, log.start())) {
            let frame = frame.unwrap();
            assert_eq!(frame.height, Height(height.into()));
            assert_eq!(frame.payload, vec![height; 100 * usize::from(height)]);
        }
        log.append(Height(20), b"next").unwrap();
        assert!(matches!(log.append(Height(20), b"again"), Err(LogError::HeightOutOfOrder { .. })));
        assert!(matches!(log.read(0), Err(LogError::NoSuchOffset { .. })));
        assert!(matches!(log.read(log.end()), Err(LogError::NoSuchOffset { .. })));
    }

    #[test]
    fn a_copy_holds_the_same_blocks() {
        let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = FileLog::create(dir.path(), b"params").unwrap();
        for height in 0..5 {
            log.append(Height(height), &height.to_le_bytes()).unwrap();
        }
        FileLog::create_with(copy.path(), log.params(), Scan::new(&log, log.start())).unwrap();
        let bytes = |dir: &Path| fs::read(dir.join(FILE_NAME)).unwrap();
        assert_eq!(bytes(dir.path()), bytes(copy.path()));
        assert!(matches!(FileLog::create(copy.path(), b""), Err(LogError::Io { .. })), "nothing is replaced");
    }

    #[test]
    fn the_marker_stands_from_close_to_the_next_append() {
        let dir = tempfile::tempdir().unwrap();
        let log = FileLog::create(dir.path(), b"").unwrap();
        log.close(TIP_HASH).unwrap();
        assert_eq!(log.marker(), None, "nothing to mark");
        log.append(Height(0), b"genesis").unwrap();
        log.close(TIP_HASH).unwrap();
        let marker = CleanMarker { log_len: log.end(), tip: Height(0), tip_hash: TIP_HASH };
        drop(log);

        let (log, _) = FileLog::open(dir.path()).unwrap();
        log.read(log.start()).unwrap();
        assert_eq!(log.marker(), Some(marker));
        assert_eq!(CleanMarker::read(dir.path()).unwrap(), Some(marker), "opening and reading leave it");
        log.append(Height(1), b"next").unwrap();
        assert_eq!(log.marker(), None);
        assert_eq!(CleanMarker::read(dir.path()).unwrap(), None);
    }
}
