//! A record as a Markdown table: what each workload takes us and the best peer.

use std::fmt::Write;

use crate::cluster;
use crate::record::{Case, Record};
use crate::runner::OURS;
use crate::standing::{best_peer, time};

/// Kernels: one line for each workload that we ran at one thread beside a peer, with the ratio at two threads. A cluster:
/// one line for each load.
#[must_use]
pub fn markdown(record: &Record) -> String {
    if record.cases.iter().any(|case| case.implementation == cluster::OURS) {
        return cluster::markdown(record);
    }
    let mut out =
        String::from("| | work | ours | best peer | ratio | at 2 threads |\n|---|---|---:|---:|---:|---:|\n");
    let ours = |case: &&Case| case.implementation == OURS;
    for case in record.cases.iter().filter(ours).filter(|case| case.threads == 1) {
        let Some(peer) = best_peer(record, case) else { continue };
        let two = record.cases.iter().filter(ours).find(|other| {
            other.threads == 2 && other.workload == case.workload && other.variant == case.variant
        });
        let two = two.and_then(|case| Some(ratio(case, best_peer(record, case)?)));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} {} | {} | {} |",
            case.workload,
            case.variant,
            milliseconds(case),
            milliseconds(peer),
            peer.implementation,
            ratio(case, peer),
            two.unwrap_or_default(),
        );
    }
    out
}

fn ratio(case: &Case, peer: &Case) -> String {
    format!("{:.1}×", time(peer) / time(case))
}

/// Three digits are all that such measurements have.
fn milliseconds(case: &Case) -> String {
    let ms = time(case) * 1e3;
    match ms {
        100.0.. => format!("{ms:.0} ms"),
        10.0.. => format!("{ms:.1} ms"),
        _ => format!("{ms:.2} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_workload_with_a_peer() {
        let case = |workload: &str, name: &str, threads: usize, seconds: f64, error: f64| {
            let mut case = Case::new(workload, name, "rows").on("-", threads);
            case = case.timed((vec![seconds], vec![seconds]), 1.0, "rows");
            case.max_error = error;
            case
        };
        let cases = vec![
            case("w1", OURS, 1, 0.01, 0.0),
            case("w1", "slow", 1, 0.3, 0.0),
            case("w1", "good", 1, 0.025, 1e-7),
            case("w1", "wrong", 1, 0.001, 0.1),
            case("w1", OURS, 2, 0.005, 0.0),
            case("w1", "good", 2, 0.02, 1e-7),
            case("w9", OURS, 1, 0.01, 0.0),
        ];
        let text = markdown(&Record { cases, ..Record::new() });
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines, ["| w1 | rows | 10.0 ms | 25.0 ms good | 2.5× | 4.0× |"]);
    }
}
