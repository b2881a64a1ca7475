//! What a batch writes: the value every touched key ends up with, and a history row for every operation.

use std::collections::BTreeMap;

use crate::apply::Refusal;
use crate::changeset::Changeset;
use crate::hash::Hash;
use crate::history;
use crate::ids::Height;
use crate::index::{IndexOp, Lookup};
use crate::rejection::Rejection;
use crate::state::{self, Entry, Place, Value};
use crate::transaction::Transaction;

/// Writes of the changesets that stand so far, over the state before the batch.
#[derive(Debug)]
pub(crate) struct Effects {
    height: Height,
    values: BTreeMap<String, Written>,
    rows: Vec<(String, Place)>,
}

/// The last write to a key: `None` where it was deleted.
#[derive(Debug)]
struct Written {
    place: Place,
    value: Option<Value>,
}

impl Effects {
    /// No writes yet, for the block at `height`.
    pub(crate) const fn new(height: Height) -> Self {
        Self { height, values: BTreeMap::new(), rows: Vec::new() }
    }

    /// The height of the block.
    pub(crate) const fn height(&self) -> Height {
        self.height
    }

    /// Whether a changeset that stands has written the key.
    pub(crate) fn touch(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Runs all operations of a changeset, or none of them where a condition fails.
    pub(crate) fn run(&mut self, changeset: &Changeset, index: &dyn Lookup) -> Result<(), Refusal> {
        let mut staged = BTreeMap::<&str, Written>::new();
        let mut rows = Vec::with_capacity(changeset.transactions().len());
        for transaction in changeset.transactions() {
            let key = transaction.key();
            let found = |staged: &BTreeMap<&str, Written>| match staged.get(key).or(self.values.get(key)) {
                Some(written) => Ok(written.value.clone()),
                None => state::get(index, key).map(|entry| entry.map(|entry| entry.value)),
            };
            match transaction {
                Transaction::Update { .. } if found(&staged)?.is_none() => {
                    return Err(Rejection::KeyAbsent { key: key.to_owned() }.into());
                }
                Transaction::CompareAndSwap { expected, .. } => {
                    let found = found(&staged)?.map(|value| value.bytes);
                    if found != *expected {
                        let (key, expected) = (key.to_owned(), expected.clone());
                        return Err(Rejection::ValueDiffers { key, expected, found }.into());
                    }
                }
                _ => {}
            }
            // A block holds at most 1,000 operations.
            let position = (self.rows.len() + rows.len()) as u32;
            let place = Place { height: self.height, position };
            rows.push((key.to_owned(), place));
            staged.insert(key, Written { place, value: Value::written_by(transaction) });
        }
        self.rows.extend(rows);
        self.values.extend(staged.into_iter().map(|(key, written)| (key.to_owned(), written)));
        Ok(())
    }

    /// The state tree's changes: a new leaf for each key with a value, none for each key without.
    pub(crate) fn tree_changes(&self) -> impl Iterator<Item = (&[u8], Option<Hash>)> {
        let hash = |written: &Written| written.value.as_ref().map(|value| value.hash(self.height));
        self.values.iter().map(move |(key, written)| (key.as_bytes(), hash(written)))
    }

    /// What the index has to write for state and history.
    pub(crate) fn into_index_ops(self) -> impl Iterator<Item = IndexOp> {
        let state = self.values.into_iter().map(|(key, Written { place, value })| match value {
            Some(value) => state::put(&key, &Entry { place, value }),
            None => state::delete(&key),
        });
        state.chain(self.rows.into_iter().map(|(key, place)| history::put(&key, place)))
    }
}
