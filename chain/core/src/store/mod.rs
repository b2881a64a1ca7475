//! Where a chain lives: the block log, which is the truth, and the index over it.

mod error;
mod open;

use std::ops::ControlFlow;
use std::sync::OnceLock;

pub use error::StoreError;

use crate::block::{Block, Stamp};
use crate::block_places;
use crate::dir::DataDir;
use crate::encoding::{Decode, Encode};
use crate::genesis::ChainParams;
use crate::head::Tip;
use crate::identity::{Identity, IdentityError};
use crate::ids::{BlockHash, Height};
use crate::index::{Index, IndexOp, Lookup, MemoryIndex, Space};
use crate::index_tip;
use crate::log::{BlockLog, FileLog, Frame, MemoryLog, Scan, TornTail};
use crate::quarantine::{self, Divergence};
use crate::state::State;

/// The data of one chain, in memory or in a directory.
///
/// ```
/// use tensor_chain::{TensorChain, TensorStore};
/// let chain = TensorChain::new(TensorStore::new(), "node1");
/// chain.initialize()?;
/// # Ok::<(), tensor_chain::ChainError>(())
/// ```
#[derive(Debug)]
pub struct TensorStore {
    identity: OnceLock<Identity>,
    /// Made with the chain: it begins with the chain's parameters.
    log: OnceLock<Box<dyn BlockLog>>,
    torn_tail: Option<TornTail>,
    index: Box<dyn Index>,
    replicated: bool,
    /// Once the cluster's voters have signed another chain.
    divergence: OnceLock<Divergence>,
    /// Last, so that the directory is unlocked when everything else in it is closed.
    dir: Option<DataDir>,
}

