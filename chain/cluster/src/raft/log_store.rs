//! The log of this node: entries, its vote, and what it knows to be committed.
//!
//! Every change goes through one lock into one queue, whose thread writes and syncs many changes at once; a callback
//! comes only after the sync. A change that could not be synced is never tried again: the library stops the node.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Callback, RaftLog};
use tensor_chain::atomic_io::settle_dir;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::durable::Durable;
use super::failure::{FirstFailure, ReplicaError};
use super::log_record::{PayloadRecord, Place, VoteRecord, damaged};
#[cfg(feature = "simulation")]
use super::simulation::{self, Disk};
use super::statistics::Counted;
use super::torn_log;
use super::types::{Entry, LogId, Payload, TypeConfig, Vote};

/// How long a change waits for others to share its sync. At 0 each would be synced alone.
const LINGER: Duration = Duration::from_micros(50);
/// Bytes of a file of the log. A file goes when all of it has been purged.
const FILE_BYTES: usize = 64 << 20;
/// Bytes that are read at once when the log is opened.
const READ_BYTES: usize = 4 << 20;
/// Bytes of entries that are kept in memory.
const CACHE_BYTES: usize = 64 << 20;
/// Bytes of entries, unless a single one has more, that are read at once to be sent to a peer.
const SEND_BYTES: usize = 1 << 20;
/// Entries that are read at once to be applied.
const APPLY_ENTRIES: u64 = 64;

/// The log, shared by whoever writes it and everyone who reads it.
#[derive(Debug, Clone)]
pub(super) struct LogStore {
    log: Arc<Mutex<RaftLog<LogTypes>>>,
    counted: Arc<Counted>,
    failure: FirstFailure,
    durable: Durable,
    /// Says when a sync ends instead of the disk below.
    #[cfg(feature = "simulation")]
    disk: Option<Arc<dyn Disk>>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct LogTypes;

impl raft_log::Types for LogTypes {
    type LogId = Place;
    type LogPayload = PayloadRecord;
    type Vote = VoteRecord;
    type Callback = Synced;
    type UserData = String;

    fn log_index(log_id: &Place) -> u64 {
        log_id.0.index
    }

    fn payload_size(record: &PayloadRecord) -> u64 {
        size(&record.payload) as u64
    }
}

/// About how many bytes an entry takes.
fn size(payload: &Payload) -> usize {
    match payload {
        Payload::Normal(command) => command.len(),
        Payload::Blank | Payload::Membership(_) => 256,
    }
}

/// What happens when a change is on disk, or could not be brought there.
pub(super) struct Synced {
    waiting: Waiting,
    /// When the change was made.
    began: Instant,
    /// The last entry that it appended, if it did.
    appended: Option<u64>,
    counted: Arc<Counted>,
    failure: FirstFailure,
    durable: Durable,
}

/// Who waits for it.
enum Waiting {
    Raft(IOFlushed<TypeConfig>),
    Caller(oneshot::Sender<io::Result<()>>),
}

impl Callback for Synced {
    fn send(self, result: io::Result<()>) {
        if result.is_ok() {
            self.counted.log_sync.took(self.began.elapsed());
        }
        let result = result.map_err(|error| self.failure.keep(ReplicaError::LogWrite(error)));
        match (&result, self.appended) {
            (Ok(()), Some(last)) => self.durable.raise(last),
            (Ok(()), None) => {}
            (Err(_), _) => self.durable.moved(),
        }
        match self.waiting {
            Waiting::Raft(callback) => callback.io_completed(result),
            // Nobody waits any more when the node stops.
            Waiting::Caller(sender) => drop(sender.send(result)),
        }
    }
}

impl LogStore {
    /// Opens the log in a directory, or makes an empty one.
    ///
    /// # Errors
    /// A log that is damaged or cannot be read or written.
    pub(super) fn open(dir: &Path, counted: Arc<Counted>, failure: FirstFailure) -> io::Result<Self> {
        settle_dir(dir).map_err(io::Error::other)?;
        let before = file_lengths(dir)?;
        // What a process that was killed had written is read as if it were on disk, and the leader is told so.
        before.iter().try_for_each(|(file, _)| File::open(file)?.sync_all())?;
        let wal = raft_log::chunked_wal::Config {
            dir: path_text(dir)?,
            read_buffer_size: Some(READ_BYTES),
            chunk_max_size: Some(FILE_BYTES),
            flush_batch_wait: Some(LINGER),
            ..raft_log::chunked_wal::Config::default()
        };
        let config =
            raft_log::Config { wal, log_cache_max_items: None, log_cache_capacity: Some(CACHE_BYTES) };
        let config = Arc::new(config);
        let log = match RaftLog::open(Arc::clone(&config)) {
            Err(error) if error.raw_os_error().is_none() && torn_log::cut(&config)? => RaftLog::open(config),
            opened => opened,
        };
        let log = log.map_err(|error| match error.raw_os_error() {
            Some(_) => error,
            // Damage, which the library names without saying where.
            None => io::Error::new(error.kind(), format!("{}: {error}", dir.display())),
        })?;
        warn_of_torn_tail(dir, &before)?;
        let durable = Durable::default();
        durable.set(log.log_state().last().map(|place: &Place| place.0.index));
        Ok(Self {
            log: Arc::new(Mutex::new(log)),
            counted,
            failure,
            durable,
            #[cfg(feature = "simulation")]
            disk: None,
        })
    }

