//! A record as text: the table for people, and comma-separated values for spreadsheets.

use std::fmt::Write;

use crate::record::{Case, Record};
use crate::standing::{ratio, share_of_roof};
use crate::timing::{least, median, quantile, spread};

/// All cases of a record as a table, under a line about the machine.
#[must_use]
pub fn table(record: &Record) -> String {
    let here = &record.environment;
    let mut out = format!(
        "{}, {} cores, huge pages: {}, commit {}, {}, {}\n",
        here.cpu, here.cores, here.huge_pages, here.commit, here.rustc, here.date
    );
    if here.profile != "release" {
        out.push_str("NOTE: not a release build; no figure below is worth anything\n");
    }
    let rows = rows(record);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 12] = std::array::from_fn(width);
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Names to the left, numbers to the right.
            let _ = if column < NAMES {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let mut notes: Vec<String> = Vec::new();
    for case in &record.cases {
        if let Some(note) = &case.note {
            let note = format!("{}, {}: {note}\n", case.workload, case.variant);
            // Thread counts and levels of one work have the same to say.
            if notes.last() != Some(&note) {
                notes.push(note);
            }
        }
    }
    out.push_str(&notes.concat());
    out
}

/// How many columns are names; the others are numbers.
pub(crate) const NAMES: usize = 4;

/// The cells: a header, then a row a case.
pub(crate) fn rows(record: &Record) -> Vec<[String; 12]> {
    let header = [
        "workload",
        "input",
        "by",
        "isa",
        "threads",
        "median",
        "spread",
        "p99",
        "throughput",
        "of roof",
        "ratio",
        "max error",
    ];
    let rows = record.cases.iter().map(|case| row(record, case));
    std::iter::once(header.map(str::to_owned)).chain(rows).collect()
}

fn row(record: &Record, case: &Case) -> [String; 12] {
    let dash = || "-".to_owned();
    [
        case.workload.clone(),
        case.variant.clone(),
        case.implementation.clone(),
        case.isa.clone(),
        case.threads.to_string(),
        duration(median(&case.wall_s)),
        format!("{:.1} %", 100.0 * spread(&case.wall_s)),
        duration(quantile(&case.wall_s, 0.99)),
        rate(case.throughput, &case.unit),
        share_of_roof(case).map_or_else(dash, |share| format!("{:.0} %", 100.0 * share)),
        ratio(record, case).map_or_else(dash, |ratio| format!("{ratio:.2}x")),
        if case.exact { "exact".to_owned() } else { format!("{:.1e}", case.max_error) },
    ]
}

/// One line a case. Samples are left to the JSON.
#[must_use]
pub fn csv(record: &Record) -> String {
    let mut out = String::from(
        "workload,variant,impl,isa,threads,runs,least_cpu_s,least_wall_s,median_wall_s,p99_wall_s,throughput,unit,\
         of_roof,ratio,max_error,exact\n",
    );
    for case in &record.cases {
        let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let cells = [
            quoted(&case.workload),
            quoted(&case.variant),
            quoted(&case.implementation),
            quoted(&case.isa),
            case.threads.to_string(),
            case.wall_s.len().to_string(),
            least(&case.cpu_s).to_string(),
            least(&case.wall_s).to_string(),
            median(&case.wall_s).to_string(),
            quantile(&case.wall_s, 0.99).to_string(),
            case.throughput.to_string(),
            quoted(&case.unit),
            optional(share_of_roof(case)),
            optional(ratio(record, case)),
            case.max_error.to_string(),
            case.exact.to_string(),
        ];
        out.push_str(&cells.join(","));
        out.push('\n');
    }
    out
}

/// A cell that may hold commas and quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Seconds in the unit that leaves one to three digits before the point.
#[must_use]
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.3} s"),
        s if s >= 1e-3 => format!("{:.3} ms", s * 1e3),
        s if s >= 1e-6 => format!("{:.3} us", s * 1e6),
        s => format!("{:.1} ns", s * 1e9),
    }
}

/// Units a second with a decimal prefix: `3.21 Mrows/s`.
#[must_use]
pub fn rate(per_second: f64, unit: &str) -> String {
    let steps = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, prefix) = steps.into_iter().find(|&(scale, _)| per_second >= scale).unwrap_or((1.0, ""));
    // Single letters take the prefix, words are counted in it: GB/s, but M rows/s.
    let space = if unit.len() > 2 && !prefix.is_empty() { " " } else { "" };
    format!("{:.2} {prefix}{space}{unit}/s", per_second / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_the_machine_the_header_and_each_case() {
        let case = Case::new("w1", "tensor-kernels", "1 x 10, \"odd\"").on("avx2", 1);
        let case = case.timed((vec![0.002], vec![0.002]), 2e6, "rows");
        let mut record = Record { cases: vec![case], ..Record::new() };
        "release".clone_into(&mut record.environment.profile);
        let text = table(&record);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("2.000 ms") && text.contains("1.00 G rows/s"), "{text}");
        let csv = csv(&record);
        let (header, line) = csv.split_once('\n').unwrap();
        assert_eq!(header.split(',').count(), 16);
        assert!(
            line.starts_with("\"w1\",\"1 x 10, \"\"odd\"\"\",\"tensor-kernels\",\"avx2\",1,1,0.002"),
            "{line}"
        );
    }

    #[test]
    fn numbers_have_their_natural_units() {
        assert_eq!([2.5, 0.0125, 3e-6, 2e-8].map(duration), ["2.500 s", "12.500 ms", "3.000 us", "20.0 ns"]);
        assert_eq!((rate(3.2e10, "B"), rate(5.0, "rows")), ("32.00 GB/s".into(), "5.00 rows/s".into()));
    }
}
