//! What a batch writes: the value every touched key ends up with, and a history row for every operation.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::apply::Refusal;
use crate::changeset::Changeset;
use crate::hash::Hash;
use crate::history;
use crate::ids::Height;
use crate::index::IndexOp;
use crate::rejection::Rejection;
use crate::state::{self, Place, State};
use crate::state_tree::value_hash;
use crate::transaction::Transaction;

/// Writes of the changesets that stand so far, over the state before the batch.
#[derive(Debug)]
pub(crate) struct Effects {
    height: Height,
    /// The operations of the block, each as its changeset and its number there.
    operations: Vec<(Changeset, usize)>,
    /// The last of them to work on each key.
    last: BTreeMap<String, usize>,
}

impl Effects {
    /// No writes yet, for the block at `height`.
    pub(crate) const fn new(height: Height) -> Self {
        Self { height, operations: Vec::new(), last: BTreeMap::new() }
    }

    /// The height of the block.
    pub(crate) const fn height(&self) -> Height {
        self.height
    }

    /// Whether a changeset that stands has written the key.
    pub(crate) fn touch(&self, key: &str) -> bool {
        self.last.contains_key(key)
    }

    /// Runs all operations of a changeset, or none of them where a condition fails.
    pub(crate) fn run(&mut self, changeset: &Changeset, state: State<'_>) -> Result<(), Refusal> {
        let transactions = changeset.transactions();
        let mut staged = BTreeMap::<&str, usize>::new();
        for (number, transaction) in transactions.iter().enumerate() {
            let key = transaction.key();
            let earlier = match staged.get(key) {
                Some(&number) => transactions.get(number),
                None => self.last.get(key).and_then(|&position| self.operation(position)),
            };
            match transaction {
                Transaction::Update { .. } => {
                    let is_live =
                        earlier.map_or_else(|| state.has(key), |write| Ok(write.written().is_some()));
                    if !is_live? {
                        return Err(Rejection::KeyAbsent { key: key.to_owned() }.into());
                    }
                }
                Transaction::CompareAndSwap { expected, .. } => {
                    let found = match earlier {
                        Some(write) => write.written().map(Cow::into_owned),
                        None => state.get(key)?.map(|entry| entry.value.bytes),
                    };
                    if found != *expected {
                        let (key, expected) = (key.to_owned(), expected.clone());
                        return Err(Rejection::ValueDiffers { key, expected, found }.into());
                    }
                }
                _ => {}
            }
            staged.insert(key, number);
        }
        let first = self.operations.len();
        self.last.extend(staged.into_iter().map(|(key, number)| (key.to_owned(), first + number)));
        self.operations.extend((0..transactions.len()).map(|number| (changeset.clone(), number)));
        Ok(())
    }

    fn operation(&self, position: usize) -> Option<&Transaction> {
        let (changeset, number) = self.operations.get(position)?;
        changeset.transactions().get(*number)
    }

    /// The last operation on each key, with its place.
    fn last_operations(&self) -> impl Iterator<Item = (Place, &Transaction)> {
        self.last.values().filter_map(|&position| Some((self.place(position), self.operation(position)?)))
    }

    /// A block holds at most 1,000 operations.
    const fn place(&self, position: usize) -> Place {
        Place { height: self.height, position: position as u32 }
    }

    /// The state tree's changes: a new leaf for each key with a value, none for each key without.
    pub(crate) fn tree_changes(&self) -> impl Iterator<Item = (&[u8], Option<Hash>)> {
        self.last_operations().map(|(_, transaction)| {
            let hash = transaction.written().map(|value| value_hash(self.height, &value));
            (transaction.key().as_bytes(), hash)
        })
    }

    /// What the index has to write for state and history, where the operations end at these bytes of the block.
    pub(crate) fn index_ops(&self, ends: &[u32]) -> impl Iterator<Item = IndexOp> {
        let state = self.last_operations().filter_map(|(place, transaction)| {
            let end = ends.get(place.position as usize)?;
            Some(state::effect(transaction, place, *end))
        });
        let keys = (0..self.operations.len())
            .filter_map(|position| Some(history::put(self.operation(position)?.key(), self.place(position))));
        state.chain(keys)
    }
}
