//! `prove` and `verify-proof`: what the state says of a key, for whoever knows nothing but a block hash.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use tensor_chain::encoding::Decode;
use tensor_chain::{BlockHash, KeyProof};
use tensor_client::text::{Data, unhex};
use tensor_client::wire;

use super::source::Source;
use crate::answers;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) fn prove(config: &Config, key: &str) -> Result<(), Failure> {
    let source = Source::open(config)?;
    let proof = match &source {
        Source::Dir(chain) => answers::proof(chain, key)?,
        Source::Cluster(node) => node.wait(node.client().prove(key))?,
    };
    source.close()?;
    Ok(output::answer(config.output, &proof)?)
}

/// What a proof proves.
#[derive(Serialize)]
struct Proven {
    key: String,
    block_hash: String,
    block_height: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_at: Option<u64>,
}

impl fmt::Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, block_hash, block_height, value, written_at } = self;
        writeln!(f, "proven: in block {block_height} {block_hash}")?;
        match (value, written_at) {
            (Some(value), Some(height)) => write!(f, "{key} = {value}, written in block {height}"),
            _ => write!(f, "{key} has no value"),
        }
    }
}

pub(super) fn verify_proof(config: &Config, file: &Path, trusted: Option<&str>) -> Result<(), Failure> {
    let failed = |exit, error: &dyn fmt::Display| Failure::new(exit, format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(Exit::Failed, &error))?;
    let stated: wire::Proof = serde_json::from_str(&text).map_err(|error| failed(Exit::Mismatch, &error))?;
    let bytes =
        unhex(&stated.proof).ok_or_else(|| failed(Exit::Mismatch, &"the proof is not hexadecimal"))?;
    let proof = KeyProof::from_bytes(&bytes).map_err(|error| failed(Exit::Mismatch, &error))?;
    let hash: BlockHash = match trusted {
        Some(hash) => {
            hash.parse().map_err(|error| Failure::new(Exit::Usage, format!("--block-hash: {error}")))?
        }
        None => stated.block_hash.parse().map_err(|error| failed(Exit::Mismatch, &error))?,
    };
    let said = proof.verify(&hash, &stated.key).map_err(|error| failed(Exit::Mismatch, &error))?;
    let (written_at, value) = said.map(|(height, value)| (height.0, Data::of(value))).unzip();
    let proven = Proven {
        key: stated.key,
        block_hash: hash.to_string(),
        block_height: proof.header().height.0,
        value,
        written_at,
    };
    Ok(output::answer(config.output, &proven)?)
}
