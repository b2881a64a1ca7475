//! How values are distributed, counted without a lock: buckets whose bounds double.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Number of bounds. What lies above the last is counted without one.
const BOUNDS: usize = 18;

/// Counts values of one kind as they come.
#[derive(Debug)]
pub struct Histogram {
    /// How many make one of what is shown.
    scale: f64,
    /// The first bound; each is twice the one before.
    first: u64,
    counts: [AtomicU64; BOUNDS + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Of durations, shown in seconds: bounds from 100 µs to 13 s.
    #[must_use]
    pub fn of_durations() -> Self {
        Self::new(1e6, 100)
    }

    /// Of numbers: bounds from 1 to 131,072.
    #[must_use]
    pub fn of_numbers() -> Self {
        Self::new(1.0, 1)
    }

    fn new(scale: f64, first: u64) -> Self {
        Self { scale, first, counts: Default::default(), sum: AtomicU64::new(0) }
    }

    /// Counts a duration.
    pub fn took(&self, duration: Duration) {
        self.count(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts a number.
    pub fn count(&self, value: u64) {
        let bucket = (0..BOUNDS).find(|&bucket| value <= self.bound(bucket)).unwrap_or(BOUNDS);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    const fn bound(&self, bucket: usize) -> u64 {
        self.first << bucket
    }

    /// What has been counted so far.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let bounds = (0..BOUNDS).map(|bucket| self.bound(bucket) as f64 / self.scale).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Distribution {
            buckets: bounds.zip(counts).collect(),
            sum: self.sum.load(Ordering::Relaxed) as f64 / self.scale,
        }
    }
}

/// How values were distributed at some moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// Upper bounds, ascending, the last infinite, each with the number of values that are not above it but above the
    /// bound before.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of the values.
    pub sum: f64,
}

impl Distribution {
    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// A bound that this share of the values does not exceed: that of the bucket in which the share is reached, and
    /// for what lies above every bound the last of them. `None` where there were no values.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0);
        let (mut seen, mut last) = (0, None);
        for &(bound, count) in &self.buckets {
            seen += count;
            last = if bound.is_finite() { Some(bound) } else { last };
            if seen as f64 >= wanted {
                return last;
            }
        }
        None
    }

    /// What was counted after an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: usize| earlier.buckets.get(bucket).map_or(0, |(_, count)| *count);
        let buckets = self.buckets.iter().enumerate();
        Self {
            buckets: buckets
                .map(|(bucket, (bound, count))| (*bound, count.saturating_sub(before(bucket))))
                .collect(),
            sum: self.sum - earlier.sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_is_not_above_it() {
        let histogram = Histogram::of_numbers();
        for value in [0, 1, 2, 3, 4, 5, 131_072, 131_073, u64::MAX >> 1] {
            histogram.count(value);
        }
        let counts: Vec<_> = histogram.distribution().buckets;
        assert_eq!(counts[..4], [(1.0, 2), (2.0, 1), (4.0, 2), (8.0, 1)]);
        assert_eq!(counts[17..], [(131_072.0, 1), (f64::INFINITY, 2)]);
        assert_eq!(histogram.distribution().count(), 9);
    }

    #[test]
    fn quantiles_are_bounds_of_what_was_counted_since() {
        let histogram = Histogram::of_durations();
        assert_eq!(histogram.distribution().quantile(0.99), None);
        (0..99).for_each(|_| histogram.took(Duration::from_micros(90)));
        histogram.took(Duration::from_secs(100));
        let before = histogram.distribution();
        assert_eq!(before.quantile(0.5), Some(1e-4));
        assert_eq!(before.quantile(0.99), Some(1e-4));
        assert_eq!(before.quantile(1.0), Some(13.107_2), "above every bound");
        histogram.took(Duration::from_micros(150));
        let since = histogram.distribution().since(&before);
        assert_eq!((since.count(), since.quantile(0.99)), (1, Some(2e-4)));
        assert!((since.sum - 150e-6).abs() < 1e-9);
    }
}
