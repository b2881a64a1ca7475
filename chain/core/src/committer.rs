//! Group commit: whoever finds nobody writing writes for everyone who waits.
//!
//! A lone committer goes at once. Those that arrive while it writes form cohorts; when their turn comes, the first of a
//! cohort wakes, takes those that may share a block, and writes it. Everyone gets an outcome of their own. No thread of
//! the chain's own is needed, and under load the batches grow by themselves, to half of all who commit: one half is
//! judged while the other goes to disk.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::changeset::Changeset;
use crate::error::{ChainError, TransactionFailure};
use crate::ids::{BlockHash, Height};

/// Where a commit went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitReceipt {
    /// The block that holds it; the tip for a commit without operations.
    pub height: Height,
    /// That block's hash.
    pub hash: BlockHash,
}

/// What became of one commit.
pub(crate) type Outcome = Result<CommitReceipt, ChainError>;

/// Chooses and writes batches. What a [`Committer`] works for.
pub(crate) trait Writer {
    /// Positions of those that go next, ascending; one at least.
    fn choose(&self, waiting: &[&Changeset]) -> Result<Vec<usize>, ChainError>;

    /// Writes them, and answers each in the same order. Calls `pass_turn` as soon as others may be chosen.
    fn write(&self, batch: Vec<Changeset>, pass_turn: &mut dyn FnMut()) -> Vec<Outcome>;
}

/// Commits that wait, and whether somebody is writing.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: Mutex<Queue>,
    arrived: Condvar,
    window: Duration,
    full: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whether somebody writes or has been given the turn to.
    writing: bool,
    /// Batches whose writer has passed the turn on and is not done.
    being_written: usize,
    /// Commits of the batch that was done last: its callers often come again at once.
    answered: usize,
    /// How many have to wait before whoever has the turn is rung up.
    enough: Option<usize>,
    /// Commits that have been taken up and are not answered.
    taken_up: usize,
    /// Cohorts in the order in which they are taken up.
    forming: VecDeque<Forming>,
}

/// A cohort that can be joined.
#[derive(Debug, Default)]
struct Forming {
    cohort: Arc<Cohort>,
    /// Its commits, those that have waited longest first.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    seat: usize,
    /// Until when it may wait for company.
    due: Instant,
    changeset: Changeset,
}

/// Those whose commits are taken up together. The first one leads: it writes when its turn comes. All others sleep
/// until it has, and are woken by one call.
#[derive(Debug, Default)]
struct Cohort {
    turn: OnceLock<()>,
    /// What became of the commit of each seat.
    fates: OnceLock<Vec<Fate>>,
}

/// A place in a cohort. Seat 0 leads.
#[derive(Debug, Clone)]
struct Place {
    cohort: Arc<Cohort>,
    seat: usize,
}

#[derive(Debug, Clone)]
enum Fate {
    Answer(Outcome),
    /// It may not share a block with the others of its cohort, and goes on waiting in a later one.
    Later(Place),
}

impl Queue {
    /// Takes a seat in the first cohort that has fewer than `room`.
    fn enter(&mut self, room: usize, due: Instant, changeset: Changeset) -> Place {
        let position = self.forming.iter().position(|forming| forming.waiting.len() < room);
        let forming = match position {
            Some(position) => &mut self.forming[position],
            None => self.forming.push_back_mut(Forming::default()),
        };
        let seat = forming.waiting.len();
        forming.waiting.push_back(Waiting { seat, due, changeset });
        Place { cohort: Arc::clone(&forming.cohort), seat }
    }

    /// Takes a seat in the cohort that is taken up next, before those that came later.
    fn go_on(&mut self, due: Instant, changeset: Changeset) -> Place {
        if self.forming.is_empty() {
            self.forming.push_back(Forming::default());
        }
        let forming = &mut self.forming[0];
        let seat = forming.waiting.len();
        forming.waiting.push_front(Waiting { seat, due, changeset });
        Place { cohort: Arc::clone(&forming.cohort), seat }
    }

    /// How many have not been taken up.
    fn waiting(&self) -> usize {
        self.forming.iter().map(|forming| forming.waiting.len()).sum()
    }

    /// Half of all commits that are here, the one that arrives included.
    fn half(&self) -> usize {
        (self.taken_up + self.waiting() + 1).div_ceil(2)
    }

    /// How many wait in the cohort that is taken up next.
    fn next_count(&self) -> usize {
        self.forming.front().map_or(0, |next| next.waiting.len())
    }

    /// Whether the cohort that is taken up next has so many, or as many as it will get: then there is another one.
    fn has(&self, enough: usize) -> bool {
        self.next_count() >= enough || self.forming.len() > 1
    }
}

impl Committer {
    /// `window`: how long a commit may have to wait for company, unless `full` commits are waiting.
    pub(crate) fn new(window: Duration, full: usize) -> Self {
        Self { queue: Mutex::default(), arrived: Condvar::new(), window, full }
    }

