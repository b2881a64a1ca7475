//! Whether the operations on one key can have happened one at a time, each between its beginning and its end.
//!
//! The search of Wing and Gong with the memory of Lowe: operations are put in order one by one; a state that was reached
//! before with the same operations behind it is not looked at twice. An operation with an unknown outcome may have
//! happened at any time after it began, or never.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Action, Operation, Outcome, Value};

/// Steps after which the search gives up; that is a failure, not a pass.
const MOST_STEPS: usize = 3_000_000;

/// An operation as the search sees it; values are numbers, 0 is that of an absent key.
struct Op {
    begun: u64,
    /// `u64::MAX` where it need not have happened.
    ended: u64,
    effect: Effect,
}

enum Effect {
    Write(usize),
    Swap(usize, usize),
    Read(usize),
}

/// Checks each key by itself: operations on others do not concern it.
pub fn check(operations: &[Operation]) -> Result<(), String> {
    let mut keys = BTreeMap::<&str, Vec<&Operation>>::new();
    for operation in operations.iter().filter(|operation| operation.action != Action::StaleRead) {
        keys.entry(&operation.key).or_default().push(operation);
    }
    for (key, operations) in keys {
        if let Some(stale) = explain(&operations) {
            return Err(format!("key {key}: {stale}"));
        }
        match search(&prepare(&operations)) {
            Some(true) => {}
            Some(false) => return Err(format!("key {key}: no order explains {}", list(&operations))),
            None => return Err(format!("key {key}: undecided after {MOST_STEPS} steps")),
        }
    }
    Ok(())
}

/// The commonest cause in words: a read from before a write that had been acknowledged when it began.
fn explain(operations: &[&Operation]) -> Option<String> {
    for read in operations {
        let Outcome::Read { height, .. } = read.outcome else { continue };
        let missed = operations.iter().find(|write| match write.outcome {
            Outcome::Committed(committed) => {
                committed.height.0 > height && write.ended.is_some_and(|ended| ended < read.begun)
            }
            _ => false,
        });
        if let Some(missed) = missed {
            return Some(format!("stale read {read:?}; it missed the write {missed:?}"));
        }
    }
    None
}

fn list(operations: &[&Operation]) -> String {
    operations.iter().map(|operation| format!("\n  {operation:?}")).collect()
}

fn prepare(operations: &[&Operation]) -> Vec<Op> {
    let seen: BTreeSet<&Value> = operations.iter().filter_map(|operation| operation.seen()).collect();
    let mut numbers = BTreeMap::<Value, usize>::from([(None, 0)]);
    let mut number = |value: &Value| {
        let next = numbers.len();
        *numbers.entry(value.clone()).or_insert(next)
    };
    let mut ops = Vec::new();
    for operation in operations {
        let unknown = operation.outcome == Outcome::Unknown;
        // Values are written once. One that nobody saw need not have been written, and then swaps need no look at it.
        let unseen = operation.written().is_some_and(|value| value.is_some() && !seen.contains(&value));
        if operation.outcome == Outcome::Failed || unknown && (unseen || operation.written().is_none()) {
            continue;
        }
        let effect = match (operation.seen(), &operation.action) {
            (_, Action::Swap { expected, new }) if !matches!(operation.outcome, Outcome::Found(_)) => {
                Effect::Swap(number(expected), number(&Some(new.clone())))
            }
            (Some(value), _) => Effect::Read(number(value)),
            (None, Action::Put(value)) => Effect::Write(number(&Some(value.clone()))),
            (None, _) => Effect::Write(0),
        };
        let ended = if unknown { u64::MAX } else { operation.ended.unwrap_or(u64::MAX) };
        ops.push(Op { begun: operation.begun, ended, effect });
    }
    ops.sort_by_key(|op| op.begun);
    ops
}

/// Whether there is an order; `None` where the search gave up.
fn search(ops: &[Op]) -> Option<bool> {
    let mut done = vec![0_u64; ops.len().div_ceil(64)];
    let (mut value, mut left) = (0, ops.iter().filter(|op| op.ended != u64::MAX).count());
    let mut memory = BTreeSet::new();
    // What was put in order, with the value before it, and the first to try after it.
    let (mut order, mut next) = (Vec::<(usize, usize)>::new(), 0);
    for _ in 0..MOST_STEPS {
        if left == 0 {
            return Some(true);
        }
        let is_done = |index: usize| done[index / 64] >> (index % 64) & 1 == 1;
        // Nothing goes before what had ended when it began.
        let until =
            ops.iter().enumerate().filter(|(index, _)| !is_done(*index)).map(|(_, op)| op.ended).min();
        let candidate = (next..ops.len())
            .take_while(|&index| Some(ops[index].begun) < until)
            .filter(|&index| !is_done(index))
            .find_map(|index| Some((index, after(&ops[index].effect, value)?)));
        if let Some((index, then)) = candidate {
            done[index / 64] |= 1 << (index % 64);
            if memory.insert((done.clone(), then)) {
                order.push((index, value));
                (value, next) = (then, 0);
                left -= usize::from(ops[index].ended != u64::MAX);
                continue;
            }
            done[index / 64] &= !(1 << (index % 64));
            next = index + 1;
            continue;
        }
        let Some((index, before)) = order.pop() else { return Some(false) };
        done[index / 64] &= !(1 << (index % 64));
        left += usize::from(ops[index].ended != u64::MAX);
        (value, next) = (before, index + 1);
    }
    None
}

