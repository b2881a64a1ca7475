//! The files of snapshots.
//!
//! ```text
//! snapshot/<index>.state    this node's newest snapshot; its blocks are the start of blocks.log
//! snapshot/from-<node>/     one that is being received: digest, state, blocks.log
//! snapshot/whole-<node>/    one that was received whole and waits for its installation
//! snapshot/installing/      one that is being installed
//! ```
//!
//! An installation that a crash cut short is finished before the node does anything else, because the chain is between
//! two entries of the log meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tensor_chain::NodeId;
use tensor_chain::atomic_io::{AtomicIoError, AtomicWriter, settle_dir, sweep_orphans};
use tensor_chain::log::LOG_FILE_NAME;
use tensor_chain::replicated::{
    LogPosition, ReplicatedChain, SNAPSHOT_DIGEST_BYTES, SnapshotError, SnapshotHeader,
};

use crate::api::Export;

/// Most bytes that are sent at once.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// What tells a snapshot from every other.
pub(super) type SnapshotDigest = [u8; SNAPSHOT_DIGEST_BYTES];

const DIGEST: &str = "digest";
const STATE: &str = "state";
const INSTALLING: &str = "installing";
const FROM: &str = "from-";
const WHOLE: &str = "whole-";

/// The directory of snapshots of one node.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// The directory of the chain.
    data_dir: PathBuf,
    dir: PathBuf,
    /// Held while a part of a snapshot is taken: a sender that was given up may still be at it.
    receiving: Mutex<()>,
    /// Whether a snapshot was not taken after all. From then on blocks come from the sender alone: the own ones may be at
    /// fault.
    distrusts_own: AtomicBool,
}

/// Bytes that are there of a snapshot that is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Held {
    pub(super) state: u64,
    pub(super) blocks: u64,
}

/// A snapshot: what it is of and where its two files are.
#[derive(Debug)]
pub(super) struct SnapshotFiles {
    pub(super) header: SnapshotHeader,
    state: PathBuf,
    /// The file with the blocks; the part up to the tip belongs to the snapshot.
    blocks: PathBuf,
    /// The directory in which it was received.
    received_in: Option<PathBuf>,
}

/// A snapshot that is written but not durable yet.
#[derive(Debug)]
pub(super) struct Draft {
    writer: BufWriter<AtomicWriter>,
    files: SnapshotFiles,
}

/// Which of the two files a chunk belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Part {
    State,
    Blocks,
}

impl Snapshots {
    /// The snapshots of the chain in a directory. An installation that was cut short is finished, and what was being
    /// received is dropped.
    ///
    /// # Errors
    /// A medium that fails; a received snapshot that cannot be installed.
    pub(super) fn open(data_dir: &Path, chain: &ReplicatedChain) -> io::Result<Self> {
        let snapshots = Self::of(data_dir);
        settle_dir(&snapshots.dir).map_err(io::Error::other)?;
        sweep_orphans(&snapshots.dir).map_err(io::Error::other)?;
        for entry in fs::read_dir(&snapshots.dir)? {
            let path = entry?.path();
            if is_of(&path, FROM) || is_of(&path, WHOLE) {
                fs::remove_dir_all(path)?;
            }
        }
        let installing = snapshots.dir.join(INSTALLING);
        if installing.join(STATE).exists() {
            tracing::info!("finishing the installation of a snapshot");
            snapshots.install_from(chain, &installing)?;
        } else if installing.exists() {
            // Installed, up to what was left to remove.
            snapshots.remove_installed(&installing)?;
        }
        Ok(snapshots)
    }

    fn of(data_dir: &Path) -> Self {
        let dir = data_dir.join("snapshot");
        let (receiving, distrusts_own) = (Mutex::default(), AtomicBool::default());
        Self { data_dir: data_dir.to_owned(), dir, receiving, distrusts_own }
    }

    /// Bytes of the block log in a directory that are durable for certain: those under its newest snapshot, of which
    /// every byte is checked.
    ///
    /// # Errors
    /// A medium that fails; a snapshot that is damaged.
    pub(super) fn synced_len(data_dir: &Path) -> io::Result<u64> {
        let snapshots = Self::of(data_dir);
        if !snapshots.dir.exists() {
            return Ok(0);
        }
        let Some((index, state)) = snapshots.states()?.pop() else { return Ok(0) };
        let header = SnapshotHeader::check(BufReader::new(File::open(&state)?))
            .map_err(|error| in_file(&state, error))?;
        match header.position.map_or(0, |position| position.index) {
            named if named == index => Ok(header.tip.map_or(0, |tip| tip.log_len)),
            other => Err(damaged(&state, format!("it is of entry {other}"))),
        }
    }

