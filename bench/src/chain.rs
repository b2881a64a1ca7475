//! Chain workloads: what a commit costs as the chain grows, in memory and on disk, alone and in company.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tensor_chain::{TensorChain, TensorStore};

use crate::error::BenchError;
use crate::record::{Case, Report};
use crate::timing::{median, samples};

/// Measures every chain workload into `report`.
///
/// # Errors
/// A chain that refuses a commit, or that does not hold what was committed.
pub fn run(report: &mut Report, budget: Duration, quick: bool) -> Result<(), BenchError> {
    let most = if quick { 1_000 } else { 100_000 };
    growing(report, most, 1_000)?;
    growing(report, most, most)?;
    small_calls(report, budget, if quick { 200 } else { 20_000 })?;
    on_disk(report, budget, if quick { 5 } else { 200 })
}

/// Sequential single-put commits in memory over `keys` keys: the last 1,000 before each power of ten.
fn growing(report: &mut Report, most: u32, keys: u32) -> Result<(), BenchError> {
    let chain = TensorChain::new(TensorStore::new(), "bench");
    chain.initialize()?;
    let (mut taken, mut decade) = (Vec::new(), 1_000);
    for n in 1..=most {
        let start = Instant::now();
        chain.put(format!("key-{}", n % keys), n.to_le_bytes())?;
        taken.push(start.elapsed().as_secs_f64());
        if n == decade {
            let last = taken.split_off(taken.len() - 1_000);
            let variant = format!("one put, {n} blocks over {} keys", keys.min(n));
            push(report, "commit in memory", variant, 1, last);
            taken.clear();
            decade *= 10;
        }
    }
    let expected = most.to_le_bytes();
    check(chain.get(&format!("key-{}", most % keys))?.as_deref() == Some(&expected[..]), "commit in memory")
}

/// Calls that must not follow the chain's length: begin, and the history of a key written twice.
fn small_calls(report: &mut Report, budget: Duration, length: u32) -> Result<(), BenchError> {
    for length in [length / 100, length] {
        let chain = TensorChain::new(TensorStore::new(), "bench");
        chain.initialize()?;
        chain.put("watched", "first")?;
        for n in 0..length {
            chain.put(format!("key-{n}"), "value")?;
        }
        chain.put("watched", "second")?;
        check(chain.history("watched")?.len() == 2, "history")?;
        let begin = samples(1_000, budget / 4, || chain.begin());
        push(report, "begin", format!("chain of {length}"), 1, begin);
        let history = samples(1_000, budget / 4, || chain.history("watched"));
        push(report, "history", format!("2 changes in a chain of {length}"), 1, history);
    }
    Ok(())
}

/// Durable commits: one fsync by itself, a lone committer, and 64 at once.
fn on_disk(report: &mut Report, budget: Duration, rounds: usize) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    let sync = fsyncs(folder.path(), rounds, budget)?;
    push(report, "durable commit", "a bare fsync of 1 KiB, for scale".to_owned(), 1, sync);

    let chain = Arc::new(TensorChain::new(TensorStore::open(folder.path().join("chain"))?, "bench"));
    chain.initialize()?;
    let mut n = 0u32;
    let lone = samples(rounds, budget, || {
        n += 1;
        chain.put(format!("lone-{n}"), "value")
    });
    push(report, "durable commit", "one put, a lone committer".to_owned(), 1, lone);

    let before = chain.height().0;
    let (committers, each) = (64, rounds as u32);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..committers)
            .map(|who| {
                let chain = Arc::clone(&chain);
                scope.spawn(move || {
                    (0..each).try_for_each(|n| chain.put(format!("{who}-{n}"), "value").map(drop))
                })
            })
            .collect();
        handles
            .into_iter()
            .try_for_each(|handle| handle.join().map_err(|_| BenchError::Panicked)?.map_err(BenchError::from))
    })?;
    let commits = f64::from(committers * each);
    let seconds = start.elapsed().as_secs_f64() / commits;
    let blocks = chain.height().0 - before;
    let variant = format!("one put, 64 committers, {:.0} a block", commits / blocks as f64);
    push(report, "durable commit", variant, 64, vec![seconds]);
    for who in 0..committers {
        check(chain.get(&format!("{who}-{}", each - 1))?.is_some(), "durable commit")?;
    }
    Ok(())
}

/// Seconds of each append of 1 KiB and its fdatasync, on the same disk.
fn fsyncs(folder: &Path, least: usize, budget: Duration) -> Result<Vec<f64>, BenchError> {
    let mut file = File::create(folder.join("fsync"))?;
    let mut failure = None;
    let taken = samples(least, budget, || {
        if let Err(error) = file.write_all(&[7; 1_024]).and_then(|()| file.sync_data()) {
            failure = Some(error);
        }
    });
    failure.map_or(Ok(taken), |error| Err(error.into()))
}

fn check(holds: bool, workload: &'static str) -> Result<(), BenchError> {
    if holds { Ok(()) } else { Err(BenchError::WrongState { workload }) }
}

fn push(report: &mut Report, workload: &str, variant: String, threads: usize, wall_s: Vec<f64>) {
    report.cases.push(Case {
        workload: workload.to_owned(),
        implementation: "tensor-chain".to_owned(),
        variant,
        isa: "-".to_owned(),
        threads,
        throughput: 1.0 / median(&wall_s),
        unit: "1/s".to_owned(),
        wall_s,
        exact: true,
    });
}
