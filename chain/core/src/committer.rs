//! Group commit: whoever finds nobody writing writes for everyone who waits.
//!
//! A lone committer goes at once. Those that arrive while it writes wait; when it is done, one of them wakes,
//! takes those that may share a block, and writes it. Everyone gets an outcome of their own. No thread of the
//! chain's own is needed, and under load the batches grow by themselves.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

    /// Writes them, and answers each in the same order.
    fn write(&self, batch: Vec<Changeset>) -> Vec<Outcome>;
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
    /// Whether somebody writes or has been told to.
    writing: bool,
    /// Whether whoever is to write waits for company.
    gathering: bool,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    caller: Arc<Caller>,
    /// Until when it may wait for company.
    due: Instant,
    changeset: Changeset,
}

/// Who is to be told something. Each has a lock and a bell of its own: if all shared one, those that a batch wakes
/// would queue up for it.
#[derive(Debug, Default)]
struct Caller {
    news: Mutex<Option<News>>,
    bell: Condvar,
}

#[derive(Debug)]
enum News {
    /// The next batch is this one's to write.
    Write,
    Answer(Outcome),
}

impl Caller {
    fn tell(&self, news: News) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
        self.bell.notify_one();
    }

    fn wait(&self) -> News {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match news.take() {
                Some(news) => return news,
                None => news = self.bell.wait(news).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Committer {
    /// `window`: how long a commit may have to wait for company, unless `full` commits are waiting.
    pub(crate) fn new(window: Duration, full: usize) -> Self {
        Self { queue: Mutex::default(), arrived: Condvar::new(), window, full }
    }

    /// Returns when the changeset has been written or turned down.
    pub(crate) fn commit(&self, changeset: Changeset, writer: &dyn Writer) -> Outcome {
        let caller = Arc::new(Caller::default());
        let waiting = Waiting { caller: Arc::clone(&caller), due: Instant::now() + self.window, changeset };
        let mut queue = self.lock();
        queue.waiting.push_back(waiting);
        if queue.gathering {
            self.arrived.notify_one();
        }
        let nobody_writes = !std::mem::replace(&mut queue.writing, true);
        drop(queue);
        if nobody_writes {
            self.write_batch(writer);
        }
        loop {
            match caller.wait() {
                News::Answer(outcome) => return outcome,
                News::Write => self.write_batch(writer),
            }
        }
    }

    /// Those that go next, when they have company or have waited long enough for it.
    fn gather(&self) -> Vec<Waiting> {
        let mut queue = self.lock();
        while let Some(first) = queue.waiting.front().filter(|_| queue.waiting.len() < self.full) {
            let left = first.due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue.gathering = true;
            queue = self.arrived.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.gathering = false;
        queue.waiting.drain(..).collect()
    }

    /// Writes those of the waiting that may share a block; the others go on waiting.
    fn write_batch(&self, writer: &dyn Writer) {
        let waiting = self.gather();
        let mut answers =
            Answers { committer: self, callers: Vec::new(), outcomes: Vec::new(), left: Vec::new() };
        answers.callers.extend(waiting.iter().map(|waiting| Arc::clone(&waiting.caller)));
        let changesets: Vec<&Changeset> = waiting.iter().map(|waiting| &waiting.changeset).collect();
        let chosen = match writer.choose(&changesets) {
            Ok(chosen) => chosen,
            Err(error) => return answers.outcomes = changesets.iter().map(|_| Err(error.clone())).collect(),
        };
        let (batch, left): (Vec<_>, Vec<_>) =
            (0..).zip(waiting).partition(|(position, _)| chosen.binary_search(position).is_ok());
        let (callers, batch) =
            batch.into_iter().map(|(_, waiting)| (waiting.caller, waiting.changeset)).unzip();
        answers.callers = callers;
        answers.left = left.into_iter().map(|(_, waiting)| waiting).collect();
        answers.outcomes = writer.write(batch);
    }

    /// The queue is consistent whenever its lock is released, so its poison says nothing.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a batch leaves behind: handed out when dropped, even where the writer panicked. Then there are no
/// outcomes, and everyone who waited for one learns that.
struct Answers<'c> {
    committer: &'c Committer,
    callers: Vec<Arc<Caller>>,
    outcomes: Vec<Outcome>,
    left: Vec<Waiting>,
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        let mut queue = self.committer.lock();
        // They came before everyone who arrived in the meantime, and have waited for company already.
        let due = Instant::now();
        self.left.drain(..).rev().for_each(|left| queue.waiting.push_front(Waiting { due, ..left }));
        let next = queue.waiting.front().map(|next| Arc::clone(&next.caller));
        queue.writing = next.is_some();
        drop(queue);
        // The first of those who still wait writes the next batch while the others learn of this one.
        next.into_iter().for_each(|next| next.tell(News::Write));
        let lost = || Err(ChainError::TransactionFailed(TransactionFailure::WriterLost));
        let outcomes = self.outcomes.drain(..).chain(std::iter::repeat_with(lost));
        self.callers.drain(..).zip(outcomes).for_each(|(caller, outcome)| caller.tell(News::Answer(outcome)));
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

        fn write(&self, batch: Vec<Changeset>) -> Vec<Outcome> {
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
        while committer.lock().waiting.len() < count {
            thread::yield_now();
        }
    }

    #[test]
    fn a_lone_committer_goes_at_once_and_those_behind_it_share_the_next_batch() {
        let committer = Committer::new(Duration::ZERO, 100);
        let (writer, starts, go) = slow();
        thread::scope(|scope| {
            let commit = |key: String| committer.commit(changeset(&key), &writer).unwrap();
            let first = scope.spawn(move || commit("first".to_owned()));
            assert_eq!(starts.recv().unwrap(), 1);
            let others: Vec<_> = (0..5).map(|n| scope.spawn(move || commit(format!("{n}")))).collect();
            await_waiting(&committer, 5);
            go.send(true).unwrap();
            assert_eq!(first.join().unwrap(), receipt(1));
            assert_eq!(starts.recv().unwrap(), 5);
            go.send(true).unwrap();
            for other in others {
                assert_eq!(other.join().unwrap(), receipt(5));
            }
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
            fn write(&self, batch: Vec<Changeset>) -> Vec<Outcome> {
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
