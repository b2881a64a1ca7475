//! The table of a cluster: every load of everybody, what only ours was asked, and how we stand.

use std::fmt::Write;

use super::OURS;
use super::bars::{Standing, standings};
use crate::record::{Case, Record};
use crate::table::duration;
use crate::timing::{median, quantile};

/// For people. `held` says whether the bars are held against it.
#[must_use]
pub fn table(record: &Record, held: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<16} {:<32} {:<14} {:>12} {:>11} {:>11}  {:>6} {:>7}",
        "workload", "input", "by", "a second", "p50", "p99", "nodes", "clients"
    );
    for case in &record.cases {
        let cores = |name: &str| case.params.get(name).map_or("-".to_owned(), |cores| format!("{cores:.2}"));
        let _ = writeln!(
            out,
            "{:<16} {:<32} {:<14} {:>12.0} {:>11} {:>11}  {:>6} {:>7}",
            case.workload.strip_prefix("cluster ").unwrap_or(&case.workload),
            case.variant,
            case.implementation,
            case.throughput,
            duration(median(&case.wall_s)),
            duration(quantile(&case.wall_s, 0.99)),
            cores("nodes_cpu_s"),
            cores("clients_cpu_s"),
        );
        if let Some(note) = &case.note {
            let _ = writeln!(out, "{:<16} {note}", "");
        }
        for (name, value) in case.params.iter().filter(|(name, _)| name.starts_with("mib_after")) {
            let _ = writeln!(out, "{:<16} {name} {value:.0}", "");
        }
    }
    if !held {
        return out;
    }
    for Standing { what, got, asked, met } in standings(record) {
        let verdict = match (&got, met) {
            (None, _) => "open: not measured",
            (_, true) => "met",
            (_, false) => "MISSED",
        };
        let _ = writeln!(
            out,
            "bar {what}: {asked}: {verdict}{}",
            got.map_or_else(String::new, |got| format!(", {got}"))
        );
    }
    out
}

/// The loads as Markdown: ours, the peer's where one was measured, and the ratio.
#[must_use]
pub fn markdown(record: &Record) -> String {
    let ours = |case: &&Case| case.implementation == OURS && case.params.contains_key("clients");
    let mut out = String::from(
        "| | clients | a request | a second | p50, p99 | peer: a second | p50, p99 | ratio |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for case in record.cases.iter().filter(ours) {
        let peer = record.cases.iter().find(|other| other.same_work(case) && other.implementation != OURS);
        let number = |name: &str| case.params.get(name).copied().unwrap_or_default();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            case.workload.strip_prefix("cluster ").unwrap_or(&case.workload),
            number("clients"),
            number("per_request"),
            rounded(case.throughput),
            times(case),
            peer.map_or_else(String::new, |peer| rounded(peer.throughput)),
            peer.map_or_else(String::new, times),
            peer.map_or_else(String::new, |peer| format!("{:.1}×", case.throughput / peer.throughput)),
        );
    }
    out
}

fn times(case: &Case) -> String {
    format!("{:.2}, {:.1} ms", median(&case.wall_s) * 1e3, quantile(&case.wall_s, 0.99) * 1e3)
}

/// Three digits are all that such measurements have.
fn rounded(rate: f64) -> String {
    let step = 10f64.powf((rate.max(1.0).log10().floor() - 2.0).max(0.0));
    let digits = format!("{:.0}", (rate / step).round() * step);
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::load::{Asks, Came, Load};
    use super::super::system::case;
    use super::*;
    use std::time::Duration;

    /// A record in which ours answers `ours` requests of one write each a second and etcd 1,000.
    fn record(ours: u64) -> Record {
        let asks = Asks::Writes(1);
        let time = Duration::from_secs(1);
        let load = Load { asks, clients: 256, bytes: 1_024, prefix: String::new(), time };
        let came = |requests: u64, latency: f64| Came {
            latency_s: vec![latency; 10],
            seconds: 1.0,
            requests,
            nodes_cpu_s: 1.5,
            clients_cpu_s: 0.25,
            answered: Vec::new(),
        };
        let cases = vec![case(OURS, &load, &came(ours, 2e-3)), case("etcd 3", &load, &came(1_000, 3e-3))];
        Record { cases, ..Record::new() }
    }

    #[test]
    fn a_load_is_compared_by_what_it_came_to() {
        let text = markdown(&record(2_543));
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines, ["| writes | 256 | 1 | 2,540 | 2.00, 2.0 ms | 1,000 | 3.00, 3.0 ms | 2.5× |"]);
        assert_eq!((rounded(64_321.0), rounded(7.0)), ("64,300".to_owned(), "7".to_owned()));
    }

    #[test]
    fn bars_are_met_missed_or_open() {
        let says = |ours, held: bool, what: &str| table(&record(ours), held).contains(what);
        assert!(says(2_000, true, "beside etcd: 2x: met, 2.0x"));
        assert!(says(1_900, true, "beside etcd: 2x: MISSED, 1.9x"));
        assert!(says(2_000, true, "3.00 ms: met, 2.00 ms"));
        assert!(says(2_000, true, "longest gap after kill -9 of the leader: 1500.00 ms: open: not measured"));
        assert!(!says(2_000, false, "bar"));
    }
}