    /// The log on a simulated disk.
    #[cfg(feature = "simulation")]
    pub(super) fn on(self, disk: Option<Arc<dyn Disk>>) -> Self {
        if let Some(disk) = &disk {
            disk.log_opened(simulation::mark(&self.lock()));
        }
        Self { disk, ..self }
    }

    /// How much of it is on disk.
    pub(super) fn durable(&self) -> Durable {
        self.durable.clone()
    }

    /// Follows the log without keeping it open.
    pub(super) fn hold(&self) -> Hold {
        Hold(Arc::downgrade(&self.log))
    }

    /// After a panic of another task under the lock the library has stopped the node; reading goes on.
    fn lock(&self) -> MutexGuard<'_, RaftLog<LogTypes>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change without waiting until it is on disk; with somebody who waits for that, it is synced.
    fn begin(
        &self,
        waiting: Option<Waiting>,
        appended: Option<u64>,
        change: impl FnOnce(&mut RaftLog<LogTypes>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut log = self.lock();
        let synced = waiting.map(|waiting| Synced {
            waiting,
            began: Instant::now(),
            appended,
            counted: Arc::clone(&self.counted),
            failure: self.failure.clone(),
            durable: self.durable.clone(),
        });
        let begun = change(&mut log).and_then(|()| self.flush(&mut log, synced));
        begun.map_err(|error| self.not_written(&log, error))
    }

    /// Hands on all that was written so far; with somebody to tell, it is synced.
    fn flush(&self, log: &mut RaftLog<LogTypes>, synced: Option<Synced>) -> io::Result<()> {
        #[cfg(feature = "simulation")]
        if let Some(disk) = &self.disk {
            return simulation::flush(log, synced, &**disk);
        }
        log.flush(synced.is_some(), synced)
    }

    /// Once the library's writer has failed, changes are told that it is gone; it still knows why.
    fn not_written(&self, log: &RaftLog<LogTypes>, error: io::Error) -> io::Error {
        let cause = log.wait_worker_idle().err().unwrap_or(error);
        let told = self.failure.keep(ReplicaError::LogWrite(cause));
        self.durable.moved();
        told
    }

    /// Makes a change and waits until it is on disk.
    async fn change(&self, change: impl FnOnce(&mut RaftLog<LogTypes>) -> io::Result<()>) -> io::Result<()> {
        let (sender, synced) = oneshot::channel();
        self.begin(Some(Waiting::Caller(sender)), None, change)?;
        // A writer that fails before it comes to this change drops it.
        let dropped = || self.not_written(&self.lock(), io::ErrorKind::BrokenPipe.into());
        synced.await.unwrap_or_else(|_| Err(dropped()))
    }

    /// The entries from `from` up to `to`, exclusive, as far as they fit `max_bytes`; at least one, if there is one.
    fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let entries = self.read_entries(from, to, max_bytes);
        entries.map_err(|error| self.failure.keep(ReplicaError::Log(error)))
    }

    fn read_entries(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let log = self.lock();
        let (mut entries, mut bytes) = (Vec::new(), 0_usize);
        for record in log.read(from, to) {
            let (place, PayloadRecord { place: stated, payload }) = record?;
            if place != stated {
                let (at, is) = (place.0.index, stated.0.index);
                return Err(damaged(&format!("at index {at} lies the entry of index {is}")));
            }
            bytes = bytes.saturating_add(size(&payload));
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(Entry { log_id: place.into(), payload });
        }
        Ok(entries)
    }
}

/// Whether a log is still open, and its directory with it.
#[derive(Debug)]
pub(super) struct Hold(pub(super) Weak<Mutex<RaftLog<LogTypes>>>);

/// The log in figures.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogFigures {
    /// Length of its files.
    pub(super) bytes: u64,
    /// How often it was synced.
    pub(super) syncs: u64,
}

impl Hold {
    /// The log in figures; zeros once it is closed.
    pub(super) fn figures(&self) -> LogFigures {
        let Some(log) = self.0.upgrade() else { return LogFigures::default() };
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        LogFigures { bytes: log.on_disk_size(), syncs: log.stat().flush_metrics.sync_batch_count }
    }

