//! Our kernels beside the libraries that people would otherwise use, on the same inputs, with the same
//! threads, in turns within one run.
//!
//! A peer gives the complete answer of a workload in the best configuration found, and whatever may be
//! prepared is prepared before it is timed. Its answer is held against the oracle's like ours, and what it
//! does not get right is in the table. Peers from the Cargo registry are linked in with the feature `peers`;
//! peers from PyPI run as child processes of a Python that the user has filled. One that is missing or fails
//! is named with its reason and costs nobody else a row.

mod bars;
mod child;
mod clusters;
mod contender;
mod exchange;
mod int8;
#[cfg(feature = "peers")]
mod linked;
mod oracle;
mod pairs;
mod race;
mod search;
mod sparse;
mod sparse_pair;
mod table;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use crate::error::BenchError;
use crate::runner::Bench;
use crate::timing::Budget;
use child::{Listed, Python};
pub use contender::PeerError;
use race::Race;
use workload::WORKLOADS;

/// Which peers to measure.
#[derive(Debug, clap::Args)]
pub struct PeerOptions {
    /// A Python interpreter with the packages of bench/peers/requirements.txt; without it no Python peer runs.
    #[arg(long)]
    pub python: Option<PathBuf>,
    /// Only peers whose name contains this, e.g. mkl.
    #[arg(long, default_value = "")]
    pub peer: String,
}

/// Measures every workload whose name contains the filter, and leaves its own table.
///
/// # Errors
/// Our own kernels refuse an input or answer wrongly; the interpreter cannot be started at all.
pub fn run(bench: &mut Bench, options: &PeerOptions) -> Result<(), BenchError> {
    bench.without_data("peers")?;
    let python = options.python.as_deref().map(Python::new).transpose()?;
    let listed = python.as_ref().map_or_else(|| Ok(Vec::new()), Python::list)?;
    let (kernels, budget) = (bench.kernels()?, bench.options.budget());
    let mut outcomes = Vec::new();
    for (id, make) in WORKLOADS {
        if !bench.options.wants(id, id) {
            continue;
        }
        bench.progress.begin(&format!("making the input of {id}"));
        let workload = make(bench.options.quick)?;
        let folder = tempfile::tempdir()?;
        if python.is_some() {
            workload.write(folder.path())?;
        }
        for kernels in &kernels {
            let threads = kernels.threads();
            let mut race = Race::new(id, &*workload, kernels, budget)?;
            for (name, peer) in workload.linked(threads) {
                if name.contains(&options.peer) {
                    bench.progress.begin(&format!("{id} {name}, {threads} threads"));
                    race.against(name, Ok(peer))?;
                }
            }
            for peer in listed.iter().filter(|p| p.workload == *id && p.peer.contains(&options.peer)) {
                let name = full_name(peer);
                bench.progress.begin(&format!("{id} {name}, {threads} threads"));
                let started = match &python {
                    Some(python) => python.start(peer, folder.path(), threads),
                    None => Err(PeerError::NotInstalled),
                };
                race.against(&name, started.map(|script| Box::new(script) as Box<_>))?;
            }
            outcomes.extend(race.finish()?);
        }
    }
    bench.record.cases.extend(outcomes.iter().filter_map(|outcome| outcome.case.clone()));
    bench.table = Some(table::table(&outcomes, python.is_some(), bench.options.quick));
    Ok(())
}

/// The library, its version and its method.
fn full_name(peer: &Listed) -> String {
    let (library, method) = peer.peer.split_once(':').unwrap_or((&peer.peer, ""));
    let version = peer.version.as_deref().unwrap_or_default();
    format!("{library} {version} {method}").trim_end().to_owned()
}

/// How often the slowest peers run: once they have taken this many budgets, one run is enough.
fn patience(budget: Budget) -> Duration {
    budget.time.saturating_mul(10)
}
