//! `similar` and `drift`: the chain read as a series of vectors.

use tensor_chain::Height;

use super::source::Source;
use crate::answers;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) fn similar(
    config: &Config,
    vector: Option<String>,
    block: Option<u64>,
    k: usize,
) -> Result<(), Failure> {
    let bad_vector = |error| Failure::new(Exit::Usage, format!("--vector: {error}"));
    let vector = vector.map(|text| super::parse_vector(&text)).transpose().map_err(bad_vector)?;
    let source = Source::open(config)?;
    let similar = match (&source, vector, block) {
        (Source::Dir(chain), Some(vector), _) => answers::similar_to_vector(chain, &vector, k)?,
        (Source::Dir(chain), None, Some(block)) => answers::similar_to_block(chain, Height(block), k)?,
        (Source::Cluster(node), Some(vector), _) => {
            node.wait(node.client().similar_to_vector(vector.to_dense(), k))?
        }
        (Source::Cluster(node), None, Some(block)) => node.wait(node.client().similar_to_block(block, k))?,
        (_, None, None) => return Err(Failure::new(Exit::Usage, "one of --vector and --block is needed")),
    };
    source.close()?;
    Ok(output::answer(config.output, &similar)?)
}

pub(super) fn drift(
    config: &Config,
    from: Option<u64>,
    to: Option<u64>,
    train: Option<usize>,
) -> Result<(), Failure> {
    let source = Source::open(config)?;
    let drift = match &source {
        Source::Dir(chain) => answers::drift(chain, from, to, train)?,
        Source::Cluster(node) => node.wait(node.client().drift(from, to))?,
    };
    source.close()?;
    Ok(output::answer(config.output, &drift)?)
}
