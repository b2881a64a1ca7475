//! What clients did and saw, and whether one register a key could have answered them so.
//!
//! The search is that of Wing and Gong with the memory of Lowe: whichever operation comes first must have begun before
//! every other had ended, and no set of operations that led to the same value is tried twice.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

/// The number that a write wrote: each is written once. `None` is no value.
pub type Seen = Option<u64>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Put(u64),
    /// One that found what it expected.
    Swap {
        expected: Seen,
        new: u64,
    },
    Read(Seen),
}

/// What one client did to one key. Times are since one moment for all clients.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub what: What,
    pub begun: Duration,
    /// When its outcome was known, and at which height it was written; `None` where it may or may not have been done.
    pub ended: Option<Duration>,
    pub height: Option<u64>,
}

impl Operation {
    /// The value after it, where it can come after `value`.
    fn after(&self, value: Seen) -> Option<Seen> {
        match self.what {
            What::Put(new) => Some(Some(new)),
            What::Swap { expected, new } => (value == expected).then_some(Some(new)),
            What::Read(seen) => (value == seen).then_some(value),
        }
    }

    fn written(&self) -> Option<u64> {
        match self.what {
            What::Put(new) | What::Swap { new, .. } => Some(new),
            What::Read(_) => None,
        }
    }

    fn relies_on(&self) -> Option<u64> {
        match self.what {
            What::Read(seen) | What::Swap { expected: seen, .. } => seen,
            What::Put(_) => None,
        }
    }

    fn deadline(&self) -> Duration {
        self.ended.unwrap_or(Duration::MAX)
    }
}

/// Which operations have had their turn, and what they led to: all below `first`, and some beyond.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Point {
    first: usize,
    beyond: BTreeSet<usize>,
    value: Seen,
}

impl Point {
    fn with(&self, index: usize, value: Seen) -> Self {
        let mut next = Self { value, ..self.clone() };
        next.beyond.insert(index);
        while next.beyond.remove(&next.first) {
            next.first += 1;
        }
        next
    }
}

/// Checks the history of one key.
///
/// # Errors
/// The operations around the place that no order gets past.
pub fn check_register(mut operations: Vec<Operation>) -> Result<(), String> {
    // A write that nobody saw and that may not have been done need not have been.
    let relied_on: BTreeSet<u64> = operations.iter().filter_map(Operation::relies_on).collect();
    operations.retain(|one| one.ended.is_some() || one.written().is_some_and(|new| relied_on.contains(&new)));
    operations.sort_by_key(|one| one.begun);
    let mut points = vec![Point { first: 0, beyond: BTreeSet::new(), value: None }];
    let (mut known, mut furthest) = (HashSet::new(), 0);
    while let Some(point) = points.pop() {
        let waiting = || (point.first..operations.len()).filter(|index| !point.beyond.contains(index));
        if waiting().all(|index| operations[index].ended.is_none()) {
            return Ok(());
        }
        furthest = furthest.max(point.first);
        let mut latest = Duration::MAX;
        let mut next = Vec::new();
        for index in waiting() {
            let one = &operations[index];
            if one.begun > latest {
                break;
            }
            latest = latest.min(one.deadline());
            next.extend(one.after(point.value).map(|value| point.with(index, value)));
        }
        // Those that began first are tried first.
        points.extend(next.into_iter().rev().filter(|next| known.insert(next.clone())));
    }
    let around = furthest.saturating_sub(8)..(furthest + 8).min(operations.len());
    Err(format!("no order gets past operation {furthest}: {:#?}", &operations[around]))
}

/// What a set of clients did, by key.
#[derive(Debug, Default)]
pub struct History(pub BTreeMap<String, Vec<Operation>>);

impl History {
    pub fn push(&mut self, key: &str, operation: Operation) {
        self.0.entry(key.to_owned()).or_default().push(operation);
    }

    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(key, more)| self.0.entry(key).or_default().extend(more));
    }

    /// Writes whose outcome is known.
    pub fn acknowledged(&self) -> usize {
        self.0.values().flatten().filter(|one| one.height.is_some()).count()
    }

    /// Panics unless every key answered as one register, and unless of the changes that the cluster has of it, by
    /// height, each acknowledged write is one, at the height that was acknowledged, and none is there twice.
    pub fn check(self, mut changes_of: impl FnMut(&str) -> Vec<(u64, u64)>) {
        for (key, operations) in self.0 {
            let changes = changes_of(&key);
            let heights: BTreeMap<u64, u64> =
                changes.iter().map(|&(height, value)| (value, height)).collect();
            assert_eq!(heights.len(), changes.len(), "{key}: a write was applied twice: {changes:?}");
            for one in operations.iter().filter(|one| one.height.is_some()) {
                let there = one.written().and_then(|value| heights.get(&value)).copied();
                assert_eq!(there, one.height, "{key}: acknowledged and lost: {one:?}");
            }
            check_register(operations).unwrap_or_else(|error| panic!("{key}: {error}"));
        }
    }
}

mod tests {
    use super::*;

    fn operation(what: What, begun: u64, ended: u64) -> Operation {
        let ended = (ended > 0).then(|| Duration::from_millis(ended));
        Operation { what, begun: Duration::from_millis(begun), ended, height: None }
    }

    fn check(operations: &[(What, u64, u64)]) -> bool {
        check_register(operations.iter().map(|&(what, begun, ended)| operation(what, begun, ended)).collect())
            .is_ok()
    }

    #[test]
    fn what_one_register_cannot_have_answered_is_found() {
        use What::{Put, Read, Swap};
        assert!(check(&[(Put(1), 0, 10), (Read(Some(1)), 5, 6), (Read(Some(1)), 11, 12)]));
        assert!(!check(&[(Put(1), 0, 10), (Put(2), 11, 20), (Read(Some(1)), 21, 22)]), "a stale read");
        assert!(!check(&[(Put(1), 0, 10), (Read(None), 11, 12)]), "a lost write");
        assert!(!check(&[(Read(Some(1)), 1, 2), (Read(None), 3, 4), (Put(1), 0, 10)]), "back in time");
        // A write of unknown outcome may come late, or never, but only once.
        assert!(check(&[(Put(1), 0, 0), (Put(2), 5, 10), (Read(Some(2)), 11, 12), (Read(Some(1)), 13, 14)]));
        assert!(check(&[(Put(1), 0, 0), (Read(None), 11, 12)]));
        assert!(!check(&[
            (Put(1), 0, 0),
            (Read(Some(1)), 1, 2),
            (Put(2), 5, 10),
            (Read(Some(2)), 11, 12),
            (Read(Some(1)), 13, 14),
        ]));
        assert!(!check(&[(Swap { expected: Some(3), new: 1 }, 0, 10)]), "nobody wrote what it found");
        assert!(check(&[(Swap { expected: Some(3), new: 1 }, 0, 10), (Put(3), 4, 11)]));
    }
}
