//! Whose directory it is: a file with the ids of cluster and node and a checksum of both, which is written once, before
//! anything else of the cluster is.
//!
//! The cluster need not have the id of its chain: one that was restored from a snapshot goes on with the chain of another.

use std::io::ErrorKind;

use tensor_chain::atomic_io::atomic_write;
use tensor_chain::dir::DataDir;
use tensor_chain::hash::Domain;
use tensor_chain::{ChainId, Identity, NodeId, StoreError};

use crate::exit::{Exit, Failure};

const FILE: &str = "cluster";
const CHECKSUM: Domain = Domain::new("cluster-file");

/// The cluster and the identity of the node whose directory it is. A new directory belongs to the cluster that it is to
/// join, or to a new one, and to a new node.
///
/// # Errors
/// A directory of another cluster than the one to join, or of another node than its key is of; damaged files; a
/// failure of the medium; no random bytes.
pub(super) fn of(dir: &DataDir, joins: Option<ChainId>) -> Result<(ChainId, Identity), Failure> {
    let path = dir.path().join(FILE);
    let failed = |exit, message: String| Failure::new(exit, format!("{}: {message}", path.display()));
    let load = || Identity::load_or_create(dir.identity_path()).map_err(StoreError::from);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let cluster = match joins {
                Some(id) => id,
                None => ChainId::random().map_err(|error| failed(Exit::Failed, error.to_string()))?,
            };
            let identity = load()?;
            let text = content(cluster, identity.node_id());
            atomic_write(&path, text.as_bytes()).map_err(|error| Failure::of_file(&path, &error))?;
            return Ok((cluster, identity));
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(failed(Exit::Corruption, error.to_string()));
        }
        Err(error) => return Err(failed(Exit::Failed, error.to_string())),
    };
    let (cluster, node) = parse(&text).ok_or_else(|| {
        failed(Exit::Corruption, "damaged: it does not say which cluster and node".to_owned())
    })?;
    if let Some(joins) = joins.filter(|joins| *joins != cluster) {
        let message = format!("this directory belongs to cluster {cluster}, the ticket is for {joins}");
        return Err(failed(Exit::Failed, message));
    }
    if !dir.identity_path().exists() {
        let message = format!("this directory belongs to node {node}, whose identity.key is gone");
        return Err(failed(Exit::Corruption, message));
    }
    let identity = load()?;
    match identity.node_id() {
        found if found == node => Ok((cluster, identity)),
        found => {
            let message = format!("this directory belongs to node {node}, its identity.key to {found}");
            Err(failed(Exit::Corruption, message))
        }
    }
}

fn parse(text: &str) -> Option<(ChainId, NodeId)> {
    let mut lines = text.lines();
    let (cluster, node) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
    // There is one way to write it.
    (text == content(cluster, node)).then_some((cluster, node))
}

fn content(cluster: ChainId, node: NodeId) -> String {
    // Shown as ids are.
    let checksum = ChainId(CHECKSUM.hash(&[cluster.as_bytes(), node.as_bytes()]));
    format!("{cluster}\n{node}\n{checksum}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn open(dir: &Path, joins: Option<ChainId>) -> Result<(ChainId, NodeId), Exit> {
        let dir = DataDir::open(dir).unwrap();
        let whose = of(&dir, joins).map_err(|failure| failure.exit());
        whose.map(|(cluster, identity)| (cluster, identity.node_id()))
    }

    #[test]
    fn a_directory_stays_with_its_cluster_and_its_node() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (id, node) = open(dir.path(), None).unwrap();
        assert_eq!(open(dir.path(), None).unwrap(), (id, node));
        assert_eq!(open(dir.path(), Some(id)).unwrap(), (id, node));
        assert_eq!(open(dir.path(), Some(ChainId([7; 32]))), Err(Exit::Failed));

        let (joined, other_node) = open(other.path(), Some(id)).unwrap();
        assert_eq!(joined, id);
        let key = |dir: &tempfile::TempDir| dir.path().join("identity.key");
        let own_key = std::fs::read(key(&dir)).unwrap();
        std::fs::copy(key(&other), key(&dir)).unwrap();
        assert_ne!(node, other_node);
        assert_eq!(open(dir.path(), None), Err(Exit::Corruption), "the key of another node");
        std::fs::remove_file(key(&dir)).unwrap();
        assert_eq!(open(dir.path(), None), Err(Exit::Corruption), "no key");
        assert!(!key(&dir).exists(), "and none was made");
        std::fs::copy(key(&other), key(&dir)).unwrap();
        std::fs::write(key(&dir), own_key).unwrap();
        assert_eq!(open(dir.path(), None).unwrap(), (id, node));
        assert_ne!(open(tempfile::tempdir().unwrap().path(), None).unwrap(), (id, node));
    }

    #[test]
    fn every_flipped_bit_of_the_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), None).unwrap();
        let sound = std::fs::read(dir.path().join(FILE)).unwrap();
        for position in 0..sound.len() {
            for bit in 0..8 {
                let mut flipped = sound.clone();
                flipped[position] ^= 1 << bit;
                std::fs::write(dir.path().join(FILE), flipped).unwrap();
                assert_eq!(open(dir.path(), None), Err(Exit::Corruption), "byte {position}, bit {bit}");
            }
        }
    }
}
