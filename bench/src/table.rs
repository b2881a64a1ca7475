//! The table for people: one line a case, and how it stands beside the others that did the same work.

use std::fmt::Write;

use crate::record::{Case, Record};
use crate::timing::{least, median, quantile, spread};

/// All cases of a record as a table.
#[must_use]
pub fn table(record: &Record) -> String {
    let mut out = String::new();
    for case in &record.cases {
        let _ = writeln!(
            out,
            "{:<17} {:<45} {:<22} {:<10} {:>2} {:>10.3} ms {:>4.0} % {:>10.3} ms {:>10.3e} {}/s {:.1}x",
            case.workload,
            case.variant,
            case.implementation,
            case.isa,
            case.threads,
            median(&case.wall_s) * 1e3,
            spread(&case.wall_s) * 1e2,
            quantile(&case.wall_s, 0.99) * 1e3,
            case.throughput,
            case.unit,
            record.cases.iter().filter(|other| other.same_work(case)).map(time).fold(0.0, f64::max)
                / time(case),
        );
    }
    out
}

fn time(case: &Case) -> f64 {
    least(&case.cpu_s)
}