    /// Writes what the chain has come to. Nothing is durable yet.
    pub(super) fn draft(&self, chain: &ReplicatedChain) -> io::Result<Draft> {
        let position = chain.applied().map_err(io::Error::other)?;
        let state = self.path_of(position);
        let mut writer = BufWriter::new(AtomicWriter::new(&state).map_err(io::Error::other)?);
        let header = chain.write_snapshot(&mut writer).map_err(io::Error::other)?;
        Ok(Draft { writer, files: self.own(header, state) })
    }

    /// The newest snapshot.
    pub(super) fn current(&self) -> io::Result<Option<SnapshotFiles>> {
        let Some((_, state)) = self.states()?.pop() else { return Ok(None) };
        let header = SnapshotHeader::read(BufReader::new(File::open(&state)?));
        Ok(Some(self.own(header.map_err(|error| in_file(&state, error))?, state)))
    }

    /// The newest snapshot and the blocks that it stands on as one run of bytes. `None` before the chain begins.
    pub(super) fn export(&self) -> io::Result<Option<Export>> {
        let Some(SnapshotFiles { header, state, blocks, .. }) = self.current()? else { return Ok(None) };
        let Some((position, tip)) = header.position.zip(header.tip) else { return Ok(None) };
        let state = File::open(state)?;
        Ok(Some(Export {
            log_index: position.index,
            height: tip.height,
            len: state.metadata()?.len() + tip.log_len,
            bytes: Box::new(state.chain(File::open(blocks)?.take(tip.log_len))),
        }))
    }

    /// How long ago the newest snapshot was made, as far as its file says.
    pub(super) fn age(&self) -> Option<Duration> {
        let (_, state) = self.states().ok()?.pop()?;
        fs::metadata(state).ok()?.modified().ok()?.elapsed().ok()
    }

    /// Brings the chain to a snapshot.
    pub(super) fn install(&self, chain: &ReplicatedChain, files: SnapshotFiles) -> io::Result<()> {
        let Some(received_in) = files.received_in else {
            // One that is here already, or lies elsewhere on this machine.
            let state = self.path_of(files.header.position);
            if files.state != state {
                let mut copy = AtomicWriter::new(&state).map_err(io::Error::other)?;
                io::copy(&mut File::open(&files.state)?, &mut copy)?;
                copy.commit().map_err(io::Error::other)?;
            }
            let state = BufReader::new(File::open(state)?);
            return chain.install_snapshot(state, None).map(drop).map_err(io::Error::other);
        };
        let installing = self.dir.join(INSTALLING);
        fs::rename(&received_in, &installing)?;
        sync_dir(&self.dir)?;
        self.install_from(chain, &installing)
    }

    fn install_from(&self, chain: &ReplicatedChain, installing: &Path) -> io::Result<()> {
        let state = installing.join(STATE);
        let header = chain
            .install_snapshot(BufReader::new(File::open(&state)?), Some(installing))
            .map_err(io::Error::other)?;
        fs::rename(state, self.path_of(header.position))?;
        sync_dir(&self.dir)?;
        self.remove_installed(installing)
    }

    fn remove_installed(&self, installing: &Path) -> io::Result<()> {
        fs::remove_dir_all(installing)?;
        self.drop_received();
        self.remove_older()
    }

    /// Drops what was being received: it is older than what this node has now, or is offered again.
    fn drop_received(&self) {
        let _one_at_a_time = self.receiving.lock();
        let paths = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in paths.filter(|path| is_of(path, FROM)) {
            if let Err(error) = remove_dir(&path) {
                tracing::warn!(%error, "a part of a snapshot is left until the next start");
            }
        }
    }

