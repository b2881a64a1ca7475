//! Somebody who answers a workload: one timed run at a time, and the last answer in a form that can be checked.

use std::time::Duration;

use crate::timing::timed;

/// Wall-clock and processor time of one run.
pub type Sample = (Duration, Duration);

/// Why a peer has no figure. It is reported in the peer's place; the others go on.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The library is not there.
    #[error("not installed")]
    NotInstalled,
    /// The child process could not be started or talked to.
    #[error("child process: {0}")]
    Io(#[from] std::io::Error),
    /// The child process said something else than the protocol has.
    #[error("child process: {0}")]
    Protocol(#[from] serde_json::Error),
    /// The child process ended in the middle; a crash of the library ends it too.
    #[error("the child process died: {status}")]
    Died {
        /// How it ended.
        status: String,
    },
    /// The child process said nothing for too long.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The library threw an error.
    #[error("{0}")]
    Refused(String),
}

/// One implementation with its inputs in memory.
pub trait Contender {
    /// Runs once.
    ///
    /// # Errors
    /// The library failed.
    fn sample(&mut self) -> Result<Sample, PeerError>;

    /// The result of the last run, flat, as [`Workload::check`](super::workload::Workload::check) reads it.
    ///
    /// # Errors
    /// The library failed.
    fn answer(&mut self) -> Result<Vec<f64>, PeerError>;

    /// The instruction set it says it uses; `-` where it does not say.
    fn isa(&self) -> String {
        "-".to_owned()
    }
}

/// A contender inside this process: `run` is timed, `answer` turns its result into numbers and is not.
pub struct Resident<R, A, T> {
    run: R,
    answer: A,
    last: Option<T>,
    isa: String,
}

impl<R: FnMut() -> T, A: Fn(&T) -> Vec<f64>, T> Resident<R, A, T> {
    /// A contender from its two halves.
    pub fn new(isa: &str, run: R, answer: A) -> Self {
        Self { run, answer, last: None, isa: isa.to_owned() }
    }
}

impl<R: FnMut() -> T, A: Fn(&T) -> Vec<f64>, T> Contender for Resident<R, A, T> {
    fn sample(&mut self) -> Result<Sample, PeerError> {
        drop(self.last.take());
        let (result, wall, cpu) = timed(&mut self.run);
        self.last = Some(result);
        Ok((wall, cpu))
    }

    fn answer(&mut self) -> Result<Vec<f64>, PeerError> {
        Ok((self.answer)(&*self.last.get_or_insert_with(&mut self.run)))
    }

    fn isa(&self) -> String {
        self.isa.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_last_run() {
        let mut runs = 0;
        let mut contender = Resident::new(
            "-",
            || {
                runs += 1;
                runs
            },
            |&run| vec![f64::from(run)],
        );
        contender.sample().unwrap();
        contender.sample().unwrap();
        assert_eq!(contender.answer().unwrap(), [2.0]);
        assert_eq!(contender.answer().unwrap(), [2.0], "asking does not run it again");
    }
}
