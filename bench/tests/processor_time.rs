//! Processor time is that of the whole process, so this test has a process to itself.
#![forbid(unsafe_code)]

use std::time::Duration;

use tensor_bench::timing::{Budget, samples};

#[test]
fn processor_time_counts_work_and_not_waiting() {
    let budget = Budget { runs: 1, time: Duration::ZERO };
    let (wall, cpu) = samples(budget, || std::thread::park_timeout(Duration::from_millis(30)));
    assert!(cpu[0] < wall[0] / 2.0, "waited {} s, worked {} s", wall[0], cpu[0]);
    let (_, cpu) = samples(budget, || (0..3_000_000u64).fold(0, |a, b| std::hint::black_box(a ^ b)));
    assert!(cpu[0] > 0.0);
}
