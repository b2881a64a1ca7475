//! `similar` and `drift`: the chain read as a series of vectors.

use std::fmt;

use serde::Serialize;
use tensor_chain::{ChainError, GlobalCodebook, Height, TensorChain};

use crate::chain_dir;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

/// Most rounds of k-means for `--train`.
const TRAINING_ROUNDS: usize = 100;

#[derive(Serialize)]
struct Similar {
    blocks: Vec<Near>,
}

#[derive(Serialize)]
struct Near {
    height: u64,
    hash: String,
    cosine: f64,
}

impl fmt::Display for Similar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.blocks
            .iter()
            .try_for_each(|Near { height, hash, cosine }| writeln!(f, "{height:>8} {hash} {cosine:>8.4}"))
    }
}

pub(super) fn similar(
    config: &Config,
    vector: Option<String>,
    block: Option<u64>,
    k: usize,
) -> Result<(), Failure> {
    let chain = chain_dir::open(config)?;
    let itself = block.map(Height);
    let vector = match (vector, itself) {
        (Some(text), _) => super::parse_vector(&text)
            .map_err(|error| Failure::new(Exit::Usage, format!("--vector: {error}")))?,
        (None, height) => {
            let height = height.unwrap_or(chain.height());
            let block = chain.get_block(height)?.ok_or(ChainError::BlockNotFound(height))?;
            block.header.delta.to_sparse()?
        }
    };
    // The block itself is always nearest; ask for one more and leave it out.
    let found = chain.similar(&vector, k.saturating_add(usize::from(itself.is_some())))?;
    chain_dir::close(chain)?;
    let others = found.into_iter().filter(|near| Some(near.height) != itself).take(k);
    let near =
        others.map(|near| Near { height: near.height.0, hash: near.hash.to_string(), cosine: near.score });
    Ok(output::answer(config.output, &Similar { blocks: near.collect() })?)
}

#[derive(Serialize)]
struct Drifted {
    from: u64,
    to: u64,
    codebook: &'static str,
    blocks: usize,
    total: f64,
    mean: f64,
    max: f64,
    slope: f64,
}

impl fmt::Display for Drifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, codebook, blocks, total, mean, max, slope } = self;
        writeln!(f, "blocks {from} to {to}, codebook {codebook}: {blocks} blocks with a change and a code")?;
        if *blocks == 0 {
            return write!(f, "nothing to measure; --train K fits a codebook to the range");
        }
        write!(f, "error mean {mean:.4}, max {max:.4}, total {total:.4}, slope {slope:+.3e} a block")
    }
}

pub(super) fn drift(
    config: &Config,
    from: Option<u64>,
    to: Option<u64>,
    train: Option<usize>,
) -> Result<(), Failure> {
    let chain = chain_dir::open(config)?;
    let (from, to) = (Height(from.unwrap_or(0)), to.map_or(chain.height(), Height));
    let (codebook, drift) = match train {
        None => ("of the chain", chain.drift(from, to)?),
        Some(k) => {
            let vectors = changes(&chain, from, to)?;
            let trained =
                GlobalCodebook::from_kmeans(&vectors, k, TRAINING_ROUNDS).map_err(ChainError::from)?;
            ("trained on the range", chain.drift_from(&trained, from, to)?)
        }
    };
    chain_dir::close(chain)?;
    let drifted = Drifted {
        from: from.0,
        to: to.0,
        codebook,
        blocks: drift.blocks.len(),
        total: drift.total,
        mean: drift.mean,
        max: drift.max,
        slope: drift.slope,
    };
    Ok(output::answer(config.output, &drifted)?)
}

/// The changes of a range of blocks that are not zero.
fn changes(chain: &TensorChain, from: Height, to: Height) -> Result<Vec<Vec<f32>>, Failure> {
    let mut vectors = Vec::new();
    for height in from.0..=to.0 {
        let block = chain.get_block(Height(height))?.ok_or(ChainError::BlockNotFound(Height(height)))?;
        let delta = block.header.delta.to_sparse()?;
        if !delta.is_zero() {
            vectors.push(delta.to_dense());
        }
    }
    Ok(vectors)
}
