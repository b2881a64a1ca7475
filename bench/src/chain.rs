//! Chain workloads: what a commit costs as the chain grows, in memory and on disk, alone and in company.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tensor_chain::{TensorChain, TensorStore};

use crate::error::BenchError;
use crate::record::{Case, Record};
use crate::runner::Bench;
use crate::timing::{Budget, Samples, samples, timed};

/// Measures every chain workload into the record.
///
/// # Errors
/// A chain that refuses a commit, or that does not hold what was committed.
pub fn run(bench: &mut Bench) -> Result<(), BenchError> {
    bench.without_data("chain")?;
    let (budget, quick) = (bench.options.budget(), bench.options.quick);
    let record = &mut bench.record;
    let most = if quick { 1_000 } else { 100_000 };
    growing(record, most, 1_000)?;
    growing(record, most, most)?;
    small_calls(record, budget, if quick { 200 } else { 20_000 })?;
    on_disk(record, budget, if quick { 5 } else { 200 })
}

/// Sequential single-put commits in memory over `keys` keys: the last 1,000 before each power of ten.
fn growing(record: &mut Record, most: u32, keys: u32) -> Result<(), BenchError> {
    let chain = TensorChain::new(TensorStore::new(), "bench");
    chain.initialize()?;
    let ((mut wall_s, mut cpu_s), mut decade) = (Samples::default(), 1_000);
    for n in 1..=most {
        let (done, wall, cpu) = timed(|| chain.put(format!("key-{}", n % keys), n.to_le_bytes()));
        done?;
        wall_s.push(wall.as_secs_f64());
        cpu_s.push(cpu.as_secs_f64());
        if n == decade {
            let last = (wall_s.split_off(wall_s.len() - 1_000), cpu_s.split_off(cpu_s.len() - 1_000));
            let variant = format!("one put, {n} blocks over {} keys", keys.min(n));
            push(record, "commit in memory", &variant, 1, last);
            (wall_s, cpu_s) = Samples::default();
            decade *= 10;
        }
    }
    let expected = most.to_le_bytes();
    check(chain.get(&format!("key-{}", most % keys))?.as_deref() == Some(&expected[..]), "commit in memory")
}

/// Calls that must not follow the chain's length: begin, and the history of a key written twice.
fn small_calls(record: &mut Record, budget: Budget, length: u32) -> Result<(), BenchError> {
    let budget = Budget { runs: 1_000, time: budget.time / 4 };
    for length in [length / 100, length] {
        let chain = TensorChain::new(TensorStore::new(), "bench");
        chain.initialize()?;
        chain.put("watched", "first")?;
        for n in 0..length {
            chain.put(format!("key-{n}"), "value")?;
        }
        chain.put("watched", "second")?;
        check(chain.history("watched")?.len() == 2, "history")?;
        let begin = samples(budget, || chain.begin());
        push(record, "begin", &format!("chain of {length}"), 1, begin);
        let history = samples(budget, || chain.history("watched"));
        push(record, "history", &format!("2 changes in a chain of {length}"), 1, history);
    }
    Ok(())
}

/// Durable commits: one fsync by itself, a lone committer, and 64 at once.
fn on_disk(record: &mut Record, budget: Budget, rounds: u32) -> Result<(), BenchError> {
    let budget = Budget { runs: rounds as usize, ..budget };
    let folder = tempfile::tempdir()?;
    let sync = fsyncs(folder.path(), budget)?;
    push(record, "durable commit", "a bare fsync of 1 KiB, for scale", 1, sync);

    let chain = Arc::new(TensorChain::new(TensorStore::open(folder.path().join("chain"))?, "bench"));
    chain.initialize()?;
    let mut n = 0u32;
    let mut refused = None;
    let lone = samples(budget, || {
        n += 1;
        refused = chain.put(format!("lone-{n}"), "value").err().or(refused.take());
    });
    refused.map_or(Ok(()), Err)?;
    push(record, "durable commit", "one put, a lone committer", 1, lone);

    let before = chain.height().0;
    let committers = 64;
    let (done, wall, cpu) = timed(|| together(&chain, committers, rounds));
    done?;
    let commits = f64::from(committers * rounds);
    let blocks = chain.height().0 - before;
    let variant = format!("one put, 64 committers, {:.0} a block", commits / blocks as f64);
    let each = (vec![wall.as_secs_f64() / commits], vec![cpu.as_secs_f64() / commits]);
    push(record, "durable commit", &variant, 64, each);
    for who in 0..committers {
        check(chain.get(&format!("{who}-{}", rounds - 1))?.is_some(), "durable commit")?;
    }
    Ok(())
}

/// `committers` threads that put `each` keys of their own.
fn together(chain: &Arc<TensorChain>, committers: u32, each: u32) -> Result<(), BenchError> {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..committers)
            .map(|who| {
                scope.spawn(move || {
                    (0..each).try_for_each(|n| chain.put(format!("{who}-{n}"), "value").map(drop))
                })
            })
            .collect();
        handles
            .into_iter()
            .try_for_each(|handle| handle.join().map_err(|_| BenchError::Panicked)?.map_err(BenchError::from))
    })
}

/// Records what one fsync takes on the disk of the temporary directory.
///
/// # Errors
/// A file that cannot be written.
pub fn bare_fsync(bench: &mut Bench, workload: &str) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    // So many however long the others take: each is a row of the record.
    let budget = Budget { runs: if bench.options.quick { 5 } else { 2_000 }, time: Duration::ZERO };
    let taken = fsyncs(folder.path(), budget)?;
    push(&mut bench.record, workload, "a bare fsync of 1 KiB, for scale", 1, taken);
    Ok(())
}

/// Times of each append of 1 KiB and its fdatasync, on the same disk.
fn fsyncs(folder: &Path, budget: Budget) -> Result<Samples, BenchError> {
    let mut file = File::create(folder.join("fsync"))?;
    let mut failure = None;
    let taken = samples(budget, || {
        if let Err(error) = file.write_all(&[7; 1_024]).and_then(|()| file.sync_data()) {
            failure = Some(error);
        }
    });
    failure.map_or(Ok(taken), |error| Err(error.into()))
}

fn check(holds: bool, workload: &'static str) -> Result<(), BenchError> {
    if holds { Ok(()) } else { Err(BenchError::WrongState { workload }) }
}

fn push(record: &mut Record, workload: &str, variant: &str, threads: usize, samples: Samples) {
    let case = Case::new(workload, "tensor-chain", variant).on("-", threads);
    record.cases.push(case.timed(samples, 1.0, "calls"));
}
