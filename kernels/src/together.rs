//! Small searches of several callers in one corpus, answered together.
//!
//! A lone caller goes at once. Who comes while a search is under way waits until it ends, but no longer than a
//! millisecond, and is joined by those who come meanwhile: one submission answers all of them, each as if it had asked
//! alone. Callers wait on their own threads, never on those of the pool, where a wait could hold up what is waited for.

use std::ops::Range;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::run::Run;
use crate::types::{ByteView, DenseView, Metric, Neighbor, SearchRows, Wanted};

/// How long a caller waits for others.
const PATIENCE: Duration = Duration::from_millis(1);
/// More queries than these of one caller are no small search.
const MOST_OF_ONE: usize = 32;
/// Queries that are asked together.
const MOST: usize = 256;

type Answers = Vec<Vec<Neighbor>>;

/// The searches of one corpus that are under way, and those that wait to be asked together.
#[derive(Debug)]
pub(crate) struct Together {
    patience: Duration,
    state: Mutex<State>,
    /// A search has ended, or the batch is full.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    under_way: usize,
    waiting: Option<Batch>,
}

/// What must agree for two searches to be one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Like {
    /// Whose accelerator is asked.
    pub(crate) accelerator: usize,
    pub(crate) dim: usize,
    pub(crate) metric: Metric,
    pub(crate) wanted: Wanted,
}

#[derive(Debug)]
struct Batch {
    like: Like,
    queries: Queries,
    /// Who joined, and which answers are theirs.
    members: Vec<(Range<usize>, Sender<Run<Answers>>)>,
}

/// Queries of several callers, one after the other.
#[derive(Debug)]
enum Queries {
    Floats(Vec<f32>),
    Bytes(Vec<i8>),
}