    /// Returns when nobody has the log open any more. The library's tasks end one after the other once it has been
    /// shut down, and say nothing when the last one has.
    pub(super) async fn released(&self) {
        while self.0.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The files of a directory with their lengths.
fn file_lengths(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut lengths = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let file = file?;
        lengths.push((file.path(), file.metadata()?.len()));
    }
    Ok(lengths)
}

/// The library below drops an unfinished record at the end quietly.
fn warn_of_torn_tail(dir: &Path, before: &[(PathBuf, u64)]) -> io::Result<()> {
    let after = file_lengths(dir)?;
    for (file, was) in before {
        let is = after.iter().find(|(path, _)| path == file).map_or(*was, |(_, len)| *len);
        if is < *was {
            tracing::warn!(
                file = %file.display(), bytes = was - is,
                "TORN TAIL: the last record of the Raft log was not finished; it was taken away"
            );
        }
    }
    Ok(())
}

fn path_text(dir: &Path) -> io::Result<String> {
    let text = dir.to_str().ok_or_else(|| io::Error::other("the path of the Raft log is not UTF-8"))?;
    Ok(text.to_owned())
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(&end) => end.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    (from, to.max(from))
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let store = self.clone();
        // A few at a time: the range may be all that there is to apply.
        let parts = stream::unfold(from, move |from| {
            let end = from.saturating_add(APPLY_ENTRIES).min(to);
            let part = (from < to).then(|| store.read(from, end, usize::MAX));
            std::future::ready(part.map(|part| {
                let entries: Vec<io::Result<Entry>> = match part {
                    Ok(entries) => entries.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                (stream::iter(entries), end)
            }))
        });
        Box::pin(futures_util::StreamExt::flatten(parts))
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, SEND_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.lock().log_state().vote().map(|record| record.0))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let log = self.lock();
        let state = log.log_state();
        let last_purged_log_id = state.purged().map(|place| (*place).into());
        Ok(LogState { last_purged_log_id, last_log_id: state.last().map(|place| (*place).into()) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.change(|log| log.save_vote(VoteRecord(*vote)).map(drop)).await
    }

    /// Not waited for: a value that is too old only means that more is applied again.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(committed) = committed else { return Ok(()) };
        let place = Place::from(&committed);
        let is_news = {
            let log = self.lock();
            let state = log.log_state();
            Some(&place) > state.committed() && Some(&place) <= state.last()
        };
        if is_news { self.begin(None, None, |log| log.commit(place).map(drop)) } else { Ok(()) }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        let log = self.lock();
        let state = log.log_state();
        Ok(state.committed().min(state.last()).map(|place| (*place).into()))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let record = |Entry { log_id, payload }| {
            let place = Place::from(&log_id);
            (place, PayloadRecord { place, payload })
        };
        let records: Vec<_> = entries.into_iter().map(record).collect();
        let last = records.last().map(|(place, _)| place.0.index);
        self.begin(Some(Waiting::Raft(callback)), last, |log| log.append(records).map(drop))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |log_id| log_id.index().saturating_add(1));
        if self.lock().log_state().last().is_none_or(|last| last.0.index < from) {
            return Ok(());
        }
        self.change(|log| log.truncate(from).map(drop)).await?;
        self.durable.set(last_log_id.map(|log_id| log_id.index()));
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.change(|log| log.purge(Place::from(&log_id)).map(drop)).await?;
        // It may be behind a snapshot that was installed.
        self.durable.raise(log_id.index());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::{Command, log_id};
    use openraft::storage::RaftLogStorageExt;
    use openraft::vote::RaftLeaderId;
    use tensor_chain::replicated::{LogPosition, ProposedWrite, ReplicatedBatch, ReplicatedEntry};
    use tensor_chain::{ChainId, Changeset, Identity, Transaction};

    const ENTRIES: u64 = 20;

    fn entry(index: u64) -> Entry {
        let payload = Payload::Normal(Command::new(ReplicatedEntry::Session));
        Entry { log_id: log_id(LogPosition { term: 1, index }), payload }
    }

    /// A log on disk, and its one file.
    async fn written(dir: &Path) -> PathBuf {
        let mut store = LogStore::open(dir, Arc::default(), FirstFailure::default()).unwrap();
        let leader_id = <TypeConfig as openraft::RaftTypeConfig>::LeaderId::new(1, Default::default());
        store.save_vote(&Vote { leader_id, committed: true }).await.unwrap();
        for index in 0..ENTRIES {
            store.blocking_append([entry(index)]).await.unwrap();
        }
        drop(store);
        let files = file_lengths(dir).unwrap();
        files.into_iter().max_by_key(|(_, len)| *len).unwrap().0
    }

    async fn last_index(dir: &Path) -> io::Result<u64> {
        let mut store = LogStore::open(dir, Arc::default(), FirstFailure::default())?;
        store.try_get_log_entries(..).await?;
        Ok(store.get_log_state().await?.last_log_id.map_or(0, |id| id.index()))
    }

    #[tokio::test]
    async fn a_flipped_byte_never_shortens_the_log_quietly() {
        let dir = tempfile::tempdir().unwrap();
        let file = written(dir.path()).await;
        let sound = std::fs::read(&file).unwrap();
        for position in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[position] ^= 0x41;
            std::fs::write(&file, flipped).unwrap();
            match last_index(dir.path()).await {
                Ok(last) => assert_eq!(last, ENTRIES - 1, "byte {position}"),
                Err(error) => assert_ne!(error.kind(), io::ErrorKind::UnexpectedEof, "byte {position}"),
            }
            for (path, _) in file_lengths(dir.path()).unwrap() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_sector_that_never_came_takes_its_record_and_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let file = written(dir.path()).await;
        let sound = std::fs::read(&file).unwrap();
        let sectors = sound.len().div_ceil(512);
        assert!(sectors > 2);
        let mut before = 0;
        for sector in 1..sectors {
            let mut torn = sound.clone();
            let end = sound.len().min((sector + 1) * 512);
            torn[sector * 512..end].fill(0);
            std::fs::write(&file, torn).unwrap();
            let last = last_index(dir.path()).await.unwrap();
            assert!((before..ENTRIES - 1).contains(&last), "sector {sector}: {last} after {before}");
            before = last;
            for (path, _) in file_lengths(dir.path()).unwrap() {
                std::fs::remove_file(path).unwrap();
            }
        }
        assert!(before > 0);
    }

    #[tokio::test]
    async fn zeros_that_somebody_wrote_make_no_damaged_record_a_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = LogStore::open(dir.path(), Arc::default(), FirstFailure::default()).unwrap();
        let put = Transaction::Put { key: "k".to_owned(), data: vec![0; 4_096] };
        let write = ProposedWrite { changeset: Changeset::single(put).unwrap(), session: None };
        let identity = Identity::from_bytes(&[1; 32]);
        let batch = ReplicatedBatch::sign(&identity, ChainId::default(), 7, vec![write]).unwrap();
        let payload = Payload::Normal(Command::new(ReplicatedEntry::Batch(batch)));
        let zeros = Entry { payload, ..entry(1) };
        store.blocking_append([entry(0), zeros, entry(2)]).await.unwrap();
        drop(store);
        let files = file_lengths(dir.path()).unwrap();
        let file = files.into_iter().max_by_key(|(_, len)| *len).unwrap().0;
        let sound = std::fs::read(&file).unwrap();
        let zeros = sound.windows(4_096).position(|bytes| bytes.iter().all(|&byte| byte == 0)).unwrap();
        for position in (0..zeros - 200).step_by(7) {
            let mut flipped = sound.clone();
            flipped[position] ^= 0x41;
            std::fs::write(&file, flipped).unwrap();
            let opened = last_index(dir.path()).await;
            assert!(opened.map_or(true, |last| last == 2), "byte {position}");
            assert_eq!(file.metadata().unwrap().len(), sound.len() as u64, "byte {position}");
        }
    }

