//! How a case is timed: wall clock and processor time of whole runs, and what is said about the samples.
//!
//! Processor time is that of the process, all its threads together; on a machine that others use too
//! its least value is the steadiest figure there is, which is why comparisons use it.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Seconds of each run: wall clock, then processor.
pub type Samples = (Vec<f64>, Vec<f64>);

/// How long a case is measured.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Least number of counted runs.
    pub runs: usize,
    /// Least time to spend on counted runs.
    pub time: Duration,
}

/// Runs `operation` once to warm up, then at least as long and as often as `budget` says.
pub fn samples<T>(budget: Budget, mut operation: impl FnMut() -> T) -> Samples {
    let mut taken = interleaved(budget, &mut [&mut || drop(std::hint::black_box(operation()))]);
    taken.pop().unwrap_or_default()
}

/// Times several operations in turns, A B C A B C, so that whatever else the machine does meets all of
/// them alike. Each runs once to warm up and then until it has the budget's runs and time; slow ones, which
/// have them first, then leave the turns to the others.
pub fn interleaved(budget: Budget, operations: &mut [&mut dyn FnMut()]) -> Vec<Samples> {
    operations.iter_mut().for_each(|operation| operation());
    let mut taken = vec![(Samples::default(), Duration::ZERO); operations.len()];
    let lacks =
        |(samples, spent): &(Samples, Duration)| samples.0.len() < budget.runs || *spent < budget.time;
    while taken.iter().any(lacks) {
        for (operation, taken) in operations.iter_mut().zip(&mut taken).filter(|(_, taken)| lacks(taken)) {
            let ((), wall, cpu) = timed(operation);
            taken.0.0.push(wall.as_secs_f64());
            taken.0.1.push(cpu.as_secs_f64());
            taken.1 = taken.1.saturating_add(wall);
        }
    }
    taken.into_iter().map(|(samples, _)| samples).collect()
}

/// Runs `operation` once: its answer, the wall-clock time and the processor time it took.
pub fn timed<T>(operation: impl FnOnce() -> T) -> (T, Duration, Duration) {
    let (cpu, wall) = (processor_time(), Instant::now());
    let answer = operation();
    let elapsed = wall.elapsed();
    (answer, elapsed, processor_time().saturating_sub(cpu))
}

/// Processor time this process has used, all threads together.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The least sample; 0 for no samples.
#[must_use]
pub fn least(samples: &[f64]) -> f64 {
    quantile(samples, 0.0)
}

/// The median; 0 for no samples.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The least sample at or above the fraction `q` of all samples; 0 for no samples.
#[must_use]
pub fn quantile(samples: &[f64], q: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Half the distance between the quartiles, relative to the median: how much the samples scatter.
#[must_use]
pub fn spread(samples: &[f64]) -> f64 {
    let middle = median(samples);
    if middle > 0.0 { (quantile(samples, 0.75) - quantile(samples, 0.25)) / (2.0 * middle) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64) -> bool {
        (got - expected).abs() < 1e-12
    }

    #[test]
    fn quantiles_are_samples() {
        let s = [3.0, 1.0, 2.0, 4.0];
        assert!(close(median(&s), 2.0) && close(quantile(&s, 0.99), 4.0) && close(least(&s), 1.0));
        assert!(close(median(&[]), 0.0) && close(quantile(&[5.0], 0.01), 5.0));
    }

    #[test]
    fn the_spread_is_relative() {
        assert!(close(spread(&[1.0, 1.0, 1.0]), 0.0) && close(spread(&[]), 0.0));
        assert!(close(spread(&[1.0, 2.0, 3.0, 4.0]), 0.5), "quartiles 1 and 3, median 2");
    }

    #[test]
    fn operations_take_turns_after_one_warm_up_each() {
        let order = std::cell::RefCell::new(String::new());
        let budget = Budget { runs: 2, time: Duration::ZERO };
        let (mut a, mut b) = (|| order.borrow_mut().push('a'), || order.borrow_mut().push('b'));
        let taken = interleaved(budget, &mut [&mut a, &mut b]);
        assert_eq!(*order.borrow(), "ababab");
        assert!(taken.len() == 2 && taken.iter().all(|(wall, cpu)| wall.len() == 2 && cpu.len() == 2));
        assert!(interleaved(budget, &mut []).is_empty());
    }
}
