//! What the cluster has to reach, beside etcd and by itself: the table that a run is held against.

use crate::record::{Case, Record};
use crate::timing::{median, quantile};

/// How a bar was met.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub(super) what: &'static str,
    /// What was measured, in the bar's own words; `None` where nothing was.
    pub(super) got: Option<String>,
    pub(super) asked: String,
    pub(super) met: bool,
}

/// Every bar, held against a record.
pub(super) fn standings(record: &Record) -> Vec<Standing> {
    let load = |ours: bool, workload: &str, clients: f64, per_request: f64| {
        let of = |case: &&Case| {
            let param = |name: &str| case.params.get(name).copied();
            (case.implementation == super::OURS) == ours
                && case.workload == workload
                && param("clients") == Some(clients)
                && param("per_request") == Some(per_request)
        };
        record.cases.iter().find(of)
    };
    let other = |workload: &'static str| record.cases.iter().filter(move |case| case.workload == workload);
    let ratio = |workload, ours: f64, theirs: f64| {
        let (ours, theirs) = (load(true, workload, 256.0, ours)?, load(false, workload, 256.0, theirs)?);
        Some(ours.throughput / theirs.throughput)
    };
    let times = |what, got: Option<f64>, least: f64| Standing {
        what,
        got: got.map(|got| format!("{got:.1}x")),
        asked: format!("{least:.0}x"),
        met: got.is_some_and(|got| got >= least),
    };
    let ms = |what, got: Option<f64>, most: Option<f64>| Standing {
        what,
        got: got.map(|got| format!("{:.2} ms", got * 1e3)),
        asked: most.map_or_else(|| "-".to_owned(), |most| format!("{:.2} ms", most * 1e3)),
        met: got.zip(most).is_some_and(|(got, most)| got <= most),
    };
    let p99 = |ours: bool| Some(quantile(&load(ours, "cluster writes", 256.0, 1.0)?.wall_s, 0.99));
    let fsync = other("cluster fsync").next().map(|case| median(&case.wall_s));
    let alone = load(true, "cluster writes", 1.0, 1.0).map(|case| median(&case.wall_s));
    let gap = other("cluster fail-over").next().map(|case| quantile(&case.wall_s, 1.0));
    // The mean, with all threads: what one core would reach.
    let apply = other("cluster apply").next();
    let apply = apply.map(|case| case.units * case.cpu_s.len() as f64 / case.cpu_s.iter().sum::<f64>());
    let grown = other("cluster memory")
        .next()
        .and_then(|case| Some(case.params.get("mib_after_10")? / case.params.get("mib_after_02")?));
    vec![
        times("writes/s of 256 clients beside etcd", ratio("cluster writes", 1.0, 1.0), 2.0),
        times(
            "writes/s of 256 clients, 64 a request, beside etcd with 1",
            ratio("cluster writes", 64.0, 1.0),
            10.0,
        ),
        ms("p99 of a write, 256 clients; at most etcd's", p99(true), p99(false)),
        times("linearizable reads/s of 256 clients beside etcd", ratio("cluster reads", 1.0, 1.0), 3.0),
        ms("p50 of a lone client; at most 5 fsyncs and 0.3 ms", alone, fsync.map(|fsync| 5.0 * fsync + 3e-4)),
        ms("longest gap after kill -9 of the leader", gap, Some(1.5)),
        Standing {
            what: "writes applied a second of one core",
            got: apply.map(|rate| format!("{rate:.0}")),
            asked: "100000".to_owned(),
            met: apply.is_some_and(|rate| rate >= 1e5),
        },
        Standing {
            what: "memory after 10 parts of the writes over that after 2",
            got: grown.map(|grown| format!("{grown:.2}x")),
            asked: "at most 1.25x".to_owned(),
            met: grown.is_some_and(|grown| grown <= 1.25),
        },
    ]
}
