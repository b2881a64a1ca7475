//! `similar` and `drift`: the chain read as a series of vectors.

use std::fmt;

use serde::Serialize;
use tensor_chain::{Drift, Height};

use crate::chain_dir;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

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

/// What blocks are to be alike to.
pub(super) enum Query {
    /// A vector, as JSON.
    Vector(String),
    /// The delta of a block.
    Block(u64),
}

pub(super) fn similar(config: &Config, query: Query, k: usize) -> Result<(), Failure> {
    let chain = chain_dir::open(config)?;
    let (vector, itself) = match query {
        Query::Vector(text) => {
            let vector = super::parse_vector(&text);
            (vector.map_err(|error| Failure::new(Exit::Usage, format!("--vector: {error}")))?, None)
        }
        Query::Block(height) => {
            let block = chain.get_block(Height(height))?;
            let block = block.ok_or_else(|| Failure::new(Exit::Failed, format!("no block at height {height}")))?;
            (block.header.delta.to_sparse()?, Some(Height(height)))
        }
    };
    // The block itself is always nearest; ask for one more and leave it out.
    let found = chain.similar(&vector, k.saturating_add(usize::from(itself.is_some())))?;
    chain_dir::close(chain)?;
    let others = found.into_iter().filter(|near| Some(near.height) != itself).take(k);
    let near = others.map(|near| Near { height: near.height.0, hash: near.hash.to_string(), cosine: near.score });
    Ok(output::answer(config.output, &Similar { blocks: near.collect() })?)
}

#[derive(Serialize)]
struct Moved {
    from: u64,
    to: u64,
    blocks: u64,
    total: f64,
    net: f64,
    mean: f64,
    max: Option<Step>,
    reconstruction: Option<Fit>,
}

#[derive(Serialize)]
struct Step {
    height: u64,
    norm: f64,
}

#[derive(Serialize)]
struct Fit {
    blocks: u64,
    mean: f64,
    max: f64,
    max_height: u64,
    slope: f64,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, blocks, total, net, mean, .. } = self;
        writeln!(f, "{blocks} blocks, {from} to {to}")?;
        writeln!(f, "way gone      {total:.6} ({mean:.6} a block)")?;
        writeln!(f, "end to end    {net:.6}")?;
        if let Some(Step { height, norm }) = &self.max {
            writeln!(f, "largest step  {norm:.6} in block {height}")?;
        }
        match &self.reconstruction {
            Some(Fit { blocks, mean, max, max_height, slope }) => write!(
                f,
                "codebook      error {mean:.4} on average over {blocks} blocks, at most {max:.4} (block {max_height}), \
                 slope {slope:.2e} a block"
            ),
            None => write!(f, "codebook      none in force in this range"),
        }
    }
}

pub(super) fn drift(config: &Config, from: Option<u64>, to: Option<u64>) -> Result<(), Failure> {
    let chain = chain_dir::open(config)?;
    let to = to.map_or(chain.height(), Height);
    let drift = chain.drift(Height(from.unwrap_or(0)), to)?;
    chain_dir::close(chain)?;
    let Drift { range, blocks, total, net, mean, max, reconstruction } = drift;
    let moved = Moved {
        from: range.0.0,
        to: range.1.0,
        blocks,
        total,
        net,
        mean,
        max: max.map(|(height, norm)| Step { height: height.0, norm }),
        reconstruction: reconstruction.map(|r| Fit {
            blocks: r.blocks,
            mean: r.mean,
            max: r.max.1,
            max_height: r.max.0.0,
            slope: r.slope,
        }),
    };
    Ok(output::answer(config.output, &moved)?)
}
