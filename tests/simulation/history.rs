//! What clients asked and were told, in the order in which it happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tensor_cluster::api::Committed;

/// A value; `None` where the key is absent.
pub type Value = Option<Vec<u8>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Put(Vec<u8>),
    Delete,
    Swap {
        expected: Value,
        new: Vec<u8>,
    },
    Read,
    /// A read that may miss what is new.
    StaleRead,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It may have happened, or happen yet.
    Unknown,
    /// It has not happened and never will.
    Failed,
    Committed(Committed),
    /// A swap was turned down because it found this.
    Found(Value),
    /// A read, at a height of the chain.
    Read {
        value: Value,
        height: u64,
    },
}

/// One operation of a client. Times count events, not ticks: no two are the same.
#[derive(Debug, Clone)]
pub struct Operation {
    #[expect(dead_code, reason = "for whoever reads it in a report")]
    pub client: u64,
    pub key: String,
    pub action: Action,
    pub begun: u64,
    /// `None` while it has not ended.
    pub ended: Option<u64>,
    pub outcome: Outcome,
    /// The tick at which it began.
    pub tick: u64,
}

impl Operation {
    /// What the key holds after it, if it took effect.
    pub fn written(&self) -> Option<Value> {
        match &self.action {
            Action::Put(value) | Action::Swap { new: value, .. } => Some(Some(value.clone())),
            Action::Delete => Some(None),
            Action::Read | Action::StaleRead => None,
        }
    }
}

#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Events>>);

#[derive(Default)]
struct Events {
    time: u64,
    operations: Vec<Operation>,
    /// Answers that no client may ever get.
    wrong: Vec<String>,
}

impl History {
    /// Returns the number of the operation.
    pub fn begin(&self, client: u64, key: &str, action: Action, tick: u64) -> usize {
        let mut events = self.events();
        events.time += 1;
        let (key, begun) = (key.to_owned(), events.time);
        let outcome = Outcome::Unknown;
        events.operations.push(Operation { client, key, action, begun, ended: None, outcome, tick });
        events.operations.len() - 1
    }

    pub fn end(&self, number: usize, outcome: Outcome) {
        let mut events = self.events();
        events.time += 1;
        let time = events.time;
        let operation = &mut events.operations[number];
        operation.ended = (outcome != Outcome::Unknown).then_some(time);
        operation.outcome = outcome;
    }

    pub fn wrong(&self, what: String) {
        self.events().wrong.push(what);
    }

    pub fn first_wrong(&self) -> Option<String> {
        self.events().wrong.first().cloned()
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.events().operations.clone()
    }

    /// Writes that were acknowledged among those that began at a tick or later.
    pub fn acknowledged_since(&self, tick: u64) -> usize {
        let events = self.events();
        let acknowledged = |operation: &&Operation| matches!(operation.outcome, Outcome::Committed(_));
        events
            .operations
            .iter()
            .rev()
            .take_while(|operation| operation.tick >= tick)
            .filter(acknowledged)
            .count()
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
