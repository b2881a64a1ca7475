//! Whether the nodes take more memory the more is written.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::error::ClusterError;
use super::load::{Connection, value};
use super::ours::Nodes;
use super::system::System;
use super::{OURS, VALUE_BYTES, process};
use crate::error::BenchError;
use crate::record::Case;
use crate::runner::Bench;

/// Parts in which the writes are made; memory is looked at after each.
const PARTS: u64 = 10;
/// Keys that are written again and again.
const KEYS: u64 = 50_000;
/// Clients, and writes in each of their requests.
const CLIENTS: u64 = 16;
const PER_REQUEST: u64 = 64;

/// Records the memory of the node that has most, after each part of the writes.
pub(super) async fn run(bench: &mut Bench, program: &Path) -> Result<(), BenchError> {
    if !bench.options.wants("cluster memory", "writes") {
        return Ok(());
    }
    let writes: u64 = if bench.options.quick { 20_000 } else { 1_000_000 };
    bench.progress.begin(&format!("cluster memory over {writes} writes"));
    let (seconds, bytes) = grow(program, writes).await?;
    let cpu_s = vec![0.0; seconds.len()];
    let variant = format!("{writes} writes of {VALUE_BYTES} B to {KEYS} keys, the largest of three nodes");
    let case = Case::new("cluster memory", OURS, &variant);
    let mut case = case.timed((seconds, cpu_s), (writes / PARTS) as f64, "writes");
    let after =
        (1..).zip(&bytes).map(|(part, bytes)| (format!("mib_after_{part:02}"), bytes / f64::from(1 << 20)));
    case.params.extend(after);
    bench.record.cases.push(case);
    Ok(())
}

/// Seconds of each part, and bytes of memory after it.
async fn grow(program: &Path, writes: u64) -> Result<(Vec<f64>, Vec<f64>), ClusterError> {
    let nodes = Nodes::start(program).await?;
    let client = Arc::new(nodes.client()?);
    let (mut seconds, mut bytes) = (Vec::new(), Vec::new());
    for part in 0..PARTS {
        let began = Instant::now();
        let each = writes / PARTS / CLIENTS / PER_REQUEST;
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let (client, first) = (Arc::clone(&client), (part * CLIENTS + n) * each);
            clients.spawn(async move {
                for request in first..first + each {
                    client
                        .write((0..PER_REQUEST).map(|item| put(request * PER_REQUEST + item)).collect())
                        .await?;
                }
                Ok::<(), ClusterError>(())
            });
        }
        while let Some(done) = clients.join_next().await {
            done.map_err(|_| ClusterError::Nobody)??;
        }
        seconds.push(began.elapsed().as_secs_f64());
        let of_each: Vec<f64> =
            nodes.processes().into_iter().map(process::resident_bytes).collect::<Result<_, _>>()?;
        bytes.push(of_each.into_iter().fold(0.0, f64::max));
    }
    Ok((seconds, bytes))
}

fn put(n: u64) -> (String, String) {
    let key = format!("memory-{:09}", n * 7_919 % KEYS);
    // Another value each time.
    let value = value(&format!("{n}"), VALUE_BYTES);
    (key, value)
}