    /// What is there of a snapshot that another node is about to send: where it has to go on. Of another one that this
    /// node has sent the blocks are kept, and of a first one this node's own are there: all nodes have the same.
    pub(super) fn offered(&self, from: NodeId, digest: &SnapshotDigest) -> io::Result<Held> {
        let _one_at_a_time = self.receiving.lock();
        let dir = self.received_from(from);
        let len = |part: Part| -> io::Result<Option<u64>> {
            match fs::metadata(dir.join(part.file_name())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                metadata => Ok(Some(metadata?.len())),
            }
        };
        match fs::read(dir.join(DIGEST)) {
            Ok(known) if known == digest => {
                let [state, blocks] = [len(Part::State)?, len(Part::Blocks)?].map(Option::unwrap_or_default);
                tracing::info!(%from, state, blocks, "a snapshot goes on where it was broken off");
                return Ok(Held { state, blocks });
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&dir)?;
        for name in [DIGEST, STATE] {
            match fs::remove_file(dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let blocks = match len(Part::Blocks)? {
            Some(blocks) => blocks,
            None => self.begin_with_own_blocks(&dir)?,
        };
        fs::write(dir.join(DIGEST), digest)?;
        tracing::info!(%from, blocks, "a snapshot begins");
        Ok(Held { state: 0, blocks })
    }

    /// Copies this node's blocks, and returns their bytes. Its log may grow meanwhile and the last block be cut off: its
    /// rest comes from the sender.
    fn begin_with_own_blocks(&self, dir: &Path) -> io::Result<u64> {
        if self.distrusts_own.load(Ordering::Relaxed) {
            return Ok(0);
        }
        match fs::copy(self.data_dir.join(LOG_FILE_NAME), dir.join(LOG_FILE_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            copied => copied,
        }
    }

    /// Writes a part of a snapshot that another node sends, which goes on where the one before ended.
    pub(super) fn receive(&self, from: NodeId, part: Part, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let _one_at_a_time = self.receiving.lock();
        let path = self.received_from(from).join(part.file_name());
        let mut file = OpenOptions::new().append(true).create(offset == 0).open(path)?;
        let got = file.metadata()?.len();
        if got != offset {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a part at {offset}, expected one at {got}"),
            ));
        }
        file.write_all(bytes)
    }

    /// Takes a snapshot as received whole, if it is what the sender once wrote: both files durable and sound, the blocks
    /// as the header says. Otherwise it is dropped, and has to be sent anew. Nothing of it has touched the chain yet.
    pub(super) fn received(&self, from: NodeId) -> io::Result<SnapshotFiles> {
        let _one_at_a_time = self.receiving.lock();
        let dir = self.received_from(from);
        let header = Self::take(&dir).inspect_err(|_| {
            self.distrusts_own.store(true, Ordering::Relaxed);
            drop(remove_dir(&dir));
        })?;
        let whole = self.dir.join(format!("{WHOLE}{from}"));
        remove_dir(&whole)?;
        fs::rename(&dir, &whole)?;
        let (state, blocks) = (whole.join(STATE), whole.join(LOG_FILE_NAME));
        Ok(SnapshotFiles { header, state, blocks, received_in: Some(whole) })
    }

    fn take(dir: &Path) -> io::Result<SnapshotHeader> {
        let (state, blocks) = (dir.join(STATE), dir.join(LOG_FILE_NAME));
        let file = File::open(&state)?;
        sync(&file)?;
        let header = SnapshotHeader::check(BufReader::new(file)).map_err(|error| in_file(&state, error))?;
        if let Some(tip) = header.tip {
            let file = OpenOptions::new().write(true).open(&blocks)?;
            if file.metadata()?.len() > tip.log_len {
                // This node had more blocks than the snapshot stands on.
                file.set_len(tip.log_len)?;
            }
            sync(&file)?;
            tip.check_blocks(dir).map_err(|error| in_file(&blocks, error))?;
        }
        sync_dir(dir)?;
        Ok(header)
    }

    fn received_from(&self, from: NodeId) -> PathBuf {
        self.dir.join(format!("{FROM}{from}"))
    }

    fn own(&self, header: SnapshotHeader, state: PathBuf) -> SnapshotFiles {
        SnapshotFiles { header, state, blocks: self.data_dir.join(LOG_FILE_NAME), received_in: None }
    }

    fn path_of(&self, position: Option<LogPosition>) -> PathBuf {
        let index = position.map_or(0, |position| position.index);
        self.dir.join(format!("{index}.{STATE}"))
    }

    /// This node's own snapshots, ascending.
    fn states(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut states = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let index = name.strip_suffix(STATE).and_then(|name| name.strip_suffix('.'));
            states.extend(index.and_then(|index| Some((index.parse().ok()?, path))));
        }
        states.sort_unstable();
        Ok(states)
    }

    fn remove_older(&self) -> io::Result<()> {
        let mut states = self.states()?;
        states.pop();
        states.into_iter().try_for_each(|(_, path)| fs::remove_file(path))
    }
}

impl Draft {
    /// Makes the snapshot durable, in place of those before it.
    pub(super) fn finish(self) -> io::Result<SnapshotFiles> {
        let Self { writer, files } = self;
        let writer = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        writer.commit().map_err(io::Error::other)?;
        let dir = files.state.parent().map(Path::to_owned).unwrap_or_default();
        Snapshots::of(dir.parent().unwrap_or(Path::new(""))).remove_older()?;
        Ok(files)
    }
}

impl Part {
    const fn file_name(self) -> &'static str {
        match self {
            Self::State => STATE,
            Self::Blocks => LOG_FILE_NAME,
        }
    }
}

