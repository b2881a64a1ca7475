//! Three nodes under load: processes of the release binary on this machine, TLS between them, clients outside.
//!
//! Reading order: `load` (what clients do) → `system` (what is loaded, and how it is checked) → `ours` and `etcd` →
//! `apply`, `failover`, `catch_up` and `memory` (what only ours is asked) → `bars` and `table` (how we stand).

mod apply;
mod bars;
mod catch_up;
mod error;
mod etcd;
mod failover;
mod load;
mod memory;
mod ours;
mod process;
mod system;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::chain;
use crate::error::BenchError;
use crate::record::Case;
use crate::runner::Bench;
pub use error::ClusterError;
use etcd::Etcd;
use load::{Asks, Came, Load};
use ours::Nodes;
use system::{System, case, measure};
pub use table::{markdown, table};

/// How our nodes are called in records.
pub const OURS: &str = "tensorchain";

/// Bytes of a value.
const VALUE_BYTES: usize = 1_024;
/// Keys that reads choose from.
const KEYS_READ: u64 = 10_000;
/// How often ours and a peer take turns.
const ROUNDS: usize = 2;

/// What is measured, and with which programs.
#[derive(Debug, Clone, Args)]
pub struct ClusterOptions {
    /// The node's program [default: tensorchain beside this one].
    #[arg(long, value_name = "PROGRAM")]
    pub node: Option<PathBuf>,
    /// Numbers of clients [default: 1,16,256,1024].
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=4_000))]
    pub clients: Vec<u16>,
    /// etcd's program, for `peers --cluster`.
    #[arg(long, value_name = "PROGRAM", default_value = "etcd")]
    pub etcd: PathBuf,
}

/// Measures our nodes alone.
///
/// # Errors
/// A node that cannot be started, does not answer, or does not hold what it acknowledged.
pub fn run(bench: &mut Bench, options: &ClusterOptions) -> Result<(), BenchError> {
    measured(bench, options, 1, false)
}

/// Measures our nodes and etcd in turns, each with the other stopped.
///
/// # Errors
/// As [`run`].
pub fn race(bench: &mut Bench, options: &ClusterOptions) -> Result<(), BenchError> {
    let rounds = if bench.options.quick { 1 } else { ROUNDS };
    measured(bench, options, rounds, true)
}

fn measured(
    bench: &mut Bench,
    options: &ClusterOptions,
    rounds: usize,
    peers: bool,
) -> Result<(), BenchError> {
    bench.without_data("cluster")?;
    let program = program(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if bench.options.wants("cluster apply", "apply") {
        bench.progress.begin("cluster apply");
        apply::run(bench)?;
    }
    if bench.options.wants("cluster fsync", "fsync") {
        chain::bare_fsync(bench, "cluster fsync")?;
    }
    runtime.block_on(async {
        loads(bench, options, &program, rounds, peers).await?;
        failover::run(bench, &program).await?;
        catch_up::run(bench, &program).await?;
        memory::run(bench, &program).await
    })?;
    bench.table = Some(table(&bench.record, !bench.options.quick));
    Ok(())
}

/// Every load that is asked for, in rounds: ours, then the peer, each in a fresh cluster.
async fn loads(
    bench: &mut Bench,
    options: &ClusterOptions,
    program: &std::path::Path,
    rounds: usize,
    mut peers: bool,
) -> Result<(), BenchError> {
    let mut came: Vec<(String, Load, Came)> = Vec::new();
    for round in 0..rounds {
        let loads = asked_for(bench, options, round);
        if loads.is_empty() {
            return Ok(());
        }
        bench.progress.begin("starting three nodes");
        let ours = Nodes::start(program).await?;
        one_after_the_other(bench, &ours, &loads, &mut came).await?;
        drop(ours);
        if peers {
            bench.progress.begin("starting etcd");
            match Etcd::start(&options.etcd).await? {
                Some(etcd) => one_after_the_other(bench, &etcd, &loads, &mut came).await?,
                None => {
                    bench.skip("etcd (Debian's package etcd-server)");
                    peers = false;
                }
            }
        }
    }
    bench.record.cases.extend(came.iter().map(|(system, load, came)| case(system, load, came)));
    Ok(())
}

async fn one_after_the_other(
    bench: &Bench,
    system: &dyn System,
    loads: &[Load],
    all: &mut Vec<(String, Load, Came)>,
) -> Result<(), BenchError> {
    for load in loads {
        let name = system.name();
        bench.progress.begin(&format!("{name}, {:?}, {} clients", load.asks, load.clients));
        let came = measure(system, load).await?;
        let same = |(other, earlier, _): &&mut (String, Load, Came)| {
            *other == name && earlier.asks == load.asks && earlier.clients == load.clients
        };
        match all.iter_mut().find(same) {
            Some((_, _, earlier)) => *earlier = std::mem::take(earlier).and(came),
            None => all.push((name, load.clone(), came)),
        }
    }
    Ok(())
}

/// One transaction a request, 64, and reads, with each number of clients; the keys of each load are its own.
fn asked_for(bench: &Bench, options: &ClusterOptions, round: usize) -> Vec<Load> {
    let quick = bench.options.quick;
    let mut clients: Vec<usize> = options.clients.iter().map(|&clients| usize::from(clients)).collect();
    if clients.is_empty() {
        clients = if quick { vec![1, 16] } else { vec![1, 16, 256, 1_024] };
    }
    let time = bench.options.budget().time.max(Duration::from_millis(200));
    let keys = if quick { 100 } else { KEYS_READ };
    let mut loads = Vec::new();
    for asks in [Asks::Writes(1), Asks::Writes(64), Asks::Reads(keys)] {
        for &clients in &clients {
            let prefix = format!("r{round}-{:02}-", loads.len());
            let load = Load { asks, clients, bytes: VALUE_BYTES, prefix, time };
            let Case { workload, variant, .. } = case("", &load, &Came { seconds: 1.0, ..Came::default() });
            if bench.options.wants(&workload, &variant) {
                loads.push(load);
            }
        }
    }
    loads
}

/// The node's program: the one that is named, or the one that was built with this.
fn program(options: &ClusterOptions) -> Result<PathBuf, BenchError> {
    match &options.node {
        Some(program) => Ok(program.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("tensorchain")),
    }
}
