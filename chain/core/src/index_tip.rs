//! Where the index stands, and what that says about the log.
//!
//! A block enters the index of an embedded chain when the log has been synced with it: write, sync, index, one block
//! after the other. What of the index reaches the disk, and when, is then its own affair; whatever is lost in a crash,
//! the index can lag behind the log and never be ahead of it. An index that is ahead of the log of its own chain is
//! proof that the log has lost blocks, though every byte that is left of it is sound.

use std::path::Path;

use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::head::Tip;
use crate::ids::{BlockHash, Height};
use crate::index::{Index, IndexError, IndexOp, Space};
use crate::log::{BlockLog, Damage, LogError};
use crate::store::{self, StoreError};

/// The key of the record that says where the index stands.
const TIP: &[u8] = b"tip";
/// The key of the record that says of which chain the index is: the hash of its genesis block.
const CHAIN: &[u8] = b"chain";
/// How the entries of the index are laid out; an index of another layout is built anew. 1, without a number of its
/// own, had an entry for each branch of the state tree; 2 has pages of them; 3 leaves long values in the blocks; 4 keeps
/// what clients were answered in slots; 5 says of which chain it is; 6 has the pages as they are in memory.
const INDEX_LAYOUT: u16 = 6;

/// The last block that the index knows.
pub(crate) struct IndexTip {
    height: Height,
    pub(crate) hash: BlockHash,
    /// Where in the log it starts.
    pub(crate) offset: u64,
}

/// Brings the index to a tip whose block starts at an offset of the log.
pub(crate) fn put(tip: Tip, offset: u64) -> impl Iterator<Item = IndexOp> {
    let Tip { height, hash, .. } = tip;
    let chain = (height == Height::GENESIS).then(|| meta(CHAIN, hash.to_bytes()));
    chain.into_iter().chain([meta(TIP, IndexTip { height, hash, offset }.to_bytes())])
}

fn meta(key: &[u8], value: Vec<u8>) -> IndexOp {
    IndexOp::put(Space::Meta, key.to_vec(), value)
}

/// Whether the index has ever known a block.
pub(crate) fn is_known(index: &dyn Index) -> Result<bool, IndexError> {
    Ok(index.get(Space::Meta, TIP)?.is_some())
}

/// Where the index stands; `None` where it is empty or has another layout.
pub(crate) fn get(index: &dyn Index) -> Result<Option<IndexTip>, IndexError> {
    let record = index.get(Space::Meta, TIP)?;
    Ok(record.and_then(|record| IndexTip::from_bytes(&record).ok()))
}

/// Refuses a log, or the lack of one, that has lost blocks which the index of an embedded chain knows. An index of
/// another chain, of another layout or with damage of its own says nothing about blocks, and is built anew.
pub(crate) fn refuse_loss(
    index: &dyn Index,
    log: Option<&dyn BlockLog>,
    file: &Path,
) -> Result<(), StoreError> {
    let lost = |offset, height, tip| {
        let (file, height) = (file.to_owned(), Some(height));
        Err(LogError::Corrupt { file, offset, height, reason: Damage::Lost { tip } }.into())
    };
    let Some((log, last)) = log.and_then(|log| Some((log, log.tip()?))) else {
        // No block ever was in the index that was not in the log, whatever else is the matter with the index.
        return match is_known(index)? {
            true => lost(0, Height::GENESIS, get(index)?.map_or(Height::GENESIS, |tip| tip.height)),
            false => Ok(()),
        };
    };
    let known = match get(index).and_then(|tip| Ok((tip, index.get(Space::Meta, CHAIN)?))) {
        Err(error) if error.needs_rebuild() => return Ok(()),
        known => known?,
    };
    let (Some(tip), Some(chain)) = known else { return Ok(()) };
    if store::decode(&log.read(log.start())?)?.hash().to_bytes() != chain {
        return Ok(());
    }
    match log.read(tip.offset) {
        Ok(frame) if store::decode(&frame)?.hash() == tip.hash => Ok(()),
        Ok(_) | Err(LogError::NoSuchOffset { .. } | LogError::Corrupt { .. }) => match last.next() {
            Some(next) if next <= tip.height => lost(log.end(), next, tip.height),
            _ => lost(tip.offset, tip.height, tip.height),
        },
        Err(error) => Err(error.into()),
    }
}

impl Encode for IndexTip {
    fn encode(&self, writer: &mut Writer) {
        writer.u16(INDEX_LAYOUT);
        self.height.encode(writer);
        self.hash.encode(writer);
        writer.u64(self.offset);
    }
}

impl Decode for IndexTip {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u16()? != INDEX_LAYOUT {
            return Err(DecodeError::Invalid { what: "layout of the index" });
        }
        Ok(Self { height: Height::decode(reader)?, hash: BlockHash::decode(reader)?, offset: reader.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::chain::TensorChain;
    use crate::dir::DataDir;
    use crate::index::{DiskIndex, Lookup as _};
    use crate::store::TensorStore;

    #[test]
    fn an_index_of_another_layout_is_built_anew() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let chain = TensorChain::new(TensorStore::open(dir.path()).unwrap(), "node1");
            chain.initialize().unwrap();
            chain
        };
        let chain = open();
        for n in 0..100 {
            chain.put(format!("key-{n}"), "value").unwrap();
        }
        let mut tip_hash = chain.tip_hash();
        chain.close().unwrap();

        // As it was before layouts had numbers, and as it was until this one, with nothing in it that could be read today.
        let before = INDEX_LAYOUT - 1;
        for layout in [&[][..], &before.to_le_bytes()] {
            let index = DiskIndex::open(DataDir::open(dir.path()).unwrap().index_path()).unwrap();
            let tip = index.get(Space::Meta, TIP).unwrap().unwrap();
            let mut tree = Vec::new();
            index
                .scan(Space::Tree, &[], None, &mut |key, _| {
                    tree.push(IndexOp::put(Space::Tree, key.to_vec(), vec![0; 2]));
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert!(tree.len() > 16);
            tree.push(IndexOp::put(Space::Meta, TIP.to_vec(), [layout, &tip[2..]].concat()));
            index.write(tree).unwrap();
            drop(index);

            let chain = open();
            assert_eq!(chain.tip_hash(), tip_hash);
            chain.put("key-0", format!("other than {layout:?}")).unwrap();
            chain.verify_full().unwrap();
            tip_hash = chain.tip_hash();
            chain.close().unwrap();
        }
    }
}
