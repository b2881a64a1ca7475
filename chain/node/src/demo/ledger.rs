//! The demo's chain: one block a business day, signed with a published key, with the day itself as clock.
//!
//! So every byte of it is the same on every machine, and so is its tip hash. It is built in memory; to keep it,
//! it is copied into a directory, whole or not at all. One that is found there is compared with the data.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tensor_chain::dir::holds_chain;
use tensor_chain::{
    ChainConfig, ChainId, Changeset, Clock, Height, Identity, TensorChain, TensorStore, Transaction,
};
use tensor_datasets::{Date, EcbFx};
use tensor_kernels::{DeltaVector, Kernels};

use super::analysis::round;
use super::answer::{self, Neighbour, Origin, Similar, Verification};
use crate::chain_dir;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::progress::Progress;

/// The key that signs the demo's blocks. It is published here and protects nothing: it only makes the
/// signatures, and with them the hashes, the same everywhere.
const DEMO_KEY: [u8; 32] = *b"tensorchain demo: published key.";
/// Tells the demo's chain from every other.
const DEMO_CHAIN: ChainId = ChainId(*b"tensorchain demo: exchange rates");

/// The demo's chain.
pub(super) struct Ledger {
    chain: TensorChain,
    data_dir: Option<PathBuf>,
    origin: Origin,
}

/// A clock that shows the day whose block is being written.
#[derive(Debug, Default)]
struct DayClock(AtomicU64);

impl Clock for DayClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl DayClock {
    /// Shows midnight UTC of a day, and of none before 1970.
    fn show(&self, day: Date) {
        self.0.store(u64::try_from(day.unix_ms()).unwrap_or(0), Ordering::Relaxed);
    }
}

impl Ledger {
    /// The chain in the data directory, if one was named and holds one; else a new chain, which is kept in the
    /// directory if one was named.
    pub(super) fn open(
        config: &Config,
        kernels: &Kernels,
        fx: &EcbFx,
        threshold: f64,
    ) -> Result<Self, Failure> {
        let data_dir = config.data_dir_given.then(|| config.data_dir.clone());
        let progress = Progress::new(config, "chain", fx.dates().len());
        if data_dir.as_deref().is_some_and(holds_chain) {
            let found = Self { chain: chain_dir::open(config)?, data_dir, origin: Origin::Found };
            found.compare(fx, threshold, &progress)?;
            return Ok(found);
        }
        let chain = build(kernels, fx, threshold, &progress)?;
        if let Some(dir) = &data_dir {
            chain.backup(dir)?;
        }
        Ok(Self { chain, data_dir, origin: Origin::Built })
    }

    /// Refuses a chain whose first blocks are not the demo's. Others may have been put on top of them.
    fn compare(&self, fx: &EcbFx, threshold: f64, progress: &Progress) -> Result<(), Failure> {
        for day in 0..fx.dates().len() {
            let (operations, delta) = content(fx, day, threshold)?;
            let block = self.chain.get_block(height_of(day))?;
            let same = block.as_ref().is_some_and(|block| match &*block.changesets {
                [changeset] => {
                    changeset.transactions() == operations && changeset.supplied_delta() == Some(&delta)
                }
                _ => false,
            });
            if !same {
                let message = format!(
                    "{} holds another chain: block {} is not the demo's for its day (another --threshold?)",
                    self.data_dir.as_deref().unwrap_or(Path::new("")).display(),
                    height_of(day)
                );
                return Err(Failure::new(Exit::Failed, message));
            }
            progress.step();
        }
        Ok(())
    }

    /// Applies every block to an empty state and recomputes everything that its header says.
    pub(super) fn verify(&self) -> Result<Verification, Failure> {
        Ok(Verification { blocks: self.chain.verify_full()?.blocks })
    }

    /// The delta of each day, read from the chain.
    pub(super) fn deltas(&self, fx: &EcbFx) -> Result<Vec<DeltaVector>, Failure> {
        let mut deltas = Vec::with_capacity(fx.dates().len());
        // Genesis has no changeset.
        for block in self.chain.iter().take(fx.dates().len() + 1) {
            deltas.extend(block?.changesets.iter().filter_map(Changeset::supplied_delta).cloned());
        }
        Ok(deltas)
    }

