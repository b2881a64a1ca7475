//! Wall-clock samples of one operation.

use std::time::{Duration, Instant};

/// Runs `operation` once to warm up, then at least `least` times and until `budget` is spent.
/// Returns the seconds of each counted run.
pub fn samples<T>(least: usize, budget: Duration, mut operation: impl FnMut() -> T) -> Vec<f64> {
    std::hint::black_box(operation());
    let mut seconds = Vec::new();
    let start = Instant::now();
    while seconds.len() < least || start.elapsed() < budget {
        let run = Instant::now();
        std::hint::black_box(operation());
        seconds.push(run.elapsed().as_secs_f64());
    }
    seconds
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let s = [3.0, 1.0, 2.0, 4.0];
        assert!((median(&s) - 2.0).abs() < 1e-12 && (quantile(&s, 0.99) - 4.0).abs() < 1e-12);
        assert!(median(&[]).abs() < 1e-12 && (quantile(&[5.0], 0.01) - 5.0).abs() < 1e-12);
    }
}
