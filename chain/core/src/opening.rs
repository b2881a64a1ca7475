//! What happens when a chain is opened: its parameters come from the log, its head from the index where that
//! fits the log, and else from applying every block of the log again.

use std::sync::Arc;

use tensor_kernels::KernelError;

use crate::block::{Block, Stamp};
use crate::block_check;
use crate::codes::{self, Vocabulary};
use crate::config::ChainConfig;
use crate::encoding::{Decode, Encode};
use crate::error::ChainError;
use crate::genesis::{ChainParams, MAX_EMBEDDING_DIM};
use crate::head::{Head, Rules, Tip};
use crate::ids::{ChainId, Height};
use crate::recent::{BEGIN_WINDOW, RecentDeltas};
use crate::replay;
use crate::state_tree::PageCache;
use crate::store::{StoreError, TensorStore};

/// The parameters of the chain in the store. Where there is no chain, one is made: the log with the configured
/// parameters, then the genesis block.
pub(crate) fn open_params(store: &TensorStore, config: &ChainConfig) -> Result<ChainParams, ChainError> {
    let log = match store.log() {
        Some(log) => log,
        None if store.is_replicated() => return Err(ChainError::NotInitialized),
        None => store.create_log(&new_params(config)?.to_bytes())?,
    };
    let params = ChainParams::from_bytes(log.params()).map_err(StoreError::Params)?;
    if log.tip().is_none() {
        if store.is_replicated() {
            return Err(ChainError::NotInitialized);
        }
        let stamp = Stamp::sign(store.identity()?, params.chain_id, config.clock.now_ms(), &[]);
        log.append(Height::GENESIS, &params.genesis(stamp).to_bytes()).map_err(StoreError::from)?;
    }
    Ok(params)
}

pub(crate) fn new_params(config: &ChainConfig) -> Result<ChainParams, ChainError> {
    let chain_id = config.chain_id.map_or_else(ChainId::random, Ok)?;
    let (embedding_dim, limit) = (config.embedding_dim, MAX_EMBEDDING_DIM as usize);
    match embedding_dim.get() as usize {
        got if got > limit => Err(KernelError::TooLarge { what: "embedding dimension", got, limit }.into()),
        _ => Ok(ChainParams { chain_id, embedding_dim, thresholds: config.thresholds()? }),
    }
}

/// The head of a chain whose log holds a genesis block. The index is brought up to it; not so the index of a
/// replicated chain, which also has what no block says: there the replicated log goes on from where the index stands.
pub(crate) fn open_head(store: &TensorStore, rules: &Rules) -> Result<Head, ChainError> {
    if store.is_replicated() {
        return open_replicated_head(store, rules);
    }
    match resume(store, rules) {
        Ok(Some(head)) => return Ok(head),
        Ok(None) => tracing::info!("no index of this log: building one"),
        Err(error) if blames_index(&error) => tracing::warn!("{error}: building the index anew"),
        Err(error) => return Err(error),
    }
    rebuild(store, rules)
}

/// The head where the index stands. An index that does not fit the log is of no use, and without it the chain stands
/// at genesis: a snapshot or the replicated log leads on from there, past the blocks that are in the log already.
fn open_replicated_head(store: &TensorStore, rules: &Rules) -> Result<Head, ChainError> {
    match indexed_head(store) {
        Ok(Some((head, _))) => return Ok(head),
        Ok(None) if !store.has_indexed_tip()? => tracing::info!("no index of this log yet"),
        Ok(None) => {
            tracing::warn!("the index does not fit the block log: it is dropped");
            store.index().clear()?;
        }
        Err(error) if blames_index(&error) => {
            tracing::warn!("{error}: the index is dropped");
            store.index().clear()?;
        }
        Err(error) => return Err(error),
    }
    let (offset, genesis) = store.blocks().next().ok_or(StoreError::NoLog)??;
    check_genesis(rules, &genesis)?;
    let head = Head::genesis(&genesis);
    store.write_effects(head.tip, offset, Vec::new())?;
    Ok(head)
}

/// Goes on where the index stands; `None` where there is none that fits the log.
fn resume(store: &TensorStore, rules: &Rules) -> Result<Option<Head>, ChainError> {
    let Some((mut head, next)) = indexed_head(store)? else { return Ok(None) };
    catch_up(store, rules, &mut head, store.blocks_from(next))?;
    Ok(Some(head))
}

/// The head where the index stands, and where in the log the next block would be.
fn indexed_head(store: &TensorStore) -> Result<Option<(Head, u64)>, ChainError> {
    let Some((block, next)) = store.indexed()? else { return Ok(None) };
    let tip = Tip::of(&block);
    let mut recent = RecentDeltas::default();
    for height in (tip.height.0.saturating_sub(BEGIN_WINDOW) + 1)..=tip.height.0 {
        let height = Height(height);
        recent.push(&store.block(height)?.ok_or(StoreError::Misplaced { height })?);
    }
    let codebook =
        codes::stored_codebook(store.state()?)?.as_ref().map(Vocabulary::of).transpose()?.map(Arc::new);
    Ok(Some((Head { tip, recent, codebook, tree: PageCache::default() }, next)))
}

/// Applies the whole log to an empty index.
fn rebuild(store: &TensorStore, rules: &Rules) -> Result<Head, ChainError> {
    store.index().clear()?;
    let mut blocks = store.blocks();
    let (offset, genesis) = blocks.next().ok_or(StoreError::NoLog)??;
    check_genesis(rules, &genesis)?;
    let mut head = Head::genesis(&genesis);
    store.write_effects(head.tip, offset, Vec::new())?;
    catch_up(store, rules, &mut head, blocks)?;
    Ok(head)
}

fn check_genesis(rules: &Rules, genesis: &Block) -> Result<(), ChainError> {
    block_check::check(genesis, None, &rules.params)
        .and_then(|()| replay::check_genesis(rules, genesis))
        .map_err(|fault| ChainError::ValidationFailed { height: Height::GENESIS, fault })
}

/// Applies blocks of the log in order. Their bytes have checksums, so signatures are left to `verify`; that
/// each follows from the one before is seen by applying it.
fn catch_up(
    store: &TensorStore,
    rules: &Rules,
    head: &mut Head,
    blocks: impl Iterator<Item = Result<(u64, Block), StoreError>>,
) -> Result<(), ChainError> {
    for block in blocks {
        let (offset, block) = block?;
        let height = block.header.height;
        block_check::check_place(&block, Some(&head.tip), &rules.params)
            .map_err(|fault| ChainError::ValidationFailed { height, fault })?;
        let applied =
            replay::replay(rules, head, store.state()?, &block).map_err(|error| error.at(height))?;
        let tip = Tip::of(&block);
        store.write_effects(tip, offset, applied.ops)?;
        head.advance(&block, tip, applied.tree);
    }
    Ok(())
}

/// Whether an error says that the index, and not the log, is damaged.
fn blames_index(error: &ChainError) -> bool {
    let ChainError::StorageError(error) = error else { return false };
    match &**error {
        StoreError::Index(error) => error.needs_rebuild(),
        StoreError::Misplaced { .. } | StoreError::State { .. } | StoreError::Value { .. } => true,
        _ => false,
    }
}