/// The value after an operation; `None` where it cannot happen now.
fn after(effect: &Effect, value: usize) -> Option<usize> {
    match *effect {
        Effect::Write(new) => Some(new),
        Effect::Swap(expected, new) => (expected == value).then_some(new),
        Effect::Read(seen) => (seen == value).then_some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor_chain::{BlockHash, Height};
    use tensor_cluster::api::Committed;

    fn operation(action: Action, span: (u64, Option<u64>), outcome: Outcome) -> Operation {
        Operation { client: 0, key: "k".to_owned(), action, begun: span.0, ended: span.1, outcome, tick: 0 }
    }

    fn put(value: &str, span: (u64, Option<u64>)) -> Operation {
        let committed = Committed { height: Height(0), block_hash: BlockHash::default(), log_index: 0 };
        let outcome = if span.1.is_some() { Outcome::Committed(committed) } else { Outcome::Unknown };
        operation(Action::Put(value.into()), span, outcome)
    }

    fn read(value: Option<&str>, begun: u64, ended: u64) -> Operation {
        let value = value.map(Into::into);
        operation(Action::Read, (begun, Some(ended)), Outcome::Read { value, height: u64::MAX })
    }

    fn swap(expected: &str, new: &str, begun: u64, found: Option<&str>) -> Operation {
        let outcome = Outcome::Found(found.map(Into::into));
        let action = Action::Swap { expected: Some(expected.into()), new: new.into() };
        operation(action, (begun, Some(begun + 1)), outcome)
    }

    #[test]
    fn what_can_have_happened_passes() {
        check(&[]).unwrap();
        check(&[put("a", (1, Some(2))), read(Some("a"), 3, 4)]).unwrap();
        // Either of two at once may be first, and a read beside them sees any of three.
        let both = [put("a", (1, Some(9))), put("b", (2, Some(8)))];
        for seen in [None, Some("a"), Some("b")] {
            check(&[both.to_vec(), vec![read(seen, 3, 7)]].concat()).unwrap();
        }
        // What is unknown may come late, or never.
        let unknown = put("u", (1, None));
        let settled = [put("a", (2, Some(3))), read(Some("a"), 4, 5)];
        check(&[vec![unknown.clone()], settled.to_vec()].concat()).unwrap();
        check(&[vec![unknown], settled.to_vec(), vec![read(Some("u"), 6, 7)]].concat()).unwrap();
        check(&[put("a", (1, Some(2))), swap("b", "c", 3, Some("a"))]).unwrap();
    }

    #[test]
    fn what_cannot_have_happened_is_found() {
        let fails = |operations: &[Operation]| check(operations).unwrap_err();
        // A write that was lost, and a value from nowhere.
        fails(&[put("a", (1, Some(2))), read(None, 3, 4)]);
        fails(&[put("a", (1, Some(2))), read(Some("b"), 3, 4)]);
        // New, then old again.
        let both = [put("a", (1, Some(2))), put("b", (3, Some(10)))];
        let reads = [read(Some("b"), 4, 5), read(Some("a"), 6, 7)];
        fails(&[both.to_vec(), reads.to_vec()].concat());
        // One that is unknown happens once.
        let unknown = [put("u", (1, None)), read(Some("u"), 2, 3), put("a", (4, Some(5)))];
        fails(&[unknown.to_vec(), vec![read(Some("u"), 6, 7)]].concat());
        fails(&[put("a", (1, Some(2))), swap("a", "c", 3, None)]);
    }

    #[test]
    fn a_stale_read_is_explained_by_the_write_that_it_missed() {
        let mut stale = read(None, 3, 4);
        stale.outcome = Outcome::Read { value: None, height: 1 };
        let mut write = put("a", (1, Some(2)));
        let at = Committed { height: Height(2), block_hash: BlockHash::default(), log_index: 5 };
        write.outcome = Outcome::Committed(at);
        let why = check(&[write, stale]).unwrap_err();
        assert!(why.contains("stale read") && why.contains("it missed the write"), "{why}");
    }
}
