//! One workload at one thread count: every peer in turns with our own side.

use std::time::Duration;

use tensor_kernels::Kernels;

use super::contender::{Contender, PeerError, Sample};
use super::patience;
use super::workload::{Verdict, Workload};
use crate::error::BenchError;
use crate::record::Case;
use crate::runner::{OURS, wrong};
use crate::timing::Budget;
use crate::work::Work;

/// What became of one implementation.
#[derive(Debug)]
pub struct Outcome {
    /// The workload's name in the table of bars.
    pub id: &'static str,
    /// Who.
    pub name: String,
    /// Worker threads.
    pub threads: usize,
    /// Its figures, if there are any.
    pub case: Option<Case>,
    /// Why there are none.
    pub failure: Option<String>,
}

/// Our side is resident for the whole race; peers come and go one at a time, so that memory holds one of them.
pub struct Race<'a> {
    id: &'static str,
    workload: &'a dyn Workload,
    work: Work,
    threads: usize,
    budget: Budget,
    ours: Option<Box<dyn Contender + 'a>>,
    our_samples: Vec<Sample>,
    our_verdict: Option<Verdict>,
    outcomes: Vec<Outcome>,
}

impl<'a> Race<'a> {
    /// A race with only ourselves in it, run and checked once.
    ///
    /// # Errors
    /// Our kernels refuse the input, or answer wrongly.
    pub fn new(
        id: &'static str,
        workload: &'a dyn Workload,
        kernels: &'a Kernels,
        budget: Budget,
    ) -> Result<Self, BenchError> {
        let (work, threads) = (workload.work(), kernels.threads());
        let mut ours = workload.ours(kernels)?;
        let mut our_verdict = None;
        if let Some(ours) = &mut ours {
            let verdict = workload.check(&ours.answer()?);
            if verdict.max_error > workload.tolerance() {
                return Err(wrong(&work, OURS, kernels.isa().name(), threads));
            }
            our_verdict = Some(verdict);
        }
        let (our_samples, outcomes) = (Vec::new(), Vec::new());
        Ok(Self { id, workload, work, threads, budget, ours, our_samples, our_verdict, outcomes })
    }

    /// Runs a peer in turns with ourselves, or notes why it cannot run.
    ///
    /// # Errors
    /// Our own side fails.
    pub fn against(
        &mut self,
        name: &str,
        peer: Result<Box<dyn Contender + '_>, PeerError>,
    ) -> Result<(), BenchError> {
        let measured = match peer {
            Ok(mut peer) => self.take_turns(&mut *peer)?,
            Err(error) => Err(error),
        };
        let mut outcome =
            Outcome { id: self.id, name: name.to_owned(), threads: self.threads, case: None, failure: None };
        match measured {
            Ok((samples, isa, verdict)) => outcome.case = Some(self.case(name, &isa, &samples, verdict)),
            Err(error) => outcome.failure = Some(error.to_string()),
        }
        self.outcomes.push(outcome);
        Ok(())
    }

    /// The peer's samples, instruction set and verdict. The outer error is ours, the inner one the peer's.
    fn take_turns(&mut self, peer: &mut dyn Contender) -> Result<Turns, BenchError> {
        // The peer's answer is checked after a run that warms it up.
        let answer = match peer.answer() {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let verdict = self.workload.check(&answer);
        drop(answer);
        let (mut samples, mut spent) = (Vec::new(), Duration::ZERO);
        while (samples.len() < self.budget.runs && spent < patience(self.budget)) || spent < self.budget.time
        {
            if let Some(ours) = &mut self.ours {
                self.our_samples.push(ours.sample()?);
            }
            let sample = match peer.sample() {
                Ok(sample) => sample,
                Err(error) => return Ok(Err(error)),
            };
            spent = spent.saturating_add(sample.0);
            samples.push(sample);
        }
        Ok(Ok((samples, peer.isa(), verdict)))
    }

    /// Everybody's outcome, ours first.
    ///
    /// # Errors
    /// Our own side fails.
    pub fn finish(mut self) -> Result<Vec<Outcome>, BenchError> {
        let (id, threads, name) = (self.id, self.threads, OURS.to_owned());
        let mut outcome = Outcome { id, name, threads, case: None, failure: None };
        match (&mut self.ours, self.our_verdict) {
            (Some(ours), Some(verdict)) => {
                while self.our_samples.len() < self.budget.runs {
                    self.our_samples.push(ours.sample()?);
                }
                let isa = ours.isa();
                outcome.case = Some(self.case(OURS, &isa, &self.our_samples, verdict));
            }
            _ => outcome.failure = Some("no such operation yet".to_owned()),
        }
        self.outcomes.insert(0, outcome);
        Ok(self.outcomes)
    }

    fn case(&self, name: &str, isa: &str, samples: &[Sample], verdict: Verdict) -> Case {
        let wall_s = samples.iter().map(|(wall, _)| wall.as_secs_f64()).collect();
        let cpu_s = samples.iter().map(|(_, cpu)| cpu.as_secs_f64()).collect();
        let case = self.work.case(name).on(isa, self.threads);
        let mut case = case.timed((wall_s, cpu_s), self.work.units, self.work.unit);
        (case.exact, case.max_error) = (verdict.exact, verdict.max_error);
        if let Some(inertia) = verdict.inertia {
            case.params.insert("inertia".to_owned(), inertia);
        }
        case
    }
}

type Turns = Result<(Vec<Sample>, String, Verdict), PeerError>;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::workload::WORKLOADS;
    use super::*;

    /// A peer that answers what it is told to and fails when it has no more answers.
    struct Scripted(VecDeque<Vec<f64>>);

    impl Contender for Scripted {
        fn sample(&mut self) -> Result<Sample, PeerError> {
            Ok((Duration::from_millis(5), Duration::from_millis(4)))
        }

        fn answer(&mut self) -> Result<Vec<f64>, PeerError> {
            self.0.pop_front().ok_or_else(|| PeerError::Refused("out of answers".to_owned()))
        }
    }

    #[test]
    fn right_wrong_and_broken_peers_all_get_their_line() {
        let (id, make) = WORKLOADS.iter().find(|(id, _)| *id == "w8").unwrap();
        let workload = make(true).unwrap();
        let kernels = Kernels::detect().unwrap();
        let budget = Budget { runs: 3, time: Duration::from_millis(10) };
        let right = workload.ours(&kernels).unwrap().unwrap().answer().unwrap();
        let wrong = right.iter().map(|score| score + 0.5).collect();
        let mut race = Race::new(id, &*workload, &kernels, budget).unwrap();
        for (name, answers) in [("right", vec![right]), ("wrong", vec![wrong]), ("broken", vec![])] {
            race.against(name, Ok(Box::new(Scripted(answers.into())))).unwrap();
        }
        race.against("absent", Err(PeerError::NotInstalled)).unwrap();
        let outcomes = race.finish().unwrap();
        let names: Vec<_> = outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
        assert_eq!(names, [OURS, "right", "wrong", "broken", "absent"]);
        let case = |at: usize| outcomes[at].case.as_ref().unwrap();
        assert_eq!((case(1).exact, case(2).exact, case(1).wall_s.len()), (true, false, 3));
        assert!(case(2).max_error > 0.4);
        assert_eq!(case(0).wall_s.len(), 6, "we ran once for every turn of a peer");
        assert_eq!(outcomes[3].failure.as_deref(), Some("out of answers"));
        assert_eq!(outcomes[4].failure.as_deref(), Some("not installed"));
    }
}
