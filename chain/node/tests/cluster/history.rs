//! What clients did and saw, and whether what the cluster has of it is what they were told.

use std::collections::BTreeMap;

use tensor_tests::register::{self, Effect, Operation};

/// What one client did to one key.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    pub operation: Operation,
    /// At which height it was written, if that was acknowledged.
    pub height: Option<u64>,
}

impl Done {
    const fn written(&self) -> Option<u64> {
        match self.operation.effect {
            Effect::Write(value) => value,
            Effect::Swap { new, .. } => Some(new),
            Effect::Read(_) => None,
        }
    }
}

/// What a set of clients did, by key.
#[derive(Debug, Default)]
pub struct History(BTreeMap<String, Vec<Done>>);

impl History {
    pub fn push(&mut self, key: &str, done: Done) {
        self.0.entry(key.to_owned()).or_default().push(done);
    }

    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(key, more)| self.0.entry(key).or_default().extend(more));
    }

    /// Writes whose outcome is known.
    pub fn acknowledged(&self) -> usize {
        self.0.values().flatten().filter(|done| done.height.is_some()).count()
    }

    /// Panics unless every key answered as one register, and unless of the changes that the cluster has of it, by
    /// height, each acknowledged write is one, at the height that was acknowledged, and none is there twice.
    pub fn check(self, mut changes_of: impl FnMut(&str) -> Vec<(u64, u64)>) {
        for (key, all) in self.0 {
            let changes = changes_of(&key);
            let heights: BTreeMap<u64, u64> =
                changes.iter().map(|&(height, value)| (value, height)).collect();
            assert_eq!(heights.len(), changes.len(), "{key}: a write was applied twice: {changes:?}");
            for done in all.iter().filter(|done| done.height.is_some()) {
                let there = done.written().and_then(|value| heights.get(&value)).copied();
                assert_eq!(there, done.height, "{key}: acknowledged and lost: {done:?}");
            }
            let operations = all.into_iter().map(|done| done.operation).collect();
            register::check(operations).unwrap_or_else(|error| panic!("{key}: {error}"));
        }
    }
}
