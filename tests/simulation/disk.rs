//! A disk that loses what was not synced when its machine loses power.
//!
//! Log, blocks and snapshots are real files, written by the code that is shipped. What is simulated is when a sync ends,
//! and what a crash takes away: the end of the Raft log and of the block log behind what is durable, or a part of it,
//! and the writes to the index since it was last flushed, or the later ones of them.

use std::fs::{self, OpenOptions};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tensor_chain::index::{
    BufferedIndex, Entry, Index, IndexError, IndexOp, Lookup, MemoryIndex, Space, Visit,
};
use tensor_chain::log::{LOG_FILE_NAME, LogReader};
use tensor_cluster::simulation::{Disk, LogMark};

use crate::random::Random;

/// Milliseconds that a sync takes on a sound disk.
pub const SYNC_MS: Range<u64> = 1..4;

/// What the disk does wrong, to see it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskBug {
    /// It says that a sync has ended before it has begun.
    SyncsNothing,
    /// Whoever copies the sessions out of the index gets none.
    ForgetsSessions,
    /// It loses every so-manieth deletion of a value.
    LosesDeletions,
}

#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    dir: PathBuf,
    bug: Option<DiskBug>,
    state: Arc<Mutex<State>>,
    /// Syncs take turns.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct State {
    /// Counts crashes: what was begun before one comes to nothing.
    life: u64,
    /// Milliseconds that a sync takes.
    sync_ms: Range<u64>,
    random: u64,
    written: Extent,
    durable: Extent,
    blocks: u64,
    live: Arc<MemoryIndex>,
    kept: MemoryIndex,
    pending: Vec<Change>,
    deletions: u64,
}

/// How far the Raft log goes.
#[derive(Debug, Clone, Default)]
struct Extent {
    /// Counts writes.
    writes: u64,
    bytes: u64,
    mark: LogMark,
    /// Its first file.
    start: Option<PathBuf>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(Vec<IndexOp>),
    Clear,
}

impl SimulatedDisk {
    pub fn new(dir: &Path, random: u64, bug: Option<DiskBug>) -> Self {
        let state = State {
            life: 0,
            sync_ms: SYNC_MS,
            random,
            written: Extent::default(),
            durable: Extent::default(),
            blocks: 0,
            live: Arc::default(),
            kept: MemoryIndex::new(),
            pending: Vec::new(),
            deletions: 0,
        };
        let (state, turn) = (Arc::new(Mutex::new(state)), Arc::default());
        Self { dir: dir.to_owned(), bug, state, turn }
    }

    pub fn set_sync_ms(&self, sync_ms: Range<u64>) {
        self.state().sync_ms = sync_ms;
    }

    pub fn is_slow(&self) -> bool {
        self.state().sync_ms != SYNC_MS
    }

    /// What of the Raft log would be there after a crash now.
    pub fn durable(&self) -> LogMark {
        self.state().durable.mark
    }

    /// From here on nothing reaches the disk.
    pub fn power_off(&self) {
        self.state().life += 1;
    }

    /// The machine is off and nobody has the files open: what was not synced is lost, or a part of it. Returns what
    /// was lost.
    pub fn lose(&self, random: &mut Random) -> String {
        let mut state = self.state();
        // A file is gone already because of a change whose sync is said to be under way: it was synced.
        let is_synced = self.raft_log_start() != state.durable.start;
        let log = self.raft_log().filter(|_| !is_synced);
        let log = log.map_or(0, |file| cut(&file, state.durable.bytes, random));
        let file = self.dir.join(LOG_FILE_NAME);
        let blocks = if file.exists() && !self.dir.join("CLEAN").exists() {
            let floor = state.blocks.max(end_of_genesis(&self.dir));
            cut(&file, floor, random)
        } else {
            0
        };
        let pending = std::mem::take(&mut state.pending);
        let kept = random.of(0..pending.len() as u64 + 1) as usize;
        let lost = pending.len() - kept;
        for change in pending.into_iter().take(kept) {
            apply(&state.kept, change);
        }
        state.live = Arc::new(copy(&state.kept));
        state.durable.bytes = self.raft_log().map_or(0, |file| len(&file));
        state.durable.start = self.raft_log_start();
        state.blocks = len(&file);
        format!("lost {log} bytes of the log, {blocks} of the blocks, {lost} writes of the index")
    }

    /// The file of the Raft log that is written to.
    fn raft_log(&self) -> Option<PathBuf> {
        self.raft_log_files().max()
    }

    /// Where the Raft log begins. A file goes when all of it has been forgotten and that is on disk.
    fn raft_log_start(&self) -> Option<PathBuf> {
        self.raft_log_files().min()
    }

