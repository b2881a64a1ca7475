//! How fast a node that was away comes back: by the entries of the log, and by a snapshot where the log is gone.

use std::path::Path;
use std::time::{Duration, Instant};

use super::error::ClusterError;
use super::load::{Asks, Load};
use super::ours::Nodes;
use super::system::measure;
use super::{OURS, VALUE_BYTES};
use crate::error::BenchError;
use crate::record::Case;
use crate::runner::Bench;

/// What a node was away for.
struct Away {
    /// Writes that it missed.
    writes: u64,
    /// Seconds until a snapshot of all had been made.
    snapshot_s: Option<f64>,
    /// Seconds from its start until it had applied everything.
    back_s: f64,
}

/// Records the time of a snapshot and of a node's return by either way.
pub(super) async fn run(bench: &mut Bench, program: &Path) -> Result<(), BenchError> {
    if !bench.options.wants("cluster catch-up", "by the log, by a snapshot") {
        return Ok(());
    }
    let time = Duration::from_millis(if bench.options.quick { 300 } else { 3_000 });
    for (way, snapshot) in [("by the log", false), ("by a snapshot", true)] {
        bench.progress.begin(&format!("cluster catch-up, {way}"));
        let away = away(program, time, snapshot).await?;
        let mut push = |workload: &str, variant: &str, seconds: f64| {
            let case = Case::new(workload, OURS, variant);
            bench.record.cases.push(case.timed((vec![seconds], vec![0.0]), away.writes as f64, "writes"));
        };
        push(
            "cluster catch-up",
            &format!("{way}, {} writes of {VALUE_BYTES} B, from the start of the process", away.writes),
            away.back_s,
        );
        if let Some(seconds) = away.snapshot_s {
            push("cluster snapshot", &format!("of {} writes of {VALUE_BYTES} B", away.writes), seconds);
        }
    }
    Ok(())
}

async fn away(program: &Path, time: Duration, snapshot: bool) -> Result<Away, ClusterError> {
    let mut nodes = Nodes::start(program).await?;
    let leader = nodes.leader().await?;
    let follower = (leader + 1) % 3;
    nodes.kill(follower)?;
    // Few writes an entry where the log is to be left behind, many where it is to be kept.
    let per_request = if snapshot { 1 } else { 64 };
    let asks = Asks::Writes(per_request);
    let load = Load { asks, clients: 16, bytes: VALUE_BYTES, prefix: "away-".to_owned(), time };
    let writes = measure(&nodes, &load).await?.answered.iter().sum::<u64>() * per_request;
    let began = Instant::now();
    if snapshot {
        nodes.admin()?.snapshot().await?;
    }
    let snapshot_s = snapshot.then(|| began.elapsed().as_secs_f64());
    let index = nodes.applied(leader).await.ok_or(ClusterError::Nobody)?;
    let began = Instant::now();
    nodes.restart(follower)?;
    nodes.catches_up(follower, index).await?;
    Ok(Away { writes, snapshot_s, back_s: began.elapsed().as_secs_f64() })
}
