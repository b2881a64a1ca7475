//! The data directory of a new node from a snapshot: all of it or nothing.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tensor_chain::atomic_io::settle_dir;
use tensor_chain::dir::DataDir;
use tensor_chain::{ChainConfig, ChainId, StoreError};
use tensor_cluster::api::Peer;
use tensor_cluster::{RestoreError, Restored};
use tensor_kernels::Kernels;

use super::cluster_id;
use crate::exit::{Exit, Failure};

/// Makes the data directory of a node from a snapshot, with a new key and as a cluster of its own with a new id. It is
/// built beside the place where it is to be and moved there when everything has been checked. `peer_address` and
/// `http_address` are where the node will be reached.
///
/// # Errors
/// Exit 5 for a snapshot that does not hold; a directory that is not empty, or cannot be written.
pub async fn restore(
    snapshot: &Path,
    dir: &Path,
    kernels: Kernels,
    (peer_address, http_address): (String, String),
) -> Result<(Restored, ChainId), Failure> {
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("{}: {error}", dir.display()));
    if !is_absent_or_empty(dir).map_err(failed)? {
        return Err(failed(io::Error::other("is not empty: a snapshot is restored into a new directory")));
    }
    let building = Building::beside(dir).map_err(failed)?;
    let chain = ChainConfig { kernels: Some(kernels), ..ChainConfig::new("tensorchain") };
    let at = |node| Peer { node, peer_address, http_address };
    let restored = tensor_cluster::restore(snapshot, &building.0, chain, at)
        .await
        .map_err(|error| of_snapshot(snapshot, error))?;
    let data_dir = DataDir::open(&building.0).map_err(StoreError::from)?;
    let (cluster, _) = cluster_id::of(&data_dir, None)?;
    drop(data_dir);
    building.move_to(dir).map_err(failed)?;
    Ok((restored, cluster))
}

fn is_absent_or_empty(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// A directory in the making; gone with whatever is in it unless it is moved.
struct Building(PathBuf);

impl Building {
    fn beside(dir: &Path) -> io::Result<Self> {
        let name = dir.file_name().ok_or_else(|| io::Error::other("is no place for a directory"))?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        settle_dir(parent).map_err(io::Error::other)?;
        let name = format!(".{}.restoring-{}", name.to_string_lossy(), std::process::id());
        let path = parent.join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Puts it in place of an empty directory, or where there is none, for good.
    fn move_to(self, dir: &Path) -> io::Result<()> {
        fs::rename(&self.0, dir)?;
        let parent = self.0.parent().unwrap_or(Path::new("."));
        fs::File::open(parent)?.sync_all()
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // Not there any more where it was moved.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What is wrong with a snapshot, or with the medium.
#[must_use]
pub fn of_snapshot(file: &Path, error: RestoreError) -> Failure {
    let exit = match &error {
        RestoreError::Io(io) if io.kind() == ErrorKind::StorageFull => Exit::NoSpace,
        RestoreError::Io(_) | RestoreError::Chain(_) => Exit::Failed,
        RestoreError::Snapshot(_)
        | RestoreError::CutShort
        | RestoreError::Length { .. }
        | RestoreError::NoChain => Exit::Mismatch,
    };
    Failure::new(exit, format!("{}: {error}", file.display()))
}
