//! `verify` and `dump`: the block log by itself, without opening the chain and without writing anything.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use tensor_chain::{Block, VerifyDepth, VerifyReport, dump_dir, verify_dir_with};
use tensor_client::wire;

use crate::answers;
use crate::config::{Config, Format};
use crate::exit::Failure;
use crate::{device, output};

#[derive(Serialize)]
struct Verified {
    blocks: u64,
    transactions: u64,
    height: u64,
    tip_hash: String,
    depth: &'static str,
    /// Bytes behind the last block that a crash left there.
    torn_tail_bytes: u64,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, transactions, height, tip_hash, depth, torn_tail_bytes } = self;
        writeln!(f, "ok: {blocks} blocks, {transactions} operations: {depth}")?;
        if *torn_tail_bytes > 0 {
            writeln!(
                f,
                "a crash left {torn_tail_bytes} bytes of an unfinished block; the next open puts them aside"
            )?;
        }
        write!(f, "tip {height} {tip_hash}")
    }
}

pub(super) fn verify(config: &Config, dir: Option<&Path>, full: bool) -> Result<(), Failure> {
    let (depth, says) = match full {
        false => (VerifyDepth::Links, "hashes, links, times and signatures"),
        true => (VerifyDepth::Full, "hashes, links, times, signatures, verdicts and state roots"),
    };
    let VerifyReport { blocks, transactions, height, tip_hash, torn_tail } =
        verify_dir_with(dir.unwrap_or(&config.data_dir), depth, device::open(config)?)?;
    let verified = Verified {
        blocks,
        transactions,
        height: height.0,
        tip_hash: tip_hash.to_string(),
        depth: says,
        torn_tail_bytes: torn_tail.map_or(0, |tail| tail.bytes),
    };
    Ok(output::answer(config.output, &verified)?)
}

/// One block, for programs: as the HTTP API has it, and what its header says of its change.
#[derive(Serialize)]
struct Dumped {
    #[serde(flatten)]
    block: wire::Block,
    /// Sum of the deltas of its changesets, each component rounded to f32.
    delta: Delta,
    /// Entries of the codebook nearest to it; none without a codebook.
    quantized_codes: Vec<u16>,
}

/// A vector by its components that are not zero.
#[derive(Serialize)]
struct Delta {
    dim: u32,
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// A block a line: a long log never has to fit into memory.
pub(super) fn dump(config: &Config, dir: Option<&Path>) -> Result<(), Failure> {
    let mut written = Ok(());
    dump_dir(dir.unwrap_or(&config.data_dir), |block| {
        written = write_line(config.output, &block);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written
}

fn write_line(format: Format, block: &Block) -> Result<(), Failure> {
    let (header, hash) = (&block.header, block.hash());
    match format {
        Format::Table => {
            let operations: Vec<_> = block.transactions().map(super::read::describe).collect();
            let (height, time, operations) = (header.height.0, header.timestamp_ms, operations.join("; "));
            Ok(output::bytes(format!("{height:>8} {hash} {time} {operations}\n").as_bytes())?)
        }
        Format::Json => {
            let delta = header.delta.to_sparse()?;
            let (indices, values) = (delta.indices().to_vec(), delta.values().to_vec());
            Ok(output::json_line(&Dumped {
                block: answers::block(block),
                delta: Delta { dim: delta.dim(), indices, values },
                quantized_codes: header.quantized_codes.clone(),
            })?)
        }
    }
}
