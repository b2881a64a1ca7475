//! The table of a run: everybody's time on each workload, how they stand to us, and whether our bars are met.

use std::fmt::Write;

use super::bars::{BARS, Bar};
use super::race::Outcome;
use super::workload::WORKLOADS;
use crate::record::Case;
use crate::runner::OURS;
use crate::standing::{counts, time};
use crate::timing::median;

/// The whole table. `python` says whether an interpreter was given; `quick` inputs are held against no bar.
#[must_use]
pub fn table(outcomes: &[Outcome], python: bool, quick: bool) -> String {
    let mut out = String::from(
        "ratio = time of the peer / ours: least processor time at 1 thread, least wall-clock time above\n",
    );
    if !python {
        out.push_str(
            "no Python peer has run: give --python an interpreter that has bench/peers/requirements.txt\n",
        );
    }
    if cfg!(not(feature = "peers")) {
        out.push_str("no linked peer has run: build with --features peers\n");
    }
    let mut threads: Vec<usize> = outcomes.iter().map(|outcome| outcome.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    for (id, _) in WORKLOADS {
        for &threads in &threads {
            let of = |outcome: &&Outcome| outcome.id == *id && outcome.threads == threads;
            let group: Vec<&Outcome> = outcomes.iter().filter(of).collect();
            if !group.is_empty() {
                write_group(&mut out, id, threads, &group);
                for bar in BARS.iter().filter(|bar| !quick && bar.ours == *id) {
                    write_bar(&mut out, bar, threads, outcomes);
                }
            }
        }
    }
    out
}

fn write_group(out: &mut String, id: &str, threads: usize, group: &[&Outcome]) {
    let variant = group.iter().find_map(|outcome| outcome.case.as_ref()).map_or("", |case| &case.variant);
    let plural = if threads == 1 { "" } else { "s" };
    let _ = writeln!(out, "\n{id:<14} {variant}, {threads} thread{plural}");
    let ours = group.iter().filter(|outcome| outcome.name == OURS).find_map(|outcome| outcome.case.as_ref());
    for outcome in group {
        let _ = match (&outcome.case, &outcome.failure) {
            (Some(case), _) => writeln!(
                out,
                "  {:<44} {:>11.3} ms  least {:>11.3} ms  {:>8}  {}",
                outcome.name,
                median(&case.wall_s) * 1e3,
                time(case) * 1e3,
                ours.map_or_else(|| "-".to_owned(), |ours| format!("{:.2}x", time(case) / time(ours))),
                quality(case)
            ),
            (None, failure) => {
                writeln!(out, "  {:<44} {}", outcome.name, failure.as_deref().unwrap_or_default())
            }
        };
    }
}

/// How good the answer is.
fn quality(case: &Case) -> String {
    match case.params.get("inertia") {
        Some(inertia) => format!("inertia {inertia:.6e}"),
        None if case.exact => "exact".to_owned(),
        None if case.max_error == f64::MAX => "WRONG".to_owned(),
        None => format!("error {:.1e}", case.max_error),
    }
}

fn write_bar(out: &mut String, bar: &Bar, threads: usize, outcomes: &[Outcome]) {
    let Some(asked) = bar.at(threads) else { return };
    let who = if bar.named.is_empty() { "the best peer" } else { bar.named };
    let over = if bar.ours == bar.theirs { String::new() } else { format!(" on {}", bar.theirs) };
    let verdict = match best(bar, threads, outcomes) {
        Standing::Ratio(name, ratio) if ratio >= asked => format!("met: {ratio:.2}x against {name}"),
        Standing::Ratio(name, ratio) => {
            format!("MISSED by {:.0} %: {ratio:.2}x against {name}", (1.0 - ratio / asked) * 100.0)
        }
        Standing::Worse(name) => format!("MISSED: our inertia is too high beside that of {name}"),
        Standing::NoPeer => "open: no such peer has an answer that counts".to_owned(),
        Standing::NotOurs => "open: no such operation of ours".to_owned(),
    };
    let _ = writeln!(out, "  bar {asked:.2}x {who}{over}: {verdict}");
}

/// Where we stand against the best peer that a bar counts.
#[derive(Debug, PartialEq)]
enum Standing<'a> {
    Ratio(&'a str, f64),
    /// Our answer is not as good as this peer's.
    Worse(&'a str),
    NoPeer,
    NotOurs,
}

fn best<'a>(bar: &Bar, threads: usize, outcomes: &'a [Outcome]) -> Standing<'a> {
    let cases = |id: &'static str| {
        let of = move |outcome: &&Outcome| outcome.id == id && outcome.threads == threads;
        outcomes.iter().filter(of).filter_map(|outcome| Some((outcome.name.as_str(), outcome.case.as_ref()?)))
    };
    let Some((_, ours)) = cases(bar.ours).find(|(name, _)| *name == OURS) else { return Standing::NotOurs };
    let counting = || {
        let peers = cases(bar.theirs).filter(|(name, _)| *name != OURS && name.starts_with(bar.named));
        peers.filter(|(_, case)| counts(case))
    };
    let inertia = |case: &Case| case.params.get("inertia").copied().unwrap_or(0.0);
    let worse = |case: &Case| inertia(ours) > bar.inertia * inertia(case);
    if let Some((name, _)) = counting().find(|(_, case)| worse(case)) {
        return Standing::Worse(name);
    }
    counting()
        .map(|(name, case)| (name, time(case) / time(ours)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(Standing::NoPeer, |(name, ratio)| Standing::Ratio(name, ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: &'static str, name: &str, threads: usize, cpu_s: f64, max_error: f64) -> Outcome {
        let mut case = Case::new("w", name, "input").on("-", threads);
        case = case.timed((vec![3.0 * cpu_s], vec![cpu_s]), 1.0, "rows");
        (case.exact, case.max_error) = (max_error == 0.0, max_error);
        Outcome { id, name: name.to_owned(), threads, case: Some(case), failure: None }
    }

    #[test]
    fn bars_are_held_against_the_best_answer_that_counts() {
        let mut outcomes = vec![
            outcome("w1", OURS, 1, 0.01, 0.0),
            outcome("w1", "slow", 1, 0.06, 0.0),
            outcome("w1", "quick", 1, 0.04, 1e-7),
            outcome("w1", "quick but wrong", 1, 0.01, 0.1),
        ];
        let text = table(&outcomes, true, false);
        assert!(text.contains("bar 3.50x the best peer: met: 4.00x against quick\n"), "{text}");
        outcomes.push(outcome("w1", "quicker", 1, 0.028, 0.0));
        let text = table(&outcomes, true, false);
        assert!(text.contains("MISSED by 20 %: 2.80x against quicker"), "{text}");
        assert!(text.contains("error 1.0e-1") && text.contains("exact"), "{text}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let failed = Outcome {
            id: "w3/128",
            name: "peer".to_owned(),
            threads: 1,
            case: None,
            failure: Some("not installed".to_owned()),
        };
        let outcomes = [failed, outcome("w3i/128", OURS, 1, 1.0, 0.0)];
        let text = table(&outcomes, false, false);
        assert!(text.contains("not installed") && text.contains("--python"), "{text}");
        assert!(text.contains("the best peer on w3/128: open: no such peer"), "{text}");
        assert!(text.contains("open: no such operation of ours"), "{text}");
    }

    #[test]
    fn a_faster_answer_has_to_be_as_good() {
        let bar = BARS.iter().find(|bar| bar.ours == "w5").unwrap();
        let with = |name: &str, seconds: f64, inertia: f64| {
            let mut outcome = outcome("w5", name, 1, seconds, 0.0);
            outcome.case.as_mut().unwrap().params.insert("inertia".to_owned(), inertia);
            outcome
        };
        let outcomes = [with(OURS, 1.0, 10.0), with("faiss a", 1.6, 11.0), with("faiss b", 1.8, 10.0)];
        assert_eq!(best(bar, 1, &outcomes), Standing::Ratio("faiss a", 1.6));
        let outcomes = [with(OURS, 1.0, 10.1), with("faiss a", 1.6, 11.0), with("faiss b", 1.8, 10.0)];
        assert_eq!(best(bar, 1, &outcomes), Standing::Worse("faiss b"));
    }
}
