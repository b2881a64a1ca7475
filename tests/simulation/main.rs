//! The cluster in a simulation: the code that is shipped, with clock, network, random numbers and the durability of the
//! disk substituted, and nothing else.
//!
//! A run is a function of its seed. A tick is a millisecond of virtual time; each run has 10,000 of them with faults:
//! partitions, lost, late and doubled messages, crashes that lose what was not synced, pauses, stepping clocks, slow
//! disks; and meanwhile members come and go, the leader hands over, snapshots are made and logs purged. After every
//! tick `invariants.rs` looks at all nodes; at the end, when the faults are over, `world.rs` judges what clients were told.
//!
//! ```text
//! tests/simulation.sh                              50 fresh seeds, and what proves that this finds bugs
//! SIM_SEED=42 tests/simulation.sh fresh_seeds      that one
//! SIM_SEEDS=1000 tests/simulation.sh fresh_seeds   so many
//! ```
//!
//! There is no simulation library under it. What one offers is a substitute for sockets, which these nodes do not see:
//! they talk through `PeerLink`. What is left is a loop over the runtimes of machines; with it at hand, machines can be
//! paused and one process can run many seeds.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on has failed")]

mod bug;
mod client;
mod disk;
mod faults;
mod history;
mod invariants;
mod linearizable;
mod machine;
mod network;
mod operator;
mod random;
mod trace;
mod world;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bug::Bug;
use random::Random;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Random::new(now.as_nanos() as u64).number() >> 16 // short enough to be typed
}

fn reproduce(seed: u64) -> String {
    format!("SIM_SEED={seed} tests/simulation.sh fresh_seeds")
}

#[test]
fn fresh_seeds_hold_every_invariant() {
    let (first, count) = match number("SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (fresh(), number("SIM_SEEDS").unwrap_or(50)),
    };
    let begun = Instant::now();
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let totals = Mutex::new((BTreeMap::<&str, u64>::new(), [0_usize; 3]));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|done| *done < count) {
            let seed = first.wrapping_add(seed);
            match world::run(seed, None) {
                Ok(report) => {
                    let mut totals = totals.lock().unwrap();
                    report.counts.iter().for_each(|(name, n)| *totals.0.entry(name).or_default() += n);
                    let new = [report.acknowledged, report.reads, report.unknown];
                    totals.1.iter_mut().zip(new).for_each(|(total, new)| *total += new);
                    eprintln!("seed {seed}: trace {}, {new:?} {:?}", report.trace, report.counts);
                }
                Err(violation) => {
                    eprintln!("{violation}\nreproduce: {}", reproduce(seed));
                    failures.lock().unwrap().push(seed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(work)));
    });
    let (failures, (counts, [acknowledged, reads, unknown])) =
        (failures.into_inner().unwrap(), totals.into_inner().unwrap());
    eprintln!(
        "{count} seeds from {first} in {:.1?}: {acknowledged} writes acknowledged, {unknown} unknown, {reads} reads; {counts:?}",
        begun.elapsed()
    );
    assert!(failures.is_empty(), "{} of {count} seeds failed: {failures:?}", failures.len());
    if count >= 50 {
        // Some runs are so harsh that little is acknowledged; all of them together show something.
        assert!(acknowledged as u64 >= 100 * count, "only {acknowledged} writes were acknowledged");
        // What never happened was not tested.
        let wanted = [
            "partition",
            "crash",
            "shutdown",
            "pause",
            "clock step",
            "weather",
            "slow disk",
            "reset",
            "add a learner",
            "promote",
            "remove",
            "transfer",
            "hand-over",
            "snapshot",
            "snapshot installed",
        ];
        let missing: Vec<_> =
            wanted.iter().filter(|name| counts.get(*name).is_none_or(|n| *n == 0)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

#[test]
fn a_leader_with_a_slow_disk_hands_over_once_and_where_all_are_slow_nobody_does() {
    let first = number("SIM_SEED").unwrap_or_else(fresh);
    for seed in first..first + 4 {
        for (all, handovers) in [(false, 1), (true, 0)] {
            let report = world::run_on_slow_disks(seed, all);
            let report = report.unwrap_or_else(|violation| panic!("all slow: {all}: {violation}"));
            assert_eq!(report.counts["hand-over"], handovers, "seed {seed}, all slow: {all}");
            eprintln!("seed {seed}, all slow: {all}: trace {}", report.trace);
        }
    }
}

/// Found in each planted bug, by whom it has to be found, and in how many seeds.
#[test]
fn planted_bugs_are_found() {
    for bug in Bug::ALL {
        let first = number("SIM_SEED").unwrap_or_else(fresh);
        let found = (0..bug.seeds()).find_map(|n| {
            let seed = first.wrapping_add(n);
            world::run(seed, Some(bug)).err().map(|violation| (n + 1, seed, violation))
        });
        let Some((tried, seed, violation)) = found else {
            panic!("{bug:?} was not found in {} seeds from {first}", bug.seeds());
        };
        let why = violation.lines().find(|line| line.starts_with("seed ")).unwrap_or_default();
        eprintln!("{bug:?}: found in seed {seed}, the {tried}. of those tried: {why}");
        assert!(
            bug.signs().iter().any(|sign| why.contains(sign)),
            "{bug:?} was found for another reason: {why}"
        );
    }
}

/// One run for a process of its own, see below.
#[test]
fn one_seed() {
    let Some(seed) = number("SIM_ONE") else { return };
    let report = world::run(seed, None).unwrap_or_else(|violation| panic!("{violation}"));
    eprintln!("trace {}", report.trace);
}

#[test]
fn the_same_seed_leaves_the_same_trace_in_every_process() {
    let traces = |seed: u64| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "one_seed", "--nocapture"]).env("SIM_ONE", seed.to_string());
        let output = String::from_utf8(command.output().unwrap().stderr).unwrap();
        let trace = output.lines().find(|line| line.starts_with("trace ")).map(str::to_owned);
        trace.unwrap_or_else(|| panic!("seed {seed} left no trace: {output}"))
    };
    let seed = number("SIM_SEED").unwrap_or_else(fresh);
    let (one, same, other) = (traces(seed), traces(seed), traces(seed.wrapping_add(1)));
    assert_eq!(one, same, "seed {seed}");
    assert_ne!(one, other, "a trace that says nothing");
    // And beside other runs of one process.
    let report = world::run(seed, None).unwrap();
    assert_eq!(one, format!("trace {}", report.trace), "seed {seed}");
}