impl TensorStore {
    /// An empty store in memory, with an identity of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::in_memory(Box::new(MemoryIndex::new()))
    }

    /// As [`new`](Self::new), over a particular index.
    pub(crate) fn in_memory(index: Box<dyn Index>) -> Self {
        let (identity, log) = (OnceLock::new(), OnceLock::new());
        Self {
            identity,
            log,
            torn_tail: None,
            index,
            replicated: false,
            divergence: OnceLock::new(),
            dir: None,
        }
    }

    /// An empty store in memory for a chain that belongs to a cluster, with a given identity.
    #[must_use]
    pub fn replicated(identity: Identity) -> Self {
        Self { replicated: true, ..Self::with_identity(identity) }
    }

    /// An empty store in memory, with a given identity.
    #[must_use]
    pub fn with_identity(identity: Identity) -> Self {
        Self { identity: OnceLock::from(identity), ..Self::new() }
    }

    /// What opening the store took away from the end of the log, where a crash had cut off a block.
    #[must_use]
    pub const fn torn_tail(&self) -> Option<&TornTail> {
        self.torn_tail.as_ref()
    }

    /// The identity that signs this store's blocks; drawn at first use where none was given.
    ///
    /// # Errors
    /// No random bytes.
    pub fn identity(&self) -> Result<&Identity, IdentityError> {
        match self.identity.get() {
            Some(identity) => Ok(identity),
            None => {
                let drawn = Identity::generate()?;
                Ok(self.identity.get_or_init(|| drawn))
            }
        }
    }

    /// Whether the chain belongs to a cluster.
    #[must_use]
    pub const fn is_replicated(&self) -> bool {
        self.replicated
    }

    /// How the chain differs from the cluster's, where that has been found out.
    #[must_use]
    pub fn divergence(&self) -> Option<&Divergence> {
        self.divergence.get()
    }

    /// Puts the store out of use: its directory is refused from now on.
    pub(crate) fn quarantine(&self, divergence: Divergence) -> Result<(), StoreError> {
        let divergence = self.divergence.get_or_init(|| divergence);
        self.dir.as_ref().map_or(Ok(()), |dir| quarantine::mark(dir, divergence))
    }

    pub(crate) fn index(&self) -> &dyn Index {
        &*self.index
    }

    /// The log, once the chain has been made.
    pub(crate) fn log(&self) -> Option<&dyn BlockLog> {
        self.log.get().map(AsRef::as_ref)
    }

    /// The state at the tip.
    pub(crate) fn state(&self) -> Result<State<'_>, StoreError> {
        self.state_through(&*self.index)
    }

    /// The state that an index says.
    pub(crate) fn state_through<'s>(&'s self, index: &'s dyn Lookup) -> Result<State<'s>, StoreError> {
        Ok(State { index, blocks: self.log().ok_or(StoreError::NoLog)? })
    }

    /// The log, made with these parameters if there is none.
    pub(crate) fn create_log(&self, params: &[u8]) -> Result<&dyn BlockLog, StoreError> {
        let log: Box<dyn BlockLog> = match &self.dir {
            Some(dir) => Box::new(FileLog::create(dir.path(), params)?),
            None => Box::new(MemoryLog::new(params.to_vec())),
        };
        Ok(self.log.get_or_init(|| log).as_ref())
    }

    /// Leaves log and index in good order.
    pub(crate) fn close(&self, tip_hash: BlockHash) -> Result<(), StoreError> {
        self.index.flush()?;
        Ok(self.log().ok_or(StoreError::NoLog)?.close(tip_hash)?)
    }

    /// Appends a block, its canonical bytes, to the log and then writes its effects, its place and the new tip to the
    /// index, as one batch. When this returns, the block is durable.
    pub(crate) fn append(&self, block: &[u8], tip: Tip, effects: Vec<IndexOp>) -> Result<(), StoreError> {
        let log = self.log().ok_or(StoreError::NoLog)?;
        let offset = log.append(tip.height, block)?;
        self.write_effects(tip, offset, effects)
    }

    /// Makes the log of a chain, with its genesis block, durable. A log that has been made before is left.
    pub(crate) fn begin_log(&self, params: &ChainParams, stamp: &Stamp) -> Result<(), StoreError> {
        let log = match self.log() {
            Some(log) => log,
            None => self.create_log(&params.to_bytes())?,
        };
        let genesis = params.genesis(stamp.clone()).to_bytes();
        match log.tip() {
            None => log.append(Height::GENESIS, &genesis).map(|_| ())?,
            Some(_) if log.read(log.start())?.payload == genesis => {}
            Some(_) => return Err(StoreError::OtherBlock { height: Height::GENESIS }),
        }
        Ok(())
    }

    /// As [`append`](Self::append), but durable only after the next [`sync`](Self::sync). After a crash the log may
    /// hold blocks that the index does not know: then the same block must come again.
    pub(crate) fn append_replicated(
        &self,
        block: &[u8],
        tip: Tip,
        effects: Vec<IndexOp>,
    ) -> Result<(), StoreError> {
        let log = self.log().ok_or(StoreError::NoLog)?;
        let height = tip.height;
        let offset = if log.tip() < Some(height) {
            log.append_unsynced(height, block)?
        } else {
            let below = height.previous().ok_or(StoreError::Misplaced { height })?;
            let offset = self.end_of(below)?;
            if log.read(offset)?.payload != block {
                return Err(StoreError::OtherBlock { height });
            }
            offset
        };
        self.write_effects(tip, offset, effects)
    }

    /// Makes everything durable that was written so far.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        if let Some(log) = self.log() {
            log.sync()?;
        }
        Ok(self.index.flush()?)
    }

    /// Writes to the index alone.
    pub(crate) fn write(&self, ops: Vec<IndexOp>) -> Result<(), StoreError> {
        Ok(self.index.write(ops)?)
    }

    /// Removes all entries of a space, many at a time.
    pub(crate) fn clear_space(&self, space: Space) -> Result<(), StoreError> {
        loop {
            let mut ops = Vec::new();
            self.index.scan(space, &[], None, &mut |key, _| {
                ops.push(IndexOp::delete(space, key.to_vec()));
                if ops.len() < 4_096 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if ops.is_empty() {
                return Ok(());
            }
            self.index.write(ops)?;
        }
    }

    /// Where in the log the block after the one at a height starts.
    pub(crate) fn end_of(&self, height: Height) -> Result<u64, StoreError> {
        let log = self.log().ok_or(StoreError::NoLog)?;
        Ok(self.frame(log, height)?.ok_or(StoreError::Misplaced { height })?.end)
    }

    /// Brings the index from the block below to `tip`, whose block lies at `offset` of the log.
    pub(crate) fn write_effects(
        &self,
        tip: Tip,
        offset: u64,
        mut effects: Vec<IndexOp>,
    ) -> Result<(), StoreError> {
        effects.push(block_places::put(tip.height, offset));
        effects.extend(index_tip::put(tip, offset));
        Ok(self.index.write(effects)?)
    }

    /// The block at a height, if there is one.
    pub(crate) fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        let Some(log) = self.log() else { return Ok(None) };
        self.frame(log, height)?.as_ref().map(decode).transpose()
    }

    fn frame(&self, log: &dyn BlockLog, height: Height) -> Result<Option<Frame>, StoreError> {
        let Some(offset) = block_places::get(&*self.index, height)? else { return Ok(None) };
        let frame = log.read(offset)?;
        match frame.height == height {
            true => Ok(Some(frame)),
            false => Err(StoreError::Misplaced { height }),
        }
    }

    /// All blocks of the log in order, each with its offset.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Result<(u64, Block), StoreError>> {
        self.blocks_from(self.log().map_or(0, BlockLog::start))
    }

    /// As [`blocks`](Self::blocks), from an offset on, where a block must start.
    pub(crate) fn blocks_from(&self, offset: u64) -> impl Iterator<Item = Result<(u64, Block), StoreError>> {
        let scan = self.log().map(|log| Scan::new(log, offset));
        scan.into_iter().flatten().map(|frame| {
            let frame = frame?;
            Ok((frame.offset, decode(&frame)?))
        })
    }

    /// Whether the index has ever known a block.
    pub(crate) fn has_indexed_tip(&self) -> Result<bool, StoreError> {
        Ok(index_tip::is_known(&*self.index)?)
    }

    /// The last block that the index knows, and the offset of the one after it. `None` where the index is empty,
    /// has another layout or is not an index of this log.
    pub(crate) fn indexed(&self) -> Result<Option<(Block, u64)>, StoreError> {
        let Some(log) = self.log() else { return Ok(None) };
        let Some(tip) = index_tip::get(&*self.index)? else { return Ok(None) };
        // The log has been checked when it was opened: an offset that cannot be read is not one of its own.
        let Ok(frame) = log.read(tip.offset) else { return Ok(None) };
        let block = decode(&frame)?;
        Ok((block.hash() == tip.hash).then_some((block, frame.end)))
    }
}

impl Default for TensorStore {
    fn default() -> Self {
        Self::new()
    }
}

/// The block in a frame.
pub(crate) fn decode(frame: &Frame) -> Result<Block, StoreError> {
    Block::from_bytes(&frame.payload).map_err(|source| StoreError::Block { height: frame.height, source })
}
