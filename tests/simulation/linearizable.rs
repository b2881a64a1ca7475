//! Whether the operations on one key can have happened one at a time, each between its beginning and its end.

use std::collections::BTreeMap;

use tensor_tests::register::{self, Effect};

use crate::history::{Action, Operation, Outcome, Value};

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
        let answered = register::check(prepare(&operations));
        answered.map_err(|why| format!("key {key}: {why}\namong{}", list(&operations)))?;
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

/// The operations that may have taken effect, with a number for each value.
fn prepare(operations: &[&Operation]) -> Vec<register::Operation> {
    let mut numbers = BTreeMap::<Vec<u8>, u64>::new();
    let mut number = |value: &[u8]| {
        let next = numbers.len() as u64;
        *numbers.entry(value.to_vec()).or_insert(next)
    };
    let mut prepared = Vec::new();
    for operation in operations {
        let mut numbered = |value: &Value| value.as_deref().map(&mut number);
        let effect = match (&operation.outcome, &operation.action) {
            (Outcome::Failed, _) => continue,
            (Outcome::Found(value) | Outcome::Read { value, .. }, _) => Effect::Read(numbered(value)),
            (_, Action::Put(value)) => Effect::Write(Some(number(value))),
            (_, Action::Delete) => Effect::Write(None),
            (_, Action::Swap { expected, new }) => {
                Effect::Swap { expected: numbered(expected), new: number(new) }
            }
            (_, Action::Read | Action::StaleRead) => continue,
        };
        let ended = if operation.outcome == Outcome::Unknown { None } else { operation.ended };
        prepared.push(register::Operation { effect, begun: operation.begun, ended });
    }
    prepared
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