    /// Returns when the changeset has been written or turned down.
    pub(crate) fn commit(&self, changeset: Changeset, writer: &dyn Writer) -> Outcome {
        let mut place = self.enter(changeset);
        loop {
            if place.seat == 0 {
                place.cohort.turn.wait();
                // Whoever passed the turn on is about to sleep until its batch is on disk: the sooner the better.
                thread::yield_now();
                self.write_batch(writer);
            }
            match &place.cohort.fates.wait()[place.seat] {
                Fate::Answer(outcome) => return outcome.clone(),
                Fate::Later(later) => place = later.clone(),
            }
        }
    }

    /// A seat for one who arrives; the turn as well where nobody writes.
    fn enter(&self, changeset: Changeset) -> Place {
        let mut queue = self.lock();
        // Who waits for company is not kept from it.
        let room = if self.window.is_zero() { queue.half() } else { usize::MAX };
        let place = queue.enter(room, Instant::now() + self.window, changeset);
        if queue.enough.is_some_and(|enough| queue.has(enough)) {
            self.arrived.notify_one();
        }
        if !std::mem::replace(&mut queue.writing, true) {
            let _ = place.cohort.turn.set(());
        }
        place
    }

    /// The cohort, when it has company or has waited long enough for it. Those that arrive later form the next one.
    ///
    /// While a batch is being written nothing is lost by waiting for those of the batch before, who often come again.
    /// Otherwise batches would become ever smaller.
    fn gather(&self) -> Forming {
        let mut queue = self.lock();
        loop {
            let first = queue.forming.front().and_then(|next| next.waiting.front());
            let Some(first) = first.filter(|_| !queue.has(self.full)) else { break };
            let left = first.due.saturating_duration_since(Instant::now());
            if queue.being_written > 0 && !queue.has(queue.answered) {
                queue.enough = Some(queue.answered.min(self.full));
                queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else if !left.is_zero() {
                queue.enough = Some(self.full);
                queue = self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                break;
            }
        }
        queue.enough = None;
        let next = queue.forming.pop_front().unwrap_or_default();
        queue.taken_up += next.waiting.len();
        next
    }

    /// Writes those of the cohort that may share a block; the others go on waiting.
    fn write_batch(&self, writer: &dyn Writer) {
        let Forming { cohort, waiting } = self.gather();
        let fates = vec![lost(); waiting.len()];
        let taken_up = waiting.len();
        let mut end = End { committer: self, cohort, fates, taken_up, left: Vec::new(), has_turn: true };
        let changesets: Vec<&Changeset> = waiting.iter().map(|waiting| &waiting.changeset).collect();
        let chosen = match writer.choose(&changesets) {
            Ok(chosen) => chosen,
            Err(error) => return end.fates.fill(Fate::Answer(Err(error))),
        };
        let mut chosen = chosen.into_iter().peekable();
        let (mut seats, mut batch) = (Vec::with_capacity(waiting.len()), Vec::with_capacity(waiting.len()));
        for (position, waiting) in waiting.into_iter().enumerate() {
            if chosen.next_if_eq(&position).is_some() {
                seats.push(waiting.seat);
                batch.push(waiting.changeset);
            } else {
                end.left.push(waiting);
            }
        }
        let outcomes = writer.write(batch, &mut || end.pass_turn());
        for (seat, outcome) in seats.into_iter().zip(outcomes) {
            end.fates[seat] = Fate::Answer(outcome);
        }
    }

    /// The queue is consistent whenever its lock is released, so its poison says nothing.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What those learn whose writer did not come to an end.
fn lost() -> Fate {
    Fate::Answer(Err(ChainError::TransactionFailed(TransactionFailure::WriterLost)))
}

/// The end of a cohort: told when dropped, even where the writer panicked.
struct End<'c> {
    committer: &'c Committer,
    cohort: Arc<Cohort>,
    fates: Vec<Fate>,
    /// Commits that it answers.
    taken_up: usize,
    left: Vec<Waiting>,
    has_turn: bool,
}

impl End<'_> {
    /// Seats those that are left in the next cohort, and lets that be chosen from while this one is being written.
    fn pass_turn(&mut self) {
        if !std::mem::replace(&mut self.has_turn, false) {
            return;
        }
        let mut queue = self.committer.lock();
        queue.being_written += 1;
        // They have waited for company already.
        let due = Instant::now();
        for Waiting { seat, changeset, .. } in self.left.drain(..).rev() {
            self.fates[seat] = Fate::Later(queue.go_on(due, changeset));
            queue.taken_up -= 1;
            self.taken_up -= 1;
        }
        let next = queue.forming.front().map(|next| Arc::clone(&next.cohort));
        queue.writing = next.is_some();
        drop(queue);
        if let Some(next) = next {
            let _ = next.turn.set(());
        }
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.pass_turn();
        let mut queue = self.committer.lock();
        queue.being_written -= 1;
        queue.answered = self.taken_up;
        queue.taken_up -= self.taken_up;
        if queue.enough.is_some() {
            self.committer.arrived.notify_one();
        }
        drop(queue);
        let _ = self.cohort.fates.set(std::mem::take(&mut self.fates));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Transaction;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;
    use std::thread;

    fn changeset(key: &str) -> Changeset {
        Changeset::single(Transaction::Delete { key: key.to_owned() }).unwrap()
    }

    fn receipt(height: usize) -> CommitReceipt {
        CommitReceipt { height: Height(height as u64), hash: BlockHash::default() }
    }

    /// Notes the size of each batch, and writes the first one only when told to.
    struct Slow {
        started: mpsc::Sender<usize>,
        go: Mutex<mpsc::Receiver<bool>>,
    }

    impl Writer for Slow {
        fn choose(&self, waiting: &[&Changeset]) -> Result<Vec<usize>, ChainError> {
            Ok((0..waiting.len()).collect())
        }

        fn write(&self, batch: Vec<Changeset>, _: &mut dyn FnMut()) -> Vec<Outcome> {
            self.started.send(batch.len()).unwrap();
            assert!(self.go.lock().unwrap().recv().unwrap(), "told to panic");
            batch.iter().map(|_| Ok(receipt(batch.len()))).collect()
        }
    }

    fn slow() -> (Slow, mpsc::Receiver<usize>, mpsc::Sender<bool>) {
        let ((started, starts), (go, gone)) = (mpsc::channel(), mpsc::channel());
        (Slow { started, go: Mutex::new(gone) }, starts, go)
    }

    /// Returns once this many are waiting.
    fn await_waiting(committer: &Committer, count: usize) {
        while committer.lock().waiting() < count {
            thread::yield_now();
        }
    }

    #[test]
    fn a_lone_committer_goes_at_once_and_those_behind_it_share_two_batches() {
        let committer = Committer::new(Duration::ZERO, 100);
        let (writer, starts, go) = slow();
        thread::scope(|scope| {
            // Gone where an assertion fails: nobody waits for it then.
            let go = go;
            let commit = |key: String| committer.commit(changeset(&key), &writer).unwrap();
            let first = scope.spawn(move || commit("first".to_owned()));
            assert_eq!(starts.recv().unwrap(), 1);
            let others: Vec<_> = (0..5).map(|n| scope.spawn(move || commit(format!("{n}")))).collect();
            await_waiting(&committer, 5);
            go.send(true).unwrap();
            assert_eq!(first.join().unwrap(), receipt(1));
            for half in [3, 2] {
                assert_eq!(starts.recv().unwrap(), half);
                go.send(true).unwrap();
            }
            let mut receipts: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
            receipts.sort_unstable_by_key(|receipt| receipt.height);
            assert_eq!(receipts, [2, 2, 3, 3, 3].map(receipt));
        });
    }

    #[test]
    fn a_waiter_whose_writer_panics_is_told_and_the_next_one_goes_on() {
        let committer = Committer::new(Duration::from_secs(3600), 2);
        let (writer, starts, go) = slow();
        let lost =
            |outcome| matches!(outcome, Err(ChainError::TransactionFailed(TransactionFailure::WriterLost)));
        thread::scope(|scope| {
            // Two fill a batch; one of them writes and panics, the other waits.
            let commit = |key| catch_unwind(AssertUnwindSafe(|| committer.commit(changeset(key), &writer)));
            let two = ["a", "b"].map(|key| scope.spawn(move || commit(key)));
            assert_eq!(starts.recv().unwrap(), 2);
            go.send(false).unwrap();
            let results = two.map(|thread| thread.join().unwrap());
            let panicked = results.iter().filter(|result| result.is_err()).count();
            assert_eq!(panicked, 1);
            assert!(results.into_iter().flatten().all(lost));
        });
        assert!(!committer.lock().writing);
    }

    #[test]
    fn those_that_were_not_chosen_go_in_the_next_batch() {
        /// Chooses the first only and answers with the ordinal of the batch.
        struct OneByOne(Mutex<usize>);
        impl Writer for OneByOne {
            fn choose(&self, _: &[&Changeset]) -> Result<Vec<usize>, ChainError> {
                Ok(vec![0])
            }
            fn write(&self, batch: Vec<Changeset>, _: &mut dyn FnMut()) -> Vec<Outcome> {
                assert_eq!(batch.len(), 1);
                let mut count = self.0.lock().unwrap();
                *count += 1;
                vec![Ok(receipt(*count))]
            }
        }
        let (committer, writer) = (Committer::new(Duration::ZERO, 8), OneByOne(Mutex::new(0)));
        let mut heights = thread::scope(|scope| {
            let commits = (0..8).map(|n| {
                scope.spawn({
                    let (committer, writer) = (&committer, &writer);
                    move || committer.commit(changeset(&format!("{n}")), writer)
                })
            });
            let commits: Vec<_> = commits.collect();
            commits.into_iter().map(|commit| commit.join().unwrap().unwrap().height.0).collect::<Vec<_>>()
        });
        heights.sort_unstable();
        assert_eq!(heights, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