    #[tokio::test]
    async fn the_zeros_that_a_vote_begins_with_are_no_hole() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = LogStore::open(dir.path(), Arc::default(), FirstFailure::default()).unwrap();
        let written = || file_lengths(dir.path()).unwrap().into_iter().max_by_key(|(_, len)| *len).unwrap();
        // The kind of the last vote, four zeros, ends a sector.
        let vote = |term| {
            let leader_id = <TypeConfig as openraft::RaftTypeConfig>::LeaderId::new(term, Default::default());
            Vote { leader_id, committed: true }
        };
        let mut term = 1;
        while written().1 % 512 != 508 {
            store.save_vote(&vote(term)).await.unwrap();
            term += 1;
        }
        let start = written().1 as usize;
        store.save_vote(&vote(term)).await.unwrap();
        drop(store);
        let (file, len) = written();
        let sound = std::fs::read(&file).unwrap();
        for position in start + 4..len as usize {
            let mut flipped = sound.clone();
            flipped[position] ^= 0x41;
            std::fs::write(&file, flipped).unwrap();
            let opened = LogStore::open(dir.path(), Arc::default(), FirstFailure::default());
            assert!(opened.is_err(), "byte {} of a vote", position - start);
            assert_eq!(file.metadata().unwrap().len(), len);
        }
    }

    #[tokio::test]
    async fn a_torn_tail_takes_only_what_was_not_finished() {
        let dir = tempfile::tempdir().unwrap();
        let file = written(dir.path()).await;
        let sound = std::fs::read(&file).unwrap();
        std::fs::write(&file, &sound[..sound.len() - 3]).unwrap();
        assert_eq!(last_index(dir.path()).await.unwrap(), ENTRIES - 2);
    }
}