    fn raft_log_files(&self) -> impl Iterator<Item = PathBuf> {
        fs::read_dir(self.dir.join("raft")).into_iter().flatten().filter_map(|file| {
            let path = file.ok()?.path();
            path.extension().is_some_and(|extension| extension == "wal").then_some(path)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimulatedDisk {
    fn index(&self) -> Box<dyn Index> {
        let state = self.state();
        let index = SimulatedIndex { disk: self.clone(), life: state.life, live: Arc::clone(&state.live) };
        Box::new(BufferedIndex::new(index))
    }

    fn log_opened(&self, mark: LogMark) {
        let (bytes, start) = (self.raft_log().map_or(0, |file| len(&file)), self.raft_log_start());
        let mut state = self.state();
        state.written = Extent { bytes, mark, start, ..state.written };
        state.durable = state.written.clone();
    }

    fn sync_log(&self, mark: LogMark) -> BoxFuture<'static, ()> {
        // Nothing is being written now; later there may be.
        let (bytes, start) = (self.raft_log().map_or(0, |file| len(&file)), self.raft_log_start());
        let (life, write) = {
            let mut state = self.state();
            state.written = Extent { writes: state.written.writes + 1, bytes, mark, start };
            (state.life, state.written.writes)
        };
        if self.bug == Some(DiskBug::SyncsNothing) {
            return Box::pin(std::future::ready(()));
        }
        let disk = self.clone();
        Box::pin(async move {
            let _turn = disk.turn.lock().await;
            if disk.state().durable.writes >= write {
                return; // the sync before took it along
            }
            let (durable, ms) = {
                let mut state = disk.state();
                let mut random = Random::new(state.random);
                state.random = random.number();
                (state.written.clone(), random.of(state.sync_ms.clone()))
            };
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let mut state = disk.state();
            if state.life == life {
                state.durable = durable;
            }
        })
    }
}

/// The index of one life of a machine.
#[derive(Debug)]
struct SimulatedIndex {
    disk: SimulatedDisk,
    life: u64,
    live: Arc<MemoryIndex>,
}

impl SimulatedIndex {
    fn change(&self, change: Change) {
        let mut state = self.disk.state();
        if state.life == self.life {
            apply(&self.live, change.clone());
            state.pending.push(change);
        }
    }

    fn loses(&self, op: &IndexOp) -> bool {
        let deletion = op.space == Space::State && op.value.is_none();
        if !deletion || self.disk.bug != Some(DiskBug::LosesDeletions) {
            return false;
        }
        let mut state = self.disk.state();
        state.deletions += 1;
        state.deletions.is_multiple_of(5)
    }
}

impl Lookup for SimulatedIndex {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.live.get(space, key)
    }

    fn last(&self, space: Space, prefix: &[u8], at_most: Option<&[u8]>) -> Result<Option<Entry>, IndexError> {
        self.live.last(space, prefix, at_most)
    }
}

impl Index for SimulatedIndex {
    fn scan(
        &self,
        space: Space,
        prefix: &[u8],
        from: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), IndexError> {
        if self.disk.bug == Some(DiskBug::ForgetsSessions) && space == Space::Sessions && prefix.is_empty() {
            return Ok(());
        }
        self.live.scan(space, prefix, from, visit)
    }

    fn write(&self, mut ops: Vec<IndexOp>) -> Result<(), IndexError> {
        ops.retain(|op| !self.loses(op));
        self.change(Change::Write(ops));
        Ok(())
    }

    fn len(&self, space: Space) -> Result<u64, IndexError> {
        self.live.len(space)
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.change(Change::Clear);
        Ok(())
    }

    /// The block log has just been synced whenever this is called.
    fn flush(&self) -> Result<(), IndexError> {
        let blocks = len(&self.disk.dir.join(LOG_FILE_NAME));
        let mut state = self.disk.state();
        if state.life == self.life {
            state.blocks = blocks;
            let pending = std::mem::take(&mut state.pending);
            pending.into_iter().for_each(|change| apply(&state.kept, change));
        }
        Ok(())
    }
}

fn apply(index: &MemoryIndex, change: Change) {
    match change {
        Change::Write(ops) => index.write(ops).unwrap(),
        Change::Clear => index.clear().unwrap(),
    }
}

fn copy(index: &MemoryIndex) -> MemoryIndex {
    let copy = MemoryIndex::new();
    let spaces = [Space::Meta, Space::State, Space::History, Space::Blocks, Space::Tree, Space::Sessions];
    for space in spaces {
        let mut ops = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            ops.push(IndexOp::put(space, key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        index.scan(space, &[], None, &mut visit).unwrap();
        copy.write(ops).unwrap();
    }
    copy
}

/// Takes away the end of a file, at most down to what is durable; returns how much.
fn cut(file: &Path, durable: u64, random: &mut Random) -> u64 {
    let was = len(file);
    let lost = random.of(0..was.saturating_sub(durable) + 1);
    OpenOptions::new().write(true).open(file).unwrap().set_len(was - lost).unwrap();
    lost
}

fn len(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// The first block is synced when it is written.
fn end_of_genesis(dir: &Path) -> u64 {
    let log = LogReader::open_read_only(dir).unwrap();
    log.frames().next().map_or(log.start(), |frame| frame.unwrap().end)
}
