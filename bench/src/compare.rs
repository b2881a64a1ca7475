//! What became slower: two records of the same machine, case by case.
//!
//! The least processor time of each case is compared, because it is the figure that other work on the
//! machine disturbs least. A case is a regression where it needs more than the tolerance over before.

use std::fmt::Write;

use crate::record::{Case, Record};
use crate::timing::least;

/// One case in both records.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// The case now.
    pub case: &'a Case,
    /// Least processor time now over least processor time before.
    pub ratio: f64,
}

/// Both records side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison<'a> {
    /// Cases that both have.
    pub changes: Vec<Change<'a>>,
    /// Cases that only the new record has.
    pub new: Vec<&'a Case>,
    /// Cases that only the old record has.
    pub gone: Vec<&'a Case>,
    /// Processors, where they differ: then the ratios say as much about them as about the code.
    pub processors: Option<(&'a str, &'a str)>,
}

/// Why a comparison does not pass.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// No case is in both.
    #[error("the two records have no case in common")]
    NothingInCommon,
    /// Figures of one processor say nothing about another.
    #[error("the results were measured on {before:?}, these on {now:?}: no regression can be told")]
    OtherProcessor {
        /// The old record's.
        before: String,
        /// The new record's.
        now: String,
    },
    /// Some cases need more than the tolerance over before.
    #[error(
        "{count} of {compared} cases need over {percent} % more processor time than before, the worst {worst:.2} times as much"
    )]
    Regression {
        /// Cases that are slower.
        count: usize,
        /// Cases compared.
        compared: usize,
        /// The tolerance.
        percent: f64,
        /// The largest ratio.
        worst: f64,
    },
}

/// Compares the new record with the old.
#[must_use]
pub fn compare<'a>(before: &'a Record, now: &'a Record) -> Comparison<'a> {
    let same = |a: &Case, b: &Case| a.same_work(b) && a.implementation == b.implementation && a.isa == b.isa;
    let mut comparison =
        Comparison { changes: Vec::new(), new: Vec::new(), gone: Vec::new(), processors: None };
    for case in &now.cases {
        match before.cases.iter().find(|old| same(old, case)) {
            Some(old) => {
                // A clock that is too coarse for a case says 0 for both: no change.
                let (old, new) = (least(&old.cpu_s), least(&case.cpu_s));
                let ratio = if old > 0.0 { new / old } else { 1.0 };
                comparison.changes.push(Change { case, ratio });
            }
            None => comparison.new.push(case),
        }
    }
    comparison.gone =
        before.cases.iter().filter(|old| !now.cases.iter().any(|case| same(old, case))).collect();
    let (old, new) = (before.environment.cpu.as_str(), now.environment.cpu.as_str());
    comparison.processors = (old != new).then_some((old, new));
    comparison
}

impl Comparison<'_> {
    /// Whether nothing became slower by more than `percent`.
    ///
    /// # Errors
    /// What became slower; records that cannot be compared.
    pub fn check(&self, percent: f64) -> Result<(), CompareError> {
        if let Some((before, now)) = self.processors {
            return Err(CompareError::OtherProcessor { before: before.to_owned(), now: now.to_owned() });
        }
        if self.changes.is_empty() {
            return Err(CompareError::NothingInCommon);
        }
        let count = self.changes.iter().filter(|change| change.ratio > 1.0 + percent / 100.0).count();
        let worst = self.changes.iter().map(|change| change.ratio).fold(0.0, f64::max);
        let compared = self.changes.len();
        if count == 0 { Ok(()) } else { Err(CompareError::Regression { count, compared, percent, worst }) }
    }

    /// The comparison for people, slowest first.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::from("least processor time against before (1.00 = the same)\n");
        if let Some((before, now)) = self.processors {
            let _ = writeln!(out, "NOTE: measured on {before:?} before and on {now:?} now");
        }
        let mut changes: Vec<_> = self.changes.iter().collect();
        changes.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
        for Change { case, ratio } in changes {
            let _ = writeln!(out, "{ratio:>7.2}  {}", named(case));
        }
        for (word, cases) in [("new", &self.new), ("gone", &self.gone)] {
            for case in cases {
                let _ = writeln!(out, "{word:>7}  {}", named(case));
            }
        }
        out
    }
}

fn named(case: &Case) -> String {
    let Case { workload, variant, implementation, isa, threads, .. } = case;
    format!("{workload}, {variant}: {implementation} at {isa}, {threads} threads")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(times: &[(&str, f64)]) -> Record {
        let case = |&(name, seconds): &(&str, f64)| {
            let samples = (vec![9.0, 8.0], vec![seconds * 2.0, seconds]);
            Case::new(name, "tensor-kernels", "small").on("avx2", 1).timed(samples, 1.0, "runs")
        };
        Record { cases: times.iter().map(case).collect(), ..Record::new() }
    }

    #[test]
    fn a_regression_is_one_beyond_the_tolerance() {
        let before = record(&[("a", 1.0), ("b", 1.0)]);
        let now = record(&[("a", 1.09), ("b", 0.5)]);
        assert_eq!(compare(&before, &now).check(10.0), Ok(()));
        let failure = compare(&before, &now).check(5.0);
        assert!(
            matches!(failure, Err(CompareError::Regression { count: 1, compared: 2, .. })),
            "{failure:?}"
        );
        assert_eq!(compare(&before, &before).check(0.0), Ok(()));
    }

    #[test]
    fn only_the_same_work_is_compared() {
        let (before, mut now) = (record(&[("a", 1.0), ("b", 1.0)]), record(&[("b", 1.0), ("c", 1.0)]));
        now.cases[0].threads = 2;
        let comparison = compare(&before, &now);
        assert_eq!((comparison.new.len(), comparison.gone.len()), (2, 2));
        assert_eq!(comparison.check(10.0), Err(CompareError::NothingInCommon));
        assert!(comparison.table().contains("gone  a, small"));
    }

    #[test]
    fn another_processor_is_said_and_never_passes() {
        let (before, mut now) = (record(&[("a", 1.0)]), record(&[("a", 1.0)]));
        "another".clone_into(&mut now.environment.cpu);
        let comparison = compare(&before, &now);
        assert!(comparison.table().contains("NOTE"));
        assert!(matches!(comparison.check(10.0), Err(CompareError::OtherProcessor { .. })));
    }

    #[test]
    fn a_case_too_fast_for_the_clock_is_unchanged() {
        assert_eq!(compare(&record(&[("a", 0.0)]), &record(&[("a", 0.0)])).check(0.0), Ok(()));
    }
}