impl Together {
    /// Nothing under way.
    pub(crate) const fn new() -> Self {
        let state = State { under_way: 0, waiting: None };
        Self { patience: PATIENCE, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Searches by `run`, or has another caller search.
    pub(crate) fn search(
        &self,
        like: Like,
        queries: SearchRows<'_>,
        run: impl Fn(SearchRows<'_>) -> Run<Answers>,
    ) -> Run<Answers> {
        let start = Instant::now();
        let (count, dim) = (queries.rows(), queries.dim());
        let mut state = self.state();
        let is_alone = state.under_way == 0 && state.waiting.is_none();
        if is_alone || count == 0 || dim == 0 || count > MOST_OF_ONE {
            return self.go(state, || run(queries));
        }
        match &mut state.waiting {
            None => state.waiting = Some(Batch { like, queries: Queries::of(queries), members: Vec::new() }),
            Some(batch) => {
                let first = batch.queries.len() / dim;
                if batch.like != like || first + count > MOST || !batch.queries.extend(queries) {
                    return self.go(state, || run(queries));
                }
                let (sender, answer) = channel();
                batch.members.push((first..first + count, sender));
                if first + count == MOST {
                    self.changed.notify_all();
                }
                drop(state);
                // No answer where the one who asked for all of them has panicked.
                let mut answer = answer.recv().unwrap_or_else(|_| run(queries));
                answer.info.elapsed = start.elapsed();
                return answer;
            }
        }
        // The first of a batch asks for all of it.
        let waits = |state: &mut State| {
            let is_full = state.waiting.as_ref().is_some_and(|batch| batch.queries.len() / dim == MOST);
            state.under_way > 0 && !is_full
        };
        let waited = self.changed.wait_timeout_while(state, self.patience, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some(batch) = state.waiting.take() else { return self.go(state, || run(queries)) };
        self.go(state, || {
            let mut all = run(batch.queries.view(dim));
            for (range, member) in batch.members {
                let answers = all.value.get_mut(range).unwrap_or_default().iter_mut().map(std::mem::take);
                // Who is gone needs no answer.
                let _ = member.send(Run { value: answers.collect(), info: all.info });
            }
            all.value.truncate(count);
            all.info.elapsed = start.elapsed();
            all
        })
    }

    /// Runs while others are told that something is under way.
    fn go<T>(&self, mut state: MutexGuard<'_, State>, run: impl FnOnce() -> T) -> T {
        /// Ends it, also by a panic.
        struct UnderWay<'a>(&'a Together);
        impl Drop for UnderWay<'_> {
            fn drop(&mut self) {
                self.0.state().under_way -= 1;
                self.0.changed.notify_all();
            }
        }
        state.under_way += 1;
        drop(state);
        let _under_way = UnderWay(self);
        run()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queries {
    fn of(rows: SearchRows<'_>) -> Self {
        let mut queries = match rows {
            SearchRows::F32(_) | SearchRows::Half(_) => Self::Floats(Vec::new()),
            SearchRows::Bytes(_) => Self::Bytes(Vec::new()),
        };
        queries.extend(rows);
        queries
    }

    /// Adds queries of the same kind.
    fn extend(&mut self, rows: SearchRows<'_>) -> bool {
        match (self, rows) {
            (Self::Bytes(codes), SearchRows::Bytes(rows)) => codes.extend_from_slice(rows.codes()),
            (Self::Floats(values), SearchRows::F32(_) | SearchRows::Half(_)) => {
                values.extend(rows.gather(0..rows.rows()));
            }
            _ => return false,
        }
        true
    }

    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Bytes(codes) => codes.len(),
        }
    }

    fn view(&self, dim: usize) -> SearchRows<'_> {
        let rows = self.len() / dim.max(1);
        match self {
            Self::Floats(values) => DenseView::from_checked(values, rows, dim).into(),
            Self::Bytes(codes) => ByteView::from_checked(codes, rows, dim).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::{BackendKind, Isa, RunInfo};

    const LIKE: Like = Like { accelerator: 1, dim: 1, metric: Metric::Dot, wanted: Wanted::Top(1) };

    /// Each query's answer is a row of its first component's number.
    fn answer(queries: SearchRows<'_>) -> Run<Answers> {
        let mut room = vec![0.0; queries.dim()];
        let near = |row| {
            let row = queries.row(row, &mut room)[0] as u32;
            vec![Neighbor { row, score: 0.0 }]
        };
        let value = (0..queries.rows()).map(near).collect();
        let (backend, isa, elapsed) = (BackendKind::Gpu, Isa::Scalar, Duration::ZERO);
        Run { value, info: RunInfo { backend, fallback: None, choice: None, isa, threads: 1, elapsed } }
    }

    /// Waits for something that other threads bring about.
    fn until(what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::yield_now();
        }
    }

    /// One search that is under way until seven others wait, and the sizes of all that were run.
    fn eight(likes: impl Fn(usize) -> Like + Sync, waiting: usize) -> Vec<usize> {
        let together = Together { patience: Duration::from_secs(30), ..Together::new() };
        let (began, may_end, sizes) = (Barrier::new(2), Barrier::new(2), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let (together, likes, sizes) = (&together, &likes, &sizes);
            let (began, may_end) = (&began, &may_end);
            scope.spawn(move || {
                together.search(LIKE, DenseView::new(&[99.0], 1, 1).unwrap().into(), |queries| {
                    began.wait();
                    may_end.wait();
                    sizes.lock().unwrap().push(queries.rows());
                    answer(queries)
                })
            });
            began.wait();
            for number in 0..7 {
                scope.spawn(move || {
                    let own = [number as f32, number as f32 + 10.0];
                    let queries = DenseView::new(&own, 2, 1).unwrap();
                    let run = together.search(likes(number), queries.into(), |queries| {
                        sizes.lock().unwrap().push(queries.rows());
                        answer(queries)
                    });
                    let rows: Vec<_> = run.value.iter().map(|near| near[0].row as usize).collect();
                    assert_eq!(rows, [number, number + 10]);
                });
            }
            let members = || together.state().waiting.as_ref().map_or(0, |batch| batch.members.len() + 1);
            until("callers that wait", || members() == waiting && together.state().under_way == 1);
            may_end.wait();
        });
        sizes.into_inner().unwrap()
    }

    #[test]
    fn who_comes_while_another_searches_is_answered_with_those_who_do() {
        let mut sizes = eight(|_| LIKE, 7);
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 14]);
    }

    #[test]
    fn what_is_asked_otherwise_goes_by_itself() {
        let other = Like { metric: Metric::L2, ..LIKE };
        let together = Together { patience: Duration::from_secs(30), ..Together::new() };
        together.state().under_way = 1;
        std::thread::scope(|scope| {
            let first =
                scope.spawn(|| together.search(LIKE, DenseView::new(&[3.0], 1, 1).unwrap().into(), answer));
            until("the first waits", || together.state().waiting.is_some());
            // Another metric, another kind of queries, and more than a few of them.
            for (like, queries) in [
                (other, SearchRows::from(DenseView::new(&[5.0], 1, 1).unwrap())),
                (LIKE, ByteView::new(&[5], 1, 1).unwrap().into()),
                (LIKE, DenseView::new(&[5.0; MOST_OF_ONE + 1], MOST_OF_ONE + 1, 1).unwrap().into()),
            ] {
                assert_eq!(together.search(like, queries, answer).value[0][0].row, 5);
            }
            together.state().under_way = 0;
            together.changed.notify_all();
            assert_eq!(first.join().unwrap().value[0][0].row, 3);
        });
    }

    #[test]
    fn a_full_batch_waits_no_longer() {
        let together = Together { patience: Duration::from_secs(30), ..Together::new() };
        // Something that never ends.
        together.state().under_way = 1;
        let queries = [7.0; MOST_OF_ONE];
        std::thread::scope(|scope| {
            for _ in 0..MOST / MOST_OF_ONE {
                scope.spawn(|| {
                    let queries = DenseView::new(&queries, MOST_OF_ONE, 1).unwrap();
                    let start = Instant::now();
                    let run = together.search(LIKE, queries.into(), answer);
                    assert_eq!((run.value.len(), run.value[31][0].row), (MOST_OF_ONE, 7));
                    assert!(start.elapsed() < Duration::from_secs(20), "a batch that is full must go");
                });
            }
        });
    }

    #[test]
    fn a_caller_whose_leader_panics_asks_for_itself() {
        let together = Together { patience: Duration::from_secs(30), ..Together::new() };
        together.state().under_way = 1;
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                together.search(LIKE, DenseView::new(&[1.0], 1, 1).unwrap().into(), |_| panic!("on purpose"))
            });
            until("the leader waits", || together.state().waiting.is_some());
            let member =
                scope.spawn(|| together.search(LIKE, DenseView::new(&[2.0], 1, 1).unwrap().into(), answer));
            until("the member waits", || {
                together.state().waiting.as_ref().is_some_and(|batch| batch.members.len() == 1)
            });
            together.state().under_way = 0;
            together.changed.notify_all();
            assert_eq!(member.join().unwrap().value[0][0].row, 2);
            assert!(leader.join().is_err());
        });
        assert_eq!(together.state().under_way, 0);
    }
}
