//! Tasks that a node cannot do without. One that panics or fails is started again after a while; where that happens
//! too often, the node gives up and says which it was, so that whoever runs it can start it afresh.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The first pause before a restart; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// So many restarts are too many ...
const TOO_MANY: usize = 3;
/// ... within this time.
const WINDOW: Duration = Duration::from_secs(600);

/// The tasks of a node. Each ends by itself when the node stops.
#[derive(Debug)]
pub(super) struct Supervisor {
    tasks: JoinSet<()>,
    given_up: watch::Sender<Option<String>>,
}

impl Supervisor {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), given_up: watch::Sender::new(None) }
    }

    /// Runs a task, which `start` makes anew for each start.
    pub(super) fn run<F, E>(&mut self, name: &'static str, mut start: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let given_up = self.given_up.clone();
        self.tasks.spawn(async move {
            let mut restarts = Restarts::default();
            loop {
                let failure = match tokio::spawn(start()).await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error.to_string(),
                    Err(panicked) => panicked.to_string(),
                };
                let Some(pause) = restarts.next(Instant::now()) else {
                    tracing::error!(task = name, failure, "a task failed too often: the node stops");
                    given_up.send_replace(Some(format!("task {name} failed too often: {failure}")));
                    return;
                };
                tracing::error!(task = name, failure, ?pause, "a task failed and is started again");
                sleep(pause).await;
            }
        });
    }

    /// Returns when a task has failed too often, with what there is to say about it.
    pub(super) async fn given_up(&self) -> String {
        let mut given_up = self.given_up.subscribe();
        match given_up.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The sender lives as long as this.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until all have ended.
    pub(super) async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// When a task was started again.
#[derive(Debug, Default)]
struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// How long to wait before the next; `None` where there were too many.
    fn next(&mut self, now: Instant) -> Option<Duration> {
        while self.0.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
            self.0.pop_front();
        }
        if self.0.len() >= TOO_MANY {
            return None;
        }
        let pause = FIRST_PAUSE * (1 << self.0.len());
        self.0.push_back(now);
        Some(pause.min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn pauses_double_and_too_many_restarts_in_a_while_are_the_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut restarts = Restarts::default();
        let pauses = [0, 1, 2].map(|now| restarts.next(at(now)).map(|pause| pause.as_secs()));
        assert_eq!(pauses, [Some(1), Some(2), Some(4)]);
        assert_eq!(restarts.next(at(599)), None);
        // The first is forgotten after ten minutes.
        assert_eq!(restarts.next(at(600)), Some(Duration::from_secs(4)));
        assert_eq!(restarts.next(at(600)), None);
    }

    #[test]
    fn a_task_that_panics_is_started_again_and_one_that_ends_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let starts = Arc::new(AtomicU32::new(0));
        runtime.block_on(async {
            let (mut supervisor, counted) = (Supervisor::new(), Arc::clone(&starts));
            supervisor.run("task", move || {
                let count = counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    assert!(count > 0, "the first start");
                    Ok::<_, String>(())
                }
            });
            supervisor.ended().await;
        });
        assert_eq!(starts.load(Ordering::SeqCst), 2);
    }
}
