//! How a case stands: beside the best of the others that did the same, and under the machine's limit.

use crate::limits;
use crate::record::{Case, Record};
use crate::runner::OURS;
use crate::timing::{least, median};
use crate::work::CODES;

/// The time of a case that comparisons use: at one thread the least processor time, which other work on the
/// machine disturbs least; at several the least wall-clock time, because waiting for each other counts. Of a cluster under
/// load the time in which it does as much as one request asks.
#[must_use]
pub fn time(case: &Case) -> f64 {
    if case.params.contains_key("clients") {
        return case.units / case.throughput;
    }
    least(if case.threads == 1 { &case.cpu_s } else { &case.wall_s })
}

/// Whether an answer is good enough to be compared: within what rounding f32 costs. A code may be one off where a
/// peer multiplies by the reciprocal of the scale.
#[must_use]
pub fn counts(case: &Case) -> bool {
    let tolerance = if case.unit == CODES { 1.0 } else { 1e-5 };
    case.max_error <= tolerance
}

/// The fastest other implementation that did the same with the same number of threads and whose answer counts.
#[must_use]
pub fn best_peer<'a>(record: &'a Record, case: &Case) -> Option<&'a Case> {
    let peers = record.cases.iter().filter(|other| other.same_work(case) && !is_ours(other) && counts(other));
    peers.filter(|peer| time(peer) > 0.0).min_by(|a, b| time(a).total_cmp(&time(b)))
}

/// How many times faster a case is than the best peer with the same number of threads; where no peer was
/// measured, than the scalar oracle on its one thread, both by wall clock. `None` where there is neither.
#[must_use]
pub fn ratio(record: &Record, case: &Case) -> Option<f64> {
    if case.workload == limits::WORKLOAD {
        return None;
    }
    if let Some(peer) = best_peer(record, case) {
        return (time(case) > 0.0).then(|| time(peer) / time(case));
    }
    let same = |other: &&Case| other.workload == case.workload && other.variant == case.variant;
    let oracle = record.cases.iter().filter(same).find(|other| other.isa == "scalar")?;
    (least(&case.wall_s) > 0.0).then(|| least(&oracle.wall_s) / least(&case.wall_s))
}

/// Whether a case is one of ours, whichever way it computes.
fn is_ours(case: &Case) -> bool {
    case.implementation.starts_with(OURS)
}

/// Share of its limit that a case reaches at the median; `None` where no limit was measured.
#[must_use]
pub fn share_of_roof(case: &Case) -> Option<f64> {
    let roof = case.roof.as_ref()?;
    let done = if roof.unit == "B" { case.bytes? } else { case.ops? };
    let seconds = median(&case.wall_s);
    (seconds > 0.0).then(|| done / seconds / roof.rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Roof;

    fn case(implementation: &str, isa: &str, threads: usize, wall: f64, cpu: f64) -> Case {
        Case::new("w1", implementation, "small").on(isa, threads).timed((vec![wall], vec![cpu]), 1.0, "rows")
    }

    #[test]
    fn the_best_peer_with_as_many_threads_is_the_measure() {
        let cases = vec![
            case(OURS, "avx2", 1, 9.0, 1.0),
            case(OURS, "avx2", 2, 0.5, 1.0),
            case("slow 1.0", "-", 1, 9.0, 8.0),
            case("fast 2.0", "-", 1, 9.0, 3.0),
            case("fast 2.0", "-", 2, 2.0, 3.0),
        ];
        let record = Record { cases, ..Record::new() };
        let ratios: Vec<_> = record.cases.iter().map(|case| ratio(&record, case).unwrap()).collect();
        assert_eq!(ratios, [3.0, 4.0, 3.0 / 8.0, 1.0, 1.0]);
    }

    #[test]
    fn without_peers_the_oracle_is_the_measure() {
        let cases = vec![case(OURS, "scalar", 1, 8.0, 8.0), case(OURS, "avx2", 2, 1.0, 2.0)];
        let record = Record { cases, ..Record::new() };
        assert_eq!(ratio(&record, &record.cases[1]), Some(8.0));
        let alone = Record { cases: record.cases[1..].to_vec(), ..Record::new() };
        assert_eq!(ratio(&alone, &alone.cases[0]), None);
    }

    #[test]
    fn a_share_needs_a_roof_and_what_it_counts() {
        let mut case = case(OURS, "avx2", 1, 2.0, 2.0);
        case.bytes = Some(100.0);
        assert_eq!(share_of_roof(&case), None);
        case.roof = Some(Roof { name: "DRAM read".into(), rate: 200.0, unit: "B".into() });
        assert_eq!(share_of_roof(&case), Some(0.25));
        case.roof = Some(Roof { name: "f32".into(), rate: 200.0, unit: "op".into() });
        assert_eq!(share_of_roof(&case), None);
    }
}
