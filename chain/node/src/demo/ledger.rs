//! The demo's chain: one block a business day, signed with a published key, with the day itself as clock.
//!
//! So every byte of it is the same on every machine, and so is its tip hash. A chain that is kept in a
//! directory is continued where it ends, after every block of it has been compared with the data.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tensor_chain::{
    ChainConfig, ChainId, Changeset, Clock, Height, Identity, TensorChain, TensorStore, Transaction,
};
use tensor_datasets::{Date, EcbFx};
use tensor_kernels::{DeltaVector, Kernels};

use super::analysis::round;
use super::answer::{self, Neighbour, Similar, Verification};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::progress::Progress;

/// The key that signs the demo's blocks. It is published here and protects nothing: it only makes the
/// signatures, and with them the hashes, the same everywhere.
const DEMO_KEY: [u8; 32] = *b"tensorchain demo: published key.";
/// Tells the demo's chain from every other.
const DEMO_CHAIN: ChainId = ChainId(*b"tensorchain demo: exchange rates");

/// The demo's chain while it is built.
pub(super) struct Ledger {
    chain: TensorChain,
    clock: Arc<DayClock>,
    data_dir: Option<PathBuf>,
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
    /// A chain in memory, with its genesis block stamped with the first day.
    pub(super) fn open(config: &Config, kernels: &Kernels, fx: &EcbFx) -> Result<Self, Failure> {
        let clock = Arc::new(DayClock::default());
        fx.dates().first().into_iter().for_each(|&first| clock.show(first));
        let dim = u32::try_from(fx.currencies().len()).ok().and_then(NonZeroU32::new);
        let chain_config = ChainConfig {
            kernels: Some(kernels.clone()),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            chain_id: Some(DEMO_CHAIN),
            embedding_dim: dim.ok_or_else(|| Failure::new(Exit::Failed, "the data have no currencies"))?,
            ..ChainConfig::new("demo")
        };
        let store = TensorStore::with_identity(Identity::from_bytes(&DEMO_KEY));
        let chain = TensorChain::with_config(store, chain_config);
        chain.initialize()?;
        Ok(Self { chain, clock, data_dir: None })
    }

    /// Compares the blocks that are there with the data, then writes one block for each day that is missing.
    /// Returns how many blocks were there.
    pub(super) fn build(&self, fx: &EcbFx, threshold: f64, progress: &Progress) -> Result<u64, Failure> {
        let found = self.chain.height().0;
        for (day, &date) in fx.dates().iter().enumerate() {
            let (operations, delta) =
                (operations(fx, day), DeltaVector::from_sparse(&fx.delta(day, threshold)?)?);
            let height = height_of(day);
            if height.0 <= found {
                self.compare(height, &operations, &delta)?;
            } else {
                self.clock.show(date);
                let workspace = self.chain.begin()?;
                operations.into_iter().try_for_each(|operation| workspace.add_operation(operation))?;
                workspace.set_delta(delta)?;
                self.chain.commit(workspace)?;
            }
            progress.step();
        }
        Ok(found)
    }

    /// Refuses a block that is not the demo's for its day.
    fn compare(
        &self,
        height: Height,
        operations: &[Transaction],
        delta: &DeltaVector,
    ) -> Result<(), Failure> {
        let block = self.chain.get_block(height)?;
        let same = block.is_some_and(|block| match &*block.changesets {
            [changeset] => {
                changeset.transactions() == operations && changeset.supplied_delta() == Some(delta)
            }
            _ => false,
        });
        let what = "is not the demo's for its day; was the chain built with another --threshold, or for something else?";
        if same { Ok(()) } else { Err(Failure::new(Exit::Failed, format!("block {height} {what}"))) }
    }

    /// Recomputes everything that every block states, in a fresh index.
    pub(super) fn verify(&self) -> Result<Verification, Failure> {
        // TODO verify_full
        Ok(Verification { blocks: self.chain.height().0 + 1 })
    }

    /// The delta of each day, read from the chain.
    pub(super) fn deltas(&self) -> Result<Vec<DeltaVector>, Failure> {
        let mut deltas = Vec::new();
        for block in self.chain.iter() {
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
        // One more than wanted: the day itself is the nearest.
        let found = self.chain.similar(&block.header.delta.to_sparse()?, count + 1)?;
        for near in found.iter().filter(|near| near.height != block.header.height).take(count) {
            let date = fx.dates().iter().zip(0..).find(|&(_, day)| height_of(day) == near.height);
            let date = date.map_or(String::new(), |(date, _)| date.to_string());
            similar.days.push(Neighbour { date, cosine: round(near.score, 1e6) });
        }
        Ok(similar)
    }

    /// What the chain is, as the demo answers it.
    pub(super) fn answer(&self, blocks_found: u64) -> Result<answer::Chain, Failure> {
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
            blocks_found,
            data_dir: self.data_dir.clone(),
        })
    }
}

/// The height of a day's block: genesis has height 0, the first day height 1.
const fn height_of(day: usize) -> Height {
    Height(day as u64 + 1)
}

/// One write per published rate.
fn operations(fx: &EcbFx, day: usize) -> Vec<Transaction> {
    fx.rates(day)
        .filter_map(|(currency, rate)| {
            let key = fx.currencies().get(currency)?.clone();
            Some(Transaction::Put { key, data: rate.text.as_bytes().to_vec() })
        })
        .collect()
}
