//! `verify` and `dump`: the block log by itself, without opening the chain and without writing anything.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use tensor_chain::{Block, VerifyDepth, VerifyReport, dump_dir, verify_dir_with};

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

/// One block, a line each: a long log never has to fit into memory.
#[derive(Serialize)]
struct Dumped {
    height: u64,
    hash: String,
    prev_hash: String,
    state_root: String,
    timestamp_ms: u64,
    proposer: String,
    changesets: usize,
    operations: Vec<String>,
}

impl fmt::Display for Dumped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, hash, timestamp_ms, operations, .. } = self;
        write!(f, "{height:>8} {hash} {timestamp_ms} {}", operations.join("; "))
    }
}

pub(super) fn dump(config: &Config, dir: Option<&Path>) -> Result<(), Failure> {
    let mut written = Ok(());
    dump_dir(dir.unwrap_or(&config.data_dir), |block| {
        let line = dumped(&block);
        written = match config.output {
            Format::Table => output::answer(Format::Table, &line),
            Format::Json => output::json_line(&line),
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(written?)
}

fn dumped(block: &Block) -> Dumped {
    let header = &block.header;
    Dumped {
        height: header.height.0,
        hash: block.hash().to_string(),
        prev_hash: header.prev_hash.to_string(),
        state_root: header.state_root.to_string(),
        timestamp_ms: header.timestamp_ms,
        proposer: header.proposer.to_string(),
        changesets: block.changesets.len(),
        operations: block.transactions().map(super::read::describe).collect(),
    }
}
