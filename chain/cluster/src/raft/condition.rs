//! How well a node could lead, as it sees itself: what it tells the leader that asks, and what a leader goes by.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use serde::{Deserialize, Serialize};
use tensor_chain::replicated::ReplicatedChain;

use super::disk_guard::{DiskGuard, Room};
use super::durable::Durable;
use super::state_machine::StateMachine;
use super::statistics::Counted;
use super::types::TypeConfig;
use crate::histogram::Distribution;

/// Looks in a row that make a judgement. Those that saw nothing written are left out.
const LOOKS: usize = 3;
/// Looks after which one is forgotten.
const MEMORY: u64 = 60;

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Condition {
    /// The last entry that it has applied.
    pub(super) applied: Option<u64>,
    /// The height of its tip.
    pub(super) height: u64,
    /// What there is on its disk for writes.
    pub(super) room: Room,
    /// What its log takes to reach the disk; `None` where too little was written lately to tell.
    pub(super) sync: Option<Syncs>,
}

/// Times within which 99 % of the changes of a log were on disk, look by look: of the last looks the shortest and the
/// longest. Like the histogram that they come from they are upper bounds, each twice the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Syncs {
    pub(super) best: Duration,
    pub(super) worst: Duration,
}

/// Looks at this node again and again.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) chain: Arc<ReplicatedChain>,
    pub(super) disk: Arc<DiskGuard>,
    pub(super) counted: Arc<Counted>,
    pub(super) durable: Durable,
    /// Time between two looks.
    pub(super) every: Duration,
    looks: Mutex<Looks>,
}

impl Watched {
    pub(super) fn new(
        chain: Arc<ReplicatedChain>,
        disk: Arc<DiskGuard>,
        counted: Arc<Counted>,
        durable: Durable,
        every: Duration,
    ) -> Self {
        Self { chain, disk, counted, durable, every, looks: Mutex::default() }
    }

    /// Takes a look.
    pub(super) fn look(&self, raft: &Raft<TypeConfig, StateMachine>) {
        let end = raft.metrics().borrow_watched().last_log_index.map_or(0, |last| last.saturating_add(1));
        let counted = self.counted.log_sync.distribution();
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.look(counted, end, self.durable.end(), self.every);
    }

    /// What the last looks say.
    pub(super) fn condition(&self, raft: &Raft<TypeConfig, StateMachine>) -> Condition {
        let applied = raft.metrics().borrow_watched().last_applied.as_ref().map(|id| id.index());
        let height = self.chain.chain().height().0;
        let sync = self.looks.lock().unwrap_or_else(PoisonError::into_inner).syncs();
        Condition { applied, height, room: self.disk.room(), sync }
    }
}

/// What was seen at the last looks.
#[derive(Debug, Default)]
struct Looks {
    number: u64,
    counted: Distribution,
    /// The index behind the log.
    end: u64,
    /// By the number of the look.
    syncs: VecDeque<(u64, Duration)>,
}

impl Looks {
    fn look(&mut self, counted: Distribution, end: u64, on_disk: u64, every: Duration) {
        self.number += 1;
        let done = counted.since(&self.counted).quantile(0.99).map(Duration::from_secs_f64);
        // A sync that does not end is not counted: its entries were in the log a look ago and still are nowhere else.
        let stuck = (on_disk < self.end.min(end)).then_some(every);
        self.syncs.extend(done.max(stuck).map(|sync| (self.number, sync)));
        let surplus = self.syncs.len().saturating_sub(LOOKS);
        self.syncs.drain(..surplus);
        self.syncs.retain(|(number, _)| number + MEMORY > self.number);
        (self.counted, self.end) = (counted, end);
    }

    fn syncs(&self) -> Option<Syncs> {
        let times = || self.syncs.iter().map(|(_, sync)| *sync);
        let (best, worst) = (times().min()?, times().max()?);
        (self.syncs.len() == LOOKS).then_some(Syncs { best, worst })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    const EVERY: Duration = Duration::from_secs(1);

    /// A log whose changes are counted and looked at.
    struct Log {
        counted: Histogram,
        looks: Looks,
    }

    impl Log {
        fn new() -> Self {
            Self { counted: Histogram::of_durations(), looks: Looks::default() }
        }

        /// Changes that took these milliseconds, and a look with so many entries in the log and on disk.
        fn look(&mut self, took: &[u64], end: u64, on_disk: u64) -> Option<(u64, u64)> {
            took.iter().for_each(|&ms| self.counted.took(Duration::from_millis(ms)));
            self.looks.look(self.counted.distribution(), end, on_disk, EVERY);
            let ms = |sync: Duration| u64::try_from(sync.as_millis()).unwrap();
            self.looks.syncs().map(|Syncs { best, worst }| (ms(best), ms(worst)))
        }
    }

    #[test]
    fn three_looks_judge_and_those_that_saw_nothing_are_left_out() {
        let mut log = Log::new();
        assert_eq!(log.look(&[1; 1_000], 9, 9), None);
        assert_eq!(log.look(&[600], 9, 9), None);
        assert_eq!(log.look(&[], 9, 9), None, "nothing was written");
        assert_eq!(log.look(&[90], 9, 9), Some((1, 819)));
        assert_eq!(log.look(&[700], 9, 9), Some((102, 819)), "the first is over");
        assert_eq!(log.look(&[700; 2], 9, 9), Some((102, 819)));
        assert_eq!(log.look(&[700; 3], 9, 9), Some((819, 819)), "three slow ones in a row");
        assert_eq!(log.look(&[1], 9, 9), Some((1, 819)), "one that is not slow is enough");
    }

    #[test]
    fn what_is_long_ago_says_nothing() {
        let mut log = Log::new();
        for _ in 0..3 {
            log.look(&[700], 9, 9);
        }
        for _ in 0..MEMORY - 3 {
            assert_eq!(log.look(&[], 9, 9), Some((819, 819)));
        }
        assert_eq!(log.look(&[], 9, 9), None);
    }

    #[test]
    fn a_sync_that_does_not_end_is_seen() {
        let mut log = Log::new();
        assert_eq!(log.look(&[1], 8, 8), None);
        assert_eq!(log.look(&[1], 9, 8), None, "it may have been written just now");
        assert_eq!(log.look(&[], 9, 8), Some((1, 1_000)));
        assert_eq!(log.look(&[], 9, 8), Some((1, 1_000)));
        assert_eq!(log.look(&[], 9, 8), Some((1_000, 1_000)));
        // Taken out of the log again, it is not waited for.
        assert_eq!(log.look(&[1], 8, 8), Some((1, 1_000)));
        assert_eq!(log.look(&[1], 9, 8), Some((1, 1_000)));
    }
}
