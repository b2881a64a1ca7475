//! How long nobody can write when the leader dies: from `kill -9` to the next acknowledged write of a client that was
//! writing all the time.

use std::path::Path;
use std::time::Instant;

use super::error::ClusterError;
use super::ours::Nodes;
use crate::error::BenchError;
use crate::record::Case;
use crate::runner::Bench;

/// Kills the leader several times at the default timings and records each gap.
pub(super) async fn run(bench: &mut Bench, program: &Path) -> Result<(), BenchError> {
    if !bench.options.wants("cluster fail-over", "kill -9 of the leader") {
        return Ok(());
    }
    bench.progress.begin("cluster fail-over");
    let kills = if bench.options.quick { 1 } else { 10 };
    let gaps = gaps(program, kills).await?;
    let cpu_s = vec![0.0; gaps.len()];
    let case = Case::new("cluster fail-over", super::OURS, "kill -9 of the leader, default timings");
    bench.record.cases.push(case.timed((gaps, cpu_s), 1.0, "elections"));
    Ok(())
}

async fn gaps(program: &Path, kills: usize) -> Result<Vec<f64>, ClusterError> {
    let mut nodes = Nodes::start(program).await?;
    let mut gaps = Vec::new();
    for kill in 0..kills {
        let leader = nodes.leader().await?;
        let client = nodes.client()?;
        let session = client.session().await?;
        session.put(&format!("before-{kill}"), "value").await?;
        nodes.kill(leader)?;
        let began = Instant::now();
        session.put(&format!("after-{kill}"), "value").await?;
        gaps.push(began.elapsed().as_secs_f64());
        for key in ["before", "after"] {
            let key = format!("{key}-{kill}");
            if client.history(&key, 0).await?.changes.len() != 1 {
                return Err(ClusterError::OtherValue { key });
            }
        }
        let now = nodes.leader().await?;
        let index = nodes.applied(now).await.ok_or(ClusterError::Nobody)?;
        nodes.restart(leader)?;
        nodes.catches_up(leader, index).await?;
    }
    Ok(gaps)
}