    /// The `count` days whose deltas have the greatest cosine with that of `date`, nearest first; none for a
    /// date without rates.
    pub(super) fn similar(
        &self,
        fx: &EcbFx,
        date: &str,
        event: &'static str,
        count: usize,
    ) -> Result<Similar, Failure> {
        let mut similar = Similar { date: date.to_owned(), event, days: Vec::new() };
        let Some(day) = date.parse().ok().and_then(|date| fx.day_of(date)) else { return Ok(similar) };
        let Some(block) = self.chain.get_block(height_of(day))? else { return Ok(similar) };
        // Also in the list may be the day itself, genesis, and blocks that were put on top of the demo's.
        let more = (self.chain.height().0 as usize).saturating_sub(fx.dates().len()) + 2;
        let found = self.chain.similar(&block.header.delta.to_sparse()?, count + more)?;
        let dates = found.iter().filter(|near| near.height != block.header.height).filter_map(|near| {
            let day = usize::try_from(near.height.0).ok()?.checked_sub(1)?;
            Some((fx.dates().get(day)?, near.score))
        });
        similar.days.extend(
            dates
                .take(count)
                .map(|(date, score)| Neighbour { date: date.to_string(), cosine: round(score, 1e6) }),
        );
        Ok(similar)
    }

    /// What the chain is, as the demo answers it.
    pub(super) fn answer(&self) -> Result<answer::Chain, Failure> {
        let mut transactions = 0;
        for block in self.chain.iter() {
            transactions += block?.transactions().count() as u64;
        }
        let tip = self.chain.get_tip()?;
        Ok(answer::Chain {
            height: self.chain.height().0,
            transactions,
            tip_hash: self.chain.tip_hash().to_string(),
            state_root: tip.map_or(String::new(), |tip| tip.header.state_root.to_string()),
            origin: self.origin,
            data_dir: self.data_dir.clone(),
        })
    }

    /// Closes a chain that is kept.
    pub(super) fn close(self) -> Result<(), Failure> {
        chain_dir::close(self.chain)
    }
}

/// Builds the chain in memory.
fn build(kernels: &Kernels, fx: &EcbFx, threshold: f64, progress: &Progress) -> Result<TensorChain, Failure> {
    let clock = Arc::new(DayClock::default());
    // Genesis has the time of the first day.
    fx.dates().first().into_iter().for_each(|&first| clock.show(first));
    let dim = u32::try_from(fx.currencies().len()).ok().and_then(NonZeroU32::new);
    let config = ChainConfig {
        kernels: Some(kernels.clone()),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        chain_id: Some(DEMO_CHAIN),
        embedding_dim: dim.ok_or_else(|| Failure::new(Exit::Failed, "the data have no currencies"))?,
        ..ChainConfig::new("demo")
    };
    let chain = TensorChain::with_config(TensorStore::with_identity(Identity::from_bytes(&DEMO_KEY)), config);
    chain.initialize()?;
    for (day, &date) in fx.dates().iter().enumerate() {
        clock.show(date);
        let (operations, delta) = content(fx, day, threshold)?;
        let workspace = chain.begin()?;
        operations.into_iter().try_for_each(|operation| workspace.add_operation(operation))?;
        workspace.set_delta(delta)?;
        chain.commit(workspace)?;
        progress.step();
    }
    Ok(chain)
}

/// What a day's block holds: one write per published rate, and the day's delta.
pub(super) fn content(
    fx: &EcbFx,
    day: usize,
    threshold: f64,
) -> Result<(Vec<Transaction>, DeltaVector), Failure> {
    let writes = fx.rates(day).map(|(currency, rate)| Transaction::Put {
        key: fx.currencies()[currency].clone(),
        data: rate.text.as_bytes().to_vec(),
    });
    Ok((writes.collect(), DeltaVector::from_sparse(&fx.delta(day, threshold)?)?))
}

/// The height of a day's block: genesis has height 0, the first day height 1.
const fn height_of(day: usize) -> Height {
    Height(day as u64 + 1)
}