impl SnapshotFiles {
    /// What the state ends with.
    pub(super) fn digest(&self) -> io::Result<SnapshotDigest> {
        let mut digest = SnapshotDigest::default();
        let mut file = File::open(&self.state)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(SNAPSHOT_DIGEST_BYTES as u64)))?;
        file.read_exact(&mut digest)?;
        Ok(digest)
    }

    /// The bytes of a part from an offset on, at most [`CHUNK_BYTES`]; none at its end.
    pub(super) fn chunk(&self, part: Part, offset: u64) -> io::Result<Vec<u8>> {
        let (path, len) = match (part, self.header.tip) {
            (Part::State, _) => (&self.state, u64::MAX),
            (Part::Blocks, Some(tip)) => (&self.blocks, tip.log_len),
            (Part::Blocks, None) => return Ok(Vec::new()),
        };
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(len.saturating_sub(offset).min(CHUNK_BYTES as u64)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Whether the name of a path begins so.
fn is_of(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

/// Removes a directory, if there is one.
fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in a directory durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    sync(&File::open(dir)?)
}

/// Damage that a snapshot shows when it is read, with the file; a medium that fails as such.
fn in_file(file: &Path, error: SnapshotError) -> io::Error {
    match error {
        SnapshotError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => error,
        damage => damaged(file, damage.to_string()),
    }
}

fn damaged(file: &Path, what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", file.display()))
}

fn sync(file: &File) -> io::Result<()> {
    file.sync_all().map_err(|error| io::Error::other(AtomicIoError::Fsync(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;
    use tensor_chain::replicated::{ProposedWrite, ReplicatedEntry};
    use tensor_chain::{ChainConfig, Changeset, TensorStore, Transaction};

    fn open(dir: &Path) -> ReplicatedChain {
        ReplicatedChain::open(TensorStore::open_replicated(dir, 0).unwrap(), ChainConfig::default()).unwrap()
    }

    fn apply(chain: &ReplicatedChain, index: u64, entry: &ReplicatedEntry) {
        chain.apply(LogPosition { term: 1, index }, entry).unwrap();
    }

    /// A chain of some blocks, and its log.
    fn grown(dir: &Path) -> (ReplicatedChain, Vec<ReplicatedEntry>) {
        let chain = open(dir);
        let mut log = vec![chain.genesis_entry().unwrap()];
        apply(&chain, 1, &log[0]);
        for index in 2..12 {
            let put = Transaction::Put { key: format!("key-{index}"), data: vec![7; 300_000] };
            let write = ProposedWrite { changeset: Changeset::single(put).unwrap(), session: None };
            log.push(ReplicatedEntry::Batch(chain.propose(vec![write], 0).unwrap().unwrap()));
            apply(&chain, index, &log[index as usize - 1]);
        }
        (chain, log)
    }

    /// A chain of some blocks, its log, and a snapshot of it.
    struct Leader {
        dir: TempDir,
        chain: ReplicatedChain,
        log: Vec<ReplicatedEntry>,
        files: SnapshotFiles,
    }

    impl Leader {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (chain, log) = grown(dir.path());
            let own = Snapshots::open(dir.path(), &chain).unwrap();
            let files = own.draft(&chain).unwrap().finish().unwrap();
            Self { dir, chain, log, files }
        }
    }

    /// The chain in a directory after the first entries of a log, and its snapshots.
    fn follower(dir: &Path, log: &[ReplicatedEntry]) -> (ReplicatedChain, Snapshots) {
        let chain = open(dir);
        (1..).zip(log).for_each(|(index, entry)| apply(&chain, index, entry));
        let snapshots = Snapshots::open(dir, &chain).unwrap();
        (chain, snapshots)
    }

    /// Sends the parts as the leader does.
    fn send(files: &SnapshotFiles, to: &Snapshots, from: NodeId) {
        let held = to.offered(from, &files.digest().unwrap()).unwrap();
        for (part, mut offset) in [(Part::State, held.state), (Part::Blocks, held.blocks)] {
            loop {
                let bytes = files.chunk(part, offset).unwrap();
                assert!(bytes.len() <= CHUNK_BYTES);
                if bytes.is_empty() {
                    break;
                }
                to.receive(from, part, offset, &bytes).unwrap();
                offset += bytes.len() as u64;
            }
        }
    }

    #[test]
    fn blocks_that_are_here_are_not_sent_again() {
        let Leader { dir: _kept, chain: leader, log, files } = Leader::new();
        let dir = tempfile::tempdir().unwrap();
        let digest = files.digest().unwrap();
        let [from, other] = [1, 2].map(|byte| NodeId([byte; 32]));
        let (chain, snapshots) = follower(dir.path(), &[]);
        assert_eq!(snapshots.offered(other, &[9; 32]).unwrap(), Held { state: 0, blocks: 0 });
        for index in 1..6 {
            apply(&chain, index, &log[index as usize - 1]);
        }
        let own_len = fs::metadata(dir.path().join(LOG_FILE_NAME)).unwrap().len();
        assert_eq!(snapshots.offered(from, &digest).unwrap(), Held { state: 0, blocks: own_len });
        assert!(own_len > 1_000_000);
        // Another snapshot of the same node: its blocks are the same.
        assert_eq!(snapshots.offered(from, &[9; 32]).unwrap(), Held { state: 0, blocks: own_len });
        send(&files, &snapshots, from);
        let received = snapshots.received(from).unwrap();
        // One that came whole while the other is being installed waits for its own installation.
        send(&files, &snapshots, other);
        let waiting = snapshots.received(other).unwrap();
        assert_eq!(snapshots.offered(other, &[9; 32]).unwrap(), Held { state: 0, blocks: own_len });
        snapshots.install(&chain, received).unwrap();
        assert_eq!(place(&chain), place(&leader));
        assert!(!snapshots.received_from(other).exists(), "what came to nothing");
        snapshots.install(&chain, waiting).unwrap();

        // A log that goes on past the snapshot.
        drop((chain, snapshots));
        fs::remove_dir_all(dir.path().join("index")).unwrap();
        fs::remove_dir_all(dir.path().join("snapshot")).unwrap();
        let early = tempfile::tempdir().unwrap();
        let (shorter, early_own) = follower(early.path(), &log[..3]);
        let early_files = early_own.draft(&shorter).unwrap().finish().unwrap();
        let (chain, snapshots) = follower(dir.path(), &[]);
        send(&early_files, &snapshots, from);
        snapshots.install(&chain, snapshots.received(from).unwrap()).unwrap();
        assert_eq!(place(&chain), place(&shorter));
    }

    #[test]
    fn own_blocks_that_do_not_fit_are_used_once() {
        let Leader { dir: _kept, log, files, .. } = Leader::new();
        let dir = tempfile::tempdir().unwrap();
        let (_chain, snapshots) = follower(dir.path(), &log[..5]);
        let log = dir.path().join(LOG_FILE_NAME);
        let mut bytes = fs::read(&log).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&log, bytes).unwrap();
        let from = NodeId([1; 32]);
        send(&files, &snapshots, from);
        snapshots.received(from).unwrap_err();
        let none = Held { state: 0, blocks: 0 };
        assert_eq!(snapshots.offered(from, &files.digest().unwrap()).unwrap(), none);
        send(&files, &snapshots, from);
        snapshots.received(from).unwrap();
    }

    fn place(chain: &ReplicatedChain) -> (Option<LogPosition>, tensor_chain::BlockHash) {
        (chain.applied().unwrap(), chain.chain().tip_hash())
    }

    #[test]
    fn an_installation_that_was_cut_short_is_finished_at_the_next_start() {
        let Leader { dir: _kept, chain: leader, log, files } = Leader::new();
        let dir = tempfile::tempdir().unwrap();
        let from = NodeId([1; 32]);
        let (chain, snapshots) = follower(dir.path(), &log[..1]);
        send(&files, &snapshots, from);
        assert!(snapshots.receive(from, Part::Blocks, 5, b"x").is_err(), "a gap");
        let received = snapshots.received(from).unwrap();
        // The node died when a part of the blocks was there.
        fs::rename(received.received_in.unwrap(), snapshots.dir.join(INSTALLING)).unwrap();
        for index in 2..6 {
            apply(&chain, index, &log[index as usize - 1]);
        }
        drop((chain, snapshots));

        let chain = open(dir.path());
        let snapshots = Snapshots::open(dir.path(), &chain).unwrap();
        assert_eq!(place(&chain), place(&leader));
        assert_eq!(snapshots.current().unwrap().unwrap().header, files.header);
        assert!(!snapshots.dir.join(INSTALLING).exists());
        chain.chain().verify_full().unwrap();
    }

    #[test]
    fn what_an_installation_left_to_remove_is_removed_at_the_next_start() {
        let Leader { dir: _kept, chain: leader, files, .. } = Leader::new();
        let dir = tempfile::tempdir().unwrap();
        let (chain, snapshots) = follower(dir.path(), &[]);
        let from = NodeId([1; 32]);
        send(&files, &snapshots, from);
        snapshots.install(&chain, snapshots.received(from).unwrap()).unwrap();
        // The node died when the state had its place and the blocks beside it were not removed.
        let installing = snapshots.dir.join(INSTALLING);
        fs::create_dir(&installing).unwrap();
        fs::copy(&files.blocks, installing.join(LOG_FILE_NAME)).unwrap();
        drop((chain, snapshots));

        let chain = open(dir.path());
        let snapshots = Snapshots::open(dir.path(), &chain).unwrap();
        assert_eq!(place(&chain), place(&leader));
        assert_eq!(snapshots.current().unwrap().unwrap().header, files.header);
        assert!(!installing.exists());
    }

    #[test]
    fn a_damaged_snapshot_of_its_own_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (chain, _) = grown(dir.path());
        let own = Snapshots::open(dir.path(), &chain).unwrap();
        let files = own.draft(&chain).unwrap().finish().unwrap();
        let log_len = files.header.tip.unwrap().log_len;
        assert_eq!(Snapshots::synced_len(dir.path()).unwrap(), log_len);
        let sound = fs::read(&files.state).unwrap();
        for position in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[position] ^= 0x10;
            fs::write(&files.state, flipped).unwrap();
            let error = Snapshots::synced_len(dir.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {position}: {error}");
            assert!(error.to_string().contains(files.state.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_snapshot_that_is_cut_short_or_damaged_is_not_taken() {
        let Leader { dir: _kept, chain: leader, files, .. } = Leader::new();
        let dir = tempfile::tempdir().unwrap();
        let (chain, snapshots) = follower(dir.path(), &[]);
        let from = NodeId([1; 32]);
        send(&files, &snapshots, from);
        let whole = |name: &str| {
            send(&files, &snapshots, from);
            let file = snapshots.received_from(from).join(name);
            (fs::read(&file).unwrap(), file)
        };
        for name in [LOG_FILE_NAME, STATE] {
            let (sound, file) = whole(name);
            fs::write(&file, &sound[..sound.len() - 1]).unwrap();
            assert!(snapshots.received(from).is_err(), "{name} cut short");
            // It is gone: what is damaged must not be gone on with.
            let none = Held { state: 0, blocks: 0 };
            assert_eq!(snapshots.offered(from, &files.digest().unwrap()).unwrap(), none);
            for position in (0..sound.len()).step_by(sound.len().div_ceil(100)) {
                let (mut flipped, file) = whole(name);
                flipped[position] ^= 1;
                fs::write(&file, flipped).unwrap();
                assert!(snapshots.received(from).is_err(), "{name} byte {position}");
            }
        }
        send(&files, &snapshots, from);
        assert_eq!(chain.applied().unwrap(), None);
        snapshots.install(&chain, snapshots.received(from).unwrap()).unwrap();
        assert_eq!(place(&chain), place(&leader));
    }
}
