//! Whether one register could have answered as its clients were answered: linearizability of the operations on a key.
//!
//! The search of Wing and Gong (1993) with the memory of Lowe (2017): operations are put in order one by one, and what
//! comes next must have begun before any other ended that is left. A value that was reached before with the same
//! operations behind it is not looked at twice.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

/// Steps after which the search gives up, or more where there are many operations; that is a failure, not a pass.
const MOST_STEPS: usize = 3_000_000;

/// What the register holds: nothing, or a number that is written once.
pub type Value = Option<u64>;

/// What an operation did to the register, or saw there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A value took the place of what was there; `None` is a deletion.
    Write(Value),
    /// A value took the place of what was expected.
    Swap {
        /// What was expected, and found.
        expected: Value,
        /// What is there now.
        new: u64,
    },
    /// A value was seen.
    Read(Value),
}

/// One operation, with times of one clock for all clients.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// What it did or saw, if it took effect.
    pub effect: Effect,
    /// When it was asked for.
    pub begun: u64,
    /// When it was answered; `None` where its outcome is unknown: it may have taken effect at any time after it began, or never.
    pub ended: Option<u64>,
}

/// Why a history is not accepted.
#[derive(Debug)]
pub enum Unexplained {
    /// No order gets past these. The one that stood in the way of the longest is among them.
    NoOrder(Vec<Operation>),
    /// The search gave up.
    Undecided,
}

impl Operation {
    /// The value after it; `None` where it cannot come after `value`.
    fn after(&self, value: Value) -> Option<Value> {
        match self.effect {
            Effect::Write(new) => Some(new),
            Effect::Swap { expected, new } => (value == expected).then_some(Some(new)),
            Effect::Read(seen) => (value == seen).then_some(value),
        }
    }

    const fn seen(&self) -> Value {
        match self.effect {
            Effect::Read(seen) | Effect::Swap { expected: seen, .. } => seen,
            Effect::Write(_) => None,
        }
    }

    /// Whether it may be left out although it may have taken effect: nobody saw its value.
    fn is_beside_the_point(&self, seen: &BTreeSet<u64>) -> bool {
        let unseen = match self.effect {
            Effect::Write(Some(new)) | Effect::Swap { new, .. } => !seen.contains(&new),
            Effect::Write(None) => false,
            Effect::Read(_) => true,
        };
        unseen && self.ended.is_none()
    }
}

/// Which operations are in order, all below `first` and some beyond, and the value that they led to.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Point {
    first: usize,
    beyond: BTreeSet<usize>,
    value: Value,
}

impl Point {
    fn with(&self, index: usize, value: Value) -> Self {
        let mut next = Self { value, ..self.clone() };
        next.beyond.insert(index);
        while next.beyond.remove(&next.first) {
            next.first += 1;
        }
        next
    }
}

/// Checks the operations on one register, which was empty.
///
/// # Errors
/// No order explains them, or none was found in time.
pub fn check(mut operations: Vec<Operation>) -> Result<(), Unexplained> {
    let seen: BTreeSet<u64> = operations.iter().filter_map(Operation::seen).collect();
    operations.retain(|operation| !operation.is_beside_the_point(&seen));
    operations.sort_by_key(|operation| operation.begun);
    let mut points = vec![Point { first: 0, beyond: BTreeSet::new(), value: None }];
    let mut known = HashSet::new();
    // How many were put in order at most, and the first that was not.
    let (mut most, mut stuck) = (0, 0_usize);
    for _ in 0..MOST_STEPS.max(100 * operations.len()) {
        let Some(point) = points.pop() else {
            let around = stuck.saturating_sub(8)..(stuck + 8).min(operations.len());
            return Err(Unexplained::NoOrder(operations[around].to_vec()));
        };
        let waiting = || (point.first..operations.len()).filter(|index| !point.beyond.contains(index));
        let Some(next_known) = waiting().find(|&index| operations[index].ended.is_some()) else {
            return Ok(());
        };
        let ordered = point.first + point.beyond.len();
        if ordered >= most {
            (most, stuck) = (ordered, next_known);
        }
        let mut until = u64::MAX;
        let mut next = Vec::new();
        for index in waiting() {
            let operation = &operations[index];
            if operation.begun > until {
                break;
            }
            until = until.min(operation.ended.unwrap_or(u64::MAX));
            next.extend(operation.after(point.value).map(|value| point.with(index, value)));
        }
        // Those that began first are tried first.
        points.extend(next.into_iter().rev().filter(|next| known.insert(next.clone())));
    }
    Err(Unexplained::Undecided)
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrder(around) => write!(f, "no order gets past {around:#?}"),
            Self::Undecided => f.write_str("undecided: the search took too many steps"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: u64 = 0;

    fn holds(operations: &[(Effect, u64, u64)]) -> bool {
        let operation =
            |&(effect, begun, ended)| Operation { effect, begun, ended: (ended != UNKNOWN).then_some(ended) };
        check(operations.iter().map(operation).collect()).is_ok()
    }

    fn put(value: u64) -> Effect {
        Effect::Write(Some(value))
    }

    fn read(value: u64) -> Effect {
        Effect::Read((value > 0).then_some(value))
    }

    #[test]
    fn what_one_register_can_have_answered_passes() {
        assert!(holds(&[]));
        assert!(holds(&[(put(1), 0, 10), (read(1), 5, 6), (read(1), 11, 12)]));
        // Either of two at once may be first, and a read beside them sees any of three.
        for seen in 0..=2 {
            assert!(holds(&[(put(1), 1, 9), (put(2), 2, 8), (read(seen), 3, 7)]));
        }
        // A write of unknown outcome may come late, or never.
        assert!(holds(&[(put(1), 0, UNKNOWN), (put(2), 5, 10), (read(2), 11, 12), (read(1), 13, 14)]));
        assert!(holds(&[(put(1), 0, UNKNOWN), (read(0), 11, 12)]));
        assert!(holds(&[
            (put(1), 1, 2),
            (Effect::Write(None), 3, UNKNOWN),
            (read(1), 4, 5),
            (read(0), 6, 7)
        ]));
        assert!(holds(&[(Effect::Swap { expected: Some(3), new: 1 }, 0, 10), (put(3), 4, 11)]));
    }

    #[test]
    fn what_one_register_cannot_have_answered_is_found() {
        assert!(!holds(&[(put(1), 1, 2), (put(2), 3, 4), (read(1), 5, 6)]), "a stale read");
        assert!(!holds(&[(put(1), 1, 2), (read(0), 3, 4)]), "a lost write");
        assert!(!holds(&[(put(1), 1, 2), (read(2), 3, 4)]), "a value from nowhere");
        assert!(!holds(&[(read(1), 1, 2), (read(0), 3, 4), (put(1), 1, 10)]), "back in time");
        assert!(!holds(&[(put(1), 1, 2), (Effect::Write(None), 3, 4), (read(1), 5, 6)]), "a lost deletion");
        assert!(!holds(&[(Effect::Swap { expected: Some(3), new: 1 }, 1, 10)]), "nobody wrote what it found");
        // One whose outcome is unknown happens once.
        assert!(!holds(&[
            (put(1), 1, UNKNOWN),
            (read(1), 2, 3),
            (put(2), 4, 5),
            (read(2), 6, 7),
            (read(1), 8, 9)
        ]));
    }
}
