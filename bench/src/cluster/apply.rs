//! What applying an entry costs a node: blocks, state tree, index and memory of clients, without network and log.

use tensor_chain::replicated::{
    EntryOutcome, LogPosition, ProposedWrite, ReplicatedChain, ReplicatedEntry, WriteOutcome,
};
use tensor_chain::{ChainConfig, Changeset, TensorStore, Transaction};

use super::load::value;
use crate::error::BenchError;
use crate::record::Case;
use crate::runner::Bench;
use crate::timing::{Samples, timed};

/// Writes of an entry: what so many clients with one write each share.
const WRITES: u64 = 256;

/// Applies entries to a chain on disk, one after the other, and records what each took.
pub(super) fn run(bench: &mut Bench) -> Result<(), BenchError> {
    let entries = if bench.options.quick { 8 } else { 400 };
    for bytes in [16, 1_024] {
        let (samples, note) = measure(entries, bytes)?;
        let variant = format!("entries of {WRITES} puts of {bytes} B to new keys, on disk");
        let mut case =
            Case::new("cluster apply", super::OURS, &variant).timed(samples, WRITES as f64, "writes");
        case.note = Some(note);
        bench.record.cases.push(case);
    }
    Ok(())
}

/// Times of each entry, and how the processor time of the whole process compares.
fn measure(entries: u64, bytes: usize) -> Result<(Samples, String), BenchError> {
    let folder = tempfile::tempdir()?;
    let store = TensorStore::open_replicated(folder.path(), 0)?;
    let chain = ReplicatedChain::open(store, ChainConfig::default())?;
    chain.apply(LogPosition { term: 1, index: 1 }, &chain.genesis_entry()?)?;
    let mut samples = Samples::default();
    for entry in 0..entries {
        let batch = chain.propose(writes(entry, bytes)?, 0)?.ok_or_else(wrong)?;
        let (position, batch) = (LogPosition { term: 1, index: 2 + entry }, ReplicatedEntry::Batch(batch));
        let (outcome, wall, cpu) = timed(|| chain.apply(position, &batch));
        let EntryOutcome::Writes(outcomes) = outcome? else { return Err(wrong()) };
        if !outcomes.iter().all(|outcome| matches!(outcome, WriteOutcome::Committed { .. })) {
            return Err(wrong());
        }
        samples.0.push(wall.as_secs_f64());
        samples.1.push(cpu.as_secs_f64());
    }
    for entry in [0, entries / 2, entries - 1] {
        let key = key(entry, WRITES - 1);
        if chain.chain().get(&key)?.as_deref() != Some(value(&key, bytes).as_bytes()) {
            return Err(wrong());
        }
    }
    let total = |seconds: &[f64]| seconds.iter().sum::<f64>() / (entries * WRITES) as f64 * 1e6;
    let (wall, cpu) = (total(&samples.0), total(&samples.1));
    Ok((
        samples,
        format!("mean {wall:.1} us a write, {cpu:.1} us of processor time with the index's own thread"),
    ))
}

fn writes(entry: u64, bytes: usize) -> Result<Vec<ProposedWrite>, BenchError> {
    let write = |n| {
        let key = key(entry, n);
        let data = value(&key, bytes).into_bytes();
        let changeset = Changeset::single(Transaction::Put { key, data }).map_err(|_| wrong())?;
        Ok(ProposedWrite { changeset, session: None })
    };
    (0..WRITES).map(write).collect()
}

fn key(entry: u64, n: u64) -> String {
    format!("apply-{entry:06}-{n:03}")
}

fn wrong() -> BenchError {
    BenchError::WrongState { workload: "cluster apply" }
}
