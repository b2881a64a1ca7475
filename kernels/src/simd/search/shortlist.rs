//! The rows of one query that may still be wanted.

use crate::types::Wanted;

/// A row and the bounds of its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) row: u32,
    lower: f32,
    pub(super) upper: f32,
}

/// Rows whose key can reach the floor: the least key that a wanted row may have, as far as is known.
///
/// For the `k` nearest the floor is the k-th greatest lower bound seen so far: a row below it has `k`
/// rows strictly nearer, and a row at it is kept, so ties are left to the exact order. For a threshold
/// the floor is given and stays.
#[derive(Debug)]
pub(super) struct Shortlist {
    wanted: Wanted,
    floor: f32,
    entries: Vec<Entry>,
    /// Number of entries at which those that fell below the floor are dropped.
    full: usize,
}

impl Shortlist {
    /// An empty list; `floor` is what is known by now.
    pub(super) fn new(wanted: Wanted, floor: f32) -> Self {
        Self { wanted, floor, entries: Vec::new(), full: first_full(wanted) }
    }

    /// Rows of which nothing else is known.
    #[cfg(feature = "gpu")]
    pub(super) fn of(wanted: Wanted, rows: Vec<u32>) -> Self {
        let entry = |row| Entry { row, lower: f32::NEG_INFINITY, upper: f32::INFINITY };
        Self { entries: rows.into_iter().map(entry).collect(), ..Self::new(wanted, f32::NEG_INFINITY) }
    }

    pub(super) const fn floor(&self) -> f32 {
        self.floor
    }

    /// Adds a row, given bounds of its key, unless it is below the floor.
    pub(super) fn offer(&mut self, row: u32, (lower, upper): (f32, f32)) {
        if below(upper, self.floor) {
            return;
        }
        let known = lower.is_finite() && upper.is_finite();
        let (lower, upper) = if known { (lower, upper) } else { (f32::NEG_INFINITY, f32::INFINITY) };
        self.entries.push(Entry { row, lower, upper });
        if self.entries.len() >= self.full {
            self.compact();
        }
    }

    /// Takes over the rows of another part of the corpus.
    pub(super) fn merge(&mut self, other: Self) {
        self.floor = self.floor.max(other.floor);
        self.entries.extend(other.entries);
        self.compact();
    }

    /// Number of rows in it, of which some may be below the floor by now.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The rows that are left, in no particular order.
    pub(super) fn into_rows(mut self) -> Vec<u32> {
        self.compact();
        self.entries.into_iter().map(|entry| entry.row).collect()
    }

    /// What is left, greatest upper bound first.
    pub(super) fn into_ranked(mut self) -> Vec<Entry> {
        self.compact();
        self.entries.sort_unstable_by(|a, b| b.upper.total_cmp(&a.upper));
        self.entries
    }

    /// Raises the floor and drops what is below it. The next time waits until the list has doubled, so
    /// the cost per entry stays constant however many survive.
    pub(super) fn compact(&mut self) {
        if let Wanted::Top(k) = self.wanted
            && (1..=self.entries.len()).contains(&k)
        {
            let (_, kth, _) = self.entries.select_nth_unstable_by(k - 1, |a, b| b.lower.total_cmp(&a.lower));
            self.floor = self.floor.max(kth.lower);
            self.entries.retain(|entry| entry.upper >= self.floor);
        }
        self.full = first_full(self.wanted).max(2 * self.entries.len());
    }
}

/// Room for the wanted rows and as many again.
const fn first_full(wanted: Wanted) -> usize {
    match wanted {
        Wanted::Top(k) => k.saturating_mul(2).saturating_add(16),
        Wanted::Within(_) => usize::MAX,
    }
}

/// Whether a key of at most `upper` is certain to be below the floor. A NaN is certain of nothing.
#[inline(always)]
pub(super) fn below(upper: f32, floor: f32) -> bool {
    upper < floor
}
