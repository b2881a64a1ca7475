//! `similar` and `drift`: the chain read as a series of vectors.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use tensor_chain::{ChainError, GlobalCodebook, Height, TensorChain};
use tensor_kernels::Metric;

use super::source::{Source, reader};
use crate::answers;
use crate::cli::Freshness;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

/// Most rounds of k-means when a codebook is trained for a question.
const TRAINING_ROUNDS: usize = 100;

pub(super) fn similar(
    config: &Config,
    vector: Option<String>,
    block: Option<u64>,
    k: usize,
    freshness: Freshness,
) -> Result<(), Failure> {
    let bad_vector = |error| Failure::new(Exit::Usage, format!("--vector: {error}"));
    let vector = vector.map(|text| super::parse_vector(&text)).transpose().map_err(bad_vector)?;
    let source = Source::open(config)?;
    let similar = match (&source, vector, block) {
        (Source::Dir(chain), Some(vector), _) => answers::similar_to_vector(chain, &vector, k)?,
        (Source::Dir(chain), None, Some(block)) => answers::similar_to_block(chain, Height(block), k)?,
        (Source::Cluster(node), Some(vector), _) => {
            node.wait(reader(node, freshness).similar_to_vector(vector.to_dense(), k))?
        }
        (Source::Cluster(node), None, Some(block)) => {
            node.wait(reader(node, freshness).similar_to_block(block, k))?
        }
        (_, None, None) => return Err(Failure::new(Exit::Usage, "one of --vector and --block is needed")),
    };
    source.close()?;
    Ok(output::answer(config.output, &similar)?)
}

pub(super) fn drift(
    config: &Config,
    from: Option<u64>,
    to: Option<u64>,
    train: Option<NonZeroUsize>,
    freshness: Freshness,
) -> Result<(), Failure> {
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(Failure::new(Exit::Usage, format!("--from {from} is above --to {to}")));
    }
    let source = Source::open(config)?;
    let drift = match &source {
        Source::Dir(chain) => {
            let tip = chain.height().0;
            // Before a codebook is trained on what is not there.
            refuse_above(tip, from.max(to))?;
            let trained = train.map(|k| trained(chain, from.unwrap_or(0)..=to.unwrap_or(tip), k));
            answers::drift(chain, from, to, trained.transpose()?.as_ref())?
        }
        Source::Cluster(node) => node.wait(reader(node, freshness).drift(from, to))?,
    };
    source.close()?;
    Ok(output::answer(config.output, &drift)?)
}

fn refuse_above(tip: u64, height: Option<u64>) -> Result<(), Failure> {
    match height {
        Some(height) if height > tip => {
            let message = format!("there is no block at height {height}: the last one is at {tip}");
            Err(Failure::new(Exit::Failed, message))
        }
        _ => Ok(()),
    }
}

/// A codebook of `k` entries, or of as many as there are directions, for the changes of a range of blocks.
fn trained(
    chain: &TensorChain,
    range: RangeInclusive<u64>,
    k: NonZeroUsize,
) -> Result<GlobalCodebook, Failure> {
    let changes = changes(chain, range.clone())?;
    if changes.is_empty() {
        let (from, to) = range.into_inner();
        let message = format!("--train: blocks {from} to {to} have no change to train a codebook on");
        return Err(Failure::new(Exit::Failed, message));
    }
    let kernels = chain.kernels()?.clone();
    let trained = GlobalCodebook::train(&changes, k.get(), TRAINING_ROUNDS, Metric::Cosine, kernels);
    Ok(trained.map_err(ChainError::from)?)
}

/// The changes of a range of blocks that are not zero.
fn changes(chain: &TensorChain, range: RangeInclusive<u64>) -> Result<Vec<Vec<f32>>, Failure> {
    let mut vectors = Vec::new();
    for height in range.map(Height) {
        let block = chain.get_block(height)?.ok_or(ChainError::BlockNotFound(height))?;
        let delta = block.header.delta.to_sparse()?;
        if !delta.is_zero() {
            vectors.push(delta.to_dense());
        }
    }
    Ok(vectors)
}
