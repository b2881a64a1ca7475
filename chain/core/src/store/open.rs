//! Opening the store in a directory.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use super::{StoreError, TensorStore};
use crate::atomic_io::atomic_write;
use crate::dir::{DataDir, DirError, holds_chain};
use crate::identity::Identity;
use crate::index::{BufferedIndex, DiskIndex, Index, IndexError};
use crate::index_tip;
use crate::log::{BlockLog, FileLog, LOG_FILE_NAME, LogError};
use crate::quarantine;

impl TensorStore {
    /// The store in a directory, which is made where there is none. Nobody else can open it meanwhile. Its identity
    /// is the key that is kept there; a missing or damaged index is no loss, it is built anew from the log.
    ///
    /// # Errors
    /// A directory that is in use or holds something else; a damaged log, or one that lost blocks which the index or the
    /// marker of a clean close knows; a failure of the medium.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_in(DataDir::open(dir)?, None)
    }

    /// As [`open`](Self::open) for a chain that belongs to a cluster: from then on this directory takes no writes but
    /// the cluster's. `synced_len` is the length of the block log that the last [`sync`](crate::replicated::ReplicatedChain::sync)
    /// that is known of made durable, 0 where none is: blocks behind it that a power loss damaged are taken away, and
    /// the replicated log leads to them again.
    ///
    /// # Errors
    /// As [`open`](Self::open), a directory with a chain of its own, and one whose chain is known to be another than
    /// the cluster's.
    pub fn open_replicated(dir: impl AsRef<Path>, synced_len: u64) -> Result<Self, StoreError> {
        Self::open_in(replicated_dir(dir)?, Some(synced_len))
    }

    /// As [`open_replicated`](Self::open_replicated), over an index that the caller keeps from one opening to the
    /// next instead of the one in the directory.
    ///
    /// # Errors
    /// As [`open_replicated`](Self::open_replicated).
    pub fn open_replicated_over(
        dir: impl AsRef<Path>,
        synced_len: u64,
        index: Box<dyn Index>,
    ) -> Result<Self, StoreError> {
        Self::open_over(replicated_dir(dir)?, Some(synced_len), |_| Ok(index))
    }

    fn open_in(dir: DataDir, synced: Option<u64>) -> Result<Self, StoreError> {
        Self::open_over(dir, synced, |dir| Ok(Box::new(BufferedIndex::new(open_index(dir)?))))
    }

    fn open_over(
        dir: DataDir,
        synced: Option<u64>,
        index: impl FnOnce(&DataDir) -> Result<Box<dyn Index>, IndexError>,
    ) -> Result<Self, StoreError> {
        let identity = Identity::load_or_create(dir.identity_path())?;
        let (log, torn_tail) = match FileLog::open_synced_up_to(dir.path(), synced) {
            Ok((log, torn_tail)) => (OnceLock::from(Box::new(log) as Box<dyn BlockLog>), torn_tail),
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                (OnceLock::new(), None)
            }
            Err(error) => return Err(error.into()),
        };
        let index = index(&dir)?;
        let replicated = dir.replicated_path().exists();
        if !replicated {
            // The log of a replicated chain is synced later than its index; the replicated log makes up for both.
            let file = dir.path().join(LOG_FILE_NAME);
            index_tip::refuse_loss(&*index, log.get().map(AsRef::as_ref), &file)?;
        }
        Ok(Self {
            identity: OnceLock::from(identity),
            log,
            torn_tail,
            index,
            replicated,
            divergence: OnceLock::new(),
            dir: Some(dir),
        })
    }
}

/// The directory of a chain that belongs to a cluster.
fn replicated_dir(dir: impl AsRef<Path>) -> Result<DataDir, StoreError> {
    let dir = DataDir::open(dir)?;
    quarantine::refuse(&dir)?;
    if !dir.replicated_path().exists() {
        if holds_chain(dir.path()) {
            return Err(StoreError::NotReplicated { dir: dir.path().to_owned() });
        }
        let fail = |source| DirError::Io { dir: dir.path().to_owned(), source };
        atomic_write(dir.replicated_path(), &[]).map_err(fail)?;
    }
    Ok(dir)
}

/// The index of a directory. One whose files are damaged is thrown away: the log has everything.
fn open_index(dir: &DataDir) -> Result<DiskIndex, IndexError> {
    match DiskIndex::open(dir.index_path()) {
        Err(error) if error.needs_rebuild() => {
            tracing::warn!("{error}: building the index anew");
            DiskIndex::create_anew(dir.index_path())
        }
        opened => opened,
    }
}
